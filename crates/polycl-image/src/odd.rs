//! What is odd about a scan, and told by every command that reads one. What cannot be right is refused by the readers.

use polycl_base::Result;

use crate::preprocess::HU_RANGE;
use crate::{Image, Input};

/// Sentences about a scan by its headers and about values that are no HU; none about one as scanners write them.
///
/// # Errors
/// As [`Input::notes`].
pub fn of(input: &Input, image: &Image) -> Result<Vec<String>> {
    let mut found = input.notes()?;
    found.extend(no_hu(&image.voxels));
    Ok(found)
}

/// A share of voxels at the greatest value, above which they were clipped there: of what is measured, hardly two voxels in a
/// thousand reach the very top.
const CLIPPED: f64 = 0.002;

fn ends(voxels: &[f32]) -> [f32; 2] {
    voxels.iter().fold([f32::INFINITY, f32::NEG_INFINITY], |[a, b], &v| [a.min(v), b.max(v)])
}

/// That values cannot be HU: air is below 0.
pub fn no_hu(voxels: &[f32]) -> Option<String> {
    let [least, most] = ends(voxels);
    if voxels.is_empty() || least == most {
        return voxels.first().map(|value| format!("all values are {value}"));
    }
    (least >= 0.0).then(|| format!("no value below 0, from {least} to {most}: these may be no HU"))
}

/// That values were cut off at the top.
pub fn clipped(voxels: &[f32]) -> Option<String> {
    let [_, most] = ends(voxels);
    let clipped = voxels.iter().filter(|&&value| value == most).count() as f64 / voxels.len() as f64;
    (clipped > CLIPPED && most < HU_RANGE[1])
        .then(|| format!("{:.1}% of the voxels have the greatest value, {most}: clipped?", clipped * 100.0))
}
