use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::bail;
use polycl_nn::device::Device;
use polycl_nn::suggest::{Candidates, Request, Suggestion};
use polycl_volume::dataset::Dataset;
use polycl_volume::output;

use crate::cli::Outcome;
use crate::montage::squares;
use crate::report::Report;
use crate::{picture, talk};

/// Suggest which slices to draw first
///
/// Chooses the most typical slice that shows an organ, then those that cover what is left, of every scan
/// once before any twice. Writes a table to stdout: scan, slice (from 0, in file order, as --ranges of
/// import counts), height in the organ from the lowest slice (0) to the highest (100), slices that are
/// most like this one, and why. The first rows of a long table are those of a short one.
#[derive(clap::Args)]
pub struct Args {
    /// Data set that `polycl import` wrote
    dataset: PathBuf,
    /// What is to be drawn; repeat it for several, leave it out for all
    #[arg(long = "organ", value_name = "NAME")]
    organs: Vec<String>,
    /// Slices to suggest
    #[arg(long, value_name = "N")]
    count: usize,
    /// Run whose encoder tells slices apart; their pixels without it
    #[arg(long, value_name = "RUN")]
    encoder: Option<PathBuf>,
    /// Also suggest slices of scans of which some slice is drawn by hand; without it those slices count as
    /// chosen before, unless no other scan is left
    #[arg(long)]
    again: bool,
    /// Folder for suggested.csv, suggested.png and report.html
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where to compute: cpu, cuda[:N] or wgpu[:N]
    #[arg(long, value_name = "D", default_value = "cpu")]
    device: Device,
}

/// The most slices for which suggested ones were ahead of random ones on real scans.
const MEASURED: usize = 10;

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    if let Some(out) = args.out.as_ref().filter(|out| out.exists() && !out.is_dir()) {
        bail!("{}: expected a folder, or nothing yet; choose another --out", out.display());
    }
    let dataset = Dataset::open(&args.dataset)?;
    let request = Request {
        organs: args.organs.clone(),
        count: args.count,
        scans: None,
        encoder: args.encoder.clone(),
        device: args.device,
        ignore_masks: args.again,
    };
    let candidates = Candidates::of(&dataset, &request)?;
    if !candidates.known {
        talk::note(
            "note: nobody has said which slices show these organs, so all take part\n\
             hint: name the first and last slice in each scan, a minute each: --ranges of `polycl import`",
        );
    }
    if candidates.drawn > 0 {
        talk::note(format!(
            "note: {} scans are drawn by hand already and count as examples; --again suggests them, too",
            candidates.drawn
        ));
    }
    if args.count > MEASURED {
        talk::note(format!(
            "note: suggestions were better than random slices up to {MEASURED}, and worse at 20 (docs/suggest.md)\n\
             hint: draw {MEASURED} that are suggested, the others at random, one a scan"
        ));
    }
    let bar = talk::progress(0, "suggest");
    let suggestions = candidates.choose(&mut |done, of| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    let suggested = Suggested { dataset: &dataset, suggestions, candidates: candidates.size() };
    let table = suggested.csv()?;
    talk::data(&table);
    if let Some(out) = &args.out {
        suggested.write(out, &table)?;
        talk::note(format!("see {}", out.join("report.html").display()));
    }
    Ok(Outcome::Done)
}

/// What was suggested of how many candidates.
struct Suggested<'a> {
    dataset: &'a Dataset,
    suggestions: Vec<Suggestion>,
    candidates: usize,
}

impl Suggested<'_> {
    fn csv(&self) -> anyhow::Result<String> {
        let mut table = csv::Writer::from_writer(Vec::new());
        table.write_record(["scan", "slice", "height", "covers", "why"])?;
        for (suggestion, place) in self.suggestions.iter().zip(1..) {
            let [scan, slice, height, covers] = self.cells(suggestion);
            table.write_record([scan, slice, height, covers, self.why(suggestion, place)])?;
        }
        Ok(String::from_utf8(table.into_inner()?)?)
    }

    /// Scan, slice in the file, height in per cent (empty where it is not known) and slices covered.
    fn cells(&self, suggestion: &Suggestion) -> [String; 4] {
        let scan = &self.dataset.index.scans[suggestion.scan];
        let height = suggestion.height.as_ref().map_or(String::new(), |height| percent(height.at));
        let slice = scan.slice_in_file(suggestion.slice);
        [scan.case.clone(), slice.to_string(), height, suggestion.covers.to_string()]
    }

    fn why(&self, suggestion: &Suggestion, place: usize) -> String {
        let Suggestion { height, covers, before, after, .. } = suggestion;
        let of = self.candidates;
        let reason = if *before == 0.0 {
            format!("the most typical of {of} slices")
        } else {
            format!("covers most of what is left: most like {covers} of {of} slices")
        };
        let height = height.as_ref().map_or(String::new(), |height| {
            format!("; {}% of the way up the {}", percent(height.at), height.organ)
        });
        format!("{place}: {reason}; coverage {}% to {}%{height}", percent(*before), percent(*after))
    }

    fn write(&self, out: &Path, table: &str) -> anyhow::Result<()> {
        let image = |suggestion: &Suggestion| self.dataset.image(suggestion.scan, suggestion.slice);
        let images = self.suggestions.iter().map(image).collect::<Result<Vec<_>, _>>()?;
        let ends = self.dataset.index.preprocess.normalised(&[0, u16::MAX]);
        let ends = [ends[0], ends[1]];
        let montage = squares(&images, ends)?;
        let report = self.report(&images, ends)?;
        output::atomically(&out.join("suggested.csv"), |file| file.write_all(table.as_bytes()))?;
        output::atomically(&out.join("suggested.png"), |file| file.write_all(&montage))?;
        report.write(&out.join("report.html"))
    }

    fn report(&self, images: &[Vec<f32>], ends: [f32; 2]) -> anyhow::Result<Report> {
        let mut report = Report::new("What to draw first");
        report.paragraph(&format!(
            "{} of {} slices of {}: first the most typical, then those that cover most of what is left. Slices \
             are counted from 0, in file order. Coverage is the mean, over all slices, of how like each is to \
             the suggested slice that is most like it. Whether slices chosen so teach a network more than \
             random ones, `polycl study` measures.",
            self.suggestions.len(),
            self.candidates,
            self.dataset.dir.display()
        ));
        let row = |(suggestion, place): (&Suggestion, usize)| -> Vec<String> {
            let after = percent(suggestion.after);
            [place.to_string()].into_iter().chain(self.cells(suggestion)).chain([after]).collect()
        };
        let rows: Vec<_> = self.suggestions.iter().zip(1..).map(row).collect();
        report.table(&["", "scan", "slice", "height (%)", "covers", "coverage (%)"], &rows);
        for ((suggestion, place), image) in self.suggestions.iter().zip(1..).zip(images) {
            let png = squares(std::slice::from_ref(image), ends)?;
            let [scan, slice, ..] = self.cells(suggestion);
            let caption = format!("{scan}, slice {slice}. {}", self.why(suggestion, place));
            report.picture(&picture::address(&png), &caption);
        }
        Ok(report)
    }
}

fn percent(part: f64) -> String {
    format!("{:.0}", part * 100.0)
}
