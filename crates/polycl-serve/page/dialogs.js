import { get, post, tab } from "./api.js";
import { attempt, bench } from "./bench.js";
import { by, capital, make } from "./dom.js";

/// Asks with buttons; resolves with the value of the one pressed, or null.
export function choose(title, text, buttons) {
  const dialog = by("ask-dialog");
  by("ask-title").textContent = title;
  by("ask-text").textContent = text;
  by("ask-buttons").replaceChildren(...buttons.map(([value, words], at) => make("button", { value, class: at ? "" : "main" }, words)));
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((tell) => dialog.addEventListener("close", () => tell(dialog.returnValue || null), { once: true }));
}

export async function askName() {
  const dialog = by("name-dialog");
  by("name").value = bench.session.who ?? localStorage.getItem("who") ?? "";
  dialog.returnValue = "";
  dialog.showModal();
  await new Promise((tell) => dialog.addEventListener("close", tell, { once: true }));
  const who = by("name").value.trim();
  if (dialog.returnValue === "cancel" || !who || who === bench.session.who) return;
  await attempt(async () => {
    bench.session = await post("/api/session", { who, tab });
    localStorage.setItem("who", who);
    bench.emit("session");
  });
}

/// Tells the server who sits in front of this tab, which an earlier server may have known alone, and asks what there is.
export async function startSession() {
  const said = await get(`/api/session?tab=${tab}`);
  const who = bench.session?.who ?? localStorage.getItem("who") ?? said.who;
  bench.session = who ? await post("/api/session", { who, tab }) : said;
  bench.emit("session");
  awaitNetwork();
}

/// The network is loaded while the page is there already.
function awaitNetwork() {
  const { network, hint } = bench.session;
  if (network.ready || hint) return;
  setTimeout(async () => {
    const said = await get(`/api/session?tab=${tab}`).catch(() => null);
    if (said) bench.session = { ...said, who: bench.session.who ?? said.who };
    bench.emit("session");
    awaitNetwork();
  }, 2000);
}

export function setUpSaid() {
  const said = by("said");
  let timer = null;
  const hush = () => (said.hidden = true);
  bench.on("say", ({ text, kind }) => {
    clearTimeout(timer);
    said.firstElementChild.textContent = capital(text);
    said.className = kind;
    said.hidden = false;
    timer = setTimeout(hush, kind === "error" ? 12000 : 4000);
  });
  bench.on("drawn", hush);
  said.lastElementChild.addEventListener("click", hush);
}

export function setUpTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const show = () => {
    const theme = localStorage.getItem("theme") ?? (dark.matches ? "dark" : "light");
    document.documentElement.dataset.theme = theme;
    by("theme").textContent = theme === "dark" ? "☀ Light" : "☾ Dark";
    bench.emit("theme");
  };
  dark.addEventListener("change", show);
  by("theme").addEventListener("click", () => {
    localStorage.setItem("theme", document.documentElement.dataset.theme === "dark" ? "light" : "dark");
    show();
  });
  show();
}
