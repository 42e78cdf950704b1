// The steps after a styled convolution, in one pass: demodulation, noise, bias, leaky ReLU, clamp, the toRGB step, its sum
// with the upsampled picture of the previous block, and the next layer's style.
//
// A team of `lanes` neighbouring threads, a power of two up to 32, shares a pixel's channels. It works on PIXELS pixels
// at once, so that values that depend only on the channel are read once, and several reads run at the same time. The
// grid: teams of blocks, samples. Pixels are counted in 32 bits, because a GPU divides numbers of 64 in some 40 steps.
#include "device.h"

// Arguments of `finish`; NULL for a missing one. The rows begin at `first_row` of the picture's `height`.
struct Finish {
    const void *x;            // [batch, rows, width, channels]; of phases [batch, rows / 2, width / 2, 2, 2, channels]
    void *y;                  // [batch, rows, width, channels], or NULL where only the colours are wanted; may be x
    int64_t y_stride;         // elements from one sample to the next
    int32_t rows, width, channels, first_row, height;
    Epilogue epilogue;
    const float *rgb_weight;  // [batch, 3, channels], or NULL: no toRGB step
    int64_t rgb_stride;       // floats from one colour to the next
    const float *rgb_bias;    // [3]
    float rgb_clamp;          // infinity: none
    const float *skip;        // [batch, 3, height / 2, width / 2], or NULL
    const float *taps;        // [4], the resampling filter times 2
    float *image;             // [batch, 3, height, width]
};

namespace {

constexpr int PIXELS = 4;

enum class Mode { plain, to_rgb, phases };

// One pixel of a picture that is twice as large as `plane` [height, width]: zeros between the pixels, then the filter.
__device__ __forceinline__ float doubled(const float *plane, int32_t row, int32_t column, int32_t height, int32_t width,
                                         const float *taps) {
    const int32_t above = (row + 1) / 2 - 1, left = (column + 1) / 2 - 1;
    float sum = 0;
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < 2; j++) {
            const int32_t y = above + i, x = left + j;
            if (y < 0 || y >= height || x < 0 || x >= width) continue;
            const float vertical = __ldg(taps + (row & 1 ? 2 : 3) - 2 * i);
            const float horizontal = __ldg(taps + (column & 1 ? 2 : 3) - 2 * j);
            sum += __ldg(plane + (int64_t)y * width + x) * (vertical * horizontal);
        }
    return sum;
}

// Adds one colour of one pixel to the upsampled picture of the previous block.
__device__ __forceinline__ void to_rgb(const Finish &job, int64_t sample, int colour, int32_t pixel, float value) {
    const int64_t plane = (int64_t)job.height * job.width;
    value += __ldg(job.rgb_bias + colour);
    value = value < -job.rgb_clamp ? -job.rgb_clamp : value;
    value = value > job.rgb_clamp ? job.rgb_clamp : value;
    if (job.skip)
        value += doubled(job.skip + (sample * 3 + colour) * (plane / 4), pixel / job.width, pixel % job.width,
                         job.height / 2, job.width / 2, job.taps);
    __stwb(job.image + (sample * 3 + colour) * plane + pixel, value);
}

template <class T, int N, Mode mode>
__device__ __forceinline__ void finish(const Finish &job, int lanes) {
    const int lane = threadIdx.x & (lanes - 1), team = threadIdx.x / lanes, teams = THREADS / lanes;
    const int32_t pixels = job.rows * job.width, channels = job.channels;  // together below 2^31, as their caller knows
    const int32_t first = (int32_t)blockIdx.x * teams * PIXELS + team;  // and every `teams` pixels one more
    const int64_t sample = blockIdx.y;
    const T *x = (const T *)job.x + sample * pixels * channels;
    T *y = (T *)job.y + sample * job.y_stride;
    int64_t source[PIXELS];
    float noise[PIXELS], red[PIXELS], green[PIXELS], blue[PIXELS];
#pragma unroll
    for (int p = 0; p < PIXELS; p++) {
        const int32_t pixel = first + p * teams;
        red[p] = green[p] = blue[p] = noise[p] = 0;
        source[p] = (int64_t)pixel * channels;
        if (pixel >= pixels) continue;
        noise[p] = noise_at(job.epilogue, sample, (int64_t)job.first_row * job.width + pixel);
        if constexpr (mode == Mode::phases) {
            const int32_t row = pixel / job.width, column = pixel % job.width;
            const int32_t quad = row / 2 * (job.width / 2) + column / 2;
            source[p] = (int64_t)(4 * quad + 2 * (row & 1) + (column & 1)) * channels;
        }
    }
    for (int32_t c = lane * N; c < channels; c += lanes * N) {
        Channels<T, N> read[PIXELS];
#pragma unroll
        for (int p = 0; p < PIXELS; p++)
            if (first + p * teams < pixels) read[p].read(x + source[p] + c);
        const Parameters<N> parameters(job.epilogue, sample, c);
        float rgb_weight[3][N];
        if constexpr (mode == Mode::to_rgb)
#pragma unroll
            for (int colour = 0; colour < 3; colour++)
                read_floats(job.rgb_weight + (sample * 3 + colour) * job.rgb_stride + c, rgb_weight[colour]);
#pragma unroll
        for (int p = 0; p < PIXELS; p++) {
            if (first + p * teams >= pixels) continue;
            float values[N];
            read[p].get(values);
            parameters.apply(values, noise[p], job.epilogue.clamp);
            if constexpr (mode == Mode::to_rgb)
#pragma unroll
                for (int i = 0; i < N; i++) {
                    red[p] += values[i] * rgb_weight[0][i];
                    green[p] += values[i] * rgb_weight[1][i];
                    blue[p] += values[i] * rgb_weight[2][i];
                }
            if (!job.y) continue;
            parameters.apply_style(values);
            Channels<T, N>::write(y + (int64_t)(first + p * teams) * channels + c, values);
        }
    }
    if constexpr (mode == Mode::to_rgb) {
        for (int step = lanes / 2; step; step /= 2)  // all threads come here; then every lane has every sum
#pragma unroll
            for (int p = 0; p < PIXELS; p++) {
                red[p] += __shfl_xor_sync(0xffffffffu, red[p], step);
                green[p] += __shfl_xor_sync(0xffffffffu, green[p], step);
                blue[p] += __shfl_xor_sync(0xffffffffu, blue[p], step);
            }
#pragma unroll
        for (int p = 0; p < PIXELS; p++) {
            if (first + p * teams >= pixels) continue;
            for (int colour = lane; colour < 3; colour += lanes)
                to_rgb(job, sample, colour, job.first_row * job.width + first + p * teams,
                      colour == 0 ? red[p] : colour == 1 ? green[p] : blue[p]);
        }
    }
}

}  // namespace

#define FINISH(T, name, width, N, mode, blocks)                                                             \
    KERNEL(finish_##name##_##width##_##mode, blocks, (const __grid_constant__ Finish job, int32_t lanes)) { \
        finish<T, N, Mode::mode>(job, lanes);                                                               \
    }
#define FINISH_MODES(T, name, width, N)                                     \
    FINISH(T, name, width, N, plain, 3) FINISH(T, name, width, N, to_rgb, 2) \
    FINISH(T, name, width, N, phases, 3)
#define FINISH_WIDTHS(T, name) FINISH_MODES(T, name, vector, 16 / sizeof(T)) FINISH_MODES(T, name, single, 1)

FINISH_WIDTHS(float, float32)
FINISH_WIDTHS(float16, float16)
FINISH_WIDTHS(bfloat16, bfloat16)
