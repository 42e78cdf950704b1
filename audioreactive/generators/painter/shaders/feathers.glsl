// Plumage: rows of feathers, one over the other, each with its shaft, its barbs and its eye.
Vec3 feathers(Place p, Latents z) {
    Vec2 at = focused(p, z, 0.55f, 0.30f);
    float size = span(z.c[2], 0.21f, 0.36f);
    float k = span(z.c[3], 1.3f, 2.1f);
    Vec2 fold = folded(at.x, at.y, z, 0.34f / k, k, 3, 1.3f);
    Vec2 way = turned(fold.x, fold.y, 0.5f * z.c[4] + 0.5f);
    // In units of a feather's width across and of a row down.
    Float u = way.x / size;
    Float v = way.y / (size * 0.62f);
    Float pixel = footprint(u) + 1e-4f;
    Float row = floor(v);
    Float across = 0.6f;
    Float down = 0.0f;
    Float own = 0.5f;
    Float slant = 0.0f;
    Float rim = 1.0f;
    Float shadow = 0.0f;
    UNROLL for (int n = 0; n < 6; n++) {
        // Rows from below to above; in each, the two feathers that are nearest.
        Float j = row + (1.0f - float(n / 2));
        Float shift = 0.5f * (j - 2.0f * floor(j * 0.5f));
        Float column = floor(u - shift);
        Float nearer = select(u - shift - column > 0.5f, Float(1.0f), Float(-1.0f));
        Float i = column + nearer * float(1 - n % 2);
        Bits bits = hash(i, j, 71);
        Float random = low(bits);
        Float sway = (high(bits) - 0.5f) * 0.5f + 0.22f * sin(0.9f * i + 0.7f * j + 2.0f * z.c[5]);
        Float y = v - j;
        Float x = u - shift - i - 0.5f - 0.22f * sway * (y + 0.6f);
        float length = span(z.m[0], 1.25f, 1.55f);
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
    }
    // The eye, its rings, and the barbs that run out from the shaft.
    float eye_at = 0.45f;
    Float e = sqrt(2.0f * across * across + squared(down - eye_at) + 1e-4f) * span(z.m[1], 2.0f, 3.2f);
    Float barb = (down * 1.4f - 1.1f * across) * span(z.m[2], 20.0f, 30.0f) + 3.0f * own;
    Float barb_seen = rise(0.35f, 0.12f, footprint(barb));
    Float barbs = cos(TAU * barb) * barb_seen;
    Float wide_barbs = cos(TAU * barb * 0.23f + 5.0f * own);
    Float ring = bell((e - 0.95f) * 4.0f);
    Float pupil = rise(0.75f, 0.40f, e);
    Float drift = noise(at.x * 0.9f, at.y * 0.9f, 72, 1.2f * z.c[6]);
    Float sheen = sin(5.0f * slant + 3.0f * down + 4.0f * drift + 2.0f * z.f[5]);
    Float t = span(z.m[3], 0.22f, 0.46f) + 0.16f * drift + 0.12f * sheen + 0.10f * (own - 0.5f) + 0.42f * ring - 0.30f * pupil +
              0.10f * rise(0.3f, 1.0f, down) + 0.03f * wide_barbs;
    Vec3 colour = blend3(ramp(z, t), z.twin * 1.1f, clamp01(0.4f * pupil + 0.35f * rise(0.1f, 1.0f, sheen) * (1.0f - ring)));
    Float turned_to = clamp01(0.62f + 1.15f * slant * z.sun.x + 0.45f * (down - 0.3f) * -z.sun.y - 0.8f * across * across);
    Float shaft = clamp01(1.0f - across / (0.020f * (1.1f - down) + 0.7f * pixel));
    Float pool = exp(-0.65f * (at.x * at.x + at.y * at.y));
    Float shimmer = 1.0f + 0.25f * ruffle(p) * barbs;
    Float light = (0.18f + 1.25f * turned_to * turned_to) * (1.0f + 0.42f * barbs * rise(0.0f, 0.12f, across)) * shimmer;
    light = light * (1.0f - 0.82f * shadow) * (0.55f + 0.45f * rise(0.0f, 0.10f, rim)) * (0.10f + 1.15f * pool);
    colour = colour * light;
    Float gloss = bell((slant - 0.16f * z.sun.x) * 6.0f) * rise(-0.2f, 0.5f, down) * (0.4f + 0.6f * barbs);
    colour += z.light * ((0.16f * max(gloss, 0.0f) + 0.45f * shaft * (1.0f - 0.7f * shadow)) * pool);
    return colour;
}
