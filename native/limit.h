// The limit that no kernel can pass: multiply-adds of one core that touch no memory.
#pragma once

#include "simd.h"

namespace recurra {
namespace {

// Runs `loops` rounds of as many independent multiply-adds as hide their latency; gives the floating point operations.
inline double multiply_add(long loops) {
    constexpr int sums = 16;
    vec<float> sum[sums];
    vec<float> a = broadcast<float>(0.999f), b = broadcast<float>(0.001f);
    for (int k = 0; k < sums; ++k) sum[k] = broadcast<float>(static_cast<float>(k));
    for (long n = 0; n < loops; ++n) {
#pragma GCC unroll 16
        for (int k = 0; k < sums; ++k) sum[k] = sum[k] * a + b;
        asm volatile("" : : : "memory");
    }
    vec<float> all = {};
    for (int k = 0; k < sums; ++k) all += sum[k];
    volatile float sink = all[0];
    (void)sink;
    return 2.0 * sums * LANES<float> * static_cast<double>(loops);
}

}  // namespace
}  // namespace recurra
