// Worker threads of our own, for a process that has loaded no OpenMP runtime.
#pragma once

namespace recurra {

// Runs work(data, member, team) for each member of the team, 0 on the calling thread, and returns when all are done.
// Alone (team 1) where another thread has the pool or no thread can be started. `team` may be less than asked for.
void run_in_pool(int team, void (*work)(void* data, int member, int team), void* data);

}  // namespace recurra
