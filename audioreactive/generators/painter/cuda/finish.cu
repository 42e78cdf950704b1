// The finishing pass: from linear light and its bloom to a picture in [-1, 1], dithered for 8 bits.
#include "pixel.cuh"

namespace painter {

struct Bloom {
    Table planes[3];
};

namespace {
#include "common.glsl"
#include "finish.glsl"
}  // namespace

// colour: 3 planes of rows x columns. bloom: 3 tables. picture: 3 planes of height x width.
KERNEL(finish, 1, (const __grid_constant__ Parameters z, const float *colour, const __grid_constant__ Bloom bloom,
                   float *picture, Raster raster)) {
    const int32_t row = own_row(), column = own_column();
    const Place p = place(row, column, raster);
    const Vec3 light = load(colour, row, column, raster.rows, raster.columns);
    const float across = (float)bloom.planes[0].columns / raster.width;
    const float down = (float)bloom.planes[0].rows / raster.height;
    const float x = (column + 0.5f) * across - 0.5f, y = (row + 0.5f) * down - 0.5f;
    const Vec3 glow = Vec3(table_linear(bloom.planes[0], x, y), table_linear(bloom.planes[1], x, y),
                           table_linear(bloom.planes[2], x, y));
    const float dither = dithered(column, row) - 1.0f;
    const Vec3 made = finished(light, glow, p, z) * 2.0f + Vec3(dither, dither, dither);
    store(picture, made, row, column, raster.height, raster.width);
}

}  // namespace painter
