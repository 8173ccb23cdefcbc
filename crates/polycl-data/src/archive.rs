//! The masks of a data set as DICOM objects, for the archive that its series came from.

use std::path::Path;

use polycl_base::{Error, Kind, Result, Watch, output};
use polycl_image::Input;
use polycl_image::dicom::segmentation::Automation;
use polycl_image::dicom::structures::Storage;
use polycl_image::names::Names;

use super::export::{Export, Exported};
use super::provenance::Origin;

impl Export<'_> {
    /// Writes `CASE.dcm` into the folder `out` for each scan that is a DICOM series and has masks of all organs; the folder
    /// whole or not at all.
    ///
    /// # Errors
    /// As [`Export::write`]; [`Kind::Labels`] where there is no such scan; as [`Storage::write`].
    pub fn write_objects(&self, storage: Storage, out: &Path, watch: &dyn Watch) -> Result<Exported> {
        let further = self.further()?;
        let organs = self.organs(&further)?;
        self.tell((&further, &organs), watch)?;
        let names: Names = (1..).zip(organs.iter().cloned()).collect();
        output::folder_atomically(out, |folder| {
            let exported = self.each(organs, &further, watch, |scan, mask| {
                let Some((mut mask, origin)) = mask else { return Ok(false) };
                let Input::Series { series, .. } = Input::at(&scan.image)? else {
                    watch.note(&format!(
                        "note: {}: the scan is no DICOM series, so that no {storage} can be on it",
                        scan.case
                    ));
                    return Ok(false);
                };
                // Nobody annotated the voxels of the last value.
                mask.voxels
                    .iter_mut()
                    .filter(|label| !names.contains_key(label))
                    .for_each(|label| *label = 0);
                let automatic = match origin {
                    Origin::Hand => Automation::Manual,
                    Origin::Reviewed | Origin::Propagated => Automation::Semiautomatic,
                    Origin::Predicted => Automation::Automatic,
                };
                let file = folder.join(format!("{}.dcm", scan.case));
                storage.write_on(&file, &series, &mask, &names, (&scan.case, automatic))?;
                Ok(true)
            })?;
            if exported.is_empty() {
                let expected = format!("DICOM series with masks of {}", exported.organs.join(", "));
                return Err(Error::new(&self.dataset.dir, Kind::Labels, expected, "no such scan")
                    .hint("choose fewer organs with --organ, or give --masks"));
            }
            Ok(exported)
        })
    }
}
