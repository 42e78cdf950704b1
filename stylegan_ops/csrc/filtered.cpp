// The activation of StyleGAN3 in one pass: scale and bias, up-sampling, leaky ReLU, clamp, down-sampling, style.
//
// Between the filters there are four to sixteen times as many samples as before and after. They are made in strips of a
// few columns and one vector of channels, row by row: what is alive of them fits into the innermost caches.
#include <cstdlib>

#include "vector.h"

// Arguments of `filtered`; NULL for a missing one.
struct Filtered {
    const void *x;               // [batch, height, width, channels]
    void *y;                     // [batch, out_height, out_width, channels]
    int64_t y_stride;            // elements from one sample to the next
    int64_t batch, height, width, channels, out_height, out_width;
    const float *scale;          // [batch, channels]
    const float *bias;           // [channels]
    const float *style;          // [batch, channels], or NULL
    const float *up_filter;      // [up_taps], as a correlation, with its gain
    const float *down_filter;    // [down_taps], or [down_taps, down_taps] if `radial`
    int64_t up_taps, down_taps, up, down, left, top;
    int64_t radial;              // 1: the filter is a square of taps; 2: and the same upside down
    float gain;                  // of the activation
    float clamp;                 // infinity: none
};

namespace {

constexpr int64_t STRIP = 24;  // columns of the output that are made together

int64_t floor_divided(int64_t a, int64_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

// Which input samples make sample `at` at the high rate: the first one, and the tap that falls on it.
struct Place {
    int64_t first, tap;
};

Place place(int64_t at, int64_t before, int64_t up) {
    const int64_t first = floor_divided(at - before + up - 1, up);
    return {first, first * up - at + before};
}

// Memory of one thread.
struct Scratch {
    Vector *line, *rows, *fine, *down, *pairs;
};

template <class T, int UP_TAPS, int DOWN_TAPS>
struct Strip {
    const Filtered &job;
    const int64_t phase_taps;  // taps that fall on input samples
    const int64_t down_taps;
    const int64_t ring;        // rows of the up-sampled input that are kept
    const Vector *up_phases;   // [up][phase_taps]
    const Vector *up_phases_gain;
    const Vector *down_filter;

    INLINE Vector correlated(const Strip &self, const Vector *taps, const Vector *values, int64_t step, int64_t count) {
        (void)self;
        Vector first{}, second{};
        int64_t k = 0;
        for (; k + 1 < count; k += 2) {
            first += taps[k] * values[k * step];
            second += taps[k + 1] * values[(k + 1) * step];
        }
        if (k < count) first += taps[k] * values[k * step];
        return first + second;
    }

    // One input row, enlarged along the row: columns `start` to `start + columns` at the high rate.
    void enlarge_row(const T *x, Vector *target, int64_t start, int64_t columns, int64_t left_channels, Vector scale,
                     Vector bias, Vector *line) const {
        const int64_t first = place(start, job.left, job.up).first;
        const int64_t last = place(start + columns - 1, job.left, job.up).first + phase_taps;
        for (int64_t i = first; i < last; i++) {
            Vector value{};
            if (i >= 0 && i < job.width) value = load(x + i * job.channels, left_channels) * scale + bias;
            line[i - first] = value;
        }
        const int64_t count = UP_TAPS ? UP_TAPS : phase_taps;
        for (int64_t p = 0; p < columns; p++) {
            const Place from = place(start + p, job.left, job.up);
            target[p] = correlated(*this, up_phases + from.tap * phase_taps, line + (from.first - first), 1, count);
        }
    }

    void run(int64_t sample, int64_t c, int64_t from, int64_t to, const Scratch &scratch) const {
        const int64_t left_channels = job.channels - c < LANES ? job.channels - c : LANES;
        const Vector scale = load(job.scale + sample * job.channels + c, left_channels);
        const Vector bias = load(job.bias + c, left_channels);
        const Vector style = job.style ? load(job.style + sample * job.channels + c, left_channels) : splat(1);
        const Vector high = splat(job.clamp), low = -high;
        const T *x = (const T *)job.x + sample * job.height * job.width * job.channels + c;
        T *y = (T *)job.y + sample * job.y_stride + c;
        const int64_t taps = DOWN_TAPS ? DOWN_TAPS : down_taps;
        const int64_t out_columns = to - from, start = from * job.down;
        const int64_t columns = (out_columns - 1) * job.down + taps;
        const int64_t line_length = job.radial ? columns : out_columns;
        int64_t known = place(0, job.top, job.up).first;  // input rows before it are enlarged
        const int64_t fine_rows = (job.out_height - 1) * job.down + taps;
        for (int64_t r = 0; r < fine_rows; r++) {
            const Place at = place(r, job.top, job.up);
            for (; known < at.first + phase_taps; known++) {
                Vector *target = scratch.rows + ((known % ring + ring) % ring) * columns;
                if (known >= 0 && known < job.height)
                    enlarge_row(x + known * job.width * job.channels, target, start, columns, left_channels, scale,
                                bias, scratch.line);
                else
                    for (int64_t p = 0; p < columns; p++) target[p] = Vector{};
            }
            Vector *kept = scratch.down + (r % taps) * line_length;
            Vector *fine = job.radial ? kept : scratch.fine;
            activate(at, fine, columns, high, low, scratch.rows);
            if (!job.radial)
                for (int64_t o = 0; o < out_columns; o++)
                    kept[o] = correlated(*this, down_filter, fine + o * job.down, 1, taps);
            if (r + 1 < taps || (r + 1 - taps) % job.down) continue;
            const int64_t row = (r + 1 - taps) / job.down;
            T *out = y + (row * job.out_width + from) * job.channels;
            if (job.radial)
                put_radial(out, row, out_columns, columns, left_channels, style, scratch);
            else
                for (int64_t o = 0; o < out_columns; o++) {
                    Vector sum{};
                    for (int64_t t = 0; t < taps; t++)
                        sum += down_filter[t] * scratch.down[((row * job.down + t) % taps) * line_length + o];
                    store(out + o * job.channels, sum * style, left_channels);
                }
        }
    }

    // One row at the high rate, from rows that are enlarged along the row.
    void activate(Place at, Vector *fine, int64_t columns, Vector high, Vector low, const Vector *rows) const {
        constexpr int most = UP_TAPS ? UP_TAPS : 64;
        const int64_t count = UP_TAPS ? UP_TAPS : phase_taps;
        const Vector *source[most], *taps = up_phases_gain + at.tap * phase_taps;
        for (int64_t k = 0; k < count; k++) source[k] = rows + (((at.first + k) % ring + ring) % ring) * columns;
        for (int64_t p = 0; p < columns; p++) {
            Vector value{};
            for (int64_t k = 0; k < count; k++) value += taps[k] * source[k][p];
            fine[p] = at_most(at_least(leaky_relu(value), low), high);
        }
    }

    void put_radial(T *out, int64_t row, int64_t out_columns, int64_t columns, int64_t left_channels, Vector style,
                    const Scratch &scratch) const {
        const int64_t taps = DOWN_TAPS ? DOWN_TAPS : down_taps, half = taps / 2;
        auto line = [&](int64_t t) { return scratch.down + ((row * job.down + t) % taps) * columns; };
        const bool mirrored = job.radial == 2 && taps % 2 == 0;
        if (mirrored)
            for (int64_t t = 0; t < half; t++) {
                const Vector *above = line(t), *below = line(taps - 1 - t);
                for (int64_t p = 0; p < columns; p++) scratch.pairs[t * columns + p] = above[p] + below[p];
            }
        for (int64_t o = 0; o < out_columns; o++) {
            Vector sum{};
            for (int64_t t = 0; t < (mirrored ? half : taps); t++) {
                const Vector *values = (mirrored ? scratch.pairs + t * columns : line(t)) + o * job.down;
                sum += correlated(*this, down_filter + t * taps, values, 1, taps);
            }
            store(out + o * job.channels, sum * style, left_channels);
        }
    }
};

Vector *vectors(int64_t count) {
    return (Vector *)std::aligned_alloc(sizeof(Vector), (count > 0 ? count : 1) * sizeof(Vector));
}

template <class T, int UP_TAPS, int DOWN_TAPS>
int filtered(const Filtered &job) {
    const int64_t phase_taps = (job.up_taps + job.up - 1) / job.up, ring = phase_taps;
    const int64_t squared = job.radial ? job.down_taps : 1;
    Vector *up = vectors(2 * job.up * phase_taps), *down = vectors(job.down_taps * squared);
    if (!up || !down) return 1;
    for (int64_t tap = 0; tap < job.up; tap++)
        for (int64_t k = 0; k < phase_taps; k++) {
            const int64_t t = tap + k * job.up;
            const float value = t < job.up_taps ? job.up_filter[t] : 0;
            up[tap * phase_taps + k] = splat(value);
            up[(job.up + tap) * phase_taps + k] = splat(value * job.gain);
        }
    for (int64_t t = 0; t < job.down_taps * squared; t++) down[t] = splat(job.down_filter[t]);
    const Strip<T, UP_TAPS, DOWN_TAPS> strip{job, phase_taps, job.down_taps, ring, up, up + job.up * phase_taps, down};
    const int64_t columns = (STRIP - 1) * job.down + job.down_taps;
    const int64_t groups = (job.channels + LANES - 1) / LANES, strips = (job.out_width + STRIP - 1) / STRIP;
    int failed = 0;
#pragma omp parallel
    {
        const Scratch scratch{vectors(columns / job.up + phase_taps + 2), vectors(ring * columns), vectors(columns),
                              vectors(job.down_taps * columns), vectors(job.down_taps * columns)};
        const bool ready = scratch.line && scratch.rows && scratch.fine && scratch.down && scratch.pairs;
        if (!ready) {
#pragma omp atomic write
            failed = 1;
        }
#pragma omp for collapse(3) schedule(dynamic)
        for (int64_t sample = 0; sample < job.batch; sample++)
            for (int64_t at = 0; at < strips; at++)
                for (int64_t group = 0; group < groups; group++) {
                    if (!ready) continue;
                    const int64_t from = at * STRIP, to = from + STRIP < job.out_width ? from + STRIP : job.out_width;
                    strip.run(sample, group * LANES, from, to, scratch);
                }
        std::free(scratch.line), std::free(scratch.rows), std::free(scratch.fine), std::free(scratch.down);
        std::free(scratch.pairs);
    }
    std::free(up), std::free(down);
    return failed;
}

template <class T>
int chosen(const Filtered &job) {
    const bool six = (job.up_taps + job.up - 1) / job.up == 6;
    if (six && job.down_taps == 12) return filtered<T, 6, 12>(job);
    if (six && job.down_taps == 24) return filtered<T, 6, 24>(job);
    return filtered<T, 0, 0>(job);
}

}  // namespace

EXPORT int stylegan_filtered_float32(const Filtered *job) { return chosen<float>(*job); }
EXPORT int stylegan_filtered_bfloat16(const Filtered *job) { return chosen<BFloat16>(*job); }
