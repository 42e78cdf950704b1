// RGB to planar YUV 4:2:0 for an encoder: ITU-R BT.709, limited range, 8 bit. A thread makes one sample of chroma, which
// lies on the even columns, midway between two rows, where players look for it (ITU-T H.264, annex E, type 0).
#include "device.h"

namespace {

__device__ __forceinline__ float unit(float value) {
    value = value * 0.5f + 0.5f;
    value = value > 0 ? value : 0;  // a NaN becomes black
    return value < 1 ? value : 1;
}

__device__ __forceinline__ unsigned char level(float value) { return (unsigned char)(value + 0.5f); }

constexpr float KR = 0.2126f, KB = 0.0722f, KG = 1 - KR - KB;

}  // namespace

// image [batch, 3, height, width], nominally in [-1, 1], its address a multiple of 8; y [batch, height · width · 3 / 2];
// both sizes even. A thread for each sample of chroma, a row of blocks for each picture.
KERNEL(rgb_to_yuv420, 1, (const float *image, unsigned char *y, int32_t height, int32_t width)) {
    const int32_t at = (int32_t)(blockIdx.x * THREADS + threadIdx.x);
    const int32_t row = at / (width / 2), column = at % (width / 2);
    if (row >= height / 2) return;
    const int64_t sample = blockIdx.y, plane = (int64_t)height * width;
    const float *picture = image + sample * 3 * plane;
    unsigned char *luma = y + sample * (plane + plane / 2);
    float reds = 0, greens = 0, blues = 0;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int64_t pair = (int64_t)(2 * row + i) * width + 2 * column;
        float2 red = __ldg((const float2 *)(picture + pair)), green = __ldg((const float2 *)(picture + plane + pair)),
               blue = __ldg((const float2 *)(picture + 2 * plane + pair));
        red = {unit(red.x), unit(red.y)}, green = {unit(green.x), unit(green.y)}, blue = {unit(blue.x), unit(blue.y)};
        __stwb((uchar2 *)(luma + pair), make_uchar2(level(16 + 219 * (KR * red.x + KG * green.x + KB * blue.x)),
                                                    level(16 + 219 * (KR * red.y + KG * green.y + KB * blue.y))));
        const int64_t before = column > 0 ? pair - 1 : pair;
        reds += unit(__ldg(picture + before)) + 2 * red.x + red.y;
        greens += unit(__ldg(picture + plane + before)) + 2 * green.x + green.y;
        blues += unit(__ldg(picture + 2 * plane + before)) + 2 * blue.x + blue.y;
    }
    const float r = reds / 8, g = greens / 8, b = blues / 8, bright = KR * r + KG * g + KB * b;
    __stwb(luma + plane + at, level(128 + 224 * (b - bright) / (2 * (1 - KB))));
    __stwb(luma + plane + plane / 4 + at, level(128 + 224 * (r - bright) / (2 * (1 - KR))));
}
