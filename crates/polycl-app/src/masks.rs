//! Writing the mask of a scan: its formats, the names of its labels, and the care that it replaces no input.

use std::io::Write;
use std::path::{Path, PathBuf};

use polycl_base::{Error, Kind, Watch, output, some};
use polycl_data::{Maker, Records};
use polycl_image::dicom::Series;
use polycl_image::dicom::segmentation::Automation;
use polycl_image::dicom::structures::{Drawn, Storage, Structures};
use polycl_image::files::Reading;
use polycl_image::legend::IGNORE;
use polycl_image::names::{self, Names};
use polycl_image::nifti::Form;
use polycl_image::{Given, Image, Input, Mask, Space, grid, nifti, odd};
use serde::{Deserialize, Serialize};

/// A scan to work on: a file, or a folder of DICOM slices, of which the series is named where there are several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanPath {
    pub image: PathBuf,
    #[serde(default)]
    pub series: Option<String>,
    /// The form of NIfTI headers that is believed, of the scan and of its masks; nibabel's choice without it.
    #[serde(default)]
    pub trust: Option<Form>,
    /// Interpolates the shape in slices without a contour between others.
    #[serde(default)]
    pub fill_gaps: bool,
}

impl ScanPath {
    pub(crate) fn open(&self) -> polycl_base::Result<Input> {
        Ok(Input::open(&self.image, self.series.as_deref())?.trusting(self.trust))
    }

    /// Reads a mask of the scan, and tells what is odd about its header and not about the scan's as well. Of a DICOM object
    /// the structures are drawn whose values have `names`, or all.
    pub(crate) fn mask(
        &self,
        path: &Path,
        (input, space): (&Input, &Space),
        names: Option<&Names>,
        watch: &dyn Watch,
    ) -> polycl_base::Result<Mask> {
        let reading = Reading { trust: self.trust, fill_gaps: self.fill_gaps };
        let name = path.display().to_string();
        if let (Some(object), Input::Series { series, .. }) = (Structures::at(path)?, input) {
            note_odd(&name, &Vec::from_iter(object.belongs(series)?), watch);
        }
        let Drawn { mut mask, notes } = reading.mask_on(path, space, names)?;
        let mut odd = reading.notes_of_mask(path)?;
        if !odd.is_empty() {
            let of_scan = input.notes()?;
            odd.retain(|note| !of_scan.contains(note));
        }
        note_odd(&name, &odd, watch);
        note_odd(&name, &notes, watch);
        let legend = names::file_beside(path).and_then(|file| names::read(&file).ok()).unwrap_or_default();
        if let Some(ignored) = legend.ignored.filter(|label| mask.voxels.contains(label)) {
            mask.voxels.iter_mut().filter(|label| **label == ignored).for_each(|label| *label = 0);
            watch.note(&format!(
                "note: {name}: voxels of the label `{IGNORE}` ({ignored}) are no object here"
            ));
        }
        Ok(mask)
    }

    /// As [`Self::mask`], of a true mask, which a person must have drawn. Structures of a DICOM object get the values that
    /// their names have in `names`; where none has one, they keep their own.
    pub(crate) fn truth(
        &self,
        path: &Path,
        on: (&Input, &Space),
        names: &Names,
        watch: &dyn Watch,
    ) -> polycl_base::Result<Mask> {
        Records::default().check_truth(path)?;
        let Some(object) = Structures::at(path)? else { return self.mask(path, on, None, watch) };
        let value = |own: &String| names.iter().find(|(_, name)| *name == own).map(|(&value, _)| value);
        let mut wanted = object.names();
        wanted.retain(|_, name| value(name).is_some());
        if wanted.is_empty() {
            return self.mask(path, on, None, watch);
        }
        let mut mask = self.mask(path, on, Some(&wanted), watch)?;
        let renamed = |label: &u16| wanted.get(label).and_then(value).unwrap_or_default();
        mask.voxels.iter_mut().for_each(|label| *label = renamed(label));
        Ok(mask)
    }

    /// Reads the scan, and tells what is odd about it; also gives that.
    pub(crate) fn read(&self, input: &Input, watch: &dyn Watch) -> polycl_base::Result<(Image, Vec<String>)> {
        let image = input.image()?;
        let odd = odd::of(input, &image)?;
        note_odd(&self.image.display().to_string(), &odd, watch);
        Ok((image, odd))
    }
}

/// Tells what is odd about a scan.
pub(crate) fn note_odd(scan: &str, found: &[String], watch: &dyn Watch) {
    found.iter().for_each(|text| watch.note(&format!("note: {scan}: {text}")));
}

/// Writes the names of a mask's labels beside it, if there are any.
pub(crate) fn write_names(folder: &Path, case: &str, names: &Names) -> anyhow::Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let text = serde_json::to_string_pretty(names)?;
    let path = folder.join(format!("{case}.labels.json"));
    Ok(output::atomically(&path, |file| writeln!(file, "{text}"))?)
}

/// The names of labels beside a mask; without any, every organ is seen in the soft-tissue window.
pub(crate) fn names_beside(mask: &Path) -> anyhow::Result<Names> {
    Ok(names::file_beside(mask).map(|file| names::read(&file)).transpose()?.unwrap_or_default().names)
}

/// The names of labels as a person gave them (a file, or `1=liver,2=spleen`), or those beside a mask.
pub(crate) fn given_or_beside(given: Option<&str>, mask: &Path) -> anyhow::Result<Names> {
    match given {
        Some(given) => {
            let names = Given::parse(given, Path::new(""))?.legend(mask)?.names;
            if names.is_empty()
                && let Some(object) = Structures::at(mask)?
            {
                let there: Vec<String> = object.names().into_values().collect();
                let expected = format!("structures of the names {given}");
                return Err(Error::new(mask, Kind::Labels, expected, some(&there))
                    .hint("give their names as `polycl inspect` lists them")
                    .into());
            }
            Ok(names)
        }
        None => names_beside(mask),
    }
}

/// Brings a mask into the order of the scan's voxels, on which it must lie.
pub(crate) fn on_grid(
    path: &Path,
    mask: Mask,
    (image_path, image): (&Path, &Image),
    watch: &dyn Watch,
) -> polycl_base::Result<Mask> {
    let hint = format!("resample the mask onto the grid of {}", image_path.display());
    let fit = grid::on_image(&image.space, &mask.space, path, "", &hint)?;
    if let Some(note) = fit.note() {
        let path = path.display();
        watch.note(&format!("note: {path}: the mask is not on the same grid as its scan: {note}"));
    }
    Ok(fit.apply(mask, &image.space))
}

/// Refuses an intensity window that makes no sense.
pub(crate) fn check_window(window: Option<[f32; 2]>) -> anyhow::Result<()> {
    if let Some([centre, width]) = window {
        let makes_sense = centre.is_finite() && width.is_finite() && width > 0.0;
        anyhow::ensure!(
            makes_sense,
            "--window: expected a centre and a width above 0 in HU, found {centre},{width}"
        );
    }
    Ok(())
}

/// The files that a mask is written to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaskFormat {
    #[default]
    Nifti,
    /// NIfTI, and beside it CASE.dcm, a DICOM segmentation of the series.
    DicomSeg,
    /// NIfTI, and beside it CASE.dcm, contours (RTSTRUCT) on the series.
    Rtstruct,
}

impl MaskFormat {
    /// The DICOM object that is written beside a mask, and its name.
    fn object(self) -> Option<(Storage, &'static str)> {
        match self {
            Self::Nifti => None,
            Self::DicomSeg => Some((Storage::Segmentation, "a DICOM segmentation")),
            Self::Rtstruct => Some((Storage::Contours, "an RTSTRUCT")),
        }
    }

    /// Refuses what cannot be written, before there is work to lose.
    pub(crate) fn check(self, input: &Input, mask: &Path) -> polycl_base::Result<()> {
        let Some((_, name)) = self.object() else { return Ok(()) };
        let object = object_beside(mask);
        match input {
            Input::File { path, .. } => {
                let expected = format!("a DICOM series, to which {name} can refer");
                Err(Error::new(path, Kind::Request, expected, "a file of another format")
                    .hint("leave --format out: NIfTI masks open in 3D Slicer and ITK-SNAP"))
            }
            Input::Series { .. } if object.exists() && !mask.exists() => {
                let found = "a file that PolyCL may not have written";
                Err(Error::new(
                    object,
                    Kind::Request,
                    format!("no such file yet, or {name} by PolyCL"),
                    found,
                )
                .hint("choose another --out, or move the file"))
            }
            Input::Series { .. } => Ok(()),
        }
    }

    /// Refuses a scan of which no DICOM object can be written, such as a segmentation of one with a tilted gantry: an empty
    /// one is written elsewhere, before there is work to lose.
    pub(crate) fn check_scan(self, path: &Path, space: &Space, input: &Input) -> polycl_base::Result<()> {
        let (Some((storage, _)), Input::Series { series, .. }) = (self.object(), input) else {
            return Ok(());
        };
        let target = object_beside(path);
        let folder = tempfile::tempdir().map_err(|e| Error::io(&target, "try it", &e))?;
        let empty = Mask { space: space.clone(), voxels: vec![0; space.voxels()] };
        let names = Names::from([(1, "organ".to_owned())]);
        let trial = folder.path().join(path.file_name().unwrap_or_default());
        let written = write_object(storage, &trial, &empty, series, &names, Automation::Automatic);
        written.map_err(|error| error.about(target))
    }

    /// True if all files are there that [`Self::write`] writes.
    pub(crate) fn is_there(self, mask: &Path) -> bool {
        let is_object =
            |(storage, _)| Storage::of(&object_beside(mask)).is_ok_and(|found| found == Some(storage));
        mask.is_file() && self.object().is_none_or(is_object)
    }

    /// Writes a mask, of the voxels of its scan, at a place whose name ends as NIfTI's do.
    pub(crate) fn write(
        self,
        path: &Path,
        mask: &Mask,
        input: &Input,
        names: &Names,
        automatic: Automation,
    ) -> polycl_base::Result<()> {
        nifti::write_mask(path, mask)?;
        match (self.object(), input) {
            (Some((storage, _)), Input::Series { series, .. }) => {
                write_object(storage, path, mask, series, names, automatic)
            }
            _ => Ok(()),
        }
    }
}

/// Writes the DICOM object beside a NIfTI mask of a series.
fn write_object(
    storage: Storage,
    path: &Path,
    mask: &Mask,
    series: &Series,
    names: &Names,
    automatic: Automation,
) -> polycl_base::Result<()> {
    let case = nifti::case_name(path).unwrap_or_default();
    storage.write_on(&object_beside(path), series, mask, names, (&case, automatic))
}

/// The DICOM object beside a NIfTI mask.
fn object_beside(mask: &Path) -> PathBuf {
    mask.with_file_name(format!("{}.dcm", nifti::case_name(mask).unwrap_or_default()))
}

/// Reads a true mask of a scan, which a person must have drawn.
pub(crate) fn read_truth(path: &Path, scan: &Space) -> anyhow::Result<Mask> {
    Records::default().check_truth(path)?;
    Ok(Reading::default().mask_on(path, scan, None)?.mask)
}

/// Refuses to replace a mask that no record says a machine made: a person may have drawn it.
pub(crate) fn spare_hands(records: &mut Records, mask: &Path) -> polycl_base::Result<()> {
    if !mask.exists() {
        return Ok(());
    }
    let found = match records.maker(mask)? {
        Some(maker) if maker.is_reviews() => "a mask that a person worked on in `polycl serve`".to_owned(),
        Some(Maker { program: None, .. }) => return Ok(()),
        Some(Maker { program: Some(program), .. }) => format!("a mask by {program}"),
        None => "a mask without a record of its maker, which a person may have drawn".to_owned(),
    };
    Err(Error::new(mask, Kind::Request, "no such file yet, or a mask that a machine made", found)
        .hint("choose another --out, or move the mask"))
}

/// The files that a use case writes.
pub(crate) struct Targets<'a> {
    pub mask: &'a Path,
    pub picture: Option<&'a Path>,
    /// The mask in words.
    pub what: &'a str,
}

impl Targets<'_> {
    /// Refuses targets that are no files to be, or that would take the place of an input or of a mask
    /// that a person may have drawn.
    pub(crate) fn check(&self, inputs: &[(Option<&PathBuf>, &str)]) -> polycl_base::Result<()> {
        if nifti::case_name(self.mask).is_none() {
            let expected = "a name that ends in .nii.gz or .nii";
            return Err(Error::new(self.mask, Kind::Request, expected, "another ending"));
        }
        if self.mask.is_dir() {
            return Err(Error::io(self.mask, "write it", &std::io::ErrorKind::IsADirectory.into()));
        }
        if self.picture == Some(self.mask) {
            let expected = format!("another file than the {}", self.what);
            return Err(Error::new(self.mask, Kind::Request, expected, "the same file as the picture"));
        }
        for target in [Some(self.mask), self.picture].into_iter().flatten() {
            let Ok(place) = target.canonicalize() else { continue };
            let same =
                |input: Option<&PathBuf>| input.is_some_and(|i| i.canonicalize().is_ok_and(|i| i == place));
            if let Some((_, what)) = inputs.iter().find(|(input, _)| same(*input)) {
                let expected = "another file than the inputs";
                return Err(Error::new(target, Kind::Request, expected, *what));
            }
        }
        spare_hands(&mut Records::default(), self.mask)
    }
}
