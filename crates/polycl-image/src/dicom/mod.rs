//! CT series from DICOM files.
//!
//! Format: <https://www.dicomstandard.org/current>. [`find`] looks at the headers of all files under a folder
//! and gathers them into series; a [`Series`] puts its images in order by their positions (never by file name or
//! instance number), checks that they lie on one regular grid, and reads their values.
//!
//! The grid: the first axis runs along a row, the second down a column, the third along the normal (row x
//! column), as ITK orders slices. The third column of the affine is the mean step from slice to slice, so that a
//! stack made with a tilted gantry has a sheared affine. Slices may lie up to the larger of 0.06 mm and 1% of
//! the spacing from the grid. DICOM's LPS is turned into RAS+ here.
//!
//! Values are those of the file (the stored bits, times slope, plus intercept, of each slice), neither clipped
//! nor padded. Names and identifiers of patients are in [`Patient`] alone, and in no message.

mod charset;
mod codec;
pub mod contours;
mod copies;
mod counts;
mod elements;
mod find;
mod found;
mod frames;
mod huffman;
mod instance;
mod item;
mod lack;
mod layout;
mod lossless;
mod patient;
mod pixels;
mod place;
mod plane;
mod read;
mod rle;
mod scan;
pub mod segmentation;
mod select;
mod series;
mod slice;
mod source;
mod stack;
pub mod structures;
mod values;
mod wanted;
mod write;

use std::path::Path;

pub use dicom_object::InMemDicomObject;
use polycl_base::{Error, Kind, Result, hex, some};
use sha2::{Digest, Sha256};

pub use find::find;
pub use found::Found;
pub use instance::Instance;
pub use patient::Patient;
pub use series::Series;

/// A short name for a UID: the first 16 hex digits of its SHA-256.
pub fn digest(uid: &str) -> String {
    hex(&Sha256::digest(uid.as_bytes())[..8])
}

/// The one series of a path, or the one that is named by its UID or by the [`digest`] of it.
///
/// # Errors
/// `Request` where none is named and there are several (they are listed), or where the named one is not there;
/// `Format` where there is no image series at all.
pub fn choose<'a>(found: &'a Found, path: &Path, wanted: Option<&str>) -> Result<&'a Series> {
    if found.series.is_empty() {
        return Err(nothing(found, path));
    }
    let named =
        |series: &&Series| wanted.is_some_and(|name| name == series.uid || name == digest(&series.uid));
    match (found.series.as_slice(), wanted) {
        ([one], None) => Ok(one),
        (all, None) => Err(Error::new(path, Kind::Request, "one series", list(all))
            .hint("name one with --series UID, or give its folder")),
        (all, Some(name)) => all.iter().find(named).ok_or_else(|| {
            Error::new(path, Kind::Request, format!("the series {name}"), list(all))
                .hint("name one of these with --series UID")
        }),
    }
}

/// One line for each series.
fn list(series: &[Series]) -> String {
    let line = |series: &Series| {
        let description = if series.description.is_empty() { "no description" } else { &series.description };
        let Series { uid, modality, .. } = series;
        format!("\n  {uid}  {description}, {modality}, {} slices", series.slices())
    };
    format!("{} series:{}", series.len(), series.iter().map(line).collect::<String>())
}

/// Why a path without image series has none.
fn nothing(found: &Found, path: &Path) -> Error {
    if let Some(damaged) = found.damaged.first() {
        return damaged.clone();
    }
    let others: Vec<_> = found.others.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    let there = if others.is_empty() { "no files".to_owned() } else { some(&others) };
    let hint = if found.others.keys().any(|reason| reason.contains("SEG") || reason.contains("RTSTRUCT")) {
        "give the folder that holds the CT slices: masks and contours are drawn on a scan"
    } else if found.others.keys().any(|reason| reason.contains("RTDOSE")) {
        "give the folder that holds the CT slices: a dose is planned on a scan"
    } else if found.others.contains_key("DICOMDIR") {
        "give the folder that holds the image files: a DICOMDIR is a table of contents"
    } else {
        "give the folder that holds the CT slices"
    };
    Error::new(path, Kind::Format, "a DICOM image series", there).hint(hint)
}
