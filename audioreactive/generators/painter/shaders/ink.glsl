// Ink on dark water, marbled: bands of colour, hairlines of accent between them, veins inside.
Vec3 ink(Place p, Latents z) {
    Vec2 at = focused(p, z, 0.62f, 0.34f);
    Float r = length2(at.x, at.y);
    Float pond = bell(r / span(z.c[2], 0.8f, 1.3f));
    float k = span(z.m[0], 1.9f, 2.7f);
    Float trembling = 0.012f * ruffle(p);
    Vec2 fold = folded(at.x + trembling, at.y - trembling, z, span(z.c[3], 1.35f, 1.85f) / k * (0.32f + 0.68f * pond), k, 10, 1.10f);
    Float u = fold.x;
    Float v = fold.y;
    float a = 1.5f * z.c[4];
    Float s = (u * cos(a) + v * sin(a)) * span(z.m[1], 3.2f, 5.2f) + 0.5f * noise(u * 0.9f, v * 0.9f, 3, z.c[5]);
    s = s + 0.30f * sin(1.9f * s);
    Float w = footprint(s);
    Float i = floor(s);
    Float f = s - i;
    Float e = rise(0.0f, 1.0f, (f - 1.0f) / (w + 0.02f) + 1.0f);
    Float band = blend(pow(chance(i, 0.0f, 11), 1.25f), pow(chance(i + 1.0f, 0.0f, 11), 1.25f), e);
    Float near = min(f, 1.0f - f);
    Float clear = rise(0.9f, 0.25f, w);
    Float veins = cos(TAU * s * 6.0f) * rise(0.12f, 0.04f, w) + 0.7f * cos(TAU * s * 17.0f + 2.0f) * rise(0.05f, 0.015f, w);
    Float grain = clouds(u * 14.0f, v * 14.0f, 3, 50, z.m[2]);
    Float pool = rise(0.05f, 0.6f, pond + 0.25f * noise(at.x * 1.4f, at.y * 1.4f, 8, z.c[6]));
    Float shade = 0.06f + 0.86f * band + 0.10f * f + 0.06f * veins * pool + (0.02f + 0.02f * abs(ruffle(p))) * grain;
    shade = blend(0.34f, shade, clear);
    Vec3 colour = ramp(z, shade * (0.15f + 0.85f * pool)) * (0.30f + 1.05f * pool);
    Float marked = select(chance(i + rise(0.5f, 0.5001f, f), 0.0f, 12) > 0.55f, Float(1.0f), Float(0.03f));
    Float hair = bell(near / (w * 0.7f + 0.014f)) * marked * clear;
    veins = veins * (0.15f + 0.85f * pool);
    colour = blend3(colour, z.accent * 1.5f + z.light * 0.4f, hair * 0.85f * pow(pool, 1.5f));
    colour = colour * (0.55f + 0.6f * rise(0.0f, 0.35f, near + 0.12f * (1.0f - clear)));
    Float height = 0.6f * band + 0.05f * veins + 0.35f * hair + 0.025f * grain;
    return lit(colour, height, p, z, 0.02f, 0.45f, 40.0f, 0.45f);
}
