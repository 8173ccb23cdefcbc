import { post } from "./api.js";
import { bench } from "./bench.js";
import { by, count, make } from "./dom.js";
import { counts, shownScans } from "./queue.js";

const WORDS = {
  nifti: "NIfTI masks, one for each scan", seg: "DICOM SEG", rtstruct: "DICOM RTSTRUCT",
  dataset: "folder with a table, for `polycl import`", nnunet: "nnU-Net layout",
};

export function setUpExport() {
  by("export-open").addEventListener("click", openExport);
  by("export-close").addEventListener("click", () => by("export-dialog").close());
  by("export-dialog").querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!by("export-run").disabled) run();
  });
}

export function openExport() {
  const [first] = bench.session.formats;
  by("formats").replaceChildren(by("formats").firstElementChild, ...bench.session.formats.map((format) =>
    make("label", { class: "check" }, make("input", { type: "radio", name: "format", value: format, checked: format === first }), ` ${WORDS[format] ?? format}`)));
  for (const [which, number] of Object.entries(counts())) by(`count-${which}`).textContent = `(${number})`;
  by("export-result").replaceChildren();
  by("export-dialog").showModal();
}

async function run() {
  const chosen = new FormData(by("export-dialog").querySelector("form"));
  const which = chosen.get("which");
  const result = by("export-result");
  by("export-run").disabled = true;
  result.textContent = "Writing…";
  try {
    show(await post("/api/export", { format: chosen.get("format"), scans: which === "shown" ? shownScans() : which }));
  } catch (refusal) {
    result.replaceChildren(make("p", { class: "reason" }, refusal.message));
  }
  by("export-run").disabled = false;
}

function show({ path, written, empty, left_out }) {
  const result = by("export-result");
  result.replaceChildren(make("p", {}, written ? `${count(written, "scan")} written to` : "Nothing was written."));
  if (written) result.append(make("p", { class: "path" }, make("code", {}, path), make("button", { type: "button", class: "small", onclick: (event) => copy(event.target, path) }, "Copy path")));
  if (empty.length) result.append(make("p", {}, `Empty ${empty.length === 1 ? "mask" : "masks"}: ${empty.join(", ")}.`));
  if (left_out.length) result.append(make("p", {}, "Left out:"), make("ul", {}, ...left_out.map(({ name, reason }) => make("li", {}, reason.includes(name) ? `${reason}.` : `${name}: ${reason}.`))));
}

async function copy(button, text) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(by("export-result").querySelector("code"));
    button.textContent = "Selected: press Ctrl+C";
  }
}
