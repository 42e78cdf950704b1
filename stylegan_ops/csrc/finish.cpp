// The steps after a styled convolution, in one pass: clamp(leaky_relu(x · scale + noise + bias)), the toRGB step, its sum
// with the upsampled picture of the previous block, and the next layer's style.
#include "vector.h"

namespace {

constexpr int PIXELS = 4;  // at once, so that values that depend only on the channel are loaded once

template <class T>
struct Channels {
    const float *scale, *bias, *style, *rgb_weight;
    float clamp;
    int64_t count;

    // `pixels` neighbours; their colours, in sums of three, go to `colours`.
    template <int pixels, bool to_rgb>
    INLINE void run(const Channels &self, const T *x, T *y, const float *noise, float (*colours)[3]) {
        Vector red[pixels]{}, green[pixels]{}, blue[pixels]{};
        const Vector high = splat(self.clamp), low = -high;
        for (int64_t c = 0; c < self.count; c += LANES) {
            const int64_t left = self.count - c < LANES ? self.count - c : LANES;
            const Vector scale = load(self.scale + c, left), bias = load(self.bias + c, left);
            const Vector style = self.style ? load(self.style + c, left) : splat(1);
            Vector rgb_weight[3];
            for (int colour = 0; colour < 3; colour++)
                rgb_weight[colour] = to_rgb ? load(self.rgb_weight + colour * self.count + c, left) : Vector{};
            for (int pixel = 0; pixel < pixels; pixel++) {
                Vector value = load(x + pixel * self.count + c, left) * scale + (bias + noise[pixel]);
                value = at_most(at_least(leaky_relu(value), low), high);
                if (to_rgb) {
                    red[pixel] += value * rgb_weight[0];
                    green[pixel] += value * rgb_weight[1];
                    blue[pixel] += value * rgb_weight[2];
                }
                if (y) store(y + pixel * self.count + c, value * style, left);
            }
        }
        if (to_rgb)
            for (int pixel = 0; pixel < pixels; pixel++) {
                colours[pixel][0] = sum(red[pixel]);
                colours[pixel][1] = sum(green[pixel]);
                colours[pixel][2] = sum(blue[pixel]);
            }
    }
};

struct Row {
    const float *above, *below;  // of the smaller picture; null outside
    float above_tap, below_tap;
};

// Which two rows of a smaller picture make row `at` of the doubled one: zeros between the pixels, one of padding.
Row rows_of(const float *plane, int64_t at, int64_t height, int64_t width, const float *taps) {
    const int64_t above = (at + 1) / 2 - 1, below = above + 1;
    const float above_tap = at & 1 ? taps[2] : taps[3], below_tap = at & 1 ? taps[0] : taps[1];
    return {above >= 0 ? plane + above * width : nullptr, below < height ? plane + below * width : nullptr, above_tap,
            below_tap};
}

// Adds row `at` of the doubled picture [height, width] to `image`.
void add_doubled(const float *plane, float *image, int64_t at, int64_t height, int64_t width, const float *taps) {
    const Row row = rows_of(plane, at, height, width, taps);
    auto column = [&](int64_t j) {
        if (j < 0 || j >= width) return 0.0f;
        return (row.above ? row.above[j] * row.above_tap : 0) + (row.below ? row.below[j] * row.below_tap : 0);
    };
    float before = 0, here = column(0);
    for (int64_t j = 0; j < width; j++) {
        const float after = column(j + 1);
        image[2 * j] += before * taps[3] + here * taps[1];
        image[2 * j + 1] += here * taps[2] + after * taps[0];
        before = here, here = after;
    }
}

}  // namespace

// Arguments of `finish`; NULL for a missing one. The rows begin at `first_row` of the picture's `height`.
struct Finish {
    const void *x;             // [batch, rows, width, channels]
    void *y;                   // the same, or NULL where only the colours are wanted; may be x
    int64_t y_stride;          // elements from one sample to the next
    int64_t batch, rows, width, channels, first_row, height;
    const float *scale;        // [batch, channels]
    const float *bias;         // [channels]
    const float *noise;        // [batch or 1, height, width], or NULL
    int64_t noise_stride;      // 0 where all samples share it
    float noise_gain;
    float clamp;               // infinity: none
    const float *style;        // [batch, channels], or NULL
    const float *rgb_weight;   // [batch, 3, channels], or NULL: no toRGB step
    const float *rgb_bias;     // [3]
    float rgb_clamp;           // infinity: none
    const float *skip;         // [batch, 3, height / 2, width / 2], or NULL
    const float *taps;         // [4], the resampling filter times 2
    float *image;              // [batch, 3, height, width]
};

template <class T>
static void finish(const Finish &job) {
    const int64_t plane = job.height * job.width;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t sample = 0; sample < job.batch; sample++)
        for (int64_t row = 0; row < job.rows; row++) {
            const int64_t at = job.first_row + row;
            const int64_t offset = row * job.width * job.channels;
            const Channels<T> channels{job.scale + sample * job.channels,
                                       job.bias,
                                       job.style ? job.style + sample * job.channels : nullptr,
                                       job.rgb_weight ? job.rgb_weight + sample * 3 * job.channels : nullptr,
                                       job.clamp,
                                       job.channels};
            const T *x = (const T *)job.x + sample * job.rows * job.width * job.channels + offset;
            T *y = job.y ? (T *)job.y + sample * job.y_stride + offset : nullptr;
            const float *noise = job.noise ? job.noise + sample * job.noise_stride + at * job.width : nullptr;
            float *image = job.rgb_weight ? job.image + sample * 3 * plane + at * job.width : nullptr;
            auto pixels = [&]<int count>(int64_t column) {
                float scaled[count], colours[count][3];
                for (int pixel = 0; pixel < count; pixel++)
                    scaled[pixel] = noise ? noise[column + pixel] * job.noise_gain : 0;
                const int64_t step = column * job.channels;
                if (!job.rgb_weight) {
                    channels.template run<count, false>(channels, x + step, y ? y + step : y, scaled, colours);
                    return;
                }
                channels.template run<count, true>(channels, x + step, y ? y + step : y, scaled, colours);
                for (int pixel = 0; pixel < count; pixel++)
                    for (int colour = 0; colour < 3; colour++) {
                        float value = colours[pixel][colour] + job.rgb_bias[colour];
                        value = value < -job.rgb_clamp ? -job.rgb_clamp : value;
                        value = value > job.rgb_clamp ? job.rgb_clamp : value;
                        image[colour * plane + column + pixel] = value;
                    }
            };
            int64_t column = 0;
            for (; column + PIXELS <= job.width; column += PIXELS) pixels.template operator()<PIXELS>(column);
            for (; column < job.width; column++) pixels.template operator()<1>(column);
            if (job.skip)
                for (int colour = 0; colour < 3; colour++)
                    add_doubled(job.skip + (sample * 3 + colour) * (plane / 4), image + colour * plane, at,
                                job.height / 2, job.width / 2, job.taps);
        }
}

EXPORT void stylegan_finish_float32(const Finish *job) { finish<float>(*job); }
EXPORT void stylegan_finish_bfloat16(const Finish *job) { finish<BFloat16>(*job); }
