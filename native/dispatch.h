// Which instruction set runs: the best that the CPU has, or the one that RECURRA_ISA names.
#pragma once

#include <string>
#include <vector>

#include "kernels.h"

namespace recurra {

// Names of the instruction sets in this build that this CPU has, the best first.
std::vector<std::string> available_isas();

// The kernels in use. Throws std::invalid_argument where RECURRA_ISA names an instruction set that is unknown or that
// the CPU lacks. The environment is read once, at the first call.
const Kernels& kernels();

}  // namespace recurra
