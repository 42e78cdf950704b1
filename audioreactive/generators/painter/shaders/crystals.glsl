// A cluster of crystals that grows out of the dark: glassy prisms with pointed ends, lit from within.

// One more facet of a solid: the lower of two surfaces (x), and the normal's x and y there; smooth over about a pixel,
// `sharpness` its reciprocal.
Vec3 facet(Vec3 front, Float height, float nx, float ny, float sharpness) {
    Float t = clamp01((front.x - height) * sharpness + 0.5f);
    return Vec3(min(front.x, height), blend(front.y, Float(nx), t), blend(front.z, Float(ny), t));
}

Vec3 crystals(Place p, Latents z) {
    Vec2 at = focused(p, z, 0.5f, 0.22f);
    float zoom = span(z.m[0], 1.10f, 1.55f);
    Float x = at.x * (1.0f / zoom) + 0.0010f * ruffle(p);
    Float y = at.y * (1.0f / zoom);
    float sharpness = 0.5f * zoom / p.px;
    // the highest surface so far: height, normal, thickness, places along and across the crystal, its share of accent
    Float top = -3.0f;
    Float nx = 0.0f;
    Float ny = 0.0f;
    Float thick = 0.0f;
    Float along = 0.0f;
    Float across = 0.0f;
    Float kind = 0.0f;
    Float solid = 0.0f;
    float main = -1.5707963f + 1.4f * tanh(z.c[2]);
    float to_x = cos(main);
    float to_y = sin(main);
    UNROLL for (int k = 0; k < 8; k++) {
        float j = float(k);
        float round = main + 0.40f * (j - 3.5f) + 0.34f * z.c[(k + 5) % 8];
        float lean = 0.72f + 0.42f * sin(2.6f * j + 0.7f) + 0.22f * tanh(z.c[(k + 2) % 8]);
        float spin = 1.7f * j + 0.6f * z.c[(k + 3) % 8];
        float wide = span(z.m[1] + 1.2f * sin(2.3f * j), 0.060f, 0.170f);
        float long_by = span(z.c[(k + 4) % 8] + sin(1.3f * j + 1.0f), 0.80f, 1.55f);
        float sharp = span(z.m[2] + cos(1.9f * j), 0.80f, 0.93f);
        float blunt = sqrt(1.0f - sharp * sharp);
        float st = sin(lean);
        float ct = cos(lean);
        float sp = sin(round);
        float cp = cos(round);
        float aside = 0.06f * (j - 3.5f) + 0.06f * sin(5.1f * j);
        float behind = 0.52f + 0.06f * sin(3.3f * j);
        Float u = x + (behind * to_x + aside * to_y);
        Float v = y + (behind * to_y - aside * to_x);
        Vec3 front = Vec3(9.0f, 0.0f, 0.0f);
        Float back = 9.0f;
        UNROLL for (int i = 0; i < 3; i++) {
            // two opposite sides: one is seen, the other is behind
            float a = spin + 1.0471976f * float(i);
            float mz = -cos(a) * st;
            float up = select(mz > 0.0f, 1.0f, -1.0f);
            float steep = 1.0f / max(mz * up, 0.03f);
            float side_x = up * (cos(a) * ct * cp - sin(a) * sp);
            float side_y = up * (cos(a) * ct * sp + sin(a) * cp);
            float far = wide * (1.0f + 0.22f * sin(3.1f * float(i) + 2.0f * j)) * steep;
            Float slope = u * (side_x * steep) + v * (side_y * steep);
            front = facet(front, far - slope, side_x, side_y, sharpness);
            back = min(back, far + slope);
            // a face of the tip, seen or behind
            float b = spin + 2.0943951f * float(i) + 0.5f;
            float tip_x = sharp * (cos(b) * ct * cp - sin(b) * sp) + blunt * st * cp;
            float tip_y = sharp * (cos(b) * ct * sp + sin(b) * cp) + blunt * st * sp;
            float tip_z = blunt * ct - sharp * cos(b) * st;
            float tip_steep = 1.0f / max(abs(tip_z), 0.03f);
            float reach = blunt * long_by * (1.0f + 0.06f * sin(2.0f * float(i) + j)) * tip_steep;
            float hidden = select(tip_z > 0.0f, 0.0f, 99.0f);
            Float height = reach - u * (tip_x * tip_steep) - v * (tip_y * tip_steep);
            front = facet(front, height + hidden, tip_x, tip_y, sharpness);
            back = min(back, height + (99.0f - hidden));
        }
        Float depth = front.x + back;
        Float place = (u * cp + v * sp) * st + front.x * ct;
        Float shown = clamp01(depth / (abs(dFdx(depth)) + abs(dFdy(depth)) + 0.0001f) + 0.5f) * clamp01((front.x - top) * (0.6f * sharpness) + 0.5f) *
                      clamp01(4.0f * place + 1.6f);
        top = blend(top, front.x, shown);
        nx = blend(nx, front.y, shown);
        ny = blend(ny, front.z, shown);
        thick = blend(thick, depth, shown);
        along = blend(along, place, shown);
        across = blend(across, (v * cp - u * sp) * (1.0f / wide), shown);
        kind = blend(kind, Float(0.5f + 0.5f * sin(2.7f * j + z.m[3])), shown);
        solid = max(solid, shown);
    }
    Float nz = sqrt(max(1.0f - nx * nx - ny * ny, 0.02f));
    // the studio, mirrored: a softbox towards the sun, a strip of accent opposite; the growth lines bend it
    Float growth = noise(along * 38.0f, across * 0.7f + 9.0f * kind, 52, 0.0f);
    Float rx = 2.0f * nz * nx + 0.35f * x + 0.05f * growth;
    Float ry = 2.0f * nz * ny + 0.35f * y + 0.05f * growth;
    Float rz = 2.0f * nz * nz - 1.0f;
    Float towards = rx * z.sun.x + ry * z.sun.y + rz * z.sun.z;
    Float box = rise(0.45f, 1.05f, towards);
    Float strip = rise(0.25f, 1.1f, -(rx * z.sun.x + ry * z.sun.y));
    // what is seen inside, moved by the tilt of the facet: veils, and planes that shine
    float often = span(z.m[4], 0.8f, 1.6f);
    Float veil = clouds((across + 2.5f * nx) * 0.9f * often, (along + 0.7f * ny) * 3.4f * often + 7.0f * kind, 3, 54, z.m[5]);
    Float plane = clamp01(0.5f + 0.9f * (nx * z.sun.x + ny * z.sun.y) - 0.35f * across * nx + 0.5f * veil);
    Float glow = exp(span(z.f[5], -2.2f, -1.2f) * max(along, 0.0f));
    Float edge = (1.0f - nz) * (1.0f - nz);
    Float rim = clamp01(1.0f - thick * 7.0f);
    Vec3 body = blend3(tone(z, 0.05f + 0.34f * plane + 0.52f * glow * (0.35f + 0.65f * plane)), z.accent * (0.1f + 0.9f * plane),
                       rise(0.55f, 0.95f, kind) * 0.85f);
    Vec3 colour = body * (0.10f + 0.75f * plane * plane + 0.9f * glow);
    colour += z.accent * (strip * 0.28f + 0.9f * glow * glow * plane) + z.light * (box * box * (0.16f + 1.9f * edge) + 0.25f * rim * (0.2f + glow));
    colour *= clamp01(0.35f + 1.2f * (top + 0.55f));
    // the light that they grow from hides their roots
    Float root = length2(x + 0.52f * to_x, y + 0.52f * to_y);
    Float mist = exp(-root * root * 13.0f);
    Vec3 ground = z.dark * (0.25f + 0.5f * bell(root / 0.9f)) + z.accent * (0.10f * bell(root / 0.55f));
    return blend3(blend3(ground, colour, solid), z.accent * 0.75f + z.light * (1.3f * mist), mist * 0.96f);
}
