// What the network is asked about one slice: a box, or points that correct what is there.

import { attempt, bench } from "./bench.js";

export const prompts = { key: "", box: null, points: [] };

function keyOf(view) {
  return `${bench.scan.id} ${view.name} ${view.slice} ${bench.active}`;
}

function freshen(view) {
  const key = keyOf(view);
  if (prompts.key !== key) Object.assign(prompts, { key, box: null, points: [] });
}

function refuse() {
  const hindrance = bench.hindrance() ?? (bench.session.network?.ready ? null : bench.session.hint ?? "No network is loaded.");
  if (hindrance) bench.say(hindrance, "error");
  return Boolean(hindrance);
}

/// Asks with the box and the points; `back` takes those away again that were refused.
function ask(view, back) {
  return attempt(async () => {
    await bench.scan.outbox.settle();
    const { box, points } = prompts;
    bench.emit("waiting", true);
    try {
      const change = await bench.scan.api.post("prompt", { label: bench.active, plane: view.name, k: view.slice, box, points, over: bench.brush.over });
      bench.scan.apply(change);
      bench.say(`Segmented with confidence ${change.predicted_iou.toFixed(2)}.`);
    } catch (refusal) {
      back();
      throw refusal;
    } finally {
      bench.emit("waiting", false);
      view.touch("above");
    }
  });
}

const pixel = (view, at) => [
  Math.min(Math.max(Math.floor(at.x), 0), view.plane.width - 1),
  Math.min(Math.max(Math.floor(at.y), 0), view.plane.height - 1),
];

export class Box {
  press(view, at) {
    if (refuse()) return;
    this.view = view;
    this.from = this.to = at;
  }

  move(view, at) {
    if (this.from) this.to = at;
  }

  release(view) {
    if (!this.from) return;
    const [x0, y0] = pixel(view, this.from), [x1, y1] = pixel(view, this.to);
    this.from = null;
    if (Math.abs(x1 - x0) < 2 || Math.abs(y1 - y0) < 2) return bench.say("Drag a box around the organ.");
    freshen(view);
    Object.assign(prompts, { box: [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)], points: [] });
    ask(view, () => (prompts.box = null));
  }

  cancel() {
    this.from = null;
    this.view?.touch("above");
  }

  draw(context, view, unit) {
    drawPrompts(context, view, unit);
    if (!this.from || view !== this.view) return;
    drawBox(context, view, unit, [this.from, this.to]);
  }
}

export class Points {
  press(view, at, event) {
    if (refuse()) return;
    freshen(view);
    const point = { at: pixel(view, at), on: !event.shiftKey && !event.altKey };
    prompts.points.push(point);
    ask(view, () => (prompts.points = prompts.points.filter((one) => one !== point)));
  }

  move() {}
  release() {}
  cancel() {}

  draw(context, view, unit) {
    drawPrompts(context, view, unit);
  }
}

function drawPrompts(context, view, unit) {
  if (!bench.scan || prompts.key !== keyOf(view)) return;
  const { box, points } = prompts;
  if (box) drawBox(context, view, unit, [{ x: box[0], y: box[1] }, { x: box[2] + 1, y: box[3] + 1 }]);
  for (const { at, on } of points) {
    const { x, y } = view.toScreen(at[0] + 0.5, at[1] + 0.5);
    context.beginPath();
    context.arc(x, y, 5 * unit, 0, 2 * Math.PI);
    context.fillStyle = on ? "#5dd879" : "#ff7b72";
    context.fill();
    context.strokeStyle = "#000";
    context.lineWidth = 1.5 * unit;
    context.stroke();
    context.beginPath();
    context.moveTo(x - 3 * unit, y);
    context.lineTo(x + 3 * unit, y);
    if (on) {
      context.moveTo(x, y - 3 * unit);
      context.lineTo(x, y + 3 * unit);
    }
    context.stroke();
  }
}

function drawBox(context, view, unit, [from, to]) {
  const a = view.toScreen(from.x, from.y), b = view.toScreen(to.x, to.y);
  for (const [color, width] of [["rgba(0,0,0,0.8)", 4], ["#ffe66b", 1.8]]) {
    context.strokeStyle = color;
    context.lineWidth = width * unit;
    context.strokeRect(a.x, a.y, b.x - a.x, b.y - a.y);
  }
}
