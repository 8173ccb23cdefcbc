//! Scans and masks in any format we read, told by the ending of the file's name.
//!
//! Where a format leaves a choice, its reader says whom it follows. All geometry becomes RAS+ mm;
//! [`Space::native`] remembers the spelling of NIfTI files alone.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use polycl_base::{Error, Kind, Result, text};

use crate::dicom::structures::{Drawn, Structures};
use crate::names::Names;
use crate::nifti::Form;
use crate::raw::{Head, Source, Voxel};
use crate::{Image, Mask, Space, Volume};
use crate::{labels, metaimage, nifti, npz, nrrd, odd};

/// A format that we read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// NIfTI-1 and NIfTI-2, `.nii` and `.nii.gz`.
    Nifti,
    /// `.nrrd`, and `.nhdr` with its data file beside it.
    Nrrd,
    /// `.mha`, and `.mhd` with its data file beside it.
    MetaImage,
    /// `.npz` with `imgs` and, for masks, `gts`.
    Npz,
}

/// Segmentations of 3D Slicer: label maps that end where the segments do, with names in the header.
const SEGMENTATION: &str = ".seg.nrrd";

/// The endings of names, the longer of two first.
const ENDINGS: [(&str, Format); 8] = [
    (".nii.gz", Format::Nifti),
    (".nii", Format::Nifti),
    (SEGMENTATION, Format::Nrrd),
    (".nrrd", Format::Nrrd),
    (".nhdr", Format::Nrrd),
    (".mha", Format::MetaImage),
    (".mhd", Format::MetaImage),
    (".npz", Format::Npz),
];

impl Format {
    /// The format of a file by its name.
    ///
    /// # Errors
    /// [`Kind::Format`] for a name with another ending.
    pub fn of(path: &Path) -> Result<Self> {
        let name =
            path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        let format = ENDINGS.iter().find(|(ending, _)| name.ends_with(ending)).map(|&(_, format)| format);
        format.ok_or_else(|| {
            let endings =
                ENDINGS.map(|(ending, _)| ending).into_iter().filter(|ending| *ending != SEGMENTATION);
            let endings = Vec::from_iter(endings).join(", ");
            let (found, hint) = match () {
                () if path.is_dir() => ("a folder", "name a file: DICOM images are a scan, not a mask"),
                () if path.exists() => {
                    ("another ending", "name the file after its format, or convert it to .nii.gz")
                }
                () => ("no such file", "check the path"),
            };
            let expected = format!("a file name that ends in one of {endings}");
            Error::new(path, Kind::Format, expected, found).hint(hint)
        })
    }
}

/// The file's name without the ending of its format (in any letter case), its letters [composed](text::composed);
/// `None` for every other file and for hidden ones, such as the `._` twins that macOS leaves on foreign disks.
pub fn case_name(path: &Path) -> Option<String> {
    stem(path).map(|case| text::composed(case.to_owned()))
}

/// As [`case_name`], as the file system spells it.
pub(crate) fn stem(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    let lower = name.to_ascii_lowercase();
    let (ending, _) = ENDINGS.into_iter().find(|(ending, _)| lower.ends_with(ending))?;
    let case = &name[..name.len() - ending.len()];
    (!case.is_empty() && !case.starts_with('.')).then_some(case)
}

/// A path as a table names it, where it leads to something: as it stands, with Windows' separators, or with a last name
/// whose letters are the same in another spelling. Else as it stands.
pub fn named(path: PathBuf) -> PathBuf {
    if path.exists() {
        return path;
    }
    let text = path.to_string_lossy();
    let path = if text.contains('\\') { PathBuf::from(text.replace('\\', "/")) } else { path.clone() };
    if path.exists() {
        return path;
    }
    let composed = |name: &OsStr| Some(text::composed(name.to_str()?.to_owned()));
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(composed)) else {
        return path;
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let same = entries.find(|entry| composed(&entry.file_name()).as_ref() == Some(&name));
    same.map_or(path, |entry| entry.path())
}

/// True if the file's name is that of a segmentation of 3D Slicer.
pub fn is_segmentation(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().to_ascii_lowercase().ends_with(SEGMENTATION))
}

/// True if the file's name is that of a scan or mask.
pub fn is_scan(path: &Path) -> bool {
    case_name(path).is_some()
}

/// The paths in a folder, sorted.
///
/// # Errors
/// [`Kind::Io`], and [`Kind::Format`] for a scan whose name is no UTF-8: passed over, it would be
/// missed in silence.
pub fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let [files, folders] = sorted_out(folder)?;
    let mut paths = Vec::from_iter(files.into_iter().chain(folders));
    paths.sort();
    Ok(paths)
}

/// The files in a folder and the folders in it, each sorted, told apart by the listing: nothing is asked of each.
///
/// # Errors
/// As [`entries`].
pub fn sorted_out(folder: &Path) -> Result<[Vec<PathBuf>; 2]> {
    let failed = |e: std::io::Error| Error::io(folder, "list the folder", &e);
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (path, name) = (entry.path(), entry.file_name());
        if name.to_str().is_none() && is_scan(Path::new(&*name.to_string_lossy())) {
            return Err(
                Error::new(path, Kind::Format, "a file name in UTF-8", "other bytes").hint("rename the file")
            );
        }
        // A listing does not tell what a link leads to.
        let is_folder = match entry.file_type() {
            Ok(kind) if !kind.is_symlink() => kind.is_dir(),
            _ => path.is_dir(),
        };
        if is_folder { &mut folders } else { &mut files }.push(path);
    }
    files.sort();
    folders.sort();
    Ok([files, folders])
}

/// The scans or masks of a folder, sorted. An `.npz` beside a file of another format and the same case is not another
/// one: nnU-Net leaves probabilities there.
///
/// # Errors
/// As [`entries`].
pub fn scans(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(scans_among(entries(folder)?))
}

/// As [`scans`], of the paths of a folder.
pub fn scans_among(mut scans: Vec<PathBuf>) -> Vec<PathBuf> {
    scans.retain(|path| is_scan(path));
    let is_npz = |path: &Path| Format::of(path).is_ok_and(|format| format == Format::Npz);
    let others: BTreeSet<String> =
        scans.iter().filter(|path| !is_npz(path)).filter_map(|path| case_name(path)).collect();
    scans.retain(|path| !is_npz(path) || case_name(path).is_none_or(|case| !others.contains(&case)));
    scans
}

/// The masks of a folder by case name, sorted by path: [`scans`], and DICOM objects, each a file or alone in a folder. One
/// beside a file of another format and the same case is not another mask: `--format dicom-seg` leaves both.
///
/// # Errors
/// As [`entries`]; [`Kind::Request`] for a folder of several objects.
pub fn masks(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let all = entries(folder)?;
    let mut masks: Vec<(String, PathBuf)> =
        scans_among(all.clone()).into_iter().filter_map(|path| Some((case_name(&path)?, path))).collect();
    let known: BTreeSet<String> = masks.iter().map(|(case, _)| case.clone()).collect();
    for path in all {
        let Some(case) = dicom_name(&path).filter(|case| !known.contains(case)) else { continue };
        if Structures::at(&path)?.is_some() {
            masks.push((case, path));
        }
    }
    masks.sort_by(|a, b| a.1.cmp(&b.1));
    Ok(masks)
}

/// The case name of what may be a DICOM object or the folder of one: its name without `.dcm`; `None` for hidden files, and
/// those with the ending of something else.
pub fn dicom_name(path: &Path) -> Option<String> {
    if is_scan(path) {
        return None;
    }
    let name = path.file_name()?.to_str()?;
    let number = |ending: &str| ending.bytes().all(|byte| byte.is_ascii_digit());
    let case = match name.rsplit_once('.') {
        Some((case, ending)) if ending.eq_ignore_ascii_case("dcm") => case,
        Some((_, ending)) if !number(ending) && !path.is_dir() => return None,
        _ => name,
    };
    (!case.is_empty() && !case.starts_with('.')).then(|| text::composed(case.to_owned()))
}

/// The way to read files whose headers leave a choice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading {
    /// The form of NIfTI headers that is believed; nibabel's choice without it.
    pub trust: Option<Form>,
    /// Interpolates the shape in slices without a contour between others that have one.
    pub fill_gaps: bool,
}

impl Reading {
    pub fn trusting(trust: Option<Form>) -> Self {
        Self { trust, ..Self::default() }
    }

    /// Reads a scan: HU as in the file (slope and intercept applied in f64), not clipped.
    ///
    /// # Errors
    /// [`Kind::Voxels`] where a value is NaN or infinite as f32, [`Kind::Truncated`],
    /// [`Kind::Format`], [`Kind::Geometry`], [`Kind::Io`]; [`Kind::Request`] where memory is short.
    pub fn image(self, path: &Path) -> Result<Image> {
        self.volume(Format::of(path)?, &mut open(path)?, npz::IMAGE, path)
    }

    /// Reads a label map, or all structures of a DICOM object on the grid of its own.
    ///
    /// # Errors
    /// As [`Self::image`]; [`Kind::Voxels`] where a value is not within 0.001 of a whole number in 0..=65535, or, of labels
    /// that the header scales, within half a step; where the values are [an image's](labels::of_an_image); and as
    /// [`Structures::mask`].
    pub fn mask(self, path: &Path) -> Result<Mask> {
        if let Some(object) = Structures::at(path)? {
            return Ok(object.mask(&object.space()?, &object.names(), self)?.mask);
        }
        let mask = self.volume(Format::of(path)?, &mut open(path)?, npz::MASK, path)?;
        labels::check(&mask, path)?;
        Ok(mask)
    }

    /// Reads the mask of a scan: a DICOM object on the voxels of that, and of its structures those whose values are in
    /// `wanted`, or all; other files as [`Self::mask`] does.
    ///
    /// # Errors
    /// As [`Self::mask`].
    pub fn mask_on(self, path: &Path, scan: &Space, wanted: Option<&Names>) -> Result<Drawn> {
        match Structures::at(path)? {
            Some(object) => object.mask(scan, wanted.unwrap_or(&object.names()), self),
            None => Ok(Drawn { mask: self.mask(path)?, notes: Vec::new() }),
        }
    }

    /// As [`Self::mask_on`], with the SHA-256 (lower-case hex) of the file's bytes.
    ///
    /// # Errors
    /// As [`Self::mask`].
    pub fn mask_on_hashed(
        self,
        path: &Path,
        scan: &Space,
        wanted: Option<&Names>,
    ) -> Result<(Drawn, String)> {
        match Structures::at(path)? {
            Some(object) => {
                let drawn = object.mask(scan, wanted.unwrap_or(&object.names()), self)?;
                Ok((drawn, object.sha256()?))
            }
            None => self.mask_hashed(path).map(|(mask, hash)| (Drawn { mask, notes: Vec::new() }, hash)),
        }
    }

    /// The space of the mask of a scan, by its header alone: that of the scan for a DICOM object whose structures lie on its
    /// slices.
    ///
    /// # Errors
    /// As [`Self::space`] and [`Structures::check`].
    pub fn space_on(self, path: &Path, scan: &Space, wanted: Option<&Names>) -> Result<Space> {
        match Structures::at(path)? {
            Some(object) => {
                object.check(scan, wanted.unwrap_or(&object.names()))?;
                Ok(scan.clone())
            }
            None => self.space(path),
        }
    }

    /// As [`Self::image`], with the SHA-256 (lower-case hex) of the file's bytes; where a header keeps
    /// its voxels in another file, of both, one behind the other.
    ///
    /// # Errors
    /// As [`Self::image`].
    pub fn image_hashed(self, path: &Path) -> Result<(Image, String)> {
        self.hashed(npz::IMAGE, path)
    }

    /// As [`Self::mask`], with the hash of [`Self::image_hashed`].
    ///
    /// # Errors
    /// As [`Self::mask`].
    pub fn mask_hashed(self, path: &Path) -> Result<(Mask, String)> {
        let (mask, sha256) = self.hashed(npz::MASK, path)?;
        labels::check(&mask, path)?;
        Ok((mask, sha256))
    }

    /// Reads the geometry alone: no more of the file than its header. That of a DICOM segmentation is what its frames span.
    ///
    /// # Errors
    /// As [`Self::image`] and [`Structures::space`].
    pub fn space(self, path: &Path) -> Result<Space> {
        if let Some(object) = Structures::at(path)? {
            return object.space();
        }
        Ok(self.head(path)?.space)
    }

    /// Oddities of a scan's file by its header: what contradicts itself or had to be assumed, and what its
    /// values are not. No value of the header is repeated that might name the patient.
    ///
    /// # Errors
    /// As [`Self::image`].
    pub fn notes(self, path: &Path) -> Result<Vec<String>> {
        let Head { space, encoding, notes } = self.head(path)?;
        Ok(notes.into_iter().chain(encoding.datatype.eight_bits()).chain(odd::lattice(&space)).collect())
    }

    /// As [`Self::notes`], of the file of a mask, whose voxels may well have 8 bits, but are seldom scaled.
    ///
    /// # Errors
    /// As [`Self::image`].
    pub fn notes_of_mask(self, path: &Path) -> Result<Vec<String>> {
        if let Some(object) = Structures::at(path)? {
            return Ok(object.notes);
        }
        let Head { space, encoding, notes } = self.head(path)?;
        Ok(notes.into_iter().chain(encoding.rounded()).chain(odd::lattice(&space)).collect())
    }

    /// The labels that a file's values are, if they can be.
    ///
    /// # Errors
    /// As [`Self::image`].
    pub fn labels(self, path: &Path, values: &[f32]) -> Result<Option<Vec<u16>>> {
        let rounding = self.head(path)?.encoding.rounding();
        let label = |&value: &f32| {
            let (label, fits) = u16::from_value(f64::from(value), rounding);
            fits.then_some(label)
        };
        let labels: Option<Vec<u16>> = values.iter().map(label).collect();
        Ok(labels.filter(|labels| labels::of_an_image(labels).is_none()))
    }

    fn head(self, path: &Path) -> Result<Head> {
        let format = Format::of(path)?;
        let mut source = open(path)?;
        match format {
            Format::Nifti => nifti::head(&mut source, self.trust, path),
            Format::Nrrd => nrrd::head(&mut source, path),
            Format::MetaImage => metaimage::head(&mut source, path),
            Format::Npz => npz::head(&mut source, path),
        }
    }

    /// Reads the voxels; `member` is the one of an archive that holds several volumes.
    fn volume<V: Voxel>(
        self,
        format: Format,
        source: &mut Source,
        member: &str,
        path: &Path,
    ) -> Result<Volume<V>> {
        match format {
            Format::Nifti => nifti::volume(source, self.trust, path),
            Format::Nrrd => nrrd::volume(source, path),
            Format::MetaImage => metaimage::volume(source, path),
            Format::Npz => npz::volume(source, member, path),
        }
    }

    fn hashed<V: Voxel>(self, member: &str, path: &Path) -> Result<(Volume<V>, String)> {
        let format = Format::of(path)?;
        not_a_folder(path)?;
        let mut source = Source::hashed(path).map_err(|error| hinted(path, error))?;
        let volume = self.volume(format, &mut source, member, path)?;
        Ok((volume, source.sha256(path)?))
    }
}

/// As [`Reading::image`], by nibabel's choice.
pub fn read_image(path: &Path) -> Result<Image> {
    Reading::default().image(path)
}

/// As [`Reading::mask`], by nibabel's choice.
pub fn read_mask(path: &Path) -> Result<Mask> {
    Reading::default().mask(path)
}

/// As [`Reading::image_hashed`], by nibabel's choice.
pub fn read_image_hashed(path: &Path) -> Result<(Image, String)> {
    Reading::default().image_hashed(path)
}

/// As [`Reading::mask_hashed`], by nibabel's choice.
pub fn read_mask_hashed(path: &Path) -> Result<(Mask, String)> {
    Reading::default().mask_hashed(path)
}

/// As [`Reading::space`], by nibabel's choice.
pub fn read_space(path: &Path) -> Result<Space> {
    Reading::default().space(path)
}

/// As [`Reading::notes`], by nibabel's choice.
pub fn notes(path: &Path) -> Result<Vec<String>> {
    Reading::default().notes(path)
}

/// Reads a scan from the bytes of a file; errors name `path`. Voxels in another file are refused.
pub fn image_from_bytes(format: Format, bytes: &[u8], path: &Path) -> Result<Image> {
    Reading::default().volume(format, &mut Source::memory(bytes), npz::IMAGE, path)
}

fn open(path: &Path) -> Result<Source<'_>> {
    not_a_folder(path)?;
    Source::file(path).map_err(|error| hinted(path, error))
}

/// The same error of a file that is not there, with what to do about a link that leads nowhere.
pub fn hinted(path: &Path, error: Error) -> Error {
    if !path.is_symlink() || path.exists() {
        return error;
    }
    error.hint("fetch the file behind this link, which leads nowhere, with git-annex or DVC")
}

/// Refuses a folder that is named like a file: programs that unpack archives make such.
///
/// # Errors
/// [`Kind::Format`].
pub fn not_a_folder(path: &Path) -> Result<()> {
    if !path.is_dir() {
        return Ok(());
    }
    let inside = entries(path).map(scans_among).unwrap_or_default();
    let hint = match inside.first() {
        Some(file) => format!("the file is in it: {}", file.display()),
        None => "take the file that was packed, and not the folder that it was unpacked to".to_owned(),
    };
    Err(Error::new(path, Kind::Format, "a file", "a folder of that name").hint(hint))
}
