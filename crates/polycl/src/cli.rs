//! The command line's shape. What each subcommand does is in its own file under `commands/`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::commands::{evaluate, import, inspect, phantom};
use crate::talk;

/// Contrastive pre-training and few-label segmentation of CT scans.
#[derive(Parser)]
#[command(name = "polycl", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Phantom(phantom::Args),
    Import(import::Args),
    Inspect(inspect::Args),
    Evaluate(evaluate::Args),
}

/// How a command that did not fail outright ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Some cases failed; they have been listed on stderr.
    SomeFailed,
}

/// Parses the command line, runs the command, reports its error: 0 done, 1 some cases failed,
/// 2 usage or input.
pub fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Phantom(args) => phantom::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
    };
    match outcome {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::SomeFailed) => ExitCode::from(1),
        Err(error) => {
            talk::error(&error);
            ExitCode::from(2)
        }
    }
}
