// Rooms of pure light, one behind the other: soft-edged openings whose hidden lamps wash the walls, mirrored in a floor.

// Distance to a rectangle with round corners, negative inside.
Float opening(Float x, Float y, float half_width, float half_height, float corner) {
    Float u = abs(x) - (half_width - corner);
    Float v = abs(y) - (half_height - corner);
    return length2(max(u, 0.0f), max(v, 0.0f)) + min(max(u, v), 0.0f) - corner;
}

Vec3 chambers(Place p, Latents z) {
    float focus_x = 0.62f * tanh(z.c[0]);
    float focus_y = 0.30f * tanh(z.c[1]);
    // the floor mirrors what is above it, the softer the farther
    float horizon = span(z.c[7], 0.62f, 1.0f);
    Float under = max(p.y - horizon, 0.0f);
    Float mirrored = cover(p.y - horizon, p.px);
    Float x = p.x + 0.05f * under * ruffle(p);
    Float y = p.y - 2.1f * under;
    Float haze = noise(p.x * 1.3f, p.y * 1.3f + 0.5f, 91, 1.3f * z.c[6]) + 0.5f * noise(p.x * 2.9f + 4.0f, p.y * 2.9f, 92, z.m[5]) +
                 0.12f * ruffle(p);
    float wide = span(z.c[3], 0.95f, 1.75f);
    float high = span(z.c[4], 0.80f, 1.15f);
    float round = span(z.c[5], 0.12f, 1.0f);
    float twist = 0.085f * z.c[2];
    float shrink = span(z.m[2], 0.66f, 0.78f);
    float reach = span(z.m[1], 0.22f, 0.55f);
    float soft = span(z.m[0], 0.002f, 0.018f);
    float hot = span(z.m[3], 0.06f, 0.26f);
    Vec3 colour = tone(z, Float(0.07f)) * (0.30f + 0.10f * haze);
    Float innermost = -1.0f;
    float scale = 1.0f;
    UNROLL for (int k = 0; k < 6; k++) {
        float j = float(k);
        float t = (j + 1.0f) / 6.0f;
        float near = 1.0f - 0.82f * t;
        Vec2 q = turned(x - focus_x * (1.05f - near * 0.9f), y - focus_y * (1.05f - near * 0.9f) - 0.06f * near, twist * (j - 2.0f));
        float w = wide * scale;
        float h = high * scale;
        float corner = min(w, h) * round;
        Float d = opening(q.x, q.y, w, h, corner);
        float size = 0.35f + 0.65f * scale;
        // the halo that the room behind throws on the wall around its opening
        Float halo = exp(max(d, 0.0f) * (-2.2f / (reach * size)));
        float hue = 0.42f + hot * sin(1.9f * j + 1.5f * z.f[5]);
        colour += ramp(z, Float(hue)) * (halo * (0.04f + 0.16f * t));
        // the wall within: washed from behind the opening's edge, lit more from one side
        Float blur = soft * (1.35f - t) + 0.05f * under + p.px;
        Float inside = rise(0.5f, -0.5f, d / blur * 0.5f);
        Float wash = exp(min(d, 0.0f) * (1.0f / (reach * size)));
        Float side = 0.30f + 0.85f * clamp01(0.5f - 0.7f * (q.x * z.sun.x + q.y * z.sun.y) / max(w, h) + 0.25f * haze);
        Vec3 wall = ramp(z, clamp01(hue + 0.20f * wash * side - 0.12f + 0.03f * haze));
        Float level = (0.30f + 1.45f * t * t) * (0.09f + 1.60f * wash * wash) * side * (1.0f + 0.10f * haze);
        colour = blend3(colour, wall * level, inside);
        // a thin bright reveal: the edge itself
        colour += z.light * (bell((d + 0.5f * blur) / (0.004f + 0.5f * blur)) * (0.008f + 0.06f * t) * side);
        scale *= shrink;
        innermost = d;
    }
    // the last opening holds the light itself
    Float core = rise(0.01f, -0.11f, innermost);
    colour += (z.light * 1.45f + z.accent * 0.4f) * (core * (1.0f + 0.12f * haze)) + z.accent * (0.10f * exp(max(innermost, 0.0f) * -3.0f));
    Float fall = 1.0f - mirrored * (1.0f - 0.50f * exp(-2.2f * under));
    fall = fall * (1.0f - 0.55f * exp(-abs(p.y - horizon) * 45.0f));
    return colour * fall;
}
