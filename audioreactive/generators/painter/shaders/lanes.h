// The shaders' types and functions in C++: a `Float` holds a block of 4 x 4 pixels, one pixel a lane, row by row, in as
// many registers as the chip needs for 16 numbers. `float` is uniform: the same for all pixels.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 64")
#endif
#define INLINE static inline __attribute__((always_inline))
#define EXPORT extern "C" __attribute__((visibility("default")))
#define EACH(result, ...) __VA_ARGS__ __attribute__((always_inline)) { return result; }

namespace painter {

// Numbers in one register. Vectors that are longer than a register are taken apart badly by compilers: `?:` number by
// number, for instance. So that is done here.
#if defined(__AVX512F__)
#define REGISTER 64
#elif defined(__AVX2__)
#define REGISTER 32
#else
#define REGISTER 16
#endif
typedef float Part __attribute__((vector_size(REGISTER)));
typedef int32_t IntPart __attribute__((vector_size(REGISTER)));
typedef uint32_t BitPart __attribute__((vector_size(REGISTER)));

template <typename Half> struct Pair {
    Half first, second;
};
template <typename T> constexpr bool paired = false;
template <typename Half> constexpr bool paired<Pair<Half>> = true;

#if REGISTER == 64
typedef Part Lanes;
typedef IntPart IntLanes;
typedef BitPart BitLanes;
#elif REGISTER == 32
typedef Pair<Part> Lanes;
typedef Pair<IntPart> IntLanes;
typedef Pair<BitPart> BitLanes;
#else
typedef Pair<Pair<Part>> Lanes;
typedef Pair<Pair<IntPart>> IntLanes;
typedef Pair<Pair<BitPart>> BitLanes;
#endif

template <typename Half> INLINE Pair<Half> joined(Half first, Half second) { return {first, second}; }

// Applies a function of registers to all registers of some values.
template <typename Function, typename T, typename... More> INLINE auto each(Function function, T x, More... more) {
    if constexpr (paired<T>)
        return joined(each(function, x.first, more.first...), each(function, x.second, more.second...));
    else
        return function(x, more...);
}

template <typename T> INLINE T filled(float value) {
    if constexpr (paired<T>) {
        const auto half = filled<decltype(T::first)>(value);
        return {half, half};
    } else {
        return value - T{};
    }
}

INLINE IntLanes whole_numbers(Lanes x) {
    return each(EACH(__builtin_convertvector(x, IntPart), [](Part x)), x);
}
INLINE Lanes numbers(IntLanes x) {
    return each(EACH(__builtin_convertvector(x, Part), [](IntPart x)), x);
}

struct Mask {
    IntLanes v;
};

struct Float {
    Lanes v;
    Float() = default;
    Float(Lanes v) : v(v) {}
    Float(float value) : v(filled<Lanes>(value)) {}
};

#define OPERATOR(op)                                                                                          \
    INLINE Float operator op(Float a, Float b) { return each(EACH(a op b, [](Part a, Part b)), a.v, b.v); }   \
    INLINE Float &operator op##=(Float &a, Float b) { return a = a op b; }
OPERATOR(+)
OPERATOR(-)
OPERATOR(*)
OPERATOR(/)
#undef OPERATOR
INLINE Float operator-(Float a) {
    return each(EACH(-a, [](Part a)), a.v);
}

#define COMPARISON(op)                                                                   \
    INLINE Mask operator op(Float a, Float b) {                                          \
        return {each(EACH((IntPart)(a op b), [](Part a, Part b)), a.v, b.v)};            \
    }
COMPARISON(<)
COMPARISON(>)
COMPARISON(<=)
COMPARISON(>=)
#undef COMPARISON

INLINE Float select(Mask mask, Float yes, Float no) {
    return each(EACH(mask ? yes : no, [](IntPart mask, Part yes, Part no)), mask.v, yes.v, no.v);
}
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
#if REGISTER == 64
INLINE Part least(Part a, Part b) { return (Part)_mm512_min_ps((__m512)a, (__m512)b); }
INLINE Part largest(Part a, Part b) { return (Part)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE Part down(Part x) { return (Part)_mm512_roundscale_ps((__m512)x, 9); }
INLINE Part rounded(Part x) { return (Part)_mm512_roundscale_ps((__m512)x, 8); }
INLINE Part scaled(Part x, Part whole) { return (Part)_mm512_scalef_ps((__m512)x, (__m512)whole); }
// Newton's step after an estimate to 14 bits.
INLINE Part inverse_root(Part x) {
    x = largest(x, 1e-37f - Part{});
    const Part y = (Part)_mm512_rsqrt14_ps((__m512)x);
    return y * (1.5f - x * 0.5f * y * y);
}
INLINE Part root(Part x) { return x * inverse_root(x); }
INLINE Part gathered(const float *values, IntPart index) {
    return (Part)_mm512_mask_i32gather_ps(__m512{}, 0xffff, (__m512i)index, values, 4);
}
#else
// Exact roots: estimates differ from maker to maker.
#if REGISTER == 32
INLINE Part least(Part a, Part b) { return (Part)_mm256_min_ps((__m256)a, (__m256)b); }
INLINE Part largest(Part a, Part b) { return (Part)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE Part down(Part x) { return (Part)_mm256_round_ps((__m256)x, 9); }
INLINE Part rounded(Part x) { return (Part)_mm256_round_ps((__m256)x, 8); }
INLINE Part root(Part x) { return (Part)_mm256_sqrt_ps((__m256)x); }
INLINE Part gathered(const float *values, IntPart index) {
    return (Part)_mm256_i32gather_ps(values, (__m256i)index, 4);
}
#else
INLINE Part least(Part a, Part b) { return a < b ? a : b; }
INLINE Part largest(Part a, Part b) { return a > b ? a : b; }
INLINE Part down(Part x) {
    const Part whole = __builtin_convertvector(__builtin_convertvector(x, IntPart), Part);
    return whole + __builtin_convertvector((IntPart)(x < whole), Part);
}
INLINE Part rounded(Part x) { return down(x + 0.5f); }
INLINE Part root(Part x) { return Part{std::sqrt(x[0]), std::sqrt(x[1]), std::sqrt(x[2]), std::sqrt(x[3])}; }
INLINE Part gathered(const float *values, IntPart index) {
    return Part{values[index[0]], values[index[1]], values[index[2]], values[index[3]]};
}
#endif
INLINE Part inverse_root(Part x) { return 1.0f / root(x); }
INLINE Part scaled(Part x, Part whole) {
    whole = least(largest(whole, -126.0f - Part{}), 126.0f - Part{});
    return x * (Part)((BitPart)(__builtin_convertvector(whole, IntPart) + 127) << 23);
}
#endif
INLINE Float min(Float a, Float b) {
    return each(EACH(least(a, b), [](Part a, Part b)), a.v, b.v);
}
INLINE Float max(Float a, Float b) {
    return each(EACH(largest(a, b), [](Part a, Part b)), a.v, b.v);
}
INLINE Float abs(Float x) {
    return each(EACH((Part)((BitPart)x & 0x7fffffffu), [](Part x)), x.v);
}
INLINE Float floor(Float x) {
    return each(EACH(down(x), [](Part x)), x.v);
}
INLINE Float nearest(Float x) {
    return each(EACH(rounded(x), [](Part x)), x.v);
}
INLINE Float times_power(Float x, Float whole) {
    return each(EACH(scaled(x, whole), [](Part x, Part whole)), x.v, whole.v);
}
INLINE Float sqrt(Float x) {
    return each(EACH(root(x), [](Part x)), x.v);
}
INLINE Float inversesqrt(Float x) {
    return each(EACH(inverse_root(x), [](Part x)), x.v);
}
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
    x = max(x, 1.2e-38f);
    // So that the mantissa is about 0.7 to 1.4.
    const IntLanes exponent = each(EACH((IntPart)(((BitPart)x + 0x004afb0du) >> 23) - 127, [](Part x)), x.v);
    const Float m = Float(each(EACH((Part)((BitPart)x - ((BitPart)exponent << 23)), [](Part x, IntPart exponent)), x.v,
                               exponent)) - 1.0f;
    const Float square = m * m, low = m * -0.72113953f + 1.44271236f, middle = m * -0.36737274f + 0.47937919f;
    const Float high = m * -0.20684443f + 0.32193161f;
    return Float(numbers(exponent)) + m * (low + square * (middle + square * high));
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
#if REGISTER == 64
#define SHUFFLED(x, ...) __builtin_shufflevector(x, x, __VA_ARGS__)
INLINE Float dFdx(Float x) {
    return SHUFFLED(x.v, 1, 1, 3, 3, 5, 5, 7, 7, 9, 9, 11, 11, 13, 13, 15, 15) -
           SHUFFLED(x.v, 0, 0, 2, 2, 4, 4, 6, 6, 8, 8, 10, 10, 12, 12, 14, 14);
}
INLINE Float dFdy(Float x) {
    return SHUFFLED(x.v, 4, 5, 6, 7, 4, 5, 6, 7, 12, 13, 14, 15, 12, 13, 14, 15) -
           SHUFFLED(x.v, 0, 1, 2, 3, 0, 1, 2, 3, 8, 9, 10, 11, 8, 9, 10, 11);
}
#elif REGISTER == 32
#define SHUFFLED(x, ...) __builtin_shufflevector(x, x, __VA_ARGS__)
INLINE Float dFdx(Float x) {
    return each(EACH(SHUFFLED(x, 1, 1, 3, 3, 5, 5, 7, 7) - SHUFFLED(x, 0, 0, 2, 2, 4, 4, 6, 6), [](Part x)), x.v);
}
INLINE Float dFdy(Float x) {
    return each(EACH(SHUFFLED(x, 4, 5, 6, 7, 4, 5, 6, 7) - SHUFFLED(x, 0, 1, 2, 3, 0, 1, 2, 3), [](Part x)), x.v);
}
#else  // a row of the block in each register
#define SHUFFLED(x, ...) __builtin_shufflevector(x, x, __VA_ARGS__)
INLINE Float dFdx(Float x) {
    return each(EACH(SHUFFLED(x, 1, 1, 3, 3) - SHUFFLED(x, 0, 0, 2, 2), [](Part x)), x.v);
}
INLINE Float dFdy(Float x) {
    const Part above = x.v.first.second - x.v.first.first, below = x.v.second.second - x.v.second.first;
    return Lanes{{above, above}, {below, below}};
}
#endif

INLINE Lanes read(const float *from) {
    Lanes values;
    std::memcpy(&values, from, sizeof values);
    return values;
}

// Column and row of each pixel in its block.
alignas(64) const float BLOCK_COLUMNS[16] = {0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3};
alignas(64) const float BLOCK_ROWS[16] = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3};
INLINE Float block_columns() { return read(BLOCK_COLUMNS); }
INLINE Float block_rows() { return read(BLOCK_ROWS); }

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
INLINE Bits hash(Float i, Float j, int seed) {
    const uint32_t salt = (uint32_t)seed * 0xc2b2ae3du;
    return {each(
        [salt](IntPart i, IntPart j) __attribute__((always_inline)) {
            BitPart h = (BitPart)i * 0x9e3779b1u + (BitPart)j * 0x85ebca77u + salt;
            h *= 0x2c1b3c6du;
            h ^= h >> 15;
            h *= 0x297a2d39u;
            return h ^ (h >> 15);
        },
        whole_numbers(i.v), whole_numbers(j.v))};
}
INLINE Float low(Bits bits) {
    return Float(numbers(each(EACH((IntPart)(bits & 0xffffu), [](BitPart bits)), bits.v))) * (1.0f / 65536.0f);
}
INLINE Float high(Bits bits) {
    return Float(numbers(each(EACH((IntPart)(bits >> 16), [](BitPart bits)), bits.v))) * (1.0f / 65536.0f);
}

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
    return each([values](IntPart index) __attribute__((always_inline)) { return gathered(values, index); }, index);
}

INLINE Float table_between(const Table &table, Float i, Float j, Float u, Float v) {
    const IntLanes index = whole_numbers((j * (float)table.columns + i).v);
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
