// Fans of branches in deep water, one behind the other: each branch forks again and again, and the buds glow.

// One fan, which grows up from the origin: x is its light, y the level of the branch, 0 to 1, z its glow, w that of
// its buds.
Vec4 fan(Float x, Float y, int levels, Latents z, float pixel, float blur, float side) {
    float fork = span(z.c[3], 0.50f, 0.80f);
    float shrink = span(z.c[2], 1.38f, 1.48f);
    float stout = span(z.m[0], 0.016f, 0.040f);
    float scale = 1.0f;
    Float light = 0.0f;
    Float level = 0.0f;
    Float glow = 0.0f;
    UNROLL for (int k = 0; k < levels; k++) {
        float length = 0.56f;
        // The trunk has no lower end.
        Float along = min(max(-y, -9.0f * max(1.0f - float(k), 0.0f)), length);
        Float d2 = (x * x + squared(y + along)) * (1.0f / (scale * scale));  // distance, squared
        float up = float(k) / (float(levels) - 1.0f);
        float thick = stout * (1.0f + 0.03f * float(k)) / scale;
        float e = max(thick, 0.75f * pixel) + blur;
        Float here = squared(clamp01(1.0f - d2 * (0.42f / (e * e)))) * (thick / e);
        level = blend(level, Float(up), here);
        light = max(light, here);
        glow += (0.15f + up) * 0.0012f / (d2 + (0.0018f + blur * blur));
        float bend = side * 0.16f * z.c[5] + 0.13f * sin(1.7f * float(k) + 1.0f * z.c[4] + side);
        Vec2 bent = turned(x, y + length, bend);
        Vec2 next = turned(abs(bent.x), bent.y, fork * (1.0f + 0.20f * sin(2.3f * float(k) + 1.0f * z.c[6] + side)));
        x = next.x * shrink;
        y = next.y * shrink;
        scale = scale * shrink;
        fork = fork * 0.88f;
    }
    float bud = span(z.m[1], 0.006f, 0.018f) + blur;
    return Vec4(light, level, glow, 1.0f / squared(1.0f + (x * x + y * y) * (1.0f / (scale * scale * bud * bud))));
}

Vec3 fronds(Place p, Latents z) {
    Vec2 at = focused(p, z, 0.42f, 0.06f);
    Float wander_x = noise(at.x * 0.9f, at.y * 0.9f, 111, 1.3f * z.c[7]);
    Float wander_y = noise(at.x * 0.9f + 7.0f, at.y * 0.9f, 112, 1.3f * z.c[7]);
    Float fine = noise(at.x * 2.9f, at.y * 2.9f, 113, 1.2f * z.c[6]);
    Float x = at.x + 0.17f * wander_x + 0.040f * fine;
    Float y = at.y + 0.15f * wander_y + 0.040f * fine;
    float foot = 0.92f;
    Vec4 near = fan(x, y - foot, 8, z, p.px, 0.0f, 1.0f);
    float aside = -0.75f * tanh(1.0f * z.c[0] + 0.4f * z.c[1]);
    float haze = span(z.f[5], 0.010f, 0.024f);
    Vec4 far = fan((x - aside) * 1.25f, (y - foot) * 1.25f - 0.05f, 6, z, 1.25f * p.px, haze, -1.0f);

    float hue_at = span(z.m[2], 0.10f, 0.50f);
    float twins = span(z.m[3], 0.0f, 0.9f);
    Float stir = 1.0f + 0.35f * ruffle(p);
    Vec3 water = blend3(z.shadow, z.twin * 0.5f, Float(span(z.m[4], 0.0f, 1.0f))) * (span(z.m[5], 0.12f, 0.55f) *
        exp(-0.9f * (at.x * at.x + (at.y + 0.2f) * (at.y + 0.2f)))) + z.dark * 0.15f;
    Vec3 behind = blend3(ramp(z, hue_at + 0.1f), z.twin, Float(twins));
    Vec3 colour = water + behind * (far.x * (0.35f + 0.5f * far.y) + 0.09f * far.z) + z.accent * (0.25f * far.w);
    Float shown = near.x;
    Vec3 branch = ramp(z, hue_at + 0.50f * near.y * near.y) * ((0.35f + 1.5f * near.y) * stir);
    colour = laid(colour, branch, shown);
    colour += blend3(z.body, z.twin, Float(0.5f * twins)) * (0.13f * near.z * stir);
    return colour + blend3(z.accent, z.light, 0.45f) * (near.w * 2.2f * stir);
}
