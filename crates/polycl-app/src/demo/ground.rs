//! The grounds that the demo runs on, as data: how the scans come, and what may be said of them.

use super::scale::Scale;

/// Scans that the demo can be run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Data {
    /// Patients drawn by a program
    Phantoms,
    /// The CT scan of a real patient with masks by another network; `polycl fetch` downloads it
    LidcSample,
}

/// In commands and paths, `{}` stands for the demo's folder and `{sample}` for that of the fetched scan.
pub struct Ground {
    /// The commands up to the scans.
    pub bring: Vec<String>,
    /// The next work of a person, where the demo plays one.
    pub drawing: Option<Drawing>,
    /// The commands up to the fine-tunings.
    pub prepare: Vec<String>,
    pub networks: Vec<Network>,
    /// The organ's value in the masks.
    pub label: u16,
    pub tests: Vec<Test>,
    /// True if people drew the masks of the tests, so that accuracy can be told.
    pub truth: bool,
    /// An account of the work, and of what it does not show.
    pub story: String,
    pub caption: &'static str,
}

/// Slices that a person draws of the scans in `{}/train`: as many in each draw.
pub struct Drawing {
    pub slices: usize,
    pub draws: u32,
    pub seed: u32,
}

/// A network of the demo, in the folder of its name.
pub struct Network {
    pub name: String,
    /// Its title in the report.
    pub title: String,
    /// Flags of `finetune` beside those that hold for all.
    pub flags: String,
    /// True if its masks are shown.
    pub shown: bool,
}

/// Scans to segment, in folders `images` and `labels`.
pub struct Test {
    pub name: &'static str,
    pub folder: String,
    /// Those that are shown.
    pub cases: Vec<String>,
}

impl Data {
    pub fn ground(self, scale: &Scale, seed: u32) -> Ground {
        match self {
            Self::Phantoms => phantoms(scale, seed),
            Self::LidcSample => lidc_sample(scale, seed),
        }
    }
}

fn phantoms(scale: &Scale, seed: u32) -> Ground {
    let Scale { training_patients, test_patients, .. } = scale;
    let pretraining = scale.pretraining();
    let patients = |folder: &str, first: u32, count: &u32, domain: &str| {
        format!(
            "phantom --out {{}}/{folder} --patients {count} --first {first} --domain {domain} --size 64 --seed {seed}"
        )
    };
    // No test patient has the number, and so the name, of one that trains.
    let unseen = *training_patients;
    let slices = *training_patients;
    let test = |name| {
        let cases = [unseen, unseen + 1].map(|number| format!("{name}{number:03}")).to_vec();
        Test { name, folder: format!("{{}}/test-{name}"), cases }
    };
    let import = |name: &str| {
        format!(
            "import --images {{}}/train/images --labels {{}}/drawn/{name} --only {ORGAN} \
             --ranges {{}}/ranges.csv --out {{}}/{name}-data --size 64"
        )
    };
    let mut prepare = vec![
        format!(
            "import --images {{}}/train/images --ranges {{}}/ranges.csv --only {ORGAN} --out {{}}/scans --size 64"
        ),
        format!(
            "pretrain {{}}/scans --strategy mixed --organ {ORGAN} --out {{}}/encoder {pretraining} --seed {seed}"
        ),
    ];
    let mut networks = Vec::new();
    for draw in 1..=DRAWS {
        for (placement, title) in [(SPREAD, "one slice a scan"), (WHOLE, "one patient")] {
            let name = format!("{placement}-{draw}");
            prepare.push(import(&name));
            networks.push(Network {
                title: format!("{title}, draw {draw}"),
                // So short a training makes a poor teacher.
                flags: format!("{{}}/{name}-data --self-train false --seed {}", seed.wrapping_add(draw)),
                shown: draw == 1,
                name,
            });
        }
    }
    networks.push(Network {
        name: "pretrained".to_owned(),
        title: "one slice a scan, draw 1, pre-trained (mixed)".to_owned(),
        flags: format!(
            "{{}}/{SPREAD}-1-data --encoder {{}}/encoder --self-train false --seed {}",
            seed.wrapping_add(1)
        ),
        shown: false,
    });
    Ground {
        bring: vec![
            patients("train", 0, training_patients, "a"),
            patients("test-a", unseen, test_patients, "a"),
            patients("test-b", unseen, test_patients, "b"),
        ],
        drawing: Some(Drawing { slices: slices as usize, draws: DRAWS, seed }),
        prepare,
        networks,
        label: 1,
        // The hospitals of the test patients.
        tests: vec![test("a"), test("b")],
        truth: true,
        story: format!(
            "A network is to learn the {ORGAN} from {slices} drawn slices of phantom patients. Drawn one in each scan, \
             with the first and last slice of the {ORGAN} named, or all in one patient: the effort of drawing is the \
             same. Each way was tried with {DRAWS} draws. All networks then segmented patients they had never seen: \
             of the same hospital (a) and of another one (b), with another scanner. Phantoms are drawn by a program; \
             these numbers show that the workflow works, not what it reaches on real scans."
        ),
        caption: "The slice of each patient with most of the organ: truth in blue, prediction in orange.",
    }
}

/// The organ that is learnt.
pub const ORGAN: &str = "liver";
/// Draws of each placement.
const DRAWS: u32 = 3;
/// One slice in each scan.
pub const SPREAD: &str = "spread";
/// All in one patient.
pub const WHOLE: &str = "patient";

/// One patient, so nothing is held back; and no mask of a person, so there is no truth.
fn lidc_sample(scale: &Scale, seed: u32) -> Ground {
    let size = scale.real_size;
    let network = |name: &str, title: &str, more: &str| Network {
        name: name.to_owned(),
        title: title.to_owned(),
        flags: format!("{{}}/dataset --seed {seed}{more}"),
        shown: true,
    };
    Ground {
        bring: vec![
            "fetch lidc-sample".to_owned(),
            format!(
                "import --images {{sample}}/images --labels {{sample}}/labels --only {ORGAN} \
                 --out {{}}/dataset --size {size}"
            ),
        ],
        drawing: None,
        // The other strategies draw negatives from another scan.
        prepare: vec![format!(
            "pretrain {{}}/dataset --strategy organ --organ {ORGAN} --out {{}}/encoder {} --seed {seed}",
            scale.pretraining()
        )],
        networks: vec![
            network("scratch", "from scratch", ""),
            network("pretrained", "pre-trained (organ)", " --encoder {}/encoder"),
        ],
        label: 5,
        tests: vec![Test {
            name: "sample",
            folder: "{sample}".to_owned(),
            cases: vec!["lidc0001".to_owned()],
        }],
        truth: false,
        story: format!(
            "One CT scan of LIDC-IDRI went through the whole workflow. No person drew its masks: another network, \
             TotalSegmentator, made them. A network learnt the {ORGAN} from them, once from scratch and once from an \
             encoder that had been pre-trained on the same scan, told only which slices show the {ORGAN}. Both then \
             segmented the very scan that they were trained on, for there is no other. So nothing was validated, \
             nothing here is an accuracy, and nothing tells how these networks do on a patient they have not seen. \
             That takes other patients, and masks that people drew. What is shown is that a real scan is \
             read, learnt from and segmented in its own grid."
        ),
        caption: "The slice with most of the organ, of the patient that the networks were trained on: \
                  TotalSegmentator in blue, prediction in orange.",
    }
}
