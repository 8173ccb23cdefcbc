//! What the commands that use a Segment Anything network have in common.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use polycl_nn::device::Device;
use polycl_nn::refine::{Choice, Decision};
use polycl_nn::sam::{Model, Sam};
use polycl_volume::dataset::names::{self, Names};
use polycl_volume::dataset::provenance::refinement;
use polycl_volume::{Error, Image, Kind, Mask, grid};

use crate::{fetch, talk};

/// Which network, and where its weights are.
#[derive(clap::Args)]
pub struct Network {
    /// litemedsam, mobilesam, medsam, sam-vit-b, sam-vit-l or sam-vit-h; told by the weights where they
    /// can tell
    #[arg(long, value_name = "NAME")]
    pub model: Option<Model>,
    /// Official checkpoint (.pth, .pt) or safetensors with its names; without it, what `polycl fetch`
    /// has brought
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
}

impl Network {
    /// The network with its weights, those of LiteMedSAM where nothing is said.
    pub fn open(&self, device: Device) -> anyhow::Result<(Model, Sam)> {
        let path = match &self.weights {
            Some(path) => path.clone(),
            None => fetch::needed(&self.model.unwrap_or(Model::LiteMedSam).to_string())?,
        };
        Ok(Sam::open(&path, self.model, device)?)
    }
}

/// Brings a mask into the order of the scan's voxels, on which it must lie.
pub fn on_grid(path: &Path, mask: Mask, image_path: &Path, image: &Image) -> polycl_volume::Result<Mask> {
    let fit = grid::fit(&image.space, &mask.space, path).map_err(|(expected, found)| {
        Error::new(path, Kind::Geometry, expected, found)
            .hint(format!("the mask must have the grid of {}", image_path.display()))
    })?;
    if let Some(note) = fit.note() {
        let path = path.display();
        talk::note(format_args!("note: {path}: the mask does not lie just as its scan does: {note}"));
    }
    Ok(fit.apply(mask, &image.space))
}

/// Refuses an intensity window that makes no sense.
pub fn check_window(window: Option<[f32; 2]>) -> anyhow::Result<()> {
    if let Some([centre, width]) = window {
        let makes_sense = centre.is_finite() && width.is_finite() && width > 0.0;
        anyhow::ensure!(
            makes_sense,
            "--window: expected a centre and a width above 0 in HU, found {centre},{width}"
        );
    }
    Ok(())
}

/// The names of labels beside a mask; without any, every organ is seen in the soft-tissue window.
pub fn names_beside(mask: &Path) -> anyhow::Result<Names> {
    Ok(names::file_beside(mask).map(|file| names::read(&file)).transpose()?.unwrap_or_default())
}

/// The names of labels as given by a flag, or those beside a mask.
pub fn given_or_beside(given: Option<&str>, mask: &Path) -> anyhow::Result<Names> {
    match given {
        Some(given) => Ok(names::given(given, Path::new(""))?),
        None => names_beside(mask),
    }
}

/// Writes what was decided about a case into `refine.csv` of a folder, where rows of other cases stay.
pub fn write_decisions(
    folder: &Path,
    case: &str,
    names: &Names,
    decisions: &[Decision],
) -> polycl_volume::Result<()> {
    refinement::write(folder, case, &Vec::from_iter(decisions.iter().map(row)), names)
}

fn row(decision: &Decision) -> refinement::Row {
    let &Decision { slice, label, first, last, pixels, evidence, choice } = decision;
    let evidence = evidence.map(|e| [e.predicted_iou, e.stability, e.agreement, e.lost, e.gained]);
    refinement::Row { label, slice, first, last, pixels, evidence, choice: choice.to_string() }
}

/// One line about all decisions of a case.
pub fn note_decisions(case: &str, decisions: &[Decision]) {
    if decisions.is_empty() {
        talk::note(format_args!("{case}: the coarse mask is empty, and stays so"));
        return;
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    decisions.iter().for_each(|decision| *counts.entry(decision.choice.to_string()).or_default() += 1);
    let kept = decisions.iter().filter(|decision| decision.choice.keeps()).count();
    let counts = counts.iter().map(|(choice, count)| format!("{count} {choice}"));
    let counts = counts.collect::<Vec<_>>().join(", ");
    let total = decisions.len();
    talk::note(format_args!("{case}: {} of {total} components changed ({counts})", total - kept));
    let tiny = decisions.iter().filter(|decision| decision.choice == Choice::Tiny).count();
    if tiny == total {
        talk::note(format_args!("{case}: all components are too small to prompt the network"));
    }
}
