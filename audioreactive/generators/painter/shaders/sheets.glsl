// Folded sheets: a sheet is the set of points (u, A + B t + C t^2) for t from -1 to 1, where A, B and C are waves of
// u. A point of the plane lies on it twice, once or never: at the roots of a quadratic equation. Where the two roots
// meet, it folds.

// Sine and cosine of two waves of u, from which waves of these frequencies with any phases are summed.
Vec4 two_waves(Float u, float f, float g) { return Vec4(sin(f * u), cos(f * u), sin(g * u), cos(g * u)); }

// A sum of the two waves with strengths a, b and phases p, q.
Float wave(Vec4 w, float a, float p, float b, float q) {
    return a * cos(p) * w.x + a * sin(p) * w.y + b * cos(q) * w.z + b * sin(q) * w.w;
}

// Slope of the same sum along u; f and g are the waves' frequencies.
Float wave_slope(Vec4 w, float f, float g, float a, float p, float b, float q) {
    return a * f * cos(p) * w.y - a * f * sin(p) * w.x + b * g * cos(q) * w.w - b * g * sin(q) * w.z;
}

// The two roots t in x and y; in z how fast v moves with t there, 0 at a fold; in w the distance to the fold along v,
// negative beyond it.
Vec4 roots(Float v, Float a, Float b, Float c) {
    Float discriminant = b * b - 4.0f * c * (a - v);
    Float s = sqrt(max(discriminant, 1e-6f));
    Float q = -0.5f * (b + select(b < 0.0f, -s, s));
    Float safe_c = select(abs(c) < 1e-4f, Float(1e-4f), c);
    Float safe_q = select(abs(q) < 1e-5f, Float(1e-5f), q);
    return Vec4(q / safe_c, (a - v) / safe_q, s, discriminant / (4.0f * abs(c) + 1e-4f));
}
