//! The progress of an import: `import.jsonl` in the data set's folder, a line for what holds of
//! all scans and a line for each scan that is stored. It becomes `index.json` in the end, so that
//! no data set can be opened whose import was killed, and no scan has to be imported twice.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use polycl_base::lock::{self, Lock};
use polycl_base::{Error, Kind, Result, output};
use polycl_image::names::Names;
use polycl_image::preprocess::Preprocess;
use serde::{Deserialize, Serialize};

use super::index::check_case;
use super::pair::{Label, Pair};
use super::{Index, Painting, Regions, Scan, VERSION, shard};

const FILE: &str = "import.jsonl";

/// The facts that hold of all scans, as in [`Index`].
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    polycl_dataset: u32,
    preprocess: Preprocess,
    labels: Names,
    #[serde(default, skip_serializing_if = "Regions::is_empty")]
    regions: Regions,
    #[serde(default, skip_serializing_if = "Painting::is_empty")]
    painting: Painting,
}

impl Head {
    pub(super) fn new(
        preprocess: Preprocess,
        labels: Names,
        (regions, painting): (Regions, Painting),
    ) -> Self {
        Self { polycl_dataset: VERSION, preprocess, labels, regions, painting }
    }

    fn of(index: &Index) -> Self {
        let regions = (index.regions.clone(), index.painting.clone());
        Self::new(index.preprocess.clone(), index.labels.clone(), regions)
    }

    /// Refuses to go on with what was begun in another way.
    pub(super) fn check(&self, begun: &Self, file: &Path) -> Result<()> {
        let list = |names: &Names| {
            let named = names.iter().map(|(value, name)| format!("{value}={name}"));
            let named = named.collect::<Vec<_>>().join(",");
            if named.is_empty() { "no label".to_owned() } else { format!("the labels {named}") }
        };
        let refused = |expected: String, found: String| {
            Err(Error::new(file, Kind::Request, expected, found)
                .hint("use the flags of the import that was begun, or import to another folder"))
        };
        if begun.polycl_dataset != VERSION {
            return refused(format!("version {VERSION} of the layout"), begun.polycl_dataset.to_string());
        }
        if begun.preprocess != self.preprocess {
            return refused(format!("{:?}", begun.preprocess), format!("{:?}", self.preprocess));
        }
        if begun.labels != self.labels {
            return refused(list(&begun.labels), list(&self.labels));
        }
        if begun.regions != self.regions {
            return refused(format!("the regions {:?}", begun.regions), format!("{:?}", self.regions));
        }
        // Earlier versions did not keep it.
        if begun.painting != self.painting && !begun.painting.is_empty() {
            return refused(
                format!("regions painted as {:?}", begun.painting),
                format!("{:?}", self.painting),
            );
        }
        Ok(())
    }
}

/// The journal of an import that is under way; no other process can write the data set.
pub(super) struct Journal {
    dir: PathBuf,
    file: File,
    head: Head,
    scans: Vec<Scan>,
    lock: Lock,
}

/// True if an import was begun in a folder and has not ended.
pub(super) fn unfinished(dir: &Path) -> bool {
    dir.join(FILE).is_file()
}

impl Journal {
    /// Begins in a folder that is new or empty or, to `go_on`, with what an import has left there.
    pub(super) fn open(dir: &Path, head: Head, go_on: bool) -> Result<Self> {
        let path = dir.join(FILE);
        let failed = |e: std::io::Error| {
            // By its kind alone, as for all folders that are written.
            Error::io(dir, "write a folder", &e.kind().into()).hint("choose a place that can be written to")
        };
        let found = Found::at(dir);
        let refused = |found: &str, hint: &str| {
            Err(Error::new(dir, Kind::Request, "a new folder to write to", found).hint(hint))
        };
        match found {
            Found::Begun if !go_on => {
                return refused(
                    "an import that has not ended",
                    "resume the import with --continue, or remove the folder",
                );
            }
            Found::Ended if !go_on => {
                let hint = "choose another name, remove what is there, or add scans to it with --continue";
                return refused("a data set", hint);
            }
            Found::Other => {
                let hint = "choose another name, or remove what is there";
                return refused("a file or folder that is there already", hint);
            }
            _ => {}
        }
        fs::create_dir_all(dir).map_err(failed)?;
        let lock = lock::hold(dir, lock::FILE)?;
        // Only now does nobody else change what is there.
        let scans = match Found::at(dir) {
            Found::Begun => begun(&path, &head)?,
            Found::Ended => {
                let index = Index::read(dir)?;
                head.check(&Head::of(&index), &Index::path(dir))?;
                index.scans
            }
            Found::Nothing | Found::Other => Vec::new(),
        };
        output::atomically(&path, |file| {
            write_line(file, &head)?;
            scans.iter().try_for_each(|scan| write_line(file, scan))
        })?;
        let file = File::options().append(true).open(&path).map_err(|e| Error::io(&path, "write it", &e))?;
        Ok(Self { dir: dir.to_path_buf(), file, head, scans, lock })
    }

    pub(super) fn scans(&self) -> &[Scan] {
        &self.scans
    }

    /// True if a scan is stored and its files are still the same ones. Those whose organs are not kept
    /// are none of its masks.
    pub(super) fn has(&self, pair: &Pair, keeps: impl Fn(&str) -> bool) -> bool {
        let Some(scan) = self.scans.iter().find(|scan| scan.case == pair.case) else { return false };
        let masks: Vec<&Path> = match &pair.label {
            None => Vec::new(),
            Some(Label::Map(_, legend)) if !legend.names.values().any(|name| keeps(name)) => Vec::new(),
            Some(Label::Map(path, _)) => vec![path],
            Some(Label::Structures(files)) => {
                files.iter().filter(|(name, _)| keeps(name)).map(|(_, path)| path.as_path()).collect()
            }
        };
        scan.image.path == pair.image.path()
            && scan.image.trust == pair.image.trust()
            && scan.masks.iter().all(|mask| mask.reading() == pair.reading)
            && scan.patient == pair.patient
            && scan.domain == pair.domain
            && pair.origin.is_none_or(|origin| origin == scan.origin)
            && scan.masks.iter().map(|mask| mask.path.as_path()).eq(masks)
    }

    /// Refuses to go on where another process has taken the folder over.
    ///
    /// # Errors
    /// As [`Lock::check`].
    pub(super) fn check(&self) -> Result<()> {
        self.lock.check()
    }

    /// Notes that a scan is stored, in the place of one of the same case.
    pub(super) fn add(&mut self, scan: Scan) -> Result<()> {
        let path = self.dir.join(FILE);
        write_line(&mut self.file, &scan)
            .and_then(|()| self.file.sync_data())
            .map_err(|e| Error::io(path, "write it", &e))?;
        self.scans.retain(|other| other.case != scan.case);
        self.scans.push(scan);
        Ok(())
    }

    /// The index of the data set so far.
    pub(super) fn index(&self) -> Index {
        let mut scans = self.scans.clone();
        scans.sort_by(|a, b| a.case.cmp(&b.case));
        let Head { preprocess, labels, regions, painting, .. } = self.head.clone();
        Index { polycl_dataset: VERSION, preprocess, labels, regions, painting, scans }
    }

    /// Makes the folder a data set.
    pub(super) fn finish(self) -> Result<Index> {
        let index = self.index();
        index.write(&self.dir)?;
        let path = self.dir.join(FILE);
        fs::remove_file(&path).map_err(|e| Error::io(path, "remove it", &e))?;
        Ok(index)
    }

    /// Leaves nothing of an import that came to nothing, and all that was there before; the reason, or that
    /// there was nothing to do.
    pub(super) fn abandon(self, reason: Option<Error>) -> Error {
        let reason = reason.unwrap_or_else(|| Error::new(&self.dir, Kind::Pairing, "scans", "no scan"));
        if !self.scans.is_empty() {
            return reason;
        }
        // What cannot be removed is in nobody's way.
        let _ = fs::remove_file(self.dir.join(FILE));
        let _ = fs::remove_dir_all(super::store::folder(&self.dir));
        drop(self.lock);
        let _ = fs::remove_dir(&self.dir);
        reason
    }
}

/// The content of a folder that is to become a data set.
enum Found {
    Nothing,
    Begun,
    Ended,
    Other,
}

impl Found {
    fn at(dir: &Path) -> Self {
        // A link that leads nowhere is there, too.
        if dir.symlink_metadata().is_err() {
            return Self::Nothing;
        }
        if unfinished(dir) {
            return Self::Begun;
        }
        if Index::path(dir).is_file() {
            return Self::Ended;
        }
        // What a killed process leaves of its own begins so; shards are there while they are merged.
        let shards = shard::beginning(dir).is_file().then(|| shard::folder(dir));
        let own = |entry: fs::DirEntry| {
            entry.file_name().to_string_lossy().starts_with(".polycl") || shards == Some(entry.path())
        };
        let empty = fs::read_dir(dir).is_ok_and(|mut entries| entries.all(|entry| entry.is_ok_and(own)));
        if empty { Self::Nothing } else { Self::Other }
    }
}

/// The facts that hold of all scans of an import that is not a data set yet, and its scans so far.
pub(super) fn read(dir: &Path) -> Result<(Head, Vec<Scan>)> {
    parsed(&dir.join(FILE))
}

/// The scans of a journal that was broken off, which must have been begun in the same way.
fn begun(path: &Path, head: &Head) -> Result<Vec<Scan>> {
    let (found, scans) = parsed(path)?;
    head.check(&found, path)?;
    Ok(scans)
}

/// A whole journal, of which the last line may be torn.
fn parsed(path: &Path) -> Result<(Head, Vec<Scan>)> {
    let text = fs::read(path).map_err(|e| Error::io(path, "read it", &e))?;
    let unreadable = |found: String| {
        Error::new(path, Kind::Format, "the record of an unfinished import", found)
            .hint("remove the folder and import again")
    };
    let mut lines = text.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n"));
    // Written whole before anything else, so that it is there unless somebody has changed it.
    let first = lines.next().ok_or_else(|| unreadable("no line".to_owned()))?;
    let head: Head = serde_json::from_slice(first).map_err(|e| unreadable(e.to_string()).because(e))?;
    let mut scans: Vec<Scan> = Vec::new();
    for line in lines {
        let scan: Scan = serde_json::from_slice(line).map_err(|e| unreadable(e.to_string()).because(e))?;
        // A case is a folder's name.
        check_case(&scan.case).map_err(&unreadable)?;
        scans.retain(|other| other.case != scan.case);
        scans.push(scan);
    }
    Ok((head, scans))
}

fn write_line(file: &mut impl Write, value: &impl Serialize) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    file.write_all(&line)
}
