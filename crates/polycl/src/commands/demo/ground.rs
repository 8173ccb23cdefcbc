//! What the demo can be run on, as data: how the scans come, and what may be said of them.

use super::{ORGAN, Scale};

/// What to run the demo on
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Data {
    /// Patients drawn by a program
    Phantoms,
    /// The CT scan of a real patient with masks by another network; `polycl fetch` downloads it
    LidcSample,
}

/// In commands and paths, `{}` stands for the demo's folder and `{sample}` for that of the fetched scan.
pub struct Ground {
    /// The commands up to the data set.
    pub bring: Vec<String>,
    pub strategy: &'static str,
    /// Patients whose masks train.
    pub labelled: u32,
    /// The networks that are compared: folder, and how the report calls them.
    pub networks: [(&'static str, &'static str); 2],
    /// The organ's value in the masks.
    pub label: u16,
    pub tests: Vec<Test>,
    /// Whether people drew the masks of the tests, so that accuracy can be told.
    pub truth: bool,
    /// What was done, and what it does not show.
    pub story: String,
    pub caption: &'static str,
}

/// Scans to segment, in folders `images` and `labels`.
pub struct Test {
    pub name: &'static str,
    pub folder: String,
    /// Those that are shown.
    pub cases: Vec<&'static str>,
}

impl Data {
    pub fn ground(self, scale: &Scale, seed: u32) -> Ground {
        match self {
            Self::Phantoms => phantoms(scale, seed),
            Self::LidcSample => lidc_sample(scale),
        }
    }
}

fn phantoms(scale: &Scale, seed: u32) -> Ground {
    let Scale { training_patients, test_patients, .. } = scale;
    let patients = |folder: &str, count: &u32, domain: &str, seed: u32| {
        format!("phantom --out {{}}/{folder} --patients {count} --domain {domain} --size 64 --seed {seed}")
    };
    let unseen = seed.wrapping_add(1);
    let labelled = 3;
    let test = |name, cases| Test { name, folder: format!("{{}}/test-{name}"), cases };
    Ground {
        bring: vec![
            patients("train", training_patients, "a", seed),
            patients("test-a", test_patients, "a", unseen),
            patients("test-b", test_patients, "b", unseen),
            "import --manifest {}/train/manifest.csv --out {}/dataset --size 64".to_owned(),
        ],
        strategy: "mixed",
        labelled,
        networks: [("scratch", "from scratch"), ("pretrained", "pre-trained (mixed)")],
        label: 1,
        // The hospitals of the test patients.
        tests: vec![test("a", vec!["a000", "a001"]), test("b", vec!["b000", "b001"])],
        truth: true,
        story: format!(
            "A network learnt the {ORGAN} from {labelled} labelled phantom patients, once from scratch and once from \
             an encoder that had been pre-trained on slices without masks. Both then segmented patients they had \
             never seen: of the same hospital (a) and of another one (b), with another scanner. Phantoms are drawn \
             by a program; these numbers show that the road works, not what it reaches on real scans."
        ),
        caption: "The slice of each patient with most of the organ: truth in blue, prediction in orange.",
    }
}

/// One patient, so nothing is held back; and no mask of a person, so there is no truth.
fn lidc_sample(scale: &Scale) -> Ground {
    let size = scale.real_size;
    Ground {
        bring: vec![
            "fetch lidc-sample".to_owned(),
            format!(
                "import --images {{sample}}/images --labels {{sample}}/labels --only {ORGAN} \
                 --out {{}}/dataset --size {size}"
            ),
        ],
        // The others draw negatives from another scan.
        strategy: "organ",
        labelled: 1,
        networks: [("scratch", "from scratch"), ("pretrained", "pre-trained (organ)")],
        label: 5,
        tests: vec![Test { name: "sample", folder: "{sample}".to_owned(), cases: vec!["lidc0001"] }],
        truth: false,
        story: format!(
            "One CT scan of LIDC-IDRI went the whole road. No person drew its masks: another network, \
             TotalSegmentator, made them. A network learnt the {ORGAN} from them, once from scratch and once from an \
             encoder that had been pre-trained on the same scan, told only which slices show the {ORGAN}. Both then \
             segmented the very scan that they were trained on, for there is no other. So nothing was validated, \
             nothing here is an accuracy, and nothing tells how these networks do on a patient they have not seen: \
             for that it takes other patients, and masks that people drew. What is shown is that a real scan is \
             read, learnt from and segmented in its own grid."
        ),
        caption: "The slice with most of the organ, of the patient that the networks were trained on: \
                  TotalSegmentator in blue, prediction in orange.",
    }
}
