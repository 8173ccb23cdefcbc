//! The person between import and training, played by the demo: names the ends of the organ in every scan, and
//! draws some slices.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use polycl_base::output;
use polycl_base::rng::{Purpose, rng};
use polycl_image::files::case_name;
use polycl_image::orient::slice_of;
use polycl_image::{Mask, files, nifti};
use polycl_nn::suggest;
use rand::RngExt;
use rand::seq::SliceRandom;

use super::ground::{Drawing, ORGAN, SPREAD, WHOLE};

/// A scan's true mask, and which slices of the file show the organ.
struct Truth {
    case: String,
    mask: Mask,
    shown: Vec<usize>,
}

impl Drawing {
    /// Writes `ranges.csv` and, of each draw, masks in which only what is drawn is left; what was done, in a sentence.
    pub fn play(&self, out: &Path, label: u16) -> anyhow::Result<String> {
        let truths = truths(&out.join("train/labels"), label)?;
        output::atomically(&out.join("ranges.csv"), |file| {
            writeln!(file, "scan,organ,first_slice,last_slice")?;
            let ends = |truth: &Truth| Some((*truth.shown.first()?, *truth.shown.last()?));
            truths
                .iter()
                .filter_map(|truth| Some((&truth.case, ends(truth)?)))
                .try_for_each(|(case, (first, last))| writeln!(file, "{case},{ORGAN},{first},{last}"))
        })?;
        for draw in 1..=self.draws {
            let mut rng = rng(self.seed.into(), Purpose::Split, [draw.into(), 3]);
            let mut order: Vec<&Truth> = truths.iter().collect();
            order.shuffle(&mut rng);
            let mut one = |truth: &Truth| vec![truth.shown[rng.random_range(0..truth.shown.len())]];
            let spread: Vec<_> = order.iter().take(self.slices).map(|&truth| (truth, one(truth))).collect();
            let patient = order.iter().find(|truth| truth.shown.len() >= spread.len());
            let patient = *patient.context("a patient with as many slices to draw")?;
            let whole = suggest::spread(&patient.shown, spread.len()).collect();
            for (placement, drawn) in [(SPREAD, spread), (WHOLE, vec![(patient, whole)])] {
                let folder = out.join(format!("drawn/{placement}-{draw}"));
                for (truth, slices) in drawn {
                    let mask = truth.drawn(&slices, label);
                    nifti::write_mask(&folder.join(format!("{}.nii.gz", truth.case)), &mask)?;
                }
                let names = format!("{{\"{ORGAN}\": {label}}}");
                output::atomically(&folder.join("labels.json"), |file| writeln!(file, "{names}"))?;
            }
        }
        Ok(format!(
            "# a person names the first and last slice of the {ORGAN} in every scan (ranges.csv). Slices drawn: {}, \
             one in each scan ({SPREAD}), or all in one patient ({WHOLE}); {} times anew",
            self.slices, self.draws
        ))
    }
}

fn truths(folder: &Path, label: u16) -> anyhow::Result<Vec<Truth>> {
    let mut truths = Vec::new();
    for path in files::entries(folder)? {
        let Some(case) = case_name(&path) else { continue };
        let mask = nifti::read_mask(&path)?;
        let slice = slice_of(&mask.space);
        let organ = mask.voxels.iter().enumerate().filter(|(_, voxel)| **voxel == label);
        let shown = Vec::from_iter(organ.map(|(at, _)| slice(at)).collect::<BTreeSet<usize>>());
        truths.extend((!shown.is_empty()).then_some(Truth { case, mask, shown }));
    }
    anyhow::ensure!(!truths.is_empty(), "{}: expected masks that show the {ORGAN}", folder.display());
    Ok(truths)
}

impl Truth {
    /// The mask with the organ in these slices alone.
    fn drawn(&self, slices: &[usize], label: u16) -> Mask {
        let (slice, mut drawn) = (slice_of(&self.mask.space), self.mask.clone());
        for (at, voxel) in drawn.voxels.iter_mut().enumerate() {
            *voxel = if *voxel == label && slices.contains(&slice(at)) { label } else { 0 };
        }
        drawn
    }
}
