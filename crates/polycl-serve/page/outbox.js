// Edits on their way to the disk, one after the other. An edit that was not acknowledged stays here, over a reload too.

import { Bus } from "./bus.js";

const AGAIN_AFTER = 4000;
/// Answers after which the same edit may be sent again: none, a stranger's, a failure.
const passes = ({ status }) => status === 0 || status === 401 || status >= 500;

export class Outbox extends Bus {
  constructor(scan) {
    super();
    this.scan = scan;
    this.key = `outbox-${scan.id}`;
    const kept = JSON.parse(sessionStorage.getItem(this.key) ?? "[]").filter((edit) => edit.seq > scan.lastSeq);
    this.waiting = kept.map((edit) => ({ ...edit, quiet: false }));
    this.seq = this.waiting.at(-1)?.seq ?? scan.lastSeq;
    this.sending = false;
    this.trouble = null;
    this.closed = false;
  }

  get state() {
    if (this.trouble) return "held";
    return this.waiting.length ? "storing" : "stored";
  }

  put(edit) {
    this.seq++;
    this.waiting.push({ seq: this.seq, quiet: true, ...edit });
    this.#keep();
    this.send();
  }

  async send() {
    if (this.sending || this.closed || !this.waiting.length) return;
    this.sending = true;
    clearTimeout(this.timer);
    while (this.waiting.length && !this.closed) {
      try {
        const change = await this.scan.api.post("edits", this.waiting[0]);
        this.waiting.shift();
        this.trouble = null;
        this.#keep();
        this.scan.apply(change);
      } catch (refusal) {
        this.#refused(refusal);
        break;
      }
    }
    this.sending = false;
    this.emit("state");
    // Others may have drawn while this tab was cut off.
    if (this.scan.missed && !this.waiting.length && !this.closed) this.scan.reloadMask().catch(() => {});
  }

  #refused(refusal) {
    if (passes(refusal)) {
      this.trouble = refusal.message;
      this.timer = setTimeout(() => this.send(), AGAIN_AFTER);
    } else {
      this.scan.emit("trouble", refusal.message);
      this.drop().catch(() => {});
    }
  }

  /// Forgets what was not stored and shows what the server has.
  async drop() {
    clearTimeout(this.timer);
    this.waiting = [];
    this.trouble = null;
    this.#keep();
    await this.scan.reloadMask();
  }

  /// Resolves once everything is stored; fails where it cannot be.
  async settle() {
    while (this.waiting.length) {
      if (this.trouble || this.closed) throw new Error(this.trouble ?? "The scan was closed.");
      await new Promise((after) => setTimeout(after, 20));
    }
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
  }

  #keep() {
    try {
      if (this.waiting.length) sessionStorage.setItem(this.key, JSON.stringify(this.waiting));
      else sessionStorage.removeItem(this.key);
    } catch {
      sessionStorage.removeItem(this.key);
    }
    this.emit("state");
  }
}
