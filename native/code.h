// A plan as the kernels run it: the twin of recurra/backends/native/code.py, which says what each part means.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace recurra {

enum class Operation : int {
    copy,
    add,
    sub,
    mul,
    div,
    neg,
    tanh,
    sigmoid,
    relu,
    exp,
    log,
    logsigmoid,
    sqrt,
    rsqrt,
    max,
    min,
    fma,
    fnma,
    dtanh,
    dsigmoid,
    drelu,
    pick,
    sum,
    inv_std,
    normalise,
    dnormalise
};

enum class Extent : int { once, sequence, step, carry };
enum class Kind : int { once, sequence, step, carry, enter, local };
enum class Rate : int { once, sequence, step, loop };

struct Buffer {
    Extent rows;
    int width;
    bool given;
};

struct Slot {
    Kind kind;
    int width, buffer, offset, of, column;
    bool forward;
};

struct Span {
    int slot, column, width;  // slot -1: a register, column its place in the program's own memory
    bool number;
};

struct Instruction {
    Operation operation;
    int width, number, count;
    Span result, arguments[3];
};

struct Matrix {
    int buffer;
    std::ptrdiff_t offset, k_stride, n_stride;
    int depth, columns;
};

enum class StageKind : int { program, multiply, outer, total };

struct Stage {
    StageKind kind;
    Rate rate;
    bool chunked, flat, has_start, accumulate;
    int registers;       // numbers of a program's own memory
    int depth, columns;  // of a product, operands and results together
    int product;         // which of the code's products
    int buffer;          // outer: the weight's gradient
    std::ptrdiff_t offset, stride;
    Span result, start;  // outer: result is the gradient, start the operand; total: start is the source
    const Instruction* instructions;
    int instruction_count;
    const Span* operands;
    int operand_count;
    const Matrix* matrices;  // [row][operand]
    int matrix_rows;
};

struct State {
    Span next;
    int initial, final;
};

// Parsed once for each plan. Plain arrays, so that kernels read it without the templates of the standard library.
struct Code {
    const Buffer* buffers;
    const Slot* slots;
    const Stage* stages[3];  // before, in and after the loop
    const State* states;
    const double *constants, *numbers;
    int buffer_count, slot_count, stage_count[3], state_count, constant_count;
    int local_width;    // numbers per row of each thread's own rows
    int registers;      // numbers of the largest program's own memory
    int product_count;  // products, each with its place among the packed matrices
    double work[3];     // multiplications for each row, by phase: whether threads are worth starting
    // The last stage before the loop, where it is a product that the loop alone reads: it can be made some steps at a
    // time, in a window that stays in the cache. Null where there is none.
    const Stage* windowed;

    // Throws std::invalid_argument for numbers that are no code.
    Code(const std::vector<std::int64_t>& flat, const std::vector<double>& numbers);
    ~Code();
    Code(const Code&) = delete;
    Code& operator=(const Code&) = delete;

    struct Storage;

private:
    Storage* storage_;
};

// How the rows of a batch lie: `active[t]` sequences at step t, longest first; packed rows of step t begin at
// `offset[t]`, `offset[steps]` of them in all.
struct Batch {
    int steps, batch;
    const std::int64_t *active, *offset;
};

// One run of a code: buffers by number (null where the run makes its own), in the type of the kernel.
struct Run {
    const Code* code;
    void** buffers;
    Batch batch;
    bool reverse;          // against time
    bool forward_reverse;  // of the forward pass that a gradient belongs to
};

}  // namespace recurra
