//! `index.json`: what a person reads first, and what everything else of a data set is held to.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use polycl_base::{Error, Kind, Result, hex, output};
use polycl_image::Source;
use polycl_image::names::Names;
use polycl_image::orient::slice_in_file;
use polycl_image::preprocess::Preprocess;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::presence::{in_order, within};
use super::provenance::{Origin, Trust};
use super::regions::{Painting, Regions};

/// The layout's version that this code writes and reads.
pub const VERSION: u32 = 1;

/// The whole of `index.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// Version of the layout; see [`VERSION`].
    pub polycl_dataset: u32,
    pub preprocess: Preprocess,
    /// Name of each label value; background (0) is not listed.
    pub labels: BTreeMap<u16, String>,
    /// The organs that nnU-Net's regions of several labels are made of.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub regions: Regions,
    /// The labels of nnU-Net's `dataset.json` in its order, where `regions_class_order` says how they are painted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub painting: Painting,
    /// Sorted by case.
    pub scans: Vec<Scan>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scan {
    /// Name of the scan, unique in the data set: the image file's name without its endings.
    pub case: String,
    pub patient: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Slices in the store, from the patient's feet to the head.
    pub slices: usize,
    /// The slice of the source, counted from 0 at the feet, that is the store's first; slices that
    /// [`Preprocess::keep`] cuts off lie before it.
    pub first_slice: usize,
    /// Voxels of the source file along its own three axes.
    pub shape: [usize; 3],
    /// Millimetres between voxel centres along the same axes.
    pub spacing: [f64; 3],
    /// The directions in which those axes run, such as "LPS": where the letter of the slice axis is
    /// I, the file counts its slices from the head.
    pub orientation: String,
    pub image: Source,
    /// [`polycl_image::Image::fingerprint`] of the scan.
    pub fingerprint: String,
    /// The mask file, or one file per structure; empty where nothing is drawn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masks: Vec<Source>,
    /// Names of the values of the mask file; empty where every file is one structure that has its name.
    #[serde(default, skip_serializing_if = "Names::is_empty")]
    pub mask_names: Names,
    /// Who drew the masks; nothing where it was a person, or where nothing is drawn.
    #[serde(default, skip_serializing_if = "Origin::is_hand")]
    pub origin: Origin,
    /// Organs that the masks draw. Any other is unknown to them: it may lie in their background.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub drawn: BTreeSet<String>,
    /// For each organ about which something is known: the store's slices that show it, as
    /// inclusive ranges. An organ known to be absent has no ranges; an unknown one is not listed.
    pub presence: BTreeMap<String, Vec<[usize; 2]>>,
    /// Trust in the slices of organs that were propagated, or of which a person drew only some;
    /// others are as drawn or as predicted in one slice as in the next.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub trust: BTreeMap<String, Trust>,
    /// Slices with voxels that nobody annotated, as inclusive ranges: in the mask these are
    /// [`polycl_image::legend::IGNORED`], which is neither organ nor background.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<[usize; 2]>,
    /// Those of them that have no other voxels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blank: Vec<[usize; 2]>,
    /// Sentences about what was odd about the scan or its masks when it was imported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Index {
    pub fn path(dataset: &Path) -> PathBuf {
        dataset.join("index.json")
    }

    /// # Errors
    /// [`Kind::Io`] where there is no index, [`Kind::Format`] where it says what cannot be.
    pub fn read(dataset: &Path) -> Result<Self> {
        let path = Self::path(dataset);
        let text = polycl_base::text::read(&path).map_err(|e| {
            Error::io(&path, "read the index of a data set", &e).hint("make a data set with `polycl import`")
        })?;
        let index: Self = serde_json::from_slice(&text)
            .map_err(|e| Error::caused(&path, Kind::Format, "the index of a data set", e))?;
        index.check().map_err(|found| Error::new(&path, Kind::Format, "a sound index", found))?;
        Ok(index)
    }

    pub fn write(&self, dataset: &Path) -> Result<()> {
        output::atomically(&Self::path(dataset), |file| {
            serde_json::to_writer_pretty(&mut *file, self)?;
            file.write_all(b"\n")
        })
    }

    /// SHA-256 of all that the index says: equal for equal data sets.
    pub fn fingerprint(&self) -> String {
        let text = serde_json::to_vec(self).expect("an index is JSON");
        hex(&Sha256::digest(text))
    }

    /// The label value of an organ.
    pub fn label(&self, organ: &str) -> Option<u16> {
        self.labels.iter().find_map(|(&value, name)| (name == organ).then_some(value))
    }

    /// Organs, each once, with those of a region in the place of its name.
    pub fn parts(&self, organs: &[String]) -> Vec<String> {
        let of = |organ: &String| match self.regions.get(organ) {
            Some(parts) => self.labels.values().filter(|label| parts.contains(*label)).cloned().collect(),
            None => vec![organ.clone()],
        };
        let mut seen = BTreeSet::new();
        organs.iter().flat_map(of).filter(|organ| seen.insert(organ.clone())).collect()
    }

    /// Every patient once, in order.
    pub fn patients(&self) -> BTreeSet<&str> {
        self.scans.iter().map(|s| s.patient.as_str()).collect()
    }

    fn check(&self) -> std::result::Result<(), String> {
        if self.polycl_dataset != VERSION {
            return Err(format!("version {} of the layout, not {VERSION}", self.polycl_dataset));
        }
        self.preprocess.check()?;
        if self.labels.contains_key(&0) {
            return Err("a name for label 0, which is background".into());
        }
        let names: BTreeSet<&String> = self.labels.values().collect();
        if names.len() < self.labels.len() || names.iter().any(|n| n.is_empty()) {
            return Err("label names that are empty or given twice".into());
        }
        let unknown = |(region, parts): &(&String, &BTreeSet<String>)| {
            names.contains(region) || parts.is_empty() || !parts.iter().all(|part| names.contains(part))
        };
        if let Some((region, _)) = self.regions.iter().find(unknown) {
            return Err(format!("region {region} that is an organ, or is not of organs"));
        }
        let misplaced =
            |(label, organ): &&(String, String)| !self.parts(std::slice::from_ref(label)).contains(organ);
        if let Some((label, organ)) = self.painting.iter().find(misplaced) {
            return Err(format!("{label} that is painted as {organ}, which is no part of it"));
        }
        if self.scans.is_empty() {
            return Err("no scans".into());
        }
        if let Some(pair) = self.scans.windows(2).find(|pair| pair[0].case >= pair[1].case) {
            return Err(format!("case {} after {}", pair[1].case, pair[0].case));
        }
        let unnamed = |scan: &&Scan| !scan.drawn.iter().all(|organ| names.contains(organ));
        if let Some(scan) = self.scans.iter().find(unnamed) {
            return Err(format!("case {} draws organs without a label", scan.case));
        }
        self.scans.iter().try_for_each(|scan| scan.check().map_err(|e| format!("case {}: {e}", scan.case)))
    }
}

impl Scan {
    /// True if `organ` is in slice `slice` of the store; `None` where nobody has said, or has looked.
    pub fn shows(&self, organ: &str, slice: usize) -> Option<bool> {
        let ranges = self.presence.get(organ)?;
        let shown = within(ranges, slice);
        if let Some(trust) = self.trust.get(organ) {
            // What a person has named need not be drawn.
            let named = shown && self.origin.is_hand();
            let looked = trust.confidence.get(slice)?.is_some();
            return (named || looked).then_some(shown);
        }
        // It may be where nobody annotated.
        (shown || !self.leaves_open(slice)).then_some(shown)
    }

    /// The number of slice `slice` of the store in the file, counted as `import --ranges` does: from 0 along
    /// the file's slice axis.
    ///
    /// # Panics
    /// If the scan has no such slice.
    pub fn slice_in_file(&self, slice: usize) -> usize {
        slice_in_file(&self.orientation, self.shape, self.first_slice + slice).expect("a slice of the scan")
    }

    /// Millimetres between slices.
    pub fn thickness(&self) -> f64 {
        self.orientation.find(['S', 'I']).map_or(self.spacing[2], |axis| self.spacing[axis])
    }

    /// True if the scan is of this domain; every scan is of none in particular.
    pub fn of_domain(&self, domain: Option<&str>) -> bool {
        domain.is_none() || self.domain.as_deref() == domain
    }

    pub fn labelled(&self) -> bool {
        !self.masks.is_empty()
    }

    /// Confidence in the mask of an organ in a slice of the store, from 0 to 1: as
    /// propagation tells, 0 where nobody has looked, and 1 where nothing is told.
    pub fn confidence(&self, organ: &str, slice: usize) -> f32 {
        self.trust
            .get(organ)
            .map_or(1.0, |trust| trust.confidence.get(slice).copied().flatten().unwrap_or(0.0))
    }

    /// True if the mask of a slice leaves open what some voxels are.
    pub fn leaves_open(&self, slice: usize) -> bool {
        within(&self.ignored, slice)
    }

    /// True if the mask of a slice leaves open what any voxel is.
    pub fn is_blank(&self, slice: usize) -> bool {
        within(&self.blank, slice)
    }

    /// True if a person drew the organ's mask in a slice of the store.
    pub fn by_hand(&self, organ: &str, slice: usize) -> bool {
        self.trust.get(organ).map_or(self.origin.is_hand(), |trust| within(&trust.by_hand, slice))
    }

    /// True if a person who drew the organ in other slices left this one out, so that its empty mask says nothing.
    pub fn left_undrawn(&self, organ: &str, slice: usize) -> bool {
        self.origin.is_hand() && !self.by_hand(organ, slice)
    }

    /// True if [`Self::left_undrawn`] holds of any slice.
    pub fn left_undrawn_anywhere(&self, organ: &str) -> bool {
        (0..self.slices).any(|slice| self.left_undrawn(organ, slice))
    }

    /// True if a person drew all of `organs` in every slice of the store: only then is the mask truth.
    pub fn wholly_by_hand(&self, organs: &[String]) -> bool {
        self.origin.is_hand() && self.draws(organs) && organs.iter().all(|organ| self.all_by_hand(organ))
    }

    /// True of a mask that validates: one that is [wholly by hand](Self::wholly_by_hand), or, where that will do, one that a
    /// person has reviewed.
    pub fn is_truth(&self, organs: &[String], accept_reviewed: bool) -> bool {
        let reviewed = accept_reviewed && self.origin == Origin::Reviewed && self.draws(organs);
        reviewed || self.wholly_by_hand(organs)
    }

    /// True if a person drew the organ's mask in every slice of the store.
    pub fn all_by_hand(&self, organ: &str) -> bool {
        (0..self.slices).all(|slice| self.by_hand(organ, slice))
    }

    /// True if all of `organs` are drawn on this scan, if only by an empty mask.
    pub fn draws(&self, organs: &[String]) -> bool {
        organs.iter().all(|organ| self.drawn.contains(organ))
    }

    fn check(&self) -> std::result::Result<(), String> {
        check_case(&self.case)?;
        if self.patient.is_empty() || self.slices == 0 {
            return Err("no patient or no slices".into());
        }
        let last = self.first_slice.checked_add(self.slices - 1);
        if last.and_then(|last| slice_in_file(&self.orientation, self.shape, last)).is_none() {
            let Self { slices, first_slice, shape, orientation, .. } = self;
            return Err(format!(
                "{slices} slices from {first_slice} of {shape:?} voxels in order {orientation}"
            ));
        }
        if let Some((organ, ranges)) = self.presence.iter().find(|(_, r)| !in_order(r, self.slices)) {
            return Err(format!("ranges {ranges:?} of {organ} in {} slices", self.slices));
        }
        if let Some(ranges) = [&self.ignored, &self.blank].into_iter().find(|r| !in_order(r, self.slices)) {
            return Err(format!("ranges {ranges:?} of unannotated voxels in {} slices", self.slices));
        }
        let halfway = |trust: &Trust| trust.confidence.iter().flatten().any(|&confidence| confidence != 1.0);
        if self.origin.is_hand() && self.trust.values().any(halfway) {
            return Err("slices drawn by hand that are not to be believed in full".into());
        }
        self.trust.iter().try_for_each(|(organ, trust)| {
            trust.check(self.slices).map_err(|found| format!("{found} for {organ}"))
        })
    }
}

/// Longest case name in bytes: file systems allow 255, of which the files made of it need some.
const MAX_CASE: usize = 200;

/// A case's name is also the name of its group in the store and is printed, so it must be a plain
/// file name that Zarr does not keep for itself.
pub(super) fn check_case(case: &str) -> std::result::Result<(), String> {
    let reserved = case.starts_with("__") || case == "zarr.json" || case.chars().all(|c| c == '.');
    let plain = !case.contains(|c: char| c.is_control() || ['/', '\\'].contains(&c));
    if case.len() > MAX_CASE {
        return Err(format!("a case name of {} bytes, not up to {MAX_CASE}", case.len()));
    }
    if plain && !reserved { Ok(()) } else { Err(format!("a case name that cannot name a folder: {case:?}")) }
}
