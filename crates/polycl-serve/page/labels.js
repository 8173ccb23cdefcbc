// The table of labels: choose, add, rename, colour, hide, lock, remove.

import { attempt, bench } from "./bench.js";
import { choose } from "./dialogs.js";
import { by, count, icon, make } from "./dom.js";

const COLORS = ["#e6194b", "#3cb44b", "#ffe119", "#4363d8", "#f58231", "#42d4f4", "#f032e6", "#bfef45", "#fabed4", "#469990", "#dcbeff", "#9a6324"];
let renaming = null;

export function setUpLabels() {
  by("add-label").addEventListener("click", addLabel);
  bench.on("scan", () => {
    if (!bench.scan) return;
    renaming = null;
    const first = bench.scan.labels[0]?.value ?? null;
    if (!bench.scan.label(bench.active)) bench.choose(first);
    bench.scan.on("labels", () => (bench.scan.label(bench.active) ? show() : bench.choose(bench.scan.labels[0]?.value ?? null)));
    bench.scan.on("writer", show);
    show();
  });
  bench.on("active", show);
}

export const activeLabel = () => bench.scan?.label(bench.active);

function change(value, what) {
  return save(bench.scan.labels.map((label) => (label.value === value ? { ...label, ...what } : label)));
}

function save(labels) {
  return attempt(async () => {
    await bench.scan.outbox.settle();
    await bench.scan.setLabels(labels);
    return true;
  });
}

export async function addLabel() {
  const { labels } = bench.scan;
  const names = new Set(labels.map((label) => label.name));
  const organ = bench.session.organs.find((name) => !names.has(name));
  let number = labels.length + 1;
  while (names.has(`label ${number}`)) number++;
  const known = new Set(labels.map((label) => label.value));
  const color = COLORS.find((one) => labels.every((label) => label.color !== one)) ?? COLORS[labels.length % COLORS.length];
  const added = { value: null, name: organ ?? `label ${number}`, color, visible: true, locked: false, window: null };
  if (!(await save([...labels, added]))) return;
  const value = bench.scan.labels.find((label) => !known.has(label.value))?.value;
  renaming = value ?? null;
  if (bench.tool === "navigate") bench.setTool("lasso");
  bench.choose(value);
}

export function toggleVisible(value = bench.active) {
  const label = bench.scan.label(value);
  if (label) change(value, { visible: !label.visible });
}

export function toggleLocked(value = bench.active) {
  const label = bench.scan.label(value);
  if (label) change(value, { locked: !label.locked });
}

export function rename(value = bench.active) {
  renaming = value;
  show();
}

async function remove(value) {
  const { scan } = bench, { name } = scan.label(value);
  const pixels = scan.shape[0] * scan.shape[1], slices = new Set();
  scan.mask.forEach((own, at) => own === value && slices.add(Math.floor(at / pixels)));
  if (slices.size) {
    const text = `${name} is drawn in ${count(slices.size, "slice")}, which lose it. Undo brings it back.`;
    if ((await choose(`Remove ${name}?`, text, [["", "Cancel"], ["remove", "Clear it and remove it"]])) !== "remove") return;
  }
  await attempt(async () => {
    await scan.remove(value);
    bench.choose(scan.labels[0]?.value ?? null);
    bench.say(`${name} was removed. Undo brings it back.`);
  });
}

function show() {
  const list = by("labels");
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  list.replaceChildren(...bench.scan.labels.map(row));
  by("add-label").disabled = !bench.scan.writer;
  if (!bench.scan.labels.length) list.append(make("li", { class: "soft" }, "No label yet: add one to draw."));
  list.querySelector(".name")?.focus();
  list.querySelector(".name")?.select();
  if (focused) list.querySelector(`[data-key="${focused}"]`)?.focus();
  list.querySelector(".active")?.scrollIntoView({ block: "nearest" });
}

function row(label, at) {
  const { value, name, color, visible, locked } = label;
  const active = value === bench.active;
  const disabled = !bench.scan.writer;
  const swatch = make("input", { type: "color", value: color, disabled, "aria-label": `Colour of ${name}`, onchange: (event) => change(value, { color: event.target.value }) });
  const key = at < 9 ? ` (${at + 1})` : "";
  const choice = make("button", { class: "choose", "data-key": `choose-${value}`, "aria-pressed": active, title: `${name}, value ${value}${key}`, onclick: () => bench.choose(value), ondblclick: () => rename(value) }, name);
  const toggle = (on, shape, words, run, extra = {}) => make("button", { class: "icon", "data-key": `${words}-${value}`, title: words, "aria-label": `${words}: ${name}`, disabled, onclick: run, ...extra }, icon(shape));
  const item = make("li", { class: active ? "active" : "" }, swatch, renaming === value ? nameField(label) : choice);
  if (active && renaming !== value) item.append(toggle(false, "pen", "Rename", () => rename(value)));
  if (active && renaming !== value) item.append(toggle(false, "bin", "Remove", () => remove(value)));
  item.append(toggle(visible, visible ? "eye" : "hidden", visible ? "Hide" : "Show", () => toggleVisible(value)));
  item.append(toggle(locked, locked ? "locked" : "unlocked", locked ? "Unlock" : "Lock", () => toggleLocked(value), { "aria-pressed": locked }));
  return item;
}

function nameField(label) {
  const end = (keep) => {
    if (renaming !== label.value) return;
    renaming = null;
    const name = field.value.trim();
    if (keep && name && name !== label.name) change(label.value, { name });
    else show();
  };
  const field = make("input", {
    class: "name", value: label.name, maxlength: 80, "aria-label": `Name of ${label.name}`,
    onblur: () => end(true),
    onkeydown: (event) => {
      if (event.key === "Enter") end(true);
      if (event.key === "Escape") end(false);
    },
  });
  return field;
}
