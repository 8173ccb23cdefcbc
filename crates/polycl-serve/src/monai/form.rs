//! What a client sends as a form: parameters, and files that are read from a temporary place.

use std::io::Write;
use std::path::{Path, PathBuf};

use polycl_base::Error;
use polycl_image::{Space, files};
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use crate::multipart::{Part, parts};
use crate::refusal::{Answer, Refusal};

/// A form, whose bytes stay where they are.
pub struct Form<'a>(Vec<Part<'a>>);

impl<'a> Form<'a> {
    /// # Errors
    /// `bad_form`
    pub fn read(body: &'a [u8]) -> Answer<Self> {
        let bad =
            |found| Refusal::senseless("bad_form", format!("Expected a form with files, found {found}."));
        parts(body).map(Self).map_err(bad)
    }

    /// The parameters, which are JSON; without any, those that an empty object gives.
    ///
    /// # Errors
    /// `bad_params`
    pub fn params<T: DeserializeOwned>(&self) -> Answer<T> {
        let part = self.0.iter().find(|part| part.name == "params" && part.file.is_none());
        let bytes = part.map_or(&b"{}"[..], |part| part.bytes);
        serde_json::from_slice(bytes).map_err(|e| {
            Refusal::senseless(
                "bad_params",
                format!("The parameters are not as MONAI Label sends them: {e}."),
            )
        })
    }

    /// A file, if it was sent.
    pub fn file(&self, names: &[&str]) -> Option<Part<'a>> {
        self.0.iter().find(|part| part.file.is_some() && names.contains(&part.name)).copied()
    }

    /// A file that must be there.
    ///
    /// # Errors
    /// `no_file`
    pub fn needed_file(&self, names: &[&str]) -> Answer<Part<'a>> {
        self.file(names).ok_or_else(|| {
            let message = format!("Expected a file in the part {}, found no such part.", names[0]);
            Refusal::senseless("no_file", message)
        })
    }
}

/// Endings that files of clients may have; of their names nothing else is taken.
const ENDINGS: [&str; 5] = [".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".mha"];

/// The ending of a client's file.
///
/// # Errors
/// `bad_ending`
pub fn ending(part: &Part<'_>) -> Answer<&'static str> {
    let name = part.file.unwrap_or_default().to_ascii_lowercase();
    ENDINGS.into_iter().find(|ending| name.ends_with(ending)).ok_or_else(|| {
        let message = format!("Expected a file whose name ends in one of {}.", ENDINGS.join(", "));
        Refusal::senseless("bad_ending", message)
            .hint("save volumes as .nii.gz, which is what 3D Slicer does unless told otherwise")
    })
}

/// A client's file, written to a folder that goes when this does.
pub struct Temporary {
    folder: TempDir,
    ending: &'static str,
}

impl Temporary {
    /// # Errors
    /// `bad_ending`; what the disk says.
    pub fn write(part: &Part<'_>, work: &Path) -> Answer<Self> {
        let ending = ending(part)?;
        let failed = |e: std::io::Error| Error::io(work, "keep the file that was sent", &e);
        let folder = tempfile::Builder::new().prefix(".sent-").tempdir_in(work).map_err(failed)?;
        let temporary = Self { folder, ending };
        let path = temporary.path();
        std::fs::File::create(&path).and_then(|mut file| file.write_all(part.bytes)).map_err(failed)?;
        Ok(temporary)
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join(format!("sent{}", self.ending))
    }

    pub fn ending(&self) -> &'static str {
        self.ending
    }
}

/// Refuses a file whose header claims more voxels than that.
///
/// # Errors
/// `too_large`; as [`files::read_space`].
pub fn checked(path: &Path, most: usize) -> Answer<Space> {
    let space = files::read_space(path).map_err(unreadable)?;
    let count = space.shape.iter().try_fold(1_usize, |all, side| all.checked_mul(*side));
    if count.is_none_or(|count| count > most) {
        let message = format!("Expected {most} voxels at most, found the shape {:?}.", space.shape);
        return Err(Refusal::senseless("too_large", message));
    }
    Ok(space)
}

/// The refusal of a file that cannot be read, without the place where it lay.
pub fn unreadable(error: Error) -> Refusal {
    let message = format!("The file cannot be read: expected {}, found {}.", error.expected, error.found);
    let refusal = Refusal::senseless("unreadable", message);
    error.hint.into_iter().fold(refusal, Refusal::hint)
}
