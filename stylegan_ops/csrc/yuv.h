// Rows of RGB to planar YUV 4:2:0 for an encoder: ITU-R BT.709, limited range, 8 bit.
#pragma once

#include <cstdint>

namespace yuv {

const int64_t TILE = 128;
const float KR = 0.2126f, KB = 0.0722f, KG = 1 - KR - KB;

static inline float unit(float value) {
    value = value > 0 ? value : 0;  // a NaN becomes black
    return value < 1 ? value : 1;
}

static inline uint8_t level(float value) { return (uint8_t)(value + 0.5f); }

// Colours of two rows, between 0 and 1, from the column to the left of a tile on.
struct Tile {
    float values[2][3][TILE + 1];
};

// Reads columns of one row, and writes their luma.
static inline void read_row(const float *image, int64_t plane, int64_t count, float values[3][TILE + 1], uint8_t *luma) {
    float *reds = values[0] + 1, *greens = values[1] + 1, *blues = values[2] + 1;
#pragma omp simd
    for (int64_t x = 0; x < count; x++) {
        const float r = unit(image[x] * 0.5f + 0.5f), g = unit(image[x + plane] * 0.5f + 0.5f),
                    b = unit(image[x + 2 * plane] * 0.5f + 0.5f);
        reds[x] = r, greens[x] = g, blues[x] = b;
        luma[x] = level(16 + 219 * (KR * r + KG * g + KB * b));
    }
}

// Mean of a colour around an even column of a tile.
static inline float around(const Tile &tile, int colour, int64_t x) {
    const float *above = tile.values[0][colour] + x, *below = tile.values[1][colour] + x;
    return (above[0] + 2 * above[1] + above[2] + below[0] + 2 * below[1] + below[2]) / 8;
}

// Converts two rows. `image`: the first row, nominally in [-1, 1]; the second follows after `width` floats, the next
// colour after `plane`. `luma`: two rows, one after the other.
// Chroma lies on the even columns, midway between two rows, where players look for it (ITU-T H.264, annex E, type 0).
static inline void convert_rows(const float *image, int64_t plane, int64_t width, uint8_t *luma,
                                uint8_t *blue_difference, uint8_t *red_difference) {
    Tile tile{};
    for (int64_t first = 0; first < width; first += TILE) {
        const int64_t count = width - first < TILE ? width - first : TILE;
        for (int64_t i = 0; i < 2; i++) {
            float left[3];
            for (int colour = 0; colour < 3; colour++) left[colour] = tile.values[i][colour][TILE];
            read_row(image + i * width + first, plane, count, tile.values[i], luma + i * width + first);
            for (int colour = 0; colour < 3; colour++)
                tile.values[i][colour][0] = first ? left[colour] : tile.values[i][colour][1];
        }
        uint8_t *blues = blue_difference + first / 2, *reds = red_difference + first / 2;
#pragma omp simd
        for (int64_t column = 0; column < count / 2; column++) {
            const float r = around(tile, 0, 2 * column), g = around(tile, 1, 2 * column), b = around(tile, 2, 2 * column);
            const float bright = KR * r + KG * g + KB * b;
            blues[column] = level(128 + 224 * (b - bright) / (2 * (1 - KB)));
            reds[column] = level(128 + 224 * (r - bright) / (2 * (1 - KR)));
        }
    }
}

}  // namespace yuv
