// Scratch memory of each thread, kept from call to call so that large buffers are not faulted in again each time.
#pragma once

#include <cstddef>

namespace recurra {

// What a piece of scratch memory is for; each thread has one piece of each kind.
enum class Scratch {
    weights,
    panels,
    panels2,
    rows,
    registers,
    loss,
    loss2,
    chain,
    tags,
    stream,
    buffers,
    segments,
    window,
    count
};

// At least `bytes` bytes, 64-byte aligned, valid until this thread asks for the same kind again with more bytes.
// Throws std::bad_alloc where there is no memory.
void* scratch(Scratch kind, std::size_t bytes);

}  // namespace recurra
