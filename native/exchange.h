// What torch says of a tensor to callers in C: the functions of DLPack's exchange table, which newer releases of torch
// offer. A look takes some ten nanoseconds; attributes of the Python object take as much each as all of it.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

namespace recurra {

// As DLPack's header has it: a binary interface, so the layout of each major version is fixed.
struct ExchangeTable {
    std::uint32_t major, minor;
    ExchangeTable* former;
    void *allocate, *own, *give;
    int (*look)(void* object, nanobind::dlpack::dltensor* to);  // borrowed; not 0 with an exception set
    void* stream;
};

// The table of a type of tensors, or null where it has none that is understood.
inline const ExchangeTable* exchange_table(nanobind::handle type) {
    PyObject* capsule = PyObject_GetAttrString(type.ptr(), "__dlpack_c_exchange_api__");
    void* found = capsule ? PyCapsule_GetPointer(capsule, "dlpack_exchange_api") : nullptr;
    Py_XDECREF(capsule);
    PyErr_Clear();
    const ExchangeTable* table = static_cast<const ExchangeTable*>(found);
    return table && table->major == 1 && table->look ? table : nullptr;
}

// Whether the tensor has memory of the CPU to look at.
inline bool look(const ExchangeTable& table, PyObject* tensor, nanobind::dlpack::dltensor& seen) {
    if (table.look(tensor, &seen) != 0) {
        PyErr_Clear();
        return false;
    }
    return seen.device.device_type == nanobind::device::cpu::value;
}

inline std::uintptr_t address_of(const nanobind::dlpack::dltensor& seen) {
    return reinterpret_cast<std::uintptr_t>(seen.data) + seen.byte_offset;
}

}  // namespace recurra
