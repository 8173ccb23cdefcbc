// What lies over a picture: crosshair, letters, scale bar, words, and the tool at work.

import { bench } from "./bench.js";
import { placeInWords, worldOf } from "./geometry.js";

const STEPS = [1, 2, 5, 10, 20, 50, 100, 200];
const CROSS = "rgba(120, 200, 255, 0.6)";

export function drawFurniture(view) {
  const context = view.above.getContext("2d");
  const { width, height } = view.above;
  const { unit } = view;
  context.clearRect(0, 0, width, height);
  if (bench.show.cross) crosshair(context, view, unit);
  bench.toolAtWork?.draw?.(context, view, unit);
  context.font = `600 ${13 * unit}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  const { left, right, top, bottom } = view.plane.letters;
  text(context, left, 12 * unit, height / 2, "center");
  text(context, right, width - 12 * unit, height / 2, "center");
  text(context, top, width / 2, 13 * unit, "center");
  text(context, bottom, width / 2, height - 13 * unit, "center");
  context.font = `${12 * unit}px system-ui, sans-serif`;
  scaleBar(context, view, unit);
  words(context, view, unit);
}

function text(context, words, x, y, align = "left") {
  context.textAlign = align;
  context.lineWidth = 3;
  context.strokeStyle = "rgba(0, 0, 0, 0.85)";
  context.strokeText(words, x, y);
  context.fillStyle = "#f4f6f8";
  context.fillText(words, x, y);
}

function crosshair(context, view, unit) {
  const at = view.plane.show(bench.cursor);
  const { x, y } = view.toScreen(at.x + 0.5, at.y + 0.5);
  const gap = 14 * unit;
  context.strokeStyle = CROSS;
  context.lineWidth = unit;
  context.beginPath();
  for (const [x0, y0, x1, y1] of [[0, y, x - gap, y], [x + gap, y, view.above.width, y], [x, 0, x, y - gap], [x, y + gap, x, view.above.height]]) {
    context.moveTo(x0, y0);
    context.lineTo(x1, y1);
  }
  context.stroke();
}

function scaleBar(context, view, unit) {
  const most = view.above.width * 0.3;
  const mm = STEPS.findLast((step) => step * view.scale <= most) ?? STEPS[0];
  const length = mm * view.scale;
  const x = view.above.width - length - 14 * unit, y = view.above.height - 14 * unit;
  context.strokeStyle = "#f4f6f8";
  context.lineWidth = 2 * unit;
  context.beginPath();
  context.moveTo(x, y - 4 * unit);
  context.lineTo(x, y);
  context.lineTo(x + length, y);
  context.lineTo(x + length, y - 4 * unit);
  context.stroke();
  text(context, mm >= 10 ? `${mm / 10} cm` : `${mm} mm`, x + length / 2, y - 10 * unit, "center");
}

function words(context, view, unit) {
  const { plane, slice } = view;
  const name = plane.name[0].toUpperCase() + plane.name.slice(1);
  text(context, `${name} ${slice + 1} / ${plane.depth}`, 10 * unit, 14 * unit);
  const at = view.pointer;
  if (plane.name === "axial" && !bench.scan.voxels.have[slice]) text(context, "Loading…", view.above.width / 2, view.above.height / 2, "center");
  if (!at || !plane.holds(at.x, at.y)) return;
  const voxel = plane.voxel(Math.floor(at.x), Math.floor(at.y), slice);
  const [nx, ny] = bench.scan.shape;
  const index = voxel[0] + nx * (voxel[1] + ny * voxel[2]);
  const label = bench.scan.label(bench.scan.mask[index]);
  const low = view.above.height - 14 * unit;
  text(context, `${placeInWords(worldOf(bench.scan.world, voxel))} mm`, 10 * unit, low);
  if (!bench.scan.voxels.have[voxel[2]]) return;
  const value = bench.scan.voxels.value(index);
  const said = bench.scan.values.hu ? `${Math.round(value)} HU` : `${Number(value.toPrecision(4))}`;
  text(context, label ? `${said}  ${label.name}` : said, 10 * unit, low - 18 * unit);
}
