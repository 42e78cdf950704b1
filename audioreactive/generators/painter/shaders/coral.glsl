// Coral: ribbed ridges that fork and wind over glowing valleys, and reach like fingers into dark water.

// Waves in the direction (c, s) with f periods a unit, whose phases differ from place to place, so that their crests
// fork (phasor noise: Tricard et al., 2019, with four kernels): cosine of the phase in x, strength in y.
Vec2 forked(Float x, Float y, Float c, Float s, float f, int seed, float phase) {
    Float i = floor(x - 0.5f);
    Float j = floor(y - 0.5f);
    Float re = 0.0f;
    Float im = 0.0f;
    UNROLL for (int k = 0; k < 4; k++) {
        Float column = i + float(k % 2);
        Float row = j + float(k / 2);
        Bits bits = hash(column, row, seed);
        Float dx = x - column - 0.4f - 0.2f * low(bits);
        Float dy = y - row - 0.4f - 0.2f * high(bits);
        Float near = max(1.0f - (dx * dx + dy * dy) * 1.23f, 0.0f);
        Float turn = TAU * (f * (dx * c + dy * s) + fract(16.0f * low(bits) + high(bits))) + phase;
        re += near * near * cos(turn);
        im += near * near * sin(turn);
    }
    Float strength = sqrt(re * re + im * im + 1e-5f);
    return Vec2(re / strength, strength);
}

Vec3 coral(Place p, Latents z) {
    Vec2 at = focused(p, z, 0.66f, 0.36f);
    Float ruffled = ruffle(p);
    Float warp_x = noise(at.x * 0.9f, at.y * 0.9f, 1, z.c[5]);
    Float warp_y = noise(at.x * 0.9f + 5.0f, at.y * 0.9f, 2, z.c[6]);
    Float u = at.x + 0.30f * warp_x;
    Float v = at.y + 0.30f * warp_y;
    Float r2 = u * u + v * v;
    Float r = sqrt(r2 + 0.02f);

    // Ridges: waves of one length from all sides, and their slope, across which the ribs run.
    Float scale = span(z.m[0], 2.7f, 3.9f) * (0.70f + 0.5f / (0.55f + r * span(z.c[2], 0.3f, 1.1f)));
    Float x = u * scale + 0.012f * ruffled;
    Float y = v * scale - 0.012f * ruffled;
    Float level = 0.0f;
    Float slope_x = 0.0f;
    Float slope_y = 0.0f;
    UNROLL for (int k = 0; k < 6; k++) {
        float o = float(k);
        float kx = TAU * cos(0.5236f * o + 0.3f * z.c[3] + 0.2f);
        float ky = TAU * sin(0.5236f * o + 0.3f * z.c[3] + 0.2f);
        Float turn = kx * x + ky * y + (2.4f * o * o + 1.1f * z.c[4 + k % 4] + 0.6f * z.m[k % 4]);
        Float wave = 0.58f * sin(turn);
        level += 0.58f * cos(turn);
        slope_x -= kx * wave;
        slope_y -= ky * wave;
    }
    level = level + span(z.m[1], -0.15f, 0.25f);
    Float steep = inversesqrt(slope_x * slope_x + slope_y * slope_y + 0.3f);
    Float plateau = level * inversesqrt(level * level + span(z.m[3], 0.10f, 0.45f));
    Float crest = 0.5f + 0.5f * plateau;
    Vec2 ribs = forked(x * 3.6f, y * 3.6f, -slope_y * steep, slope_x * steep, 1.5f, 15, 2.0f * z.m[6]);
    Float flank = 1.0f - plateau * plateau;
    Float rib = ribs.x * rise(0.0f, 0.25f, ribs.y) * (0.10f + 0.35f * crest + 0.70f * flank) *
        rise(0.5f, 0.2f, footprint(x) * 6.0f);

    // The colony and its fingers.
    float lean = 2.0f * z.c[3];
    Float edge = span(z.c[7], 0.85f, 1.25f) - 0.78f * r + 0.55f * warp_x - 0.45f * warp_y +
                 0.40f * (at.x * cos(lean) + at.y * sin(lean));
    Float grown = rise(-0.06f, 0.10f, edge + 0.22f * (crest - 0.7f));
    Float dome = rise(-0.2f, 0.9f, edge);
    Float near = bell(r / span(z.f[5], 0.42f, 0.72f));
    float ribbed = span(z.m[5], 0.07f, 0.16f);
    Float height = grown * (crest + ribbed * rib) + 1.5f * dome;
    Float hue = 0.10f + 0.34f * crest + 0.12f * rib * crest + 0.16f * warp_x + 0.14f * near;
    Vec3 colour = ramp(z, hue * (0.2f + 0.8f * grown));
    Float lightness = crest * crest * (0.80f + 0.45f * rib + 0.1f * ruffled);
    colour = colour * (grown * (0.02f + 1.9f * max(lightness, 0.0f)) * (0.25f + 0.75f * dome));
    Vec3 n = normal(height, p, span(z.m[4], 0.030f, 0.046f));
    Float facing = max(n.x * z.sun.x + n.y * z.sun.y + n.z * z.sun.z, 0.0f);
    Float shine = squared(squared(squared(facing))) * (1.0f - n.z * n.z);
    colour = colour * (0.15f + 0.85f / z.sun.z * facing) + z.light * (0.45f * shine * crest * grown * (0.15f + near));
    Float floor_of_valley = rise(-0.1f, -1.5f, level);
    Vec3 glow = blend3(z.shadow * 1.5f, blend3(z.accent, z.twin * 1.2f, rise(-0.3f, 0.3f, warp_y)),
                       rise(0.0f, 0.5f, near)) +
                z.light * (0.35f * squared(floor_of_valley) * near);
    Float valley = squared(1.0f - crest) * (0.12f + 0.88f * floor_of_valley) * (1.0f + 0.5f * rib);
    colour += glow * (valley * grown * (0.08f + 2.1f * near));
    colour = blend3(colour, z.light, rise(0.85f, 1.25f, crest + 0.3f * rib) * grown * (0.03f + 0.55f * near));
    colour = colour * (0.32f + 1.05f * exp(-0.8f * r2));
    return colour + (z.dark * 0.3f + z.shadow * (0.10f * exp(-0.6f * r2))) * (1.0f - grown);
}
