//! From files to a data set, one scan at a time, so that memory stays bounded by one scan, and so
//! that what is done stays done: see [`super::journal`].

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use polycl_base::{Error, Kind, Result, Subject, Watch, only, some};
use polycl_image::legend::{IGNORE, IGNORED, Legend};
use polycl_image::orient::Reorientation;
use polycl_image::preprocess::Preprocess;
use polycl_image::{Space, grid, names};

use super::journal::{Head, Journal};
use super::making::Making;
use super::pair::{Label, Pair};
use super::prepared::Prepared;
use super::presence::Ranges;
use super::provenance::{Origin, Records};
use super::reading::listed;
use super::store::Writer;
use super::{DrawnSlices, Index, Painting, Regions, Scan, Shard, failed, masks, tagged};

/// The scans of a data set and the way to prepare them.
pub struct Import {
    /// From [`super::pairs`], sorted by case.
    pub pairs: Vec<Pair>,
    pub ranges: Option<Ranges>,
    /// Which slices of the masks are drawn, where not all are.
    pub drawn: Option<DrawnSlices>,
    /// The organs that are kept; all where it is empty.
    pub only: BTreeSet<String>,
    pub preprocess: Preprocess,
    /// The share of the scans that is done here: the folder becomes no data set, but is for [`super::unite`].
    pub shard: Option<Shard>,
}

/// The result of an import.
#[derive(Debug)]
pub struct Imported {
    /// The index of the data set; where scans are left there is none yet, and this is what it would hold so far.
    pub index: Index,
    /// Scans that are left because it was asked to stop.
    pub left: usize,
    /// Scans that were there already.
    pub kept: usize,
    /// Cases that could not be read, or that do not fit what else is told of them, and why.
    pub failed: Vec<(String, Error)>,
}

impl Import {
    /// Writes the data set to the folder `out`. A scan that cannot be used is left out and told; with
    /// `go_on`, scans that an earlier import has brought there stay, and those that are missing, or
    /// whose files are others now, are added.
    ///
    /// # Errors
    /// [`Kind::Labels`] for organs that nobody has; [`Kind::Request`] for a mask that is stated to be drawn
    /// by hand and was not, where `out` holds something and it is not to go on, or was made in another
    /// way, or where another process writes it; [`Kind::Io`] for `out`. Where no scan at all could be used, the first reason;
    /// nothing is left then. A shard may come to nothing.
    pub fn import(&self, out: &Path, go_on: bool, watch: &dyn Watch) -> Result<Imported> {
        self.preprocess
            .check()
            .map_err(|found| Error::new(out, Kind::Request, "a usable preprocessing", found))?;
        let numbering = self.numbering()?;
        let cases = self.pairs.iter().map(|pair| pair.case.as_str()).collect();
        if let Some(ranges) = &self.ranges {
            ranges.check_cases(&cases)?;
        }
        if let Some(drawn) = &self.drawn {
            drawn.check(&cases, &numbering)?;
        }
        let labels = numbering.iter().map(|(name, &value)| (value, name.clone())).collect();
        let head = Head::new(self.preprocess.clone(), labels, (self.regions()?, self.painting()?));
        let mut journal = Journal::open(out, head, go_on)?;
        let kept = journal.scans().len();
        let own = self.pairs.iter().filter(|pair| self.is_own(&pair.case));
        let missing: Vec<&Pair> = own.filter(|pair| !journal.has(pair, |organ| self.keeps(organ))).collect();
        let mut failed = Vec::new();
        let ready = self.check_files(&missing, &numbering, &mut failed, watch);
        // What is asked for cannot be had of all scans alike: no reason to go on with the others.
        if let Some(at) = failed.iter().position(|(_, error)| error.kind == Kind::Request) {
            return Err(journal.abandon(Some(failed.swap_remove(at).1)));
        }
        if !ready.is_empty() {
            self.tell(&failed, watch);
        }
        let mut nameless = BTreeSet::new();
        let writer = Writer::create(out)?;
        for (number, (pair, making)) in ready.into_iter().enumerate() {
            if watch.stop() {
                let left = missing.len() - number - failed.len();
                return Ok(Imported { index: journal.index(), left, kept, failed });
            }
            watch.task(&format!("import {}", pair.case));
            watch.step(number, missing.len());
            let prepared = self.read(pair, making, &numbering, watch);
            // Twins are told when shards are merged: one shard does not see all of them.
            let fits = |prepared: &Prepared| match self.shard {
                Some(_) => Ok(()),
                None => refuse_twin(&prepared.scan, journal.scans()),
            };
            match prepared.and_then(|prepared| fits(&prepared).map(|()| prepared)) {
                Ok(prepared) => {
                    journal.check()?;
                    nameless.extend(prepared.nameless.iter().copied());
                    journal.add(prepared.store(&writer, self.preprocess.size)?)?;
                }
                Err(error) => failed.push((pair.case.clone(), error)),
            }
        }
        if !nameless.is_empty() {
            let values = listed(&nameless);
            watch.note(&format!("note: label values without a name count as background: {values}"));
        }
        if self.shard.is_some() {
            failed::update(out, &failed, |case| self.is_own(case))?;
            return Ok(Imported { index: journal.index(), left: 0, kept, failed });
        }
        if journal.scans().is_empty() {
            self.tell(&failed, watch);
            return Err(journal.abandon(failed.into_iter().next().map(|(_, error)| error)));
        }
        failed::update(out, &failed, |case| self.pairs.iter().any(|pair| pair.case == case))?;
        Ok(Imported { index: journal.finish()?, left: 0, kept, failed })
    }

    fn is_own(&self, case: &str) -> bool {
        self.shard.is_none_or(|shard| shard.has(case))
    }

    /// Tells which of several scans cannot be used. The reasons are the result's.
    fn tell(&self, failed: &[(String, Error)], watch: &dyn Watch) {
        let cases: Vec<&str> = failed.iter().map(|(case, _)| case.as_str()).collect();
        let (count, all) = (cases.len(), self.pairs.len());
        if count > 0 && all > 1 {
            watch.note(&format!("note: {count} of {all} scans cannot be used: {}", some(&cases)));
        }
    }

    /// Looks at the headers of all files and at what lies beside masks, so that the last row's slip
    /// is not found after hours.
    fn check_files<'a>(
        &self,
        pairs: &[&'a Pair],
        numbering: &BTreeMap<String, u16>,
        failed: &mut Vec<(String, Error)>,
        watch: &dyn Watch,
    ) -> Vec<(&'a Pair, Making)> {
        let mut records = Records::default();
        let mut check = |pair: &Pair| {
            let space = pair.image.space()?;
            let belongs = masks::belongs(pair)?;
            let lies = |label| masks::check((label, pair.reading), pair.image.path(), &space, numbering);
            let headers = pair.label.as_ref().map(lies).transpose()?.unwrap_or_default();
            let mut making = Making::of(pair, &space, &self.kept(&space), numbering, &mut records)?;
            if let Some(label) = &pair.label
                && making.is_propagated()
                && headers.fits.iter().any(grid::Fit::is_reordered)
            {
                let expected = "a propagated mask whose slices are in the order of its scan's";
                return Err(Error::new(label.path(), Kind::Geometry, expected, "a mask in another order")
                    .hint("propagate on this scan: propagate.csv counts slices in the mask's order"));
            }
            making.notes.extend(headers.notes(&pair.image)?);
            making.notes.extend(belongs);
            Ok(making)
        };
        let mut programs = BTreeSet::new();
        let usable = |&pair: &&'a Pair| match check(pair) {
            Ok(making) => {
                programs.extend(making.programs.iter().cloned());
                for note in &making.notes {
                    watch.note(&format!("{}: {note}", pair.case));
                }
                Some((pair, making))
            }
            Err(error) => {
                failed.push((pair.case.clone(), error));
                None
            }
        };
        let mut usable = Vec::from_iter(pairs.iter().filter_map(usable));
        let mut strangers = tagged::strangers(&self.pairs);
        strangers.retain(|text, _| pairs.iter().any(|pair| pair.unnamed.as_ref() == Some(text)));
        for (pair, making) in &mut usable {
            making.notes.extend(pair.unnamed.as_ref().and_then(|text| strangers.get(text)).cloned());
        }
        strangers.values().for_each(|text| watch.note(text));
        programs_in_words(programs).iter().for_each(|text| watch.note(text));
        usable
    }

    /// The slices of a scan that are kept, in canonical order.
    pub(super) fn kept(&self, space: &Space) -> Range<usize> {
        self.preprocess.kept(space.shape[Reorientation::to_canonical(space).slice_axis()])
    }

    /// The data set's label of every organ that is kept.
    fn numbering(&self) -> Result<BTreeMap<String, u16>> {
        let labels = || self.pairs.iter().filter_map(|pair| pair.label.as_ref());
        let known: BTreeSet<&str> = labels().flat_map(Label::organs).collect();
        let ranged = self.ranges.iter().flat_map(Ranges::organs);
        let anywhere: BTreeSet<&str> = ranged.chain(known.iter().copied()).collect();
        if let Some(organ) = self.only.iter().find(|organ| !anywhere.contains(organ.as_str())) {
            let expected = "an organ that masks or ranges name";
            let about = Subject::Organ(organ.as_str().into());
            return Err(Error::new(about, Kind::Labels, expected, only(&anywhere, "name"))
                .hint_spelling(organ, &anywhere));
        }
        let tables = labels().filter_map(|label| match label {
            Label::Map(_, legend) => Some(legend.names.iter().filter(|(_, name)| self.keeps(name))),
            Label::Structures(_) => None,
        });
        let tables: Vec<_> = tables.map(|table| table.map(|(&v, n)| (v, n.clone())).collect()).collect();
        let structures = labels().filter(|label| matches!(label, Label::Structures(_)));
        let valueless = structures.flat_map(Label::organs).filter(|name| self.keeps(name)).collect();
        let numbering = names::unite(&tables, &valueless);
        let open = labels().find(|label| matches!(label, Label::Map(_, legend) if legend.ignored.is_some()));
        if let Some(label) = open.filter(|_| numbering.values().any(|&value| value == IGNORED)) {
            let expected = format!("labels below {IGNORED} beside `{IGNORE}`");
            return Err(Error::new(label.path(), Kind::Labels, expected, IGNORED.to_string()));
        }
        Ok(numbering)
    }

    /// The regions of which every organ is kept.
    fn regions(&self) -> Result<Regions> {
        let mut regions = Regions::new();
        for label in self.pairs.iter().filter_map(|pair| pair.label.as_ref()) {
            let Label::Map(path, Legend { names, regions: told, .. }) = label else { continue };
            for (region, values) in told.iter().filter(|(_, values)| values.len() > 1) {
                let parts: BTreeSet<String> =
                    values.iter().filter_map(|value| names.get(value)).cloned().collect();
                if !parts.iter().all(|part| self.keeps(part)) {
                    continue;
                }
                let other = regions.insert(region.clone(), parts.clone()).filter(|other| *other != parts);
                if let Some(other) = other {
                    let expected = format!("{region} of {}, as beside other masks", list(&other));
                    return Err(Error::new(path, Kind::Labels, expected, list(&parts)));
                }
            }
        }
        Ok(regions)
    }

    /// The labels of which every organ is kept, as `regions_class_order` has them painted.
    fn painting(&self) -> Result<Painting> {
        let mut painting = Painting::new();
        for label in self.pairs.iter().filter_map(|pair| pair.label.as_ref()) {
            let Label::Map(path, Legend { names, regions, class_order, .. }) = label else { continue };
            if regions.is_empty() || class_order.is_empty() {
                continue;
            }
            let of_each = regions.iter().zip(class_order).all(|((_, values), value)| values.contains(value));
            if !of_each || regions.len() != class_order.len() {
                let labels: Vec<&str> = regions.iter().map(|(name, _)| name.as_str()).collect();
                let expected = format!("a value of each of {} in `regions_class_order`", labels.join(", "));
                return Err(Error::new(path, Kind::Labels, expected, format!("{class_order:?}"))
                    .hint("write there a value of each label in the order of `labels`, or leave it out"));
            }
            let kept = |values: &BTreeSet<u16>| values.iter().all(|value| self.keeps(&names[value]));
            let both = regions.iter().zip(class_order).filter(|((_, values), _)| kept(values));
            let own: Painting = both.map(|((name, _), value)| (name.clone(), names[value].clone())).collect();
            if !painting.is_empty() && painting != own {
                let expected = format!("regions painted as beside other masks, {painting:?}");
                return Err(Error::new(path, Kind::Labels, expected, format!("{own:?}"))
                    .hint("write the same `regions_class_order` beside all masks"));
            }
            painting = own;
        }
        Ok(painting)
    }

    pub(super) fn keeps(&self, organ: &str) -> bool {
        self.only.is_empty() || self.only.contains(organ)
    }
}

fn list(organs: &BTreeSet<String>) -> String {
    organs.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// Sentences about files that say that other programs made masks, one for each program.
fn programs_in_words(programs: BTreeSet<(PathBuf, &'static str, Origin)>) -> Vec<String> {
    let mut by_program: BTreeMap<_, Vec<PathBuf>> = BTreeMap::new();
    for (record, program, origin) in programs {
        by_program.entry((program, origin)).or_default().push(record);
    }
    let sentence = |((program, origin), records): (_, Vec<PathBuf>)| {
        let more = match records.len() {
            0 | 1 => ": says".to_owned(),
            several => format!(" and {} more: say", several - 1),
        };
        let first = records.first().map(|record| record.display().to_string()).unwrap_or_default();
        format!(
            "{first}{more} that {program} made masks; they count as {origin}, unless --origin or the column `origin` says otherwise"
        )
    };
    by_program.into_iter().map(sentence).collect()
}

/// One scan under two patients would let a split by patient leak.
pub(super) fn refuse_twin(scan: &Scan, others: &[Scan]) -> Result<()> {
    let twin = |other: &&Scan| {
        other.fingerprint == scan.fingerprint && other.patient != scan.patient && other.case != scan.case
    };
    others.iter().find(twin).map_or(Ok(()), |twin| {
        let expected = format!("another scan than {} of patient {}", twin.image.path.display(), twin.patient);
        let found = format!("the same voxels under patient {}", scan.patient);
        Err(Error::new(&scan.image.path, Kind::Pairing, expected, found)
            .hint("leave one out, or give both the same patient in a manifest"))
    })
}
