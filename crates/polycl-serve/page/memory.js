// Where this tab was, so that a reload goes on there.

import { bench } from "./bench.js";

const keyOf = (scan) => `view-${scan.id}`;

export function remember() {
  const { scan, cursor, window: shown, large, active, tool, brush, show } = bench;
  if (!scan) return;
  sessionStorage.setItem(keyOf(scan), JSON.stringify({ cursor, window: shown, large, active }));
  sessionStorage.setItem("hand", JSON.stringify({ tool, brush, show }));
}

export function recall(scan) {
  const here = JSON.parse(sessionStorage.getItem(keyOf(scan)) ?? "null");
  const hand = JSON.parse(sessionStorage.getItem("hand") ?? "null");
  const [first] = scan.windows;
  const { min, max } = scan.values;
  const whole = { centre: (min + max) / 2, width: Math.max(max - min, 1) };
  bench.window = here?.window ?? (first ? { centre: first.centre, width: first.width } : whole);
  bench.cursor = here?.cursor ?? startOf(scan);
  bench.large = here?.large ?? "axial";
  bench.active = scan.label(here?.active) ? here.active : scan.labels[0]?.value ?? null;
  Object.assign(bench.brush, hand?.brush);
  Object.assign(bench.show, hand?.show);
  return hand?.tool ?? (scan.labels.length ? "lasso" : "navigate");
}

/// The slice to draw next, else the middle of what is drawn, else of the scan.
function startOf(scan) {
  const cursor = scan.shape.map((length) => length >> 1);
  for (const { value } of scan.labels) {
    const next = scan.confidence[value];
    const seen = Array.from(scan.slicesOf(value)).flatMap((letter, z) => (".s".includes(letter) ? [] : [z]));
    if (next?.plane === "axial" && next.next !== null) return [cursor[0], cursor[1], next.next];
    if (seen.length) return [cursor[0], cursor[1], seen[seen.length >> 1]];
  }
  return cursor;
}
