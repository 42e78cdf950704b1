// RGB to planar YUV 4:2:0 for an encoder.
#include "yuv.h"

#include "vector.h"

// image [batch, 3, height, width], nominally in [-1, 1]; y [batch, height · width · 3 / 2]; both sizes even.
EXPORT void stylegan_rgb_to_yuv420(const float *image, uint8_t *y, int64_t batch, int64_t height, int64_t width) {
    const int64_t plane = height * width;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t sample = 0; sample < batch; sample++)
        for (int64_t row = 0; row < height / 2; row++) {
            uint8_t *luma = y + sample * (plane + plane / 2), *blue_difference = luma + plane + row * (width / 2);
            yuv::convert_rows(image + sample * 3 * plane + 2 * row * width, plane, width, luma + 2 * row * width,
                              blue_difference, blue_difference + plane / 4);
        }
}
