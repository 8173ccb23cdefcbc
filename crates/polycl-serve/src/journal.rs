//! A scan's document on disk: a snapshot, and a journal of what was done since. An entry is on disk before anybody is
//! told that it was done; a torn one at the end is one that nobody was told of.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use polycl_base::{Error, Kind, Result, output};

use crate::document::{Document, Entry, Facts};
use crate::runs;

const SNAPSHOT: &str = "snapshot";
const JOURNAL: &str = "journal";
/// The first bytes of a snapshot; the digit is raised where older ones cannot be read.
const MAGIC: &[u8; 8] = b"polyclw1";
/// Bytes of a journal from which it is worth a new snapshot.
const LONG: u64 = 16 << 20;

/// A folder that holds a document.
pub struct Journal {
    folder: PathBuf,
    file: File,
    length: u64,
}

/// The facts of a document in a folder; nothing where there is none.
///
/// # Errors
/// [`Kind::Format`] for a snapshot that is none, [`Kind::Io`].
pub fn facts(folder: &Path) -> Result<Option<Facts>> {
    let path = folder.join(SNAPSHOT);
    let Some(mut file) = existing(&path)? else { return Ok(None) };
    head(&mut file, &path).map(Some)
}

/// True if something was done since the snapshot.
pub fn is_behind(folder: &Path) -> bool {
    folder.join(JOURNAL).metadata().is_ok_and(|data| data.len() > 0)
}

impl Journal {
    /// Opens the document of a folder, or begins one. Entries that follow the snapshot are done again.
    ///
    /// # Errors
    /// As [`facts`].
    pub fn open(folder: &Path, new: impl FnOnce() -> Document) -> Result<(Self, Document)> {
        let failed = |e: io::Error| Error::io(folder, "keep what is drawn in it", &e);
        fs::create_dir_all(folder).map_err(failed)?;
        let mut document = match load(&folder.join(SNAPSHOT))? {
            Some(document) => document,
            None => {
                let document = new();
                save(&folder.join(SNAPSHOT), &document)?;
                document
            }
        };
        let path = folder.join(JOURNAL);
        let mut options = File::options();
        let file = options.create(true).truncate(false).read(true).write(true).open(&path);
        let mut journal = Self { folder: folder.to_path_buf(), file: file.map_err(failed)?, length: 0 };
        journal.replay(&mut document).map_err(failed)?;
        Ok((journal, document))
    }

    /// Does again what was done since the snapshot, and cuts off what a kill has left half written.
    fn replay(&mut self, document: &mut Document) -> io::Result<()> {
        let mut bytes = Vec::new();
        self.file.read_to_end(&mut bytes)?;
        let mut rest = bytes.as_slice();
        while let Some((entry, length)) = entry(rest) {
            rest = &rest[length..];
            // A kill between snapshot and journal leaves entries that the snapshot holds.
            if entry.revision > document.facts.revision {
                document.apply(entry);
            }
        }
        self.length = (bytes.len() - rest.len()) as u64;
        if !rest.is_empty() {
            self.file.set_len(self.length)?;
        }
        Ok(())
    }

    /// Stores an entry; once this returns it outlives a kill.
    ///
    /// # Errors
    /// [`Kind::Io`]; the journal is then as it was before.
    pub fn append(&mut self, entry: &Entry) -> Result<()> {
        let payload = serde_json::to_vec(entry).expect("entries are plain data");
        let mut frame = Vec::with_capacity(payload.len() + 8);
        frame.extend((payload.len() as u32).to_le_bytes());
        frame.extend(crc32c::crc32c(&payload).to_le_bytes());
        frame.extend(payload);
        let written = self
            .file
            .seek(SeekFrom::Start(self.length))
            .and_then(|_| self.file.write_all(&frame))
            .and_then(|()| self.file.sync_data());
        if let Err(e) = written {
            // Where this fails, too, the checksum tells.
            let _ = self.file.set_len(self.length);
            return Err(Error::io(&self.folder, "store the change", &e));
        }
        self.length += frame.len() as u64;
        Ok(())
    }

    pub fn is_long(&self) -> bool {
        self.length > LONG
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Writes a snapshot, and empties the journal.
    ///
    /// # Errors
    /// [`Kind::Io`]
    pub fn fold(&mut self, document: &Document) -> Result<()> {
        if self.length == 0 {
            return Ok(());
        }
        save(&self.folder.join(SNAPSHOT), document)?;
        let emptied = self.file.set_len(0).and_then(|()| self.file.sync_data());
        emptied.map_err(|e| Error::io(&self.folder, "store the change", &e))?;
        self.length = 0;
        Ok(())
    }
}

/// The first entry in some bytes and its length; nothing where there is no whole one.
fn entry(bytes: &[u8]) -> Option<(Entry, usize)> {
    let head = bytes.get(..8)?;
    let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    let checksum = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    let payload = bytes.get(8..length.checked_add(8)?)?;
    if crc32c::crc32c(payload) != checksum {
        return None;
    }
    Some((serde_json::from_slice(payload).ok()?, length + 8))
}

fn existing(path: &Path) -> Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(path, "read it", &e)),
    }
}

fn save(path: &Path, document: &Document) -> Result<()> {
    let parts = [
        serde_json::to_vec(&document.facts).expect("facts are plain data"),
        runs::encode(document.mask.iter().copied()),
    ];
    output::atomically(path, |file| {
        file.write_all(MAGIC)?;
        for part in &parts {
            file.write_all(&(part.len() as u64).to_le_bytes())?;
            file.write_all(&crc32c::crc32c(part).to_le_bytes())?;
            file.write_all(part)?;
        }
        let history = (&document.undo, &document.redo);
        serde_json::to_writer(file, &history).map_err(io::Error::from)
    })
}

fn load(path: &Path) -> Result<Option<Document>> {
    let Some(mut file) = existing(path)? else { return Ok(None) };
    let facts = head(&mut file, path)?;
    let mask = part(&mut file, path)?;
    let wrong = |found: &str| Error::new(path, Kind::Format, "a snapshot of what was drawn", found);
    let mask = runs::decode(&mask, facts.shape.iter().product()).ok_or_else(|| wrong("other voxels"))?;
    let mut rest = Vec::new();
    file.read_to_end(&mut rest).map_err(|e| Error::io(path, "read it", &e))?;
    let (undo, redo) = serde_json::from_slice(&rest).map_err(|e| wrong("no history").because(e))?;
    Ok(Some(Document { facts, mask, undo, redo }))
}

fn head(file: &mut File, path: &Path) -> Result<Facts> {
    let wrong = |found: &str| Error::new(path, Kind::Format, "a snapshot of what was drawn", found);
    let mut magic = [0; 8];
    file.read_exact(&mut magic).map_err(|e| Error::io(path, "read it", &e))?;
    if magic != *MAGIC {
        return Err(wrong("a file of another kind or version"));
    }
    serde_json::from_slice(&part(file, path)?).map_err(|e| wrong("other facts").because(e))
}

fn part(file: &mut File, path: &Path) -> Result<Vec<u8>> {
    let mut head = [0; 12];
    file.read_exact(&mut head).map_err(|e| Error::io(path, "read it", &e))?;
    let length = u64::from_le_bytes([head[0], head[1], head[2], head[3], head[4], head[5], head[6], head[7]]);
    let mut bytes = Vec::new();
    let read = file.take(length).read_to_end(&mut bytes).map_err(|e| Error::io(path, "read it", &e))?;
    let sound = read as u64 == length && crc32c::crc32c(&bytes).to_le_bytes() == head[8..];
    if !sound {
        return Err(Error::new(path, Kind::Truncated, "a snapshot of what was drawn", "a damaged one"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use polycl_base::Kind;

    use super::*;
    use crate::document::{Act, Author};
    use crate::step::{Step, What, changes};

    fn document() -> Document {
        Document::new([4, 3, 2], [1.0; 3], Vec::new(), String::new())
    }

    fn author() -> Author {
        Author { tab: "tab".to_owned(), who: None }
    }

    fn stroke(document: &Document, voxels: std::ops::Range<usize>, label: u16) -> Entry {
        let changes = changes(&document.mask, voxels.map(|at| (at, label)));
        let step = Step {
            what: What::Stroke,
            changes,
            marks: Default::default(),
            machines: Default::default(),
            label: None,
            review: None,
            removes: None,
        };
        document.entry(&author(), Some(document.facts.revision), Act::Step(step))
    }

    fn act(journal: &mut Journal, document: &mut Document, entry: Entry) {
        journal.append(&entry).unwrap();
        document.apply(entry);
    }

    #[test]
    fn what_was_acknowledged_is_there_after_a_kill() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, mut own) = Journal::open(folder.path(), document).unwrap();
        for (voxels, label) in [(0..5, 1), (3..9, 2), (20..24, 1)] {
            let entry = stroke(&own, voxels, label);
            act(&mut journal, &mut own, entry);
        }
        let undo = own.entry(&author(), None, Act::Undo);
        act(&mut journal, &mut own, undo);
        assert_eq!(own.mask[..10], [1, 1, 1, 2, 2, 2, 2, 2, 2, 0]);
        assert_eq!(own.mask[20], 0);
        // Killed while it wrote another entry, of which any part may be there.
        let path = folder.path().join(JOURNAL);
        let whole = fs::read(&path).unwrap();
        for torn in 1..40 {
            fs::write(&path, [&whole[..], &whole[..torn]].concat()).unwrap();
            let (_, again) = Journal::open(folder.path(), document).unwrap();
            assert_eq!(again, own);
            assert_eq!(fs::read(&path).unwrap(), whole);
        }
        // And between the snapshot and the journal that it makes needless.
        journal.fold(&own).unwrap();
        fs::write(&path, &whole).unwrap();
        let (mut journal, mut again) = Journal::open(folder.path(), document).unwrap();
        assert_eq!(again, own);
        let redo = again.entry(&author(), None, Act::Redo);
        act(&mut journal, &mut again, redo);
        assert_eq!(again.mask[20..], [1; 4]);
        assert_eq!(Journal::open(folder.path(), document).unwrap().1, again);
    }

    #[test]
    fn a_full_disk_is_told_and_nothing_changes() {
        if !Path::new("/dev/full").exists() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, own) = Journal::open(folder.path(), document).unwrap();
        journal.file = File::options().write(true).open("/dev/full").unwrap();
        let error = journal.append(&stroke(&own, 0..3, 1)).unwrap_err();
        assert_eq!(error.kind, Kind::Io);
        assert!(error.hint.unwrap().contains("free some space"));
        assert_eq!(journal.length, 0);
    }

    #[test]
    fn a_damaged_snapshot_is_told() {
        let folder = tempfile::tempdir().unwrap();
        Journal::open(folder.path(), document).unwrap();
        let path = folder.path().join(SNAPSHOT);
        let mut bytes = fs::read(&path).unwrap();
        bytes[30] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(facts(folder.path()).unwrap_err().kind, Kind::Truncated);
    }
}
