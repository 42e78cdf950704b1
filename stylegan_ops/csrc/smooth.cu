// The end of an up-sampling convolution: the resampling filter over what a transposed convolution of stride 2 put out,
// and all that follows a styled convolution, in one pass.
//
// The filter is separable. A thread owns N channels of two neighbouring columns and goes down a strip of rows: it sums
// along a row, and adds that to the four rows of the output that it is part of. Neighbours' reads meet in the cache.
// The grid: threads for pairs of columns and vectors of channels, strips, samples.
#include "device.h"

// What `smooth` is given.
struct Smooth {
    const void *x;  // [batch, height + 1, width + 1, channels]
    void *y;        // [batch, height, width, channels]; both sizes even
    int32_t height, width, channels;
    const float *taps;  // [4], the resampling filter times 2
    Epilogue epilogue;
};

namespace {

constexpr int COLUMNS = 2;

template <class T, int N>
__device__ __forceinline__ void smooth(const Smooth &job, int strip) {
    const int height = job.height, width = job.width, channels = job.channels, vectors = channels / N;
    const int at = blockIdx.x * THREADS + threadIdx.x, column = at / vectors * COLUMNS, channel = at % vectors * N;
    if (column >= width) return;
    const int64_t sample = blockIdx.z;
    const int first = blockIdx.y * strip, stop = first + strip < height ? first + strip : height;
    const Parameters<N> parameters(job.epilogue, sample, channel);
    float taps[4];
#pragma unroll
    for (int tap = 0; tap < 4; tap++) taps[tap] = __ldg(job.taps + 3 - tap);  // reversed: it convolves
    // The output's row takes rows row - 1 to row + 2 of the input, and columns likewise; outside there are zeros.
    const int64_t pitch = (int64_t)(width + 1) * channels;
    const T *x = (const T *)job.x + (sample * (height + 1) + first - 1) * pitch + (column - 1) * channels + channel;
    T *y = (T *)job.y + ((sample * height + first) * width + column) * channels + channel;
    const bool left = column > 0, right = column + COLUMNS < width;
    float one[COLUMNS][N]{}, two[COLUMNS][N]{}, three[COLUMNS][N]{};  // of rows with one, two and three to come
    for (int row = first - 1; row < stop + 2; row++, x += pitch) {  // of the input; it ends the output's row - 2
        Channels<T, N> read[COLUMNS + 3];
#pragma unroll
        for (int i = 0; i < COLUMNS + 3; i++) {
            read[i].bits = {};
            if (row >= 0 && row <= height && (i > 0 || left) && (i < COLUMNS + 2 || right))
                read[i].read(x + i * channels);
        }
        float values[COLUMNS + 3][N];
#pragma unroll
        for (int i = 0; i < COLUMNS + 3; i++) read[i].get(values[i]);
        const bool whole = row >= first + 2;
#pragma unroll
        for (int j = 0; j < COLUMNS; j++) {
            float sums[N], done[N];
#pragma unroll
            for (int n = 0; n < N; n++) {
                sums[n] = values[j][n] * taps[0] + values[j + 1][n] * taps[1] + values[j + 2][n] * taps[2] +
                          values[j + 3][n] * taps[3];
                done[n] = one[j][n] + sums[n] * taps[3];
                one[j][n] = two[j][n] + sums[n] * taps[2];
                two[j][n] = three[j][n] + sums[n] * taps[1];
                three[j][n] = sums[n] * taps[0];
            }
            if (!whole) continue;
            const int64_t pixel = (int64_t)(row - 2) * width + column + j;
            parameters.apply(done, noise_at(job.epilogue, sample, pixel), job.epilogue.clamp);
            parameters.apply_style(done);
            Channels<T, N>::write(y + j * channels, done);
        }
        if (whole) y += (int64_t)width * channels;
    }
}

}  // namespace

#define SMOOTH(T, name)                                                                       \
    KERNEL(smooth_##name##_vector, 2, (const __grid_constant__ Smooth job, int32_t strip)) {  \
        smooth<T, 16 / sizeof(T)>(job, strip);                                                \
    }                                                                                         \
    KERNEL(smooth_##name##_single, 2, (const __grid_constant__ Smooth job, int32_t strip)) {  \
        smooth<T, 1>(job, strip);                                                             \
    }

SMOOTH(float, float32)
SMOOTH(float16, float16)
SMOOTH(bfloat16, bfloat16)
