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

// A product with matrices as they lie, whatever the number of rows: packing them would cost as much as four rows, and a
// row's result would depend on how many others there are.
template <class T>
void multiply_step(const StepLayer& layer, const Stage& stage, int rows) {
    const Base<T>* bases = static_cast<const Base<T>*>(layer.places);
    const int team = team_for(static_cast<double>(rows) * stage.depth * stage.columns);
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
            const int panels = narrow_panels(stage.columns);
            auto task = [&](int k) {
                multiply_narrow(tiles, rows, part_begin(panels, 1, team, k), part_begin(panels, 1, team, k + 1));
            };
            return team == 1 ? task(0) : parallel_for(team, task);
        }
    }
    Execution<T> e = {};
    e.buffers = reinterpret_cast<T**>(const_cast<void**>(layer.buffers));
    auto task = [&](int k) {
        multiply_as_it_lies(e, stage, bases, rows, part_begin(stage.columns, PANEL<T>, team, k),
                            part_begin(stage.columns, PANEL<T>, team, k + 1));
    };
    return team == 1 ? task(0) : parallel_for(team, task);
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
    for (int phase = first; phase < last; ++phase) {
        for (int k = 0; k < code.stage_count[phase]; ++k) {
            const Stage& stage = code.stages[phase][k];
            const int n = stage.rate == Rate::once ? 1 : rows;
            if (stage.kind == StageKind::program)
                run_program<T>(stage, static_cast<const Base<T>*>(layer.places), static_cast<T*>(layer.registers),
                               code.numbers, n);
            else
                multiply_step<T>(layer, stage, n);
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
