// exp, log, tanh, sigmoid, logsigmoid and square roots of whole vectors: one body of code for float and double and for
// every instruction set, with or without fused multiply-add. Over the whole range, with results that are subnormal,
// infinite or NaN, a result is at most 2 units in the last place (float; double: 4) from the correctly rounded one;
// tests/math_exhaustive.cpp tries every float.
//
// The coefficients are minimax fits of the relative error, found by Lawson's reweighted least squares in 50 digits on
// 80 Chebyshev nodes; each coefficient, lowest order first, was rounded to T and those after it fitted again.
#pragma once

#include "simd.h"

namespace recurra {
namespace {

// How numbers of type T are built, and ln 2 in two parts: high has so few bits that its product with any exponent of T
// is exact, low is the rest.
template <class T>
struct Format;
template <>
struct Format<float> {
    static constexpr int mantissa_bits = 23, bias = 127;
    static constexpr float shifter = 0x1.8p23f;  // adding it rounds to an integer, in the low bits of the sum
    static constexpr float log2_e = 0x1.715476p+0f;
    static constexpr float ln2 = 0x1.62e43p-1f, ln2_high = 0x1.63p-1f, ln2_low = -0x1.bd0106p-13f;
    static constexpr float smallest_normal = 0x1p-126f, infinity = __builtin_inff(), nan = __builtin_nanf("");
};
template <>
struct Format<double> {
    static constexpr int mantissa_bits = 52, bias = 1023;
    static constexpr double shifter = 0x1.8p52;
    static constexpr double log2_e = 0x1.71547652b82fep+0;
    static constexpr double ln2 = 0x1.62e42fefa39efp-1, ln2_high = 0x1.62e42feep-1, ln2_low = 0x1.a39ef35793c76p-33;
    static constexpr double smallest_normal = 0x1p-1022, infinity = __builtin_inf(), nan = __builtin_nan("");
};

// Unsigned integers of T's width: shifts of them fill with zeros, which SSE2 and AVX2 have for 64 bits too.
template <class T>
struct UnsignedOf {
    typedef typename Vector<T>::unsigned_bits type __attribute__((vector_size(RECURRA_VECTOR_BYTES), may_alias));
};
template <class T>
using unsigned_ints = typename UnsignedOf<T>::type;

// A polynomial, lowest order first.
template <class T, int terms>
struct Polynomial {
    T coefficients[terms];

    // Horner's rule in x^2 over pairs of terms: as many operations as in x, in a chain half as long.
    vec<T> operator()(vec<T> x, vec<T> square) const {
        vec<T> sum = pair(x, (terms - 1) / 2);
        for (int k = (terms - 1) / 2 - 1; k >= 0; --k) sum = sum * square + pair(x, k);
        return sum;
    }

    vec<T> pair(vec<T> x, int k) const {
        if (2 * k + 1 == terms) return broadcast<T>(coefficients[2 * k]);
        return x * coefficients[2 * k + 1] + coefficients[2 * k];
    }

    // factor * p(inner * x); exact where both are powers of two.
    constexpr Polynomial scaled(T factor, T inner) const {
        Polynomial result = *this;
        for (int k = 0; k < terms; ++k, factor *= inner) result.coefficients[k] *= factor;
        return result;
    }
};

// expm1_tail: (exp(r) - 1 - r) / r^2 for |r| <= ln(2) / 2; relative error of expm1 2^-26.1 (float), 2^-55.6 (double).
//
// log_tail: (log(1 + f) - 2 s) / (s z) with s = f / (2 + f), z = s^2, 1 + f from sqrt(1/2) to sqrt(2); relative error
// of the logarithm 2^-30.2 (float), 2^-59.5 (double).
template <class T>
struct Fit;
template <>
struct Fit<float> {
    static constexpr Polynomial<float, 5> expm1_tail = {
        {0x1.fffffep-2f, 0x1.5554b4p-3f, 0x1.5556f2p-5f, 0x1.122546p-7f, 0x1.6b9c62p-10f}};
    static constexpr Polynomial<float, 3> log_tail = {{0x1.55557ap-1f, 0x1.995ed2p-2f, 0x1.31e138p-2f}};
    static constexpr float exp_lowest = -105, exp_highest = 89, tanh_highest = 10;
};
template <>
struct Fit<double> {
    static constexpr Polynomial<double, 10> expm1_tail = {
        {0x1.0000000000005p-1, 0x1.5555555555547p-3, 0x1.5555555552113p-5, 0x1.111111111575fp-7, 0x1.6c16c17f2e4a5p-10,
         0x1.a01a018896759p-13, 0x1.a019a69f98700p-16, 0x1.71de5bc160339p-19, 0x1.28a295398d208p-22,
         0x1.aeb28b393a7b2p-26}};
    static constexpr Polynomial<double, 7> log_tail = {
        {0x1.5555555555593p-1, 0x1.999999997faaep-2, 0x1.2492494218d0ep-2, 0x1.c71c51eaaf6d1p-3, 0x1.746645056eac9p-3,
         0x1.39a11f62746acp-3, 0x1.2f0b77551d036p-3}};
    static constexpr double exp_lowest = -746, exp_highest = 710, tanh_highest = 20;
};

// The smaller / larger of x and a limit; unlike minimum and maximum they keep a NaN in x. Compilers make two
// instructions of the plain form, hence the one that does just this on the widest vectors (masked with all ones,
// because GCC 12 warns of the unmasked form).
template <class T>
inline vec<T> at_most(vec<T> x, T highest) {
    const vec<T> limit = broadcast<T>(highest);
#if RECURRA_VECTOR_BYTES == 64
    if constexpr (sizeof(T) == 4)
        return (vec<T>)_mm512_maskz_min_ps((__mmask16)-1, (__m512)limit, (__m512)x);
    else
        return (vec<T>)_mm512_maskz_min_pd((__mmask8)-1, (__m512d)limit, (__m512d)x);
#else
    return limit < x ? limit : x;
#endif
}
template <class T>
inline vec<T> at_least(vec<T> x, T lowest) {
    const vec<T> limit = broadcast<T>(lowest);
#if RECURRA_VECTOR_BYTES == 64
    if constexpr (sizeof(T) == 4)
        return (vec<T>)_mm512_maskz_max_ps((__mmask16)-1, (__m512)limit, (__m512)x);
    else
        return (vec<T>)_mm512_maskz_max_pd((__mmask8)-1, (__m512d)limit, (__m512d)x);
#else
    return limit > x ? limit : x;
#endif
}

template <class T>
inline ints<T> sign_bits() {
    return (ints<T>)broadcast<T>(T(-0.0));
}

// exp(x) = 2^n (1 + expm1), expm1 of the rest r = x - n ln(2), |r| <= ln(2) / 2. The low bits of shifted are n + bias.
template <class T>
struct Reduced {
    vec<T> expm1, n, shifted;
};

template <class T>
inline Reduced<T> reduce(vec<T> x, int bias) {
    using F = Format<T>;
    const T offset = F::shifter + static_cast<T>(bias);
    const vec<T> shifted = x * F::log2_e + offset, n = shifted - offset;
    const vec<T> r = (x - n * F::ln2_high) - n * F::ln2_low, square = r * r;
    return {Fit<T>::expm1_tail(r, square) * square + r, n, shifted};
}

// The number with the low bits of x for its exponent, bias included.
template <class T>
inline vec<T> power_of_two(unsigned_ints<T> x) {
    return (vec<T>)(x << Format<T>::mantissa_bits);
}

// exp(x) for exp_lowest <= x <= exp_highest, rounded once more where it is subnormal. Without the instruction for it
// the power of two is in two factors, 2^floor(n / 2) and 2^ceil(n / 2), because 2^n itself may be out of range.
template <class T>
inline vec<T> exp_within(vec<T> x) {
    const Reduced<T> reduced = reduce<T>(x, 2 * Format<T>::bias);
#if RECURRA_VECTOR_BYTES == 64
    const vec<T> rest = reduced.expm1 + T(1), n = reduced.n;
    if constexpr (sizeof(T) == 4)
        return (vec<T>)_mm512_maskz_scalef_ps((__mmask16)-1, (__m512)rest, (__m512)n);
    else
        return (vec<T>)_mm512_maskz_scalef_pd((__mmask8)-1, (__m512d)rest, (__m512d)n);
#else
    const unsigned_ints<T> sum = (unsigned_ints<T>)reduced.shifted, half = sum >> 1;
    const vec<T> first = power_of_two<T>(half);
    return (first * reduced.expm1 + first) * power_of_two<T>(sum - half);
#endif
}

template <class T>
inline vec<T> v_exp(vec<T> x) {
    return exp_within<T>(at_least<T>(at_most<T>(x, Fit<T>::exp_highest), Fit<T>::exp_lowest));
}

// -|x|, but exp_lowest where it is below.
template <class T>
inline vec<T> minus_magnitude(vec<T> x) {
    return at_least<T>((vec<T>)((ints<T>)x | sign_bits<T>()), Fit<T>::exp_lowest);
}

// 1 / (1 + e) where x >= 0 and e / (1 + e) where x < 0, with e = exp(-|x|). Both parts of the fraction are multiplied
// by 2^lift, with which no e is subnormal: the quotient alone is rounded to a subnormal number.
template <class T>
inline vec<T> v_sigmoid(vec<T> x) {
    using F = Format<T>;
    constexpr int lift = 62;
    const Reduced<T> reduced = reduce<T>(minus_magnitude<T>(x), F::bias + lift);
    const vec<T> power = power_of_two<T>((unsigned_ints<T>)reduced.shifted);
    const vec<T> e = power * reduced.expm1 + power, one = broadcast<T>(T(std::int64_t(1) << lift));
    return (x < vec<T>{} ? e : one) / (one + e);
}

// tanh|x| = (1 - e) / (1 + e) with e = exp(-2|x|) = 2^n (1 - 2 h) and h = -expm1(-2 r) / 2, |r| <= ln(2) / 4. At n = 0
// the numerator is 2 h, so that small x lose nothing; ln(2) needs one part only, because e is small where n is not.
template <class T>
inline vec<T> v_tanh(vec<T> x) {
    using F = Format<T>;
    constexpr T offset = F::shifter + F::bias;
    constexpr auto tail = Fit<T>::expm1_tail.scaled(-2, -2);
    const vec<T> magnitude = at_most<T>((vec<T>)((ints<T>)x & ~sign_bits<T>()), Fit<T>::tanh_highest);
    const vec<T> shifted = magnitude * (-2 * F::log2_e) + offset;
    const vec<T> r = magnitude + (shifted - offset) * (F::ln2 / 2);
    const vec<T> square = r * r, h = tail(r, square) * square + r;
    const vec<T> power = power_of_two<T>((unsigned_ints<T>)shifted), twice = power + power;
    const vec<T> result = ((T(1) - power) + twice * h) / ((T(1) + power) - twice * h);
    return (vec<T>)((ints<T>)result | ((ints<T>)x & sign_bits<T>()));
}

// log(2^k (1 + f)), sqrt(1/2) <= 1 + f <= sqrt(2).
template <class T>
inline vec<T> log_split(vec<T> k, vec<T> f) {
    const vec<T> s = f / (f + T(2)), z = s * s, half_square = T(0.5) * f * f;
    const vec<T> tail = s * (Fit<T>::log_tail(z, z * z) * z + half_square) + k * Format<T>::ln2_low;
    return k * Format<T>::ln2_high - ((half_square - tail) - f);
}

template <class T>
inline vec<T> v_log(vec<T> x) {
    using F = Format<T>;
    constexpr T sqrt_half = T(0x1.6a09e667f3bcdp-1), up = T(2) * (typename Vector<T>::bits(1) << F::mantissa_bits);
    const ints<T> subnormal = x < F::smallest_normal;
    const unsigned_ints<T> bits = (unsigned_ints<T>)(subnormal ? x * up : x);
    const unsigned_ints<T> to_one = (unsigned_ints<T>)broadcast<T>(T(1)) - (unsigned_ints<T>)broadcast<T>(sqrt_half);
    const unsigned_ints<T> exponent = (bits + to_one) >> F::mantissa_bits;  // of 2^k, with the bias
    const unsigned_ints<T> one = (unsigned_ints<T>)broadcast<T>(T(1));
    const vec<T> f = (vec<T>)(bits - (exponent << F::mantissa_bits) + one) - T(1);
    const vec<T> offset =
        subnormal ? broadcast<T>(F::shifter + F::bias + F::mantissa_bits + 1) : broadcast<T>(F::shifter + F::bias);
    const vec<T> k = (vec<T>)(exponent + (unsigned_ints<T>)broadcast<T>(F::shifter)) - offset;
    const vec<T> finite = x < F::infinity ? log_split<T>(k, f) : x;  // else infinity and NaN: x itself
    const vec<T> not_negative = x < T(0) ? broadcast<T>(F::nan) : finite;
    return x == T(0) ? broadcast<T>(-F::infinity) : not_negative;
}

// min(x, 0) - log(1 + e) with e = exp(-|x|). 1 + e is never rounded: it is 2^0 (1 + e) or 2^1 (1 + (e - 1) / 2).
template <class T>
inline vec<T> v_logsigmoid(vec<T> x) {
    const vec<T> e = exp_within<T>(minus_magnitude<T>(x)), zero = {}, one = broadcast<T>(T(1));
    const ints<T> above = e > T(0x1.a827999fcef32p-2);  // sqrt(2) - 1
    const vec<T> log1p = log_split<T>(above ? one : zero, above ? (e - T(1)) * T(0.5) : e);
    return (x < zero ? x : zero) - log1p;
}

// Correctly rounded; a loop that the compilers turn into the one instruction.
template <class T>
inline vec<T> v_sqrt(vec<T> x) {
    T lanes[LANES<T>];
    store<T>(lanes, x);
    for (int k = 0; k < LANES<T>; ++k) {
        if constexpr (sizeof(T) == 4)
            lanes[k] = __builtin_sqrtf(lanes[k]);
        else
            lanes[k] = __builtin_sqrt(lanes[k]);
    }
    return load<T>(lanes);
}

template <class T>
inline vec<T> v_rsqrt(vec<T> x) {
    return T(1) / v_sqrt<T>(x);
}

}  // namespace
}  // namespace recurra
