// What a linear-chain conditional random field is asked for, in the kernels' type.
#pragma once

#include <cstdint>

namespace recurra {

// The score of a path y of L steps: start[y_0] + the emissions of its tags + the transitions between them + end[y_L-1].
// A score of -inf forbids.
template <class T>
struct LinearChain {
    int steps, batch, tags;       // T, B, C; each at least 1
    const T* emissions;           // [T, B, C]
    const std::int64_t* lengths;  // [B], each from 1 to T
    const T* transitions;         // [C, C]: from, to
    const T* start;               // [C]
    const T* end;                 // [C]
};

// The logarithm of the partition function, in nats, less the score of the gold path where there is one. The gradients
// are of the sum of weights[b] * values[b].
template <class T>
struct ChainLoss {
    LinearChain<T> chain;
    const std::int64_t* gold;  // [T, B], tags; null for none
    const T* weights;          // [B]; null for ones
    T* values;                 // [B]
    T* d_emissions;            // [T, B, C]; both null where no gradient is wanted
    T* d_transitions;          // [C, C]
};

// The best paths, the best first. Where there are fewer, the tags of the others are -1 and their scores -inf, as tags
// are -1 after a sequence's end. Paths of equal scores: first the one of the smaller tag where the two differ last.
struct ChainPaths {
    LinearChain<double> chain;
    int paths;           // K
    std::int64_t* tags;  // [K, T, B]
    double* scores;      // [K, B]
};

}  // namespace recurra
