#include "memory.h"

#include <cstdint>
#include <cstdlib>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace recurra {
namespace {

constexpr std::size_t cache_line = 64;
constexpr std::size_t huge_page = std::size_t{2} << 20;  // of x86-64 and of aarch64 with 4 KiB pages
constexpr int kinds = static_cast<int>(Scratch::count);

std::size_t rounded(std::size_t bytes, std::size_t to) { return (bytes + to - 1) / to * to; }

struct Piece {
    void* start = nullptr;
    std::size_t size = 0;

    Piece() = default;
    Piece(const Piece&) = delete;
    Piece& operator=(const Piece&) = delete;
    ~Piece() { release(); }

    void release() {
        std::free(start);
        start = nullptr;
        size = 0;
    }

    // Large pieces take whole huge pages: without them a panel that is walked once per step misses the TLB at every
    // row.
    void grow(std::size_t bytes) {
        release();
        const std::size_t unit = bytes >= huge_page ? huge_page : cache_line;
        if (bytes > SIZE_MAX - unit) throw std::bad_alloc();
        const std::size_t whole = rounded(bytes, unit);
        if (posix_memalign(&start, unit, whole) != 0) {
            start = nullptr;
            throw std::bad_alloc();
        }
        size = whole;
#if defined(__linux__)
        if (unit == huge_page) madvise(start, whole, MADV_HUGEPAGE);  // a hint: a refusal changes nothing
#endif
    }
};

thread_local Piece pieces[kinds];  // freed when the thread ends

}  // namespace

void* scratch(Scratch kind, std::size_t bytes) {
    Piece& piece = pieces[static_cast<int>(kind)];
    if (piece.start == nullptr || piece.size < bytes) piece.grow(bytes == 0 ? 1 : bytes);
    return piece.start;
}

}  // namespace recurra
