// The Python module `recurra._native`. Tensors cross as data pointers: integers, far cheaper than array objects.
#include "bindings.h"

NB_MODULE(_native, m) {
    nanobind::set_leak_warnings(false);  // plans are cached until the process ends, by intent
    m.doc() = "The compiled part of recurra's native backend.";
    recurra::bind_machine(m);
    recurra::bind_code(m);
    recurra::bind_stream(m);
    recurra::bind_watch(m);
    recurra::bind_loss(m);
    recurra::bind_crf(m);
}
