//! Masks that are kept in DICOM: segmentations (SEG) and radiotherapy's contours (RTSTRUCT).
//!
//! [`Structures::open`] looks at what an object holds, and [`Structures::mask`] draws the structures that are asked for on the
//! voxels of a scan. Where two of them claim a voxel, the object is refused; those that nobody asks for may overlap as
//! they like.

mod at;
pub(super) mod canvas;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use dicom_dictionary_std::tags;
use glam::DVec3;
use polycl_base::{Error, Kind, Result, some};

use super::Series;
use super::charset;
use super::contours;
use super::item::Item;
use super::segmentation::{Automation, How, Source, read as segmentation};
use super::source::{Head, open};
use crate::files::Reading;
use crate::names::Names;
use crate::{Mask, Space};
pub use at::list;

/// The two kinds of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// SEG, also as a label map.
    Segmentation,
    /// RTSTRUCT.
    Contours,
}

impl Storage {
    /// The kind of the object in a file; `None` for another file.
    ///
    /// # Errors
    /// [`Kind::Io`]; [`Kind::Format`] for a damaged header.
    pub fn of(path: &Path) -> Result<Option<Self>> {
        Ok(open(path)?.as_ref().and_then(storage))
    }

    /// Writes a mask as an object of this kind.
    ///
    /// # Errors
    /// As [`segmentation::write`](super::segmentation::write) and [`contours::write`].
    pub fn write(self, path: &Path, source: &Source, mask: &Mask, names: &Names, how: &How) -> Result<()> {
        match self {
            Self::Segmentation => super::segmentation::write(path, source, mask, names, how),
            Self::Contours => contours::write(path, source, mask, names, how),
        }
    }

    /// Writes a mask of a series, made by this program; `case` becomes the description.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_on(
        self,
        path: &Path,
        series: &Series,
        mask: &Mask,
        names: &Names,
        (case, automatic): (&str, Automation),
    ) -> Result<()> {
        let algorithm = concat!("polycl ", env!("CARGO_PKG_VERSION")).to_owned();
        let how = How { algorithm, automatic, description: case.to_owned() };
        let (header, instances) = (series.header()?, series.instances());
        let source = Source { header: &header, instances: &instances, space: &mask.space };
        self.write(path, &source, mask, names, &how)
    }
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Segmentation => "SEG",
            Self::Contours => "RTSTRUCT",
        })
    }
}

/// A segment or an ROI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Structure {
    /// Its value in masks, from 1: the number of the segment or ROI, or, where one of these is no value, its place in the list.
    pub value: u16,
    /// As the file calls it; of several with one name, those behind the first have their value behind it.
    pub name: String,
    /// Who drew it, where the file says so.
    pub automation: Option<Automation>,
}

/// An object, and what it holds.
#[derive(Debug, Clone)]
pub struct Structures {
    pub path: PathBuf,
    pub storage: Storage,
    /// SOP Instance UID.
    pub uid: String,
    /// What people call it: the label of the content or of the structure set, else the description of its series.
    pub label: String,
    /// Digits of the date and time at which it was made, to be compared.
    pub made: String,
    /// UIDs of the series that it refers to.
    pub series: BTreeSet<String>,
    /// SOP Instance UIDs of the images that it refers to, where they are listed.
    pub instances: BTreeSet<String>,
    /// UIDs of its frames of reference.
    pub frames_of_reference: BTreeSet<String>,
    /// By value.
    pub list: Vec<Structure>,
    /// Oddities by its header, worth telling; nothing of the patient.
    pub notes: Vec<String>,
}

/// Structures on the voxels of a scan.
#[derive(Debug, Clone)]
pub struct Drawn {
    pub mask: Mask,
    /// Sentences for a person about what was made of them, such as a threshold.
    pub notes: Vec<String>,
}

impl Structures {
    /// What an object holds; `None` for a file that is none.
    ///
    /// # Errors
    /// [`Kind::Io`]; [`Kind::Format`] for a damaged header, and for an object without a structure.
    pub fn open(path: &Path) -> Result<Option<Self>> {
        match open(path)? {
            Some(head) => Self::of(path, &head),
            None => Ok(None),
        }
    }

    /// The same, of a file whose beginning was walked.
    pub(super) fn of(path: &Path, head: &Head) -> Result<Option<Self>> {
        match storage(head) {
            Some(Storage::Segmentation) => segmentation::list(path, head).map(Some),
            Some(Storage::Contours) => contours::list(path, head).map(Some),
            None => Ok(None),
        }
    }

    /// The names of all structures by their values.
    pub fn names(&self) -> Names {
        self.list.iter().map(|structure| (structure.value, structure.name.clone())).collect()
    }

    /// Draws the structures whose values are in `wanted` on the voxels of a scan. Values of one name are one structure, and may
    /// overlap; those of no structure mean nothing.
    ///
    /// # Errors
    /// [`Kind::Geometry`] for what does not lie on the scan's voxels or slices, [`Kind::Labels`] where none is
    /// wanted, [`Kind::Voxels`] for structures that overlap; [`Kind::Format`], [`Kind::Truncated`] and [`Kind::Io`] where the
    /// object cannot be read.
    pub fn mask(&self, scan: &Space, wanted: &Names, reading: Reading) -> Result<Drawn> {
        let is_there = |value: &u16| self.list.iter().any(|own| own.value == *value);
        let wanted: Names =
            wanted.iter().filter(|(value, _)| is_there(value)).map(|(&v, n)| (v, n.clone())).collect();
        if wanted.is_empty() {
            let there: Vec<&str> = self.list.iter().map(|own| own.name.as_str()).collect();
            return Err(Error::new(
                &self.path,
                Kind::Labels,
                "structures that are asked for",
                format!("only {}", some(&there)),
            )
            .hint("choose by --names some of those that are there"));
        }
        match self.storage {
            Storage::Segmentation => segmentation::mask(self, scan, &wanted),
            Storage::Contours => contours::mask(self, scan, &wanted, reading),
        }
    }

    /// Refuses an object whose structures do not lie on a scan's slices, by its header alone.
    ///
    /// # Errors
    /// [`Kind::Geometry`].
    pub fn check(&self, scan: &Space, wanted: &Names) -> Result<()> {
        match self.storage {
            Storage::Segmentation => segmentation::check_place(self, scan, wanted),
            Storage::Contours => Ok(()),
        }
    }

    /// The grid on which both objects lie, where no scan is at hand: that of one, continued to where the other ends.
    ///
    /// # Errors
    /// As [`Self::space`].
    pub fn space_with(&self, other: &Self) -> Result<Space> {
        match (self.storage, other.storage) {
            (Storage::Contours, Storage::Segmentation) => return other.space(),
            (Storage::Segmentation, Storage::Contours) => return self.space(),
            _ => {}
        }
        // The finer one, for sparse frames may hide slices; the same whichever of the two is asked.
        let (own, theirs) = (self.space()?, other.space()?);
        let [a, b] = [&own, &theirs].map(|space| space.spacing()[2]);
        let first = a < b || a == b && self.path <= other.path;
        Ok(if first { union(&own, &theirs) } else { union(&theirs, &own) })
    }

    /// The grid that a segmentation's frames span themselves, where no scan is at hand.
    ///
    /// # Errors
    /// [`Kind::Geometry`] where they span none, and for contours, which have no voxels.
    pub fn space(&self) -> Result<Space> {
        match self.storage {
            Storage::Segmentation => segmentation::space(self),
            Storage::Contours => {
                Err(Error::new(&self.path, Kind::Geometry, "a mask with voxels", "contours (RTSTRUCT)")
                    .hint("name the scan that they were drawn on, too"))
            }
        }
    }
}

/// Slices of one patient, and more than any scan has.
const SLICES: f64 = 65_536.0;

/// A grid, continued along its third axis to where another ends.
fn union(grid: &Space, other: &Space) -> Space {
    let to_voxel = grid.world_from_voxel.inverse();
    let ends = other.corners().map(|corner| to_voxel.transform_point3(corner).z.round());
    let near = |end: &&f64| end.abs() < SLICES;
    let first = ends.iter().filter(near).fold(0.0, |a: f64, &b| a.min(b));
    let last = ends.iter().filter(near).fold(grid.shape[2] as f64 - 1.0, |a, &b| a.max(b));
    let mut whole = grid.clone();
    whole.shape[2] = (last - first) as usize + 1;
    whole.world_from_voxel.translation = grid.world_from_voxel.transform_point3(DVec3::new(0.0, 0.0, first));
    whole
}

/// The kind of object that a file is, by its class.
pub(super) fn storage(head: &Head) -> Option<Storage> {
    let class = Item::top(head).text(tags::SOP_CLASS_UID);
    match class.strip_prefix("1.2.840.10008.5.1.4.1.1.")? {
        "66.4" | "66.7" => Some(Storage::Segmentation),
        "481.3" => Some(Storage::Contours),
        _ => None,
    }
}

/// What every object says of itself, with the list of its structures still to come.
pub(super) fn bare(path: &Path, head: &Head, storage: Storage, label: dicom_core::Tag) -> Structures {
    let item = Item::top(head);
    let declared = charset::declared_in(item);
    let described = || item.decoded(tags::SERIES_DESCRIPTION, &declared);
    let label =
        Some(item.decoded(label, &declared)).filter(|label| !label.is_empty()).unwrap_or_else(described);
    Structures {
        path: path.to_owned(),
        storage,
        uid: item.text(tags::SOP_INSTANCE_UID),
        label: tidy(&label),
        made: String::new(),
        series: BTreeSet::new(),
        instances: BTreeSet::new(),
        frames_of_reference: BTreeSet::new(),
        list: Vec::new(),
        notes: Vec::new(),
    }
}

/// Digits of the first date that is there, and its time.
pub(super) fn moment(item: Item, moments: &[(dicom_core::Tag, dicom_core::Tag)]) -> String {
    let digits = |text: String| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let found = moments.iter().map(|&(date, time)| (digits(item.text(date)), digits(item.text(time))));
    let found = found.into_iter().find(|(date, _)| date.len() == 8);
    found.map(|(date, time)| format!("{date}{time:0<12.12}")).unwrap_or_default()
}

/// Who drew a structure, by the defined terms that both kinds share.
pub(super) fn automation(term: &str) -> Option<Automation> {
    match term {
        "AUTOMATIC" => Some(Automation::Automatic),
        "SEMIAUTOMATIC" => Some(Automation::Semiautomatic),
        "MANUAL" => Some(Automation::Manual),
        _ => None,
    }
}

/// Text of others on one line, and not without end.
fn tidy(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(256).collect::<String>().trim().to_owned()
}

/// The number of a structure, its name and who drew it.
pub(super) type Listed = (u32, String, Option<Automation>);

/// The values of structures in masks, by their numbers: these where all are values and distinct, their places elsewhere.
pub(super) fn values(numbers: &[u32]) -> Vec<u16> {
    let distinct: BTreeSet<u32> = numbers.iter().copied().collect();
    let are_values = distinct.iter().all(|number| (1..=u32::from(u16::MAX)).contains(number));
    let usable = distinct.len() == numbers.len() && are_values;
    (1..=u16::MAX).zip(numbers).map(|(place, &number)| if usable { number as u16 } else { place }).collect()
}

/// A list of structures by numbers and names: values that masks can have, and names that are told apart.
pub(super) fn listed(found: Vec<(u32, String, Option<Automation>)>) -> Vec<Structure> {
    let numbers: Vec<u32> = found.iter().map(|(number, ..)| *number).collect();
    let mut names = BTreeSet::new();
    let structure = |(value, (_, name, automation)): (u16, (u32, String, Option<Automation>))| {
        let name = if name.is_empty() { format!("label {value}") } else { name };
        let name = if names.insert(name.clone()) { name } else { format!("{name} ({value})") };
        names.insert(name.clone());
        Structure { value, name, automation }
    };
    let mut list: Vec<Structure> = values(&numbers).into_iter().zip(found).map(structure).collect();
    list.sort_by_key(|structure| structure.value);
    list
}
