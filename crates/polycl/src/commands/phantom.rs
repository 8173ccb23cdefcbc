use std::path::PathBuf;

use polycl_app::phantom::{Request, run as phantom};
use polycl_phantom::Domain;

use crate::ended::Ended;
use crate::talk;
use crate::terminal::Terminal;

/// Write a cohort of phantom patients as NIfTI images and labels.
///
/// Abdominal CT scans that nobody had to take, the same for the same seed: to try the other
/// commands, to teach and to test. The folder holds images/, labels/ with labels.json,
/// dataset.json and manifest.csv for import.
#[derive(clap::Args)]
pub struct Args {
    /// Folder to write the cohort to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number of patients, each with one scan
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    patients: u16,
    /// Hospital that the patients go to; the two differ in scanner, protocol and patients
    #[arg(long, value_enum, default_value = "a")]
    domain: DomainArg,
    /// Side of the square slices in pixels
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u16).range(32..=1024))]
    size: u16,
    /// Seed of everything random; the same seed gives the same voxels
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
    let Args { out, patients, size, seed, .. } = args;
    let request = Request { out, patients: patients.into(), domain, size: size.into(), seed };
    phantom(&request, &Terminal::new("phantom"))?;
    let out = request.out.display();
    talk::note(format_args!("{out}: {patients} patients of domain {domain}, seed {seed}"));
    talk::note(format_args!("next: polycl import --manifest {out}/manifest.csv --out DATASET"));
    Ok(Ended::Done)
}
