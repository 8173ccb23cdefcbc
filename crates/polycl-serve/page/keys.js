// One table of keys, which answers them and is shown on `?`.

import { attempt, bench } from "./bench.js";
import { by, make } from "./dom.js";
import { chooseWindow, single, sizeBy, toggleCross, toggleLimit, toggleMask } from "./drawing.js";
import { openExport } from "./export.js";
import { clearSlice, copyFrom, interpolate } from "./fill.js";
import { legend } from "./legend.js";
import { addLabel, rename, toggleLocked, toggleVisible } from "./labels.js";
import { goToNext, propagate, stop } from "./propagate.js";
import { focusQueue } from "./queue.js";
import { toggleReview } from "./review.js";
import { cancelTool, holdSpace, moveCross, penKey, tool } from "./tools.js";
import { fitAll, largeView } from "./views.js";
import { PLANE_NAMES } from "./geometry.js";

const move = (by) => () => bench.goTo(bench.slice() + by);
const choose = (name) => () => bench.setTool(name);

/// Steps as the server calls them, in words.
const STEPS = { clear: "clearing", remove: "removal", prompt: "outline", interpolate: "interpolation", propagate: "propagation", predict: "prediction", given: "mask from another program" };

export function step(way) {
  if (!bench.scan?.writer) return undefined;
  return attempt(async () => {
    const { scan } = bench, { state } = scan, names = new Map(scan.labels.map((label) => [label.value, label.name]));
    const change = await scan.step(way);
    const about = (change.about ?? []).map((value) => scan.label(value)?.name ?? names.get(value)).filter(Boolean).join(", ");
    const where = change.patches?.length === 1 ? ` in slice ${change.patches[0].z + 1}` : "";
    const news = state === scan.state ? "" : scan.state === "reviewed" ? " Marked as reviewed again." : state === "reviewed" ? " No longer marked as reviewed." : "";
    bench.say(`${way === "undo" ? "Undone" : "Redone"}: ${STEPS[change.what] ?? change.what}${about ? ` of ${about}` : ""}${where}.${news}`);
  });
}

/// Enter: the polygon that the mouse draws is closed; else the pen goes down and up at the crosshair.
function enter() {
  if (bench.tool === "polygon" && tool().points.length && tool().byMouse) tool().closeIfWhole();
  else penKey(largeView(), false);
}

/// To the nearest slice on one side that a person drew.
function toDrawn(side) {
  const drawn = bench.scan.drawnIn(bench.active, bench.large).filter((n) => (n - bench.slice()) * side > 0);
  if (drawn.length) bench.goTo(side > 0 ? Math.min(...drawn) : Math.max(...drawn));
  else bench.say(`No drawn slice ${side > 0 ? "above" : "below"}.`);
}

function chooseLabel(at) {
  const label = bench.scan.labels[at];
  if (label) bench.choose(label.value);
}

function escape() {
  if (!cancelTool()) stop();
}

function back() {
  const { points, back: undoCorner } = tool();
  if (points?.length && undoCorner) tool().back();
}

const nextPlane = () => bench.setLarge(PLANE_NAMES[(PLANE_NAMES.indexOf(bench.large) + 1) % 3]);
const zoom = (factor) => () => largeView().zoomBy(factor);

/// Group; then keys (as `event.key`, with the modifiers that matter before it), how they are written, what they do.
function table({ toQueue, nextScan }) {
  return [
    ["Tools", [
      ["v", "V", "Navigate: move the crosshair", choose("navigate")], ["w", "W", "Window: drag (or the right button)", choose("window")],
      ["h", "H", "Pan (or the middle button, or Space)", choose("pan")], ["z", "Z", "Zoom (or Ctrl and wheel)", choose("zoom")],
      ["b", "B", "Brush (Shift erases)", choose("brush")], ["e", "E", "Eraser", choose("eraser")], ["l", "L", "Lasso", choose("lasso")],
      ["g", "G", "Polygon: a double click or Enter closes", choose("polygon")], ["f", "F", "Fill", choose("fill")],
      ["r", "R", "Box for the network", choose("box")], ["t", "T", "Points for the network (Shift: not this)", choose("points")],
    ]],
    ["Slices", [
      ["ArrowUp", "↑", "Next slice", move(1)], ["ArrowDown", "↓", "Previous slice", move(-1)],
      ["PageUp", "Page Up", "Ten slices on", move(10)], ["PageDown", "Page Down", "Ten slices back", move(-10)],
      ["Home", "Home", "First slice", () => bench.goTo(0)], ["End", "End", "Last slice", () => bench.goTo(bench.plane().depth - 1)],
      ["ArrowRight", "→", "Next drawn slice", () => toDrawn(1)], ["ArrowLeft", "←", "Previous drawn slice", () => toDrawn(-1)],
      ["d", "D", "The slice to draw next", goToNext],
    ]],
    ["Drawing", [
      ["Shift+ArrowUp", "Shift+↑", null, () => moveCross(largeView(), 0, -1)], ["Shift+ArrowDown", "Shift+↓", null, () => moveCross(largeView(), 0, 1)],
      ["Shift+ArrowLeft", "Shift+←", null, () => moveCross(largeView(), -1, 0)], ["Shift+ArrowRight", "Shift+arrows", "Move the crosshair, and the pen with it", () => moveCross(largeView(), 1, 0)],
      ["Enter", "Enter", "Close the polygon of the mouse; else pen down and up at the crosshair", enter],
      ["Shift+Enter", "Shift+Enter", "Close the polygon; else the pen removes", () => (tool().points?.length > 2 && bench.tool === "polygon" ? tool().close() : penKey(largeView(), true))],
      ["Backspace", "Backspace", "Take back a corner of the polygon", back], ["Escape", "Esc", "Cancel what is being drawn, or stop", escape],
      ["[", "[", "Smaller brush", () => sizeBy(1 / 1.2)], ["]", "]", "Larger brush", () => sizeBy(1.2)], ["u", "U", "Only values within limits, or all", toggleLimit],
      ["c", "C", "Copy from the slice below", () => copyFrom(-1)], ["Shift+C", "Shift+C", "Copy from the slice above", () => copyFrom(1)],
      ["i", "I", "Interpolate between drawn slices", interpolate], ["Delete", "Delete", "Clear the slice", clearSlice],
      ["Control+z", "Ctrl+Z", "Undo", () => step("undo")], ["Control+y", "Ctrl+Y", "Redo", () => step("redo")], ["Control+Shift+Z", "Ctrl+Shift+Z", null, () => step("redo")],
    ]],
    ["Labels", [
      ...Array.from({ length: 9 }, (_, at) => [`${at + 1}`, "1 – 9", at ? null : "Choose a label", () => chooseLabel(at)]),
      ["a", "A", "Add a label", addLabel], ["F2", "F2", "Rename the label", () => rename()], ["j", "J", "Hide or show the label", () => toggleVisible()], ["k", "K", "Lock or unlock the label", () => toggleLocked()],
    ]],
    ["Network and review", [
      ["p", "P", "Propagate", propagate], ["s", "S", "Stop", stop], ["m", "M", "Mark reviewed, or unmark", toggleReview],
      ["n", "N", "Next scan", nextScan], ["q", "Q", "Queue", toQueue],
    ]],
    ["Display", [
      ["x", "X", "Masks on or off", toggleMask], ["Shift+X", "Shift+X", "Crosshair on or off", toggleCross], ["y", "Y", "Large view alone", single], ["o", "O", "Next plane large", nextPlane],
      ["+", "+  −", "Zoom", zoom(1.25)], ["-", "−", null, zoom(0.8)], ["0", "0", "Fit", fitAll],
      ...Array.from({ length: 6 }, (_, at) => [`Shift+Digit${at + 1}`, "Shift+1 – 6", at ? null : "Window presets", () => chooseWindow(at)]),
    ]],
  ];
}

const QUEUE_KEYS = [["/", "/", "Search", () => by("search").focus()], ["ArrowDown", "↑ ↓", "Choose a scan", focusQueue], ["Enter", "Enter", "Open it", null], ["x", "X", "Export", openExport]];

export function setUpKeys(ways) {
  const groups = table(ways);
  const onScan = new Map(groups.flatMap(([, keys]) => keys.map(([key, , , run]) => [key, run])));
  const onQueue = new Map(QUEUE_KEYS.filter(([, , , run]) => run).map(([key, , , run]) => [key, run]));
  const showHelp = () => {
    by("help").showModal();
    by("help").scrollTop = 0;
  };
  by("keys").replaceChildren(...groups.map(([name, keys]) => section(name, keys)), section("Queue", QUEUE_KEYS), make("section", {}, make("h3", {}, "Strip beside the slices"), legend()));
  by("help-open").addEventListener("click", showHelp);
  freeKeys();
  window.addEventListener("keyup", (event) => event.key === " " && holdSpace(false));
  window.addEventListener("keydown", (event) => {
    const { target } = event;
    if (event.defaultPrevented || document.querySelector("dialog[open]") || typing(event)) return;
    if (event.key === "?") return showHelp();
    const onButton = target.closest("button, input, select");
    if (onButton && ["Enter", " "].includes(event.key)) return;
    if (event.key === " " && bench.scan) return event.preventDefault(), holdSpace(true);
    const known = bench.scan ? onScan : onQueue;
    const run = known.get(nameOf(event)) ?? known.get(plainNameOf(event));
    if (!run) return;
    event.preventDefault();
    run();
  });
}

function typing({ target, key }) {
  if (target.matches("textarea, select")) return true;
  if (target.type === "range") return /^(Arrow|Page|Home|End)/.test(key);
  return target.matches("input") && !["checkbox", "radio", "color"].includes(target.type);
}

/// Gives the keys back to the views once the mouse has used a control.
function freeKeys() {
  document.addEventListener("click", ({ detail, target }) => detail && target.closest("header button, #bench button")?.blur());
  by("bench").addEventListener("change", ({ target }) => target.matches(":focus-visible") || target.blur());
}

function nameOf(event) {
  if (event.altKey) return "";
  if (event.shiftKey && !event.ctrlKey && /^Digit[1-9]$/.test(event.code)) return `Shift+${event.code}`;
  const control = event.ctrlKey || event.metaKey ? "Control+" : "";
  const named = event.key.length > 1 || control || /^[A-Z]$/.test(event.key);
  const shift = event.shiftKey && named && !["F2"].includes(event.key) ? "Shift+" : "";
  const key = event.key.length === 1 && !event.shiftKey ? event.key.toLowerCase() : event.key;
  return `${control}${shift}${key}`;
}

/// Capitals count as small letters where nothing else is meant by them.
const plainNameOf = ({ key, ctrlKey, metaKey, altKey }) => (ctrlKey || metaKey || altKey ? "" : key.length === 1 ? key.toLowerCase() : key);

function section(name, keys) {
  const shown = keys.filter(([, , words]) => words);
  return make("section", {}, make("h3", {}, name), make("dl", {}, ...shown.flatMap(([, written, words]) => [make("dt", {}, make("kbd", {}, written)), make("dd", {}, words)])));
}
