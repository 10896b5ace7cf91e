// What each instruction set exports: one table of functions, see isa/.
#pragma once

#include "code.h"

namespace recurra {

struct Kernels {
    const char* name;  // of the instruction set
    void (*run_f32)(const Run* runs, int count);
    void (*run_f64)(const Run* runs, int count);
};

}  // namespace recurra
