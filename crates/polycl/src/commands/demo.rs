use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, ensure};
use polycl_nn::train::{RunCard, read_log};
use polycl_volume::dataset::Origin;
use polycl_volume::nifti;
use serde_json::Value;

use crate::cli::{self, Outcome};
use crate::report::Report;
use crate::{curve, picture, talk};

/// Go the whole road on phantom patients, in a few minutes
///
/// Writes a cohort of phantom CT scans, imports it, pre-trains an encoder without masks,
/// fine-tunes a network on three labelled patients with and without it, segments patients of
/// the same hospital and of another one, and leaves a report to open in a browser. Every step is a
/// command of its own, printed as it runs.
#[derive(clap::Args)]
pub struct Args {
    /// Folder for everything the demo writes
    #[arg(long, value_name = "DIR", default_value = "polycl-demo")]
    out: PathBuf,
    /// Seed of the patients and of the training
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u32,
    /// Fewer patients and steps: a check that all works, in under a minute; scores mean nothing
    #[arg(long)]
    quick: bool,
}

/// How much the demo does.
struct Scale {
    training_patients: u32,
    test_patients: u32,
    pretraining_epochs: u32,
    finetuning_epochs: u32,
    /// Steps an epoch.
    steps: u32,
}

const FULL: Scale = Scale {
    training_patients: 16,
    test_patients: 6,
    pretraining_epochs: 8,
    finetuning_epochs: 12,
    steps: 14,
};
const QUICK: Scale =
    Scale { training_patients: 3, test_patients: 1, pretraining_epochs: 1, finetuning_epochs: 2, steps: 4 };

/// The networks that are compared: folder, and how the report calls them.
const NETWORKS: [(&str, &str); 2] = [("scratch", "from scratch"), ("pretrained", "pre-trained (mixed)")];
/// The hospitals of the test patients.
const DOMAINS: [&str; 2] = ["a", "b"];
const SIZE: &str = "64";
const LABELLED: &str = "3";
const ORGAN: &str = "liver";

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let occupied = std::fs::read_dir(&args.out).is_ok_and(|mut entries| entries.next().is_some());
    ensure!(
        !occupied,
        "{}: expected no such folder, or an empty one; choose another --out",
        args.out.display()
    );
    let start = Instant::now();
    let mut demo = Demo { out: &args.out, lines: Vec::new() };
    demo.road(if args.quick { &QUICK } else { &FULL }, args.seed)?;
    let report = args.out.join("report.html");
    demo.report(start)?.write(&report)?;
    talk::note(format!("done in {:.0} s; open the report in a browser:", start.elapsed().as_secs_f64()));
    talk::data(format_args!("{}\n", std::path::absolute(&report)?.display()));
    Ok(Outcome::Done)
}

struct Demo<'a> {
    out: &'a Path,
    /// The commands that were run.
    lines: Vec<String>,
}

impl Demo<'_> {
    /// Runs one command as a user would type it; `{}` stands for the demo's folder.
    fn step(&mut self, line: &str) -> anyhow::Result<()> {
        let out = self.out.to_str().context("the demo's folder must have a name in UTF-8")?;
        self.lines.push(format!("polycl {}", line.replace("{}", out)));
        talk::note(format!("\n$ polycl {}", line.replace("{}", out)));
        let words = line.split_whitespace().map(|word| word.replace("{}", out));
        ensure!(cli::run_line(words)? == Outcome::Done, "a step of the demo left cases out");
        Ok(())
    }

    fn road(&mut self, scale: &Scale, seed: u32) -> anyhow::Result<()> {
        let Scale { training_patients, test_patients, pretraining_epochs, finetuning_epochs, steps } = scale;
        let unseen = seed.wrapping_add(1);
        self.step(&format!(
            "phantom --out {{}}/train --patients {training_patients} --domain a --size {SIZE} --seed {seed}"
        ))?;
        for domain in DOMAINS {
            self.step(&format!(
                "phantom --out {{}}/test-{domain} --patients {test_patients} --domain {domain} --size {SIZE} --seed {unseen}"
            ))?;
        }
        self.step(&format!("import --manifest {{}}/train/manifest.csv --out {{}}/dataset --size {SIZE}"))?;
        self.step(&format!(
            "pretrain {{}}/dataset --strategy mixed --organ {ORGAN} --out {{}}/encoder \
             --epochs {pretraining_epochs} --steps {steps} --seed {seed}"
        ))?;
        let finetune = format!(
            "finetune {{}}/dataset --organ {ORGAN} --cases {LABELLED} \
             --epochs {finetuning_epochs} --steps {steps} --rate 0.002 --seed {seed}"
        );
        self.step(&format!("{finetune} --out {{}}/scratch"))?;
        self.step(&format!("{finetune} --out {{}}/pretrained --encoder {{}}/encoder"))?;
        for (network, _) in NETWORKS {
            for domain in DOMAINS {
                let out = format!("{{}}/{network}-{domain}");
                self.step(&format!("predict {{}}/{network} {{}}/test-{domain}/images --out {out}"))?;
                self.step(&format!(
                    "evaluate --reference {{}}/test-{domain}/labels --prediction {out} --out {out}-scores"
                ))?;
            }
        }
        Ok(())
    }

    fn report(&self, start: Instant) -> anyhow::Result<Report> {
        let mut report = Report::new("PolyCL demo");
        report.paragraph(&format!(
            "A network learnt the {ORGAN} from {LABELLED} labelled phantom patients, once from scratch and once from \
             an encoder that had been pre-trained on slices without masks. Both then segmented patients they had \
             never seen: of the same hospital (a) and of another one (b), with another scanner. Phantoms are drawn \
             by a program; these numbers show that the road works, not what it reaches on real scans."
        ));
        report.heading("Scores");
        let scores = DOMAINS.map(|domain| NETWORKS.map(|network| Score::read(self.out, network, domain)));
        let mut rows = Vec::new();
        for (domain, scores) in DOMAINS.into_iter().zip(scores) {
            let [scratch, pretrained] = scores;
            let (scratch, pretrained) = (scratch?, pretrained?);
            report.paragraph(&compared(domain, &scratch, &pretrained));
            rows.extend([scratch.row(domain), pretrained.row(domain)]);
        }
        report.table(
            &["network", "test patients", "Dice", "95% interval", "HD95 (mm)", "surface Dice at 2 mm"],
            &rows,
        );
        report.paragraph(
            "Means over patients, in 3D and in mm; a missed organ scores Dice 0 and the image's diagonal. \
             Intervals are bootstrapped over patients: they tell how the means vary with the patients, not with \
             the seed of the training, which can move them as much. One seed decides nothing.",
        );
        report.heading("Training");
        let [(network, _), _] = NETWORKS;
        let trained = RunCard::read(&self.out.join(network))?.training_cases;
        let origins = Origin::counts(trained.iter().map(|seen| seen.origin));
        report.paragraph(&format!("Masks that each network learnt from: {origins}."));
        for (run, title) in [("encoder", "pre-training")].into_iter().chain(NETWORKS) {
            report.svg(&curve::svg(title, &read_log(&self.out.join(run))?)?);
        }
        report.heading("Pictures");
        report.paragraph(
            "The slice of each patient with most of the organ: truth in blue, prediction in orange.",
        );
        for domain in DOMAINS {
            self.pictures(&mut report, domain)?;
        }
        report.heading("Commands");
        report.code(&self.lines.join("\n"));
        let seconds = start.elapsed().as_secs_f64();
        report.paragraph(&format!("polycl {}, {seconds:.0} s in all.", env!("CARGO_PKG_VERSION")));
        Ok(report)
    }

    /// The first test patients of a hospital, as both networks saw them.
    fn pictures(&self, report: &mut Report, domain: &str) -> anyhow::Result<()> {
        let test = self.out.join(format!("test-{domain}"));
        for case in [format!("{domain}000"), format!("{domain}001")] {
            let file = format!("{case}.nii.gz");
            if !test.join("images").join(&file).exists() {
                continue;
            }
            let image = nifti::read_image(&test.join("images").join(&file))?;
            let truth = nifti::read_mask(&test.join("labels").join(&file))?;
            for (network, title) in NETWORKS {
                let prediction = nifti::read_mask(&self.out.join(format!("{network}-{domain}")).join(&file))?;
                if let Some(address) = picture::overlay(&image, &truth, &prediction, 1)? {
                    report.picture(&address, &format!("patient {case}, {title}"));
                }
            }
        }
        Ok(())
    }
}

/// What `evaluate` wrote of one network on the patients of one hospital.
struct Score {
    title: &'static str,
    patients: usize,
    /// Dice of each patient, a miss as 0.
    by_patient: Vec<f64>,
    dice: Option<f64>,
    interval: [Option<f64>; 2],
    hd95: Option<f64>,
    surface_dice: Option<f64>,
}

impl Score {
    fn read(out: &Path, (network, title): (&str, &'static str), domain: &str) -> anyhow::Result<Self> {
        let path = out.join(format!("{network}-{domain}-scores/summary.json"));
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let summary: Value = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        let (mean, interval) = (&summary["mean"]["1"], &summary["polycl"]["interval"]["mean"]["1"]["Dice"]);
        let cases = summary["metric_per_case"].as_array().map_or(&[][..], Vec::as_slice);
        let dice = |case: &Value| case["metrics"]["1"]["Dice"].as_f64().unwrap_or(0.0);
        Ok(Self {
            title,
            patients: cases.len(),
            by_patient: cases.iter().map(dice).collect(),
            dice: mean["Dice"].as_f64(),
            interval: [0, 1].map(|end| interval[end].as_f64()),
            hd95: mean["HD95"].as_f64(),
            surface_dice: mean["NSD"].as_f64(),
        })
    }

    fn row(&self, domain: &str) -> Vec<String> {
        let number = |value: Option<f64>, digits: usize| {
            value.map_or("undefined".to_owned(), |value| format!("{value:.digits$}"))
        };
        let [low, high] = self.interval.map(|end| number(end, 3));
        vec![
            self.title.to_owned(),
            format!("{} of hospital {domain}", self.patients),
            number(self.dice, 3),
            format!("{low} to {high}"),
            number(self.hd95, 1),
            number(self.surface_dice, 3),
        ]
    }
}

/// What was seen, patient by patient; one training of each network allows no more to be said.
fn compared(domain: &str, scratch: &Score, pretrained: &Score) -> String {
    let pairs = || scratch.by_patient.iter().zip(&pretrained.by_patient);
    let better = pairs().filter(|(scratch, pretrained)| pretrained > scratch).count();
    let difference = pairs().map(|(scratch, pretrained)| pretrained - scratch).sum::<f64>();
    format!(
        "Hospital {domain}: with pre-training the Dice of {better} of {} patients is higher; the mean difference is {:+.3}.",
        scratch.patients,
        difference / scratch.patients.max(1) as f64,
    )
}
