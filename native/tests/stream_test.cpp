// Rounded products, softmax, drawing, and a network whose sequences come and go, each against a naive computation.
// Buffers are exact, so that a sanitizer sees each read beyond them. Prints what fails; exit status 1 if anything did.
#include "stream.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "dispatch.h"
#include "network.h"

namespace recurra {

// In place of dispatch.cpp: the instruction set that this program is compiled for.
const Kernels& kernels() {
    static const Kernels table = [] {
        Kernels made = {};
        made.step_f32 = step_kernels<float>;
        made.step_f64 = step_kernels<double>;
        return made;
    }();
    return table;
}

}  // namespace recurra

namespace {

using namespace recurra;

std::mt19937 generator(20240611);
int failures = 0;

void expect(bool good, const char* what) {
    if (good) return;
    ++failures;
    std::printf("%s\n", what);
}

std::vector<float> normal(std::size_t count) {
    std::normal_distribution<float> draw;
    std::vector<float> numbers(count);
    for (float& each : numbers) each = draw(generator);
    return numbers;
}

// What a number becomes in bf16: 8 significant bits, to the nearest, ties to even.
double as_bf16(float x) {
    int exponent;
    const double part = std::frexp(static_cast<double>(x), &exponent);
    return std::ldexp(std::nearbyint(std::ldexp(part, 8)), exponent - 8);
}

// A product of two operands with two rows of matrices: B[k][n] in memory of its own for each.
struct Product {
    int depths[2], widths[2];
    std::vector<float> weights[4];
    void* buffers[4];
    recurra::Matrix matrices[4];
    Span operands[2];
    Stage stage = {};

    Product(int k0, int k1, int n0, int n1) : depths{k0, k1}, widths{n0, n1} {
        for (int j = 0; j < 2; ++j)
            for (int p = 0; p < 2; ++p) {
                const int at = j * 2 + p;
                weights[at] = normal(static_cast<std::size_t>(depths[p]) * widths[j]);
                buffers[at] = weights[at].data();
                const bool along_k = at % 2 == 0;
                matrices[at] = {at, 0, along_k ? 1 : widths[j], along_k ? depths[p] : 1, depths[p], widths[j]};
            }
        stage.kind = StageKind::multiply;
        stage.depth = k0 + k1;
        stage.columns = n0 + n1;
        stage.matrices = matrices;
        stage.matrix_rows = 2;
        stage.operands = operands;
        stage.operand_count = 2;
    }
    float at(int k, int n) const {
        const int j = n >= widths[0], p = k >= depths[0];
        const recurra::Matrix& m = matrices[j * 2 + p];
        return weights[j * 2 + p][(k - p * depths[0]) * m.k_stride + (n - j * widths[0]) * m.n_stride];
    }
    // B[k][n] as the copy holds it, and half the step between its neighbours.
    double rounded(int k, int n, Narrow kind) const {
        if (kind == Narrow::bf16) return as_bf16(at(k, n));
        double most = 0;
        for (int i = 0; i < stage.depth; ++i) most = std::fmax(most, std::fabs(at(i, n)));
        return most == 0 ? 0 : std::nearbyint(at(k, n) * (127 / most)) * (most / 127);
    }
};

struct Copy {
    std::vector<char> panels;
    std::vector<float> scales;
    NarrowProduct product;

    Copy(const Product& p, Narrow kind)
        : panels(narrow_bytes_of(p.stage, kind)), scales(p.stage.columns), product{kind, panels.data(), scales.data()} {
        narrow_product(p.stage, p.buffers, product);
    }
};

void test_product(int k0, int k1, int n0, int n1, int rows, Narrow kind, bool with_start) {
    const Product p(k0, k1, n0, n1);
    const Copy copy(p, kind);
    const int columns = n0 + n1, gap = 3;
    const std::vector<float> a0 = normal(static_cast<std::size_t>(rows) * k0),
                             a1 = normal(static_cast<std::size_t>(rows) * k1);
    const std::vector<float> start = normal(columns);
    const float guard = 12345.5f;
    std::vector<float> c(static_cast<std::size_t>(rows) * (columns + gap), guard);
    const Part<float> parts[2] = {{a0.data(), k0, k0}, {a1.data(), k1, k1}};
    NarrowTiles tiles = {
        parts, 2, k0 + k1, columns, &copy.product, c.data(), columns + gap, with_start ? start.data() : nullptr, 0};
    multiply_narrow(tiles, rows, 0, narrow_panels(columns));
    for (int r = 0; r < rows; ++r) {
        for (int n = 0; n < columns + gap; ++n) {
            const float found = c[r * (columns + gap) + n];
            if (n >= columns) {
                expect(found == guard, "narrow product: written beyond the last column");
                continue;
            }
            double sum = with_start ? start[n] : 0, size = std::fabs(sum), most = 0;
            for (int k = 0; k < k0 + k1; ++k) {
                const double x = k < k0 ? a0[r * k0 + k] : a1[r * k1 + k - k0];
                sum += x * p.rounded(k, n, kind);
                size += std::fabs(x * p.at(k, n));
                most = std::fmax(most, std::fabs(x));
            }
            // int8: a number halfway between two steps may go either way, by the rounding of its scale.
            const double slack = kind == Narrow::int8 ? 0.05 * most : 0;
            expect(std::fabs(found - sum) <= 2e-6 * size + slack, "narrow product: wrong sum");
        }
    }
    std::vector<float> alone(static_cast<std::size_t>(columns));
    for (int r = 0; r < rows; ++r) {  // a row by itself, panel by panel: the same to the bit
        const Part<float> one[2] = {{a0.data() + r * k0, k0, k0}, {a1.data() + r * k1, k1, k1}};
        tiles.parts = one;
        tiles.c = alone.data();
        for (int panel = 0; panel < narrow_panels(columns); ++panel) multiply_narrow(tiles, 1, panel, panel + 1);
        expect(std::memcmp(alone.data(), c.data() + r * (columns + gap), sizeof(float) * columns) == 0,
               "narrow product: a row depends on the others");
    }
}

void test_products() {
    const int sizes[] = {1, 2, 7, 16, 33, 65, 130};
    for (Narrow kind : {Narrow::bf16, Narrow::int8})
        for (int k : sizes)
            for (int n : sizes)
                for (int rows : {1, 2, 3, 4, 7}) test_product(k, sizes[n % 7], n, sizes[k % 7], rows, kind, rows % 2);
}

template <class T>
void test_softmax(double bound) {
    for (int n : {1, 2, 15, 16, 17, 64, 65, 255, 256, 257, 1003}) {
        std::vector<T> in(n), out(n);
        for (T& each : in) each = static_cast<T>(normal(1)[0] * 20);
        if (n > 2) in[1] = -std::numeric_limits<T>::infinity();
        log_softmax<T>(in.data(), out.data(), n);
        long double most = -INFINITY, sum = 0;
        for (T each : in) most = std::fmax(most, static_cast<long double>(each));
        for (T each : in) sum += std::exp(static_cast<long double>(each) - most);
        for (int k = 0; k < n; ++k) {
            const long double exact = static_cast<long double>(in[k]) - most - std::log(sum);
            expect(in[k] == out[k] || std::fabs(out[k] - exact) <= bound * (1 + std::fabs(exact)), "log_softmax");
        }
    }
}

// Every token as often as its probability says, and none that is excluded.
template <class T>
void test_drawing() {
    const int size = 150, draws = 40000;
    std::vector<T> logits(size);
    for (T& each : logits) each = static_cast<T>(normal(1)[0] * 2);
    const StepKernels& table = sizeof(T) == 8 ? kernels().step_f64 : kernels().step_f32;
    Chooser chooser(table, sizeof(T) == 8, size);
    Generator random(7, 1);
    const Choice choice = {0.8, 0, 1.0, false, {3, 149}, -1};
    std::vector<double> exact(size), counts(size);
    double total = 0;
    for (int k = 0; k < size; ++k) total += exact[k] = k == 3 || k == 149 ? 0 : std::exp(logits[k] / 0.8);
    for (int k = 0; k < draws; ++k) counts[chooser.choose(logits.data(), choice, random)] += 1;
    double statistic = 0;
    for (int k = 0; k < size; ++k) {
        const double wanted = exact[k] / total * draws;
        expect(wanted > 0 || counts[k] == 0, "drawing: an excluded token");
        if (wanted > 0) statistic += (counts[k] - wanted) * (counts[k] - wanted) / wanted;
    }
    expect(statistic < size + 6 * std::sqrt(2.0 * size), "drawing: another distribution");
    const int best = chooser.choose(logits.data(), {1, 0, 1, true, {}, -1}, random);
    expect(chooser.choose(logits.data(), {1, 1, 1, false, {}, -1}, random) == best, "drawing: top_k = 1");
    expect(chooser.choose(logits.data(), {1, 0, 1e-9, false, {}, -1}, random) == best, "drawing: top_p near 0");
    logits[5] = std::numeric_limits<T>::quiet_NaN();
    expect(chooser.choose(logits.data(), {1, 0, 1, false, {}, -1}, random) == -1, "drawing: NaN");
}

// output = h' = x + h, as numbers that code.h reads: five buffers, six slots, one instruction in the loop.
Code adding(int width) {
    const std::int64_t w = width;
    return Code({5, 0, 0, 1, 2, w, 1, 1, w, 1, 2, w, 1, 1, w, 1,                                // buffers
                 6, 0, 0, 0, 0, 0, 0, 0, 2, w, 1, 0, 0, 0, 0, 1, w, 2, 0, 0, 0, 0,              // slots 0 to 2
                 4, w, 2, 0, 4, 0, 0, 2, w, 3, 0, 0, 0, 0, 1, w, 4, 0, 0, 0, 0,                 // slots 3 to 5
                 0, 0, 1, 0, 3, 1, 0, 0, 1, 1, w, 0, 4, 0, w, 0, 2, 1, 0, w, 0, 3, 0, w, 0, 0,  // stages
                 1, 4, 0, w, 0, 2, 5},                                                          // the state
                {0.0});
}

// Sums of what each sequence read, with d steps between the terms, while sequences come and go at random.
void test_network(int width, int dilation) {
    const Code code = adding(width);
    const std::vector<BufferRole> roles = {
        {Role::own, 0}, {Role::input, 0}, {Role::state, 0}, {Role::output, 0}, {Role::final, 0}};
    Network network(true, {{&code, roles, {{0, width}}, false, dilation}}, {{1, width}}, width, 0, Narrow::none);
    std::vector<std::vector<double>> sums;  // by sequence: the d sums, the oldest first
    for (int step = 0; step < 300; ++step) {
        if (generator() % 3 == 0 && sums.size() < 40) {
            const int count = 1 + static_cast<int>(generator() % 5);
            network.join(count);
            sums.resize(sums.size() + count, std::vector<double>(dilation));
        }
        if (generator() % 3 == 0) {
            std::vector<int> going;
            for (int row = static_cast<int>(sums.size()); row-- > 0;)
                if (generator() % 4 == 0) going.insert(going.begin(), row);
            network.leave(going);
            for (std::size_t k = going.size(); k-- > 0;) sums.erase(sums.begin() + going[k]);
        }
        const int rows = static_cast<int>(sums.size());
        std::vector<double> x(static_cast<std::size_t>(rows) * width), y(x.size());
        for (double& each : x) each = static_cast<double>(generator() % 100);
        for (int r = 0; r < rows; ++r)
            for (int k = 1; k < width; ++k) x[r * width + k] = x[r * width];
        network.step(rows, reinterpret_cast<std::uintptr_t>(x.data()), {}, reinterpret_cast<std::uintptr_t>(y.data()));
        for (int r = 0; r < rows; ++r) {
            const double sum = sums[r][0] + x[r * width];
            sums[r].erase(sums[r].begin());
            sums[r].push_back(sum);
            for (int k = 0; k < width; ++k) expect(y[r * width + k] == sum, "network: wrong output");
        }
    }
    const int rows = static_cast<int>(sums.size());
    std::vector<double> state(static_cast<std::size_t>(rows) * width * dilation);
    network.read_state(0, 0, 0, rows, reinterpret_cast<std::uintptr_t>(state.data()));
    for (int d = 0; d < dilation; ++d)
        for (int r = 0; r < rows; ++r) expect(state[(d * rows + r) * width] == sums[r][d], "network: wrong state");
}

}  // namespace

int main() {
    test_products();
    test_softmax<float>(2e-6);
    test_softmax<double>(1e-14);
    test_drawing<float>();
    test_drawing<double>();
    for (int dilation : {1, 2, 5})
        for (int width : {1, 7, 32}) test_network(width, dilation);
    if (failures) std::printf("%d failures\n", failures);
    return failures ? 1 : 0;
}
