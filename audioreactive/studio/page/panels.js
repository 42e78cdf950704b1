// The panels beside the picture: shape, desk, palette, takes, render.

import { address } from "./connection.js";
import { $, bytes, h, icon, left, random, slider, toast } from "./ui.js";

const DEPTHS = ["coarse", "middle", "fine"];
const DEPTH_WORDS = { coarse: "form", middle: "matter", fine: "colour" };
export const FAMILIES = ["agate", "aurora", "blocks", "bubbles", "caustics", "chambers", "contours", "coral", "crystals", "dunes", "fronds", "glass", "ink", "mandala", "metal", "nebula", "neon", "opart", "paper", "planet", "ribbons", "scales", "silk", "threads"];
const times = (value) => `× ${value.toFixed(2)}`;
const percent = (value) => `${Math.round(100 * value)} %`;

/** Make a panel, keeping what has the focus and how far it is scrolled. */
function fill(panel, ...content) {
  const focus = document.activeElement?.closest?.(`#${panel.id}`) ? document.activeElement.dataset.key : null;
  const scrolled = panel.scrollTop;
  panel.replaceChildren(...content.flat().filter((item) => item !== null && item !== undefined && item !== false));
  panel.scrollTop = scrolled;
  if (focus) panel.querySelector(`[data-key="${CSS.escape(focus)}"]`)?.focus({ preventScroll: true });
}

const keyed = (element, key) => { (element.querySelector("input") ?? element).dataset.key = key; return element; };

export function shape(app) {
  const { patch, section } = app;
  const set = (label, path, value, options) => keyed(slider({
    label, value, ...options,
    live: (to) => app.attempt({ kind: "set", section, path, value: options.list ? options.list(to) : to }),
    done: (to) => app.edit({ kind: "set", section, path, value: options.list ? options.list(to) : to, label: label.toLowerCase() }),
  }), path + label);
  const turn = (label, knob, value, options) => keyed(slider({
    label, value: value ?? 0, disabled: value === null, ...options,
    live: (to) => app.attempt({ kind: "turn", section, knob, value: to }),
    done: (to) => app.edit({ kind: "turn", section, knob, value: to }),
  }), knob);
  const reach = patch.latents.reach;
  const reached = (depth) => (to) => reach.map((old, i) => (i === depth ? to : old));
  const anew = (depth) => h("button", {
    class: "quiet", "data-key": `anew-${depth}`,
    onclick: () => app.edit({ kind: "palette", section, seed: random(), depth }),
  }, depth ? `${depth}` : "all");
  const mean = (reach[0] + reach[1] + reach[2] + patch.noise.reach) / 4;
  const families = app.song.families ?? FAMILIES;
  fill($("panel-shape"),
    h("h3", {}, "Motion"),
    turn("Reaction", "reaction", patch.reaction, { min: 0, max: 2, step: 0.01, neutral: 1, format: times, hint: "How strongly sounds move the picture: the amplitude of all envelopes" }),
    turn("Size of motion", "motion", mean, { min: 0, max: 2, step: 0.01, neutral: 1, format: times, hint: "How far everything moves" }),
    set("Forms", "latents.reach", reach[0], { min: 0, max: 2, step: 0.01, neutral: 1, format: times, list: reached(0) }),
    set("Matter", "latents.reach", reach[1], { min: 0, max: 2, step: 0.01, neutral: 1, format: times, list: reached(1) }),
    set("Colours", "latents.reach", reach[2], { min: 0, max: 2, step: 0.01, neutral: 1, format: times, list: reached(2) }),
    turn("Speed", "speed", patch.speed, { min: 0.1, max: 4, step: 0.01, neutral: 1, format: times, hint: "How fast loops turn, whatever is heard" }),
    h("h3", {}, "Picture"),
    set("Grain", "noise.strength", patch.noise.strength, { min: 0, max: 4, step: 0.01, neutral: 1, format: times, hint: "Sigma of all noise: how much fine, random texture" }),
    set("Vividness", "latents.vividness", patch.latents.vividness, { min: 0, max: 1, step: 0.01, format: percent, hint: "How far pictures keep from their mean" }),
    set("Truncation", "palette.truncation", patch.palette.truncation, { min: 0, max: 1.5, step: 0.01, neutral: 1, format: (v) => v.toFixed(2), hint: "1: the whole variety; 0: the average picture" }),
    app.song.families?.length ? h("label", { class: "row" }, h("span", {}, "Family"),
      h("select", { "data-key": "family", "aria-label": "Family of pictures", onchange: (event) => app.edit({ kind: "set", section, path: "palette.family", value: event.target.value || null, label: "family" }) },
        h("option", { value: "" }, "by the first seed"), ...families.map((name) => h("option", { value: name, selected: name === patch.palette.family }, name)))) : null,
    app.song.presets?.length ? h("label", { class: "row" }, h("span", {}, "Preset"),
      h("select", { "data-key": "preset", "aria-label": "Use a preset that ships with the program", onchange: (event) => { if (event.target.value) app.edit({ kind: "preset", section, name: event.target.value }); } },
        h("option", { value: "" }, "one of twenty…"), ...app.song.presets.map((name) => h("option", { value: name }, name)))) : null,
    h("h3", {}, "Palette anew"),
    h("div", { class: "buttons", role: "group", "aria-label": "Draw the palette anew" }, ...DEPTHS.map(anew), anew(null)),
    h("p", { class: "soft small" }, "coarse: forms · middle: matter · fine: colours"),
    app.state.sections.length > 1 ? h("label", { class: "row" }, h("span", {}, "Copy from"),
      h("select", { "data-key": "copy", "aria-label": "Copy the look of another section", onchange: (event) => { if (event.target.value) app.edit({ kind: "copy", section, source: Number(event.target.value) }); } },
        h("option", { value: "" }, "another section…"), ...app.state.sections.map((other, i) => (i === section ? null : h("option", { value: String(i) }, `${i + 1} · ${other.name || other.label}`))))) : null,
  );
}

export function desk(app) {
  const { patch, section } = app;
  const strip = (half, sequence, index) => {
    const key = `${half}.${index}`, path = `${half}.sequences.${index}`;
    const found = app.envelopes.get(key);
    const solo = app.solo.has(key), locked = app.locks.has(key);
    const set = (name, value, label) => app.edit({ kind: "set", section, path: `${path}.${name}`, value, label });
    const show = (on) => () => { app.timeline.overlay = on && found ? { section, curve: found.curve } : app.pinned; app.timeline.changed(); };
    const curve = h("canvas", { width: 120, height: 26, class: "curve", "aria-hidden": "true" });
    if (found) sparkline(curve, found.curve);
    const hears = sequence.envelope?.feature;
    const features = app.song.features;
    const what = hears
      ? h("select", { class: "plain", "data-key": `${key}f`, "aria-label": `What ${key} listens to`, onchange: (event) => set("envelope.feature", event.target.value, "feature") }, ...features.map((name) => h("option", { value: name, selected: name === hears }, name)))
      : h("span", { class: "plain" }, found?.hears.split(",")[0] ?? sequence.strategy);
    const depths = h("div", { class: "depths", role: "group", "aria-label": `Depth of ${key}` }, ...DEPTHS.map((depth) => h("button", {
      class: "mini", "data-key": key + depth, "aria-pressed": String(sequence.depth.includes(depth)), title: `${depth}: ${DEPTH_WORDS[depth]}`, "aria-label": `${DEPTH_WORDS[depth]} (${depth})`,
      onclick: () => {
        const chosen = DEPTHS.filter((other) => (other === depth) !== sequence.depth.includes(other));
        if (chosen.length) set("depth", chosen, "depth"); else toast("A sub-sequence acts on at least one depth");
      },
    }, DEPTH_WORDS[depth])));
    const merge = h("select", {
      class: "plain", "data-key": `${key}m`, "aria-label": `Merge of ${key}`,
      onchange: (event) => {
        const modulate = event.target.value !== "average";
        const sequences = structuredClone(patch[half].sequences);
        sequences[index].merge = modulate ? "modulate" : "average";
        if (modulate) sequences[index].modulator = { ...(sequences[index].modulator ?? {}), feature: event.target.value };
        else delete sequences[index].modulator;
        app.edit({ kind: "set", section, path: `${half}.sequences`, value: sequences, label: "merge" });
      },
    }, h("option", { value: "average", selected: sequence.merge === "average" }, "always there"),
      ...features.filter((name) => !/(mfcc|spectral_contrast|chroma|tonnetz)$/.test(name)).map((name) => h("option", { value: name, selected: sequence.modulator?.feature === name }, `by ${name}`)));
    return h("li", { class: `strip${sequence.muted ? " muted" : ""}${solo ? " solo" : ""}`, onpointerenter: show(true), onpointerleave: show(false), onfocusin: show(true), onfocusout: show(false) },
      h("div", { class: "strip-head" },
        h("button", { class: "mini", "data-key": `${key}on`, "aria-pressed": String(Boolean(sequence.muted)), "aria-label": `Mute ${key}`, title: "Mute", onclick: () => set("muted", !sequence.muted, sequence.muted ? "on" : "off") }, "M"),
        h("button", { class: "mini", "data-key": `${key}s`, "aria-pressed": String(solo), "aria-label": `Solo ${key}`, title: "Hear with the eyes: this one alone", onclick: () => app.toggleSolo(key) }, "S"),
        h("button", { class: "mini", "data-key": `${key}l`, "aria-pressed": String(locked), "aria-label": `Keep ${key} when drawing anew`, title: "Keep when drawing anew", onclick: () => app.toggleLock(key) }, icon("M8 11V8a4 4 0 0 1 8 0v3M6.500 11h11v8h-11z")),
        what, h("button", { class: "mini remove", "data-key": `${key}x`, "aria-label": `Remove ${key}`, title: "Remove", onclick: () => app.edit({ kind: "sequence", section, half, remove: index }) }, "×")),
      h("div", { class: "strip-body" }, curve,
        keyed(slider({
          label: h("span", { class: "hidden" }, `Strength of ${key}`), min: 0, max: 2, step: 0.01, value: sequence.intensity, format: (v) => v.toFixed(2),
          live: (to) => app.attempt({ kind: "set", section, path: `${path}.intensity`, value: to }),
          done: (to) => set("intensity", to, "strength"),
        }), `${key}i`)),
      h("div", { class: "strip-foot" }, merge, depths));
  };
  const group = (half, title, hint) => [
    h("h3", {}, title, h("span", { class: "soft" }, ` ${patch[half].sequences.length}`)), h("p", { class: "soft small" }, hint),
    h("ol", { class: "strips" }, ...patch[half].sequences.map((sequence, index) => strip(half, sequence, index))),
  ];
  const size = patch.palette.seeds.length;
  const some = (count) => Array.from({ length: count }, () => Math.floor(Math.random() * size));
  const add = h("div", { class: "buttons" },
    h("button", { class: "quiet", "data-key": "add-f", onclick: () => app.edit({ kind: "sequence", section, half: "latents", add: { strategy: "feature", envelope: { feature: "hits", release: 0.3, attack: 0.05 }, vectors: some(2), depth: ["fine"], merge: "average" } }) }, "+ feature"),
    h("button", { class: "quiet", "data-key": "add-l", onclick: () => app.edit({ kind: "sequence", section, half: "latents", add: { strategy: "loop", bars: 8, vectors: some(4), depth: ["middle"], merge: "average" } }) }, "+ loop"),
    h("button", { class: "quiet", "data-key": "add-n", onclick: () => app.edit({ kind: "sequence", section, half: "noise", add: { strategy: "feature", envelope: { feature: "rms", smooth: 0.1 }, fields: [0, 1], depth: ["middle", "fine"], merge: "average" } }) }, "+ grain"),
    h("button", { class: "quiet", "data-key": "add-h", title: "Fit a motion to the song, as this section shows it: takes a minute or two", onclick: () => app.fit() }, "+ HiPPO"));
  setTimeout(() => fitting(app));
  const stems = h("div", { class: "row" }, h("span", {}, app.song.stems.length ? `Stems: ${app.song.stems.join(", ")}` : "Stems as sources"),
    h("button", { class: "quiet", "data-key": "stem", onclick: () => app.pick("stem") }, "Add a stem…"));
  fill($("panel-desk"), h("p", { class: "soft small" }, "Hover or focus a strip: its envelope is drawn over the waveform, and shows why the picture moves."),
    ...group("latents", "Motion", "what moves forms, matter and colours"), add, ...group("noise", "Grain", "what moves the fine texture"), stems);
}

/** Show how far a fit is. */
export function fitting(app) {
  const button = document.querySelector("[data-key=add-h]");
  const text = app.fitting ? "Stop fitting" : "+ HiPPO";
  if (button && button.textContent !== text) button.textContent = text;
}

function sparkline(canvas, values) {
  const context = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.beginPath();
  context.moveTo(0, canvas.height);
  values.forEach((value, i) => context.lineTo((i / Math.max(values.length - 1, 1)) * canvas.width, canvas.height - 1 - (value / 255) * (canvas.height - 3)));
  context.lineTo(canvas.width, canvas.height);
  context.fillStyle = style.getPropertyValue("--curve");
  context.fill();
}

export function palette(app) {
  const { patch, section } = app;
  const seeds = patch.palette.seeds, own = new Set(seeds);
  const set = (next, label) => app.edit({ kind: "set", section, path: "palette", value: { ...patch.palette, seeds: next, coarse: undefined, middle: undefined, fine: undefined }, label });
  const swatch = (seed, index, actions, inside) => {
    const picture = app.swatches.get(seed);
    const cell = h("li", { class: "swatch-cell", draggable: "true" },
      picture ? h("img", { src: `data:image/jpeg;base64,${picture}`, alt: `Picture of seed ${seed}`, width: "85", height: "48", draggable: "false" }) : h("span", { class: "blank", role: "img", "aria-label": `Seed ${seed}` }),
      h("span", { class: "seed" }, String(seed)), h("span", { class: "swatch-actions" }, ...actions));
    cell.addEventListener("dragstart", (event) => event.dataTransfer.setData("text/plain", JSON.stringify({ seed, index: inside ? index : -1 })));
    return cell;
  };
  const star = (seed) => h("button", { class: "mini", "data-key": `star${seed}`, "aria-pressed": String(app.state.favourites.includes(seed)), "aria-label": `Favourite ${seed}`, title: "Keep as a favourite", onclick: () => app.edit({ kind: "favourite", seed, on: !app.state.favourites.includes(seed) }) }, "★");
  const out = (seed, index) => h("button", { class: "mini", "data-key": `out${index}`, "aria-label": `Take ${seed} out`, title: "Take out", disabled: seeds.length < 2, onclick: () => set(seeds.filter((_, i) => i !== index), "palette") }, "−");
  const into = (seed) => h("button", { class: "mini", "data-key": `in${seed}`, "aria-label": `Put ${seed} in`, title: "Put into the palette", disabled: own.has(seed), onclick: () => set([...seeds, seed], "palette") }, "+");
  const drop = (list, act) => {
    list.addEventListener("dragover", (event) => { event.preventDefault(); list.classList.add("over"); });
    list.addEventListener("dragleave", () => list.classList.remove("over"));
    list.addEventListener("drop", (event) => {
      event.preventDefault();
      list.classList.remove("over");
      try { act(JSON.parse(event.dataTransfer.getData("text/plain"))); } catch { /* not one of ours */ }
    });
    return list;
  };
  const inside = drop(h("ul", { class: "swatches" }, ...seeds.map((seed, i) => swatch(seed, i, [star(seed), out(seed, i)], true))), ({ seed, index }) => { if (index < 0 && Number.isInteger(seed)) set([...seeds, seed], "palette"); });
  const outside = drop(h("ul", { class: "swatches" }, ...app.offers.map((seed, i) => swatch(seed, i, [star(seed), into(seed)], false))), ({ index }) => { if (index >= 0 && seeds.length > 1) set(seeds.filter((_, i) => i !== index), "palette"); });
  const favourites = app.state.favourites;
  fill($("panel-palette"),
    h("h3", {}, "In this section", h("span", { class: "soft" }, ` ${seeds.length}`)), inside,
    favourites.length ? [h("h3", {}, "Favourites"), h("ul", { class: "swatches" }, ...favourites.map((seed, i) => swatch(seed, i, [star(seed), into(seed)], false)))] : null,
    h("div", { class: "row" }, h("h3", {}, "More"), h("button", { class: "quiet", "data-key": "more", onclick: () => app.offerSeeds() }, "Others")), outside,
    h("form", { class: "row", onsubmit: (event) => { event.preventDefault(); const seed = Number(event.target.seed.value); if (Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32) set([...seeds, seed], "palette"); else toast("A seed is a number from 0 to 4294967295", "error"); } },
      h("label", { class: "field" }, "Seed ", h("input", { name: "seed", inputmode: "numeric", size: "10", "data-key": "seed", "aria-label": "Seed to put in" })), h("button", { class: "quiet" }, "Put in")));
}

export function takes(app) {
  const { section, state } = app;
  const name = h("input", { name: "name", maxlength: "100", placeholder: `take ${state.takes.length + 1}`, "aria-label": "Name of the take", "data-key": "take-name" });
  fill($("panel-takes"),
    h("p", { class: "soft small" }, "A take keeps this section's look under a name. Use it in any section, or hold it against what you have with A / B."),
    h("form", { class: "row", onsubmit: (event) => { event.preventDefault(); app.edit({ kind: "keep", section, name: name.value.trim() || name.placeholder }); } }, name, h("button", {}, "Keep")),
    state.takes.length ? h("ul", { class: "list" }, ...state.takes.map((take, i) => h("li", { class: "row" },
      h("label", { class: "take" }, h("input", { type: "radio", name: "b", "data-key": `b${i}`, checked: app.other === take.name, onchange: () => app.chooseOther(take.name) }), h("span", {}, take.name), h("span", { class: "soft" }, take.section ? ` from ${take.section}` : "")),
      h("span", {}, h("button", { class: "quiet", "data-key": `use${i}`, onclick: () => app.edit({ kind: "take", section, name: take.name }) }, "Use"),
        h("button", { class: "quiet", "data-key": `drop${i}`, "aria-label": `Forget ${take.name}`, onclick: () => app.edit({ kind: "drop", name: take.name }) }, "Forget"))))) : h("p", { class: "empty" }, "No takes yet."),
    h("h3", {}, "Reaction"), h("p", { class: "soft small" }, "How far above chance the motion follows the sound, in deviations; above 2 is a reaction."),
    h("button", { class: "asking", "data-key": "scores", onclick: () => app.askScores() }, "Score all sections"),
    h("h3", {}, "Flashes"), h("p", { class: "soft small" }, "Looks for more than three flashes a second, as they can hurt photosensitive viewers, before anything is rendered."),
    h("button", { class: "asking", "data-key": "flashes", onclick: () => app.askFlashes() }, "Look for flashes"), h("p", { id: "flash-word", class: "small" }, app.flashWord ?? ""));
}

const SHAPES = [["wide", "1080p", "Wide 16:9", "1920 × 1080"], ["vertical", "vertical", "Vertical 9:16", "1080 × 1920"], ["square", "square", "Square", "1080 × 1080"], ["loop", "square", "Loop, square", "ends as it begins"], ["vertical loop", "vertical", "Loop, vertical", "ends as it begins"], ["4k", "4k", "4K", "3840 × 2160"], ["small", "720p", "Small", "1280 × 720"]];
export const shaped = (id) => SHAPES.find((entry) => entry[0] === id)?.[1];
const RATES = ["24", "25", "30", "48", "50", "60"];

export function render(app) {
  const panel = $("panel-render");
  if (!panel.dataset.made) {
    panel.dataset.made = "1";
    const rate = String(app.song.fps);
    const form = h("form", { onsubmit: (event) => { event.preventDefault(); app.render(new FormData(form)); } },
      h("fieldset", {}, h("legend", {}, "Deliveries, all in one go"), ...SHAPES.map(([id, , word, detail], i) => h("label", { class: "check" }, h("input", { type: "checkbox", name: "size", value: id, checked: i === 0 }), h("span", {}, word), h("span", { class: "soft" }, detail))),
        h("label", { class: "check" }, h("span", {}, "Another size"), h("input", { name: "other", class: "other", placeholder: "2560x1440", maxlength: "20", spellcheck: false }))),
      h("label", { class: "row" }, h("span", {}, "Name"), h("input", { name: "name", value: app.song.name, maxlength: "100" })),
      app.song.folders.length > 1 ? h("label", { class: "row" }, h("span", {}, "Folder"), h("select", { name: "folder" }, ...app.song.folders.map((folder) => h("option", { value: folder }, folder)))) : null,
      h("label", { class: "row" }, h("span", {}, "Format"), h("select", { name: "format" }, ...[".mp4", ".webm", ".mov", ".mkv", ".gif"].map((format) => h("option", {}, format)))),
      h("label", { class: "row" }, h("span", {}, "Rate"), h("select", { name: "fps" }, ...[...new Set([rate, ...RATES])].map((one) => h("option", { value: one === rate ? "" : one }, `${one} fps`)))),
      h("label", { class: "row" }, h("span", {}, "Part"), h("select", { name: "part" }, h("option", { value: "song" }, "whole song"), h("option", { value: "section" }, "this section"))),
      h("label", { class: "check" }, h("input", { type: "checkbox", name: "flash_safe" }), h("span", {}, "Keep to three flashes a second")),
      h("label", { class: "check" }, h("input", { type: "checkbox", name: "draft" }), h("span", {}, "Draft"), h("span", { class: "soft" }, "small and quick")),
      h("button", { class: "primary" }, "Render"));
    panel.append(form, h("h3", {}, "Queue"), h("ul", { class: "list jobs", id: "jobs" }));
  }
  jobs(app);
}

export function jobs(app) {
  const list = $("jobs");
  if (!list) return;
  const known = new Map([...list.children].map((item) => [item.dataset.job, item]));
  const items = app.jobs.toReversed().map((job) => {
    const key = `${job.number}`, signature = JSON.stringify([job.state, job.name]);
    let item = known.get(key);
    if (!item || item.dataset.signature !== signature) {
      item = h("li", { "data-job": key, "data-signature": signature, class: `job ${job.state}` },
        h("div", { class: "row" }, h("strong", {}, job.name), h("span", { class: "soft job-word" })),
        job.state === "rendering" ? h("progress", { max: "1", value: "0", "aria-label": `Progress of ${job.name}` }) : null,
        h("p", { class: "soft small job-message" }),
        job.state === "done" ? h("video", { controls: true, preload: "metadata", src: address(`/video/${job.number}`), "aria-label": job.name }) : null,
        h("div", { class: "buttons" },
          ["waiting", "rendering"].includes(job.state) ? h("button", { class: "quiet", onclick: () => app.send({ type: "cancel", job: job.number }) }, "Cancel") : null,
          ["cancelled", "failed"].includes(job.state) ? h("button", { class: "quiet", onclick: () => app.send({ type: "resume", job: job.number }) }, "Go on") : null,
          job.state === "done" ? h("a", { class: "button quiet", href: address(`/video/${job.number}`, { download: "1" }), download: job.name }, "Download") : null));
    }
    const share = job.total ? job.done / job.total : 0;
    const bar = item.querySelector("progress");
    if (bar) bar.value = share;
    item.querySelector(".job-word").textContent = { waiting: "waiting", done: job.bytes ? bytes(job.bytes) : "done", cancelled: "cancelled, its chunks are kept", failed: "failed" }[job.state] ?? `${job.stage} ${Math.floor(100 * share)} % ${left(job.left)}`;
    item.querySelector(".job-message").textContent = job.message;
    return item;
  });
  if (!items.length) items.push(h("li", { class: "empty" }, "Nothing yet."));
  if (items.length !== list.children.length || items.some((item, i) => list.children[i] !== item)) list.replaceChildren(...items);
}
