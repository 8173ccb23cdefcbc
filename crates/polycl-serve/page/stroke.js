// A change of one plane while it is made: painted into the mask at once, sent as one edit at the end.

import { bench } from "./bench.js";
import { runsWhere } from "./runs.js";

/// Why a brush that is limited to some values cannot paint in a slice yet, or null.
function unread({ plane, slice }) {
  if (!bench.brush.limited) return null;
  const { have } = bench.scan.voxels;
  const whole = plane.name === "axial" ? have[slice] : have.every(Boolean);
  return whole ? null : "The scan is still loading: a limited brush needs its values.";
}

export class Stroke {
  /// Starts a stroke in the slice that a view shows, or says why not.
  static begin(view, erase = false) {
    const hindrance = bench.hindrance() ?? (erase ? null : unread(view));
    if (hindrance) {
      bench.say(hindrance, "error");
      return null;
    }
    return new Stroke(view.plane, view.slice, erase);
  }

  constructor(plane, slice, erase) {
    this.plane = plane;
    this.slice = slice;
    this.label = bench.active;
    this.erase = erase;
    this.mask = bench.scan.mask;
    const size = plane.width * plane.height;
    this.before = plane.read(this.mask, slice, new this.mask.constructor(size));
    this.flags = new Uint8Array(size);
    this.allowed = this.#allowed();
  }

  /// Paints what is flagged where that is allowed.
  paint() {
    const { plane, flags, allowed, before, mask } = this;
    const value = this.erase ? 0 : this.label;
    let row = plane.start(this.slice);
    for (let y = 0, at = 0; y < plane.height; y++, row += plane.stepY) {
      for (let x = 0, voxel = row; x < plane.width; x++, voxel += plane.stepX, at++) {
        mask[voxel] = flags[at] && allowed[at] ? value : before[at];
      }
    }
    bench.scan.emit("mask", { plane: plane.name });
  }

  cancel() {
    this.flags.fill(0);
    this.paint();
    bench.scan.emit("mask");
  }

  /// Hands the change to the outbox; tells if there was any.
  end(what = "stroke") {
    const { flags, allowed, before, label } = this;
    const changed = (at) => flags[at] && allowed[at];
    const runs = this.erase
      ? runsWhere(flags.length, (at) => changed(at) && before[at] === label)
      : runsWhere(flags.length, (at) => changed(at) && before[at] !== label);
    bench.scan.emit("mask");
    if (!runs.length) return false;
    const change = this.erase ? { k: this.slice, set: [], clear: runs } : { k: this.slice, set: runs, clear: [] };
    bench.scan.outbox.put({ plane: this.plane.name, label, over: bench.brush.over, what, planes: [change] });
    bench.emit("drawn", { plane: this.plane.name, slice: this.slice });
    return true;
  }

  #allowed() {
    const { plane, before, label, erase } = this;
    const { limited, low, high, over } = bench.brush;
    const locked = new Set(bench.scan.labels.filter((one) => one.locked).map((one) => one.value));
    const { voxels } = bench.scan;
    const stored = limited ? plane.read(voxels.stored, this.slice, new Int16Array(before.length)) : null;
    const { slope, intercept } = bench.scan.values;
    return Uint8Array.from(before, (now, at) => {
      if (erase) return now === label ? 1 : 0;
      if (stored) {
        const value = stored[at] * slope + intercept;
        if (value < low || value > high) return 0;
      }
      return now === 0 || now === label || (over && !locked.has(now)) ? 1 : 0;
    });
  }
}
