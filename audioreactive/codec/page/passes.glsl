// Passes between painting and finishing, for the bloom and for small pictures. Rows run up in textures; where a count is
// odd, windows begin at the upper edge, as in the painter's other forms. `to` is the size of what is drawn.
//: glowing
uniform sampler2D light;
out vec4 colour;
void main() {
    ivec2 at = 4 * ivec2(gl_FragCoord.xy);
    vec3 sum = vec3(0.0);
    for (int y = 0; y < 4; y++) for (int x = 0; x < 4; x++) sum += glowing(texelFetch(light, at + ivec2(x, y), 0).xyz);
    colour = vec4(min(sum / 16.0, 30.0), 1.0);
}
//: averaging
uniform sampler2D given;
uniform ivec2 to;
out vec4 colour;
void main() {
    ivec2 from = textureSize(given, 0), at = ivec2(gl_FragCoord.xy);
    at.y = to.y - 1 - at.y;
    ivec2 first = at * from / to, last = ((at + 1) * from + to - 1) / to;
    vec3 sum = vec3(0.0);
    for (int y = first.y; y < last.y; y++)
        for (int x = first.x; x < last.x; x++) sum += texelFetch(given, ivec2(x, from.y - 1 - y), 0).xyz;
    ivec2 count = last - first;
    colour = vec4(sum / float(count.x * count.y), 1.0);
}
//: pooling
uniform sampler2D given;
uniform ivec2 to;
out vec4 colour;
void main() {
    ivec2 from = textureSize(given, 0), at = ivec2(gl_FragCoord.xy);
    at.y = to.y - 1 - at.y;
    vec3 sum = vec3(0.0);
    float count = 0.0;
    for (int y = 2 * at.y - 1; y <= min(2 * at.y + 2, from.y); y++)
        for (int x = 2 * at.x - 1; x <= min(2 * at.x + 2, from.x); x++) {
            ivec2 place = clamp(ivec2(x, y), ivec2(0), from - 1);
            sum += texelFetch(given, ivec2(place.x, from.y - 1 - place.y), 0).xyz;
            count += 1.0;
        }
    colour = vec4(sum / count, 1.0);
}
//: enlarging
uniform sampler2D given;
uniform ivec2 to;
out vec4 colour;
void main() { colour = vec4(enlarged(given, to), 1.0); }
//: adding
uniform sampler2D given, level;
uniform ivec2 to;
uniform float share;
out vec4 colour;
void main() {
    vec3 own = texelFetch(level, ivec2(gl_FragCoord.xy), 0).xyz;
    colour = vec4(DECAY * (own + share * enlarged(given, to)), 1.0);
}
//: shrinking
uniform sampler2D given;
uniform int k;
out vec4 colour;
void main() {
    ivec2 at = k * ivec2(gl_FragCoord.xy);
    vec3 sum = vec3(0.0);
    for (int y = 0; y < k; y++) for (int x = 0; x < k; x++) sum += texelFetch(given, at + ivec2(x, y), 0).xyz;
    colour = vec4(sum / float(k * k), 1.0);
}
//: end
