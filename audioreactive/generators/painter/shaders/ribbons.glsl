// Silk ribbons that sway and fold over each other in the dark; the silk is shot: its colour turns where it turns away.
#include "sheets.glsl"

// Distance along v from a ribbon at a root t, negative outside; `off` is v - A - C.
Float from_ribbon(Float t, Float off, Float b) {
    return select(abs(t) < 1.0f, Float(1.0f), -abs(off - select(t < 0.0f, -b, b)));
}

// Distance along v to the nearer hem at a root t, negative outside: exact at the hem, and not 0 where another root
// meets one, nor far from a ribbon that is pinched to a line; `off` is v - A - C.
Float to_hem(Float t, Float off, Float b, Float c) {
    Float edge = select(t < 0.0f, Float(-1.0f), Float(1.0f));
    Float inside = 1.0f - abs(t);
    Float speed = max(abs(b + 2.0f * c * edge), abs(b + c * (t + edge)));
    return min(inside * speed, select(inside < 0.0f, -abs(off - edge * b), Float(9.0f)));
}

// One layer of a ribbon at a root t: its colour in x, y, z and its coverage in w. `turn_u` and `turn_t` are the
// slopes of the cloth's height along u and t, `slope` that of v along u, `speed` that of v along t; `hem` is the
// distance to the hem along v.
Vec4 layer(Vec3 tint, Vec3 other, vec3 light, vec3 sun, Float slope, Float speed, Float turn_u, Float turn_t,
           Float hem, float opacity, Float sheen, float iridescent, float px) {
    Float nx = slope * turn_t - turn_u * speed;
    Float steep = inversesqrt(nx * nx + turn_t * turn_t + speed * speed + 1e-5f);
    steep = select(speed < 0.0f, -steep, steep);
    nx = nx * steep;
    Float ny = -turn_t * steep;
    Float nz = speed * steep;
    Float lambert = nx * sun.x + ny * sun.y + nz * sun.z;
    Float through = max(-lambert, 0.0f);
    lambert = max(lambert, 0.0f);
    float half_z = sqrt((1.0f + sun.z) * 0.5f);
    Float h = max((nx * sun.x + ny * sun.y) / (2.0f * half_z) + nz * half_z, 0.0f);
    Float satin = squared(squared(h));
    satin = squared(satin) * satin;
    Float away = squared(1.0f - nz);
    Vec3 colour = blend3(tint, other, min(iridescent * away, 1.0f)) *
                      (0.02f + 1.05f * lambert * lambert + 0.30f * through) +
                  (tint * 0.8f + light * 0.30f) * ((0.75f * satin + 0.20f * away * lambert) * sheen);
    hem = hem * inversesqrt(1.0f + slope * slope);
    colour += light * (line(hem - 0.005f, 0.0025f, px) * (0.03f + 0.35f * lambert));
    return Vec4(colour.x, colour.y, colour.z, cover(hem, px) * min(opacity + 0.5f * away, 1.0f));
}

Vec3 ribbons(Place p, Latents z) {
    Vec2 at = focused(p, z, 0.45f, 0.25f);
    Float pool = exp(-0.55f * (at.x * at.x + at.y * at.y));
    float angle = 0.5f * z.c[2];
    Vec2 q = turned(at.x, at.y, angle);
    vec3 sun = vec3(cos(angle) * z.sun.x + sin(angle) * z.sun.y, cos(angle) * z.sun.y - sin(angle) * z.sun.x, z.sun.z);
    float f = span(z.m[0], 1.0f, 1.5f);
    float g = 2.1f * f;
    Float u = q.x;
    Vec4 w = two_waves(u, f, g);
    Vec3 colour = z.dark * (0.25f + 0.6f * pool) + z.shadow * (0.25f * pool * pool);
    float opacity = span(z.m[1], 0.66f, 0.97f);
    float pleat = span(z.m[2], 0.08f, 0.6f);
    float fine = span(z.m[3], 2.5f, 7.5f);
    float bordered = max(span(z.m[5], -0.5f, 1.0f), 0.0f);
    Float ruffled = ruffle(p);
    Float sheen = (1.0f + 0.12f * ruffled) * span(z.f[5], 0.6f, 1.3f);
    UNROLL for (int k = 0; k < 4; k++) {
        float o = float(k);
        float one = 1.1f * z.c[4 + k % 4] + 1.7f * o;
        float two = 1.1f * z.c[4 + (k + 1) % 4] + 2.9f * o;
        float three = 1.1f * z.c[4 + (k + 2) % 4] - 1.3f * o + 0.5f;
        float tilt = (o - 1.5f) * span(z.c[3], 0.08f, 0.45f);
        Float a = wave(w, 0.36f, one, 0.12f, two) + 0.24f * (o - 1.5f) + tilt * u;
        Float b = wave(w, 0.32f, two, 0.16f, three) + 0.09f;
        Float c = wave(w, 0.30f, three, 0.12f, one);
        Float slope_a = wave_slope(w, f, g, 0.36f, one, 0.12f, two) + tilt;
        Float slope_b = wave_slope(w, f, g, 0.32f, two, 0.16f, three);
        Float slope_c = wave_slope(w, f, g, 0.30f, three, 0.12f, one);
        Float height = wave(w, 0.36f, two + 1.4f, 0.16f, one + 2.0f);
        Float curve = wave(w, 0.30f, one - 1.1f, 0.10f, three + 1.0f);
        Float slope_height = wave_slope(w, f, g, 0.36f, two + 1.4f, 0.16f, one + 2.0f);
        Float slope_curve = wave_slope(w, f, g, 0.30f, one - 1.1f, 0.10f, three + 1.0f);
        Vec4 at_v = roots(q.y, a, b, c);
        Float lower = min(max(min(at_v.x, at_v.y), -3.0f), 3.0f);
        Float upper = min(max(max(at_v.x, at_v.y), -3.0f), 3.0f);
        Float first = blend(lower, upper, float(k % 2));
        Float second = blend(upper, lower, float(k % 2));
        Float there = cover(at_v.w, p.px);
        Float off = q.y - a - c;
        Float over = max(from_ribbon(lower, off, b), from_ribbon(upper, off, b));
        Float shadow = rise(-0.17f, 0.0f, over) * rise(-0.14f, 0.0f, at_v.w);
        colour = colour * (1.0f - 0.6f * shadow);
        Vec3 tint = z.body * (1.15f * float(1 - k % 2)) + z.accent * (0.95f * float(k % 2));
        Vec3 other = z.twin * (1.3f * float(1 - k % 2)) + z.body * (0.9f * float(k % 2));
        Float warp = fine + 1.3f * cos(1.7f * o) * w.x + 1.3f * sin(1.7f * o) * w.y;
        UNROLL for (int j = 0; j < 2; j++) {
            Float t = first * float(1 - j) + second * float(j);
            Float folds = pleat * sin(2.1f * warp * t + o + 0.6f * z.m[4]) * rise(1.15f, 0.3f, abs(t));
            Float border = rise(0.66f, 0.70f, abs(t)) * rise(0.88f, 0.84f, abs(t)) * bordered;
            Float turn_t = height + 2.0f * curve * t + folds + 0.022f * ruffled;
            Vec4 made = layer(blend3(tint, other * 0.9f, border), other, z.light, sun,
                              slope_a + (slope_b + slope_c * t) * t, b + 2.0f * c * t,
                              (slope_height + slope_curve * t) * t, turn_t, to_hem(t, off, b, c), opacity, sheen,
                              span(z.m[6], 0.8f, 3.0f), p.px);
            colour = blend3(colour, Vec3(made.x, made.y, made.z) * (0.30f + 0.85f * pool), made.w * there);
        }
    }
    return colour;
}
