// The voxels of a scan: a whole volume that fills itself from the slice in view outwards.

const CHUNK = 8;
const AT_ONCE = 2;

export class Voxels {
  constructor(scan) {
    const [nx, ny, nz] = scan.shape;
    this.scan = scan;
    this.stored = new Int16Array(nx * ny * nz);
    this.have = new Uint8Array(nz);
    this.asked = new Uint8Array(nz);
    this.centre = nz >> 1;
    this.running = 0;
    this.closed = false;
  }

  get loaded() {
    return this.have.reduce((sum, one) => sum + one, 0);
  }

  value(index) {
    const { slope, intercept } = this.scan.values;
    return this.stored[index] * slope + intercept;
  }

  /// Loads the slice in view alone, then everything else, nearest first.
  async load(z) {
    this.centre = z;
    if (!this.have[z]) await this.#fetch(z, z);
    while (this.running < AT_ONCE && this.#next()) this.#work();
  }

  /// Slices about `z` come next.
  look(z) {
    this.centre = z;
    if (!this.have[z] && !this.asked[z]) this.#fetch(z, z).catch(() => {});
  }

  async #work() {
    this.running++;
    try {
      for (let range = this.#next(); range && !this.closed; range = this.#next()) await this.#fetch(...range);
    } catch (refusal) {
      if (!this.closed) this.scan.emit("trouble", refusal.message);
      await new Promise((after) => setTimeout(after, 3000));
      if (!this.closed) this.#work();
    } finally {
      this.running--;
    }
  }

  #next() {
    const nz = this.have.length;
    for (let away = 0; away < nz; away++) {
      for (const z of [this.centre + away, this.centre - away]) {
        if (z < 0 || z >= nz || this.asked[z]) continue;
        let from = z, to = z;
        const up = z >= this.centre;
        while (to - from + 1 < CHUNK) {
          const beyond = up ? to + 1 : from - 1;
          if (beyond < 0 || beyond >= nz || this.asked[beyond]) break;
          if (up) to = beyond;
          else from = beyond;
        }
        return [from, to];
      }
    }
    return null;
  }

  async #fetch(from, to) {
    this.asked.fill(1, from, to + 1);
    const { shape: [nx, ny], api } = this.scan;
    try {
      const { bytes } = await api.bytes(`volume?from=${from}&to=${to}`);
      if (this.closed) return;
      this.stored.set(new Int16Array(bytes), from * nx * ny);
      this.have.fill(1, from, to + 1);
      this.scan.emit("voxels", { from, to });
    } catch (refusal) {
      this.asked.fill(0, from, to + 1);
      throw refusal;
    }
  }
}
