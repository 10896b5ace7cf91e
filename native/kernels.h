// What each instruction set exports: one table of functions, see isa/.
#pragma once

#include "code.h"
#include "cross_entropy.h"
#include "linear_chain.h"
#include "step.h"

namespace recurra {

struct Kernels {
    const char* name;  // of the instruction set
    void (*run_f32)(const Run* runs, int count);
    void (*run_f64)(const Run* runs, int count);
    StepKernels step_f32, step_f64;
    double (*multiply_add)(long loops);  // see limit.h
    void (*cross_entropy_f32)(const CrossEntropy<float>& call);
    void (*cross_entropy_f64)(const CrossEntropy<double>& call);
    void (*chain_loss_f32)(const ChainLoss<float>& call);
    void (*chain_loss_f64)(const ChainLoss<double>& call);
    void (*best_paths)(const ChainPaths& call);
};

}  // namespace recurra
