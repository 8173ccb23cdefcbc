//! A coarse mask, sharpened by a Segment Anything network.

use std::io::Write;
use std::path::{Path, PathBuf};

use polycl_base::{Watch, output};
use polycl_data::provenance::{Record, refinement, settle};
use polycl_image::dicom::segmentation::Automation;
use polycl_image::{Mask, names, nifti};
use polycl_nn::device::Device;
use serde::{Deserialize, Serialize};

use crate::figures::picture;
use crate::masks::{MaskFormat, ScanPath, Targets, given_or_beside, on_grid, write_names};
use crate::refinement::write_decisions;
pub use crate::refinement::{Judge, RefineSettings, RefineSummary, SamWeights};

/// The mask of a scan to refine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    pub scan: ScanPath,
    pub mask: PathBuf,
    /// The refined mask to write.
    pub out: PathBuf,
    pub weights: SamWeights,
    pub how: RefineSettings,
    /// Picture of the slices in which most was changed.
    pub picture: Option<PathBuf>,
    /// True mask, for the picture.
    pub truth: Option<PathBuf>,
    /// Names of labels, a file or a list; those beside the mask without it.
    pub names: Option<String>,
    pub format: MaskFormat,
    pub device: Device,
}

/// The result of a refinement that was not stopped.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    pub decided: RefineSummary,
    /// The network that refined.
    pub model: String,
    pub mask: PathBuf,
    /// The table of decisions.
    pub table: PathBuf,
    /// True if a picture was asked for of a mask in which nothing was changed.
    pub without_picture: bool,
}

/// Refines a mask; nothing is left where it was asked to stop.
///
/// # Errors
/// Inputs that do not belong together, targets that are taken, weights that are not there; what reading and
/// writing can say.
pub fn run(request: &Request, watch: &dyn Watch) -> anyhow::Result<Option<Outcome>> {
    let Request { scan, mask, out, weights, how, picture, truth, names, format, device } = request;
    how.check()?;
    Targets { mask: out, picture: picture.as_deref(), what: "refined mask" }.check(&[
        (Some(&scan.image), "the scan"),
        (Some(mask), "the coarse mask"),
        (truth.as_ref(), "the true mask"),
    ])?;
    let input = scan.open()?;
    format.check(&input, out)?;
    let (image, odd) = scan.read(&input, watch)?;
    format.check_scan(out, &image.space, &input)?;
    let on_grid = |path: &Path, mask: Mask| on_grid(path, mask, (&scan.image, &image), watch);
    let names = given_or_beside(names.as_deref(), mask)?;
    let on = (&input, &image.space);
    let coarse = on_grid(mask, scan.mask(mask, on, Some(&names), watch)?)?;
    let names = names::distinct(names);
    let truth =
        truth.as_deref().map(|path| on_grid(path, scan.truth(path, on, &names, watch)?)).transpose()?;
    let case = nifti::case_name(out).unwrap_or_default();
    let folder = out.parent().map_or_else(PathBuf::new, PathBuf::from);
    refinement::check(&folder)?;
    let refiner = how.refiner(weights, *device)?;
    watch.task(&case);
    let Some(refined) = refiner.refine(&image, &coarse, &names, how.options(), watch)? else {
        return Ok(None);
    };
    // The decisions come first, so that no mask is ever without them.
    write_decisions(&folder, (&case, &odd), &names, &refined.decisions)?;
    write_names(&folder, &case, &names)?;
    format.write(out, &refined.mask, &input, &names, Automation::Automatic)?;
    settle(&folder, &case, &[Record::Refine])?;
    let mut without_picture = false;
    if let Some(path) = picture {
        match picture::changes(&image, [&coarse, &refined.mask], truth.as_ref())? {
            Some(png) => output::atomically(path, |file| file.write_all(&png))?,
            None => without_picture = true,
        }
    }
    let decided = RefineSummary::of(&case, &refined.decisions);
    let (model, mask, table) = (refiner.model().to_string(), out.clone(), folder.join(Record::Refine.file()));
    Ok(Some(Outcome { decided, model, mask, table, without_picture }))
}
