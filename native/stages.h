// The stages of a code: products, sums over rows, and programs outside the loop.
#pragma once

#include "execution.h"
#include "gemm.h"
#include "threads.h"

namespace recurra {
namespace {

// Multiplications below which starting threads (1 to 2 microseconds) costs more than it saves.
constexpr double least_work = 3e5;

// Rows up to which a product is cheaper with matrices as they lie than packed.
constexpr int most_lying = 8;

inline int team_for(double work) { return work > least_work ? threads() : 1; }

// Part k of n of [0, total), in multiples of `unit`.
inline int part_begin(int total, int unit, int n, int k) {
    const int units = (total + unit - 1) / unit;
    const int begin = static_cast<int>(static_cast<std::int64_t>(units) * k / n) * unit;
    return begin < total ? begin : total;
}

constexpr int most_operands = 32;

template <class T>
inline void read_operands(const Stage& stage, const Base<T>* bases, Part<T>* parts) {
    for (int k = 0; k < stage.operand_count; ++k) {
        const Span& span = stage.operands[k];
        parts[k] = {bases[span.slot].p + span.column, bases[span.slot].stride, span.width};
    }
}

// A product of `rows` rows with matrices as they lie, columns [first, last).
template <class T>
void multiply_as_it_lies(const Execution<T>& e, const Stage& stage, const Base<T>* bases, int rows, int first,
                         int last) {
    Part<T> parts[most_operands];
    Lying<T> blocks[most_operands];
    read_operands(stage, bases, parts);
    const Base<T>&to = bases[stage.result.slot], &from = bases[stage.start.slot];
    int column = 0;
    for (int j = 0; j < stage.matrix_rows; ++j) {
        const Matrix* m = stage.matrices + j * stage.operand_count;
        const int begin = column > first ? column : first;
        const int end = column + m->columns < last ? column + m->columns : last;
        for (int k = 0; k < stage.operand_count; ++k)
            blocks[k] = {e.buffers[m[k].buffer] + m[k].offset + (begin - column) * m[k].n_stride, m[k].k_stride,
                         m[k].n_stride};
        if (begin < end)
            multiply_lying<T>(parts, stage.operand_count, blocks, end - begin, rows, to.p + stage.result.column + begin,
                              to.stride, stage.has_start ? from.p + stage.start.column + begin : nullptr, from.stride);
        column += m->columns;
    }
}

// The columns of panels [first, last) of a product of `rows` rows.
template <class T>
void multiply_panels(const Stage& stage, const T* panels, const Base<T>* bases, int rows, int first, int last) {
    Part<T> parts[most_operands];
    read_operands(stage, bases, parts);
    const Base<T>&to = bases[stage.result.slot], &from = bases[stage.start.slot];
    multiply<T>(parts, stage.operand_count, panels, stage.depth, stage.columns, first, last, rows,
                to.p + stage.result.column, to.stride, stage.has_start ? from.p + stage.start.column : nullptr,
                from.stride);
}

// Panels that are multiplied before the next ones where a product is made from its end.
constexpr int panels_back = 4;

// A product in the loop. `back`: from its end, in turns, since what the step before read last is still near.
template <class T>
inline void multiply_rows(const Execution<T>& e, const Stage& stage, const Base<T>* bases, int rows, bool back) {
    const int count = panel_count<T>(stage.columns), some = back ? panels_back : count;
    for (int end = count; end > 0; end -= some) {
        const int begin = end > some ? end - some : 0;
        if (e.panels[stage.product])
            multiply_panels<T>(stage, e.panels[stage.product], bases, rows, begin, end);
        else
            multiply_as_it_lies(e, stage, bases, rows, begin * PANEL<T>, end < count ? end * PANEL<T> : stage.columns);
    }
}

// Packs panels [first, last) of a product's matrices.
template <class T>
void pack_panels(const Execution<T>& e, const Stage& stage, T* panels, int first, int last) {
    int column = 0;
    for (int j = 0; j < stage.matrix_rows; ++j) {
        const Matrix* m = stage.matrices + j * stage.operand_count;
        int depth = 0;
        for (int k = 0; k < stage.operand_count; ++k) {
            pack<T>(panels, stage.depth, stage.columns, depth, m[k].depth, column, m[k].columns,
                    e.buffers[m[k].buffer] + m[k].offset, m[k].k_stride, m[k].n_stride, first, last);
            depth += m[k].depth;
        }
        column += m->columns;
    }
}

template <class T>
void pack_with_team(const Execution<T>& e, const Stage& stage, T* panels) {
    const int count = panel_count<T>(stage.columns);
    const int team = team_for(4.0 * stage.depth * stage.columns);  // about as long as four multiplications a number
    auto task = [&](int k) {
        pack_panels(e, stage, panels, part_begin(count, 1, team, k), part_begin(count, 1, team, k + 1));
    };
    if (team == 1) return task(0);
    parallel_for(team, task);
}

// Packs the matrices of all products in the loops of several runs.
template <class T>
void pack_loops(Execution<T>* executions, int count) {
    std::size_t numbers = 0;
    T* at = nullptr;
    for (int pass = 0; pass < 2; ++pass) {
        if (pass) at = static_cast<T*>(scratch(Scratch::weights, numbers * sizeof(T) + 64));
        for (int k = 0; k < count; ++k) {
            Execution<T>& e = executions[k];
            const Batch& batch = e.run.batch;
            if (batch.batch <= 2 || batch.offset[batch.steps] <= most_lying) continue;
            for (int s = e.window > 0 ? -1 : 0; s < e.run.code->stage_count[1]; ++s) {
                const Stage& stage = s < 0 ? *e.run.code->windowed : e.run.code->stages[1][s];
                if (stage.kind != StageKind::multiply) continue;
                if (pass) {
                    e.panels[stage.product] = at;
                    pack_with_team(e, stage, at);
                    at += packed_numbers<T>(stage.depth, stage.columns);
                }
                numbers += packed_numbers<T>(stage.depth, stage.columns);
            }
        }
    }
}

// A product outside the loop: `rows` rows at once.
template <class T>
void multiply_outside(const Execution<T>& e, const Stage& stage, const Base<T>* bases, int rows) {
    const int team = team_for(static_cast<double>(rows) * stage.depth * stage.columns);
    if (rows <= most_lying) {
        auto task = [&](int k) {
            multiply_as_it_lies(e, stage, bases, rows, part_begin(stage.columns, PANEL<T>, team, k),
                                part_begin(stage.columns, PANEL<T>, team, k + 1));
        };
        return team == 1 ? task(0) : parallel_for(team, task);
    }
    T* panels = static_cast<T*>(scratch(Scratch::weights, packed_numbers<T>(stage.depth, stage.columns) * sizeof(T)));
    pack_with_team(e, stage, panels);
    const int count = panel_count<T>(stage.columns);
    const bool by_rows = rows >= 4 * team * RECURRA_TILE_ROWS;
    auto task = [&](int k) {
        if (!by_rows)
            return multiply_panels<T>(stage, panels, bases, rows, part_begin(count, 1, team, k),
                                      part_begin(count, 1, team, k + 1));
        const int first = part_begin(rows, RECURRA_TILE_ROWS, team, k),
                  last = part_begin(rows, RECURRA_TILE_ROWS, team, k + 1);
        Part<T> parts[most_operands];
        read_operands(stage, bases, parts);
        for (int p = 0; p < stage.operand_count; ++p) parts[p].a += first * parts[p].stride;
        const Base<T>&to = bases[stage.result.slot], &from = bases[stage.start.slot];
        multiply<T>(parts, stage.operand_count, panels, stage.depth, stage.columns, 0, count, last - first,
                    to.p + stage.result.column + first * to.stride, to.stride,
                    stage.has_start ? from.p + stage.start.column + first * from.stride : nullptr, from.stride);
    };
    return team == 1 ? task(0) : parallel_for(team, task);
}

}  // namespace
}  // namespace recurra
