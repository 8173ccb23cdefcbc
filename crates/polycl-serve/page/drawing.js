// The panel of the drawing tools and the bar above the views.

import { bench, READ_ONLY } from "./bench.js";
import { by, make, press } from "./dom.js";
import { clearBeyond, clearSlice, copyFrom, interpolate } from "./fill.js";
import { clamp } from "./geometry.js";
import { fitAll, toggleSingle } from "./views.js";

const HINTS = {
  navigate: "Click or drag: the other views follow.",
  window: "Drag sideways for contrast, up and down for brightness.",
  pan: "Drag the picture.",
  zoom: "Drag up or down.",
  brush: "Paint. Shift erases; [ and ] change the size.",
  eraser: "Erase the active label.",
  lasso: "Draw around the organ in one go; the inside is filled. Shift removes.",
  polygon: "Click corners; a double click or Enter closes. Shift removes.",
  fill: "Click inside a closed outline.",
  box: "Drag a box around the organ: the network outlines it.",
  points: "Click on what is missing, with Shift on what is wrong.",
};

export function chooseWindow(at) {
  const one = bench.scan.windows[at];
  if (one) bench.setWindow(one.centre, one.width);
}

export function sizeBy(factor) {
  const size = bench.brush.size;
  const next = factor > 1 ? Math.max(size + 1, Math.round(size * factor)) : Math.min(size - 1, Math.round(size * factor));
  bench.setBrush({ size: clamp(next, 1, 80) });
}

export const toggleMask = () => bench.setShow({ mask: !bench.show.mask });
export const toggleCross = () => bench.setShow({ cross: !bench.show.cross });
export const toggleLimit = () => bench.setBrush({ limited: !bench.brush.limited });

export function setUpDrawing() {
  for (const button of document.querySelectorAll(".tool")) button.addEventListener("click", () => bench.setTool(button.dataset.tool));
  const number = (id, use) => by(id).addEventListener("change", () => by(id).value !== "" && use(Number(by(id).value)));
  by("preset").addEventListener("change", () => {
    chooseWindow(Number(by("preset").value));
    by("preset").blur();
  });
  for (const id of ["centre-hu", "width-hu", "low", "high"]) by(id).addEventListener("keydown", leaveField);
  number("centre-hu", (centre) => bench.setWindow(centre, bench.window.width));
  number("width-hu", (width) => bench.setWindow(bench.window.centre, width));
  by("opacity").addEventListener("input", () => bench.setShow({ fill: Number(by("opacity").value) }));
  by("mask-toggle").addEventListener("click", toggleMask);
  by("cross-toggle").addEventListener("click", toggleCross);
  by("smooth-toggle").addEventListener("click", () => bench.setShow({ smooth: !bench.show.smooth }));
  by("single-toggle").addEventListener("click", () => single());
  by("fit").addEventListener("click", fitAll);
  by("size").addEventListener("input", () => bench.setBrush({ size: Number(by("size").value) }));
  by("limited").addEventListener("change", () => bench.setBrush({ limited: by("limited").checked }));
  by("over").addEventListener("change", () => bench.setBrush({ over: by("over").checked }));
  number("low", (low) => bench.setBrush({ low }));
  number("high", (high) => bench.setBrush({ high }));
  by("copy-below").addEventListener("click", () => copyFrom(-1));
  by("copy-above").addEventListener("click", () => copyFrom(1));
  by("interpolate").addEventListener("click", interpolate);
  by("clear").addEventListener("click", clearSlice);
  by("clear-above").addEventListener("click", () => clearBeyond(1));
  by("clear-below").addEventListener("click", () => clearBeyond(-1));
  bench.on("tool", showTool);
  bench.on("session", showTool);
  bench.on("brush", showBrush);
  bench.on("show", showShow);
  bench.on("window", showWindow);
  bench.on("scan", () => {
    if (!bench.scan) return;
    by("preset").replaceChildren(make("option", { value: "", hidden: true }, "custom"), ...bench.scan.windows.map((one, at) => make("option", { value: at }, one.name)));
    by("unit").textContent = bench.scan.values.hu ? "HU" : "";
    showWindow();
    bench.scan.on("writer", showTool);
    showTool();
  });
  showTool();
  showBrush();
  showShow();
}

/// Enter takes a number and Esc takes it back; both give the keys back to the views.
function leaveField(event) {
  if (event.key === "Escape") [showWindow, showBrush].forEach((show) => show());
  if (event.key === "Escape" || event.key === "Enter") event.target.blur();
}

const CHANGES = ["copy-below", "copy-above", "interpolate", "clear", "clear-above", "clear-below"];

export function single() {
  toggleSingle();
  press(by("single-toggle"), bench.single);
}

function showTool() {
  by("tool-hint").textContent = HINTS[bench.tool];
  const networkReady = bench.session?.network?.ready ?? false;
  for (const button of document.querySelectorAll(".tool")) {
    press(button, button.dataset.tool === bench.tool);
    const looks = button.closest(".group") === document.querySelector("#tools .group");
    button.disabled = (!looks && bench.scan?.writer === false) || (["box", "points"].includes(button.dataset.tool) && !networkReady);
  }
  for (const id of CHANGES) by(id).disabled = bench.scan?.writer === false;
  if (bench.scan?.writer === false) by("tool-hint").textContent = READ_ONLY;
}

function showBrush() {
  const { size, limited, low, high, over } = bench.brush;
  by("size").value = size;
  by("size-mm").textContent = `${size} mm`;
  by("limited").checked = limited;
  by("low").value = low;
  by("high").value = high;
  by("over").checked = over;
}

function showShow() {
  by("opacity").value = bench.show.fill;
  press(by("mask-toggle"), bench.show.mask);
  press(by("cross-toggle"), bench.show.cross);
  press(by("smooth-toggle"), bench.show.smooth);
}

function showWindow() {
  const { centre, width } = bench.window;
  by("centre-hu").value = Math.round(centre);
  by("width-hu").value = Math.round(width);
  const at = bench.scan.windows.findIndex((one) => one.centre === centre && one.width === width);
  by("preset").value = at < 0 ? "" : at;
}
