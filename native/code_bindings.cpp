// Codes and their runs. Tensors come as data pointers.
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <chrono>

#include "bindings.h"
#include "dispatch.h"
#include "threads.h"

namespace nb = nanobind;

namespace recurra {
namespace {

using Job = std::tuple<const Code*, std::vector<std::uintptr_t>, bool, bool>;

// Runs jobs that share a layout: (code, pointers by buffer, against time, forward pass against time).
void run(bool doubles, const std::vector<Job>& jobs, const std::vector<std::int64_t>& active, int batch) {
    std::vector<std::int64_t> offset(active.size() + 1);
    for (std::size_t t = 0; t < active.size(); ++t) offset[t + 1] = offset[t] + active[t];
    const Batch rows = {static_cast<int>(active.size()), batch, active.data(), offset.data()};
    std::vector<Run> runs;
    for (const auto& [code, pointers, reverse, forward_reverse] : jobs) {
        if (static_cast<int>(pointers.size()) != code->buffer_count)
            throw std::invalid_argument("as many pointers as the code has buffers");
        void** buffers = reinterpret_cast<void**>(const_cast<std::uintptr_t*>(pointers.data()));
        runs.push_back({code, buffers, rows, reverse, forward_reverse});
    }
    const Kernels& best = kernels();
    nb::gil_scoped_release free;
    (doubles ? best.run_f64 : best.run_f32)(runs.data(), static_cast<int>(runs.size()));
}

// GFLOP/s of multiply-adds in float32 that touch no memory, on `count` threads at once: the best of several short runs.
double fma_limit(int count) {
    const Kernels& best = kernels();
    const int before = threads();
    set_threads(count);
    nb::gil_scoped_release free;
    double limit = 0;
    for (int run = 0; run < 20; ++run) {
        constexpr long loops = 200000;
        const auto start = std::chrono::steady_clock::now();
        auto task = [&](int) { best.multiply_add(loops); };
        parallel_for(count, task);
        const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
        limit = std::max(limit, count * best.multiply_add(1) * loops / seconds.count() / 1e9);
    }
    set_threads(before);
    return limit;
}

}  // namespace

void bind_code(nb::module_& m) {
    nb::class_<Code>(m, "Code", "A plan as the kernels run it.")
        .def(nb::init<const std::vector<std::int64_t>&, const std::vector<double>&>(), "flat"_a, "numbers"_a);
    m.def("fma_limit", &fma_limit, "threads"_a);
    m.def("run", &run, "doubles"_a, "jobs"_a, "active"_a, "batch"_a);
}

}  // namespace recurra
