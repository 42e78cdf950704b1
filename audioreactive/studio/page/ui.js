// Small helpers: elements, messages, dialogs, sliders.

export const $ = (id) => document.getElementById(id);

/** Make an element: h("button", {class: "quiet", onclick}, "text", child). */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "class") element.className = value;
    else if (key === "style") element.style.cssText = value;
    else if (key in element && key !== "list" && typeof value !== "string") element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function icon(path, filled = false) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const shape = document.createElementNS("http://www.w3.org/2000/svg", "path");
  shape.setAttribute("d", path);
  if (filled) shape.setAttribute("class", "fill");
  svg.append(shape);
  return svg;
}

export function toast(message, kind = "note") {
  const item = h("p", { class: `toast ${kind}` }, message);
  $("toasts").append(item);
  setTimeout(() => item.classList.add("gone"), kind === "error" ? 7000 : 3200);
  setTimeout(() => item.remove(), kind === "error" ? 7400 : 3600);
}

export function dialog(title, ...content) {
  const box = $("dialog");
  box.replaceChildren(
    h("div", { class: "dialog-head" }, h("h2", { id: "dialog-title" }, title),
      h("button", { class: "quiet", onclick: () => box.close() }, "Close")),
    ...content);
  if (!box.open) box.showModal();
  return box;
}

export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

export function clock(seconds, digits = 1) {
  const minutes = Math.floor(seconds / 60);
  const rest = (seconds - 60 * minutes).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
  return `${minutes}:${rest}`;
}

export function bytes(count) {
  return count > 1e6 ? `${(count / 1e6).toFixed(1)} MB` : `${Math.max(Math.round(count / 1e3), 1)} kB`;
}

export function left(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 60) return `${Math.max(Math.round(seconds), 1)} s left`;
  return seconds < 3600 ? `${Math.round(seconds / 60)} min left` : `${(seconds / 3600).toFixed(1)} h left`;
}

/** A labelled slider. `live(value)` while it moves, `done(value)` when it is let go. */
export function slider({ label, hint, min, max, step, value, live, done, neutral, format, disabled, id }) {
  const told = format ?? ((number) => number.toFixed(2));
  const input = h("input", { type: "range", min: String(min), max: String(max), step: String(step), disabled, id });
  input.value = String(value);
  const output = h("output", {}, told(Number(value)));
  const paint = () => {
    const share = (input.value - min) / (max - min);
    input.style.setProperty("--share", String(share));
    if (neutral !== undefined) input.style.setProperty("--neutral", String((neutral - min) / (max - min)));
    output.textContent = told(Number(input.value));
    input.setAttribute("aria-valuetext", output.textContent);
  };
  paint();
  let before = Number(value);
  input.addEventListener("input", () => { paint(); live?.(Number(input.value)); });
  input.addEventListener("change", () => {
    if (Number(input.value) !== before) { before = Number(input.value); done(before); }
  });
  if (neutral !== undefined) {
    input.addEventListener("dblclick", () => { input.value = String(neutral); paint(); done(neutral); });
  }
  return h("label", { class: `slider${neutral !== undefined ? " has-neutral" : ""}`, title: hint }, h("span", { class: "slider-name" }, label), output, input);
}

export const random = () => Math.floor(Math.random() * 1e6);

/** Colour of a label's sections: hues apart by the golden angle, at equal lightness. */
export function hue(label) {
  let number = 0;
  for (const letter of label) number = number * 26 + (letter.charCodeAt(0) - 64);
  return (18 + (number - 1) * 137.508) % 360;
}
export const tint = (label, light = 68, chroma = 0.11) => `oklch(${light}% ${chroma} ${hue(label)})`;
