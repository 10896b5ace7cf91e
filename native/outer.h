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

// Rows summed in registers before they are added to C, which bounds the error's growth: as many as let B's part stay in
// L2, within these limits. Fewer and C is read and written too often.
constexpr int least_depth = 320, most_depth = 384;
// Rows of C whose part of A is packed at a time.
constexpr int outer_rows = tile_rows * 16;
// Bytes of B packed at a time: with the part of A less than the usual 1 MB of L2.
constexpr std::size_t outer_bytes = 640 * 1024;

// How many rows ahead the gathering fetches: rows lie so far apart that nothing else foresees them, and waiting for
// them was 15 % of all time.
constexpr int rows_ahead = 16;

// Where to go on reading the segments.
template <class T>
struct Place {
    const Segment<T>* segment;
    int row;
};

// The next row, which must be there.
template <class T>
inline const Segment<T>& next_row(Place<T>& at) {
    for (; at.row == at.segment->rows; ++at.segment) at.row = 0;
    ++at.row;
    return *at.segment;
}

// Advances by `depth` rows.
template <class T>
void skip(Place<T>& at, int depth) {
    for (int left; depth > (left = at.segment->rows - at.row); ++at.segment, at.row = 0) depth -= left;
    at.row += depth;
}

// Copies columns [n0, n1) of `depth` rows into panels of WIDTH columns, [depth][WIDTH] each, panel_step apart.
template <class T, int WIDTH>
void gather(T* panels, std::ptrdiff_t panel_step, Place<T> at, int depth, const T* Segment<T>::* operand,
            std::ptrdiff_t stride, int n0, int n1) {
    for (int k = 0; k < depth; ++k) {
        const T* from = next_row(at).*operand + (at.row - 1) * stride;
        T* to = panels + k * WIDTH;
        int n = n0;
        for (; n + WIDTH <= n1; n += WIDTH, to += panel_step) {
            for (int j = 0; j < WIDTH; j += line_bytes / static_cast<int>(sizeof(T)))
                __builtin_prefetch(from + rows_ahead * stride + n + j);
            std::memcpy(to, from + n, WIDTH * sizeof(T));
        }
        if (n == n1) continue;
        for (int j = 0; j < WIDTH; ++j) to[j] = n + j < n1 ? from[n + j] : T(0);
    }
}

// One block of `depth` packed rows, added to C[m0:m1, n0:n1].
template <class T>
void add_block(const T* a, std::ptrdiff_t a_step, const T* b, std::ptrdiff_t b_step, int depth, int rows, int columns,
               T* c, std::ptrdiff_t c_stride, bool accumulate) {
    for (int m = 0; m < rows; m += tile_rows) {
        const Part<T> part = {a + m / tile_rows * a_step, tile_rows, depth};
        const int height = rows - m < tile_rows ? rows - m : tile_rows;
        for (int n = 0; n < columns; n += PANEL<T>) {
            T* at = c + m * c_stride + n;
            const int width = columns - n < PANEL<T> ? columns - n : PANEL<T>;
            const Tile<T> t = {&part, 1,  0,        b + n / PANEL<T> * b_step, PANEL<T>,
                               0,     at, c_stride, accumulate ? at : nullptr, c_stride,
                               width};
            compute_panel<T, Layout::turned>(t, height, (width + LANES<T> - 1) / LANES<T>);
        }
    }
}

// How the product is cut: `count` blocks of at most `depth` rows, `panels` panels of B at a time.
struct Cut {
    int count, depth, panels;
};

template <class T>
Cut cut_outer(std::int64_t rows, int columns) {
    const int wide = panel_count<T>(columns);
    const int fit_rows = static_cast<int>(outer_bytes / (sizeof(T) * wide * PANEL<T>));
    const int limit = fit_rows < least_depth ? least_depth : fit_rows > most_depth ? most_depth : fit_rows;
    const int count = static_cast<int>((rows + limit - 1) / limit);
    const int depth = static_cast<int>((rows + count - 1) / count);
    const int fit = static_cast<int>(outer_bytes / (sizeof(T) * depth * PANEL<T>));
    return {count, depth, wide < fit ? wide : fit > 0 ? fit : 1};
}

// C[m0:m1, n0:n1] = (accumulate ? C : 0) + the sum over the segments' rows r of a[r][m] * b[r][n].
template <class T>
void outer(const Segment<T>* segments, int count, std::ptrdiff_t a_stride, std::ptrdiff_t b_stride, int m0, int m1,
           int n0, int n1, T* c, std::ptrdiff_t c_stride, bool accumulate) {
    if (m0 >= m1 || n0 >= n1) return;
    std::int64_t total = 0;
    for (int s = 0; s < count; ++s) total += segments[s].rows;
    if (total == 0) {
        for (int m = m0; m < m1 && !accumulate; ++m) std::memset(c + m * c_stride + n0, 0, (n1 - n0) * sizeof(T));
        return;
    }
    const Cut cut = cut_outer<T>(total, n1 - n0);
    constexpr std::ptrdiff_t LINE = line_bytes / sizeof(T);  // keeps panels from the same sets of the cache
    const std::ptrdiff_t a_step = std::ptrdiff_t{cut.depth} * tile_rows + LINE, b_step = cut.depth * PANEL<T> + LINE;
    T* b = static_cast<T*>(scratch(Scratch::panels, b_step * cut.panels * sizeof(T)));
    T* a = static_cast<T*>(scratch(Scratch::panels2, a_step * (outer_rows / tile_rows) * sizeof(T)));
    Place<T> at = {segments, 0};
    for (int k = 0; k < cut.count; ++k) {
        const int depth = static_cast<int>(total * (k + 1) / cut.count - total * k / cut.count);
        for (int n = n0; n < n1; n += cut.panels * PANEL<T>) {
            const int n_end = n1 - n < cut.panels * PANEL<T> ? n1 : n + cut.panels * PANEL<T>;
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
