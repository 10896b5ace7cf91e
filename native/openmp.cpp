#include "openmp.h"

#if defined(__linux__)

#include <dlfcn.h>
#include <link.h>

#include <atomic>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

namespace recurra {
namespace {

struct Library {
    std::string path;
    int rank;  // lower is tried first
};

// torch's library before the runtimes: a symbol is looked for in a library and in what it was linked with, so that of
// several runtimes the one comes out whose threads torch uses.
int rank_of(const char* path) {
    const char* slash = std::strrchr(path, '/');
    const char* name = slash ? slash + 1 : path;
    const char* starts[] = {"libtorch_cpu.", "libgomp", "libiomp5", "libomp"};
    for (int rank = 0; rank < 4; ++rank)
        if (std::strncmp(name, starts[rank], std::strlen(starts[rank])) == 0) return rank;
    return -1;
}

int note_library(dl_phdr_info* info, std::size_t, void* data) {
    const int rank = info->dlpi_name ? rank_of(info->dlpi_name) : -1;
    if (rank >= 0) static_cast<std::vector<Library>*>(data)->push_back({info->dlpi_name, rank});
    return 0;
}

int note_loads(dl_phdr_info* info, std::size_t size, void* data) {
    if (size >= offsetof(dl_phdr_info, dlpi_subs)) *static_cast<unsigned long long*>(data) = info->dlpi_adds;
    return 1;  // the count is the same in every entry
}

// How many libraries this process has ever loaded.
unsigned long long loads() {
    unsigned long long count = 0;
    dl_iterate_phdr(note_loads, &count);
    return count;
}

template <class F>
bool find(void* handle, const char* name, F*& function) {
    function = reinterpret_cast<F*>(dlsym(handle, name));
    return function != nullptr;
}

bool resolve(const std::string& path, OpenMP& found) {
    void* handle = dlopen(path.c_str(), RTLD_NOLOAD | RTLD_LAZY);
    if (handle == nullptr) return false;
    const bool complete =
        find(handle, "GOMP_parallel", found.parallel) && find(handle, "omp_get_thread_num", found.thread_num) &&
        find(handle, "omp_get_num_threads", found.num_threads) &&
        find(handle, "omp_get_max_threads", found.max_threads) && find(handle, "omp_in_parallel", found.in_parallel);
    if (!complete) {
        dlclose(handle);
        return false;
    }
    Dl_info home;  // the handle stays open, so that the functions stay where they are
    static std::string name;
    name = dladdr(reinterpret_cast<void*>(found.parallel), &home) && home.dli_fname ? home.dli_fname : path;
    found.path = name.c_str();
    return true;
}

bool search(OpenMP& found) {
    std::vector<Library> libraries;
    dl_iterate_phdr(note_library, &libraries);
    for (int rank = 0; rank < 4; ++rank)
        for (const Library& one : libraries)
            if (one.rank == rank && resolve(one.path, found)) return true;
    return false;
}

}  // namespace

const OpenMP* loaded_openmp() {
    static OpenMP runtime;
    static std::atomic<const OpenMP*> known{nullptr};
    static std::mutex searching;
    static unsigned long long searched_at = 0;
    if (const OpenMP* found = known.load(std::memory_order_acquire)) return found;
    std::lock_guard<std::mutex> lock(searching);
    if (known.load()) return known.load();
    const unsigned long long now = loads();  // a search brings nothing new until another library is loaded
    if (now == searched_at) return nullptr;
    searched_at = now;
    if (search(runtime)) known.store(&runtime, std::memory_order_release);
    return known.load();
}

}  // namespace recurra

#else

namespace recurra {

const OpenMP* loaded_openmp() {  // macOS: LLVM's runtime there has no GOMP_parallel
    return nullptr;
}

}  // namespace recurra

#endif
