// Draws recipes of the painter: motion over a palette -> parameters and noise -> the painter's shaders. What `told` is in
// a call is one recipe's part of the page; `about.painter` is the same for all.

// --- Noise fields, as NumPy's RandomState draws them -------------------------------------------------------------------

class Twister {
    constructor(key) {  // init_by_array
        const m = this.state = new Uint32Array(624);
        m[0] = 19650218;
        for (let i = 1; i < 624; i++) m[i] = Math.imul(1812433253, m[i - 1] ^ (m[i - 1] >>> 30)) + i;
        let i = 1, j = 0;
        for (let k = 0; k < 624; k++) {
            m[i] = (m[i] ^ Math.imul(m[i - 1] ^ (m[i - 1] >>> 30), 1664525)) + key[j] + j;
            if (++i >= 624) { m[0] = m[623]; i = 1; }
            if (++j >= key.length) j = 0;
        }
        for (let k = 0; k < 623; k++) {
            m[i] = (m[i] ^ Math.imul(m[i - 1] ^ (m[i - 1] >>> 30), 1566083941)) - i;
            if (++i >= 624) { m[0] = m[623]; i = 1; }
        }
        m[0] = 0x80000000;
        this.at = 624;
    }

    bits() {
        const m = this.state;
        if (this.at === 624) {
            for (let k = 0; k < 624; k++) {
                const y = (m[k] & 0x80000000) | (m[(k + 1) % 624] & 0x7fffffff);
                m[k] = m[(k + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
            }
            this.at = 0;
        }
        let y = m[this.at++];
        y ^= y >>> 11;
        y ^= (y << 7) & 0x9d2c5680;
        y ^= (y << 15) & 0xefc60000;
        return (y ^ (y >>> 18)) >>> 0;
    }

    uniform() { return ((this.bits() >>> 5) * 67108864 + (this.bits() >>> 6)) / 9007199254740992; }

    // Standard normal numbers, two at a time by the polar method.
    normals(count) {
        const made = new Float32Array(count);
        for (let i = 0; i < count; i += 2) {
            let x, y, r;
            do {
                x = 2 * this.uniform() - 1;
                y = 2 * this.uniform() - 1;
                r = x * x + y * y;
            } while (r >= 1 || r === 0);
            const factor = Math.sqrt(-2 * Math.log(r) / r);
            made[i] = factor * y;
            if (i + 1 < count) made[i + 1] = factor * x;
        }
        return made;
    }
}

// --- Tables: columns of whole numbers as differences, in two planes of bytes -------------------------------------------

function readTables(bytes, {columns, frames}) {
    const made = {};
    let at = 0;
    for (const [name, kind, value, order] of columns) {
        if (kind === "constant") { made[name] = new Float64Array(frames).fill(value); continue; }
        if (kind === "same") { made[name] = made[value]; continue; }
        const column = new Float64Array(frames), numbers = new Int32Array(frames);
        for (let t = 0; t < frames; t++) {
            const zigzag = bytes[at + t] | (bytes[at + frames + t] << 8) | (bytes[at + 2 * frames + t] << 16);
            numbers[t] = (zigzag >>> 1) ^ -(zigzag & 1);
        }
        at += 3 * frames;
        for (let k = 0; k < order; k++) for (let t = 1; t < frames; t++) numbers[t] += numbers[t - 1];
        for (let t = 0; t < frames; t++) column[t] = numbers[t] * value;
        made[name] = column;
    }
    return made;
}

// --- Colours, as painter/schemes.py has them -----------------------------------------------------------------------------

const lerp = (a, b, t) => a + (b - a) * t;
const unit = ([x, y], least) => {
    const factor = Math.sqrt((1 + least) / (x * x + y * y + least));
    return [x * factor, y * factor];
};

function linearRgb([l, a, b]) {
    const lms = about.painter.toLms.map(([p, q]) => (l + p * a + q * b) ** 3);
    return about.painter.toRgb.map(row => Math.max(row[0] * lms[0] + row[1] * lms[1] + row[2] * lms[2], 0));
}

function ramp(lightness, chroma, direction) {
    const stops = [];
    for (let stop = 0; stop < about.painter.stops; stop++) {
        const k = Math.min(stop >> 1, 3), between = stop / 2 - k;
        const ab = unit([0, 1].map(c => lerp(direction[k][c], direction[k + 1][c], between)), 0.4);
        const c = lerp(chroma[k], chroma[k + 1], between);
        stops.push([lerp(lightness[k], lightness[k + 1], between), ab[0] * c, ab[1] * c]);
    }
    return stops;
}

// The ramp, the tone and the twin of a scheme, in OKLab.
function derived(scheme) {
    const [lightness, saturation, hues] = [0, 1, 2].map(c => scheme.map(colour => colour[c]));
    const direction = hues.map(hue => [Math.cos(hue), Math.sin(hue)]);
    const pale = 0.55 * lightness[2] + 0.45 * lightness[4], near = direction[2], far = direction[4];
    const tone = ramp(
        [lightness[0], lightness[1], lightness[2], pale, lightness[4]],
        [0.3 * saturation[2], 0.7 * saturation[2], saturation[2], 0.8 * saturation[2], saturation[4]],
        [near, near, near, unit([0.75 * near[0] + 0.25 * far[0], 0.75 * near[1] + 0.25 * far[1]], 0.4), far],
    );
    const c = Math.cos(0.95), s = Math.sin(0.95);
    const twin = [lightness[2], 0.17 * (near[0] * c + near[1] * s), 0.17 * (near[1] * c - near[0] * s)];
    return [...ramp(lightness, saturation, direction), ...tone, twin];
}

const derivedOnce = [];
function colours(weights, hue, chroma) {
    const share = weights.map(w => Math.max(w, 0)), total = Math.max(share.reduce((a, b) => a + b, 0), 1e-12);
    const {stops, vivid, schemes} = about.painter, c = Math.cos(hue), s = Math.sin(hue);
    const mixed = Array.from({length: 2 * stops + 1}, () => [0, 0, 0, 0]);
    share.forEach((w, i) => {
        if (!w) return;
        derivedOnce[i] ??= derived(schemes[i]);
        derivedOnce[i].forEach(([l, a, b], k) => [l, a, b, Math.hypot(a, b)].forEach((x, n) => mixed[k][n] += w / total * x));
    });
    const lab = mixed.map(([l, a, b, strength], k) => {
        const kept = Math.sqrt((1 + vivid) / ((a * a + b * b) / Math.max(strength * strength, 1e-12) + vivid));
        const factor = kept * (k < 2 * stops ? chroma : 1);
        return [l, (a * c - b * s) * factor, (a * s + b * c) * factor];
    });
    const made = {ramp: lab.slice(0, stops), tone: lab.slice(stops, 2 * stops), twin: linearRgb(lab[2 * stops])};
    ["dark", "shadow", "body", "accent", "light"].forEach((name, k) => made[name] = linearRgb(made.ramp[2 * k]));
    return made;
}

function parametersOf(coarse, middle, fine, schemes) {
    const made = colours(schemes, 0.42 * Math.tanh(fine[2]), 1 + 0.15 * Math.tanh(fine[3]));
    const angle = -Math.PI / 2 + 0.9 * Math.tanh(fine[4]);
    return {...made, c: coarse, m: middle, f: fine, sun: [0.72 * Math.cos(angle), 0.72 * Math.sin(angle), 0.69]};
}

// --- Noise -------------------------------------------------------------------------------------------------------------

const CUBIC = -0.75;
function cubicWeights(s) {
    const inner = x => ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1;
    const outer = x => ((CUBIC * x - 5 * CUBIC) * x + 8 * CUBIC) * x - 4 * CUBIC;
    return [outer(s + 1), inner(s), inner(1 - s), outer(2 - s)];
}

function cubicPlaces(from, to) {
    return Array.from({length: to}, (_, i) => {
        const at = (i + 0.5) * from / to - 0.5, first = Math.floor(at);
        const places = [-1, 0, 1, 2].map(k => Math.min(Math.max(first + k, 0), from - 1));
        return {places, weights: cubicWeights(at - first)};
    });
}

class Noise {
    constructor(told, tables) {
        this.told = told;
        this.tables = tables;
        const {sizes, keys} = told;
        this.fields = sizes.map(([rows, columns], layer) => keys.map(
            field => new Twister(Uint32Array.from(field[layer])).normals(rows * columns)));
        const [rows, columns] = sizes[sizes.length - 1];
        this.rows = rows;
        this.columns = columns;
        this.down = sizes.map(([r]) => cubicPlaces(r, rows));
        this.across = sizes.map(([, c]) => cubicPlaces(c, columns));
    }

    map(layer, t) {
        const {groups, loops, seeds, sizes, octaves} = this.told, table = this.tables, group = groups[layer];
        const fields = this.fields[layer], count = sizes[layer][0] * sizes[layer][1], made = new Float64Array(count);
        for (let f = 0; f < seeds; f++) {
            const weight = table[`n.${group}.${f}`][t];
            if (weight) for (let i = 0; i < count; i++) made[i] += weight * fields[f][i];
        }
        const rms = values => Math.max(Math.sqrt(values.reduce((sum, v) => sum + v * v, 0) / count), 1e-6);
        loops.forEach((loop, k) => {
            const share = table[`s.${k}.${group}`][t];
            if (!share) return;
            const [n0, n1, n2] = loop.seeds.map(seed => fields[seed]);
            const turn = 2 * Math.PI * table[`p.${k}`][t], value = new Float64Array(count);
            for (let i = 0; i < count; i++) value[i] = Math.sin(loop.reach * Math.cos(turn + n0[i]) + n1[i]) * n2[i];
            const factor = share / rms(value);
            for (let i = 0; i < count; i++) made[i] += factor * value[i];
        });
        const gain = table.gain[t], octave = octaves[layer];
        let factor = gain / rms(made), mean = 0;
        if (table["mean.0"] && octave < 4) {
            factor *= table[`deviation.${octave}`][t];
            mean = gain * table[`mean.${octave}`][t];
        }
        for (let i = 0; i < count; i++) made[i] = made[i] * factor + mean;
        return made;
    }

    // All maps together, in the finest one's size.
    table(t) {
        const {rows, columns} = this, total = new Float32Array(rows * columns), strength = this.told.strength;
        this.told.sizes.forEach(([r, c], layer) => {
            const map = this.map(layer, t);
            if (r === rows && c === columns) {
                for (let i = 0; i < total.length; i++) total[i] += strength * map[i];
                return;
            }
            const wide = new Float64Array(r * columns);
            for (let j = 0; j < r; j++) this.across[layer].forEach(({places, weights}, i) => {
                let sum = 0;
                for (let k = 0; k < 4; k++) sum += weights[k] * map[j * c + places[k]];
                wide[j * columns + i] = sum;
            });
            this.down[layer].forEach(({places, weights}, j) => {
                for (let i = 0; i < columns; i++) {
                    let sum = 0;
                    for (let k = 0; k < 4; k++) sum += weights[k] * wide[places[k] * columns + i];
                    total[j * columns + i] += strength * sum;
                }
            });
        });
        return total;
    }
}

// --- The renderer ------------------------------------------------------------------------------------------------------

class PainterRenderer {
    constructor(graphics, told, bytes, programs) {
        this.canvas = graphics.gl.canvas;
        this.graphics = graphics;
        this.told = told;
        this.tables = readTables(bytes, told.tables);
        this.noise = new Noise(told.noise, this.tables);
        this.programs = programs;
        this.most = about.painter.mostSamples;
        this.shrink = 1;
        this.continuous = false;
    }

    program(name) {
        let made = this.programs.get(name);
        if (typeof made === "string") this.programs.set(name, made = this.graphics.program(made));
        return made;
    }

    resize(width, height) {
        const most = Math.min(1, 3840 / Math.max(width, height)) * this.shrink;
        this.setSize(Math.max(Math.round(width * most / 4), 4) * 4, Math.max(Math.round(height * most / 4), 4) * 4);
    }

    setSize(width, height) {
        if (this.canvas.width !== width) this.canvas.width = width;
        if (this.canvas.height !== height) this.canvas.height = height;
        const samples = Math.ceil(about.painter.finestRows / Math.min(width, height));
        this.samples = Math.min(Math.max(samples, 1), this.most);
    }

    coarser() {
        if (this.most > 1 && this.samples > 1) { this.most = this.samples - 1; return true; }
        if (this.shrink <= 0.25) return false;
        this.shrink *= 0.7;
        return true;
    }

    // Weights of a frame over the palette -> families with their shares, and all parameters.
    scene(t) {
        const {palette, families} = this.told, {leastShare} = about.painter;
        const weights = [0, 1, 2].map(g => palette.map((_, p) => this.tables[`l.${g}.${p}`][t]));
        const mixed = (g, key, length) => {
            const made = new Array(length).fill(0);
            palette.forEach((vector, p) => {
                const w = weights[g][p];
                if (w) for (let i = 0; i < length; i++) made[i] += w * vector[key][i];
            });
            return made;
        };
        const slots = families.map(() => new Array(9).fill(0));
        palette.forEach((vector, p) => {
            for (const [family, slot] of vector.coarse)
                for (let i = 0; i < 9; i++) slots[family][i] += weights[0][p] * slot[i];
        });
        const shares = slots.map(slot => Math.max(slot[0], 0));
        const order = families.map((_, k) => k).sort((a, b) => shares[b] - shares[a] || a - b).slice(0, 2);
        const total = order.reduce((sum, k) => sum + shares[k], 0);
        let shown = order.filter(k => shares[k] > leastShare * total).sort((a, b) => a - b);
        if (!shown.length) shown = order.slice(0, 1);
        const middle = mixed(1, "middle", 8), light = mixed(2, "fine", palette[0].fine.length);
        const made = shown.map(k => {
            const divisor = Math.max(slots[k][0], leastShare / 2);
            const coarse = slots[k].slice(1).map(v => v / divisor);
            return parametersOf(coarse, middle, light.slice(0, 8), light.slice(8));
        });
        return {shown: shown.map(k => families[k]), made, share: shares[shown[shown.length - 1]] / Math.max(total, 1e-9)};
    }

    draw(seconds) {
        const {fps, frames} = this.told, frame = Math.min(Math.round(seconds * fps[0] / fps[1]), frames - 1);
        const {graphics, canvas, samples} = this, width = canvas.width * samples, height = canvas.height * samples;
        const {shown, made, share} = this.scene(frame);
        const table = graphics.floats("noise", this.noise.columns, this.noise.rows, this.noise.table(frame));
        const given = parameters => (at, gl) => {
            for (const name of ["c", "m", "f"]) gl.uniform1fv(at(`parameters.${name}[0]`), parameters[name]);
            for (const name of ["ramp", "tone"]) gl.uniform3fv(at(`parameters.${name}[0]`), parameters[name].flat());
            for (const name of ["dark", "shadow", "body", "accent", "light", "twin", "sun"])
                gl.uniform3fv(at(`parameters.${name}`), parameters[name]);
            gl.uniform2i(at("size"), width, height);
            gl.uniform1f(at("share"), share);
        };
        let light = shown.map((family, k) => {
            const target = graphics.target(`light ${k}`, width, height);
            graphics.draw(this.program(family), target, {noise_table: table}, given(made[k]));
            return target;
        });
        if (light.length === 2) {
            const target = graphics.target("light", width, height);
            graphics.draw(this.program("revealing"), target, {first: light[0], second: light[1], noise_table: table},
                given(made[1]));
            light = [target];
        }
        const bloom = this.bloom(light[0], width, height);
        const inputs = {light: light[0], bloom, noise_table: table};
        if (samples === 1) {
            graphics.draw(this.program("finishing"), null, inputs, given(made[0]));
            return;
        }
        const large = graphics.target("large", width, height);
        graphics.draw(this.program("finishing"), large, inputs, given(made[0]));
        graphics.draw(this.program("shrinking"), null, {given: large}, (at, gl) => gl.uniform1i(at("k"), samples));
    }

    bloom(light, width, height) {
        const {graphics} = this, {bloomRows, longest} = about.painter;
        const linear = graphics.gl.LINEAR, half = graphics.gl.RGBA16F;
        const [w, h] = [width >> 2, height >> 2];
        let level = graphics.target("glow", w, h);
        graphics.draw(this.program("glowing"), level, {light}, (at, gl) => gl.uniform2i(at("size"), width, height));
        const unitSide = Math.max(Math.min(w, h), Math.max(w, h) / longest);
        const size = [w, h].map(side => Math.max(roundHalfEven(side * bloomRows / unitSide), 2));
        if (size[0] !== w || size[1] !== h) {
            const resized = graphics.target("resized", ...size);
            const name = unitSide >= bloomRows ? "averaging" : "enlarging";
            graphics.draw(this.program(name), resized, {given: level}, () => {});
            level = resized;
        }
        const levels = [];
        for (let [a, b] = size; Math.min(a, b) > 6;) {
            [a, b] = [a, b].map(side => Math.ceil((side - 2) / 2) + 1);
            const pooled = graphics.target(`pooled ${levels.length}`, a, b);
            graphics.draw(this.program("pooling"), pooled, {given: level}, () => {});
            levels.push(level = pooled);
        }
        let bloom = null;
        for (let k = levels.length - 1; k >= 0; k--) {
            const {width: a, height: b} = levels[k];
            const target = graphics.target(`bloom ${k}`, a, b, k ? graphics.gl.RGBA32F : half, k ? graphics.gl.NEAREST : linear);
            graphics.draw(this.program("adding"), target, {given: bloom || levels[k], level: levels[k]},
                (at, gl) => gl.uniform1f(at("share"), bloom ? 1 : 0));
            bloom = target;
        }
        return bloom;
    }
}

function roundHalfEven(x) {
    const whole = Math.round(x);
    return Math.abs(x % 1) === 0.5 && whole % 2 ? whole - 1 : whole;
}

// Name -> text of a shader, until it is compiled.
async function readPrograms() {
    return new Map(Object.entries(JSON.parse(new TextDecoder().decode(await inflated(await embedded("shaders"))))));
}
