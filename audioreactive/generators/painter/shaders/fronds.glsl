// A fan of branches in deep water: each forks again and again, and its tips glow.
// One fan at (x, y), its foot at the origin, growing up: x is the light of its branches, y their level 0..1, z a glow.
Vec3 fan(Float x, Float y, Latents z, float pixel, float blur, float sway) {
    float fork = span(z.c[3], 0.36f, 0.62f);
    float shrink = span(z.c[2], 1.26f, 1.38f);
    float scale = 1.0f;
    Float light = 0.0f;
    Float level = 0.0f;
    Float glow = 0.0f;
    UNROLL for (int k = 0; k < 9; k++) {
        float length = 0.52f;
        Float along = clamp01(-y / length) * length;
        Float d = length2(x, y + along) / scale;
        float thick = (0.030f - 0.0022f * float(k)) / scale;
        float tip = float(k) / 8.0f;
        float e = max(thick, 0.75f * pixel) + blur * 0.02f;
        Float here = exp2(-1.4f * squared(d / e)) * (thick / e);
        level = blend(level, Float(tip), here);
        light = max(light, here);
        glow += (0.2f + tip) * 0.0006f / (d * d + 0.0009f);
        y += length;
        float bend = sway * (0.14f * sin(1.7f * float(k) + 1.4f * z.c[4]) + 0.10f * z.c[5]);
        Vec2 bent = turned(x, y, bend);
        Vec2 next = turned(abs(bent.x), bent.y, -fork * (1.0f + 0.25f * sin(2.3f * float(k) + 1.3f * z.c[6])));
        x = next.x * shrink;
        y = next.y * shrink;
        scale = scale * shrink;
    }
    return Vec3(light, level, glow);
}

Vec3 fronds(Place p, Latents z) {
    Vec2 at = focused(p, z, 0.45f, 0.12f);
    Float wander_x = noise(at.x * 0.9f, at.y * 0.9f, 111, 1.3f * z.c[7]);
    Float wander_y = noise(at.x * 0.9f + 7.0f, at.y * 0.9f, 112, 1.3f * z.c[7]);
    Float fine = noise(at.x * 2.9f, at.y * 2.9f, 113, 1.2f * z.c[6]);
    Float x = at.x + 0.16f * wander_x + 0.035f * fine + 0.003f * ruffle(p);
    Float y = at.y + 0.16f * wander_y + 0.035f * fine;
    Vec3 near = fan(x, y - 0.95f, z, p.px, 0.0f, 1.0f);
    Vec3 colour = ramp(z, 0.25f + 0.6f * near.y) * (near.x * (0.3f + 1.3f * near.y));
    colour += z.body * (near.z * 0.15f);
    return colour;
}
