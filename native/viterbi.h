// The best paths of linear-chain conditional random fields (Viterbi 1967; lists of K: Seshadri and Sundberg 1994), in
// double precision.
//
// For each tag the K best prefixes that end in it are kept, in order; the next K are the best among all of the C lists
// with a transition added. Vectors run over the tags that are entered.
#pragma once

#include "crf.h"

namespace recurra {
namespace {

// The prefixes' lists at one step: scores and where they come from, [K][stride], by tag. From: tag before * K + its
// rank, -1 for none.
struct Prefixes {
    double* scores;
    std::int64_t* from;
};

// One sequence after the other, each by one thread.
class BestPaths {
public:
    BestPaths(const ChainPaths& call, const double* transitions, int stride)
        : call_(call), transitions_(transitions), C_(call.chain.tags), K_(call.paths), S_(stride) {
        Cutter memory = {nullptr, 0};
        for (int pass = 0; pass < 2; ++pass) {
            if (pass) memory = {static_cast<char*>(scratch(Scratch::chain, static_cast<std::size_t>(memory.bytes))), 0};
            const std::ptrdiff_t list = static_cast<std::ptrdiff_t>(K_) * S_;
            scores_ = memory.take<double>(2 * list);
            from_ = memory.take<std::int64_t>(list * call.chain.steps);
            ends_ = memory.take<double>(static_cast<std::ptrdiff_t>(C_) * LANES<double>);
            last_ = {memory.take<double>(static_cast<std::ptrdiff_t>(K_) * LANES<double>),
                     memory.take<std::int64_t>(static_cast<std::ptrdiff_t>(K_) * LANES<double>)};
        }
        for (int i = 0; i < C_; ++i) store<double>(ends_ + i * LANES<double>, broadcast<double>(call.chain.end[i]));
    }

    void find(int b) {
        const int length = static_cast<int>(call_.chain.lengths[b]);
        begin(emissions(0, b));
        for (int t = 1; t < length; ++t) advance(t, emissions(t, b));
        select(prefixes(length - 1), ends_, LANES<double>, last_, LANES<double>);
        for (int rank = 0; rank < K_; ++rank) trace(b, rank, length);
    }

private:
    const double* emissions(int t, int b) const {
        return call_.chain.emissions + (static_cast<std::ptrdiff_t>(t) * call_.chain.batch + b) * C_;
    }

    Prefixes prefixes(int t) const {
        const std::ptrdiff_t list = static_cast<std::ptrdiff_t>(K_) * S_;
        return {scores_ + t % 2 * list, from_ + t * list};
    }

    void begin(const double* emissions) {
        double* to = prefixes(0).scores;
        for (int n = 0; n < K_ * S_; ++n) to[n] = -Format<double>::infinity;
        for (int j = 0; j < C_; ++j) to[j] = call_.chain.start[j] + emissions[j];
    }

    void advance(int t, const double* emissions) {
        const Prefixes before = prefixes(t - 1), to = prefixes(t);
        for (int n = 0; n < S_; n += LANES<double>) {
            select(before, transitions_ + n, S_, {to.scores + n, to.from + n}, S_);
            const vec<double> scores = load_at(emissions, n, C_);
            for (int rank = 0; rank < K_; ++rank) {
                double* at = to.scores + static_cast<std::ptrdiff_t>(rank) * S_ + n;
                store<double>(at, load(at) + scores);
            }
        }
    }

    // The K best of prefix i's score + transitions[i], for one vector of tags; `to` has rows `width` apart. A prefix
    // goes before those of equal score that come after it.
    void select(const Prefixes& before, const double* transitions, std::ptrdiff_t step, const Prefixes& to, int width) {
        for (int rank = 0; rank < K_; ++rank) {
            store<double>(to.scores + rank * static_cast<std::ptrdiff_t>(width),
                          broadcast<double>(-Format<double>::infinity));
            store_ints(to.from + rank * static_cast<std::ptrdiff_t>(width), ints<double>{} - 1);
        }
        const double* worst = to.scores + (K_ - 1) * static_cast<std::ptrdiff_t>(width);
        for (int i = 0; i < C_; ++i) {
            const vec<double> transition = load(transitions + i * step);
            for (int rank = 0; rank < K_; ++rank) {
                const double prefix = before.scores[static_cast<std::ptrdiff_t>(rank) * S_ + i];
                const vec<double> score = transition + prefix;
                if (!any(score > load(worst))) break;  // nor is one of a later rank
                insert(score, static_cast<std::int64_t>(i) * K_ + rank, to, width);
            }
        }
    }

    void insert(vec<double> score, std::int64_t place, const Prefixes& to, int width) {
        ints<double> from = ints<double>{} + place, in = {};
        for (int rank = 0; rank < K_; ++rank) {
            double* scores = to.scores + rank * static_cast<std::ptrdiff_t>(width);
            std::int64_t* places = to.from + rank * static_cast<std::ptrdiff_t>(width);
            const vec<double> there = load(scores);
            const ints<double> there_from = load_ints(places);
            in |= score > there;  // once in, what was there moves down
            store<double>(scores, in ? score : there);
            store_ints(places, in ? from : there_from);
            score = in ? there : score;
            from = in ? there_from : from;
        }
    }

    void trace(int b, int rank, int length) {
        const LinearChain<double>& chain = call_.chain;
        const std::ptrdiff_t path = static_cast<std::ptrdiff_t>(rank) * chain.batch;
        std::int64_t* tags = call_.tags + path * chain.steps + b;
        std::int64_t from = last_.from[rank * LANES<double>];
        call_.scores[path + b] = last_.scores[rank * LANES<double>];
        for (int t = chain.steps - 1; t >= 0; --t) {
            const bool there = from >= 0 && t < length;
            tags[static_cast<std::ptrdiff_t>(t) * chain.batch] = there ? from / K_ : -1;
            if (there && t) from = prefixes(t).from[from % K_ * S_ + from / K_];
        }
    }

    static ints<double> load_ints(const std::int64_t* p) {
        ints<double> v;
        std::memcpy(&v, p, sizeof v);
        return v;
    }
    static void store_ints(std::int64_t* p, ints<double> v) { std::memcpy(p, &v, sizeof v); }
    static bool any(ints<double> mask) {
        std::int64_t found = 0;
        for (int k = 0; k < LANES<double>; ++k) found |= mask[k];
        return found != 0;
    }

    ChainPaths call_;
    const double* transitions_;  // [C][S]
    int C_, K_, S_;
    double* scores_;      // [2][K][S]: of this step and of the one before
    std::int64_t* from_;  // [T][K][S]
    double* ends_;        // [C][LANES]: the scores of ending, the same in all lanes
    Prefixes last_;       // [K][LANES]: the whole paths, the same in all lanes
};

inline void best_paths(const ChainPaths& call) {
    const LinearChain<double>& chain = call.chain;
    const int C = chain.tags, stride = round_up(C, LANES<double>);
    const std::ptrdiff_t numbers = static_cast<std::ptrdiff_t>(C) * stride;
    double* transitions =
        static_cast<double*>(scratch(Scratch::tags, static_cast<std::size_t>(numbers) * sizeof(double)));
    for (int i = 0; i < C; ++i)
        for (int j = 0; j < stride; ++j)
            transitions[static_cast<std::ptrdiff_t>(i) * stride + j] =
                j < C ? chain.transitions[static_cast<std::ptrdiff_t>(i) * C + j] : -Format<double>::infinity;
    const double work = static_cast<double>(chain.steps) * chain.batch * numbers * call.paths;
    const int most = team_for(work), team = most < chain.batch ? most : chain.batch;
    auto task = [&](int k) {
        BestPaths paths(call, transitions, stride);
        for (int b = k; b < chain.batch; b += team) paths.find(b);
    };
    team == 1 ? task(0) : parallel_for(team, task);
}

}  // namespace
}  // namespace recurra
