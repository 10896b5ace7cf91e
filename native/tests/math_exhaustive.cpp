// Every float through the float functions of math.h, against double references. Prints the largest distance of each
// function from the correctly rounded value, in units in the last place, and the largest from the true value with its
// argument; fails where the first is above 2. Takes a minute or two per function.
#include "elementary.h"

#include <cmath>
#include <cstdio>

namespace {

using namespace recurra;

constexpr double tolerance = 2;
constexpr int row = 1024;

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double logsigmoid(double x) { return (x < 0 ? x : 0) - std::log1p(std::exp(-std::fabs(x))); }

float number(std::uint32_t bits) {
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

// The unit in the last place at v; all subnormal numbers share the smallest one.
double unit(double v) {
    std::uint64_t bits;
    std::memcpy(&bits, &v, sizeof bits);
    const int exponent = static_cast<int>(bits >> 52 & 2047) - 1023;
    bits = static_cast<std::uint64_t>((exponent < -126 ? -126 : exponent) - 23 + 1023) << 52;
    std::memcpy(&v, &bits, sizeof v);
    return v;
}

// How far `result` is from `truth`; infinity counts as the first power of two beyond the range.
double error(float result, double truth) {
    if (truth != truth) return result != result ? 0 : HUGE_VAL;
    if (result != result) return HUGE_VAL;
    const double bound = 0x1p128, r = std::fmin(std::fmax(result, -bound), bound);
    const double t = std::fmin(std::fmax(truth, -bound), bound);
    return r == t ? 0 : std::fabs(r - t) / unit(t);
}

bool check(const char* name, vec<float> (*function)(vec<float>), double (*reference)(double)) {
    double worst = 0, worst_rounded = 0;
    float where = 0;
    float x[row], y[row];
    for (std::uint64_t start = 0; start < std::uint64_t(1) << 32; start += row) {
        for (int k = 0; k < row; ++k) x[k] = number(static_cast<std::uint32_t>(start + k));
        for (int k = 0; k < row; k += LANES<float>) store<float>(y + k, function(load<float>(x + k)));
        for (int k = 0; k < row; ++k) {
            const double truth = reference(x[k]), e = error(y[k], truth);
            if (e > worst) worst = e, where = x[k];
            if (e > 0.5) worst_rounded = std::fmax(worst_rounded, error(y[k], static_cast<float>(truth)));
        }
    }
    std::printf("%-10s float  max %.0f ulp, %.3f ulp from the true value at %a\n", name, worst_rounded, worst,
                double(where));
    std::fflush(stdout);
    return worst_rounded <= tolerance;
}

}  // namespace

int main() {
    bool good = true;
    good &= check("tanh", v_tanh<float>, [](double x) { return std::tanh(x); });
    good &= check("sigmoid", v_sigmoid<float>, sigmoid);
    good &= check("exp", v_exp<float>, [](double x) { return std::exp(x); });
    good &= check("log", v_log<float>, [](double x) { return std::log(x); });
    good &= check("logsigmoid", v_logsigmoid<float>, logsigmoid);
    return good ? 0 : 1;
}
