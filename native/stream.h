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

// Columns [first, last) of a product's start, copied to its result by the instructions of a program.
template <class T>
void copy_start(const StepLayer& layer, const Stage& program, const Span& result, int rows, int first, int last) {
    const Base<T>* bases = static_cast<const Base<T>*>(layer.places);
    for (int k = 0; k < program.instruction_count; ++k) {
        const Span &to = program.instructions[k].result, &from = program.instructions[k].arguments[0];
        const int place = to.column - result.column;
        const int begin = place > first ? place : first, end = place + to.width < last ? place + to.width : last;
        if (begin >= end) continue;
        const Base<T>&target = bases[to.slot], &source = bases[from.slot];
        for (int r = 0; r < rows; ++r)
            std::memcpy(target.p + r * target.stride + result.column + begin,
                        source.p + r * source.stride + from.column + begin - place, sizeof(T) * (end - begin));
    }
}

// Products that are computed together, side by side: one after the other, each would drive the other's matrix out of
// the cache. The order of columns changes no result. Between them may be a program that copies the last one's start.
struct Beside {
    const Stage *first, *copies, *last;  // the first two may be null
};

template <class T>
void multiply_step(const StepLayer& layer, const Beside& stages, int rows) {
    const Stage &last = *stages.last, &any = stages.first ? *stages.first : last;
    const double numbers = static_cast<double>(last.depth) * last.columns +
                           (stages.first ? static_cast<double>(any.depth) * any.columns : 0);
    const int columns = last.columns > any.columns ? last.columns : any.columns;
    const int team = team_for(rows * numbers);
    const bool near = team == 1 && numbers * sizeof(T) <= near_bytes;
    const int width = near ? (columns + step_columns - 1) / step_columns * step_columns : step_columns;
    const int blocks = (columns + width - 1) / width;
    auto task = [&](int member) {
        const int begin = part_begin(blocks, 1, team, member), end = part_begin(blocks, 1, team, member + 1);
        for (int b = begin; b < end; ++b) {
            const int from = (layer.back ? begin + end - 1 - b : b) * width, to = from + width;
            if (stages.first && from < any.columns)
                multiply_columns<T>(layer, any, rows, from, to < any.columns ? to : any.columns);
            if (from >= last.columns) continue;
            if (stages.copies) copy_start<T>(layer, *stages.copies, last.result, rows, from, to);
            multiply_columns<T>(layer, last, rows, from, to < last.columns ? to : last.columns);
        }
    };
    return team == 1 ? task(0) : parallel_for(team, task);
}

// Whether two slots may be the same memory in a step.
inline bool share_memory(const Code& code, int a, int b) {
    const Slot &one = code.slots[a], &other = code.slots[b];
    return a == b || (one.kind != Kind::local && other.kind != Kind::local && one.buffer == other.buffer);
}

// Whether a start, or what is copied to it for columns from `column` on, is not of `made`, or the same columns of it.
inline bool starts_beside(const Code& code, const Span& start, int column, const Span& made) {
    if (start.slot < 0 || start.number) return false;
    if (!share_memory(code, start.slot, made.slot)) return true;
    return start.slot == made.slot && start.column == made.column + column;
}

// Whether a program does nothing but copy to the result of `product` what may be read beside `made`.
inline bool copies_start(const Code& code, const Stage& program, const Stage& product, const Span& made) {
    for (int k = 0; k < program.instruction_count; ++k) {
        const Instruction& in = program.instructions[k];
        const int column = in.result.column - product.result.column;
        if (in.operation != Operation::copy || in.result.slot != product.result.slot || in.result.number) return false;
        if (column < 0 || column + in.result.width > product.columns) return false;
        if (!starts_beside(code, in.arguments[0], column, made)) return false;
    }
    return true;
}

// What can be computed beside the product that is the last stage before the loop, or null.
inline Beside find_beside(const Code& code) {
    const int count = code.stage_count[1];
    const Stage* first = code.stage_count[0] ? code.stages[0] + code.stage_count[0] - 1 : nullptr;
    if (!first || first->kind != StageKind::multiply || first->rate == Rate::once || !count) return {};
    const Stage* copies = count > 1 && code.stages[1]->kind == StageKind::program ? code.stages[1] : nullptr;
    const Stage* last = copies ? copies + 1 : code.stages[1];
    if (last->kind != StageKind::multiply || share_memory(code, last->result.slot, first->result.slot)) return {};
    for (int k = 0; k < last->operand_count; ++k)
        if (share_memory(code, last->operands[k].slot, first->result.slot)) return {};
    const bool own = last->start.slot == last->result.slot && last->start.column == last->result.column;
    if (copies && !(last->has_start && own && copies_start(code, *copies, *last, first->result))) return {};
    if (last->has_start && !copies && !starts_beside(code, last->start, 0, first->result)) return {};
    return {first, copies, last};
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
    const Beside beside = first == 0 && last > 1 ? find_beside(code) : Beside{};
    for (int phase = first; phase < last; ++phase) {
        for (int k = 0; k < code.stage_count[phase]; ++k) {
            const Stage& stage = code.stages[phase][k];
            const int n = stage.rate == Rate::once ? 1 : rows;
            if (&stage == beside.first || &stage == beside.copies) continue;
            if (stage.kind == StageKind::program)
                run_program<T>(stage, static_cast<const Base<T>*>(layer.places), static_cast<T*>(layer.registers),
                               code.numbers, n);
            else
                multiply_step<T>(layer, &stage == beside.last ? beside : Beside{nullptr, nullptr, &stage}, n);
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
