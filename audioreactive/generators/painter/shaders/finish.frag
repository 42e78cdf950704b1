// The finishing pass: from linear light and its bloom to a picture in 0 to 1, dithered for 8 bits.
uniform sampler2D light, bloom;  // bloom: linear between its texels, and its edges repeated
out vec4 colour;

void main() {
    vec2 pixel = own_pixel();
    vec3 glow = texture(bloom, gl_FragCoord.xy / vec2(size)).xyz;
    vec3 made = finished(texelFetch(light, ivec2(gl_FragCoord.xy), 0).xyz, glow, own_place(), parameters);
    colour = vec4(made + 0.5 * dithered(pixel.x, pixel.y), 1.0);
}
