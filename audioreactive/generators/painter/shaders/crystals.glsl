// A cluster of crystals that grows out of the dark: glassy prisms with pointed ends, lit from within.

// One more facet of a solid: the lower of two surfaces (x), and the normal's x and y there; blended over 1 / `sharpness`, in
// height.
Vec3 facet(Vec3 front, Float height, float nx, float ny, float sharpness) {
    Float t = clamp01((front.x - height) * sharpness + 0.5f);
    return Vec3(min(front.x, height), blend(front.y, Float(nx), t), blend(front.z, Float(ny), t));
}

Vec3 crystals(Place p, Latents z) {
    Vec2 at = focused(p, z, 0.38f, 0.18f);
    float zoom = span(z.m[0], 1.20f, 1.65f);
    Float x = at.x * (1.0f / zoom) + 0.0025f * ruffle(p);
    Float y = at.y * (1.0f / zoom);
    float sharpness = 0.25f * zoom / p.px;
    // the highest surface so far: height, normal, thickness, places along and across the crystal, its share of accent
    Float top = -3.0f;
    Float nx = 0.0f;
    Float ny = 0.0f;
    Float thick = 0.0f;
    Float far_x = 0.0f;
    Float far_y = 0.0f;
    Float along = 0.0f;
    Float across = 0.0f;
    Float kind = 0.0f;
    Float solid = 0.0f;
    float main = -1.5707963f + 1.4f * tanh(z.c[2]);
    float to_x = cos(main);
    float to_y = sin(main);
    UNROLL for (int k = 0; k < 12; k++) {
        float j = float(k);
        // the first five stand up around the root, the others lean out
        float inner = min(max(5.0f - j, 0.0f), 1.0f);
        float i_th = inner * (1.2566371f * j + 0.4f) + (1.0f - inner) * 0.44f * (j - 8.0f);
        float round = main + i_th + 0.34f * z.c[(k + 5) % 8];
        float lean = inner * (0.42f + 0.14f * sin(2.6f * j)) + (1.0f - inner) * (0.88f + 0.20f * sin(2.6f * j + 0.7f)) + 0.16f * tanh(z.c[(k + 2) % 8]);
        float spin = 1.7f * j + 0.6f * z.c[(k + 3) % 8];
        float wide = span(z.m[1] + 1.2f * sin(2.3f * j), 0.065f, 0.165f);
        float long_by = span(z.c[(k + 4) % 8] + sin(1.3f * j + 1.0f), 0.85f, 1.45f) * (1.0f - 0.42f * inner);
        float sharp = span(z.m[2] + cos(1.9f * j), 0.80f, 0.93f);
        float blunt = sqrt(1.0f - sharp * sharp);
        float st = sin(lean);
        float ct = cos(lean);
        float sp = sin(round);
        float cp = cos(round);
        float aside = (1.0f - inner) * (0.05f * (j - 8.0f) + 0.05f * sin(5.1f * j)) + inner * 0.14f * sin(round - main);
        float behind = 0.40f + 0.06f * sin(3.3f * j) - 0.14f * inner * cos(round - main);
        Float u = x + (behind * to_x + aside * to_y);
        Float v = y + (behind * to_y - aside * to_x);
        Vec3 front = Vec3(9.0f, 0.0f, 0.0f);
        Vec3 back = Vec3(9.0f, 0.0f, 0.0f);
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
            // edges between flat facets shine: two pixels wide, or they break up; steep ones turn away within one
            float own = sharpness * min(max(0.6f * steep, 1.0f), 4.0f);
            front = facet(front, far - slope, side_x, side_y, own);
            back = facet(back, far + slope, -side_x, -side_y, own);
            // a face of the tip, seen or behind
            float b = spin + 2.0943951f * float(i) + 0.5f;
            float tip_x = sharp * (cos(b) * ct * cp - sin(b) * sp) + blunt * st * cp;
            float tip_y = sharp * (cos(b) * ct * sp + sin(b) * cp) + blunt * st * sp;
            float tip_z = blunt * ct - sharp * cos(b) * st;
            float tip_steep = 1.0f / max(abs(tip_z), 0.03f);
            float reach = blunt * long_by * (1.0f + 0.06f * sin(2.0f * float(i) + j)) * tip_steep;
            float hidden = select(tip_z > 0.0f, 0.0f, 99.0f);
            Float height = reach - u * (tip_x * tip_steep) - v * (tip_y * tip_steep);
            float tip_own = sharpness * min(max(0.6f * tip_steep, 1.0f), 4.0f);
            front = facet(front, height + hidden, tip_x, tip_y, tip_own);
            back = facet(back, height + (99.0f - hidden), tip_x, tip_y, tip_own);
        }
        Float depth = front.x + back.x;
        Float place = (u * cp + v * sp) * st + front.x * ct;
        Float shown = clamp01(depth / (abs(dFdx(depth)) + abs(dFdy(depth)) + 0.0001f) + 0.5f) * clamp01((front.x - top) * (1.2f * sharpness) + 0.5f) *
                      clamp01(4.0f * place + 1.6f);
        top = blend(top, front.x, shown);
        nx = blend(nx, front.y, shown);
        ny = blend(ny, front.z, shown);
        thick = blend(thick, depth, shown);
        far_x = blend(far_x, back.y, shown);
        far_y = blend(far_y, back.z, shown);
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
    Float plane = clamp01(0.42f + 1.1f * (nx * z.sun.x + ny * z.sun.y) - 0.45f * across * nx + 0.24f * veil + 0.15f * along);
    // light that the far sides throw back: the nearer, the brighter
    Float thrown = clamp01(0.15f - 1.1f * (far_x * z.sun.x + far_y * z.sun.y) - 0.35f * across * far_x + 0.3f * veil) * exp(-1.1f * thick);
    Float glow = exp(span(z.f[5], -2.2f, -1.2f) * max(along, 0.0f));
    Float edge = (1.0f - nz) * (1.0f - nz);
    Float rim = squared(clamp01(1.0f - thick * 12.0f));
    Vec3 body = blend3(tone(z, 0.04f + 0.38f * plane + 0.42f * glow * (0.30f + 0.70f * plane)), z.accent * (0.1f + 0.9f * plane),
                       rise(0.55f, 0.95f, kind) * 0.85f);
    Vec3 colour = body * (0.05f + 0.80f * plane * plane + 0.75f * glow + 0.9f * thrown) + blend3(z.accent, z.light, thrown) * (1.5f * thrown * thrown * thrown);
    colour += z.accent * (strip * 0.28f + 0.9f * glow * glow * plane) + z.light * (box * box * (0.30f + 2.6f * edge) + 0.55f * rim * (0.15f + glow + box));
    colour *= clamp01(0.35f + 1.2f * (top + 0.55f)) * rise(-0.40f, 0.12f, along);
    // the light that they grow from hides their roots
    Float root = length2(x + 0.40f * to_x, y + 0.40f * to_y);
    Vec3 ground = z.dark * (0.15f + 0.4f * bell(root / 0.9f)) + z.accent * (0.13f * bell(root / 0.42f) + 0.016f * bell(root / 1.1f));
    return blend3(ground, colour, solid) + (z.accent * 0.5f + z.light * 0.5f) * (0.30f * exp(-root * root * 20.0f));
}
