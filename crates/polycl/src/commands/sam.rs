//! What the commands that use a Segment Anything network have in common.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use polycl_nn::device::Device;
use polycl_nn::refine::{Choice, Decision};
use polycl_nn::sam::{Model, Sam};
use polycl_volume::dataset::names::Names;
use polycl_volume::output;

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

/// Writes what was decided about a case into `refine.csv` of a folder, where rows of other cases stay.
pub fn write_decisions(
    folder: &Path,
    case: &str,
    names: &Names,
    decisions: &[Decision],
) -> anyhow::Result<()> {
    const HEADER: &str = "case,label,name,slice,i0,j0,k0,i1,j1,k1,pixels_before,pixels_after,\
                          predicted_iou,stability,agreement,choice";
    let path = folder.join("refine.csv");
    let old = std::fs::read_to_string(&path).unwrap_or_default();
    let own = format!("{},", quoted(case));
    let others = old.lines().skip(1).filter(|line| !line.starts_with(&own));
    output::atomically(&path, |file| {
        writeln!(file, "{HEADER}")?;
        others.clone().try_for_each(|line| writeln!(file, "{line}"))?;
        decisions.iter().try_for_each(|decision| writeln!(file, "{own}{}", row(decision, names)))
    })?;
    Ok(())
}

fn row(decision: &Decision, names: &Names) -> String {
    let Decision { slice, label, first: [i0, j0, k0], last: [i1, j1, k1], pixels: [before, after], .. } =
        decision;
    let name = names.get(label).map_or_else(String::new, |name| quoted(name));
    let evidence = decision.evidence.map_or_else(
        || ",,".to_owned(),
        |e| format!("{:.4},{:.4},{:.4}", e.predicted_iou, e.stability, e.agreement),
    );
    let choice = decision.choice;
    format!("{label},{name},{slice},{i0},{j0},{k0},{i1},{j1},{k1},{before},{after},{evidence},{choice}")
}

/// A field as CSV wants it.
fn quoted(text: &str) -> String {
    let plain = !text.contains([',', '"', '\n', '\r']);
    if plain { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
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
