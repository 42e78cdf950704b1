// Stripes that swell and sink: a striped cloth drawn over hidden forms, with rings of another rhythm where it crosses a height.

// Height of the cloth (x) and its slopes (y, z).
Vec3 swelling(Float x, Float y, Latents z) {
    Vec3 sum = Vec3(0.0f, 0.0f, 0.0f);
    UNROLL for (int k = 0; k < 4; k++) {
        float at_x = 1.15f * sin(1.3f * z.c[k] + 2.1f * float(k));
        float at_y = 0.62f * sin(1.1f * z.c[k + 4] + 1.7f * float(k) + 1.0f);
        float wide = span(z.c[(k + 3) % 8], 0.36f, 0.66f) * (1.15f - 0.2f * float(k));
        float high = (0.92f - 0.13f * float(k)) * cos(3.14159f * float(k));
        float turn = 0.9f * z.c[(k + 5) % 8] + 1.3f * float(k);
        float c = cos(turn);
        float s = sin(turn);
        float long_by = 1.45f;
        Float along = ((x - at_x) * c + (y - at_y) * s) / (wide * long_by);
        Float across = ((y - at_y) * c - (x - at_x) * s) / wide;
        Float h = high * exp(-along * along - across * across);
        Float fall_along = h * along * (-2.0f / (wide * long_by));
        Float fall_across = h * across * (-2.0f / wide);
        sum += Vec3(h, fall_along * c - fall_across * s, fall_along * s + fall_across * c);
    }
    Float wave = 1.7f * x + 1.1f * y + z.c[2];
    Float cross = 1.3f * y - 0.8f * x + z.c[3];
    Float sw = 0.10f * sin(wave);
    Float cw = 0.10f * cos(wave);
    Float sc = sin(cross);
    Float cc = cos(cross);
    return sum + Vec3(sw * cc, 1.7f * cw * cc + 0.8f * sw * sc, 1.1f * cw * cc - 1.3f * sw * sc);
}

// Coverage of stripes at a phase, one a unit, of which `duty` is covered; they fade to their mean where they crowd.
Float stripes(Float phase, Float duty) {
    Float w = footprint(phase) + 1e-5f;
    Float drawn = cover(0.5f * duty - abs(fract(phase) - 0.5f), 1.2f * w);
    return blend(drawn, duty, rise(0.25f, 0.8f, w));
}

Vec3 opart(Place p, Latents z) {
    Float tremble = 0.0025f * ruffle(p);
    Float x = p.x + tremble;
    Float y = p.y - tremble;
    Vec3 form = swelling(x, y, z);
    Float h = form.x;
    Float nz = inversesqrt(1.0f + form.y * form.y + form.z * form.z);
    Float facing = clamp01((z.sun.z - form.y * z.sun.x - form.z * z.sun.y) * nz);
    float half_z = sqrt((1.0f + z.sun.z) * 0.5f);
    Float gleam = clamp01((half_z - (form.y * z.sun.x + form.z * z.sun.y) / (2.0f * half_z)) * nz);
    float often = span(z.m[0], 8.0f, 15.0f);
    float a = 0.7f * z.c[2] + 0.5f * z.m[5];
    Float across = y * cos(a) - x * sin(a);
    Float phase = often * (across + span(z.m[1], 0.5f, 1.2f) * h) + 0.8f * z.c[6];
    Vec2 at = focused(p, z, 0.75f, 0.40f);
    Float ring = length2(at.x + 0.15f * h, at.y + 0.1f * h);
    Float ring_phase = often * span(z.m[2], 0.5f, 1.1f) * (ring - 0.3f * h) + 0.7f * z.c[7];
    Float duty = min(max(0.16f + 0.62f * facing * sqrt(facing), 0.06f), 0.9f);
    Float one = stripes(phase, duty);
    Float two = stripes(ring_phase, Float(0.5f));
    // where the rings are seen: a band of heights, its border cut by the stripes themselves
    Float zone = cover(span(z.m[4], 0.08f, 0.24f) - abs(h - span(z.m[3], 0.12f, 0.42f)), 1.5f * footprint(h) + 0.002f);
    Float shown = blend(one, one * (1.0f - two) + (1.0f - one) * two, zone);
    Vec3 bright = tone(z, 0.20f + 0.54f * facing * facing) * (0.14f + 1.25f * facing * facing);
    bright = blend3(bright, z.accent * (0.10f + 1.15f * facing * facing), zone);
    Vec3 dark = z.dark * (0.5f + 0.5f * facing) + z.shadow * (0.10f * rise(0.2f, 0.9f, h) * facing);
    Float pool = 0.30f + 0.80f * exp(-0.55f * (at.x * at.x * 0.7f + at.y * at.y));
    Float shade = (0.10f + 0.90f * rise(-0.55f, 0.25f, h)) * pool;
    Float g2 = gleam * gleam;
    Float g8 = g2 * g2 * g2 * g2;
    return blend3(dark, bright, shown) * shade + z.light * (0.9f * g8 * g8 * g8 * (0.05f + 0.95f * shown) * shade);
}
