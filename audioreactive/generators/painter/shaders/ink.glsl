// Ink on dark water, marbled: bands of colour, hairlines of accent between them, veins inside.
#include "stripe.glsl"

Vec3 ink(Place p, Latents z) {
    Vec2 at = focused(p, z, 0.62f, 0.34f);
    Float r = length2(at.x, at.y);
    Float pond = bell(r / span(z.c[2], 0.8f, 1.3f));
    float k = span(z.m[0], 1.9f, 2.7f);
    Float shimmer = ruffle(p);
    Float trembling = 0.0008f * shimmer;
    Vec2 fold = folded(at.x + trembling, at.y - trembling, z, span(z.c[3], 1.35f, 1.85f) / k * (0.32f + 0.68f * pond), k, 10, 1.10f);
    Float u = fold.x;
    Float v = fold.y;
    float a = 1.5f * z.c[4];
    Float s = (u * cos(a) + v * sin(a)) * span(z.m[1], 3.2f, 5.2f) + 0.5f * noise(u * 0.9f, v * 0.9f, 3, z.c[5]);
    s = s + 0.30f * sin(1.9f * s);
    Float sx = dFdx(s);
    Float sy = dFdy(s);
    Float w = length2(sx, sy);
    Float per = 1.0f / (w + 1e-6f);
    Float i = floor(s);
    Float f = s - i;
    Float e = rise(0.0f, 1.0f, (f - 1.0f) / (1.5f * w + 0.02f) + 1.0f);
    Float here = chance(i, 0.0f, 11);
    Float next = chance(i + 1.0f, 0.0f, 11);
    Float band = blend(here, next, e);
    band = band * (0.72f + 0.28f * band);
    Float near = min(f, 1.0f - f);
    Float clear = rise(0.6f, 0.2f, w);
    Float wide_veins = rise(0.08f, 0.03f, w);
    Float veins = cos(TAU * 6.0f * s) * wide_veins + 0.7f * cos(TAU * 17.0f * s + 2.0f) * rise(0.03f, 0.012f, w);
    Float grain = detail(u * 24.0f, v * 24.0f, 50, z.m[2]);
    Float pool = rise(0.05f, 0.6f, pond + 0.25f * noise(at.x * 1.4f, at.y * 1.4f, 8, z.c[6]));
    Float shade = 0.06f + 0.86f * band + 0.10f * f + 0.06f * veins * pool + (0.03f + 0.04f * shimmer) * grain;
    shade = blend(0.34f, shade, clear);
    Vec3 colour = ramp(z, shade * (0.15f + 0.85f * pool)) * (0.30f + 1.05f * pool);

    // Each band is rounded like a thread of glass: its slope runs along the change of s, steep at its rims.
    Float rim = 2.0f * f - 1.0f;
    Float tilt = (0.75f * rim * rim * rim + 0.22f * sin(TAU * 6.0f * s) * wide_veins) * clear;
    Float toward = -tilt * (sx * z.sun.x + sy * z.sun.y) * per;
    Float lit_side = clamp01(0.9f + 0.75f * toward);
    Float gloss = squared(clamp01(1.0f - 9.0f * squared(toward - 0.34f)));
    colour = colour * (0.35f + 0.75f * lit_side) * (0.55f + 0.55f * rise(0.0f, 0.35f, near + 0.12f * (1.0f - clear)));
    gloss = gloss * gloss * span(z.f[5], 0.5f, 1.8f) * pool;
    colour += (colour * 1.2f + z.light * (0.16f * band * band)) * gloss;

    Float marked = select(chance(i + select(f > 0.5f, Float(1.0f), Float(0.0f)), 0.0f, 12) > 0.55f, Float(1.0f), Float(0.03f));
    Float hair = stripe(near, 0.014f, 0.9f * w) * marked * clear;
    return blend3(colour, z.accent * 1.5f + z.light * 0.4f, hair * 0.9f * pool * sqrt(pool));
}
