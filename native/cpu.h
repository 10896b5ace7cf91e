// What the CPU that runs this has.
#pragma once

namespace recurra {

// Whether the CPU and the system have the instruction set that a file in isa/ is named after.
bool cpu_has(const char* isa);

}  // namespace recurra
