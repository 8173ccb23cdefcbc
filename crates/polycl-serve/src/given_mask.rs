//! A whole label map from another program as one step of a document.

use std::collections::{BTreeMap, BTreeSet};

use polycl_image::Plane;

use crate::document::Document;
use crate::edit::gains;
use crate::marks::{Mark, Marks};
use crate::refusal::{Answer, Refusal};
use crate::step::{Step, What, changes};

/// A label map that a person vouches for.
pub struct GivenMask<'a> {
    /// The document's label values, in canonical order.
    pub voxels: &'a [u16],
    /// The labels that the map tells of. All others stay, but for voxels that the map gives to one of these.
    pub labels: &'a BTreeSet<u16>,
}

impl GivenMask<'_> {
    /// The step. Slices that differ are drawn, or edited where a machine had a part in them; the others are viewed.
    ///
    /// # Errors
    /// `locked`, where a locked label would change that the map tells of.
    pub fn step(&self, document: &Document) -> Answer<Option<Step>> {
        let locked: BTreeSet<u16> =
            document.facts.labels.iter().filter(|label| label.locked).map(|label| label.value).collect();
        let wanted = |(voxel, &new): (usize, &u16)| {
            let old = document.mask[voxel];
            let stays = old != new && old != 0 && !self.labels.contains(&old);
            (voxel, if stays && (new == 0 || locked.contains(&old)) { old } else { new })
        };
        let changes = changes(&document.mask, self.voxels.iter().enumerate().map(wanted));
        let mut changed = changes.iter().flat_map(|change| [change.old, change.new]);
        if let Some(label) = changed.find(|label| locked.contains(label)).and_then(|own| document.label(own))
        {
            let message = format!("The label {} is locked, and the mask changes it.", label.name);
            return Err(Refusal::conflict("locked", message).hint("take the lock off in the workbench"));
        }
        let (gains, pixels) = (gains(document, &changes), document.pixels());
        let robbed = gains.keys().map(|(label, _)| *label).filter(|label| *label != 0);
        let mut marks: BTreeMap<u16, [Marks; 2]> = BTreeMap::new();
        for label in self.labels.iter().copied().chain(robbed).collect::<BTreeSet<u16>>() {
            let before = document.marks(label);
            let mut after = before.clone();
            for (z, mark) in after.slices.iter_mut().enumerate() {
                let gain = gains.get(&(label, z));
                let had = pixels.get(&label).map_or(0, |own| own[z] as i64);
                let is_empty = had + gain.unwrap_or(&0) == 0;
                *mark = match (self.labels.contains(&label), gain.is_some()) {
                    (true, true) => given(*mark, is_empty),
                    (true, false) => mark.viewed(),
                    (false, true) => robbed_of(*mark, is_empty),
                    (false, false) => *mark,
                };
            }
            if let Some(own) = after.confidence.as_mut().filter(|own| own.plane == Plane::Axial) {
                own.next = own.next.filter(|&next| !gains.contains_key(&(label, next)));
            }
            if before != after {
                marks.insert(label, [before, after]);
            }
        }
        let before = document.facts.machines.clone();
        // Another program may hold what was undone here.
        let machines = [before.clone(), before.with(&document.facts.shown)];
        Ok((!changes.is_empty() || !marks.is_empty()).then_some(Step {
            what: What::Given,
            changes,
            marks,
            machines,
            label: None,
            review: None,
            removes: None,
        }))
    }
}

/// The mark of a slice that the map changes.
fn given(mark: Mark, is_empty: bool) -> Mark {
    match mark.drawn() {
        Mark::Drawn if is_empty => Mark::Empty,
        mark => mark,
    }
}

/// The mark of a slice of which the map gives pixels to another label.
fn robbed_of(mark: Mark, is_empty: bool) -> Mark {
    match mark {
        Mark::Drawn | Mark::Crossed | Mark::Viewed | Mark::Copied | Mark::Proposed if is_empty => Mark::Empty,
        Mark::Prompted => Mark::Edited,
        mark if mark.is_machine() => Mark::Crossed,
        mark => mark,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Act, Author, Machine};
    use crate::edit::Proposal;
    use crate::scan::label;

    /// Of 4 x 1 x 5 voxels: label 1 is drawn in slice 0 and proposed in 1 and 2, label 2 is drawn in slice 3.
    fn document() -> Document {
        let labels = vec![label(1, "liver", 0), label(2, "spleen", 1), label(3, "kidney", 2)];
        let mut document = Document::new([4, 1, 5], [1.0; 3], labels, String::new());
        document.mask[..2].fill(1);
        document.mask[12..14].fill(2);
        document.facts.marks.entry(1).or_insert_with(|| Marks::new(5)).slices[0] = Mark::Drawn;
        document.facts.marks.entry(2).or_insert_with(|| Marks::new(5)).slices[3] = Mark::Drawn;
        let labels = BTreeSet::from([1]);
        let machine = Machine::propagated("litemedsam");
        let proposal =
            Proposal { what: What::Propagate, labels: &labels, machine, confidence: BTreeMap::new() };
        let step = proposal.step(&document, |voxel, old| if voxel / 4 < 3 { 1 } else { old }).unwrap();
        document.apply(document.entry(&Author::default(), None, Act::Step(step)));
        assert_eq!(document.marks(1).text(), "dpp..");
        document
    }

    fn step(document: &Document, voxels: &[u16], labels: &[u16]) -> Answer<Option<Step>> {
        GivenMask { voxels, labels: &labels.iter().copied().collect() }.step(document)
    }

    #[test]
    fn who_made_which_slice_is_told_and_undone() {
        let mut document = document();
        let before = document.clone();
        let mut voxels = document.mask.clone();
        // A machine's slice is mended, an empty one is drawn in; label 2 is not told of and loses a pixel.
        voxels[8] = 0;
        voxels[16] = 1;
        voxels[12] = 1;
        voxels[13] = 0;
        let step = step(&document, &voxels, &[1]).unwrap().unwrap();
        document.apply(document.entry(&Author::default(), None, Act::Step(step)));
        assert_eq!((document.marks(1).text(), document.marks(2).text()), ("dvedd".into(), "...d.".into()));
        assert_eq!(document.mask[8..17], [0, 1, 1, 1, 1, 2, 0, 0, 1]);
        assert_eq!(document.facts.machines.names(), ["litemedsam"]);
        document.apply(document.entry(&Author::default(), None, Act::Undo));
        assert_eq!((document.mask, document.facts.marks), (before.mask, before.facts.marks));
    }

    #[test]
    fn labels_that_are_told_of_go_where_the_map_has_none() {
        let document = document();
        let step = step(&document, &[0; 20], &[1, 2]).unwrap().unwrap();
        let after = |label: u16| step.marks[&label][1].text();
        // Nothing is left in slices that a person had drawn; that a machine was wrong is a person's word.
        assert_eq!((after(1), after(2)), ("seess".into(), "sssss".into()));
    }

    #[test]
    fn the_same_map_is_viewed_alone_and_then_no_step() {
        let mut document = document();
        let mask = document.mask.clone();
        let seen = step(&document, &mask, &[1]).unwrap().unwrap();
        assert!(seen.changes.is_empty());
        document.apply(document.entry(&Author::default(), None, Act::Step(seen)));
        assert_eq!(document.marks(1).text(), "dvvss");
        assert_eq!(step(&document, &mask, &[1]).unwrap(), None);
    }

    #[test]
    fn locked_labels_stay() {
        let mut document = document();
        document.facts.labels[1].locked = true;
        let mut voxels = document.mask.clone();
        voxels[12..14].fill(1);
        // Not told of: its voxels stay.
        let own = step(&document, &voxels, &[1]).unwrap().unwrap();
        assert!(own.changes.is_empty());
        assert_eq!(step(&document, &voxels, &[1, 2]).unwrap_err().code, "locked");
    }
}
