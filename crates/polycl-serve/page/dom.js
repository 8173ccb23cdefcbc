export const by = (id) => document.getElementById(id);

/// A new element: `make("button", { class: "small", onclick }, "Add")`.
export function make(tag, attributes = {}, ...content) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...content.filter((part) => part !== null && part !== undefined));
  return element;
}

const ICONS = {
  eye: "M2 12s4-6.5 10-6.5S22 12 22 12s-4 6.5-10 6.5S2 12 2 12zM12 9a3 3 0 1 0 0 6a3 3 0 1 0 0-6",
  hidden: "M3 3l18 18M9.5 5.8A10 10 0 0 1 12 5.5C18 5.5 22 12 22 12a18 18 0 0 1-3 3.6M6 7.5A17 17 0 0 0 2 12s4 6.5 10 6.5a10 10 0 0 0 4-.8",
  locked: "M6 11h12v9H6zM8.5 11V7.5a3.5 3.5 0 0 1 7 0V11",
  unlocked: "M6 11h12v9H6zM8.5 11V7.5a3.5 3.5 0 0 1 6.8-1.2",
  pen: "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3",
  bin: "M5 7h14M9 7V4h6v3M7 7l1 13h8l1-13",
};

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/// A text that begins as a sentence does; names of files stay as they are.
export const capital = (text) => text.replace(/^\p{Ll}(?=\p{L}*[ ,])/u, (letter) => letter.toUpperCase());

/// A text as a sentence.
export const sentence = (text) => (/[.!?…]$/.test(text) ? capital(text) : `${capital(text)}.`);

export function press(button, on) {
  button.setAttribute("aria-pressed", String(on));
}

export function ago(seconds) {
  const minutes = Math.round((Date.now() / 1000 - seconds) / 60);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  if (minutes < 48 * 60) return `${Math.round(minutes / 60)} h ago`;
  return new Date(seconds * 1000).toLocaleDateString();
}

export const STATES = ["untouched", "drawn", "predicted", "propagated", "reviewed", "unreadable"];

export function count(number, one, many = `${one}s`) {
  return `${number} ${number === 1 ? one : many}`;
}
