// Threads of light, strung in sheets that sway and fold over dark space; pulses run along them.
#include "sheets.glsl"

// Brightness of the threads at a root t of the sheet v = a + b t + c t^2. `steep` is 1 / sqrt(1 + the threads' slope^2),
// `beyond` the distance along v from the fold to a place beyond it, `there` how much of the pixel is not.
Float strung(Float t, Float b, Float c, Float beyond, Float there, Float u, Float s, Float steep, float count,
             float width, float spread, Float phase, int k, float px) {
    Float place = count * (0.5f * t + 0.5f);
    Float i = floor(place);
    Float its_t = (2.0f / count) * (i + 0.5f) - 1.0f;
    Float gap = (2.0f / count) * s * steep;
    Float apart = rise(1.0f, 3.2f, gap / px);
    Float kind = blend(0.5f, chance(i, 0.0f, k), apart);
    Float own = width * (0.55f + 0.9f * kind * kind);
    Float e = max(own, 0.9f * px);
    Float away = squared((abs((t - its_t) * (b + c * (t + its_t))) + beyond) * steep / e);
    Float glow = squared(1.0f - squared(2.0f * (place - i) - 1.0f));  // none where the next thread's place begins
    Float one = (own / e) * (exp2(-1.4f * away) + 0.06f * glow * exp2(-0.022f * away));
    Float many = 2.6f * own * inversesqrt(gap * gap + 0.25f * px * px) * there;
    Float pulse = 0.5f + 0.5f * sin(1.9f * u + spread * kind + phase);
    Float strength = (0.10f + 0.90f * kind * kind + 0.20f * (1.0f - apart)) * (0.16f + 1.1f * pulse * pulse);
    return (blend(many, one, rise(2.0f, 4.5f, gap / e)) * strength + 0.06f * many) * rise(1.0f, 0.84f, abs(t));
}

Vec3 threads(Place p, Latents z) {
    Vec2 at = focused(p, z, 0.60f, 0.30f);
    Float r2 = at.x * at.x + at.y * at.y;
    Float pool = exp(-0.9f * r2);
    Vec3 colour = z.dark * 0.25f + z.shadow * (0.10f * pool * pool) + z.accent * (0.012f * pool * pool);
    Float ruffled = ruffle(p);
    Float glitter = 1.0f + 0.18f * ruffled;
    UNROLL for (int k = 0; k < 4; k++) {
        float o = float(k);
        float f = 1.25f + 0.22f * o;
        float g = 2.5f + 0.31f * o;
        float one = 1.1f * z.c[4 + k % 4] + 1.7f * o;
        float two = 1.1f * z.c[4 + (k + 1) % 4] + 2.9f * o;
        float three = 1.1f * z.c[4 + (k + 2) % 4] - 1.3f * o;
        Vec2 q = turned(at.x, at.y, 0.55f * z.c[2] + (o - 1.5f) * span(z.c[3], 0.22f, 0.80f));
        Float u = q.x;
        Vec4 w = two_waves(u, f, g);
        Float a = wave(w, 0.34f, one, 0.15f, two) + 0.20f * sin(2.0f * o + 1.0f);
        Float b = wave(w, 0.36f, two, 0.20f, three);
        Float c = wave(w, 0.28f, three, 0.12f, one);
        Float slope_a = wave_slope(w, f, g, 0.34f, one, 0.15f, two);
        Float slope_b = wave_slope(w, f, g, 0.36f, two, 0.20f, three);
        Float slope_c = wave_slope(w, f, g, 0.28f, three, 0.12f, one);
        Vec4 at_v = roots(q.y + 0.0012f * ruffled, a, b, c);
        Float inside = at_v.w * (4.0f * abs(c) + 1e-4f);
        Float fold = max(footprint(inside), 4.0f * abs(c) * p.px);
        Float s = sqrt(at_v.z * at_v.z + 1.5f * fold);  // the mean over a fold's pixel
        float count = span(z.m[0], 22.0f, 52.0f) * (1.0f - 0.13f * o);
        float width = span(z.m[1], 0.0014f, 0.0027f) * (1.0f + 0.25f * o);
        float spread = TAU * span(z.m[2], 0.1f, 0.7f);
        Float phase = 2.0f * z.m[3] + 1.9f * o + 0.7f * ruffled;
        // Light is dense at a fold, and white.
        Float there = squared(cover(inside - 0.7f * fold, 3.0f * fold));
        Float beyond = max(-at_v.w, 0.0f);
        Float t = at_v.x;
        Float slope = slope_a + (slope_b + slope_c * t) * t;
        Float light = strung(t, b, c, beyond, there, u, s, inversesqrt(1.0f + slope * slope), count, width, spread,
                             phase, k, p.px);
        t = at_v.y;
        slope = slope_a + (slope_b + slope_c * t) * t;
        light += strung(t, b, c, beyond, there, u, s, inversesqrt(1.0f + slope * slope), count, width, spread,
                        phase, k, p.px);
        // Both roots lie on the same thread where it touches the fold.
        light = light * blend(0.5f, 1.0f, rise(0.3f, 1.3f, 0.5f * count * abs(at_v.x - at_v.y) + 1.0f - there));
        float blurred = 1.0f - width / max(width, 0.9f * p.px);
        light = light * ((0.10f + 0.40f * exp(-0.25f * r2) + 0.9f * pool) * glitter);
        light = light / (1.0f + 0.5f * blurred * light);  // a bright line would not be as bright if wide
        Float warmth = rise(-0.7f, 0.7f, sin(0.9f * u + 1.3f * o + z.f[5]));
        Vec3 tint = blend3(z.body * (1.5f * float(k % 2)) + z.accent * (1.2f * float(1 - k % 2)),
                           z.twin * (0.9f * float(k % 2)) + z.body * (1.3f * float(1 - k % 2)), 0.75f * warmth);
        colour += blend3(tint, z.light, 0.8f * rise(0.25f, 1.3f, light)) * (2.6f * light);
    }
    return colour;
}
