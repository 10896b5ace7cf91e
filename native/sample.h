// Choosing the next token: greedy, or at random with temperature, top-k and top-p, as recurra/decoding/sample.py says.
#pragma once

#include <cstdint>
#include <vector>

#include "step.h"

namespace recurra {

// xoshiro256++ (Blackman & Vigna 2021, doi:10.1145/3460772), seeded through splitmix64. Not torch's numbers.
class Generator {
public:
    Generator(std::uint64_t seed, std::uint64_t stream);
    double uniform();  // in [0, 1), a multiple of 2^-53

private:
    std::uint64_t state_[4];
};

struct Choice {
    double temperature;
    int top_k;     // 0: all
    double top_p;  // 1: all
    bool greedy;
    std::vector<int> excluded;  // tokens never chosen
    int stop;                   // a token after which a row draws no more; -1: none
};

// Chooses from logits.
class Chooser {
public:
    Chooser(const StepKernels& kernels, bool doubles, int vocabulary);
    // A token; -1 where logits are NaN or infinite.
    int choose(const void* logits, const Choice& choice, Generator& random);

private:
    template <class T>
    int choose_from(const T* logits, const Choice& choice, Generator& random);
    template <class T>
    int draw(const T* weights, Generator& random) const;
    template <class T>
    int draw_likeliest(const T* weights, const Choice& choice, Generator& random);

    const StepKernels& kernels_;
    const bool doubles_;
    const int vocabulary_;
    std::vector<char> scores_, weights_;
    std::vector<double> sums_;  // of blocks of weights
    std::vector<int> order_;
};

}  // namespace recurra
