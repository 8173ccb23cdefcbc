use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use polycl_nn::device::Device;
use polycl_volume::{Error, Kind, output};
use serde_json::{Map, Value, json};

use super::sam::Network;
use crate::cli::Outcome;
use crate::study::{self, Config, Live, Plan};
use crate::talk;

/// Find out which way of training helps on your data: methods, label budgets and seeds, with statistics
///
/// CONFIG names a data set, methods (scratch, simclr, moco, byol, positional, mae, scan, organ, mixed and,
/// with all negatives of a batch, scan-all, organ-all, mixed-all), budgets of labelled patients, seeds, and
/// whom to test on: other data sets, or parts of the same one in turn. Everything is checked before
/// anything runs. A study that was killed goes on where it was, and one whose CONFIG asks for more runs
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
    let plan = Plan::new(config, &args.out)?;
    same_data(&plan)?;
    if let Some(refinement) = &plan.config.refinement {
        // Only to see that the weights are there, and of this network.
        Network { model: Some(refinement.model), weights: refinement.weights.clone() }.open(Device::Cpu)?;
    }
    let cores = rayon::current_num_threads();
    let jobs = args.jobs.map_or(cores, usize::from).max(1);
    announce(&plan, jobs);
    if args.dry_run {
        return Ok(Outcome::Done);
    }
    let _alone = alone(&args.out)?;
    note_data(&plan)?;
    let live = Live::new(&plan);
    let failed = plan.execute(jobs, (cores / jobs).max(1), &live)?;
    live.finish();
    if !failed.is_empty() {
        for (name, error) in &failed {
            talk::error(&anyhow::anyhow!("{name}: {error:#}"));
        }
        talk::note(format!("{} trainings failed, so there is no report; run the study again", failed.len()));
        return Ok(Outcome::SomeFailed);
    }
    study::write_report(&plan, &text)?;
    talk::note("done; open the report in a browser:");
    talk::data(format_args!("{}\n", std::path::absolute(args.out.join("report.html"))?.display()));
    Ok(Outcome::Done)
}

fn announce(plan: &Plan, jobs: usize) {
    let done = |dirs: &mut dyn Iterator<Item = &PathBuf>| {
        dirs.filter(|dir| dir.join("trained.json").exists()).count()
    };
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
    let taken = file.try_lock().is_err();
    ensure!(
        !taken,
        "{}: expected a folder in which no study runs; another `polycl study` is at work",
        out.display()
    );
    Ok(file)
}

/// The data sets that a study has begun with, by path.
fn known(plan: &Plan) -> anyhow::Result<Map<String, Value>> {
    let path = plan.out.join("data.json");
    if !path.exists() {
        return Ok(Map::new());
    }
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

/// Refuses a data set that has changed since the study began: old and new results would not be of one kind.
fn same_data(plan: &Plan) -> anyhow::Result<()> {
    let known = known(plan)?;
    for (path, dataset) in &plan.datasets {
        let then = known.get(&path.display().to_string()).and_then(Value::as_str);
        if then.is_some_and(|then| then != dataset.index.fingerprint()) {
            let expected = format!("the data set that the study in {} began with", plan.out.display());
            return Err(Error::new(path, Kind::Request, expected, "another one")
                .hint("import it again as it was, or begin a new study with another --out")
                .into());
        }
    }
    Ok(())
}

fn note_data(plan: &Plan) -> anyhow::Result<()> {
    let mut known = known(plan)?;
    for (path, dataset) in &plan.datasets {
        known.insert(path.display().to_string(), json!(dataset.index.fingerprint()));
    }
    let text = serde_json::to_string_pretty(&known)?;
    Ok(output::atomically(&plan.out.join("data.json"), |file| writeln!(file, "{text}"))?)
}
