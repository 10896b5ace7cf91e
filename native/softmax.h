// Logits of a vector of rows that lie by classes, `stride` apart: their largest, their exponentials.
#pragma once

#include "elementary.h"
#include "tile.h"

namespace recurra {
namespace {

template <class T>
struct Extremes {
    vec<T> largest, total;  // of each row; a NaN is passed over in the first
};

// Adds each class's bias (null for none).
template <class T>
Extremes<T> add_biases(T* logits, std::ptrdiff_t stride, int classes, const T* bias) {
    Extremes<T> found = {broadcast<T>(-Format<T>::infinity), {}};
    for (int n = 0; n < classes; ++n, logits += stride) {
        const vec<T> logit = bias ? load(logits) + bias[n] : load(logits);
        store<T>(logits, logit);
        found.largest = maximum<T>(logit, found.largest);
        found.total += logit;
    }
    return found;
}

// logits = exp(logits - from), and the sum of it for each row.
template <class T>
vec<T> exponentials(T* logits, std::ptrdiff_t stride, int classes, vec<T> from) {
    vec<T> sum = {};
    for (int n = 0; n < classes; ++n, logits += stride) {
        const vec<T> e = v_exp<T>(load(logits) - from);
        store<T>(logits, e);
        sum += e;
    }
    return sum;
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

}  // namespace
}  // namespace recurra
