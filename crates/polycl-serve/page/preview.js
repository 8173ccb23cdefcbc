// What propagation finds, shown before it is in the mask. Pixels of other labels stay.

import { fromBase64, unpack } from "./runs.js";

export function preview(scan, { plane: name, k, labels, confidence }) {
  const plane = scan.planes[name];
  const flags = new Uint8Array(plane.width * plane.height);
  for (const [label, runs] of Object.entries(labels)) {
    const value = Number(label);
    unpack(fromBase64(runs), flags);
    for (let y = 0, at = 0; y < plane.height; y++) {
      for (let x = 0; x < plane.width; x++, at++) {
        const voxel = plane.index(x, y, k);
        const now = scan.mask[voxel];
        if (now === value && !flags[at]) scan.mask[voxel] = 0;
        if (now === 0 && flags[at]) scan.mask[voxel] = value;
      }
    }
    const known = scan.confidence[value]?.plane === name ? scan.confidence[value] : { plane: name, values: Array(plane.depth).fill(null), next: null };
    known.values[k] = confidence?.[label] ?? known.values[k];
    scan.confidence[value] = known;
  }
  scan.found.add(k);
  if (name === "axial") scan.previewed.add(k);
  else for (let z = 0; z < scan.shape[2]; z++) scan.previewed.add(z);
  scan.emit("found", { plane: name, k });
  scan.emit("mask");
  scan.emit("slices");
}
