// Weights laid out as panels: PANEL columns side by side, [depth][PANEL], one panel after the other.
#pragma once

#include "shuffle.h"

namespace recurra {
namespace {

template <class T>
inline int panel_count(int columns) {
    return (columns + PANEL<T> - 1) / PANEL<T>;
}

// Numbers in the panels of a B of `depth` rows and `columns` columns.
template <class T>
std::size_t packed_numbers(int depth, int columns) {
    return static_cast<std::size_t>(depth) * panel_count<T>(columns) * PANEL<T>;
}

template <class T>
inline void copy_numbers(T* to, const T* from, int count) {
    int n = 0;
    for (; n + LANES<T> <= count; n += LANES<T>) store<T>(to + n, load(from + n));
    if (n < count) store_partial(to + n, load_partial(from + n, count - n), count - n);
}

// `width` columns of a panel from rows that lie along n.
template <class T>
void pack_rows(T* panel, int depth, int width, const T* w, std::ptrdiff_t k_stride) {
    if (width == PANEL<T>) {
        for (int k = 0; k < depth; ++k) RECURRA_UNROLL
        for (int v = 0; v < tile_vectors; ++v)
            store<T>(panel + k * PANEL<T> + v * LANES<T>, load(w + k * k_stride + v * LANES<T>));
        return;
    }
    for (int k = 0; k < depth; ++k) copy_numbers(panel + k * PANEL<T>, w + k * k_stride, width);
}

// Up to LANES columns of a panel from `width` rows that lie along k: blocks of LANES x LANES are transposed.
template <class T, bool WHOLE>
void pack_columns(T* panel, int depth, int width, const T* w, std::ptrdiff_t n_stride) {
    for (int k = 0; k < depth; k += LANES<T>) {
        const int steps = depth - k < LANES<T> ? depth - k : LANES<T>;
        vec<T> rows[LANES<T>];
        RECURRA_UNROLL
        for (int n = 0; n < LANES<T>; ++n) {
            const T* from = w + (WHOLE || n < width ? n : 0) * n_stride + k;
            rows[n] = steps == LANES<T> ? load(from) : load_partial(from, steps);
        }
        transpose<T>(rows);
        RECURRA_UNROLL
        for (int s = 0; s < LANES<T>; ++s) {
            if (s == steps) break;
            T* to = panel + static_cast<std::ptrdiff_t>(k + s) * PANEL<T>;
            if (WHOLE)
                store<T>(to, rows[s]);
            else
                store_partial(to, rows[s], width);
        }
    }
}

template <class T>
void pack_panel(T* panel, int depth, int width, const T* w, std::ptrdiff_t k_stride, std::ptrdiff_t n_stride) {
    if (n_stride == 1) return pack_rows(panel, depth, width, w, k_stride);
    for (int n = 0; n < width; n += LANES<T>) {
        const T* from = w + n * n_stride;
        if (width - n >= LANES<T>)
            pack_columns<T, true>(panel + n, depth, LANES<T>, from, n_stride);
        else
            pack_columns<T, false>(panel + n, depth, width - n, from, n_stride);
    }
}

// Puts the block B[k0:k0+K, n0:n0+N], whose element (k, n) is w[k * k_stride + n * n_stride] (one of the strides is 1),
// into panels of a B of `depth` x `columns`; only into the panels [first, last). The block with the last column also
// writes the zeros that fill the last panel.
template <class T>
void pack(T* panels, int depth, int columns, int k0, int K, int n0, int N, const T* w, std::ptrdiff_t k_stride,
          std::ptrdiff_t n_stride, int first, int last) {
    for (int p = first; p < last; ++p) {
        const int left = p * PANEL<T>;
        const int begin = n0 > left ? n0 : left;
        const int end = n0 + N < left + PANEL<T> ? n0 + N : left + PANEL<T>;
        if (begin >= end) continue;
        T* panel = panels + (static_cast<std::ptrdiff_t>(p) * depth + k0) * PANEL<T>;
        pack_panel(panel + (begin - left), K, end - begin, w + (begin - n0) * n_stride, k_stride, n_stride);
        if (end == columns)
            for (int k = 0; k < K; ++k)
                for (int n = end - left; n < PANEL<T>; ++n) panel[k * PANEL<T> + n] = 0;
    }
}

}  // namespace
}  // namespace recurra
