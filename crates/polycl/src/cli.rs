//! The command line's shape. Each subcommand has its own file under `commands/`.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::commands::{
    bench, demo, evaluate, export, fetch, finetune, help, import, inspect, phantom, predict, pretrain,
    propagate, refine, serve, study, suggest,
};
use crate::ended::Ended;
use crate::{stop, talk};

/// The groups of commands in the help of `polycl`.
const GROUPS: [(&str, &[&str]); 5] = [
    ("Data", &["import", "inspect", "suggest", "export", "phantom"]),
    ("Training", &["pretrain", "finetune"]),
    ("Masks", &["predict", "propagate", "refine", "serve"]),
    ("Evaluation", &["evaluate", "study"]),
    ("Tools", &["demo", "fetch", "bench", "help"]),
];

/// Segment organs in CT scans with networks trained on few labels
#[derive(Parser)]
#[command(name = "polycl", version, arg_required_else_help = true, disable_help_subcommand = true)]
#[command(after_help = "Examples:\n  polycl demo --quick\n  polycl help workflow\n  polycl import --help")]
pub struct Cli {
    /// CPU threads to use [default: all cores; bench: 2]
    #[arg(long, global = true, value_name = "N", display_order = 1000)]
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
    Serve(serve::Args),
    Fetch(fetch::Args),
    Evaluate(evaluate::Args),
    Study(study::Args),
    #[command(subcommand)]
    Bench(bench::Bench),
    Help(help::Args),
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

/// The command line, with the defaults that are settings' own and its commands in groups.
fn command() -> clap::Command {
    let command = Cli::command()
        .mut_subcommand("pretrain", pretrain::with_defaults)
        .mut_subcommand("finetune", finetune::with_defaults);
    let template = template(&command);
    command.help_template(template)
}

/// The help of `polycl`, for clap lists subcommands without groups.
fn template(command: &clap::Command) -> String {
    let mut text = String::from("{about-with-newline}\n{usage-heading} {usage}\n");
    for (group, names) in GROUPS {
        text += &format!("\n{group}:\n");
        for command in names.iter().filter_map(|name| command.find_subcommand(name)) {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            text += &format!("  {:<9}  {about}\n", command.get_name());
        }
    }
    text + "\nOptions:\n{options}{after-help}"
}

/// `EX_TEMPFAIL` of sysexits.h, and the next: engines of clusters try again.
const HELD: u8 = 75;
const NEEDS_UNMET: u8 = 76;

/// Parses the command line, runs the command, reports its error. 0: done. 1: some cases failed. 2: usage or input.
/// 75: at work elsewhere. 76: something before it is not done. 130: stopped when asked.
pub fn main() -> ExitCode {
    let mut command = command();
    let parsed = Cli::from_arg_matches(&command.get_matches_mut()).map_err(|e| e.format(&mut command));
    match run(parsed.unwrap_or_else(|error| error.exit())) {
        Ok(Ended::Done) => ExitCode::SUCCESS,
        Ok(Ended::SomeFailed) => ExitCode::from(1),
        Ok(Ended::Stopped) => ExitCode::from(stop::EXIT),
        Ok(Ended::Held) => ExitCode::from(HELD),
        Ok(Ended::NeedsUnmet) => ExitCode::from(NEEDS_UNMET),
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
        Command::Serve(args) => serve::run(args),
        Command::Fetch(args) => fetch::run(args),
        Command::Evaluate(args) => evaluate::run(args),
        Command::Study(args) => study::run(args),
        Command::Bench(bench) => bench::run(bench),
        Command::Help(args) => help::run(&args, command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_one_group() {
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let command = command();
        let mut all: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        grouped.sort_unstable();
        all.sort_unstable();
        assert_eq!(grouped, all);
    }

    /// The lines of a command's examples, and of those of its parts.
    fn examples(of: &clap::Command) -> Vec<String> {
        let text = of.get_after_help().map(ToString::to_string).unwrap_or_default();
        let own: Vec<String> = text.lines().skip(1).map(str::to_owned).collect();
        assert!(text.starts_with("Example") && !own.is_empty(), "{} has no example", of.get_name());
        own.into_iter().chain(of.get_subcommands().flat_map(examples)).collect()
    }

    #[test]
    fn every_command_has_an_example_that_parses() {
        for line in examples(&command()) {
            let parsed = command().try_get_matches_from(line.split_whitespace());
            let helped = |error: &clap::Error| error.kind() == clap::error::ErrorKind::DisplayHelp;
            assert!(parsed.as_ref().err().is_none_or(helped), "{line}: {parsed:?}");
        }
    }
}
