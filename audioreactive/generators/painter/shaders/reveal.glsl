// One family growing through another: its edge runs along the forms of both and is lit.
Vec3 revealed(Vec3 old, Vec3 new_, float share, Place p, Latents z) {
    Float bright = (old.x + old.y + old.z) / (1.0f + old.x + old.y + old.z);
    Float coming = (new_.x + new_.y + new_.z) / (1.0f + new_.x + new_.y + new_.z);
    Float form = 0.4f * clouds(p.x * 1.1f, p.y * 1.1f, 4, 91, 0.0f) + 0.15f * (bright - coming);
    // Nothing at the least share that is painted. Forms are about normal, and their quantiles about logistic.
    float even = min(max((share - 0.02f) * 1.0417f, 0.0001f), 0.9999f);
    Float ahead = 0.06f * log2(even / (1.0f - even)) - form;
    Float mask = rise(-0.015f, 0.015f, ahead);
    Float edge = exp(-abs(ahead) * 55.0f) * 5.0f * share * (1.0f - share);
    return blend3(old, new_, mask) + blend3(z.accent, z.light, 0.4f) * edge * (0.25f + bright + coming);
}
