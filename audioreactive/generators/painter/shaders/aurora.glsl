// Curtains of polar light that hang, fold and lean among stars, without a horizon.
#include "sheets.glsl"
#include "stars.glsl"

// Random values at the integers, smooth between them.
Float bars(Float x, int seed) {
    Float i = floor(x);
    return blend(chance(i, 0.0f, seed), chance(i + 1.0f, 0.0f, seed), fade(x - i));
}

// Light of a curtain at a root t: in x its strength, in y the height above the curtain's lower edge. `rate` is the
// change of t from one pixel to the next.
Vec2 hung(Float t, Float y, Float rate, float edge, float wave, float phase, float tall, float fine,
          Float trembling, int k) {
    Float low_edge = edge + wave * sin(2.1f * t + phase) - 0.25f * wave * sin(5.3f * t + 1.7f * phase);
    Float h = low_edge - y;
    Float broad = bars(5.0f * t + 3.0f + phase, 20 + k);
    Float narrow = blend(0.5f, bars(fine * t + 6.0f * broad + trembling, 30 + k), rise(0.9f, 0.4f, fine * rate));
    Float hair = blend(0.5f, bars(3.3f * fine * t + 9.0f * broad - trembling, 40 + k),
                       rise(0.9f, 0.4f, 3.3f * fine * rate));
    Float ray = broad * (0.25f + 0.75f * narrow) * (0.55f + 0.75f * hair);
    Float reach = tall * (0.35f + 0.9f * broad + 0.5f * narrow);
    Float profile = rise(-0.015f, 0.05f, h) * exp(-max(h, 0.0f) / reach) +
                    0.10f * exp(min(h, 0.0f) * 7.0f) * rise(0.05f, 0.0f, h);
    return Vec2(profile * (0.10f + 1.9f * ray * sqrt(ray)) * rise(1.0f, 0.72f, abs(t)), h);
}

Vec3 aurora(Place p, Latents z) {
    Vec2 at = focused(p, z, 0.55f, 0.25f);
    Vec2 q = turned(at.x, at.y, 0.55f * tanh(z.c[2]));
    Float x = q.x + 0.2f;
    Float y = q.y;
    Float pool = exp(-0.6f * (at.x * at.x + at.y * at.y));
    Float ruffled = ruffle(p);
    Vec4 w = two_waves(y, 1.3f, 2.7f);
    Vec3 colour = z.dark * (0.20f + 0.5f * pool) + z.shadow * (0.12f * pool * pool);
    colour += z.light * (0.5f * stars(p.x + 0.05f * z.c[0], p.y + 0.05f * z.c[1], p, 0.16f, 5, 0.0018f));
    float tall = span(z.m[0], 0.28f, 0.75f);
    float fine = span(z.m[1], 14.0f, 30.0f);
    UNROLL for (int k = 0; k < 3; k++) {
        float o = float(k);
        float one = 1.0f * z.c[4 + k] + 2.1f * o;
        float two = 1.0f * z.c[4 + (k + 1) % 4] + 1.3f * o;
        float three = 1.0f * z.c[4 + (k + 2) % 4] - 1.9f * o;
        Float a = wave(w, 0.40f, one, 0.05f, two) + 0.45f * sin(2.0f * o + 0.7f * z.c[3]);
        Float b = wave(w, 0.22f, two, 0.04f, three) + 0.95f;
        Float c = wave(w, 0.30f, three, 0.05f, one) + 0.75f * cos(2.7f * o + 1.1f * z.c[4 + k]);
        Vec4 root = roots(x, a - 0.4f * c, b, c);
        Float there = rise(-0.012f, 0.03f, root.w);
        Float s = sqrt(root.z * root.z + 0.03f);
        Float rate = p.px / s;
        float edge = 0.45f - 0.30f * o + 0.22f * tanh(z.c[4 + (k + 3) % 4]);
        float phase = 1.3f * two + 0.5f * z.m[3];
        Float strength = (0.75f / (1.0f + 0.35f * o)) * there / s * (0.35f + 0.9f * pool) * (1.0f + 0.15f * ruffled);
        UNROLL for (int j = 0; j < 2; j++) {
            Float t = root.x * float(1 - j) + root.y * float(j);
            Vec2 made = hung(t, y, rate, edge, span(z.c[3], 0.10f, 0.34f), phase, tall, fine,
                             0.10f * ruffled + z.m[2], k);
            Float h = max(made.y, 0.0f);
            Vec3 tint = blend3(z.accent * 1.2f, z.body * 1.3f, rise(0.02f, 0.45f, h / (0.6f + tall)));
            tint = blend3(tint, z.twin * 0.9f, rise(0.35f, 1.2f, h / (0.6f + tall)));
            colour += (tint + z.light * (0.5f * exp(h * -16.0f))) * (made.x * strength);
        }
    }
    return colour;
}
