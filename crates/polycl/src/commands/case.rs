//! What commands that write one mask have in common: the names of its labels, its formats, and the care that it
//! replaces no input.

use std::io::Write;
use std::path::{Path, PathBuf};

use polycl_volume::dataset::Records;
use polycl_volume::dataset::names::Names;
use polycl_volume::dicom::segmentation::{self, Automation, How};
use polycl_volume::{Error, Input, Kind, Mask, files, nifti, output};

/// Writes the names of a mask's labels beside it, if there are any.
pub fn write_names(folder: &Path, case: &str, names: &Names) -> anyhow::Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let text = serde_json::to_string_pretty(names)?;
    let path = folder.join(format!("{case}.labels.json"));
    Ok(output::atomically(&path, |file| writeln!(file, "{text}"))?)
}

/// A scan to work on.
#[derive(clap::Args)]
pub struct ScanArgs {
    /// CT scan: a file, or a folder of DICOM slices
    pub image: PathBuf,
    /// Series to take where the folder holds several, by its UID
    #[arg(long, value_name = "UID")]
    series: Option<String>,
}

impl ScanArgs {
    pub fn open(&self) -> polycl_volume::Result<Input> {
        Input::open(&self.image, self.series.as_deref())
    }
}

/// What masks are written as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum MaskFormat {
    #[default]
    Nifti,
    /// NIfTI, and beside it CASE.dcm, a DICOM segmentation of the series
    DicomSeg,
}

impl MaskFormat {
    /// Refuses what cannot be written, before there is work to lose.
    pub fn check(self, input: &Input, mask: &Path) -> polycl_volume::Result<()> {
        let segmentation = segmentation_beside(mask);
        match (self, input) {
            (Self::DicomSeg, Input::File(path)) => {
                let expected = "a DICOM series, to which a DICOM segmentation can refer";
                Err(Error::new(path, Kind::Request, expected, "a file of another format")
                    .hint("leave --format out: NIfTI masks open in 3D Slicer and ITK-SNAP"))
            }
            (Self::DicomSeg, _) if segmentation.exists() && !mask.exists() => {
                let found = "a file that is not known to be one of ours";
                Err(Error::new(segmentation, Kind::Request, "no DICOM segmentation there", found)
                    .hint("choose another --out, or move the file"))
            }
            _ => Ok(()),
        }
    }

    /// Whether all is there that [`Self::write`] writes.
    pub fn is_there(self, mask: &Path) -> bool {
        mask.is_file() && (self == Self::Nifti || segmentation_beside(mask).is_file())
    }

    /// Writes a mask, of the voxels of its scan, at a place whose name ends as NIfTI's do.
    pub fn write(
        self,
        path: &Path,
        mask: &Mask,
        input: &Input,
        names: &Names,
        automatic: Automation,
    ) -> polycl_volume::Result<()> {
        nifti::write_mask(path, mask)?;
        let (Self::DicomSeg, Input::Series { series, .. }) = (self, input) else { return Ok(()) };
        let description = nifti::case_name(path).unwrap_or_default();
        let algorithm = concat!("polycl ", env!("CARGO_PKG_VERSION")).to_owned();
        let how = How { algorithm, automatic, description };
        let (header, instances) = (series.header()?, series.instances());
        let source = segmentation::Source { header: &header, instances: &instances, space: &mask.space };
        segmentation::write(&segmentation_beside(path), &source, mask, names, &how)
    }
}

/// Where the DICOM segmentation of a NIfTI mask lies.
fn segmentation_beside(mask: &Path) -> PathBuf {
    mask.with_file_name(format!("{}.dcm", nifti::case_name(mask).unwrap_or_default()))
}

/// Reads a true mask, which a person must have drawn.
pub fn read_truth(path: &Path) -> anyhow::Result<Mask> {
    Records::default().check_truth(path)?;
    Ok(files::read_mask(path)?)
}

/// Refuses to replace a mask that no record says a machine made: a person may have drawn it.
pub fn spare_hands(records: &mut Records, mask: &Path) -> anyhow::Result<()> {
    if !mask.exists() {
        return Ok(());
    }
    let found = match records.maker(mask)?.map(|maker| maker.program) {
        Some(None) => return Ok(()),
        Some(Some(program)) => format!("one by {program}"),
        None => "one that a person may have drawn: no file beside it says that a machine made it".to_owned(),
    };
    Err(Error::new(mask, Kind::Request, "no mask there, or a machine's", found)
        .hint("choose another --out, or move the mask")
        .into())
}

/// What a command writes.
pub struct Targets<'a> {
    pub mask: &'a Path,
    pub picture: Option<&'a Path>,
    /// The mask in words.
    pub what: &'a str,
}

impl Targets<'_> {
    /// Refuses targets that are no files to be, or that would take the place of an input or of a mask
    /// that a person may have drawn.
    pub fn check(&self, inputs: &[(Option<&PathBuf>, &str)]) -> anyhow::Result<()> {
        if nifti::case_name(self.mask).is_none() {
            let expected = "a name that ends in .nii.gz or .nii";
            return Err(Error::new(self.mask, Kind::Request, expected, "another").into());
        }
        if self.mask.is_dir() {
            return Err(Error::io(self.mask, "write it", &std::io::ErrorKind::IsADirectory.into()).into());
        }
        if self.picture == Some(self.mask) {
            let expected = format!("another file than the {}", self.what);
            return Err(Error::new(self.mask, Kind::Request, expected, "it as the picture, too").into());
        }
        for target in [Some(self.mask), self.picture].into_iter().flatten() {
            let Ok(place) = target.canonicalize() else { continue };
            let same =
                |input: Option<&PathBuf>| input.is_some_and(|i| i.canonicalize().is_ok_and(|i| i == place));
            if let Some((_, what)) = inputs.iter().find(|(input, _)| same(*input)) {
                let expected = "another file than the inputs";
                return Err(Error::new(target, Kind::Request, expected, *what).into());
            }
        }
        spare_hands(&mut Records::default(), self.mask)
    }
}
