// All scans: picture, state, who and when, doubt, note; sorted, filtered, searched.

import { get, listen } from "./api.js";
import { attempt, bench } from "./bench.js";
import { ago, by, capital, make, press, sentence, STATES } from "./dom.js";
import { saveNote } from "./review.js";

const pictures = new Map();
let rows = [];
let state = null;
let hush = null;
let frame = null;
let drawn = "";
/// Proposals of all rounds that have arrived.
let arrived = 0;

export function setUpQueue(open) {
  bench.on("rounds", arrive);
  by("search").addEventListener("input", show);
  by("sort").addEventListener("change", show);
  by("rows").addEventListener("click", (event) => {
    const id = event.target.closest("tr")?.dataset.id;
    if (id && !event.target.closest("textarea") && rowOf(id).state !== "unreadable") open(id);
  });
  by("rows").addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || event.target.tagName === "TEXTAREA") return;
    event.preventDefault();
    const buttons = [...by("rows").querySelectorAll("button.open")];
    buttons[buttons.indexOf(document.activeElement) + step]?.focus();
  });
}

export async function showQueue() {
  const folder = await get("/api/scans");
  rows = folder.scans;
  listing(folder.listing ? { done: rows.length, of: null } : null);
  hush?.();
  hush = listen(null, (name, data) => hear(name, data));
  const said = [bench.session.hint, ...(bench.session.notes ?? [])].filter(Boolean);
  by("hint").hidden = !said.length;
  by("hint").textContent = said.map(sentence).join(" ");
  show();
  focusQueue();
}

export function focusQueue() {
  by("rows").querySelector("button.open")?.focus();
}

export function leaveQueue() {
  hush?.();
  hush = null;
}

/// The scan to open after one: the first that is neither reviewed nor unreadable, in the order of what helps most.
export async function scanAfter(id) {
  const { scans } = await get("/api/scans");
  const open = scans.filter((row) => row.id !== id && !["reviewed", "unreadable"].includes(row.state));
  return open[0]?.id ?? null;
}

export const shownScans = () => chosen().map((row) => row.id);

/// How many scans an export of each kind would take.
export function counts() {
  const reviewed = rows.filter((row) => row.state === "reviewed").length;
  const masked = rows.filter((row) => row.state === "reviewed" || row.labels?.length).length;
  return { reviewed, all: masked, shown: chosen().length };
}

export const reviewedScans = () => rows.filter((row) => row.state === "reviewed" && !row.empty);

/// Predictions change the order of the queue.
function arrive() {
  const there = bench.rounds.rounds.reduce((sum, { arrived: number }) => sum + number, 0);
  if (there === arrived) return soon();
  arrived = there;
  attempt(load);
}

async function load() {
  rows = (await get("/api/scans")).scans;
  soon();
}

const rowOf = (id) => rows.find((row) => row.id === id);

function hear(name, data) {
  if (name === "listing") listing(data.done < data.of ? data : null);
  if (name === "trouble") bench.say(data.text, "error");
  if (name === "hello" || (name === "listing" && data.done >= data.of)) attempt(load);
  if (name === "hello" || name === "round") bench.emit("round", data);
  if (name !== "row") return;
  const at = rows.findIndex((row) => row.id === data.id);
  if (at < 0) rows.push(data);
  else rows[at] = data;
  soon();
}

function listing(progress) {
  by("listing").hidden = !progress;
  if (progress) by("listing").textContent = `Reading the folder: ${progress.done}${progress.of ? ` of ${progress.of}` : ""} scans.`;
}

/// Shows changes, but not under a person who is writing a note.
function soon() {
  frame ??= setTimeout(() => {
    frame = null;
    if (document.activeElement?.closest?.("#rows textarea")) soon();
    else if (picture() !== drawn) show();
  }, 250);
}

function chosen() {
  const words = by("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const text = (row) => [row.name, row.note, row.who, row.format, row.state, ...(row.labels ?? [])].join(" ").toLowerCase();
  const found = rows.filter((row) => (!state || row.state === state) && words.every((word) => text(row).includes(word)));
  const order = {
    help: null,
    name: (one, other) => one.name.localeCompare(other.name, undefined, { numeric: true }),
    state: (one, other) => STATES.indexOf(one.state) - STATES.indexOf(other.state),
    when: (one, other) => (other.when ?? 0) - (one.when ?? 0),
  }[by("sort").value];
  return order ? found.sort(order) : found;
}

/// All that the table shows, as a text: where it is the same, nothing moves under the mouse.
const picture = () => JSON.stringify([rows, state, bench.rounds?.held_back, Math.floor(Date.now() / 60000)]);

function show() {
  drawn = picture();
  const focused = document.activeElement?.closest?.("tr")?.dataset.id;
  by("filters").replaceChildren(filter(null, "all", rows.length), ...STATES.map((name) => filter(name, name, rows.filter((row) => row.state === name).length)).filter(Boolean));
  const shown = chosen();
  by("rows").replaceChildren(...shown.map(line));
  by("none").hidden = shown.length > 0;
  if (focused) by("rows").querySelector(`tr[data-id="${focused}"] button.open`)?.focus();
}

function filter(name, words, number) {
  if (name && !number && name !== state) return null;
  const button = make("button", { onclick: () => { state = name; show(); } }, `${words} ${number}`);
  press(button, state === name);
  return button;
}

function line(row) {
  const readable = row.state !== "unreadable";
  const size = row.shape ? `${row.shape.join(" × ")}, ${row.spacing.map((mm) => Number(mm.toFixed(2))).join(" × ")} mm` : row.format;
  const note = make("textarea", { rows: 1, maxlength: 4000, "aria-label": `Note on ${row.name}`, onchange: (event) => { row.note = event.target.value; saveNote(row.id, row.note); } }, row.note);
  return make("tr", { "data-id": row.id },
    make("td", {}, pictureOf(row)),
    make("td", {}, make("div", {}, row.name), make("div", { class: readable ? "soft" : "reason" }, readable ? size : capital(row.reason))),
    make("td", {}, make("span", { class: "chip", "data-state": row.state }, row.empty ? `${row.state}, empty` : row.state), row.open ? make("div", { class: "soft" }, "open in a tab") : null, heldBack(row)),
    make("td", {}, (row.labels ?? []).join(", ")),
    make("td", {}, row.who ?? "", row.when ? make("div", { class: "soft", title: new Date(row.when * 1000).toLocaleString() }, ago(row.when)) : null),
    make("td", {}, doubtOf(row)),
    make("td", {}, note),
    make("td", {}, readable ? make("button", { class: "open", "aria-label": `Open ${row.name}` }, "Open") : null));
}

/// A scan on which a network is judged: it proposes nothing there.
function heldBack({ id, state }) {
  if (state === "reviewed" || !bench.rounds?.held_back.includes(id)) return null;
  return make("div", { class: "soft", title: "No network proposes anything here: draw it yourself, and the table of rounds tells how good the network is" }, "held back");
}

/// The picture of a scan, which is asked for once.
function pictureOf({ id, thumbnail }) {
  if (!thumbnail) return make("span", { class: "blank" });
  if (!pictures.has(id)) pictures.set(id, make("img", { src: `/api/scans/${id}/thumbnail`, alt: "" }));
  return pictures.get(id);
}

function doubtOf({ doubt }) {
  if (!doubt) return null;
  const bar = make("div");
  bar.style.width = `${(100 * doubt) / Math.max(...rows.map((row) => row.doubt))}%`;
  return make("div", { class: "doubt", role: "img", "aria-label": `Doubt ${doubt.toPrecision(2)}`, title: doubt.toPrecision(2) }, bar);
}
