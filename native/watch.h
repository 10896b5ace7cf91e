// Whether tensors whose memory is read outside torch are still where, and what, they were: asked before every step.
#pragma once

#include <vector>

#include "exchange.h"

namespace recurra {

class Watch {
public:
    // `type` is torch.Tensor.
    explicit Watch(nanobind::object type) : table_(exchange_table(type)), type_(std::move(type)) {}

    // Dictionaries of parameters with the values that they should have, and the tensors among them whose memory is
    // read. All are borrowed: whoever calls this keeps them until the next call. `never`: nothing is the same.
    void set(nanobind::list dictionaries, nanobind::list values, nanobind::list tensors, bool never);
    // Whether the dictionaries hold the same objects and the tensors' memory is the same.
    bool same() const;
    // Notes the versions of the tensors, which torch counts up when values change.
    void mark();
    bool marked() const;

    // What the tensor is; false where that is not plainly a tensor with memory of the CPU.
    bool look_at(nanobind::handle tensor, nanobind::dlpack::dltensor& seen) const {
        return table_ && tensor.type().is(type_) && look(*table_, tensor.ptr(), seen);
    }

private:
    struct Held {
        PyObject* dictionary;
        std::vector<PyObject*> values;
    };
    std::uintptr_t address(PyObject* tensor) const;

    const ExchangeTable* table_;
    const nanobind::object type_;
    bool never_ = true;
    std::vector<Held> held_;
    std::vector<PyObject*> tensors_;
    std::vector<std::uintptr_t> addresses_;
    std::vector<unsigned long long> versions_;
};

}  // namespace recurra
