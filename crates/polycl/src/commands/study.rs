use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use polycl_nn::device::Device;
use polycl_nn::refine::Refiner;
use polycl_volume::{Error, Kind, output};
use serde::{Deserialize, Serialize};

use super::sam::Network;
use crate::cli::Outcome;
use crate::study::{self, Config, Live, Plan};
use crate::{stop, talk};

/// Find out which way of training helps on your data: methods, label budgets and seeds, with statistics
///
/// CONFIG names a data set, methods (scratch, simclr, moco, byol, positional, mae, scan, organ, mixed and,
/// with all negatives of a batch, scan-all, organ-all, mixed-all), budgets of labelled patients or of drawn
/// slices, seeds, and whom to test on: other data sets, or parts of the same one in turn. Everything is checked before
/// anything runs. A study that was stopped or killed goes on where it was, and one whose CONFIG asks for more runs
/// what is new. Leaves report.html, report.md and scores.csv.
#[derive(clap::Args)]
pub struct Args {
    /// What to compare, in TOML; docs/study.md has an example
    config: PathBuf,
    /// Folder for runs and report
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Trainings at a time; as many as there are cores without it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Only check everything and tell what would run
    #[arg(long)]
    dry_run: bool,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let config = Config::read(&args.config)?;
    let text = std::fs::read_to_string(&args.config).with_context(|| args.config.display().to_string())?;
    let plan = Plan::new(config.clone(), &args.out, refined_by(&config)?)?;
    let known = Known::read(&plan.out)?;
    known.same_data(&plan)?;
    let cores = rayon::current_num_threads();
    let jobs = args.jobs.map_or(cores, usize::from).max(1);
    announce(&plan, jobs);
    if args.dry_run {
        return Ok(Outcome::Done);
    }
    let _alone = alone(&args.out)?;
    let known = known.noted(&plan)?;
    stop::listen().context("listening to signals")?;
    let live = Live::new(&plan);
    let failed = plan.execute(jobs, (cores / jobs).max(1), &live)?;
    live.finish();
    if stop::asked() {
        talk::note("stopped; the same command goes on with it");
        return Ok(Outcome::Stopped);
    }
    for (name, error) in &failed {
        talk::error(&anyhow::anyhow!("{name}: {error:#}"));
    }
    if (0..plan.arms.len()).all(|arm| !plan.complete(arm)) {
        anyhow::bail!("every method has trainings that failed, so there is nothing to report");
    }
    study::write_report(&plan, &text, known.primary.as_deref())?;
    talk::note("open the report in a browser:");
    talk::data(format_args!("{}\n", plan.out.join("report.html").display()));
    if failed.is_empty() {
        return Ok(Outcome::Done);
    }
    talk::note(format!(
        "{} trainings failed; their methods are not compared. Run the study again",
        failed.len()
    ));
    Ok(Outcome::SomeFailed)
}

/// The network that refines and its weights, which must be there; empty without refinement.
fn refined_by(config: &Config) -> anyhow::Result<String> {
    let Some(refinement) = &config.refinement else { return Ok(String::new()) };
    let network = Network { model: Some(refinement.model), weights: refinement.weights.clone() };
    let (model, sam) = network.open(Device::Cpu)?;
    let refiner = Refiner::new(model, sam, Device::Cpu, None);
    Ok(format!("{model} {:08x}", refiner.checksum()))
}

fn announce(plan: &Plan, jobs: usize) {
    let done =
        |dirs: &mut dyn Iterator<Item = &PathBuf>| dirs.filter(|dir| dir.join(study::DONE).exists()).count();
    let (encoders, networks) = (&plan.encoders, &plan.networks);
    talk::note(format!(
        "{} methods × {} budgets × {} seeds{}: {} pre-trainings ({} done), {} fine-tunings ({} done), {jobs} at a time",
        plan.arms.len(),
        plan.config.budgets.len(),
        plan.config.seeds.len(),
        plan.config.folds.map_or(String::new(), |folds| format!(" × {folds} folds")),
        encoders.len(),
        done(&mut encoders.iter().map(|encoder| &encoder.dir)),
        networks.len(),
        done(&mut networks.iter().map(|network| &network.dir)),
    ));
}

/// Two studies in one folder would get into each other's way.
fn alone(out: &Path) -> anyhow::Result<File> {
    std::fs::create_dir_all(out).map_err(|e| Error::io(out, "make the folder", &e))?;
    let path = out.join(".lock");
    let file = File::create(&path).map_err(|e| Error::io(&path, "write it", &e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!(
                "{}: expected a folder in which no study runs; another `polycl study` is at work",
                out.display()
            )
        }
        Err(TryLockError::Error(error)) => Err(Error::io(&path, "lock it", &error).into()),
    }
}

/// What a study has begun with, in `study.json`.
#[derive(Default, Serialize, Deserialize)]
struct Known {
    /// Hashes of data sets by path.
    data: BTreeMap<String, String>,
    /// The primary method.
    primary: Option<String>,
}

impl Known {
    fn read(out: &Path) -> anyhow::Result<Self> {
        let path = out.join("study.json");
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }

    /// Refuses a data set that has changed since the study began: old and new results would not be of one kind.
    fn same_data(&self, plan: &Plan) -> anyhow::Result<()> {
        for (path, dataset) in &plan.datasets {
            let then = self.data.get(&path.display().to_string());
            if then.is_some_and(|then| *then != dataset.index.fingerprint()) {
                return Err(Error::new(
                    path,
                    Kind::Request,
                    "the data set that the study began with",
                    "another one",
                )
                .hint("import it again as it was, or begin a new study with another --out")
                .into());
            }
        }
        Ok(())
    }

    /// Takes in what is new; what was settled on stays.
    fn noted(mut self, plan: &Plan) -> anyhow::Result<Self> {
        for (path, dataset) in &plan.datasets {
            self.data.insert(path.display().to_string(), dataset.index.fingerprint());
        }
        let primary = plan.primary().map(|arm| plan.arms[arm].method.name.clone());
        self.primary = self.primary.or(primary);
        let text = serde_json::to_string_pretty(&self)?;
        output::atomically(&plan.out.join("study.json"), |file| writeln!(file, "{text}"))?;
        Ok(self)
    }
}
