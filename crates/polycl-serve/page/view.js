// One plane on a canvas: picture and mask below, what follows the pointer above.

import { bench } from "./bench.js";
import { clamp } from "./geometry.js";
import { maskColors, grayTable } from "./tables.js";
import { drawFurniture } from "./overlay.js";
import { outlines } from "./raster.js";

const LOWEST = -32768;

export class View {
  constructor(box, name) {
    this.box = box;
    this.name = name;
    this.below = box.querySelector(".below");
    this.above = box.querySelector(".above");
    this.picture = document.createElement("canvas");
    this.pointer = null;
    this.dirty = { picture: true, mask: true, above: true };
    new ResizeObserver(() => this.#resize()).observe(box);
  }

  setScan() {
    const plane = bench.plane(this.name);
    Object.assign(this.picture, { width: plane.width, height: plane.height });
    this.values = new Int16Array(plane.width * plane.height);
    this.labels = new bench.scan.mask.constructor(plane.width * plane.height);
    this.pixels = new ImageData(plane.width, plane.height);
    this.fit();
  }

  get plane() {
    return bench.plane(this.name);
  }

  get slice() {
    return bench.slice(this.name);
  }

  fit() {
    const { width, height, pixel } = this.plane;
    this.zoom = 1;
    this.middle = { x: width / 2, y: height / 2 };
    this.pixel = pixel;
    this.touch("picture", "above");
  }

  /// Screen pixels for one millimetre.
  get scale() {
    const { width, height } = this.plane;
    return this.zoom * Math.min(this.below.width / (width * this.pixel[0]), this.below.height / (height * this.pixel[1])) * 0.98;
  }

  toScreen(x, y) {
    const scale = this.scale;
    return {
      x: (x - this.middle.x) * this.pixel[0] * scale + this.below.width / 2,
      y: (y - this.middle.y) * this.pixel[1] * scale + this.below.height / 2,
    };
  }

  /// Place in the plane, in pixels, of a pointer event.
  toPlane(event) {
    const frame = this.above.getBoundingClientRect();
    const ratio = this.above.width / frame.width;
    const scale = this.scale;
    return {
      x: ((event.clientX - frame.left) * ratio - this.below.width / 2) / (this.pixel[0] * scale) + this.middle.x,
      y: ((event.clientY - frame.top) * ratio - this.below.height / 2) / (this.pixel[1] * scale) + this.middle.y,
    };
  }

  /// Zooms about a place that stays where it is on the screen.
  zoomBy(factor, about = this.middle) {
    const zoom = clamp(this.zoom * factor, 0.3, 40);
    const part = this.zoom / zoom;
    this.middle = { x: about.x + (this.middle.x - about.x) * part, y: about.y + (this.middle.y - about.y) * part };
    this.zoom = zoom;
    this.touch("picture", "above");
  }

  /// Brings what is under one place under another.
  panBy(from, to) {
    this.middle = { x: this.middle.x + from.x - to.x, y: this.middle.y + from.y - to.y };
    this.touch("picture", "above");
  }

  touch(...parts) {
    for (const part of parts) this.dirty[part] = true;
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.draw();
    });
  }

  draw() {
    if (!bench.scan || !this.values || !this.below.width) return;
    if (this.slice !== this.shown) this.dirty.picture = this.dirty.mask = true;
    if (this.dirty.picture || this.dirty.mask) this.#drawBelow();
    if (this.dirty.above || this.dirty.picture) drawFurniture(this);
    this.dirty = { picture: false, mask: false, above: false };
  }

  #drawBelow() {
    const { plane, slice } = this;
    const gray = this.#readPicture(slice);
    const colors = bench.show.mask && this.#readMask(slice) ? maskColors() : null;
    if (colors) this.#lay(colors.over, gray);
    this.picture.getContext("2d").putImageData(this.pixels, 0, 0);
    const context = this.below.getContext("2d", { alpha: false });
    context.fillStyle = "#000";
    context.fillRect(0, 0, this.below.width, this.below.height);
    context.imageSmoothingEnabled = bench.show.smooth;
    const from = this.toScreen(0, 0), to = this.toScreen(plane.width, plane.height);
    context.drawImage(this.picture, from.x, from.y, to.x - from.x, to.y - from.y);
    if (colors) this.#drawLines(context, colors.line, from, to);
    this.shown = slice;
  }

  #readPicture(slice) {
    const { values } = this;
    this.plane.read(bench.scan.voxels.stored, slice, values);
    this.#blacken();
    const table = grayTable();
    const gray = new Uint32Array(this.pixels.data.buffer);
    for (let at = 0; at < gray.length; at++) gray[at] = table[values[at] + 32768];
    return gray;
  }

  /// Tells if there is any label in the slice.
  #readMask(slice) {
    const { mask } = bench.scan;
    if (this.labels.constructor !== mask.constructor) this.labels = new mask.constructor(this.labels.length);
    const { labels } = this;
    this.plane.read(mask, slice, labels);
    let any = 0;
    for (let at = 0; at < labels.length; at++) any |= labels[at];
    return any > 0;
  }

  #lay(over, gray) {
    const { labels } = this;
    for (let at = 0; at < gray.length; at++) {
      const table = labels[at] && over[labels[at]];
      if (table) gray[at] = table[gray[at] & 255];
    }
  }

  /// What is not loaded yet is black.
  #blacken() {
    const { have } = bench.scan.voxels;
    const { width, height, name } = this.plane;
    if (name === "axial") return have[this.slice] || this.values.fill(LOWEST);
    for (let y = 0; y < height; y++) if (!have[height - 1 - y]) this.values.fill(LOWEST, y * width, (y + 1) * width);
  }

  #drawLines(context, colors, from, to) {
    const { width, height } = this.plane;
    const onto = new DOMMatrix([(to.x - from.x) / width, 0, 0, (to.y - from.y) / height, from.x, from.y]);
    for (const [label, path] of outlines(this.labels, width, height, colors)) {
      const line = new Path2D();
      line.addPath(path, onto);
      context.strokeStyle = colors[label];
      context.lineWidth = label === bench.active ? 2 * this.unit : 1.2 * this.unit;
      context.stroke(line);
    }
  }

  #resize() {
    this.ratio = Math.min(devicePixelRatio || 1, 2);
    this.unit = (this.ratio * parseFloat(getComputedStyle(document.documentElement).fontSize)) / 13;
    const { clientWidth, clientHeight } = this.box;
    for (const canvas of [this.below, this.above]) {
      canvas.width = Math.round(clientWidth * this.ratio);
      canvas.height = Math.round(clientHeight * this.ratio);
    }
    this.touch("picture", "above");
  }
}
