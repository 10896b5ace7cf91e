// The functions of math.h against long double references: random numbers of all magnitudes, special values, every lane.
// Prints the largest distance of each function from the correctly rounded value, which has a bound, and from the true
// value, in units in the last place.
#include "elementary.h"

#include <cmath>
#include <cstdio>
#include <initializer_list>
#include <limits>

namespace {

using namespace recurra;

typedef long double wide;

template <class T>
using Function = vec<T> (*)(vec<T>);
typedef wide (*Reference)(wide);

constexpr double tolerance(float) { return 2; }
constexpr double tolerance(double) { return 4; }
constexpr int samples = 100000;  // of each kind

wide exp_of(wide x) { return std::exp(x); }
wide log_of(wide x) { return std::log(x); }
wide tanh_of(wide x) { return std::tanh(x); }
wide sigmoid_of(wide x) {
    const wide e = std::exp(-std::fabs(x));
    return (x < 0 ? e : 1) / (1 + e);
}
wide logsigmoid_of(wide x) { return (x < 0 ? x : 0) - std::log1p(std::exp(-std::fabs(x))); }

// Steele, Lea and Flood (2014), SplitMix64.
std::uint64_t random_bits() {
    static std::uint64_t state = 1;
    std::uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

// How far `result` is from `truth`; infinity counts as the first power of two beyond the range.
template <class T>
double error(T result, wide truth) {
    using Limits = std::numeric_limits<T>;
    if (std::isnan(truth)) return std::isnan(result) ? 0 : HUGE_VAL;
    if (std::isnan(result)) return HUGE_VAL;
    const wide bound = std::ldexp(wide(1), Limits::max_exponent);
    const wide r = std::fmin(std::fmax(wide(result), -bound), bound), t = std::fmin(std::fmax(truth, -bound), bound);
    if (r == t) return 0;
    const int exponent = t == 0 ? Limits::min_exponent : std::ilogb(t) + 1;
    const int last = (exponent < Limits::min_exponent ? Limits::min_exponent : exponent) - Limits::digits;
    return static_cast<double>(std::ldexp(std::fabs(r - t), -last));
}

// Kind 0: any bits at all; 1: uniform where exp neither overflows nor vanishes; 2: magnitudes from 2^-40 to 2^11.
template <class T>
T sample(int kind) {
    const std::uint64_t bits = random_bits();
    if (kind == 0) {
        T x;
        std::memcpy(&x, &bits, sizeof x);
        return x;
    }
    const double uniform = static_cast<double>(bits >> 11) * 0x1p-53;
    if (kind == 1) return static_cast<T>((uniform - 0.5) * (sizeof(T) == 4 ? 210 : 1500));
    const double magnitude = std::ldexp(1 + uniform, static_cast<int>(bits & 1023) % 51 - 40);
    return static_cast<T>(bits >> 10 & 1 ? magnitude : -magnitude);
}

template <class T>
T first_lane(vec<T> v) {
    T lanes[LANES<T>];
    store<T>(lanes, v);
    return lanes[0];
}

template <class T>
bool accurate(const char* name, Function<T> function, Reference reference) {
    double worst = 0, worst_rounded = 0;
    T where = 0;
    for (int kind = 0; kind < 3; ++kind)
        for (int n = 0; n < samples; n += LANES<T>) {
            T x[LANES<T>], y[LANES<T>];
            for (T& number : x) number = sample<T>(kind);
            store<T>(y, function(load<T>(x)));
            for (int k = 0; k < LANES<T>; ++k) {
                const wide truth = reference(x[k]);
                const double e = error<T>(y[k], truth);
                if (e > worst) worst = e, where = x[k];
                worst_rounded = std::fmax(worst_rounded, error<T>(y[k], static_cast<T>(truth)));
            }
        }
    std::printf("%-10s %s max %.0f ulp, %.3f ulp from the true value at %a\n", name,
                sizeof(T) == 4 ? "float " : "double", worst_rounded, worst, double(where));
    return worst_rounded <= tolerance(T());
}

template <class T>
bool same(T a, T b) {
    return std::memcmp(&a, &b, sizeof a) == 0 || (std::isnan(a) && std::isnan(b));
}

template <class T>
struct Case {
    T x, expected;
};

template <class T>
bool equals(const char* name, Function<T> function, std::initializer_list<Case<T>> cases) {
    bool good = true;
    for (const Case<T>& c : cases) {
        const T result = first_lane<T>(function(broadcast<T>(c.x)));
        if (same(result, c.expected)) continue;
        std::printf("%s(%a) is %a, not %a\n", name, double(c.x), double(result), double(c.expected));
        good = false;
    }
    return good;
}

template <class T>
bool special_values() {
    const T inf = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN(), minus_zero = T(-0.0);
    const T big = std::numeric_limits<T>::max(), tiny = std::numeric_limits<T>::denorm_min(), half = T(0.5);
    bool good =
        equals<T>("exp", v_exp<T>, {{inf, inf}, {-inf, 0}, {nan, nan}, {0, 1}, {big, inf}, {-big, 0}, {tiny, 1}});
    good &= equals<T>("log", v_log<T>, {{inf, inf}, {-inf, nan}, {nan, nan}, {0, -inf}, {minus_zero, -inf}, {1, 0}});
    good &= equals<T>("log", v_log<T>, {{-tiny, nan}, {-1, nan}, {-big, nan}});
    good &= equals<T>("tanh", v_tanh<T>, {{inf, 1}, {-inf, -1}, {nan, nan}, {0, 0}, {minus_zero, minus_zero}});
    good &= equals<T>("tanh", v_tanh<T>, {{big, 1}, {-big, -1}, {tiny, tiny}, {-tiny, -tiny}});
    good &= equals<T>("sigmoid", v_sigmoid<T>, {{inf, 1}, {-inf, 0}, {nan, nan}, {0, half}, {minus_zero, half}});
    good &= equals<T>("sigmoid", v_sigmoid<T>, {{big, 1}, {-big, 0}, {tiny, half}, {-tiny, half}});
    good &= equals<T>("logsigmoid", v_logsigmoid<T>, {{inf, 0}, {-inf, -inf}, {nan, nan}, {big, 0}, {-big, -big}});
    good &= equals<T>("sqrt", v_sqrt<T>, {{inf, inf}, {-1, nan}, {nan, nan}, {minus_zero, minus_zero}});
    good &= equals<T>("rsqrt", v_rsqrt<T>, {{0, inf}, {inf, 0}, {-1, nan}, {nan, nan}, {4, half}});
    return good;
}

// What stands in the other lanes changes nothing: each special value in each lane, among ordinary numbers.
template <class T>
bool lanes_independent(const char* name, Function<T> function) {
    using Limits = std::numeric_limits<T>;
    const T inf = Limits::infinity(), big = Limits::max(), least = Limits::denorm_min(), nan = Limits::quiet_NaN();
    const T special[] = {0, T(-0.0), 3, -3, T(1e-3), 89, -100, 1000, -1000, inf, -inf, nan, least, -least, big, -big};
    const T ordinary = T(0.625), undisturbed = first_lane<T>(function(broadcast<T>(ordinary)));
    for (const T x : special)
        for (int lane = 0; lane < LANES<T>; ++lane) {
            T in[LANES<T>], out[LANES<T>];
            for (int k = 0; k < LANES<T>; ++k) in[k] = k == lane ? x : ordinary;
            store<T>(out, function(load<T>(in)));
            const T alone = first_lane<T>(function(broadcast<T>(x)));
            for (int k = 0; k < LANES<T>; ++k)
                if (!same(out[k], k == lane ? alone : undisturbed)) {
                    std::printf("%s: %a in lane %d changes lane %d\n", name, double(x), lane, k);
                    return false;
                }
        }
    return true;
}

template <class T>
bool square_roots() {
    for (int n = 0; n < samples; ++n) {
        const T x = std::fabs(sample<T>(0)), root = std::sqrt(x);
        if (!equals<T>("sqrt", v_sqrt<T>, {{x, root}}) || !equals<T>("rsqrt", v_rsqrt<T>, {{x, 1 / root}}))
            return false;
    }
    std::printf("sqrt rsqrt %s correctly rounded operations\n", sizeof(T) == 4 ? "float " : "double");
    return true;
}

template <class T>
bool check(const char* name, Function<T> function, Reference reference) {
    const bool close = accurate<T>(name, function, reference);
    return lanes_independent<T>(name, function) && close;
}

template <class T>
bool check_all() {
    bool good = special_values<T>();
    good &= square_roots<T>();
    good &= check<T>("exp", v_exp<T>, exp_of);
    good &= check<T>("log", v_log<T>, log_of);
    good &= check<T>("tanh", v_tanh<T>, tanh_of);
    good &= check<T>("sigmoid", v_sigmoid<T>, sigmoid_of);
    good &= check<T>("logsigmoid", v_logsigmoid<T>, logsigmoid_of);
    return good;
}

}  // namespace

int main() {
    const bool floats = check_all<float>(), doubles = check_all<double>();
    return floats && doubles ? 0 : 1;
}
