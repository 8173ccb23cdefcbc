use std::io::Write;
use std::path::Path;

use polycl_base::{Error, Kind, Result, output};
use polycl_data::provenance::{Record, prediction};
use polycl_image::names;

use super::catalogue::Sample;

/// Beside the mask: the names of its values, and that a network made it, both as `polycl import`
/// looks for them.
const NAMES: &str = "labels/labels.json";
const RECORD: &str = "labels";

pub fn is_marked(sample: &Sample, folder: &Path) -> bool {
    let record = std::fs::read(folder.join(RECORD).join(Record::Predict.file())).unwrap_or_default();
    let names = names::read(&folder.join(sample.names));
    record == self::record(sample).as_bytes()
        && names.is_ok_and(|given| names::read(&folder.join(NAMES)).is_ok_and(|there| there == given))
}

/// Writes both into the folder of a sample, which has come without them.
pub fn mark(sample: &Sample, folder: &Path) -> Result<()> {
    let given = folder.join(sample.names);
    let names = serde_json::to_string_pretty(&names::read(&given)?.names)
        .map_err(|e| Error::caused(&given, Kind::Labels, "names that JSON can hold", e))?;
    output::atomically(&folder.join(NAMES), |file| writeln!(file, "{names}"))?;
    let path = folder.join(RECORD).join(Record::Predict.file());
    output::atomically(&path, |file| file.write_all(record(sample).as_bytes()))
}

/// None of our runs made the mask, so none of their cases can have trained what did.
fn record(sample: &Sample) -> String {
    prediction::of_others(sample.made_by, [sample.case])
}
