//! The label that an object of a client is in the document, and masks that the client says it begins with.

use std::collections::{BTreeMap, BTreeSet};

use polycl_image::Plane;

use super::session::Object;
use super::turn::Turn;
use crate::change;
use crate::document::{Act, Document, Machine};
use crate::marks::Mark;
use crate::refusal::{Answer, Refusal};
use crate::runs;
use crate::scan::label;
use crate::step::{Step, What, changes};

/// The overlap from which a mask is a version of another.
const ALIKE: f64 = 0.5;

impl Object {
    pub fn new(label: u16) -> Self {
        Self { label, plane: Plane::Axial, emptied: Vec::new(), limits: None }
    }
}

impl Turn<'_> {
    /// The label of the object; of a new one the first label that is empty and not locked, or else one that is added.
    ///
    /// # Errors
    /// `bad_labels` where no value is left; what storing says.
    pub fn label(&mut self) -> Answer<u16> {
        if let Some(object) = &self.session.object {
            return Ok(object.label);
        }
        let value = self.scan.with(|sheet| {
            let document = &sheet.document;
            let mut held = BTreeSet::new();
            document.mask.chunk_by(|one, next| one == next).for_each(|run| {
                held.insert(run[0]);
            });
            let is_free = |own: &&crate::document::Label| !own.locked && !held.contains(&own.value);
            if let Some(free) = document.facts.labels.iter().find(is_free) {
                return Ok(free.value);
            }
            let taken = document.taken();
            let value = (1..u16::MAX).find(|value| !taken.contains(value)).ok_or_else(|| {
                Refusal::conflict("bad_labels", "No label value is left for another segment.")
            })?;
            let mut labels = document.facts.labels.clone();
            let names: BTreeSet<String> = labels.iter().map(|own| own.name.to_lowercase()).collect();
            let name = (1..).map(|number| format!("segment {number}")).find(|name| !names.contains(name));
            labels.push(label(value, &name.unwrap_or_default(), labels.len()));
            change::relabel(self.desk, &self.scan, sheet, &self.author, labels)?;
            Answer::Ok(value)
        })?;
        self.session.object = Some(Object::new(value));
        Ok(value)
    }

    /// Takes a mask over that the client has for an object. One that it was told before is the label that it was told
    /// of, and brings what was changed in it since; any other is a machine's proposal of a new label.
    ///
    /// # Errors
    /// `locked`, and as [`Self::label`].
    pub fn seed(&mut self, array: Vec<bool>) -> Answer<()> {
        let seed = self.session.in_scan(array.clone());
        self.session.shown = array;
        if !seed.contains(&true) {
            self.session.object = None;
            return Ok(());
        }
        let told = self.told();
        let before = match &self.session.object {
            Some(object) => Some((object.label, told.get(&object.label).cloned())),
            None => self.known(&seed, &told),
        };
        let (label, base) = match before {
            Some((label, base)) => (label, base.unwrap_or_else(|| self.own(label))),
            None => (self.label()?, vec![false; seed.len()]),
        };
        self.session.object.get_or_insert_with(|| Object::new(label));
        self.scan.with(|sheet| {
            let document = &sheet.document;
            crate::edit::check_label(document, label)?;
            let Some(step) = mended(document, label, &base, &seed) else { return Ok(()) };
            change::store(self.desk, &self.scan, sheet, &self.author, None, Act::Step(step)).map(drop)
        })?;
        self.tell();
        Ok(())
    }

    /// The label that a mask is of, and the mask of it that the client was told.
    fn known(&self, seed: &[bool], told: &BTreeMap<u16, Vec<bool>>) -> Option<(u16, Option<Vec<bool>>)> {
        if let Some((&label, own)) = told.iter().find(|(_, own)| *own == seed) {
            return Some((label, Some(own.clone())));
        }
        let labels = self.scan.with(|sheet| {
            let labels = sheet.document.facts.labels.iter().map(|own| own.value);
            labels.collect::<Vec<u16>>()
        });
        if let Some(label) = labels.iter().find(|label| self.own(**label) == seed) {
            return Some((*label, None));
        }
        let alike = told.iter().filter(|(label, _)| labels.contains(label));
        let alike = alike.map(|(label, own)| (dice(own, seed), label, own));
        let (overlap, label, own) = alike.max_by(|one, other| one.0.total_cmp(&other.0))?;
        (overlap >= ALIKE).then(|| (*label, Some(own.clone())))
    }

    /// The voxels of a label in the document.
    pub fn own(&self, label: u16) -> Vec<bool> {
        self.scan.with(|sheet| sheet.document.mask.iter().map(|own| *own == label).collect())
    }

    /// Remembers what the client was told of its object.
    pub fn tell(&self) {
        let Some(object) = &self.session.object else { return };
        let shown = self.session.in_scan(self.session.shown.clone());
        let packed = runs::encode(shown.into_iter().map(u16::from));
        self.door.remember(&self.session.scan, object.label, packed);
    }

    /// What clients were told of labels of this scan.
    fn told(&self) -> BTreeMap<u16, Vec<bool>> {
        let voxels = self.session.voxels();
        let unpack = |packed: Vec<u8>| {
            Some(runs::decode(&packed, voxels)?.into_iter().map(|inside| inside == 1).collect())
        };
        let told = self.door.told(&self.session.scan).into_iter();
        told.filter_map(|(label, packed)| Some((label, unpack(packed)?))).collect()
    }
}

fn dice(one: &[bool], other: &[bool]) -> f64 {
    let count = |mask: &[bool]| mask.iter().filter(|inside| **inside).count();
    let common = one.iter().zip(other).filter(|(one, other)| **one && **other).count();
    2.0 * common as f64 / (count(one) + count(other)).max(1) as f64
}

/// The step that brings what differs between two versions of a label's mask; other labels keep their voxels. Nobody knows
/// who made it: what a person drew in the workbench counts as edited, and all else as a machine's.
fn mended(document: &Document, label: u16, before: &[bool], after: &[bool]) -> Option<Step> {
    let differs = (0..after.len()).filter(|&voxel| before[voxel] != after[voxel]);
    let wanted = differs.filter_map(|voxel| match (after[voxel], document.mask[voxel]) {
        (true, 0) => Some((voxel, label)),
        (false, own) if own == label => Some((voxel, 0)),
        _ => None,
    });
    let changes = changes(&document.mask, wanted);
    if changes.is_empty() {
        return None;
    }
    let pixels = document.facts.shape[0] * document.facts.shape[1];
    let old = document.marks(label);
    let mut new = old.clone();
    for change in &changes {
        let last = (change.start + change.length - 1) as usize;
        for z in change.start as usize / pixels..=last / pixels {
            new.slices[z] = if old.slices[z].is_hand() { Mark::Edited } else { Mark::Proposed };
        }
    }
    let machines = &document.facts.machines;
    Some(Step {
        what: What::Predict,
        changes,
        marks: BTreeMap::from([(label, [old, new])]),
        machines: [machines.clone(), machines.then(Machine::predicted("a maker unknown"))],
        label: Some(label),
        review: None,
        removes: None,
    })
}
