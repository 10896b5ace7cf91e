#include "pool.h"

#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace recurra {
namespace {

class Pool {
public:
    void run(int team, void (*work)(void*, int, int), void* data);
    void end();

private:
    void start_workers(int count);
    void serve(int member, unsigned long long seen);

    std::mutex mutex_;
    std::condition_variable wake_, done_;
    std::vector<std::thread> workers_;
    void (*work_)(void*, int, int) = nullptr;
    void* data_ = nullptr;
    int team_ = 0;
    int working_ = 0;
    unsigned long long round_ = 0;  // counts runs, so that a worker takes part in each once
    bool ending_ = false;
};

// Workers 1 to count, or as many as the system gives.
void Pool::start_workers(int count) {
    try {
        while (static_cast<int>(workers_.size()) < count)
            workers_.emplace_back(&Pool::serve, this, static_cast<int>(workers_.size()) + 1, round_);
    } catch (const std::system_error&) {
        return;
    }
}

void Pool::run(int team, void (*work)(void*, int, int), void* data) {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        if (!ending_) start_workers(team - 1);
        team_ = std::min(team, static_cast<int>(workers_.size()) + 1);
        work_ = work;
        data_ = data;
        working_ = team_ - 1;
        ++round_;
    }
    wake_.notify_all();
    work(data, 0, team_);
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return working_ == 0; });
}

void Pool::serve(int member, unsigned long long seen) {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
        wake_.wait(lock, [&] { return ending_ || round_ != seen; });
        if (ending_) return;
        seen = round_;
        if (member >= team_) continue;
        lock.unlock();
        work_(data_, member, team_);
        lock.lock();
        if (--working_ == 0) done_.notify_one();
    }
}

void Pool::end() {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        ending_ = true;
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
}

// Never destroyed: in a forked child its threads are gone, and to destroy what they wait for would wait for them.
Pool* the_pool = nullptr;
std::mutex taken;  // by the one run that the pool serves at a time

// At exit, in the process that has the threads.
struct Ending {
    ~Ending() {
        if (the_pool != nullptr && getpid() == process) the_pool->end();
    }
    const pid_t process = getpid();
} ending;

}  // namespace

void run_in_pool(int team, void (*work)(void*, int, int), void* data) {
    std::unique_lock<std::mutex> lock(taken, std::try_to_lock);
    if (!lock.owns_lock()) return work(data, 0, 1);
    if (the_pool == nullptr) the_pool = new Pool;
    the_pool->run(team, work, data);
}

}  // namespace recurra
