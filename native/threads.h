// Work shared with the team of the OpenMP runtime that is already loaded (torch's).
#pragma once

namespace recurra {

// Runs task(data, i) for i in [0, tasks), returns when all are done. Task i runs on thread i of the team where there
// are as many threads as tasks; more tasks are handed out as threads come free. Serial, in order, with one thread, in
// a forked child, and inside another parallel run. Tasks must not throw.
void parallel(int tasks, void (*task)(void* data, int index), void* data);

// Threads that `parallel` uses when called from this thread, at least 1. 0 (at the start): as many as the OpenMP
// runtime would take, or one per processor where none is loaded.
int threads();
void set_threads(int count);

// Path of the OpenMP runtime whose team is shared; empty where none is loaded and an own pool takes its place.
const char* thread_runtime();

// For lambdas: parallel_for(n, [&](int i) { ... }).
template <class F>
inline void parallel_for(int tasks, F& body) {
    parallel(tasks, [](void* data, int index) { (*static_cast<F*>(data))(index); }, &body);
}

}  // namespace recurra
