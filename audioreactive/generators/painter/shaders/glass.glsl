// Stained glass with a low sun behind it: a disc and a stream of light, leaded in panes, some with a jewel.

// All points' squares turn together, which takes no sines for each point.
Vec2 jittered(Bits bits, float angle, float jitter) {
    float c = 2.0f * jitter * cos(angle);
    float s = 2.0f * jitter * sin(angle);
    Float a = low(bits) - 0.5f;
    Float b = high(bits) - 0.5f;
    return Vec2(c * a + s * b, c * b - s * a);
}
#include "cells.glsl"

Vec3 glass(Place p, Latents z) {
    Vec2 at = focused(p, z, 0.72f, 0.36f);
    Vec2 fold = folded(at.x, at.y, z, span(z.c[3], 0.05f, 0.24f), 1.9f, 3, 1.3f);
    Float u = fold.x;
    Float v = fold.y;
    Float r2 = at.x * at.x + at.y * at.y;
    Float r = sqrt(r2);
    Float scale = span(z.m[0], 2.5f, 3.3f) * inversesqrt(sqrt(0.04f + r2 * span(z.c[2], 0.3f, 0.8f)) + 0.25f);
    Float x = u * scale + 0.8f * z.c[6];
    Float y = v * scale + 0.8f * z.c[7];
    Vec4 pane = cells(x, y, 3, 0.8f * z.m[1] + 0.6f * z.c[5], 0.38f);

    // The design's great lines: a disc, and a stream that flows behind it.
    float disc_size = span(z.c[2] + z.c[5], 0.30f, 0.50f);
    Float ring = r - disc_size;
    Vec2 along_stream = turned(at.x, at.y, 0.9f * z.c[4] + 0.3f);
    Float bend = along_stream.y + 0.42f * sin(1.5f * along_stream.x + 1.2f * z.c[5]) - 0.16f * tanh(z.c[6]);
    float half_width = span(z.c[7], 0.16f, 0.30f);
    Float bank = (abs(bend) - half_width) * 0.86f;
    Float in_disc = rise(0.001f, -0.001f, ring);
    Float in_stream = rise(0.001f, -0.001f, bank) * (1.0f - in_disc);
    Float great = min(abs(ring), select(ring > 0.0f, abs(bank), Float(9.0f))) * scale;

    // A pane may be cut by an arc and a chord, or hold a jewel.
    Float own = fract(pane.w + 0.37f * in_disc + 0.71f * in_stream);
    Float turn = TAU * fract(own * 37.0f) + 0.4f * z.m[2];
    Float c = cos(turn);
    Float s = sin(turn);
    Float along = c * pane.x + s * pane.y;
    Float across = c * pane.y - s * pane.x;
    Float arc = across + 0.6f * along * along - 0.06f;
    Float chord = along - 0.4f * across * across;
    Float round = length2(pane.x, pane.y) - 0.16f;
    Float jewelled = select(own > 0.88f, Float(1.0f), Float(0.0f));
    Float over_arc = select(arc > 0.0f, Float(1.0f), Float(0.0f));
    Float over_chord = select(chord > 0.0f, Float(1.0f), Float(0.0f));
    Float twice = select(own > 0.55f, over_arc, Float(0.0f));
    Float once = select(own > 0.25f, Float(1.0f), Float(0.0f));
    Float cut = min(blend(9.0f, abs(arc), once), blend(9.0f, abs(chord), twice));
    Float thin = 1.3f * blend(cut, abs(round), jewelled);
    Float inside = select(round < 0.0f, jewelled, Float(0.0f));
    Float wall = min(pane.z, thin);
    Float piece = blend(once * (0.33f * over_arc + 0.29f * twice * over_chord), 0.45f * inside, jewelled);
    Float tint = fract(own * 17.0f + piece);

    // Light that falls through.
    Float trembling = 0.10f * ruffle(p);
    Float glow = bell(r / span(z.f[5], 0.55f, 0.95f));
    Float field = noise(at.x * 0.9f, at.y * 0.9f, 5, z.c[4] + 0.4f * z.m[5]);
    Float streaks = fbm(along * 2.2f + 9.0f * tint + trembling, across * 7.0f + 7.0f * own - trembling, 3, 60, z.m[3],
                        0.55f, 0.3f);
    Float hammered = detail(u * 17.0f + trembling, v * 17.0f, 80, z.m[6]);
    Float hue = 0.22f + 0.34f * tint + 0.14f * field + 0.09f * streaks + 0.24f * in_disc + 0.17f * in_stream +
                0.10f * inside;
    Vec3 glassy = ramp(z, min(hue, 0.9f));
    Float twinned = rise(0.70f, 0.78f, fract(tint * 7.0f)) * (1.0f - 0.8f * in_disc);
    glassy = blend3(glassy, z.twin * (0.35f + 0.5f * tint), twinned);
    Float through = (0.09f + 1.7f * glow + 1.1f * in_disc * glow + 0.7f * in_stream * (0.2f + glow)) *
        (0.22f + 0.95f * tint);
    Float dirt = rise(-0.02f, 0.13f, min(wall, great) + 0.05f * streaks);
    through = through * max(1.0f + 0.60f * streaks + (0.10f + 0.10f * tanh(z.m[2])) * hammered, 0.1f) *
        (0.25f + 0.75f * dirt);
    Vec3 colour = glassy * (through * (1.0f + 0.7f * inside));
    Float height = 0.06f * hammered + 0.035f * streaks + inside * 1.4f * sqrt(max(-0.3f * round, 0.0f));
    Vec3 n = normal(height, p, 0.05f);
    Float facing = max(n.x * z.sun.x + n.y * z.sun.y + n.z * z.sun.z, 0.0f);
    colour = colour * (0.66f + 0.34f / z.sun.z * facing) +
             z.light * (0.05f * squared(squared(facing)) * (1.0f - n.z * n.z));

    // Lead, round in section, with beads of light along it.
    float width = span(z.m[4], 0.034f, 0.054f);
    Float edge = min(wall, great * 0.62f) / width;
    Float edge_x = dFdx(edge);
    Float edge_y = dFdy(edge);
    Float lead = cover(1.0f - edge, 1.25f * length2(edge_x, edge_y) + 1e-4f);
    Float e = min(edge, 1.0f);
    Float steep = 0.45f * width / p.px * e * inversesqrt(1.03f - e * e);
    Vec3 metal = z.dark * 0.35f + z.shadow * 0.08f + z.accent * (0.05f * glow);
    Float nz = inversesqrt(1.0f + steep * steep * (edge_x * edge_x + edge_y * edge_y));
    n = Vec3(edge_x * steep * nz, edge_y * steep * nz, nz);
    facing = max(n.x * z.sun.x + n.y * z.sun.y + n.z * z.sun.z, 0.0f);
    Float shine = squared(squared(facing)) * (1.0f - n.z * n.z);
    metal = (metal * (0.2f + 1.15f * facing) + z.light * (0.16f * squared(shine))) * (0.25f + 0.8f * glow);
    return laid(colour, metal, lead);
}
