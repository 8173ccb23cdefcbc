//! All that people and machines have made of one scan, and how it changes.

use std::collections::{BTreeMap, BTreeSet};

use polycl_image::Plane;
use polycl_image::names::Names;
use serde::{Deserialize, Serialize};

use crate::marks::{AllMarks, Mark, Marks};
use crate::step::{Change, Step, What};
use crate::view::View;

/// Steps that can be undone, and the most changed runs that they may hold together.
const STEPS: usize = 500;
const CHANGES: usize = 4_000_000;
/// Tabs whose last edit is remembered.
const TABS: usize = 64;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Label {
    pub value: u16,
    pub name: String,
    /// `#rrggbb`
    pub color: String,
    pub visible: bool,
    /// Its pixels are never changed.
    pub locked: bool,
    /// Intensity window in HU, centre and width.
    pub window: [f32; 2],
}

/// A machine that has proposed something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    pub kind: MachineKind,
    pub name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MachineKind {
    Propagated,
    Predicted,
}

impl Machine {
    pub fn propagated(name: &str) -> Self {
        Self { kind: MachineKind::Propagated, name: name.to_owned() }
    }

    pub fn predicted(name: &str) -> Self {
        Self { kind: MachineKind::Predicted, name: name.to_owned() }
    }
}

/// All machines that have proposed something in a scan, the latest at the end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "KeptMachines")]
pub struct Machines(Vec<Machine>);

/// Earlier versions kept the latest machine alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum KeptMachines {
    All(Vec<Machine>),
    Latest(Option<Machine>),
}

impl From<KeptMachines> for Machines {
    fn from(kept: KeptMachines) -> Self {
        match kept {
            KeptMachines::All(all) => Self(all),
            KeptMachines::Latest(machine) => Self(machine.into_iter().collect()),
        }
    }
}

impl From<Vec<Machine>> for Machines {
    fn from(all: Vec<Machine>) -> Self {
        Self(all)
    }
}

impl Machines {
    /// With one that has proposed a whole mask.
    #[must_use]
    pub fn then(&self, machine: Machine) -> Self {
        let mut all = self.clone();
        all.0.retain(|own| *own != machine);
        all.0.push(machine);
        all
    }

    /// With one that has had a part, which does not change whose mask it is.
    #[must_use]
    pub fn and(&self, machine: Machine) -> Self {
        let mut all = self.clone();
        if !all.0.contains(&machine) {
            all.0.insert(0, machine);
        }
        all
    }

    /// With all of others that are not among them.
    #[must_use]
    pub fn with(&self, others: &Self) -> Self {
        others.0.iter().fold(self.clone(), |all, machine| all.and(machine.clone()))
    }

    pub fn latest(&self) -> Option<&Machine> {
        self.0.last()
    }

    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map(|machine| machine.name.as_str()).collect()
    }

    pub fn kinds(&self) -> Vec<MachineKind> {
        self.0.iter().map(|machine| machine.kind).collect()
    }
}

/// A person's word that a scan is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Review {
    pub who: String,
    /// Seconds since 1970.
    pub when: u64,
    /// True if no voxel had a label.
    #[serde(default)]
    pub empty: bool,
}

/// Everything but voxels and steps: small, and read for the queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Canonical.
    pub shape: [usize; 3],
    pub spacing: [f64; 3],
    pub labels: Vec<Label>,
    pub marks: AllMarks,
    #[serde(alias = "machine")]
    pub machines: Machines,
    /// Those that have ever proposed something: people have seen it, also where it was undone.
    #[serde(default)]
    pub shown: Machines,
    pub note: String,
    pub review: Option<Review>,
    pub who: Option<String>,
    pub when: Option<u64>,
    pub revision: u64,
    /// The last edit of each tab, the latest tab at the end.
    pub seqs: Vec<(String, u64)>,
    /// Sizes and times of the scan's files when it was opened first.
    pub stamp: String,
    /// Sentences about what was odd about the scan then.
    #[serde(default)]
    pub odd: Vec<String>,
}

/// A scan's labels and their history. Voxels are in canonical order.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    pub facts: Facts,
    pub mask: Vec<u16>,
    pub undo: Vec<Step>,
    pub redo: Vec<Step>,
}

/// The tab in which something is done, which is empty for a job's result, and the person who sits there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Author {
    pub tab: String,
    pub who: Option<String>,
}

/// A change as it stands in the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The document's after it.
    pub revision: u64,
    pub tab: String,
    pub seq: Option<u64>,
    pub who: Option<String>,
    pub when: u64,
    pub act: Act,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    Step(Step),
    Undo,
    Redo,
    Labels(Vec<Label>),
    /// Axial slices that were on the screen.
    Viewed(BTreeSet<usize>),
    Note(String),
    Review(Option<Review>),
}

/// Seconds since 1970.
pub fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// The place and kind of a change.
#[derive(Debug, Default, PartialEq)]
pub struct Touched {
    pub slices: BTreeSet<usize>,
    pub what: Option<What>,
    /// Labels that the change is about.
    pub labels: Vec<u16>,
}

impl Document {
    pub fn new(shape: [usize; 3], spacing: [f64; 3], labels: Vec<Label>, stamp: String) -> Self {
        let facts = Facts {
            shape,
            spacing,
            labels,
            marks: AllMarks::new(),
            machines: Machines::default(),
            shown: Machines::default(),
            note: String::new(),
            review: None,
            who: None,
            when: None,
            revision: 0,
            seqs: Vec::new(),
            stamp,
            odd: Vec::new(),
        };
        Self { facts, mask: vec![0; shape.iter().product()], undo: Vec::new(), redo: Vec::new() }
    }

    pub fn view(&self, plane: Plane) -> View {
        View::new(plane, self.facts.shape)
    }

    pub fn label(&self, value: u16) -> Option<&Label> {
        self.facts.labels.iter().find(|label| label.value == value)
    }

    pub fn names(&self) -> Names {
        self.facts.labels.iter().map(|label| (label.value, label.name.clone())).collect()
    }

    pub fn marks(&self, label: u16) -> Marks {
        self.facts.marks.get(&label).cloned().unwrap_or_else(|| Marks::new(self.facts.shape[2]))
    }

    /// Values of labels that are in use, or that undoing would bring again.
    pub fn taken(&self) -> BTreeSet<u16> {
        let steps = self.undo.iter().chain(&self.redo).flat_map(Step::about);
        self.facts.labels.iter().map(|label| label.value).chain(steps).collect()
    }

    /// The labels of an axial slice.
    pub fn slice(&self, z: usize) -> &[u16] {
        let pixels = self.facts.shape[0] * self.facts.shape[1];
        &self.mask[z * pixels..(z + 1) * pixels]
    }

    /// The next entry of the journal.
    pub fn entry(&self, author: &Author, seq: Option<u64>, act: Act) -> Entry {
        let when = now();
        let Author { tab, who } = author.clone();
        Entry { revision: self.facts.revision + 1, tab, seq, who, when, act }
    }

    /// The last edit of a tab that is stored.
    pub fn last_seq(&self, tab: &str) -> Option<u64> {
        self.facts.seqs.iter().find(|(own, _)| own == tab).map(|(_, seq)| *seq)
    }

    /// Does what an entry says, which is one that the document gave out or that its journal holds.
    pub fn apply(&mut self, entry: Entry) -> Touched {
        let Entry { revision, tab, seq, who, when, act } = entry;
        self.facts.revision = revision;
        if let Some(seq) = seq {
            self.facts.seqs.retain(|(own, _)| *own != tab);
            self.facts.seqs.push((tab, seq));
            let surplus = self.facts.seqs.len().saturating_sub(TABS);
            self.facts.seqs.drain(..surplus);
        }
        let changes = !matches!(act, Act::Viewed(_) | Act::Note(_) | Act::Labels(_));
        if changes {
            (self.facts.who, self.facts.when) = (who, Some(when));
        }
        match act {
            Act::Step(mut step) => {
                self.redo.clear();
                let touched = self.perform(&mut step, true);
                self.undo.push(step);
                self.forget();
                touched
            }
            Act::Undo => self.undo.pop().map_or_else(Touched::default, |mut step| {
                let touched = self.perform(&mut step, false);
                self.redo.push(step);
                touched
            }),
            Act::Redo => self.redo.pop().map_or_else(Touched::default, |mut step| {
                let touched = self.perform(&mut step, true);
                self.undo.push(step);
                touched
            }),
            Act::Labels(labels) => {
                self.facts.labels = labels;
                Touched::default()
            }
            Act::Viewed(slices) => {
                self.look(&slices);
                Touched::default()
            }
            Act::Note(note) => {
                self.facts.note = note;
                Touched::default()
            }
            Act::Review(review) => {
                if review.is_none() {
                    // Whoever takes the word back means that no undoing brings it again.
                    self.undo.iter_mut().chain(&mut self.redo).for_each(|step| step.review = None);
                }
                self.facts.review = review;
                Touched::default()
            }
        }
    }

    fn perform(&mut self, step: &mut Step, forth: bool) -> Touched {
        let pixels = self.facts.shape[0] * self.facts.shape[1];
        let mut slices = BTreeSet::new();
        for &Change { start, length, old, new } in &step.changes {
            let voxels = start as usize..start as usize + length as usize;
            slices.extend(voxels.start / pixels..=(voxels.end - 1) / pixels);
            self.mask[voxels].fill(if forth { new } else { old });
        }
        let at = usize::from(forth);
        for (&label, marks) in &step.marks {
            self.facts.marks.insert(label, marks[at].clone());
        }
        self.facts.machines = step.machines[at].clone();
        self.facts.shown = self.facts.shown.with(&self.facts.machines);
        // A mask that was changed since is not the one that a person vouched for; undone, it is that one again.
        if forth {
            step.review = self.facts.review.take();
        } else {
            self.facts.review.clone_from(&step.review);
        }
        if let Some(label) = &step.removes {
            self.put_label(label, forth);
        }
        Touched { slices, what: Some(step.what), labels: step.about() }
    }

    /// Takes a label out of the table, or puts it back under a name that no other has.
    fn put_label(&mut self, label: &Label, out: bool) {
        let labels = &mut self.facts.labels;
        labels.retain(|own| own.value != label.value);
        if out {
            self.facts.marks.remove(&label.value);
            return;
        }
        let mut label = label.clone();
        while labels.iter().any(|own| own.name.to_lowercase() == label.name.to_lowercase()) {
            label.name.push_str(" again");
        }
        let at = labels.partition_point(|own| own.value < label.value);
        labels.insert(at, label);
    }

    /// Marks what was on the screen as looked at.
    fn look(&mut self, slices: &BTreeSet<usize>) {
        let count = self.facts.shape[2];
        for label in &self.facts.labels {
            let marks = self.facts.marks.entry(label.value).or_insert_with(|| Marks::new(count));
            for &z in slices {
                if let Some(mark) = marks.slices.get_mut(z) {
                    *mark = mark.viewed();
                }
            }
        }
    }

    /// Forgets the oldest steps where there are too many.
    fn forget(&mut self) {
        let mut held: usize = self.undo.iter().map(|step| step.changes.len()).sum();
        let mut surplus = self.undo.len().saturating_sub(STEPS);
        for step in &self.undo[..self.undo.len() - 1] {
            if held <= CHANGES {
                break;
            }
            held -= step.changes.len();
            surplus += 1;
        }
        self.undo.drain(..surplus.min(self.undo.len() - 1));
    }

    /// True if any pixel has a label.
    pub fn has(&self, label: u16) -> bool {
        self.mask.contains(&label)
    }

    /// Pixels of each label in each axial slice.
    pub fn pixels(&self) -> BTreeMap<u16, Vec<u64>> {
        pixels(&self.mask, self.facts.shape)
    }
}

/// Pixels of each value but 0 in each axial slice of a mask.
pub fn pixels(mask: &[u16], [nx, ny, nz]: [usize; 3]) -> BTreeMap<u16, Vec<u64>> {
    let mut counts: BTreeMap<u16, Vec<u64>> = BTreeMap::new();
    for (z, slice) in mask.chunks_exact(nx * ny).enumerate() {
        for run in slice.chunk_by(|a, b| a == b).filter(|run| run[0] != 0) {
            counts.entry(run[0]).or_insert_with(|| vec![0; nz])[z] += run.len() as u64;
        }
    }
    counts
}

impl Facts {
    /// The state of a scan in the queue.
    pub fn state(&self) -> &'static str {
        let any = |wanted: fn(Mark) -> bool| {
            self.marks.values().any(|marks| marks.slices.iter().any(|mark| wanted(*mark)))
        };
        let proposed = any(|mark| mark.is_machine() || mark == Mark::Edited);
        match self.machines.latest() {
            _ if self.review.is_some() => "reviewed",
            Some(Machine { kind: MachineKind::Predicted, .. }) if proposed => "predicted",
            _ if proposed => "propagated",
            _ if any(|mark| mark == Mark::Drawn || mark == Mark::Crossed) => "drawn",
            _ => "untouched",
        }
    }

    /// Pixels in doubt, of all labels.
    pub fn doubt(&self) -> f64 {
        self.marks.values().filter_map(|marks| marks.confidence.as_ref()).map(|own| own.doubt()).sum()
    }
}
