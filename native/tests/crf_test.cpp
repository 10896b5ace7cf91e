// Linear-chain random fields against forward and backward sums of logarithms in long double, and best paths against all
// paths, over awkward sizes, scores and numbers of threads, in buffers that are exact, so that a sanitizer sees each
// access beyond them. Prints what fails.
#include "crf.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <random>
#include <vector>

#include "viterbi.h"

namespace {

using recurra::ChainLoss;
using recurra::ChainPaths;
using recurra::LinearChain;
using Row = std::vector<long double>;

std::mt19937 generator(20240901);
int failures = 0;

int choose(std::initializer_list<int> values) {
    return values.begin()[std::uniform_int_distribution<std::size_t>(0, values.size() - 1)(generator)];
}

int between(int low, int high) { return std::uniform_int_distribution<int>(low, high)(generator); }

struct Case {
    int steps, batch, tags;
    double scale, forbidden;  // of the scores; the share of transitions that are -inf
    bool gold, weighted;
    int threads;
};

void fail(const char* what, const Case& c, std::size_t place, double got, double expected) {
    if (++failures < 20)
        std::printf("%s of %d x %d x %d, scale %g, %d threads, at %zu: got %.17g, expected %.17g\n", what, c.steps,
                    c.batch, c.tags, c.scale, c.threads, place, got, expected);
}

// log(exp(a) + exp(b))
long double log_add(long double a, long double b) {
    const long double top = std::max(a, b);
    return std::isinf(top) ? top : top + std::log1p(std::exp(std::min(a, b) - top));
}

template <class T>
struct Problem {
    explicit Problem(const Case& c)
        : c(c),
          C(c.tags),
          emissions(numbers(std::size_t(c.steps) * c.batch * C, c.scale)),
          transitions(numbers(std::size_t(C) * C, c.scale)),
          start(numbers(C, c.scale)),
          end(numbers(C, c.scale)),
          weights(c.weighted ? numbers(c.batch, 1) : std::vector<T>()),
          lengths(c.batch),
          gold(c.gold ? std::size_t(c.steps) * c.batch : 0),
          values(c.batch),
          d_emissions(emissions.size()),
          d_transitions(transitions.size()) {
        for (auto& length : lengths) length = between(1, c.steps);
        lengths[between(0, c.batch - 1)] = c.steps;
        for (auto& tag : gold) tag = between(0, C - 1);
        for (int i = 0; i < C; ++i)
            for (int j = 0; j < C; ++j)
                if (i != j && between(0, 99) < 100 * c.forbidden) transitions[i * C + j] = -INFINITY;
    }

    static std::vector<T> numbers(std::size_t count, double scale) {
        std::normal_distribution<double> normal(0, scale);
        std::vector<T> made(count);
        for (T& number : made) number = T(normal(generator));
        return made;
    }

    const T* at(int t, int b) const { return emissions.data() + (std::size_t(t) * c.batch + b) * C; }

    template <class U>
    LinearChain<U> chain(const std::vector<U>& e, const std::vector<U>& a, const std::vector<U>& s,
                         const std::vector<U>& z) const {
        return {c.steps, c.batch, C, e.data(), lengths.data(), a.data(), s.data(), z.data()};
    }

    void run(bool gradient) {
        recurra::set_threads(c.threads);
        std::fill(values.begin(), values.end(), T(99));
        std::fill(d_emissions.begin(), d_emissions.end(), T(99));
        recurra::chain_loss<T>({chain(emissions, transitions, start, end), c.gold ? gold.data() : nullptr,
                                c.weighted ? weights.data() : nullptr, values.data(),
                                gradient ? d_emissions.data() : nullptr, gradient ? d_transitions.data() : nullptr});
    }

    void check() {
        run(false);
        const std::vector<T> alone = values;
        run(true);
        Row to_transitions(transitions.size());
        for (int b = 0; b < c.batch; ++b) {
            if (alone[b] != values[b]) fail("value without gradient", c, b, alone[b], values[b]);
            differentiate(b, to_transitions);
        }
        for (std::size_t k = 0; k < transitions.size(); ++k)
            compare("d_transitions", k, d_transitions[k], to_transitions[k], rounding() * c.batch);
    }

    // The scores' own rounding, which grows with them and with the steps.
    double rounding() const {
        return std::numeric_limits<T>::epsilon() * (20 + 8 * c.scale) * (1 + c.steps) * (1 + std::log(C));
    }

    void differentiate(int b, Row& to_transitions) {
        const int L = int(lengths[b]);
        const long double none = -std::numeric_limits<long double>::infinity(), weight = c.weighted ? weights[b] : T(1);
        std::vector<Row> before(L, Row(C, none)), after(L, Row(C, none));
        for (int j = 0; j < C; ++j) before[0][j] = (long double)start[j] + at(0, b)[j];
        for (int t = 1; t < L; ++t)
            for (int j = 0; j < C; ++j) {
                for (int i = 0; i < C; ++i)
                    before[t][j] = log_add(before[t][j], before[t - 1][i] + transitions[i * C + j]);
                before[t][j] += at(t, b)[j];
            }
        for (int i = 0; i < C; ++i) after[L - 1][i] = end[i];
        for (int t = L - 2; t >= 0; --t)
            for (int i = 0; i < C; ++i)
                for (int j = 0; j < C; ++j)
                    after[t][i] = log_add(after[t][i], transitions[i * C + j] + after[t + 1][j] + at(t + 1, b)[j]);
        long double partition = none, score = 0;
        for (int i = 0; i < C; ++i) partition = log_add(partition, before[L - 1][i] + end[i]);
        auto tag = [&](int t) { return gold[std::size_t(t) * c.batch + b]; };
        for (int t = 0; t < c.steps; ++t)
            for (int j = 0; j < C; ++j) {
                long double expected = t < L ? weight * std::exp(before[t][j] + after[t][j] - partition) : 0;
                if (c.gold && t < L && tag(t) == j) expected -= weight;
                compare("d_emissions", t, d_emissions[(std::size_t(t) * c.batch + b) * C + j], expected, rounding());
                for (int i = 0; t && t < L && i < C; ++i)
                    to_transitions[i * C + j] +=
                        weight *
                        (std::exp(before[t - 1][i] + transitions[i * C + j] + at(t, b)[j] + after[t][j] - partition) -
                         (c.gold && tag(t - 1) == i && tag(t) == j ? 1 : 0));
            }
        if (c.gold) score = (long double)start[tag(0)] + end[tag(L - 1)];
        for (int t = 0; c.gold && t < L; ++t)
            score += at(t, b)[tag(t)] + (t ? (long double)transitions[tag(t - 1) * C + tag(t)] : 0);
        compare("value", b, values[b], partition - score, rounding() * (1 + c.scale));
    }

    void compare(const char* what, std::size_t place, double got, long double expected, double bound) {
        const double wanted = double(expected);
        if (got == wanted || std::fabs(got - wanted) <= bound * (1 + std::fabs(wanted))) return;
        fail(what, c, place, got, wanted);
    }

    Case c;
    int C;
    std::vector<T> emissions, transitions, start, end, weights;
    std::vector<std::int64_t> lengths, gold;
    std::vector<T> values, d_emissions, d_transitions;
};

// The K best of all paths, which are few.
struct Enumeration {
    Enumeration(const Problem<double>& p, int b) {
        const int L = int(p.lengths[b]);
        std::vector<int> path(L);
        for (bool more = true; more;) {
            double score = p.start[path[0]] + p.at(0, b)[path[0]];
            for (int t = 1; t < L; ++t)
                score = score + p.transitions[path[t - 1] * p.C + path[t]] + p.at(t, b)[path[t]];
            score += p.end[path[L - 1]];
            if (!std::isinf(score)) found.push_back({score, path});
            int t = 0;  // counting with the first tag the fastest: the order of equal scores
            while (t < L && ++path[t] == p.C) path[t++] = 0;
            more = t < L;
        }
        std::stable_sort(found.begin(), found.end(), [](const Path& a, const Path& b) { return a.score > b.score; });
    }

    struct Path {
        double score;
        std::vector<int> tags;
    };
    std::vector<Path> found;
};

void check_paths(Case c, int paths, bool ties) {
    Problem<double> p(c);
    if (ties)
        for (auto* scores : {&p.emissions, &p.transitions, &p.start, &p.end})
            for (double& score : *scores) score = std::isinf(score) ? score : between(0, 1);
    std::vector<std::int64_t> tags(std::size_t(paths) * c.steps * c.batch, 99);
    std::vector<double> scores(std::size_t(paths) * c.batch, 99);
    recurra::set_threads(c.threads);
    recurra::best_paths({p.chain(p.emissions, p.transitions, p.start, p.end), paths, tags.data(), scores.data()});
    for (int b = 0; b < c.batch; ++b) {
        const Enumeration all(p, b);
        for (int k = 0; k < paths; ++k) {
            const bool there = k < int(all.found.size());
            const double score = there ? all.found[k].score : -INFINITY;
            if (scores[std::size_t(k) * c.batch + b] != score)
                fail("score", c, k, scores[std::size_t(k) * c.batch + b], score);
            for (int t = 0; t < c.steps; ++t) {
                const std::int64_t tag = tags[(std::size_t(k) * c.steps + t) * c.batch + b];
                const std::int64_t expected = there && t < p.lengths[b] ? all.found[k].tags[t] : -1;
                if (tag != expected) fail("tag", c, t, double(tag), double(expected));
            }
        }
    }
}

}  // namespace

int main() {
    for (int k = 0; k < 120; ++k) {
        const Case c = {choose({1, 2, 3, 7, 20}),
                        choose({1, 2, 5, 9, 33}),
                        choose({1, 2, 3, 7, 8, 13, 16, 17, 31, 33, 49}),
                        choose({0, 1, 1, 1, 10, 100, 10000}) * 1.0,
                        choose({0, 0, 1, 5}) * 0.1,
                        choose({0, 1}) == 1,
                        choose({0, 1}) == 1,
                        choose({1, 2, 3})};
        Case allowed = c;
        if (c.gold) allowed.forbidden = 0;  // a forbidden gold path has an infinite loss
        Problem<float>(allowed).check();
        Problem<double>(allowed).check();
    }
    for (int threads : {1, 3}) {
        Problem<float>({5, 40, 150, 1, 0.1, false, true, threads}).check();
        Problem<double>({3, 5, 390, 1, 0, true, false, threads}).check();  // more than one chain of products
        Problem<float>({300, 3, 9, 3, 0, true, false, threads}).check();
    }
    for (int k = 0; k < 200; ++k) {
        const int tags = choose({1, 2, 3, 4, 7});
        const Case c = {between(1, tags > 4 ? 3 : 5),
                        choose({1, 2, 5}),
                        tags,
                        1,
                        choose({0, 0, 3, 8}) * 0.1,
                        false,
                        false,
                        choose({1, 2, 3})};
        check_paths(c, choose({1, 1, 2, 3, 10, 90}), choose({0, 1}) == 1);
    }
    check_paths({2, 900, 17, 1, 0, false, false, 2}, 5, false);  // enough work for threads
    if (failures) std::printf("%d wrong\n", failures);
    return failures != 0;
}
