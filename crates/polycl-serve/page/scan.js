// One open scan: its geometry, its voxels, its mask, and all that the server says of them.

import { listen, scanApi, tab } from "./api.js";
import { Bus } from "./bus.js";
import { planesOf } from "./geometry.js";
import { Outbox } from "./outbox.js";
import { preview } from "./preview.js";
import { fromBase64, unpack } from "./runs.js";
import { Voxels } from "./voxels.js";

export class Scan extends Bus {
  static async open(id, take = false) {
    const scan = new Scan(id);
    scan.#learn(await scan.api.post("open", { take }));
    scan.planes = planesOf(scan.shape, scan.spacing);
    scan.voxels = new Voxels(scan);
    scan.outbox = new Outbox(scan);
    scan.mask = scan.#emptyMask();
    return scan;
  }

  constructor(id) {
    super();
    this.id = id;
    this.api = scanApi(id);
    this.previewed = new Set();
    /// Planes that the propagation at work has found.
    this.found = new Set();
    [this.job, this.loaded, this.missed] = [null, false, false];
  }

  /// Loads the mask, then listens to the server; what it says is told on as events of this scan.
  async start() {
    await this.#loadMask();
    this.#tellAll();
    if (this.voxels.closed) return;
    this.hush = listen(this.id, (name, data) => this.#hear(name, data));
    this.outbox.send();
  }

  /// Stores what is on its way, and gives the scan back.
  async close() {
    this.hush?.();
    this.voxels.closed = true;
    for (const bus of [this, this.outbox]) bus.mute();
    await this.outbox.settle().catch(() => {});
    this.outbox.close();
    await this.api.post("close").catch(() => {});
  }

  /// Gives the scan back as the page goes away.
  leave() {
    if (this.writer && !this.outbox.waiting.length) this.api.leave();
  }

  async takeOver() {
    this.#learn(await this.api.post("open", { take: true }));
    await this.#loadMask();
    this.emit("writer");
    this.#tellAll();
  }

  label(value) {
    return this.labels.find((label) => label.value === value);
  }

  /// Letters of a label, one for each axial slice (API.md).
  slicesOf(value) {
    return this.slices[value] ?? "";
  }

  /// Numbers of the planes of one kind that a person drew or edited for a label.
  drawnIn(value, plane) {
    if (plane !== "axial") return this.planesDrawn[value]?.[plane] ?? [];
    return Array.from(this.slicesOf(value)).flatMap((letter, z) => ("deb".includes(letter) ? [z] : []));
  }

  apply(change) {
    if (change.revision < this.revision && change.patches?.length) return this.reloadMask();
    const [nx, ny] = this.shape;
    for (const { z, runs } of change.patches ?? []) {
      unpack(fromBase64(runs), this.mask, z * nx * ny);
      this.previewed.delete(z);
    }
    this.revision = change.revision;
    this.undoable = change.undo;
    this.redoable = change.redo;
    this.slices = change.slices;
    this.planesDrawn = change.planes;
    this.confidence = change.confidence;
    if (change.labels && JSON.stringify(change.labels) !== JSON.stringify(this.labels)) this.#relabel(change.labels);
    if (change.state) this.know(change);
    if (change.patches?.length) this.emit("mask");
    this.emit("slices");
    this.emit("history");
  }

  async step(way) {
    await this.outbox.settle();
    const change = await this.api.post(way);
    return this.apply(change), change;
  }

  /// Takes a label out of the table, with all its pixels.
  async remove(label) {
    await this.outbox.settle();
    this.apply(await this.api.post("remove", { label }));
  }

  /// Learns how far the scan is; tells where it is no longer reviewed.
  know({ state, who, when }) {
    const taken = this.state === "reviewed" && state !== "reviewed";
    Object.assign(this, { state, who, when });
    this.emit("review");
    if (taken) this.emit("unreviewed");
  }

  async reloadMask() {
    this.#learn(await this.api.get());
    await this.#loadMask();
    this.missed = false;
    this.#tellAll();
  }

  async setLabels(labels) {
    const said = await this.api.post("labels", { labels });
    for (const name of ["labels", "slices", "revision"]) this[name] = said[name];
    this.emit("labels");
    this.emit("slices");
  }

  #learn(said) {
    for (const name of ["name", "shape", "spacing", "file", "values", "windows", "labels", "slices", "confidence"]) this[name] = said[name];
    for (const name of ["revision", "note", "state", "who", "when", "writer", "odd", "turned", "job"]) this[name] = said[name];
    const numbers = said.world.flat();
    this.world = [0, 1, 2].map((row) => numbers.slice(4 * row, 4 * row + 4));
    this.planesDrawn = said.planes;
    this.undoable = said.undo;
    this.redoable = said.redo;
    this.lastSeq = said.last_seq;
  }

  async #loadMask() {
    const { bytes, revision } = await this.api.bytes("mask");
    this.mask = this.#emptyMask();
    unpack(bytes, this.mask);
    for (const edit of this.outbox.waiting) this.paint(edit);
    this.loaded = true;
    this.revision = revision || this.revision;
    this.previewed.clear();
  }

  /// Shows an edit that the server does not have yet.
  paint({ plane: name, label, planes }) {
    const plane = this.planes[name];
    const each = (k, runs, paint) => {
      for (const [start, length] of runs) {
        for (let at = start; at < start + length; at++) paint(plane.index(at % plane.width, Math.floor(at / plane.width), k));
      }
    };
    for (const { k, set, clear } of planes) {
      each(k, clear, (voxel) => (this.mask[voxel] = this.mask[voxel] === label ? 0 : this.mask[voxel]));
      each(k, set, (voxel) => (this.mask[voxel] = label));
    }
  }

  #emptyMask() {
    const [nx, ny, nz] = this.shape;
    const wide = this.labels.some((label) => label.value > 255);
    return wide ? new Uint16Array(nx * ny * nz) : new Uint8Array(nx * ny * nz);
  }

  #tellAll() {
    for (const name of ["mask", "labels", "slices", "history", "job"]) this.emit(name);
  }

  #hear(name, data) {
    if (data?.scan && data.scan !== this.id) return;
    const heard = {
      hello: () => this.#resume(data),
      change: () => (data.tab === tab ? null : this.apply(data)),
      found: () => preview(this, data),
      progress: () => this.#progress(data),
      job: () => this.#ended(data),
      writer: () => this.#writes(data.tab === tab),
      labels: () => this.#relabel(data.labels),
    }[name];
    heard?.();
    this.emit(`server-${name}`, data);
  }

  /// Goes on after the connection was lost. A server that was started anew has no job, and the scan not open.
  async #resume({ revision }) {
    // Who sits here is told first: what waits is stored under that name.
    await this.greet?.().catch(() => {});
    if (revision === this.revision) return this.outbox.send();
    const wasGone = revision === null;
    try {
      if (wasGone) this.#learn(await (this.writer ? this.api.post("open") : this.api.get()));
      this.outbox.send();
      await this.outbox.settle();
      await this.reloadMask();
      if (wasGone) this.emit("writer");
    } catch {
      // What waits is told of, and sent again; then, or in a while, the mask is loaded.
      this.missed = true;
      if (!this.outbox.waiting.length && !this.outbox.closed) setTimeout(() => this.missed && this.#resume({ revision }), 4000);
    }
  }

  #relabel(labels) {
    this.labels = labels;
    this.emit("labels");
  }

  #writes(mine) {
    if (mine !== this.writer) this.writer = mine, this.emit("writer");
  }

  #progress(job) {
    if (!this.job) this.found.clear();
    this.job = job;
    this.emit("job");
  }

  async #ended({ error }) {
    this.job = null;
    this.emit("job");
    if (error) this.emit("trouble", error);
    if (this.previewed.size) await this.reloadMask();
  }
}
