use std::path::PathBuf;

use polycl_app::phantom::{Request, run as phantom};
use polycl_base::counted;
use polycl_phantom::Domain;

use crate::ended::Ended;
use crate::talk;
use crate::terminal::Terminal;

/// Write a cohort of phantom patients as NIfTI images and masks
///
/// Phantoms are synthetic abdominal CT scans to try the other commands, to teach and to test. The same seed gives
/// the same voxels. The folder holds images/, labels/ with labels.json, dataset.json, and manifest.csv for
/// `polycl import --manifest`.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  polycl phantom --patients 12 --out phantoms")]
pub struct Args {
    /// Folder for the cohort
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number of patients, each with one scan
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    patients: u16,
    /// Number of the first patient
    ///
    /// Patients of another number are others. So cohorts of one seed can be kept apart: for training, and for tests.
    #[arg(long, hide_short_help = true, value_name = "N", default_value_t = 0)]
    first: u16,
    /// Hospital of the patients
    #[arg(long, value_enum, default_value = "a")]
    domain: DomainArg,
    /// Side of the square slices in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 128, value_parser = clap::value_parser!(u16).range(32..=1024))]
    size: u16,
    /// Random seed
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum DomainArg {
    /// Mostly portal phase, smooth kernel, thinner slices
    A,
    /// Sharper and noisier, mixed phases, heavier patients, thicker slices
    B,
}

pub fn run(args: Args) -> anyhow::Result<Ended> {
    let domain = match args.domain {
        DomainArg::A => Domain::A,
        DomainArg::B => Domain::B,
    };
    let Args { out, patients, first, size, seed, .. } = args;
    let told = counted(patients.into(), "patient");
    let (patients, first) = (patients.into(), first.into());
    let request = Request { out, patients, first, domain, size: size.into(), seed };
    phantom(&request, &Terminal::new("phantom"))?;
    let out = request.out.display();
    talk::note(format_args!("{out}: {told} of domain {domain}, seed {seed}"));
    talk::next(format_args!("import --manifest {out}/manifest.csv --out DATASET"));
    Ok(Ended::Done)
}
