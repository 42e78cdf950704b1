// One family growing through another: its edge runs along the forms of both and is lit.
Vec3 revealed(Vec3 old, Vec3 new_, float share, Place p, Latents z) {
    Float bright = (old.x + old.y + old.z) / (1.0f + old.x + old.y + old.z);
    Float coming = (new_.x + new_.y + new_.z) / (1.0f + new_.x + new_.y + new_.z);
    Float form = 0.5f + 0.36f * clouds(p.x * 1.1f, p.y * 1.1f, 4, 91, 0.0f) + 0.16f * bright - 0.22f * coming;
    Float ahead = share * 1.5f - 0.25f - form;
    Float mask = rise(-0.03f, 0.03f, ahead);
    Float edge = exp(-abs(ahead) * 26.0f) * 4.0f * share * (1.0f - share);
    return blend3(old, new_, mask) + blend3(z.accent, z.light, 0.4f) * edge * (0.25f + bright + coming);
}
