// A code over a sequence: stages before the loop on all rows at once, the loop with a share of the batch for each
// thread, stages after it.
#pragma once

#include "sums.h"

namespace recurra {
namespace {

// One thread's share of a loop: sequences [first, last).
template <class T>
class Loop {
public:
    Loop(const Execution<T>& e, int first, int last)
        : e_(e), code_(*e.run.code), batch_(e.run.batch), first_(first), last_(last), here_(e, first, last) {}

    void run() {
        const bool reverse = e_.run.reverse;
        for (int s = 0; s < batch_.steps; ++s) {
            const int t = reverse ? batch_.steps - 1 - s : s;
            const int rows = here_.rows(t);
            if (e_.window > 0 && s % e_.window == 0) fill_window(s);
            if (rows <= 0) continue;
            here_.resolve(t, s & 1, rows);
            for (int k = 0; k < code_.stage_count[1]; ++k) run_stage(code_.stages[1][k], rows, s & 1);
            leave(reverse ? t - 1 : t + 1, rows);
        }
        for (int k = 0; k < code_.state_count; ++k) never_active(code_.states[k]);
    }

private:
    // The windowed product of this step and those that follow, as one: its rows are copied side by side, as the results
    // are to lie, so that each panel meets all of them while it is near.
    void fill_window(int s) {
        const Stage& stage = *code_.windowed;
        const int steps = s + e_.window < batch_.steps ? e_.window : batch_.steps - s;
        T* rows = static_cast<T*>(
            scratch(Scratch::window, sizeof(T) * static_cast<std::size_t>(e_.window) * (last_ - first_) * stage.depth));
        Part<T> parts[most_operands];
        const Base<T>& from = here_.bases[stage.start.slot];
        const bool starts = stage.has_start && from.stride > 0;  // from a row each, not all from one
        Base<T> result = {};
        int count = 0;
        for (int next = s; next < s + steps; ++next) {
            const int t = e_.run.reverse ? batch_.steps - 1 - next : next;
            const int here = here_.rows(t) > 0 ? here_.rows(t) : 0;
            here_.place_in_window(t, count);
            here_.resolve_steps(t);
            const Base<T>& to = here_.bases[stage.result.slot];
            if (next == s) result = {to.p + stage.result.column, to.stride};
            read_operands(stage, here_.bases, parts);
            for (int r = 0; r < here; ++r, ++count) {
                T* row = rows + static_cast<ptrdiff_t>(count) * stage.depth;
                for (int k = 0; k < stage.operand_count; row += parts[k++].depth)
                    std::memcpy(row, parts[k].a + r * parts[k].stride, sizeof(T) * parts[k].depth);
                if (starts)
                    std::memcpy(to.p + stage.result.column + r * to.stride,
                                from.p + stage.start.column + r * from.stride, sizeof(T) * stage.columns);
            }
        }
        const Part<T> all = {rows, stage.depth, stage.depth};
        const T* start = starts ? result.p : stage.has_start ? from.p + stage.start.column : nullptr;
        multiply<T>(&all, 1, e_.panels[stage.product], stage.depth, stage.columns, 0, panel_count<T>(stage.columns),
                    count, result.p, result.stride, start, starts ? result.stride : 0);
    }

    void run_stage(const Stage& stage, int rows, bool back) {
        if (stage.kind == StageKind::program)
            run_program<T>(stage, here_.bases, here_.registers, code_.numbers, rows);
        else
            multiply_rows(e_, stage, here_.bases, rows, back);
    }

    // Rows whose last step this was leave their state behind.
    void leave(int next, int rows) {
        const bool more = next >= 0 && next < batch_.steps;
        const int going = more ? here_.rows(next) : 0;
        for (int k = 0; k < code_.state_count; ++k) {
            const State& state = code_.states[k];
            const Base<T>& from = here_.bases[state.next.slot];
            const Slot& final = code_.slots[state.final];
            T* to = e_.buffers[final.buffer] + first_ * static_cast<std::ptrdiff_t>(final.width);
            for (int r = going > 0 ? going : 0; r < rows; ++r)
                std::memcpy(to + r * static_cast<std::ptrdiff_t>(final.width),
                            from.p + state.next.column + r * from.stride, sizeof(T) * final.width);
        }
    }

    // Sequences without a step keep the state they came with.
    void never_active(const State& state) {
        const int width = code_.slots[state.final].width;
        const T* from = e_.buffers[code_.slots[state.initial].buffer];
        T* to = e_.buffers[code_.slots[state.final].buffer];
        const int active = batch_.steps > 0 ? static_cast<int>(batch_.active[0]) : 0;
        for (int r = first_ > active ? first_ : active; r < last_; ++r)
            std::memcpy(to + r * static_cast<std::ptrdiff_t>(width), from + r * static_cast<std::ptrdiff_t>(width),
                        sizeof(T) * width);
    }

    const Execution<T>& e_;
    const Code& code_;
    const Batch& batch_;
    const int first_, last_;
    Resolver<T> here_;
};

// Sequences [share(k), share(k + 1)) of `shares` with about as many steps each.
inline int share_begin(const Batch& batch, int shares, int k) {
    if (k <= 0) return 0;
    if (k >= shares || batch.steps == 0) return batch.batch;
    const std::int64_t rows = batch.offset[batch.steps];
    std::int64_t before = 0;
    int t = batch.steps;
    for (int r = 0; r < batch.batch;
         ++r) {  // longest first: r has as many steps as there are steps with more than r rows
        while (t > 0 && batch.active[t - 1] <= r) --t;
        if (2 * before + t > 2 * rows * k / shares) return r;
        before += t;
    }
    return batch.batch;
}

// How many threads share each of several runs.
inline int shares_of(int team, int runs, int batch) {
    const int shares = runs >= team ? 1 : team / runs;
    return shares < batch ? shares : batch > 0 ? batch : 1;
}

// Bytes of a thread's window: with a panel and rows of the operand less than the usual 1 MB of L2.
constexpr ptrdiff_t window_bytes = 384 * 1024;
// Rows of a step and thread from which on a window pays: fewer make tiles too low.
constexpr int window_rows = 4;

// Steps that the windowed product of a run makes at a time, or 0 where it is better made for all steps at once.
template <class T>
inline int window_of(const Run& run, int runs, int team) {
    const Batch& batch = run.batch;
    const Stage* stage = run.code->windowed;
    if (!stage || batch.batch <= 2 || batch.offset[batch.steps] <= most_lying) return 0;
    const int shares = shares_of(team, runs, batch.batch);
    if (shares * runs < team || batch.offset[batch.steps] < window_rows * shares * batch.steps) return 0;
    const ptrdiff_t rows = (batch.batch + shares - 1) / shares;
    const ptrdiff_t step = rows * stage->columns * static_cast<ptrdiff_t>(sizeof(T));
    const int steps = static_cast<int>(window_bytes / step);
    return steps < 2 ? 0 : steps < batch.steps ? steps : batch.steps;
}

// The loops of several runs, which do not depend on each other, as one set of tasks.
template <class T>
void run_loops(const Execution<T>* executions, int count) {
    double work = 0;
    int most = 0;
    for (int k = 0; k < count; ++k) {
        const Batch& batch = executions[k].run.batch;
        const Code& code = *executions[k].run.code;
        const double windowed =
            executions[k].window > 0 ? static_cast<double>(code.windowed->depth) * code.windowed->columns : 0;
        work += (code.work[1] + windowed) * static_cast<double>(batch.offset[batch.steps]);
        most = batch.batch > most ? batch.batch : most;
    }
    const int team = work > least_work ? threads() : 1;
    const int shares = shares_of(team, count, most);
    auto task = [&](int index) {
        const Execution<T>& e = executions[index / shares];
        const int first = share_begin(e.run.batch, shares, index % shares);
        const int last = share_begin(e.run.batch, shares, index % shares + 1);
        if (first < last) Loop<T>(e, first, last).run();
    };
    if (team == 1)
        for (int k = 0; k < count * shares; ++k) task(k);
    else
        parallel_for(count * shares, task);
}

// Runs that do not depend on each other (the directions of a layer).
template <class T>
void run_codes(const Run* runs, int count) {
    const int team = threads();
    ptrdiff_t bytes = aligned(static_cast<ptrdiff_t>(sizeof(Execution<T>)) * count);
    for (int k = 0; k < count; ++k) bytes += own_bytes<T>(runs[k], window_of<T>(runs[k], count, team));
    char* at = static_cast<char*>(scratch(Scratch::buffers, static_cast<std::size_t>(bytes)));
    Execution<T>* executions = reinterpret_cast<Execution<T>*>(at);
    at += aligned(static_cast<ptrdiff_t>(sizeof(Execution<T>)) * count);
    for (int k = 0; k < count; ++k) at = open_run(executions[k], runs[k], window_of<T>(runs[k], count, team), at);
    for (int k = 0; k < count; ++k) run_outside(executions[k], 0);
    pack_loops(executions, count);
    run_loops(executions, count);
    for (int k = 0; k < count; ++k) run_outside(executions[k], 2);
}

}  // namespace
}  // namespace recurra
