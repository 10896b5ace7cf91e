// The team: every task once, whatever the number of threads, nested, from several threads, in a forked child; first
// with the pool of our own, then with OpenMP's team where a runtime can be loaded. Scratch memory beside it.
#include "threads.h"

#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "memory.h"

namespace {

int failures = 0;

void check(bool good, const char* what, long detail = 0) {
    if (good) return;
    ++failures;
    std::printf("%s: failed (%ld), %s\n", what, detail, recurra::thread_runtime());
}

bool each_once(int tasks) {
    std::vector<std::atomic<int>> ran(static_cast<std::size_t>(tasks));
    auto task = [&](int index) { ++ran[static_cast<std::size_t>(index)]; };
    recurra::parallel_for(tasks, task);
    for (const std::atomic<int>& times : ran)
        if (times != 1) return false;
    return true;
}

void test_each_task_once() {
    for (int count : {1, 2, 3, 5, 8, 2, 1, 4}) {
        recurra::set_threads(count);
        check(recurra::threads() == count, "threads()", count);
        for (int tasks : {0, 1, 2, 3, 4, 7, 64, 1000}) check(each_once(tasks), "each task once", tasks);
    }
    recurra::set_threads(0);
    check(recurra::threads() >= 1, "threads() by default", recurra::threads());
}

// As many tasks as threads run at the same time: each waits for all the others.
void test_tasks_run_together() {
    recurra::set_threads(3);
    std::atomic<int> arrived{0};
    std::set<std::thread::id> seen[3];
    auto meet = [&](int index) {
        seen[index].insert(std::this_thread::get_id());
        ++arrived;
        while (arrived < 3) std::this_thread::yield();
    };
    recurra::parallel_for(3, meet);
    check(seen[0] != seen[1] && seen[1] != seen[2] && seen[0] != seen[2], "a thread per task");
    check(*seen[0].begin() == std::this_thread::get_id(), "task 0 on the calling thread");
}

void test_nested_is_serial() {
    recurra::set_threads(4);
    std::atomic<int> strayed{0}, ran{0};
    auto outer = [&](int) {
        const std::thread::id mine = std::this_thread::get_id();
        auto inner = [&](int) {
            ++ran;
            if (std::this_thread::get_id() != mine) ++strayed;
        };
        recurra::parallel_for(5, inner);
    };
    recurra::parallel_for(8, outer);
    check(ran == 40, "nested: each task once", ran);
    check(strayed == 0, "nested: in the outer task's thread", strayed);
    check(each_once(16), "after nesting");
}

void test_serial_in_order() {
    recurra::set_threads(1);
    std::vector<int> order;
    auto note = [&](int index) { order.push_back(index); };
    recurra::parallel_for(5, note);
    check(order == std::vector<int>({0, 1, 2, 3, 4}), "serial: in order");
}

void test_from_several_threads() {
    std::atomic<int> good{0};
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 4; ++caller)
        callers.emplace_back([&] {
            recurra::set_threads(3);
            for (int round = 0; round < 200; ++round) good += each_once(1 + round % 9);
        });
    for (std::thread& caller : callers) caller.join();
    check(good == 800, "from several threads", good);
}

void test_forked_child() {
    recurra::set_threads(3);
    check(each_once(8), "before the fork");
    const pid_t child = fork();
    if (child == 0) {
        const bool good = each_once(8);
        // Past the sanitizers' own end, which a forked child of a program with threads cannot rely on.
        _exit(good ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "in a forked child", status);
    check(each_once(8), "after the fork");
}

void test_scratch() {
    using recurra::Scratch;
    void* small = recurra::scratch(Scratch::rows, 100);
    check(small == recurra::scratch(Scratch::rows, 60), "scratch: the same piece for less");
    check(small != recurra::scratch(Scratch::panels, 100), "scratch: a piece per kind");
    for (std::size_t bytes : {0ul, 1ul, 65ul, 5000ul, 3ul << 20, (9ul << 20) + 1}) {
        void* piece = recurra::scratch(Scratch::rows, bytes);
        check(reinterpret_cast<std::uintptr_t>(piece) % 64 == 0, "scratch: alignment", static_cast<long>(bytes));
        std::memset(piece, 1, bytes);
    }
    void* other = nullptr;
    std::thread([&] { other = recurra::scratch(Scratch::panels, 100); }).join();
    check(other != recurra::scratch(Scratch::panels, 100), "scratch: a piece per thread");
    bool refused = false;
    try {
        recurra::scratch(Scratch::rows, SIZE_MAX - 10);
    } catch (const std::bad_alloc&) {
        refused = true;
    }
    check(refused, "scratch: too much is refused");
}

void test_all() {
    test_each_task_once();
    test_tasks_run_together();
    test_nested_is_serial();
    test_serial_in_order();
    test_from_several_threads();
    test_forked_child();
}

}  // namespace

int main() {
    check(std::string(recurra::thread_runtime()).empty(), "nothing loaded at the start");
    test_all();
    test_scratch();
    if (dlopen("libgomp.so.1", RTLD_NOW | RTLD_LOCAL) != nullptr) {
        check(std::string(recurra::thread_runtime()).find("libgomp") != std::string::npos, "the runtime is found");
        test_all();
    } else {
        std::printf("threads: no libgomp.so.1, its part is left out\n");
    }
    std::printf("threads: %s\n", failures ? "FAILED" : "ok");
    return failures ? 1 : 0;
}
