//! Names of label values, in the spellings that data sets use.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use crate::{Error, Kind, Result};

/// Reads the first of `labels.json` and `dataset.json` in `dir` or, as nnU-Net keeps it, in the
/// folder above; no names where there is neither.
pub fn beside(dir: &Path) -> Result<BTreeMap<u16, String>> {
    let files = [
        dir.join("labels.json"),
        dir.join("dataset.json"),
        dir.join("../labels.json"),
        dir.join("../dataset.json"),
    ];
    files.iter().find(|file| file.is_file()).map_or_else(|| Ok(BTreeMap::new()), |file| read(file))
}

/// Reads label names from a JSON file; see [`parse`].
pub fn read(file: &Path) -> Result<BTreeMap<u16, String>> {
    let text = std::fs::read_to_string(file).map_err(|e| Error::io(file, "read it", &e))?;
    parse(&text).map_err(|found| {
        Error::new(file, Kind::Labels, "label names such as {\"1\": \"liver\"}", found)
            .hint("{\"liver\": 1} and either of the two under a key \"labels\" are understood as well")
    })
}

/// Parses `{"1": "liver"}`, `{"liver": 1}`, `{"1": {"name": "liver"}}` (TotalSegmentator), or one
/// of them under the key `labels` (nnU-Net's `dataset.json`). Background, value 0, is left out.
///
/// # Errors
/// What was found instead: no such object, an nnU-Net region (a list of values), a value or a name
/// that is given twice, an empty name.
pub fn parse(json: &str) -> std::result::Result<BTreeMap<u16, String>, String> {
    let json: Value = serde_json::from_str(json).map_err(|e| e.to_string())?;
    let entries = json.get("labels").unwrap_or(&json).as_object().ok_or("no JSON object")?;
    let mut names = BTreeMap::new();
    for (value, name) in entries.iter().map(entry).collect::<std::result::Result<Vec<_>, _>>()? {
        if names.values().any(|other| *other == name) {
            return Err(format!("the name \"{name}\" twice"));
        }
        if names.insert(value, name).is_some() {
            return Err(format!("the value {value} twice"));
        }
    }
    names.remove(&0);
    Ok(names)
}

/// One value and its name, whichever of the two is the key.
fn entry((key, value): (&String, &Value)) -> std::result::Result<(u16, String), String> {
    let name_in = |object: &Map<String, Value>| object.get("name")?.as_str().map(str::to_owned);
    let pair = match value {
        Value::String(name) => key.parse().ok().map(|value| (value, name.clone())).or_else(|| {
            // nnU-Net v1 and some exports write the value as text: {"liver": "1"}.
            name.parse().ok().map(|value| (value, key.clone()))
        }),
        Value::Number(number) => {
            number.as_u64().and_then(|n| u16::try_from(n).ok()).map(|value| (value, key.clone()))
        }
        Value::Object(object) => key.parse().ok().zip(name_in(object)),
        _ => None,
    };
    pair.filter(|(_, name)| !name.is_empty()).ok_or_else(|| format!("\"{key}\": {value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_gives_the_same_names() {
        let spellings = [
            r#"{"1": "liver", "5": "spleen"}"#,
            r#"{"background": 0, "liver": 1, "spleen": 5}"#,
            r#"{"liver": "1", "spleen": "5"}"#,
            r#"{"1": {"name": "liver", "voxels": 7}, "5": {"name": "spleen"}}"#,
            r#"{"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1, "spleen": 5}}"#,
            r#"{"labels": {"0": "background", "1": "liver", "5": "spleen"}}"#,
        ];
        let names = BTreeMap::from([(1, "liver".to_owned()), (5, "spleen".to_owned())]);
        for spelling in spellings {
            assert_eq!(parse(spelling), Ok(names.clone()), "{spelling}");
        }
    }

    #[test]
    fn what_is_no_name_is_told() {
        let found = |json| parse(json).unwrap_err();
        assert_eq!(found("[1, 2]"), "no JSON object");
        assert_eq!(found(r#"{"whole tumour": [1, 2]}"#), r#""whole tumour": [1,2]"#);
        assert_eq!(found(r#"{"liver": 70000}"#), r#""liver": 70000"#);
        assert_eq!(found(r#"{"liver": 1, "spleen": 1}"#), "the value 1 twice");
        assert_eq!(found(r#"{"1": "liver", "2": "liver"}"#), r#"the name "liver" twice"#);
        assert_eq!(found(r#"{"1": ""}"#), r#""1": """#);
    }
}
