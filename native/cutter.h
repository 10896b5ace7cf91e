// Buffers cut from one piece of scratch memory.
#pragma once

#include "execution.h"

namespace recurra {
namespace {

constexpr int round_up(int n, int unit) { return (n + unit - 1) / unit * unit; }

// Gives out parts of one piece of memory; without memory it measures how much they need.
struct Cutter {
    char* at;
    std::ptrdiff_t bytes;

    template <class T>
    T* take(std::ptrdiff_t numbers) {
        T* part = at ? reinterpret_cast<T*>(at + bytes) : nullptr;
        bytes += aligned(numbers * static_cast<ptrdiff_t>(sizeof(T)));
        return part;
    }
};

}  // namespace
}  // namespace recurra
