//! The masks of a data set as DICOM objects, for the archive that its series came from.

use std::collections::BTreeSet;
use std::path::Path;

use polycl_base::{Error, Kind, Result, Watch, output};
use polycl_image::Input;
use polycl_image::dicom::segmentation::{Automation, How, Source};
use polycl_image::dicom::structures::Storage;
use polycl_image::names::Names;

use super::export::{Export, Exported};
use super::provenance::{Origin, Records};

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
            let (by_hand, by_machine) = (BTreeSet::new(), BTreeSet::new());
            let mut exported = Exported { organs, ignored: None, by_hand, by_machine, unlabelled: 0 };
            let mut records = Records::default();
            let scans = &self.dataset.index.scans;
            for (number, scan) in scans.iter().enumerate() {
                watch.task(&format!("export {}", scan.case));
                watch.step(number, scans.len());
                let Some((mut mask, is_by_hand)) =
                    self.mask(number, &exported.organs, &further, &mut records)?
                else {
                    exported.unlabelled += 1;
                    continue;
                };
                let Input::Series { series, .. } = Input::at(&scan.image)? else {
                    watch.note(&format!(
                        "note: {}: the scan is no DICOM series, so that no {storage} can be on it",
                        scan.case
                    ));
                    exported.unlabelled += 1;
                    continue;
                };
                // Nobody annotated the voxels of the last value.
                mask.voxels
                    .iter_mut()
                    .filter(|label| !names.contains_key(label))
                    .for_each(|label| *label = 0);
                let automatic = match scan.origin {
                    _ if is_by_hand => Automation::Manual,
                    Origin::Propagated => Automation::Semiautomatic,
                    Origin::Hand | Origin::Predicted => Automation::Automatic,
                };
                let algorithm = concat!("polycl ", env!("CARGO_PKG_VERSION")).to_owned();
                let how = How { algorithm, automatic, description: scan.case.clone() };
                let (header, instances) = (series.header()?, series.instances());
                let source = Source { header: &header, instances: &instances, space: &mask.space };
                let file = folder.join(format!("{}.dcm", scan.case));
                storage.write(&file, &source, &mask, &names, &how)?;
                let group = if is_by_hand { &mut exported.by_hand } else { &mut exported.by_machine };
                group.insert(scan.case.clone());
            }
            if exported.by_hand.is_empty() && exported.by_machine.is_empty() {
                let expected = format!("DICOM series with masks of {}", exported.organs.join(", "));
                return Err(Error::new(&self.dataset.dir, Kind::Labels, expected, "no such scan")
                    .hint("choose fewer organs with --organ, or give --masks"));
            }
            Ok(exported)
        })
    }
}
