// Voxels lie in canonical order: i to the patient's left, j to the back, k to the head.
// A plane's picture has x to the right and y down the screen, in pixels, as radiologists are used to see it.

const KINDS = {
  axial: { axes: [0, 1, 2], up: false, letters: { left: "R", right: "L", top: "A", bottom: "P" } },
  coronal: { axes: [0, 2, 1], up: true, letters: { left: "R", right: "L", top: "H", bottom: "F" } },
  sagittal: { axes: [1, 2, 0], up: true, letters: { left: "A", right: "P", top: "H", bottom: "F" } },
};

export const PLANE_NAMES = Object.keys(KINDS);

export class Plane {
  constructor(name, shape, spacing) {
    const { axes, up, letters } = KINDS[name];
    const stride = [1, shape[0], shape[0] * shape[1]];
    const [x, y, z] = axes;
    Object.assign(this, { name, axes, up, letters });
    this.width = shape[x];
    this.height = shape[y];
    this.depth = shape[z];
    this.pixel = [spacing[x], spacing[y]];
    this.thickness = spacing[z];
    this.stepX = stride[x];
    this.stepY = up ? -stride[y] : stride[y];
    this.stepZ = stride[z];
    this.origin = up ? (this.height - 1) * stride[y] : 0;
  }

  /// The index of the voxel of slice n whose picture starts at the upper left.
  start(n) {
    return this.origin + n * this.stepZ;
  }

  index(x, y, n) {
    return this.start(n) + x * this.stepX + y * this.stepY;
  }

  voxel(x, y, n) {
    const voxel = [0, 0, 0];
    voxel[this.axes[0]] = x;
    voxel[this.axes[1]] = this.up ? this.height - 1 - y : y;
    voxel[this.axes[2]] = n;
    return voxel;
  }

  /// The pixel and slice that show a voxel.
  show(voxel) {
    const y = voxel[this.axes[1]];
    return { x: voxel[this.axes[0]], y: this.up ? this.height - 1 - y : y, n: voxel[this.axes[2]] };
  }

  holds(x, y) {
    return x >= 0 && y >= 0 && x < this.width && y < this.height;
  }

  /// Copies slice n of a volume, row by row.
  read(voxels, n, into) {
    const { width, height, stepX, stepY } = this;
    let row = this.start(n);
    if (stepX === 1) {
      for (let y = 0; y < height; y++, row += stepY) into.set(voxels.subarray(row, row + width), y * width);
      return into;
    }
    for (let y = 0, at = 0; y < height; y++, row += stepY) {
      for (let x = 0, from = row; x < width; x++, from += stepX) into[at++] = voxels[from];
    }
    return into;
  }
}

export function planesOf(shape, spacing) {
  return Object.fromEntries(PLANE_NAMES.map((name) => [name, new Plane(name, shape, spacing)]));
}

/// World millimetres (RAS+) of a voxel's centre; `rows` is the 4×4 matrix world_from_voxel by rows.
export function worldOf(rows, [i, j, k]) {
  return [0, 1, 2].map((r) => rows[r][0] * i + rows[r][1] * j + rows[r][2] * k + rows[r][3]);
}

export function placeInWords(world) {
  const letters = [["R", "L"], ["A", "P"], ["H", "F"]];
  return world.map((mm, axis) => `${letters[axis][mm < 0 ? 1 : 0]} ${Math.abs(mm).toFixed(1)}`).join("  ");
}

export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
