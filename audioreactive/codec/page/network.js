// Draws a clip from its grids: slices between two moments, and a small decoder for each pixel.

class NetworkRenderer {
    constructor(canvas, numbers) {
        this.canvas = canvas;
        this.graphics = new Graphics(canvas);
        this.continuous = about.fps[0] / about.fps[1] >= 8;
        this.shrink = 1;
        const {levels} = about.network;
        let at = 0;
        this.levels = levels.map(([times, channels, rows, columns]) => {
            const count = times * channels * rows * columns, values = new Int16Array(count);
            for (let i = 0; i < count; i++) values[i] = numbers[at + i] | (numbers[at + count + i] << 8);
            at += 2 * count;
            return {times, channels, rows, columns, values, mixed: new Float32Array(4 * rows * columns)};
        });
        this.program = this.graphics.program(this.shader(about.network));
    }

    resize(width, height) {
        const most = Math.min(1, 3840 / Math.max(width, height)) * this.shrink;
        this.setSize(Math.max(Math.round(width * most), 1), Math.max(Math.round(height * most), 1));
    }

    setSize(width, height) {
        this.canvas.width = width;
        this.canvas.height = height;
    }

    coarser() {
        if (this.shrink <= 0.25) return false;
        this.shrink *= 0.7;
        return true;
    }

    // The decoder as text: its weights are constants, in blocks of four by four.
    shader({levels, hidden, weights}) {
        const channels = levels.reduce((sum, level) => sum + level[1], 0);
        const inputs = Math.ceil(channels / 4), wide = Math.ceil(hidden / 4);
        const number = x => (x || 0).toPrecision(8).replace(/^(-?\d+)$/, "$1.0");
        const vector = (values, k) => `vec4(${[0, 1, 2, 3].map(i => number(values[4 * k + i])).join(",")})`;
        // rows x columns weights, as matrices from input block b to output block a
        const matrix = (values, rows, columns, a, b) => `mat4(${[0, 1, 2, 3].map(j => [0, 1, 2, 3].map(i => {
            const row = 4 * a + i, column = 4 * b + j;
            return number(row < rows && column < columns ? values[row * columns + column] : 0);
        }).join(",")).join(",")})`;
        const layer = (name, values, rows, columns, from, bias) => Array.from({length: Math.ceil(rows / 4)}, (_, a) =>
            `vec4 ${name}${a} = ${[...(bias ? [vector(bias, a)] : []), ...Array.from({length: Math.ceil(columns / 4)},
                (_, b) => `${matrix(values, rows, columns, a, b)} * ${from}${b}`)].join(" + ")};`).join("\n");
        const units = weights.units;
        let taken = 0;
        const read = levels.map(([, count], k) => {
            const parts = Array.from({length: count}, (_, c) =>
                `x${(taken + c) >> 2}.${"xyzw"[(taken + c) & 3]} = s${k}.${"xyz"[c]} * ${number(units[taken + c])};`);
            taken += count;
            return `vec4 s${k} = slice(g${k}, at);\n${parts.join("\n")}`;
        });
        const rectified = (name, count) => Array.from({length: count}, (_, k) => `${name}${k} = max(${name}${k}, 0.0);`).join("\n");
        return `#version 300 es
precision highp float;
precision highp sampler2D;
${levels.map((_, k) => `uniform sampler2D g${k};`).join("\n")}
uniform ivec2 to;
out vec4 colour;
vec4 slice(sampler2D given, vec2 at) {
    ivec2 last = textureSize(given, 0) - 1;
    vec2 place = clamp(at * vec2(last + 1) - 0.5, vec2(0.0), vec2(last));
    ivec2 low = min(ivec2(place), max(last - 1, 0)), high = min(low + 1, last);
    vec2 share = place - vec2(low);
    vec4 above = mix(texelFetch(given, low, 0), texelFetch(given, ivec2(low.x, high.y), 0), share.y);
    vec4 beside = mix(texelFetch(given, ivec2(high.x, low.y), 0), texelFetch(given, high, 0), share.y);
    return mix(above, beside, share.x);
}
void main() {
    vec2 at = vec2(gl_FragCoord.x, float(to.y) - gl_FragCoord.y) / vec2(to);
    ${Array.from({length: inputs}, (_, k) => `vec4 x${k} = vec4(0.0);`).join("\n")}
    ${read.join("\n")}
    ${layer("h", weights.first, hidden, channels, "x", weights.firstBias)}
    ${rectified("h", wide)}
    ${layer("k", weights.second, hidden, hidden, "h", weights.secondBias)}
    ${rectified("k", wide)}
    ${layer("s", weights.skip, 3, channels, "x", weights.skipBias).replace("s0", "sum")}
    ${layer("l", weights.last, 3, hidden, "k", null).replace("l0", "made")}
    colour = vec4(floor(clamp((sum + made).xyz, 0.0, 1.0) * 255.0 + 0.5) / 255.0, 1.0);
}`;
    }

    draw(seconds) {
        const {graphics} = this, gl = graphics.gl;
        const moment = Math.min(Math.max(seconds * about.fps[0] / about.fps[1] / Math.max(about.frames - 1, 1), 0), 1);
        const textures = {};
        this.levels.forEach((level, k) => {
            const {times, channels, rows, columns, values, mixed} = level;
            const place = moment * (times - 1), below = Math.min(Math.floor(place), times - 1);
            const share = place - below < 1e-6 ? 0 : place - below, above = Math.min(below + 1, times - 1);
            const area = rows * columns, first = below * channels * area, second = above * channels * area;
            for (let c = 0; c < channels; c++) for (let i = 0; i < area; i++) {
                const a = values[first + c * area + i];
                mixed[4 * i + c] = a + (values[second + c * area + i] - a) * share;
            }
            textures[`g${k}`] = this.texture(k, columns, rows, mixed);
        });
        graphics.draw(this.program, null, textures, () => {});
    }

    texture(k, width, height, values) {
        const {graphics} = this, gl = graphics.gl, name = `grid ${k}`;
        let made = graphics.textures.get(name);
        if (!made) graphics.textures.set(name, made = {texture: gl.createTexture()});
        gl.bindTexture(gl.TEXTURE_2D, made.texture);
        gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA32F, width, height, 0, gl.RGBA, gl.FLOAT, values);
        graphics.filters(gl.NEAREST);
        return made;
    }
}

async function makeRenderer(canvas) {
    return new NetworkRenderer(canvas, await inflated(await embedded("numbers")));
}
start();
