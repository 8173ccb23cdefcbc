// The panel of the drawing tools and the bar above the views.

import { bench } from "./bench.js";
import { by, make, press } from "./dom.js";
import { clearSlice, copyFrom, interpolate } from "./fill.js";
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
  polygon: "Click corners; the first corner or a double click closes. Shift removes.",
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
  by("preset").addEventListener("change", () => chooseWindow(Number(by("preset").value)));
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
  bench.on("tool", showTool);
  bench.on("brush", showBrush);
  bench.on("show", showShow);
  bench.on("window", showWindow);
  bench.on("scan", () => {
    if (!bench.scan) return;
    by("preset").replaceChildren(make("option", { value: "", hidden: true }, "own"), ...bench.scan.windows.map((one, at) => make("option", { value: at }, one.name)));
    by("unit").textContent = bench.scan.values.hu ? "HU" : "";
    showWindow();
    bench.scan.on("writer", showTool);
    showTool();
  });
  showTool();
  showBrush();
  showShow();
}

export function single() {
  toggleSingle();
  press(by("single-toggle"), bench.single);
}

function showTool() {
  by("tool-hint").textContent = HINTS[bench.tool];
  const networkReady = bench.session?.network?.ready ?? false;
  for (const button of document.querySelectorAll(".tool")) {
    press(button, button.dataset.tool === bench.tool);
    if (["box", "points"].includes(button.dataset.tool)) button.disabled = !networkReady;
  }
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
