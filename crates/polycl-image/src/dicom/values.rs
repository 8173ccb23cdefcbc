//! The values of one file.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use polycl_base::{Error, Kind, Result};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::codec::{Codec, codec, decode};
use super::frames::pixels;
use super::pixels::{Cells, rescale};
use super::plane::{Plane, nowhere};
use super::slice::{Frame, Shot, Store};
use super::source::{DEFLATED, GE, inflate};

/// A scan has at most this many voxels for each byte of its files, beyond the first 4 million: deflated or
/// JPEG 2000 files of empty slices are that small, and no others.
const VOXELS_FOR_BYTE: u64 = 1 << 10;
const VOXELS_FREE: u64 = 1 << 22;

/// The planes that come from one file: frame, what it says, and where its values go.
pub(super) struct Job<'a, 'v> {
    pub shot: &'a Shot,
    pub planes: Vec<(u32, Frame, &'v mut [f32])>,
}

/// Refuses files whose pixels are of no kind that is read here.
pub(super) fn readable(shot: &Shot) -> Result<()> {
    shot.layout.check(&shot.path)?;
    codec(&shot.layout.transfer).map_err(|found| unsupported(&shot.path, found))?;
    Ok(())
}

/// The SHA-256 of a plane's values, which its file's [`Shot`] remembers; `None` where they cannot be read.
pub(super) fn digest(plane: &Plane) -> Option<[u8; 32]> {
    let known = &plane.shot.digests;
    // Nothing is held while the file is read: a thread that waits for the parts of one file may be given another job, which
    // asks for the same.
    if known.get().is_none() {
        let _ = known.set(digests(plane.shot).ok());
    }
    known.get()?.as_ref()?.get(plane.frame as usize).copied()
}

/// The SHA-256 of the values of each frame of a file.
fn digests(shot: &Shot) -> Result<Vec<[u8; 32]>> {
    readable(shot)?;
    let place = |frame: &Frame| frame.place.ok_or_else(|| nowhere(shot));
    let planes = shot.frames.iter().zip(0..).map(|(says, frame)| {
        let plane = Plane { shot, frame, says: *says, place: place(says)? };
        finite(&plane).map(|()| plane)
    });
    let planes = planes.collect::<Result<Vec<_>>>()?;
    let shape = [shot.layout.columns as usize, shot.layout.rows as usize, planes.len()];
    let mut voxels = room(shape, &[shot], &shot.path)?;
    let size = shape[0] * shape[1];
    let parts = planes.iter().zip(voxels.chunks_mut(size)).map(|(plane, out)| (plane.frame, plane.says, out));
    file(&mut Vec::new(), Job { shot, planes: parts.collect() })?;
    let hash = |values: &[f32]| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Sha256::digest(bytes).into()
    };
    Ok(voxels.par_chunks(size).map(hash).collect())
}

/// Refuses a slope and intercept with which a voxel might be NaN or infinite as f32.
pub(super) fn finite(plane: &Plane) -> Result<()> {
    let Frame { slope, intercept, .. } = plane.says;
    let largest = slope.abs() * f64::from(u32::MAX) + intercept.abs();
    // Written so that what is no number is refused as well.
    if largest < f64::from(f32::MAX) {
        return Ok(());
    }
    let expected = "a rescale slope and intercept for finite voxel values";
    Err(Error::new(&plane.shot.path, Kind::Voxels, expected, format!("{slope} and {intercept}"))
        .hint("export the file again: the header is damaged"))
}

/// Memory for all voxels, if the files are large enough to hold them.
pub(super) fn room(shape: [usize; 3], shots: &[&Shot], root: &Path) -> Result<Vec<f32>> {
    let size = |shot: &&Shot| std::fs::metadata(&shot.path).map_or(0, |meta| meta.len());
    let held: u64 = shots.iter().map(size).sum();
    let count = shape.iter().try_fold(1u64, |n, &side| n.checked_mul(side as u64));
    let allowed = held.saturating_mul(VOXELS_FOR_BYTE).saturating_add(VOXELS_FREE);
    let refused = |found: String| {
        Error::new(root, Kind::Truncated, format!("{shape:?} voxels"), found)
            .hint("copy or export the files again: they are damaged or incomplete")
    };
    let count =
        count.filter(|&count| count <= allowed).ok_or_else(|| refused(format!("files of {held} bytes")))?;
    // Asked for once, to be refused rather than killed; then as zeros of the system's, which are not written.
    let mut asked: Vec<f32> = Vec::new();
    asked.try_reserve_exact(count as usize).map_err(|_| refused("too little memory".to_owned()))?;
    drop(asked);
    Ok(vec![0.0; count as usize])
}

pub(super) fn unsupported(path: &Path, found: String) -> Error {
    Error::new(path, Kind::Format, "a transfer syntax that is read here", found).hint(
        "convert the file with dcmdjpeg or gdcmconv --raw: only uncompressed, deflated, RLE, JPEG (lossless, or 8 bits), JPEG-LS and JPEG 2000 are read",
    )
}

pub(super) fn compressed(path: &Path, found: String) -> Error {
    Error::new(path, Kind::Format, "intact compressed pixels of a kind that is read here", found).hint(
        "convert the file with dcmdjpeg or gdcmconv --raw; where neither can, export it again: it is damaged",
    )
}

/// Reads one file and fills the planes that come from it.
pub(super) fn file(buffer: &mut Vec<u8>, job: Job) -> Result<()> {
    let Job { shot, planes } = job;
    let (path, layout) = (&shot.path, &shot.layout);
    let Store { syntax, pixels: element, .. } = shot.store;
    whole(shot, buffer)?;
    let refused = |(expected, found): (String, String)| {
        Error::new(path, Kind::Truncated, expected, found).hint("copy the file again: it is incomplete")
    };
    let pixels = pixels(buffer, &element, syntax, layout).map_err(refused)?;
    let codec = codec(&layout.transfer).map_err(|found| unsupported(path, found))?;
    let fragments = matches!(pixels, super::frames::Pixels::Frames(_));
    if fragments != (codec != Codec::Native) {
        let found = if fragments { "fragments" } else { "one run of bytes" };
        return Err(Error::new(path, Kind::Format, "pixel data as the transfer syntax says", found)
            .hint("export the file again: it is damaged"));
    }
    planes.into_par_iter().try_for_each(|(frame, says, out)| {
        let data = pixels.frame(frame, layout).map_err(refused)?;
        let cells = if fragments {
            decode(codec, &data, layout).map_err(|found| compressed(path, found))?
        } else {
            let big = syntax.big || layout.transfer == GE;
            Cells { bytes: data, big, shift: layout.high + 1 - layout.stored }
        };
        rescale(&cells, layout, &says, out);
        Ok(())
    })
}

/// Reads the whole data set; of a deflated one no more than its pixels need.
fn whole(shot: &Shot, buffer: &mut Vec<u8>) -> Result<()> {
    let Shot { path, layout, store, .. } = shot;
    let failed = |e: std::io::Error| Error::io(path, "read it", &e);
    buffer.clear();
    let held = usize::try_from(store.held - store.start).unwrap_or(usize::MAX);
    buffer.try_reserve(held).map_err(|_| Error::new(path, Kind::Io, "read it", "too little memory"))?;
    let mut file = File::open(path).map_err(failed)?;
    file.seek(SeekFrom::Start(store.start)).map_err(failed)?;
    file.take(held as u64).read_to_end(buffer).map_err(failed)?;
    if layout.transfer == DEFLATED {
        let pixels = (layout.pixels() * layout.cell()).saturating_mul(layout.frames as usize);
        let limit = store.pixels.value.saturating_add(pixels).saturating_add(16);
        *buffer = inflate(buffer, limit as u64).map_err(failed)?;
    }
    Ok(())
}
