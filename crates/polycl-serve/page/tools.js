// The tools, and the hand that holds them: pointer, wheel and pen key over the views.

import { bench } from "./bench.js";
import { Brush } from "./brush.js";
import { Fill } from "./fill.js";
import { clamp } from "./geometry.js";
import { Navigate, Pan, WindowDrag, Zoom } from "./navigate.js";
import { Lasso, Polygon } from "./outline.js";
import { Box, Points } from "./prompt.js";

export const tools = {
  navigate: new Navigate(), window: new WindowDrag(), pan: new Pan(), zoom: new Zoom(),
  brush: new Brush(false), eraser: new Brush(true), lasso: new Lasso(), polygon: new Polygon(), fill: new Fill(),
  box: new Box(), points: new Points(),
};

const NO_KEYS = { byKey: true, shiftKey: false, altKey: false, detail: 1, clientX: 0, clientY: 0 };
let held = null;
let spaceHeld = false;

export const tool = () => tools[bench.tool];

export function holdSpace(on) {
  spaceHeld = on;
}

function toolFor(event) {
  if (event.button === 1 || spaceHeld) return tools.pan;
  if (event.button === 2) return tools.window;
  return event.button === 0 ? tool() : null;
}

export function attachPointer(view) {
  const { above } = view;
  above.addEventListener("contextmenu", (event) => event.preventDefault());
  above.addEventListener("pointerdown", (event) => {
    const chosen = toolFor(event);
    if (!bench.scan || held || !chosen) return;
    event.preventDefault();
    above.setPointerCapture(event.pointerId);
    held = { tool: chosen, view };
    view.pointer = view.mouse = view.toPlane(event);
    chosen.press(view, view.pointer, event);
    view.touch("above");
  });
  above.addEventListener("pointermove", (event) => {
    if (!bench.scan) return;
    for (const step of held?.view === view ? event.getCoalescedEvents?.() ?? [] : []) held.tool.move(view, view.toPlane(step), step);
    view.pointer = view.mouse = view.toPlane(event);
    if (held?.view === view) held.tool.move(view, view.pointer, event);
    view.touch("above");
  });
  const release = (event) => {
    if (held?.view !== view) return;
    held.tool.release(view, view.toPlane(event), event);
    held = null;
    view.touch("above");
  };
  above.addEventListener("pointerup", release);
  above.addEventListener("pointercancel", () => {
    held?.tool.cancel();
    held = null;
  });
  above.addEventListener("pointerleave", () => {
    view.pointer = view.mouse = null;
    view.touch("above");
  });
  above.addEventListener("wheel", (event) => {
    if (!bench.scan) return;
    event.preventDefault();
    if (event.ctrlKey || event.metaKey) view.zoomBy(Math.exp(-Math.sign(event.deltaY) * 0.15), view.toPlane(event));
    else bench.goTo(clamp(view.slice - Math.sign(event.deltaY), 0, view.plane.depth - 1), view.name);
  }, { passive: false });
}

/// The pen key presses and releases the tool at the crosshair of a view.
export function penKey(view, shiftKey) {
  const at = centreOf(view);
  const keys = { ...NO_KEYS, shiftKey };
  view.pointer = at;
  const drags = ["brush", "eraser", "lasso", "box"].includes(bench.tool);
  if (held) {
    held.tool.release(view, at, keys);
    held = null;
  } else {
    tool().press(view, at, keys);
    if (drags) held = { tool: tool(), view, byKey: true };
    else tool().release(view, at, keys);
  }
  view.touch("above");
}

/// Moves the crosshair within a view, and the pen with it.
export function moveCross(view, dx, dy) {
  const at = view.plane.show(bench.cursor);
  const x = clamp(at.x + dx, 0, view.plane.width - 1), y = clamp(at.y + dy, 0, view.plane.height - 1);
  bench.moveTo(view.plane.voxel(x, y, at.n));
  view.pointer = centreOf(view);
  if (held?.byKey) held.tool.move(view, view.pointer, NO_KEYS);
  view.touch("above");
}

function centreOf(view) {
  const at = view.plane.show(bench.cursor);
  return { x: at.x + 0.5, y: at.y + 0.5 };
}

/// Lets go of what is being drawn; tells if there was anything.
export function cancelTool(name = bench.tool) {
  const busy = Boolean(held) || tools[name].points?.length > 0;
  (held?.tool ?? tools[name]).cancel();
  held = null;
  return busy;
}

/// Ends what is being drawn before a person turns to something else: an open polygon is closed, the rest let go.
export function finishTool(name = bench.tool) {
  if (!held && tools[name].finish) tools[name].finish();
  else cancelTool(name);
}

export const isHeld = () => Boolean(held);
