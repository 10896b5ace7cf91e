// The speed of each product at the shapes of recurrent layers, one thread, beside the limit of the machine's FMA units.
// Arguments: repeats (default 7), one of: step, large, outer, pack, lying (default all). Prints medians.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <vector>

#include "gemm.h"

namespace {

using recurra::Lying;
using recurra::Part;
using recurra::Segment;
using recurra::vec;

int repeats = 7;

// 64-byte aligned numbers between -1 and 1.
float* numbers(std::size_t count) {
    float* p = static_cast<float*>(std::aligned_alloc(64, (count * sizeof(float) + 63) / 64 * 64));
    if (!p) std::abort();
    for (std::size_t k = 0; k < count; ++k) p[k] = static_cast<float>(k * 2654435761u % 2001) / 1000 - 1;
    return p;
}

// Of the processor, not of the wall: what else runs on the machine costs cache and memory bandwidth, but not its turns.
double now() {
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// Seconds of one call: the median over repeats of at least 2 ms.
template <class F>
double seconds(F call) {
    std::vector<double> times;
    call();
    int calls = 1;
    for (int k = 0; k < repeats;) {
        const double begin = now();
        for (int c = 0; c < calls; ++c) call();
        const double t = now() - begin;
        if (t < 2e-3 && k == 0) {
            calls *= 2;
            continue;
        }
        times.push_back(t / calls);
        ++k;
    }
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
}

volatile float sink;

constexpr int FMA_CHAINS = 12;  // hide the latency, and fit into 16 registers

// Multiply-adds in registers only: what no product can exceed.
__attribute__((noinline)) void only_multiply_add(int loops) {
    vec<float> sums[FMA_CHAINS];
    for (int k = 0; k < FMA_CHAINS; ++k) sums[k] = recurra::broadcast<float>(k * 0.01f);
    vec<float> x = recurra::broadcast<float>(0.999f);
    for (int k = 0; k < loops; ++k) RECURRA_UNROLL
    for (int s = 0; s < FMA_CHAINS; ++s) sums[s] = sums[s] * x + x;
    for (int k = 1; k < FMA_CHAINS; ++k) sums[0] += sums[k];
    sink = sums[0][0];
}

double fma_limit() {
    const int loops = 20000;
    return 2.0 * FMA_CHAINS * recurra::LANES<float> * loops / seconds([&] { only_multiply_add(loops); }) / 1e9;
}

// The clock of a shared machine wanders: the limit is measured again beside each product.
void print_rate(double operations, double t) {
    const double rate = operations / t / 1e9;
    std::printf(" %9.1f us %6.1f GFLOP/s %5.1f %% of the FMA limit", t * 1e6, rate, 100 * rate / fma_limit());
}

void multiply_speed(int M, int K, int N) {
    const std::size_t size = recurra::packed_numbers<float>(K, N);
    float *panels = static_cast<float*>(recurra::scratch(recurra::Scratch::buffers, size * 4)),
          *a = numbers(std::size_t(M) * K), *c = numbers(std::size_t(M) * N), *w = numbers(std::size_t(K) * N);
    recurra::pack<float>(panels, K, N, 0, K, 0, N, w, 1, K, 0, recurra::panel_count<float>(N));
    const Part<float> part = {a, K, K};
    // Few rows: the state's part is added to the input's, in place. Many: the bias is added.
    const int start_stride = M > 32 ? 0 : N;
    const float* start = M > 32 ? w : c;
    const double t = seconds([&] {
        recurra::multiply<float>(&part, 1, panels, K, N, 0, recurra::panel_count<float>(N), M, c, N, start,
                                 start_stride);
    });
    std::printf("multiply M=%-5d K=%-5d N=%-5d", M, K, N);
    print_rate(2.0 * M * K * N, t);
    std::printf(" %6.1f GB/s of weights\n", 4.0 * K * N / t / 1e9);
    for (float* p : {a, c, w}) std::free(p);
}

void pack_speed(int K, int N, bool along_k) {
    const std::size_t size = recurra::packed_numbers<float>(K, N);
    float *panels = static_cast<float*>(recurra::scratch(recurra::Scratch::buffers, size * 4)),
          *w = numbers(std::size_t(K) * N);
    const double t = seconds([&] {
        recurra::pack<float>(panels, K, N, 0, K, 0, N, w, along_k ? 1 : N, along_k ? K : 1, 0,
                             recurra::panel_count<float>(N));
    });
    std::printf("pack %s K=%-5d N=%-5d %8.1f us %6.1f GB/s\n", along_k ? "transposing" : "copying    ", K, N, t * 1e6,
                4.0 * K * N / t / 1e9);
    std::free(w);
}

void lying_speed(int M, int K, int N, bool along_k) {
    float *a = numbers(std::size_t(M) * K), *c = numbers(std::size_t(M) * N), *w = numbers(std::size_t(K) * N * 2);
    const Part<float> parts[2] = {{a, K, K}, {a, K, K}};
    const Lying<float> blocks[2] = {{w, along_k ? 1 : N, along_k ? K : 1},
                                    {w + std::size_t(K) * N, along_k ? 1 : N, along_k ? K : 1}};
    const double t = seconds([&] { recurra::multiply_lying<float>(parts, 2, blocks, N, M, c, N, c, N); });
    std::printf("lying along %s M=%-3d K=%d+%-4d N=%-5d", along_k ? "k" : "n", M, K, K, N);
    print_rate(4.0 * M * K * N, t);
    std::printf(" %6.1f GB/s of weights\n", 8.0 * K * N / t / 1e9);
    for (float* p : {a, c, w}) std::free(p);
}

void outer_speed(int M, int N, int K, int runs) {
    float *a = numbers(std::size_t(M) * K), *b = numbers(std::size_t(N) * K), *c = numbers(std::size_t(M) * N);
    std::vector<Segment<float>> segments;
    for (int s = 0; s < runs; ++s) {
        const std::size_t begin = std::size_t(K) * s / runs, end = std::size_t(K) * (s + 1) / runs;
        segments.push_back({a + begin * M, b + begin * N, static_cast<int>(end - begin)});
    }
    const double t = seconds([&] { recurra::outer<float>(segments.data(), runs, M, N, 0, M, 0, N, c, N, true); });
    std::printf("outer M=%-5d N=%-5d K=%-5d in %3d runs", M, N, K, runs);
    print_rate(2.0 * M * N * K, t);
    std::printf("\n");
    for (float* p : {a, b, c}) std::free(p);
}

bool wanted(const char* only, const char* name) { return !only || std::strstr(only, name); }

}  // namespace

int main(int argc, char** argv) {
    if (argc > 1) repeats = std::max(1, std::atoi(argv[1]));
    const char* only = argc > 2 ? argv[2] : nullptr;
    std::printf("FMA limit %.1f GFLOP/s\n", fma_limit());
    if (wanted(only, "step"))
        for (int H : {100, 128, 200, 256, 512, 650})
            for (int M : {1, 2, 3, 4, 5, 8, 10, 16, 20, 32}) multiply_speed(M, H, 4 * H);
    if (wanted(only, "step"))
        for (int M : {8, 20, 32}) multiply_speed(M, 2300, 4600);
    if (wanted(only, "large")) {
        multiply_speed(700, 200, 800), multiply_speed(700, 650, 2600), multiply_speed(1120, 400, 4600);
        multiply_speed(2048, 512, 2048), multiply_speed(5600, 1150, 4600), multiply_speed(5600, 200, 800);
        multiply_speed(700, 200, 10000), multiply_speed(700, 650, 10000), multiply_speed(1120, 400, 10000);
    }
    if (wanted(only, "outer")) {
        outer_speed(2048, 512, 2048, 1), outer_speed(2048, 512, 2048, 64), outer_speed(400, 100, 700, 1);
        outer_speed(800, 200, 700, 1), outer_speed(2600, 650, 700, 2), outer_speed(4600, 1150, 5600, 1);
        outer_speed(10000, 200, 700, 1), outer_speed(10000, 650, 700, 1), outer_speed(1024, 256, 3200, 100);
    }
    if (wanted(only, "pack"))
        for (bool along_k : {true, false})
            for (int H : {100, 128, 200, 256, 512, 650, 1150}) pack_speed(H, 4 * H, along_k);
    if (wanted(only, "lying"))
        for (bool along_k : {true, false})
            for (int H : {17, 100, 128, 200, 256, 512})
                for (int M : {1, 2, 3, 4, 8, 16}) lying_speed(M, H, 4 * H, along_k);
}
