// What is embedded in the page, and the player: sound, clock, controls. A renderer draws the picture of a moment.

const about = JSON.parse(document.getElementById("about").textContent);

// Bytes are characters of windows-1252, shifted, with what HTML would change marked by "=". A server that says another
// encoding is overruled by reading the page's own bytes.
const CHARACTERS = new TextDecoder("windows-1252").decode(Uint8Array.from({length: 256}, (_, i) => i));
const BYTE_OF = new Map([...CHARACTERS].map((character, i) => [character.charCodeAt(0), i]));

let pageText = null;
async function embeddedText(id) {
    if (document.characterSet.toLowerCase() === "windows-1252") return document.getElementById(id).textContent;
    if (pageText === null)
        pageText = new TextDecoder("windows-1252").decode(await (await fetch(location.href)).arrayBuffer());
    const head = `id="${id}">`, start = pageText.indexOf(head) + head.length;
    return pageText.slice(start, pageText.indexOf("<\/script>", start));
}

async function embedded(id) {
    const text = await embeddedText(id), shift = about.shifts[id];
    const bytes = new Uint8Array(text.length);
    let count = 0;
    for (let i = 0; i < text.length; i++) {
        let byte = BYTE_OF.get(text.charCodeAt(i));
        if (byte === 61) byte = BYTE_OF.get(text.charCodeAt(++i)) - 64;
        bytes[count++] = byte - shift;
    }
    return bytes.subarray(0, count);
}

async function inflated(bytes) {
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
}

// --- WebGL -----------------------------------------------------------------------------------------------------------

const VERTEX = `#version 300 es
void main() {
    gl_Position = vec4(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0, 0.0, 1.0);
}`;

class Graphics {
    constructor(canvas) {
        const gl = canvas.getContext("webgl2", {alpha: false, antialias: false, preserveDrawingBuffer: true});
        if (!gl || !gl.getExtension("EXT_color_buffer_float"))
            throw new Error("This browser has no WebGL 2 with textures of floats, which draw the picture: use another.");
        this.gl = gl;
        this.textures = new Map();
    }

    program(fragment) {
        const gl = this.gl, made = gl.createProgram();
        for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, fragment]]) {
            const shader = gl.createShader(kind);
            gl.shaderSource(shader, text);
            gl.compileShader(shader);
            gl.attachShader(made, shader);
        }
        gl.linkProgram(made);
        if (!gl.getProgramParameter(made, gl.LINK_STATUS))
            throw new Error("This browser's WebGL cannot compile the picture: " + gl.getProgramInfoLog(made));
        const places = new Map();
        return {made, at: name => {
            if (!places.has(name)) places.set(name, gl.getUniformLocation(made, name));
            return places.get(name);
        }};
    }

    // A texture to draw to, made again when its size changes.
    target(name, width, height, format = this.gl.RGBA32F, filter = this.gl.NEAREST) {
        const gl = this.gl, old = this.textures.get(name);
        if (old && old.width === width && old.height === height) return old;
        if (old) { gl.deleteTexture(old.texture); gl.deleteFramebuffer(old.buffer); }
        const made = {texture: gl.createTexture(), buffer: gl.createFramebuffer(), width, height};
        gl.bindTexture(gl.TEXTURE_2D, made.texture);
        gl.texStorage2D(gl.TEXTURE_2D, 1, format, width, height);
        this.filters(filter);
        gl.bindFramebuffer(gl.FRAMEBUFFER, made.buffer);
        gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, made.texture, 0);
        this.textures.set(name, made);
        return made;
    }

    filters(filter) {
        const gl = this.gl;
        for (const key of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, key, filter);
        for (const key of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, key, gl.CLAMP_TO_EDGE);
    }

    // A texture of one float a texel.
    floats(name, width, height, values) {
        const gl = this.gl;
        let made = this.textures.get(name);
        if (!made) this.textures.set(name, made = {texture: gl.createTexture()});
        gl.bindTexture(gl.TEXTURE_2D, made.texture);
        gl.texImage2D(gl.TEXTURE_2D, 0, gl.R32F, width, height, 0, gl.RED, gl.FLOAT, values);
        this.filters(gl.NEAREST);
        return made;
    }

    // Draw to a target, or to the canvas (null).
    draw(program, target, textures, uniforms) {
        const gl = this.gl;
        gl.useProgram(program.made);
        Object.entries(textures).forEach(([name, texture], unit) => {
            gl.activeTexture(gl.TEXTURE0 + unit);
            gl.bindTexture(gl.TEXTURE_2D, texture.texture);
            gl.uniform1i(program.at(name), unit);
        });
        uniforms(program.at, gl);
        gl.bindFramebuffer(gl.FRAMEBUFFER, target ? target.buffer : null);
        const size = target || gl.canvas;
        gl.uniform2i(program.at("to"), size.width, size.height);
        gl.viewport(0, 0, size.width, size.height);
        gl.drawArrays(gl.TRIANGLES, 0, 3);
    }
}

// --- The player ------------------------------------------------------------------------------------------------------

const byId = id => document.getElementById(id);

class Player {
    constructor(renderer, buffer, context) {
        Object.assign(this, {renderer, buffer, context});
        this.playing = false;
        this.at = 0;  // seconds, while it stands still
        this.loop = about.loop;
        this.drawn = -1;
        this.count = 0;
        this.slow = 0;
        byId("controls").hidden = false;
        byId("play").onclick = () => this.toggle();
        byId("loop").onclick = () => this.setLoop(!this.loop);
        byId("full").onclick = () => this.full();
        byId("seek").oninput = event => this.seek(event.target.value / 1000 * this.seconds);
        byId("picture").onclick = () => this.toggle();
        addEventListener("keydown", event => this.key(event));
        addEventListener("resize", () => { this.fit(); this.drawn = -1; });
        for (const kind of ["pointermove", "keydown", "pointerdown"]) addEventListener(kind, () => this.awake());
        this.setLoop(this.loop);
        this.fit();
        this.awake();
        requestAnimationFrame(() => this.tick());
    }

    get seconds() { return about.frames * about.fps[1] / about.fps[0]; }

    // The moment that is heard now, in seconds.
    get now() {
        if (!this.playing) return this.at;
        const heard = this.context.currentTime - (this.context.outputLatency || 0) - this.began;
        return this.loop ? Math.max(heard, 0) % this.seconds : Math.min(Math.max(heard, 0), this.seconds);
    }

    get frame() {
        return Math.min(Math.floor(this.now * about.fps[0] / about.fps[1] + 1e-6), about.frames - 1);
    }

    async toggle() { return this.playing ? this.pause() : this.play(); }

    async play() {
        await this.context.resume();
        if (this.at >= this.seconds - 1e-3) this.at = 0;
        this.began = this.context.currentTime - this.at;
        if (this.buffer) {
            this.source = this.context.createBufferSource();
            this.source.buffer = this.buffer;
            this.source.loop = this.loop;
            this.source.loopStart = about.start;
            this.source.loopEnd = Math.min(about.start + this.seconds, this.buffer.duration);
            this.source.connect(this.context.destination);
            if (this.loop) this.source.start(0, about.start + this.at);
            else this.source.start(0, about.start + this.at, Math.max(this.seconds - this.at, 0.001));
        }
        this.playing = true;
        this.said();
    }

    pause() {
        this.at = this.now;
        this.silence();
        this.playing = false;
        this.said();
    }

    silence() {
        if (this.source) { this.source.stop(); this.source.disconnect(); this.source = null; }
    }

    seek(seconds) {
        const was = this.playing;
        if (was) this.pause();
        this.at = Math.min(Math.max(seconds, 0), this.seconds);
        if (was) this.play();
    }

    setLoop(loop) {
        const was = this.playing;
        if (was) this.pause();
        this.loop = loop;
        byId("loop").setAttribute("aria-pressed", loop);
        if (was) this.play();
    }

    full() {
        if (document.fullscreenElement) document.exitFullscreen();
        else document.querySelector("main").requestFullscreen();
    }

    key(event) {
        if (event.ctrlKey || event.metaKey || event.altKey) return;
        const inControl = event.target.tagName === "BUTTON" || event.target.tagName === "INPUT";
        const keys = {
            k: () => this.toggle(), f: () => this.full(), l: () => this.setLoop(!this.loop),
            Home: () => this.seek(0), End: () => this.seek(this.seconds),
            ",": () => this.seek(this.now - about.fps[1] / about.fps[0]),
            ".": () => this.seek(this.now + about.fps[1] / about.fps[0]),
        };
        if (!inControl || event.target.tagName === "BUTTON") {
            keys.ArrowLeft = () => this.seek(this.now - 5);
            keys.ArrowRight = () => this.seek(this.now + 5);
        }
        if (!inControl) keys[" "] = () => this.toggle();
        const action = keys[event.key];
        if (!action) return;
        event.preventDefault();
        action();
    }

    awake() {
        document.querySelector("main").classList.remove("idle");
        clearTimeout(this.sleeping);
        this.sleeping = setTimeout(() => this.playing && document.querySelector("main").classList.add("idle"), 2500);
    }

    said() {
        byId("play").textContent = this.playing ? "Pause" : "Play";
        byId("play").setAttribute("aria-label", this.playing ? "Pause" : "Play");
    }

    fit() {
        const canvas = byId("picture"), [width, height] = about.size;
        const scale = Math.min(innerWidth / width, innerHeight / height);
        canvas.style.width = `${width * scale}px`;
        canvas.style.height = `${height * scale}px`;
        this.renderer.resize(width * scale * devicePixelRatio, height * scale * devicePixelRatio);
    }

    tick() {
        if (this.playing && !this.loop && this.now >= this.seconds) this.pause();
        const frame = this.frame;
        if (frame !== this.drawn || (this.renderer.continuous && this.playing)) {
            const before = performance.now();
            this.renderer.draw(this.renderer.continuous && this.playing ? this.now : frame * about.fps[1] / about.fps[0]);
            this.drawn = frame;
            this.count++;
            this.hurry(performance.now() - before);
            const seconds = Math.floor(this.now), rest = String(seconds % 60).padStart(2, "0");
            byId("time").textContent = `${Math.floor(seconds / 60)}:${rest}`;
            byId("seek").value = Math.round(this.now / this.seconds * 1000);
        }
        requestAnimationFrame(() => this.tick());
    }

    // Draw less finely where the machine is too slow.
    hurry(milliseconds) {
        this.slow = 0.8 * this.slow + 0.2 * milliseconds;
        if (this.playing && this.count % 12 === 0 && this.slow > 40 && this.renderer.coarser()) {
            this.slow = 0;
            this.fit();
        }
    }
}

async function sound(context) {
    if (!about.shifts.song) return null;
    const bytes = await embedded("song");
    return context.decodeAudioData(bytes.slice().buffer);
}

async function start() {
    try {
        if (typeof DecompressionStream === "undefined")
            throw new Error("This browser is too old to unpack the page: use a newer one.");
        const context = new AudioContext();
        const renderer = await makeRenderer(byId("picture"));
        const player = new Player(renderer, null, context);
        window.player = player;
        try {
            player.buffer = await sound(context);
        } catch (error) {
            byId("time").title = "This browser cannot play the sound: " + error.message;
        }
        player.ready = true;
    } catch (error) {
        byId("message").textContent = error.message;
        document.documentElement.dataset.failed = error.message;
    }
}
