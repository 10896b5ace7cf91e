// A row of logits: its largest, its exponentials, their scaling.
#pragma once

#include "elementary.h"
#include "tile.h"

namespace recurra {
namespace {

template <class T>
inline T largest_lane(vec<T> v) {
    T lanes[LANES<T>], result = -Format<T>::infinity;
    store<T>(lanes, v);
    for (int k = 0; k < LANES<T>; ++k) result = lanes[k] > result ? lanes[k] : result;
    return result;
}

// The largest of `width` numbers, a multiple of PANEL; a NaN is passed over.
template <class T>
T largest(const T* row, int width) {
    vec<T> found[tile_vectors];
    for (int v = 0; v < tile_vectors; ++v) found[v] = broadcast<T>(-Format<T>::infinity);
    for (int n = 0; n < width; n += PANEL<T>) RECURRA_UNROLL
    for (int v = 0; v < tile_vectors; ++v) found[v] = maximum<T>(load(row + n + v * LANES<T>), found[v]);
    for (int v = 1; v < tile_vectors; ++v) found[0] = maximum<T>(found[v], found[0]);
    return largest_lane<T>(found[0]);
}

// row = exp(row - from), and the sum of it; `width` is a multiple of PANEL.
template <class T>
T exponentials(T* row, int width, T from) {
    vec<T> sum[tile_vectors] = {};
    for (int n = 0; n < width; n += PANEL<T>) RECURRA_UNROLL
    for (int v = 0; v < tile_vectors; ++v) {
        const vec<T> e = v_exp<T>(load(row + n + v * LANES<T>) - from);
        store<T>(row + n + v * LANES<T>, e);
        sum[v] += e;
    }
    for (int v = 1; v < tile_vectors; ++v) sum[0] += sum[v];
    return sum_lanes<T>(sum[0]);
}

// The sum of a row of any width.
template <class T>
T total_of(const T* row, int columns) {
    vec<T> sum = {};
    int n = 0;
    for (; n + LANES<T> <= columns; n += LANES<T>) sum += load(row + n);
    if (n < columns) sum += load_partial(row + n, columns - n);
    return sum_lanes<T>(sum);
}

// row = row * scale - less; `width` is a multiple of LANES.
template <class T>
void scale_row(T* row, int width, T scale, T less) {
    for (int n = 0; n < width; n += LANES<T>) store<T>(row + n, load(row + n) * scale - less);
}

template <class T>
inline T log_of(T x) {
    T lanes[LANES<T>];
    store<T>(lanes, v_log<T>(broadcast<T>(x)));
    return lanes[0];
}

}  // namespace
}  // namespace recurra
