// The end of an up-sampling convolution: a matrix product has multiplied every pixel with all nine taps of the filter;
// here the products are put where a transposed convolution of stride 2 puts them and smoothed by the resampling filter,
// and all that follows a styled convolution is done, in one pass.
#include "vector.h"

// What `columns` is given; NULL where there is none. The rows at hand stand at `first_row` of the input's `height`.
struct Columns {
    const void *products;      // [batch, rows, width, 3, 3, channels]
    void *y;                   // [batch, 2 · height, 2 · width, channels]; its rows 2 · start to 2 · stop are written
    int64_t y_stride;          // elements from one sample to the next
    int64_t batch, rows, height, width, channels, first_row, start, stop;
    const float *taps;         // [4], the resampling filter times 2, as a correlation
    const float *scale;        // [batch, channels]
    const float *bias;         // [channels]
    const float *noise;        // [batch or 1, 2 · height, 2 · width], or NULL
    int64_t noise_stride;      // 0 where all samples share it
    float noise_gain;
    float clamp;               // infinity: none
    const float *style;        // [batch, channels], or NULL
};

namespace {

constexpr int64_t TILE_BYTES = 64 << 10;

// Of one column of the input: sums over the rows, for both rows of the output and the filter's three columns.
struct Sums {
    Vector value[2][3];
};

// The resampling filter, and its taps that fall on the rows above and below.
struct Taps {
    Vector here[4], above[2], below[2];
};

template <class T>
INLINE Sums vertical(const T *above, const T *here, const T *below, int64_t channels, const Taps &f, int64_t count) {
    // The output's row y takes rows y - 1 to y + 2 of the transposed convolution, whose row 2i + k holds tap row k of
    // input row i.
    Sums sums;
    for (int k = 0; k < 3; k++) {
        const Vector above1 = load(above + (3 + k) * channels, count);
        const Vector above2 = load(above + (6 + k) * channels, count);
        const Vector here0 = load(here + k * channels, count);
        const Vector here1 = load(here + (3 + k) * channels, count);
        const Vector here2 = load(here + (6 + k) * channels, count);
        const Vector below0 = load(below + k * channels, count);
        const Vector below1 = load(below + (3 + k) * channels, count);
        sums.value[0][k] = above1 * f.above[0] + above2 * f.above[1] + here0 * f.here[1] + here1 * f.here[2] +
                           here2 * f.here[3] + below0 * f.below[1];
        sums.value[1][k] = above2 * f.above[0] + here0 * f.here[0] + here1 * f.here[1] + here2 * f.here[2] +
                           below0 * f.below[0] + below1 * f.below[1];
    }
    return sums;
}

template <class T>
INLINE void pair_of_rows(const Columns &job, int64_t sample, int64_t row) {
    const int64_t channels = job.channels, width = job.width, step = 9 * channels, line = width * step;
    const T *here = (const T *)job.products + (sample * job.rows + row - job.first_row) * line;
    const bool first = row == 0, last = row == job.height - 1;
    const T *above = first ? here : here - line, *below = last ? here : here + line;
    Taps taps;
    for (int tap = 0; tap < 4; tap++) taps.here[tap] = splat(job.taps[tap]);
    for (int tap = 0; tap < 2; tap++) {  // beyond the edge there is nothing
        taps.above[tap] = first ? Vector{} : taps.here[tap];
        taps.below[tap] = last ? Vector{} : taps.here[2 + tap];
    }
    T *y = (T *)job.y + sample * job.y_stride + 4 * row * width * channels;
    const float *noise = job.noise ? job.noise + sample * job.noise_stride + 4 * row * width : nullptr;
    const Vector *f = taps.here;
    const Vector high = splat(job.clamp), low = -high;
    // In tiles that the innermost cache holds, since each vector of channels goes over a tile again.
    const int64_t fitting = TILE_BYTES / (3 * step * (int64_t)sizeof(T)), tile = fitting < 8 ? 8 : fitting;
    for (int64_t left = 0; left < width; left += tile) {
        const int64_t right = left + tile < width ? left + tile : width;
        for (int64_t c = 0; c < channels; c += LANES) {
            const int64_t count = channels - c < LANES ? channels - c : LANES;
            const Vector scale = load(job.scale + sample * channels + c, count), bias = load(job.bias + c, count);
            const Vector style = job.style ? load(job.style + sample * channels + c, count) : splat(1);
            auto sums = [&](int64_t j) {
                return vertical(above + j * step + c, here + j * step + c, below + j * step + c, channels, taps,
                                count);
            };
            auto put = [&](int parity, int64_t column, Vector value) {
                const int64_t at = parity * 2 * width + column;
                value = value * scale + (bias + (noise ? noise[at] * job.noise_gain : 0.0f));
                value = at_most(at_least(leaky_relu(value), low), high) * style;
                store(y + at * channels + c, value, count);
            };
            Sums before{}, now = sums(left);
            if (left > 0) before = sums(left - 1);
            for (int64_t j = left; j < right; j++) {
                Sums after{};
                if (j + 1 < width) after = sums(j + 1);
                for (int parity = 0; parity < 2; parity++) {
                    const Vector *a = before.value[parity], *b = now.value[parity], *d = after.value[parity];
                    put(parity, 2 * j, a[1] * f[0] + (a[2] + b[0]) * f[1] + b[1] * f[2] + (b[2] + d[0]) * f[3]);
                    put(parity, 2 * j + 1, (a[2] + b[0]) * f[0] + b[1] * f[1] + (b[2] + d[0]) * f[2] + d[1] * f[3]);
                }
                before = now, now = after;
            }
        }
    }
}

template <class T>
void columns(const Columns &job) {
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t sample = 0; sample < job.batch; sample++)
        for (int64_t row = job.start; row < job.stop; row++) pair_of_rows<T>(job, sample, row);
}

}  // namespace

EXPORT void stylegan_columns_float32(const Columns *job) { columns<float>(*job); }
EXPORT void stylegan_columns_bfloat16(const Columns *job) { columns<BFloat16>(*job); }
