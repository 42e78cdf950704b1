// The sound, which is the one clock: our own decoded samples, looped sample by sample.

import { address } from "./connection.js";

const CHUNK = 15; // seconds that are fetched at once
const WHOLE = 120; // seconds up to which a loop is one buffer, repeated by the audio engine itself
const MOST_CHUNKS = 12;
const AHEAD = 4; // seconds of chunks that are scheduled before they are heard

export class Sound {
  constructor() {
    this.chunks = new Map();
    this.nodes = [];
    this.playing = false;
    this.position = 0; // seconds, where playing starts or has stopped
    this.volume = 0.8;
    this.generation = 0;
  }

  use(song) {
    const changed = this.song && (this.song.name !== song.name || this.song.samples !== song.samples);
    this.song = song;
    if (changed) { this.chunks.clear(); this.stop(); this.position = 0; }
  }

  /** Time in seconds of what is heard at this moment. */
  now() {
    if (!this.playing) return this.position;
    const heard = this.context.currentTime - (this.context.outputLatency || this.context.baseLatency || 0);
    return this.wrapped(this.from + Math.max(heard - this.begun, 0));
  }

  wrapped(seconds) {
    const [start, end] = this.loop;
    return seconds < end ? seconds : start + ((seconds - start) % (end - start));
  }

  async prepare() {
    if (this.context) { await this.context.resume(); return; }
    const options = { latencyHint: "interactive" };
    if (this.song.rate >= 8000 && this.song.rate <= 96000) options.sampleRate = this.song.rate;
    this.context = new AudioContext(options);
    this.gain = new GainNode(this.context, { gain: this.volume });
    this.gain.connect(this.context.destination);
    await this.context.resume();
  }

  setVolume(volume) {
    this.volume = volume;
    if (this.gain) this.gain.gain.setTargetAtTime(volume, this.context.currentTime, 0.01);
  }

  /** Play from a time, looping between two others. */
  async play(from, loop) {
    const generation = ++this.generation;
    await this.prepare();
    const end = this.song.samples / this.song.rate;
    this.loop = [Math.max(loop[0], 0), Math.min(loop[1], end)];
    if (from < this.loop[0] || from >= this.loop[1] - 0.001) from = this.loop[0];
    const seconds = this.loop[1] - this.loop[0];
    const buffer = seconds <= WHOLE ? await this.buffer(this.loop[0], this.loop[1]) : await this.chunk(Math.floor(from / CHUNK));
    if (generation !== this.generation) return;
    this.silence();
    this.from = from;
    this.begun = Math.ceil((this.context.currentTime + 0.03) * this.context.sampleRate) / this.context.sampleRate;
    this.playing = true;
    if (seconds <= WHOLE) {
      const node = new AudioBufferSourceNode(this.context, { buffer, loop: true });
      node.connect(this.gain);
      node.start(this.begun, from - this.loop[0]);
      this.nodes = [node];
    } else {
      this.cursor = from;
      this.scheduled = this.begun;
      this.schedule(generation);
    }
  }

  async schedule(generation) {
    while (generation === this.generation && this.playing) {
      if (this.scheduled - this.context.currentTime > AHEAD) {
        await new Promise((resolve) => setTimeout(resolve, 250));
        continue;
      }
      const index = Math.floor(this.cursor / CHUNK + 1e-9);
      const buffer = await this.chunk(index);
      if (generation !== this.generation) return;
      const offset = this.cursor - index * CHUNK;
      const seconds = Math.min(buffer.duration - offset, this.loop[1] - this.cursor);
      if (seconds > 1e-4) {
        const node = new AudioBufferSourceNode(this.context, { buffer });
        node.connect(this.gain);
        node.start(this.scheduled, offset, seconds);
        this.nodes.push(node);
        node.onended = () => { this.nodes = this.nodes.filter((other) => other !== node); };
        this.scheduled += seconds;
        this.cursor += seconds;
      }
      if (this.cursor >= this.loop[1] - 1e-4 || seconds <= 1e-4) this.cursor = this.loop[0];
    }
  }

  stop() {
    if (this.playing) this.position = this.now();
    this.generation++;
    this.playing = false;
    this.silence();
  }

  silence() {
    for (const node of this.nodes) { node.onended = null; try { node.stop(); } catch { /* not started */ } node.disconnect(); }
    this.nodes = [];
  }

  async chunk(index) {
    const known = this.chunks.get(index);
    if (known) {
      this.chunks.delete(index);
      this.chunks.set(index, known);
      return known;
    }
    const buffer = await this.buffer(index * CHUNK, Math.min((index + 1) * CHUNK, this.song.samples / this.song.rate));
    this.chunks.set(index, buffer);
    if (this.chunks.size > MOST_CHUNKS) this.chunks.delete(this.chunks.keys().next().value);
    return buffer;
  }

  async buffer(start, end) {
    const { rate, channels, samples } = this.song;
    const first = Math.round(start * rate), last = Math.min(Math.round(end * rate), samples);
    const key = `${first}-${last}`;
    if (this.lastKey === key) return this.lastBuffer;
    const response = await fetch(address("/sound", { start: first, stop: last }));
    if (!response.ok) throw new Error("the sound cannot be had");
    const data = new Int16Array(await response.arrayBuffer());
    const buffer = new AudioBuffer({ length: data.length / channels, numberOfChannels: channels, sampleRate: rate });
    for (let channel = 0; channel < channels; channel++) {
      const out = buffer.getChannelData(channel);
      for (let i = 0, j = channel; i < out.length; i++, j += channels) out[i] = data[j] / 32767;
    }
    if (end - start > CHUNK + 1) { this.lastKey = key; this.lastBuffer = buffer; }
    return buffer;
  }
}
