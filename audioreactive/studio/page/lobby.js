// What is shown while no project is open: how far the opening is, or the songs to choose from.

import { $, h } from "./ui.js";

const STAGES = { listening: "Listening to the song", beginning: "Beginning", "loading the model": "Loading the model", "choosing a first look": "Choosing a first look", fitting: "Fitting the motion" };

export class Lobby {
  /** @param {(message: object) => void} send */
  constructor(send) {
    this.send = send;
    this.box = $("lobby");
  }

  show(told) {
    document.body.classList.add("waiting");
    this.box.hidden = false;
    document.title = told.opening ? `${told.opening.song} · studio` : "studio";
    if (told.opening) this.progress(told.opening);
    else this.choose(told);
  }

  hide() {
    document.body.classList.remove("waiting");
    this.box.hidden = true;
    this.box.replaceChildren();
  }

  progress({ song, stage, share }) {
    if (!this.box.querySelector("progress")) {
      this.box.replaceChildren(h("div", { class: "lobby-box" }, h("h2", {}, song), h("progress", { max: "1", "aria-label": "Opening the song" }), h("p", { class: "soft", role: "status" }),
        h("p", { class: "soft small" }, "A song is listened to once; the next time it opens at once.")));
    }
    const bar = this.box.querySelector("progress");
    if (share > 0) bar.value = share; else bar.removeAttribute("value");
    const word = STAGES[stage] ?? `${stage.charAt(0).toUpperCase()}${stage.slice(1)}`;
    const text = share > 0 && share < 1 ? `${word}, ${Math.floor(100 * share)} %` : `${word}…`;
    const line = this.box.querySelector("[role=status]");
    if (line.textContent !== text) line.textContent = text;
  }

  choose({ songs, folders, failed }) {
    const all = songs.map((song, index) => ({ ...song, index }));
    const item = (song) => h("li", {}, h("button", { class: "song-item", onclick: () => this.send({ type: "open", song: song.index }) },
      h("span", { class: "song-item-name" }, song.name), h("span", { class: "soft small" }, song.edited ? `${song.place} · ${ago(song.edited)}` : song.place)));
    const rest = all.filter((song) => !song.edited), recent = all.filter((song) => song.edited);
    const list = h("ul", { class: "song-list" }, ...rest.map(item));
    const find = rest.length > 8 ? h("input", { type: "search", placeholder: "Find", "aria-label": "Find a song", oninput: (event) => {
      const word = event.target.value.toLowerCase();
      list.replaceChildren(...rest.filter((song) => `${song.name} ${song.place}`.toLowerCase().includes(word)).map(item));
    } }) : null;
    this.box.replaceChildren(h("div", { class: "lobby-box" },
      failed ? h("p", { class: "failed", role: "alert" }, failed) : null,
      recent.length ? [h("h2", {}, "Recent projects"), h("ul", { class: "song-list" }, ...recent.map(item))] : null,
      rest.length ? [h("div", { class: "row" }, h("h2", {}, "Songs"), find), list] : null,
      all.length ? null : [h("h2", {}, "No songs here"), h("p", { class: "soft" }, `There are none in ${folders.join(", ")}. Name another folder: audioreactive studio --folder FOLDER`)]));
    this.box.querySelector("button")?.focus();
  }
}

function ago(stamp) {
  const seconds = Math.max(Date.now() / 1000 - stamp, 0);
  const words = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) if (seconds >= size) return words.format(-Math.floor(seconds / size), unit);
  return "just now";
}
