import { bench } from "./bench.js";
import { sweepDisc } from "./raster.js";
import { Stroke } from "./stroke.js";

export class Brush {
  constructor(erase) {
    this.erase = erase;
  }

  press(view, at, event) {
    this.stroke = Stroke.begin(view, this.erase || event.shiftKey);
    this.last = at;
    this.move(view, at);
  }

  move(view, at) {
    if (!this.stroke) return;
    sweepDisc(this.stroke.flags, view.plane, this.last, at, bench.brush.size / 2);
    this.last = at;
    this.stroke.paint();
  }

  release() {
    this.stroke?.end();
    this.stroke = null;
  }

  cancel() {
    this.stroke?.cancel();
    this.stroke = null;
  }

  draw(context, view, unit) {
    const at = view.pointer;
    if (!at) return;
    const { x, y } = view.toScreen(at.x, at.y);
    const radius = Math.max((bench.brush.size / 2) * view.scale, 2 * unit);
    for (const [color, width] of [["rgba(0,0,0,0.8)", 3], [this.erase ? "#ffb3b3" : "#ffffff", 1.4]]) {
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.strokeStyle = color;
      context.lineWidth = width * unit;
      context.setLineDash(this.erase ? [5 * unit, 4 * unit] : []);
      context.stroke();
    }
    context.setLineDash([]);
  }
}
