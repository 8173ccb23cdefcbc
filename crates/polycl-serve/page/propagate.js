import { attempt, bench } from "./bench.js";
import { by, count, sentence } from "./dom.js";
import { activeLabel } from "./labels.js";

const FOCUS_EVERY = 600;
let focus = null;
/// When the page first heard how far the work is, and how far it was then.
let began = null;

export function propagate() {
  return attempt(async () => {
    const hindrance = bench.hindrance();
    if (hindrance) throw new Error(hindrance);
    const { scan } = bench;
    await scan.outbox.settle();
    const { job } = await scan.api.post("propagate", { labels: [bench.active] });
    scan.job = job;
    scan.emit("job");
  });
}

export function stop() {
  if (bench.scan?.job) attempt(() => bench.scan.api.post("stop"));
}

function predict() {
  return attempt(async () => {
    await bench.scan.outbox.settle();
    const { job } = await bench.scan.api.post("predict");
    bench.scan.job = job;
    bench.scan.emit("job");
  });
}

export function nextSlice() {
  const known = bench.scan.confidence[bench.active];
  return known?.next === null || known?.next === undefined ? null : { plane: known.plane, n: known.next };
}

export function goToNext() {
  const next = nextSlice();
  if (!next) return bench.say("No slice is marked: propagate first.");
  if (next.plane !== bench.large) bench.setLarge(next.plane);
  bench.goTo(next.n, next.plane);
}

export function setUpPropagate() {
  by("propagate").addEventListener("click", propagate);
  by("stop").addEventListener("click", stop);
  by("predict").addEventListener("click", predict);
  for (const id of ["next-slice", "go-next"]) by(id).addEventListener("click", goToNext);
  bench.on("scan", () => {
    if (!bench.scan) return;
    for (const name of ["job", "slices", "labels", "writer"]) bench.scan.on(name, show);
    began = null;
    bench.scan.on("server-job", ({ error, ended }) => error || bench.say(ending(bench.scan, ended)));
    show();
  });
  bench.on("active", show);
  bench.on("session", show);
  for (const name of ["cursor", "large", "active"]) bench.on(name, focusSoon);
}

/// Tells the server what is looked at, so that the network reads those slices first.
function focusSoon() {
  focus ??= setTimeout(() => {
    focus = null;
    if (!bench.scan?.writer || !bench.session.network?.ready) return;
    bench.scan.api.post("focus", { label: bench.active, plane: bench.large, k: bench.slice() }).catch(() => {});
  }, FOCUS_EVERY);
}

function show() {
  if (!bench.scan) return;
  const { job, writer } = bench.scan;
  const label = activeLabel();
  const ready = bench.session?.network?.ready;
  by("propagate").hidden = Boolean(job);
  by("propagate").disabled = !writer || !ready || !label;
  by("stop").hidden = !job;
  by("stop").disabled = !writer;
  by("predict").hidden = !bench.session.predictor || Boolean(job);
  by("progress").hidden = !job;
  if (job) by("progress").value = job.of ? job.done / job.of : 0;
  by("propagate-state").textContent = words(job, label, ready);
  const next = nextSlice();
  by("next-slice").hidden = !next;
  by("go-next").hidden = !next || Boolean(job);
  if (next) {
    by("go-next").textContent = `Go to ${nameOf(next)}`;
    by("next-slice").textContent = `▶ ${next.n + 1}`;
    by("next-slice").setAttribute("aria-label", `Draw next: ${next.plane} slice ${next.n + 1}`);
  }
}

const nameOf = ({ plane, n }) => `${plane === "axial" ? "" : `${plane} `}slice ${n + 1}`;

function words(job, label, ready) {
  if (job) return `${job.kind === "predict" ? "Predicting" : `Propagating through ${job.plane} slices`}: ${howFar(job)}`;
  began = null;
  if (!ready) return sentence(bench.session?.hint ?? "The network is being loaded. Drawing and interpolation work already.");
  if (!label) return "Add a label to start.";
  const next = nextSlice();
  if (next) return `Correcting ${nameOf(next)} helps most: most pixels are in doubt there.`;
  const drawn = ["axial", "coronal", "sagittal"].reduce((sum, plane) => sum + bench.scan.drawnIn(label.value, plane).length, 0);
  return drawn ? `${count(drawn, "slice")} of ${label.name} drawn: propagate fills the others.` : `Outline ${label.name} in one slice, then propagate.`;
}

/// Per cent, and the time that is left as long as it can be told.
function howFar({ done, of }) {
  if (!of) return "starting…";
  began ??= { at: Date.now(), done };
  const gone = done - began.done, seconds = Math.ceil(((Date.now() - began.at) / 1000 / gone) * (of - done));
  const left = seconds > 90 ? `${Math.round(seconds / 60)} min` : `${seconds} s`;
  return `${Math.floor((100 * done) / of)} %${gone > 2 && done < of ? `, about ${left} left` : ""}.`;
}

/// How propagation ended, in words.
function ending({ found }, ended) {
  if (ended?.kind === "predict") return ended.stopped ? "Stopped." : "The network's prediction is there.";
  if (!ended?.stopped) return `Propagation is done: ${count(found.size, "slice")}.`;
  return found.size ? `Stopped: ${count(found.size, "slice")} done. Propagate goes on from there.` : "Stopped before the first slice was done.";
}
