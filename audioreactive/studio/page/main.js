// The studio's page: what is shown, what is played, and what happens when a key is pressed.

import { address, Connection, upload } from "./connection.js";
import { Frames } from "./frames.js";
import { Lobby } from "./lobby.js";
import * as panels from "./panels.js";
import { Sound } from "./sound.js";
import { Timeline } from "./timeline.js";
import { $, clamp, clock, dialog, h, random, tint, toast } from "./ui.js";

const TILES = 4;

class App {
  constructor() {
    this.connection = new Connection();
    this.sound = new Sound();
    this.section = 0;
    this.range = "section";
    this.tab = "shape";
    this.envelopes = new Map();
    this.solo = new Set();
    this.locks = new Set();
    this.swatches = new Map();
    this.offers = Array.from({ length: 12 }, random);
    this.seeds = Array.from({ length: TILES }, random);
    this.jobs = [];
    this.fitting = null;
    this.other = null;
    this.comparing = false;
    this.picture = new Frames("main", $("picture"), (message) => this.send(message), 12);
    this.beside = new Frames("other", $("picture"), (message) => this.send(message), 12);
    this.tiles = [];
    this.lobby = new Lobby((message) => this.send(message));
    this.timeline = new Timeline({
      seek: (time, dragging) => this.seek(time, dragging),
      select: (index) => this.select(index),
      move: (index, start) => this.edit({ kind: "move", section: index, start }),
    });
    this.listen();
    this.controls();
    this.connection.open();
    requestAnimationFrame(() => this.tick());
  }

  get patch() { return this.state.patches[this.state.sections[this.section].label]; }
  get place() { return this.state.sections[this.section]; }
  get frame() { return clamp(Math.floor(this.sound.now() * this.song.fps + 1e-6), 0, this.song.frames - 1); }
  send(message) { this.connection.send(message); }

  // ---- what the studio says

  listen() {
    const { connection } = this;
    connection.on("lobby", (told) => { if (this.song) location.reload(); else this.lobby.show(told); });
    connection.on("song", ({ song }) => { this.lobby.hide(); this.useSong(song); });
    connection.on("state", ({ state }) => this.useState(state));
    connection.on("clip", (clip) => this.useClip(clip));
    connection.on("frame", ({ clip, frame, jpeg }) => this.useFrame(clip, frame, jpeg));
    connection.on("saved", () => this.saved("saved"));
    connection.on("error", ({ message }) => { toast(message, "error"); this.pending = null; });
    connection.on("renders", ({ jobs }) => {
      const before = new Map(this.jobs.map((job) => [job.number, job.state]));
      this.jobs = jobs;
      let done;
      for (const job of jobs) if (job.state === "done" && before.has(job.number) && before.get(job.number) !== "done") { toast(`${job.name} is done`); done = job.number; }
      panels.jobs(this);
      const seen = done ?? jobs.findLast((job) => !before.has(job.number))?.number; // what has come or has ended is shown
      if (this.tab === "render" && seen !== undefined && this.rendersTold) document.querySelector(`[data-job="${seen}"]`)?.scrollIntoView({ block: "nearest", behavior: "smooth" });
      this.rendersTold = true;
      const busy = jobs.filter((job) => ["waiting", "rendering"].includes(job.state)).length;
      $("tab-render").textContent = busy ? `Render ${busy}` : "Render";
    });
    connection.on("envelopes", ({ section, envelopes }) => {
      if (section !== this.section) return;
      this.envelopes = new Map(envelopes.map((entry) => [entry.key, entry]));
      if (this.tab === "desk") panels.desk(this);
    });
    connection.on("score", ({ section, score }) => { this.timeline.scores.set(section, score); this.timeline.changed(); });
    connection.on("flashes", ({ section, flashes }) => {
      this.timeline.flashes.set(section, flashes);
      this.timeline.changed();
      this.flashQueue?.shift();
      if (this.flashQueue?.length) this.send({ type: "ask", what: "flashes", section: this.flashQueue[0] });
      const all = [...this.timeline.flashes.values()].flat();
      this.flashWord = this.flashQueue?.length ? `looking… ${this.flashQueue.length} sections left` : all.length ? `${all.length} passages flash too often, up to ${Math.max(...all.map((f) => f.most))} a second: marked on the timeline. Render with “Keep to three flashes a second”.` : "No passage flashes too often.";
      const word = $("flash-word");
      if (word) word.textContent = this.flashWord;
    });
    connection.on("swatch", ({ seed, jpeg }) => {
      this.swatches.set(seed, jpeg);
      clearTimeout(this.swatchTimer);
      this.swatchTimer = setTimeout(() => { if (this.tab === "palette") panels.palette(this); }, 60);
    });
    connection.on("best", ({ section, done, of, order }) => {
      $("best").textContent = done < of ? `${done} of ${of}…` : "Best of 12";
      if (done === of && section === this.section) {
        this.scores = new Map(order.map((entry) => [entry.seed, entry.score]));
        this.seeds = order.slice(0, TILES).map((entry) => entry.seed);
        this.propose();
      }
    });
    connection.on("fitting", ({ stage, done, of }) => {
      this.fitting = done < of || stage ? `${{ looking: "looking at pictures", fitting: "fitting" }[stage] ?? stage} ${Math.floor((100 * done) / of)} %` : null;
      panels.fitting(this);
    });
    connection.on("fitted", () => this.show());
    connection.on("busy", ({ code }) => this.busy(code));
    connection.on("lost", () => this.saved("connection lost, trying again…", true));
  }

  async useSong(song) {
    this.song = song;
    this.sound.use(song);
    document.title = `${song.name} · studio`;
    $("song-name").textContent = song.name;
    $("song-facts").textContent = `${clock(song.duration, 0)} · ${song.tempo ? `${song.tempo} bpm` : "no beat"} · ${song.fps} fps`;
    $("export").href = address("/preset");
    const [peaks, curves] = await Promise.all(["/peaks", "/curves"].map(async (path) => (await fetch(address(path))).arrayBuffer()));
    this.timeline.use(song, new Int8Array(peaks), new Uint8Array(curves));
    $("keep-family").hidden = !song.families?.length;
    this.makeTiles();
    if (this.state) this.useState(this.state);
  }

  useState(state) {
    const first = !this.state || !this.shownOnce;
    const before = this.state;
    this.state = state;
    if (!this.song || !this.timeline.song) return;
    this.section = clamp(this.section, 0, state.sections.length - 1);
    $("undo").disabled = !state.undo;
    $("redo").disabled = !state.redo;
    $("undo").title = state.undo ? `Undo ${state.undo} (Ctrl+Z)` : "Undo (Ctrl+Z)";
    $("redo").title = state.redo ? `Do ${state.redo} again (Ctrl+Shift+Z)` : "Redo (Ctrl+Shift+Z)";
    if (before && before.steps !== state.steps) this.saved("saving…");
    if (before && JSON.stringify(before.sections) !== JSON.stringify(state.sections)) { this.timeline.scores.clear(); this.timeline.flashes.clear(); }
    this.timeline.setSections(state.sections.map((section) => ({ ...section })), this.section);
    this.showSection();
    this.pending = null;
    if (first) {
      this.shownOnce = true;
      this.show();
      this.propose();
    } else {
      const seen = (one) => JSON.stringify([one?.patches, one?.sections, one?.size]);
      if (seen(before) !== seen(state) || this.picture.clip?.still) this.show();
      if (before && JSON.stringify(before.patches) !== JSON.stringify(state.patches) && this.locks.size) this.propose();
    }
  }

  saved(words, warn = false) {
    $("saved").textContent = words;
    $("saved").classList.toggle("warn", warn);
  }

  useClip(clip) {
    const view = this.viewNamed(clip.view);
    if (!view) return;
    view.begin(clip);
    if (clip.view === "main") {
      this.liveBusy = false;
      this.fitPicture(clip.width / clip.height);
    }
  }

  useFrame(number, frame, jpeg) {
    for (const view of [this.picture, this.beside, ...this.tiles]) {
      if (view.clip?.clip === number) {
        view.take(frame, jpeg);
        if (view === this.picture && view.clip.still) this.moreLive();
        return;
      }
    }
  }

  viewNamed(name) {
    if (name === "main") return this.picture;
    if (name === "other") return this.beside;
    return this.tiles[Number(name.slice(4))];
  }

  busy(code) {
    this.saved("not connected", true);
    dialog(code === 4410 ? "Another page has taken over" : "This project is open in another page",
      h("p", {}, "Two pages on one project would undo each other's work, so only one can have it."),
      h("button", { onclick: () => { $("dialog").close(); this.connection.open(true); } }, "Use it here"));
  }

  // ---- playing

  loop() {
    if (this.range === "song") return [0, this.song.duration];
    const { frames } = this.place;
    return [frames[0] / this.song.fps, Math.min(frames[1] / this.song.fps, this.song.duration)];
  }

  async play() {
    try {
      await this.sound.play(this.sound.now(), this.loop());
    } catch (error) {
      toast(error.message, "error");
    }
    this.playButton();
    this.tellAt();
  }

  pause() {
    this.sound.stop();
    this.playButton();
    this.tellAt();
  }

  toggle() { if (this.sound.playing) this.pause(); else this.play(); }

  playButton() {
    const playing = this.sound.playing;
    $("play").setAttribute("aria-label", playing ? "Pause" : "Play");
    $("play").querySelector("path").setAttribute("d", playing ? "M8 6h3v12H8zM13.500 6h3v12h-3z" : "M8 5.5v13l11-6.5z");
  }

  seek(time, dragging = false) {
    time = clamp(time, 0, this.song.duration - 1e-3);
    const index = this.state.sections.findLastIndex((section) => section.start <= time + 1e-6);
    const other = index !== this.section && this.range === "section" && index >= 0;
    const playing = this.sound.playing;
    if (playing && dragging) this.resume = true;
    this.sound.stop();
    this.sound.position = time;
    if (other) this.select(index, time);
    else if (this.range === "song") this.followSong();
    if ((playing || this.resume) && !dragging) { this.resume = false; this.play(); }
    this.tellAt();
  }

  select(index, time = null) {
    index = clamp(index, 0, this.state.sections.length - 1);
    const changed = index !== this.section;
    this.section = index;
    const playing = this.sound.playing;
    if (time === null && (changed || this.range === "section")) {
      this.sound.stop();
      this.sound.position = this.place.frames[0] / this.song.fps;
    }
    if (changed) {
      this.solo.clear();
      this.locks.clear();
      this.envelopes.clear();
      this.timeline.overlay = this.pinned = null;
      this.scores = null;
    }
    this.timeline.setSections(this.timeline.sections, index);
    this.showSection();
    if (this.range === "section") this.show();
    if (changed) this.propose();
    if (playing) this.play();
  }

  /** Ask for the frames of what is played. */
  show() {
    if (!this.state || !this.song) return;
    const request = this.range === "section" ? { section: this.section, solo: [...this.solo] } : {};
    this.picture.show({ ...request, at: this.frame, playing: this.sound.playing });
    this.attempted = null;
    if (this.comparing && this.other) this.showOther();
  }

  showOther() {
    this.beside.show({ section: this.section, edit: { kind: "take", section: this.section, name: this.other }, at: this.frame, playing: this.sound.playing });
  }

  followSong() {
    const clip = this.picture.clip;
    if (!clip || clip.still || this.frame < clip.start || this.frame >= clip.stop) {
      if (this.windowAsked !== this.frame) { this.windowAsked = this.frame; this.picture.show({ at: this.frame, playing: this.sound.playing }); }
    }
  }

  tellAt() {
    if (!this.song) return;
    this.send({ type: "at", frame: this.frame, playing: this.sound.playing });
  }

  tick() {
    requestAnimationFrame(() => this.tick());
    if (!this.song || !this.state || !this.timeline.song) return;
    const { playing } = this.sound;
    const frame = this.frame;
    const shown = this.comparing && this.beside.clip ? this.beside : this.picture;
    const drawn = shown.draw(frame, playing);
    if (drawn >= 0) this.log?.push([performance.now(), this.sound.now() * this.song.fps, drawn]);
    for (const tile of this.tiles) tile.draw(this.tileFrame(tile, frame), playing);
    const time = this.sound.now();
    this.timeline.tick(time, playing);
    const stamp = performance.now();
    if (stamp - (this.slow ?? 0) > 100) {
      this.slow = stamp;
      this.slowTick(time, frame, playing, stamp);
    }
  }

  tileFrame(tile, frame) {
    if (!tile.clip || (frame >= tile.clip.start && frame < tile.clip.stop)) return frame;
    return tile.clip.start + (frame % (tile.clip.stop - tile.clip.start));
  }

  slowTick(time, frame, playing, stamp) {
    $("clock-time").textContent = clock(time);
    const bar = this.song.bars.findLastIndex((start) => start <= time + 1e-3);
    if (bar >= 0) {
      const beat = this.song.beats.filter((start) => start >= this.song.bars[bar] - 1e-3 && start <= time + 1e-3).length;
      $("clock-bar").textContent = `bar ${bar + 1}.${Math.max(beat, 1)}`;
    } else $("clock-bar").textContent = "";
    const share = this.picture.share;
    $("ready").textContent = this.fitting ? `HiPPO: ${this.fitting}` : this.picture.clip?.still || share > 0.995 || this.range === "song" ? "" : `painting ${Math.floor(100 * share)} %`;
    if (playing && frame !== this.toldFrame) { this.toldFrame = frame; this.tellAt(); }
    if (this.range === "song" && playing) {
      this.followSong();
      const index = this.state.sections.findLastIndex((section) => section.frames[0] <= frame);
      if (index >= 0 && index !== this.section) { this.section = index; this.timeline.setSections(this.timeline.sections, index); this.showSection(); }
    }
    const { clip } = this.picture;
    if (!playing && clip && !this.comparing && this.picture.shown === frame) {
      const key = `${clip.clip} ${frame}`;
      if (this.resting !== key) { this.resting = key; this.restingSince = stamp; }
      else if (this.refined !== key && stamp - this.restingSince > 350) { this.refined = key; this.send({ type: "refine", clip: clip.clip, frame }); }
    } else this.resting = null;
    const ambient = $("ambient");
    if (this.ambientFrame !== this.picture.shown || this.comparing) {
      this.ambientFrame = this.picture.shown;
      ambient.getContext("2d").drawImage($("picture"), 0, 0, ambient.width, ambient.height);
    }
  }

  // ---- changing

  edit(edit) {
    this.liveWanted = null;
    this.send({ type: "edit", edit });
  }

  /** Try an edit while a slider moves: only the frame under the playhead is painted. */
  attempt(edit) {
    this.liveWanted = edit;
    if (!this.liveBusy) this.moreLive();
  }

  moreLive() {
    this.liveBusy = false;
    const edit = this.liveWanted;
    if (!edit) return;
    this.liveWanted = null;
    this.liveBusy = true;
    this.picture.show({ section: this.section, edit, still: true, at: clamp(this.frame, this.place.frames[0], this.place.frames[1] - 1) });
    clearTimeout(this.liveTimer);
    this.liveTimer = setTimeout(() => { this.liveBusy = false; this.moreLive(); }, 800);
  }

  showSection() {
    const place = this.place;
    const name = $("section-name");
    if (document.activeElement !== name) name.value = place.name || place.label;
    $("section-swatch").style.background = tint(place.label, 70, 0.13);
    $("section-place").textContent = `${clock(place.start)} – ${clock(place.end)}`;
    const linked = this.state.sections.filter((section) => section.label === place.label).length;
    $("link").textContent = linked > 1 ? `Unlink (${linked} share ${place.label})` : "Link to…";
    $("link").disabled = this.state.sections.length < 2;
    $("merge").disabled = this.section >= this.state.sections.length - 1;
    if (document.activeElement !== $("fade")) $("fade").value = String(place.fade);
    $("fade").disabled = this.section === 0;
    if (document.activeElement !== $("count")) $("count").value = String(this.state.sections.length);
    this.showPanel();
  }

  showPanel() {
    panels[this.tab](this);
    if (this.tab === "desk") this.send({ type: "ask", what: "envelopes", section: this.section });
    if (this.tab === "palette") this.askSwatches();
    $("locks-more").textContent = this.locks.size ? [...this.locks].filter((key) => key.includes(".")).join(", ") : "";
    for (const box of $("locks").querySelectorAll("input")) box.checked = this.locks.has(box.value);
  }

  toggleSolo(key) {
    if (!this.solo.delete(key)) this.solo.add(key);
    this.show();
    panels.desk(this);
  }

  toggleLock(key) {
    if (!this.locks.delete(key)) this.locks.add(key);
    this.showPanel();
    this.propose();
  }

  // ---- proposals

  makeTiles() {
    if (this.tiles.length) return;
    for (let i = 0; i < TILES; i++) {
      const canvas = h("canvas", { width: 256, height: 144, "aria-hidden": "true" });
      const word = h("span", { class: "tile-word" });
      const button = h("button", { class: "tile", "data-tile": String(i), onclick: () => this.pick4(i) }, canvas, word, h("kbd", { "aria-hidden": "true" }, String(i + 1)));
      $("tiles").append(button);
      const frames = new Frames(`tile${i}`, canvas, (message) => this.send(message), 5);
      frames.word = word;
      frames.button = button;
      this.tiles.push(frames);
    }
  }

  propose() {
    if (!this.tiles.length || !this.state) return;
    const keep = [...this.locks];
    this.tiles.forEach((tile, i) => {
      const seed = this.seeds[i];
      const score = this.scores?.get(seed);
      tile.word.textContent = score === undefined || score === null ? `${seed}` : `${seed} · ${score > 0 ? "+" : ""}${score.toFixed(1)}`;
      tile.word.title = score === undefined || score === null ? "" : `It follows the sound by ${score.toFixed(1)} deviations more than chance`;
      tile.button.setAttribute("aria-label", `Use proposal ${i + 1}, seed ${seed}`);
      tile.show({ section: this.section, edit: { kind: "redraw", section: this.section, seed, keep }, at: this.frame, playing: this.sound.playing });
    });
  }

  reroll() {
    this.scores = null;
    this.seeds = Array.from({ length: TILES }, random);
    this.propose();
  }

  pick4(i) {
    if (!this.seeds[i] && this.seeds[i] !== 0) return;
    this.edit({ kind: "redraw", section: this.section, seed: this.seeds[i], keep: [...this.locks] });
  }

  best() {
    $("best").textContent = "0 of 12…";
    this.send({ type: "ask", what: "best", section: this.section, seeds: Array.from({ length: 12 }, random), keep: [...this.locks] });
  }

  // ---- takes, palette, renders

  chooseOther(name) {
    this.other = name;
    if (this.comparing) this.showOther();
  }

  compare() {
    if (!this.comparing && (!this.other || !this.state.takes.some((take) => take.name === this.other))) {
      this.other = this.state.takes.at(-1)?.name ?? null;
      if (!this.other) { toast("Keep a take first: A is what you have, B is the take"); this.openTab("takes"); return; }
    }
    this.comparing = !this.comparing;
    $("compare").setAttribute("aria-pressed", String(this.comparing));
    $("badge").hidden = !this.comparing;
    $("badge").textContent = `B · ${this.other ?? ""}`;
    if (this.comparing) { this.showOther(); this.beside.shown = -1; } else { this.picture.shown = -1; this.send({ type: "hide", view: "other" }); this.beside.clip = null; }
  }

  askSwatches() {
    const wanted = [...new Set([...this.patch.palette.seeds, ...this.state.favourites, ...this.offers])].filter((seed) => !this.swatches.has(seed)).slice(0, 64);
    const key = `${this.section} ${this.patch.palette.family} ${wanted.join()}`;
    if (wanted.length && key !== this.swatchKey) { this.swatchKey = key; this.send({ type: "ask", what: "palette", section: this.section, seeds: wanted }); }
  }

  offerSeeds() {
    this.offers = Array.from({ length: 12 }, random);
    this.showPanel();
  }

  askScores() { this.timeline.scores.clear(); this.send({ type: "ask", what: "scores" }); }

  askFlashes() {
    this.timeline.flashes.clear();
    this.flashQueue = this.state.sections.map((_, i) => i);
    this.flashWord = `looking… ${this.flashQueue.length} sections left`;
    $("flash-word").textContent = this.flashWord;
    this.send({ type: "ask", what: "flashes", section: 0 });
  }

  fit() {
    if (this.fitting) { this.send({ type: "unfit" }); return; }
    this.fitting = "beginning";
    panels.fitting(this);
    this.send({ type: "hippo", section: this.section, seed: random() });
  }

  pick(what) {
    const input = $("file");
    input.accept = what === "stem" ? "audio/*,.wav,.flac,.mp3,.ogg" : ".toml,.mp4,.webm,.mov,.mkv";
    input.onchange = async () => {
      const [file] = input.files;
      input.value = "";
      if (file) await this.sendFile(what, file);
    };
    input.click();
  }

  leave() {
    const busy = this.jobs.filter((job) => ["waiting", "rendering"].includes(job.state)).length;
    if (!busy) { this.send({ type: "leave" }); return; }
    dialog("Videos are being rendered", h("p", {}, "They stop, and go on where they stopped when this song is open again."),
      h("button", { onclick: () => { $("dialog").close(); this.send({ type: "leave" }); } }, "Stop them and choose another song"));
  }

  async sendFile(what, file) {
    toast(`Reading ${file.name}…`);
    try {
      await upload(what === "stem" ? "/stem" : "/open", file);
      toast(what === "stem" ? `${file.name} is a source now` : `${file.name} is open`);
    } catch (error) {
      toast(error.message, "error");
    }
  }

  render(form) {
    const other = String(form.get("other")).trim();
    const shapes = [...form.getAll("size"), ...(other ? [other] : [])];
    if (!shapes.length) { toast("Choose at least one delivery", "error"); return; }
    const name = String(form.get("name")).trim() || this.song.name;
    const part = form.get("part") === "section" ? { start: this.place.start, duration: this.place.end - this.place.start } : {};
    const ending = part.duration ? ` ${this.place.name || this.place.label}` : "";
    const folder = form.get("folder"), fps = form.get("fps");
    this.send({
      type: "render",
      deliveries: shapes.map((shape) => ({
        name: `${name}${ending}${shape === "wide" ? "" : ` ${shape}`}`, format: form.get("format"), size: panels.shaped(shape) ?? shape,
        flash_safe: form.has("flash_safe"), loop: shape.endsWith("loop"), draft: form.has("draft"), ...part, ...(fps ? { fps } : {}), ...(folder ? { folder } : {}),
      })),
    });
  }

  // ---- controls

  openTab(name) {
    this.tab = name;
    for (const tab of $("tabs").children) {
      const chosen = tab.id === `tab-${name}`;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      $(tab.getAttribute("aria-controls")).hidden = !chosen;
    }
    if (this.state) this.showPanel();
  }

  controls() {
    const on = (id, action) => $(id).addEventListener("click", action);
    on("play", () => this.toggle());
    on("undo", () => this.send({ type: "undo" }));
    on("redo", () => this.send({ type: "redo" }));
    on("reroll", () => this.reroll());
    on("best", () => this.best());
    on("compare", () => this.compare());
    on("projects", () => this.leave());
    on("open", () => this.pick("open"));
    on("split", () => this.split());
    on("merge", () => this.edit({ kind: "merge", section: this.section }));
    on("link", () => this.link());
    on("zoom-in", () => this.timeline.zoom(1.6));
    on("zoom-out", () => this.timeline.zoom(1 / 1.6));
    on("zoom-fit", () => this.timeline.fit());
    on("help", () => this.help());
    on("theme", () => this.theme());
    $("volume").addEventListener("input", (event) => this.sound.setVolume(Number(event.target.value)));
    $("show-curves").addEventListener("change", (event) => { this.timeline.curves = event.target.checked; this.timeline.changed(); });
    $("section-name").addEventListener("change", (event) => this.edit({ kind: "rename", section: this.section, name: event.target.value }));
    $("section-name").addEventListener("keydown", (event) => { if (event.key === "Enter") event.target.blur(); });
    $("fade").addEventListener("change", (event) => this.edit({ kind: "fade", section: this.section, bars: clamp(Number(event.target.value) || 0, 0, 16) }));
    $("count").addEventListener("change", (event) => this.edit({ kind: "count", count: clamp(Math.round(Number(event.target.value)) || 1, 1, 32), seed: random() }));
    for (const radio of document.querySelectorAll("input[name=range]")) {
      radio.addEventListener("change", () => {
        this.range = radio.value;
        const playing = this.sound.playing;
        this.sound.stop();
        this.windowAsked = null;
        this.show();
        if (playing) this.play();
      });
    }
    for (const box of $("locks").querySelectorAll("input")) {
      box.addEventListener("change", () => {
        if (box.checked) this.locks.add(box.value); else this.locks.delete(box.value);
        this.propose();
      });
    }
    const tabs = [...$("tabs").children];
    tabs.forEach((tab, i) => {
      tab.addEventListener("click", () => this.openTab(tab.id.slice(4)));
      tab.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!step) return;
        event.preventDefault();
        event.stopPropagation();
        const next = tabs[(i + step + tabs.length) % tabs.length];
        this.openTab(next.id.slice(4));
        next.focus();
      });
    });
    document.addEventListener("keydown", (event) => this.key(event));
    document.addEventListener("dragover", (event) => { if (event.dataTransfer?.types.includes("Files")) event.preventDefault(); });
    document.addEventListener("drop", (event) => {
      const [file] = event.dataTransfer?.files ?? [];
      if (!file) return;
      event.preventDefault();
      this.sendFile(/\.(toml|mp4|webm|mov|mkv|gif|webp)$/i.test(file.name) ? "open" : "stem", file);
    });
    const theme = localStorage.getItem("theme") ?? "dark";
    document.documentElement.dataset.theme = theme;
    new ResizeObserver(() => this.fitPicture(this.aspect ?? 16 / 9)).observe(document.querySelector(".stage"));
  }

  theme() {
    const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    localStorage.setItem("theme", next);
    this.timeline.changed();
    if (this.state) this.showPanel();
  }

  fitPicture(aspect) {
    this.aspect = aspect;
    const frame = $("frame");
    frame.style.setProperty("--aspect", String(aspect));
  }

  split() {
    const at = this.timeline.snapped(this.sound.now(), 6);
    const index = this.state.sections.findLastIndex((section) => section.start <= at + 1e-6);
    this.edit({ kind: "split", section: Math.max(index, 0), at });
  }

  link() {
    const linked = this.state.sections.filter((section) => section.label === this.place.label).length;
    if (linked > 1) { this.edit({ kind: "link", section: this.section }); return; }
    const labels = [...new Set(this.state.sections.map((section) => section.label))].filter((label) => label !== this.place.label);
    dialog("Link this section to", h("p", { class: "soft" }, "It takes their look, and changes with them."),
      h("div", { class: "buttons" }, ...labels.map((label) => h("button", { onclick: () => { $("dialog").close(); this.edit({ kind: "link", section: this.section, label }); } }, label))));
  }

  key(event) {
    if (!this.state || $("dialog").open) return;
    const typing = event.target.closest("input:not([type=range]):not([type=checkbox]):not([type=radio]), select, textarea");
    const command = event.ctrlKey || event.metaKey;
    if (command && event.key.toLowerCase() === "z" && !typing) { event.preventDefault(); this.send({ type: event.shiftKey ? "redo" : "undo" }); return; }
    if (command && event.key.toLowerCase() === "y" && !typing) { event.preventDefault(); this.send({ type: "redo" }); return; }
    if (typing || command || event.altKey) return;
    const onButton = event.target.closest("button, a, summary, [role=slider], input, video");
    const action = {
      " ": () => this.toggle(), k: () => this.pause(),
      j: () => this.seek(this.timeline.nextBar(this.sound.now(), -1)), l: () => this.seek(this.timeline.nextBar(this.sound.now(), 1)),
      ArrowLeft: () => this.seek(event.shiftKey ? this.timeline.nextBar(this.sound.now(), -1) : this.sound.now() - 1 / this.song.fps),
      ArrowRight: () => this.seek(event.shiftKey ? this.timeline.nextBar(this.sound.now(), 1) : this.sound.now() + 1.001 / this.song.fps),
      ArrowUp: () => this.select(this.section - 1), ArrowDown: () => this.select(this.section + 1),
      1: () => this.pick4(0), 2: () => this.pick4(1), 3: () => this.pick4(2), 4: () => this.pick4(3),
      r: () => this.reroll(), a: () => this.compare(), s: () => this.split(), "?": () => this.help(),
      "+": () => this.timeline.zoom(1.6), "=": () => this.timeline.zoom(1.6), "-": () => this.timeline.zoom(1 / 1.6), 0: () => this.timeline.fit(),
    }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    if (onButton && (event.key.startsWith("Arrow") || (event.key === " " && !event.target.closest("[role=slider], input[type=range]")))) return;
    event.preventDefault();
    action();
  }

  help() {
    const keys = [["Space", "play, pause"], ["J, L", "a bar back, a bar on"], ["K", "pause"], ["← →", "a frame; with Shift a bar"], ["↑ ↓", "section before, after"], ["1 – 4", "use a proposal"], ["R", "draw proposals anew"], ["A", "A / B"], ["S", "split at the playhead"], ["+ − 0", "zoom"], ["Ctrl Z", "undo; with Shift redo"], ["Tab", "to every control; borders and sliders move with arrow keys"]];
    dialog("Keys", h("dl", { class: "keys" }, ...keys.flatMap(([key, word]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, word)])));
  }
}

window.studio = new App();
