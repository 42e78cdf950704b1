// The finishing pass: from linear light and its bloom to a picture in [-1, 1], dithered for 8 bits, or to its YUV 4:2:0.
// Here a `Float` holds 16 pixels of one row.
#include "lanes.h"

#include <vector>

#include YUV_TEXT

#pragma GCC diagnostic ignored "-Wunused-function"
namespace painter {
namespace {
#include "common.glsl"
#include "finish.glsl"

const int32_t STEP = 16;

alignas(64) const float STEPS[STEP] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
INLINE Float steps() { return read(STEPS); }

INLINE Float load(const float *from, int32_t count) {
    Lanes values{};
    if (count >= STEP)
        std::memcpy(&values, from, sizeof values);
    else
        std::memcpy(&values, from, 4 * count);
    return values;
}

INLINE void store(float *to, Float values, int32_t count) {
    if (count >= STEP)
        std::memcpy(to, &values, sizeof values);
    else
        std::memcpy(to, &values, 4 * count);
}

// What all rows of a picture share.
struct Picture {
    const Parameters *parameters;
    const float *colour;  // 3 planes of rows x columns
    const float *bloom;   // 3 planes of bloom_rows x columns: rows as long as the picture's
    int32_t rows, columns, bloom_rows, height, width;
};

// Stretches a row of bloom to the picture's width, linear between the middles of its pixels.
void stretch(const float *bloom, int32_t bloom_columns, float *wide, int32_t columns, int32_t width) {
    const float across = (float)bloom_columns / width;
    const Table row = {bloom, 1, bloom_columns};
    for (int32_t column = 0; column < columns; column += STEP) {
        const Float x = min(max((steps() + (column + 0.5f)) * across - 0.5f, 0.0f), bloom_columns - 1.001f);
        const Float left = floor(x);
        const IntLanes index = whole_numbers(left.v);
        const Float first = gather(row.values, index), second = gather(row.values + 1, index);
        store(wide + column, first + (second - first) * (x - left), columns - column);
    }
}

// One row of the picture; the next colour lies `plane` floats after the one before.
__attribute__((flatten)) void finish_row(const Picture &picture, int32_t row, float *made, int64_t plane) {
    const Parameters z = *picture.parameters;
    const int64_t pixels = (int64_t)picture.rows * picture.columns, entries = (int64_t)picture.bloom_rows * picture.columns;
    const float down = (float)picture.bloom_rows / picture.height;
    const float y = min(max((row + 0.5f) * down - 0.5f, 0.0f), picture.bloom_rows - 1.001f), top = floor(y), v = y - top;
    const float *colour = picture.colour + (int64_t)row * picture.columns;
    const float *above = picture.bloom + (int64_t)top * picture.columns, *below = above + picture.columns;
    Place p = first_place(row, picture.height, picture.width);
    p.y = (row + 0.5f - 0.5f * picture.height) * p.px;
    for (int32_t column = 0; column < picture.width; column += STEP) {
        const int32_t count = picture.columns - column;
        p.x = (steps() + (column + 0.5f - 0.5f * picture.width)) * p.px;
        Float light[3], glow[3];
        for (int channel = 0; channel < 3; channel++) {
            light[channel] = load(colour + channel * pixels + column, count);
            const Float first = load(above + channel * entries + column, count);
            glow[channel] = first + (load(below + channel * entries + column, count) - first) * v;
        }
        const Vec3 shown = finished(Vec3(light[0], light[1], light[2]), Vec3(glow[0], glow[1], glow[2]), p, z);
        const Float dither = dithered(steps() + (float)column, Float((float)row)) - 1.0f;
        const Float results[3] = {shown.x * 2.0f + dither, shown.y * 2.0f + dither, shown.z * 2.0f + dither};
        for (int channel = 0; channel < 3; channel++)
            store(made + channel * plane + column, results[channel], picture.width - column);
    }
}

}  // namespace

// colour: 3 planes of rows x columns. bloom: 3 planes of bloom_rows x bloom_columns. wide: room for 3 planes of
// bloom_rows x columns. The result is `picture`, 3 planes of height x width, or, if that is null, `yuv`: planes of luma
// and, at half the height and width, of the differences of blue and red; height and width are even then.
EXPORT void paint_finish(const Parameters *parameters, const float *colour, const float *bloom, float *wide,
                         float *picture, uint8_t *yuv, int32_t rows, int32_t columns, int32_t bloom_rows,
                         int32_t bloom_columns, int32_t height, int32_t width) {
    const Picture whole = {parameters, colour, wide, rows, columns, bloom_rows, height, width};
    const int64_t pixels = (int64_t)height * width;
#pragma omp parallel
    {
#pragma omp for schedule(static)
        for (int32_t row = 0; row < 3 * bloom_rows; row++)
            stretch(bloom + (int64_t)row * bloom_columns, bloom_columns, wide + (int64_t)row * columns, columns, width);
        std::vector<float> pair(picture ? 0 : 6 * (int64_t)width);
#pragma omp for schedule(static)
        for (int32_t row = 0; row < height; row += 2) {
            if (picture) {
                for (int32_t line = row; line < height && line < row + 2; line++)
                    finish_row(whole, line, picture + (int64_t)line * width, pixels);
                continue;
            }
            for (int32_t line = 0; line < 2; line++)
                finish_row(whole, row + line, pair.data() + line * width, 2 * (int64_t)width);
            uint8_t *blue_difference = yuv + pixels + (int64_t)(row / 2) * (width / 2);
            yuv::convert_rows(pair.data(), 2 * (int64_t)width, width, yuv + (int64_t)row * width, blue_difference,
                              blue_difference + pixels / 4);
        }
    }
}

}  // namespace painter
