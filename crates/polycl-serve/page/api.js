// The server's API (API.md beside this folder). An answer that is no success is thrown as `Refusal`.

import { sentence } from "./dom.js";

export class Refusal extends Error {
  constructor(status, { error, message, hint }) {
    super(hint ? `${sentence(message)} ${sentence(hint)}` : message);
    this.status = status;
    this.code = error;
  }
}

const LOST = { error: "lost", message: "The server does not answer. Is `polycl serve` still running?" };

/// A name for this tab that a reload keeps and a duplicated tab does not.
async function nameTab() {
  let name = sessionStorage.getItem("tab") ?? fresh();
  for (let tries = 0; !(await claim(name)); tries++) {
    // A page that is being reloaded may still hold it.
    if (tries < 10) await new Promise((after) => setTimeout(after, 100));
    else {
      sessionStorage.clear();
      name = fresh();
    }
  }
  sessionStorage.setItem("tab", name);
  return name;
}

function fresh() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function claim(name) {
  if (!navigator.locks) return unopposed(name);
  return new Promise((tell) => {
    navigator.locks.request(`polycl-tab-${name}`, { ifAvailable: true }, (lock) => {
      tell(Boolean(lock));
      return lock ? new Promise(() => {}) : undefined;
    });
  });
}

/// Browsers keep no locks for pages that come over plain http from another computer: there the tab that has the name objects.
function unopposed(name) {
  const channel = new BroadcastChannel(`polycl-tab-${name}`);
  return new Promise((tell) => {
    const timer = setTimeout(() => {
      channel.onmessage = ({ data }) => data === "whose" && channel.postMessage("mine");
      tell(true);
    }, 150);
    channel.onmessage = ({ data }) => {
      if (data !== "mine") return;
      clearTimeout(timer);
      channel.close();
      tell(false);
    };
    channel.postMessage("whose");
  });
}

export const tab = await nameTab();

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, { credentials: "same-origin", ...options });
  } catch {
    throw new Refusal(0, LOST);
  }
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => null);
  throw new Refusal(answer.status, said?.message ? said : { error: "failed", message: `The server answered ${answer.status} to ${path}.` });
}

export async function get(path) {
  return (await ask(path)).json();
}

export async function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  return (await ask(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
}

export async function bytes(path) {
  const answer = await ask(path);
  return { bytes: await answer.arrayBuffer(), revision: Number(answer.headers.get("X-Revision") ?? 0) };
}

/// What is asked of one scan, in this tab's name.
export function scanApi(id) {
  const path = `/api/scans/${id}`;
  return {
    get: () => get(`${path}?tab=${tab}`),
    bytes: (what) => bytes(`${path}/${what}`),
    post: (what, body = {}) => post(`${path}/${what}`, { tab, ...body }),
    /// Said while the page goes away.
    leave: () => navigator.sendBeacon(`${path}/close`, new Blob([JSON.stringify({ tab })], { type: "application/json" })),
    link: (what) => `${path}/${what}`,
  };
}

const EVENTS = ["hello", "row", "listing", "change", "found", "progress", "job", "embedded", "writer", "labels", "trouble", "round"];

/// Listens to the server's events until the returned function is called.
export function listen(scan, hear) {
  const query = scan ? `tab=${tab}&scan=${scan}` : `tab=${tab}`;
  let source, timer;
  const connect = () => {
    source = new EventSource(`/api/events?${query}`);
    for (const name of EVENTS) source.addEventListener(name, (event) => hear(name, JSON.parse(event.data)));
    source.onerror = () => {
      hear("lost");
      if (source.readyState === EventSource.CLOSED) timer = setTimeout(connect, 3000);
    };
  };
  connect();
  return () => {
    clearTimeout(timer);
    source.close();
  };
}
