// A planet with bands of storms, its rings and its moons, lit from the side among stars.

// Density of the rings at a distance from the centre, in radii: dense bands, fine grooves, gaps.
Float ring_density(Float rho, Latents z) {
    float inner = 1.32f;
    float outer = span(z.m[3], 2.0f, 2.6f);
    Float w = footprint(rho);
    Float bands = 0.55f + 0.65f * sin(rho * 9.0f + 1.5f * z.m[4] + 2.0f * sin(rho * 4.0f));
    Float grooves = sin(rho * 61.0f + 3.0f * sin(rho * 17.0f)) * rise(0.020f, 0.009f, w) +
                    0.8f * sin(rho * 173.0f + 2.0f) * rise(0.010f, 0.0045f, w);
    Float gap = 1.0f - 0.93f * bell((rho - (0.35f * inner + 0.65f * outer)) / 0.035f);
    Float ends = rise(inner - 0.5f * w, inner + 0.05f + w, rho) * rise(outer + 0.5f * w, outer - 0.10f - w, rho);
    // It rises from nothing slowly, so that the darkest lines have no hard edges on a display, which shows the root of light.
    Float dense = max(bands + 0.16f * grooves, 0.0f);
    return min(dense * dense / (dense + 0.06f), 1.0f) * gap * ends;
}

// Light of a moon at (x, y) of radius r.
Float moon(Float x, Float y, float r, vec3 sun, float px) {
    Float q = (x * x + y * y) / (r * r);
    Float height = sqrt(max(1.0f - q, 0.0f));
    Float light = max((x * sun.x + y * sun.y) / r + height * sun.z, 0.0f);
    return (light + 0.01f) * cover((1.0f - sqrt(q)) * r, px);
}

Vec3 planet(Place p, Latents z) {
    Vec2 at = focused(p, z, 0.60f, 0.30f);
    float radius = span(z.c[2], 0.42f, 0.78f);
    float lean = 0.3f + 0.75f * z.c[3];  // of the axis, in the picture
    float tip = span(z.c[4], 0.10f, 0.55f);  // of the axis, towards the viewer
    float spin = 1.3f * z.c[5];
    float low_sun = span(z.f[5], -0.30f, 0.45f);
    float s = sqrt((1.0f - low_sun * low_sun) / (z.sun.x * z.sun.x + z.sun.y * z.sun.y));
    vec3 sun = vec3(z.sun.x * s, z.sun.y * s, low_sun);
    // The planet's frame: u across, v down along the axis, w to the viewer; then tipped.
    Vec2 own = turned(at.x / radius, at.y / radius, lean);
    float sun_u = cos(lean) * sun.x + sin(lean) * sun.y;
    float sun_v = cos(lean) * sun.y - sin(lean) * sun.x;
    float ct = cos(tip);
    float st = sin(tip);
    float sun_axis = ct * sun_v - st * sun.z;
    float sun_out = st * sun_v + ct * sun.z;
    Float rr = own.x * own.x + own.y * own.y;
    Float r = sqrt(rr + 1e-6f);
    Float w = sqrt(max(1.0f - rr, 0.0f));
    Float axis = ct * own.y - st * w;
    Float outward = st * own.y + ct * w;

    // Bands of storms.
    Float ruffled = ruffle(p);
    Float polar = clamp01(1.0f - axis * axis);
    Float along = atan(own.x, outward) + spin;
    float storm = span(z.m[0], 0.05f, 0.17f);
    Float swirl = fbm(along * 1.6f, axis * 4.5f, 3, 51, 1.2f * z.c[6], 0.6f, 0.0f) * polar;
    Float streaks = clouds(along * 2.2f + 2.0f * swirl, axis * 15.0f + 4.0f * swirl, 3, 56, z.m[5]) * polar;
    Float latitude = axis + storm * swirl + 0.012f * ruffled;
    Float bands = 0.5f + 0.26f * sin(latitude * span(z.m[1], 7.0f, 15.0f) + 2.2f * z.m[2]) +
                  0.17f * sin(latitude * 23.0f + 2.0f) + 0.13f * sin(latitude * 41.0f + 1.0f);
    Float t = span(z.m[7], 0.02f, 0.22f) + 0.66f * clamp01(bands) + (0.07f + 0.05f * abs(ruffled)) * streaks +
        0.03f * ruffled;
    Float sunny = own.x * sun_u + own.y * sun_v + w * sun.z;
    Float day = rise(-0.12f, 0.95f, sunny + 0.03f * streaks);

    // The rings' shadow on the planet: where the way to the sun crosses their plane.
    Float way = -axis / (sun_axis + 0.02f * select(sun_axis < 0.0f, -1.0f, 1.0f));
    Float cross_x = own.x + way * sun_u;
    Float cross_out = outward + way * sun_out;
    Float shadow = ring_density(sqrt(cross_x * cross_x + cross_out * cross_out), z) * rise(0.0f, 0.05f, way);
    Vec3 globe = ramp(z, t) * (day * (1.35f - 0.95f * shadow)) + z.dark * 0.3f +
                 z.twin * (0.45f * day * (1.0f - w) * (1.0f - w) * (1.0f - w));

    // The rings, in their plane: u across, ring_out towards the viewer.
    Float ring_out = own.y / st;
    Float rho = sqrt(own.x * own.x + ring_out * ring_out);
    Float density = ring_density(rho, z);
    Float toward = own.x * sun_u + ring_out * sun_out;
    Float beside = sqrt(max(rho * rho - toward * toward, 0.0f));
    Float dark = rise(0.05f, -0.05f, toward) * rise(1.03f, 0.97f, beside);
    Vec3 ring = ramp(z, 0.20f + 0.30f * density + 0.32f * rise(1.2f, 2.4f, rho)) * (density * (1.05f + 0.15f *
        ruffled) * (1.0f - 0.97f * dark));
    float px = p.px / radius;

    // Stars and haze.
    Float star_x = p.x * 9.0f;
    Float star_y = p.y * 9.0f;
    Bits bits = hash(floor(star_x), floor(star_y), 61);
    Float sx = fract(star_x) - 0.15f - 0.7f * low(bits);
    Float sy = fract(star_y) - 0.15f - 0.7f * high(bits);
    Float strength = chance(floor(star_x), floor(star_y), 62);
    strength = strength * strength * strength;
    strength = strength * strength * strength;
    Float star_size = max(0.012f + 0.020f * strength, 8.0f * p.px);
    Float star = exp(-(sx * sx + sy * sy) / (star_size * star_size)) * (0.05f + 3.0f * strength) *
                 rise(0.10f, 0.35f, chance(floor(star_x), floor(star_y), 64)) *
                 squared((0.012f + 0.020f * strength) / star_size);
    Float haze = clouds(p.x * 0.9f + 0.3f * z.c[0], p.y * 0.9f + 0.3f * z.c[1], 3, 63, 0.6f * z.m[6]);
    Vec3 colour = z.light * star + z.shadow * (0.55f * rise(-0.1f, 1.0f, haze + 0.14f * ruffled)) + z.dark * 0.25f;
    Float air = max((own.x * sun_u + own.y * sun_v) / r, 0.0f) * exp(-max(r - 1.0f, 0.0f) * 14.0f);
    colour += blend3(z.twin, z.accent, 0.4f) * (air * air * 0.8f);

    Float behind = cover(-own.y, px);
    colour = colour * (1.0f - 0.96f * density * behind) + ring * behind;
    colour = blend3(colour, globe, cover(1.0f - r, px));
    colour = colour * (1.0f - 0.96f * density * (1.0f - behind)) + ring * (1.0f - behind);
    UNROLL for (int k = 0; k < 2; k++) {
        float angle = 0.9f + 2.6f * float(k) + 1.1f * z.c[7] / (1.0f + 0.6f * float(k)) + lean;
        float distance = radius * (2.0f + 0.7f * float(k)) + 0.1f;
        float size = 0.075f - 0.04f * float(k);
        Float mx = at.x - distance * cos(angle);
        Float my = at.y - distance * 0.55f * sin(angle);
        Float hidden = cover(size - length2(mx, my), p.px);
        colour = blend3(colour, ramp(z, Float(0.5f)) * moon(mx, my, size, sun, p.px), hidden);
    }
    return colour;
}
