// Paints one family, named by the macro FAMILY: linear light, to a texture of floats.
out vec4 colour;

void main() { colour = vec4(FAMILY(own_place(), parameters), 1.0); }
