// Veils of silk in the dark: sheets that fold over in two sheets, combed by threads, their hems lit.

Vec3 silk(Place p, Latents z) {
    Vec2 at = focused(p, z, 0.5f, 0.3f);
    float ruffled = span(z.c[4], 0.45f, 0.75f);
    Float shimmer = ruffle(p);
    Float glow = bell(length2(at.x, at.y) / 0.9f);
    Vec3 colour = z.dark * 0.25f + z.shadow * (0.15f * glow);
    UNROLL for (int k = 0; k < 3; k++) {
        // A veil hangs across the direction v; each is turned a little against the one behind it.
        float depth = 0.5f * float(k);
        float turn = 1.2f * z.c[2] + 0.35f * sin(1.9f * float(k) + z.c[3]);
        Vec2 place = turned(at.x, at.y, turn);
        float f = ruffled * (1.25f - 0.1f * float(k));
        Float w1 = noise(place.x * f + 3.0f * float(k), place.y * f * 1.2f, 10 * k, z.c[5] + float(k));
        Float w2 = noise(place.x * f * 1.2f + 0.9f * w1, place.y * f * 1.5f + 4.7f - 0.7f * w1, 10 * k + 3,
                         z.c[6] + 0.5f * float(k));
        Float along = place.x + 0.7f * w1;
        Float across = place.y * span(z.m[0], 0.65f, 1.4f) + 0.62f * w2 + 0.45f * float(k) + 0.25f * z.c[7];
        Float i = floor(across);
        Float g = across - i;
        Float w = footprint(across);
        w = min(w, 0.2f);
        Float strong = (0.35f + 0.65f * chance(i, float(k), 5)) * 
                       exp(-1.9f * squared(place.y - 0.5f * w1) - 0.5f * squared(place.x)) * rise(-0.5f, 0.35f, w1);
        Float hem = rise(0.0f, 0.015f + w, g);
        Float fold = hem * rise(1.0f, 0.6f, g) / squared(1.0f + g * span(z.m[1], 1.3f, 2.6f));
        Float edge = hem / squared(1.0f + 900.0f * g * g) * clamp01(0.03f / (w + 0.01f));
        // Threads run along the fold; feathers comb away from its edge.
        Float threads = noise(across * 90.0f, along * 1.6f, 60 + k, z.m[2]) * rise(0.0095f, 0.0050f, w);
        Float feathers = noise(along * 17.0f + 4.0f * w2, g * 2.0f - along * 2.5f, 80 + k, z.m[3]);
        Float weave = max(0.72f + span(z.m[4], 0.2f, 0.6f) * threads + span(z.m[5], 0.1f, 1.1f) * feathers * rise(0.0f, 0.25f, g) +
                          0.06f * shimmer, 0.03f);
        Float body = fold * strong;
        colour = colour * (1.0f - span(z.m[7], 0.4f, 0.95f) * min(1.2f * body, 0.9f));
        Float sheen = 1.0f / squared(1.0f + 45.0f * squared(g - 0.17f - 0.12f * w2));
        Float lively = body * weave * (0.7f + sheen) * (0.65f + 0.9f * glow);
        Float t = min(0.20f + 0.10f * float(k) + 0.42f * lively + 0.16f * w2 + 0.14f * glow * depth, 0.9f);
        colour += (ramp(z, t) * 2.3f + z.twin * (span(z.m[6], 0.0f, 1.7f) * (1.0f - depth))) * lively;
        colour += blend3(z.accent, z.light, 0.5f) * (edge * strong * weave * span(z.f[5], 0.9f, 2.4f) * (0.4f + 0.7f * glow));
    }
    return colour;
}
