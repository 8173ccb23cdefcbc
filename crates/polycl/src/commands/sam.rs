//! What the commands that use a Segment Anything network have in common.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use polycl_nn::device::Device;
use polycl_nn::refine::{Choice, Decision};
use polycl_nn::sam::{Model, Sam};
use polycl_volume::dataset::names::{self, Names};
use polycl_volume::{Error, Image, Kind, Mask, output};

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

/// Refuses a mask that does not lie on the scan's voxels.
pub fn check_grid(path: &Path, mask: &Mask, image_path: &Path, image: &Image) -> anyhow::Result<()> {
    let Some((expected, found)) = image.space.disagreement(&mask.space) else { return Ok(()) };
    Err(Error::new(path, Kind::Geometry, expected, found)
        .hint(format!("the mask must have the grid of {}", image_path.display()))
        .into())
}

/// The names of labels beside a mask; without any, every organ is seen in the soft-tissue window.
pub fn names_beside(mask: &Path) -> anyhow::Result<Names> {
    Ok(names::file_beside(mask).map(|file| names::read(&file)).transpose()?.unwrap_or_default())
}

/// Columns of `refine.csv`.
const COLUMNS: [&str; 18] = [
    "case",
    "label",
    "name",
    "slice",
    "i0",
    "j0",
    "k0",
    "i1",
    "j1",
    "k1",
    "pixels_before",
    "pixels_after",
    "predicted_iou",
    "stability",
    "agreement",
    "lost",
    "gained",
    "choice",
];

/// Writes what was decided about a case into `refine.csv` of a folder, where rows of other cases stay.
pub fn write_decisions(
    folder: &Path,
    case: &str,
    names: &Names,
    decisions: &[Decision],
) -> anyhow::Result<()> {
    let path = folder.join("refine.csv");
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(COLUMNS)?;
    for row in other_rows(&path, case)? {
        table.write_record(&row)?;
    }
    for decision in decisions {
        table.write_record(row(case, decision, names))?;
    }
    let text = table.into_inner()?;
    Ok(output::atomically(&path, |file| file.write_all(&text))?)
}

/// Refuses a `refine.csv` that cannot be added to, before there is work to lose.
pub fn check_decisions(folder: &Path) -> anyhow::Result<()> {
    other_rows(&folder.join("refine.csv"), "").map(drop)
}

/// The rows of other cases that are there already.
fn other_rows(path: &Path, case: &str) -> anyhow::Result<Vec<csv::StringRecord>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let unreadable = |found: String| {
        let expected = "the decisions of other cases, as polycl refine writes them";
        Error::new(path, Kind::Format, expected, found)
            .hint("move it out of the way, or choose another --out")
    };
    let mut table = csv::Reader::from_path(path).map_err(|e| unreadable(e.to_string()))?;
    if table.headers().map_err(|e| unreadable(e.to_string()))? != &csv::StringRecord::from(&COLUMNS[..]) {
        return Err(unreadable("other columns".to_owned()).into());
    }
    let rows = table.records().collect::<Result<Vec<_>, _>>().map_err(|e| unreadable(e.to_string()))?;
    Ok(rows.into_iter().filter(|row| row.get(0) != Some(case)).collect())
}

fn row(case: &str, decision: &Decision, names: &Names) -> Vec<String> {
    let Decision { slice, label, first, last, pixels, evidence, choice } = decision;
    let name = names.get(label).cloned().unwrap_or_default();
    let numbers = [*slice].into_iter().chain(*first).chain(*last).chain(*pixels);
    let evidence = match evidence {
        Some(e) => {
            [e.predicted_iou, e.stability, e.agreement, e.lost, e.gained].map(|number| format!("{number:.4}"))
        }
        None => Default::default(),
    };
    [case.to_owned(), label.to_string(), name]
        .into_iter()
        .chain(numbers.map(|number| number.to_string()))
        .chain(evidence)
        .chain([choice.to_string()])
        .collect()
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
