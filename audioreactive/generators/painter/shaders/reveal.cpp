// Joins two painted families in one picture.
#include "lanes.h"

#pragma GCC diagnostic ignored "-Wunused-function"
namespace painter {
namespace {
#include "common.glsl"
#include "finish.glsl"
#include "reveal.glsl"
}  // namespace

__attribute__((flatten)) static void reveal_rows(const Parameters &z, float share, float *colour, const float *other,
                                                 float *glow, int32_t row, int32_t rows, int32_t columns,
                                                 int32_t height, int32_t width) {
    Place p = first_place(row, height, width);
    for (int32_t column = 0; column < columns; column += 4) {
        p.x = column_places(column, width, p.px);
        const Vec3 old = load_block(colour, row, column, rows, columns);
        const Vec3 made = revealed(old, load_block(other, row, column, rows, columns), share, p, z);
        store_block(colour, made, row, column, rows, columns);
        store_mean(glow, glowing(made), row, column, rows, columns);
    }
}

// colour, changed in place, and other: 3 planes of rows x columns. share: of the other, 0 to 1.
EXPORT void paint_reveal(const Parameters *parameters, float share, float *colour, const float *other, float *glow,
                         int32_t rows, int32_t columns, int32_t height, int32_t width) {
#pragma omp parallel for schedule(static)
    for (int32_t row = 0; row < rows; row += 4)
        reveal_rows(*parameters, share, colour, other, glow, row, rows, columns, height, width);
}

}  // namespace painter
