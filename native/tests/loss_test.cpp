// The cross-entropy of an output layer and its gradients against sums in long double, over awkward sizes and numbers of
// threads, in buffers that are exact, so that a sanitizer sees each access beyond them. Prints what fails.
#include "loss.h"

#include <cmath>
#include <cstdio>
#include <limits>
#include <random>
#include <vector>

namespace {

using recurra::CrossEntropy;

std::mt19937 generator(20240612);
int failures = 0;

template <class T>
std::vector<T> random_numbers(std::size_t count) {
    std::normal_distribution<double> normal;
    std::vector<T> numbers(count);
    for (T& number : numbers) number = T(normal(generator));
    return numbers;
}

struct Case {
    int rows, depth, classes;
    double smoothing;
    bool bias, weighted;
    int wanted, threads;  // wanted: bits for features, weight, bias
};

template <class T>
struct Problem {
    explicit Problem(const Case& c)
        : c(c),
          features(random_numbers<T>(std::size_t(c.rows) * c.depth)),
          weight(random_numbers<T>(std::size_t(c.classes) * c.depth)),
          bias(random_numbers<T>(c.bias ? c.classes : 0)),
          row_weights(random_numbers<T>(c.weighted ? c.rows : 0)),
          targets(c.rows),
          losses(c.rows),
          d_features(c.wanted & 1 ? features.size() : 0),
          d_weight(c.wanted & 2 ? weight.size() : 0),
          d_bias(c.wanted & 4 ? c.classes : 0) {
        for (auto& target : targets) target = std::uniform_int_distribution<int>(0, c.classes - 1)(generator);
    }

    static T* there(std::vector<T>& numbers) { return numbers.empty() ? nullptr : numbers.data(); }

    void run() {
        recurra::set_threads(c.threads);
        recurra::cross_entropy<T>({c.rows, c.depth, c.classes, features.data(), weight.data(), there(bias),
                                   targets.data(), there(row_weights), c.smoothing, losses.data(), there(d_features),
                                   there(d_weight), there(d_bias)});
    }

    void check() {
        std::vector<long double> to_features(features.size()), to_weight(weight.size()), to_bias(c.classes),
            g(c.classes);
        for (int r = 0; r < c.rows; ++r) {
            const long double loss = differentiate(r, g);
            compare("loss", r, losses[r], loss);
            for (int v = 0; v < c.classes; ++v) {
                to_bias[v] += g[v];
                for (int f = 0; f < c.depth; ++f) {
                    to_features[std::size_t(r) * c.depth + f] += g[v] * weight[std::size_t(v) * c.depth + f];
                    to_weight[std::size_t(v) * c.depth + f] += g[v] * features[std::size_t(r) * c.depth + f];
                }
            }
        }
        for (std::size_t k = 0; k < d_features.size(); ++k) compare("d_features", k, d_features[k], to_features[k]);
        for (std::size_t k = 0; k < d_weight.size(); ++k) compare("d_weight", k, d_weight[k], to_weight[k]);
        for (std::size_t k = 0; k < d_bias.size(); ++k) compare("d_bias", k, d_bias[k], to_bias[k]);
    }

    // A row's loss; g becomes the gradient of its logits.
    long double differentiate(int r, std::vector<long double>& g) {
        long double sum = 0, total = 0;
        for (int v = 0; v < c.classes; ++v) {
            g[v] = c.bias ? bias[v] : T(0);
            for (int f = 0; f < c.depth; ++f)
                g[v] += (long double)features[std::size_t(r) * c.depth + f] * weight[std::size_t(v) * c.depth + f];
            sum += std::exp(g[v]);
            total += g[v];
        }
        const long double log_sum = std::log(sum), s = c.smoothing, weight_of_row = c.weighted ? row_weights[r] : T(1);
        const long double loss = (1 - s) * (log_sum - g[targets[r]]) + s * (log_sum - total / c.classes);
        for (int v = 0; v < c.classes; ++v)
            g[v] = weight_of_row * (std::exp(g[v] - log_sum) - s / c.classes - (v == targets[r] ? 1 - s : 0));
        return loss;
    }

    void compare(const char* what, std::size_t place, double got, long double expected) {
        const double bound = 200 * std::numeric_limits<T>::epsilon() * (1 + std::sqrt(double(c.rows + c.depth)));
        if (std::fabs(got - double(expected)) <= bound * (1 + std::fabs(double(expected)))) return;
        if (++failures < 20)
            std::printf("%s<%s> of %d x %d x %d, %d threads, at %zu: got %.9g, expected %.9g\n", what,
                        sizeof(T) == 4 ? "float" : "double", c.rows, c.depth, c.classes, c.threads, place, got,
                        double(expected));
    }

    Case c;
    std::vector<T> features, weight, bias, row_weights;
    std::vector<std::int64_t> targets;
    std::vector<T> losses, d_features, d_weight, d_bias;
};

template <class T>
void try_case(const Case& c) {
    Problem<T> problem(c);
    problem.run();
    problem.check();
}

int choose(std::initializer_list<int> values) {
    return values.begin()[std::uniform_int_distribution<std::size_t>(0, values.size() - 1)(generator)];
}

}  // namespace

int main() {
    for (int k = 0; k < 60; ++k) {
        const Case c = {choose({1, 2, 3, 8, 9, 17, 33, 70, 131}),
                        choose({1, 2, 7, 16, 33, 65}),
                        choose({1, 2, 5, 16, 47, 48, 49, 97, 257, 1000}),
                        choose({0, 0, 1}) * 0.1,
                        choose({0, 1}) == 1,
                        choose({0, 1}) == 1,
                        choose({0, 1, 2, 4, 7, 7, 7}),
                        choose({1, 2, 3})};
        try_case<float>(c);
        try_case<double>(c);
    }
    for (int threads : {1, 3}) {
        try_case<float>({460, 3, 300, 0, true, false, 7, threads});      // more than one chunk of rows
        try_case<double>({33, 1, 70000, 0, true, true, 7, threads});     // chunks of few rows
        try_case<float>({10, 12, 3000, 0.1, false, false, 7, threads});  // threads share classes
    }
    if (failures) std::printf("%d wrong\n", failures);
    return failures != 0;
}
