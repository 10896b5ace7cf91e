// Sums over rows: the gradients of matrices and of vectors.
#pragma once

#include "stages.h"

namespace recurra {
namespace {

// Rows of two spans side by side, as segments. Each follows the steps; what enters a step is where it was made, and
// for the first step in the initial state: `initial` asks for those rows instead of the others.
template <class T>
int find_segments(const Execution<T>& e, const Span& a, const Span& b, bool initial, Segment<T>* found) {
    const Batch& batch = e.run.batch;
    const Code& code = *e.run.code;
    Resolver<T> all(e, 0, batch.batch);
    const Slot &sa = code.slots[a.slot], &sb = code.slots[b.slot];
    const Slot* enters = sa.kind == Kind::enter ? &sa : sb.kind == Kind::enter ? &sb : nullptr;
    int count = 0;
    for (int t = 0; t < batch.steps; ++t) {
        const int rows = all.rows(t);
        const int before = enters ? all.before(*enters, t) : rows;
        const int old = before < 0 ? 0 : before < rows ? before : rows;
        const int first = initial ? old : 0, last = initial ? rows : old;
        if (first >= last) continue;
        auto place = [&](const Slot& slot, const Span& span) {
            Base<T> base = {e.buffers[slot.buffer] + batch.offset[t] * static_cast<ptrdiff_t>(slot.width), slot.width};
            if (slot.kind == Kind::enter) base = initial ? all.initial(slot) : all.followed(slot, t, 0);
            return base.p + span.column + first * base.stride;
        };
        const Segment<T> next = {place(sa, a), place(sb, b), last - first};
        Segment<T>* end = count ? found + count - 1 : nullptr;
        auto stride = [&](const Slot& slot) {
            return static_cast<ptrdiff_t>(slot.kind == Kind::enter && !initial ? code.slots[slot.of].width
                                                                               : slot.width);
        };
        if (end && next.a == end->a + end->rows * stride(sa) && next.b == end->b + end->rows * stride(sb))
            end->rows += next.rows;
        else
            found[count++] = next;
    }
    return count;
}

template <class T>
void outer_segments(const Stage& stage, const Segment<T>* segments, int count, ptrdiff_t a_stride, ptrdiff_t b_stride,
                    T* c, bool accumulate, double rows) {
    const int M = stage.result.width, N = stage.start.width;
    const int team = team_for(rows * M * N);
    const bool by_m = M >= N;
    auto task = [&](int k) {
        const int m0 = by_m ? part_begin(M, RECURRA_TILE_ROWS, team, k) : 0;
        const int m1 = by_m ? part_begin(M, RECURRA_TILE_ROWS, team, k + 1) : M;
        const int n0 = by_m ? 0 : part_begin(N, PANEL<T>, team, k);
        const int n1 = by_m ? N : part_begin(N, PANEL<T>, team, k + 1);
        outer<T>(segments, count, a_stride, b_stride, m0, m1, n0, n1, c, stage.stride, accumulate);
    };
    team == 1 ? task(0) : parallel_for(team, task);
}

// The gradient of a matrix: rows of the gradient (`result`) times rows of the operand (`start`), summed.
template <class T>
void outer_outside(const Execution<T>& e, const Stage& stage) {
    const Code& code = *e.run.code;
    const Batch& batch = e.run.batch;
    const Slot &sa = code.slots[stage.result.slot], &sb = code.slots[stage.start.slot];
    T* c = e.buffers[stage.buffer] + stage.offset;
    if (stage.rate != Rate::step) {
        const int rows = stage.rate == Rate::once ? 1 : batch.batch;
        const Segment<T> all = {e.buffers[sa.buffer] + stage.result.column, e.buffers[sb.buffer] + stage.start.column,
                                rows};
        return outer_segments<T>(stage, &all, 1, sa.width, sb.width, c, stage.accumulate, rows);
    }
    auto* found = static_cast<Segment<T>*>(scratch(Scratch::segments, 2 * (batch.steps + 1) * sizeof(Segment<T>)));
    const bool enters = sa.kind == Kind::enter || sb.kind == Kind::enter;
    const double rows = static_cast<double>(batch.offset[batch.steps]);
    auto stride = [&](const Slot& slot) { return slot.kind == Kind::enter ? code.slots[slot.of].width : slot.width; };
    int count = find_segments(e, stage.result, stage.start, false, found);
    const int begin = enters ? find_segments(e, stage.result, stage.start, true, found + count) : 0;
    if (stride(sa) == sa.width && stride(sb) == sb.width)
        return outer_segments<T>(stage, found, count + begin, sa.width, sb.width, c, stage.accumulate, rows);
    outer_segments<T>(stage, found, count, stride(sa), stride(sb), c, stage.accumulate, rows);
    if (begin) outer_segments<T>(stage, found + count, begin, sa.width, sb.width, c, true, batch.batch);
}

constexpr int sum_rows = 64;  // rows summed apart before they join the rest, so that rounding grows with N / 64

// to[j] += the sum over rows of from[r][j], for columns [0, width), width at most sum_columns.
constexpr int sum_columns = 512;
template <class T>
void add_rows(T* to, const T* from, ptrdiff_t stride, ptrdiff_t rows, int width) {
    alignas(64) T part[sum_columns];
    for (ptrdiff_t first = 0; first < rows; first += sum_rows) {
        const ptrdiff_t last = first + sum_rows < rows ? first + sum_rows : rows;
        std::memset(part, 0, sizeof(T) * width);
        ptrdiff_t r = first;
        for (; r + 4 <= last; r += 4) {
            const T* p = from + r * stride;
            for (int j = 0; j < width; ++j) part[j] += (p[j] + p[j + stride]) + (p[j + 2 * stride] + p[j + 3 * stride]);
        }
        for (; r < last; ++r)
            for (int j = 0; j < width; ++j) part[j] += from[r * stride + j];
        for (int j = 0; j < width; ++j) to[j] += part[j];
    }
}

// Columns [first, last) of a total: all rows, or those of each sequence.
template <class T>
void total_columns(const Execution<T>& e, const Stage& stage, int first, int last) {
    const Code& code = *e.run.code;
    const Batch& batch = e.run.batch;
    const Slot &source = code.slots[stage.start.slot], &result = code.slots[stage.result.slot];
    const bool by_sequence = result.kind == Kind::sequence;
    T* to = e.buffers[result.buffer] + stage.result.column + first;
    const T* from = e.buffers[source.buffer] + stage.start.column + first;
    const ptrdiff_t rows = stage.rate == Rate::step       ? batch.offset[batch.steps]
                           : stage.rate == Rate::sequence ? batch.batch
                                                          : 1;
    const int width = last - first;
    if (!stage.accumulate)
        for (int r = 0; r < (by_sequence ? batch.batch : 1); ++r)
            std::memset(to + r * static_cast<ptrdiff_t>(result.width), 0, sizeof(T) * width);
    if (!by_sequence) return add_rows<T>(to, from, source.width, rows, width);
    for (int t = 0; t < batch.steps; ++t)
        for (int r = 0; r < batch.active[t]; ++r) {
            const T* p = from + (batch.offset[t] + r) * static_cast<ptrdiff_t>(source.width);
            for (int j = 0; j < width; ++j) to[r * static_cast<ptrdiff_t>(result.width) + j] += p[j];
        }
}

template <class T>
void total_outside(const Execution<T>& e, const Stage& stage) {
    const int width = stage.start.width, count = (width + sum_columns - 1) / sum_columns;
    const Batch& batch = e.run.batch;
    const int team = team_for(static_cast<double>(batch.offset[batch.steps]) * width);
    const int tasks = count > team ? count : team;
    auto task = [&](int k) {
        const int first = part_begin(width, 16, tasks, k), last = part_begin(width, 16, tasks, k + 1);
        for (int j = first; j < last; j += sum_columns)
            total_columns(e, stage, j, j + sum_columns < last ? j + sum_columns : last);
    };
    if (team == 1)
        for (int k = 0; k < tasks; ++k) task(k);
    else
        parallel_for(tasks, task);
}

// A program outside the loop. Rows of different steps do not meet, so they are shared out by rows where every row is
// found by its number, else by steps.
template <class T>
void program_outside(const Execution<T>& e, const Stage& stage) {
    const Batch& batch = e.run.batch;
    const Code& code = *e.run.code;
    const ptrdiff_t rows = stage.rate == Rate::step       ? batch.offset[batch.steps]
                           : stage.rate == Rate::sequence ? batch.batch
                                                          : 1;
    double work = 0;
    for (int k = 0; k < stage.instruction_count; ++k) work += 8.0 * stage.instructions[k].width;
    const int team = stage.rate == Rate::step ? team_for(work * static_cast<double>(rows)) : 1;
    const bool flat = stage.flat || stage.rate != Rate::step;
    auto task = [&](int k) {
        Resolver<T> here(e, 0, flat ? 0 : batch.batch);
        if (!flat) {
            for (int t = part_begin(batch.steps, 1, team, k); t < part_begin(batch.steps, 1, team, k + 1); ++t) {
                here.resolve(t, 0, here.rows(t));
                run_program<T>(stage, here.bases, here.registers, code.numbers, here.rows(t));
            }
            return;
        }
        const ptrdiff_t first = rows * k / team, last = rows * (k + 1) / team;
        for (int s = 0; s < code.slot_count; ++s) {
            const Slot& slot = code.slots[s];
            const bool moves = slot.kind == Kind::step || (slot.kind == Kind::sequence && stage.rate == Rate::sequence);
            if (moves || slot.kind == Kind::once)
                here.bases[s] = {e.buffers[slot.buffer] + (moves ? first * slot.width : 0), moves ? slot.width : 0};
        }
        run_program<T>(stage, here.bases, here.registers, code.numbers, static_cast<int>(last - first));
    };
    team == 1 ? task(0) : parallel_for(team, task);
}

template <class T>
void run_product_outside(const Execution<T>& e, const Stage& stage) {
    const Batch& batch = e.run.batch;
    const Code& code = *e.run.code;
    Resolver<T> here(e, 0, 0);
    for (int s = 0; s < code.slot_count; ++s)
        if (code.slots[s].kind == Kind::step) here.bases[s] = {e.buffers[code.slots[s].buffer], code.slots[s].width};
    const ptrdiff_t rows = stage.rate == Rate::step       ? batch.offset[batch.steps]
                           : stage.rate == Rate::sequence ? batch.batch
                                                          : 1;
    multiply_outside(e, stage, here.bases, static_cast<int>(rows));
}

// Phase 0: before the loop; 2: after it.
template <class T>
void run_outside(const Execution<T>& e, int phase) {
    const int windowed = phase == 0 && e.window > 0;  // the last stage, which the loop makes
    for (int k = 0; k < e.run.code->stage_count[phase] - windowed; ++k) {
        const Stage& stage = e.run.code->stages[phase][k];
        switch (stage.kind) {
            case StageKind::program:
                program_outside(e, stage);
                break;
            case StageKind::multiply:
                run_product_outside(e, stage);
                break;
            case StageKind::outer:
                outer_outside(e, stage);
                break;
            case StageKind::total:
                total_outside(e, stage);
                break;
        }
    }
}

}  // namespace
}  // namespace recurra
