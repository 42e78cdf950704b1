// The timeline: waveform, bars, curves, sections and their borders, flashes, and the playhead.

import { $, clamp, clock, h, hue, tint } from "./ui.js";

const RULER = 22, BLOCKS = 30, FLASHES = 6;

export class Timeline {
  /** @param {object} act what the timeline may ask for: seek, select, move, rename */
  constructor(act) {
    this.act = act;
    this.track = $("track");
    this.canvas = $("wave");
    this.context = this.canvas.getContext("2d");
    this.view = [0, 1];
    this.overlay = null;
    this.flashes = new Map();
    this.scores = new Map();
    this.selected = 0;
    this.sections = [];
    this.time = 0;
    this.curves = true;
    this.dirty = true;
    this.follow = true;
    new ResizeObserver(() => { this.layout(); }).observe(this.track);
    this.track.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.track.addEventListener("pointerdown", (event) => this.press(event));
    this.track.addEventListener("dblclick", (event) => {
      if (event.target === this.canvas) this.act.seek(this.snapped(this.timeAt(event.clientX)));
    });
    $("scroll").addEventListener("input", (event) => {
      const length = this.view[1] - this.view[0];
      const start = Number(event.target.value) * (this.song.duration - length);
      this.view = [start, start + length];
      this.follow = false;
      this.changed();
    });
    $("head").addEventListener("keydown", (event) => this.headKey(event));
  }

  use(song, peaks, curves) {
    const other = this.song?.name !== song.name || this.song?.duration !== song.duration;
    this.song = song;
    this.peaks = peaks;
    this.curve = curves;
    if (other) this.view = [0, song.duration];
    $("head").setAttribute("aria-valuemax", song.duration.toFixed(2));
    this.layout();
  }

  setSections(sections, selected) {
    this.sections = sections;
    this.selected = selected;
    this.build();
    this.changed();
  }

  layout() {
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    this.width = this.track.clientWidth;
    this.height = this.track.clientHeight;
    this.canvas.width = Math.round(this.width * ratio);
    this.canvas.height = Math.round(this.height * ratio);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.changed();
  }

  changed() {
    this.dirty = true;
    this.placed = false;
  }

  x(seconds) { return ((seconds - this.view[0]) / (this.view[1] - this.view[0])) * this.width; }
  timeAt(clientX) {
    const box = this.track.getBoundingClientRect();
    return clamp(this.view[0] + ((clientX - box.left) / box.width) * (this.view[1] - this.view[0]), 0, this.song.duration);
  }

  snapped(seconds, reach = 10) {
    const bars = this.song.bars;
    if (!bars.length) return seconds;
    let best = seconds, distance = (reach / this.width) * (this.view[1] - this.view[0]);
    for (const bar of bars) {
      if (Math.abs(bar - seconds) < distance) { distance = Math.abs(bar - seconds); best = bar; }
    }
    return best;
  }

  nextBar(seconds, direction) {
    const bars = this.song.bars.length ? this.song.bars : Array.from({ length: Math.ceil(this.song.duration) }, (_, i) => i);
    return direction > 0 ? bars.find((bar) => bar > seconds + 0.05) ?? this.song.duration : bars.findLast((bar) => bar < seconds - 0.05) ?? 0;
  }

  zoom(factor, at = this.time) {
    const length = clamp((this.view[1] - this.view[0]) / factor, Math.min(2, this.song.duration), this.song.duration);
    const share = clamp((at - this.view[0]) / (this.view[1] - this.view[0]), 0, 1);
    const start = clamp(at - share * length, 0, this.song.duration - length);
    this.view = [start, start + length];
    this.changed();
  }

  fit() { this.view = [0, this.song.duration]; this.changed(); }

  wheel(event) {
    if (!this.song) return;
    event.preventDefault();
    if (event.ctrlKey || event.metaKey) {
      this.zoom(Math.exp(-event.deltaY * 0.004), this.timeAt(event.clientX));
      return;
    }
    const length = this.view[1] - this.view[0];
    const delta = ((event.deltaX || event.deltaY) / this.width) * length;
    const start = clamp(this.view[0] + delta, 0, this.song.duration - length);
    this.view = [start, start + length];
    this.follow = false;
    this.changed();
  }

  press(event) {
    if (event.button !== 0 || event.target.closest("button, .border")) return;
    this.follow = true;
    this.act.seek(this.timeAt(event.clientX), true);
    const move = (moved) => this.act.seek(this.timeAt(moved.clientX), true);
    const up = (ended) => {
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", up);
      this.act.seek(this.timeAt(ended.clientX), false);
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", up);
    event.preventDefault();
  }

  headKey(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    this.act.seek(event.shiftKey ? this.nextBar(this.time, step) : this.time + step / this.song.fps);
  }

  /** Make the blocks of sections and the handles of their borders. */
  build() {
    const focused = document.activeElement?.dataset?.key;
    const items = [];
    this.sections.forEach((section, index) => {
      const name = section.name || section.label;
      const block = h("button", {
        class: `block${index === this.selected ? " selected" : ""}`,
        "data-key": `block${index}`,
        "aria-pressed": String(index === this.selected),
        "aria-label": `Section ${name}, ${clock(section.start, 0)} to ${clock(section.end, 0)}`,
        title: `${name} · ${clock(section.start)} – ${clock(section.end)}`,
        onclick: () => this.act.select(index),
      }, h("span", { class: "block-label" }, section.label), section.name && section.name !== section.label ? h("span", { class: "block-name" }, section.name) : null,
      h("span", { class: "block-score soft" }));
      block.style.setProperty("--hue", String(hue(section.label)));
      items.push(block);
      section.block = block;
      if (index) {
        const border = h("div", {
          class: "border", role: "slider", tabindex: "0", "data-key": `border${index}`,
          "aria-label": `Border before section ${name}`,
          "aria-valuemin": this.sections[index - 1].start.toFixed(2), "aria-valuemax": section.end.toFixed(2),
          "aria-valuenow": section.start.toFixed(2), "aria-valuetext": clock(section.start),
          title: "Drag, or arrow keys; it snaps to bars, with Alt it does not",
          onkeydown: (event) => {
            const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
            if (!step) return;
            event.preventDefault();
            event.stopPropagation();
            this.act.move(index, event.altKey ? section.start + step / this.song.fps : this.nextBar(section.start, step));
          },
          onpointerdown: (event) => this.drag(event, index),
        });
        items.push(border);
        section.border = border;
      }
    });
    $("blocks").replaceChildren(...items);
    if (focused) document.querySelector(`[data-key="${focused}"]`)?.focus();
  }

  drag(event, index) {
    event.preventDefault();
    event.stopPropagation();
    const section = this.sections[index], before = this.sections[index - 1];
    const handle = section.border;
    handle.setPointerCapture(event.pointerId);
    handle.classList.add("dragged");
    const move = (moved) => {
      const time = this.timeAt(moved.clientX);
      const to = clamp(moved.altKey ? time : this.snapped(time, Infinity), before.start + 0.5, section.end - 0.5);
      section.start = to;
      before.end = to;
      this.changed();
    };
    const up = () => {
      handle.removeEventListener("pointermove", move);
      handle.classList.remove("dragged");
      this.act.move(index, section.start);
    };
    handle.addEventListener("pointermove", move);
    handle.addEventListener("pointerup", up, { once: true });
    handle.addEventListener("pointercancel", up, { once: true });
  }

  /** Called for every picture of the screen. */
  tick(time, playing) {
    if (!this.song) return;
    this.time = time;
    const [start, end] = this.view;
    if (playing && this.follow && end - start < this.song.duration - 0.01 && (time > end - 0.06 * (end - start) || time < start)) {
      const length = end - start;
      const begin = clamp(time - 0.1 * length, 0, this.song.duration - length);
      this.view = [begin, begin + length];
      this.changed();
    }
    if (this.dirty) { this.dirty = false; this.paint(); this.place(); }
    const head = $("head");
    const x = this.x(time);
    head.style.transform = `translateX(${x.toFixed(1)}px)`;
    head.hidden = x < -2 || x > this.width + 2;
    const rounded = time.toFixed(1);
    if (rounded !== this.said) {
      this.said = rounded;
      head.setAttribute("aria-valuenow", rounded);
      head.setAttribute("aria-valuetext", clock(time));
    }
  }

  place() {
    this.sections.forEach((section, index) => {
      const from = this.x(section.start), to = this.x(section.end);
      const shown = to > -50 && from < this.width + 50;
      section.block.hidden = !shown;
      if (shown) {
        const first = Math.max(from, -40), last = Math.min(to, this.width + 40);
        section.block.style.transform = `translateX(${first + 1}px)`;
        section.block.style.width = `${Math.max(last - first - 2, 3)}px`;
        section.block.classList.toggle("narrow", last - first < 54);
        const score = this.scores.get(index);
        section.block.querySelector(".block-score").textContent = score === undefined || score === null || last - first < 96 ? "" : `${score > 0 ? "+" : ""}${score.toFixed(1)}`;
      }
      if (index) {
        section.border.hidden = from < -10 || from > this.width + 10;
        section.border.style.transform = `translateX(${from}px)`;
      }
    });
    const length = this.view[1] - this.view[0], rest = this.song.duration - length;
    const scroll = $("scroll");
    scroll.disabled = rest < 0.01;
    scroll.value = String(rest < 0.01 ? 0 : this.view[0] / rest);
    scroll.setAttribute("aria-valuetext", `${clock(this.view[0], 0)} to ${clock(this.view[1], 0)}`);
  }

  paint() {
    const { context, width, height } = this;
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    context.clearRect(0, 0, width, height);
    const [start, end] = this.view;
    const perPixel = (end - start) / width;
    const top = RULER + BLOCKS + 8, bottom = height - FLASHES - 6, middle = (top + bottom) / 2, half = (bottom - top) / 2;
    this.ruler(colour, perPixel);
    // the selected section stands out
    const current = this.sections[this.selected];
    if (current) {
      context.fillStyle = colour("--wash");
      context.fillRect(this.x(current.start), top - 4, this.x(current.end) - this.x(current.start), bottom - top + 8);
    }
    // the waveform, in the colours of its sections
    let index = 0;
    const light = Number(colour("--wave-light")), rest = Number(colour("--wave-rest"));
    const tints = this.sections.map((section, i) => tint(section.label, i === this.selected ? light : rest, i === this.selected ? 0.1 : 0.05));
    for (let x = 0; x < width; x++) {
      const time = start + x * perPixel;
      const from = Math.floor(time * this.song.peaksPerSecond);
      const to = Math.max(Math.floor((time + perPixel) * this.song.peaksPerSecond), from + 1);
      let low = 127, high = -128;
      const step = Math.max(Math.floor((to - from) / 40), 1);
      for (let i = from; i < to && 2 * i + 1 < this.peaks.length; i += step) {
        if (this.peaks[2 * i] < low) low = this.peaks[2 * i];
        if (this.peaks[2 * i + 1] > high) high = this.peaks[2 * i + 1];
      }
      if (low > high) continue;
      while (index + 1 < this.sections.length && time >= this.sections[index + 1].start) index++;
      if (tints[index]) context.fillStyle = tints[index];
      const y = middle - (high / 127) * half;
      context.fillRect(x, y, 1, Math.max(((high - low) / 127) * half, 1));
    }
    if (this.curves) this.paintCurves(colour, perPixel, top, bottom);
    if (this.overlay) this.paintOverlay(colour, top, bottom);
    this.paintFlashes(colour, height - FLASHES - 1);
  }

  ruler(colour, perPixel) {
    const { context } = this;
    const [start, end] = this.view;
    context.font = `11px ${getComputedStyle(document.body).fontFamily}`;
    context.textBaseline = "middle";
    const bars = this.song.bars;
    const perBar = bars.length > 1 ? (bars.at(-1) - bars[0]) / (bars.length - 1) : 0;
    if (perBar) {
      let every = 1;
      while ((every * perBar) / perPixel < 46) every *= 2;
      const fine = Math.max(every / 4, 1);
      for (let i = 0; i < bars.length; i++) {
        if (bars[i] < start - perBar || bars[i] > end) continue;
        const x = this.x(bars[i]), strong = i % every === 0;
        if (!strong && i % fine) continue;
        context.fillStyle = colour(strong ? "--line-strong" : "--line");
        context.fillRect(Math.round(x), strong ? 4 : 13, 1, strong ? this.height - 12 : 6);
        if (strong) { context.fillStyle = colour("--soft"); context.fillText(String(i + 1), Math.round(x) + 5, 11); }
      }
      if (every === 1 && perBar / perPixel > 120) {
        context.fillStyle = colour("--line");
        for (const beat of this.song.beats) if (beat >= start && beat <= end) context.fillRect(Math.round(this.x(beat)), 14, 1, 5);
      }
      return;
    }
    let every = 1;
    for (const step of [1, 2, 5, 10, 15, 30, 60, 120, 300, 600]) { every = step; if (step / perPixel > 60) break; }
    for (let time = Math.ceil(start / every) * every; time <= end; time += every) {
      context.fillStyle = colour("--line-strong");
      context.fillRect(Math.round(this.x(time)), 4, 1, this.height - 12);
      context.fillStyle = colour("--soft");
      context.fillText(clock(time, 0), Math.round(this.x(time)) + 5, 11);
    }
  }

  paintCurves(colour, perPixel, top, bottom) {
    const { context, width } = this;
    const rate = this.song.curvesPerSecond;
    const column = (x, channel) => {
      const time = this.view[0] + x * perPixel;
      const from = Math.max(Math.floor(time * rate), 0), to = Math.max(Math.floor((time + perPixel) * rate), from + 1);
      let sum = 0, most = 0;
      for (let i = from; i < to; i++) {
        const value = this.curve[2 * i + channel] ?? 0;
        sum += value;
        most = Math.max(most, value);
      }
      return [sum / (to - from), most];
    };
    // onsets: ticks at the bottom, as high as they are strong
    context.fillStyle = colour("--onsets");
    const room = Math.min((bottom - top) * 0.3, 26);
    for (let x = 0; x < width; x += 2) {
      const most = Math.max(column(x, 1)[1], column(x + 1, 1)[1]);
      const tall = (most / 255) ** 1.5 * room;
      if (tall > 1.5) context.fillRect(x, bottom - tall, 1, tall);
    }
    // loudness: a calm line, averaged over some pixels
    context.beginPath();
    const reach = Math.max(Math.round(3 / Math.max(perPixel * rate, 0.3)), 1);
    const values = Array.from({ length: Math.ceil(width / 2) + 1 }, (_, i) => column(2 * i, 0)[0]);
    let held = values[0];
    values.forEach((value, i) => {
      held += (value - held) / (1 + Math.min(reach, 6));
      const y = bottom - (held / 255) * (bottom - top);
      if (i) context.lineTo(2 * i, y); else context.moveTo(0, y);
    });
    context.strokeStyle = colour("--loudness");
    context.lineWidth = 1.5;
    context.stroke();
  }

  paintOverlay(colour, top, bottom) {
    const { context } = this;
    const { section, curve } = this.overlay;
    const place = this.sections[section];
    if (!place || !curve.length) return;
    context.beginPath();
    const from = this.x(place.start), width = this.x(place.end) - from;
    context.moveTo(from, bottom);
    curve.forEach((value, i) => {
      context.lineTo(from + ((i + 0.5) / curve.length) * width, bottom - (value / 255) * (bottom - top));
    });
    context.lineTo(from + width, bottom);
    context.fillStyle = colour("--accent-wash");
    context.fill();
    context.strokeStyle = colour("--accent");
    context.lineWidth = 1.5;
    context.stroke();
  }

  paintFlashes(colour, y) {
    const { context } = this;
    context.fillStyle = colour("--warning");
    for (const found of this.flashes.values()) {
      for (const flash of found) {
        const from = this.x(flash.start), to = this.x(flash.stop);
        if (to < 0 || from > this.width) continue;
        context.fillRect(from, y - FLASHES + 2, Math.max(to - from, 3), FLASHES - 2);
      }
    }
  }
}
