// What the CUDA kernels share: elements in 16 or 32 bits, and what follows a styled convolution.
//
// Conventions: activations are [batch, rows, columns, channels] with channels innermost; all arithmetic is in float.
// Kernels exist for N channels at a time, in accesses of 16 bytes, and for single ones, where the number of channels or
// an address does not allow more. Every access of memory is an intrinsic, or one of the functions for shared memory below;
// the tests replace them by checked ones.
//
// Nothing is included: NVRTC, which compiles these sources on machines without a toolkit, has no headers. So there is no
// code for the host either: `cuda_kernels.py` chooses a kernel and its grid, and the driver starts it. A kernel is
// defined by KERNEL(name, blocks, (parameters)) { ... } with blocks of THREADS threads, `blocks` of which a
// multiprocessor should hold at once.
#pragma once

#ifdef __CUDACC__

#ifdef __CUDACC_RTC__
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
#else
#include <cstdint>
#endif

#define KERNEL(name, blocks, parameters) extern "C" __global__ void __launch_bounds__(THREADS, blocks) name parameters

// Memory that the threads of a block share. They meet at __syncthreads() between writing there and reading.
#define SHARED(type, name, count) __shared__ type name[count]

template <class T>
__device__ __forceinline__ T load_shared(const T *from) {
    return *from;
}

template <class T>
__device__ __forceinline__ void store_shared(T *to, T value) {
    *to = value;
}

__device__ __forceinline__ float from_float16(unsigned short bits) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}

// Rounds to nearest, ties to even, as `to_bfloat16`.
__device__ __forceinline__ unsigned short to_float16(float value) {
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}

__device__ __forceinline__ unsigned short to_bfloat16(float value) {
#if __CUDA_ARCH__ >= 800
    unsigned short bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
#else
    const unsigned bits = __float_as_uint(value);
    return value != value ? 0x7fff : (unsigned short)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
#endif
}

#else
#include "emulation.h"  // of the tests: a GPU that the CPU plays
#endif

constexpr int THREADS = 256;  // of a block

// Elements of 16 bits.
struct float16 {
    unsigned short bits;
};
struct bfloat16 {
    unsigned short bits;
};

// What follows a styled convolution: clamp(leaky_relu(x · scale + noise · noise_gain + bias)) · style.
struct Epilogue {
    const float *scale;  // [batch, channels], `scale_stride` floats from one sample to the next
    int64_t scale_stride;
    const float *bias;   // [channels]
    const float *noise;  // [batch or 1, rows, columns], or NULL
    int64_t noise_stride;  // 0 where all samples share it
    float noise_gain;
    float clamp;         // infinity: none
    const float *style;  // [batch, channels] of the next convolution, or NULL
    int64_t style_stride;
};

// Two elements of 16 bits, the first in the lower half.
template <class T>
__device__ __forceinline__ float2 unpacked(uint32_t pair);

template <>
__device__ __forceinline__ float2 unpacked<float16>(uint32_t pair) {
    return {from_float16((unsigned short)(pair & 0xffff)), from_float16((unsigned short)(pair >> 16))};
}

template <>
__device__ __forceinline__ float2 unpacked<bfloat16>(uint32_t pair) {
    return {__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u)};
}

template <class T>
__device__ __forceinline__ uint32_t packed(float first, float second);

template <>
__device__ __forceinline__ uint32_t packed<float16>(float first, float second) {
    return to_float16(first) | (uint32_t)to_float16(second) << 16;
}

template <>
__device__ __forceinline__ uint32_t packed<bfloat16>(float first, float second) {
    return to_bfloat16(first) | (uint32_t)to_bfloat16(second) << 16;
}

// N neighbouring channels of one pixel as they lie in memory.
template <class T, int N>
struct Channels {
    static_assert(N * sizeof(T) == 16);
    uint4 bits;

    __device__ __forceinline__ void read(const T *from) { bits = __ldca((const uint4 *)from); }

    __device__ __forceinline__ void get(float (&to)[N]) const {
        const uint32_t words[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
        for (int i = 0; i < 4; i++) {
            if constexpr (sizeof(T) == 2) {
                const float2 both = unpacked<T>(words[i]);
                to[2 * i] = both.x, to[2 * i + 1] = both.y;
            } else {
                to[i] = __uint_as_float(words[i]);
            }
        }
    }

    static __device__ __forceinline__ void write(T *to, const float (&values)[N]) {
        uint32_t words[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            if constexpr (sizeof(T) == 2)
                words[i] = packed<T>(values[2 * i], values[2 * i + 1]);
            else
                words[i] = __float_as_uint(values[i]);
        }
        __stwb((uint4 *)to, make_uint4(words[0], words[1], words[2], words[3]));
    }
};

template <class T>
struct Channels<T, 1> {
    uint32_t bits;

    __device__ __forceinline__ void read(const T *from) {
        if constexpr (sizeof(T) == 2)
            bits = __ldca((const unsigned short *)from);
        else
            bits = __ldca((const unsigned int *)from);
    }

    __device__ __forceinline__ void get(float (&to)[1]) const {
        if constexpr (sizeof(T) == 2)
            to[0] = unpacked<T>(bits).x;
        else
            to[0] = __uint_as_float(bits);
    }

    static __device__ __forceinline__ void write(T *to, const float (&values)[1]) {
        if constexpr (sizeof(T) == 2)
            __stwb((unsigned short *)to, (unsigned short)packed<T>(values[0], 0.0f));
        else
            __stwb((unsigned int *)to, __float_as_uint(values[0]));
    }
};

template <int N>
__device__ __forceinline__ void read_floats(const float *from, float (&to)[N]) {
    if constexpr (N == 1) {
        to[0] = __ldg(from);
    } else {
#pragma unroll
        for (int i = 0; i < N; i += 4) {
            const float4 four = __ldg((const float4 *)(from + i));
            to[i] = four.x, to[i + 1] = four.y, to[i + 2] = four.z, to[i + 3] = four.w;
        }
    }
}

// An epilogue's share for N channels of one sample.
template <int N>
struct Parameters {
    float scale[N], bias[N], style[N];

    __device__ __forceinline__ Parameters(const Epilogue &epilogue, int64_t sample, int64_t channel) {
        read_floats(epilogue.scale + sample * epilogue.scale_stride + channel, scale);
        read_floats(epilogue.bias + channel, bias);
#pragma unroll
        for (int i = 0; i < N; i++) style[i] = 1;
        if (epilogue.style) read_floats(epilogue.style + sample * epilogue.style_stride + channel, style);
    }

    // All but the style. A NaN stays one, as in PyTorch; fminf and fmaxf would drop it.
    __device__ __forceinline__ void apply(float (&values)[N], float noise, float clamp) const {
#pragma unroll
        for (int i = 0; i < N; i++) {
            float value = values[i] * scale[i] + (bias[i] + noise);
            value = fmaxf(value, value * 0.2f);
            value = value < -clamp ? -clamp : value;
            values[i] = value > clamp ? clamp : value;
        }
    }

    __device__ __forceinline__ void apply_style(float (&values)[N]) const {
#pragma unroll
        for (int i = 0; i < N; i++) values[i] *= style[i];
    }
};

__device__ __forceinline__ float noise_at(const Epilogue &epilogue, int64_t sample, int64_t pixel) {
    return epilogue.noise ? __ldg(epilogue.noise + sample * epilogue.noise_stride + pixel) * epilogue.noise_gain : 0;
}
