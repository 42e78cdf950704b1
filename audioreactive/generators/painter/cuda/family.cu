// Paints one family, named by the macro FAMILY, whose text is given as family.glsl.
#include "pixel.cuh"

namespace painter {
namespace {
#include "common.glsl"
#include "finish.glsl"
#include "family.glsl"
}  // namespace

// colour: 3 planes of rows x columns, linear light. glow: 3 planes of a sixteenth, means of what glows in each block of
// 4 x 4.
KERNEL(paint, 1, (const __grid_constant__ Parameters z, Table table, float *colour, float *glow, Raster raster)) {
    const int32_t row = own_row(), column = own_column();
    Place p = place(row, column, raster);
    p.table = table;
    const Vec3 made = FAMILY(p, z);
    store(colour, made, row, column, raster.rows, raster.columns);
    store_mean(glow, glowing(made), row, column, raster);
}

}  // namespace painter
