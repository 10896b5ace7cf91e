#include "cpu.h"

#include <cstring>

namespace recurra {

// The compiler's answer includes whether the system saves the registers. AVX-512 without AVX2's companions is nowhere.
bool cpu_has(const char* isa) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    if (std::strcmp(isa, "avx512") == 0) return avx512 && avx2;
    if (std::strcmp(isa, "avx2") == 0) return avx2;
    return std::strcmp(isa, "baseline") == 0;
#elif defined(__aarch64__)
    return std::strcmp(isa, "neon") == 0;
#else
    return std::strcmp(isa, "baseline") == 0;
#endif
}

}  // namespace recurra
