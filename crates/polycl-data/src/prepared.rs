//! A scan as an import hands it to the store.

use polycl_base::Result;

use super::Scan;
use super::store::{self, Writer};

/// A scan, ready to be stored.
pub(super) struct Prepared {
    pub(super) scan: Scan,
    /// [slices, size, size].
    pub(super) image: Vec<u16>,
    pub(super) mask: Option<Vec<u16>>,
    /// Values of the mask file without a name, which count as background.
    pub(super) nameless: Vec<u16>,
}

impl Prepared {
    /// Stores the slices; the scan, to be noted down then.
    pub(super) fn store(self, writer: &Writer, size: usize) -> Result<Scan> {
        let Self { scan, image, mask, .. } = self;
        writer.case(&scan.case)?;
        let shape = [scan.slices, size];
        writer.write(&store::array_path(&scan.case, store::IMAGE), shape, image)?;
        if let Some(mask) = mask {
            writer.write(&store::array_path(&scan.case, store::MASK), shape, mask)?;
        }
        Ok(scan)
    }
}
