// The output layer and its cross-entropy, a chunk of rows at a time, so that the logits of all rows never exist.
//
// Classes are cut into blocks. First each block's logits are computed, and at once replaced by exponentials of their
// distance from the row's largest in the block, while they are in L2; then, all blocks' sums being known, each block is
// scaled to the gradient of its logits and used for the gradients of features, weight and bias. Threads share the
// blocks, so that no two write the same rows of the weight's gradient; where there are few classes they share the rows.
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
// Rows of a chunk: those that `outer` sums in registers; more gain nothing.
constexpr int chunk_rows = most_depth;
// Logits of a block: with the panels they are made from, what stays in 1 MB of L2.
constexpr std::ptrdiff_t block_bytes = 384 * 1024;
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
        const int wide = static_cast<int>(block_bytes / static_cast<std::ptrdiff_t>(sizeof(T)) / rows_) / PANEL<T>;
        const int shared = team > 1 ? (V + 2 * team - 1) / (2 * team) : V;  // two blocks or more for each thread
        width_ = lesser(greater(wide, 2) * PANEL<T>, round_up(shared, PANEL<T>));
        blocks_ = (V + width_ - 1) / width_;
        team_ = lesser(team, blocks_);
        stats_ = round_up(blocks_, LANES<T>);
        panel_step_ = rows_ * PANEL<T> + 64 / static_cast<int>(sizeof(T));
        Cutter measure = {nullptr, 0};
        lay_out(measure, F);
        Cutter memory = {static_cast<char*>(scratch(Scratch::loss, static_cast<std::size_t>(measure.bytes))), 0};
        lay_out(memory, F);
    }

    void run() {
        for (first_ = 0; first_ < call_.rows; first_ += rows_) {
            count_ = lesser(rows_, call_.rows - first_);
            clear_statistics();
            share([&](int, int begin, int end) { compute_losses(begin, end); });
            for (int r = 0; r < count_; ++r) finish_row(r);
            if (!call_.has_gradient()) continue;
            if (call_.d_weight) pack_features();
            share([&](int member, int begin, int end) { compute_gradients(member, begin, end); });
            add_partials();
        }
    }

private:
    void lay_out(Cutter& memory, int F) {
        const std::ptrdiff_t block = static_cast<std::ptrdiff_t>(rows_) * width_;
        if (call_.has_gradient()) logits_ = memory.take<T>(block * blocks_);
        largest_ = memory.take<T>(static_cast<std::ptrdiff_t>(rows_) * stats_);
        sums_ = memory.take<T>(static_cast<std::ptrdiff_t>(rows_) * stats_);
        if (call_.smoothing != 0) totals_ = memory.take<T>(static_cast<std::ptrdiff_t>(rows_) * stats_);
        target_ = memory.take<T>(rows_);
        if (call_.d_weight) features_ = memory.take<T>(panel_step_ * panel_count<T>(F));
        if (call_.d_features) partials_ = memory.take<T>(static_cast<std::ptrdiff_t>(team_ - 1) * rows_ * F);
    }

    template <class F>
    void share(F body) {
        auto task = [&](int k) { body(k, part_begin(blocks_, 1, team_, k), part_begin(blocks_, 1, team_, k + 1)); };
        team_ == 1 ? task(0) : parallel_for(team_, task);
    }

    // What there is of block b.
    int columns(int b) const { return lesser(width_, call_.classes - b * width_); }
    const T* weight(int b) const { return call_.weight + static_cast<std::ptrdiff_t>(b) * width_ * call_.depth; }
    T* block(int b) const { return logits_ + static_cast<std::ptrdiff_t>(b) * rows_ * width_; }
    T row_weight(int r) const { return call_.row_weights ? call_.row_weights[first_ + r] : T(1); }

    // Neutral values, for the blocks that fill the last vector up.
    void clear_statistics() {
        for (int r = 0; r < count_; ++r)
            for (int b = blocks_; b < stats_; ++b) {
                largest_[r * stats_ + b] = -Format<T>::infinity;
                sums_[r * stats_ + b] = 0;
            }
    }

    // Logits of blocks [begin, end), what is to be known of each row of a block, and exponentials in their place.
    void compute_losses(int begin, int end) {
        const int F = call_.depth;
        const std::size_t block_numbers = static_cast<std::size_t>(rows_) * width_;
        T* own = logits_ ? nullptr : static_cast<T*>(scratch(Scratch::loss2, block_numbers * sizeof(T)));
        const Part<T> part = {call_.features + static_cast<std::ptrdiff_t>(first_) * F, F, F};
        for (int b = begin; b < end; ++b) {
            T* logits = own ? own : block(b);
            multiply_block(part, {weight(b), 1, F}, columns(b), logits, width_,
                           call_.bias ? call_.bias + b * width_ : nullptr, 0);
            for (int r = 0; r < count_; ++r) summarise_row(logits + static_cast<std::ptrdiff_t>(r) * width_, r, b);
        }
    }

    void summarise_row(T* row, int r, int b) {
        const int there = columns(b), filled = round_up(there, PANEL<T>);
        const std::int64_t place = call_.targets[first_ + r] - static_cast<std::int64_t>(b) * width_;
        if (place >= 0 && place < there) target_[r] = row[place];
        if (totals_) totals_[r * stats_ + b] = total_of<T>(row, there);
        for (int n = there; n < filled; ++n) row[n] = -Format<T>::infinity;
        const T top = largest<T>(row, filled);
        largest_[r * stats_ + b] = top;
        // A block may be all -inf (classes that are ruled out); infinity minus itself would make it NaN.
        sums_[r * stats_ + b] = exponentials<T>(row, filled, top == -Format<T>::infinity ? T(0) : top);
    }

    // A row's loss; its blocks' sums give way to what their exponentials are multiplied with for the gradient.
    void finish_row(int r) {
        T *tops = largest_ + r * stats_, *sums = sums_ + r * stats_;
        vec<T> found = broadcast<T>(-Format<T>::infinity), sum = {};
        for (int b = 0; b < stats_; b += LANES<T>) found = maximum<T>(load(tops + b), found);
        const T top = largest_lane<T>(found);
        for (int b = 0; b < stats_; b += LANES<T>) {
            const vec<T> scale = v_exp<T>(load(tops + b) - top);
            sum += scale * load(sums + b);
            store<T>(tops + b, scale);
        }
        const T total = sum_lanes<T>(sum), log_total = log_of<T>(total);
        for (int b = 0; b < stats_; b += LANES<T>) store<T>(sums + b, load(tops + b) * (row_weight(r) / total));
        double loss = static_cast<double>(log_total) - (static_cast<double>(target_[r]) - top);
        if (totals_) {
            double logits = 0;
            for (int b = 0; b < blocks_; ++b) logits += totals_[r * stats_ + b];
            const double even = static_cast<double>(log_total) + top - logits / call_.classes;
            loss = (1 - call_.smoothing) * loss + call_.smoothing * even;
        }
        call_.losses[first_ + r] = static_cast<T>(loss);
    }

    // The chunk's features as panels, for the gradient of all blocks' weights.
    void pack_features() {
        const Segment<T> segment = {nullptr, call_.features + static_cast<std::ptrdiff_t>(first_) * call_.depth,
                                    count_};
        gather<T, PANEL<T>>(features_, panel_step_, {&segment, 0}, count_, &Segment<T>::b, call_.depth, 0, call_.depth);
    }

    void compute_gradients(int member, int begin, int end) {
        const int F = call_.depth;
        T* d_features = nullptr;
        if (call_.d_features)
            d_features = member ? partials_ + static_cast<std::ptrdiff_t>(member - 1) * rows_ * F
                                : call_.d_features + static_cast<std::ptrdiff_t>(first_) * F;
        for (int b = begin; b < end; ++b) {
            for (int r = 0; r < count_; ++r) differentiate_row(r, b);
            if (call_.d_bias) add_bias(b);
            if (d_features)
                multiply_block({block(b), width_, columns(b)}, {weight(b), F, 1}, F, d_features, F,
                               b == begin ? nullptr : d_features, F);
            if (call_.d_weight) add_weight(b);
        }
    }

    // The gradient of a row's logits.
    void differentiate_row(int r, int b) {
        T* row = block(b) + static_cast<std::ptrdiff_t>(r) * width_;
        const T weight = row_weight(r), smoothing = static_cast<T>(call_.smoothing);
        scale_row<T>(row, round_up(columns(b), PANEL<T>), sums_[r * stats_ + b], weight * smoothing / call_.classes);
        const std::int64_t place = call_.targets[first_ + r] - static_cast<std::int64_t>(b) * width_;
        if (place >= 0 && place < columns(b)) row[place] -= weight * (1 - smoothing);
    }

    void add_bias(int b) {
        const int there = columns(b);
        T* to = call_.d_bias + b * width_;
        if (first_ == 0) std::memset(to, 0, there * sizeof(T));
        for (int n = 0; n < there; n += sum_columns)
            add_rows<T>(to + n, block(b) + n, width_, count_, lesser(sum_columns, there - n));
    }

    // to = start + part @ a block of the weight, which may be transposed.
    void multiply_block(const Part<T>& part, const Lying<T>& matrix, int columns, T* to, std::ptrdiff_t stride,
                        const T* start, std::ptrdiff_t start_stride) {
        if (count_ <= most_lying)
            return multiply_lying<T>(&part, 1, &matrix, columns, count_, to, stride, start, start_stride);
        const int depth = part.depth, total = panel_count<T>(columns);
        T* panels = static_cast<T*>(scratch(Scratch::weights, packed_numbers<T>(depth, columns) * sizeof(T)));
        pack<T>(panels, depth, columns, 0, depth, 0, columns, matrix.w, matrix.k_stride, matrix.n_stride, 0, total);
        multiply<T>(&part, 1, panels, depth, columns, 0, total, count_, to, stride, start, start_stride);
    }

    // d_weight of the block (+)= block^T @ features. As `outer`, with features packed once for all blocks.
    void add_weight(int b) {
        const int F = call_.depth, there = columns(b);
        const std::ptrdiff_t step = static_cast<std::ptrdiff_t>(count_) * tile_rows + 64 / sizeof(T);
        T* a = static_cast<T*>(scratch(Scratch::panels, step * (outer_rows / tile_rows) * sizeof(T)));
        const Segment<T> segment = {block(b), nullptr, count_};
        const int fit = static_cast<int>(outer_bytes / (sizeof(T) * count_ * PANEL<T>));
        const int together = greater(fit, 1) * PANEL<T>;
        T* c = call_.d_weight + static_cast<std::ptrdiff_t>(b) * width_ * F;
        for (int n = 0; n < F; n += together)
            for (int m = 0; m < there; m += outer_rows) {
                const int rows = lesser(outer_rows, there - m);
                gather<T, tile_rows>(a, step, {&segment, 0}, count_, &Segment<T>::a, width_, m, m + rows);
                add_block<T>(a, step, features_ + n / PANEL<T> * panel_step_, panel_step_, count_, rows,
                             lesser(together, F - n), c + static_cast<std::ptrdiff_t>(m) * F + n, F, first_ > 0);
            }
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
    int team_, rows_, width_, blocks_, stats_;  // of a chunk and of a block
    std::ptrdiff_t panel_step_;
    int first_ = 0, count_ = 0;               // rows of this chunk
    T* logits_ = nullptr;                     // [blocks][rows][width]: all of a chunk, where gradients are wanted
    T *largest_ = nullptr, *sums_ = nullptr;  // [rows][stats]: by row and block
    T* totals_ = nullptr;                     // [rows][stats]: sums of logits
    T* target_ = nullptr;                     // [rows]: logits of the targets
    T* features_ = nullptr;                   // the chunk's features as panels
    T* partials_ = nullptr;                   // [team - 1][rows][F]: other threads' share of the features' gradient
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
