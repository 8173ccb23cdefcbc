// Training on reviewed scans: which are chosen, how far the round is, its loss, and what people made of the predictions.

import { get, post, tab } from "./api.js";
import { attempt, bench } from "./bench.js";
import { curve } from "./curve.js";
import { by, count, make, sentence } from "./dom.js";
import { reviewedScans } from "./queue.js";

const STEPS = { import: "Reading the scans", pretrain: "Pre-training", finetune: "Fine-tuning", predict: "Predicting" };
const EVERY = 400;
let timer = null;
let running = false;

export function setUpTrain() {
  by("train-open").addEventListener("click", openTrain);
  by("train-close").addEventListener("click", () => by("train-dialog").close());
  by("train-stop").addEventListener("click", () => order("/api/rounds/stop", {}));
  by("train-resume").addEventListener("click", () => order("/api/rounds/resume", {}));
  by("train-which").addEventListener("change", showChoice);
  by("train-dialog").querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!by("train-run").disabled) order("/api/rounds", asked());
  });
  const soon = () => (timer ??= setTimeout(refresh, EVERY));
  bench.on("round", soon);
  bench.on("scan", () => bench.scan?.on("server-round", soon));
}

function openTrain() {
  const scans = reviewedScans();
  by("train-count").textContent = `(${scans.length})`;
  by("train-scans").replaceChildren(...scans.map(({ id, name }) =>
    make("label", { class: "check" }, make("input", { type: "checkbox", name: "scan", value: id, checked: true }), ` ${name}`)));
  showChoice();
  show();
  by("train-dialog").showModal();
  refresh();
}

function showChoice() {
  const chosen = new FormData(by("train-dialog").querySelector("form"));
  by("train-scans").hidden = chosen.get("which") !== "some";
}

function asked() {
  const chosen = new FormData(by("train-dialog").querySelector("form"));
  const scans = chosen.get("which") === "some" ? chosen.getAll("scan") : "reviewed";
  const sizes = ["size", "epochs", "steps"].map((name) => [name, Number(chosen.get(name))]);
  return { scans, pretrain: chosen.has("pretrain"), settings: Object.fromEntries(sizes.filter(([, number]) => number)) };
}

async function order(route, body) {
  by("train-said").textContent = "";
  try {
    await post(route, body);
  } catch (refusal) {
    by("train-said").textContent = refusal.message;
  }
  await refresh();
}

async function refresh() {
  clearTimeout(timer);
  timer = null;
  const before = newest();
  const told = await attempt(() => get("/api/rounds"));
  if (!told) return;
  bench.rounds = told;
  show();
  bench.emit("rounds");
  tellEnd();
  if (newest() === before) return;
  const said = await attempt(() => get(`/api/session?tab=${tab}`));
  if (said) bench.session = { ...said, who: bench.session.who ?? said.who };
  bench.emit("session");
}

/// Says once that a round has ended; how far it is, many times a minute, is for the eye.
function tellEnd() {
  const { now, rounds } = bench.rounds;
  if (running && !now) bench.say(`Round ${rounds.at(-1).round} is done: its predictions are in the queue.`);
  if (running && now?.error) bench.say(`Training has failed: ${now.error}`, "error");
  running = Boolean(now?.running);
}

/// The latest round that has a network.
const newest = () => bench.rounds?.rounds.findLast(({ step }) => ["predict", "done"].includes(step))?.round;

function show() {
  if (!bench.rounds) return;
  const { now, rounds, held_back: held, trains } = bench.rounds;
  const atWork = Boolean(now?.running);
  by("train-open").hidden = !trains;
  by("training").hidden = !atWork;
  by("training").textContent = atWork ? howFar(now) : "";
  by("train-run").disabled = atWork;
  by("train-stop").hidden = !atWork;
  by("train-resume").hidden = !now || atWork;
  by("train-state").textContent = now ? howFar(now) : rounds.length ? "No round is at work." : "Nothing is trained yet.";
  by("train-error").textContent = now?.error ? sentence(now.error) : "";
  by("train-progress").hidden = !now;
  by("train-progress").value = now?.of ? now.done / now.of : 0;
  by("train-lines").textContent = (now?.lines ?? []).join("\n");
  const last = rounds.at(-1);
  by("train-curve").replaceChildren(...(last ? [curve(last.curves)] : []));
  by("train-held").textContent = held.length ? `${count(held.length, "scan")} held back: nothing is proposed there. Draw and review ${held.length === 1 ? "it" : "them"} to see how good the network is.` : "";
  by("train-table").hidden = !rounds.length;
  by("rounds").replaceChildren(...rounds.toReversed().map(line));
}

function howFar({ round, step, steps, running, paused, done, of, seconds_left: left }) {
  const where = `Round ${round}, step ${steps.indexOf(step) + 1} of ${steps.length}: ${STEPS[step]}`;
  if (!running) return `${where} was not finished.`;
  const part = of ? `, ${step === "predict" ? `${done} of ${count(of, "scan")}` : `${Math.floor((100 * done) / of)} %`}` : "";
  const rest = left === null || left === undefined ? "" : `, about ${left > 90 ? `${Math.round(left / 60)} min` : `${left} s`} left`;
  return `${where}${part}${paused ? ", waiting while you work" : rest}.`;
}

/// A round as a row: the figure to trust first, then the effort of correcting.
function line({ round, trained, pretrain, unseen, corrected, network }) {
  const dice = ({ scans, dice: value }) => (scans ? `${value === null ? "–" : value.toFixed(3)} (${count(scans, "scan")})` : "none yet");
  const voxels = corrected.voxels === null ? "" : Math.round(corrected.voxels).toLocaleString("en");
  const minutes = corrected.seconds === null ? "" : (corrected.seconds / 60).toFixed(1);
  return make("tr", { "data-round": round },
    make("th", { scope: "row", title: network }, String(round)),
    make("td", {}, `${count(trained, "scan")}${pretrain ? ", pre-trained" : ""}`),
    make("td", { class: "free-dice" }, dice(unseen)),
    make("td", { class: "corrected-dice" }, dice(corrected)),
    make("td", { class: "voxels" }, voxels),
    make("td", { class: "minutes" }, minutes));
}
