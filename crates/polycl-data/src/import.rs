//! From files to a data set, one scan at a time, so that memory stays bounded by one scan, and so
//! that what is done stays done: see [`super::journal`].

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use polycl_base::{Error, Kind, Result, Subject, Watch};
use polycl_image::orient::Reorientation;
use polycl_image::preprocess::Preprocess;
use polycl_image::{Space, grid, names};

use super::journal::{Head, Journal};
use super::making::Making;
use super::pair::{Label, Pair};
use super::prepared::Prepared;
use super::presence::Ranges;
use super::provenance::{Origin, Records};
use super::store::Writer;
use super::{DrawnSlices, Index, Scan, masks};

/// What a data set is made of.
pub struct Import {
    /// From [`super::pairs`], sorted by case.
    pub pairs: Vec<Pair>,
    pub ranges: Option<Ranges>,
    /// Which slices of the masks are drawn, where not all are.
    pub drawn: Option<DrawnSlices>,
    /// The organs that are kept; all where it is empty.
    pub only: BTreeSet<String>,
    pub preprocess: Preprocess,
}

/// Scans that cannot be used, told as soon as they are found.
struct Failures<'a> {
    failed: Vec<(String, Error)>,
    /// Of one scan alone the error itself tells.
    quiet: bool,
    watch: &'a dyn Watch,
}

impl Failures<'_> {
    fn add(&mut self, pair: &Pair, error: Error) {
        if !self.quiet {
            self.watch.note(&format!("{} cannot be used", pair.case));
        }
        self.failed.push((pair.case.clone(), error));
    }
}

/// What an import came to.
#[derive(Debug)]
pub struct Imported {
    /// What the data set holds; where scans are left, what it would hold so far, for it is none yet.
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
    /// way, or where another process writes it; [`Kind::Io`] for `out`. Where no scan at all could be used, the first reason; nothing is left then.
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
        let mut journal = Journal::open(out, Head::new(self.preprocess.clone(), labels), go_on)?;
        let kept = journal.scans().len();
        let missing: Vec<&Pair> =
            self.pairs.iter().filter(|pair| !journal.has(pair, |organ| self.keeps(organ))).collect();
        let mut failures = Failures { failed: Vec::new(), quiet: self.pairs.len() == 1, watch };
        let ready = self.check_files(&missing, &numbering, &mut failures);
        // What is asked for cannot be had of all scans alike: no reason to go on with the others.
        if let Some(at) = failures.failed.iter().position(|(_, error)| error.kind == Kind::Request) {
            return Err(journal.abandon(Some(failures.failed.swap_remove(at).1)));
        }
        let writer = Writer::create(out)?;
        for (number, (pair, making)) in ready.into_iter().enumerate() {
            if watch.stop() {
                let left = missing.len() - number - failures.failed.len();
                return Ok(Imported { index: journal.index(), left, kept, failed: failures.failed });
            }
            watch.task(&format!("import {}", pair.case));
            watch.step(number, missing.len());
            let prepared = self.read(pair, making, &numbering, watch);
            let fits = |prepared: &Prepared| refuse_twin(&prepared.scan, journal.scans());
            match prepared.and_then(|prepared| fits(&prepared).map(|()| prepared)) {
                Ok(prepared) => journal.add(prepared.store(&writer, self.preprocess.size)?)?,
                Err(error) => failures.add(pair, error),
            }
        }
        let failed = failures.failed;
        if journal.scans().is_empty() {
            return Err(journal.abandon(failed.into_iter().next().map(|(_, error)| error)));
        }
        Ok(Imported { index: journal.finish()?, left: 0, kept, failed })
    }

    /// Looks at the headers of all files and at what lies beside masks, so that the last row's slip
    /// is not found after hours.
    fn check_files<'a>(
        &self,
        pairs: &[&'a Pair],
        numbering: &BTreeMap<String, u16>,
        failures: &mut Failures,
    ) -> Vec<(&'a Pair, Making)> {
        let mut records = Records::default();
        let mut check = |pair: &Pair| {
            let space = pair.image.space()?;
            let lies = |label| masks::check((label, pair.reading), pair.image.path(), &space, numbering);
            let headers = pair.label.as_ref().map(lies).transpose()?.unwrap_or_default();
            let mut making = Making::of(pair, &space, &self.kept(&space), numbering, &mut records)?;
            if let Some(label) = &pair.label
                && making.is_propagated()
                && headers.fits.iter().any(grid::Fit::is_reordered)
            {
                let expected = "a propagated mask whose slices are in the order of its scan's";
                return Err(Error::new(label.path(), Kind::Geometry, expected, "one in another order")
                    .hint("propagate.csv counts slices in the mask's order: propagate on this scan"));
            }
            making.notes = headers.notes(&pair.image)?;
            Ok(making)
        };
        let mut programs = BTreeSet::new();
        let usable = |&pair: &&'a Pair| match check(pair) {
            Ok(making) => {
                programs.extend(making.programs.iter().cloned());
                for note in &making.notes {
                    failures.watch.note(&format!("{}: {note}", pair.case));
                }
                Some((pair, making))
            }
            Err(error) => {
                failures.add(pair, error);
                None
            }
        };
        let usable = pairs.iter().filter_map(usable).collect();
        programs_in_words(programs).iter().for_each(|text| failures.watch.note(text));
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
            let known = Vec::from_iter(anywhere).join(", ");
            let found = if known.is_empty() { "no names at all".into() } else { format!("only {known}") };
            return Err(Error::new(
                Subject::Organ(organ.as_str().into()),
                Kind::Labels,
                "it among the names of masks and ranges",
                found,
            ));
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

    pub(super) fn keeps(&self, organ: &str) -> bool {
        self.only.is_empty() || self.only.contains(organ)
    }
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
            "{first}{more} that {program} made masks; they are taken for {origin} ones, unless --origin tells otherwise"
        )
    };
    by_program.into_iter().map(sentence).collect()
}

/// One scan under two patients would let a split by patient leak.
fn refuse_twin(scan: &Scan, others: &[Scan]) -> Result<()> {
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
