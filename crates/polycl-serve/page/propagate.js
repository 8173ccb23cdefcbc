import { attempt, bench } from "./bench.js";
import { by, count } from "./dom.js";
import { activeLabel } from "./labels.js";

const FOCUS_EVERY = 600;
let focus = null;

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
    bench.scan.on("server-job", ({ error }) => error || bench.say("Propagation has ended."));
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
  const ready = bench.session.network?.ready;
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
    by("go-next").textContent = `Go to slice ${next.n + 1}`;
    by("next-slice").textContent = `▶ ${next.n + 1}`;
    by("next-slice").setAttribute("aria-label", `Draw next: ${next.plane} slice ${next.n + 1}`);
  }
}

function words(job, label, ready) {
  if (job) return `${job.kind === "predict" ? "Predicting" : "Following"}: ${job.done} of ${job.of} slices.`;
  if (!ready) return bench.session.hint ?? "No network is loaded: draw and interpolate.";
  if (!label) return "Add a label to start.";
  const next = nextSlice();
  if (next) return `Least sure at slice ${next.n + 1}: correct it and propagate again.`;
  const drawn = ["axial", "coronal", "sagittal"].reduce((sum, plane) => sum + bench.scan.drawnIn(label.value, plane).length, 0);
  return drawn ? `${count(drawn, "slice")} of ${label.name} drawn: propagate fills the others.` : `Outline ${label.name} in one slice, then propagate.`;
}
