// An agate cut and polished: bands of many colours around a hollow that is grown full of crystals, in dark rock.
#include "slopes.glsl"
#include "stripe.glsl"

// A point turns about the middle of its square.
Vec2 jittered(Bits bits, float angle, float jitter) {
    Float turn = TAU * low(bits) + angle;
    Float reach = jitter * (0.4f + 0.6f * high(bits));
    return Vec2(reach * cos(turn), reach * sin(turn));
}
#include "cells.glsl"

// Crystals seen from above: a random pyramid of three faces on each cell. x: how much light its face takes, y: a glint,
// z: light that reaches it, less at the crystal's wall, w: a random number of the crystal.
Vec4 crystals(Float x, Float y, Latents z, int seed) {
    Vec4 cell = cells(x, y, seed, z.m[3], 0.42f);
    Float pixel = max(footprint(x), footprint(y));
    Float c = cos(TAU * 3.0f * cell.w);
    Float s = sin(TAU * 3.0f * cell.w);
    Float side[3];
    Float light[3];
    Float glint[3];
    UNROLL for (int k = 0; k < 3; k++) {
        float kc = cos(TAU / 3.0f * float(k));
        float ks = sin(TAU / 3.0f * float(k));
        Float dx = c * kc - s * ks;
        Float dy = s * kc + c * ks;
        side[k] = -(cell.x * dx + cell.y * dy);
        Float tilt = 0.35f + 0.5f * fract(cell.w * 7.0f + 0.37f * float(k));
        Float slope = tilt * (dx * z.sun.x + dy * z.sun.y);
        light[k] = squared(clamp01(0.42f + 0.80f * slope));
        glint[k] = squared(squared(max(1.0f - 55.0f * squared(slope - 0.44f), 0.0f)));
    }
    // Differences of two sides change by sqrt(3) on a way of 1.
    Float first = cover(side[0] - max(side[1], side[2]), 1.73f * pixel);
    Float second = cover(side[1] - max(side[0], side[2]), 1.73f * pixel);
    Float third = max(1.0f - first - second, 0.0f);
    Float tip = 1.0f - clamp01(1.5f * length2(cell.x, cell.y));
    Float taken = (first * light[0] + second * light[1] + third * light[2]) * (0.35f + 0.9f * tip);
    Float top = max(side[0], max(side[1], side[2]));
    Float least = min(side[0], min(side[1], side[2]));
    Float ridge = stripe(side[0] + side[1] + side[2] - least - 2.0f * top, 0.02f, 1.73f * pixel);
    Float flash = (first * glint[0] + second * glint[1] + third * glint[2]) * tip + 0.35f * ridge * (0.3f + taken) * tip;
    // At the wall itself, where one crystal's colour ends and another's begins, there is a dark seam of a pixel.
    Float seam = squared(clamp01(cell.z / (1.2f * pixel)));
    return Vec4(taken, flash, seam * (0.15f + 0.85f * rise(0.0f, 0.10f, cell.z)), cell.w);
}

Vec3 agate(Place p, Latents z) {
    Vec2 at = focused(p, z, 0.6f, 0.28f);
    Float shimmer = ruffle(p);
    Vec3 swirl = sloped_noise(0.75f * at.x + z.c[4], 0.75f * at.y, 1, z.c[5]);
    Vec3 curl = sloped_noise(1.9f * at.x, 1.9f * at.y + z.c[6], 2, z.c[7]);
    Float u = at.x + 0.17f * swirl.z + 0.045f * curl.z;
    Float v = at.y - 0.17f * swirl.y - 0.045f * curl.y;

    // Distance from the hollow's middle: an oval, joined smoothly with a second, smaller one.
    Vec2 oval = turned(u, v, 0.8f * z.c[2]);
    Float own = length2(oval.x * span(z.c[3], 0.5f, 0.72f), oval.y * span(z.c[3], 0.95f, 0.78f));
    Float other = length2(u - 1.1f * cos(z.c[5] + 1.0f), v - 0.75f * sin(z.c[5] + 1.0f)) * 0.8f + 0.16f;
    Float share = clamp01(0.5f + 0.5f * (other - own) / 0.3f);
    Float d = blend(other, own, share) - 0.3f * share * (1.0f - share);
    d = d + 0.055f * noise(u * 3.0f, v * 3.0f, 6, z.c[6]) + 0.012f * curl.x;
    float hollow = span(z.c[4], 0.22f, 0.36f);
    Float depth = d - hollow;
    Float w = footprint(d);

    // Bands: noise along the distance alone, coarse and fine, with hairlines between.
    float many = span(z.m[0], 9.0f, 16.0f);
    Float q = depth * many + 0.04f * shimmer;
    Float coarse = noise(q, 0.5f, 8, z.m[1]);
    Float middle = detail(q * 2.7f, 0.5f, 9, z.m[2]);
    Float fine = detail(q * 8.3f, 0.5f, 10, 2.0f * z.m[2]);
    Float bands = coarse + 0.8f * middle + 0.55f * fine * rise(-0.3f, 0.5f, coarse + swirl.x);
    Float hair = stripe(middle - 0.05f, 0.035f, footprint(middle)) + 0.7f * stripe(coarse + 0.2f, 0.02f, footprint(coarse));
    Float lean = 0.5f + 0.5f * (u * z.sun.x + v * z.sun.y) * inversesqrt(u * u + v * v + 0.05f);
    Float inner = exp(-max(depth, 0.0f) * 6.0f);
    Float tone_at = (0.42f + 0.36f * bands + 0.10f * lean) * (0.35f + 0.70f * rise(0.95f, 0.0f, depth)) + 0.30f * inner * inner * inner;
    Vec3 colour = ramp(z, tone_at) * (0.22f + 0.55f * lean + 0.9f * inner);
    colour += blend3(z.accent, z.light, 0.4f) * (hair * (0.10f + 0.5f * inner + 0.25f * lean));

    // Rock around.
    Float border = 0.80f - d + 0.10f * swirl.x;
    Vec3 grit = sloped_clouds(3.4f * at.x, 3.4f * at.y, 2, 20, z.m[5], 0.6f);
    Float pebble = noise(11.0f * at.x + 2.0f * grit.x, 11.0f * at.y, 25, z.m[5]) + detail(31.0f * at.x, 31.0f * at.y, 26, z.m[5]);
    Float facing = max(0.10f * pebble + 0.30f + 0.22f * (grit.y * -z.sun.x + grit.z * -z.sun.y), 0.0f);
    Vec3 rock = blend3(z.dark, z.shadow, 0.4f + 0.6f * grit.x + 0.3f * pebble) * (0.10f + 0.75f * facing * (0.3f + lean));
    colour = blend3(rock, colour, cover(border, 1.5f * w)) + z.accent * (0.35f * lean * stripe(border, 0.006f, w));

    // Crystals in the hollow, from its wall down into the dark.
    float size = span(z.m[4], 6.0f, 11.0f);
    Vec4 crystal = crystals((0.6f * at.x + 0.4f * u) * size, (0.6f * at.y + 0.4f * v) * size, z, 30);
    Float down = clamp01(-depth / hollow);
    Float lit_face = crystal.x * (0.25f + 0.75f * squared(1.0f - down)) + 0.05f * crystal.w;
    Vec3 gem = ramp(z, 0.20f + 0.62f * lit_face + 0.22f * crystal.w * crystal.x) * (0.05f + 3.4f * lit_face * (0.35f + lit_face));
    gem += z.twin * (0.30f * squared(1.0f - down) * rise(0.25f, 0.0f, lit_face) * crystal.w);
    gem += blend3(z.accent, z.light, 0.6f) * (crystal.y * (1.0f - 0.7f * down) * (1.6f + 0.8f * shimmer) * span(z.f[5], 0.8f, 2.2f));
    gem = gem * crystal.z;
    gem = gem * (0.35f + 0.65f * rise(0.0f, 0.05f, -depth));
    colour = laid(colour, gem, cover(-depth, w));
    return colour + z.light * (0.9f * stripe(depth - 0.006f, 0.006f, w));
}
