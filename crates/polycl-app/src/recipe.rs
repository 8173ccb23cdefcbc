//! The recipe of a mask, which tells if making it again could give another: what `--continue` asks.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::path::Path;
use std::time::UNIX_EPOCH;

use polycl_base::Error;
use polycl_data::Shown;
use polycl_image::nifti::Form;
use polycl_image::{Input, files};
use polycl_nn::predict::Components;
use serde::{Deserialize, Serialize};

/// A mask is made again where any of this differs, or where it was never finished.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MaskRecipe {
    /// Millimetres by which probabilities were smoothed along the body; earlier versions did not.
    #[serde(default)]
    pub smooth: f64,
    /// The organs whose slices a person had named, as the file numbers them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ranges: BTreeMap<String, Shown>,
    pub flip: bool,
    /// Nothing where an earlier version made it, which did not ask.
    #[serde(default)]
    pub components: Option<Components>,
    pub probabilities: bool,
    /// The form of the scan's NIfTI header that was trusted, where one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<Form>,
    /// Stamp of the scan, before it was read.
    pub image: Stamp,
}

/// The facts that change with the files of a scan, without reading them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    files: u64,
    bytes: u64,
    /// Nanoseconds since 1970 of the latest change.
    modified: u64,
}

impl Stamp {
    pub fn of(scan: &Input) -> polycl_base::Result<Self> {
        let mut stamp = Self::default();
        for path in scan.files() {
            stamp.add(path).map_err(|e| files::hinted(path, Error::io(path, "read it", &e)))?;
        }
        Ok(stamp)
    }

    fn add(&mut self, file: &Path) -> std::io::Result<()> {
        let metadata = file.metadata()?;
        self.modified = self.modified.max(modified(&metadata)?);
        self.files += 1;
        self.bytes += metadata.len();
        Ok(())
    }
}

fn modified(metadata: &Metadata) -> std::io::Result<u64> {
    let since = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
