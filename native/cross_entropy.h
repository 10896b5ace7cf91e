// What the cross-entropy of an output layer is asked for, in the kernels' type.
#pragma once

#include <cstdint>

namespace recurra {

// logits[N, V] = features[N, F] @ weight[V, F]^T + bias[V]; a row's loss is its cross-entropy with its target in nats.
// With label smoothing s the target counts 1 - s, and every class s / V besides. The gradients are of the sum of
// row_weights[n] * losses[n]. Rows lie one after the other.
template <class T>
struct CrossEntropy {
    int rows, depth, classes;  // N, F, V
    const T* features;
    const T* weight;
    const T* bias;                // null for none
    const std::int64_t* targets;  // 0 <= targets[n] < V
    const T* row_weights;         // null for ones
    double smoothing;
    T* losses;      // [N]
    T* d_features;  // [N, F]; this and the next two: null where it is not wanted
    T* d_weight;    // [V, F]
    T* d_bias;      // [V]

    bool has_gradient() const { return d_features || d_weight || d_bias; }
};

}  // namespace recurra
