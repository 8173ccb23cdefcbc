use crate::cli::Outcome;

/// Tell what is in an image, a data set or a run.
#[derive(clap::Args)]
pub struct Args {}

pub fn run(_args: &Args) -> anyhow::Result<Outcome> {
    todo!()
}
