// The weights' gradient: products summed over rows, C[m][n] = sum of a[r][m] * b[r][n].
#pragma once

#include "memory.h"
#include "pack.h"

namespace recurra {
namespace {

// A run of rows of both operands.
template <class T>
struct Segment {
    const T* a;
    const T* b;
    int rows;
};

// Rows summed in registers before they are added to C: bounds the error's growth and what is packed at a time.
constexpr int outer_depth = 384;
// Rows of C whose part of A is packed at a time.
constexpr int outer_rows = tile_rows * 16;
// Bytes of B packed at a time: half of the usual 1 MB of L2.
constexpr std::size_t outer_bytes = 512 * 1024;

// Where to go on reading the segments.
template <class T>
struct Place {
    const Segment<T>* segment;
    int row;
};

// Copies columns [n0, n1) of `depth` rows into panels of WIDTH columns, [depth][WIDTH] each, panel_step apart.
template <class T, int WIDTH>
void gather(T* panels, std::ptrdiff_t panel_step, Place<T> at, int depth, const T* Segment<T>::* operand,
            std::ptrdiff_t stride, int n0, int n1) {
    for (int k = 0; k < depth; ++k, ++at.row) {
        for (; at.row == at.segment->rows; ++at.segment) at.row = 0;
        const T* from = at.segment->*operand + at.row * stride;
        T* to = panels + k * WIDTH;
        int n = n0;
        for (; n + WIDTH <= n1; n += WIDTH, to += panel_step) std::memcpy(to, from + n, WIDTH * sizeof(T));
        if (n == n1) continue;
        for (int j = 0; j < WIDTH; ++j) to[j] = n + j < n1 ? from[n + j] : T(0);
    }
}

// One block of `depth` packed rows, added to C[m0:m1, n0:n1].
template <class T>
void add_block(const T* a, std::ptrdiff_t a_step, const T* b, std::ptrdiff_t b_step, int depth, int rows, int columns,
               T* c, std::ptrdiff_t c_stride, bool accumulate) {
    for (int m = 0; m < rows; m += tile_rows) {
        const Part<T> part = {a + m / tile_rows * a_step, 0, depth};
        const int height = rows - m < tile_rows ? rows - m : tile_rows;
        for (int n = 0; n < columns; n += PANEL<T>) {
            T* at = c + m * c_stride + n;
            const int width = columns - n < PANEL<T> ? columns - n : PANEL<T>;
            const Tile<T> t = {&part, 1,  0,        b + n / PANEL<T> * b_step, PANEL<T>,
                               0,     at, c_stride, accumulate ? at : nullptr, c_stride,
                               width};
            compute_panel<T, Layout::both_packed>(t, height, (width + LANES<T> - 1) / LANES<T>);
        }
    }
}

// Advances by `depth` rows.
template <class T>
void skip(Place<T>& at, int depth) {
    while (depth > 0) {
        const int left = at.segment->rows - at.row;
        const int step = left < depth ? left : depth;
        at.row += step;
        depth -= step;
        if (depth > 0) at = {at.segment + 1, 0};
    }
}

// C[m0:m1, n0:n1] = (accumulate ? C : 0) + the sum over the segments' rows r of a[r][m] * b[r][n].
template <class T>
void outer(const Segment<T>* segments, int count, std::ptrdiff_t a_stride, std::ptrdiff_t b_stride, int m0, int m1,
           int n0, int n1, T* c, std::ptrdiff_t c_stride, bool accumulate) {
    std::int64_t total = 0;
    for (int s = 0; s < count; ++s) total += segments[s].rows;
    if (total == 0 && !accumulate)
        for (int m = m0; m < m1; ++m) std::memset(c + m * c_stride + n0, 0, (n1 - n0) * sizeof(T));
    if (m0 >= m1 || n0 >= n1 || total == 0) return;
    const int blocks = static_cast<int>((total + outer_depth - 1) / outer_depth);
    const int most = static_cast<int>((total + blocks - 1) / blocks);
    const int wide = panel_count<T>(n1 - n0);
    const int fit = static_cast<int>(outer_bytes / (sizeof(T) * most * PANEL<T>));
    const int panels = wide < fit ? wide : fit > 0 ? fit : 1;
    const std::ptrdiff_t a_step = most * tile_rows + 64 / sizeof(T), b_step = most * PANEL<T> + 64 / sizeof(T);
    T* b = static_cast<T*>(scratch(Scratch::panels, b_step * panels * sizeof(T)));
    T* a = static_cast<T*>(scratch(Scratch::panels2, a_step * (outer_rows / tile_rows) * sizeof(T)));
    Place<T> at = {segments, 0};
    for (int k = 0; k < blocks; ++k) {
        const int depth = static_cast<int>(total * (k + 1) / blocks - total * k / blocks);
        for (int n = n0; n < n1; n += panels * PANEL<T>) {
            const int n_end = n1 - n < panels * PANEL<T> ? n1 : n + panels * PANEL<T>;
            gather<T, PANEL<T>>(b, b_step, at, depth, &Segment<T>::b, b_stride, n, n_end);
            for (int m = m0; m < m1; m += outer_rows) {
                const int m_end = m1 - m < outer_rows ? m1 : m + outer_rows;
                gather<T, tile_rows>(a, a_step, at, depth, &Segment<T>::a, a_stride, m, m_end);
                add_block<T>(a, a_step, b, b_step, depth, m_end - m, n_end - n, c + m * c_stride + n, c_stride,
                             accumulate || k > 0);
            }
        }
        skip(at, depth);
    }
}

}  // namespace
}  // namespace recurra
