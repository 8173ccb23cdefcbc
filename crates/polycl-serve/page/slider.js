// The slices of the large view from top to bottom: where the active label is, who made it, how sure the network is.

import { bench } from "./bench.js";
import { by } from "./dom.js";
import { clamp } from "./geometry.js";
import { nextSlice } from "./propagate.js";

const WORDS = { d: "drawn", e: "edited", c: "partly drawn", b: "the network's, by a box", k: "copied", v: "viewed", p: "not yet viewed" };
/// Colours that stand for themselves, where those of the same meaning for words would be too dark.
const BARS = { good: "good-bar", warn: "warn-bar", bad: "bad-bar" };
let frame = null;
let bars = null;

export function setUpSlider() {
  const track = by("track");
  const go = (event) => {
    const { top, height } = track.getBoundingClientRect();
    const { depth } = bench.plane();
    bench.goTo(clamp(Math.floor((1 - (event.clientY - top) / height) * depth), 0, depth - 1));
  };
  track.addEventListener("pointerdown", (event) => {
    track.setPointerCapture(event.pointerId);
    go(event);
  });
  track.addEventListener("pointermove", (event) => track.hasPointerCapture(event.pointerId) && go(event));
  track.addEventListener("wheel", (event) => bench.goTo(clamp(bench.slice() - Math.sign(event.deltaY), 0, bench.plane().depth - 1)));
  new ResizeObserver(renew).observe(track);
  bench.on("cursor", touch);
  for (const name of ["large", "active", "theme"]) bench.on(name, renew);
  bench.on("scan", () => {
    if (!bench.scan) return;
    for (const name of ["slices", "labels", "voxels"]) bench.scan.on(name, renew);
    renew();
  });
}

function renew() {
  bars = null;
  touch();
}

function touch() {
  frame ??= requestAnimationFrame(() => {
    frame = null;
    if (bench.scan) draw();
  });
}

/// One letter for each slice of the large view, as in API.md.
function letters(plane) {
  if (plane.name === "axial") return bench.scan.slicesOf(bench.active);
  const drawn = new Set(bench.scan.drawnIn(bench.active, plane.name));
  return Array.from({ length: plane.depth }, (_, n) => (drawn.has(n) ? "d" : ".")).join("");
}

function draw() {
  const canvas = by("track").firstElementChild;
  const ratio = Math.min(devicePixelRatio || 1, 2);
  const plane = bench.plane(), slice = bench.slice();
  const known = bench.scan.confidence[bench.active];
  const seen = letters(plane), sure = known?.plane === plane.name ? known.values : [];
  bars ??= drawBars(canvas, ratio, plane, seen, sure);
  const { width, height, color, unit } = bars;
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  context.drawImage(bars.picture, 0, 0);
  here(context, slice, height - ((slice + 0.5) * height) / plane.depth, width, height, unit, color);
  describe(plane, slice, seen[slice], sure[slice]);
}

/// What changes only with the mask, once for many places of the cursor.
function drawBars(canvas, ratio, plane, seen, sure) {
  const width = (canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio)));
  const height = (canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio)));
  const picture = Object.assign(document.createElement("canvas"), { width, height });
  const context = picture.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  const unit = (ratio * parseFloat(style.fontSize)) / 13;
  const color = Object.fromEntries(["accent", "seen", "unseen", "good", "warn", "bad", "raised", "line", "edge", "text", "panel"].map((name) => [name, style.getPropertyValue(`--${BARS[name] ?? name}`)]));
  const marks = { d: color.accent, e: color.accent, c: color.accent, b: color.accent, k: color.accent, v: color.seen, p: color.unseen };
  const step = height / plane.depth;
  const strip = width * 0.2, start = strip + 4 * ratio, room = width - start;
  const tall = Math.max(step - (step > 4 ? 1 : 0), 1);
  for (let n = 0; n < plane.depth; n++) {
    const top = height - (n + 1) * step;
    const bar = (fill, x, length) => {
      context.fillStyle = fill;
      context.fillRect(x, top, length, tall);
    };
    bar(color.raised, start, room);
    if (marks[seen[n]]) bar(marks[seen[n]], 0, "deb".includes(seen[n]) ? strip : strip / 2);
    if (typeof sure[n] === "number") bar(sure[n] >= 0.85 ? color.good : sure[n] >= 0.6 ? color.warn : color.bad, start, Math.max(room * sure[n], 2));
    else if (bench.scan.previewed.has(n) && bench.scan.job?.plane === plane.name) bar(color.edge, start, room / 4);
    if (plane.name === "axial" && !bench.scan.voxels.have[n]) bar(color.line, width - 2 * ratio, 2 * ratio);
  }
  const next = nextSlice();
  if (next?.plane === plane.name) pointer(context, height - (next.n + 0.5) * step, width, unit, color.warn);
  return { picture, width, height, color, unit };
}

function pointer(context, y, width, unit, color) {
  context.fillStyle = color;
  context.strokeStyle = "#000";
  context.beginPath();
  context.moveTo(width - 16 * unit, y);
  context.lineTo(width, y - 7 * unit);
  context.lineTo(width, y + 7 * unit);
  context.closePath();
  context.fill();
  context.stroke();
}

function here(context, slice, y, width, height, unit, color) {
  const tall = 18 * unit, top = clamp(y - tall / 2, 0, height - tall);
  context.fillStyle = color.text;
  context.fillRect(0, y - unit, width, 2 * unit);
  context.fillRect(width * 0.22, top, width * 0.6, tall);
  context.fillStyle = color.panel;
  context.font = `600 ${12 * unit}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(slice + 1, width * 0.52, top + tall / 2);
}

function describe(plane, slice, letter, sure) {
  const track = by("track");
  const parts = [`${plane.name} slice ${slice + 1} of ${plane.depth}`];
  if (WORDS[letter]) parts.push(WORDS[letter]);
  if (typeof sure === "number") parts.push(`confidence ${sure.toFixed(2)}`);
  track.setAttribute("aria-valuemin", 1);
  track.setAttribute("aria-valuemax", plane.depth);
  track.setAttribute("aria-valuenow", slice + 1);
  track.setAttribute("aria-valuetext", parts.join(", "));
  track.title = parts.join(", ");
}
