//! One scan of an import: read, held to what is told of it, and prepared for the store.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use polycl_base::{Error, Kind, Result, Watch};
use polycl_image::legend::IGNORED;
use polycl_image::names::{self, Names};
use polycl_image::orient::{Reorientation, orientation_code};
use polycl_image::preprocess::{Grid, labels_of};
use polycl_image::{Mask, Space, Volume, odd};
use rayon::prelude::*;

use super::import::Import;
use super::making::Making;
use super::pair::{Label, Pair};
use super::prepared::Prepared;
use super::presence::{Shown, ranges_of, within};
use super::provenance::{Origin, Trust};
use super::{Scan, drawn, masks};

impl Import {
    /// Reads a scan and what is drawn on it.
    ///
    /// # Errors
    /// As [`polycl_image::Input::image`] and [`masks::read`]; [`Kind::Labels`] where masks and ranges contradict
    /// each other, and for a label value without a name where all organs are kept; [`Kind::Request`] for ranges of
    /// slices that the scan does not have.
    pub(super) fn read(
        &self,
        pair: &Pair,
        making: Making,
        numbering: &BTreeMap<String, u16>,
        watch: &dyn Watch,
    ) -> Result<Prepared> {
        let (image, sha256) = pair.image.image_hashed()?;
        let notes = odd::of(&pair.image, &image)?;
        notes.iter().for_each(|text| watch.note(&format!("{}: {text}", pair.case)));
        let space = image.space.clone();
        let canonical = Reorientation::to_canonical(&space);
        let kept = self.kept(&space);
        let stored = |plane: &[f32], grid| self.preprocess.stored(plane, grid);
        let (fingerprint, slices) =
            rayon::join(|| image.fingerprint(), || self.slices(&canonical.apply(&image), &kept, stored));
        drop(image);

        let mut scan = Scan {
            case: pair.case.clone(),
            patient: pair.patient.clone(),
            domain: pair.domain.clone(),
            slices: kept.len(),
            first_slice: kept.start,
            shape: space.shape,
            spacing: space.spacing(),
            orientation: orientation_code(&space),
            image: pair.image.source(sha256),
            fingerprint,
            masks: Vec::new(),
            mask_names: Names::new(),
            origin: Origin::Hand,
            drawn: BTreeSet::new(),
            presence: BTreeMap::new(),
            trust: BTreeMap::new(),
            ignored: Shown::new(),
            blank: Shown::new(),
            notes,
        };
        scan.notes.extend(making.notes.iter().cloned());
        let (mut painted, mut nameless) = (None, Vec::new());
        let read = |label| {
            masks::read((label, pair.reading), making.organs.clone(), pair.image.path(), &space, numbering)
        };
        if let Some(drawn) = pair.label.as_ref().map(read).transpose()?.flatten() {
            nameless = self.nameless(pair, drawn.nameless)?;
            if drawn.contested > 0 {
                let note = "voxels are in more than one structure; the smallest has them";
                watch.note(&format!("{}: {} {note}", pair.case, drawn.contested));
            }
            for note in &drawn.notes {
                watch.note(&format!("{}: its mask: {note}", pair.case));
            }
            scan.notes.extend(drawn.notes.iter().map(|note| format!("its mask: {note}")));
            for text in making.surprises(&drawn.pixels, numbering) {
                watch.note(&format!("{}, {text}", pair.case));
            }
            let mask = canonical.apply(&drawn.mask);
            let stored = |plane: &[u16], grid| self.preprocess.mask_slice(plane, grid);
            painted = Some(self.slices(&mask, &kept, stored));
            scan.presence = presence(&mask, &kept, &drawn.organs, numbering);
            let open = |k: usize| mask.plane(k).contains(&IGNORED);
            let blank = |k: usize| mask.plane(k).iter().all(|&label| label == IGNORED);
            scan.ignored = ranges_of(kept.clone().map(open));
            scan.blank = ranges_of(kept.clone().map(blank));
            scan.masks = drawn.sources;
            scan.drawn = drawn.organs;
            if let Some(Label::Map(_, legend)) = &pair.label {
                scan.mask_names = legend.all();
            }
            (scan.origin, scan.trust) = (making.origin, making.trust);
        }
        self.add_ranges(&mut scan, &space, &kept, watch)?;
        Ok(Prepared { scan, image: slices, mask: painted, nameless })
    }

    /// Refuses label values without a name, unless some organs alone are kept: then these are none of them.
    fn nameless(&self, pair: &Pair, values: Vec<u16>) -> Result<Vec<u16>> {
        let Some(label) = pair.label.as_ref().filter(|_| self.only.is_empty() && !values.is_empty()) else {
            return Ok(values);
        };
        Err(names::nameless(label.path(), format!("no name for {}", listed(&values))).hint(
            "name all values, or add --only for the organs to keep; leave --names out where a labels.json names all",
        ))
    }

    /// Prepares the kept slices of a canonical volume in parallel.
    fn slices<T: Copy + Sync>(
        &self,
        volume: &Volume<T>,
        kept: &Range<usize>,
        prepare: impl Fn(&[T], Grid) -> Vec<u16> + Sync,
    ) -> Vec<u16> {
        let grid = Grid::of(&volume.space);
        let size = self.preprocess.size;
        let mut slices = vec![0; kept.len() * size * size];
        slices.par_chunks_exact_mut(size * size).zip(kept.clone()).for_each(|(slice, k)| {
            slice.copy_from_slice(&prepare(volume.plane(k), grid));
        });
        slices
    }

    /// Adds what the ranges say about the scan, and which slices of its mask are drawn. Over a machine's mask the
    /// ranges go; a person's must not show an organ beyond them.
    fn add_ranges(
        &self,
        scan: &mut Scan,
        space: &Space,
        kept: &Range<usize>,
        watch: &dyn Watch,
    ) -> Result<()> {
        let mut named = BTreeMap::new();
        if let Some(ranges) = &self.ranges {
            named = ranges.of(&scan.case, space, kept)?;
            named.retain(|organ, _| self.keeps(organ));
            for (organ, range) in &named {
                self.refuse_outside(scan, organ, range, ranges.file())?;
            }
        }
        if let Some(drawn) = &self.drawn {
            drawn.check_mask(scan)?;
        }
        if scan.origin.is_hand() {
            for organ in scan.drawn.clone() {
                self.leave_undrawn(scan, &organ, named.get(&organ).map(Vec::as_slice), (space, kept))?;
            }
        }
        for (organ, range) in named {
            if let Some(shown) = scan.presence.get(&organ).filter(|_| !scan.origin.is_hand()) {
                let differs = |&slice: &usize| within(shown, slice) != within(&range, slice);
                let wrong: Vec<usize> = (0..scan.slices).filter(differs).collect();
                if !wrong.is_empty() {
                    let count = wrong.len();
                    let text = format!(
                        "in {count} slices, the range contradicts a mask that a network made; these slices do not train"
                    );
                    watch.note(&format!("{}, {organ}: {text}", scan.case));
                }
                overrule(scan, &organ, &range, &wrong);
            }
            scan.presence.insert(organ, range);
        }
        for organ in self.unsaid(scan) {
            let text = "no row says which slices are drawn, so the mask counts as drawn in every slice";
            watch.note(&format!("{}, {organ}: {text}", scan.case));
        }
        let told: Vec<String> = scan.drawn.iter().filter_map(|organ| drawn::told(scan, organ)).collect();
        told.into_iter().for_each(|text| watch.note(&text));
        Ok(())
    }

    /// Organs of a hand-drawn mask of which neither table has a row for this scan, though one has for others: a row
    /// that was forgotten makes background of what is not drawn.
    fn unsaid(&self, scan: &Scan) -> Vec<String> {
        let (ranges, drawn) = (self.ranges.as_ref(), self.drawn.as_ref());
        let asked = |organ: &str| drawn.is_some() || ranges.is_some_and(|r| r.organs().any(|o| o == organ));
        let said = |organ: &str| {
            ranges.is_some_and(|ranges| ranges.tells(&scan.case, organ))
                || drawn.is_some_and(|drawn| drawn.tells(&scan.case, organ))
        };
        let organs = scan.drawn.iter().filter(|organ| scan.origin.is_hand() && asked(organ) && !said(organ));
        organs.cloned().collect()
    }

    /// Refuses a range that denies an organ where a person drew it, or that names one where a person who drew it in
    /// all slices did not.
    fn refuse_outside(&self, scan: &Scan, organ: &str, range: &Shown, file: &Path) -> Result<()> {
        let Some(shown) = scan.presence.get(organ) else { return Ok(()) };
        let contradicts = |&slice: &usize| {
            let (drawn, named) = (within(shown, slice), within(range, slice));
            scan.by_hand(organ, slice) && (drawn && !named || named && !drawn && !scan.origin.is_hand())
        };
        if !(0..scan.slices).any(|slice| contradicts(&slice)) {
            return Ok(());
        }
        let expected =
            format!("a range of {organ} that fits the mask of {}, {shown:?} from the feet", scan.case);
        Err(Error::new(file, Kind::Labels, expected, format!("{range:?}"))
            .hint("leave out ranges of organs that a mask shows; slices in this message count from the feet"))
    }

    /// Notes which slices of an organ a person has not drawn: those that the table leaves out, else those within the
    /// range of which the mask shows nothing.
    fn leave_undrawn(
        &self,
        scan: &mut Scan,
        organ: &str,
        range: Option<&[[usize; 2]]>,
        (space, kept): (&Space, &Range<usize>),
    ) -> Result<()> {
        let drawn =
            self.drawn.as_ref().map(|table| table.of(&scan.case, organ, space, kept)).transpose()?.flatten();
        let part = drawn::Part { shown: &scan.presence[organ], range, drawn: drawn.as_deref() };
        if let (Some(table), Some(stray)) = (&self.drawn, part.stray(scan.slices)) {
            let expected = format!("the slices in which {organ} is drawn in {}", scan.case);
            let found = if within(&scan.presence[organ], stray) {
                format!("no row for slice {stray} (from the feet), in which the mask shows {organ}")
            } else {
                format!(
                    "slice {stray} (from the feet) within the range, in which the mask does not show {organ}"
                )
            };
            return Err(Error::new(table.file(), Kind::Labels, expected, found)
                .hint("mend the table or the mask; a mask drawn in every slice needs no row"));
        }
        if let Some(trust) = part.trust(scan.slices) {
            scan.trust.insert(organ.to_owned(), trust);
        }
        Ok(())
    }
}

/// Label values for a message.
pub(super) fn listed<'a>(values: impl IntoIterator<Item = &'a u16>) -> String {
    values.into_iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

/// A person has looked at all slices of an organ; a machine's mask is not believed where it is `wrong`, nor where
/// nobody had looked before. Where the person says that the organ is not, and the mask shows none, it is as exact
/// as if it had been drawn.
fn overrule(scan: &mut Scan, organ: &str, range: &Shown, wrong: &[usize]) {
    let predicted = Trust::full(scan.slices, false);
    let trust = scan.trust.entry(organ.to_owned()).or_insert(predicted);
    let absent = |slice: &usize| !within(range, *slice) && !wrong.contains(slice);
    let by_hand = |slice: usize| within(&trust.by_hand, slice) || absent(&slice);
    trust.by_hand = ranges_of((0..scan.slices).map(by_hand));
    trust.confidence.iter_mut().for_each(|confidence| *confidence = confidence.or(Some(0.0)));
    (0..scan.slices).filter(absent).for_each(|slice| trust.confidence[slice] = Some(1.0));
    wrong.iter().for_each(|&slice| trust.confidence[slice] = Some(0.0));
}

/// The slices of a canonical mask that show each organ.
fn presence(
    mask: &Mask,
    kept: &Range<usize>,
    organs: &BTreeSet<String>,
    numbering: &BTreeMap<String, u16>,
) -> BTreeMap<String, Shown> {
    let labels: Vec<BTreeSet<u16>> =
        kept.clone().into_par_iter().map(|k| labels_of(mask.plane(k)).collect()).collect();
    let ranges = |organ: &String| {
        let label = numbering[organ];
        (organ.clone(), ranges_of(labels.iter().map(|labels| labels.contains(&label))))
    };
    organs.iter().map(ranges).collect()
}
