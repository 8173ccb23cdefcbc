//! A data set from scans and, where there are any, their masks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use polycl_base::{Error, Kind, Result, Subject, Watch};
use polycl_data::pairs::{self, Pair};
use polycl_data::{
    self as data, Choice, Chosen, DrawnSlices, Failed, Import, Imported, Index, Origin, Ranges, Shard,
};
use polycl_image::Given;
use polycl_image::nifti::Form;
use polycl_image::preprocess::Preprocess;
use serde::{Deserialize, Serialize};

use crate::fetch::Environment;
use crate::shards::{self, Own, Shards, Work};

/// Scans to import.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    pub scans: Scans,
    /// Provenance of the masks for which a manifest states none; `None` reads the records beside them.
    pub origin: Option<Origin>,
    /// Table of the slices that show an organ.
    pub ranges: Option<PathBuf>,
    /// Table of the slices that are drawn.
    pub drawn: Option<PathBuf>,
    /// Organs to keep; all without any.
    pub only: BTreeSet<String>,
    pub out: PathBuf,
    /// Add the scans that are not there yet.
    pub go_on: bool,
    pub preprocess: Preprocess,
    /// The form of NIfTI headers that is believed; nibabel's choice without it.
    #[serde(default)]
    pub trust: Option<Form>,
    /// Interpolates the shape in slices without a contour between others.
    #[serde(default)]
    pub fill_gaps: bool,
    /// The share of the scans that is imported here, for [`merge`].
    #[serde(default)]
    pub shard: Option<Shard>,
}

/// The source of the scans.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scans {
    /// Folders of images and of masks named like them; names of label values are a file or a list.
    Folders {
        images: PathBuf,
        labels: Option<PathBuf>,
        names: Option<String>,
    },
    Manifest {
        file: PathBuf,
        names: Option<String>,
    },
    /// Raw data as nnU-Net or the Medical Segmentation Decathlon lay them out.
    Challenge(PathBuf),
    /// Series in a folder of DICOM files, by UID; all of CT without any. Their masks are the segmentations and contours that
    /// lie there, too: names choose segments and ROIs, and `structures` one of several objects of a series.
    Dicom {
        folder: PathBuf,
        series: Vec<String>,
        #[serde(default)]
        names: Option<String>,
        #[serde(default)]
        structures: Option<Choice>,
    },
}

/// The data set, or how far it has come.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The index of the data set. Where scans are left there is no data set yet, and this is what it would hold.
    pub index: Index,
    /// Scans that are left because it was asked to stop.
    pub left: usize,
    /// Scans that were there already.
    pub kept: usize,
    /// Cases that could not be used, and why.
    pub failed: Vec<(String, polycl_base::Error)>,
}

/// Writes a data set. A scan that cannot be used is left out and told.
///
/// # Errors
/// As [`Import::import`], and what reading tables and pairing files can say.
pub fn run(request: &Request, watch: &dyn Watch) -> Result<Outcome> {
    let (mut pairs, notes) = pairs(request)?;
    if request.origin.is_some() {
        if pairs.iter().all(|pair| pair.label.is_none()) {
            let flag = Subject::Flag("--origin".into());
            return Err(Error::new(
                flag,
                Kind::Request,
                "masks whose provenance it gives",
                "scans without masks",
            ));
        }
        // What a row of a manifest states of its own mask goes before it.
        pairs.iter_mut().for_each(|pair| pair.origin = pair.origin.or(request.origin));
    }
    let pairs: Vec<Pair> =
        pairs.into_iter().map(|pair| pair.trusting(request.trust).filling_gaps(request.fill_gaps)).collect();
    notes.into_iter().for_each(|text| watch.note(&format!("note: {text}")));
    let (ranges, drawn) = (
        request.ranges.as_deref().map(Ranges::read).transpose()?,
        request.drawn.as_deref().map(DrawnSlices::read).transpose()?,
    );
    let own = Own::asked(("import", &request.out), request.shard, || work(request, &pairs))?;
    let import = Import {
        pairs,
        ranges,
        drawn,
        only: request.only.clone(),
        preprocess: request.preprocess.clone(),
        shard: request.shard,
    };
    let (out, go_on) = match &own {
        Some(own) => (&own.folder, true),
        None => (&request.out, request.go_on),
    };
    let Imported { index, left, kept, failed } =
        Own::hold(own.as_ref(), watch, |watch| import.import(out, go_on, watch))?;
    if let Some(own) = own.filter(|_| left == 0) {
        // The reasons stand in the shard's folder, as in that of a data set.
        own.finish(BTreeMap::new())?;
    }
    Ok(Outcome { index, left, kept, failed })
}

/// The work that shards of an import into a new data set do.
fn work<'a>(request: &Request, pairs: &'a [Pair]) -> Result<Work<'a>> {
    shards::refuse_filled(&request.out)?;
    let files: Vec<&Path> =
        [&request.ranges, &request.drawn].into_iter().flatten().map(PathBuf::as_path).collect();
    let alike = Request { out: PathBuf::new(), go_on: false, shard: None, ..request.clone() };
    let cases = pairs.iter().map(|pair| pair.case.as_str()).collect();
    Ok(Work { cases, request: shards::hashed(&alike, &pairs, &files)?, computes: false })
}

/// The data set of shards that were merged.
#[derive(Debug, Clone, Serialize)]
pub struct Merged {
    pub index: Index,
    /// Cases that could not be used, and why.
    pub failed: Failed,
}

/// Unites the shards of an import to the data set `out`.
///
/// # Errors
/// [`Kind::Request`] where shards are missing, not done or at work; as [`data::unite`].
pub fn merge(out: &Path) -> Result<Merged> {
    let shards = Shards::all(out)?;
    let data::United { index, failed } = data::unite(&shards.folders, &shards.order, out)?;
    shards.remove()?;
    Ok(Merged { index, failed })
}

/// The scans and what a person should know of them.
fn pairs(request: &Request) -> Result<(Vec<Pair>, Vec<String>)> {
    let named =
        |names: &Option<String>| names.as_deref().map(|text| Given::parse(text, Path::new(""))).transpose();
    let salt = || Environment::of_process().salt();
    match &request.scans {
        Scans::Manifest { file, names } => {
            Ok((pairs::from_manifest(file, named(names)?.as_ref(), &salt())?, Vec::new()))
        }
        Scans::Challenge(folder) => data::from_challenge(folder),
        Scans::Dicom { folder, series, names, structures } => {
            let chosen = Chosen { names: named(names)?, choice: structures.clone() };
            data::from_dicom_with_masks(folder, series, &chosen, &salt())
        }
        Scans::Folders { images, labels, names } => {
            let names = named(names)?;
            let (pairs, notes) = pairs::from_folders(images, labels.as_deref(), names.as_ref())?;
            // Without masks asked for nobody expects any. A shard does not open the scans of others.
            let own = pairs.iter().filter(|pair| request.shard.is_none_or(|shard| shard.has(&pair.case)));
            let bare = labels.as_ref().and_then(|_| pairs::without_masks(own));
            Ok((pairs, notes.into_iter().chain(bare).collect()))
        }
    }
}

/// The slices and masks of an organ in a data set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct OrganCounts {
    pub label: Option<u16>,
    /// Slices that show it, and those of which that is known.
    pub shown: usize,
    pub known: usize,
    /// Scans in which it is drawn whole by hand, by a machine, and in part.
    pub drawn: usize,
    pub made: usize,
    pub part: usize,
}

/// The organs of a data set by name.
pub fn organs(index: &Index) -> BTreeMap<&str, OrganCounts> {
    let mut organs: BTreeMap<&str, OrganCounts> = BTreeMap::new();
    for scan in &index.scans {
        for organ in scan.presence.keys() {
            let counts = organs
                .entry(organ)
                .or_insert_with(|| OrganCounts { label: index.label(organ), ..OrganCounts::default() });
            for shown in (0..scan.slices).filter_map(|slice| scan.shows(organ, slice)) {
                counts.shown += usize::from(shown);
                counts.known += 1;
            }
            if scan.drawn.contains(organ) {
                match (scan.all_by_hand(organ), scan.left_undrawn_anywhere(organ)) {
                    (true, _) => counts.drawn += 1,
                    (_, true) => counts.part += 1,
                    _ => counts.made += 1,
                }
            }
        }
    }
    organs
}
