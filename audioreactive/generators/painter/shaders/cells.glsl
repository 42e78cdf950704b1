// Cells around jittered points of the lattice (Worley, 1996): offset (x, y) from here to the nearest point, distance z to
// the cell's wall, and a random number w of the cell, all in units of the lattice. `angle` moves the points. The text that
// includes this one defines `jittered` before: a point's offset from the middle of its square.
Vec4 cells(Float x, Float y, int seed, float angle, float jitter) {
    Float i = floor(x);
    Float j = floor(y);
    Float u = x - i;
    Float v = y - j;
    Float to_x[9];
    Float to_y[9];
    Float near = 99.0f;
    Float near_x = 0.0f;
    Float near_y = 0.0f;
    Float own = 0.0f;
    UNROLL for (int k = 0; k < 9; k++) {
        float column = float(k % 3 - 1);
        float row = float(k / 3 - 1);
        Bits bits = hash(i + column, j + row, seed);
        Vec2 moved = jittered(bits, angle, jitter);
        Float at_x = moved.x + (column + 0.5f) - u;
        Float at_y = moved.y + (row + 0.5f) - v;
        to_x[k] = at_x;
        to_y[k] = at_y;
        Float d = at_x * at_x + at_y * at_y;
        near_x = select(d < near, at_x, near_x);
        near_y = select(d < near, at_y, near_y);
        own = select(d < near, low(bits), own);
        near = min(near, d);
    }
    Float wall = 9.0f;
    UNROLL for (int k = 0; k < 9; k++) {
        Float apart_x = to_x[k] - near_x;
        Float apart_y = to_y[k] - near_y;
        Float apart = apart_x * apart_x + apart_y * apart_y;
        Float middle = 0.5f * ((near_x + to_x[k]) * apart_x + (near_y + to_y[k]) * apart_y) * inversesqrt(apart + 1e-9f);
        wall = select(apart < 1e-6f, wall, min(wall, middle));
    }
    return Vec4(near_x, near_y, wall, own);
}
