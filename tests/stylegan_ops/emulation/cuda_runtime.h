// As much of CUDA as the kernels in stylegan_ops/csrc and the painter use, on the CPU: they compile against this folder instead of the
// toolkit, unchanged. Threads of a block run one at a time in a random order; accesses of memory, all of which are
// intrinsics there, are checked (see emulation.cpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

#include <math.h>  // whose functions are in the global namespace, as CUDA's are

#define __global__
#define __device__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

struct alignas(16) uint4 {
    unsigned x, y, z, w;
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
inline uchar2 make_uchar2(unsigned char x, unsigned char y) { return {x, y}; }

using cudaStream_t = void *;
enum cudaError_t { cudaSuccess, cudaErrorInvalidDevice, cudaErrorInvalidConfiguration, cudaErrorLaunchFailure };
struct cudaLaunchConfig_t {
    dim3 gridDim, blockDim;
    size_t dynamicSmemBytes;
    cudaStream_t stream;
};

namespace emulation {
extern dim3 thread, block, grid, block_size;
cudaError_t run(const cudaLaunchConfig_t &config, const std::function<void()> &kernel);
bool may_access(const void *address, size_t size, bool write);
float exchange(float value, int step);
}  // namespace emulation

#define threadIdx emulation::thread
#define blockIdx emulation::block

cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetLastError();
const char *cudaGetErrorString(cudaError_t error);

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *config, void (*kernel)(Parameters...), Arguments &&...arguments) {
    return emulation::run(*config, [&] { kernel(arguments...); });
}

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
