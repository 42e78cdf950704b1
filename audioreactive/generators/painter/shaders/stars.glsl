// Stars of the lattice, at three scales: a hard core, a halo, and spikes on the brightest.
Float stars(Float x, Float y, Place p, float density, int seed, float size) {
    Float sum = 0.0f;
    float scale = 4.3f;
    float strength = 1.5f;
    float core = max(size, 0.8f * p.px);
    float dimmed = size * size / (core * core);
    UNROLL for (int k = 0; k < 3; k++) {
        Float u = x * scale + 31.7f * float(k);
        Float v = y * scale;
        Float i = floor(u);
        Float j = floor(v);
        Bits bits = hash(i, j, seed + 3 * k);
        Float born = chance(i, j, seed + 3 * k + 1);
        Float bright = max(born - 1.0f + density, 0.0f) / density;
        bright = squared(bright * bright);
        float margin = 0.35f - 0.2f * min(float(k), 1.0f);
        Float dx = (u - i - margin - (1.0f - 2.0f * margin) * low(bits)) / scale;
        Float dy = (v - j - margin - (1.0f - 2.0f * margin) * high(bits)) / scale;
        Float apart = (dx * dx + dy * dy) / (core * core);
        Float inside = squared(max(1.0f - apart * squared(core * scale / 0.15f), 0.0f));
        Float near = 1.0f / (1.0f + apart);
        sum += bright * inside * near * (11.0f * near * near + 0.8f) * (strength * dimmed);
        scale *= 2.5f;
        strength *= 0.36f;
    }
    return sum;
}

// Crosses of light on the few brightest of those stars.
Float spikes(Float x, Float y, Place p, float density, int seed, float size) {
    Float u = x * 4.3f;
    Float v = y * 4.3f;
    Float i = floor(u);
    Float j = floor(v);
    Bits bits = hash(i, j, seed);
    Float bright = squared(max(chance(i, j, seed + 1) - 1.0f + 0.4f * density, 0.0f) / (0.4f * density));
    Float f = u - i;
    Float g = v - j;
    Float dx = abs(f - 0.35f - 0.3f * low(bits)) / (4.3f * size);
    Float dy = abs(g - 0.35f - 0.3f * high(bits)) / (4.3f * size);
    Float edge = clamp01(f * (1.0f - f) * g * (1.0f - g) * 16.0f);
    float thin = max(0.7f, p.px / size);
    return bright * edge * edge * (1.4f / thin) *
           (exp(-dx / 9.0f - squared(dy / thin)) + exp(-dy / 9.0f - squared(dx / thin)));
}
