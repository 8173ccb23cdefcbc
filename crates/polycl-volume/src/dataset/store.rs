//! The slice store, a Zarr v3 group: one group per case with the arrays `image` and, where it is
//! labelled, `mask`, each u16 [slices, size, size]. A scan is one file (a shard) in which every
//! slice is compressed by itself, so a slice is read with one seek. Any Zarr v3 reader opens it.
//!
//! Specification: <https://zarr-specs.readthedocs.io/en/latest/v3/core/> and its sharding codec.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zarrs::array::codec::api::{ArrayToBytesCodecTraits, BytesToBytesCodecTraits, CodecError};
use zarrs::array::codec::{BytesCodec, Crc32cCodec, ZstdCodec};
use zarrs::array::{
    Array, ArrayBuilder, ArrayMetadata, ArrayShardedReadableExt, ArrayShardedReadableExtCache, CodecChain,
    CodecOptions, data_type,
};
use zarrs::filesystem::FilesystemStore;
use zarrs::group::GroupBuilder;
use zarrs::storage::byte_range::ByteRange;

use crate::{Error, Kind, Result};

pub(super) const IMAGE: &str = "image";
pub(super) const MASK: &str = "mask";

/// The one file of an array's slices, by the standard's naming of chunks.
const SHARD: &str = "c/0/0/0";

/// Fast to write and nearly as small as the slower levels: noise does not compress.
const ZSTD_LEVEL: i32 = 1;

/// How the table of slices says that a slice is all zeros, such as a mask's often are.
const NOT_STORED: ByteRange = ByteRange::FromStart(u64::MAX, Some(u64::MAX));

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
            .map_err(|e| Error::new(&dir, Kind::Io, "open the folder of slices", e.to_string()))?;
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

    /// Where an array or group lies on disk.
    fn file(&self, path: &str) -> PathBuf {
        self.dir.join(path.trim_start_matches('/'))
    }

    fn broken(&self, path: &str, found: impl ToString) -> Error {
        Error::new(self.file(path), Kind::Format, "the slices that the index speaks of", found.to_string())
            .hint("the data set is damaged: import it again")
    }
}

/// How a slice's bytes are packed: compressed, with a checksum over the compressed bytes.
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

    fn failed(&self, path: &str, source: impl ToString) -> Error {
        Error::new(self.0.file(path), Kind::Io, "write it", source.to_string())
    }
}

/// One array, opened for reading slice by slice.
pub(super) struct Slices {
    storage: Storage,
    array: Array<FilesystemStore>,
    /// Where each slice lies in the file, read once.
    offsets: ArrayShardedReadableExtCache,
    codecs: CodecChain,
    path: String,
    /// The file of all slices.
    file: PathBuf,
    slices: usize,
    side: NonZeroU64,
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
        let offsets = ArrayShardedReadableExtCache::new(&array);
        let side = NonZeroU64::new(shape[1] as u64).ok_or_else(|| storage.broken(path, "no pixels"))?;
        let codecs = CodecChain::new(vec![], Arc::new(BytesCodec::little()), compression());
        Ok(Self {
            storage: storage.clone(),
            array,
            offsets,
            codecs,
            path: path.to_owned(),
            file,
            slices: shape[0],
            side,
        })
    }

    pub(super) fn read(&self, slice: usize) -> Result<Vec<u16>> {
        if slice >= self.slices {
            let found = format!("{} slices", self.slices);
            return Err(Error::new(&self.file, Kind::Request, format!("slice {slice}"), found));
        }
        let damaged = |found: String| self.storage.broken(&self.path, format!("slice {slice}: {found}"));
        let at = [slice as u64, 0, 0];
        let range = self.array.subchunk_byte_range(&self.offsets, &at);
        let range = range.map_err(|e| damaged(e.to_string()))?;
        let Some(range) = range.filter(|&range| range != NOT_STORED) else {
            return Ok(vec![0; self.array.shape()[1..].iter().product::<u64>() as usize]);
        };
        let packed = self.bytes(range).map_err(|e| damaged(e.to_string()))?;
        self.unpack(packed).map_err(|e| damaged(e.to_string()))
    }

    /// Reads a range of the file, if the file is that long.
    fn bytes(&self, range: ByteRange) -> std::io::Result<Vec<u8>> {
        let mut file = File::open(&self.file)?;
        let length = file.metadata()?.len();
        let beyond = || std::io::Error::new(ErrorKind::UnexpectedEof, format!("the file ends at {length}"));
        let ByteRange::FromStart(start, Some(count)) = range else { return Err(beyond()) };
        let end = start.checked_add(count).filter(|&end| end <= length).ok_or_else(beyond)?;
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(end - start).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Unpacks the bytes of a whole slice. zarrs' own partial reading passes over checksums and
    /// believes offsets, and the decompressor believes the length that its input begins with, so
    /// damaged bytes must get to neither.
    fn unpack(&self, packed: Vec<u8>) -> std::result::Result<Vec<u16>, CodecError> {
        let shape = [NonZeroU64::MIN, self.side, self.side];
        let (data_type, fill_value) = (self.array.data_type(), self.array.fill_value());
        let options = CodecOptions::default().with_concurrent_target(1);
        let bytes =
            self.codecs.decode(packed.into(), &shape, data_type, fill_value, &options)?.into_fixed()?;
        let (values, _) = bytes.as_chunks();
        Ok(values.iter().map(|&value| u16::from_ne_bytes(value)).collect())
    }
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
