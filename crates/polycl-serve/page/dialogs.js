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

export async function startSession() {
  const name = bench.session?.who ?? localStorage.getItem("who");
  const said = await get(`/api/session?tab=${tab}`);
  // Who sits here was told to an earlier server, perhaps, or to this one by somebody else.
  bench.session = name && name !== said.who ? await post("/api/session", { who: name, tab }) : said;
  bench.emit("session");
  // The network is loaded while the page is there already.
  if (!bench.session.network.ready && !bench.session.hint) setTimeout(() => startSession().catch(() => {}), 2000);
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
