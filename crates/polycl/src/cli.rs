//! The command line's shape. What each subcommand does is in its own file under `commands/`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::commands::{
    bench, demo, evaluate, export, fetch, finetune, import, inspect, phantom, predict, pretrain, propagate,
    refine, study, suggest,
};
use crate::{stop, talk};

/// Contrastive pre-training and few-label segmentation of CT scans.
#[derive(Parser)]
#[command(name = "polycl", version, arg_required_else_help = true)]
pub struct Cli {
    /// Threads to compute with; all cores without it
    #[arg(long, global = true, value_name = "N")]
    threads: Option<usize>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Args),
    Phantom(phantom::Args),
    Import(import::Args),
    Export(export::Args),
    Inspect(inspect::Args),
    Suggest(suggest::Args),
    Pretrain(pretrain::Args),
    Finetune(finetune::Args),
    Predict(predict::Args),
    Refine(refine::Args),
    Propagate(propagate::Args),
    Fetch(fetch::Args),
    Evaluate(evaluate::Args),
    Study(study::Args),
    #[command(subcommand)]
    Bench(bench::Bench),
}

impl Command {
    /// Threads of a command that does not take all cores by default.
    fn threads(&self) -> Option<usize> {
        match self {
            Self::Bench(bench::Bench::Step(_) | bench::Bench::Sam(_) | bench::Bench::Sam2(_)) => {
                Some(bench::THREADS)
            }
            _ => None,
        }
    }
}

/// How a command that did not fail outright ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Some cases failed; they have been listed on stderr.
    SomeFailed,
    /// Somebody asked it to stop; how to go on has been said on stderr.
    Stopped,
}

/// Parses the command line, runs the command, reports its error: 0 done, 1 some cases failed,
/// 2 usage or input, 130 stopped when asked.
pub fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::SomeFailed) => ExitCode::from(1),
        Ok(Outcome::Stopped) => ExitCode::from(stop::EXIT),
        Err(error) => {
            talk::error(&error);
            ExitCode::from(2)
        }
    }
}

/// Runs one more command, given by its words without the leading `polycl`.
pub fn run_line(words: impl Iterator<Item = String>) -> anyhow::Result<Outcome> {
    run(Cli::try_parse_from(std::iter::once("polycl".to_owned()).chain(words))?)
}

fn run(cli: Cli) -> anyhow::Result<Outcome> {
    if let Some(threads) = cli.threads.or_else(|| cli.command.threads()) {
        anyhow::ensure!(threads > 0, "--threads: expected at least 1, found 0");
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    }
    match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Phantom(args) => phantom::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Suggest(args) => suggest::run(&args),
        Command::Pretrain(args) => pretrain::run(&args),
        Command::Finetune(args) => finetune::run(&args),
        Command::Predict(args) => predict::run(&args),
        Command::Refine(args) => refine::run(&args),
        Command::Propagate(args) => propagate::run(&args),
        Command::Fetch(args) => fetch::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Study(args) => study::run(&args),
        Command::Bench(bench) => bench::run(&bench),
    }
}
