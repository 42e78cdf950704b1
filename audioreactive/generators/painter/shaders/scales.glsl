// Scales of metal, row over row, which waves raise and turn, so that light runs over them.

// What a scale mirrors, from the x and y of its normal: light of its metal in x, the lamp's own in y; how far it leans
// towards the light in z, and to its side in w.
Vec4 mirrored(Float nx, Float ny, Latents z) {
    Float toward = nx * z.sun.x + ny * z.sun.y;
    Float aside = nx * z.sun.y - ny * z.sun.x;
    float gloss = span(z.f[5], 4.0f, 7.5f);
    Float lamp = bell((toward - 0.40f) * gloss) * (0.35f + 0.65f * bell(aside * 1.6f));
    Float strip = bell((toward + 0.22f) * 2.2f * gloss) * 0.35f;
    return Vec4(0.7f * lamp + 0.8f * strip, lamp, toward, aside);
}

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
    // Of the scale on top, and of the one that is seen where that covers a pixel in part.
    Float coverage = 1.0f;
    Float across = 0.6f;
    Float down = 0.0f;
    Float own = 0.5f;
    Float slant = 0.0f;
    Float tilt = 0.0f;
    Float lean = 0.0f;
    Float rim = 1.0f;
    Float below_down = 0.0f;
    Float below_slant = 0.0f;
    Float below_tilt = 0.0f;
    Float below_lean = 0.0f;
    float turn = 0.9f + 0.9f * z.c[5];
    float spread = span(z.m[5], 0.15f, 0.55f);
    Float shadow = 0.0f;
    Float shadow_below = 0.0f;
    UNROLL for (int n = 0; n < 6; n++) {
        // Rows from below to above; in each, the two scales that are nearest, the left one above.
        Float j = row + (1.0f - float(n / 2));
        Float shift = 0.5f * (j - 2.0f * floor(j * 0.5f));
        Float column = floor(u - shift);
        Float left = column + select(u - shift - column > 0.5f, Float(0.0f), Float(-1.0f));
        Float i = left + float(1 - n % 2);
        Bits bits = hash(i, j, 71);
        Float random = low(bits);
        // Two waves raise the scale to the side and to the front; a little is its own.
        Float raised = sin(0.52f * (i + shift) * cos(turn) + 0.45f * j * sin(turn) + 2.2f * z.c[6]) + spread *
            (random - 0.5f);
        Float fronted = sin(0.33f * j - 0.40f * (i + shift) + 2.2f * z.c[7]) + spread * (high(bits) - 0.5f);
        Float y = v - j;
        Float x = u - shift - i - 0.5f - 0.10f * raised * (y + 0.4f);
        float length = span(z.m[0], 1.20f, 1.60f);
        Float tip = max(y, 0.0f) * (1.0f / length);
        Float wide = 0.56f + 0.06f * random;
        Float q = x * x / (wide * wide) + tip * tip;
        Float d = (1.0f - q) * 0.34f;
        Float shown = cover(d, pixel);
        Float thrown = rise(-0.5f, 0.4f, y);
        shadow = select(shown > 0.0f, Float(0.0f), max(shadow, clamp01(1.0f + d * 3.6f) * thrown));
        shadow_below = select(shown > 0.0f, thrown, shadow_below);
        below_down = select(shown > 0.0f, down, below_down);
        below_slant = select(shown > 0.0f, slant, below_slant);
        below_tilt = select(shown > 0.0f, tilt, below_tilt);
        below_lean = select(shown > 0.0f, lean, below_lean);
        coverage = select(shown > 0.0f, shown, coverage);
        across = select(shown > 0.0f, abs(x), across);
        down = select(shown > 0.0f, y * (1.0f / length), down);
        own = blend(own, random, shown);
        slant = select(shown > 0.0f, x, slant);
        rim = select(shown > 0.0f, d, rim);
        tilt = select(shown > 0.0f, raised, tilt);
        lean = select(shown > 0.0f, fronted, lean);
    }
    // A dished, ridged plate: its normal, in the picture's axes only nearly, and what it mirrors.
    float dish = span(z.m[1], 0.55f, 1.05f);
    float fine = span(z.m[2], 16.0f, 30.0f);
    Float grooves = -sin(TAU * fine * across) * rise(0.45f, 0.20f, fine * pixel) * rise(0.08f, 0.25f, rim);
    Float ruffled = ruffle(p);
    Vec4 top = mirrored(0.06f * ruffled + 0.42f * tilt + dish * slant + 0.05f * grooves,
                        0.42f * lean + 0.7f * dish * (down - 0.45f), z);
    Vec4 below = mirrored(0.06f * ruffled + 0.42f * below_tilt + dish * below_slant,
                          0.42f * below_lean + 0.7f * dish * (below_down - 0.45f), z);
    Float kept = 0.35f + 0.65f * rise(-0.01f, 0.05f, rim);
    Float edge = clamp01(1.0f - abs(rim - 0.030f) / (0.018f + pixel)) * (0.15f + 0.85f * rise(-0.2f, 0.7f, top.z));
    Float wear = 1.0f + 0.12f * ruffled + (0.07f + 0.16f * abs(ruffled)) * detail(u * 9.0f, v * 3.0f, 73, z.m[6]);
    Float sky = rise(-0.55f, 0.75f, top.z);
    Float sky_below = rise(-0.55f, 0.75f, below.z);
    Float dim = 1.0f - 0.88f * shadow_below;
    Float matt = (0.06f + 0.95f * sky * sky) * (1.0f + 0.10f * grooves) * kept;
    Float matt_below = (0.06f + 0.95f * sky_below * sky_below) * dim;
    // Displays show about the root of light, as `laid` explains.
    Float a = sqrt(max(matt_below + below.x * dim, 0.0f));
    Float b = sqrt(max(matt + top.x * kept, 0.0f));
    Float share = coverage * (1.0f - (b - a) / (a + b + 1e-4f) * (1.0f - coverage));
    matt = blend(matt_below, matt, share);
    Float shine = blend(below.x * dim, top.x * kept, share);
    Float glare = blend(1.5f * dim * below.y * below.y, (1.5f * top.y * top.y + 0.30f * edge) * kept, share);
    Float drift = noise(at.x * 0.8f, at.y * 0.8f, 72, 1.2f * z.c[6]);
    Float t = span(z.m[3], 0.12f, 0.42f) + 0.34f * blend(sky_below, sky, coverage) + 0.10f * drift + 0.10f * (own - 0.5f) +
              0.10f * blend(below_down, down, coverage) + span(z.m[7], -0.25f, 0.25f) * rise(0.16f, 0.05f, rim) * coverage;
    Vec3 metal = blend3(ramp(z, t), z.twin, span(z.m[4], 0.0f, 1.0f) * rise(0.1f, -0.5f, blend(below.w, top.w, coverage)));
    Float far = at.x * at.x + at.y * at.y;
    Float pool = 0.08f + 1.1f * exp(-0.7f * far);
    Vec3 colour = metal * (1.15f * matt * wear + shine) + blend3(z.light, z.accent, 0.55f) * glare;
    return colour * ((1.0f - 0.88f * shadow) * pool);
}
