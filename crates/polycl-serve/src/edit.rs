//! Steps that people make: strokes and the like, and shapes between drawn planes.

use std::collections::{BTreeMap, BTreeSet};

use polycl_image::Plane;
use serde::Deserialize;

use crate::document::{Document, Machine};
use crate::marks::{Mark, Marks};
use crate::refusal::{Answer, Refusal};
use crate::step::{Change, Step, What, changes};

/// Pixels that a person set, as the page sends them.
#[derive(Debug, Deserialize)]
pub struct Edit {
    pub plane: Plane,
    pub label: u16,
    #[serde(default = "stroke")]
    pub what: What,
    /// Takes pixels of other labels, too.
    #[serde(default = "yes")]
    pub over: bool,
    pub planes: Vec<Pixels>,
}

/// Runs of pixels of one plane: first pixel and length.
#[derive(Debug, Deserialize)]
pub struct Pixels {
    pub k: usize,
    #[serde(default)]
    pub set: Vec<[u32; 2]>,
    #[serde(default)]
    pub clear: Vec<[u32; 2]>,
}

fn stroke() -> What {
    What::Stroke
}

fn yes() -> bool {
    true
}

impl Edit {
    /// The step that the edit is, and whether all its pixels became what was asked for; no step where nothing changes.
    ///
    /// # Errors
    /// A label or slices that are not there, a locked label, pixels outside the plane.
    pub fn step(&self, document: &Document) -> Answer<(Option<Step>, bool)> {
        let label = self.label;
        check_label(document, label)?;
        if ![What::Stroke, What::Copy, What::Clear].contains(&self.what) {
            return Err(Refusal::senseless("what", "An edit is a stroke, a copy or a clearing."));
        }
        let view = document.view(self.plane);
        let locked: BTreeSet<u16> =
            document.facts.labels.iter().filter(|own| own.locked).map(|own| own.value).collect();
        let (mut wanted, mut as_asked) = (Vec::new(), true);
        let mut named = BTreeSet::new();
        for Pixels { k, set, clear } in &self.planes {
            if !named.insert(*k) {
                return Err(Refusal::senseless("bad_runs", "A plane is named twice."));
            }
            if *k >= view.count() {
                let message = format!("There is no plane {k}: the scan has {}.", view.count());
                return Err(Refusal::senseless("no_such_slice", message));
            }
            let bad = || Refusal::senseless("bad_runs", "Runs of pixels must lie in the plane.");
            let mut taken = 0_usize;
            for (runs, sets) in [(set, true), (clear, false)] {
                for &[start, length] in runs {
                    let (start, length) = (start as usize, length as usize);
                    taken = taken.checked_add(length).ok_or_else(bad)?;
                    let end = start.checked_add(length).ok_or_else(bad)?;
                    if end > view.pixels() || taken > 2 * view.pixels() {
                        return Err(bad());
                    }
                    for voxel in (start..end).map(|pixel| view.voxel(*k, pixel)) {
                        let old = document.mask[voxel];
                        let new = match sets {
                            true if old != label && (locked.contains(&old) || old != 0 && !self.over) => {
                                as_asked = false;
                                old
                            }
                            true => label,
                            false if old == label => 0,
                            false => old,
                        };
                        wanted.push((voxel, new));
                    }
                }
            }
        }
        // Of several words on a voxel the last one counts.
        wanted.reverse();
        wanted.sort_by_key(|(voxel, _)| *voxel);
        wanted.dedup_by_key(|(voxel, _)| *voxel);
        let changes = changes(&document.mask, wanted.into_iter());
        if changes.is_empty() {
            return Ok((None, as_asked));
        }
        let planes = self.planes.iter().map(|pixels| pixels.k).collect();
        Ok((Some(by_hand(document, self.plane, label, &planes, self.what, changes)), as_asked))
    }
}

/// Refuses a label that is not there or that is locked.
pub fn check_label(document: &Document, label: u16) -> Answer<()> {
    match document.label(label) {
        None => Err(Refusal::senseless("no_such_label", "There is no such label.")),
        Some(label) if label.locked => {
            Err(Refusal::conflict("locked", format!("The label {} is locked.", label.name)))
        }
        Some(_) => Ok(()),
    }
}

/// The step that takes a label out of the table, with all its pixels.
///
/// # Errors
/// `no_such_label`, `locked`.
pub fn removal(document: &Document, label: u16) -> Answer<Step> {
    check_label(document, label)?;
    let own = document.mask.iter().enumerate().filter(|(_, own)| **own == label).map(|(voxel, _)| (voxel, 0));
    let changes = changes(&document.mask, own);
    let marks = BTreeMap::from([(label, [document.marks(label), Marks::new(document.facts.shape[2])])]);
    let removes = document.label(label).cloned();
    let machines = document.facts.machines.clone();
    Ok(Step {
        what: What::Remove,
        changes,
        marks,
        machines: [machines.clone(), machines],
        label: Some(label),
        review: None,
        removes,
    })
}

/// The step of a person in planes of one kind.
pub fn by_hand(
    document: &Document,
    plane: Plane,
    label: u16,
    planes: &BTreeSet<usize>,
    what: What,
    changes: Vec<Change>,
) -> Step {
    let mut marks: BTreeMap<u16, [Marks; 2]> = BTreeMap::new();
    for ((label_of, z), gained) in gains(document, &changes) {
        if label_of == 0 {
            continue;
        }
        let [_, after] =
            marks.entry(label_of).or_insert_with(|| [document.marks(label_of), document.marks(label_of)]);
        let mark = &mut after.slices[z];
        let left = document.slice(z).iter().filter(|own| **own == label_of).count() as i64 + gained;
        *mark = match (plane, what) {
            (Plane::Axial, What::Copy) if label_of == label => Mark::Copied,
            (Plane::Axial, What::Prompt) if label_of == label => mark.prompted(),
            (Plane::Axial, _) if label_of == label => mark.drawn(),
            // A network's answer in another plane goes through it.
            (_, What::Prompt) if label_of == label && *mark == Mark::Drawn => Mark::Edited,
            (_, _) if label_of != label && *mark == Mark::Prompted => Mark::Edited,
            // A stroke of another label took some of it.
            (_, _) if label_of != label && mark.is_machine() => Mark::Crossed,
            (_, _) if label_of != label || mark.is_hand() => *mark,
            (_, _) => Mark::Crossed,
        };
        if left == 0 && matches!(*mark, Mark::Drawn | Mark::Crossed | Mark::Viewed | Mark::Copied) {
            *mark = Mark::Empty;
        }
    }
    let own = marks.entry(label).or_insert_with(|| [document.marks(label), document.marks(label)]);
    // The plane that would help most is mended.
    if let Some(confidence) = own[1].confidence.as_mut().filter(|own| own.plane == plane) {
        confidence.next = confidence.next.filter(|next| !planes.contains(next));
    }
    match plane {
        Plane::Axial => {}
        Plane::Coronal => own[1].coronal.extend(planes),
        Plane::Sagittal => own[1].sagittal.extend(planes),
    }
    let before = document.facts.machines.clone();
    let after = if what == What::Copy { before.and(Machine::propagated("copy")) } else { before.clone() };
    Step { what, changes, marks, machines: [before, after], label: Some(label), review: None, removes: None }
}

/// Pixels that each label gains in each axial slice that changes.
pub fn gains(document: &Document, changes: &[Change]) -> BTreeMap<(u16, usize), i64> {
    let pixels = document.facts.shape[0] * document.facts.shape[1];
    let mut gains: BTreeMap<(u16, usize), i64> = BTreeMap::new();
    for change in changes {
        let (mut at, end) = (change.start as usize, (change.start + change.length) as usize);
        while at < end {
            let z = at / pixels;
            let next = end.min((z + 1) * pixels);
            *gains.entry((change.old, z)).or_default() -= (next - at) as i64;
            *gains.entry((change.new, z)).or_default() += (next - at) as i64;
            at = next;
        }
    }
    gains
}

/// A label's pixels after a machine: `result` says which label it gives a voxel. Planes that a person drew stay, and
/// so does every other label.
pub struct Proposal<'a> {
    pub what: What,
    pub labels: &'a BTreeSet<u16>,
    pub machine: Machine,
    pub confidence: BTreeMap<u16, Option<crate::marks::Confidence>>,
}

impl Proposal<'_> {
    /// The step; nothing where no voxel and no confidence changes. `result` is given a voxel and its label so far.
    pub fn step(self, document: &Document, result: impl Fn(usize, u16) -> u16) -> Option<Step> {
        let hands: BTreeMap<u16, Hands> = self
            .labels
            .iter()
            .map(|&label| (label, Hands::of(&document.marks(label), document.facts.shape)))
            .collect();
        let holds = |label: u16, voxel: usize| hands.get(&label).is_some_and(|hands| hands.hold(voxel));
        let wanted = |voxel: usize| {
            let old = document.mask[voxel];
            let found = result(voxel, old);
            let is_free = old == 0 || hands.contains_key(&old) && !holds(old, voxel);
            match found {
                _ if !is_free => old,
                0 => 0,
                found if hands.contains_key(&found) && !holds(found, voxel) => found,
                _ if old == 0 || !hands.contains_key(&old) => old,
                _ => 0,
            }
        };
        let changes = changes(&document.mask, (0..document.mask.len()).map(|voxel| (voxel, wanted(voxel))));
        let (gains, pixels) = (gains(document, &changes), document.pixels());
        let mut marks = BTreeMap::new();
        for &label in self.labels {
            let before = document.marks(label);
            let mut after = before.clone();
            let own = pixels.get(&label);
            let holds = |z: usize| {
                let before = own.map_or(0, |own| own[z] as i64);
                before + gains.get(&(label, z)).copied().unwrap_or(0) > 0
            };
            after.propose(holds, |z| gains.contains_key(&(label, z)));
            if let Some(confidence) = self.confidence.get(&label) {
                after.confidence.clone_from(confidence);
            }
            marks.insert(label, [before, after]);
        }
        let same = marks.values().all(|[before, after]| before == after);
        let before = document.facts.machines.clone();
        let after = before.then(self.machine);
        (!changes.is_empty() || !same).then_some(Step {
            what: self.what,
            changes,
            marks,
            machines: [before, after],
            label: None,
            review: None,
            removes: None,
        })
    }
}

/// The planes in which a person drew a label.
struct Hands {
    shape: [usize; 3],
    axial: Vec<bool>,
    coronal: Vec<bool>,
    sagittal: Vec<bool>,
}

impl Hands {
    fn of(marks: &Marks, shape: [usize; 3]) -> Self {
        let flags = |plane: Plane, count: usize| {
            let planes = marks.by_hand(plane);
            (0..count).map(|k| planes.contains(&k)).collect()
        };
        Self {
            shape,
            axial: flags(Plane::Axial, shape[2]),
            coronal: flags(Plane::Coronal, shape[1]),
            sagittal: flags(Plane::Sagittal, shape[0]),
        }
    }

    fn hold(&self, voxel: usize) -> bool {
        let [nx, ny, _] = self.shape;
        self.axial[voxel / (nx * ny)] || self.coronal[voxel / nx % ny] || self.sagittal[voxel % nx]
    }
}
