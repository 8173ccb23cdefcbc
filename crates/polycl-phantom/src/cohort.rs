//! A cohort as files: what a hospital might hand over, ready for import.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;

use polycl_base::{Error, Result, Watch, output};
use polycl_image::nifti;
use serde_json::json;

use super::{Config, LABELS, patient};

/// Writes patients by their numbers to the new folder `dir` as
/// `images/CASE.nii.gz`, `labels/CASE.nii.gz`, the label names in
/// `labels/labels.json` and (nnU-Net's format) `dataset.json`, and `manifest.csv` for import.
///
/// # Errors
/// [`polycl_base::Kind::Request`] where `dir` exists and is not an empty folder, [`polycl_base::Kind::Io`].
pub fn write(config: &Config, patients: Range<usize>, dir: &Path, watch: &dyn Watch) -> Result<()> {
    output::folder_atomically(dir, |dir| {
        let mut manifest = String::from("image,label,patient,domain\n");
        let all = patients.len();
        for (done, index) in patients.enumerate() {
            let patient = patient(config, index);
            let case = &patient.case;
            let [image, label] = ["images", "labels"].map(|folder| format!("{folder}/{case}.nii.gz"));
            nifti::write_ct(&dir.join(&image), &patient.image)?;
            nifti::write_mask(&dir.join(&label), &patient.mask)?;
            manifest += &format!("{image},{label},{case},{}\n", config.domain);
            watch.step(done + 1, all);
        }
        let names: BTreeMap<&str, u16> = LABELS.iter().map(|&(value, name)| (name, value)).collect();
        text(&dir.join("labels/labels.json"), &format!("{:#}\n", json!(names)))?;
        text(&dir.join("dataset.json"), &format!("{:#}\n", nnunet(names, all)))?;
        text(&dir.join("manifest.csv"), &manifest)
    })
}

/// The description that nnU-Net v2 wants beside its images.
fn nnunet(mut labels: BTreeMap<&str, u16>, patients: usize) -> serde_json::Value {
    labels.insert("background", 0);
    json!({
        "channel_names": { "0": "CT" },
        "labels": labels,
        "numTraining": patients,
        "file_ending": ".nii.gz",
    })
}

fn text(path: &Path, content: &str) -> Result<()> {
    fs::write(path, content).map_err(|e| Error::io(path, "write it", &e))
}
