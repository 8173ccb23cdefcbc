// Starts the page and goes between the queue (no hash) and a scan (#id).

import { attempt, bench, READ_ONLY } from "./bench.js";
import { askName, setUpSaid, setUpTheme, startSession } from "./dialogs.js";
import { by } from "./dom.js";
import { setUpDrawing } from "./drawing.js";
import { setUpExport } from "./export.js";
import { setUpKeys, step } from "./keys.js";
import { setUpLabels } from "./labels.js";
import { setUpLegend } from "./legend.js";
import { recall, remember } from "./memory.js";
import { setUpPropagate } from "./propagate.js";
import { focusQueue, leaveQueue, scanAfter, setUpQueue, showQueue } from "./queue.js";
import { setUpReview } from "./review.js";
import { Scan } from "./scan.js";
import { setUpSlider } from "./slider.js";
import { setUpSurface } from "./surface.js";
import { finishTool } from "./tools.js";
import { setUpTrain } from "./train.js";
import { setUpViews } from "./views.js";

const toQueue = () => (location.hash = "");
const open = (id) => (location.hash = id);

async function nextScan() {
  const next = await attempt(() => scanAfter(bench.scan?.id));
  if (next) open(next);
  else bench.say("Every scan is reviewed.");
}

async function route() {
  const id = location.hash.slice(1);
  leave();
  by("queue").hidden = Boolean(id);
  by("bench").hidden = !id;
  for (const name of ["to-queue", "scan-actions", "scan-state"]) by(name).hidden = !id;
  by("title").textContent = "PolyCL workbench";
  by("stored").textContent = "";
  await attempt(() => (id ? enter(id) : showQueue()));
}

function leave() {
  leaveQueue();
  if (!bench.scan) return;
  finishTool();
  remember();
  bench.scan.close();
  by("banner").hidden = true;
  by("held").hidden = true;
  bench.setScan(null);
}

async function enter(id) {
  by("title").textContent = "Opening…";
  let scan;
  try {
    scan = await Scan.open(id);
  } catch (refusal) {
    toQueue();
    throw refusal;
  }
  if (location.hash.slice(1) !== id) return scan.close();
  const tool = recall(scan);
  by("title").textContent = scan.name;
  bench.setScan(scan);
  for (const name of ["large", "cursor", "window", "show", "brush", "active"]) bench.emit(name);
  bench.setTool(tool);
  scan.on("trouble", (text) => bench.say(text, "error"));
  scan.on("server-trouble", ({ text }) => bench.say(text, "error"));
  scan.on("server-lost", () => (by("stored").textContent = "Connecting again…"));
  scan.on("server-hello", showStored);
  scan.greet = startSession;
  scan.on("writer", showWriter);
  scan.on("history", showHistory);
  scan.on("job", showHistory);
  scan.outbox.on("state", showStored);
  showWriter();
  showHistory();
  showStored();
  await Promise.all([scan.voxels.load(bench.cursor[2]), scan.start()]);
}

function showWriter() {
  const { writer } = bench.scan;
  by("banner").hidden = writer;
  by("banner").firstElementChild.textContent = READ_ONLY;
  showHistory();
}

function showHistory() {
  const { undoable, redoable, writer, job } = bench.scan;
  by("undo").disabled = !undoable || !writer || Boolean(job);
  by("redo").disabled = !redoable || !writer || Boolean(job);
}

function showStored() {
  const stored = by("stored");
  const { state, trouble } = bench.scan.outbox;
  stored.className = state;
  stored.textContent = { stored: "✓ Stored", storing: "Storing…", held: "✗ Not stored" }[state];
  by("held").hidden = state !== "held";
  by("held").firstElementChild.textContent = `Your last stroke is not stored: ${trouble}`;
}

function setUp() {
  setUpSaid();
  setUpTheme();
  setUpViews();
  setUpDrawing();
  setUpLabels();
  setUpPropagate();
  setUpSlider();
  setUpLegend();
  setUpSurface();
  setUpReview();
  setUpExport();
  setUpTrain();
  setUpQueue(open);
  setUpKeys({ toQueue, nextScan });
  by("to-queue").addEventListener("click", toQueue);
  by("next-scan").addEventListener("click", nextScan);
  by("undo").addEventListener("click", () => step("undo"));
  by("redo").addEventListener("click", () => step("redo"));
  by("take-over").addEventListener("click", () => attempt(() => bench.scan.takeOver()));
  by("send-again").addEventListener("click", () => bench.scan.outbox.send());
  by("drop").addEventListener("click", () => attempt(() => bench.scan.outbox.drop()));
  by("who").addEventListener("click", askName);
  bench.on("session", () => (by("who").textContent = bench.session.who ?? "Who?"));
  bench.on("cursor", () => bench.scan?.voxels.look(bench.cursor[2]));
  window.addEventListener("hashchange", route);
  window.addEventListener("pagehide", () => {
    remember();
    bench.scan?.leave();
  });
}

setUp();
await attempt(async () => {
  await startSession();
  await route();
  if (bench.session.who) return;
  await askName();
  if (!bench.scan) focusQueue();
});
