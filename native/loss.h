// The output layer and its cross-entropy, a chunk of rows at a time, so that the logits of all rows never exist.
//
// Classes are cut into blocks. First each block's logits are computed, and at once replaced by exponentials of their
// distance from the row's largest in the block, while they are in L2; then, all blocks' sums being known, each block is
// scaled to the gradient of its logits and used for the gradients of features, weight and bias. Threads share the
// blocks, so that no two write the same rows of the weight's gradient; where there are few classes they share the rows.
//
// A block lies by classes, [class][row]: its product then reads the weight where it lies, and so does the gradient of
// the weight with the block; the sums over classes are those of vectors of rows.
#pragma once

#include "cross_entropy.h"
#include "cutter.h"
#include "softmax.h"
#include "sums.h"

namespace recurra {
namespace {

// Logits of a chunk, kept between the two passes over its blocks. Measured on Zen 5 with 10,000 classes: a half of it
// costs 10 %, twice as much gains nothing.
constexpr std::ptrdiff_t chunk_bytes = 16 << 20;
// Rows of a chunk, which share what is packed for it; more gain nothing.
constexpr int chunk_rows = 448;
// Logits of a block and its part of the weight: with the panels they meet, what stays in 1 MB of L2.
constexpr std::ptrdiff_t block_bytes = 512 * 1024;
// Other threads' sums of the gradients of weight and bias, where rows are shared.
constexpr std::ptrdiff_t partial_bytes = 4 << 20;

constexpr int lesser(int a, int b) { return a < b ? a : b; }
constexpr int greater(int a, int b) { return a > b ? a : b; }

template <class T>
class OutputLayer {
public:
    OutputLayer(const CrossEntropy<T>& call, int team) : call_(call) {
        const int F = call.depth, V = call.classes;
        const std::ptrdiff_t held = chunk_bytes / static_cast<std::ptrdiff_t>(sizeof(T)) / V;
        const bool kept = call.has_gradient() && held < chunk_rows;
        const int fit = kept ? greater(static_cast<int>(held) / tile_rows, 4) * tile_rows : chunk_rows;
        const int chunks = (call.rows + fit - 1) / fit;
        rows_ = lesser(round_up((call.rows + chunks - 1) / chunks, tile_rows), call.rows);
        // An odd number of lines: where it is a power of two a column's numbers meet in the same sets of the cache.
        constexpr int LINE = line_bytes / static_cast<int>(sizeof(T));
        stride_ = ((rows_ + LINE - 1) / LINE | 1) * LINE;
        const std::ptrdiff_t class_bytes = (static_cast<std::ptrdiff_t>(stride_) + F) * static_cast<int>(sizeof(T));
        const int most = greater(static_cast<int>(block_bytes / class_bytes), 4 * tile_rows);
        blocks_ = lesser(team * ((V + team * most - 1) / (team * most)), (V + tile_rows - 1) / tile_rows);
        width_ = 0;
        for (int b = 0; b < blocks_; ++b) width_ = greater(width_, columns(b));
        team_ = lesser(team, blocks_);
        Cutter measure = {nullptr, 0};
        lay_out(measure, F);
        Cutter memory = {static_cast<char*>(scratch(Scratch::loss, static_cast<std::size_t>(measure.bytes))), 0};
        lay_out(memory, F);
    }

    void run() {
        for (first_ = 0; first_ < call_.rows; first_ += rows_) {
            count_ = lesser(rows_, call_.rows - first_);
            filled_ = round_up(count_, LANES<T>);
            for (int r = 0; r < filled_; ++r)
                weights_[r] = r < count_ && call_.row_weights ? call_.row_weights[first_ + r] : T(1);
            auto pack = [&](int k) { pack_features(k); };
            parallel(pack);
            share([&](int, int begin, int end) { compute_losses(begin, end); });
            for (int r = 0; r < count_; r += LANES<T>) finish_rows(r);
            if (!call_.has_gradient()) continue;
            share([&](int member, int begin, int end) { compute_gradients(member, begin, end); });
            add_partials();
        }
    }

private:
    void lay_out(Cutter& memory, int F) {
        const std::ptrdiff_t statistics = static_cast<std::ptrdiff_t>(blocks_) * stride_;
        if (call_.has_gradient()) logits_ = memory.take<T>(static_cast<std::ptrdiff_t>(width_) * stride_ * blocks_);
        largest_ = memory.take<T>(statistics);
        sums_ = memory.take<T>(statistics);
        if (call_.smoothing != 0) totals_ = memory.take<T>(statistics);
        target_ = memory.take<T>(stride_);
        weights_ = memory.take<T>(stride_);
        turned_ = memory.take<T>(static_cast<std::ptrdiff_t>(packed_numbers<T>(F, rows_)));
        if (call_.d_weight) features_ = memory.take<T>(static_cast<std::ptrdiff_t>(packed_numbers<T>(rows_, F)));
        if (call_.d_features) partials_ = memory.take<T>(static_cast<std::ptrdiff_t>(team_ - 1) * rows_ * F);
    }

    template <class F>
    void parallel(F& task) {
        team_ == 1 ? task(0) : parallel_for(team_, task);
    }

    template <class F>
    void share(F body) {
        auto task = [&](int k) { body(k, part_begin(blocks_, 1, team_, k), part_begin(blocks_, 1, team_, k + 1)); };
        parallel(task);
    }

    // Where block b of the classes begins, and what there is of it.
    int begin_of(int b) const { return part_begin(call_.classes, tile_rows, blocks_, b); }
    int columns(int b) const { return begin_of(b + 1) - begin_of(b); }
    const T* weight(int b) const { return call_.weight + static_cast<std::ptrdiff_t>(begin_of(b)) * call_.depth; }
    T* block(int b) const { return logits_ + static_cast<std::ptrdiff_t>(b) * width_ * stride_; }
    const T* features() const { return call_.features + static_cast<std::ptrdiff_t>(first_) * call_.depth; }

    // A thread's part of the chunk's features as panels: for the logits, and for the gradient of the weight.
    void pack_features(int k) {
        const int F = call_.depth, rows = panel_count<T>(count_), columns = panel_count<T>(F);
        pack<T>(turned_, F, count_, 0, F, 0, count_, features(), 1, F, part_begin(rows, 1, team_, k),
                part_begin(rows, 1, team_, k + 1));
        if (call_.d_weight)
            pack<T>(features_, count_, F, 0, count_, 0, F, features(), F, 1, part_begin(columns, 1, team_, k),
                    part_begin(columns, 1, team_, k + 1));
    }

    // Logits of blocks [begin, end), what is to be known of each row of a block, and exponentials in their place.
    void compute_losses(int begin, int end) {
        const int F = call_.depth;
        const std::size_t numbers = static_cast<std::size_t>(width_) * stride_;
        T* own = logits_ ? nullptr : static_cast<T*>(scratch(Scratch::loss2, numbers * sizeof(T)));
        for (int b = begin; b < end; ++b) {
            const Part<T> part = {weight(b), F, F};
            T* logits = own ? own : block(b);
            for (int p = 0; p < panel_count<T>(count_); ++p) {
                multiply<T>(&part, 1, turned_, F, filled_, p, p + 1, columns(b), logits, stride_, nullptr, 0);
                for (int r = p * PANEL<T>; r < lesser((p + 1) * PANEL<T>, filled_); r += LANES<T>)
                    summarise(logits, r, b);
            }
        }
    }

    // Of a vector of rows the largest logit in block b, exponentials of the distance from it, and their sum.
    void summarise(T* logits, int r, int b) {
        const Extremes<T> found =
            add_biases<T>(logits + r, stride_, columns(b), call_.bias ? call_.bias + begin_of(b) : nullptr);
        for (int lane = 0; lane < LANES<T> && r + lane < count_; ++lane) find_target(logits, r + lane, b);
        // A block may be all -inf (classes that are ruled out); infinity minus itself would make it NaN.
        const vec<T> from = found.largest == -Format<T>::infinity ? vec<T>{} : found.largest;
        store<T>(sums_ + place_of(b, r), exponentials<T>(logits + r, stride_, columns(b), from));
        store<T>(largest_ + place_of(b, r), found.largest);
        if (totals_) store<T>(totals_ + place_of(b, r), found.total);
    }

    // The place of row r's target in block b, or -1.
    int target_in(int b, int r) const {
        const std::int64_t place = call_.targets[first_ + r] - begin_of(b);
        return place >= 0 && place < columns(b) ? static_cast<int>(place) : -1;
    }

    void find_target(const T* logits, int r, int b) {
        const int place = target_in(b, r);
        if (place >= 0) target_[r] = logits[place * static_cast<std::ptrdiff_t>(stride_) + r];
    }

    // The losses of a vector of rows; their blocks' sums give way to what the exponentials are multiplied with for the
    // gradient.
    void finish_rows(int r) {
        vec<T> top = broadcast<T>(-Format<T>::infinity), sum = {}, logits = {};
        for (int b = 0; b < blocks_; ++b) top = maximum<T>(load(largest_ + place_of(b, r)), top);
        for (int b = 0; b < blocks_; ++b) {
            const vec<T> scale = v_exp<T>(load(largest_ + place_of(b, r)) - top);
            sum += scale * load(sums_ + place_of(b, r));
            store<T>(largest_ + place_of(b, r), scale);
            if (totals_) logits += load(totals_ + place_of(b, r));
        }
        const vec<T> share = load(weights_ + r) / sum, logarithm = v_log<T>(sum);
        for (int b = 0; b < blocks_; ++b) store<T>(sums_ + place_of(b, r), load(largest_ + place_of(b, r)) * share);
        for (int lane = 0; lane < LANES<T> && r + lane < count_; ++lane) {
            const double log_total = logarithm[lane];
            double loss = log_total - (static_cast<double>(target_[r + lane]) - top[lane]);
            const double even = log_total + top[lane] - logits[lane] / static_cast<double>(call_.classes);
            if (totals_) loss = (1 - call_.smoothing) * loss + call_.smoothing * even;
            call_.losses[first_ + r + lane] = static_cast<T>(loss);
        }
    }

    std::ptrdiff_t place_of(int b, int r) const { return static_cast<std::ptrdiff_t>(b) * stride_ + r; }

    void compute_gradients(int member, int begin, int end) {
        const int F = call_.depth;
        T* d_features = nullptr;
        if (call_.d_features)
            d_features = member ? partials_ + static_cast<std::ptrdiff_t>(member - 1) * rows_ * F
                                : call_.d_features + static_cast<std::ptrdiff_t>(first_) * F;
        for (int b = begin; b < end; ++b) {
            differentiate(b);
            if (d_features) add_features(b, d_features, b > begin);
            if (call_.d_weight) add_weight(b);
        }
    }

    // The gradient of a block's logits, and of the bias.
    void differentiate(int b) {
        const T even = static_cast<T>(call_.smoothing / call_.classes);
        T* d_bias = call_.d_bias ? call_.d_bias + begin_of(b) : nullptr;
        for (int n = 0; n < columns(b); ++n) {
            T* row = block(b) + n * static_cast<std::ptrdiff_t>(stride_);
            for (int r = 0; r < filled_; r += LANES<T>)
                store<T>(row + r, load(row + r) * load(sums_ + place_of(b, r)) - load(weights_ + r) * even);
            if (d_bias) d_bias[n] = total_of<T>(row, count_) + (first_ > 0 ? d_bias[n] : 0);
        }
        for (int r = 0; r < count_; ++r) {
            const int place = target_in(b, r);
            if (place < 0) continue;
            const T less = weights_[r] * static_cast<T>(1 - call_.smoothing);
            block(b)[place * static_cast<std::ptrdiff_t>(stride_) + r] -= less;
            if (d_bias) d_bias[place] -= less;
        }
    }

    // d_features (+)= the block's gradient @ its part of the weight.
    void add_features(int b, T* d_features, bool accumulate) {
        const int F = call_.depth, depth = columns(b), total = panel_count<T>(F);
        T* panels = static_cast<T*>(scratch(Scratch::weights, packed_numbers<T>(depth, F) * sizeof(T)));
        pack<T>(panels, depth, F, 0, depth, 0, F, weight(b), F, 1, 0, total);
        const Part<T> part = {block(b), stride_, depth};
        multiply<T, Layout::turned>(&part, 1, panels, depth, F, 0, total, count_, d_features, F,
                                    accumulate ? d_features : nullptr, F);
    }

    // d_weight of the block (+)= the block's gradient @ features.
    void add_weight(int b) {
        const int F = call_.depth;
        const Part<T> part = {block(b), stride_, count_};
        T* c = call_.d_weight + static_cast<std::ptrdiff_t>(begin_of(b)) * F;
        multiply<T>(&part, 1, features_, count_, F, 0, panel_count<T>(F), columns(b), c, F, first_ > 0 ? c : nullptr,
                    F);
    }

    void add_partials() {
        if (!call_.d_features) return;
        const std::ptrdiff_t numbers = static_cast<std::ptrdiff_t>(count_) * call_.depth;
        T* to = call_.d_features + static_cast<std::ptrdiff_t>(first_) * call_.depth;
        for (int member = 1; member < team_; ++member) {
            const T* from = partials_ + static_cast<std::ptrdiff_t>(member - 1) * rows_ * call_.depth;
            for (std::ptrdiff_t k = 0; k < numbers; ++k) to[k] += from[k];
        }
    }

    CrossEntropy<T> call_;
    int team_, rows_, stride_, width_, blocks_;  // of a chunk; from class to class; of a block
    int first_ = 0, count_ = 0, filled_ = 0;     // rows of this chunk; with those that fill the last vector
    T* logits_ = nullptr;                        // [blocks][width][stride]: all of a chunk, where gradients are wanted
    T *largest_ = nullptr, *sums_ = nullptr;     // [blocks][stride]
    T* totals_ = nullptr;                        // [blocks][stride]: sums of logits
    T *target_ = nullptr, *weights_ = nullptr;   // [stride]: logits of the targets, weights of the rows
    T *turned_ = nullptr, *features_ = nullptr;  // the chunk's features as panels of rows, and of their columns
    T* partials_ = nullptr;                      // [team - 1][rows][F]: other threads' share of the features' gradient
};

// Rows shared by a team, each thread with gradients of weight and bias of its own, which are added up.
template <class T>
void share_rows(const CrossEntropy<T>& call, int team) {
    const std::ptrdiff_t weights = static_cast<std::ptrdiff_t>(call.classes) * call.depth;
    const std::ptrdiff_t own = (call.d_weight ? weights : 0) + (call.d_bias ? call.classes : 0);
    T* partials = static_cast<T*>(scratch(Scratch::rows, (team - 1) * own * sizeof(T)));
    auto task = [&](int k) {
        CrossEntropy<T> part = call;
        const int first = part_begin(call.rows, tile_rows, team, k);
        const std::ptrdiff_t skipped = static_cast<std::ptrdiff_t>(first) * call.depth;
        part.rows = part_begin(call.rows, tile_rows, team, k + 1) - first;
        part.features += skipped;
        part.targets += first;
        part.losses += first;
        if (call.row_weights) part.row_weights += first;
        if (call.d_features) part.d_features += skipped;
        T* mine = partials + (k - 1) * own;
        if (k && call.d_weight) part.d_weight = mine;
        if (k && call.d_bias) part.d_bias = mine + (own - call.classes);
        OutputLayer<T>(part, 1).run();
    };
    parallel_for(team, task);
    for (int k = 1; k < team; ++k) {
        const T* from = partials + (k - 1) * own;
        for (std::ptrdiff_t n = 0; call.d_weight && n < weights; ++n) call.d_weight[n] += from[n];
        for (int n = 0; call.d_bias && n < call.classes; ++n) call.d_bias[n] += from[own - call.classes + n];
    }
}

// Losses, and the gradients that are wanted. At least one row and one class.
template <class T>
void cross_entropy(const CrossEntropy<T>& call) {
    const std::ptrdiff_t weights = static_cast<std::ptrdiff_t>(call.classes) * call.depth;
    const int team = team_for(static_cast<double>(weights) * call.rows);
    const bool few = (team - 1) * weights * static_cast<std::ptrdiff_t>(sizeof(T)) <= partial_bytes;
    if (team > 1 && few && call.rows >= 4 * tile_rows * team) return share_rows(call, team);
    OutputLayer<T>(call, team).run();
}

}  // namespace
}  // namespace recurra
