// Every product against a naive sum in long double, over awkward sizes, with guards around what may be written.
// Buffers are exact, so that a sanitizer sees each read beyond them. Prints what fails; exit status 1 if anything did.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <vector>

#include "gemm.h"

namespace {

using recurra::Lying;
using recurra::Part;
using recurra::Segment;

std::mt19937 generator(20240611);
int failures = 0;

int choose(std::initializer_list<int> values) {
    return values.begin()[std::uniform_int_distribution<std::size_t>(0, values.size() - 1)(generator)];
}
int any_size() {
    return choose({1, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 47, 48, 49, 63, 96, 97, 100, 145, 193, 257});
}
int any_rows() { return choose({0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 16, 17, 20, 23, 33, 70}); }
int gap() { return choose({0, 0, 1, 3, 16}); }

constexpr double guard = 12345.5;  // stands where nothing may be written

// rows x columns numbers, rows `stride` apart, no room after the last one.
template <class T>
struct Matrix {
    Matrix(int rows, int columns, int gap) : rows(rows), columns(columns), stride(columns + gap) {
        const std::size_t size = rows > 0 ? static_cast<std::size_t>(rows - 1) * stride + columns : 0;
        numbers = std::vector<T>(size, T(guard));
        std::normal_distribution<double> normal;
        for (int r = 0; r < rows; ++r)
            for (int n = 0; n < columns; ++n) at(r, n) = T(normal(generator));
    }
    T& at(int r, int n) { return numbers[static_cast<std::size_t>(r) * stride + n]; }
    const T* row(int r) { return numbers.data() + static_cast<std::ptrdiff_t>(r) * stride; }
    int rows, columns, stride;
    std::vector<T> numbers;
};

template <class T>
void fail(const char* what, const char* detail, int m, int n, double got, double expected) {
    if (++failures < 20)
        std::printf("%s<%s>: %s at (%d, %d): got %.9g, expected %.9g\n", what, sizeof(T) == 4 ? "float" : "double",
                    detail, m, n, got, expected);
}

// The truth of a product, and how far a sum of its terms in any order may be off.
template <class T>
struct Truth {
    Truth(int M, int N) : N(N), sum(static_cast<std::size_t>(M) * N), size(sum.size()) {}
    void add(int m, int n, long double a, long double b) {
        sum[static_cast<std::size_t>(m) * N + n] += a * b;
        size[static_cast<std::size_t>(m) * N + n] += std::fabs(a * b);
    }
    int N;
    std::vector<long double> sum, size;

    // Rounding errors of a chain add up like a random walk: sqrt(terms) * eps of the sum of sizes is a wide bound here.
    void check(const char* what, Matrix<T>& c, Matrix<T>& before, int m0, int m1, int n0, int n1, int terms) {
        const double eps = std::numeric_limits<T>::epsilon();
        for (int m = 0; m < c.rows; ++m)
            for (int n = 0; n < c.stride; ++n) {
                const std::size_t place = static_cast<std::size_t>(m) * c.stride + n;
                if (place >= c.numbers.size()) continue;
                const double got = c.numbers[place];
                if (m < m0 || m >= m1 || n < n0 || n >= n1) {
                    if (c.numbers[place] != before.numbers[place])
                        fail<T>(what, "written", m, n, got, before.numbers[place]);
                    continue;
                }
                const std::size_t k = static_cast<std::size_t>(m) * N + n;
                const double bound = eps * (1 + std::sqrt(double(terms))) * double(size[k]) + 1e-30;
                if (!(std::fabs(got - double(sum[k])) <= bound)) fail<T>(what, "wrong", m, n, got, double(sum[k]));
            }
    }
};

// Parts of A with their weights, C and its start: what the products of weights are tested on.
template <class T>
struct Product {
    Product(int M, int N, int count) : M(M), N(N), c(M, N, gap()) {
        for (int p = 0; p < count; ++p) {
            const int K = any_size();
            along_k.push_back(choose({0, 1}));
            a.emplace_back(M, K, gap());
            w.push_back(along_k[p] ? Matrix<T>(N, K, gap()) : Matrix<T>(K, N, gap()));
            depth += K;
        }
        for (int p = 0; p < count; ++p) parts.push_back({a[p].row(0), a[p].stride, a[p].columns});
        for (int p = 0; p < count; ++p)
            blocks.push_back({w[p].row(0), along_k[p] ? 1 : w[p].stride, along_k[p] ? w[p].stride : 1});
        kind = choose({0, 1, 2, 3});
    }
    int M, N, depth = 0, kind;  // of start: zeros, one row, a matrix, c
    std::vector<bool> along_k;
    std::vector<Matrix<T>> a, w;
    Matrix<T> c;
    Matrix<T> row = Matrix<T>(1, N, 0), starts = Matrix<T>(M, N, gap());
    std::vector<Part<T>> parts;
    std::vector<Lying<T>> blocks;

    const T* start() { return kind == 0 ? nullptr : kind == 1 ? row.row(0) : kind == 2 ? starts.row(0) : c.row(0); }
    int start_stride() { return kind == 1 ? 0 : kind == 2 ? starts.stride : c.stride; }

    Truth<T> truth() {
        Truth<T> truth(M, N);
        for (int m = 0; m < M; ++m)
            for (int n = 0; n < N; ++n) {
                if (kind) truth.add(m, n, start()[static_cast<std::ptrdiff_t>(m) * start_stride() + n], 1);
                for (std::size_t p = 0; p < a.size(); ++p)
                    for (int k = 0; k < a[p].columns; ++k)
                        truth.add(m, n, a[p].at(m, k), along_k[p] ? w[p].at(n, k) : w[p].at(k, n));
            }
        return truth;
    }
};

// The whole B packed, in blocks of columns that do not end with panels.
template <class T>
std::vector<T> pack_all(Product<T>& product) {
    std::vector<T> panels(recurra::packed_numbers<T>(product.depth, product.N), T(NAN));
    const int count = recurra::panel_count<T>(product.N);
    const int cut = product.N > 2 ? product.N / 3 : 0;
    int k0 = 0;
    for (std::size_t p = 0; p < product.a.size(); ++p) {
        const Lying<T>& block = product.blocks[p];
        const int K = product.a[p].columns;
        for (int half = 0; half < 2; ++half) {
            const int n0 = half ? cut : 0, n1 = half ? product.N : cut;
            const int some = count / 2;
            for (int first : {0, some})
                recurra::pack<T>(panels.data(), product.depth, product.N, k0, K, n0, n1 - n0,
                                 block.w + n0 * block.n_stride, block.k_stride, block.n_stride, first,
                                 first == some ? count : some);
        }
        k0 += K;
    }
    return panels;
}

template <class T>
void check_panels(Product<T>& product, const std::vector<T>& panels) {
    int k0 = 0;
    for (std::size_t p = 0; p < product.a.size(); k0 += product.a[p].columns, ++p)
        for (int k = 0; k < product.a[p].columns; ++k)
            for (int n = 0; n < recurra::panel_count<T>(product.N) * recurra::PANEL<T>; ++n) {
                const std::size_t left = static_cast<std::size_t>(n / recurra::PANEL<T>) * product.depth;
                const T got = panels[(left + k0 + k) * recurra::PANEL<T> + n % recurra::PANEL<T>];
                const Lying<T>& block = product.blocks[p];
                const T expected = n < product.N ? block.w[k * block.k_stride + n * block.n_stride] : T(0);
                if (got != expected) fail<T>("pack", "wrong", k0 + k, n, got, expected);
            }
}

template <class T>
void test_multiply() {
    Product<T> product(any_rows(), any_size(), choose({1, 1, 2, 3}));
    Truth<T> truth = product.truth();
    const std::vector<T> panels = pack_all(product);
    check_panels(product, panels);
    Matrix<T> before = product.c;
    const int count = recurra::panel_count<T>(product.N);
    const int first = choose({0, 0, count / 2}), last = choose({count, count, (count + first + 1) / 2});
    const int end = last == count ? product.N : last * recurra::PANEL<T>;
    recurra::multiply<T>(product.parts.data(), static_cast<int>(product.parts.size()), panels.data(), product.depth,
                         product.N, first, last, product.M, const_cast<T*>(product.c.row(0)), product.c.stride,
                         product.start(), product.start_stride());
    truth.check("multiply", product.c, before, 0, product.M, first * recurra::PANEL<T>, end, product.depth + 1);
}

template <class T>
void test_lying() {
    Product<T> product(any_rows(), any_size(), choose({1, 1, 2, 3}));
    Truth<T> truth = product.truth();
    Matrix<T> before = product.c;
    recurra::multiply_lying<T>(product.parts.data(), static_cast<int>(product.parts.size()), product.blocks.data(),
                               product.N, product.M, const_cast<T*>(product.c.row(0)), product.c.stride,
                               product.start(), product.start_stride());
    truth.check("multiply_lying", product.c, before, 0, product.M, 0, product.N, product.depth + 1);
}

template <class T>
void test_outer() {
    const int M = any_size(), N = any_size();
    const int count = choose({0, 1, 1, 2, 5, 40});
    std::vector<Matrix<T>> a, b;
    std::vector<Segment<T>> segments;
    const int a_gap = gap(), b_gap = gap();
    const bool accumulate = choose({0, 1});
    int terms = 1;
    for (int s = 0; s < count; ++s) {
        const int rows = count == 40 ? choose({0, 1, 2, 9, 30}) : choose({1, 8, 33, 400, 771});
        a.emplace_back(rows, M, a_gap);
        b.emplace_back(rows, N, b_gap);
        terms += rows;
    }
    for (int s = 0; s < count; ++s) segments.push_back({a[s].row(0), b[s].row(0), a[s].rows});
    const int m0 = choose({0, 0, M / 3}), m1 = choose({M, M, m0 + (M - m0) / 2});
    const int n0 = choose({0, 0, N / 3}), n1 = choose({N, N, n0 + (N - n0) / 2});
    Matrix<T> c(M, N, gap());
    Matrix<T> before = c;
    Truth<T> truth(M, N);
    for (int m = m0; m < m1; ++m)
        for (int n = n0; n < n1; ++n) {
            if (accumulate) truth.add(m, n, c.at(m, n), 1);
            for (int s = 0; s < count; ++s)
                for (int r = 0; r < a[s].rows; ++r) truth.add(m, n, a[s].at(r, m), b[s].at(r, n));
        }
    recurra::outer<T>(segments.data(), count, M + a_gap, N + b_gap, m0, m1, n0, n1, const_cast<T*>(c.row(0)), c.stride,
                      accumulate);
    truth.check("outer", c, before, m0, m1, n0, n1, terms);
}

// A row's result must not depend on how many rows are computed beside it: else a batch's order would show.
template <class T>
void test_rows_alone() {
    Product<T> product(choose({2, 3, 4, 5, 7, 9, 13, 17}), any_size(), 2);
    const std::vector<T> panels = pack_all(product);
    Matrix<T> all(product.M, product.N, 0), lying = all, alone(1, product.N, 0);
    const int count = recurra::panel_count<T>(product.N);
    const T* start = product.kind ? product.row.row(0) : nullptr;
    recurra::multiply<T>(product.parts.data(), 2, panels.data(), product.depth, product.N, 0, count, product.M,
                         all.numbers.data(), all.stride, start, 0);
    recurra::multiply_lying<T>(product.parts.data(), 2, product.blocks.data(), product.N, product.M,
                               lying.numbers.data(), lying.stride, start, 0);
    for (int m = 0; m < product.M; ++m) {
        std::vector<Part<T>> parts = product.parts;
        for (Part<T>& part : parts) part.a += m * part.stride;
        recurra::multiply<T>(parts.data(), 2, panels.data(), product.depth, product.N, 0, count, 1,
                             alone.numbers.data(), 0, start, 0);
        for (int n = 0; n < product.N; ++n)
            if (alone.at(0, n) != all.at(m, n))
                fail<T>("multiply", "a row alone differs", m, n, all.at(m, n), alone.at(0, n));
        recurra::multiply_lying<T>(parts.data(), 2, product.blocks.data(), product.N, 1, alone.numbers.data(), 0, start,
                                   0);
        for (int n = 0; n < product.N; ++n)
            if (alone.at(0, n) != lying.at(m, n))
                fail<T>("multiply_lying", "a row alone differs", m, n, lying.at(m, n), alone.at(0, n));
    }
}

template <class T>
void test_all(int repeats) {
    for (int k = 0; k < repeats; ++k) {
        test_multiply<T>();
        test_lying<T>();
        test_rows_alone<T>();
        if (k % 4 == 0) test_outer<T>();
    }
}

}  // namespace

int main() {
    test_all<float>(150);
    test_all<double>(150);
    std::printf("gemm: %s\n", failures ? "FAILED" : "ok");
    return failures ? 1 : 0;
}
