// Liquid metal under a film of oil: folds that mirror a dark studio with a few lamps.
#include "slopes.glsl"

// Rises from 0 at a to 1 at b, more slowly where a pixel spans more than that.
Float lamp_edge(float a, float b, Float x, Float w) {
    Float half_width = max(0.5f * abs(b - a), w);
    float up = (b - a) / abs(b - a);
    Float t = clamp01(0.5f + 0.5f * up * (x - 0.5f * (a + b)) / half_width);
    return t * t * (3.0f - 2.0f * t);
}

// A wave of period 1 from 0 to 1 and back.
Float lapping(Float turns) {
    Float f = turns - floor(turns);
    return squared(4.0f * f * (1.0f - f));
}

Vec3 metal(Place p, Latents z) {
    Vec2 at = focused(p, z, 0.55f, 0.3f);
    float wide = span(z.c[2], 0.9f, 1.35f);
    Float pool = bell(length2(at.x, at.y) / wide);
    Float pool_x = -2.0f / (wide * wide) * at.x * pool;
    Float pool_y = -2.0f / (wide * wide) * at.y * pool;

    // The plane folded by shears, with its slopes (ux, uy), (vx, vy).
    Float u = at.x;
    Float v = at.y;
    Float ux = 1.0f;
    Float uy = 0.0f;
    Float vx = 0.0f;
    Float vy = 1.0f;
    float amplitude = span(z.c[3], 0.24f, 0.42f);
    float frequency = 1.6f;
    UNROLL for (int k = 0; k < 4; k++) {
        float turn = 2.4f * float(k) + 0.5f * z.c[4 + k % 4];
        float c = cos(turn);
        float s = sin(turn);
        Float phase = frequency * (u * c + v * s) + 1.7f * float(k) + 1.3f * z.c[4 + (k + 1) % 4];
        Float wave = sin(phase);
        Float reach = amplitude * (0.3f + 0.7f * pool);
        Float steep = amplitude * frequency * (0.3f + 0.7f * pool) * cos(phase);
        Float dx = steep * (c * ux + s * vx) + 0.7f * amplitude * pool_x * wave;
        Float dy = steep * (c * uy + s * vy) + 0.7f * amplitude * pool_y * wave;
        u -= s * reach * wave;
        v += c * reach * wave;
        ux -= s * dx;
        uy -= s * dy;
        vx += c * dx;
        vy += c * dy;
        amplitude *= 0.86f;
        frequency *= 1.32f;
    }

    Vec3 coarse = creased(sloped_noise(u * 0.72f + z.c[5], v * 0.72f, 4, z.m[4]), 0.35f, 0.03f);
    Vec3 fine = creased(sloped_noise(1.2f * u - 0.9f * v + 5.3f, 0.9f * u + 1.2f * v + 1.7f, 5, 1.3f * z.m[4]), 0.2f, 0.03f);
    float small = span(z.m[5], 0.2f, 0.42f);
    Float h = coarse.x + small * fine.x;
    Float hu = 0.72f * coarse.y + small * (1.2f * fine.y + 0.9f * fine.z);
    Float hv = 0.72f * coarse.z + small * (1.2f * fine.z - 0.9f * fine.y);
    Float relief = span(z.m[0], 0.75f, 1.15f) * (0.25f + 0.75f * pool);
    Float nx = -relief * (hu * ux + hv * vx);
    Float ny = -relief * (hu * uy + hv * vy);
    Float nz = inversesqrt(1.0f + nx * nx + ny * ny);
    Float edge = (1.0f - nz) * sqrt(1.0f - nz);

    // The direction that is mirrored: a to the right, b down. The studio turns with the sun.
    float lean = -1.2f * z.sun.x;
    float c = cos(lean);
    float s = sin(lean);
    Float shimmer = ruffle(p);
    Float trembling = 0.004f * shimmer;
    Float a = 2.0f * nz * nz * (nx * c - ny * s) + trembling;
    Float b = 2.0f * nz * nz * (nx * s + ny * c) + trembling;
    Float wa = 1.2f * footprint(a);
    Float wb = 1.2f * footprint(b);
    Float box = lamp_edge(-0.30f, -0.36f, b, wb) * (0.15f + 0.85f * rise(-1.0f, -0.36f, b)) *
                (0.25f + 0.75f * rise(-0.8f, 0.5f, a));
    Float bars = lapping(1.43f * a + 0.32f * b + 0.5f) * rise(0.35f, 0.1f, wa);
    box = box * (0.35f + 0.65f * bars);
    Float above = lamp_edge(0.23f, 0.20f, b, wb);
    Float side = above * lamp_edge(0.38f, 0.43f, a, wa) * squared(rise(0.85f, 0.38f, a)) * rise(-0.32f, -0.1f, b) *
                 rise(0.24f, 0.0f, b);
    Float sky = above * exp(min(b - 0.2f, 0.0f) * 10.0f) * (0.25f + 0.75f * rise(0.5f, -0.7f, a));
    Float wall = squared(rise(-0.45f, 0.3f, b) * above);
    Float ground = squared(rise(0.3f, 1.0f, b));
    Float spread = 0.1f / max(0.1f, max(wa, wb));
    Float lamp = bell(length2(a + 0.2f, b + 0.62f) * 10.0f * spread) * spread;

    // A thin film drains downhill; three wavelengths interfere in it.
    Float oil = noise(u * 1.2f, v * 1.2f, 21, z.m[2]);
    Float thick = span(z.m[1], 0.6f, 1.1f) + 0.16f * h + 0.15f * oil + 0.55f * (1.0f - nz) + 0.12f * (a - b) + 0.012f * shimmer;
    Vec3 film = Vec3(lapping(1.3f / 0.63f * thick), lapping(1.3f / 0.53f * thick), lapping(1.3f / 0.45f * thick));
    Vec3 tint = blend3(Vec3(1.0f, 1.0f, 1.0f), film * 1.6f + Vec3(0.25f, 0.25f, 0.25f), span(z.m[3], 0.12f, 0.6f));
    Vec3 sheen = ramp(z, 0.16f + 0.64f * lapping(1.5f * thick));

    Vec3 colour = ramp(z, 0.30f + 0.70f * box + 0.6f * sky) * tint * (2.4f * box + 2.2f * sky);
    colour += tint * blend3(z.accent, z.light, 0.5f * side * side) * (2.4f * side);
    colour += tint * blend3(sheen, z.body, 0.4f) * (ground + 0.4f * edge);
    colour += tint * blend3(z.shadow, sheen, 0.25f) * (0.03f + 0.30f * wall);
    colour += z.light * (4.0f * lamp);
    return colour * ((0.2f + pool) * (1.0f + 0.1f * shimmer));
}
