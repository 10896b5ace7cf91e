// One step of a network as the kernels run it, layer by layer: what each instruction set offers for it.
#pragma once

#include "code.h"

namespace recurra {

// What the matrices of a stream are held in: as they lie in the caller's memory, or rounded copies.
enum class Narrow : int { none, bf16, int8 };

// A rounded copy of a product's matrices.
struct NarrowProduct {
    Narrow kind;
    void* panels;
    float* scales;  // int8: one for each column of the product
};

// A layer with its memory. Of each buffer there are as many rows as the step has.
struct StepLayer {
    const Code* code;
    void* const* buffers;         // by number
    const NarrowProduct* narrow;  // by product; null: matrices as they lie
    void* places;                 // room for as many places as the code has slots, 16 bytes each
    void *local, *registers;      // room for code->local_width numbers a row, and for code->registers
    bool back;                    // read the matrices from their ends
};

struct StepKernels {
    // The stages of phases [first, last) for `rows` rows, one step. The new states go to their final buffers.
    void (*run)(const StepLayer& layer, int rows, int first, int last);
    // Bytes of a rounded copy of a product.
    std::size_t (*narrow_bytes)(const Stage& product, Narrow kind);
    // Makes a rounded copy: `panels` of narrow_bytes bytes and `scales` of product.columns numbers.
    void (*narrow)(const Stage& product, void* const* buffers, const NarrowProduct& to);
    // out = in - log(sum(exp(in))), both n numbers.
    void (*log_softmax)(const void* in, void* out, int n);
    // out = exp((in - most) * scale), n numbers, and in `sums` the sum of each `block` of them.
    void (*exponentials)(const void* in, void* out, int n, double most, double scale, double* sums, int block);
};

}  // namespace recurra
