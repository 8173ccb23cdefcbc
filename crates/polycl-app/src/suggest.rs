//! Which slices to draw first, as a table and a report.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::bail;
use polycl_base::{Watch, output};
use polycl_data::Dataset;
use polycl_nn::device::Device;
use polycl_nn::suggest::{self, Candidates, Suggestion};
use serde::{Deserialize, Serialize};

use crate::figures::montage::squares;
use crate::figures::picture;
use crate::figures::report::Report;

/// Slices to choose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub dataset: PathBuf,
    /// Organs that are to be drawn; all without any.
    pub organs: Vec<String>,
    pub count: usize,
    /// Run whose encoder tells slices apart; their pixels without it.
    pub encoder: Option<PathBuf>,
    /// Also suggest slices of scans that are drawn already.
    pub again: bool,
    /// Folder for the report.
    pub out: Option<PathBuf>,
    pub device: Device,
}

/// The slices chosen, as CSV; watchers hear it before a report is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Table(pub String);

/// The slices chosen, and the report if one was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    pub table: Table,
    pub report: Option<PathBuf>,
}

/// The most slices for which suggested ones were ahead of random ones on real scans.
const MEASURED: usize = 10;

/// Chooses slices, most important first.
///
/// # Errors
/// As [`Dataset::open`] and [`Candidates::of`]; what writing the report can say.
pub fn run(request: &Request, watch: &dyn Watch) -> anyhow::Result<Outcome> {
    if let Some(out) = request.out.as_ref().filter(|out| out.exists() && !out.is_dir()) {
        bail!("{}: expected a folder, or nothing yet; choose another --out", out.display());
    }
    let dataset = Dataset::open(&request.dataset)?;
    let asked = suggest::Request {
        organs: request.organs.clone(),
        count: request.count,
        scans: None,
        encoder: request.encoder.clone(),
        device: request.device,
        ignore_masks: request.again,
    };
    let candidates = Candidates::of(&dataset, &asked)?;
    tell(&candidates, request.count, watch);
    watch.task("suggest");
    let suggestions = candidates.choose(watch)?;
    let suggested = Suggested { dataset: &dataset, suggestions, candidates: candidates.size() };
    let table = Table(suggested.csv()?);
    watch.partial(&table);
    let report = request.out.as_ref().map(|out| suggested.write(out, &table.0)).transpose()?;
    Ok(Outcome { table, report })
}

fn tell(candidates: &Candidates<'_>, count: usize, watch: &dyn Watch) {
    if !candidates.known {
        watch.note(
            "note: nobody has said which slices show these organs, so all take part\n\
             hint: name the first and last slice in each scan, a minute each: --ranges of `polycl import`",
        );
    }
    if candidates.drawn > 0 {
        watch.note(&format!(
            "note: {} scans are drawn by hand already and count as examples; --again suggests them, too",
            candidates.drawn
        ));
    }
    if count > MEASURED {
        watch.note(&format!(
            "note: suggestions were better than random slices up to {MEASURED}, and worse at 20 (docs/suggest.md)\n\
             hint: draw {MEASURED} that are suggested, the others at random, one a scan"
        ));
    }
}
/// Suggestions of so many candidates.
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

    fn write(&self, out: &Path, table: &str) -> anyhow::Result<PathBuf> {
        let image = |suggestion: &Suggestion| self.dataset.image(suggestion.scan, suggestion.slice);
        let images = self.suggestions.iter().map(image).collect::<Result<Vec<_>, _>>()?;
        let ends = self.dataset.index.preprocess.normalised(&[0, u16::MAX]);
        let ends = [ends[0], ends[1]];
        let montage = squares(&images, ends)?;
        let report = self.report(&images, ends)?;
        output::atomically(&out.join("suggested.csv"), |file| file.write_all(table.as_bytes()))?;
        output::atomically(&out.join("suggested.png"), |file| file.write_all(&montage))?;
        let path = out.join("report.html");
        report.write(&path)?;
        Ok(path)
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
