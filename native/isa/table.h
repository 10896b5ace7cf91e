// The body of every file in isa/: all kernels, compiled for one instruction set, and the table of them, which is the
// only symbol that leaves the object file.
#pragma once

#include "../kernels.h"
#include "../limit.h"
#include "../loss.h"
#include "../sequence.h"
#include "../stream.h"
#include "../viterbi.h"

namespace recurra {

extern const Kernels RECURRA_TABLE;
const Kernels RECURRA_TABLE = {
    RECURRA_NAME, run_codes<float>,     run_codes<double>,     step_kernels<float>, step_kernels<double>,
    multiply_add, cross_entropy<float>, cross_entropy<double>, chain_loss<float>,   chain_loss<double>,
    best_paths};

}  // namespace recurra
