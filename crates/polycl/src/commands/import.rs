use crate::cli::Outcome;

/// Build a data set from scans and, where there are any, their masks.
#[derive(clap::Args)]
pub struct Args {}

pub fn run(_args: &Args) -> anyhow::Result<Outcome> {
    todo!()
}
