// Lasso (drawn in one go) and polygon (corner by corner).

import { bench } from "./bench.js";
import { fillPolygon } from "./raster.js";
import { Stroke } from "./stroke.js";

const NEAR = 8;
/// The time and the way between two presses that are one double click.
const TWICE = { ms: 450, pixels: 6 };

class Outline {
  points = [];

  start(view, at, erase) {
    this.view = view;
    this.slice = view.slice;
    this.erase = erase;
    this.points = [at];
  }

  close() {
    const { view, points, slice } = this;
    if (points.length > 2) {
      const stroke = Stroke.begin({ plane: view.plane, slice }, this.erase);
      if (stroke) {
        fillPolygon(stroke.flags, view.plane, points);
        stroke.paint();
        if (!stroke.end()) bench.say("The outline holds no pixel that can be changed.");
      }
    }
    this.cancel();
  }

  cancel() {
    this.points = [];
    this.view?.touch("above");
  }

  draw(context, view, unit) {
    if (view !== this.view || !this.points.length || view.slice !== this.slice) return;
    const onto = [...this.points, ...(this.loose && view.pointer ? [view.pointer] : [])].map((p) => view.toScreen(p.x, p.y));
    for (const [color, width] of [["rgba(0,0,0,0.8)", 4], [this.erase ? "#ffb3b3" : "#ffe66b", 1.8]]) {
      context.beginPath();
      onto.forEach((p, at) => (at ? context.lineTo(p.x, p.y) : context.moveTo(p.x, p.y)));
      context.strokeStyle = color;
      context.lineWidth = width * unit;
      context.stroke();
    }
    if (!this.loose) return;
    context.fillStyle = "#ffe66b";
    for (const p of onto.slice(0, this.points.length)) context.fillRect(p.x - 3 * unit, p.y - 3 * unit, 6 * unit, 6 * unit);
  }
}

export class Lasso extends Outline {
  press(view, at, event) {
    const hindrance = bench.hindrance();
    if (hindrance) bench.say(hindrance, "error");
    else this.start(view, at, event.shiftKey);
  }

  move(view, at) {
    if (this.points.length) this.points.push(at);
  }

  release() {
    if (this.points.length) this.close();
  }
}

export class Polygon extends Outline {
  loose = true;

  press(view, at, event) {
    const twice = this.#isSecond(event);
    this.byMouse = !event.byKey;
    if (this.points.length && (view !== this.view || view.slice !== this.slice)) this.finish();
    if (!this.points.length) {
      const hindrance = bench.hindrance();
      if (hindrance) bench.say(hindrance, "error");
      else this.start(view, at, event.shiftKey);
      return;
    }
    const first = view.toScreen(this.points[0].x, this.points[0].y), here = view.toScreen(at.x, at.y);
    const closes = Math.hypot(first.x - here.x, first.y - here.y) < NEAR * view.unit;
    if (closes || twice) this.closeIfWhole();
    else this.points.push(at);
    view.touch("above");
  }

  /// True of the second press of a double click, whose first has put a corner.
  #isSecond({ byKey, timeStamp, clientX, clientY }) {
    const { last } = this;
    this.last = byKey ? null : { timeStamp, clientX, clientY };
    return Boolean(last && this.last) && timeStamp - last.timeStamp < TWICE.ms && Math.hypot(clientX - last.clientX, clientY - last.clientY) < TWICE.pixels;
  }

  closeIfWhole() {
    if (this.points.length > 2) this.close();
    else bench.say("A polygon needs three corners or more.");
  }

  /// Closes what is open, as a person would have.
  finish() {
    if (this.points.length > 2) bench.say(`The open polygon in slice ${this.slice + 1} was closed.`);
    this.close();
  }

  move() {}
  release() {}

  back() {
    this.points.pop();
    this.view.pointer = this.view.mouse ?? this.view.pointer;
    this.view.touch("above");
  }
}
