// IEEE 754 binary16.
#pragma once

#include <cmath>
#include <cstdint>

struct __half {
    uint16_t bits;
};

inline unsigned short __half_as_ushort(__half value) { return value.bits; }
inline __half __ushort_as_half(unsigned short bits) { return {bits}; }

inline float __half2float(__half value) {
    const int exponent = value.bits >> 10 & 31, mantissa = value.bits & 1023;
    float size;
    if (exponent == 31)
        size = mantissa ? NAN : INFINITY;
    else
        size = exponent ? std::ldexp(1024.0f + mantissa, exponent - 25) : std::ldexp((float)mantissa, -24);
    return value.bits & 0x8000 ? -size : size;
}

inline __half __float2half_rn(float value) {
    const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
    const float size = std::fabs(value);
    if (std::isnan(value)) return {0x7fff};
    if (size >= 65520) return {(uint16_t)(sign | 0x7c00)};
    if (size < 0x1p-14f) return {(uint16_t)(sign | (int)std::nearbyint(std::ldexp(size, 24)))};
    const int exponent = std::ilogb(size), mantissa = (int)std::nearbyint(std::ldexp(size, 10 - exponent));
    return {(uint16_t)(sign | (((exponent + 15) << 10) + mantissa - 1024))};
}
