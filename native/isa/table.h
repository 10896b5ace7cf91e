// The body of every file in isa/: all kernels, compiled for one instruction set, and the table of them, which is the
// only symbol that leaves the object file.
#pragma once

#include "../kernels.h"
#include "../sequence.h"

namespace recurra {

extern const Kernels RECURRA_TABLE;
const Kernels RECURRA_TABLE = {RECURRA_NAME, run_codes<float>, run_codes<double>};

}  // namespace recurra
