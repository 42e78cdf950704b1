// A nebula: gas lit by young stars, and dust before it whose edges glow where they face the light.
#include "slopes.glsl"
#include "stars.glsl"

Vec3 nebula(Place p, Latents z) {
    Vec2 at = focused(p, z, 0.6f, 0.3f);
    Float r2 = at.x * at.x + at.y * at.y;
    Float r = sqrt(r2);
    float tilt = 0.785f * z.c[2];
    Float across = at.y * cos(tilt) - at.x * sin(tilt);
    float f = span(z.c[3], 0.8f, 1.2f);
    Float u = at.x * f + 0.7f * z.c[4];
    Float v = at.y * f + 0.7f * z.c[5];
    Vec3 swirl = sloped_noise(0.9f * u + z.c[7], 0.9f * v, 3, z.c[6]);
    Float wx = 0.45f * swirl.z;
    Float wy = -0.45f * swirl.y;
    Float shimmer = ruffle(p);
    Float x = 1.1f * u + 0.55f * wx;
    Float y = 1.1f * v + 0.55f * wy;

    // Dust in front: where n is high. Its edges that face the light in the middle glow.
    Vec3 n = sloped_clouds(x, y, 2, 15, 1.5f * z.m[0], 0.5f);
    Float fine = fbm(3.6f * x + 1.2f * n.x, 3.6f * y, 5, 25, 1.7f * z.m[0], 0.68f, span(z.m[1], 0.1f, 0.6f));
    Float bank = abs(across + 0.35f * wy);
    Float lie = 1.3f * n.x + 0.25f * wx + 0.42f * fine + 0.35f * rise(0.75f, 0.0f, bank) - 0.30f * bell(r / 0.35f);
    Float dust = rise(-0.05f, 0.45f, lie);
    Float facing = max(n.y * at.x + n.z * at.y, 0.0f) / (r + 0.1f);
    facing = facing / (1.0f + facing) * (0.35f + 0.9f * fine);
    Float rim = max(facing, 0.0f) * rise(-0.25f, 0.15f, lie) * rise(0.9f, 0.15f, lie);

    // Gas behind: filaments in a band across the picture.
    Float gas = fbm(0.8f * x + 0.5f * wy + 3.1f, 0.8f * y + 5.7f, 3, 40, 1.6f * z.m[5], 0.55f, span(z.m[2], 0.05f, 0.9f));
    gas = rise(-0.55f, 0.95f, gas - 0.75f * (bank - 0.3f) + 0.2f * fine);
    Float lamp = 0.30f / (r2 + 0.16f);
    Float thread = exp2(-40.0f * squared(fine - 0.08f));
    Float glow = gas * gas * (0.10f + lamp) * (0.65f + span(z.m[7], 0.2f, 1.5f) * thread) + 0.10f * gas;
    Float hue = rise(0.0f, 0.7f, wy - 0.3f * lamp + span(z.m[6], -0.1f, 0.6f)) * 0.8f;
    Float t = 0.14f + 0.40f * gas * sqrt(0.3f + lamp) + 0.16f * rise(0.3f, 1.9f, lamp) + 0.10f * wx + 0.05f * fine;
    Vec3 colour = blend3(ramp(z, t), z.twin * (0.3f + 1.6f * gas), hue) * (2.2f * glow);
    Float through = exp(-dust * span(z.m[3], 1.4f, 4.2f));
    colour = colour * through;
    colour += ramp(z, 0.30f + 0.35f * lamp + 0.15f * rim) * (rim * (0.15f + lamp) * span(z.f[5], 0.9f, 1.7f));

    // The star within, and those all about.
    colour += blend3(z.accent, z.light, 0.6f) * (0.0006f / (r2 + 0.0002f) * (0.3f + 0.7f * through));
    float born = span(z.m[4], 0.15f, 0.35f);
    Float lights = stars(p.x + 0.6f * z.c[5], p.y + 0.6f * z.c[6], p, born, 5, 0.0026f) +
                   spikes(p.x + 0.6f * z.c[5], p.y + 0.6f * z.c[6], p, born, 5, 0.0026f);
    colour = colour * (1.0f + 0.10f * shimmer);
    colour += z.dark * 0.3f + blend3(z.light, z.accent, 0.3f) * (lights * (1.0f + 0.35f * shimmer) * (0.03f + 0.97f * through * (1.0f - 0.6f * gas)));
    return colour;
}
