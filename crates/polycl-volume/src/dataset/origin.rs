//! Who drew a mask: a person says so, or the files that lie beside it do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::propagated::{self, Propagation};
use super::{table, text};
use crate::files::case_name;
use crate::{Error, Kind, Result};

/// Who drew the masks of a scan, from the most to the least believable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A person. Only such masks are truth: they validate, and `evaluate` scores against them.
    #[default]
    Hand,
    /// `polycl propagate`, from slices that a person has drawn.
    Propagated,
    /// A network: `polycl predict` or `polycl refine`.
    Predicted,
}

impl Origin {
    pub const ALL: [Self; 3] = [Self::Hand, Self::Propagated, Self::Predicted];

    pub fn is_hand(&self) -> bool {
        *self == Self::Hand
    }

    /// How many there are of each, in words: "3 by hand, 2 propagated".
    pub fn counts(origins: impl IntoIterator<Item = Self>) -> String {
        let origins = Vec::from_iter(origins);
        let count = |origin: Self| origins.iter().filter(|&&other| other == origin).count();
        let words = |origin: Self| match origin {
            Self::Hand => "by hand".to_owned(),
            _ => origin.to_string(),
        };
        let some = Self::ALL.into_iter().filter(|&origin| count(origin) > 0);
        some.map(|origin| format!("{} {}", count(origin), words(origin))).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hand => "hand",
            Self::Propagated => "propagated",
            Self::Predicted => "predicted",
        })
    }
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let named = |origin: &Self| origin.to_string() == text;
        Self::ALL.into_iter().find(named).ok_or_else(|| "expected hand, propagated or predicted".to_owned())
    }
}

/// A machine that made a mask, and the file that says so.
#[derive(Debug, Clone)]
pub struct Maker {
    pub origin: Origin,
    pub record: PathBuf,
    /// What `propagate.csv` says of the mask's slices.
    pub propagation: Option<Propagation>,
}

impl Maker {
    /// The error of a mask that should have been drawn by hand.
    pub fn refused(&self, mask: &Path, expected: &str) -> Error {
        let record = self.record.display();
        let found = format!("one that a machine made ({}), says {record}", self.origin);
        Error::new(mask, Kind::Request, expected, found)
            .hint("a mask that a person has corrected since belongs in another folder, without that file")
    }
}

/// A file that says which of the masks beside it a machine made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record {
    /// Of `polycl propagate`.
    Propagate,
    /// Of `polycl predict`.
    Predict,
    /// Of `polycl refine`, and of `polycl predict --refine`.
    Refine,
}

impl Record {
    pub const ALL: [Self; 3] = [Self::Propagate, Self::Predict, Self::Refine];

    /// The name of the file.
    pub const fn file(self) -> &'static str {
        match self {
            Self::Propagate => "propagate.csv",
            Self::Predict => "polycl.json",
            Self::Refine => "refine.csv",
        }
    }
}

/// What the files beside masks tell; each folder is read once.
#[derive(Debug, Default)]
pub struct Records(BTreeMap<PathBuf, Folder>);

impl Records {
    /// The machine that made a mask, as the files beside it tell, or those beside the files that it
    /// is a link to; of several the least believable. `None` where nothing is told: a person then
    /// drew it.
    ///
    /// # Errors
    /// [`Kind::Format`] or [`Kind::Io`] for a `propagate.csv`, `polycl.json` or `refine.csv` that
    /// cannot be read: a mask beside it must not become truth by a slip.
    pub fn maker(&mut self, mask: &Path) -> Result<Option<Maker>> {
        let mut least: Option<Maker> = None;
        for path in links(mask) {
            let Some(case) = case_name(&path) else { continue };
            let folder = path.parent().unwrap_or(Path::new(""));
            if !self.0.contains_key(folder) {
                self.0.insert(folder.to_path_buf(), Folder::read(folder)?);
            }
            let maker = self.0[folder].maker(case.trim());
            let less = |maker: &Maker| least.as_ref().is_none_or(|least| maker.origin > least.origin);
            if let Some(maker) = maker.filter(less) {
                least = Some(maker);
            }
        }
        Ok(least)
    }

    /// Refuses a mask that a machine made where only truth will do.
    ///
    /// # Errors
    /// [`Kind::Request`] for such a mask; as [`Self::maker`].
    pub fn check_truth(&mut self, mask: &Path) -> Result<()> {
        let refused = |maker: Maker| maker.refused(mask, "a mask drawn by hand, for only that is truth");
        self.maker(mask)?.map_or(Ok(()), |maker| Err(refused(maker)))
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
    predicted: Predicted,
    refined: BTreeSet<String>,
}

/// Which masks of a folder `polycl.json` tells of.
#[derive(Debug)]
enum Predicted {
    None,
    /// Cards of earlier versions name no cases: all that lies beside them is meant.
    All,
    Cases(BTreeSet<String>),
}

impl Folder {
    fn read(folder: &Path) -> Result<Self> {
        let present = |record: Record| Some(folder.join(record.file())).filter(|file| file.is_file());
        let propagated = present(Record::Propagate).map(|file| propagated::read(&file)).transpose()?;
        let predicted = present(Record::Predict).map(|file| predicted(&file)).transpose()?;
        let refined = present(Record::Refine).map(|file| cases(&file)).transpose()?;
        Ok(Self {
            path: folder.to_path_buf(),
            propagated: propagated.unwrap_or_default(),
            predicted: predicted.unwrap_or(Predicted::None),
            refined: refined.unwrap_or_default(),
        })
    }

    /// Of several records the least believable counts: one mask may have replaced another.
    fn maker(&self, case: &str) -> Option<Maker> {
        let predicted = match &self.predicted {
            Predicted::None => false,
            Predicted::All => true,
            Predicted::Cases(cases) => cases.contains(case),
        };
        let propagation = self.propagated.get(case);
        let (origin, record, propagation) = match () {
            () if predicted => (Origin::Predicted, Record::Predict, None),
            () if self.refined.contains(case) => (Origin::Predicted, Record::Refine, None),
            () if propagation.is_some() => (Origin::Propagated, Record::Propagate, propagation.cloned()),
            () => return None,
        };
        Some(Maker { origin, record: self.path.join(record.file()), propagation })
    }
}

/// The part of `polycl predict`'s card that is needed here.
#[derive(Deserialize)]
struct Card {
    cases: Option<BTreeSet<String>>,
}

fn predicted(file: &Path) -> Result<Predicted> {
    let bytes = text::read(file).map_err(|e| Error::io(file, "read it", &e))?;
    let card: Card = serde_json::from_slice(&bytes).map_err(|e| {
        Error::new(
            file,
            Kind::Format,
            "which masks a network made, as `polycl predict` writes it",
            e.to_string(),
        )
    })?;
    let trimmed = |cases: BTreeSet<String>| cases.iter().map(|case| case.trim().to_owned()).collect();
    Ok(card.cases.map_or(Predicted::All, |cases| Predicted::Cases(trimmed(cases))))
}

/// The cases of a table.
fn cases(file: &Path) -> Result<BTreeSet<String>> {
    let rows = table::read_with(file, &["case"])?;
    rows.iter().map(|row| Ok(row.need("case", file)?.to_owned())).collect()
}
