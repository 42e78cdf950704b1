// One file on its way between two browsers: asked for, accepted, connected, moved, and compared by its digest.

import { Sha256 } from "./sha256.js";

const PIECE = 16 * 1024; // bytes of a message, which every browser takes
const READ = 64 * PIECE; // bytes that are read at once
const AHEAD = 4 << 20; // bytes that wait in the channel at most
const BATCH = 16 << 20; // bytes of a Blob, so that a browser can put them on its disk
export const MOST = 2 ** 30; // bytes of a file
const PATIENCE = 30_000; // milliseconds until two browsers have found one another
const OPEN = ["asked", "connecting", "moving"];

export class Transfer {
  constructor({ id, peer, name, size, file = null, signal, changed }) {
    Object.assign(this, { id, peer, name, size, file, signal, changed });
    this.state = "asked";
    this.moved = 0;
    this.reason = "";
    this.signals = Promise.resolve(); // they are taken one after another
    this.early = []; // candidates that came before the description
  }

  /** What somebody asks for, checked; null if it makes no sense. */
  static asked(peer, { transfer, name, size }, tools) {
    if (typeof transfer !== "string" || transfer.length > 100 || typeof name !== "string" || !Number.isInteger(size) || size < 0) return null;
    const plain = [...name].slice(0, 200).join("").replace(/[\/\\\p{C}]/gu, "_").replace(/^\.+/, "") || "file";
    const asked = new Transfer({ id: transfer, peer, name: plain, size, ...tools });
    if (size > MOST) queueMicrotask(() => asked.fail("the file is larger than 1 GB, which is the most", true));
    return asked;
  }

  tell(kind, more = {}) { this.signal(this.peer, { kind, transfer: this.id, ...more }); }

  to(state) {
    this.state = state;
    this.changed(this);
  }

  ask() {
    if (this.file.size > MOST) this.fail("the file is larger than 1 GB, which is the most");
    else this.tell("ask", { name: this.name, size: this.size });
  }

  accept() {
    this.to("connecting");
    this.connect();
    this.tell("accept");
  }

  decline() {
    this.tell("decline");
    this.to("declined");
  }

  cancel() { this.fail("cancelled", true); }

  left() { this.fail("the other page was closed"); }

  fail(reason, telling = false) {
    if (!OPEN.includes(this.state)) return;
    this.reason = reason;
    if (telling) this.tell("cancel", { reason: "the other side cancelled" });
    this.to("failed");
    this.close();
  }

  close() {
    clearTimeout(this.patience);
    this.pieces = this.batch = null;
    this.connection?.close();
  }

  // --- finding one another ---------------------------------------------------------------------------------------------

  connect() {
    const connection = this.connection = new RTCPeerConnection({ iceServers: [] });
    connection.onicecandidate = ({ candidate }) => { if (candidate) this.tell("candidate", { candidate: candidate.toJSON() }); };
    connection.onconnectionstatechange = () => {
      if (connection.connectionState === "failed") this.fail("the two browsers cannot reach one another: are both in this network?");
      if (["disconnected", "closed"].includes(connection.connectionState) && this.state === "moving") this.fail("the connection was lost");
    };
    this.patience = setTimeout(() => { if (this.state === "connecting") this.fail("the two browsers cannot reach one another: are both in this network?", true); }, PATIENCE);
    if (!this.file) connection.ondatachannel = ({ channel }) => this.receive(channel);
  }

  async offer() {
    this.to("connecting");
    this.connect();
    const channel = this.connection.createDataChannel("file");
    channel.onopen = () => this.send(channel).catch((error) => this.fail(`the file cannot be read: ${error.message}`, true));
    await this.describe(await this.connection.createOffer());
  }

  async describe(description) {
    await this.connection.setLocalDescription(description);
    this.tell("description", { description: this.connection.localDescription.toJSON() });
  }

  /** Take a signal of the other side. */
  take(content) {
    this.signals = this.signals.then(() => this.understand(content)).catch(() => this.fail("the other page said something that makes no sense", true));
  }

  async understand({ kind, description, candidate }) {
    if (!OPEN.includes(this.state)) return;
    if (kind === "accept" && this.file && this.state === "asked") await this.offer();
    else if (kind === "decline" && this.file) this.to("declined");
    else if (kind === "cancel") this.fail(`${this.file ? "the other side" : "the sender"} cancelled`);
    else if (kind === "description" && this.connection) {
      await this.connection.setRemoteDescription(description);
      if (!this.file) await this.describe(await this.connection.createAnswer());
      for (const early of this.early.splice(0)) await this.connection.addIceCandidate(early);
    } else if (kind === "candidate" && this.connection) {
      if (this.connection.remoteDescription) await this.connection.addIceCandidate(candidate);
      else if (this.early.length < 64) this.early.push(candidate);
    }
  }

  // --- the file --------------------------------------------------------------------------------------------------------

  async send(channel) {
    const digest = new Sha256();
    channel.bufferedAmountLowThreshold = AHEAD / 4;
    channel.onmessage = ({ data }) => this.settle(data === "right");
    channel.onclose = () => this.fail("the connection was lost");
    this.to("moving");
    for (let start = 0; start < this.file.size; start += READ) {
      const bytes = new Uint8Array(await this.file.slice(start, start + READ).arrayBuffer());
      digest.update(bytes);
      for (let at = 0; at < bytes.length; at += PIECE) {
        if (this.state !== "moving") return;
        if (channel.bufferedAmount > AHEAD) await new Promise((resolve) => { channel.onbufferedamountlow = resolve; });
        channel.send(bytes.subarray(at, at + PIECE));
      }
      this.moved = Math.max(start + bytes.length - channel.bufferedAmount, 0);
      this.changed(this);
    }
    channel.send(digest.hex());
  }

  /** The other side has compared the digests. */
  settle(right) {
    if (this.state !== "moving") return;
    if (!right) return this.fail("the file arrived damaged: send it again");
    this.moved = this.size;
    this.to("done");
    this.close();
  }

  receive(channel) {
    const digest = new Sha256();
    channel.binaryType = "arraybuffer";
    this.pieces = [];
    this.batch = [];
    let held = 0;
    channel.onclose = () => this.fail("the connection was lost");
    channel.onmessage = ({ data }) => {
      if (this.state !== "moving") return;
      if (typeof data === "string") return this.finish(channel, digest.hex() === data && this.moved === this.size);
      this.moved += data.byteLength;
      if (this.moved > this.size) return this.fail("more bytes came than were announced", true);
      digest.update(new Uint8Array(data));
      this.batch.push(data);
      held += data.byteLength;
      if (held >= BATCH) {
        this.pieces.push(new Blob(this.batch));
        this.batch = [];
        held = 0;
        this.changed(this);
      } else if (performance.now() - (this.shown ?? 0) > 100) {
        this.shown = performance.now();
        this.changed(this);
      }
    };
    this.to("moving");
  }

  finish(channel, right) {
    channel.send(right ? "right" : "wrong");
    if (!right) return this.fail("the file arrived damaged: ask for it again");
    this.url = URL.createObjectURL(new Blob([...this.pieces, ...this.batch]));
    this.pieces = this.batch = null;
    this.to("done");
    clearTimeout(this.patience);
    setTimeout(() => this.connection.close(), 3000); // the last word is still on its way
  }
}
