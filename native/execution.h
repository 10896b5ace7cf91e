// One run in the kernels' type: its buffers, and where the rows of a step are found.
#pragma once

#include "code.h"
#include "memory.h"
#include "program.h"

namespace recurra {
namespace {

using std::ptrdiff_t;

template <class T>
struct Execution {
    Run run;
    T** buffers;  // by number, those too that the run makes for itself
    T** panels;   // packed matrices of the loop's products; null where they are used as they lie
    int window;   // steps that the code's windowed product makes at a time; 0 where it is made before the loop

    bool in_window(const Slot& slot) const {
        return window > 0 && slot.buffer == run.code->slots[run.code->windowed->result.slot].buffer;
    }
};

inline ptrdiff_t rows_of(const Batch& batch, Extent rows) {
    switch (rows) {
        case Extent::once:
            return 1;
        case Extent::sequence:
            return batch.batch;
        case Extent::step:
            return batch.offset[batch.steps];
        case Extent::carry:
            return 2 * static_cast<ptrdiff_t>(batch.batch);
    }
    return 0;
}

constexpr ptrdiff_t aligned(ptrdiff_t bytes) { return (bytes + 63) / 64 * 64; }

// Of a buffer of the run's own.
template <class T>
inline ptrdiff_t buffer_bytes(const Run& run, int buffer, int window) {
    const Code& code = *run.code;
    const bool windowed = window > 0 && code.slots[code.windowed->result.slot].buffer == buffer;
    const ptrdiff_t rows =
        windowed ? static_cast<ptrdiff_t>(window) * run.batch.batch : rows_of(run.batch, code.buffers[buffer].rows);
    return aligned(rows * code.buffers[buffer].width * static_cast<ptrdiff_t>(sizeof(T)));
}

// Memory that a run needs besides what it is given: pointers, constants, buffers of its own.
template <class T>
inline ptrdiff_t own_bytes(const Run& run, int window) {
    const Code& code = *run.code;
    ptrdiff_t bytes = aligned(static_cast<ptrdiff_t>(sizeof(T*)) * code.buffer_count) +
                      aligned(static_cast<ptrdiff_t>(sizeof(T*)) * code.product_count) +
                      aligned(static_cast<ptrdiff_t>(sizeof(T)) * code.constant_count);
    for (int k = 1; k < code.buffer_count; ++k)
        if (!code.buffers[k].given) bytes += buffer_bytes<T>(run, k, window);
    return bytes;
}

// Lays a run's own memory out from `at` on; gives where it ends. Buffer 0 holds the constants.
template <class T>
inline char* open_run(Execution<T>& e, const Run& run, int window, char* at) {
    const Code& code = *run.code;
    e.run = run;
    e.window = window;
    e.buffers = reinterpret_cast<T**>(at);
    at += aligned(static_cast<ptrdiff_t>(sizeof(T*)) * code.buffer_count);
    e.panels = reinterpret_cast<T**>(at);
    at += aligned(static_cast<ptrdiff_t>(sizeof(T*)) * code.product_count);
    T* constants = reinterpret_cast<T*>(at);
    at += aligned(static_cast<ptrdiff_t>(sizeof(T)) * code.constant_count);
    for (int k = 0; k < code.constant_count; ++k) constants[k] = static_cast<T>(code.constants[k]);
    e.buffers[0] = constants;
    for (int k = 1; k < code.buffer_count; ++k) {
        e.buffers[k] = static_cast<T*>(run.buffers[k]);
        if (code.buffers[k].given) continue;
        e.buffers[k] = reinterpret_cast<T*>(at);
        at += buffer_bytes<T>(run, k, window);
    }
    for (int k = 0; k < code.product_count; ++k) e.panels[k] = nullptr;
    return at;
}

// Where each slot's rows of a step begin, for sequences [first, last), and this thread's own memory for them.
template <class T>
class Resolver {
public:
    Base<T>* bases;
    T* registers;

    Resolver(const Execution<T>& e, int first, int last) : e_(e), code_(*e.run.code), first_(first), last_(last) {
        const ptrdiff_t table = aligned(static_cast<ptrdiff_t>(sizeof(Base<T>)) * code_.slot_count);
        const ptrdiff_t rows = static_cast<ptrdiff_t>(last - first) * code_.local_width * sizeof(T);
        const ptrdiff_t window = aligned(static_cast<ptrdiff_t>(sizeof(int)) * e.window);
        char* memory = static_cast<char*>(scratch(Scratch::rows, static_cast<std::size_t>(table + window + rows)));
        bases = reinterpret_cast<Base<T>*>(memory);
        window_ = reinterpret_cast<int*>(memory + table);
        local_ = reinterpret_cast<T*>(memory + table + window);
        registers = static_cast<T*>(scratch(Scratch::registers, (code_.registers + 16) * sizeof(T)));
        for (int k = 0; k < code_.slot_count; ++k) fixed(k);
    }

    // How many of the sequences are active at step t.
    int rows(int t) const {
        const int active = static_cast<int>(e_.run.batch.active[t]);
        return (active < last_ ? active : last_) - first_;
    }

    // Bases for `rows` rows of step t; `turn` is 0 and 1 in turn.
    void resolve(int t, int turn, int rows) {
        for (int k = 0; k < code_.slot_count; ++k) {
            const Kind kind = code_.slots[k].kind;
            if (kind == Kind::step || kind == Kind::carry)
                bases[k].p = at(code_.slots[k], t, turn).p;
            else if (kind == Kind::enter)
                bases[k] = entering(code_.slots[k], t, turn, rows);
        }
    }

    // Step t's rows begin at `row` of this thread's window.
    void place_in_window(int t, int row) { window_[t % e_.window] = row; }

    // Bases of what lies by steps, for step t alone.
    void resolve_steps(int t) {
        for (int k = 0; k < code_.slot_count; ++k)
            if (code_.slots[k].kind == Kind::step) bases[k].p = at(code_.slots[k], t, 0).p;
    }

    // Bases of step t alone for the rows that were there one step before (in the slot's order of time).
    int before(const Slot& slot, int t) const {
        const int previous = step_before(slot, t);
        return previous < 0 || previous >= e_.run.batch.steps ? 0 : rows(previous);
    }
    int step_before(const Slot& slot, int t) const {
        return (slot.forward ? e_.run.forward_reverse : e_.run.reverse) ? t + 1 : t - 1;
    }
    Base<T> initial(const Slot& slot) const {
        return {e_.buffers[slot.buffer] + first_ * static_cast<ptrdiff_t>(slot.width), slot.width};
    }
    Base<T> followed(const Slot& slot, int t, int turn) const {
        Base<T> base = at(code_.slots[slot.of], step_before(slot, t), turn);
        base.p += slot.column;
        return base;
    }

private:
    void fixed(int k) {
        const Slot& slot = code_.slots[k];
        switch (slot.kind) {
            case Kind::once:
                bases[k] = {e_.buffers[slot.buffer], 0};
                break;
            case Kind::sequence:
                bases[k] = initial(slot);
                break;
            case Kind::local:
                bases[k] = local(slot);
                break;
            default:
                bases[k] = {nullptr, slot.width};
        }
    }

    Base<T> local(const Slot& slot) const {
        return {local_ + static_cast<ptrdiff_t>(slot.offset) * (last_ - first_), slot.width};
    }

    Base<T> at(const Slot& slot, int t, int turn) const {
        const ptrdiff_t width = slot.width;
        T* p = e_.buffers[slot.buffer];
        switch (slot.kind) {
            case Kind::step:
                return {p + row_of(slot, t) * width, width};
            case Kind::carry:
                return {p + (turn * static_cast<ptrdiff_t>(e_.run.batch.batch) + first_) * width, width};
            case Kind::sequence:
                return {p + first_ * width, width};
            default:
                return {p, 0};
        }
    }

    // Where a step's rows begin in what lies by steps. In a window each thread has its own rows side by side.
    ptrdiff_t row_of(const Slot& slot, int t) const {
        if (!e_.in_window(slot)) return e_.run.batch.offset[t] + first_;
        return static_cast<ptrdiff_t>(e_.window) * first_ + window_[t % e_.window];
    }

    // The rows that were active one step before from there, those that begin from the initial state; together where
    // there are both.
    Base<T> entering(const Slot& slot, int t, int turn, int rows) const {
        const int old = before(slot, t);
        if (old <= 0) return initial(slot);
        const Base<T> from = followed(slot, t, 1 - turn);
        if (old >= rows) return from;
        const Base<T> begin = initial(slot), to = local(slot);
        for (int r = 0; r < rows; ++r) {
            const Base<T>& source = r < old ? from : begin;
            std::memcpy(to.p + r * to.stride, source.p + r * source.stride, sizeof(T) * slot.width);
        }
        return to;
    }

    const Execution<T>& e_;
    const Code& code_;
    const int first_, last_;
    T* local_;
    int* window_;  // of each step in the window, where its rows begin
};

}  // namespace
}  // namespace recurra
