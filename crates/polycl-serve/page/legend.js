// What the strip beside the slices means.

import { by, make } from "./dom.js";

/// Class of the sample, and words.
const ROWS = [
  ["whole hand", "Left: drawn, edited, or shown by a box"], ["half hand", "Left: partly drawn, or copied"],
  ["half seen", "Left: the network's, viewed"], ["half unseen-bar", "Left: the network's, not yet viewed"],
  ["whole good-bar", "Right: the network is sure (0.85 or more)"], ["whole warn-bar", "Right: less sure (0.60 or more)"], ["whole bad-bar", "Right: unsure"],
  ["triangle", "Correcting this slice helps most"],
];

export function legend() {
  return make("div", { class: "legend" },
    ...ROWS.flatMap(([look, words]) => [make("span", { class: `sample ${look}` }), make("span", {}, words)]),
    make("p", {}, "A slice counts as viewed after about half a second on the screen."));
}

export function setUpLegend() {
  const button = by("legend-open"), box = by("legend");
  box.replaceChildren(legend());
  box.addEventListener("toggle", () => {
    const { left, bottom } = button.getBoundingClientRect();
    box.style.left = `${Math.max(8, left - box.offsetWidth - 8)}px`;
    box.style.top = `${Math.max(8, bottom - box.offsetHeight)}px`;
  });
}
