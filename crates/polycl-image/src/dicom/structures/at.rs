//! An object as a person points at it: a file, or the folder that it lies in alone.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use polycl_base::{Error, Kind, Result, hex, some};
use sha2::{Digest, Sha256};

use super::Structures;
use crate::dicom::{Series, find};
use crate::files;

impl Structures {
    /// The object at a path; `None` for everything else, files that another format's name is on among it.
    ///
    /// # Errors
    /// As [`Self::open`]; [`Kind::Request`] for a folder with several objects.
    pub fn at(path: &Path) -> Result<Option<Self>> {
        if files::is_scan(path) && !path.is_dir() {
            return Ok(None);
        }
        if path.is_file() {
            return Self::open(path);
        }
        // Folders of files with names of other formats hold those.
        if !path.is_dir() || !files::scans(path)?.is_empty() {
            return Ok(None);
        }
        let mut found = find(path)?.structures;
        match found.len() {
            0 => Ok(None),
            1 => found.remove(0).map(Some),
            _ => {
                let objects = found.iter().flatten();
                Err(Error::new(
                    path,
                    Kind::Request,
                    "one DICOM segmentation or set of contours",
                    list(objects),
                )
                .hint("name one of the files"))
            }
        }
    }

    /// Holds the object to a series that it is to be drawn on: a sentence where it was drawn on another one in the same place,
    /// or where images are missing that it refers to.
    ///
    /// # Errors
    /// [`Kind::Pairing`] where it was drawn on another scan.
    pub fn belongs(&self, series: &Series) -> Result<Option<String>> {
        let frames = &self.frames_of_reference;
        let same_frame = frames.contains(&series.frame_of_reference);
        let unknown = frames.is_empty() || series.frame_of_reference.is_empty();
        if self.series.contains(&series.uid) || (self.series.is_empty() && (same_frame || unknown)) {
            let there: BTreeSet<&str> = series.uids().collect();
            let missing = self.instances.iter().filter(|uid| !there.contains(uid.as_str())).count();
            return Ok(
                (missing > 0).then(|| format!("images that the object refers to are missing: {missing}"))
            );
        }
        if same_frame {
            return Ok(Some("drawn on another series of the same place".to_owned()));
        }
        let theirs: Vec<&str> = self.series.iter().map(String::as_str).collect();
        let found = if theirs.is_empty() {
            "another frame of reference".to_owned()
        } else {
            format!("one of {}", some(&theirs))
        };
        Err(Error::new(&self.path, Kind::Pairing, format!("a mask of the series {}", series.uid), found)
            .hint("name the scan that it was drawn on"))
    }

    /// The SHA-256 (lower-case hex) of the file's bytes.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub fn sha256(&self) -> Result<String> {
        let failed = |e: std::io::Error| Error::io(&self.path, "read it", &e);
        let mut sha256 = Sha256::new();
        std::io::copy(&mut File::open(&self.path).map_err(failed)?, &mut sha256).map_err(failed)?;
        Ok(hex(&sha256.finalize()))
    }

    /// An object in a line.
    pub fn line(&self) -> String {
        let names: Vec<String> = self.list.iter().map(|structure| structure.name.clone()).collect();
        let label = if self.label.is_empty() { "no label" } else { &self.label };
        let made = self.made.get(..8).unwrap_or("no date");
        format!("{}  {label}, {}, {made}: {}", self.uid, self.storage, some(&names))
    }
}

/// A line for each object.
pub fn list<'a>(objects: impl Iterator<Item = &'a Structures>) -> String {
    let lines: Vec<String> = objects.map(|object| format!("\n  {}", object.line())).collect();
    format!("{}:{}", lines.len(), lines.concat())
}
