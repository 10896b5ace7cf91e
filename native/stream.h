// A step of a layer: every stage of its code once, on the same rows.
#pragma once

#include "narrow.h"
#include "stages.h"

namespace recurra {
namespace {

// Where each slot's rows are: of a single step all lie at the beginning of their buffers, and what enters it is the
// initial state.
template <class T>
void place_slots(const StepLayer& layer, int rows) {
    Base<T>* bases = static_cast<Base<T>*>(layer.places);
    for (int k = 0; k < layer.code->slot_count; ++k) {
        const Slot& slot = layer.code->slots[k];
        if (slot.kind == Kind::local)
            bases[k] = {static_cast<T*>(layer.local) + static_cast<ptrdiff_t>(slot.offset) * rows, slot.width};
        else
            bases[k] = {static_cast<T*>(layer.buffers[slot.buffer]), slot.kind == Kind::once ? 0 : slot.width};
    }
}

// Columns of a product that are computed at a time, whole panels of rounded copies; and bytes of matrices up to which
// they are computed all at once, since all of them stay near.
constexpr int step_columns = 128;
static_assert(step_columns % narrow_columns == 0);
constexpr double near_bytes = 640 * 1024;

// Columns [first, last) of a product with matrices as they lie, whatever the number of rows: packing them would cost as
// much as four rows, and a row's result would depend on how many others there are.
template <class T>
void multiply_columns(const StepLayer& layer, const Stage& stage, int rows, int first, int last) {
    const Base<T>* bases = static_cast<const Base<T>*>(layer.places);
    if constexpr (sizeof(T) == sizeof(float)) {
        if (layer.narrow) {
            Part<T> parts[most_operands];
            read_operands(stage, bases, parts);
            const Base<T>&to = bases[stage.result.slot], &from = bases[stage.start.slot];
            const NarrowTiles tiles = {parts,
                                       stage.operand_count,
                                       stage.depth,
                                       stage.columns,
                                       layer.narrow + stage.product,
                                       to.p + stage.result.column,
                                       to.stride,
                                       stage.has_start ? from.p + stage.start.column : nullptr,
                                       from.stride};
            return multiply_narrow(tiles, rows, first / narrow_columns, narrow_panels(last));
        }
    }
    Execution<T> e = {};
    e.buffers = reinterpret_cast<T**>(const_cast<void**>(layer.buffers));
    multiply_as_it_lies(e, stage, bases, rows, first, last);
}

// Products that do not read each other but for the start of the same columns, side by side: the one after the other,
// each would drive the other's matrix out of the cache. The order of columns changes no result.
template <class T>
void multiply_step(const StepLayer& layer, const Stage* const* stages, int count, int rows) {
    double numbers = 0;
    int columns = 0;
    for (int k = 0; k < count; ++k) {
        numbers += static_cast<double>(stages[k]->depth) * stages[k]->columns;
        columns = stages[k]->columns > columns ? stages[k]->columns : columns;
    }
    const int team = team_for(rows * numbers);
    const bool near = team == 1 && numbers * sizeof(T) <= near_bytes;
    const int width = near ? (columns + step_columns - 1) / step_columns * step_columns : step_columns;
    const int blocks = (columns + width - 1) / width;
    auto task = [&](int member) {
        const int begin = part_begin(blocks, 1, team, member), end = part_begin(blocks, 1, team, member + 1);
        for (int b = begin; b < end; ++b) {
            const int first = (layer.back ? begin + end - 1 - b : b) * width;
            for (int k = 0; k < count; ++k) {
                const int last = first + width < stages[k]->columns ? first + width : stages[k]->columns;
                if (first < last) multiply_columns<T>(layer, *stages[k], rows, first, last);
            }
        }
    };
    return team == 1 ? task(0) : parallel_for(team, task);
}

// Whether the stage after stage k of a phase can be multiplied beside it; null where it cannot.
inline const Stage* find_beside(const Code& code, int phase, int k) {
    const Stage& stage = code.stages[phase][k];
    const bool more = k + 1 < code.stage_count[phase], following = phase == 0 && code.stage_count[1] > 0;
    const Stage* next = more ? &stage + 1 : following ? code.stages[1] : nullptr;
    if (!next || stage.kind != StageKind::multiply || next->kind != StageKind::multiply) return nullptr;
    if (stage.rate == Rate::once || next->rate == Rate::once) return nullptr;
    const Slot& made = code.slots[stage.result.slot];
    auto reads = [&](const Span& span) {
        const Slot& slot = code.slots[span.slot];
        return span.slot == stage.result.slot ||
               (slot.kind != Kind::local && made.kind != Kind::local && slot.buffer == made.buffer);
    };
    for (int j = 0; j < next->operand_count; ++j)
        if (reads(next->operands[j])) return nullptr;
    const bool starts = next->has_start && reads(next->start);
    const bool same = next->start.slot == stage.result.slot && next->start.column == stage.result.column;
    return starts && !same ? nullptr : next;
}

// The new states, to where the next step finds them.
template <class T>
void keep_states(const StepLayer& layer, int rows) {
    const Code& code = *layer.code;
    const Base<T>* bases = static_cast<const Base<T>*>(layer.places);
    for (int k = 0; k < code.state_count; ++k) {
        const State& state = code.states[k];
        const Base<T>& from = bases[state.next.slot];
        const Slot& final = code.slots[state.final];
        T* to = static_cast<T*>(layer.buffers[final.buffer]);
        for (int r = 0; r < rows; ++r)
            std::memcpy(to + r * static_cast<ptrdiff_t>(final.width), from.p + state.next.column + r * from.stride,
                        sizeof(T) * final.width);
    }
}

template <class T>
void run_step(const StepLayer& layer, int rows, int first, int last) {
    const Code& code = *layer.code;
    place_slots<T>(layer, rows);
    const Stage* waiting = nullptr;  // a product, for the next one
    for (int phase = first; phase < last; ++phase) {
        for (int k = 0; k < code.stage_count[phase]; ++k) {
            const Stage& stage = code.stages[phase][k];
            const int n = stage.rate == Rate::once ? 1 : rows;
            if (stage.kind == StageKind::program) {
                run_program<T>(stage, static_cast<const Base<T>*>(layer.places), static_cast<T*>(layer.registers),
                               code.numbers, n);
                continue;
            }
            if (!waiting && (phase || last > 1) && find_beside(code, phase, k)) {
                waiting = &stage;
                continue;
            }
            const Stage* both[] = {waiting ? waiting : &stage, &stage};
            multiply_step<T>(layer, both, waiting ? 2 : 1, n);
            waiting = nullptr;
        }
        if (phase == 1) keep_states<T>(layer, rows);
    }
}

template <class T>
T most_of(const T* in, int n) {
    vec<T> most = broadcast<T>(in[0]);
    int j = 0;
    for (; j + LANES<T> <= n; j += LANES<T>) most = maximum<T>(most, load(in + j));
    T found = in[0];
    for (int k = 0; k < LANES<T>; ++k) found = most[k] > found ? most[k] : found;
    for (; j < n; ++j) found = in[j] > found ? in[j] : found;
    return found;
}

template <class T>
void exponentials(const void* from, void* to, int n, double most, double scale, double* sums, int block) {
    const T* in = static_cast<const T*>(from);
    T* out = static_cast<T*>(to);
    const vec<T> top = broadcast<T>(static_cast<T>(most)), by = broadcast<T>(static_cast<T>(scale));
    for (int first = 0; first < n; first += block, ++sums) {
        const int last = first + block < n ? first + block : n;
        vec<T> sum = {};
        int j = first;
        for (; j + LANES<T> <= last; j += LANES<T>) {
            const vec<T> e = v_exp<T>((load(in + j) - top) * by);
            sum += e;
            store<T>(out + j, e);
        }
        if (j < last) {
            const vec<T> e = first_lanes<T>(v_exp<T>((load_partial(in + j, last - j) - top) * by), last - j);
            sum += e;
            store_partial(out + j, e, last - j);
        }
        *sums = static_cast<double>(sum_lanes<T>(sum));
    }
}

template <class T>
void log_softmax(const void* from, void* to, int n) {
    const T* in = static_cast<const T*>(from);
    T* out = static_cast<T*>(to);
    const T most = most_of(in, n);
    constexpr int block = 256;
    double total = 0;
    for (int j = 0; j < n; j += block) {
        double sum;
        exponentials<T>(in + j, out + j, n - j < block ? n - j : block, most, 1, &sum, block);
        total += sum;
    }
    const T rest = static_cast<T>(__builtin_log(total));
    for (int j = 0; j < n; ++j) out[j] = (in[j] - most) - rest;
}

template <class T>
constexpr StepKernels step_kernels = {run_step<T>, narrow_bytes_of, narrow_product, log_softmax<T>, exponentials<T>};

}  // namespace
}  // namespace recurra
