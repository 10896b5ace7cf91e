// Transposing in registers.
#pragma once

#include "tile.h"

namespace recurra {
namespace {

template <int... I>
struct Indices {};
template <int N, int... I>
struct Count : Count<N - 1, N - 1, I...> {};
template <int... I>
struct Count<0, I...> {
    using type = Indices<I...>;
};

template <class V, int... I>
inline V pick(V a, V b, Indices<I...>) {
    return __builtin_shufflevector(a, b, I...);
}

// Blocks of SIZE lanes, in turn from a and from b: those at even places...
template <int SIZE, class V, int... I>
inline V even_blocks(V a, V b, Indices<I...>) {
    return pick(a, b, Indices<(I / SIZE % 2 ? static_cast<int>(sizeof...(I)) + I - SIZE : I)...>{});
}
// ... and those at odd places.
template <int SIZE, class V, int... I>
inline V odd_blocks(V a, V b, Indices<I...>) {
    return pick(a, b, Indices<(I / SIZE % 2 ? static_cast<int>(sizeof...(I)) + I : I + SIZE)...>{});
}

// LANES rows of LANES numbers, transposed in place.
template <class T, int SIZE = LANES<T> / 2>
inline __attribute__((always_inline)) void transpose(vec<T> (&rows)[LANES<T>]) {
    using All = typename Count<LANES<T>>::type;
    RECURRA_UNROLL
    for (int k = 0; k < LANES<T>; ++k) {
        if (k & SIZE) continue;
        const vec<T> a = rows[k], b = rows[k + SIZE];
        rows[k] = even_blocks<SIZE>(a, b, All{});
        rows[k + SIZE] = odd_blocks<SIZE>(a, b, All{});
    }
    if constexpr (SIZE > 1) transpose<T, SIZE / 2>(rows);
}

// Lane k of the result is the sum of the lanes of rows[k].
template <class T, int SIZE = LANES<T> / 2>
inline __attribute__((always_inline)) vec<T> sum_each(vec<T>* rows) {
    using All = typename Count<LANES<T>>::type;
    RECURRA_UNROLL
    for (int k = 0; k < SIZE; ++k)
        rows[k] = even_blocks<SIZE>(rows[k], rows[k + SIZE], All{}) + odd_blocks<SIZE>(rows[k], rows[k + SIZE], All{});
    if constexpr (SIZE > 1) return sum_each<T, SIZE / 2>(rows);
    return rows[0];
}

}  // namespace
}  // namespace recurra
