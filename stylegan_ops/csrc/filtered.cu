// The activation of StyleGAN3 in one pass: scale and bias, up-sampling, leaky ReLU, clamp, down-sampling, style.
//
// Between the filters there are four to sixteen times as many samples as before and after. A block makes a tile of the
// output, four channels at a time, and keeps all that lies between in shared memory, in two areas by turns: the input
// (first), enlarged along its rows (second), then along its columns and activated (first), reduced along its rows
// (second), and along its columns. A thread makes a run of neighbouring results, so that it reads a sample once for many
// taps. In steps along rows the threads of a warp take neighbouring rows, else neighbouring columns; lines have an odd
// length, so that such threads use different banks.
//
// Elements' type is looked at where they are read and written, and not a parameter of the kernels: there is little to
// win, and they would take three times as long to compile.
//
// The grid: groups of channels by tiles, samples. `UP`, `PHASE` (taps of the filter after up-sampling that fall on
// samples, UP · PHASE in all), `DOWN` and `TAPS` are those of the published networks, or 0 for any.
#include "device.h"

// What `filtered` is given.
struct Filtered {
    const void *x;              // [batch, height, width, channels]
    void *y;                    // [batch, out_height, out_width, channels]
    int32_t height, width, out_height, out_width, channels;
    int32_t type;               // of elements: 0 float32, 1 float16, 2 bfloat16
    int32_t vector;             // whether four channels can be read at once
    const float *scale;         // [batch, channels], `scale_stride` floats from one sample to the next
    int64_t scale_stride;
    const float *bias;          // [channels]
    const float *style;         // [batch, channels], or NULL
    int64_t style_stride;
    const float *up_filter;     // [up_taps], as a correlation, with its gain
    const float *down_filter;   // [down_taps], or [down_taps, down_taps]
    int32_t up, down, up_taps, down_taps, left, top;
    float gain, slope, clamp;   // of the activation; infinity: no clamp
    int32_t tile_height, tile_width;      // the width a multiple of RUN
    int32_t tiles_across;                 // tiles in a row of them
    int32_t in_height, in_width;          // most input samples of a tile
    int32_t fine_height, fine_width;      // samples of a tile between the filters
    int32_t second;                       // where the second area begins
    int32_t group;                        // channels of a block, a multiple of four
};

namespace {

constexpr int FOURS = 3072;   // groups of four numbers in shared memory: 48 KB
constexpr int RUN = 4;        // results along a row that a thread makes when it reduces
constexpr int FINE_RUN = 8;   // and when it enlarges
constexpr int PARTS = 4;      // of the rows of a square filter, each of which is summed by another thread

__device__ __forceinline__ void add(float4 &sum, float4 value, float tap) {
    sum.x += value.x * tap, sum.y += value.y * tap, sum.z += value.z * tap, sum.w += value.w * tap;
}

__device__ __forceinline__ int odd(int length) { return length | 1; }

__device__ __forceinline__ int divided_up(int a, int by) { return a > 0 ? (a + by - 1) / by : -(-a / by); }

// Up to four channels.
template <class T>
__device__ __forceinline__ float4 read_four(const T *from, int count, bool vector) {
    if (vector) {
        if constexpr (sizeof(T) == 4) {
            return __ldca((const float4 *)from);
        } else {
            const uint2 bits = __ldca((const uint2 *)from);
            const float2 first = unpacked<T>(bits.x), second = unpacked<T>(bits.y);
            return {first.x, first.y, second.x, second.y};
        }
    }
    float values[4] = {};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (i >= count) continue;
        Channels<T, 1> one;
        float value[1];
        one.read(from + i);
        one.get(value);
        values[i] = value[0];
    }
    return {values[0], values[1], values[2], values[3]};
}

template <class T>
__device__ __forceinline__ void write_four(T *to, float4 values, int count, bool vector) {
    if (vector) {
        if constexpr (sizeof(T) == 4)
            __stwb((float4 *)to, values);
        else
            __stwb((uint2 *)to, make_uint2(packed<T>(values.x, values.y), packed<T>(values.z, values.w)));
        return;
    }
    const float all[4] = {values.x, values.y, values.z, values.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (i >= count) continue;
        const float value[1] = {all[i]};
        Channels<T, 1>::write(to + i, value);
    }
}

// The element with the number `at` of a tensor, and up to three after it.
__device__ __forceinline__ float4 read_elements(const Filtered &job, int64_t at, int count) {
    if (job.type == 0) return read_four((const float *)job.x + at, count, job.vector);
    if (job.type == 1) return read_four((const float16 *)job.x + at, count, job.vector);
    return read_four((const bfloat16 *)job.x + at, count, job.vector);
}

__device__ __forceinline__ void write_elements(const Filtered &job, int64_t at, float4 values, int count) {
    if (job.type == 0)
        write_four((float *)job.y + at, values, count, job.vector);
    else if (job.type == 1)
        write_four((float16 *)job.y + at, values, count, job.vector);
    else
        write_four((bfloat16 *)job.y + at, values, count, job.vector);
}

__device__ __forceinline__ float4 four_floats(const float *from, int count, float otherwise) {
    return {from && count > 0 ? __ldg(from) : otherwise, from && count > 1 ? __ldg(from + 1) : otherwise,
            from && count > 2 ? __ldg(from + 2) : otherwise, from && count > 3 ? __ldg(from + 3) : otherwise};
}

// A NaN stays one, as in PyTorch.
__device__ __forceinline__ float activated(const Filtered &job, float value) {
    value *= job.gain;
    value = value < 0 ? value * job.slope : value;
    value = value < -job.clamp ? -job.clamp : value;
    return value > job.clamp ? job.clamp : value;
}

// Where a line of a tile begins at the high rate. With `up` samples in a group, group m takes the input samples from m
// on; of the first group the first `skipped` samples lie before the tile.
struct Start {
    int first, skipped;

    __device__ __forceinline__ Start(int output, int down, int before, int up) {
        const int at = output * down - before;
        first = divided_up(at, up);
        skipped = at - (up * (first - 1) + 1);
    }
};

template <int UP, int PHASE>
struct Enlarging {
    static constexpr int GROUPS = UP ? FINE_RUN / UP : 1;  // of a run
    float taps[UP ? UP : 1][PHASE ? PHASE : 1];

    __device__ __forceinline__ explicit Enlarging(const Filtered &job) {
        if constexpr (UP)
#pragma unroll
            for (int tap = 0; tap < UP; tap++)
#pragma unroll
                for (int k = 0; k < PHASE; k++)
                    taps[tap][k] = __ldg(job.up_filter + tap + k * UP);
    }

    // The results of a run, from samples that are `step` apart; there are `count` of them, and zeros from there on.
    template <class Put>
    __device__ __forceinline__ void run(const Filtered &job, const float4 *from, int step, int count, Put put) const {
        if constexpr (UP) {
            float4 sums[GROUPS][UP] = {};
#pragma unroll
            for (int i = 0; i < GROUPS + PHASE - 1; i++) {
                const float4 value = i < count ? load_shared(from + i * step) : float4{};
#pragma unroll
                for (int group = 0; group < GROUPS; group++) {
                    if (i < group || i >= group + PHASE) continue;
#pragma unroll
                    for (int tap = 0; tap < UP; tap++) add(sums[group][tap], value, taps[tap][i - group]);
                }
            }
#pragma unroll
            for (int group = 0; group < GROUPS; group++)
#pragma unroll
                for (int tap = 0; tap < UP; tap++) put(group * UP + UP - 1 - tap, sums[group][tap]);
        } else {
            for (int tap = 0; tap < job.up; tap++) {
                float4 sum = {};
                for (int k = 0, t = tap; t < job.up_taps; k++, t += job.up)
                    add(sum, load_shared(from + k * step), __ldg(job.up_filter + t));
                put(job.up - 1 - tap, sum);
            }
        }
    }
};

// RUN results along a row, which are added to `sums`.
template <int DOWN, int TAPS>
__device__ __forceinline__ void reduce(const Filtered &job, const float4 *from, const float *filter,
                                       float4 (&sums)[RUN]) {
    if constexpr (DOWN) {
        float taps[TAPS];
#pragma unroll
        for (int t = 0; t < TAPS; t++) taps[t] = __ldg(filter + t);
#pragma unroll
        for (int i = 0; i < (RUN - 1) * DOWN + TAPS; i++) {
            const float4 value = load_shared(from + i);
#pragma unroll
            for (int j = 0; j < RUN; j++)
                if (i >= j * DOWN && i < j * DOWN + TAPS) add(sums[j], value, taps[i - j * DOWN]);
        }
    } else {
        for (int t = 0; t < job.down_taps; t++) {
            const float tap = __ldg(filter + t);
#pragma unroll
            for (int j = 0; j < RUN; j++) add(sums[j], load_shared(from + j * job.down + t), tap);
        }
    }
}

template <int UP, int PHASE, int DOWN, int TAPS, bool SQUARE>
__device__ __forceinline__ void filtered(const Filtered &job) {
    SHARED(float4, memory, FOURS);
    float4 *const first = memory, *const second = memory + job.second;
    const int up = UP ? UP : job.up, down = DOWN ? DOWN : job.down, taps = TAPS ? TAPS : job.down_taps;
    const int groups = divided_up(job.channels, job.group);
    const int tile = blockIdx.x / groups, top_row = tile / job.tiles_across * job.tile_height,
              left_column = tile % job.tiles_across * job.tile_width;
    const int64_t sample = blockIdx.y;
    const Start rows(top_row, down, job.top, up), columns(left_column, down, job.left, up);
    const int in_pitch = odd(job.in_width), fine_pitch = odd(job.fine_width), out_pitch = odd(job.tile_width);
    const int runs = divided_up(job.tile_width, RUN);
    const Enlarging<UP, PHASE> enlarging(job);
    const int begin = blockIdx.x % groups * job.group, end = begin + job.group;
    for (int channel = begin; channel < end && channel < job.channels; channel += 4) {
        const int count = job.channels - channel < 4 ? job.channels - channel : 4;
        const float4 scale = four_floats(job.scale + sample * job.scale_stride + channel, count, 0),
                     bias = four_floats(job.bias + channel, count, 0);
        const int64_t x = sample * job.height * job.width * job.channels + channel;
        for (int at = threadIdx.x; at < job.in_height * job.in_width; at += THREADS) {
            const int r = at / job.in_width, c = at % job.in_width, row = rows.first + r, column = columns.first + c;
            float4 value = {};
            if (row >= 0 && row < job.height && column >= 0 && column < job.width) {
                value = read_elements(job, x + ((int64_t)row * job.width + column) * job.channels, count);
                value = {value.x * scale.x + bias.x, value.y * scale.y + bias.y, value.z * scale.z + bias.z,
                         value.w * scale.w + bias.w};
            }
            store_shared(first + r * in_pitch + c, value);
        }
        __syncthreads();
        const int group_run = Enlarging<UP, PHASE>::GROUPS, run_length = group_run * up;
        const int runs_across = divided_up(job.fine_width + up - 1, run_length);
        for (int at = threadIdx.x; at < job.in_height * runs_across; at += THREADS) {
            const int r = at % job.in_height, run = at / job.in_height;
            float4 *to = second + r * fine_pitch;
            const int offset = run * run_length - columns.skipped;
            enlarging.run(job, first + r * in_pitch + run * group_run, 1, job.in_width - run * group_run,
                          [&](int j, float4 value) {
                              const int c = offset + j;
                              if (c >= 0 && c < job.fine_width) store_shared(to + c, value);
                          });
        }
        __syncthreads();
        const int runs_down = divided_up(job.fine_height + up - 1, run_length);
        for (int at = threadIdx.x; at < job.fine_width * runs_down; at += THREADS) {
            const int c = at % job.fine_width, run = at / job.fine_width;
            const int offset = run * run_length - rows.skipped;
            enlarging.run(job, second + run * group_run * fine_pitch + c, fine_pitch, job.in_height - run * group_run,
                          [&](int j, float4 value) {
                              const int r = offset + j;
                              if (r < 0 || r >= job.fine_height) return;
                              value = {activated(job, value.x), activated(job, value.y), activated(job, value.z),
                                       activated(job, value.w)};
                              store_shared(first + r * fine_pitch + c, value);
                          });
        }
        __syncthreads();
        // Rows of one filter, or of a square the sums of a part of its rows.
        const int lines = SQUARE ? job.tile_height * PARTS : job.fine_height;
        for (int at = threadIdx.x; at < lines * runs; at += THREADS) {
            const int line = at % lines, run = at / lines;
            float4 sums[RUN] = {};
            if constexpr (SQUARE) {
                const int r = line % job.tile_height, part = line / job.tile_height;
                for (int t = taps * part / PARTS; t < taps * (part + 1) / PARTS; t++)
                    reduce<DOWN, TAPS>(job, first + (r * down + t) * fine_pitch + run * RUN * down,
                                       job.down_filter + t * taps, sums);
            } else {
                reduce<DOWN, TAPS>(job, first + line * fine_pitch + run * RUN * down, job.down_filter, sums);
            }
#pragma unroll
            for (int j = 0; j < RUN; j++) store_shared(second + line * out_pitch + run * RUN + j, sums[j]);
        }
        __syncthreads();
        const float4 style = four_floats(job.style ? job.style + sample * job.style_stride + channel : nullptr, count, 1);
        const int64_t y = sample * job.out_height * job.out_width * job.channels + channel;
        for (int at = threadIdx.x; at < job.tile_height * job.tile_width; at += THREADS) {
            const int r = at / job.tile_width, c = at % job.tile_width, row = top_row + r, column = left_column + c;
            if (row >= job.out_height || column >= job.out_width) continue;
            float4 sum = {};
            if constexpr (SQUARE) {
#pragma unroll
                for (int part = 0; part < PARTS; part++)
                    add(sum, load_shared(second + (part * job.tile_height + r) * out_pitch + c), 1);
            } else {
                for (int t = 0; t < taps; t++)
                    add(sum, load_shared(second + (r * down + t) * out_pitch + c), __ldg(job.down_filter + t));
            }
            sum = {sum.x * style.x, sum.y * style.y, sum.z * style.z, sum.w * style.w};
            write_elements(job, y + ((int64_t)row * job.out_width + column) * job.channels, sum, count);
        }
    }
}

}  // namespace

#define FILTERED(kind, UP, PHASE, DOWN, TAPS)                                              \
    KERNEL(filtered_##kind##_row, 3, (const __grid_constant__ Filtered job)) {             \
        filtered<UP, PHASE, DOWN, TAPS, false>(job);                                       \
    }                                                                                      \
    KERNEL(filtered_##kind##_square, 3, (const __grid_constant__ Filtered job)) {          \
        filtered<UP, PHASE, DOWN, TAPS, true>(job);                                        \
    }

FILTERED(double, 2, 6, 2, 12)
FILTERED(fourfold, 4, 6, 2, 12)
FILTERED(any, 0, 0, 0, 0)
