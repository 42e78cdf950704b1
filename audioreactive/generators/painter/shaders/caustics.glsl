// Light on the floor of a pool: bright nets where waves gather it, fringed with colour.

// Light that waves gather into a net: each crest of a jittered lattice draws light to itself, and where two or three draw
// alike, it piles up. Returned: how far apart the crests are that draw at (x, y), along lines (x) and in knots (y).
// `angle` moves the crests, `grip` narrows the lines.
Vec2 gathered(Float x, Float y, int seed, float angle, float grip) {
    float c = 0.8f * cos(angle);
    float s = 0.8f * sin(angle);
    Float i = floor(x);
    Float j = floor(y);
    Float u = x - i;
    Float v = y - j;
    Float sum = 1e-20f;
    Float mx = 0.0f;
    Float my = 0.0f;
    Float xx = 0.0f;
    Float xy = 0.0f;
    Float yy = 0.0f;
    UNROLL for (int k = 0; k < 9; k++) {
        float column = float(k % 3 - 1);
        float row = float(k / 3 - 1);
        Bits bits = hash(i + column, j + row, seed);
        Float a = low(bits) - 0.5f;
        Float b = high(bits) - 0.5f;
        Float to_x = column + 0.5f + c * a + s * b - u;
        Float to_y = row + 0.5f + c * b - s * a - v;
        Float weight = exp2(-grip * (to_x * to_x + to_y * to_y));
        Float wx = weight * to_x;
        Float wy = weight * to_y;
        sum += weight;
        mx += wx;
        my += wy;
        xx += wx * to_x;
        xy += wx * to_y;
        yy += wy * to_y;
    }
    Float one = 1.0f / sum;
    mx = mx * one;
    my = my * one;
    xx = xx * one - mx * mx;
    xy = xy * one - mx * my;
    yy = yy * one - my * my;
    return Vec2(xx + yy, xx * yy - xy * xy);
}

// Brightness of a fold of light: a sharp crest at x = 0, a slow fall where x > 0 and a steep one outside.
Float folded_light(Float x, Float blur) {
    return inversesqrt(abs(x) + blur) * exp2(select(x > 0.0f, -14.0f * x, 9.0f * x));
}

Vec3 caustics(Place p, Latents z) {
    Vec2 at = focused(p, z, 0.75f, 0.38f);
    Float r2 = at.x * at.x * 0.6f + at.y * at.y;
    Float tremble = 0.0035f * ruffle(p);
    float tilt = span(z.c[2], -0.05f, 0.42f);
    Float depth = 1.0f / (1.0f + tilt * (p.y - 0.1f));
    Vec2 q = turned(p.x * depth + tremble, p.y * depth * 1.25f - tremble, 0.6f * z.c[3]);
    float scale = span(z.m[0], 0.95f, 1.7f);
    Vec2 flow = folded(q.x * scale, q.y * scale, z, span(z.m[1], 0.13f, 0.24f), 2.0f, 6, 1.35f);
    Float swell = noise(q.x * 1.2f + 3.0f + 0.4f * z.c[6], q.y * 1.2f + 0.4f * z.c[7], 43, 1.2f * z.c[5]);
    Vec2 net = gathered(flow.x, flow.y, 41, 1.3f * z.c[4], span(z.m[2], 26.0f, 44.0f));
    Vec2 fine = gathered(1.9f * flow.x + 0.5f * swell + 0.37f, 1.9f * flow.y - 0.5f * swell, 47, 1.3f * z.c[5] + 0.6f * z.m[5], 22.0f);
    float split = span(z.f[5], 0.04f, 0.14f);
    Float level = span(z.m[3], 0.23f, 0.31f) + 0.09f * swell;
    Float blur = 0.002f + 0.15f * footprint(net.x);  // the crest's mean over a pixel
    Vec3 light = Vec3(folded_light(net.x * (1.0f - split) - level, blur), folded_light(net.x - level, blur),
                      folded_light(net.x * (1.0f + split) - level, blur));
    Float soft = net.x * net.x * 9.0f;
    Float second = fine.x * fine.x * (0.35f + 0.9f * rise(-0.5f, 0.6f, swell)) * 7.0f;
    Float knots = min(net.y * 25.0f, 1.5f);
    light = light * (0.05f + 0.05f * knots) + (soft * 0.40f + second * (0.20f + soft) + 1.1f * knots * knots);
    Float pool = exp(-r2 / span(z.f[5], 0.5f, 0.9f));
    Float far = rise(1.9f, 0.9f, depth);
    Float strength = light.y;
    Float under = 0.5f + 0.5f * swell;
    Vec3 colour = tone(z, 0.03f + 0.05f * under * far + pool * (0.25f + 0.11f * under + 0.10f * soft)) * (0.20f + 0.80f * pool);
    colour += z.accent * (0.085f * rise(0.15f, 1.2f, r2) * squared(under) * far);
    Vec3 tint = blend3(z.body * 1.25f + z.accent * 0.15f, z.light, rise(0.35f, 2.2f, strength));
    return colour + Vec3(tint.x * light.x, tint.y * light.y, tint.z * light.z) * ((0.07f + 1.25f * pool) * (0.3f + 0.7f * far));
}
