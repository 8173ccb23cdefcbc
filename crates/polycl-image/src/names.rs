//! Names of label values: where they are found, how they are spelt, and how those of several
//! files become one numbering. Names are matched as they are written; synonyms are not guessed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use polycl_base::{Error, Kind, Result, table, text};
use serde_json::{Map, Value};

use crate::dicom::structures::Structures;
use crate::legend::{Legend, Regions};
use crate::raw::Source;
use crate::{files, nrrd};

/// The name of each label value of a mask file; background (0) has none.
pub type Names = BTreeMap<u16, String>;

const HINT: &str = "write names as JSON such as {\"1\": \"liver\"} or {\"labels\": {\"liver\": 1}}, \
                    or as a CSV file with the columns id,name";

/// Columns of a CSV file of names, in the order in which they are looked for.
const VALUE_COLUMNS: [&str; 4] = ["id", "value", "label", "index"];
const NAME_COLUMNS: [&str; 3] = ["name", "structure", "organ"];

/// Names as a list, `1=liver,2=spleen`.
///
/// # Errors
/// [`Kind::Labels`] as [`read`].
pub(crate) fn listed(text: &str) -> Result<Legend> {
    let pairs = text.split(',').map(|pair| {
        let (value, name) = pair.split_once('=').unwrap_or((pair, ""));
        (value.trim().to_owned(), name.trim().to_owned())
    });
    collect(pairs, Path::new(text)).map(Legend::plain)
}

/// Reads JSON in either direction, bare or under `labels` (as MSD and nnU-Net write it), CSV, or the header of a
/// segmentation of 3D Slicer or DICOM.
///
/// # Errors
/// [`Kind::Labels`] for a value that is no label, an empty name, or one that is given twice;
/// [`Kind::Format`] or [`Kind::Io`] where the file cannot be read.
pub fn read(file: &Path) -> Result<Legend> {
    if file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv")) {
        return read_csv(file).map(Legend::plain);
    }
    if files::is_segmentation(file) {
        let segments = nrrd::segments(&mut Source::file(file)?, file)?;
        let names = collect(segments.into_iter().map(|segment| (segment.label, segment.name)), file);
        return names.map(Legend::plain);
    }
    if let Some(object) = Structures::at(file)? {
        return Ok(Legend::plain(object.names()));
    }
    let (entries, class_order) = entries(file)?;
    if entries.values().any(|value| value.as_array().is_some_and(|list| list.len() > 1)) {
        return Legend::of_regions(regions(&entries, file)?, class_order, file);
    }
    let pairs = entries.iter().map(|(key, value)| pair(key, value, file));
    collect(pairs.collect::<Result<Vec<_>>>()?, file).map(Legend::plain)
}

/// The entries of a table of names, and the `regions_class_order` beside it.
fn entries(file: &Path) -> Result<(Map<String, Value>, Vec<u16>)> {
    let text = text::decoded(file).map_err(|e| Error::io(file, "read label names", &e))?;
    let mut json = text::json(&text)
        .map_err(|e| Error::caused(file, Kind::Format, "label names as JSON", e).hint(HINT))?;
    let class_order = match json.get("regions_class_order") {
        None | Some(Value::Null) => Vec::new(),
        Some(order) => class_order(order).ok_or_else(|| {
            Error::new(file, Kind::Labels, "label values in `regions_class_order`", order.to_string())
        })?,
    };
    let table = json.get_mut("labels").map(Value::take).unwrap_or(json);
    match table {
        Value::Object(entries) => Ok((entries, class_order)),
        _ => Err(Error::new(file, Kind::Labels, "label names", "JSON of another shape").hint(HINT)),
    }
}

/// The values of every label but the background.
fn regions(entries: &Map<String, Value>, file: &Path) -> Result<Regions> {
    let all = entries.iter().map(|(name, value)| Ok((name.clone(), values(name, value, file)?)));
    let mut all = all.collect::<Result<Regions>>()?;
    all.retain(|(_, values)| values.iter().any(|&value| value != 0));
    Ok(all)
}

fn class_order(order: &Value) -> Option<Vec<u16>> {
    order.as_array()?.iter().map(one).collect()
}

/// A label value, be it written as a number or as text.
fn one(value: &Value) -> Option<u16> {
    match value {
        Value::String(text) => number(text),
        other => number(&other.to_string()),
    }
}

/// The values of an entry, of which there may be a list.
fn values(name: &str, value: &Value, file: &Path) -> Result<BTreeSet<u16>> {
    let values = match value {
        Value::Array(list) => list.iter().map(one).collect::<Option<BTreeSet<u16>>>(),
        other => one(other).map(|value| BTreeSet::from([value])),
    };
    let wrong = || Error::new(file, Kind::Labels, format!("label values of {name}"), value.to_string());
    values.filter(|values| !values.is_empty()).ok_or_else(wrong)
}

/// Value and name of a JSON entry, whichever comes first.
fn pair(key: &str, value: &Value, file: &Path) -> Result<(String, String)> {
    let named = value.get("name").unwrap_or(value);
    match named {
        Value::String(name) if number(key).is_some() => Ok((key.to_owned(), name.clone())),
        Value::String(value) => Ok((value.clone(), key.to_owned())),
        Value::Number(value) => Ok((value.to_string(), key.to_owned())),
        // A region of one label is that label.
        Value::Array(values) if values.len() == 1 => pair(key, &values[0], file),
        other => Err(Error::new(file, Kind::Labels, format!("one label value for {key}"), other.to_string())
            .hint(HINT)),
    }
}

fn read_csv(file: &Path) -> Result<Names> {
    let (columns, rows) = table::read_any(file)?;
    let column = |choices: &[&'static str]| choices.iter().copied().find(|c| columns.iter().any(|k| k == c));
    let (Some(value), Some(name)) = (column(&VALUE_COLUMNS), column(&NAME_COLUMNS)) else {
        return Err(
            Error::new(file, Kind::Labels, "columns of values and names", columns.join(",")).hint(HINT)
        );
    };
    table::once(file, &columns, &[value, name])?;
    let pairs =
        rows.iter().map(|row| Ok((row.need(value, file)?.to_owned(), row.need(name, file)?.to_owned())));
    collect(pairs.collect::<Result<Vec<_>>>()?, file)
}

fn collect(pairs: impl IntoIterator<Item = (String, String)>, file: &Path) -> Result<Names> {
    let mut names = Names::new();
    let mut seen = BTreeSet::new();
    let wrong = |expected: &str, found: String| Error::new(file, Kind::Labels, expected, found).hint(HINT);
    for (value, name) in pairs {
        let number =
            number(&value).ok_or_else(|| wrong("label values from 0 to 65535", format!("{value:?}")))?;
        if number == 0 {
            continue;
        }
        if name.is_empty() || !seen.insert(name.clone()) || names.contains_key(&number) {
            return Err(wrong("one name for each label value", format!("{value} = {name:?}")));
        }
        names.insert(number, name);
    }
    if names.is_empty() {
        return Err(wrong("names of label values", "no name".into()));
    }
    Ok(names)
}

/// A label value, which some programs write as 1.0.
fn number(text: &str) -> Option<u16> {
    let whole =
        |number: f64| (number.fract() == 0.0 && (0.0..=65535.0).contains(&number)).then_some(number as u16);
    text.parse().ok().or_else(|| text.parse().ok().and_then(whole))
}

/// As [`Beside::legend`], of one mask.
///
/// # Errors
/// As [`Beside::legend`].
pub fn beside(mask: &Path) -> Result<Legend> {
    Beside::default().legend(mask)
}

/// As [`Beside::file`], of one mask.
pub fn file_beside(mask: &Path) -> Option<PathBuf> {
    Beside::default().file(mask)
}

/// The names beside masks, of which many lie in one folder: what they share is looked for and read once.
#[derive(Debug, Default)]
pub struct Beside {
    /// The file that the masks of a folder share.
    shared: BTreeMap<PathBuf, Option<PathBuf>>,
    tables: BTreeMap<PathBuf, Legend>,
}

impl Beside {
    /// The names that lie beside a mask file; see [`Self::file`].
    ///
    /// # Errors
    /// As [`read`]; [`Kind::Labels`] where there is no such file.
    pub fn legend(&mut self, mask: &Path) -> Result<Legend> {
        match self.file(mask) {
            Some(file) if file == mask => read(&file),
            Some(file) => self.read(&file),
            None => Err(nameless(mask, "no names")),
        }
    }

    /// As [`read`].
    ///
    /// # Errors
    /// As [`read`].
    pub fn read(&mut self, file: &Path) -> Result<Legend> {
        if let Some(legend) = self.tables.get(file) {
            return Ok(legend.clone());
        }
        let legend = read(file)?;
        self.tables.insert(file.to_path_buf(), legend.clone());
        Ok(legend)
    }

    /// The files that were read for their names, without the masks.
    pub fn tables(&self) -> impl Iterator<Item = &Path> {
        self.tables.keys().map(PathBuf::as_path)
    }

    /// The file of the names of a mask: a DICOM object is its own. Else `CASE.labels.json`, the header of 3D Slicer's
    /// `.seg.nrrd`, then `labels.json` or `dataset.json` in its folder or one level up; `None` where there is none.
    pub fn file(&mut self, mask: &Path) -> Option<PathBuf> {
        if let Ok(Some(object)) = Structures::at(mask) {
            return Some(object.path);
        }
        let folder = mask.parent().unwrap_or(Path::new(""));
        let own = files::stem(mask).map(str::to_owned).into_iter().chain(files::case_name(mask));
        let own: BTreeSet<String> = own.collect();
        let mut own = own.into_iter().map(|case| folder.join(format!("{case}.labels.json")));
        let header = || files::is_segmentation(mask).then(|| named_in_header(mask)).flatten();
        own.find(|file| file.is_file()).or_else(header).or_else(|| self.shared(folder))
    }

    fn shared(&mut self, folder: &Path) -> Option<PathBuf> {
        let find = || {
            let names = ["labels.json", "dataset.json", "../labels.json", "../dataset.json"];
            names.into_iter().map(|name| folder.join(name)).find(|file| file.is_file())
        };
        self.shared.entry(folder.to_path_buf()).or_insert_with(find).clone()
    }
}

/// The mask itself, if it is a segmentation of 3D Slicer whose header names its values.
fn named_in_header(mask: &Path) -> Option<PathBuf> {
    let told = match nrrd::segments(&mut Source::file(mask).ok()?, mask) {
        // Whoever reads it is told.
        Err(error) if error.kind == Kind::Labels => return Some(mask.to_path_buf()),
        told => told.ok()?,
    };
    // Earlier versions of 3D Slicer did not say which value a segment has.
    let whole = |segment: &nrrd::Segment| !segment.label.is_empty() && !segment.name.is_empty();
    (!told.is_empty() && told.iter().all(whole)).then(|| mask.to_path_buf())
}

pub fn nameless(mask: &Path, found: impl Into<String>) -> Error {
    Error::new(mask, Kind::Labels, "a name for every label value", found)
        .hint("give --names 1=liver,2=spleen, or put a labels.json {\"1\": \"liver\"} beside the masks")
}

/// Names of which each has the least of its values alone: structures of DICOM that share one are drawn so.
pub fn distinct(names: Names) -> Names {
    let mut seen = BTreeSet::new();
    names.into_iter().filter(|(_, name)| seen.insert(name.clone())).collect()
}

/// One numbering for all names of a data set. Values are kept where the files agree on them;
/// otherwise, or where a name has no value (one file per structure), names are numbered from 1 in
/// alphabetical order.
pub fn unite(tables: &[Names], valueless: &BTreeSet<&str>) -> BTreeMap<String, u16> {
    let entries = || tables.iter().flat_map(|table| table.iter().map(|(&v, name)| (v, name.as_str())));
    let by_value: BTreeSet<(u16, &str)> = entries().collect();
    let values: BTreeSet<u16> = by_value.iter().map(|&(value, _)| value).collect();
    let names: BTreeSet<&str> = entries().map(|(_, name)| name).chain(valueless.iter().copied()).collect();
    let agree = by_value.len() == values.len() && by_value.len() == names.len();
    if agree {
        return by_value.into_iter().map(|(value, name)| (name.to_owned(), value)).collect();
    }
    (1..=u16::MAX).zip(names).map(|(value, name)| (name.to_owned(), value)).collect()
}
