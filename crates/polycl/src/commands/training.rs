//! Arguments of `pretrain` and `finetune` alike, and how a training ended.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::StyledStr;
use polycl_app::RunSettings;
use polycl_app::finetune::Outcome as Trained;
use polycl_base::counted;
use polycl_nn::train::Settings;
use serde::Serialize;
use toml::Table;

use crate::ended::Ended;
use crate::talk;

/// The data and the folder of a run, and its checkpoints.
#[derive(clap::Args)]
pub struct RunArgs {
    /// Data set that `polycl import` wrote
    pub dataset: PathBuf,
    /// Folder for the run
    #[arg(long, value_name = "RUN")]
    pub out: PathBuf,
    /// Settings file in TOML; flags override it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Resume an interrupted run
    ///
    /// The settings are those of the run, and the data set must be unchanged. The result has the same bits as
    /// that of an uninterrupted run.
    #[arg(long)]
    pub resume: bool,
    /// Longest time between checkpoints, in minutes
    ///
    /// Every epoch ends with a checkpoint, too. Ctrl-C writes one and exits.
    #[arg(long, hide_short_help = true, value_name = "MINUTES", default_value_t = 10.0, value_parser = minutes)]
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

/// Adds the default of each setting to the help of its flag; the flags are known by their ids.
pub fn with_defaults(command: clap::Command, defaults: &[(&str, String)]) -> clap::Command {
    command.mut_args(|arg| {
        let own = defaults.iter().find(|(id, _)| arg.get_id() == id);
        let Some((_, default)) = own else { return arg };
        let told =
            |help: Option<&StyledStr>, gap| help.map(|help| format!("{help}{gap}[default: {default}]"));
        let (short, long) = (told(arg.get_help(), " "), told(arg.get_long_help(), "\n\n"));
        let arg = if let Some(long) = long { arg.long_help(long) } else { arg };
        arg.help(short.unwrap_or_default())
    })
}

/// The defaults of what pre-training and fine-tuning have in common.
pub fn defaults() -> Vec<(&'static str, String)> {
    let Settings { epochs, batch, schedule, clip, seed, device, .. } = Settings::default();
    vec![
        ("epochs", epochs.to_string()),
        ("batch", batch.to_string()),
        ("schedule", written(schedule)),
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
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group));
    groups.collect::<Vec<_>>().join(",")
}

/// Flags that become the `[training]` table of a run's settings.
#[derive(clap::Args, Serialize)]
pub struct TrainingFlags {
    /// Number of epochs, each ending with a checkpoint
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    epochs: Option<u32>,
    /// Number of slices, or of triplets of slices, per step
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<u32>,
    /// Number of steps per epoch; the data repeat as needed
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<u32>,
    /// Peak learning rate of Adam
    #[arg(long, value_name = "X")]
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<f64>,
    /// Decay of the learning rate
    #[arg(long, hide_short_help = true, value_parser = ["constant", "cosine", "restarts"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<String>,
    /// Fraction of all steps in which the learning rate rises to its peak
    #[arg(long, hide_short_help = true, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    warmup: Option<f64>,
    /// Decay per step of the running mean of the weights (EMA), which is the result; 0 keeps the last weights
    #[arg(long, hide_short_help = true, value_name = "F")]
    #[serde(skip_serializing_if = "Option::is_none")]
    average: Option<f64>,
    /// Largest norm of all gradients together; 0 does not clip
    #[arg(long, hide_short_help = true, value_name = "X")]
    #[serde(skip_serializing_if = "Option::is_none")]
    clip: Option<f64>,
    /// Random seed
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u32>,
    /// Device to compute on: cpu, cuda[:N] or wgpu[:N]
    #[arg(long, value_name = "D")]
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<polycl_nn::device::Device>,
}

/// Tells the end of a training: its epochs, its best score, and the command that comes `next`.
pub fn tell(run: &Path, Trained { epochs, state }: &Trained, next: &str) -> Ended {
    let best = state.best.map(|best| format!(", best validation Dice {best:.4}")).unwrap_or_default();
    let run = run.display();
    if state.stopped {
        let within = state.within.as_ref().map(|within| format!(" and {}", counted(within.steps, "step")));
        let within = within.unwrap_or_default();
        talk::note(format!(
            "stopped after {} of {} epochs{within}: {run}\nhint: resume with --resume",
            state.epoch, epochs
        ));
        return Ended::Stopped;
    }
    talk::note(format!("{} done{best}: {run}", counted(state.epoch, "epoch")));
    talk::next(next);
    Ended::Done
}
