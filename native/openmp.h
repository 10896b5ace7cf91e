// The OpenMP runtime that the process has loaded already, found by name: nothing is linked to and nothing is loaded.
#pragma once

namespace recurra {

// Functions of libgomp, which LLVM's and Intel's runtimes export too.
struct OpenMP {
    void (*parallel)(void (*body)(void*), void* data, unsigned threads, unsigned flags);
    int (*thread_num)();
    int (*num_threads)();
    int (*max_threads)();
    int (*in_parallel)();
    const char* path;
};

// The runtime that torch uses, or else any that is loaded; null where there is none.
const OpenMP* loaded_openmp();

}  // namespace recurra
