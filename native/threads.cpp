// One team for all: OpenMP's worker threads spin for milliseconds after each of torch's operations, so a second pool
// on the same few cores waits for them. What is shared is torch's team, woken by the runtime's own entry point.
#include "threads.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "openmp.h"
#include "pool.h"

namespace recurra {
namespace {

// Libraries' worker threads do not live on in a forked child, and libgomp would wait for them for ever.
std::atomic<bool> forked{false};
[[maybe_unused]] const int fork_watch = pthread_atfork(nullptr, nullptr, [] { forked = true; });

thread_local int chosen_threads = 0;
thread_local bool inside = false;

struct Run {
    int tasks;
    void (*task)(void*, int);
    void* data;
    std::atomic<int> given{0};  // tasks given out beyond the first per thread

    Run(int tasks, void (*task)(void*, int), void* data) : tasks(tasks), task(task), data(data) {}

    // The share of one thread of a team: the task of its own number, then whatever is left.
    void work(int member, int team) {
        inside = true;
        for (int index = member; index < tasks; index = team + given.fetch_add(1, std::memory_order_relaxed))
            task(data, index);
        inside = false;
    }
};

void work_in_openmp(void* run) {
    const OpenMP* runtime = loaded_openmp();
    static_cast<Run*>(run)->work(runtime->thread_num(), runtime->num_threads());
}

void work_in_pool(void* run, int member, int team) { static_cast<Run*>(run)->work(member, team); }

}  // namespace

void parallel(int tasks, void (*task)(void*, int), void* data) {
    const OpenMP* runtime = nullptr;
    const int team = tasks > 1 && !inside && !forked ? threads() : 1;
    if (team > 1) runtime = loaded_openmp();
    Run run(tasks, task, data);
    if (team == 1 || (runtime != nullptr && runtime->in_parallel()))
        for (int index = 0; index < tasks; ++index) task(data, index);
    else if (runtime != nullptr)
        // The whole team even for fewer tasks: a smaller one would end the surplus threads, and torch's next
        // operation would have to start them again.
        runtime->parallel(work_in_openmp, &run, static_cast<unsigned>(team), 0);
    else
        run_in_pool(std::min(team, tasks), work_in_pool, &run);
}

int threads() {
    if (chosen_threads > 0) return chosen_threads;
    const OpenMP* runtime = loaded_openmp();
    const int count = runtime ? runtime->max_threads() : static_cast<int>(std::thread::hardware_concurrency());
    return std::max(count, 1);
}

void set_threads(int count) { chosen_threads = std::max(count, 0); }

const char* thread_runtime() {
    const OpenMP* runtime = loaded_openmp();
    return runtime ? runtime->path : "";
}

}  // namespace recurra
