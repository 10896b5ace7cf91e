// The parts of the Python module `recurra._native`, each in a file of its own.
#pragma once

#include <nanobind/nanobind.h>

namespace recurra {

using namespace nanobind::literals;

void bind_machine(nanobind::module_& m);
void bind_code(nanobind::module_& m);
void bind_stream(nanobind::module_& m);
void bind_watch(nanobind::module_& m);
void bind_loss(nanobind::module_& m);
void bind_crf(nanobind::module_& m);

}  // namespace recurra
