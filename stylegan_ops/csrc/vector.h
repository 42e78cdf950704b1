// Vectors of floats in whatever width the chip has, and the two element types of activations.
//
// Conventions: activations are [batch, rows, columns, channels] with channels innermost; all arithmetic is in float.
// A vector runs along the channels. Where the number of channels is no multiple of its width, the last one is `partial`.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

#define EXPORT extern "C" __attribute__((visibility("default")))
#define INLINE static inline __attribute__((always_inline))

typedef float Vector __attribute__((vector_size(4 * LANES)));
typedef uint32_t Bits __attribute__((vector_size(4 * LANES)));
typedef uint16_t Halves __attribute__((vector_size(2 * LANES)));

// The upper half of a float.
struct BFloat16 {
    uint16_t bits;
};

INLINE Vector splat(float value) { return value - Vector{}; }

template <class T>
INLINE T read_bytes(const void *from, int64_t count, int64_t size) {
    T values{};
    if (count == LANES)
        std::memcpy(&values, from, sizeof(T));
    else
        std::memcpy(&values, from, count * size);
    return values;
}

// The first `count` numbers, and zeros.
INLINE Vector load(const float *from, int64_t count) { return read_bytes<Vector>(from, count, 4); }

INLINE Vector load(const BFloat16 *from, int64_t count) {
    Bits bits = __builtin_convertvector(read_bytes<Halves>(from, count, 2), Bits) << 16;
    return (Vector)bits;
}

INLINE void store(float *to, Vector values, int64_t count) {
    if (count == LANES)
        std::memcpy(to, &values, sizeof(values));
    else
        std::memcpy(to, &values, count * 4);
}

// Rounds to nearest, ties to even.
INLINE void store(BFloat16 *to, Vector values, int64_t count) {
#if defined(__AVX512BF16__)
    const Halves halves = (Halves)_mm512_cvtneps_pbh((__m512)values);
#else
    const Bits bits = (Bits)values;
    Bits rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    rounded = values == values ? rounded : Bits{} + 0x7fc0;  // rounding would carry a NaN into the sign
    const Halves halves = __builtin_convertvector(rounded, Halves);
#endif
    if (count == LANES)
        std::memcpy(to, &halves, sizeof(halves));
    else
        std::memcpy(to, &halves, count * 2);
}

// Both return a NaN of `values`, as PyTorch does.
INLINE Vector at_least(Vector values, Vector low) { return low > values ? low : values; }
INLINE Vector at_most(Vector values, Vector high) { return high < values ? high : values; }

INLINE Vector leaky_relu(Vector values) {
    const Vector small = values * 0.2f;
    return small > values ? small : values;
}

typedef float Quarter __attribute__((vector_size(16)));

// In a fixed order.
INLINE float sum(Vector values) {
    Quarter parts[LANES / 4];
    std::memcpy(parts, &values, sizeof(values));
    for (int half = LANES / 8; half; half /= 2)
        for (int part = 0; part < half; part++) parts[part] += parts[part + half];
    const Quarter total = parts[0];
    return (total[0] + total[2]) + (total[1] + total[3]);
}
