// Linked to each test program: ends it as skipped, before anything else of it runs, where the CPU lacks the
// instruction set that the test was compiled for. This file itself is compiled for every CPU.
#include <cstdio>
#include <cstdlib>

#include "../cpu.h"

__attribute__((constructor(101))) static void skip_without_isa() {
    if (recurra::cpu_has(RECURRA_NAME)) return;
    std::printf("skipped: this CPU lacks %s\n", RECURRA_NAME);
    std::_Exit(77);
}
