// From stored values to grays, and from labels to colours.

import { bench } from "./bench.js";

const gray = new Uint32Array(65536);
let grayOf = "";

export function grayTable() {
  const { centre, width } = bench.window;
  const { slope, intercept } = bench.scan.values;
  const of = [centre, width, slope, intercept].join();
  if (of !== grayOf) {
    const low = centre - width / 2;
    for (let at = 0; at < gray.length; at++) {
      const part = ((at - 32768) * slope + intercept - low) / width;
      const level = part <= 0 ? 0 : part >= 1 ? 255 : Math.round(part * 255);
      gray[at] = 0xff000000 | (level << 16) | (level << 8) | level;
    }
    grayOf = of;
  }
  return gray;
}

/// Of each visible label, by its value: the colour of its line, and the 256 grays with the label over them.
export function maskColors() {
  const over = [], line = [];
  const alpha = bench.show.fill / 100;
  for (const { value, color, visible } of bench.scan.labels) {
    if (!visible) continue;
    line[value] = color;
    over[value] = blend(color, alpha);
  }
  return { over, line };
}

const blends = new Map();

function blend(color, alpha) {
  const key = `${color} ${alpha}`;
  if (blends.has(key)) return blends.get(key);
  const parts = [5, 3, 1].map((at) => parseInt(color.slice(at, at + 2), 16) * alpha);
  const table = Uint32Array.from({ length: 256 }, (_, gray) =>
    parts.reduce((pixel, part) => ((pixel << 8) | Math.round(gray * (1 - alpha) + part)) >>> 0, 0xff));
  blends.set(key, table);
  return table;
}
