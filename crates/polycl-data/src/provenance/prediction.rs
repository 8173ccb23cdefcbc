//! `polycl.json`: which masks of a folder a network made, and which scans that network had seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use polycl_base::{Error, Kind, Result, output, text};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::record::Record;

/// The whole file, as `polycl predict` keeps it. `M` tells how a mask was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Card<M> {
    /// Version of the program that began it.
    pub polycl: String,
    pub run: PathBuf,
    /// Hash of the network's weights: masks of two networks do not mix in a folder.
    pub weights: String,
    /// The refinement of the masks, if there was one; this must not differ in a folder either.
    #[serde(default)]
    pub refined_by: Option<String>,
    /// Cases whose masks in the folder are this network's, for `import` and `evaluate` to know them
    /// by; none are listed, and all are meant, where an earlier version began the folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cases: Option<BTreeSet<String>>,
    /// The making of the masks that are finished; a case is listed above before its mask is written.
    #[serde(default = "BTreeMap::new", skip_serializing_if = "BTreeMap::is_empty")]
    pub made: BTreeMap<String, M>,
    /// Sentences about what was odd about scans.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub odd: BTreeMap<String, Vec<String>>,
    #[serde(flatten)]
    pub seen: SeenBy,
}

/// Cases that the network of a folder of masks had seen, known by their voxels, or was told of.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SeenBy {
    /// Cases whose masks trained the network.
    pub trained_on: BTreeSet<String>,
    /// Cases whose masks chose its best checkpoint.
    pub validated_on: BTreeSet<String>,
    /// Cases that its encoder was pre-trained on, without masks.
    pub pretrained_on: BTreeSet<String>,
    /// Cases in which a person had named the slices that show an organ, before their masks were made.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ranged: BTreeSet<String>,
}

impl<M: DeserializeOwned> Card<M> {
    /// The card of a folder; `None` where the file is none of `polycl predict`, or of another version.
    ///
    /// # Errors
    /// [`Kind::Io`] where it cannot be read.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(Record::Predict.file());
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, "read it", &e))?;
        Ok(serde_json::from_str(&text).ok())
    }
}

impl<M: Serialize> Card<M> {
    /// # Errors
    /// [`Kind::Io`] where the folder cannot be written to.
    pub fn write(&self, folder: &Path) -> Result<()> {
        self.write_if(folder, || Ok(()))
    }

    /// As [`Self::write`], if `check` allows it at the last moment.
    ///
    /// # Errors
    /// As [`Self::write`], and what `check` says.
    pub fn write_if(&self, folder: &Path, check: impl FnOnce() -> Result<()>) -> Result<()> {
        write(folder, self, check)
    }
}

impl<M> Card<M> {
    /// Takes in the cases of another card of the same network.
    pub fn add(&mut self, other: Self) {
        let cases = other.cases.unwrap_or_default();
        for case in &cases {
            self.made.remove(case);
            self.odd.remove(case);
            for group in self.seen.groups() {
                group.remove(case);
            }
        }
        self.made.extend(other.made);
        self.odd.extend(other.odd);
        let mut seen = other.seen;
        for (own, theirs) in self.seen.groups().into_iter().zip(seen.groups()) {
            own.append(theirs);
        }
        if let Some(own) = &mut self.cases {
            own.extend(cases);
        }
    }
}

impl SeenBy {
    fn groups(&mut self) -> [&mut BTreeSet<String>; 4] {
        [&mut self.trained_on, &mut self.validated_on, &mut self.pretrained_on, &mut self.ranged]
    }

    /// Reads what a `polycl.json` tells of the cases seen; other fields are its own.
    ///
    /// # Errors
    /// [`Kind::Format`] where it does not tell; [`Kind::Io`].
    pub fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).map_err(|e| Error::io(file, "read it", &e))?;
        let expected = "a record of the cases that trained the network, as `polycl predict` writes it";
        serde_json::from_str(&text).map_err(|e| Error::caused(file, Kind::Format, expected, e))
    }
}

/// Which masks of a folder a network made.
#[derive(Debug)]
pub(super) enum Made {
    None,
    /// Cards of earlier versions name no cases: all that lies beside them is meant.
    All,
    Cases(BTreeSet<String>),
}

/// The name of a network by the hash of its weights, as records of its proposals have it.
pub fn network(weights: &str) -> String {
    format!("run {weights}")
}

/// The masks of a folder that a network made, and that network's name, where the card has its weights.
pub(super) fn made(file: &Path) -> Result<(Made, Option<String>)> {
    /// The part of the card that decides over truth; its other fields may be anybody's.
    #[derive(Deserialize)]
    struct Cases {
        cases: Option<BTreeSet<String>>,
        weights: Option<String>,
    }
    let bytes = text::read(file).map_err(|e| Error::io(file, "read it", &e))?;
    let expected = "a record of the masks that a network made, as `polycl predict` writes it";
    let card: Cases =
        serde_json::from_slice(&bytes).map_err(|e| Error::caused(file, Kind::Format, expected, e))?;
    let trimmed =
        |cases: BTreeSet<String>| cases.iter().map(|case| text::composed(case.trim().to_owned())).collect();
    let network = card.weights.as_deref().map(network);
    Ok((card.cases.map_or(Made::All, |cases| Made::Cases(trimmed(cases))), network))
}

/// The card of masks that none of our runs made, but another program.
pub fn of_others<'a>(made_by: &str, cases: impl IntoIterator<Item = &'a str>) -> String {
    let cases = Vec::from_iter(cases);
    let card = json!({"made_by": made_by, "cases": cases, "trained_on": [], "validated_on": [], "pretrained_on": []});
    format!("{card:#}\n")
}

/// Writes the card of masks that were copied from elsewhere, and that some machine made.
///
/// # Errors
/// [`Kind::Io`] where the folder cannot be written to.
pub fn write_copied(folder: &Path, cases: &BTreeSet<String>) -> Result<()> {
    write(folder, &json!({"polycl": env!("CARGO_PKG_VERSION"), "cases": cases}), || Ok(()))
}

fn write(folder: &Path, card: &impl Serialize, check: impl FnOnce() -> Result<()>) -> Result<()> {
    let text = |file: &mut BufWriter<&File>| {
        serde_json::to_writer_pretty(&mut *file, card)?;
        file.write_all(b"\n")
    };
    output::atomically_if(&folder.join(Record::Predict.file()), text, check)
}

/// The text of a card without a case; nothing where it does not name it. What else it tells stays, whoever wrote it.
pub(super) fn without(bytes: &[u8], case: &str) -> serde_json::Result<Option<Vec<u8>>> {
    let same =
        |other: &str| text::composed(other.trim().to_owned()) == text::composed(case.trim().to_owned());
    let mut card: Value = serde_json::from_slice(bytes)?;
    let Some(cases) = card.get_mut("cases").and_then(Value::as_array_mut) else { return Ok(None) };
    let before = cases.len();
    cases.retain(|other| other.as_str().is_none_or(|other| !same(other)));
    if cases.len() == before {
        return Ok(None);
    }
    if let Some(ranged) = card.get_mut("ranged").and_then(Value::as_array_mut) {
        ranged.retain(|other| other.as_str().is_none_or(|other| !same(other)));
    }
    let mut text = serde_json::to_vec_pretty(&card)?;
    text.push(b'\n');
    Ok(Some(text))
}
