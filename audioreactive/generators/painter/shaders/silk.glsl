// Veils of silk in the dark: sheets that fold over in two sheets, combed by threads, their hems lit.
#include "slopes.glsl"

Vec3 silk(Place p, Latents z) {
    Vec2 at = focused(p, z, 0.5f, 0.3f);
    float ruffled = span(z.c[4], 0.45f, 0.75f);
    Float shimmer = ruffle(p);
    Float glow = bell(length2(at.x, at.y) / 0.9f);
    Vec3 colour = z.dark * 0.25f + z.shadow * (0.15f * glow);
    UNROLL for (int k = 0; k < 4; k++) {
        // A veil hangs across the direction v; each is turned a little against the one behind it.
        float depth = float(k) / 3.0f;
        float turn = 1.2f * z.c[2] + 0.35f * sin(1.9f * float(k) + z.c[3]);
        Vec2 place = turned(at.x, at.y, turn);
        float f = ruffled * (1.25f - 0.1f * float(k));
        Vec3 bend = sloped_noise(place.x * f + 3.0f * float(k), place.y * f * 1.2f, 10 * k, z.c[5] + float(k));
        Float w1 = bend.x;
        Float w2 = clouds(place.x * f * 0.8f + 0.8f * w1, place.y * f * 1.3f + 4.7f - 0.7f * w1, 2, 10 * k + 3, z.c[6] + 0.5f * float(k));
        Float along = place.x + 0.7f * w1;
        Float across = place.y * span(z.m[0], 0.8f, 1.2f) + 0.95f * w2 + 0.37f * float(k) + 0.25f * z.c[7];
        Float i = floor(across);
        Float g = across - i;
        Float w = footprint(across);
        w = min(w, 0.2f);
        Float strong = (0.35f + 0.65f * chance(i, float(k), 5)) * bell((place.y - 0.5f * w1) / 0.85f) * bell(place.x / 1.6f) *
                       rise(-0.7f, 0.4f, w1);
        Float hem = rise(0.0f, 0.015f + w, g);
        Float fold = hem * exp(-g * span(z.m[1], 2.4f, 4.0f)) * rise(1.0f, 0.6f, g);
        Float edge = hem * exp(-g * 26.0f) * clamp01(0.03f / (w + 0.01f));
        // Threads run along the fold; feathers comb away from its edge.
        Float threads = noise(across * 34.0f, along * 1.1f, 60 + k, z.m[2]) * rise(0.03f, 0.01f, w);
        Float feathers = noise(along * 11.0f + 3.0f * w2, g * 2.0f - along * 2.0f, 80 + k, z.m[3]) +
                         0.7f * detail(along * 31.0f + 7.0f * w2, g * 3.0f - along * 5.0f, 84 + k, z.m[3]);
        Float weave = max(0.72f + span(z.m[4], 0.2f, 0.6f) * threads + span(z.m[5], 0.2f, 0.8f) * feathers * rise(0.0f, 0.25f, g) +
                          0.06f * shimmer, 0.03f);
        Float body = fold * strong;
        colour = colour * (1.0f - 0.9f * min(1.2f * body, 0.85f));
        Float t = min(0.22f + 0.10f * float(k) + 0.50f * body * weave + 0.16f * w2, 0.95f);
        colour += ramp(z, t) * (2.3f * body * weave);
        colour += blend3(z.accent, z.light, 0.5f) * (edge * strong * weave * sqrt(weave) * span(z.f[5], 0.5f, 1.2f));
    }
    return colour;
}
