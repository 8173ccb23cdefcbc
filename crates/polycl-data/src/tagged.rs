//! Scans of a folder of DICOM files, whose patients are told by their tags and called by a hash.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use polycl_base::{Error, Kind, Result, some};
use polycl_image::Input;
use polycl_image::dicom::{self, Patient, Series};
use polycl_image::files::Reading;

use super::pair::Pair;
use super::salt::Salt;

/// Each CT series of a folder, however deep, or those that are named by their UIDs, and sentences about what
/// a person should know.
///
/// A case is called after its patient and its series, both hashed, so that no name and no number of a
/// hospital gets any further. Without a patient's ID the name stands for the patient, and without that the
/// study.
///
/// # Errors
/// As [`dicom::find`]; [`Kind::Request`] for a series that is not there, [`Kind::Pairing`] where no series is
/// left, [`Kind::Io`] for the salt.
pub fn from_dicom(dir: &Path, wanted: &[String], salt: &Salt) -> Result<(Vec<Pair>, Vec<String>)> {
    let found = dicom::find(dir)?;
    for name in wanted {
        dicom::choose(&found, dir, Some(name))?;
    }
    if found.series.is_empty() {
        dicom::choose(&found, dir, None)?;
    }
    let mut notes = Vec::new();
    let is_wanted = |series: &Series| {
        let named = |name: &String| *name == series.uid || *name == dicom::digest(&series.uid);
        wanted.is_empty() && series.modality == "CT" || wanted.iter().any(named)
    };
    let (series, passed): (Vec<_>, Vec<_>) = found.series.into_iter().partition(is_wanted);
    if wanted.is_empty() && !passed.is_empty() {
        let modalities: BTreeSet<&str> = passed.iter().map(|series| series.modality.as_str()).collect();
        let modalities: Vec<&str> = modalities.into_iter().collect();
        notes.push(format!("{} series are no CT and are passed over: {}", passed.len(), some(&modalities)));
    }
    notes.extend(found.others.iter().map(|(reason, count)| format!("passed over: {count} {reason}")));
    notes.extend(found.damaged.iter().map(|error| format!("passed over: {error}")));
    if series.is_empty() {
        return Err(Error::new(dir, Kind::Pairing, "series of CT", "none")
            .hint("name a series of another modality by --series if it holds HU all the same"));
    }
    notes.extend(one_patient(&series));
    notes.extend(unsure(&series, salt)?);
    let pair = |series: Series| {
        let patient = salt.patient(identity(&series))?;
        Ok(Pair {
            case: format!("{patient}_{}", &dicom::digest(&series.uid)[..8]),
            patient,
            domain: None,
            image: Input::series(dir, series),
            label: None,
            origin: None,
            reading: Reading::default(),
        })
    };
    let mut pairs = series.into_iter().map(pair).collect::<Result<Vec<_>>>()?;
    pairs.sort_by(|a, b| a.case.cmp(&b.case));
    Ok((pairs, notes))
}

/// What tells a patient from others.
fn identity(series: &Series) -> &str {
    let Patient { id, name, .. } = &series.patient;
    [id, name, &series.study].into_iter().find(|text| !text.trim().is_empty()).map_or("", String::as_str)
}

/// The patient of a scan by its tags; `None` where it has none, as files of other formats.
pub(super) fn patient(image: &Input, salt: &Salt) -> Result<Option<String>> {
    match image {
        Input::File { .. } => Ok(None),
        Input::Series { series, .. } => salt.patient(identity(series)).map(Some),
    }
}

/// Sentences about patients who may be one, or several, by the names that the data set has for them.
fn unsure(series: &[Series], salt: &Salt) -> Result<Vec<String>> {
    let mut names: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut spellings: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for series in series {
        let Patient { id, name, .. } = &series.patient;
        if id.trim().is_empty() {
            continue;
        }
        names.entry(id).or_default().insert(plain(name));
        spellings.entry(plain(id).trim_start_matches('0').to_owned()).or_default().insert(id);
    }
    let called = |id: &str| salt.patient(id);
    let mut notes = Vec::new();
    for (id, _) in names.iter().filter(|(_, names)| names.iter().filter(|name| !name.is_empty()).count() > 1)
    {
        let who = called(id)?;
        notes.push(format!(
            "{who} has several names under one ID, perhaps of two hospitals; it counts as one patient, unless --manifest tells otherwise"
        ));
    }
    for ids in spellings.values().filter(|ids| ids.len() > 1) {
        let who = ids.iter().map(|id| called(id)).collect::<Result<Vec<_>>>()?;
        notes.push(format!(
            "{}: their IDs differ in case, white space or leading zeros alone; they count as several patients, unless --manifest tells otherwise",
            some(&who)
        ));
    }
    Ok(notes)
}

/// Text in which only letters and digits matter.
fn plain(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Whoever removes names sometimes puts one and the same in their place.
fn one_patient(series: &[Series]) -> Option<String> {
    let patients: BTreeSet<&str> = series.iter().map(identity).collect();
    let studies: BTreeSet<&str> = series.iter().map(|series| series.study.as_str()).collect();
    (patients.len() == 1 && studies.len() > 2).then(|| {
        format!(
            "all {} studies are of one patient by their tags; if that is not so, use --manifest with a column patient",
            studies.len()
        )
    })
}
