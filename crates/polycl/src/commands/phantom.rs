use crate::cli::Outcome;

/// Write a cohort of phantom patients as NIfTI images and labels.
#[derive(clap::Args)]
pub struct Args {}

pub fn run(_args: &Args) -> anyhow::Result<Outcome> {
    todo!()
}
