// Draws a clip from its grids: slices between two moments, and a small decoder for each pixel.

class NetworkRenderer {
    constructor(canvas, numbers) {
        this.canvas = canvas;
        this.graphics = new Graphics(canvas);
        this.continuous = about.fps[0] / about.fps[1] >= 8;
        this.shrink = 1;
        const {parts, units} = about.network;
        let at = 0, unit = 0;
        this.parts = {};
        for (const [kind, levels] of parts) this.parts[kind] = levels.map(([times, channels, rows, columns]) => {
            const count = times * channels * rows * columns, values = new Int16Array(count);
            for (let i = 0; i < count; i++) values[i] = numbers[at + i] | (numbers[at + count + i] << 8);
            at += 2 * count;
            return {times, channels, rows, columns, values};
        });
        for (const kind of ["still", "keys", "own"]) for (const level of this.parts[kind] || [])
            level.units = units.slice(unit, unit += level.channels);
        this.keys = new Map();
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
    shader({knots, hidden, weights}) {
        const own = this.parts.own, moves = knots.length > 0, base = moves ? 3 : 0;
        const channels = base + own.reduce((sum, level) => sum + level.channels, 0);
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
        let taken = base;
        const read = own.map(({channels: count}, k) => {
            const parts = Array.from({length: count}, (_, c) =>
                `x${(taken + c) >> 2}.${"xyzw"[(taken + c) & 3]} = s${k}.${"xyz"[c]};`);
            taken += count;
            return `vec4 s${k} = slice(g${k}, at);\n${parts.join("\n")}`;
        });
        if (moves) read.unshift(`vec4 way = slice(motion, at) / vec4(keyed, keyed);
    vec2 bend = share * (1.0 - share) * way.zw;
    vec4 found = mix(slice(before, at - share * way.xy + bend), slice(after, at + (1.0 - share) * way.xy + bend), share);
    x0.xyz = slice(light, at).x * found.xyz;`);
        const rectified = (name, count) => Array.from({length: count}, (_, k) => `${name}${k} = max(${name}${k}, 0.0);`).join("\n");
        return `#version 300 es
precision highp float;
precision highp sampler2D;
${own.map((_, k) => `uniform sampler2D g${k};`).join("\n")}
uniform sampler2D before, after, motion, light;
uniform float share;
uniform vec2 keyed;
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
        const {graphics} = this, {knots} = about.network, last = Math.max(about.frames - 1, 1);
        const moment = Math.min(Math.max(seconds * about.fps[0] / about.fps[1] / last, 0), 1);
        const textures = {};
        this.parts.own.forEach((level, k) => textures[`g${k}`] = this.texture(`g${k}`, this.between(level, moment)));
        let share = 0;
        if (knots.length) {
            const at = moment * (about.frames - 1), count = knots.filter(knot => knot <= at).length;
            const k = Math.min(Math.max(count - 1, 0), knots.length - 2);
            share = (at - knots[k]) / (knots[k + 1] - knots[k]);
            textures.before = this.texture("before", this.key(k), k);
            textures.after = this.texture("after", this.key(k + 1), k + 1);
            const motion = this.piled(this.parts.motion.map(level => this.slice(level, k, about.network.motion)));
            textures.motion = this.texture("motion", motion, k);
            const light = this.piled(this.parts.light.map(level => this.between(level, moment)));
            for (let i = 0; i < light.texels.length; i += 4) light.texels[i] = 1 + about.network.light * light.texels[i];
            textures.light = this.texture("light", light);
        }
        graphics.draw(this.program, null, textures, (at, gl) => {
            gl.uniform1f(at("share"), share);
            gl.uniform2f(at("keyed"), ...about.size);
        });
    }

    // A grid at a moment from 0 to 1, four numbers a cell, in its units.
    between(level, moment) {
        const {times} = level, place = moment * (times - 1), below = Math.min(Math.floor(place), times - 1);
        const share = place - below < 1e-6 ? 0 : place - below;
        return this.slice(level, below, 1, Math.min(below + 1, times - 1), share);
    }

    slice({channels, rows, columns, values, units}, point, factor = 1, other = point, share = 0) {
        const area = rows * columns, texels = new Float32Array(4 * area);
        const first = point * channels * area, second = other * channels * area;
        for (let c = 0; c < channels; c++) for (let i = 0, unit = units ? units[c] : factor; i < area; i++) {
            const a = values[first + c * area + i];
            texels[4 * i + c] = (a + (values[second + c * area + i] - a) * share) * unit;
        }
        return {rows, columns, texels};
    }

    // The picture of a key: what stands still and what differs from it then.
    key(k) {
        if (!this.keys.has(k)) {
            if (this.keys.size > 2) this.keys.delete(this.keys.keys().next().value);
            this.keys.set(k, this.piled(this.parts.keys.map((level, i) => {
                const made = this.slice(level, k), still = this.slice(this.parts.still[i], 0);
                for (let j = 0; j < made.texels.length; j++) made.texels[j] += still.texels[j];
                return made;
            })));
        }
        return this.keys.get(k);
    }

    // Grids added up, coarse ones first, each enlarged to the next.
    piled(grids) {
        return grids.reduce((sum, {rows, columns, texels}) => {
            const down = this.places(sum.rows, rows), right = this.places(sum.columns, columns);
            const {texels: from, columns: wide} = sum, mix = (a, b, share) => a + (b - a) * share;
            for (let y = 0, to = 0; y < rows; y++) for (let x = 0; x < columns; x++) {
                const [low, high, share] = down[y], [left, other, across] = right[x];
                let a = 4 * (low * wide + left), b = 4 * (low * wide + other);
                let c = 4 * (high * wide + left), d = 4 * (high * wide + other);
                for (const end = to + 4; to < end; to++)
                    texels[to] += mix(mix(from[a++], from[b++], across), mix(from[c++], from[d++], across), share);
            }
            return {rows, columns, texels};
        });
    }

    // For each place of a side the two cells between whose centres it lies, and the share of the second.
    places(cells, side) {
        return Array.from({length: side}, (_, i) => {
            const at = Math.min(Math.max((i + 0.5) * cells / side - 0.5, 0), cells - 1);
            const below = Math.min(Math.floor(at), Math.max(cells - 2, 0));
            return [below, Math.min(below + 1, cells - 1), at - below];
        });
    }

    // A texture of these numbers; it is written again unless it holds those of the same `mark`.
    texture(name, {rows, columns, texels}, mark = null) {
        const {graphics} = this, gl = graphics.gl;
        let made = graphics.textures.get(name);
        if (!made) graphics.textures.set(name, made = {texture: gl.createTexture()});
        if (mark !== null && made.mark === mark) return made;
        made.mark = mark;
        gl.bindTexture(gl.TEXTURE_2D, made.texture);
        gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA32F, columns, rows, 0, gl.RGBA, gl.FLOAT, texels);
        graphics.filters(gl.NEAREST);
        return made;
    }
}

async function makeRenderer(canvas) {
    return new NetworkRenderer(canvas, await inflated(await embedded("numbers")));
}
start();
