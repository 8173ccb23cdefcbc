//! Who drew a mask: a person says so, or the files that lie beside it do. Each of those files is read, written
//! and changed in one place: [`prediction`] is `polycl.json`, [`propagation`] `propagate.csv`, [`refinement`]
//! `refine.csv`, [`review`] `reviewed.csv`.

mod case_table;
mod foreign;
mod origin;
pub mod prediction;
pub mod propagation;
mod record;
pub mod refinement;
pub mod review;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use polycl_base::{Error, Kind, Result, lock, output};
use polycl_image::files::case_name;

use self::foreign::Program;
use self::prediction::Made;
use self::review::Reviewed;
pub use origin::Origin;
pub use propagation::{Propagation, Trust};
pub use record::Record;

/// A machine that made a mask, and the file that says so.
#[derive(Debug, Clone)]
pub struct Maker {
    pub origin: Origin,
    pub record: PathBuf,
    /// The rows of `propagate.csv` about the mask's slices.
    pub propagation: Option<Propagation>,
    /// The other program whose mask it is; a person who knows better may say so.
    pub program: Option<&'static str>,
    /// Names of the networks and other machines that proposed parts of it, as far as they are recorded.
    pub machines: BTreeSet<String>,
}

impl Maker {
    /// True of a mask that a person worked on in `polycl serve`.
    pub fn is_reviews(&self) -> bool {
        self.record.file_name().is_some_and(|name| name == Record::Review.file())
    }

    /// The error of a mask that should have been drawn by hand.
    pub fn refused(&self, mask: &Path, expected: &str) -> Error {
        let record = self.record.display();
        let whose = self.program.map_or_else(|| self.origin.to_string(), |program| format!("by {program}"));
        let found = format!("a mask that a machine made ({whose}), as {record} says");
        let error = Error::new(mask, Kind::Request, expected, found);
        match self.origin {
            Origin::Reviewed => error,
            _ if self.is_reviews() => error.hint("call the scan reviewed in `polycl serve` first"),
            _ => error
                .hint("put a mask that a person has corrected since into another folder, without that file"),
        }
    }
}

/// The records in files beside masks; each folder is read once.
#[derive(Debug, Default)]
pub struct Records(BTreeMap<PathBuf, Folder>);

impl Records {
    /// The machine that made a mask, as the files beside it tell, or those beside the files that it
    /// is a link to; of several the least believable. `None` where nothing is told: a person then
    /// drew it.
    ///
    /// # Errors
    /// [`Kind::Format`] or [`Kind::Io`] for a `propagate.csv`, `polycl.json`, `refine.csv` or `reviewed.csv` that
    /// cannot be read: a mask beside it must not become truth by a slip.
    pub fn maker(&mut self, mask: &Path) -> Result<Option<Maker>> {
        self.maker_of(mask, None)
    }

    /// The same of one value of a mask: each structure of a DICOM object says who drew it.
    ///
    /// # Errors
    /// As [`Self::maker`].
    pub fn maker_of(&mut self, mask: &Path, value: Option<u16>) -> Result<Option<Maker>> {
        if case_name(mask).is_none() {
            return foreign::object(mask, value);
        }
        let mut least: Option<Maker> = None;
        for path in links(mask) {
            let Some(case) = case_name(&path) else { continue };
            let folder = path.parent().unwrap_or(Path::new(""));
            if !self.0.contains_key(folder) {
                self.0.insert(folder.to_path_buf(), Folder::read(folder)?);
            }
            let makers = [self.0[folder].maker(case.trim()), self.0[folder].other(&case)];
            for maker in makers.into_iter().flatten() {
                // Our own records outrank what other programs leave.
                let rank = |maker: &Maker| (maker.origin, maker.program.is_none());
                if least.as_ref().is_none_or(|least| rank(&maker) > rank(least)) {
                    least = Some(maker);
                }
            }
        }
        Ok(least)
    }

    /// Refuses a mask that a machine made where only truth will do.
    ///
    /// # Errors
    /// [`Kind::Request`] for such a mask; as [`Self::maker`].
    pub fn check_truth(&mut self, mask: &Path) -> Result<()> {
        let Some(maker) = self.maker(mask)? else { return Ok(()) };
        let refused = maker.refused(mask, "a mask drawn by hand, for only that is truth");
        Err(match maker.origin {
            Origin::Reviewed => refused.hint(
                "give `evaluate` --accept-reviewed where agreement with a mended proposal is good enough",
            ),
            _ => refused,
        })
    }

    /// As [`Self::check_truth`], where masks that a person has reviewed will do; the maker of such a mask.
    ///
    /// # Errors
    /// As [`Self::check_truth`].
    pub fn check_reviewed(&mut self, mask: &Path) -> Result<Option<Maker>> {
        match self.maker(mask)? {
            None => Ok(None),
            Some(maker) if maker.origin == Origin::Reviewed => Ok(Some(maker)),
            Some(maker) => Err(maker.refused(mask, "a mask that a person drew or reviewed")),
        }
    }
}

/// More links in a row than any system follows.
const MOST_LINKS: usize = 40;

/// A path, the one that it links to, and so on.
fn links(path: &Path) -> impl Iterator<Item = PathBuf> {
    let next = |path: &PathBuf| {
        let folder = path.parent().unwrap_or(Path::new(""));
        std::fs::read_link(path).ok().map(|target| folder.join(target))
    };
    std::iter::successors(Some(path.to_path_buf()), next).take(MOST_LINKS + 1)
}

/// The records of one folder, by case. White space around a case means nothing.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    propagated: BTreeMap<String, Propagation>,
    predicted: Made,
    /// The network that did.
    network: Option<String>,
    refined: BTreeSet<String>,
    reviewed: BTreeMap<String, Reviewed>,
    /// The other program that made all masks there.
    program: Option<Program>,
}

impl Folder {
    fn read(folder: &Path) -> Result<Self> {
        let present = |record: Record| Some(folder.join(record.file())).filter(|file| file.is_file());
        let propagated = present(Record::Propagate).map(|file| propagation::read(&file)).transpose()?;
        let predicted = present(Record::Predict).map(|file| prediction::made(&file)).transpose()?;
        let (predicted, network) = predicted.unwrap_or((Made::None, None));
        let refined = present(Record::Refine).map(|file| refinement::cases(&file)).transpose()?;
        let reviewed = present(Record::Review).map(|file| review::read(&file)).transpose()?;
        Ok(Self {
            path: folder.to_path_buf(),
            propagated: propagated.unwrap_or_default(),
            predicted,
            network,
            refined: refined.unwrap_or_default(),
            reviewed: reviewed.unwrap_or_default(),
            program: foreign::of_folder(folder),
        })
    }

    /// The other program that made a mask.
    fn other(&self, case: &str) -> Option<Maker> {
        let predicted = self.program.clone().or_else(|| foreign::of_case(&self.path, case));
        let predicted = predicted.map(|program| (program, Origin::Predicted));
        // Where a record of ours knows of the mask, the segmentation may be of one before it.
        let known = self.maker(case.trim()).is_some() || self.reviewed.contains_key(case.trim());
        let beside = || foreign::segmentation(&self.path, case).filter(|_| !known);
        let ((record, program), origin) = predicted.or_else(beside)?;
        let machines = BTreeSet::from([program.to_owned()]);
        Some(Maker { origin, record, propagation: None, program: Some(program), machines })
    }

    /// The least believable of several records: one mask may have replaced another.
    fn maker(&self, case: &str) -> Option<Maker> {
        let predicted = match &self.predicted {
            Made::None => false,
            Made::All => true,
            Made::Cases(cases) => cases.contains(case),
        };
        let propagation = self.propagated.get(case);
        let mut machines = BTreeSet::new();
        let (origin, record, propagation) = match () {
            () if predicted => {
                machines.extend(self.network.clone());
                (Origin::Predicted, Record::Predict, None)
            }
            () if self.refined.contains(case) => (Origin::Predicted, Record::Refine, None),
            () if propagation.is_some() => (Origin::Propagated, Record::Propagate, propagation.cloned()),
            () => {
                let reviewed = self.reviewed.get(case)?;
                machines.clone_from(&reviewed.machines);
                let origin = match (reviewed.done, machines.is_empty()) {
                    (true, true) => return None,
                    (true, false) => Origin::Reviewed,
                    // A part of it may not be drawn yet.
                    (false, _) => Origin::Propagated,
                };
                (origin, Record::Review, Some(reviewed.propagation.clone()))
            }
        };
        Some(Maker { origin, record: self.path.join(record.file()), propagation, program: None, machines })
    }
}

/// Lets all records of a folder but `own` forget a case, whose mask has been replaced. As long as it has not, they
/// stay, for of several records the least believable counts.
///
/// # Errors
/// [`Kind::Format`] for a record that cannot be read; [`Kind::Io`].
pub fn settle(folder: &Path, case: &str, own: &[Record]) -> Result<()> {
    let _lock = lock::wait(folder)?;
    for record in Record::ALL.into_iter().filter(|record| !own.contains(record)) {
        let path = folder.join(record.file());
        if !path.is_file() {
            continue;
        }
        let unreadable =
            |found| Error::new(&path, Kind::Format, "a record of the masks that a machine made", found);
        let without = match record {
            Record::Predict => {
                let text = std::fs::read(&path).map_err(|e| Error::io(&path, "read it", &e))?;
                prediction::without(&text, case).map_err(|e| unreadable(e.to_string()).because(e))?
            }
            Record::Propagate | Record::Refine | Record::Review => {
                case_table::without(&path, case).map_err(|e| unreadable(e.found.clone()).because(e))?
            }
        };
        if let Some(text) = without {
            output::atomically(&path, |file| file.write_all(&text))?;
        }
    }
    Ok(())
}
