// Joins two painted families in one picture.
#include "pixel.cuh"

namespace painter {
namespace {
#include "common.glsl"
#include "finish.glsl"
#include "reveal.glsl"

__global__ void __launch_bounds__(THREADS)
    reveal(const __grid_constant__ Parameters z, float share, float *colour, const float *other, float *glow,
           Raster raster) {
    const int32_t row = own_row(), column = own_column();
    const Place p = place(row, column, raster);
    const Vec3 old = load(colour, row, column, raster.rows, raster.columns);
    const Vec3 made = revealed(old, load(other, row, column, raster.rows, raster.columns), share, p, z);
    store(colour, made, row, column, raster.rows, raster.columns);
    store_mean(glow, glowing(made), row, column, raster);
}

}  // namespace

// colour, changed in place, and other: 3 planes of rows x columns. share: of the other, 0 to 1.
EXPORT const char *paint_reveal(const Parameters *parameters, float share, float *colour, const float *other,
                                float *glow, int32_t rows, int32_t columns, int32_t height, int32_t width, int device,
                                cudaStream_t stream) {
    const Raster raster{rows, columns, height, width};
    return launch(reveal, tiles(rows, columns), device, stream, *parameters, share, colour, other, glow, raster);
}

}  // namespace painter
