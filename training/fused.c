/* Passes over activations in training, forward and backward, each in one walk through memory.

   Activations are bfloat16, channels-last: x[sample][pixel][channel]. All else is float. Sums over pixels are added up
   in rows of a fixed size and then in order, so that they do not depend on the number of threads. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef uint16_t half;

static inline float widen(half h) {
    union { uint32_t bits; float value; } u = {(uint32_t)h << 16};
    return u.value;
}

static inline half narrow(float value) {  /* to the nearest, ties to even; not a number stays one by luck of its bits */
    union { float value; uint32_t bits; } u = {value};
    return (half)((u.bits + 0x7fff + ((u.bits >> 16) & 1)) >> 16);
}

enum { ROW = 1024 }; /* pixels that are summed up together */

/* y = x · s */
void modulate(const half *x, const float *s, half *y, long batch, long pixels, long channels) {
    long rows = (pixels + ROW - 1) / ROW;
#pragma omp parallel for collapse(2) schedule(static)
    for (long b = 0; b < batch; b++)
        for (long r = 0; r < rows; r++) {
            const float *sb = s + b * channels;
            long end = (r + 1) * ROW < pixels ? (r + 1) * ROW : pixels;
            for (long p = r * ROW; p < end; p++) {
                const half *xp = x + (b * pixels + p) * channels;
                half *yp = y + (b * pixels + p) * channels;
                for (long c = 0; c < channels; c++) yp[c] = narrow(widen(xp[c]) * sb[c]);
            }
        }
}

/* gx = g · s, and for each row of pixels gs = Σ g · x; rows: [batch][rows][channels] */
void modulate_back(const half *g, const half *x, const float *s, half *gx, float *gs, long batch, long pixels,
                   long channels) {
    long rows = (pixels + ROW - 1) / ROW;
#pragma omp parallel for collapse(2) schedule(static)
    for (long b = 0; b < batch; b++)
        for (long r = 0; r < rows; r++) {
            const float *sb = s + b * channels;
            float sum[1024];
            memset(sum, 0, sizeof(float) * channels);
            long end = (r + 1) * ROW < pixels ? (r + 1) * ROW : pixels;
            for (long p = r * ROW; p < end; p++) {
                const half *xp = x + (b * pixels + p) * channels, *gp = g + (b * pixels + p) * channels;
                half *yp = gx + (b * pixels + p) * channels;
                for (long c = 0; c < channels; c++) {
                    float gv = widen(gp[c]);
                    sum[c] += gv * widen(xp[c]);
                    yp[c] = narrow(gv * sb[c]);
                }
            }
            memcpy(gs + (b * rows + r) * channels, sum, sizeof(float) * channels);
        }
}

/* y = leaky_relu(x · a + n + bias, 0.2); n: [batch][pixels] */
void activate(const half *x, const float *a, const float *n, const float *bias, half *y, long batch, long pixels,
              long channels) {
    long rows = (pixels + ROW - 1) / ROW;
#pragma omp parallel for collapse(2) schedule(static)
    for (long b = 0; b < batch; b++)
        for (long r = 0; r < rows; r++) {
            const float *ab = a + b * channels;
            long end = (r + 1) * ROW < pixels ? (r + 1) * ROW : pixels;
            for (long p = r * ROW; p < end; p++) {
                const half *xp = x + (b * pixels + p) * channels;
                half *yp = y + (b * pixels + p) * channels;
                float shift = n[b * pixels + p];
                for (long c = 0; c < channels; c++) {
                    float v = widen(xp[c]) * ab[c] + shift + bias[c];
                    yp[c] = narrow(v > 0 ? v : 0.2f * v);
                }
            }
        }
}

/* With g' = g · slope(y): gx = g' · a, gn = Σ over channels of g'; for each row ga = Σ g' · x and gb = Σ g'. */
void activate_back(const half *g, const half *x, const half *y, const float *a, half *gx, float *gn, float *ga,
                   float *gb, long batch, long pixels, long channels) {
    long rows = (pixels + ROW - 1) / ROW;
#pragma omp parallel for collapse(2) schedule(static)
    for (long b = 0; b < batch; b++)
        for (long r = 0; r < rows; r++) {
            const float *ab = a + b * channels;
            float scale_sum[1024], bias_sum[1024];
            memset(scale_sum, 0, sizeof(float) * channels);
            memset(bias_sum, 0, sizeof(float) * channels);
            long end = (r + 1) * ROW < pixels ? (r + 1) * ROW : pixels;
            for (long p = r * ROW; p < end; p++) {
                long at = (b * pixels + p) * channels;
                const half *xp = x + at, *yp = y + at, *gp = g + at;
                half *op = gx + at;
                float over_channels = 0;
                for (long c = 0; c < channels; c++) {
                    float slope = (yp[c] & 0x8000) ? 0.2f : 1.0f;
                    float gv = widen(gp[c]) * slope;
                    over_channels += gv;
                    bias_sum[c] += gv;
                    scale_sum[c] += gv * widen(xp[c]);
                    op[c] = narrow(gv * ab[c]);
                }
                gn[b * pixels + p] = over_channels;
            }
            memcpy(ga + (b * rows + r) * channels, scale_sum, sizeof(float) * channels);
            memcpy(gb + (b * rows + r) * channels, bias_sum, sizeof(float) * channels);
        }
}
