import { post } from "./api.js";
import { bench } from "./bench.js";
import { by, count, make } from "./dom.js";
import { shownScans } from "./queue.js";

const WORDS = {
  nifti: "NIfTI masks, one for each scan", seg: "DICOM SEG", rtstruct: "DICOM RTSTRUCT",
  dataset: "data set for `polycl import`", nnunet: "nnU-Net layout",
};

export function setUpExport() {
  by("export-open").addEventListener("click", openExport);
  by("export-run").addEventListener("click", run);
}

export function openExport() {
  const [first] = bench.session.formats;
  by("formats").replaceChildren(by("formats").firstElementChild, ...bench.session.formats.map((format) =>
    make("label", { class: "check" }, make("input", { type: "radio", name: "format", value: format, checked: format === first }), ` ${WORDS[format] ?? format}`)));
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
    const { folder, written, left_out } = await post("/api/export", { format: chosen.get("format"), scans: which === "shown" ? shownScans() : which });
    result.replaceChildren(make("p", {}, `${count(written, "scan")} written to ${folder}.`));
    if (left_out.length) result.append(make("p", {}, "Left out:"), make("ul", {}, ...left_out.map(({ name, reason }) => make("li", {}, `${name}: ${reason}`))));
  } catch (refusal) {
    result.replaceChildren(make("p", { class: "reason" }, refusal.message));
  }
  by("export-run").disabled = false;
}
