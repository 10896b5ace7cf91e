// Products with weights where they lie: for few rows packing would cost more than it saves.
#pragma once

#include "shuffle.h"

namespace recurra {
namespace {

// Weights of one part: element (k, n) is w[k * k_stride + n * n_stride]; one of the strides is 1.
template <class T>
struct Lying {
    const T* w;
    std::ptrdiff_t k_stride, n_stride;
};

// Sums of a dot tile, as many as hide the latency of an addition and fill whole vectors when reduced.
template <class T>
constexpr int dot_sums = LANES<T> > 8 ? LANES<T> : 8;

// What all dot tiles of a product share.
template <class T>
struct Dots {
    const Part<T>* parts;
    const Lying<T>* blocks;
    int count, columns, rows;
    T* c;
    std::ptrdiff_t c_stride;
    const T* start;
    std::ptrdiff_t start_stride;
};

// Vectors of k that one row is multiplied by before the next column's weights are read: neighbouring loads lie in
// neighbouring lines. Loads a column apart would wait for each other where that is a multiple of 512 bytes: measured
// on Zen 5, half as fast.
constexpr int dot_vectors = vector_registers == 32 ? 8 : 4;
// How far ahead in its row a weight is fetched where one row is multiplied. In rows hardly longer than that the weights
// of the next columns are fetched instead: 3 to 8 % faster with rows of 256.
template <class T>
constexpr std::ptrdiff_t dot_ahead = 1024 / sizeof(T);

// One row, dot_vectors vectors of k. Each sum is the same chain over k as in add_dots.
template <class T>
inline __attribute__((always_inline)) void add_row_dots(vec<T> (&sums)[dot_sums<T>], const T* a,
                                                        const T* const (&w)[dot_sums<T>], int k, std::ptrdiff_t ahead) {
    vec<T> x[dot_vectors];
    RECURRA_UNROLL
    for (int v = 0; v < dot_vectors; ++v) {
        x[v] = load(a + k + v * LANES<T>);
        keep_in_register(x[v]);
    }
    RECURRA_UNROLL
    for (int n = 0; n < dot_sums<T>; ++n) {
        const T* from = w[n] + k;
        RECURRA_UNROLL
        for (int b = 0; b < dot_vectors * vector_bytes; b += line_bytes)
            __builtin_prefetch(reinterpret_cast<const char*>(from + ahead) + b);
        RECURRA_UNROLL
        for (int v = 0; v < dot_vectors; ++v) sums[n] += x[v] * load(from + v * LANES<T>);
    }
}

// One vector of k. With several rows the weights `ahead` are fetched: those of the next columns, a fifth to a third
// faster.
template <class T, int ROWS, bool PARTIAL>
inline __attribute__((always_inline)) void add_dots(vec<T> (&sums)[dot_sums<T>], const T* const (&a)[ROWS],
                                                    const T* const (&w)[dot_sums<T> / ROWS], int k, int lanes,
                                                    std::ptrdiff_t ahead) {
    constexpr int COLUMNS = dot_sums<T> / ROWS;
    vec<T> x[ROWS];
    RECURRA_UNROLL
    for (int r = 0; r < ROWS; ++r) x[r] = PARTIAL ? load_partial(a[r] + k, lanes) : load(a[r] + k);
    RECURRA_UNROLL
    for (int n = 0; n < COLUMNS; ++n) {
        const vec<T> y = PARTIAL ? load_partial(w[n] + k, lanes) : load(w[n] + k);
        if (ROWS > 1) __builtin_prefetch(w[n] + k + ahead);
        RECURRA_UNROLL
        for (int r = 0; r < ROWS; ++r) sums[r * COLUMNS + n] += x[r] * y;
    }
}

// Rows [m, m + ROWS) x columns [n, n + dot_sums / ROWS); those beyond the end are computed again from the last and not
// stored. k runs along the vectors.
template <class T, int ROWS>
void dot_tile(const Dots<T>& d, int m, int n) {
    constexpr int COLUMNS = dot_sums<T> / ROWS;
    const int rows = d.rows - m < ROWS ? d.rows - m : ROWS;
    const int columns = d.columns - n < COLUMNS ? d.columns - n : COLUMNS;
    vec<T> sums[dot_sums<T>] = {};
    for (int p = 0; p < d.count; ++p) {
        const Part<T>& part = d.parts[p];
        const Lying<T>& block = d.blocks[p];
        if (block.n_stride == 1) continue;
        const T* a[ROWS];
        const T* w[COLUMNS];
        for (int r = 0; r < ROWS; ++r) a[r] = part.a + (m + (r < rows ? r : rows - 1)) * part.stride;
        for (int j = 0; j < COLUMNS; ++j) w[j] = block.w + (n + (j < columns ? j : columns - 1)) * block.n_stride;
        const std::ptrdiff_t ahead = COLUMNS * block.n_stride;
        const std::ptrdiff_t near = part.depth < 2 * dot_ahead<T> ? ahead : dot_ahead<T>;
        int k = 0;
        if constexpr (ROWS == 1)
            for (; k + dot_vectors * LANES<T> <= part.depth; k += dot_vectors * LANES<T>)
                add_row_dots<T>(sums, a[0], w, k, near);
        for (; k + LANES<T> <= part.depth; k += LANES<T>) add_dots<T, ROWS, false>(sums, a, w, k, 0, ahead);
        if (k < part.depth) add_dots<T, ROWS, true>(sums, a, w, k, part.depth - k, ahead);
    }
    T dots[dot_sums<T>];
    RECURRA_UNROLL
    for (int v = 0; v < dot_sums<T>; v += LANES<T>) store<T>(dots + v, sum_each<T>(sums + v));
    for (int r = 0; r < rows; ++r) {
        T* c = d.c + (m + r) * d.c_stride + n;
        const T* start = d.start ? d.start + (m + r) * d.start_stride + n : nullptr;
        for (int j = 0; j < columns; ++j) c[j] = start ? start[j] + dots[r * COLUMNS + j] : dots[r * COLUMNS + j];
    }
}

template <class T, int ROWS>
void dot_rows(const Dots<T>& d, int m, int n, int columns) {
    for (int j = 0; j < columns; j += dot_sums<T> / ROWS) dot_tile<T, ROWS>(d, m, n + j);
}

// The parts whose weights lie along k. A group of columns stays in L1 for all rows.
template <class T>
void multiply_dots(const Dots<T>& d) {
    constexpr int GROUP = dot_sums<T>;
    for (int n = 0; n < d.columns; n += GROUP) {
        const int columns = d.columns - n < GROUP ? d.columns - n : GROUP;
        int m = 0;
        for (; d.rows - m > 2; m += 4) dot_rows<T, 4>(d, m, n, columns);
        if (d.rows - m == 2) dot_rows<T, 2>(d, m, n, columns);
        if (d.rows - m == 1) dot_rows<T, 1>(d, m, n, columns);
    }
}

// One part whose weights lie along n: the tile of packed weights, its rows of B further apart.
template <class T>
void multiply_lying_rows(const Part<T>& part, const Lying<T>& block, int columns, int M, T* c, std::ptrdiff_t c_stride,
                         const T* start, std::ptrdiff_t start_stride) {
    Tile<T> t = {&part, 1, 0, nullptr, block.k_stride, PANEL<T>, nullptr, c_stride, nullptr, start_stride, 0};
    const Rows tiles(M);
    for (int tile = 0; tile < tiles.tiles; ++tile) {
        t.first_row = tiles.begin(tile);
        const int rows = tiles.begin(tile + 1) - tiles.begin(tile);
        const int wide = panels_at_once(rows) * PANEL<T>;
        for (int n = 0; n < columns;) {
            const int left = columns - n;
            t.b = block.w + n;
            t.c = c + n;
            t.start = start ? start + n : nullptr;
            t.columns = left < PANEL<T> ? left : PANEL<T>;
            if (left >= wide)
                compute_panels<T, Layout::lying>(t, rows);
            else
                compute_panel<T, Layout::lying>(t, rows, (t.columns + LANES<T> - 1) / LANES<T>);
            n += left >= wide ? wide : PANEL<T>;
        }
    }
}

// C[M, columns] = start + sum over parts A_p @ B_p, with no packing. start: null for zeros; start_stride 0 is one row
// for all; it may be c.
template <class T>
void multiply_lying(const Part<T>* parts, int count, const Lying<T>* blocks, int columns, int M, T* c,
                    std::ptrdiff_t c_stride, const T* start, std::ptrdiff_t start_stride) {
    if (M == 0) return;
    bool dots = false;
    for (int p = 0; p < count; ++p) dots |= blocks[p].n_stride != 1;
    if (dots) multiply_dots<T>({parts, blocks, count, columns, M, c, c_stride, start, start_stride});
    for (int p = 0; p < count; ++p) {
        if (blocks[p].n_stride != 1) continue;
        const bool begun = dots || p > 0;
        multiply_lying_rows<T>(parts[p], blocks[p], columns, M, c, c_stride, begun ? c : start,
                               begun ? c_stride : start_stride);
    }
}

}  // namespace
}  // namespace recurra
