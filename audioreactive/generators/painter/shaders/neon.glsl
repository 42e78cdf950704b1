// Loops of neon before a dark wall, mirrored in a wet floor.
Vec3 neon(Place p, Latents z) {
    float focus = 0.45f * tanh(z.c[0]);
    float horizon = 0.42f + 0.10f * tanh(z.c[1]);
    Float x = p.x - focus;
    Float below = p.y - horizon;
    Float floor_ = cover(below, p.px);
    Float deep = max(below, 0.0f);
    // The floor in perspective; its water trembles, more so where it is near.
    Float away = 0.5f / (deep + 0.10f);
    float calm = span(z.m[0], 0.010f, 0.075f);
    Float waves = noise(x * away * 1.6f + 0.8f * z.m[1], away * 6.0f, 101, 1.5f * z.m[1]);
    Float chop = detail(x * away * 5.0f, away * 17.0f, 102, z.m[2]) + 0.3f * ruffle(p);
    Float puddle = rise(-0.25f, 0.25f, noise(x * away * 0.7f + 3.0f, away * 1.6f, 103, 0.8f * z.m[3]) + span(z.m[4],
        -0.15f, 0.25f));
    Float grit = detail(x * away * 26.0f, away * 70.0f, 104, 0.0f);
    Float rough = (1.0f - 0.8f * puddle) * floor_;
    Float shiver = calm * floor_ * (0.4f + 1.8f * min(deep, 0.6f));
    Float sx = x + shiver * (0.7f * waves + 0.30f * chop) + rough * grit * 0.03f;
    Float sy = blend(p.y, horizon - deep * 1.05f + shiver * (2.6f * waves + 1.0f * chop) + rough * grit * 0.10f,
        floor_);

    float kept = min(span(z.m[7], 0.55f, 1.25f), 1.0f);  // of the loops' colours; the rest is exchanged
    float lent = max(1.0f - kept, 0.0f);
    float breadth = 1.0f / span(z.m[2], 0.20f, 0.42f);
    float width = span(z.m[5], 0.007f, 0.020f);
    float size = span(z.c[2], 0.34f, 0.52f);
    Float spread = width + 0.05f * rough * (0.3f + deep);
    Vec3 tubes = Vec3(0.0f, 0.0f, 0.0f);
    Vec3 halo = Vec3(0.0f, 0.0f, 0.0f);
    UNROLL for (int k = 0; k < 3; k++) {
        float phase = 2.1f * float(k);
        float radius = size * (1.0f + 0.34f * (float(k) - 1.0f) * z.c[7]);
        Float dx = sx - 0.42f * size * (float(k) - 1.0f) * (1.0f + 0.8f * z.c[3]);
        Float dy = sy - horizon + 0.62f + 0.20f * size * sin(phase + 1.3f * z.c[4]);
        Float r = sqrt(dx * dx + dy * dy + 1e-4f);
        Float c = dx / r;
        Float s = dy / r;
        // Cosines and sines of the angle's multiples.
        Float c2 = c * c - s * s;
        Float s2 = 2.0f * c * s;
        Float c3 = c2 * c - s2 * s;
        Float s3 = s2 * c + c2 * s;
        Float c5 = c3 * c2 - s3 * s2;
        Float s5 = s3 * c2 + c3 * s2;
        float a2 = 1.4f * z.c[4] + phase;
        float a3 = 1.7f * z.c[5] - phase;
        float a5 = 1.6f * z.c[6] + 2.0f * phase;
        float by2 = 0.16f;
        float by3 = span(z.c[6], 0.05f, 0.26f);
        float by5 = span(z.c[5], 0.01f, 0.09f);
        // Towards the middle the loop is round, so that its glow has no folds there.
        Float round_ = r * r / (r * r + 0.12f * radius * radius);
        Float curve = 1.0f + round_ * (by2 * (c2 * cos(a2) - s2 * sin(a2)) + by3 * (c3 * cos(a3) - s3 * sin(a3)) +
            by5 * (c5 * cos(a5) - s5 * sin(a5)));
        Float bend = round_ * (-2.0f * by2 * (s2 * cos(a2) + c2 * sin(a2)) - 3.0f * by3 * (s3 * cos(a3) + c3 *
            sin(a3)) -
                     5.0f * by5 * (s5 * cos(a5) + c5 * sin(a5)));
        Float d = (r - radius * curve) * inversesqrt(1.0f + squared(bend / curve));
        Float current = 0.30f + 0.70f * rise(-0.9f, 0.6f, c * cos(phase + 1.5f * z.f[5]) + s * sin(phase + 1.5f *
            z.f[5]));
        float first = max(1.0f - float(k), 0.0f);
        float last = max(float(k) - 1.0f, 0.0f);
        float second = 1.0f - first - last;
        vec3 own = z.accent * (first * kept + second * lent) + z.body * (1.6f * (second * kept + last * lent)) +
                   z.twin * (1.3f * (last * kept + first * lent));
        // The core is brighter than a display can show: squared, its edge is as wide there as it is here.
        Float core = squared(cover(1.35f * spread - abs(d), 0.8f * spread + p.px)) * (1.25f * spread / (1.25f * spread +
            0.4f * p.px));
        Float near = 1.0f / (1.0f + squared(d / (3.2f * spread)));
        Float wide = 1.0f / (1.0f + squared(d * breadth));
        tubes += (own * 2.7f + z.light * 0.7f) * (core * current * width / spread * 1.2f) + own * (near * near *
            0.8f * current * width / spread);
        halo += own * (wide * wide * 0.16f * current);
    }
    // The wall is of upright slats; asphalt and water take the light in different ways.
    Float slat = fract(p.x * span(z.m[6], 5.0f, 9.0f));
    Float wall = 0.55f + 0.45f * clamp01(slat * (1.0f - slat) * 5.0f) + 0.10f * detail(p.x * 21.0f, p.y * 90.0f, 105,
        z.m[6]);
    Float foot = 1.0f - 0.75f * exp(-12.0f * max(-below, 0.0f));
    Float ground = (0.20f + 0.22f * grit) * (1.0f - 0.7f * puddle);
    Float mirrored = (0.30f + 0.45f * puddle) * exp(-0.5f * deep);
    Float received = blend(wall * foot, ground + mirrored * 1.4f, floor_);
    return tubes * blend(Float(1.0f), mirrored, floor_) + halo * received + z.shadow * 0.02f;
}
