//! The whole road on phantom patients or on a real scan, for a look: commands one after the other, and a report.

mod drawing;
mod ground;
mod scale;
mod scores;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, ensure};
use polycl_base::Watch;
use polycl_data::Origin;
use polycl_image::nifti;
use polycl_nn::train::{RunCard, read_log};
use serde::{Deserialize, Serialize};

use crate::fetch::{self, Environment};
use crate::figures::report::Report;
use crate::figures::{curve, picture};
pub use ground::Data;
use ground::{Ground, Network, ORGAN, SPREAD, Test, WHOLE};
pub use scale::Scale;
use scale::{FULL, QUICK};
use scores::{Score, agreement, compared};

/// A demo to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Folder for everything it writes.
    pub out: PathBuf,
    pub data: Data,
    /// Seed of the patients and of the training.
    pub seed: u32,
    /// Fewer patients and steps, so that scores mean nothing.
    pub quick: bool,
}

/// The demo's report, and the seconds that all took.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    pub report: PathBuf,
    /// A sentence for each group of test patients.
    pub findings: Vec<String>,
    pub seconds: f64,
}

/// The warning of a quick demo.
pub const QUICKLY: &str =
    "This was a quick demo (--quick), with few patients and steps: its scores mean nothing.";

/// Runs one more command of the program, given by its words without the leading `polycl`.
pub type RunLine<'a> = &'a mut dyn FnMut(Vec<String>) -> anyhow::Result<()>;

/// Goes the whole road, each step a command that a person could type.
///
/// # Errors
/// A folder that is occupied; what a step says.
pub fn run(request: &Request, run_line: RunLine<'_>, watch: &dyn Watch) -> anyhow::Result<Outcome> {
    let occupied = std::fs::read_dir(&request.out).is_ok_and(|mut entries| entries.next().is_some());
    ensure!(
        !occupied,
        "{}: expected no such folder, or an empty one; choose another --out",
        request.out.display()
    );
    let start = Instant::now();
    let scale = if request.quick { &QUICK } else { &FULL };
    let ground = request.data.ground(scale, request.seed);
    let Request { out, quick, .. } = request;
    let mut demo = Demo { out, ground: &ground, quick: *quick, lines: Vec::new(), run_line, watch };
    demo.road(scale)?;
    let findings = if ground.truth { demo.findings()? } else { Vec::new() };
    let report = out.join("report.html");
    demo.report(start)?.write(&report)?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(Outcome { report: std::path::absolute(&report)?, findings, seconds })
}

/// The place of the fetched scan, there or not.
fn sample() -> anyhow::Result<PathBuf> {
    let item = fetch::item("lidc-sample").context("lidc-sample is missing from the catalogue")?;
    Ok(fetch::place(item, &Environment::of_process())?)
}

struct Demo<'a> {
    out: &'a Path,
    ground: &'a Ground,
    quick: bool,
    /// The commands that were run.
    lines: Vec<String>,
    run_line: RunLine<'a>,
    watch: &'a dyn Watch,
}

impl Demo<'_> {
    /// The text with the folders that it stands for.
    fn place(&self, text: &str) -> anyhow::Result<String> {
        let mut text = text.to_owned();
        for (mark, folder) in [("{}", Ok(self.out.to_path_buf())), ("{sample}", sample())] {
            if text.contains(mark) {
                let folder = folder?.into_os_string().into_string();
                let folder = folder.ok().context("the demo's folders must have names in UTF-8")?;
                text = text.replace(mark, &folder);
            }
        }
        Ok(text)
    }

    /// Runs one command as a user would type it.
    fn step(&mut self, line: &str) -> anyhow::Result<()> {
        let shown = format!("polycl {}", self.place(line)?);
        self.watch.note(&format!("\n$ {shown}"));
        self.lines.push(shown);
        // After the cut, so that folders may have spaces in their names.
        let words = line.split_whitespace().map(|word| self.place(word)).collect::<Result<Vec<_>, _>>()?;
        (self.run_line)(words)
    }

    fn road(&mut self, scale: &Scale) -> anyhow::Result<()> {
        let Ground { bring, drawing, prepare, networks, tests, truth, .. } = self.ground;
        for line in bring {
            self.step(line)?;
        }
        if let Some(drawing) = drawing {
            let said = drawing.play(self.out, self.ground.label)?;
            self.watch.note(&format!("\n{said}"));
            self.lines.push(said);
        }
        for line in prepare {
            self.step(line)?;
        }
        let Scale { finetuning_epochs, finetuning_steps, .. } = scale;
        for Network { name, flags, .. } in networks {
            self.step(&format!(
                "finetune {flags} --organ {ORGAN} --epochs {finetuning_epochs} --steps {finetuning_steps} \
                 --out {{}}/{name}"
            ))?;
        }
        for Network { name: network, .. } in networks {
            for Test { name, folder, .. } in tests {
                let out = format!("{{}}/{network}-{name}");
                self.step(&format!("predict {{}}/{network} {folder}/images --out {out}"))?;
                if *truth {
                    self.step(&format!(
                        "evaluate --reference {folder}/labels --prediction {out} --out {out}-scores"
                    ))?;
                }
            }
        }
        Ok(())
    }

    fn report(&self, start: Instant) -> anyhow::Result<Report> {
        let mut report = Report::new("PolyCL demo");
        report.paragraph(&self.ground.story);
        if self.quick {
            report.paragraph(QUICKLY);
        }
        if self.ground.truth {
            self.scores(&mut report)?
        } else {
            self.agreements(&mut report)?
        }
        report.heading("Training");
        let networks = &self.ground.networks;
        let learnt_from = |network: &Network| -> anyhow::Result<String> {
            let trained = RunCard::read(&self.out.join(&network.name))?.training_cases;
            Ok(Origin::counts(trained.iter().map(|seen| seen.origin)))
        };
        let origins = networks.iter().map(learnt_from).collect::<anyhow::Result<Vec<_>>>()?;
        if origins.iter().all(|other| *other == origins[0]) {
            report.paragraph(&format!("Masks that each network learnt from: {}.", origins[0]));
        } else {
            let each = networks
                .iter()
                .zip(&origins)
                .map(|(network, origins)| format!("{}: {origins}", network.title));
            report.paragraph(&format!(
                "Masks that each network learnt from: {}.",
                each.collect::<Vec<_>>().join("; ")
            ));
        }
        let shown = networks.iter().filter(|network| network.shown);
        let shown = shown.map(|network| (network.name.as_str(), network.title.as_str()));
        for (run, title) in [("encoder", "pre-training")].into_iter().chain(shown) {
            report.svg(&curve::svg(title, &read_log(&self.out.join(run))?)?);
        }
        report.heading("Pictures");
        report.paragraph(self.ground.caption);
        for test in &self.ground.tests {
            self.pictures(&mut report, test)?;
        }
        report.heading("Commands");
        report.code(&self.lines.join("\n"));
        let seconds = start.elapsed().as_secs_f64();
        report.paragraph(&format!("polycl {}, {seconds:.0} s in all.", env!("CARGO_PKG_VERSION")));
        Ok(report)
    }

    /// The scores of all networks on the patients of a test.
    fn scores_of(&self, test: &Test) -> anyhow::Result<Vec<Score>> {
        let read = |network: &Network| Score::read(self.out, &network.name, &network.title, test.name);
        self.ground.networks.iter().map(read).collect()
    }

    /// The ways to draw compared, in a sentence for each test.
    fn findings(&self) -> anyhow::Result<Vec<String>> {
        let compared = |test: &Test| {
            let scores = self.scores_of(test)?;
            Ok(compared(test.name, &draws(&scores, SPREAD), &draws(&scores, WHOLE)))
        };
        self.ground.tests.iter().map(compared).collect()
    }

    /// Reports the scores of `evaluate` for each hospital.
    fn scores(&self, report: &mut Report) -> anyhow::Result<()> {
        report.heading("Scores");
        let mut rows = Vec::new();
        for finding in self.findings()? {
            report.paragraph(&finding);
        }
        for test in &self.ground.tests {
            rows.extend(self.scores_of(test)?.iter().map(|score| score.row(test.name)));
        }
        report.table(
            &["network", "test patients", "Dice", "95% interval", "HD95 (mm)", "surface Dice at 2 mm"],
            &rows,
        );
        report.paragraph(
            "Means over patients, in 3D and in mm; a missed organ scores Dice 0 and the image's diagonal. \
             Intervals are bootstrapped over patients: they tell how the means vary with the patients. What is drawn and \
             the seed of the training can move the means as much, and intervals do not tell of that. Three draws are few, and of \
             the pre-trained network there is one, which decides nothing.",
        );
        Ok(())
    }

    /// Reports the agreement with a machine, where no person drew a mask.
    fn agreements(&self, report: &mut Report) -> anyhow::Result<()> {
        report.heading("Agreement with a machine, on the training scan");
        let mut rows = Vec::new();
        for test in &self.ground.tests {
            for (network, case) in
                self.ground.networks.iter().flat_map(|n| test.cases.iter().map(move |c| (n, c)))
            {
                let [_, made, predicted] = self.files(test, case, &network.name)?;
                let run = self.out.join(&network.name);
                rows.push(agreement(&run, &network.title, case, [&made, &predicted], self.ground.label)?);
            }
        }
        report.table(&["network", "scan", "seen in training", "agreement (Dice)"], &rows);
        report.paragraph(
            "How far each network repeats, on a scan that it was trained on, the mask that it was shown. That is no \
             accuracy, and no evidence for or against pre-training; `polycl evaluate` refuses such masks as \
             references.",
        );
        Ok(())
    }

    /// A scan, its mask, and what a network made of it.
    fn files(&self, test: &Test, case: &str, network: &str) -> anyhow::Result<[PathBuf; 3]> {
        let folder = PathBuf::from(self.place(&test.folder)?);
        let file = format!("{case}.nii.gz");
        let predicted = self.out.join(format!("{network}-{}", test.name));
        Ok([folder.join("images").join(&file), folder.join("labels").join(&file), predicted.join(file)])
    }

    /// The first scans of a test, as the networks that are shown saw them.
    fn pictures(&self, report: &mut Report, test: &Test) -> anyhow::Result<()> {
        let shown = || self.ground.networks.iter().filter(|network| network.shown);
        for (case, network) in test.cases.iter().flat_map(|case| shown().map(move |n| (case, n))) {
            let [image, truth, prediction] = self.files(test, case, &network.name)?;
            if !image.exists() {
                continue;
            }
            let (truth, prediction) = (nifti::read_mask(&truth)?, nifti::read_mask(&prediction)?);
            let image = nifti::read_image(&image)?;
            if let Some(address) = picture::overlay(&image, &truth, &prediction, self.ground.label)? {
                report.picture(&address, &format!("patient {case}, {}", network.title));
            }
        }
        Ok(())
    }
}

/// The scores of a placement's draws.
fn draws<'a>(scores: &'a [Score], placement: &str) -> Vec<&'a Score> {
    scores.iter().filter(|score| score.network.starts_with(placement)).collect()
}
