//! Masks as they would be if an oracle had named the first and last slice of every organ.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use polycl_base::{Error, Result, output};
use polycl_data::Record;
use polycl_image::orient::slice_of;
use polycl_image::{Mask, nifti};

/// Writes the masks of `cases` to `out`, without what lies outside the slices of the truth, and what tells of
/// labels and of who was seen beside them.
pub fn clip_all<'a>(
    cases: impl Iterator<Item = &'a str>,
    masks: &Path,
    truth: &Path,
    out: &Path,
) -> Result<()> {
    output::folder_atomically(out, |folder| {
        for file in cases.map(|case| format!("{case}.nii.gz")) {
            let mut mask = nifti::read_mask(&masks.join(&file))?;
            clip(&mut mask, &nifti::read_mask(&truth.join(&file))?);
            nifti::write_mask(&folder.join(&file), &mask)?;
        }
        for file in ["labels.json", Record::Predict.file()] {
            let from = masks.join(file);
            fs::copy(&from, folder.join(file)).map_err(|e| Error::io(&from, "copy it", &e))?;
        }
        Ok(())
    })
}

/// Sets voxels to zero that lie before the first or after the last slice in which the truth has their label.
fn clip(mask: &mut Mask, truth: &Mask) {
    let slice = slice_of(&truth.space);
    let mut shown: BTreeMap<u16, [usize; 2]> = BTreeMap::new();
    for (at, &label) in truth.voxels.iter().enumerate().filter(|(_, label)| **label > 0) {
        let [first, last] = shown.entry(label).or_insert([slice(at); 2]);
        (*first, *last) = ((*first).min(slice(at)), (*last).max(slice(at)));
    }
    for (at, label) in mask.voxels.iter_mut().enumerate() {
        if !shown.get(label).is_some_and(|&[first, last]| (first..=last).contains(&slice(at))) {
            *label = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use polycl_image::{Space, Volume};

    use super::*;

    #[test]
    fn an_organ_stays_between_its_first_and_last_true_slice() {
        // Slices are stacked along the first axis.
        let columns = glam::DMat3::from_cols(glam::DVec3::Z, glam::DVec3::NEG_X, glam::DVec3::NEG_Y);
        let space =
            Space::new([5, 2, 1], glam::DAffine3 { matrix3: columns, translation: glam::DVec3::ZERO });
        let volume = |voxels: [u16; 10]| Volume { space: space.clone(), voxels: voxels.to_vec() };
        let mut mask = volume([1, 1, 1, 1, 1, 2, 2, 2, 3, 0]);
        clip(&mut mask, &volume([0, 1, 0, 0, 2, 0, 2, 0, 1, 0]));
        assert_eq!(mask.voxels, [0, 1, 1, 1, 0, 0, 2, 2, 0, 0]);
    }
}
