// All that the page's parts share: the open scan, the cursor, the window, the tool, and how things are shown.

import { Bus } from "./bus.js";
import { clamp } from "./geometry.js";

export const READ_ONLY = "Read-only: another tab is drawing on this scan.";

class Bench extends Bus {
  scan = null;
  session = null;
  cursor = [0, 0, 0];
  window = { centre: 40, width: 400 };
  active = null;
  tool = "navigate";
  large = "axial";
  single = false;
  brush = { size: 10, limited: false, low: -100, high: 200, over: false };
  show = { mask: true, fill: 35, smooth: true, cross: true };

  setScan(scan) {
    this.scan = scan;
    this.emit("scan");
  }

  plane(name = this.large) {
    return this.scan?.planes[name];
  }

  /// The number of the slice that a view shows.
  slice(name = this.large) {
    return this.cursor[this.plane(name).axes[2]];
  }

  moveTo(voxel) {
    const at = voxel.map((place, axis) => clamp(Math.round(place), 0, this.scan.shape[axis] - 1));
    if (at.every((place, axis) => place === this.cursor[axis])) return;
    this.cursor = at;
    this.emit("cursor");
  }

  goTo(n, name = this.large) {
    const at = [...this.cursor];
    at[this.plane(name).axes[2]] = n;
    this.moveTo(at);
  }

  setWindow(centre, width) {
    this.window = { centre, width: Math.max(1, width) };
    this.emit("window");
  }

  choose(value) {
    this.active = value;
    this.emit("active");
  }

  setTool(tool) {
    if (tool === this.tool) return;
    const before = this.tool;
    this.tool = tool;
    this.emit("tool", before);
  }

  setBrush(change) {
    Object.assign(this.brush, change);
    this.emit("brush");
  }

  setShow(change) {
    Object.assign(this.show, change);
    this.emit("show");
  }

  setLarge(name) {
    this.large = name;
    this.emit("large");
  }

  /// Why nothing can be drawn now, in one sentence, or null.
  hindrance() {
    const label = this.scan.label(this.active);
    if (!this.scan.writer) return READ_ONLY;
    if (!this.scan.loaded) return "The mask is still loading.";
    if (this.scan.job) return "Propagation is running: stop it to draw.";
    if (this.scan.outbox.trouble) return `Not stored: ${this.scan.outbox.trouble}`;
    if (!label) return "Add a label first.";
    if (label.locked) return `${label.name} is locked: unlock it to draw.`;
    if (!label.visible || !this.show.mask) return `${label.name} is hidden: show it to draw.`;
    return null;
  }

  say(text, kind = "info") {
    this.emit("say", { text, kind });
  }
}

export const bench = new Bench();

/// Runs what a person asked for; what goes wrong is said on the page.
export async function attempt(work) {
  try {
    return await work();
  } catch (refusal) {
    bench.say(refusal.message, "error");
    return null;
  }
}
