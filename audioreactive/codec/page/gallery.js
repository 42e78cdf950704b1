// The gallery: presets side by side, all at the moment of one song that is heard. One WebGL paints them in turn, the
// chosen one first, and of the others that are in sight as many at a time as the machine has shown it can.

const FINEST = {samples: 2, scale: 1};

class Tile {
    constructor(preset, index, gallery) {
        Object.assign(this, {preset, index, gallery, drawn: -1, inSight: false, renderer: null, making: null});
        const element = this.element = document.createElement("article");
        this.button = this.made("button", element, "", {className: "picture", ariaLabel: `Play ${preset.name}`});
        this.button.setAttribute("aria-pressed", "false");
        this.canvas = this.made("canvas", this.button, "");
        const line = this.made("div", element, "", {className: "head"});
        this.made("h2", line, preset.name);
        const copy = this.made("button", line, "Copy command", {ariaLabel: `Copy the command of ${preset.name}`});
        this.made("p", element, preset.about);
        this.made("code", element, preset.command, {tabIndex: 0});
        copy.onclick = async () => {
            await navigator.clipboard.writeText(preset.command);
            copy.textContent = "Copied";
            setTimeout(() => { copy.textContent = "Copy command"; }, 1500);
        };
        this.button.onclick = () => gallery.choose(this);
    }

    made(kind, parent, text, more = {}) {
        const element = parent.appendChild(Object.assign(document.createElement(kind), more));
        if (text) element.textContent = text;
        return element;
    }

    // Paint a moment; false while the motion is still being read.
    draw(seconds) {
        if (!this.renderer) {
            this.making ??= this.read();
            return false;
        }
        const box = this.canvas.getBoundingClientRect(), scale = Math.min(devicePixelRatio, 2) * this.gallery.fineness.scale;
        const [width, height] = [box.width, box.height].map(side => 4 * Math.max(Math.round(side * scale / 4), 4));
        if (this.canvas.width !== width) this.canvas.width = width;
        if (this.canvas.height !== height) this.canvas.height = height;
        this.renderer.most = this.gallery.fineness.samples;
        this.renderer.setSize(width, height);
        this.renderer.draw(seconds);
        this.canvas.getContext("2d", {alpha: false}).drawImage(this.renderer.canvas, 0, 0);
        return true;
    }

    async read() {
        const bytes = await inflated(await embedded(`tables ${this.index}`));
        this.renderer = new PainterRenderer(this.gallery.graphics, this.preset, bytes, this.gallery.programs);
    }
}

class Gallery {
    constructor(graphics, programs) {
        Object.assign(this, {graphics, programs, playing: false, at: about.still, began: 0, context: null, buffer: null});
        Object.assign(this, {others: 1, turn: 0, skipped: 0, last: 0, samples: FINEST.samples, scale: FINEST.scale});
        Object.assign(this, {chosen: null, slow: 0});
        this.tiles = about.presets.map((preset, index) => new Tile(preset, index, this));
        this.tiles.forEach(tile => byId("tiles").append(tile.element));
        this.fresh = true;  // nothing was heard yet: all stand still at the same moment
        const observer = new IntersectionObserver(entries => entries.forEach(entry => {
            this.tiles.find(tile => tile.button === entry.target).inSight = entry.isIntersecting;
        }), {rootMargin: "120px"});
        this.tiles.forEach(tile => observer.observe(tile.button));
        byId("controls").hidden = false;
        byId("play").onclick = () => this.toggle();
        byId("seek").oninput = event => this.seek(event.target.value / 1000 * this.seconds);
        addEventListener("resize", () => this.tiles.forEach(tile => { tile.drawn = -1; }));
        addEventListener("keydown", event => {
            if (event.key !== "k" || event.ctrlKey || event.metaKey || event.altKey) return;
            event.preventDefault();
            this.toggle();
        });
        requestAnimationFrame(time => this.tick(time));
    }

    get seconds() { return about.frames * about.fps[1] / about.fps[0]; }

    get now() {
        if (!this.playing) return this.at;
        return Math.max(this.context.currentTime - (this.context.outputLatency || 0) - this.began, 0) % this.seconds;
    }

    // Samples of a pixel and pixels of a tile: less where the machine cannot follow, all while nothing moves.
    get fineness() { return this.playing ? this : FINEST; }

    async choose(tile) {
        const again = tile === this.chosen && this.playing;
        this.tiles.forEach(one => one.button.setAttribute("aria-pressed", !again && one === tile));
        this.chosen = tile;
        if (again) this.pause();
        else if (!this.playing) await this.play();
    }

    async toggle() { return this.playing ? this.pause() : this.play(); }

    async play() {
        this.context ??= new AudioContext();
        await this.context.resume();
        this.buffer ??= await this.context.decodeAudioData((await embedded("song")).slice().buffer);
        if (this.playing) return;
        if (this.fresh) this.at = 0;
        this.fresh = false;
        this.began = this.context.currentTime - this.at;
        this.source = this.context.createBufferSource();
        Object.assign(this.source, {buffer: this.buffer, loop: true, loopStart: 0});
        this.source.loopEnd = Math.min(this.seconds, this.buffer.duration);
        this.source.connect(this.context.destination);
        this.source.start(0, this.at);
        this.playing = true;
        this.said();
    }

    pause() {
        this.at = this.now;
        this.source.stop();
        this.playing = false;
        this.tiles.forEach(tile => { tile.drawn = -1; });
        this.said();
    }

    async seek(seconds) {
        const was = this.playing;
        if (was) this.pause();
        this.fresh = false;
        this.at = Math.min(Math.max(seconds, 0), this.seconds - 0.001);
        if (was) await this.play();
    }

    said() {
        byId("play").textContent = this.playing ? "Pause" : "Play";
        byId("play").setAttribute("aria-label", this.playing ? "Pause" : "Play");
    }

    // Tiles that are painted now: the chosen one, and some of the others that show another moment.
    due(frame) {
        const first = this.chosen?.inSight && this.chosen.drawn !== frame ? [this.chosen] : [], more = [];
        const {tiles} = this;
        for (let k = 0; k < tiles.length && more.length < this.others; k++) {
            const tile = tiles[(this.turn + k) % tiles.length];
            if (tile === this.chosen || !tile.inSight || tile.drawn === frame) continue;
            more.push(tile);
        }
        if (more.length) this.turn = (more[more.length - 1].index + 1) % tiles.length;
        // Where one picture takes long, the chosen one has the machine to itself two times of three.
        return first.length && this.playing && this.others === 1 && this.slow > 60 && this.skipped++ % 3 ? first : [...first, ...more];
    }

    tick(time) {
        const seconds = this.now, frame = Math.min(Math.floor(seconds * about.fps[0] / about.fps[1] + 1e-6), about.frames - 1);
        const took = time - this.last;
        this.last = time;
        this.slow = 0.8 * this.slow + 0.2 * Math.min(took, 1000);
        if (took < 24) this.others = Math.min(this.others + 1, this.tiles.length);
        else if (took > 45) this.others = Math.max(this.others >> 1, 1);
        if (this.playing) this.hurry();
        for (const tile of this.due(frame)) if (tile.draw(frame * about.fps[1] / about.fps[0])) tile.drawn = frame;
        const whole = Math.floor(this.fresh ? 0 : seconds);
        byId("time").textContent = `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
        byId("seek").value = Math.round((this.fresh ? 0 : seconds) / this.seconds * 1000);
        requestAnimationFrame(later => this.tick(later));
    }

    // Draw less finely where even one picture at a time is too slow.
    hurry() {
        if (this.slow < 120 || this.others > 1) return;
        if (this.samples > 1) this.samples = 1;
        else if (this.scale > 0.5) this.scale *= 0.8;
        this.slow = 90;
    }
}

async function startGallery() {
    try {
        if (typeof DecompressionStream === "undefined")
            throw new Error("This browser is too old to unpack the page: use a newer one.");
        window.gallery = new Gallery(new Graphics(document.createElement("canvas")), await readPrograms());
    } catch (error) {
        byId("message").textContent = error.message;
        document.documentElement.dataset.failed = error.message;
    }
}
startGallery();
