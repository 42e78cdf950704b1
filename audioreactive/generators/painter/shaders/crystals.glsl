// A cluster of crystals that grows out of the dark: glassy prisms with pointed ends, lit from within.

// One facet of a solid: the lower of two surfaces, and the normal's x and y there; smooth over about a pixel.
Vec3 facet(Vec3 front, Float height, float nx, float ny, float width) {
    Float t = clamp01((front.x - height) / width + 0.5f);
    return Vec3(min(front.x, height), blend(front.y, Float(nx), t), blend(front.z, Float(ny), t));
}

Vec3 crystals(Place p, Latents z) {
    Vec2 at = focused(p, z, 0.6f, 0.34f);
    float zoom = span(z.m[0], 0.85f, 1.25f);
    Float x = at.x / zoom + 0.0015f * ruffle(p);
    Float y = at.y / zoom;
    float px = p.px / zoom;
    Float r = length2(x, y);
    Float top = -0.25f - 0.5f * r;
    Float nx = 0.0f;
    Float ny = 0.0f;
    Float back_x = 0.0f;
    Float back_y = 0.0f;
    Float thick = 0.0f;
    Float along = 0.0f;
    Float solid = 0.0f;
    Float ridge = 0.0f;
    Float kind = 0.0f;
    UNROLL for (int k = 0; k < 9; k++) {
        float j = float(k);
        float lean = span(z.c[(k + 2) % 8], 0.7f, 1.25f) * (0.30f + 0.105f * j);
        float round = 2.39996f * j + 0.45f * z.c[(k + 5) % 8] + 0.5f * z.c[2];
        float spin = 1.7f * j + 0.5f * z.c[(k + 3) % 8];
        float wide = span(z.m[1] + sin(2.3f * j), 0.075f, 0.155f) * (1.1f - 0.03f * j);
        float long_by = span(z.c[(k + 4) % 8] + sin(1.3f * j + 1.0f), 0.62f, 1.25f) * (0.75f + 0.05f * j);
        float sharp = span(z.m[2] + cos(1.9f * j), 0.50f, 0.85f);
        float st = sin(lean);
        float ct = cos(lean);
        float sp = sin(round);
        float cp = cos(round);
        float base_x = 0.10f * cos(2.39996f * j + 1.0f);
        float base_y = 0.10f * sin(2.39996f * j + 1.0f);
        Float u = x - base_x;
        Float v = y - base_y;
        Vec3 front = Vec3(9.0f, 0.0f, 0.0f);
        Vec3 back = Vec3(9.0f, 0.0f, 0.0f);
        UNROLL for (int i = 0; i < 3; i++) {
            float a = spin + 1.0471976f * float(i);
            float mx = cos(a) * ct * cp - sin(a) * sp;
            float my = cos(a) * ct * sp + sin(a) * cp;
            float mz = -cos(a) * st;
            float up = select(mz > 0.0f, 1.0f, -1.0f);
            float far = wide * (1.0f + 0.22f * sin(3.1f * float(i) + 2.0f * j));
            float steep = 1.0f / max(mz * up, 0.03f);
            float near_x = up * mx;
            float near_y = up * my;
            front = facet(front, (far - near_x * u - near_y * v) * steep, near_x, near_y, 2.0f * px);
            back = facet(back, (far + near_x * u + near_y * v) * steep, -near_x, -near_y, 2.0f * px);
            // the tip
            float b = spin + 2.0943951f * float(i) + 0.5f;
            float tx = sharp * (cos(b) * ct * cp - sin(b) * sp) + sqrt(1.0f - sharp * sharp) * st * cp;
            float ty = sharp * (cos(b) * ct * sp + sin(b) * cp) + sqrt(1.0f - sharp * sharp) * st * sp;
            float tz = -sharp * cos(b) * st + sqrt(1.0f - sharp * sharp) * ct;
            float reach = sqrt(1.0f - sharp * sharp) * long_by * (1.0f + 0.05f * sin(2.0f * float(i) + j));
            front = facet(front, (reach - tx * u - ty * v) / max(tz, 0.05f), tx, ty, 2.0f * px);
        }
        Float depth = front.x + back.x;
        Float shown = clamp01(depth / (3.0f * px) + 0.5f) * clamp01((front.x - top) / (3.0f * px) + 0.5f);
        top = blend(top, front.x, shown);
        nx = blend(nx, front.y, shown);
        ny = blend(ny, front.z, shown);
        back_x = blend(back_x, back.y, shown);
        back_y = blend(back_y, back.z, shown);
        thick = blend(thick, depth, shown);
        along = blend(along, (u * cp + v * sp) * st + front.x * ct, shown);
        kind = blend(kind, Float(0.5f + 0.5f * sin(2.7f * j)), shown);
        solid = max(solid, shown);
    }
    Float nz = sqrt(max(1.0f - nx * nx - ny * ny, 0.02f));
    Float rx = 2.0f * nz * nx + 0.30f * x;
    Float ry = 2.0f * nz * ny + 0.30f * y;
    Float rz = 2.0f * nz * nz - 1.0f;
    Float towards = rx * z.sun.x + ry * z.sun.y + rz * z.sun.z;
    Float box = rise(0.62f, 0.98f, towards);
    Float inner = clamp01(0.5f + 0.5f * (back_x * z.sun.x + back_y * z.sun.y) + 0.4f * (x * z.sun.x + y * z.sun.y));
    Float glow = exp(-2.6f * along);
    Float clear = exp(-1.6f * max(thick, 0.0f));
    Float edge = 1.0f - nz;
    Vec3 colour = tone(z, 0.06f + 0.40f * inner * clear + 0.45f * glow * (0.4f + 0.6f * inner)) * (0.35f + 0.9f * inner);
    colour += z.light * (box * (0.25f + 1.3f * edge)) + z.accent * (glow * glow * 1.2f * inner);
    Vec3 ground = z.dark * 0.5f + z.accent * (0.2f * bell(r / 0.5f));
    return blend3(ground, colour, solid);
}
