// The limit that no kernel can pass: multiply-adds of one core that touch no memory.
#pragma once

#include "tile.h"

namespace recurra {
namespace {

// Runs `loops` rounds of independent multiply-adds, enough to hide their latency and few enough for the registers of
// every instruction set; gives the floating point operations.
inline double multiply_add(long loops) {
    constexpr int sums = 12;
    vec<float> sum[sums];
    const vec<float> x = broadcast<float>(0.999f);
    RECURRA_UNROLL
    for (int k = 0; k < sums; ++k) sum[k] = broadcast<float>(0.01f * static_cast<float>(k));
    for (long n = 0; n < loops; ++n) {
        RECURRA_UNROLL
        for (int k = 0; k < sums; ++k) sum[k] = sum[k] * x + x;
    }
    RECURRA_UNROLL
    for (int k = 1; k < sums; ++k) sum[0] += sum[k];
    volatile float sink = sum[0][0];
    (void)sink;
    return 2.0 * sums * LANES<float> * static_cast<double>(loops);
}

}  // namespace
}  // namespace recurra
