#include "dispatch.h"

#include <cstdlib>
#include <stdexcept>

#include "cpu.h"

namespace recurra {

#if defined(__x86_64__)
extern const Kernels kernels_avx512, kernels_avx2, kernels_baseline;
#elif defined(__aarch64__)
extern const Kernels kernels_neon;
#else
extern const Kernels kernels_baseline;
#endif

namespace {

// Those of this build that this CPU has, the best first.
std::vector<const Kernels*> usable() {
#if defined(__x86_64__)
    const Kernels* built[] = {&kernels_avx512, &kernels_avx2, &kernels_baseline};
#elif defined(__aarch64__)
    const Kernels* built[] = {&kernels_neon};
#else
    const Kernels* built[] = {&kernels_baseline};
#endif
    std::vector<const Kernels*> found;
    for (const Kernels* one : built)
        if (cpu_has(one->name)) found.push_back(one);
    return found;
}

const Kernels& choose() {
    const char* asked = std::getenv("RECURRA_ISA");
    const std::vector<const Kernels*> found = usable();
    if (asked == nullptr || *asked == '\0') return *found.front();
    std::string names;
    for (const Kernels* one : found) {
        if (one->name == std::string(asked)) return *one;
        names += (names.empty() ? "" : ", ") + std::string(one->name);
    }
    throw std::invalid_argument(std::string("RECURRA_ISA: expected one that this CPU has (") + names + "), got '" +
                                asked + "'");
}

}  // namespace

std::vector<std::string> available_isas() {
    std::vector<std::string> names;
    for (const Kernels* one : usable()) names.emplace_back(one->name);
    return names;
}

const Kernels& kernels() {
    static const Kernels& chosen = choose();  // a throw leaves it unset: the next call throws again
    return chosen;
}

}  // namespace recurra
