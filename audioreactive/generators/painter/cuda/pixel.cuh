// The shaders' types and functions in CUDA: a `Float` is one pixel's value, and a thread has one pixel. A warp has two
// blocks of 4 x 4 pixels side by side, in the order of Z: the lanes of a square of 2 x 2 differ in the lowest two bits, so
// that differences and means of a block are exchanges within the warp. Accuracy is that of the GPU's own functions, with
// arguments made small first; conversions, which are slow, are done by additions.
#pragma once

#include "device.h"

#define UNROLL _Pragma("unroll")
#define INLINE __device__ __forceinline__

namespace painter {

// What a painting is made from; the order of fields is that of `parameters.FIELDS`.
struct Triple {
    float x, y, z;
};
struct Parameters {
    float c[8], m[8], f[8];
    Triple ramp[9], tone[9];
    Triple dark, shadow, body, accent, light, twin, sun;
};
typedef const Parameters &Latents;

struct Table {
    const float *values;
    int32_t rows, columns;
};

// A grid of rows x columns, multiples of 4, of which a picture of height x width is shown.
struct Raster {
    int32_t rows, columns, height, width;
};

namespace {

typedef float Float;

constexpr float WHOLE = 12582912.0f;  // 1.5 * 2^23: what is added to it is rounded to a whole number

INLINE float select(bool chosen, float yes, float no) { return chosen ? yes : no; }
INLINE float min(float a, float b) { return fminf(a, b); }
INLINE float max(float a, float b) { return fmaxf(a, b); }
INLINE float abs(float x) { return fabsf(x); }
INLINE float rounded(float x) { return (x + WHOLE) - WHOLE; }
INLINE float floor(float x) {
    const float nearest = rounded(x);
    return nearest > x ? nearest - 1.0f : nearest;
}
INLINE float fract(float x) { return x - floor(x); }
INLINE float sqrt(float x) { return sqrtf(x); }
INLINE float inversesqrt(float x) { return rsqrtf(x); }
INLINE float exp2(float x) { return exp2f(fminf(fmaxf(x, -126.0f), 126.0f)); }
INLINE float exp(float x) { return exp2(x * 1.44269504f); }
INLINE float log2(float x) { return __log2f(fmaxf(x, 1.2e-38f)); }
INLINE float pow(float x, float y) { return exp2(y * log2(x)); }
INLINE float sin_of_turns(float turns) { return __sinf((turns - rounded(turns)) * 6.28318531f); }
INLINE float sin(float x) { return sin_of_turns(x * 0.159154943f); }
INLINE float cos(float x) { return sin_of_turns(x * 0.159154943f + 0.25f); }
INLINE float tanh(float x) { return 1.0f - 2.0f / (exp(x * 2.0f) + 1.0f); }

INLINE float atan(float y, float x) {
    const float ax = abs(x), ay = abs(y);
    const float s = min(ax, ay) / max(max(ax, ay), 1e-30f), t = s * s;
    float p = -0.0040540580f;
    p = p * t + 0.0218612288f;
    p = p * t - 0.0559098861f;
    p = p * t + 0.0964200441f;
    p = p * t - 0.1390853351f;
    p = p * t + 0.1994653599f;
    p = p * t - 0.3332985605f;
    p = p * t + 0.9999993329f;
    p = p * s;
    p = ay > ax ? 1.57079633f - p : p;
    p = x < 0.0f ? 3.14159265f - p : p;
    return y < 0.0f ? -p : p;
}

INLINE float exchanged(float value, int lanes) { return __shfl_xor_sync(0xffffffffu, value, lanes); }

// Differences between neighbours in a square of two by two pixels, to the right and down.
INLINE float dFdx(float x) {
    const float change = exchanged(x, 1) - x;
    return threadIdx.x & 1 ? -change : change;
}
INLINE float dFdy(float x) {
    const float change = exchanged(x, 2) - x;
    return threadIdx.x & 2 ? -change : change;
}

// Mean of a block of 4 x 4 pixels.
INLINE float mean(float x) {
    x += exchanged(x, 1);
    x += exchanged(x, 2);
    x += exchanged(x, 4);
    x += exchanged(x, 8);
    return x / 16;
}

// 32 random bits for a point of the integer lattice.
typedef uint32_t Bits;
INLINE uint32_t lattice(float x) { return __float_as_uint(x + WHOLE) - 0x4b400000u; }
INLINE Bits hash(float i, float j, int seed) {
    uint32_t h = lattice(i) * 0x9e3779b1u + lattice(j) * 0x85ebca77u + (uint32_t)seed * 0xc2b2ae3du;
    h *= 0x2c1b3c6du;
    h ^= h >> 15;
    h *= 0x297a2d39u;
    return h ^ (h >> 15);
}
INLINE float low(Bits bits) { return __uint_as_float(0x3f800000u | (bits << 7 & 0x7fff80u)) - 1.0f; }
INLINE float high(Bits bits) { return __uint_as_float(0x3f800000u | (bits >> 9 & 0x7fff80u)) - 1.0f; }

struct Vec2 {
    float x, y;
    Vec2() = default;
    INLINE Vec2(float x, float y) : x(x), y(y) {}
};
struct Vec3 {
    float x, y, z;
    Vec3() = default;
    INLINE Vec3(float x, float y, float z) : x(x), y(y), z(z) {}
    INLINE Vec3(const Triple &same) : x(same.x), y(same.y), z(same.z) {}
};
typedef Vec3 vec3;
struct Vec4 {
    float x, y, z, w;
    Vec4() = default;
    INLINE Vec4(float x, float y, float z, float w) : x(x), y(y), z(z), w(w) {}
};

#define OPERATOR(op)                                                                                     \
    INLINE Vec2 operator op(Vec2 a, Vec2 b) { return {a.x op b.x, a.y op b.y}; }                         \
    INLINE Vec2 operator op(Vec2 a, float b) { return {a.x op b, a.y op b}; }                            \
    INLINE Vec3 operator op(Vec3 a, Vec3 b) { return {a.x op b.x, a.y op b.y, a.z op b.z}; }             \
    INLINE Vec3 operator op(Vec3 a, float b) { return {a.x op b, a.y op b, a.z op b}; }                  \
    INLINE Vec3 &operator op##=(Vec3 &a, Vec3 b) { return a = a op b; }                                  \
    INLINE Vec3 &operator op##=(Vec3 &a, float b) { return a = a op b; }
OPERATOR(+)
OPERATOR(-)
OPERATOR(*)
OPERATOR(/)
#undef OPERATOR

struct Place {
    float x, y, px, right, bottom;
    Table table;
};

INLINE float table_between(const Table &table, float i, float j, float u, float v) {
    const int32_t index = (int32_t)lattice(j) * table.columns + (int32_t)lattice(i);
    const float *above = table.values + index, *below = above + table.columns;
    const float top_left = __ldg(above), top_right = __ldg(above + 1);
    const float bottom_left = __ldg(below), bottom_right = __ldg(below + 1);
    const float upper = top_left + (top_right - top_left) * u;
    const float lower = bottom_left + (bottom_right - bottom_left) * u;
    return upper + (lower - upper) * v;
}

// The table at (x, y), in entries of the table, linear between them; its edges are repeated outside.
INLINE float table_linear(const Table &table, float x, float y) {
    x = min(max(x, 0.0f), table.columns - 1.001f);
    y = min(max(y, 0.0f), table.rows - 1.001f);
    const float i = floor(x), j = floor(y);
    return table_between(table, i, j, x - i, y - j);
}

// The same with smooth steps between the entries.
INLINE float table_value(const Table &table, float x, float y) {
    x = min(max(x, 0.0f), table.columns - 1.001f);
    y = min(max(y, 0.0f), table.rows - 1.001f);
    const float i = floor(x), j = floor(y), u = x - i, v = y - j;
    return table_between(table, i, j, u * u * (3.0f - u * 2.0f), v * v * (3.0f - v * 2.0f));
}

// ---- pixels: a block of threads has 32 x 8, and the grid the columns and rows of blocks that cover all

constexpr int TILE_ROWS = 8, TILE_COLUMNS = 32;
static_assert(TILE_ROWS * TILE_COLUMNS == THREADS);

INLINE int32_t own_row() {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    return blockIdx.y * TILE_ROWS + warp / 4 * 4 + (lane >> 1 & 1) + (lane >> 2 & 2);
}
INLINE int32_t own_column() {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    return blockIdx.x * TILE_COLUMNS + warp % 4 * 8 + (lane & 1) + (lane >> 1 & 2) + (lane >> 2 & 4);
}

INLINE Place place(int32_t row, int32_t column, const Raster &raster) {
    Place p;
    p.px = 2.0f / (raster.height < raster.width ? raster.height : raster.width);
    p.right = 0.5f * raster.width * p.px;
    p.bottom = 0.5f * raster.height * p.px;
    p.x = ((float)column + (0.5f - 0.5f * raster.width)) * p.px;
    p.y = ((float)row + (0.5f - 0.5f * raster.height)) * p.px;
    p.table = {nullptr, 0, 0};
    return p;
}

// One pixel of 3 planes.
INLINE Vec3 load(const float *planes, int32_t row, int32_t column, int32_t rows, int32_t columns) {
    if (row >= rows || column >= columns) return Vec3(0.0f, 0.0f, 0.0f);
    const int64_t plane = (int64_t)rows * columns, at = (int64_t)row * columns + column;
    return Vec3(__ldca(planes + at), __ldca(planes + plane + at), __ldca(planes + 2 * plane + at));
}
INLINE void store(float *planes, Vec3 colour, int32_t row, int32_t column, int32_t rows, int32_t columns) {
    if (row >= rows || column >= columns) return;
    const int64_t plane = (int64_t)rows * columns, at = (int64_t)row * columns + column;
    __stwb(planes + at, colour.x);
    __stwb(planes + plane + at, colour.y);
    __stwb(planes + 2 * plane + at, colour.z);
}

// Writes the mean of each block of 4 x 4 to planes with a pixel for each; the whole warp takes part.
INLINE void store_mean(float *planes, Vec3 colour, int32_t row, int32_t column, const Raster &raster) {
    const Vec3 all = Vec3(mean(colour.x), mean(colour.y), mean(colour.z));
    if (threadIdx.x % 16 == 0 && row < raster.rows && column < raster.columns)
        store(planes, all, row / 4, column / 4, raster.rows / 4, raster.columns / 4);
}

}  // namespace
}  // namespace painter
