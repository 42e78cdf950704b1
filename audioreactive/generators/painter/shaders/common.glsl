// What all families share. Conventions: x runs right, y down, 2 units across the shorter side, 0 in the middle;
// colours are linear light, which may exceed 1. `Float` and `Vec3` differ from pixel to pixel; `float` and `vec3` do not.

const float TAU = 6.28318531f;

// ---- shaping

// Maps a latent to the range a..b.
float span(float z, float a, float b) { return a + (b - a) * (0.5f + 0.5f * tanh(0.9f * z)); }

Float clamp01(Float x) { return min(max(x, 0.0f), 1.0f); }

Float blend(Float a, Float b, Float t) { return a + (b - a) * t; }

Vec3 blend3(Vec3 a, Vec3 b, Float t) { return a + (b - a) * t; }

// Rises smoothly from 0 at a to 1 at b; b may be less than a.
Float rise(Float a, Float b, Float x) {
    Float t = clamp01((x - a) / (b - a));
    return t * t * (3.0f - 2.0f * t);
}

Float squared(Float x) { return x * x; }

Float bell(Float x) { return exp(-x * x); }

Float length2(Float x, Float y) { return sqrt(x * x + y * y); }

// Change of a value from one pixel to the next.
Float footprint(Float x) { return length2(dFdx(x), dFdy(x)); }

// Coverage of a line of half-width w at distance d from its centre; `pixel` is the width of a pixel in the same unit. A
// line thinner than a pixel dims instead of breaking up.
Float line(Float d, Float w, Float pixel) {
    Float e = max(w, 0.75f * pixel);
    return exp2(-1.4f * squared(d / e)) * (w / e);
}

// Coverage of the side of an edge where d is positive.
Float cover(Float d, Float pixel) { return clamp01(d / pixel + 0.5f); }

// Lays a light over another one with a coverage. Displays show about the root of light: half a pixel of a bright light in
// the dark has to be a quarter of it, or the edge is narrower on the display than a pixel, and steps from pixel to pixel.
Vec3 laid(Vec3 below, Vec3 above, Float coverage) {
    Float a = sqrt(max(below.x + below.y + below.z, 0.0f));
    Float b = sqrt(max(above.x + above.y + above.z, 0.0f));
    Float k = (b - a) / (a + b + 1e-4f);
    return blend3(below, above, coverage * (1.0f - k * (1.0f - coverage)));
}

Vec2 turned(Float x, Float y, float angle) {
    float c = cos(angle);
    float s = sin(angle);
    return Vec2(c * x + s * y, c * y - s * x);
}

// ---- noise

// One random number, 0 to 1, for a lattice point.
Float chance(Float i, Float j, int seed) { return low(hash(i, j, seed)); }

Float fade(Float t) { return t * t * t * (t * (t * 6.0f - 15.0f) + 10.0f); }

// The slope of a lattice point times the way from there, whose parts are along and across.
Float corner(Float i, Float j, int seed, Float along, Float across) {
    Bits bits = hash(i, j, seed);
    return (low(bits) - 0.5f) * along + (high(bits) - 0.5f) * across;
}

// Gradient noise, about -1 to 1. Its gradients turn with `angle`, so that the field changes in place.
Float noise(Float x, Float y, int seed, float angle) {
    float c = 3.4f * cos(angle);
    float s = 3.4f * sin(angle);
    Float i = floor(x);
    Float j = floor(y);
    Float u = x - i;
    Float v = y - j;
    Float along = c * u + s * v;
    Float across = c * v - s * u;
    Float right = fade(u);
    Float above = blend(corner(i, j, seed, along, across), corner(i + 1.0f, j, seed, along - c, across + s), right);
    Float below = blend(corner(i, j + 1.0f, seed, along - s, across - c),
                        corner(i + 1.0f, j + 1.0f, seed, along - (c + s), across + (s - c)), right);
    return blend(above, below, fade(v));
}

// Noise that fades where a period is less than some pixels.
Float detail(Float x, Float y, int seed, float angle) {
    Float w = max(footprint(x), footprint(y));
    return noise(x, y, seed, angle) * rise(0.6f, 0.25f, w);
}

// Octaves of noise, turned against each other, the finest ones faded where a pixel is too wide for them. `gain` is the
// strength of an octave in units of the one before; `ridge` from 0 to 1 goes from soft clouds to creases.
Float fbm(Float x, Float y, int octaves, int seed, float angle, float gain, float ridge) {
    Float sum = 0.0f;
    Float w = max(footprint(x), footprint(y));
    float a = 1.0f;
    float total = 0.0f;
    UNROLL for (int k = 0; k < octaves; k++) {
        Float n = noise(x, y, seed + k, angle * (1.0f + 0.3f * float(k)));
        n = blend(n, 1.0f - 2.6f * sqrt(n * n + 0.004f), ridge);
        sum += a * n * rise(0.6f, 0.25f, w);
        total += a;
        a *= gain;
        Float turned_x = 1.62f * x - 1.22f * y + 5.3f;
        y = 1.22f * x + 1.62f * y + 1.7f;
        x = turned_x;
        w = w * 2.03f;
    }
    return sum / total * 1.3f;
}

// Clouds: octaves at half the strength of the one before.
Float clouds(Float x, Float y, int octaves, int seed, float angle) {
    return fbm(x, y, octaves, seed, angle, 0.5f, 0.0f);
}

// The noise maps of a frame, about -1 to 1: what ruffles a texture. They span the picture.
Float ruffle(Place p) {
    return table_value(p.table, (p.x / p.right * 0.5f + 0.5f) * float(p.table.columns - 1),
                       (p.y / p.bottom * 0.5f + 0.5f) * float(p.table.rows - 1));
}

// The same maps, mirrored: a second, independent field.
Float ruffle_mirrored(Place p) {
    return table_value(p.table, (0.5f - p.y / p.bottom * 0.5f) * float(p.table.columns - 1),
                       (p.x / p.right * 0.5f + 0.5f) * float(p.table.rows - 1));
}

// ---- colour

Vec3 linear_light(Vec3 lab) {
    Float l = lab.x + 0.3963377774f * lab.y + 0.2158037573f * lab.z;
    Float m = lab.x - 0.1055613458f * lab.y - 0.0638541728f * lab.z;
    Float s = lab.x - 0.0894841775f * lab.y - 1.2914855480f * lab.z;
    l = l * l * l;
    m = m * m * m;
    s = s * s * s;
    return Vec3(max(4.0767416621f * l - 3.3077115913f * m + 0.2309699292f * s, 0.0f),
                max(2.6097574011f * m - 1.2684380046f * l - 0.3413193965f * s, 0.0f),
                max(1.7076147010f * s - 0.0041960863f * l - 0.7034186147f * m, 0.0f));
}

// The scheme's colours from dark (t = 0) over shadow, body and accent to light (t = 1).
Vec3 ramp(Latents z, Float t) {
    t = t * 8.0f;
    Vec3 lab = z.ramp[0];
    UNROLL for (int k = 0; k < 8; k++) lab += (z.ramp[k + 1] - z.ramp[k]) * clamp01(t - float(k));
    return linear_light(lab);
}

// Dark to light in the body's own hue, without the accent.
Vec3 tone(Latents z, Float t) {
    t = t * 8.0f;
    Vec3 lab = z.tone[0];
    UNROLL for (int k = 0; k < 8; k++) lab += (z.tone[k + 1] - z.tone[k]) * clamp01(t - float(k));
    return linear_light(lab);
}

// ---- light

// The surface's normal from a height, whose slope is exaggerated by k.
Vec3 normal(Float height, Place p, float k) {
    Float nx = -k / p.px * dFdx(height);
    Float ny = -k / p.px * dFdy(height);
    Float nz = inversesqrt(1.0f + nx * nx + ny * ny);
    return Vec3(nx * nz, ny * nz, nz);
}

// Relief: the slope of a height shades a colour and catches a highlight of `shine`, with a gloss (the larger, the
// narrower) and an ambient share of light.
Vec3 lit(Vec3 colour, Float height, Place p, Latents z, float k, float shine, float gloss, float ambient) {
    Vec3 n = normal(height, p, k);
    Float diffuse = max(n.x * z.sun.x + n.y * z.sun.y + n.z * z.sun.z, 0.0f);
    float half_z = sqrt((1.0f + z.sun.z) * 0.5f);
    Float s = clamp01((n.x * z.sun.x + n.y * z.sun.y) / (2.0f * half_z) + n.z * half_z);
    Float highlight = shine * pow(s, gloss) * clamp01(1.0f - n.z * n.z) * 3.0f;
    return colour * (ambient + (1.0f - ambient) / z.sun.z * diffuse) + z.light * highlight;
}

// ---- composition

// The place relative to the focus, which two coarse latents move about the picture.
Vec2 focused(Place p, Latents z, float right, float down) {
    return Vec2(p.x - right * tanh(z.c[0]), p.y - down * tanh(z.c[1]));
}

// Stretches and folds the plane by sine waves in turning directions, each of which keeps areas; folds pile up as in
// marbling. Two coarse latents a wave turn it and move it.
Vec2 folded(Float x, Float y, Latents z, Float amplitude, float frequency, int waves, float growth) {
    UNROLL for (int k = 0; k < waves; k++) {
        float a = 2.4f * float(k) + 0.5f * z.c[4 + k % 4];
        float c = cos(a);
        float s = sin(a);
        Float d = amplitude * sin(frequency * (x * c + y * s) + 1.7f * float(k) + 1.3f * z.c[4 + (k + 1) % 4]);
        x -= s * d;
        y += c * d;
        amplitude *= 0.86f;
        frequency *= growth;
    }
    return Vec2(x, y);
}
