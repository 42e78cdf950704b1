// Scales of metal, row over row, which waves raise and turn, so that light runs over them.
Vec3 scales(Place p, Latents z) {
    Vec2 at = focused(p, z, 0.55f, 0.30f);
    float size = span(z.c[2], 0.20f, 0.32f);
    float k = span(z.c[3], 1.3f, 2.1f);
    Vec2 fold = folded(at.x, at.y, z, 0.40f / k, k, 3, 1.3f);
    Vec2 way = turned(fold.x, fold.y, 0.5f * z.c[4] + 0.5f);
    // In units of a scale's width across and of a row down.
    Float u = way.x / size;
    Float v = way.y / (size * 0.62f);
    Float pixel = footprint(u) + 1e-4f;
    Float row = floor(v);
    Float across = 0.6f;
    Float down = 0.0f;
    Float own = 0.5f;
    Float slant = 0.0f;
    Float tilt = 0.0f;
    Float lean = 0.0f;
    float turn = 0.9f + 0.9f * z.c[5];
    float spread = span(z.m[5], 0.15f, 0.55f);
    Float rim = 1.0f;
    Float shadow = 0.0f;
    UNROLL for (int n = 0; n < 6; n++) {
        // Rows from below to above; in each, the two scales that are nearest.
        Float j = row + (1.0f - float(n / 2));
        Float shift = 0.5f * (j - 2.0f * floor(j * 0.5f));
        Float column = floor(u - shift);
        Float nearer = select(u - shift - column > 0.5f, Float(1.0f), Float(-1.0f));
        Float i = column + nearer * float(1 - n % 2);
        Bits bits = hash(i, j, 71);
        Float random = low(bits);
        // Two waves raise the scale to the side and to the front; a little is its own.
        Float raised = sin(0.52f * (i + shift) * cos(turn) + 0.45f * j * sin(turn) + 2.2f * z.c[6]) + spread * (random - 0.5f);
        Float fronted = sin(0.33f * j - 0.40f * (i + shift) + 2.2f * z.c[7]) + spread * (high(bits) - 0.5f);
        Float y = v - j;
        Float x = u - shift - i - 0.5f - 0.10f * raised * (y + 0.4f);
        float length = span(z.m[0], 1.20f, 1.60f);
        Float tip = max(y, 0.0f) * (1.0f / length);
        Float wide = 0.56f + 0.06f * random;
        Float q = x * x / (wide * wide) + tip * tip;
        Float d = (1.0f - q) * 0.34f;
        Float shown = cover(d, pixel);
        shadow = max(shadow * (1.0f - shown), clamp01(1.0f + d * 3.6f) * (1.0f - shown) * rise(-0.5f, 0.4f, y));
        across = blend(across, abs(x), shown);
        down = blend(down, y * (1.0f / length), shown);
        own = blend(own, random, shown);
        slant = blend(slant, x, shown);
        rim = blend(rim, d, shown);
        tilt = blend(tilt, raised, shown);
        lean = blend(lean, fronted, shown);
    }
    // A dished, ridged plate: its normal, in the picture's axes only nearly, and what it mirrors.
    float dish = span(z.m[1], 0.55f, 1.05f);
    Float groove_way = across * span(z.m[2], 16.0f, 30.0f) + 0.5f;
    Float grooves = sin(TAU * groove_way) * rise(0.35f, 0.12f, footprint(groove_way)) * rise(0.08f, 0.25f, rim);
    Float nx = 0.42f * tilt + dish * slant + 0.05f * grooves;
    Float ny = 0.42f * lean + 0.7f * dish * (down - 0.45f);
    Float toward = nx * z.sun.x + ny * z.sun.y;
    Float aside = nx * z.sun.y - ny * z.sun.x;
    float gloss = span(z.f[5], 4.0f, 7.5f);
    Float lamp = bell((toward - 0.40f) * gloss) * (0.35f + 0.65f * bell(aside * 1.6f));
    Float strip = bell((toward + 0.22f) * 2.2f * gloss) * 0.35f;
    Float sky = rise(-0.55f, 0.75f, toward);
    Float drift = noise(at.x * 0.8f, at.y * 0.8f, 72, 1.2f * z.c[6]);
    Float t = span(z.m[3], 0.12f, 0.42f) + 0.34f * sky + 0.10f * drift + 0.10f * (own - 0.5f) + 0.10f * down + span(z.m[7], -0.25f, 0.25f) * rise(0.16f, 0.05f, rim);
    Vec3 metal = blend3(ramp(z, t), z.twin, span(z.m[4], 0.0f, 1.0f) * rise(0.1f, -0.5f, aside));
    Float far = at.x * at.x + at.y * at.y;
    Float pool = 0.08f + 1.1f * exp(-0.7f * far);
    Float wear = 1.0f + (0.07f + 0.16f * abs(ruffle(p))) * detail(u * 9.0f, v * 3.0f, 73, z.m[6]);
    Float base = (0.06f + 0.95f * sky * sky) * wear * (1.0f + 0.10f * grooves);
    Float edge = clamp01(1.0f - abs(rim - 0.030f) / (0.018f + pixel)) * (0.15f + 0.85f * rise(-0.2f, 0.7f, toward));
    Float kept = (1.0f - 0.88f * shadow) * (0.35f + 0.65f * rise(-0.01f, 0.05f, rim));
    Vec3 colour = metal * (1.15f * base + 0.7f * lamp + 0.8f * strip);
    colour += blend3(z.light, z.accent, 0.55f) * (1.5f * lamp * lamp + 0.30f * edge);
    return colour * (kept * pool);
}
