//! Refinement of masks that were made worse on purpose: six kinds of mistakes in five strengths, slice by slice, refined
//! by the paper's rule and through the gate.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use polycl_base::{Watch, output};
use polycl_image::orient::Reorientation;
use polycl_image::preprocess::{Grid, labels_of};
use polycl_image::{Input, Mask};
use polycl_metrics::{dice_of, score};
use polycl_nn::device::Device;
use polycl_nn::refine::{Evidence, Gate, Options, Refined, Refiner, Rule};
use polycl_nn::sam::Embedder;
use polycl_phantom::degrade::Degradation;
use serde::{Deserialize, Serialize};

use crate::masks::{names_beside, on_grid, read_truth};
use crate::refinement::SamWeights;

/// A true mask to make worse and to refine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub image: PathBuf,
    pub truth: PathBuf,
    /// Labels to take; all without any.
    pub labels: Vec<u16>,
    /// Take every nth slice only.
    pub every: usize,
    /// CSV file for what was measured of every slice.
    pub slices: Option<PathBuf>,
    /// Folder of the network's embeddings.
    pub cache: Option<PathBuf>,
    pub weights: SamWeights,
    pub device: Device,
}

/// Means over the slices of a kind of mistake, or of all.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    pub mistake: &'static str,
    pub slices: usize,
    /// Dice of the coarse mask, by the paper's rule, through the gate, and of an oracle that takes the better of the
    /// coarse and the network's mask on every slice.
    pub dice: [f64; 4],
    /// Slices in 100 that each made worse: by more than 0.01 the paper's rule and the gate, by more than 0.02 the gate.
    pub worse: [f64; 3],
    /// HD95 of the volume in mm: coarse, paper, gate.
    pub hd95: [f64; 3],
}

/// Strengths of a mistake.
const STRENGTHS: std::ops::RangeInclusive<u32> = 1..=5;

/// One slice of one trial.
struct Row {
    kind: Degradation,
    strength: u32,
    label: u16,
    slice: usize,
    /// Dice of coarse, paper, gate, and of the network's mask, union and intersection whatever the
    /// gate says.
    dice: [f64; 6],
    evidence: String,
}

/// One degraded volume: HD95 of coarse, paper and gate in mm; infinite where nothing is left.
struct Trial {
    kind: Degradation,
    hd95: [f64; 3],
}

/// Measures; nothing where it was asked to stop.
///
/// # Errors
/// Files that do not belong together or cannot be read; weights that are not there.
pub fn run(args: &Request, watch: &dyn Watch) -> anyhow::Result<Option<Vec<Line>>> {
    anyhow::ensure!(args.every > 0, "--every: expected at least 1, found 0");
    let image = Input::open(&args.image, None)?.image()?;
    let truth = on_grid(&args.truth, read_truth(&args.truth, &image.space)?, (&args.image, &image), watch)?;
    let names = names_beside(&args.truth)?;
    let temporary = tempfile::tempdir()?;
    let cache = args.cache.clone().unwrap_or_else(|| temporary.path().to_path_buf());
    let (model, sam) = args.weights.open(args.device)?;
    let refiner = Refiner::new(Arc::new(Embedder::new(model, sam, args.device, Some(cache))));
    let wanted = |label: &u16| args.labels.is_empty() || args.labels.contains(label);
    let labels: Vec<u16> = labels_of(&truth.voxels).filter(wanted).collect();
    anyhow::ensure!(!labels.is_empty(), "{}: none of the labels asked for is in it", args.truth.display());
    watch.task("masks");
    let of = labels.len() * Degradation::ALL.len() * STRENGTHS.count();
    let (mut rows, mut trials) = (Vec::new(), Vec::new());
    for label in labels {
        let organ = one_label(&truth, label, args.every);
        for (kind, strength) in
            Degradation::ALL.into_iter().flat_map(|kind| STRENGTHS.map(move |s| (kind, s)))
        {
            let coarse = degraded(&organ, label, kind, strength);
            let ways = [Rule::Paper, Rule::Gate(Gate::default()), Rule::Gate(Gate::Open)]
                .map(|rule| Options { rule, window: None, consistent: false });
            if watch.stop() {
                return Ok(None);
            }
            let Some(refined) = refiner.refine_by(&image, &coarse, &names, &ways, &())? else {
                return Ok(None);
            };
            let masks = [&coarse, &refined[0].mask, &refined[1].mask];
            rows.extend(slices(&organ, masks, &refined[2], label, kind, strength));
            trials.push(Trial { kind, hd95: masks.map(|mask| hd95(&organ, mask, label)) });
            watch.step(trials.len(), of);
        }
    }
    if let Some(path) = &args.slices {
        write(path, &rows)?;
    }
    Ok(Some(lines(&rows, &trials)))
}

/// A label alone, on every `every`th slice that has it.
fn one_label(truth: &Mask, label: u16, every: usize) -> Mask {
    let reorientation = Reorientation::to_canonical(&truth.space);
    let mut mask = reorientation.apply(truth);
    let pixels = mask.space.shape[0] * mask.space.shape[1];
    for (i, voxel) in mask.voxels.iter_mut().enumerate() {
        if *voxel != label || !(i / pixels).is_multiple_of(every) {
            *voxel = 0;
        }
    }
    reorientation.invert(&mask, &truth.space)
}

/// A mask made worse in every axial slice.
fn degraded(organ: &Mask, label: u16, kind: Degradation, strength: u32) -> Mask {
    let reorientation = Reorientation::to_canonical(&organ.space);
    let mut mask = reorientation.apply(organ);
    let (grid, slices) = (Grid::of(&mask.space), mask.space.shape[2]);
    let pixels = grid.shape[0] * grid.shape[1];
    for (k, plane) in mask.voxels.chunks_exact_mut(pixels).enumerate().take(slices) {
        let inside: Vec<bool> = plane.iter().map(|&l| l == label).collect();
        let worse = kind.apply(&inside, grid, strength, k as u64);
        plane.iter_mut().zip(worse).for_each(|(l, inside)| *l = if inside { label } else { 0 });
    }
    reorientation.invert(&mask, &organ.space)
}

fn slices(
    organ: &Mask,
    masks: [&Mask; 3],
    all: &Refined,
    label: u16,
    kind: Degradation,
    strength: u32,
) -> Vec<Row> {
    let reorientation = Reorientation::to_canonical(&organ.space);
    let truth = reorientation.apply(organ);
    let [coarse, paper, gated] = masks.map(|mask| reorientation.apply(mask));
    let open = reorientation.apply(&all.mask);
    let mut rows = Vec::new();
    for k in (0..truth.space.shape[2]).filter(|&k| truth.plane(k).contains(&label)) {
        let [truth, coarse, paper, gated, open] =
            [&truth, &coarse, &paper, &gated, &open].map(|mask| mask.plane(k));
        let dice = |inside: &dyn Fn(usize) -> bool| {
            dice_of(truth.iter().enumerate().map(|(i, &l)| (l == label, inside(i)))).unwrap_or(1.0)
        };
        let of = |plane: &[u16]| dice(&|i| plane[i] == label);
        let either = dice(&|i| coarse[i] == label || open[i] == label);
        let both = dice(&|i| coarse[i] == label && open[i] == label);
        let slice = reorientation.slice_from_canonical(k, &organ.space);
        let here: Vec<_> = all.decisions.iter().filter(|decision| decision.slice == slice).collect();
        let largest = here.iter().max_by_key(|decision| decision.pixels[0]);
        let evidence = largest.and_then(|decision| decision.evidence).map_or_else(
            || String::from(",,,,"),
            |Evidence { predicted_iou, stability, agreement, lost, gained }| {
                format!("{predicted_iou:.4},{stability:.4},{agreement:.4},{lost:.4},{gained:.4}")
            },
        );
        let dice = [of(coarse), of(paper), of(gated), of(open), either, both];
        rows.push(Row { kind, strength, label, slice, dice, evidence });
    }
    rows
}

fn hd95(organ: &Mask, mask: &Mask, label: u16) -> f64 {
    let options = polycl_metrics::Options { labels: [label].into(), ..Default::default() };
    score(organ, mask, &options)[&label].hd95.unwrap_or(f64::INFINITY)
}

fn write(path: &std::path::Path, rows: &[Row]) -> anyhow::Result<()> {
    output::atomically(path, |file| {
        writeln!(
            file,
            "kind,strength,label,slice,coarse,paper,gate,refined,union,intersection,\
             predicted_iou,stability,agreement,lost,gained"
        )?;
        for row in rows {
            let dice = row.dice.map(|dice| format!("{dice:.4}")).join(",");
            let Row { strength, label, slice, evidence, .. } = row;
            writeln!(file, "{},{strength},{label},{slice},{dice},{evidence}", row.kind.name())?;
        }
        Ok(())
    })?;
    Ok(())
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (count, sum) = values.fold((0, 0.0), |(count, sum), value| (count + 1, sum + value));
    sum / f64::from(count.max(1))
}

fn lines(rows: &[Row], trials: &[Trial]) -> Vec<Line> {
    Degradation::ALL.into_iter().map(Some).chain([None]).map(|kind| line(kind, rows, trials)).collect()
}

fn line(kind: Option<Degradation>, rows: &[Row], trials: &[Trial]) -> Line {
    let is_own = |other: Degradation| kind.is_none_or(|kind| other == kind);
    let own: Vec<&Row> = rows.iter().filter(|row| is_own(row.kind)).collect();
    let hd95 = |i: usize| mean(trials.iter().filter(|trial| is_own(trial.kind)).map(|trial| trial.hd95[i]));
    let dice = |i: usize| mean(own.iter().map(|row| row.dice[i]));
    let worse = |i: usize, by: f64| {
        let count = own.iter().filter(|row| row.dice[i] < row.dice[0] - by).count();
        100.0 * count as f64 / own.len().max(1) as f64
    };
    Line {
        mistake: kind.map_or("all", Degradation::name),
        slices: own.len(),
        dice: [dice(0), dice(1), dice(2), mean(own.iter().map(|row| row.dice[0].max(row.dice[3])))],
        worse: [worse(1, 0.01), worse(2, 0.01), worse(2, 0.02)],
        hd95: [0, 1, 2].map(hd95),
    }
}
