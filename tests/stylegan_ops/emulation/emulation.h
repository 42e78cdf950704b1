// As much of CUDA as the kernels in stylegan_ops/csrc and the painter use, on the CPU: they compile against this file
// instead of the toolkit, unchanged. Threads of a block run one at a time in a random order; accesses of memory, all of
// which are intrinsics there, are checked (see emulation.cpp).
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <type_traits>
#include <utility>

#include <math.h>  // whose functions are in the global namespace, as CUDA's are

#define __device__
#define __forceinline__ inline
#define __grid_constant__

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(2) uchar2 {
    unsigned char x, y;
};
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uchar2 make_uchar2(unsigned char x, unsigned char y) { return {x, y}; }

namespace emulation {

enum Result { success = 0, invalid_value = 1, invalid_context = 201, not_found = 500, launch_failure = 719 };

extern dim3 thread, block, grid, block_size;
Result run(const std::function<void()> &kernel);
bool may_access(const void *address, size_t size, bool write);
float exchange(float value, int step);
void share(void *memory, size_t size);
bool may_share(const void *address, size_t size, bool write);
void meet();

using Entry = Result (*)(void **arguments);

// Makes a kernel known by its name, under which the driver finds it.
struct Kernel {
    Kernel(const char *name, Entry entry);
};

template <class... Parameters, size_t... I>
Result start(void (*kernel)(Parameters...), void **arguments, std::index_sequence<I...>) {
    return run([&] { kernel(*(std::remove_const_t<Parameters> *)arguments[I]...); });
}
template <class... Parameters>
Result start(void (*kernel)(Parameters...), void **arguments) {
    return start(kernel, arguments, std::index_sequence_for<Parameters...>());
}

}  // namespace emulation

#define threadIdx emulation::thread
#define blockIdx emulation::block

#define KERNEL(name, blocks, parameters)                                                                           \
    static void name parameters;                                                                                  \
    static const emulation::Kernel kernel_##name(#name, [](void **arguments) { return emulation::start(name, arguments); }); \
    static void name parameters

template <class T>
T __ldca(const T *from) {
    T value{};
    if (emulation::may_access(from, sizeof(T), false)) std::memcpy(&value, from, sizeof(T));
    return value;
}

template <class T>
T __ldg(const T *from) {
    return __ldca(from);
}

template <class T>
void __stwb(T *to, T value) {
    if (emulation::may_access(to, sizeof(T), true)) std::memcpy(to, &value, sizeof(T));
}

// Blocks run one after the other, so that one memory serves them all; what one leaves there is taken from the next.
#define SHARED(type, name, count)     \
    alignas(16) static type name[count]; \
    emulation::share(name, sizeof(name))

template <class T>
T load_shared(const T *from) {
    T value{};
    if (emulation::may_share(from, sizeof(T), false)) std::memcpy(&value, from, sizeof(T));
    return value;
}

template <class T>
void store_shared(T *to, T value) {
    if (emulation::may_share(to, sizeof(T), true)) std::memcpy(to, &value, sizeof(T));
}

// The whole block takes part.
inline void __syncthreads() { emulation::meet(); }

// The whole warp takes part.
inline float __shfl_xor_sync(unsigned, float value, int step) { return emulation::exchange(value, step); }

template <class To, class From>
To bits_as(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    std::memcpy(&to, &from, sizeof(To));
    return to;
}
inline float __uint_as_float(unsigned bits) { return bits_as<float>(bits); }
inline unsigned __float_as_uint(float value) { return bits_as<unsigned>(value); }

// The GPU's own functions, of less accuracy there.
inline float __sinf(float x) { return sinf(x); }
inline float __log2f(float x) { return log2f(x); }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }

// IEEE 754 binary16.
inline float from_float16(unsigned short bits) {
    const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    float size;
    if (exponent == 31)
        size = mantissa ? NAN : INFINITY;
    else
        size = exponent ? std::ldexp(1024.0f + mantissa, exponent - 25) : std::ldexp((float)mantissa, -24);
    return bits & 0x8000 ? -size : size;
}

inline unsigned short to_float16(float value) {
    const unsigned short sign = std::signbit(value) ? 0x8000 : 0;
    const float size = std::fabs(value);
    if (std::isnan(value)) return 0x7fff;
    if (size >= 65520) return sign | 0x7c00;
    if (size < 0x1p-14f) return sign | (int)std::nearbyint(std::ldexp(size, 24));
    const int exponent = std::ilogb(size), mantissa = (int)std::nearbyint(std::ldexp(size, 10 - exponent));
    return sign | (((exponent + 15) << 10) + mantissa - 1024);
}

// The upper half of a float.
inline unsigned short to_bfloat16(float value) {
    const unsigned bits = __float_as_uint(value);
    return value != value ? 0x7fff : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
