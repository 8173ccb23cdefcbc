//! Masks of other programs, known by the files that only predicting leaves beside them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use polycl_base::{Result, text};
use polycl_image::automation;
use polycl_image::dicom::segmentation::Automation;
use polycl_image::dicom::structures::Structures;

use super::{Maker, Origin};

const NNUNET: &str = "nnU-Net";
const TOTAL_SEGMENTATOR: &str = "TotalSegmentator";
const MONAI_LABEL: &str = "MONAI Label";

/// Files of a folder that say that another program made the masks in it.
const OF_FOLDERS: [(&str, &str); 5] = [
    ("predict_from_raw_data_args.json", NNUNET),
    ("prediction_parameters.json", NNUNET),
    ("plans.json", NNUNET),
    ("plans.pkl", NNUNET),
    ("statistics.json", TOTAL_SEGMENTATOR),
];

/// The file that says so, and the program.
pub(super) type Program = (PathBuf, &'static str);

/// The program in words where only a DICOM segmentation tells that there was one.
const WRITER: &str = "the writer of its DICOM segmentation";
/// The same of a mask that is a DICOM object.
const OBJECT: &str = "the writer of the DICOM file";

/// The machine that drew the structure of a value in a DICOM object, or, without a value, the least believable of all.
pub(super) fn object(file: &Path, value: Option<u16>) -> Result<Option<Maker>> {
    let Some(mut object) = Structures::at(file)? else { return Ok(None) };
    object.list.retain(|structure| value.is_none_or(|value| structure.value == value));
    let origin = automation::of(&object).and_then(origin);
    Ok(origin.map(|origin| Maker {
        origin,
        record: object.path,
        propagation: None,
        program: Some(OBJECT),
        machines: BTreeSet::new(),
    }))
}

fn origin(automation: Automation) -> Option<Origin> {
    match automation {
        Automation::Automatic => Some(Origin::Predicted),
        Automation::Semiautomatic => Some(Origin::Propagated),
        Automation::Manual => None,
    }
}

/// The DICOM segmentation of a mask that lies beside it under the same name, and whom that says to have drawn it. Our own
/// are such, too: records are easily left behind.
pub(super) fn segmentation(folder: &Path, case: &str) -> Option<(Program, Origin)> {
    let file = folder.join(format!("{case}.dcm"));
    let origin = origin(automation::of_segmentation(&file)?)?;
    Some(((file, WRITER), origin))
}

/// The other program that made all masks of a folder; `None` where nothing says so.
pub(super) fn of_folder(folder: &Path) -> Option<Program> {
    let mut beside = OF_FOLDERS.into_iter().map(|(file, program)| (folder.join(file), program));
    beside.find(|(file, _)| file.is_file()).or_else(|| scored(folder)).or_else(|| original(folder))
}

/// The same of one mask.
pub(super) fn of_case(folder: &Path, case: &str) -> Option<Program> {
    Some((folder.join(format!("{case}.pkl")), NNUNET)).filter(|(file, _)| file.is_file())
}

/// nnU-Net scores what it predicted for validation in its folder. Our own scores lie in folders of their own.
fn scored(folder: &Path) -> Option<Program> {
    let file = folder.join("summary.json");
    let told = text::json(&text::decoded(&file).ok()?).ok()?;
    (told.get("metric_per_case").is_some() && told.get("polycl").is_none()).then_some((file, NNUNET))
}

/// MONAI Label keeps what its networks made in `labels/original`, and what people submit in `labels/final`.
fn original(folder: &Path) -> Option<Program> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let folder = folder.canonicalize().ok()?;
    let of_labels = folder.file_name()? == "original" && folder.parent()?.file_name()? == "labels";
    of_labels.then_some((folder, MONAI_LABEL))
}
