use std::io::Write;
use std::path::PathBuf;

use polycl_nn::device::Device;
use polycl_nn::refine::{Evidence, Gate, Options, Refined, Refiner, Rule};
use polycl_volume::degrade::Degradation;
use polycl_volume::metrics::{self, score};
use polycl_volume::orient::Reorientation;
use polycl_volume::preprocess::{Grid, labels_of};
use polycl_volume::{Input, Mask, output};

use crate::cli::Outcome;
use crate::commands::case::read_truth;
use crate::commands::sam::{Network, names_beside, on_grid};
use crate::talk;

/// Measure what refinement does to masks that were made worse on purpose
///
/// Six kinds of mistakes in five strengths are made in a true mask, slice by slice, and refined by the
/// paper's rule and through the gate. Prints a table: Dice of slices before, after each, and of an oracle
/// that takes the better of the coarse and the network's mask on every slice; HD95 of the volume; and how many slices each
/// made worse.
#[derive(clap::Args)]
pub struct RefineArgs {
    /// CT scan
    image: PathBuf,
    /// Its true mask
    #[arg(long, value_name = "FILE")]
    truth: PathBuf,
    /// Labels to take, by number; all without it
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    labels: Vec<u16>,
    /// Take every Nth slice only
    #[arg(long, value_name = "N", default_value_t = 1)]
    every: usize,
    /// Also write what was measured of every slice to a CSV file
    #[arg(long, value_name = "FILE")]
    slices: Option<PathBuf>,
    /// Folder in which embeddings are kept
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    #[command(flatten)]
    network: Network,
    /// Where to compute: cpu, cuda[:N] or wgpu[:N]
    #[arg(long, value_name = "D", default_value = "cpu")]
    device: Device,
}

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

pub fn run(args: &RefineArgs) -> anyhow::Result<Outcome> {
    anyhow::ensure!(args.every > 0, "--every: expected at least 1, found 0");
    let image = Input::open(&args.image, None)?.image()?;
    let truth = on_grid(&args.truth, read_truth(&args.truth)?, &args.image, &image)?;
    let names = names_beside(&args.truth)?;
    let temporary = tempfile::tempdir()?;
    let cache = args.cache.clone().unwrap_or_else(|| temporary.path().to_path_buf());
    let (model, sam) = args.network.open(args.device)?;
    let refiner = Refiner::new(model, sam, args.device, Some(cache));
    let wanted = |label: &u16| args.labels.is_empty() || args.labels.contains(label);
    let labels: Vec<u16> = labels_of(&truth.voxels).filter(wanted).collect();
    anyhow::ensure!(!labels.is_empty(), "{}: none of the labels asked for is in it", args.truth.display());
    let bar = talk::progress((labels.len() * 30) as u64, "masks");
    let (mut rows, mut trials) = (Vec::new(), Vec::new());
    for label in labels {
        let organ = one_label(&truth, label, args.every);
        for (kind, strength) in Degradation::ALL.into_iter().flat_map(|kind| (1..=5).map(move |s| (kind, s)))
        {
            let coarse = degraded(&organ, label, kind, strength);
            let ways = [Rule::Paper, Rule::Gate(Gate::default()), Rule::Gate(Gate::Open)]
                .map(|rule| Options { rule, window: None, consistent: false });
            let refined = refiner.refine_by(&image, &coarse, &names, &ways, &mut |_, _| {})?;
            let masks = [&coarse, &refined[0].mask, &refined[1].mask];
            rows.extend(slices(&organ, masks, &refined[2], label, kind, strength));
            trials.push(Trial { kind, hd95: masks.map(|mask| hd95(&organ, mask, label)) });
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    if let Some(path) = &args.slices {
        write(path, &rows)?;
    }
    talk::data(table(&rows, &trials));
    Ok(Outcome::Done)
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
            let (mut both, mut sum) = (0u32, 0u32);
            for (i, &l) in truth.iter().enumerate() {
                let (truth, found) = (l == label, inside(i));
                both += u32::from(truth && found);
                sum += u32::from(truth) + u32::from(found);
            }
            2.0 * f64::from(both) / f64::from(sum)
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
    let options = metrics::Options { labels: [label].into(), ..Default::default() };
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

fn table(rows: &[Row], trials: &[Trial]) -> String {
    let mut text = String::from(
        "mistake      slices   Dice: coarse   paper    gate  oracle   worse by > 0.01: paper  gate   > 0.02: gate   HD95 (mm): coarse  paper   gate\n",
    );
    let kinds = Degradation::ALL.into_iter().map(Some).chain([None]);
    for kind in kinds {
        let own: Vec<&Row> = rows.iter().filter(|row| kind.is_none_or(|kind| row.kind == kind)).collect();
        let hd = |i: usize| {
            mean(trials.iter().filter(|t| kind.is_none_or(|kind| t.kind == kind)).map(|t| t.hd95[i]))
        };
        let dice = |i: usize| mean(own.iter().map(|row| row.dice[i]));
        let oracle = mean(own.iter().map(|row| row.dice[0].max(row.dice[3])));
        let worse = |i: usize, by: f64| {
            let count = own.iter().filter(|row| row.dice[i] < row.dice[0] - by).count();
            100.0 * count as f64 / own.len().max(1) as f64
        };
        text += &format!(
            "{:<12} {:>6}         {:.4}  {:.4}  {:.4}  {:.4}                   {:>4.1}%  {:>4.1}%          {:>4.1}%              {:>6.2} {:>6.2} {:>6.2}\n",
            kind.map_or("all", Degradation::name),
            own.len(),
            dice(0),
            dice(1),
            dice(2),
            oracle,
            worse(1, 0.01),
            worse(2, 0.01),
            worse(2, 0.02),
            hd(0),
            hd(1),
            hd(2),
        );
    }
    text
}
