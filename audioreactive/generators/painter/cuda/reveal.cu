// Joins two painted families in one picture.
#include "pixel.cuh"

namespace painter {
namespace {
#include "common.glsl"
#include "finish.glsl"
#include "reveal.glsl"
}  // namespace

// colour, changed in place, and other: 3 planes of rows x columns. share: of the other, 0 to 1.
KERNEL(reveal, 1, (const __grid_constant__ Parameters z, float share, float *colour, const float *other, float *glow,
                   Raster raster)) {
    const int32_t row = own_row(), column = own_column();
    const Place p = place(row, column, raster);
    const Vec3 old = load(colour, row, column, raster.rows, raster.columns);
    const Vec3 made = revealed(old, load(other, row, column, raster.rows, raster.columns), share, p, z);
    store(colour, made, row, column, raster.rows, raster.columns);
    store_mean(glow, glowing(made), row, column, raster);
}

}  // namespace painter
