// Soap bubbles in the dark, clustered: colours of the thin film run over them, and windows are mirrored in them.
Vec3 bubbles(Place p, Latents z) {
    Vec2 at = focused(p, z, 0.5f, 0.28f);
    float size = span(z.c[2], 0.52f, 0.80f);
    Float trembling = 0.0015f * ruffle(p);
    Float x = (at.x + trembling) / size;
    Float y = (at.y - trembling) / size;
    Float i = floor(x);
    Float j = floor(y);
    float stir = 1.3f * z.c[3];
    // The bubble whose power, the square of the distance less that of the radius, is least: walls between two are straight.
    float main_radius = span(z.c[4], 0.72f, 1.02f);
    float main_x = 0.16f * z.c[5];
    float main_y = 0.12f * z.c[6];
    Float near_x = x - main_x;
    Float near_y = y - main_y;
    Float least = near_x * near_x + near_y * near_y - main_radius * main_radius;
    Float radius = main_radius;
    Float own = 0.37f;
    Float second = 9.0f;
    Float second_x = 0.0f;
    Float second_y = 0.0f;
    UNROLL for (int k = 0; k < 9; k++) {
        float column = float(k % 3 - 1);
        float row = float(k / 3 - 1);
        Bits bits = hash(i + column, j + row, 91);
        Float a = low(bits);
        Float b = high(bits);
        Float to_x = x - i - column - 0.5f - 0.27f * cos(TAU * a + stir);
        Float to_y = y - j - row - 0.5f - 0.27f * sin(TAU * a + stir);
        Float r = 0.10f + 0.55f * b * b + 0.06f * sin(TAU * a + 1.5f * z.c[7]);
        Float power = to_x * to_x + to_y * to_y - r * r;
        Float worse = max(power, least);  // of this bubble and the best one so far
        second_x = select(worse < second, select(power < least, near_x, to_x), second_x);
        second_y = select(worse < second, select(power < least, near_y, to_y), second_y);
        second = min(worse, second);
        near_x = select(power < least, to_x, near_x);
        near_y = select(power < least, to_y, near_y);
        radius = select(power < least, r, radius);
        own = select(power < least, a, own);
        least = min(least, power);
    }
    float pixel = p.px / size;
    Float nx = near_x / radius;
    Float ny = near_y / radius;
    Float q = nx * nx + ny * ny;
    Float nz = sqrt(max(1.0f - q, 0.0f));
    Float inside = cover((1.0f - sqrt(q)) * radius, 1.5f * pixel);
    Float wall = (second - least) * 0.5f;
    Float slope = length2(near_x - second_x, near_y - second_y) * pixel + 1e-5f;

    // The film: thicker below, stirred; what is seen aslant is thicker too.
    Float curl = noise(nx * 1.3f + 7.0f * own + 0.5f * z.m[0], ny * 1.3f + 19.0f * own, 92, 1.4f * z.m[1]);
    Float flow = clouds(nx * 0.8f + 0.9f * curl + 13.0f * own, ny * 1.7f - 0.9f * curl, 2, 93, 1.4f * z.m[2]);
    Float thick = (span(z.m[3], 0.6f, 1.9f) * (1.0f + 0.9f * ny + 0.9f * flow) + 1.2f * (1.0f - nz)) * (0.35f +
        0.65f * min(radius, 0.9f)) + own + 0.35f * z.m[4] + 0.10f * ruffle(p);
    Float red = 0.5f + 0.5f * cos(TAU * thick);
    Float green = 0.5f + 0.5f * cos(TAU * (thick * 1.17f + 0.33f));
    Float blue = 0.5f + 0.5f * cos(TAU * (thick * 1.36f + 0.66f));
    Vec3 film = z.accent * (0.08f + 1.1f * red * red) + z.body * (0.15f + 1.2f * green) + z.twin * (0.08f + blue *
        blue);
    Float oblique = 1.0f - nz;
    Float fresnel = 0.02f + 0.14f * oblique + 1.35f * oblique * oblique;
    Float pool = exp(-0.5f * (at.x * at.x + at.y * at.y));
    Float upper = 0.35f + 0.65f * clamp01(0.5f + 0.8f * (nx * z.sun.x + ny * z.sun.y));
    Vec3 colour = film * ((span(z.m[5], 0.01f, 0.13f) + fresnel) * upper * span(z.m[6], 0.8f, 1.25f));

    // A window above, with a bar, and its image upside down below.
    float glare = span(z.f[5], 0.5f, 1.6f);
    Float soft = 0.02f + 2.0f * pixel / radius;
    UNROLL for (int k = 0; k < 2; k++) {
        float sign = 1.0f - 2.0f * float(k);
        Float mx = nx * sign * (1.0f + 0.6f * float(k)) - z.sun.x * 0.62f;
        Float my = ny * sign * (1.0f + 0.6f * float(k)) - z.sun.y * 0.80f;
        Vec2 pane = turned(mx, my, -0.9f * z.sun.x);
        Float high_ = abs(pane.y + 0.9f * pane.x * pane.x) - 0.11f;
        Float wide = abs(pane.x) - 0.24f;
        Float lit_pane = rise(soft, -soft, high_) * rise(soft, -soft, wide) * rise(0.008f, 0.008f + soft, abs(pane.x));
        colour += z.light * (lit_pane * glare * (1.0f - 0.75f * float(k)));
    }
    Float rim = bell((1.0f - sqrt(q)) * 30.0f / (1.0f + 20.0f * pixel));
    colour += blend3(z.light, z.accent, 0.4f) * (rim * 0.35f * upper);
    colour = colour * (0.22f + 1.0f * pool);
    // Where two bubbles meet, one's colours end at once: a pixel of dark lies under the bright seam.
    colour = colour * squared(clamp01(wall / (1.5f * slope)));
    Float seam = line(wall, 0.010f, slope);
    colour += blend3(z.light, z.body, 0.6f) * (seam * 0.5f * (0.15f + pool));
    Float haze = exp(-1.1f * (at.x * at.x + at.y * at.y));
    Vec3 behind = z.shadow * (0.35f * haze) + z.dark * 0.15f;
    return laid(behind, behind + colour, inside);
}
