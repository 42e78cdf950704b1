// The shaders' types and functions in GLSL ES 3.00, for WebGL 2: a fragment has one pixel, and y runs up there, so that
// slopes down are turned round. The program that paints gives a picture's parameters, its size and its noise.
precision highp float;
precision highp int;
precision highp sampler2D;

#define UNROLL
#define Float float
#define Vec2 vec2
#define Vec3 vec3
#define Vec4 vec4
#define Bits uint

// What a painting is made from; the fields are those of `parameters.FIELDS`.
struct Latents {
    float c[8], m[8], f[8];
    vec3 ramp[9], tone[9];
    vec3 dark, shadow, body, accent, light, twin, sun;
};
uniform Latents parameters;
uniform ivec2 size;  // width and height of the picture

struct Table {
    int rows, columns;
};
uniform sampler2D noise_table;  // one number a texel

struct Place {
    float x, y, px, right, bottom;
    Table table;
};

float select(bool chosen, float yes, float no) { return chosen ? yes : no; }

float power(float x, float y) { return exp2(y * log2(max(x, 1.2e-38))); }
#define pow power

float slope_down(float x) { return -dFdy(x); }
#define dFdy slope_down

// 32 random bits for a point of the integer lattice.
uint hash(float i, float j, int seed) {
    uint h = uint(int(i)) * 0x9e3779b1u + uint(int(j)) * 0x85ebca77u + uint(seed) * 0xc2b2ae3du;
    h *= 0x2c1b3c6du;
    h ^= h >> 15;
    h *= 0x297a2d39u;
    return h ^ (h >> 15);
}
float low(uint bits) { return float(bits & 0xffffu) * (1.0 / 65536.0); }
float high(uint bits) { return float(bits >> 16) * (1.0 / 65536.0); }

// The noise at (x, y), in entries of the table, with smooth steps between them; its edges are repeated outside.
float table_value(Table table, float x, float y) {
    x = clamp(x, 0.0, float(table.columns) - 1.001);
    y = clamp(y, 0.0, float(table.rows) - 1.001);
    vec2 share = fract(vec2(x, y));
    share = share * share * (3.0 - 2.0 * share);
    ivec2 at = ivec2(int(x), int(y));
    float above = mix(texelFetch(noise_table, at, 0).x, texelFetch(noise_table, at + ivec2(1, 0), 0).x, share.x);
    float below = mix(texelFetch(noise_table, at + ivec2(0, 1), 0).x, texelFetch(noise_table, at + ivec2(1, 1), 0).x, share.x);
    return mix(above, below, share.y);
}

// Column and row of this fragment's pixel, from the upper left.
vec2 own_pixel() { return vec2(gl_FragCoord.x - 0.5, float(size.y) - gl_FragCoord.y - 0.5); }

Place own_place() {
    Place p;
    p.px = 2.0 / float(min(size.x, size.y));
    p.right = 0.5 * float(size.x) * p.px;
    p.bottom = 0.5 * float(size.y) * p.px;
    vec2 pixel = own_pixel();
    p.x = (pixel.x + 0.5 - 0.5 * float(size.x)) * p.px;
    p.y = (pixel.y + 0.5 - 0.5 * float(size.y)) * p.px;
    ivec2 entries = textureSize(noise_table, 0);
    p.table = Table(entries.y, entries.x);
    return p;
}
