// Joins two painted families in one picture: linear light, to a texture of floats.
uniform sampler2D first, second;
uniform float share;  // of the second, 0 to 1
out vec4 colour;

void main() {
    ivec2 at = ivec2(gl_FragCoord.xy);
    vec3 made = revealed(texelFetch(first, at, 0).xyz, texelFetch(second, at, 0).xyz, share, own_place(), parameters);
    colour = vec4(made, 1.0);
}
