//! The slice store, a Zarr v3 group: one group per case with the arrays `image` and, where it is
//! labelled, `mask`, each u16 [slices, size, size]. A scan is one file (a shard) in which every
//! slice is compressed by itself, so a slice is read with one seek. Any Zarr v3 reader opens it.
//!
//! Specification: <https://zarr-specs.readthedocs.io/en/latest/v3/core/> and its sharding codec.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use polycl_base::{Error, Kind, Result};
use zarrs::array::codec::api::BytesToBytesCodecTraits;
use zarrs::array::codec::{Crc32cCodec, ZstdCodec};
use zarrs::array::{Array, ArrayBuilder, ArrayMetadata, CodecOptions, data_type};
use zarrs::filesystem::FilesystemStore;
use zarrs::group::GroupBuilder;

pub(super) const IMAGE: &str = "image";
pub(super) const MASK: &str = "mask";

/// The one file of an array's slices, by the standard's naming of chunks.
const SHARD: &str = "c/0/0/0";

/// Fast to write and nearly as small as the slower levels: noise does not compress.
const ZSTD_LEVEL: i32 = 1;

/// The mark in the table of slices of a slice that is all zeros, such as a mask's often are.
const NOT_STORED: [u64; 2] = [u64::MAX; 2];

/// The store of a data set: the folder `slices.zarr`.
#[derive(Clone)]
pub(super) struct Storage {
    dir: PathBuf,
    files: Arc<FilesystemStore>,
}

pub(super) fn folder(dataset: &Path) -> PathBuf {
    dataset.join("slices.zarr")
}

pub(super) fn array_path(case: &str, array: &str) -> String {
    format!("/{case}/{array}")
}

impl Storage {
    fn new(dataset: &Path) -> Result<Self> {
        let dir = folder(dataset);
        let files = FilesystemStore::new(&dir)
            .map_err(|e| Error::caused(&dir, Kind::Io, "open the folder of slices", e))?;
        Ok(Self { dir, files: Arc::new(files) })
    }

    /// # Errors
    /// [`Kind::Io`] where there is none.
    pub(super) fn open(dataset: &Path) -> Result<Self> {
        let storage = Self::new(dataset)?;
        if storage.dir.is_dir() {
            return Ok(storage);
        }
        Err(Error::new(&storage.dir, Kind::Io, "open the slices of the data set", "no such folder"))
    }

    /// The file of an array or group.
    fn file(&self, path: &str) -> PathBuf {
        self.dir.join(path.trim_start_matches('/'))
    }

    fn broken(&self, path: &str, found: impl ToString) -> Error {
        Error::new(self.file(path), Kind::Format, "the slices that the index lists", found.to_string())
            .hint("import the data set again: it is damaged")
    }
}

/// The packing of a slice's bytes: compressed, with a checksum over the compressed bytes.
fn compression() -> Vec<Arc<dyn BytesToBytesCodecTraits>> {
    vec![Arc::new(ZstdCodec::new(ZSTD_LEVEL, false)), Arc::new(Crc32cCodec::new())]
}

/// The array's description before anything is stored in it.
fn describe(storage: &Storage, path: &str, [slices, size]: [usize; 2]) -> Result<Array<FilesystemStore>> {
    let shape = [slices as u64, size as u64, size as u64];
    ArrayBuilder::new(shape.to_vec(), shape.to_vec(), data_type::uint16(), 0u16)
        .subchunk_shape(vec![1, shape[1], shape[2]])
        .bytes_to_bytes_codecs(compression())
        .dimension_names(["slice", "y", "x"].into())
        .build(storage.files.clone(), path)
        .map_err(|e| storage.broken(path, e))
}

/// Writes the arrays of a new data set.
pub(super) struct Writer(Storage);

impl Writer {
    pub(super) fn create(dataset: &Path) -> Result<Self> {
        let writer = Self(Storage::new(dataset)?);
        writer.group("/")?;
        Ok(writer)
    }

    /// Begins a case, anew where a process was killed over it.
    pub(super) fn case(&self, case: &str) -> Result<()> {
        let path = format!("/{case}");
        match std::fs::remove_dir_all(self.0.file(&path)) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(self.failed(&path, e)),
            _ => self.group(&path),
        }
    }

    fn group(&self, path: &str) -> Result<()> {
        let group =
            GroupBuilder::new().build(self.0.files.clone(), path).map_err(|e| self.failed(path, e))?;
        group.store_metadata().map_err(|e| self.failed(path, e))
    }

    /// Stores all slices of a scan, [slices, size, size].
    pub(super) fn write(&self, path: &str, shape: [usize; 2], values: Vec<u16>) -> Result<()> {
        let array = describe(&self.0, path, shape)?;
        array.store_metadata().map_err(|e| self.failed(path, e))?;
        // A file is written even where nothing is drawn: one that is missing is then known to be lost.
        // Threads would put their slices into the file in the order in which they finish.
        let options = CodecOptions::default().with_store_empty_chunks(true).with_concurrent_target(1);
        array.store_chunk_opt(&[0, 0, 0], values, &options).map_err(|e| self.failed(path, e))?;
        // What is noted down as stored must be so after a power cut, too.
        let file = self.0.file(path).join(SHARD);
        File::open(&file).and_then(|file| file.sync_all()).map_err(|e| self.failed(path, e))
    }

    fn failed(&self, path: &str, cause: impl std::error::Error + Send + Sync + 'static) -> Error {
        Error::caused(self.0.file(path), Kind::Io, "write it", cause)
    }
}

/// One array, opened for reading slice by slice.
pub(super) struct Slices {
    storage: Storage,
    /// Place of each slice in the file, read once: its first byte and its number of bytes.
    table: OnceLock<Vec<[u64; 2]>>,
    path: String,
    /// The file of all slices.
    file: PathBuf,
    /// The same, where it stays open.
    kept: OnceLock<Option<Kept>>,
    slices: usize,
    /// Pixels of a slice.
    pixels: usize,
}

impl Slices {
    /// Opens the array at `path` if it is exactly what we would have written for this shape.
    /// Nothing is allocated by the file's own word: the metadata must equal ours, and the file
    /// must be long enough for the table of its slices.
    pub(super) fn open(storage: &Storage, path: &str, shape: [usize; 2]) -> Result<Self> {
        let array = Array::open(storage.files.clone(), path).map_err(|e| storage.broken(path, e))?;
        let expected = describe(storage, path, shape)?;
        if !same_layout(array.metadata(), expected.metadata()) {
            return Err(storage.broken(path, format!("another layout, {}", array.metadata())));
        }
        let file = storage.file(path).join(SHARD);
        let length = std::fs::metadata(&file).map_err(|e| Error::io(&file, "read slices", &e))?.len();
        if length / 16 < shape[0] as u64 {
            return Err(storage.broken(path, format!("a file of {length} bytes")));
        }
        Ok(Self {
            storage: storage.clone(),
            table: OnceLock::new(),
            path: path.to_owned(),
            file,
            kept: OnceLock::new(),
            slices: shape[0],
            pixels: shape[1] * shape[1],
        })
    }

    pub(super) fn read(&self, slice: usize) -> Result<Vec<u16>> {
        if slice >= self.slices {
            let found = format!("{} slices", self.slices);
            return Err(Error::new(&self.file, Kind::Request, format!("slice {slice}"), found));
        }
        let damaged = |e: io::Error| self.storage.broken(&self.path, format!("slice {slice}: {e}"));
        let range = self.table().map_err(damaged)?[slice];
        if range == NOT_STORED {
            return Ok(vec![0; self.pixels]);
        }
        // No compressor makes a slice larger than this; a table that does has all of them be the whole file.
        let most = zstd::zstd_safe::compress_bound(2 * self.pixels) as u64 + 4;
        if range[1] > most {
            return Err(damaged(invalid(format!("{} bytes, which are at most {most}", range[1]))));
        }
        let packed = self.opened(|file| file.bytes(range)).map_err(damaged)?;
        unpack(&packed, self.pixels).map_err(damaged)
    }

    /// The table at the end of the file, which [`Self::open`] has seen to be that long.
    fn table(&self) -> io::Result<&[[u64; 2]]> {
        if let Some(table) = self.table.get() {
            return Ok(table);
        }
        let size = 16 * self.slices as u64 + 4;
        let bytes = self.opened(|file| {
            let start = file.length.checked_sub(size).ok_or_else(|| invalid("no table"))?;
            file.bytes([start, size])
        })?;
        let (numbers, _) = unchanged(&bytes)?.as_chunks::<8>();
        let (ranges, _) = numbers.as_chunks();
        let range = |&[start, count]: &[_; 2]| [u64::from_le_bytes(start), u64::from_le_bytes(count)];
        Ok(self.table.get_or_init(|| ranges.iter().map(range).collect()))
    }

    /// Reads from the file.
    fn opened<T>(&self, read: impl Fn(&Opened) -> io::Result<T>) -> io::Result<T> {
        match self.kept.get_or_init(|| Kept::open(&self.file)) {
            // A file system may give a file up that was open when its server went, or when it was replaced.
            Some(Kept(file)) => read(file).or_else(|_| read(&Opened::at(&self.file)?)),
            None => read(&Opened::at(&self.file)?),
        }
    }
}

/// A file that stays open, so that a slice of it costs one read: to open a file is what parallel file systems are slow at.
struct Kept(Opened);

/// A file, and the length that it had when it was opened.
struct Opened {
    file: File,
    length: u64,
}

/// The files that stay open.
static KEPT: AtomicUsize = AtomicUsize::new(0);

/// The most files that stay open: half of those that the system allows a process.
fn most_kept() -> usize {
    static MOST: OnceLock<usize> = OnceLock::new();
    *MOST.get_or_init(|| {
        if !cfg!(unix) {
            // Threads would move each other's place in the file.
            return 0;
        }
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let row = limits.lines().find_map(|row| row.strip_prefix("Max open files"));
        let soft = row.and_then(|row| row.split_whitespace().next()?.parse().ok());
        // macOS, which does not say, allows 256.
        (soft.unwrap_or(256_usize) / 2).min(512)
    })
}

impl Kept {
    fn open(file: &Path) -> Option<Self> {
        if KEPT.fetch_add(1, Ordering::Relaxed) < most_kept()
            && let Ok(file) = Opened::at(file)
        {
            return Some(Self(file));
        }
        KEPT.fetch_sub(1, Ordering::Relaxed);
        None
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        KEPT.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Opened {
    fn at(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        Ok(Self { length: file.metadata()?.len(), file })
    }

    /// Reads a range of the file, if the file is that long.
    fn bytes(&self, [start, count]: [u64; 2]) -> io::Result<Vec<u8>> {
        let Self { file, length } = self;
        if start.checked_add(count).is_none_or(|end| end > *length) {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, format!("the file ends at {length}")));
        }
        let mut bytes = vec![0; usize::try_from(count).map_err(|_| invalid("more than memory can hold"))?];
        #[cfg(unix)]
        std::os::unix::fs::FileExt::read_exact_at(file, &mut bytes, start)?;
        #[cfg(not(unix))]
        {
            use std::io::{Read, Seek, SeekFrom};
            let mut file = file;
            file.seek(SeekFrom::Start(start))?;
            file.read_exact(&mut bytes)?;
        }
        Ok(bytes)
    }
}

/// Unpacks the bytes of a whole slice. zarrs is not asked to, nor where slices lie: it passes over checksums and
/// believes offsets, and its decompressor takes as much memory as the data say that they will need.
fn unpack(packed: &[u8], pixels: usize) -> io::Result<Vec<u16>> {
    let bytes = zstd::bulk::decompress(unchanged(packed)?, 2 * pixels)?;
    if bytes.len() != 2 * pixels {
        return Err(invalid(format!("{} bytes, not {}", bytes.len(), 2 * pixels)));
    }
    let (values, _) = bytes.as_chunks();
    Ok(values.iter().map(|&value| u16::from_le_bytes(value)).collect())
}

/// Bytes without the checksum behind them, if it is theirs.
fn unchanged(bytes: &[u8]) -> io::Result<&[u8]> {
    match bytes.split_last_chunk() {
        Some((bytes, checksum)) if crc32c::crc32c(bytes) == u32::from_le_bytes(*checksum) => Ok(bytes),
        _ => Err(invalid("another checksum")),
    }
}

fn invalid(found: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, found.into())
}

fn same_layout(found: &ArrayMetadata, expected: &ArrayMetadata) -> bool {
    let (ArrayMetadata::V3(found), ArrayMetadata::V3(expected)) = (found, expected) else {
        return false;
    };
    found.shape == expected.shape
        && found.data_type == expected.data_type
        && found.chunk_grid == expected.chunk_grid
        && found.chunk_key_encoding == expected.chunk_key_encoding
        && found.codecs == expected.codecs
        && found.storage_transformers == expected.storage_transformers
}
