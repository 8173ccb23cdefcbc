// The loss of trainings over their epochs, as a drawing.

const [WIDTH, HEIGHT, EDGE] = [320, 90, 6];
const WORDS = { pretrain: "Pre-training", finetune: "Fine-tuning" };

export function curve(curves) {
  const shown = Object.entries(curves).filter(([, losses]) => losses.length);
  const figure = document.createElement("div");
  figure.className = "curves";
  figure.append(...shown.map(([name, losses]) => drawing(name, losses)));
  return figure;
}

function drawing(name, losses) {
  const most = Math.max(...losses), least = Math.min(...losses);
  const place = (loss, at) => [
    EDGE + ((WIDTH - 2 * EDGE) * at) / Math.max(losses.length - 1, 1),
    EDGE + ((HEIGHT - 2 * EDGE) * (most - loss)) / (most - least || 1),
  ].map((at) => at.toFixed(1)).join(",");
  const svg = part("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", class: "curve" });
  const words = `${WORDS[name]}: loss ${losses[0].toFixed(3)} at first, ${losses.at(-1).toFixed(3)} after epoch ${losses.length}`;
  const title = part("title");
  title.textContent = words;
  svg.setAttribute("aria-label", words);
  const places = losses.map(place);
  svg.append(title, losses.length > 1 ? part("polyline", { points: places.join(" ") }) : dot(places[0]));
  const figure = document.createElement("figure");
  const caption = document.createElement("figcaption");
  caption.textContent = words;
  figure.append(svg, caption);
  return figure;
}

function dot(place) {
  const [cx, cy] = place.split(",");
  return part("circle", { cx, cy, r: 3 });
}

function part(tag, attributes = {}) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
