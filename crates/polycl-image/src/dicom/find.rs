//! Which files are images of which series.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use dicom_dictionary_std::tags;
use polycl_base::{Error, Result};
use rayon::prelude::*;

use super::elements::text;
use super::found::{EMPTY, Found, NO_DICOM};
use super::scan::Element;
use super::series::Series;
use super::slice::{Shot, parse, shot};
use super::source::{Head, open};
use super::structures::Structures;
use crate::files;

/// Folders within folders that are looked into.
const DEPTH: usize = 64;

enum Seen {
    Image(Box<Shot>),
    Other(&'static str),
    Structures(&'static str, Box<Result<Structures>>),
    Damaged(Error),
    /// A file without a byte, as a broken copy leaves them.
    Empty(PathBuf),
}

/// All image series under a folder (nested) or of one file, sorted by UID. Files that are no DICOM, DICOMDIR
/// and objects that are no image (structured reports, contours, segmentations, presentation states) are passed
/// over and counted.
///
/// # Errors
/// `Io` where a folder or file cannot be read. Damaged DICOM files are no error here: see [`Found::damaged`].
pub fn find(path: &Path) -> Result<Found> {
    let mut files = Vec::new();
    let meta = std::fs::metadata(path).map_err(|e| Error::io(path, "read it", &e))?;
    if meta.is_dir() {
        list_all(path, &mut files)?
    } else {
        files.push(path.to_owned())
    }
    files.sort();
    let seen = files.par_iter().map(|file| look(file)).collect::<Result<Vec<_>>>()?;
    let mut series = BTreeMap::<String, Vec<Shot>>::new();
    let mut found =
        Found { series: Vec::new(), others: BTreeMap::new(), structures: Vec::new(), damaged: Vec::new() };
    let mut empty = Vec::new();
    for seen in seen {
        match seen {
            Seen::Empty(path) => empty.push(path),
            Seen::Image(shot) => series.entry(shot.series.clone()).or_default().push(*shot),
            Seen::Structures(reason, structures) => {
                *found.others.entry(reason.to_owned()).or_default() += 1;
                found.structures.push(*structures);
            }
            Seen::Other(reason) => *found.others.entry(reason.to_owned()).or_default() += 1,
            Seen::Damaged(error) => found.damaged.push(error),
        }
    }
    if !empty.is_empty() {
        found.others.insert(EMPTY.to_owned(), empty.len());
    }
    let broken: Vec<&Path> = found.damaged.iter().filter_map(Error::file).collect();
    let new = |(uid, shots)| Series::new(uid, path, shots, &broken, &empty);
    found.series = series.into_iter().map(new).collect();
    Ok(found)
}

/// All files under a folder. Links to folders are followed last, and no folder is listed twice: they may lead in a circle.
fn list_all(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let mut tree = Tree { seen: BTreeSet::new(), links: BTreeSet::new(), files };
    tree.list(folder, DEPTH)?;
    let root = folder.canonicalize().map_err(|e| Error::io(folder, "list the folder", &e))?;
    while let Some(link) = tree.links.pop_first() {
        // What lies above the folder was not asked for.
        let above = link.canonicalize().is_ok_and(|target| root.starts_with(target));
        if !above {
            tree.list(&link, DEPTH)?;
        }
    }
    Ok(())
}

struct Tree<'a> {
    /// Folders by their real places.
    seen: BTreeSet<PathBuf>,
    /// Links to folders that are still to be followed.
    links: BTreeSet<PathBuf>,
    files: &'a mut Vec<PathBuf>,
}

impl Tree<'_> {
    fn list(&mut self, folder: &Path, depth: usize) -> Result<()> {
        let failed = |e: std::io::Error| Error::io(folder, "list the folder", &e);
        if !self.seen.insert(folder.canonicalize().map_err(failed)?) {
            return Ok(());
        }
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() && depth > 0 {
                self.list(&path, depth - 1)?;
            } else if kind.is_symlink() && path.is_dir() {
                self.links.insert(path);
            } else if kind.is_file() || (kind.is_symlink() && path.is_file()) {
                self.files.push(path);
            }
        }
        Ok(())
    }
}

fn look(path: &Path) -> Result<Seen> {
    // Thousands of them may lie in one folder.
    if files::is_scan(path) {
        return Ok(Seen::Other(NO_DICOM));
    }
    let head = match open(path) {
        Ok(Some(head)) => head,
        Ok(None) if std::fs::metadata(path).is_ok_and(|meta| meta.len() == 0) => {
            return Ok(Seen::Empty(path.to_owned()));
        }
        Ok(None) => return Ok(Seen::Other(NO_DICOM)),
        Err(error) if error.kind == polycl_base::Kind::Io => return Err(error),
        Err(error) => return Ok(Seen::Damaged(error)),
    };
    Ok(match (other(path, &head), head.scan.pixels) {
        (Ok(Some(reason)), _) => match Structures::of(path, &head).transpose() {
            Some(structures) => Seen::Structures(reason, Box::new(structures)),
            None => Seen::Other(reason),
        },
        (Ok(None), None) => Seen::Other("DICOM objects without an image"),
        (Ok(None), Some(pixels)) => {
            shot(path, &head, pixels).map_or_else(Seen::Damaged, |shot| Seen::Image(Box::new(shot)))
        }
        (Err(error), _) => Seen::Damaged(error),
    })
}

/// What the file is, where it is no image to be read as a scan.
fn other(path: &Path, head: &Head) -> Result<Option<&'static str>> {
    let object =
        parse(path, head, |Element { tag, .. }| [tags::SOP_CLASS_UID, tags::MODALITY].contains(tag))?;
    let class = text(&object, tags::SOP_CLASS_UID);
    let storage = class.strip_prefix("1.2.840.10008.5.1.4.1.1.");
    let modality = text(&object, tags::MODALITY);
    Ok(match storage {
        Some("66.4" | "66.7") => Some("segmentations (SEG)"),
        Some("481.2") => Some("radiotherapy doses (RTDOSE)"),
        Some("481.3") => Some("contours (RTSTRUCT)"),
        Some("481.5" | "481.8") => Some("radiotherapy plans (RTPLAN)"),
        Some("30") => Some("parametric maps"),
        Some(code) if code.starts_with("88.") => Some("structured reports (SR)"),
        Some(code) if code.starts_with("11.") => Some("presentation states"),
        Some(code) if code.starts_with("104.") => Some("documents"),
        _ if head.start > 0 && is_directory(head) => Some("DICOMDIR"),
        _ => match modality.as_str() {
            "SEG" => Some("segmentations (SEG)"),
            "RTDOSE" => Some("radiotherapy doses (RTDOSE)"),
            "RTSTRUCT" => Some("contours (RTSTRUCT)"),
            "RTPLAN" => Some("radiotherapy plans (RTPLAN)"),
            _ => None,
        },
    })
}

/// A DICOMDIR begins with group 4.
fn is_directory(head: &Head) -> bool {
    head.scan.elements.first().is_some_and(|element| element.tag.0 == 4)
}
