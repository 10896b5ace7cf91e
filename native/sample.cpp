#include "sample.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace recurra {
namespace {

constexpr int block = 64;  // tokens summed together: a draw looks for its block, then in it

std::uint64_t splitmix(std::uint64_t& state) {
    std::uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

std::uint64_t rotated(std::uint64_t x, int by) { return (x << by) | (x >> (64 - by)); }

// The first of the likeliest tokens.
template <class T>
int likeliest(const T* scores, int n) {
    return static_cast<int>(std::max_element(scores, scores + n) - scores);
}

}  // namespace

Generator::Generator(std::uint64_t seed, std::uint64_t stream) {
    std::uint64_t state = stream;
    state = seed ^ splitmix(state);  // streams of one seed begin far apart
    for (std::uint64_t& each : state_) each = splitmix(state);
}

double Generator::uniform() {
    std::uint64_t* s = state_;
    const std::uint64_t result = rotated(s[0] + s[3], 23) + s[0], t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotated(s[3], 45);
    return static_cast<double>(result >> 11) * 0x1p-53;
}

Chooser::Chooser(const StepKernels& kernels, bool doubles, int vocabulary)
    : kernels_(kernels), doubles_(doubles), vocabulary_(vocabulary) {
    const std::size_t bytes = static_cast<std::size_t>(vocabulary) * (doubles ? 8 : 4);
    scores_.resize(bytes);
    weights_.resize(bytes);
    sums_.resize(static_cast<std::size_t>((vocabulary + block - 1) / block));
}

int Chooser::choose(const void* logits, const Choice& choice, Generator& random) {
    return doubles_ ? choose_from(static_cast<const double*>(logits), choice, random)
                    : choose_from(static_cast<const float*>(logits), choice, random);
}

template <class T>
int Chooser::choose_from(const T* logits, const Choice& choice, Generator& random) {
    T* scores = reinterpret_cast<T*>(scores_.data());
    T* weights = reinterpret_cast<T*>(weights_.data());
    std::copy(logits, logits + vocabulary_, scores);
    for (int token : choice.excluded) scores[token] = -std::numeric_limits<T>::infinity();
    const int best = likeliest(scores, vocabulary_);
    if (choice.greedy && std::isfinite(scores[best])) return best;
    kernels_.exponentials(scores, weights, vocabulary_, static_cast<double>(scores[best]), 1 / choice.temperature,
                          sums_.data(), block);
    double total = 0;
    for (double sum : sums_) total += sum;
    if (!std::isfinite(total) || choice.greedy) return -1;
    const bool some = (choice.top_k > 0 && choice.top_k < vocabulary_) || choice.top_p < 1;
    return some ? draw_likeliest(weights, choice, random) : draw(weights, random);
}

// The inverse of the distribution function. A token of weight 0 never raises the sum, so it is never drawn.
template <class T>
int Chooser::draw(const T* weights, Generator& random) const {
    double total = 0;
    for (double sum : sums_) total += sum;
    const double target = random.uniform() * total;
    double below = 0;
    int at = 0, last = 0;
    for (std::size_t b = 0; b + 1 < sums_.size() && below + sums_[b] <= target; ++b, at += block) below += sums_[b];
    for (int token = at; token < vocabulary_; ++token) {
        if (weights[token] == 0) continue;
        below += static_cast<double>(weights[token]);
        last = token;
        if (below > target) return token;
    }
    return weights[last] > 0 ? last : likeliest(weights, vocabulary_);  // by rounding the sum stayed below the target
}

// Of the top_k likeliest (of equals the lower number) the fewest that have top_p of what these have together.
template <class T>
int Chooser::draw_likeliest(const T* weights, const Choice& choice, Generator& random) {
    order_.clear();
    for (int token = 0; token < vocabulary_; ++token)
        if (weights[token] > 0) order_.push_back(token);
    const T* scores =
        reinterpret_cast<const T*>(scores_.data());  // weights may be equal by rounding where these are not
    const auto before = [scores](int a, int b) { return scores[a] > scores[b] || (scores[a] == scores[b] && a < b); };
    const auto later = [before](int a, int b) { return before(b, a); };
    if (choice.top_k > 0 && static_cast<std::size_t>(choice.top_k) < order_.size()) {
        std::nth_element(order_.begin(), order_.begin() + choice.top_k, order_.end(), before);
        order_.resize(static_cast<std::size_t>(choice.top_k));
    }
    double total = 0;
    for (int token : order_) total += static_cast<double>(weights[token]);
    double kept = total;
    std::size_t count = order_.size();
    if (choice.top_p < 1) {  // a heap: only those that stay are sorted
        kept = 0;
        std::make_heap(order_.begin(), order_.end(), later);
        for (auto end = order_.end(); end != order_.begin() && (kept == 0 || kept < choice.top_p * total); --end) {
            std::pop_heap(order_.begin(), end, later);
            kept += static_cast<double>(weights[*(end - 1)]);
            count = static_cast<std::size_t>(order_.end() - end) + 1;
        }
        std::reverse(order_.begin(), order_.end());
    }
    double left = random.uniform() * kept;
    for (std::size_t k = 0; k + 1 < count; ++k) {
        left -= static_cast<double>(weights[order_[k]]);
        if (left < 0) return order_[k];
    }
    return order_[count - 1];
}

}  // namespace recurra
