//! A data set: `index.json`, which a person can read, and `slices.zarr`, from which any slice is
//! read without touching the rest.

mod archive;
mod challenge;
mod channels;
mod chosen;
mod dataset_json;
mod drawn;
mod export;
mod failed;
mod import;
mod index;
mod journal;
mod making;
pub mod masks;
mod pair;
pub mod pairs;
mod prepared;
mod presence;
pub mod provenance;
mod reading;
mod regions;
mod salt;
pub mod shard;
pub mod split;
mod store;
mod tagged;
mod united;

use std::path::{Path, PathBuf};

use polycl_base::{Error, Kind, Result};

pub use challenge::from_challenge;
pub use chosen::{Choice, Chosen};
pub use drawn::DrawnSlices;
pub use export::{Export, Exported};
pub use failed::{Failed, failed};
pub use import::{Import, Imported};
pub use index::{Index, Scan, VERSION};
pub use presence::{Ranges, Shown, within};
pub use provenance::{Maker, Origin, Propagation, Record, Records, Trust};
pub use regions::{Painting, Region, Regions};
pub use salt::Salt;
pub use shard::Shard;
use store::{Slices, Storage};
pub use tagged::{from_dicom, from_dicom_with_masks};
pub use united::{United, unite};

/// An opened data set; may be read from many threads at once.
pub struct Dataset {
    pub dir: PathBuf,
    pub index: Index,
    /// Slices of each scan's image.
    images: Vec<Slices>,
    masks: Vec<Option<Slices>>,
}

impl Dataset {
    /// True if a folder is a data set, or was to become one by an import that has not ended.
    pub fn lies_in(dir: &Path) -> bool {
        Index::path(dir).is_file() || journal::unfinished(dir)
    }

    /// Reads the index and holds the store's arrays to it; reads no slice.
    ///
    /// # Errors
    /// [`Kind::Io`] where `dir` is no data set or a part is missing, [`Kind::Format`] where the
    /// index is unsound or an array is not what the index says.
    pub fn open(dir: &Path) -> Result<Self> {
        if journal::unfinished(dir) && !Index::path(dir).is_file() {
            return Err(Error::new(dir, Kind::Request, "a data set", "an import that has not ended")
                .hint("end the import: run the same `polycl import` once more, with --continue"));
        }
        if shard::beginning(dir).is_file() && !Index::path(dir).is_file() {
            return Err(Error::new(dir, Kind::Request, "a data set", "shards of one that are not merged")
                .hint(format!("run `polycl import --merge {}` once all shards are done", dir.display())));
        }
        let index = Index::read(dir)?;
        let slices = Storage::open(dir)?;
        let array = |scan: &Scan, what| {
            Slices::open(&slices, &store::array_path(&scan.case, what), [scan.slices, index.preprocess.size])
        };
        let images = index.scans.iter().map(|s| array(s, store::IMAGE)).collect::<Result<_>>()?;
        let mask = |s: &Scan| s.labelled().then(|| array(s, store::MASK)).transpose();
        let masks = index.scans.iter().map(mask).collect::<Result<_>>()?;
        Ok(Self { dir: dir.to_path_buf(), images, masks, index })
    }

    /// Slice `slice` of scan number `scan` as the network sees it (normalised), rows from anterior
    /// to posterior, columns from the patient's right to left: [size, size].
    ///
    /// # Errors
    /// [`Kind::Format`] where the stored slice is damaged, [`Kind::Request`] where there is none.
    pub fn image(&self, scan: usize, slice: usize) -> Result<Vec<f32>> {
        let slices = self.images.get(scan).ok_or_else(|| self.no_scan(scan))?;
        Ok(self.index.preprocess.normalised(&slices.read(slice)?))
    }

    /// The label values of the same slice: [size, size].
    ///
    /// # Errors
    /// As [`Self::image`]; [`Kind::Labels`] where the scan has no mask.
    pub fn mask(&self, scan: usize, slice: usize) -> Result<Vec<u16>> {
        let slices = self.masks.get(scan).ok_or_else(|| self.no_scan(scan))?;
        let unlabelled = || {
            let case = &self.index.scans[scan].case;
            Error::new(&self.dir, Kind::Labels, format!("a mask of case {case}"), "no mask")
        };
        slices.as_ref().ok_or_else(unlabelled)?.read(slice)
    }

    /// The masks of scan number `scan` on its own voxels, read from the files that were imported; label
    /// values are the data set's.
    ///
    /// # Errors
    /// As [`polycl_image::files::read_mask`]; [`Kind::Format`] where a file has changed since, [`Kind::Labels`] where
    /// the scan has no mask.
    pub fn truth(&self, scan: usize) -> Result<polycl_image::Mask> {
        let scan = self.index.scans.get(scan).ok_or_else(|| self.no_scan(scan))?;
        masks::again(scan, &self.index.labels)
    }

    fn no_scan(&self, scan: usize) -> Error {
        let found = format!("{} scans", self.index.scans.len());
        Error::new(&self.dir, Kind::Request, format!("scan number {scan}"), found)
    }
}
