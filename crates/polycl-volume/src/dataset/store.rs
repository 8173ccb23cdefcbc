//! The slice store, a Zarr v3 group: one group per case with the arrays `image` and, where it is
//! labelled, `mask`, each u16 [slices, size, size]. A scan is one file (a shard) in which every
//! slice is compressed by itself, so a slice is read with one seek. Any Zarr v3 reader opens it.
//!
//! Specification: <https://zarr-specs.readthedocs.io/en/latest/v3/core/> and its sharding codec.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use zarrs::array::codec::{Crc32cCodec, ZstdCodec};
use zarrs::array::{
    Array, ArrayBuilder, ArrayMetadata, ArrayShardedReadableExt, ArrayShardedReadableExtCache, CodecOptions,
    data_type,
};
use zarrs::filesystem::FilesystemStore;
use zarrs::group::GroupBuilder;

use crate::{Error, Kind, Result};

pub(super) const IMAGE: &str = "image";
pub(super) const MASK: &str = "mask";

/// Fast to write and nearly as small as the slower levels: noise does not compress.
const ZSTD_LEVEL: i32 = 1;

/// The store of a data set: the folder `slices.zarr`.
#[derive(Clone)]
pub(super) struct Storage {
    dir: PathBuf,
    files: Arc<FilesystemStore>,
}

pub(super) fn array_path(case: &str, array: &str) -> String {
    format!("/{case}/{array}")
}

impl Storage {
    fn new(dataset: &Path) -> Result<Self> {
        let dir = dataset.join("slices.zarr");
        let files = FilesystemStore::new(&dir)
            .map_err(|e| Error::new(&dir, Kind::Io, "a folder for slices", e.to_string()))?;
        Ok(Self { dir, files: Arc::new(files) })
    }

    /// # Errors
    /// [`Kind::Io`] where there is none.
    pub(super) fn open(dataset: &Path) -> Result<Self> {
        let storage = Self::new(dataset)?;
        if storage.dir.is_dir() {
            return Ok(storage);
        }
        Err(Error::new(&storage.dir, Kind::Io, "the slices of the data set", "no such folder"))
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

/// The array's description before anything is stored in it.
fn describe(storage: &Storage, path: &str, [slices, size]: [usize; 2]) -> Result<Array<FilesystemStore>> {
    let shape = [slices as u64, size as u64, size as u64];
    ArrayBuilder::new(shape.to_vec(), shape.to_vec(), data_type::uint16(), 0u16)
        .subchunk_shape(vec![1, shape[1], shape[2]])
        .bytes_to_bytes_codecs(vec![
            Arc::new(ZstdCodec::new(ZSTD_LEVEL, false)),
            Arc::new(Crc32cCodec::new()),
        ])
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

    pub(super) fn group(&self, path: &str) -> Result<()> {
        let group =
            GroupBuilder::new().build(self.0.files.clone(), path).map_err(|e| self.failed(path, e))?;
        group.store_metadata().map_err(|e| self.failed(path, e))
    }

    /// Stores all slices of a scan, [slices, size, size].
    pub(super) fn write(&self, path: &str, shape: [usize; 2], values: Vec<u16>) -> Result<()> {
        let array = describe(&self.0, path, shape)?;
        array.store_metadata().map_err(|e| self.failed(path, e))?;
        // Empty slices are stored too: one that is missing is then known to be lost.
        let options = CodecOptions::default().with_store_empty_chunks(true);
        array.store_chunk_opt(&[0, 0, 0], values, &options).map_err(|e| self.failed(path, e))
    }

    fn failed(&self, path: &str, source: impl ToString) -> Error {
        Error::new(self.0.file(path), Kind::Io, "to write it", source.to_string())
    }
}

/// One array, opened for reading slice by slice.
pub(super) struct Slices {
    storage: Storage,
    array: Array<FilesystemStore>,
    /// Where each slice lies in the file, read once.
    offsets: ArrayShardedReadableExtCache,
    path: String,
    slices: usize,
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
        let file = storage.file(path).join("c/0/0/0");
        let length = std::fs::metadata(&file).map_err(|e| Error::io(&file, "read slices", &e))?.len();
        if length / 16 < shape[0] as u64 {
            return Err(storage.broken(path, format!("a file of {length} bytes")));
        }
        let offsets = ArrayShardedReadableExtCache::new(&array);
        Ok(Self { storage: storage.clone(), array, offsets, path: path.to_owned(), slices: shape[0] })
    }

    pub(super) fn read(&self, slice: usize) -> Result<Vec<u16>> {
        if slice >= self.slices {
            let file = self.storage.file(&self.path);
            let found = format!("{} slices", self.slices);
            return Err(Error::new(file, Kind::Request, format!("slice {slice}"), found));
        }
        let at = [slice as u64, 0, 0];
        let options = CodecOptions::default().with_concurrent_target(1);
        let damaged =
            |e: zarrs::array::ArrayError| self.storage.broken(&self.path, format!("slice {slice}: {e}"));
        self.array.retrieve_subchunk_opt(&self.offsets, &at, &options).map_err(damaged)
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
