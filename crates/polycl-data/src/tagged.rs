//! Scans of a folder of DICOM files, whose patients are told by their tags and called by a hash.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use polycl_base::{Error, Kind, Result, some};
use polycl_image::Input;
use polycl_image::dicom::{self, Found, Patient, Series};

use super::chosen::Chosen;
use super::pair::Pair;
use super::pairs;
use super::salt::Salt;

/// Each CT series of a folder, however deep, or those that are named by their UIDs, and sentences about what
/// a person should know.
///
/// A case is called after its patient and its series, both hashed, so that no name and no number of a
/// hospital gets any further. Without a patient's ID, or with a placeholder for one, the name stands for the patient. Where
/// that is none either, scans of one placeholder are one patient's, as is careful, and those of nothing are each study's.
///
/// # Errors
/// As [`dicom::find`]; [`Kind::Request`] for a series that is not there, [`Kind::Pairing`] where no series is
/// left, [`Kind::Io`] for the salt.
pub fn from_dicom(dir: &Path, wanted: &[String], salt: &Salt) -> Result<(Vec<Pair>, Vec<String>)> {
    let found = dicom::find(dir)?;
    let others = others(&found, |_| true);
    let (series, notes) = series(dir, found, wanted)?;
    pairs_of(dir, series, salt).map(|(pairs, told)| (pairs, [others, notes, told].concat()))
}

/// As [`from_dicom`], each series with the segmentation or the contours that were drawn on it.
///
/// # Errors
/// As [`from_dicom`]; [`Kind::Request`] where several were drawn on one series and none is chosen, or where none is what is
/// named; [`Kind::Labels`] where no object has any of the names.
pub fn from_dicom_with_masks(
    dir: &Path,
    wanted: &[String],
    chosen: &Chosen,
    salt: &Salt,
) -> Result<(Vec<Pair>, Vec<String>)> {
    let mut found = dicom::find(dir)?;
    let objects = std::mem::take(&mut found.structures);
    let others = others(&found, |reason| !reason.contains("SEG") && !reason.contains("RTSTRUCT"));
    let (series, notes) = series(dir, found, wanted)?;
    let (mut labels, masks) = chosen.of(dir, &series, objects)?;
    let (mut pairs, told) = pairs_of(dir, series, salt)?;
    for pair in &mut pairs {
        let Input::Series { series, .. } = &pair.image else { continue };
        pair.label = labels.remove(&series.uid);
    }
    Ok((pairs, [others, notes, masks, told].concat()))
}

/// Sentences about files that are passed over, of the reasons that are told.
fn others(found: &Found, told: impl Fn(&str) -> bool) -> Vec<String> {
    let others = found.others.iter().filter(|(reason, _)| told(reason));
    let others = others.map(|(reason, count)| format!("passed over: {count} {reason}"));
    others.chain(found.damaged.iter().map(|error| format!("passed over: {error}"))).collect()
}

/// The series that are wanted, and a sentence about the others.
fn series(dir: &Path, found: Found, wanted: &[String]) -> Result<(Vec<Series>, Vec<String>)> {
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
    let is_volume = |series: &Series| !wanted.is_empty() || series.no_volume().is_none();
    // Without any volume all stay, and the import says what each lacks.
    let any = series.iter().any(is_volume);
    let (series, others): (Vec<_>, Vec<_>) = series.into_iter().partition(|series| !any || is_volume(series));
    if !others.is_empty() {
        let kinds: BTreeSet<&str> = others.iter().filter_map(Series::no_volume).collect();
        let kinds: Vec<&str> = kinds.into_iter().collect();
        notes.push(format!("{} series are no volumes and are left out: {}", others.len(), kinds.join(", ")));
    }
    if series.is_empty() {
        return Err(Error::new(dir, Kind::Pairing, "a series of CT", "no such series")
            .hint("name a series of another modality by --series if it holds HU all the same"));
    }
    Ok((series, notes))
}

fn pairs_of(dir: &Path, series: Vec<Series>, salt: &Salt) -> Result<(Vec<Pair>, Vec<String>)> {
    let notes = one_patient(&series).into_iter().chain(unsure(&series, salt)?).collect();
    let pair = |series: Series| {
        let (identity, unnamed) = identity(&series);
        let (patient, unnamed) = (salt.patient(identity)?, unnamed.map(str::to_owned));
        let case = format!("{patient}_{}", &dicom::digest(&series.uid)[..8]);
        Ok(Pair { patient, unnamed, ..pairs::bare(case, Input::series(dir, series)) })
    };
    let mut pairs = series.into_iter().map(pair).collect::<Result<Vec<_>>>()?;
    pairs.sort_by(|a, b| a.case.cmp(&b.case));
    Ok((pairs, notes))
}

/// The text that tells a patient from others: an ID or a name, else a placeholder, else the study. Beside it, where neither
/// an ID nor a name tells patients apart, the placeholder, which is empty for a study.
fn identity(series: &Series) -> (&str, Option<&str>) {
    let Patient { id, name, .. } = &series.patient;
    let texts = [id, name].map(String::as_str);
    let placeholder = || texts.into_iter().find(|text| !text.trim().is_empty());
    match texts.into_iter().find(|text| !text.trim().is_empty() && !is_placeholder(text)) {
        Some(text) => (text, None),
        None => placeholder().map_or((&series.study, Some("")), |text| (text, Some(text.trim()))),
    }
}

/// Words, of letters and digits alone, that programs and people put in the place of an ID or a name.
const PLACEHOLDERS: [&str; 24] = [
    "anon",
    "anonym",
    "anonymous",
    "anonymouspatient",
    "anonymouspatientid",
    "anonymized",
    "anonymised",
    "deidentified",
    "removed",
    "redacted",
    "deleted",
    "hidden",
    "none",
    "null",
    "nil",
    "na",
    "nan",
    "unknown",
    "unnamed",
    "noname",
    "noid",
    "patient",
    "patientid",
    "patientname",
];

/// True for an ID or a name of nobody: a word of [`PLACEHOLDERS`], zeros, crosses, or neither letters nor digits.
fn is_placeholder(text: &str) -> bool {
    let text = plain(text);
    PLACEHOLDERS.contains(&text.as_str()) || text.chars().all(|c| c == '0') || text.chars().all(|c| c == 'x')
}

/// The patient of a scan by its tags, and what stands there where they name nobody; `None` where it has none, as files of
/// other formats.
pub(super) fn patient(image: &Input, salt: &Salt) -> Result<Option<(String, Option<String>)>> {
    let Input::Series { series, .. } = image else { return Ok(None) };
    let (identity, unnamed) = identity(series);
    Ok(Some((salt.patient(identity)?, unnamed.map(str::to_owned))))
}

/// Sentences about scans whose tags name nobody, by what stands there; of one alone there is nothing to tell.
pub(super) fn strangers(pairs: &[Pair]) -> BTreeMap<String, String> {
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    pairs
        .iter()
        .filter_map(|pair| pair.unnamed.as_ref())
        .for_each(|text| *counts.entry(text).or_default() += 1);
    let way = "tell patients apart with --manifest and its columns image, series and patient";
    let sentence = |(text, count): (&String, usize)| {
        let said = match text.as_str() {
            "" => format!(
                "{count} scans have no patient in their tags, so each study counts as a patient: {way}"
            ),
            _ => format!(
                "{count} scans have the patient {text} in their tags, and count as one patient: {way}"
            ),
        };
        (text.clone(), said)
    };
    counts.into_iter().filter(|(_, count)| *count > 1).map(sentence).collect()
}

/// Sentences about patients who may be one, or several, by the names that the data set has for them.
fn unsure(series: &[Series], salt: &Salt) -> Result<Vec<String>> {
    let mut names: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut spellings: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for series in series {
        let Patient { id, name, .. } = &series.patient;
        if id.trim().is_empty() || is_placeholder(id) {
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
            "{who}: one patient ID with several names, perhaps of two hospitals, counts as one patient; if this is wrong, use --manifest"
        ));
    }
    for ids in spellings.values().filter(|ids| ids.len() > 1) {
        let who = ids.iter().map(|id| called(id)).collect::<Result<Vec<_>>>()?;
        notes.push(format!(
            "{}: patient IDs that differ only in case, white space or leading zeros count as several patients; if this is wrong, use --manifest",
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
    let patients: BTreeSet<(&str, Option<&str>)> = series.iter().map(identity).collect();
    let studies: BTreeSet<&str> = series.iter().map(|series| series.study.as_str()).collect();
    let named = patients.iter().all(|(_, unnamed)| unnamed.is_none());
    (patients.len() == 1 && studies.len() > 2 && named).then(|| {
        format!(
            "by their tags, all {} studies are of one patient; if this is wrong, use --manifest with a column patient",
            studies.len()
        )
    })
}
