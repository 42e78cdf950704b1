// RGB to planar YUV 4:2:0 for an encoder: ITU-R BT.709, limited range, 8 bit.
#include <cstdint>

#include "vector.h"

namespace {

INLINE float unit(float value) {
    value = value > 0 ? value : 0;  // a NaN becomes black
    return value < 1 ? value : 1;
}

INLINE uint8_t level(float value) { return (uint8_t)(value + 0.5f); }

}  // namespace

// image [batch, 3, height, width], nominally in [-1, 1]; y [batch, height · width · 3 / 2]; both sizes even.
// Chroma lies on the even columns, midway between two rows, where players look for it (ITU-T H.264, annex E, type 0).
EXPORT void stylegan_rgb_to_yuv420(const float *image, uint8_t *y, int64_t batch, int64_t height, int64_t width) {
    const int64_t plane = height * width;
    const float kr = 0.2126f, kb = 0.0722f, kg = 1 - kr - kb;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t sample = 0; sample < batch; sample++)
        for (int64_t row = 0; row < height / 2; row++) {
            const float *picture = image + sample * 3 * plane;
            uint8_t *luma = y + sample * (plane + plane / 2) + 2 * row * width;
            uint8_t *blue_difference = y + sample * (plane + plane / 2) + plane + row * (width / 2);
            uint8_t *red_difference = blue_difference + plane / 4;
#pragma omp simd
            for (int64_t column = 0; column < width / 2; column++) {
                float reds = 0, greens = 0, blues = 0;
                for (int64_t i = 0; i < 2; i++)
                    for (int64_t j = -1; j < 2; j++) {
                        const int64_t x = 2 * column + j, inside = x < 0 ? 0 : x;
                        const float *pixel = picture + (2 * row + i) * width + inside;
                        const float r = unit(pixel[0] * 0.5f + 0.5f), g = unit(pixel[plane] * 0.5f + 0.5f),
                                    b = unit(pixel[2 * plane] * 0.5f + 0.5f);
                        const float weight = j ? 1 : 2;
                        reds += weight * r, greens += weight * g, blues += weight * b;
                        if (j >= 0) luma[i * width + x] = level(16 + 219 * (kr * r + kg * g + kb * b));
                    }
                const float r = reds / 8, g = greens / 8, b = blues / 8, bright = kr * r + kg * g + kb * b;
                blue_difference[column] = level(128 + 224 * (b - bright) / (2 * (1 - kb)));
                red_difference[column] = level(128 + 224 * (r - bright) / (2 * (1 - kr)));
            }
        }
}
