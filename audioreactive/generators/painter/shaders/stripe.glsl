// Coverage of a line as `line` computes it, at less cost.
Float stripe(Float d, float w, Float pixel) {
    Float per = 1.0f / max(w, 0.75f * pixel);
    return squared(max(1.0f - 0.3f * squared(d * per), 0.0f)) * (w * per);
}
