//! Names as a person gives them: of label values, or of the structures to take from DICOM.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use polycl_base::{Error, Kind, Result, Subject, some, table, text};
use serde_json::Value;

use crate::dicom::structures::Structures;
use crate::legend::Legend;
use crate::names::{self, Names};

const HINT: &str = "write spellings as JSON such as {\"parotid_left\": [\"Parotid_L\", \"PAROTID LT\"]}, or as a CSV file with \
                    the columns name,spelling";

/// Names by which masks are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// Of label values.
    Values(Legend),
    /// Of segments and ROIs, which are known by what their files call them.
    Spellings(Spellings),
}

/// Structures, and the spellings of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spellings(BTreeMap<String, BTreeSet<String>>);

impl Given {
    /// A file (relative to `base`), `1=liver,2=spleen`, or `liver,spleen`.
    ///
    /// # Errors
    /// As [`names::read`].
    pub fn parse(given: &str, base: &Path) -> Result<Self> {
        let file = base.join(given);
        if file.is_file() {
            return Ok(match Spellings::read(&file)? {
                Some(spellings) => Self::Spellings(spellings),
                None => Self::Values(names::read(&file)?),
            });
        }
        let is_path =
            given.contains(['/', '\\']) || [".json", ".csv"].iter().any(|ending| given.ends_with(ending));
        match given.contains('=') {
            true => names::listed(given).map(Self::Values),
            false if is_path => names::read(&file).map(Self::Values),
            false => Spellings::of(
                given.split(',').map(|name| (name.trim().to_owned(), Vec::new())),
                Path::new(given),
            )
            .map(Self::Spellings),
        }
    }

    /// The meaning of a mask's values. Of a DICOM object the structures that were not asked for have none; there may be no
    /// other.
    ///
    /// # Errors
    /// As [`Structures::at`]; [`Kind::Labels`] where structures are asked for and the mask has values alone.
    pub fn legend(&self, mask: &Path) -> Result<Legend> {
        let object = Structures::at(mask)?;
        match (self, object) {
            (Self::Values(legend), None) => Ok(legend.clone()),
            (given, Some(object)) => Ok(Legend::plain(given.choose(&object.names()))),
            (Self::Spellings(spellings), None) => Err(spellings.without_values(mask)),
        }
    }

    /// The names of label values where there is no mask to look at.
    ///
    /// # Errors
    /// [`Kind::Labels`] for names without values.
    pub fn values(self) -> Result<Legend> {
        match self {
            Self::Values(legend) => Ok(legend),
            Self::Spellings(spellings) => Err(spellings.without_values(Subject::Flag("--names".into()))),
        }
    }

    /// Those of an object's names that are asked for, by their values, under the names that they are to have.
    pub fn choose(&self, there: &Names) -> Names {
        match self {
            Self::Values(legend) => {
                legend.all().into_iter().filter(|(value, _)| there.contains_key(value)).collect()
            }
            Self::Spellings(spellings) => there
                .iter()
                .filter_map(|(&value, name)| Some((value, spellings.name(name)?.to_owned())))
                .collect(),
        }
    }

    /// The names that are asked for.
    pub fn names(&self) -> BTreeSet<&str> {
        match self {
            Self::Values(legend) => legend.names.values().map(String::as_str).collect(),
            Self::Spellings(Spellings(names)) => names.keys().map(String::as_str).collect(),
        }
    }
}

impl Spellings {
    /// A name is a spelling of itself. Case, white space and punctuation make no other spelling.
    fn of(names: impl Iterator<Item = (String, Vec<String>)>, file: &Path) -> Result<Self> {
        let mut all = BTreeMap::<String, BTreeSet<String>>::new();
        for (name, spellings) in names {
            let own = all.entry(name.clone()).or_default();
            own.extend(spellings.iter().chain([&name]).map(|spelling| plain(spelling)));
        }
        let wrong = |found: String| {
            Err(Error::new(file, Kind::Labels, "names, and spellings of one name each", found).hint(HINT))
        };
        let mut whose = BTreeMap::new();
        for (name, spelling) in
            all.iter().flat_map(|(name, own)| own.iter().map(move |spelling| (name, spelling)))
        {
            if spelling.is_empty() {
                return wrong(format!("{name:?} with an empty spelling"));
            }
            if let Some(other) = whose.insert(spelling, name) {
                return wrong(format!("{spelling:?} of {other} and of {name}"));
            }
        }
        if all.is_empty() { wrong("no name".to_owned()) } else { Ok(Self(all)) }
    }

    /// The spellings of a file; `None` where it holds label values.
    fn read(file: &Path) -> Result<Option<Self>> {
        if file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv")) {
            let (columns, rows) = table::read_any(file)?;
            if !columns.iter().any(|column| column == "spelling") {
                return Ok(None);
            }
            table::once(file, &columns, &["name", "spelling"])?;
            let pair = |row: &table::Row| {
                Ok((row.need("name", file)?.to_owned(), vec![row.need("spelling", file)?.to_owned()]))
            };
            let pairs = rows.iter().map(pair).collect::<Result<Vec<_>>>()?;
            return Self::of(pairs.into_iter(), file).map(Some);
        }
        let json = text::decoded(file).ok().and_then(|text| text::json(&text).ok());
        let spelt = |(name, value): (&String, &Value)| {
            let word = |value: &Value| value.as_str().filter(|text| !is_number(text)).map(str::to_owned);
            let words = match value {
                Value::Array(list) => list.iter().map(word).collect(),
                one => word(one).map(|word| vec![word]),
            };
            (!is_number(name)).then(|| Some((name.clone(), words?))).flatten()
        };
        let entries = json.as_ref().and_then(Value::as_object).filter(|entries| !entries.is_empty());
        let names: Option<Vec<(String, Vec<String>)>> =
            entries.and_then(|entries| entries.iter().map(spelt).collect());
        names.map(|names| Self::of(names.into_iter(), file)).transpose()
    }

    /// The name that something of another spelling has.
    fn name(&self, spelling: &str) -> Option<&str> {
        if let Some((name, _)) = self.0.get_key_value(spelling) {
            return Some(name);
        }
        let spelling = plain(spelling);
        self.0.iter().find(|(_, spellings)| spellings.contains(&spelling)).map(|(name, _)| name.as_str())
    }

    fn without_values(&self, whose: impl Into<Subject>) -> Error {
        let names: Vec<&String> = self.0.keys().collect();
        let expected = "names of label values, such as 1=liver,2=spleen";
        Error::new(whose, Kind::Labels, expected, format!("names alone: {}", some(&names)))
            .hint("give names without values for DICOM segmentations and contours only")
    }
}

/// Letters and digits alone, in lower case.
fn plain(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn is_number(text: &str) -> bool {
    text.trim().parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(given: &str, there: &[(u16, &str)]) -> Vec<(u16, String)> {
        let there = there.iter().map(|&(value, name)| (value, name.to_owned())).collect();
        Given::parse(given, Path::new("")).unwrap().choose(&there).into_iter().collect()
    }

    #[test]
    fn a_list_chooses_whatever_the_case_and_punctuation() {
        let there = [(1, "Parotid_L"), (2, "PAROTID L"), (5, "Liver"), (9, "Liver-2")];
        let found = chosen("parotid l, liver", &there);
        assert_eq!(found, [(1, "parotid l".into()), (2, "parotid l".into()), (5, "liver".into())]);
        assert_eq!(chosen("5=liver,77=spleen", &there), [(5, "liver".into())]);
        assert_eq!(chosen("brain", &there), []);
    }

    #[test]
    fn a_table_maps_spellings() {
        let folder = tempfile::tempdir().unwrap();
        let there =
            [(1, "Parotid_L"), (2, "L parotid"), (3, "PAROTID LT"), (4, "Parotid_R"), (5, "Hot Spot")];
        let expected: Vec<(u16, String)> = [1, 2, 3].map(|value| (value, "parotid_left".to_owned())).into();
        let tables = [
            ("a.json", r#"{"parotid_left": ["Parotid_L", "L parotid", "PAROTID LT"], "liver": "hepar"}"#),
            (
                "a.csv",
                "name,spelling\nparotid_left,Parotid_L\nparotid_left,L parotid\nparotid_left,parotid lt\n",
            ),
        ];
        for (name, table) in tables {
            std::fs::write(folder.path().join(name), table).unwrap();
            let file = folder.path().join(name);
            assert_eq!(chosen(&file.to_string_lossy(), &there), expected, "{name}");
        }
        let twice = folder.path().join("b.json");
        std::fs::write(&twice, r#"{"left": ["Parotid"], "right": ["parotid"]}"#).unwrap();
        let error = Given::parse(&twice.to_string_lossy(), Path::new("")).unwrap_err();
        assert_eq!((error.kind, &*error.found), (Kind::Labels, "\"parotid\" of left and of right"));
    }

    #[test]
    fn label_values_are_no_spellings() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("labels.json");
        for text in
            [r#"{"1": "liver"}"#, r#"{"liver": "1"}"#, r#"{"liver": 1}"#, r#"{"labels": {"liver": 1}}"#]
        {
            std::fs::write(&file, text).unwrap();
            let given = Given::parse("labels.json", folder.path()).unwrap();
            assert_eq!(given, Given::Values(Legend::plain([(1, "liver".to_owned())].into())), "{text}");
        }
        assert_eq!(Given::parse("nowhere.json", folder.path()).unwrap_err().kind, Kind::Io);
    }
}
