//! The command line's shape. What each subcommand does is in its own file under `commands/`.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::commands::{
    bench, demo, evaluate, export, fetch, finetune, import, inspect, phantom, predict, pretrain, propagate,
    refine, study, suggest,
};
use crate::ended::Ended;
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

/// The command line, with the defaults that are settings' own.
fn command() -> clap::Command {
    Cli::command()
        .mut_subcommand("pretrain", pretrain::with_defaults)
        .mut_subcommand("finetune", finetune::with_defaults)
}

/// Parses the command line, runs the command, reports its error: 0 done, 1 some cases failed,
/// 2 usage or input, 130 stopped when asked.
pub fn main() -> ExitCode {
    let mut command = command();
    let parsed = Cli::from_arg_matches(&command.get_matches_mut()).map_err(|e| e.format(&mut command));
    match run(parsed.unwrap_or_else(|error| error.exit())) {
        Ok(Ended::Done) => ExitCode::SUCCESS,
        Ok(Ended::SomeFailed) => ExitCode::from(1),
        Ok(Ended::Stopped) => ExitCode::from(stop::EXIT),
        Err(error) => {
            talk::error(&error);
            ExitCode::from(2)
        }
    }
}

/// Runs one more command, given by its words without the leading `polycl`.
fn run_line(words: Vec<String>) -> anyhow::Result<Ended> {
    let matches = command().try_get_matches_from(std::iter::once("polycl".to_owned()).chain(words))?;
    run(Cli::from_arg_matches(&matches)?)
}

fn run(cli: Cli) -> anyhow::Result<Ended> {
    if let Some(threads) = cli.threads.or_else(|| cli.command.threads()) {
        anyhow::ensure!(threads > 0, "--threads: expected at least 1, found 0");
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    }
    match cli.command {
        Command::Demo(args) => demo::run(args, run_line),
        Command::Phantom(args) => phantom::run(args),
        Command::Import(args) => import::run(args),
        Command::Export(args) => export::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Suggest(args) => suggest::run(args),
        Command::Pretrain(args) => pretrain::run(args),
        Command::Finetune(args) => finetune::run(args),
        Command::Predict(args) => predict::run(args),
        Command::Refine(args) => refine::run(args),
        Command::Propagate(args) => propagate::run(args),
        Command::Fetch(args) => fetch::run(args),
        Command::Evaluate(args) => evaluate::run(args),
        Command::Study(args) => study::run(args),
        Command::Bench(bench) => bench::run(bench),
    }
}
