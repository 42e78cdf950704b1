// A flower of enamel and gold: rings of domed petals with veins, pearls at their tips, on a ground of fine rosettes.

// Where a point lies from the axis of a ring's nearest petal: outwards (x) and along the ring (y).
Vec2 petal_place(Float r, Float turns, float count, float phase) {
    Float a = (fract(turns * count + phase) - 0.5f) * (TAU / count);
    Float q = a * a;
    return Vec2(r * (1.0f - q * (0.5f - q * 0.0416667f)), r * a * (1.0f - q * (0.16666667f - q * 0.0083333f)));
}

// Distance to a petal's rim (negative inside), place along it (0 to 1) and across (-1 to 1), half its width there.
Vec4 petal(Vec2 place, float at, float size, float wide, float sharp) {
    Float c = place.x - at;
    Float t = clamp01((c / size + 1.0f) * 0.5f);
    Float half_width = wide * size * 2.0f * sqrt(t * (1.0f - t) + 0.0001f) * (1.0f - sharp * (t - 0.35f));
    return Vec4(max(abs(place.y) - half_width, abs(c) - size), t, place.y / half_width, half_width);
}

// Coverage of a line of half-width w at distance d: the `line` of all families without its exponential.
Float wire(Float d, float w, float pixel) {
    float e = max(w, 0.75f * pixel);
    return squared(max(1.0f - d * d * (0.33f / (e * e)), 0.0f)) * (w / e);
}

// Enamel's colour from dark (0) to light (1).
Vec3 enamel(Latents z, Float t) {
    Float pale = max(t - 0.42f, 0.0f);
    return z.shadow * (0.5f * t) + z.body * (2.3f * t * t) + z.light * (1.1f * pale * pale);
}

// Lines of half-width w, one at each whole phase, `spacing` apart; where they would crowd, their mean.
Float threads_of_gold(Float phase, Float spacing, float w, float pixel) {
    return line(abs(fract(phase + 0.5f) - 0.5f) * spacing, w, pixel) * clamp01(spacing * (0.33f / pixel) - 0.66f);
}

// A ring of `count` petals over what lies below. (r, turns) is the point, `outward` its direction from the middle,
// `sunward` the point's (r, turns) moved towards the light, `pool` the light there.
Vec3 ring(Vec3 below, Float r, Float turns, Vec2 outward, Vec2 sunward, Float pool, float px, Latents z, int k,
          float count, float at, float size, float wide, float shade, float accent) {
    float j = float(k);
    float phase = 0.5f * float(k % 2) + 0.35f * (1.0f - 2.0f * float(k % 2)) * z.c[7] * (0.4f + 0.6f * at);
    at = at * (1.0f + 0.06f * tanh(z.c[4] + j * z.c[5]));
    size = size * span(z.c[6] + 0.8f * sin(2.0f * j + z.c[3]), 0.75f, 1.3f);
    wide = min(wide * span(z.m[1] + sin(j + z.m[2]), 0.7f, 1.2f), 1.15f * 0.5f * TAU * at / count / size);
    float sharp = span(z.m[3] + cos(1.7f * j), -0.3f, 0.9f);
    Vec2 beside = petal_place(r, turns, count, phase);
    Vec4 q = petal(beside, at, size, wide, sharp);
    Float d = q.x;
    Float t = q.y;
    Float shadow = petal(petal_place(sunward.x, sunward.y, count, phase), at, size, wide, sharp).x;
    below *= 0.12f + 0.88f * rise(-0.02f, 0.09f, shadow);
    Float dome = clamp01(-d / (0.5f * wide * size));
    Float nr = 1.1f * (t - 0.45f);
    Float na = 0.9f * q.z;
    Float nx = outward.x * nr - outward.y * na;
    Float ny = outward.y * nr + outward.x * na;
    Float nl = inversesqrt(1.0f + nx * nx + ny * ny);
    Float facing = clamp01((nx * z.sun.x + ny * z.sun.y + z.sun.z) * nl);
    Float gleam = clamp01((nx * z.sun.x + ny * z.sun.y + z.sun.z + 1.0f) * nl * (0.5f / sqrt(0.5f + 0.5f * z.sun.z)));
    gleam = squared(squared(squared(squared(squared(squared(gleam))))));
    Float light = facing * facing;
    // veins run to the tip inside, echoes of the rim outside
    float echoes = span(z.m[4], 6.0f, 10.0f);
    Float inner = rise(0.42f, 0.62f, dome);
    Float vein = threads_of_gold(abs(q.z) * 5.5f - 1.6f * t * t, q.w * (1.0f / 5.5f), 0.0018f, px);
    Float echo = threads_of_gold(d / size * echoes, Float(size / echoes), 0.0021f, px);
    Float gold = blend(0.9f * echo, 0.65f * vein, inner) * (0.10f + 1.4f * light) * (0.2f + 0.95f * pool);
    Vec3 fill = enamel(z, shade + 0.46f * light * (0.3f + 0.7f * t) * (0.35f + 0.65f * pool)) * (0.10f + facing);
    fill = blend3(fill, z.accent * (0.02f + 1.0f * light * (0.25f + 0.75f * t)), rise(0.2f, 0.5f, dome) * accent);
    fill += blend3(z.light, z.accent, Float(0.25f)) * gold + z.light * (1.1f * gleam * dome * pool);
    Vec3 colour = blend3(below, fill * (0.30f + 1.0f * pool), cover(-d, px));
    Float towards = clamp01(0.5f + 0.7f * (nx * z.sun.x + ny * z.sun.y));
    colour += z.light * (wire(d + 0.003f, 0.0030f, px) * (0.07f + 1.3f * towards * towards) * (0.08f + pool));
    // a pearl at each tip
    float size_of_pearl = (0.014f + 0.014f * float(k % 2)) * (0.6f + 0.5f * at) * span(z.m[5], 0.8f, 1.3f);
    Float bx = (beside.x - at - size - 1.3f * size_of_pearl) * (1.0f / size_of_pearl);
    Float by = beside.y * (1.0f / size_of_pearl);
    Float b = length2(bx, by);
    Float bz = sqrt(max(1.0f - b * b, 0.0f));
    Float lean = (outward.x * bx - outward.y * by) * z.sun.x + (outward.y * bx + outward.x * by) * z.sun.y;
    Float lighted = clamp01(lean + bz * z.sun.z);
    Float glint = squared(squared(squared(squared(lighted))));
    vec3 jewel = z.accent * float(k % 2) + z.twin * float(1 - k % 2);
    Vec3 pearl = jewel * (0.05f + 0.7f * lighted * lighted + 0.6f * (1.0f - bz) * clamp01(-lean)) + z.light * (2.5f * glint * glint);
    colour *= 0.30f + 0.70f * rise(0.8f, 1.9f, b);
    return blend3(colour, pearl * (0.12f + 0.95f * pool), cover((1.0f - b) * size_of_pearl, px));
}

Vec3 mandala(Place p, Latents z) {
    Vec2 at = focused(p, z, 0.64f, 0.36f);
    float zoom = span(z.c[2], 0.80f, 1.25f);
    Float x = at.x / zoom;
    Float y = at.y / zoom;
    float px = p.px / zoom;
    Float r = length2(x, y) + 0.00001f;
    Vec2 outward = Vec2(x / r, y / r);
    Float turns = atan(y, x) / TAU;
    Float sun_x = x + 0.035f * z.sun.x;
    Float sun_y = y + 0.035f * z.sun.y;
    Vec2 sunward = Vec2(length2(sun_x, sun_y), atan(sun_y, sun_x) / TAU);
    r += 0.004f * ruffle(p);
    Float pool = bell(r / span(z.f[5], 1.2f, 1.75f));
    Vec3 colour = tone(z, 0.02f + 0.12f * pool) * (0.2f + 0.8f * pool);
    // the ground: two families of rosettes that cross
    float wave = 1.2f * z.c[3];
    Float c12 = cos(12.0f * TAU * turns);
    Float rosette = (cos(wave) * c12 + cos(wave + 1.6f) * (2.0f * c12 * c12 - 1.0f)) * 0.10f * r * sin(3.2f * r + z.m[6]);
    float often = span(z.m[0], 12.0f, 20.0f);
    UNROLL for (int k = 0; k < 2; k++) {
        Float phase = often * (r + (1.0f - 2.0f * float(k)) * rosette);
        Float spacing = px / (footprint(phase) + 0.0001f);
        Float drawn = threads_of_gold(phase, spacing, 0.0020f, px) * (0.05f + 0.75f * pool) * rise(2.4f, 1.2f, r);
        colour += (z.accent * float(k) + z.twin * float(1 - k)) * drawn;
    }
    colour = ring(colour, r, turns, outward, sunward, pool, px, z, 0, 36.0f, 1.52f, 0.25f, 0.55f, 0.08f, 0.0f);
    colour = ring(colour, r, turns, outward, sunward, pool, px, z, 1, 12.0f, 1.02f, 0.26f, 0.80f, 0.18f, 0.0f);
    colour = ring(colour, r, turns, outward, sunward, pool, px, z, 2, 24.0f, 0.74f, 0.13f, 0.55f, 0.06f, 1.0f);
    colour = ring(colour, r, turns, outward, sunward, pool, px, z, 3, 12.0f, 0.42f, 0.18f, 0.65f, 0.26f, 0.0f);
    colour = ring(colour, r, turns, outward, sunward, pool, px, z, 4, 6.0f, 0.15f, 0.12f, 0.50f, 0.38f, 0.0f);
    return colour + z.light * (1.4f * bell(r / 0.035f)) + z.accent * (0.12f * bell(r / 0.25f));
}
