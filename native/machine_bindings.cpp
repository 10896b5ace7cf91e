// What the extension tells of the machine, and the number of threads.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <atomic>

#include "bindings.h"
#include "dispatch.h"
#include "threads.h"

namespace nb = nanobind;

namespace recurra {
namespace {

// For each task the number of the team's thread that ran it, by the order in which threads came.
std::vector<int> team(int tasks) {
    std::vector<int> ran(tasks);
    static std::atomic<int> seen{0};
    auto note = [&](int index) {
        thread_local const int mine = seen++;
        ran[index] = mine;
    };
    parallel_for(tasks, note);
    return ran;
}

}  // namespace

void bind_machine(nb::module_& m) {
    m.def("isa", [] { return kernels().name; }, "The instruction set in use; ValueError where RECURRA_ISA is bad.");
    m.def("available_isas", &available_isas, "Instruction sets that this build and this CPU have, the best first.");
    m.def("set_threads", &set_threads, "threads"_a, "Threads for what this Python thread calls; 0: as many as OpenMP.");
    m.def("threads", &threads, "Threads for what this Python thread calls.");
    m.def("thread_runtime", &thread_runtime, "Path of the OpenMP runtime whose team is shared, or an empty string.");
    m.def("team", &team, "tasks"_a, nb::call_guard<nb::gil_scoped_release>(),
          "Run empty tasks in parallel; for each, a number that tells its thread from others.");
}

}  // namespace recurra
