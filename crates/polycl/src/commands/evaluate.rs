use crate::cli::Outcome;

/// Score predicted masks against reference masks, per case and per label.
#[derive(clap::Args)]
pub struct Args {}

pub fn run(_args: &Args) -> anyhow::Result<Outcome> {
    todo!()
}
