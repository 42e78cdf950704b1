// Dunes from the air under a low sun: sharp crests between light and deep shadow, and ripples in the sand.
Vec3 dunes(Place p, Latents z) {
    Vec2 at = focused(p, z, 0.5f, 0.3f);
    float k = span(z.c[2], 0.75f, 1.25f);
    Vec2 way = turned(at.x, at.y, 0.6f * z.c[3] + 0.9f);
    Float bend = noise(way.x * 0.55f * k + 0.3f * z.c[4], way.y * 0.8f * k, 81, z.c[4]);
    Float wind = noise(way.x * 1.3f * k + 4.0f, way.y * 1.5f * k, 82, 1.2f * z.c[5]);
    Float small = noise(way.x * 3.1f * k, way.y * 2.6f * k + 2.0f, 83, 1.2f * z.c[6]);
    Float s = way.y * 0.85f * k + 0.95f * bend + 0.26f * wind + 0.05f * small + 0.5f * z.c[7];
    Float w = footprint(s) + 1e-5f;
    Float f = fract(s);
    float crest = 0.66f;
    float softness = span(z.f[5], 0.10f, 0.34f);
    // Up the wind's side the light grows to the crest; behind it lies the shadow, which ends softly.
    Float up = clamp01(f / crest);
    Float beyond = cover(f - crest, w);
    Float foot = 1.0f - rise(0.0f, softness, f);
    Float dark = max(beyond, foot * 0.97f);
    Float ruffled = ruffle(p);
    Float ripple_way = (way.x * 0.35f + s * 0.9f / k) * span(z.m[0], 12.0f, 24.0f) + 1.6f * small + 2.5f * wind +
                       0.07f * ruffled + 2.0f * z.m[1];
    Float ripple_w = footprint(ripple_way);
    Float ripple = cos(TAU * ripple_way) * rise(0.40f, 0.12f, ripple_w) +
                   0.35f * cos(2.0f * TAU * ripple_way - 1.0f) * rise(0.20f, 0.06f, ripple_w);
    Float strength = span(z.m[2], 0.12f, 0.50f) * (0.45f + 0.75f * rise(-0.6f, 0.7f, small + wind)) * rise(1.0f,
        0.86f, up);
    Float grain = detail(p.x * 150.0f, p.y * 150.0f, 84, z.m[3]) * (0.05f + 0.08f * abs(ruffle_mirrored(p)));
    Float slope = 0.5f + 0.5f * clamp01(0.5f + 1.2f * (wind * z.sun.x - bend * z.sun.y));
    Float light = (0.16f + 0.95f * up * up) * slope * (1.0f + strength * ripple + grain + 0.12f * ruffled);
    Float pool = exp(-0.40f * (at.x * at.x + at.y * at.y));
    light = light * (0.25f + 0.95f * pool);
    Float t = span(z.m[4], 0.20f, 0.50f) + 0.36f * up * up + 0.10f * wind + 0.05f * strength * ripple;
    // Another mineral lies in drifts on the slopes.
    float drifted = span(z.m[5], -0.5f, 0.6f);
    Float other = rise(-0.12f, 0.32f, drifted + 0.5f * small - 0.6f * bend) * rise(1.0f, 0.75f, up);
    Vec3 sand = blend3(ramp(z, t), z.twin * (0.75f + 0.5f * up), 0.8f * other) * light * 1.25f;
    Float gleam = bell((f - crest + 0.012f) / (0.016f + w)) * (1.0f - beyond);
    sand += blend3(z.accent, z.light, 0.7f) * (gleam * 0.7f * pool * slope);
    Float depth = select(f < crest, 1.0f - up, (f - crest) / (1.0f - crest));
    Vec3 shade = ramp(z, 0.10f + 0.08f * depth + 0.02f * ripple * foot) * (0.20f + 0.35f * depth * pool) + z.twin *
        (0.05f * depth * depth * pool);
    return laid(sand, shade, dark);
}
