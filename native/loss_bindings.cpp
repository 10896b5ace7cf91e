// The cross-entropy of an output layer. Tensors come as data pointers; 0 stands for those that are not there.
#include <nanobind/stl/array.h>

#include "bindings.h"
#include "dispatch.h"

namespace nb = nanobind;

namespace recurra {
namespace {

using Pointers = std::array<std::uintptr_t, 9>;

template <class T>
T* pointer(std::uintptr_t address) {
    return reinterpret_cast<T*>(address);
}

template <class T>
CrossEntropy<T> open_call(int rows, int depth, int classes, const Pointers& p, double smoothing) {
    return {rows,
            depth,
            classes,
            pointer<const T>(p[0]),
            pointer<const T>(p[1]),
            pointer<const T>(p[2]),
            pointer<const std::int64_t>(p[3]),
            pointer<const T>(p[4]),
            smoothing,
            pointer<T>(p[5]),
            pointer<T>(p[6]),
            pointer<T>(p[7]),
            pointer<T>(p[8])};
}

// Pointers: features, weight, bias, targets, row weights; losses, and the gradients of features, weight and bias.
void run(bool doubles, int rows, int depth, int classes, const Pointers& pointers, double smoothing) {
    if (rows < 1 || classes < 1) throw std::invalid_argument("at least one row and one class");
    const Kernels& best = kernels();
    nb::gil_scoped_release free;
    if (doubles)
        best.cross_entropy_f64(open_call<double>(rows, depth, classes, pointers, smoothing));
    else
        best.cross_entropy_f32(open_call<float>(rows, depth, classes, pointers, smoothing));
}

}  // namespace

void bind_loss(nb::module_& m) {
    m.def("cross_entropy", &run, "doubles"_a, "rows"_a, "depth"_a, "classes"_a, "pointers"_a, "smoothing"_a);
}

}  // namespace recurra
