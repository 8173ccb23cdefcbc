// Who has looked at what: slices that were on the screen, the mark "reviewed", the note.

import { scanApi } from "./api.js";
import { attempt, bench, READ_ONLY } from "./bench.js";
import { askName, choose } from "./dialogs.js";
import { ago, by, count, sentence } from "./dom.js";

const LOOKED = 500;
const REPORT = 1500;
let timer = null;
let looked = new Set();

export function setUpReview() {
  by("review").addEventListener("click", toggleReview);
  by("note").addEventListener("change", () => saveNote(bench.scan.id, by("note").value));
  for (const name of ["cursor", "scan", "large"]) bench.on(name, look);
  bench.on("scan", () => {
    if (!bench.scan) return;
    looked = new Set();
    by("note").value = bench.scan.note;
    for (const name of ["slices", "labels", "writer", "review"]) bench.scan.on(name, show);
    bench.scan.on("server-row", (row) => row.id === bench.scan?.id && bench.scan.know(row));
    bench.scan.on("unreviewed", () => bench.say("No longer marked as reviewed."));
    show();
  });
  setInterval(report, REPORT);
}

export function saveNote(id, note) {
  return attempt(async () => {
    const api = scanApi(id);
    await api.post("note", { note });
    if (bench.scan?.id === id) bench.scan.note = note;
    else await api.post("close");
  });
}

function look() {
  clearTimeout(timer);
  if (!bench.scan || (bench.single && bench.large !== "axial")) return;
  const z = bench.cursor[2];
  timer = setTimeout(() => {
    const { scan } = bench;
    if (scan?.voxels.have[z] && scan.loaded && !scan.job && bench.show.mask) looked.add(z);
  }, LOOKED);
}

async function report() {
  const { scan } = bench;
  if (!scan?.writer || scan.job || !looked.size || document.hidden) return;
  const z = [...looked];
  looked.clear();
  try {
    const { slices, revision } = await scan.api.post("viewed", { z });
    Object.assign(scan, { slices, revision });
    scan.emit("slices");
  } catch {
    if (scan === bench.scan) for (const slice of z) looked.add(slice);
  }
}

/// Slices with labels that a machine drew and nobody has looked at.
export function unseen() {
  const slices = new Set();
  for (const { value } of bench.scan.labels) {
    Array.from(bench.scan.slicesOf(value)).forEach((letter, z) => letter === "p" && slices.add(z));
  }
  return [...slices].sort((one, other) => one - other);
}

export async function toggleReview() {
  const { scan } = bench;
  if (!scan.writer) return bench.say(READ_ONLY, "error");
  if (!scan.loaded) return bench.say("The mask is still loading.", "error");
  const reviewed = scan.state !== "reviewed";
  if (reviewed && !bench.session.who) await askName();
  await report();
  const missing = unseen();
  if (reviewed && !bench.session.who) return;
  if (reviewed && scan.mask.every((label) => !label)) {
    const text = "This scan has no mask. Mark it as reviewed with nothing in it?";
    if ((await choose("Mark as reviewed?", text, [["", "Cancel"], ["mark", "Mark as reviewed"]])) !== "mark") return;
  } else if (reviewed && missing.length) {
    const text = `${count(missing.length, "slice")} of the network's mask ${missing.length === 1 ? "has" : "have"} not been on the screen. They are recorded as unseen.`;
    const answer = await choose("Mark as reviewed?", text, [["look", "Show the first of them"], ["mark", "Mark anyway"], ["", "Cancel"]]);
    if (answer === "look") bench.goTo(missing[0], "axial");
    if (answer !== "mark") return;
  }
  await attempt(async () => {
    await scan.outbox.settle();
    const { row } = await scan.api.post("review", { reviewed });
    scan.know(row);
    if (reviewed) bench.say(`Marked as reviewed${row.empty ? ", with nothing in it" : ""}. N opens the next scan.`);
  });
}

function show() {
  const { scan } = bench;
  if (!scan) return;
  const chip = by("scan-state");
  chip.textContent = scan.state;
  chip.dataset.state = scan.state;
  const reviewed = scan.state === "reviewed";
  by("review").textContent = reviewed ? "Unmark review" : "✓ Mark reviewed";
  by("review").title = reviewed ? "Take back that this scan is reviewed (M)" : "Mark this scan as reviewed (M)";
  by("note").disabled = !scan.writer;
  by("review").disabled = !scan.writer;
  const missing = unseen().length;
  const whom = scan.who ? `Last: ${scan.who}${scan.when ? `, ${ago(scan.when)}` : ""}.` : "Nobody has drawn yet.";
  by("review-state").textContent = missing ? `${whom} ${count(missing, "slice")} not yet viewed.` : whom;
  by("review").classList.toggle("main", !missing && ["propagated", "predicted"].includes(scan.state));
  const size = scan.shape.join(" × "), spacing = scan.spacing.map((mm) => Number(mm.toFixed(3))).join(" × ");
  by("facts").textContent = [`${size} voxels of ${spacing} mm.`, scan.turned >= 0.05 ? `Turned by ${scan.turned.toFixed(1)}°.` : "", ...(scan.odd ?? []).map(sentence)].join(" ");
}
