// A land of cut sheets, one contour above the other, with light in its hollows and fine lines along its heights.

Vec3 contours(Place p, Latents z) {
    Vec2 at = focused(p, z, 0.85f, 0.45f);
    Float tremble = 0.0012f * ruffle(p);
    float scale = span(z.m[0], 0.75f, 1.15f);
    Vec2 fold = folded(scale * p.x + tremble, scale * p.y - tremble, z, span(z.c[2], 0.14f, 0.34f), 1.5f, 5, 1.4f);
    Float u = fold.x;
    Float v = fold.y;
    // height: hills, a long slope, a hollow at the focus
    float a = 1.4f * z.c[3];
    float gain = span(z.m[1], 0.30f, 0.52f);
    Float hills = noise(u * 0.8f, v * 0.8f, 31, 1.4f * z.c[4]) + gain * noise(u * 1.8f + 3.1f, v * 1.8f, 32, 1.4f * z.c[5]) +
                  gain * gain * noise(u * 4.1f, v * 4.1f + 1.7f, 33, 1.2f * z.c[6]);
    Vec2 valley = turned(at.x + 1.1f * (u - scale * p.x), at.y + 1.1f * (v - scale * p.y), 1.2f * z.c[6] + 0.5f);
    Float far = length2(valley.x * span(z.c[5], 0.5f, 0.95f), valley.y * 1.15f);
    Float h = 0.66f * hills + 0.26f * (at.x * cos(a) + at.y * sin(a)) - 1.25f * bell(far / span(z.c[7], 0.48f, 0.85f)) + 0.42f;
    // sheets: `own` the sheet's number, `edge` its coverage where it meets the next one
    float count = span(z.m[2], 6.0f, 11.0f);
    Float level = h * count;
    Float gx = dFdx(level);
    Float gy = dFdy(level);
    Float w = length2(gx, gy) + 0.00001f;
    Float own = floor(level);
    Float f = level - own;
    Float edge = clamp01((f - 1.0f) / (1.2f * w) + 1.0f);
    Float step = own + edge;
    Float below = f * p.px / w;
    Float depth = 0.5f - 0.5f * tanh(1.45f * (step + 0.5f) / count);
    // light from the hollows seen at a sheet's lower rim; the shadow of the next sheet; its rim, lit or not by the sun
    Float uphill = (gx * z.sun.x + gy * z.sun.y) / w;
    Float distance = (1.0f - f) * p.px / w / max(1.4f * uphill, 0.02f);
    Float shadow = 1.0f - 0.80f * rise(0.085f, 0.0f, distance) * (1.0f - edge) * rise(0.5f, 1.6f, w / p.px);
    Float near = min(f, 1.0f - f) * p.px / w;
    Float rim = line(near, 0.0028f, p.px) * clamp01(1.6f - 2.2f * w);
    Float glow = blend(exp(-below / 0.045f), 1.0f, edge);
    float lines = span(z.m[3], 3.5f, 6.5f);
    Float apart = p.px / (w * lines);
    Float fine = blend(min(0.0022f / apart, 0.3f), line(abs(fract(level * lines + 0.5f) - 0.5f) * apart, 0.0012f, p.px), clamp01(2.0f - 4.0f * w * lines));
    Float grain = 0.012f * detail(p.x * 60.0f, p.y * 60.0f, 37, 0.0f) + 0.005f * ruffle_mirrored(p);
    Float lit_here = 0.04f + depth * depth * span(z.f[5], 1.15f, 1.95f);
    Float sunny = 0.35f + 0.65f * clamp01(0.35f - uphill);
    Vec3 colour = ramp(z, 0.05f + 0.90f * depth + grain * (0.3f + depth)) * (lit_here * shadow * (0.72f + 0.28f * blend(f, 0.0f, edge)));
    colour += z.accent * (glow * depth * (0.05f + 0.38f * depth));
    colour += z.light * (rim * sunny * (0.035f + 1.1f * depth * depth));
    return colour + blend3(z.accent, z.light, depth) * (fine * shadow * (0.020f + 0.40f * depth * depth));
}
