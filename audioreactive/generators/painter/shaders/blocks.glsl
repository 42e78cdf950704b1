// A field of square towers that rise and sink in waves, seen from above; light comes up out of the depth between them.

// Height, 0 to 1, of a tower whose middle is (a, b) from the focus: rings run out, a swell runs across.
Float tower(Float a, Float b, Float own, Latents z) {
    float turn = 1.0f + 1.2f * z.c[6];
    Float r = sqrt(a * a + b * b + 2.0f);
    Float rings = cos(r * span(z.c[3], 0.62f, 1.05f) - 2.0f * z.c[4]) * 1.2f / (1.0f + 0.014f * r * r);
    Float swell = sin((a * cos(turn) + b * sin(turn)) * 0.42f + 2.0f * z.c[5]);
    return clamp01(0.45f + 0.40f * rings + 0.17f * swell + span(z.c[7], 0.06f, 0.32f) * (own - 0.5f));
}

Vec3 blocks(Place p, Latents z) {
    float size = span(z.c[2], 0.13f, 0.20f);
    float squat = 0.60f;  // length on the screen of a unit of the ground that leads away
    float tall = 3.2f;
    Vec2 at = focused(p, z, 0.55f, 0.28f);
    // On the ground, cells are squares of the lattice (a, b). A pixel sees a line of them, one before the other; the most
    // distant is where the line meets the ground.
    Float x = at.x / size;
    Float y = at.y / size - 0.5f * tall;
    Float a = y / squat + x;
    Float b = y / squat - x;
    Float i = floor(a);
    Float j = floor(b);
    Float first = select(a - i > b - j, Float(1.0f), Float(0.0f));
    float pixel = p.px / size;
    float top_pixel = 2.7f * pixel;  // by how much the place on a top changes from a pixel's corner to the opposite one
    float half_ = 0.5f - span(z.m[0], 0.012f, 0.050f);
    float bevel = span(z.m[1], 0.03f, 0.08f);
    float mottled = span(z.m[2], 0.02f, 0.34f);
    float hue_at = span(z.m[3], 0.0f, 0.25f);
    // A line thinner than a pixel dims instead of breaking up.
    float rim_share = 0.6f * bevel / (0.6f * bevel + top_pixel);
    float ridge_share = 0.03f / (0.03f + pixel);
    float inlay_size = span(z.m[6], 0.10f, 0.32f);
    float left_light = 0.26f - 0.32f * z.sun.x;
    float right_light = 0.26f + 0.32f * z.sun.x;
    Float far = at.x * at.x + at.y * at.y;
    Float pool = exp(-0.75f * far);
    Float height = 0.0f;
    Float random = 0.5f;
    Float light = 0.0f;
    Float topmost = 0.0f;
    Float below = 9.0f;
    Float glint = 0.0f;
    Float inlaid = 0.0f;
    UNROLL for (int k = 0; k < 12; k++) {
        Float ci = i + float(k / 2) + float(k % 2) * first;
        Float cj = j + float(k / 2) + float(k % 2) * (1.0f - first);
        Float own = chance(ci, cj, 41);
        Float h = tower(ci + 0.5f, cj + 0.5f, own, z);
        // From the middle of the top, in units of a cell's diagonal.
        Float side = x - 0.5f * (ci - cj);
        Float dx = half_ - abs(side);
        Float dy = y - squat * 0.5f * (ci + cj + 1.0f) + tall * h;
        Float top = dx - abs(dy) * (1.0f / squat);
        Float drop = max(dy - squat * dx, 0.0f);
        Float on_top = cover(top, top_pixel);
        Float shown = cover(min(dx, (dy + squat * dx) * 0.64f), pixel);
        Float wall = select(side < 0.0f, Float(left_light), Float(right_light));
        Float lip = rim_share * clamp01(1.0f - abs(top - 0.6f * bevel) / (0.6f * bevel + top_pixel)) *
                    clamp01(0.5f + dy * (1.6f / squat) + 0.8f * dx);
        Float ridge = 0.4f * ridge_share * clamp01(1.0f - abs(side) / (0.03f + pixel)) * (1.0f - on_top);
        height = blend(height, h, shown);
        random = blend(random, own, shown);
        light = blend(light, wall, shown);
        topmost = blend(topmost, on_top, shown);
        below = blend(below, drop, shown);
        glint = blend(glint, max(lip, ridge), shown);
        inlaid = blend(inlaid, cover(top - half_ + inlay_size, top_pixel), shown);
    }
    Float sunk = exp(-0.75f * below);
    Float bright = blend(light * sunk * (0.03f + 1.2f * height),
                         0.05f + 1.45f * height * height + 0.14f * height * (random - 0.5f), topmost);
    Float hue = hue_at + 0.68f * height + mottled * (random - 0.5f);
    Float ember = exp(-1.9f * max(tall * height - below, 0.0f)) * blend(Float(1.0f), 0.25f + 0.5f * random, topmost);
    // A plate of another metal is let into the top.
    hue = hue + span(z.m[7], -0.22f, 0.34f) * inlaid;
    bright = bright * (1.0f + span(z.m[7], -0.5f, 0.5f) * inlaid);
    glint = glint * sunk * (0.08f + height * height);
    Float ruffled = ruffle(p);
    Float grain = 1.0f + 0.14f * ruffled + (0.05f + 0.10f * abs(ruffled)) * detail(p.x * 70.0f, p.y * 70.0f, 42,
        z.m[4]);
    Vec3 colour = ramp(z, hue) * (bright * grain * (0.10f + 1.15f * pool));
    colour += blend3(z.twin, z.body, 0.5f + 0.4f * sin(2.0f * z.m[5])) * (ember * ember * span(z.f[5], 0.1f, 2.6f) *
        (0.05f + 0.95f * pool));
    return colour + blend3(z.accent, z.light, 0.6f) * (glint * (0.06f + 0.9f * pool));
}
