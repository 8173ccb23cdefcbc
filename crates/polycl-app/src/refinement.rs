//! Segment Anything networks with their weights, and the record of what refinement decided.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use polycl_data::provenance::refinement;
use polycl_image::names::Names;
use polycl_nn::device::Device;
use polycl_nn::refine::{Decision, Gate, Options, Refiner, Rule};
use polycl_nn::sam::{Embedder, Model, Sam};
use serde::{Deserialize, Serialize};

use crate::fetch;
use crate::masks::check_window;

/// A published network, and where its weights are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SamWeights {
    /// Told by the weights where they can tell.
    #[serde(default)]
    pub model: Option<Model>,
    /// Those that were fetched without it.
    #[serde(default)]
    pub file: Option<PathBuf>,
}

impl SamWeights {
    /// The network with its weights, those of LiteMedSAM where nothing is said.
    pub(crate) fn open(&self, device: Device) -> anyhow::Result<(Model, Sam)> {
        let path = match &self.file {
            Some(path) => path.clone(),
            None => fetch::needed(&self.model.unwrap_or(Model::LiteMedSam).to_string())?,
        };
        Ok(Sam::open(&path, self.model, device)?)
    }
}

/// Who decides about a network's masks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Judge {
    /// Each part by itself, by predicted IoU, agreement with the coarse mask and stability.
    #[default]
    Gate,
    /// As published: one box for each organ and slice, and its mask replaces the coarse one.
    Paper,
}

/// Settings of a refinement.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RefineSettings {
    pub judge: Judge,
    /// Intensity window in HU, centre and width; by the organ's name without it.
    pub window: Option<[f32; 2]>,
    /// Take slices back whose refined mask fits the neighbouring slices less well.
    pub consistent: bool,
    /// Folder of the network's embeddings, for later work on the same scan.
    pub cache: Option<PathBuf>,
}

impl RefineSettings {
    /// Refuses settings that make no sense.
    ///
    /// # Errors
    /// A window of no width.
    pub fn check(&self) -> anyhow::Result<()> {
        check_window(self.window)
    }

    pub(crate) fn refiner(&self, weights: &SamWeights, device: Device) -> anyhow::Result<Refiner> {
        let (model, sam) = weights.open(device)?;
        Ok(Refiner::new(Arc::new(Embedder::new(model, sam, device, self.cache.clone()))))
    }

    /// In words, for the record.
    pub(crate) fn describe(&self, refiner: &Refiner) -> String {
        let rule = match self.judge {
            Judge::Gate => "gate",
            Judge::Paper => "paper",
        };
        let window = self.window.map_or_else(String::new, |[c, w]| format!(", window {c},{w}"));
        let consistent = if self.consistent { ", consistent" } else { "" };
        format!("{} {:08x}, {rule}{window}{consistent}", refiner.model(), refiner.checksum())
    }

    pub(crate) fn options(&self) -> Options {
        let rule = match self.judge {
            Judge::Gate => Rule::Gate(Gate::default()),
            Judge::Paper => Rule::Paper,
        };
        Options { rule, window: self.window, consistent: self.consistent }
    }
}

/// Writes what was decided about a case, and is odd about its scan, into `refine.csv` of a folder, where rows of other cases stay.
pub(crate) fn write_decisions(
    folder: &Path,
    (case, odd): (&str, &[String]),
    names: &Names,
    decisions: &[Decision],
) -> polycl_base::Result<()> {
    refinement::write(folder, (case, odd), &Vec::from_iter(decisions.iter().map(row)), names)
}

fn row(decision: &Decision) -> refinement::Row {
    let &Decision { slice, label, first, last, pixels, evidence, choice } = decision;
    let evidence = evidence.map(|e| [e.predicted_iou, e.stability, e.agreement, e.lost, e.gained]);
    refinement::Row { label, slice, first, last, pixels, evidence, choice: choice.to_string() }
}

/// Components of a coarse mask by what was decided about them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RefineSummary {
    pub case: String,
    /// Components by decision.
    pub choices: std::collections::BTreeMap<String, usize>,
    pub components: usize,
    /// Those that the refined mask took the place of.
    pub changed: usize,
    /// Those that are too small to prompt the network.
    pub tiny: usize,
}

impl RefineSummary {
    pub(crate) fn of(case: &str, decisions: &[Decision]) -> Self {
        let mut decided = Self { case: case.to_owned(), components: decisions.len(), ..Self::default() };
        for Decision { choice, .. } in decisions {
            *decided.choices.entry(choice.to_string()).or_default() += 1;
            decided.changed += usize::from(!choice.keeps());
            decided.tiny += usize::from(*choice == polycl_nn::refine::Choice::Tiny);
        }
        decided
    }
}
