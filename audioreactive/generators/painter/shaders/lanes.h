// The shaders' types and functions in C++: a `Float` holds a block of 4 x 4 pixels, one pixel a lane, row by row.
// `float` is uniform: the same for all pixels. The compiler maps the vectors to whatever the chip has.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 64")
#endif
#define INLINE static inline __attribute__((always_inline))
#define EXPORT extern "C" __attribute__((visibility("default")))

namespace painter {

typedef float Lanes __attribute__((vector_size(64)));
typedef int32_t IntLanes __attribute__((vector_size(64)));
typedef uint32_t BitLanes __attribute__((vector_size(64)));

struct Mask {
    IntLanes v;
};

struct Float {
    Lanes v;
    Float() = default;
    Float(Lanes v) : v(v) {}
    Float(float value) : v(value - Lanes{}) {}
};

#define OPERATOR(op)                                                                      \
    INLINE Float operator op(Float a, Float b) { return a.v op b.v; }                     \
    INLINE Float &operator op##=(Float &a, Float b) { return a = a op b; }
OPERATOR(+)
OPERATOR(-)
OPERATOR(*)
OPERATOR(/)
#undef OPERATOR
INLINE Float operator-(Float a) { return -a.v; }

#define COMPARISON(op) \
    INLINE Mask operator op(Float a, Float b) { return {(IntLanes)(a.v op b.v)}; }
COMPARISON(<)
COMPARISON(>)
COMPARISON(<=)
COMPARISON(>=)
#undef COMPARISON

INLINE Float select(Mask mask, Float yes, Float no) { return mask.v ? yes.v : no.v; }
INLINE float select(bool mask, float yes, float no) { return mask ? yes : no; }

// Functions of uniform values.
INLINE float min(float a, float b) { return a < b ? a : b; }
INLINE float max(float a, float b) { return a > b ? a : b; }
INLINE float abs(float x) { return std::fabs(x); }
INLINE float floor(float x) { return std::floor(x); }
INLINE float fract(float x) { return x - std::floor(x); }
INLINE float sqrt(float x) { return std::sqrt(x); }
INLINE float inversesqrt(float x) { return 1.0f / std::sqrt(x); }
INLINE float exp(float x) { return std::exp(x); }
INLINE float exp2(float x) { return std::exp2(x); }
INLINE float log2(float x) { return std::log2(x); }
INLINE float pow(float x, float y) { return std::pow(x, y); }
INLINE float sin(float x) { return std::sin(x); }
INLINE float cos(float x) { return std::cos(x); }
INLINE float tanh(float x) { return std::tanh(x); }
INLINE float atan(float y, float x) { return std::atan2(y, x); }

// Functions of pixels. Those that are no single instruction are polynomials (minimax) with errors below 1e-5, a
// fourhundredth of a step of 8 bits; they are added up in pairs, because a chip does several sums at a time.
#if defined(__AVX512F__)
INLINE Float min(Float a, Float b) { return (Lanes)_mm512_min_ps((__m512)a.v, (__m512)b.v); }
INLINE Float max(Float a, Float b) { return (Lanes)_mm512_max_ps((__m512)a.v, (__m512)b.v); }
#else
INLINE Float min(Float a, Float b) { return a.v < b.v ? a.v : b.v; }
INLINE Float max(Float a, Float b) { return a.v > b.v ? a.v : b.v; }
#endif
INLINE Float abs(Float x) { return (Lanes)((BitLanes)x.v & 0x7fffffffu); }

#if defined(__AVX512F__)
INLINE Float floor(Float x) { return (Lanes)_mm512_roundscale_ps((__m512)x.v, 9); }
INLINE Float nearest(Float x) { return (Lanes)_mm512_roundscale_ps((__m512)x.v, 8); }
INLINE Float times_power(Float x, Float whole) { return (Lanes)_mm512_scalef_ps((__m512)x.v, (__m512)whole.v); }

// Newton's step after an estimate to 14 bits.
INLINE Float inversesqrt(Float x) {
    x = max(x, 1e-37f);
    const Float y = (Lanes)_mm512_rsqrt14_ps((__m512)x.v);
    return y * (Float(1.5f) - x * 0.5f * y * y);
}
INLINE Float sqrt(Float x) { return x * inversesqrt(x); }
#else
INLINE Float floor(Float x) {
    const Lanes whole = __builtin_convertvector(__builtin_convertvector(x.v, IntLanes), Lanes);
    return whole + __builtin_convertvector((IntLanes)(x.v < whole), Lanes);
}
INLINE Float nearest(Float x) { return floor(x + 0.5f); }
INLINE Float times_power(Float x, Float whole) {
    whole = min(max(whole, -126.0f), 126.0f);
    return x.v * (Lanes)((BitLanes)(__builtin_convertvector(whole.v, IntLanes) + 127) << 23);
}
INLINE Float sqrt(Float x) {
    Lanes root;
    for (int lane = 0; lane < 16; lane++) root[lane] = __builtin_sqrtf(x.v[lane]);
    return root;
}
INLINE Float inversesqrt(Float x) { return Float(1.0f) / sqrt(x); }
#endif
INLINE Float fract(Float x) { return x - floor(x); }

INLINE Float exp2(Float x) {
    x = min(max(x, -126.0f), 126.0f);
    const Float whole = nearest(x);
    const Float f = x - whole;
    const Float low = f * 0.69312181f + 0.99999926f, high = f * 0.05591786f + 0.24024745f, square = f * f;
    return times_power(low + square * (high + square * 0.00957010f), whole);
}
INLINE Float exp(Float x) { return exp2(x * 1.44269504f); }

INLINE Float log2(Float x) {
    const BitLanes bits = (BitLanes)max(x, 1.2e-38f).v;
    const IntLanes exponent = (IntLanes)((bits + 0x004afb0du) >> 23) - 127;  // so that the mantissa is about 0.7 to 1.4
    const Float m = Float((Lanes)(bits - ((BitLanes)exponent << 23))) - 1.0f;
    const Float square = m * m, low = m * -0.72113953f + 1.44271236f, middle = m * -0.36737274f + 0.47937919f;
    const Float high = m * -0.20684443f + 0.32193161f;
    return Float(__builtin_convertvector(exponent, Lanes)) + m * (low + square * (middle + square * high));
}
INLINE Float pow(Float x, Float y) { return exp2(y * log2(x)); }

INLINE Float sin_of_turns(Float turns) {
    const Float q = turns - nearest(turns);
    const Float t = q * q;
    const Float low = t * -16.1975923f + 6.28303867f, high = t * -8.11517419f + 16.5500011f;
    return (q - q * t * 4.0f) * (low + t * t * high);
}
INLINE Float sin(Float x) { return sin_of_turns(x * 0.159154943f); }
INLINE Float cos(Float x) { return sin_of_turns(x * 0.159154943f + 0.25f); }

INLINE Float tanh(Float x) { return Float(1.0f) - Float(2.0f) / (exp(x * 2.0f) + 1.0f); }

INLINE Float atan(Float y, Float x) {
    const Float ax = abs(x), ay = abs(y);
    const Float s = min(ax, ay) / max(max(ax, ay), 1e-30f);
    const Float t = s * s;
    Float p = -0.01181771f;
    p = p * t + 0.05293096f;
    p = p * t - 0.11672791f;
    p = p * t + 0.19368426f;
    p = p * t - 0.33265227f;
    p = p * t + 0.99997911f;
    p = p * s;
    p = select(ay > ax, Float(1.57079633f) - p, p);
    p = select(x < Float(0.0f), Float(3.14159265f) - p, p);
    return select(y < Float(0.0f), -p, p);
}

// Differences between neighbours in a square of two by two pixels, to the right and down.
INLINE Float dFdx(Float x) {
    return __builtin_shufflevector(x.v, x.v, 1, 1, 3, 3, 5, 5, 7, 7, 9, 9, 11, 11, 13, 13, 15, 15) -
           __builtin_shufflevector(x.v, x.v, 0, 0, 2, 2, 4, 4, 6, 6, 8, 8, 10, 10, 12, 12, 14, 14);
}
INLINE Float dFdy(Float x) {
    return __builtin_shufflevector(x.v, x.v, 4, 5, 6, 7, 4, 5, 6, 7, 12, 13, 14, 15, 12, 13, 14, 15) -
           __builtin_shufflevector(x.v, x.v, 0, 1, 2, 3, 0, 1, 2, 3, 8, 9, 10, 11, 8, 9, 10, 11);
}

// Column and row of each pixel in its block.
INLINE Float block_columns() { return Lanes{0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3}; }
INLINE Float block_rows() { return Lanes{0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3}; }

INLINE float mean(Lanes values) {
    typedef float Line __attribute__((vector_size(16)));
    Line lines[4];
    std::memcpy(lines, &values, sizeof lines);
    const Line sums = (lines[0] + lines[1]) + (lines[2] + lines[3]);
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) / 16;
}

// 32 random bits for a point of the integer lattice.
struct Bits {
    BitLanes v;
};
INLINE BitLanes scrambled(BitLanes h) {
    h *= 0x2c1b3c6du;
    h ^= h >> 15;
    h *= 0x297a2d39u;
    return h ^ (h >> 15);
}
INLINE BitLanes lattice(Float x) { return (BitLanes)__builtin_convertvector(x.v, IntLanes); }
INLINE Bits hash(Float i, Float j, int seed) {
    return {scrambled(lattice(i) * 0x9e3779b1u + lattice(j) * 0x85ebca77u + (uint32_t)seed * 0xc2b2ae3du)};
}
INLINE Float low(Bits bits) { return __builtin_convertvector((IntLanes)(bits.v & 0xffffu), Lanes) * (1.0f / 65536.0f); }
INLINE Float high(Bits bits) { return __builtin_convertvector((IntLanes)(bits.v >> 16), Lanes) * (1.0f / 65536.0f); }

struct vec3 {
    float x, y, z;
    vec3() = default;
    vec3(float x, float y, float z) : x(x), y(y), z(z) {}
};
struct Vec2 {
    Float x, y;
    Vec2() = default;
    Vec2(Float x, Float y) : x(x), y(y) {}
};
struct Vec3 {
    Float x, y, z;
    Vec3() = default;
    Vec3(Float x, Float y, Float z) : x(x), y(y), z(z) {}
    Vec3(vec3 same) : x(same.x), y(same.y), z(same.z) {}
};
struct Vec4 {
    Float x, y, z, w;
    Vec4() = default;
    Vec4(Float x, Float y, Float z, Float w) : x(x), y(y), z(z), w(w) {}
};

#define OPERATOR(op)                                                                                              \
    INLINE Vec2 operator op(Vec2 a, Vec2 b) { return {a.x op b.x, a.y op b.y}; }                                  \
    INLINE Vec2 operator op(Vec2 a, Float b) { return {a.x op b, a.y op b}; }                                     \
    INLINE Vec3 operator op(Vec3 a, Vec3 b) { return {a.x op b.x, a.y op b.y, a.z op b.z}; }                      \
    INLINE Vec3 operator op(Vec3 a, Float b) { return {a.x op b, a.y op b, a.z op b}; }                           \
    INLINE Vec3 &operator op##=(Vec3 &a, Vec3 b) { return a = a op b; }                                           \
    INLINE Vec3 &operator op##=(Vec3 &a, Float b) { return a = a op b; }                                          \
    INLINE vec3 operator op(vec3 a, vec3 b) { return {a.x op b.x, a.y op b.y, a.z op b.z}; }                      \
    INLINE vec3 operator op(vec3 a, float b) { return {a.x op b, a.y op b, a.z op b}; }
OPERATOR(+)
OPERATOR(-)
OPERATOR(*)
OPERATOR(/)
#undef OPERATOR

// What a painting is made from; `painter.py` fills it in. The order of fields is that of `parameters.FIELDS`.
struct Parameters {
    float c[8], m[8], f[8];
    vec3 ramp[9], tone[9];
    vec3 dark, shadow, body, accent, light, twin, sun;
};
typedef const Parameters &Latents;

struct Table {
    const float *values;
    int32_t rows, columns;
};

struct Place {
    Float x, y;
    float px, right, bottom;
    Table table;
};

INLINE Lanes gather(const float *values, IntLanes index) {
#if defined(__AVX512F__)
    return (Lanes)_mm512_mask_i32gather_ps(__m512{}, 0xffff, (__m512i)index, values, 4);
#else
    Lanes found{};
    for (int lane = 0; lane < 16; lane++) found[lane] = values[index[lane]];
    return found;
#endif
}

INLINE Float table_between(const Table &table, Float i, Float j, Float u, Float v) {
    const IntLanes index = __builtin_convertvector(j.v * (float)table.columns + i.v, IntLanes);
    const Float top_left = gather(table.values, index), top_right = gather(table.values + 1, index);
    const Float bottom_left = gather(table.values + table.columns, index);
    const Float bottom_right = gather(table.values + table.columns + 1, index);
    const Float above = top_left + (top_right - top_left) * u;
    const Float below = bottom_left + (bottom_right - bottom_left) * u;
    return above + (below - above) * v;
}

// The table at (x, y), in entries of the table, linear between them; its edges are repeated outside.
INLINE Float table_linear(const Table &table, Float x, Float y) {
    x = min(max(x, 0.0f), table.columns - 1.001f);
    y = min(max(y, 0.0f), table.rows - 1.001f);
    return table_between(table, floor(x), floor(y), fract(x), fract(y));
}

// The same with smooth steps between the entries.
INLINE Float table_value(const Table &table, Float x, Float y) {
    x = min(max(x, 0.0f), table.columns - 1.001f);
    y = min(max(y, 0.0f), table.rows - 1.001f);
    const Float u = fract(x), v = fract(y);
    return table_between(table, floor(x), floor(y), u * u * (Float(3.0f) - u * 2.0f), v * v * (Float(3.0f) - v * 2.0f));
}

// ---- blocks of 4 x 4 pixels of planes with rows x columns pixels, both multiples of 4

INLINE Float row_places(int32_t row, int32_t height, float px) {
    return (block_rows() + (float)row + (0.5f - 0.5f * height)) * px;
}
INLINE Float column_places(int32_t column, int32_t width, float px) {
    return (block_columns() + (float)column + (0.5f - 0.5f * width)) * px;
}

INLINE Place first_place(int32_t row, int32_t height, int32_t width) {
    Place p;
    p.px = 2.0f / (height < width ? height : width);
    p.right = 0.5f * width * p.px;
    p.bottom = 0.5f * height * p.px;
    p.x = column_places(0, width, p.px);
    p.y = row_places(row, height, p.px);
    p.table = {nullptr, 0, 0};
    return p;
}

INLINE Vec3 load_block(const float *planes, int32_t row, int32_t column, int32_t rows, int32_t columns) {
    Lanes values[3];
    for (int channel = 0; channel < 3; channel++) {
        const float *from = planes + (channel * (int64_t)rows + row) * columns + column;
        for (int line = 0; line < 4; line++)
            std::memcpy((char *)&values[channel] + 16 * line, from + (int64_t)line * columns, 16);
    }
    return {values[0], values[1], values[2]};
}

INLINE void store_block(float *planes, Vec3 colour, int32_t row, int32_t column, int32_t rows, int32_t columns) {
    const Lanes values[3] = {colour.x.v, colour.y.v, colour.z.v};
    for (int channel = 0; channel < 3; channel++) {
        float *to = planes + (channel * (int64_t)rows + row) * columns + column;
        for (int line = 0; line < 4; line++)
            std::memcpy(to + (int64_t)line * columns, (const char *)&values[channel] + 16 * line, 16);
    }
}

// Writes the block's mean to planes with a pixel for each block.
INLINE void store_mean(float *planes, Vec3 colour, int32_t row, int32_t column, int32_t rows, int32_t columns) {
    const Lanes values[3] = {colour.x.v, colour.y.v, colour.z.v};
    for (int channel = 0; channel < 3; channel++)
        planes[(channel * (int64_t)(rows / 4) + row / 4) * (columns / 4) + column / 4] = mean(values[channel]);
}

}  // namespace painter
