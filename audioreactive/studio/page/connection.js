// The connection to the studio: JSON both ways, frames as binary messages.

const REFUSED = [4409, 4410, 4429]; // another page has it, has taken it over; too many pages: asking again does not help
const token = new URLSearchParams(location.search).get("token") ?? "";

export const address = (path, parameters = {}) => {
  const query = new URLSearchParams({ ...parameters, token });
  return `${path}?${query}`;
};

export class Connection extends EventTarget {
  constructor() {
    super();
    this.wait = 250;
    this.stopped = false;
  }

  open(take = false) {
    this.stopped = false;
    const socket = new WebSocket(`ws://${location.host}${address("/socket", take ? { take: "1" } : {})}`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => { this.wait = 250; };
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") {
        const message = JSON.parse(data);
        this.dispatchEvent(new CustomEvent(message.type, { detail: message }));
      } else {
        const head = new DataView(data);
        const detail = { clip: head.getUint32(0, true), frame: head.getUint32(4, true), jpeg: new Blob([new Uint8Array(data, 8)], { type: "image/jpeg" }) };
        this.dispatchEvent(new CustomEvent("frame", { detail }));
      }
    };
    socket.onclose = ({ code }) => {
      if (this.socket !== socket) return;
      const refused = REFUSED.includes(code);
      this.dispatchEvent(new CustomEvent(refused ? "busy" : "lost", { detail: { code } }));
      if (!refused && !this.stopped) {
        setTimeout(() => this.open(), this.wait);
        this.wait = Math.min(2 * this.wait, 4000);
      }
    };
    this.socket = socket;
  }

  send(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  on(type, listener) {
    this.addEventListener(type, (event) => listener(event.detail));
  }
}

export async function upload(path, file) {
  const response = await fetch(address(path, { name: file.name }), { method: "POST", body: file });
  const told = await response.json().catch(() => ({ error: "the file could not be sent" }));
  if (told.error) throw new Error(told.error);
  return told;
}
