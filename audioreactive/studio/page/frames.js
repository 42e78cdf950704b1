// Frames of one view: JPEG files as they arrive, and the next few of them decoded.

const CREDIT = 72;
const REFILL = 18;
const MOST_FRAMES = 3000;
const LATE = 48; // frames by which a picture may be late, on a machine that is: rather that than none

export class Frames {
  /**
   * @param {string} view name of the view
   * @param {HTMLCanvasElement} canvas where it is drawn
   * @param {(message: object) => void} send
   * @param {number} ahead frames that are decoded before they are shown
   */
  constructor(view, canvas, send, ahead = 10) {
    this.view = view;
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.send = send;
    this.ahead = ahead;
    this.clip = null;
    this.blobs = new Map();
    this.bitmaps = new Map();
    this.decoding = new Set();
    this.shown = -1;
    this.received = 0;
    this.waiting = null; // what was asked for and has not begun
    this.drawn = 0;
    this.missed = 0;
  }

  /** Ask for a clip; what is shown stays until the new frames arrive. */
  show(request) {
    this.asked = performance.now();
    this.send({ type: "show", view: this.view, credit: CREDIT, ...request });
  }

  hide() {
    this.send({ type: "hide", view: this.view });
    this.clear();
    this.clip = null;
  }

  /** The studio has begun to paint a clip. */
  begin(clip) {
    const same = this.clip?.key === clip.key && this.clip?.start === clip.start;
    this.clip = clip;
    this.received = 0;
    this.firstFrame = null;
    if (!same) this.clear();
    if (this.canvas.width !== clip.width || this.canvas.height !== clip.height) {
      const old = this.shown >= 0 ? this.last : null;
      this.canvas.width = clip.width;
      this.canvas.height = clip.height;
      this.context.fillRect(0, 0, clip.width, clip.height);
      if (old) this.context.drawImage(old, 0, 0, clip.width, clip.height);
    }
  }

  clear() {
    this.blobs.clear();
    for (const bitmap of this.bitmaps.values()) if (bitmap !== this.last) bitmap.close();
    this.bitmaps.clear();
    this.decoding.clear();
    this.shown = -1;
  }

  take(frame, jpeg) {
    const known = this.blobs.get(frame);
    if (known && known.size !== jpeg.size) { // the same frame in full quality
      this.blobs.set(frame, jpeg);
      this.bitmaps.delete(frame);
      if (this.shown === frame) this.shown = -1;
      return;
    }
    if (!known) this.blobs.set(frame, jpeg);
    if (this.blobs.size > MOST_FRAMES) {
      const oldest = this.blobs.keys().next().value;
      this.blobs.delete(oldest);
      this.send({ type: "lost", view: this.view, clip: this.clip.clip, frames: [oldest] });
    }
    if (++this.received % REFILL === 0) this.send({ type: "credit", view: this.view, clip: this.clip.clip, count: REFILL });
    if (this.firstFrame === null) this.firstFrame = performance.now() - this.asked;
  }

  /** Draw the frame of this moment, or the nearest one before it; returns the frame that was drawn anew, or -1. */
  draw(frame, playing) {
    if (!this.clip) return -1;
    const { start, stop } = this.clip;
    if (this.clip.still) frame = this.blobs.keys().next().value ?? frame;
    else if (frame < start || frame >= stop) frame = Math.min(Math.max(frame, start), stop - 1);
    this.prepare(frame, playing);
    let best = this.bitmaps.has(frame) ? frame : -1;
    if (best < 0) {
      for (const other of this.bitmaps.keys()) {
        if (other <= frame && other > best && frame - other < LATE) best = other;
      }
    }
    if (best < 0 || best === this.shown) return -1;
    if (best !== frame) this.missed++;
    const bitmap = this.bitmaps.get(best);
    if (bitmap.width > this.canvas.width || (playing && this.canvas.width !== this.clip.width)) {
      this.canvas.width = playing ? this.clip.width : bitmap.width;
      this.canvas.height = playing ? this.clip.height : bitmap.height;
    }
    this.context.imageSmoothingQuality = "high";
    this.context.drawImage(bitmap, 0, 0, this.canvas.width, this.canvas.height);
    if (this.last && this.last !== bitmap && ![...this.bitmaps.values()].includes(this.last)) this.last.close();
    this.last = bitmap;
    this.shown = best;
    this.drawn++;
    return best;
  }

  /** Decode the frames that come next, and drop those that have been. */
  prepare(frame, playing) {
    const { start, stop } = this.clip;
    const length = stop - start;
    const count = playing ? Math.min(this.ahead, length) : 1;
    const wanted = new Set();
    for (let i = -1; i < count; i++) {
      let place = start + ((((frame - start + i) % length) + length) % length);
      if (!this.blobs.has(place)) { // not painted yet: while a loop is, every eighth frame is there first
        let back = place;
        while (back > place - LATE && !this.blobs.has(back)) back--;
        place = back;
      }
      if (this.blobs.has(place)) wanted.add(place);
    }
    for (const place of wanted) {
      if (this.bitmaps.has(place) || this.decoding.has(place)) continue;
      const blob = this.blobs.get(place), clip = this.clip;
      this.decoding.add(place);
      createImageBitmap(blob).then((bitmap) => {
        if (this.clip !== clip || !this.decoding.delete(place)) bitmap.close();
        else this.bitmaps.set(place, bitmap);
      }, () => this.decoding.delete(place));
    }
    if (this.bitmaps.size > count + 12) {
      for (const [place, bitmap] of this.bitmaps) {
        if (wanted.has(place) || place === this.shown) continue;
        this.bitmaps.delete(place);
        if (bitmap !== this.last) bitmap.close();
      }
    }
  }

  /** Share of the clip that has arrived. */
  get share() {
    return this.clip ? this.blobs.size / (this.clip.stop - this.clip.start) : 0;
  }
}
