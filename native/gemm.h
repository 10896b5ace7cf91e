// Matrix products, row-major: C[M, N] = start + sum over parts A_p[M, K_p] @ B_p[K_p, N]. One thread each; callers
// split.
#pragma once

#include "lying.h"
#include "outer.h"
#include "pack.h"

namespace recurra {
namespace {

// Bytes of A kept in L2 while panels pass: with a panel less than the usual 1 MB. Less makes the panels pass more
// often: measured 2 to 4 % slower at 384 KB where they come from L3.
constexpr std::size_t row_block_bytes = 512 * 1024;

// Tiles [first, last) of rows x panels [p, p + panels), which are whole if there is more than one.
template <class T, Layout LAYOUT>
void multiply_tiles(Tile<T> t, const Rows& tiles, int first, int last, int panels) {
    for (int tile = first; tile < last; ++tile) {
        t.first_row = tiles.begin(tile);
        const int rows = tiles.begin(tile + 1) - tiles.begin(tile);
        if (panels == 1)
            compute_panel<T, LAYOUT>(t, rows, (t.columns + LANES<T> - 1) / LANES<T>);
        else
            compute_panels<T, LAYOUT>(t, rows);
    }
}

// Rows [0, M) x the columns of panels [first, last). start: null for zeros, else start[m * start_stride + n]
// (start_stride 0: one row for all), and may be c. n counts from the first column of the whole B.
template <class T, Layout LAYOUT = Layout::packed>
void multiply(const Part<T>* parts, int count, const T* panels, int depth, int columns, int first, int last, int M,
              T* c, std::ptrdiff_t c_stride, const T* start, std::ptrdiff_t start_stride) {
    if (M == 0) return;
    const Rows tiles(M);
    const int height = (M + tiles.tiles - 1) / tiles.tiles;
    const std::ptrdiff_t panel_step = static_cast<std::ptrdiff_t>(depth) * PANEL<T>;
    const int block = static_cast<int>(row_block_bytes / (sizeof(T) * (depth > 0 ? depth : 1) * tile_rows)) + 1;
    Tile<T> t = {parts, count, 0, nullptr, PANEL<T>, panel_step, nullptr, c_stride, nullptr, start_stride, 0};
    for (int tile = 0; tile < tiles.tiles; tile += block) {
        const int end = tile + block < tiles.tiles ? tile + block : tiles.tiles;
        for (int p = first; p < last;) {
            const int n = p * PANEL<T>;
            const int together = panels_at_once(height);
            const bool wide = M == height && p + together <= last && n + together * PANEL<T> <= columns;
            t.b = panels + p * panel_step;
            t.c = c + n;
            t.start = start ? start + n : nullptr;
            t.columns = wide || columns - n > PANEL<T> ? PANEL<T> : columns - n;
            multiply_tiles<T, LAYOUT>(t, tiles, tile, end, wide ? together : 1);
            p += wide ? together : 1;
        }
    }
}

}  // namespace
}  // namespace recurra
