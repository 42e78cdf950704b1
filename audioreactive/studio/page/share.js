// Files from one browser to another: who is here, what is asked, and how far it is.

import { address, Connection } from "./connection.js";
import { Transfer } from "./transfer.js";
import { $, bytes, h, toast } from "./ui.js";

const connection = new Connection();
const transfers = new Map();
let me = null, people = [], chosen = null;

const nameOf = (id) => people.find((person) => person.id === id)?.name ?? "somebody who left";

// --- people ----------------------------------------------------------------------------------------------------------

function showPeople() {
  const others = people.filter((person) => person.id !== me);
  $("alone").hidden = others.length > 0;
  $("people").replaceChildren(...others.map(({ id, name }) => {
    const card = h("li", { class: "card", "data-person": id }, h("span", { class: "card-name" }, name),
      h("span", { class: "card-buttons" }, h("button", { onclick: () => choose(id), "aria-label": `Send a file to ${name}` }, "Send a file…")));
    card.addEventListener("dragover", (event) => { event.preventDefault(); card.classList.add("over"); });
    card.addEventListener("dragleave", () => card.classList.remove("over"));
    card.addEventListener("drop", (event) => {
      event.preventDefault();
      card.classList.remove("over");
      for (const file of event.dataTransfer.files) offer(id, file);
    });
    return card;
  }));
}

function choose(id) {
  chosen = id;
  $("file").value = "";
  $("file").click();
}

function offer(peer, file) {
  const transfer = new Transfer({ id: crypto.getRandomValues(new Uint32Array(4)).join("-"), peer, name: file.name, size: file.size, file, signal, changed: show });
  keep(transfer);
  transfer.ask();
}

// --- transfers -------------------------------------------------------------------------------------------------------

const signal = (to, content) => connection.send({ type: "signal", to, signal: content });
const key = (peer, id) => `${peer} ${id}`;

function keep(transfer) {
  transfers.set(key(transfer.peer, transfer.id), transfer);
  transfer.card = h("li", { class: "card", "data-transfer": transfer.id });
  $("transfers").prepend(transfer.card);
  $("transfers-part").hidden = false;
  show(transfer);
}

const WORDS = {
  asked: (t) => t.file ? `waits until ${nameOf(t.peer)} accepts` : `${nameOf(t.peer)} wants to send you this`,
  connecting: (t) => `connecting to ${nameOf(t.peer)}`,
  moving: (t) => `${t.file ? "to" : "from"} ${nameOf(t.peer)}: ${bytes(t.moved)} of ${bytes(t.size)}`,
  done: (t) => t.file ? `${nameOf(t.peer)} has it, and its checksum is right` : `from ${nameOf(t.peer)}; its checksum is right`,
  declined: (t) => t.file ? `${nameOf(t.peer)} declined` : "declined",
  failed: (t) => t.reason,
};

function show(transfer) {
  const { state, card } = transfer;
  if (card.dataset.state !== state) {
    card.dataset.state = state;
    const buttons = [];
    if (state === "asked" && !transfer.file) {
      buttons.push(h("button", { onclick: () => transfer.decline() }, "Decline"), h("button", { class: "yes", onclick: () => transfer.accept() }, "Accept"));
    } else if (state === "done" && !transfer.file) {
      buttons.push(h("a", { class: "button yes", href: transfer.url, download: transfer.name }, "Save"));
    } else if (["asked", "connecting", "moving"].includes(state)) {
      buttons.push(h("button", { class: "quiet", onclick: () => transfer.cancel() }, "Cancel"));
    }
    card.replaceChildren(
      h("span", {}, h("span", { class: "card-name" }, transfer.name), h("span", { class: "soft small" }, ` ${bytes(transfer.size)}`),
        h("p", { class: "soft small words", role: "status" })),
      h("span", { class: "card-buttons" }, ...buttons),
      ...(["connecting", "moving"].includes(state) ? [h("progress", { max: "1", value: "0", "aria-label": `Progress of ${transfer.name}` })] : []));
  }
  card.querySelector(".words").textContent = WORDS[state](transfer);
  const bar = card.querySelector("progress");
  if (bar && transfer.size) bar.value = transfer.moved / transfer.size;
}

// --- messages --------------------------------------------------------------------------------------------------------

connection.on("welcome", ({ you }) => {
  me = you;
  $("state").textContent = "";
  const name = localStorage.getItem("name");
  if (name) rename(name);
});
connection.on("people", (told) => {
  people = told.people;
  const own = people.find((person) => person.id === me);
  if (own && document.activeElement !== $("name")) $("name").value = own.name;
  showPeople();
  const there = new Set(people.map((person) => person.id));
  for (const transfer of transfers.values()) if (!there.has(transfer.peer)) transfer.left();
});
connection.on("signal", ({ from, signal: content }) => {
  const known = transfers.get(key(from, content.transfer));
  if (known) known.take(content);
  else if (content.kind === "ask") {
    const asked = Transfer.asked(from, content, { signal, changed: show });
    if (asked) keep(asked);
  }
});
connection.on("error", ({ message }) => toast(message, "error"));
connection.on("lost", () => { $("state").textContent = "The program that serves this page does not answer."; });
connection.on("busy", () => { $("state").textContent = "So many people are here that there is no room: try again when somebody has left."; });

const rename = (name) => connection.send({ type: "name", name });
$("name").addEventListener("change", ({ target }) => {
  const name = target.value.trim();
  if (!name) return;
  localStorage.setItem("name", name);
  rename(name);
});
$("name").addEventListener("keydown", ({ key: pressed, target }) => { if (pressed === "Enter") target.blur(); });
$("file").addEventListener("change", ({ target }) => { for (const file of target.files) offer(chosen, file); });
$("address").textContent = location.href;
$("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(location.href);
    toast("Copied");
  } catch {
    getSelection().selectAllChildren($("address"));
    toast("Selected: copy it with Ctrl+C");
  }
});
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => event.preventDefault());

async function listOffered() {
  const files = await (await fetch(address("/offered"))).json();
  $("offered-part").hidden = !files.length;
  $("offered").replaceChildren(...files.map(({ number, name, size, watched }) => h("li", { class: "card" },
    h("span", {}, h("span", { class: "card-name" }, name), h("span", { class: "soft small" }, ` ${bytes(size)}`)),
    h("span", { class: "card-buttons" },
      watched ? h("a", { class: "button", href: address(`/watch/${number}`), target: "_blank", rel: "noopener", "aria-label": `Watch ${name}` }, "Watch") : null,
      h("a", { class: "button", href: address(`/file/${number}`), download: name, "aria-label": `Save ${name}` }, "Save")))));
}

if (typeof RTCPeerConnection === "undefined") toast("This browser cannot send files to others: it has no WebRTC.", "error");
listOffered();
connection.open();
window.sharing = { transfers, people: () => people };
