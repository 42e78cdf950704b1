// Paints one family, named by the macro FAMILY, whose text is in the file FAMILY_TEXT.
#include "pixel.cuh"

namespace painter {
namespace {
#include "common.glsl"
#include "finish.glsl"
#include FAMILY_TEXT

__global__ void __launch_bounds__(THREADS)
    paint(const __grid_constant__ Parameters z, Table table, float *colour, float *glow, Raster raster) {
    const int32_t row = own_row(), column = own_column();
    Place p = place(row, column, raster);
    p.table = table;
    const Vec3 made = FAMILY(p, z);
    store(colour, made, row, column, raster.rows, raster.columns);
    store_mean(glow, glowing(made), row, column, raster);
}

}  // namespace

#define JOINED(a, b) a##b
#define NAMED(prefix, name) JOINED(prefix, name)

// colour: 3 planes of rows x columns, linear light. glow: 3 planes of a sixteenth, means of what glows in each block of
// 4 x 4. Returns what went wrong, or NULL.
EXPORT const char *NAMED(paint_, FAMILY)(const Parameters *parameters, const Table *table, float *colour, float *glow,
                                         int32_t rows, int32_t columns, int32_t height, int32_t width, int device,
                                         cudaStream_t stream) {
    const Raster raster{rows, columns, height, width};
    return launch(paint, tiles(rows, columns), device, stream, *parameters, *table, colour, glow, raster);
}

}  // namespace painter
