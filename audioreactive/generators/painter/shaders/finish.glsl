// From linear light to what a display shows.

// The part of a colour that glows.
Vec3 glowing(Vec3 colour) {
    Float peak = max(colour.x, max(colour.y, colour.z));
    return colour * pow(peak / (0.8f + peak), 1.2f);
}

Float curved(Float x) {
    Float y = pow(x, 1.22f);
    return 1.04f * y / (y + 0.36f);
}

Float encoded(Float x) { return select(x < 0.0031308f, 12.92f * x, 1.055f * pow(x, 0.416666667f) - 0.055f); }

// Bloom, vignette, a filmic curve that keeps most of a hue, and highlights that go to white; 0 to 1 for a display.
Vec3 finished(Vec3 colour, Vec3 bloom, Place p, Latents z) {
    colour += bloom * span(z.f[6], 0.08f, 0.20f);
    Float out_x = p.x / p.right;
    Float out_y = p.y / p.bottom;
    colour *= (1.0f - 0.42f * rise(0.35f, 1.9f, out_x * out_x + out_y * out_y)) * span(z.f[7], 1.05f, 1.5f);
    Float peak = max(colour.x, max(colour.y, colour.z)) + 1e-6f;
    Float kept = 0.55f * curved(peak) / peak;
    Vec3 shown = Vec3(0.45f * curved(colour.x) + kept * colour.x, 0.45f * curved(colour.y) + kept * colour.y,
                      0.45f * curved(colour.z) + kept * colour.z);
    Float white = 0.5f * rise(1.5f, 9.0f, peak);
    return Vec3(encoded(clamp01(blend(shown.x, 1.0f, white))), encoded(clamp01(blend(shown.y, 1.0f, white))),
                encoded(clamp01(blend(shown.z, 1.0f, white))));
}

// Half a level of 255 up or down by a fixed pattern, so that slow gradients show no bands.
Float dithered(Float column, Float row) { return (low(hash(column, row, 77)) - 0.5f) * (2.0f / 255.0f); }
