import { bench } from "./bench.js";
import { by } from "./dom.js";
import { clamp } from "./geometry.js";

const SETTLED = 200;
let timer = null;
let shown = "";

export function setUpSurface() {
  const picture = by("surface-picture"), turn = by("turn");
  picture.addEventListener("load", () => found(true));
  picture.addEventListener("error", () => found(false));
  picture.addEventListener("dragstart", (event) => event.preventDefault());
  turn.addEventListener("input", show);
  let from = null;
  picture.addEventListener("pointerdown", (event) => {
    picture.setPointerCapture(event.pointerId);
    from = { x: event.clientX, turn: Number(turn.value) };
  });
  picture.addEventListener("pointermove", (event) => {
    if (!from) return;
    const step = Math.round((from.turn + (event.clientX - from.x) / 2) / 15) * 15;
    turn.value = clamp(((step + 540) % 360) - 180, -180, 180);
    show();
  });
  picture.addEventListener("pointerup", () => (from = null));
  bench.on("show", soon);
  bench.on("scan", () => {
    found(false);
    shown = "";
    if (!bench.scan) return;
    for (const name of ["history", "labels"]) bench.scan.on(name, soon);
    soon();
  });
}

function soon() {
  clearTimeout(timer);
  timer = setTimeout(show, SETTLED);
}

function found(any) {
  by("surface-picture").hidden = !any;
  by("surface-none").hidden = any;
}

function show() {
  const drawn = ({ value, visible }) => visible && bench.show.mask && /[^.s]/.test(bench.scan.slicesOf(value));
  const labels = bench.scan ? bench.scan.labels.filter(drawn) : [];
  const names = labels.map((label) => label.name).join(", ");
  by("surface-name").textContent = `3D: ${names || "no label to show"}`;
  if (!labels.length) {
    shown = "";
    return found(false);
  }
  const turn = (Number(by("turn").value) + 360) % 360;
  const link = bench.scan.api.link(`surface?labels=${labels.map((label) => label.value)}&turn=${turn}&v=${bench.scan.revision}-${labels.map((label) => label.color.slice(1)).join("")}`);
  if (link === shown) return;
  shown = link;
  by("surface-picture").alt = `Surface of ${names}, turned by ${turn} degrees`;
  by("surface-picture").src = link;
}
