// Cut paper in layers, a box of light: sheets with holes, one behind the other, lit from the depth.

// Depth of the cut at a place: x is common to all sheets, y is what they differ by.
Vec2 paper_cut(Float x, Float y, Latents z) {
    float k = span(z.c[2], 0.80f, 1.20f);
    Vec2 fold = folded(x, y, z, 0.24f, 1.9f * k, 3, 1.35f);
    Float large = noise(fold.x * k + 0.5f * z.c[3], fold.y * k, 21, 1.2f * z.c[4]);
    Float small = noise(fold.x * 2.4f * k, fold.y * 2.4f * k, 22, 1.3f * z.c[5]);
    Float apart = noise(x * 1.5f * k + 3.0f, y * 1.5f * k, 23, 1.2f * z.c[6]);
    Float near = 0.6f * fold.x * fold.x + fold.y * fold.y;
    // A second, lesser hole on the other side.
    Float other_x = fold.x + 1.4f * tanh(1.5f * z.c[0] + 0.4f * z.c[7]);
    Float other_y = fold.y - 0.95f * tanh(z.c[7] - z.c[1]);
    Float other = 1.2f * (other_x * other_x + other_y * other_y) + 0.30f;
    Float bowl = sqrt(near * other / (near + other) + 0.01f);
    return Vec2(1.12f * bowl + 0.40f * large + 0.15f * small, apart);
}

Vec3 paper(Place p, Latents z) {
    Vec2 at = focused(p, z, 0.55f, 0.30f);
    Float trembling = 0.0035f * ruffle(p);
    Float x = at.x + trembling;
    Float y = at.y - trembling;
    float reach = span(z.f[5], 0.022f, 0.060f);
    Vec2 cut = paper_cut(x, y, z);
    Vec2 distant = paper_cut(x + 2.4f * reach * z.sun.x, y + 2.4f * reach * z.sun.y, z);
    Vec2 close = cut + (distant - cut) * 0.4f;
    Float common_x = dFdx(cut.x);
    Float common_y = dFdy(cut.x);
    Float apart_x = dFdx(cut.y);
    Float apart_y = dFdy(cut.y);
    Float w = length2(common_x, common_y) + 0.2f * p.px;
    // How much a cut's edge faces the light: the depth grows towards the shadow.
    Float scale = p.px / w;
    Float facing = (close.x - cut.x) / reach * scale;
    Float edge_light = rise(0.0f, 0.9f, facing) + 0.55f * rise(0.1f, -0.9f, facing);
    Vec3 edge_colour = blend3(z.light, z.accent, 0.5f);
    float spread = span(z.m[0], 0.105f, 0.140f);
    float wild = span(z.m[1], 0.10f, 0.30f);
    float colour_at = span(z.m[2], -0.06f, 0.22f);
    Float fibre = detail(p.x * 60.0f, p.y * 17.0f, 31, z.m[3]) + detail(p.x * 19.0f + 5.0f, p.y * 75.0f, 32, z.m[3]);
    Float grain = (0.05f + 0.10f * abs(ruffle_mirrored(p))) * fibre;
    Float lamp = exp(-1.3f * (x * x + y * y));
    Float sky = 0.75f + 0.25f * tanh(0.7f * p.x * z.sun.x + p.y * z.sun.y);
    Vec3 colour = blend3(z.accent, z.light, 0.45f + 0.4f * lamp) * (0.9f + 1.5f * lamp);
    UNROLL for (int k = 0; k < 9; k++) {
        float deep = 1.0f - float(k) / 8.0f;
        float own = wild * sin(2.4f * float(k) + 1.0f + 0.8f * z.m[4]);
        float level = 0.20f + spread * float(k) * (0.80f + 0.055f * float(k));
        Float d = cut.x + own * cut.y - level;
        Float own_w = length2(common_x + own * apart_x, common_y + own * apart_y) + 0.2f * p.px;
        Float shadow = rise(-0.05f, 0.05f, close.x + own * close.y - level) * 0.50f +
                       rise(-0.20f, 0.16f, distant.x + own * distant.y - level) * 0.40f;
        float t = colour_at + 0.13f + 0.62f * deep * deep + 0.05f * sin(2.1f * float(k) + 1.2f * z.m[5]);
        Float brightness = (0.42f + 0.62f * deep * deep) * sky + 0.55f * lamp * deep + 0.20f * deep * exp(-5.0f *
            max(d, 0.0f));
        Vec3 sheet = ramp(z, Float(t)) * (brightness * (1.0f + grain));
        Float rim = clamp01(1.0f - abs(d * scale - 0.0045f) / (0.0045f + p.px)) * edge_light;
        sheet = sheet * (1.0f + 1.2f * rim) + edge_colour * (rim * (0.05f + 0.40f * deep));
        colour = laid(colour * (1.0f - shadow), sheet, cover(d, own_w));
    }
    return colour;
}
