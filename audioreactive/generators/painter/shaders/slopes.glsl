// Noise together with its slope, for normals that are smooth from pixel to pixel.

// Gradient noise as `noise` computes it, and its slopes: value, change along x, change along y.
Vec3 sloped_noise(Float x, Float y, int seed, float angle) {
    float c = 3.4f * cos(angle);
    float s = 3.4f * sin(angle);
    Float i = floor(x);
    Float j = floor(y);
    Float u = x - i;
    Float v = y - j;
    Float value[4];
    Float along[4];
    Float down[4];
    UNROLL for (int k = 0; k < 4; k++) {
        float right = float(k % 2);
        float below = float(k / 2);
        Bits bits = hash(i + right, j + below, seed);
        Float a = low(bits) - 0.5f;
        Float b = high(bits) - 0.5f;
        along[k] = a * c - b * s;
        down[k] = a * s + b * c;
        value[k] = along[k] * (u - right) + down[k] * (v - below);
    }
    Float across = fade(u);
    Float under = fade(v);
    Float above = blend(value[0], value[1], across);
    Float beneath = blend(value[2], value[3], across);
    Float steep_u = 30.0f * u * u * (u - 1.0f) * (u - 1.0f);
    Float steep_v = 30.0f * v * v * (v - 1.0f) * (v - 1.0f);
    Float slope_x = blend(blend(along[0], along[1], across), blend(along[2], along[3], across), under) +
                    steep_u * blend(value[1] - value[0], value[3] - value[2], under);
    Float slope_y = blend(blend(down[0], down[1], across), blend(down[2], down[3], across), under) +
                    steep_v * (beneath - above);
    return Vec3(blend(above, beneath, under), slope_x, slope_y);
}

// A value and slope, creased: from soft hills (ridge = 0) to sharp ridges where the value crosses 0 (ridge = 1).
Vec3 creased(Vec3 n, float ridge, float sharp) {
    Float root = sqrt(n.x * n.x + sharp);
    Float steep = (1.0f - ridge) - ridge * 2.0f * n.x / root;
    return Vec3(blend(n.x, 1.0f - 2.0f * root, ridge), n.y * steep, n.z * steep);
}

// Octaves of noise with their slope, as `fbm` adds them, without ridges.
Vec3 sloped_clouds(Float x, Float y, int octaves, int seed, float angle, float gain) {
    Vec3 sum = Vec3(0.0f, 0.0f, 0.0f);
    Float w = max(footprint(x), footprint(y));
    float a = 1.0f;
    float total = 0.0f;
    float along = 1.0f;
    float across = 0.0f;
    UNROLL for (int k = 0; k < octaves; k++) {
        Vec3 n = sloped_noise(x, y, seed + k, angle * (1.0f + 0.3f * float(k)));
        Vec3 turned_back = Vec3(n.x, along * n.y + across * n.z, along * n.z - across * n.y);
        sum += turned_back * (a * rise(0.6f, 0.25f, w));
        total += a;
        a *= gain;
        Float turned_x = 1.62f * x - 1.22f * y + 5.3f;
        y = 1.22f * x + 1.62f * y + 1.7f;
        x = turned_x;
        float turned_along = 1.62f * along - 1.22f * across;
        across = 1.22f * along + 1.62f * across;
        along = turned_along;
        w = w * 2.03f;
    }
    return sum * (1.3f / total);
}
