// The finishing pass: from linear light and its bloom to a picture in [-1, 1], dithered for 8 bits.
#include "lanes.h"

#pragma GCC diagnostic ignored "-Wunused-function"
namespace painter {
namespace {
#include "common.glsl"
#include "finish.glsl"
}  // namespace

__attribute__((flatten)) static void finish_rows(const Parameters &z, const float *colour, const Table *bloom,
                                                 float *picture, int32_t row, int32_t rows, int32_t columns,
                                                 int32_t height, int32_t width) {
    const int64_t shown = (int64_t)height * width;
    const float across = (float)bloom->columns / width, down = (float)bloom->rows / height;
    Place p = first_place(row, height, width);
    for (int32_t column = 0; column < width; column += 4) {
        p.x = column_places(column, width, p.px);
        const Float x = block_columns() + (float)column, y = block_rows() + (float)row;
        Float glow[3];
        for (int channel = 0; channel < 3; channel++)
            glow[channel] = table_linear(bloom[channel], (x + 0.5f) * across - 0.5f, (y + 0.5f) * down - 0.5f);
        const Vec3 made = finished(load_block(colour, row, column, rows, columns), Vec3(glow[0], glow[1], glow[2]), p, z);
        const Float dither = dithered(x, y) - 1.0f;
        const Float results[3] = {made.x * 2.0f + dither, made.y * 2.0f + dither, made.z * 2.0f + dither};
        const int32_t lines = height - row < 4 ? height - row : 4, count = width - column < 4 ? width - column : 4;
        for (int channel = 0; channel < 3; channel++)
            for (int line = 0; line < lines; line++)
                std::memcpy(picture + channel * shown + (int64_t)(row + line) * width + column,
                            (const char *)&results[channel] + 16 * line, 4 * count);
    }
}

// colour: 3 planes of rows x columns. bloom: 3 tables. picture: 3 planes of height x width.
EXPORT void paint_finish(const Parameters *parameters, const float *colour, const Table *bloom, float *picture,
                         int32_t rows, int32_t columns, int32_t height, int32_t width) {
#pragma omp parallel for schedule(static)
    for (int32_t row = 0; row < height; row += 4)
        finish_rows(*parameters, colour, bloom, picture, row, rows, columns, height, width);
}

}  // namespace painter
