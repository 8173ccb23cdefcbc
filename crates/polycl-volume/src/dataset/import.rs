//! From files to a data set, one scan at a time, so that memory stays bounded by one scan.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use rayon::prelude::*;

use super::making::Making;
use super::names::Names;
use super::origin::{Origin, Records};
use super::pairs::{Label, Pair};
use super::presence::{Ranges, Slices, ranges_of, within};
use super::propagated::Trust;
use super::store::{self, Writer};
use super::{Index, Scan, Source, VERSION, masks, names};
use crate::orient::{Reorientation, orientation_code};
use crate::preprocess::{Grid, Preprocess, labels_of};
use crate::{Error, Kind, Mask, Result, Space, Volume, nifti, output};

/// What a data set is made of.
pub struct Plan {
    /// From [`super::pairs`], sorted by case.
    pub pairs: Vec<Pair>,
    pub ranges: Option<Ranges>,
    /// The organs that are kept; all where it is empty.
    pub only: BTreeSet<String>,
    pub preprocess: Preprocess,
}

/// What happens during an import.
pub enum Event<'a> {
    /// Scan `number` of `of`, counted from 0, is about to be read.
    Scan { case: &'a str, number: usize, of: usize },
    /// Something that a person should know.
    Note(String),
}

impl Plan {
    /// Writes the data set to the folder `out`, which must not hold anything yet. The first scan
    /// that cannot be imported ends it, and nothing is left behind.
    ///
    /// # Errors
    /// As [`nifti::read_image`], [`Ranges`] and [`Records::maker`]; [`Kind::Geometry`] where a mask does not belong to
    /// its image, [`Kind::Labels`] for label values without a name, organs that nobody has, or
    /// masks and ranges that contradict each other; [`Kind::Request`] for a mask that is stated to be
    /// drawn by hand and was not; [`Kind::Request`] or [`Kind::Io`] for `out`.
    pub fn import(&self, out: &Path, report: &mut dyn FnMut(Event)) -> Result<Index> {
        self.preprocess
            .check()
            .map_err(|found| Error::new(out, Kind::Request, "a usable preprocessing", found))?;
        let numbering = self.numbering()?;
        if let Some(ranges) = &self.ranges {
            ranges.check_cases(&self.pairs.iter().map(|pair| pair.case.as_str()).collect())?;
        }
        let makings = self.check_files(&numbering)?;
        output::folder_atomically(out, |folder| {
            let writer = Writer::create(folder)?;
            let mut scans = Vec::new();
            for (number, (pair, making)) in self.pairs.iter().zip(makings).enumerate() {
                report(Event::Scan { case: &pair.case, number, of: self.pairs.len() });
                let scan = self.scan(pair, making, &numbering, &writer, report)?;
                refuse_twin(&scan, &scans)?;
                scans.push(scan);
            }
            let labels = numbering.iter().map(|(name, &value)| (value, name.clone())).collect();
            let preprocess = self.preprocess.clone();
            let index = Index { polycl_dataset: VERSION, preprocess, labels, scans };
            index.write(folder)?;
            Ok(index)
        })
    }

    /// Looks at the headers of all files and at what lies beside masks, so that the last row's slip
    /// is not found after hours.
    fn check_files(&self, numbering: &BTreeMap<String, u16>) -> Result<Vec<Making>> {
        let mut records = Records::default();
        let check = |pair: &Pair| {
            let space = nifti::read_space(&pair.image)?;
            if let Some(label) = &pair.label {
                masks::check(label, &pair.image, &space, numbering)?;
            }
            Making::of(pair, &space, &self.kept(&space), numbering, &mut records)
        };
        self.pairs.iter().map(check).collect()
    }

    /// The slices of a scan that are kept, in canonical order.
    fn kept(&self, space: &Space) -> Range<usize> {
        self.preprocess.kept(space.shape[Reorientation::to_canonical(space).slice_axis()])
    }

    /// The data set's label of every organ that is kept.
    fn numbering(&self) -> Result<BTreeMap<String, u16>> {
        let labels = || self.pairs.iter().filter_map(|pair| pair.label.as_ref());
        let known: BTreeSet<&str> = labels().flat_map(Label::organs).collect();
        let ranged = self.ranges.iter().flat_map(Ranges::organs);
        let anywhere: BTreeSet<&str> = ranged.chain(known.iter().copied()).collect();
        if let Some(organ) = self.only.iter().find(|organ| !anywhere.contains(organ.as_str())) {
            let known = Vec::from_iter(anywhere).join(", ");
            let found = if known.is_empty() { "no names at all".into() } else { format!("only {known}") };
            return Err(Error::new(organ, Kind::Labels, "it among the names of masks and ranges", found));
        }
        let tables = labels().filter_map(|label| match label {
            Label::Map(_, names) => Some(names.iter().filter(|(_, name)| self.keeps(name))),
            Label::Structures(_) => None,
        });
        let tables: Vec<_> = tables.map(|table| table.map(|(&v, n)| (v, n.clone())).collect()).collect();
        let structures = labels().filter(|label| matches!(label, Label::Structures(_)));
        let valueless = structures.flat_map(Label::organs).filter(|name| self.keeps(name)).collect();
        Ok(names::unite(&tables, &valueless))
    }

    fn keeps(&self, organ: &str) -> bool {
        self.only.is_empty() || self.only.contains(organ)
    }

    fn scan(
        &self,
        pair: &Pair,
        making: Making,
        numbering: &BTreeMap<String, u16>,
        writer: &Writer,
        report: &mut dyn FnMut(Event),
    ) -> Result<Scan> {
        let (image, sha256) = nifti::read_image_hashed(&pair.image)?;
        let space = image.space.clone();
        let canonical = Reorientation::to_canonical(&space);
        let kept = self.kept(&space);
        writer.group(&format!("/{}", pair.case))?;
        let stored = |plane: &[f32], grid| self.preprocess.stored(plane, grid);
        let (fingerprint, written) = rayon::join(
            || image.fingerprint(),
            || self.store(writer, (pair, store::IMAGE), &canonical.apply(&image), &kept, stored),
        );
        written?;
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
            image: Source { path: pair.image.clone(), sha256 },
            fingerprint,
            masks: Vec::new(),
            mask_names: Names::new(),
            origin: Origin::Hand,
            drawn: BTreeSet::new(),
            presence: BTreeMap::new(),
            trust: BTreeMap::new(),
        };
        let read = |label| masks::read(label, making.organs.clone(), &pair.image, &space, numbering);
        if let Some(drawn) = pair.label.as_ref().map(read).transpose()?.flatten() {
            if drawn.contested > 0 {
                let note = "voxels are in more than one structure; the smallest has them";
                report(Event::Note(format!("{}: {} {note}", pair.case, drawn.contested)));
            }
            for text in making.surprises(&drawn.pixels, numbering) {
                report(Event::Note(format!("{}, {text}", pair.case)));
            }
            let mask = canonical.apply(&drawn.mask);
            let stored = |plane: &[u16], grid| self.preprocess.mask_slice(plane, grid);
            self.store(writer, (pair, store::MASK), &mask, &kept, stored)?;
            scan.presence = presence(&mask, &kept, &drawn.organs, numbering);
            scan.masks = drawn.sources;
            scan.drawn = drawn.organs;
            if let Some(Label::Map(_, names)) = &pair.label {
                scan.mask_names = names.clone();
            }
            (scan.origin, scan.trust) = (making.origin, making.trust);
        }
        self.add_ranges(&mut scan, &space, &kept, report)?;
        Ok(scan)
    }

    /// Prepares the kept slices of a canonical volume in parallel and stores them.
    fn store<T: Copy + Sync>(
        &self,
        writer: &Writer,
        (pair, array): (&Pair, &str),
        volume: &Volume<T>,
        kept: &Range<usize>,
        prepare: impl Fn(&[T], Grid) -> Vec<u16> + Sync,
    ) -> Result<()> {
        let grid = Grid::of(&volume.space);
        let size = self.preprocess.size;
        let mut slices = vec![0; kept.len() * size * size];
        slices.par_chunks_exact_mut(size * size).zip(kept.clone()).for_each(|(slice, k)| {
            slice.copy_from_slice(&prepare(volume.plane(k), grid));
        });
        writer.write(&store::array_path(&pair.case, array), [kept.len(), size], slices)
    }

    /// Adds what the ranges say about the scan. Where a person drew an organ they must say the same; over
    /// a machine's mask they go.
    fn add_ranges(
        &self,
        scan: &mut Scan,
        space: &Space,
        kept: &Range<usize>,
        report: &mut dyn FnMut(Event),
    ) -> Result<()> {
        let Some(ranges) = &self.ranges else { return Ok(()) };
        for (organ, slices) in ranges.of(&scan.case, space, kept)? {
            if !self.keeps(&organ) {
                continue;
            }
            if let Some(drawn) = scan.presence.get(&organ) {
                let differs = |&slice: &usize| within(drawn, slice) != within(&slices, slice);
                let wrong: Vec<usize> = (0..scan.slices).filter(differs).collect();
                if wrong.iter().any(|&slice| scan.by_hand(&organ, slice)) {
                    let expected = format!("{organ} where the mask of {} has it, in {drawn:?}", scan.case);
                    return Err(Error::new(ranges.file(), Kind::Labels, expected, format!("{slices:?}"))
                        .hint("slices here are counted from the feet; leave out rows of what masks tell"));
                }
                if !wrong.is_empty() {
                    let count = wrong.len();
                    let text =
                        format!("the ranges go over a machine's mask in {count} slices, which do not train");
                    report(Event::Note(format!("{}, {organ}: {text}", scan.case)));
                }
                overrule(scan, &organ, &wrong);
            }
            scan.presence.insert(organ, slices);
        }
        Ok(())
    }
}

/// A person has looked at all slices of an organ; a machine's mask is not believed where it is `wrong`,
/// nor where nobody had looked before.
fn overrule(scan: &mut Scan, organ: &str, wrong: &[usize]) {
    if !wrong.is_empty() {
        let predicted = Trust::full(scan.slices, false);
        scan.trust.entry(organ.to_owned()).or_insert(predicted);
    }
    let Some(trust) = scan.trust.get_mut(organ) else { return };
    trust.confidence.iter_mut().for_each(|confidence| *confidence = confidence.or(Some(0.0)));
    wrong.iter().for_each(|&slice| trust.confidence[slice] = Some(0.0));
}

/// One scan under two patients would let a split by patient leak.
fn refuse_twin(scan: &Scan, others: &[Scan]) -> Result<()> {
    let twin = |other: &&Scan| other.fingerprint == scan.fingerprint && other.patient != scan.patient;
    others.iter().find(twin).map_or(Ok(()), |twin| {
        let expected = format!("another scan than {} of patient {}", twin.image.path.display(), twin.patient);
        let found = format!("the same voxels under patient {}", scan.patient);
        Err(Error::new(&scan.image.path, Kind::Pairing, expected, found)
            .hint("leave one out, or give both the same patient in a manifest"))
    })
}

/// The slices of a canonical mask that show each organ.
fn presence(
    mask: &Mask,
    kept: &Range<usize>,
    organs: &BTreeSet<String>,
    numbering: &BTreeMap<String, u16>,
) -> BTreeMap<String, Slices> {
    let labels: Vec<BTreeSet<u16>> =
        kept.clone().into_par_iter().map(|k| labels_of(mask.plane(k)).collect()).collect();
    let ranges = |organ: &String| {
        let label = numbering[organ];
        (organ.clone(), ranges_of(labels.iter().map(|labels| labels.contains(&label))))
    };
    organs.iter().map(ranges).collect()
}
