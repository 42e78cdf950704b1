// Paints one family, named by the macro FAMILY, whose text is in the file FAMILY_TEXT.
#include "lanes.h"

#pragma GCC diagnostic ignored "-Wunused-function"
namespace painter {
namespace {
#include "common.glsl"
#include "finish.glsl"
#include FAMILY_TEXT
}  // namespace

#define JOINED(a, b) a##b
#define NAMED(prefix, name) JOINED(prefix, name)

// Four rows of a picture. All is inlined, so that what is the same for all pixels is computed once; the parameters are
// copied, because the compiler must otherwise suppose that storing a colour changes them.
__attribute__((flatten)) static void paint_rows(const Parameters &given, const Table &table, float *colour, float *glow,
                                                int32_t row, int32_t rows, int32_t columns, int32_t height,
                                                int32_t width) {
    const Parameters z = given;
    Place p = first_place(row, height, width);
    p.table = table;
    for (int32_t column = 0; column < columns; column += 4) {
        p.x = column_places(column, width, p.px);
        const Vec3 made = FAMILY(p, z);
        store_block(colour, made, row, column, rows, columns);
        store_mean(glow, glowing(made), row, column, rows, columns);
    }
}

// colour: 3 planes of rows x columns, linear light. glow: 3 planes of a sixteenth, means of what glows in each block of
// 4 x 4. Rows and columns are multiples of 4; `height` and `width` are those of the picture, which may be less.
EXPORT void NAMED(paint_, FAMILY)(const Parameters *parameters, const Table *table, float *colour, float *glow,
                                  int32_t rows, int32_t columns, int32_t height, int32_t width) {
#pragma omp parallel for schedule(dynamic, 4)
    for (int32_t row = 0; row < rows; row += 4)
        paint_rows(*parameters, *table, colour, glow, row, rows, columns, height, width);
}

}  // namespace painter
