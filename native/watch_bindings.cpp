// Steps of a network from Python with as little of Python as can be: tensors are looked at through DLPack's table.
#include "bindings.h"
#include "network.h"
#include "watch.h"

namespace nb = nanobind;

namespace recurra {
namespace {

unsigned long long number_of(PyObject* owned) {
    if (!owned) throw nb::python_error();
    const unsigned long long number = PyLong_AsUnsignedLongLong(owned);
    Py_DECREF(owned);
    if (PyErr_Occurred()) throw nb::python_error();
    return number;
}

unsigned long long version_of(PyObject* tensor) {
    static PyObject* const name = PyUnicode_InternFromString("_version");
    return number_of(PyObject_GetAttr(tensor, name));
}

}  // namespace

// 0 for memory that is not the CPU's.
std::uintptr_t Watch::address(PyObject* tensor) const {
    nb::dlpack::dltensor seen;
    if (table_) return look(*table_, tensor, seen) ? address_of(seen) : 0;
    static PyObject* const name = PyUnicode_InternFromString("data_ptr");
    return number_of(PyObject_CallMethodNoArgs(tensor, name));
}

void Watch::set(nb::list dictionaries, nb::list values, nb::list tensors, bool never) {
    never_ = never;
    held_.clear();
    tensors_.clear();
    addresses_.clear();
    for (std::size_t k = 0; k < dictionaries.size(); ++k) {
        held_.push_back({nb::handle(dictionaries[k]).ptr(), {}});
        for (nb::handle value : nb::borrow<nb::list>(values[k])) held_.back().values.push_back(value.ptr());
    }
    for (nb::handle tensor : tensors) {
        tensors_.push_back(tensor.ptr());
        addresses_.push_back(address(tensor.ptr()));
    }
    mark();
}

bool Watch::same() const {
    if (never_) return false;
    for (const Held& held : held_) {
        Py_ssize_t at = 0;
        PyObject* value;
        for (PyObject* wanted : held.values)
            if (!PyDict_Next(held.dictionary, &at, nullptr, &value) || value != wanted) return false;
        if (PyDict_Next(held.dictionary, &at, nullptr, &value)) return false;
    }
    for (std::size_t k = 0; k < tensors_.size(); ++k)
        if (address(tensors_[k]) != addresses_[k]) return false;
    return true;
}

void Watch::mark() {
    versions_.clear();
    for (PyObject* tensor : tensors_) versions_.push_back(version_of(tensor));
}

bool Watch::marked() const {
    for (std::size_t k = 0; k < tensors_.size(); ++k)
        if (version_of(tensors_[k]) != versions_[k]) return false;
    return true;
}

namespace {

// One step of rows [rows, width] of a network without further inputs.
class QuickStep {
public:
    QuickStep(Network& network, const Watch& watch, bool doubles, int rows, int width, nb::callable make,
              nb::tuple arguments)
        : network_(network),
          watch_(watch),
          bits_(doubles ? 64 : 32),
          rows_(rows),
          width_(width),
          make_(std::move(make)),
          arguments_(std::move(arguments)) {}

    // The output, or None where x or the weights are not what they plainly are: the long way finds out why.
    nb::object step(nb::handle x, bool copies) const {
        nb::dlpack::dltensor seen, made;
        if (!watch_.look_at(x, seen) || !fits(seen)) return nb::none();
        if (!watch_.same() || (copies && !watch_.marked())) return nb::none();
        nb::object output = nb::steal(PyObject_Call(make_.ptr(), arguments_.ptr(), nullptr));
        if (!output.is_valid()) throw nb::python_error();
        if (!watch_.look_at(output, made)) return nb::none();
        nb::gil_scoped_release free;
        std::lock_guard<std::mutex> lock(network_.busy());
        network_.step(rows_, address_of(seen), {}, address_of(made));
        return output;
    }

private:
    bool fits(const nb::dlpack::dltensor& x) const {
        return x.dtype.code == static_cast<std::uint8_t>(nb::dlpack::dtype_code::Float) && x.dtype.bits == bits_ &&
               x.ndim == 2 && x.shape[0] == rows_ && x.shape[1] == width_ && (x.strides[1] == 1 || width_ == 1) &&
               (x.strides[0] == width_ || rows_ == 1);
    }

    Network& network_;
    const Watch& watch_;
    const int bits_, rows_, width_;
    const nb::callable make_;
    const nb::tuple arguments_;
};

}  // namespace

void bind_watch(nb::module_& m) {
    nb::class_<Watch>(m, "Watch", "Whether tensors that are read outside torch are still where, and what, they were.")
        .def(nb::init<nb::object>(), "type"_a)
        .def("set", &Watch::set, "dictionaries"_a, "values"_a, "tensors"_a, "never"_a,
             "Watch these, which the caller keeps.")
        .def("same", &Watch::same, "Whether all are where they were.")
        .def("mark", &Watch::mark, "Note the versions of the tensors.")
        .def("marked", &Watch::marked, "Whether the versions are those that were noted.");
    nb::class_<QuickStep>(m, "QuickStep", "One step of a network from a tensor.")
        .def(nb::init<Network&, const Watch&, bool, int, int, nb::callable, nb::tuple>(), nb::keep_alive<1, 2>(),
             nb::keep_alive<1, 3>(), "network"_a, "watch"_a, "doubles"_a, "rows"_a, "width"_a, "make"_a, "arguments"_a)
        .def("__call__", &QuickStep::step, "x"_a, "copies"_a, "The output, or None: take the long way.");
}

}  // namespace recurra
