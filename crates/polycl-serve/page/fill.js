import { attempt, bench } from "./bench.js";
import { count } from "./dom.js";
import { flood } from "./raster.js";
import { runsWhere } from "./runs.js";
import { Stroke } from "./stroke.js";

/// Fills the hole, or the part of another label, under the pointer; with the limit on, the connected tissue.
export class Fill {
  press(view, at, event) {
    const x = Math.floor(at.x), y = Math.floor(at.y);
    if (!view.plane.holds(x, y)) return;
    const stroke = Stroke.begin(view, event.shiftKey);
    if (!stroke) return;
    const from = stroke.before[y * view.plane.width + x];
    const outside = beyondLimit(view, x, y);
    if (outside && !stroke.erase) return bench.say(outside, "error");
    const inside = bench.brush.limited && !stroke.erase ? (pixel) => stroke.allowed[pixel] : (pixel) => stroke.before[pixel] === from;
    const open = flood(stroke.flags, view.plane, x, y, inside);
    if (open && from === 0 && !bench.brush.limited) return bench.say("Nothing encloses this place: close the outline first.", "error");
    stroke.paint();
    if (!stroke.end()) bench.say("Nothing here can be filled.");
  }

  move() {}
  release() {}
  cancel() {}
}

/// Why the limit of values keeps a place from being filled, in one sentence.
function beyondLimit({ plane, slice }, x, y) {
  const { limited, low, high } = bench.brush;
  const value = bench.scan.voxels.value(plane.index(x, y, slice));
  if (!limited || (value >= low && value <= high)) return null;
  const unit = bench.scan.values.hu ? " HU" : "";
  return `This place has ${Math.round(value)}${unit}, and only voxels within ${low} to ${high}${unit} are filled.`;
}

/// Adds the active label of the nearest slice on one side to the slice in view.
export function copyFrom(side) {
  const plane = bench.plane(), slice = bench.slice();
  const values = new bench.scan.mask.constructor(plane.width * plane.height);
  for (let n = slice + side; n >= 0 && n < plane.depth; n += side) {
    plane.read(bench.scan.mask, n, values);
    if (!values.includes(bench.active)) continue;
    const stroke = Stroke.begin({ plane, slice });
    if (!stroke) return;
    values.forEach((value, at) => (stroke.flags[at] = value === bench.active ? 1 : 0));
    stroke.paint();
    bench.say(stroke.end("copy") ? `Copied from slice ${n + 1}.` : `Slice ${n + 1} adds nothing here.`);
    return;
  }
  bench.say(`No slice ${side < 0 ? "below" : "above"} has this label.`, "error");
}

/// Removes the active label from the slice in view.
export function clearSlice() {
  const stroke = Stroke.begin({ plane: bench.plane(), slice: bench.slice() }, true);
  if (!stroke) return;
  stroke.flags.fill(1);
  stroke.paint();
  if (!stroke.end("clear")) bench.say("This slice has nothing of the label.");
}

/// Removes the active label from every slice on one side of the slice in view, as one step.
export function clearBeyond(side) {
  const { scan, active: label } = bench;
  const hindrance = bench.hindrance();
  if (hindrance) return bench.say(hindrance, "error");
  const plane = bench.plane(), planes = [];
  const values = new scan.mask.constructor(plane.width * plane.height);
  for (let k = bench.slice() + side; k >= 0 && k < plane.depth; k += side) {
    plane.read(scan.mask, k, values);
    const clear = runsWhere(values.length, (at) => values[at] === label);
    if (clear.length) planes.push({ k, set: [], clear });
  }
  const where = side < 0 ? "below" : "above", { name } = scan.label(label);
  if (!planes.length) return bench.say(`No slice ${where} has ${name}.`);
  const edit = { plane: plane.name, label, over: false, what: "clear", planes };
  scan.paint(edit);
  scan.emit("mask");
  scan.outbox.put(edit);
  bench.say(`${name} was cleared from ${count(planes.length, "slice")} ${where}.`);
}

export function interpolate() {
  return attempt(async () => {
    const hindrance = bench.hindrance();
    if (hindrance) throw new Error(hindrance);
    await bench.scan.outbox.settle();
    const change = await bench.scan.api.post("interpolate", { label: bench.active, plane: bench.large });
    bench.scan.apply(change);
    bench.say(`Interpolated ${count(change.patches.length, "slice")}.`);
  });
}
