// Linear-chain conditional random fields: the forward algorithm, and posteriors by the way back.
//
// A step forward is a product: with a the log scores of the prefixes, normalised to a largest of 0, and u = exp(a), the
// sums s = u @ exp(transitions - top) over the tags before, top being the largest of each column, give the next a =
// log(s) + top + emissions. All sequences that are still running are its rows. Where s is so small that terms may have
// been lost in it, that one sum is made again from logarithms. What is subtracted adds up in double precision.
//
// The way back carries posteriors, not backward scores: P(tag i at t-1 | tag j at t) is u_i E_ij / s_j, so that with
// r_j = posterior_j / s_j the posteriors at t-1 are u_i * (r @ E^T)_i, and the expected transitions E_ij times the sum
// of u_i r_j. It reads what the forward algorithm has left; each factor is a probability, so nothing overflows.
#pragma once

#include "cutter.h"
#include "linear_chain.h"
#include "softmax.h"
#include "sums.h"

namespace recurra {
namespace {

// The least sum that is sure: what underflow took from it is less than C times the smallest normal number.
template <class T>
constexpr T least_sum = sizeof(T) == 4 ? T(0x1p-60) : T(0x1p-500);

// The vector at n of a row, with zeros for what lies beyond its width.
template <class T>
inline vec<T> load_at(const T* row, int n, int width) {
    return load_some(row + n, width - n < LANES<T> ? width - n : LANES<T>);
}

template <class T>
inline T largest_lane(vec<T> v) {
    T lanes[LANES<T>], result = -Format<T>::infinity;
    store<T>(lanes, v);
    for (int k = 0; k < LANES<T>; ++k) result = lanes[k] > result ? lanes[k] : result;
    return result;
}

// row = row * scale; `width` is a multiple of LANES.
template <class T>
void scale_row(T* row, int width, T scale) {
    for (int n = 0; n < width; n += LANES<T>) store<T>(row + n, load(row + n) * scale);
}

template <class T>
inline T log_of(T x) {
    T lanes[LANES<T>];
    store<T>(lanes, v_log<T>(broadcast<T>(x)));
    return lanes[0];
}

template <class T>
inline T smallest_lane(vec<T> v) {
    return -largest_lane<T>(-v);
}

// What all threads read. Rows are `stride` apart, whole vectors, filled with -inf where they hold logarithms.
template <class T>
struct Transitions {
    int tags, stride;
    T *columns, *top;   // [C][stride]: row j is the column of scores into tag j; [stride]: its largest
    T* exponentials;    // [C][stride]: exp(score - top), from and to
    T *forward, *back;  // the same as panels, and transposed
    T *start, *end;     // [stride]

    void lay_out(Cutter& memory, int C) {
        tags = C;
        stride = round_up(C, LANES<T>);
        const std::ptrdiff_t square = static_cast<std::ptrdiff_t>(C) * stride;
        const auto packed = static_cast<std::ptrdiff_t>(packed_numbers<T>(C, C));
        columns = memory.take<T>(square);
        exponentials = memory.take<T>(square);
        forward = memory.take<T>(packed);
        back = memory.take<T>(packed);
        top = memory.take<T>(stride);
        start = memory.take<T>(stride);
        end = memory.take<T>(stride);
    }

    void fill(const LinearChain<T>& chain, bool gradient) {
        const int C = tags, panels = panel_count<T>(C);
        for (int n = 0; n < stride; ++n) {
            start[n] = n < C ? chain.start[n] : -Format<T>::infinity;
            end[n] = n < C ? chain.end[n] : -Format<T>::infinity;
            top[n] = -Format<T>::infinity;
        }
        for (int i = 0; i < C; ++i)
            for (int j = 0; j < C; ++j) {
                const T score = chain.transitions[static_cast<std::ptrdiff_t>(i) * C + j];
                columns[static_cast<std::ptrdiff_t>(j) * stride + i] = score;
                top[j] = score > top[j] ? score : top[j];
            }
        for (int j = 0; j < C; ++j)
            for (int i = C; i < stride; ++i)
                columns[static_cast<std::ptrdiff_t>(j) * stride + i] = -Format<T>::infinity;
        for (int i = 0; i < C; ++i) exponentiate(chain.transitions + static_cast<std::ptrdiff_t>(i) * C, i);
        pack<T>(forward, C, C, 0, C, 0, C, exponentials, stride, 1, 0, panels);
        if (gradient) pack<T>(back, C, C, 0, C, 0, C, exponentials, 1, stride, 0, panels);
    }

    // Where a whole column is -inf, as in what fills the rows up, its exponentials are 0 and not NaN.
    void exponentiate(const T* scores, int i) {
        T* to = exponentials + static_cast<std::ptrdiff_t>(i) * stride;
        for (int n = 0; n < stride; n += LANES<T>) {
            const vec<T> most = load(top + n), infinite = broadcast<T>(Format<T>::infinity);
            const vec<T> less = most == -infinite ? infinite : most;
            store<T>(to + n, v_exp<T>(load_at(scores, n, tags) - less));
        }
    }
};

// The sequences of one thread, the longest first, step by step side by side.
template <class T>
class ChainPart {
public:
    // `order` is that of all sequences, of which this part has each `team`-th from `member` on.
    ChainPart(const ChainLoss<T>& call, const Transitions<T>& transitions, const int* order, int member, int team)
        : call_(call),
          by_(transitions),
          order_(order),
          member_(member),
          team_(team),
          C_(call.chain.tags),
          S_(transitions.stride),
          count_((call.chain.batch - member + team - 1) / team),
          steps_(static_cast<int>(call.chain.lengths[order[member]])),
          kept_(call.d_emissions != nullptr) {
        std::ptrdiff_t rows = 0;
        for (int r = 0; r < count_; ++r) rows += length(r);
        if (!kept_) rows = 2 * count_;
        Cutter measure = {nullptr, 0};
        lay_out(measure, rows);
        Cutter memory = {static_cast<char*>(scratch(Scratch::chain, static_cast<std::size_t>(measure.bytes))), 0};
        lay_out(memory, rows);
        first_[0] = 0;
        for (int t = 0, n = count_; t < steps_; ++t) {
            while (length(n - 1) <= t) --n;
            first_[t + 1] = first_[t] + n;
        }
        for (int r = 0; r < count_; ++r) offset_[r] = 0;
    }

    void go_forward() {
        for (int t = 0; t < steps_; ++t) {
            const int rows = running(t);
            if (t) multiply_rows(row(u_, t - 1, 0), by_.forward, rows, row(s_, t, 0));
            for (int r = 0; r < rows; ++r) {
                t ? advance(t, r) : begin(r);
                normalise(t, r);
                if (length(r) == t + 1) finish(t, r);
            }
        }
    }

    // d_transitions [C, C]: this part's share.
    void go_back(T* d_transitions) {
        std::memset(d_transitions, 0, static_cast<std::size_t>(C_) * C_ * sizeof(T));
        for (int t = steps_ - 1; t >= 0; --t) {
            const int on = t + 1 < steps_ ? running(t + 1) : 0;
            if (on) multiply_rows(row(s_, t + 1, 0), by_.back, on, posterior(t, 0));
            for (int r = 0; r < running(t); ++r) {
                r < on ? retreat(t, r, d_transitions) : enter_from_end(t, r);
                if (t) divide(t, r);
                give(t, r, d_transitions);
            }
        }
        add_products(d_transitions);
        clear_padding();
    }

private:
    void lay_out(Cutter& memory, std::ptrdiff_t rows) {
        a_ = memory.take<T>(rows * S_);
        u_ = memory.take<T>(rows * S_);
        s_ = memory.take<T>(rows * S_);
        offset_ = memory.take<double>(count_);
        first_ = memory.take<std::ptrdiff_t>(steps_ + 1);
        if (!kept_) return;
        posteriors_ = memory.take<T>(2 * static_cast<std::ptrdiff_t>(count_) * S_);
        terms_ = memory.take<T>(S_);
        exact_ = memory.take<bool>(count_);
        products_ = memory.take<T>(static_cast<std::ptrdiff_t>(C_) * C_);
        segments_ = memory.take<Segment<T>>(steps_);
    }

    int sequence(int r) const { return order_[member_ + r * team_]; }
    int length(int r) const { return static_cast<int>(call_.chain.lengths[sequence(r)]); }
    int running(int t) const { return static_cast<int>(first_[t + 1] - first_[t]); }
    T* row(T* of, int t, int r) const { return of + ((kept_ ? first_[t] : t % 2 * count_) + r) * S_; }
    T* posterior(int t, int r) const { return posteriors_ + (t % 2 * static_cast<std::ptrdiff_t>(count_) + r) * S_; }
    std::ptrdiff_t place(int t, int r) const {
        return static_cast<std::ptrdiff_t>(t) * call_.chain.batch + sequence(r);
    }
    const T* emissions(int t, int r) const { return call_.chain.emissions + place(t, r) * C_; }
    std::int64_t gold(int t, int r) const { return call_.gold[place(t, r)]; }
    T weight(int r) const { return call_.weights ? call_.weights[sequence(r)] : T(1); }

    void multiply_rows(const T* rows, const T* panels, int count, T* to) {
        const Part<T> part = {rows, S_, C_};
        multiply<T>(&part, 1, panels, C_, C_, 0, panel_count<T>(C_), count, to, S_, nullptr, 0);
    }

    void begin(int r) {
        T* a = row(a_, 0, r);
        const T* e = emissions(0, r);
        for (int n = 0; n < S_; n += LANES<T>) store<T>(a + n, load(by_.start + n) + load_at(e, n, C_));
    }

    void advance(int t, int r) {
        T *a = row(a_, t, r), *s = row(s_, t, r);
        const T* e = emissions(t, r);
        for (int n = C_; n < S_; ++n) s[n] = 1;
        vec<T> least = broadcast<T>(1);
        for (int n = 0; n < S_; n += LANES<T>) {
            const vec<T> sum = load(s + n), scores = load(by_.top + n) + load_at(e, n, C_);
            least = minimum<T>(sum, least);
            store<T>(a + n, v_log<T>(sum) + scores);
        }
        if (smallest_lane<T>(least) >= least_sum<T>) return;
        const T* before = row(a_, t - 1, r);
        for (int j = 0; j < C_; ++j)
            if (s[j] < least_sum<T>) a[j] = log_sum(before, column(j)) + e[j];
    }

    const T* column(int j) const { return by_.columns + static_cast<std::ptrdiff_t>(j) * S_; }

    // log(sum(exp(a + b))); -inf where all are. With `terms` also the terms, scaled so that their sum is `share`.
    T log_sum(const T* a, const T* b, T* terms = nullptr, T share = 0) const {
        vec<T> most = broadcast<T>(-Format<T>::infinity), sum = {};
        for (int n = 0; n < S_; n += LANES<T>) most = maximum<T>(load(a + n) + load(b + n), most);
        const T top = finite_top(most);
        for (int n = 0; n < S_; n += LANES<T>) {
            const vec<T> e = v_exp<T>(load(a + n) + load(b + n) - top);
            if (terms) store<T>(terms + n, e);
            sum += e;
        }
        const T total = sum_lanes<T>(sum);
        if (terms) scale_row<T>(terms, S_, total == 0 ? T(0) : share / total);
        return top + log_of<T>(total);
    }

    // The largest lane, but 0 where all are -inf: what is subtracted from a row may not make it NaN.
    static T finite_top(vec<T> most) {
        const T top = largest_lane<T>(most);
        return top == -Format<T>::infinity ? T(0) : top;
    }

    // The largest of a becomes 0; u = exp(a). Where all are -inf they stay so.
    void normalise(int t, int r) {
        T *a = row(a_, t, r), *u = row(u_, t, r);
        vec<T> most = broadcast<T>(-Format<T>::infinity);
        for (int n = 0; n < S_; n += LANES<T>) most = maximum<T>(load(a + n), most);
        const T top = finite_top(most);
        for (int n = 0; n < S_; n += LANES<T>) {
            const vec<T> less = load(a + n) - top;
            store<T>(a + n, less);
            store<T>(u + n, v_exp<T>(less));
        }
        offset_[r] += static_cast<double>(top);
    }

    void finish(int t, int r) {
        const double partition = offset_[r] + static_cast<double>(log_sum(row(a_, t, r), by_.end));
        call_.values[sequence(r)] = static_cast<T>(call_.gold ? partition - gold_score(r) : partition);
    }

    double gold_score(int r) const {
        const LinearChain<T>& chain = call_.chain;
        const int last = length(r) - 1;
        double score = static_cast<double>(chain.start[gold(0, r)]) + static_cast<double>(chain.end[gold(last, r)]);
        for (int t = 0; t <= last; ++t) {
            score += static_cast<double>(emissions(t, r)[gold(t, r)]);
            if (t) score += static_cast<double>(chain.transitions[gold(t - 1, r) * C_ + gold(t, r)]);
        }
        return score;
    }

    // Posteriors here carry the sequence's weight.
    void enter_from_end(int t, int r) { log_sum(row(a_, t, r), by_.end, posterior(t, r), weight(r)); }

    // Posteriors at t from those at t + 1.
    void retreat(int t, int r, T* d_transitions) {
        T* to = posterior(t, r);
        const T* u = row(u_, t, r);
        for (int n = C_; n < S_; ++n) to[n] = 0;
        for (int n = 0; n < S_; n += LANES<T>) store<T>(to + n, load(to + n) * load(u + n));
        if (!exact_[r]) retreat_exactly(t, r, to, d_transitions);
        // They add up to the weight; scaled to it at each step, rounding does not add up over the steps.
        const T total = total_of<T>(to, S_);
        scale_row<T>(to, S_, total == 0 ? T(0) : weight(r) / total);
    }

    // What comes from tags whose sum was not sure.
    void retreat_exactly(int t, int r, T* to, T* d_transitions) {
        const T *next = posterior(t + 1, r), *divided = row(s_, t + 1, r);
        for (int j = 0; j < C_; ++j) {
            if (divided[j] != 0 || next[j] == 0) continue;
            log_sum(row(a_, t, r), column(j), terms_, next[j]);
            for (int i = 0; i < C_; ++i) {
                to[i] += terms_[i];
                d_transitions[static_cast<std::ptrdiff_t>(i) * C_ + j] += terms_[i];
            }
        }
    }

    // s gives way to posteriors / s, 0 where s is not sure: there posteriors go back by logarithms.
    void divide(int t, int r) {
        T* s = row(s_, t, r);
        const T* from = posterior(t, r);
        vec<T> least = broadcast<T>(1);
        for (int n = 0; n < S_; n += LANES<T>) {
            const vec<T> sum = load(s + n);
            least = minimum<T>(sum, least);
            store<T>(s + n, sum < broadcast<T>(least_sum<T>) ? vec<T>{} : load(from + n) / sum);
        }
        exact_[r] = smallest_lane<T>(least) >= least_sum<T>;
    }

    void give(int t, int r, T* d_transitions) {
        T* to = call_.d_emissions + place(t, r) * C_;
        std::memcpy(to, posterior(t, r), C_ * sizeof(T));
        if (!call_.gold) return;
        to[gold(t, r)] -= weight(r);
        if (t) d_transitions[gold(t - 1, r) * C_ + gold(t, r)] -= weight(r);
    }

    void add_products(T* d_transitions) {
        for (int t = 1; t < steps_; ++t) segments_[t - 1] = {row(u_, t - 1, 0), row(s_, t, 0), running(t)};
        outer<T>(segments_, steps_ - 1, S_, S_, 0, C_, 0, C_, products_, C_, false);
        for (int i = 0; i < C_; ++i) {
            const std::ptrdiff_t from = static_cast<std::ptrdiff_t>(i) * C_;
            const T* e = by_.exponentials + static_cast<std::ptrdiff_t>(i) * S_;
            for (int j = 0; j < C_; ++j) d_transitions[from + j] += products_[from + j] * e[j];
        }
    }

    void clear_padding() {
        for (int r = 0; r < count_; ++r)
            for (int t = length(r); t < call_.chain.steps; ++t)
                std::memset(call_.d_emissions + place(t, r) * C_, 0, C_ * sizeof(T));
    }

    ChainLoss<T> call_;
    Transitions<T> by_;
    const int* order_;
    int member_, team_, C_, S_, count_, steps_;
    bool kept_;                // all steps, which the way back reads; else two at a time
    T *a_, *u_, *s_;           // [rows][S], by steps: logarithms, exp of them, sums
    double* offset_;           // [count]: what has been subtracted
    std::ptrdiff_t* first_;    // [steps + 1]: the first row of each step
    T* posteriors_ = nullptr;  // [2][count][S]: of this step and of the next
    T* terms_ = nullptr;       // [S]: of one sum that is made by logarithms
    bool* exact_ = nullptr;    // [count]: no sum of the step was unsure
    T* products_ = nullptr;    // [C][C]
    Segment<T>* segments_ = nullptr;
};

// The sequences, the longest first; equally long ones in their order.
inline void order_by_length(const std::int64_t* lengths, int batch, int steps, int* starts, int* order) {
    for (int t = 0; t <= steps; ++t) starts[t] = 0;
    for (int b = 0; b < batch; ++b) ++starts[steps - lengths[b]];
    for (int t = 0, sum = 0; t <= steps; ++t) {
        const int here = starts[t];
        starts[t] = sum;
        sum += here;
    }
    for (int b = 0; b < batch; ++b) order[starts[steps - lengths[b]]++] = b;
}

// Values, and the gradients where they are wanted.
template <class T>
void chain_loss(const ChainLoss<T>& call) {
    const LinearChain<T>& chain = call.chain;
    const int C = chain.tags;
    const std::ptrdiff_t square = static_cast<std::ptrdiff_t>(C) * C;
    double rows = 0;
    for (int b = 0; b < chain.batch; ++b) rows += static_cast<double>(chain.lengths[b]);
    // Exponential and logarithm of a number take about as long as 30 of its products.
    const int most = team_for(rows * C * (C + 30)), team = most < chain.batch ? most : chain.batch;
    Transitions<T> transitions;
    int *order = nullptr, *starts = nullptr;
    T* partials = nullptr;
    Cutter memory = {nullptr, 0};
    for (int pass = 0; pass < 2; ++pass) {
        if (pass) memory = {static_cast<char*>(scratch(Scratch::tags, static_cast<std::size_t>(memory.bytes))), 0};
        transitions.lay_out(memory, C);
        order = memory.take<int>(chain.batch);
        starts = memory.take<int>(chain.steps + 1);
        if (call.d_emissions) partials = memory.take<T>((team - 1) * square);
    }
    transitions.fill(chain, call.d_emissions);
    order_by_length(chain.lengths, chain.batch, chain.steps, starts, order);
    auto task = [&](int k) {
        ChainPart<T> part(call, transitions, order, k, team);
        part.go_forward();
        if (call.d_emissions) part.go_back(k ? partials + (k - 1) * square : call.d_transitions);
    };
    team == 1 ? task(0) : parallel_for(team, task);
    for (int k = 1; call.d_emissions && k < team; ++k)
        for (std::ptrdiff_t n = 0; n < square; ++n) call.d_transitions[n] += partials[(k - 1) * square + n];
}

}  // namespace
}  // namespace recurra
