//! Arguments of `pretrain` and `finetune` alike, and how a training ended.

use std::path::{Path, PathBuf};
use std::time::Duration;

use polycl_app::RunSettings;
use polycl_app::finetune::Outcome as Trained;
use polycl_app::pretrain::MOST_STEPS;
use polycl_nn::train::{Settings, finetune, pretrain};
use serde::Serialize;
use toml::Table;

use crate::ended::Ended;
use crate::talk;

/// What a run is made of and where it goes.
#[derive(clap::Args)]
pub struct RunArgs {
    /// Data set that `polycl import` wrote
    pub dataset: PathBuf,
    /// Folder of the run to write
    #[arg(long, value_name = "RUN")]
    pub out: PathBuf,
    /// Settings in TOML; flags override them
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Go on with a run that was interrupted
    #[arg(long)]
    pub resume: bool,
    /// Save where the training stands after every epoch, and within long ones after so many minutes.
    /// Ctrl-C saves, too, and stops
    #[arg(long, value_name = "MINUTES", default_value_t = 10.0, value_parser = minutes)]
    pub save_every: f64,
}

impl RunArgs {
    /// The run, with the settings that were given as flags.
    pub fn settings(self, flags: &impl Serialize) -> anyhow::Result<RunSettings> {
        Ok(RunSettings {
            dataset: self.dataset,
            out: self.out,
            config: self.config,
            settings: Table::try_from(flags)?,
            resume: self.resume,
            save_every: Duration::from_secs_f64(60.0 * self.save_every),
        })
    }
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes: f64 = text.parse().map_err(|e| format!("{e}"))?;
    let sound = Duration::try_from_secs_f64(60.0 * minutes).is_ok();
    if sound { Ok(minutes) } else { Err("expected a number of 0 or more".to_owned()) }
}

/// Adds to the help of each flag what a setting is without it; the flags are known by their ids.
pub fn with_defaults(command: clap::Command, defaults: &[(&str, String)]) -> clap::Command {
    command.mut_args(|arg| {
        let own = defaults.iter().find(|(id, _)| arg.get_id() == id);
        let Some((_, default)) = own else { return arg };
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        arg.help(format!("{help} [default: {default}]"))
    })
}

/// The defaults of what pre-training and fine-tuning have in common.
pub fn defaults() -> Vec<(&'static str, String)> {
    let Settings { epochs, batch, schedule, clip, seed, device, .. } = Settings::default();
    let [most, steps] = [MOST_STEPS, finetune::STEPS].map(grouped);
    vec![
        ("epochs", epochs.to_string()),
        ("batch", batch.to_string()),
        (
            "steps",
            format!("{steps} to fine-tune, once through all whole batches to pre-train, but {most} at most"),
        ),
        ("rate", format!("{:e} to pre-train, {:e} to fine-tune", pretrain::RATE, finetune::RATE)),
        ("schedule", written(schedule)),
        ("warmup", format!("0 to pre-train, {} to fine-tune", finetune::WARMUP)),
        ("average", format!("0 to pre-train, {} to fine-tune", finetune::AVERAGE)),
        ("clip", clip.to_string()),
        ("seed", seed.to_string()),
        ("device", written(device)),
    ]
}

/// A setting as it is written in a file.
pub fn written(setting: impl Serialize) -> String {
    let text = serde_json::to_string(&setting).unwrap_or_default();
    text.trim_matches('"').trim_end_matches(".0").to_owned()
}

/// A number with commas between thousands.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group));
    groups.collect::<Vec<_>>().join(",")
}

/// Flags that become the `[training]` table of a run's settings.
#[derive(clap::Args, Serialize)]
pub struct TrainingFlags {
    /// Epochs, after each of which it is logged and saved how training goes
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    epochs: Option<u32>,
    /// Slices (or triplets) a step
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<u32>,
    /// Steps an epoch, going through the data again as often as it takes
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<u32>,
    /// Learning rate of Adam at its highest
    #[arg(long, value_name = "X")]
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<f64>,
    /// How the learning rate falls
    #[arg(long, value_parser = ["constant", "cosine", "restarts"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<String>,
    /// Part of all steps in which the rate climbs to its highest
    #[arg(long, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    warmup: Option<f64>,
    /// How much of the running mean of the weights (EMA), which is the result, every step keeps; 0 takes the weights as
    /// they are
    #[arg(long, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    average: Option<f64>,
    /// Largest norm of all gradients together; 0 does not clip
    #[arg(long, value_name = "X")]
    #[serde(skip_serializing_if = "Option::is_none")]
    clip: Option<f64>,
    /// Seed of everything random
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u32>,
    /// Where to compute: cpu, cuda[:N] or wgpu[:N]
    #[arg(long, value_name = "D")]
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<polycl_nn::device::Device>,
}

/// Tells how a training ended.
pub fn tell(run: &Path, Trained { epochs, state }: &Trained) -> Ended {
    let best = state.best.map(|best| format!(", best validation Dice {best:.4}")).unwrap_or_default();
    let run = run.display();
    if state.stopped {
        let within = state.within.as_ref().map(|within| format!(" and {} steps", within.steps));
        let within = within.unwrap_or_default();
        talk::note(format!(
            "stopped after {} of {} epochs{within}: {run}\nhint: go on with --resume",
            state.epoch, epochs
        ));
        return Ended::Stopped;
    }
    talk::note(format!("{} epochs done{best}: {run}", state.epoch));
    Ended::Done
}
