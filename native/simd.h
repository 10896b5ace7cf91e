// Vectors of one instruction set: VECTOR_BYTES wide, chosen by the file in isa/ that includes this.
// Everything here and in what builds on it is in an anonymous namespace, so that no symbol compiled for a newer
// instruction set can be linked into an older one's code. For the same reason no std:: template is used in it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__AVX__)
#include <immintrin.h>
#endif

#ifndef RECURRA_VECTOR_BYTES
#error "include this from a file in isa/, which sets RECURRA_VECTOR_BYTES"
#endif

namespace recurra {
namespace {

template <class T>
struct Vector;
template <>
struct Vector<float> {
    using bits = std::int32_t;
    using unsigned_bits = std::uint32_t;
};
template <>
struct Vector<double> {
    using bits = std::int64_t;
    using unsigned_bits = std::uint64_t;
};

constexpr int vector_bytes = RECURRA_VECTOR_BYTES;
constexpr int line_bytes = 64;  // of a cache

// LANES<T> numbers of type T in one register.
template <class T>
constexpr int LANES = vector_bytes / static_cast<int>(sizeof(T));

typedef float vector_float __attribute__((vector_size(RECURRA_VECTOR_BYTES), may_alias));
typedef double vector_double __attribute__((vector_size(RECURRA_VECTOR_BYTES), may_alias));
typedef std::int32_t vector_int32 __attribute__((vector_size(RECURRA_VECTOR_BYTES), may_alias));
typedef std::int64_t vector_int64 __attribute__((vector_size(RECURRA_VECTOR_BYTES), may_alias));

template <class T>
struct VectorOf;
template <>
struct VectorOf<float> {
    using type = vector_float;
    using ints = vector_int32;
};
template <>
struct VectorOf<double> {
    using type = vector_double;
    using ints = vector_int64;
};

// Arithmetic, comparison (a < b gives ints<T> of 0 and -1) and `mask ? a : b` are the compiler's vector extension.
template <class T>
using vec = typename VectorOf<T>::type;
template <class T>
using ints = typename VectorOf<T>::ints;

template <class T>
inline vec<T> load(const T* p) {
    vec<T> v;
    std::memcpy(&v, p, sizeof v);
    return v;
}

template <class T>
inline void store(T* p, vec<T> v) {
    std::memcpy(p, &v, sizeof v);
}

template <class T>
inline vec<T> broadcast(T x) {
    return x - vec<T>{};  // a splat: x minus zeros keeps the sign of -0
}

// The first n lanes (0 < n < LANES) from memory, zeros in the others; nothing beyond p[n-1] is read.
#if RECURRA_VECTOR_BYTES == 64
inline vec<float> load_partial(const float* p, int n) {
    return (vec<float>)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
inline vec<double> load_partial(const double* p, int n) {
    return (vec<double>)_mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), p);
}
inline void store_partial(float* p, vec<float> v, int n) {
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
}
inline void store_partial(double* p, vec<double> v, int n) {
    _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), (__m512d)v);
}
#elif RECURRA_VECTOR_BYTES == 32
alignas(64) constexpr std::int32_t partial_mask32[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
alignas(64) constexpr std::int64_t partial_mask64[8] = {-1, -1, -1, -1, 0, 0, 0, 0};
inline vec<float> load_partial(const float* p, int n) {
    return (vec<float>)_mm256_maskload_ps(p, _mm256_loadu_si256((const __m256i*)(partial_mask32 + 8 - n)));
}
inline vec<double> load_partial(const double* p, int n) {
    return (vec<double>)_mm256_maskload_pd(p, _mm256_loadu_si256((const __m256i*)(partial_mask64 + 4 - n)));
}
inline void store_partial(float* p, vec<float> v, int n) {
    _mm256_maskstore_ps(p, _mm256_loadu_si256((const __m256i*)(partial_mask32 + 8 - n)), (__m256)v);
}
inline void store_partial(double* p, vec<double> v, int n) {
    _mm256_maskstore_pd(p, _mm256_loadu_si256((const __m256i*)(partial_mask64 + 4 - n)), (__m256d)v);
}
#else
template <class T>
inline vec<T> load_partial(const T* p, int n) {
    vec<T> v = {};
    for (int k = 0; k < n; ++k) v[k] = p[k];
    return v;
}
template <class T>
inline void store_partial(T* p, vec<T> v, int n) {
    for (int k = 0; k < n; ++k) p[k] = v[k];
}
#endif

template <class T>
inline vec<T> maximum(vec<T> a, vec<T> b) {
    return a > b ? a : b;
}
template <class T>
inline vec<T> minimum(vec<T> a, vec<T> b) {
    return a < b ? a : b;
}

// The sum of all lanes, in an order that does not depend on the instruction set's shuffles.
template <class T>
inline T sum_lanes(vec<T> v) {
    T part[LANES<T>];
    std::memcpy(part, &v, sizeof v);
    for (int n = LANES<T> / 2; n > 0; n /= 2)
        for (int k = 0; k < n; ++k) part[k] += part[k + n];
    return part[0];
}

#if defined(__FMA__) || defined(__ARM_NEON)
constexpr bool has_fma = true;  // -ffp-contract=fast turns a * b + c into one instruction
#else
constexpr bool has_fma = false;
#endif

}  // namespace
}  // namespace recurra
