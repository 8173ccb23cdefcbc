// The three views and their frame: which is large, what makes them draw again.

import { bench } from "./bench.js";
import { PLANE_NAMES } from "./geometry.js";
import { attachPointer, finishTool, tool } from "./tools.js";
import { View } from "./view.js";

export const views = {};

export const largeView = () => views[bench.large];

export function setUpViews() {
  for (const name of PLANE_NAMES) {
    views[name] = new View(document.getElementById(`view-${name}`), name);
    attachPointer(views[name]);
    views[name].box.querySelector(".enlarge").addEventListener("click", () => bench.setLarge(name));
  }
  const all = (...parts) => Object.values(views).forEach((view) => view.touch(...parts));
  bench.on("scan", () => {
    if (!bench.scan) return;
    for (const view of Object.values(views)) view.setScan();
    bench.scan.on("mask", (only) => (only ? views[only.plane].touch("mask") : all("mask", "above")));
    bench.scan.on("labels", () => all("mask"));
    bench.scan.on("voxels", ({ from, to }) => {
      const z = bench.cursor[2];
      views.coronal.touch("picture");
      views.sagittal.touch("picture");
      if (z >= from && z <= to) views.axial.touch("picture", "above");
    });
  });
  for (const name of ["window", "show", "active"]) bench.on(name, () => all("picture", "above"));
  bench.on("cursor", () => all("above"));
  bench.on("brush", () => all("above"));
  bench.on("tool", (before) => {
    finishTool(before);
    bench.toolAtWork = tool();
    document.getElementById("views").dataset.tool = bench.tool;
    all("above");
  });
  bench.on("large", arrange);
  bench.toolAtWork = tool();
  arrange();
}

function arrange() {
  const frame = document.getElementById("views");
  frame.classList.toggle("single", bench.single);
  for (const view of Object.values(views)) view.box.classList.toggle("large", view.name === bench.large);
  for (const name of PLANE_NAMES) views[name].box.querySelector(".enlarge").hidden = name === bench.large;
}

export function toggleSingle() {
  bench.single = !bench.single;
  arrange();
}

export function fitAll() {
  for (const view of Object.values(views)) view.fit();
}
