// The given texture between the middles of its texels, at this fragment of a picture of size `to`.
vec3 enlarged(sampler2D given, ivec2 to) {
    ivec2 last = textureSize(given, 0) - 1;
    vec2 place = clamp(gl_FragCoord.xy * vec2(last + 1) / vec2(to) - 0.5, vec2(0.0), vec2(last));
    ivec2 low = min(ivec2(place), max(last - 1, 0)), high = min(low + 1, last);
    vec2 share = place - vec2(low);
    vec3 below = mix(texelFetch(given, low, 0).xyz, texelFetch(given, ivec2(high.x, low.y), 0).xyz, share.x);
    vec3 above = mix(texelFetch(given, ivec2(low.x, high.y), 0).xyz, texelFetch(given, high, 0).xyz, share.x);
    return mix(below, above, share.y);
}
