// The interpreter: a program's instructions over rows, a block of rows and columns at a time that stays in L1.
#pragma once

#include "code.h"
#include "elementary.h"
#include "simd.h"

namespace recurra {
namespace {

// Where the rows of a slot begin, for the rows that are worked on.
template <class T>
struct Base {
    T* p;
    std::ptrdiff_t stride;
};

constexpr int chunk_numbers = 256;  // as CHUNK in registers.py

// A block of rows and columns: `first` is its column, registers lie `width` apart.
template <class T>
struct Block {
    const Base<T>* bases;
    T* registers;
    const double* numbers;
    int row, rows, first, width;
};

// An operand in a block: its pointer for the first row, from row to row, and from vector to vector (0 for a number).
template <class T>
struct Operand {
    T* p;
    std::ptrdiff_t stride;
    int step;
};

template <class T>
inline Operand<T> operand(const Span& span, const Block<T>& b) {
    if (span.slot < 0) {
        const std::ptrdiff_t stride = span.number ? 1 : b.width;
        return {b.registers + span.column, stride, span.number ? 0 : LANES<T>};
    }
    const Base<T>& base = b.bases[span.slot];
    T* p = base.p + span.column + b.row * base.stride;
    return {span.number ? p : p + b.first, base.stride, span.number ? 0 : LANES<T>};
}

// Columns [0, width) of one row; operands at p, from vector to vector `step` apart: a constant where none is a number,
// so that the compiler unrolls.
template <class T, int N, class Step, class F>
inline __attribute__((always_inline)) void each_column(T* out, const T* const (&p)[N], int width, Step step, F f) {
    int j = 0;
#pragma GCC unroll 2
    for (; j + LANES<T> <= width; j += LANES<T>) {
        vec<T> v[N];
        for (int k = 0; k < N; ++k) v[k] = load<T>(p[k] + step(k, j));
        store<T>(out + j, f(v));
    }
    if (j == width) return;
    vec<T> v[N];
    for (int k = 0; k < N; ++k) v[k] = step(k, 1) ? load_partial(p[k] + j, width - j) : load<T>(p[k]);
    store_partial(out + j, f(v), width - j);
}

// Rows one after the other. A number is read as a splat that is stepped over by nothing.
template <class T, int N, class F>
inline void each_vector(const Block<T>& b, const Instruction& in, F f) {
    const Operand<T> to = operand<T>(in.result, b);
    Operand<T> from[N];
    bool numbers = false;
    for (int k = 0; k < N; ++k) {
        from[k] = operand<T>(in.arguments[k], b);
        numbers |= from[k].step == 0;
    }
    const int width = in.width == 1 && to.step == 0 ? 1 : b.width;
    for (int r = 0; r < b.rows; ++r) {
        T* out = to.p + r * to.stride;
        const T* p[N];
        for (int k = 0; k < N; ++k) p[k] = from[k].p + r * from[k].stride;
        if (!numbers) {
            each_column<T, N>(out, p, width, [](int, int j) { return j; }, f);
            continue;
        }
        alignas(64) T splat[N][LANES<T>];
        for (int k = 0; k < N; ++k) {
            if (from[k].step) continue;
            store<T>(splat[k], broadcast<T>(*p[k]));
            p[k] = splat[k];
        }
        each_column<T, N>(out, p, width, [&from](int k, int j) { return from[k].step ? j : 0; }, f);
    }
}

// Rows summed in vectors, four sums at a time so that additions do not wait for each other.
template <class T, class F>
inline T sum_row(int width, F f) {
    vec<T> sums[4] = {};
    int j = 0;
    for (; j + 4 * LANES<T> <= width; j += 4 * LANES<T>)
        for (int k = 0; k < 4; ++k) sums[k] += f(j + k * LANES<T>, LANES<T>);
    for (; j < width; j += LANES<T>) sums[0] += f(j, width - j < LANES<T> ? width - j : LANES<T>);
    return sum_lanes<T>((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

template <class T>
inline vec<T> load_some(const T* p, int n) {
    return n == LANES<T> ? load<T>(p) : load_partial(p, n);
}

// The first n lanes of v, zeros in the others.
template <class T>
inline vec<T> first_lanes(vec<T> v, int n) {
    if (n == LANES<T>) return v;
    alignas(64) T lanes[LANES<T>];
    store<T>(lanes, v);
    for (int k = n; k < LANES<T>; ++k) lanes[k] = 0;
    return load<T>(lanes);
}

template <class T>
inline T sum_of(const T* a, int width) {
    return sum_row<T>(width, [a](int j, int n) { return load_some<T>(a + j, n); });
}

template <class T, class F>
inline void each_row(const Block<T>& b, const Instruction& in, F f) {
    const Operand<T> to = operand<T>(in.result, b);
    Operand<T> from[3] = {};
    for (int k = 0; k < in.count; ++k) from[k] = operand<T>(in.arguments[k], b);
    for (int r = 0; r < b.rows; ++r) {
        const T* p[3] = {};
        for (int k = 0; k < in.count; ++k) p[k] = from[k].p + r * from[k].stride;
        f(to.p + r * to.stride, p);
    }
}

// 1 / sqrt(variance + eps) of a row.
template <class T>
inline void inv_std(const Block<T>& b, const Instruction& in) {
    const int width = in.width;
    const T eps = static_cast<T>(b.numbers[in.number]);
    each_row<T>(b, in, [=](T* out, const T* const* p) {
        const T* a = p[0];
        const vec<T> mean = broadcast<T>(sum_of<T>(a, width) / static_cast<T>(width));
        const T squares = sum_row<T>(width, [=](int j, int n) {
            const vec<T> d = first_lanes<T>(load_some<T>(a + j, n) - mean, n);
            return d * d;
        });
        const T variance = squares / static_cast<T>(width) + eps;
        *out = T(1) / static_cast<T>(__builtin_sqrt(static_cast<double>(variance)));
    });
}

// (a - mean a) s
template <class T>
inline void normalise(const Block<T>& b, const Instruction& in) {
    const int width = in.width;
    each_row<T>(b, in, [=](T* out, const T* const* p) {
        const vec<T> mean = broadcast<T>(sum_of<T>(p[0], width) / static_cast<T>(width)), s = broadcast<T>(*p[1]);
        int j = 0;
        for (; j + LANES<T> <= width; j += LANES<T>) store<T>(out + j, (load<T>(p[0] + j) - mean) * s);
        if (j < width) store_partial(out + j, (load_partial(p[0] + j, width - j) - mean) * s, width - j);
    });
}

// s (g - mean g - y mean(g y))
template <class T>
inline void dnormalise(const Block<T>& b, const Instruction& in) {
    const int width = in.width;
    each_row<T>(b, in, [=](T* out, const T* const* p) {
        const T *g = p[0], *y = p[1];
        const T scale = T(1) / static_cast<T>(width);
        const vec<T> mean = broadcast<T>(sum_of<T>(g, width) * scale), s = broadcast<T>(*p[2]);
        const vec<T> slope = broadcast<T>(
            scale * sum_row<T>(width, [=](int j, int n) { return load_some<T>(g + j, n) * load_some<T>(y + j, n); }));
        int j = 0;
        for (; j + LANES<T> <= width; j += LANES<T>)
            store<T>(out + j, s * (load<T>(g + j) - mean - load<T>(y + j) * slope));
        if (j < width) {
            const vec<T> left = load_partial(g + j, width - j) - mean - load_partial(y + j, width - j) * slope;
            store_partial(out + j, s * left, width - j);
        }
    });
}

template <class T>
inline void run_instruction(const Block<T>& b, const Instruction& in) {
    using V = vec<T>;
    const V one = broadcast<T>(1), zero = {};
    switch (in.operation) {
        case Operation::copy:
            return each_vector<T, 1>(b, in, [](V* v) { return v[0]; });
        case Operation::add:
            return each_vector<T, 2>(b, in, [](V* v) { return v[0] + v[1]; });
        case Operation::sub:
            return each_vector<T, 2>(b, in, [](V* v) { return v[0] - v[1]; });
        case Operation::mul:
            return each_vector<T, 2>(b, in, [](V* v) { return v[0] * v[1]; });
        case Operation::div:
            return each_vector<T, 2>(b, in, [](V* v) { return v[0] / v[1]; });
        case Operation::neg:
            return each_vector<T, 1>(b, in, [](V* v) { return -v[0]; });
        case Operation::tanh:
            return each_vector<T, 1>(b, in, [](V* v) { return v_tanh<T>(v[0]); });
        case Operation::sigmoid:
            return each_vector<T, 1>(b, in, [](V* v) { return v_sigmoid<T>(v[0]); });
        case Operation::relu:
            return each_vector<T, 1>(b, in, [=](V* v) { return v[0] <= zero ? zero : v[0]; });
        case Operation::exp:
            return each_vector<T, 1>(b, in, [](V* v) { return v_exp<T>(v[0]); });
        case Operation::log:
            return each_vector<T, 1>(b, in, [](V* v) { return v_log<T>(v[0]); });
        case Operation::logsigmoid:
            return each_vector<T, 1>(b, in, [](V* v) { return v_logsigmoid<T>(v[0]); });
        case Operation::sqrt:
            return each_vector<T, 1>(b, in, [](V* v) { return v_sqrt<T>(v[0]); });
        case Operation::rsqrt:
            return each_vector<T, 1>(b, in, [](V* v) { return v_rsqrt<T>(v[0]); });
        // As torch: NaN wherever either is NaN.
        case Operation::max:
            return each_vector<T, 2>(b, in, [](V* v) { return v[0] != v[0] || v[0] > v[1] ? v[0] : v[1]; });
        case Operation::min:
            return each_vector<T, 2>(b, in, [](V* v) { return v[0] != v[0] || v[0] < v[1] ? v[0] : v[1]; });
        case Operation::fma:
            return each_vector<T, 3>(b, in, [](V* v) { return v[0] * v[1] + v[2]; });
        case Operation::fnma:
            return each_vector<T, 3>(b, in, [](V* v) { return v[2] - v[0] * v[1]; });
        case Operation::dtanh:
            return each_vector<T, 2>(b, in, [=](V* v) { return v[0] * (one - v[1] * v[1]); });
        case Operation::dsigmoid:
            return each_vector<T, 2>(b, in, [=](V* v) { return v[0] * ((one - v[1]) * v[1]); });
        case Operation::drelu:
            return each_vector<T, 2>(b, in, [=](V* v) { return v[1] > zero ? v[0] : zero; });
        case Operation::pick:
            return each_vector<T, 3>(b, in, [=](V* v) {
                const V half = broadcast<T>(T(0.5));
                return v[0] * (v[1] > v[2] ? one : v[1] == v[2] ? half : zero);
            });
        case Operation::sum: {
            const int width = in.width;
            return each_row<T>(b, in, [=](T* out, const T* const* p) { *out = sum_of<T>(p[0], width); });
        }
        case Operation::inv_std:
            return inv_std<T>(b, in);
        case Operation::normalise:
            return normalise<T>(b, in);
        case Operation::dnormalise:
            return dnormalise<T>(b, in);
    }
}

// Starts fetching what the program reads and writes in the rows that follow the block's: they lie a row's width apart,
// often beyond what the processor foresees.
template <class T>
inline void fetch_rows_after(const Stage& stage, const Block<T>& b) {
    constexpr int STEP = line_bytes / static_cast<int>(sizeof(T));
    auto fetch = [&b](const Span& span) {
        if (span.slot < 0 || span.number || b.bases[span.slot].stride == 0) return;
        const Base<T>& base = b.bases[span.slot];
        const T* p = base.p + span.column + (b.row + b.rows) * base.stride + b.first;
        for (int n = 0; n < b.width; n += STEP) __builtin_prefetch(p + n);
    };
    for (int k = 0; k < stage.instruction_count; ++k) {
        const Instruction& in = stage.instructions[k];
        fetch(in.result);
        for (int j = 0; j < in.count; ++j) fetch(in.arguments[j]);
    }
}

// A program over rows [0, rows) from where the bases point. In chunks: several narrow rows, or part of a wide one.
template <class T>
void run_program(const Stage& stage, const Base<T>* bases, T* registers, const double* numbers, int rows) {
    if (stage.instruction_count == 0) return;
    const int width = stage.instructions[0].width;
    const int together = !stage.chunked || width > chunk_numbers / 2 ? 1 : chunk_numbers / width;
    const int chunk = stage.chunked && width > chunk_numbers ? chunk_numbers : width;
    for (int row = 0; row < rows; row += together) {
        Block<T> b = {bases, registers, numbers, row, rows - row < together ? rows - row : together, 0, chunk};
        if (!stage.chunked) {
            for (int k = 0; k < stage.instruction_count; ++k) {
                b.width = stage.instructions[k].width;
                run_instruction<T>(b, stage.instructions[k]);
            }
            continue;
        }
        for (b.first = 0; b.first < width; b.first += chunk) {
            b.width = width - b.first < chunk ? width - b.first : chunk;
            if (together == 1 && row + 1 < rows) fetch_rows_after(stage, b);
            for (int k = 0; k < stage.instruction_count; ++k) run_instruction<T>(b, stage.instructions[k]);
        }
    }
}

}  // namespace
}  // namespace recurra
