//! The voxels of a stack, file by file in parallel.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use polycl_base::{Error, Kind, Result, hex};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::codec::{Codec, codec, decode};
use super::frames::pixels;
use super::pixels::{Cells, rescale};
use super::select::Plane;
use super::slice::{Frame, Shot, Store};
use super::source::{DEFLATED, inflate};
use super::stack::Stack;

/// A scan has at most this many voxels for each byte of its files, beyond the first 4 million: deflated or
/// JPEG 2000 files of empty slices are that small, and no others.
const VOXELS_FOR_BYTE: u64 = 1 << 10;
const VOXELS_FREE: u64 = 1 << 22;

/// The planes that come from one file: frame, what it says, and where its values go.
struct Job<'a, 'v> {
    shot: &'a Shot,
    planes: Vec<(u32, Frame, &'v mut [f32])>,
}

/// All voxels, with slope and intercept.
pub(super) fn voxels(stack: &Stack, root: &Path) -> Result<Vec<f32>> {
    let shots = files(stack);
    for shot in &shots {
        shot.layout.check(&shot.path)?;
        codec(&shot.layout.transfer).map_err(|found| unsupported(&shot.path, found))?;
    }
    stack.planes.iter().try_for_each(finite)?;
    let mut voxels = room(stack, &shots, root)?;
    let mut jobs: Vec<Job> = shots.iter().map(|&shot| Job { shot, planes: Vec::new() }).collect();
    let index: HashMap<&Path, usize> =
        shots.iter().zip(0..).map(|(shot, k)| (shot.path.as_path(), k)).collect();
    let [across, down, _] = stack.space.shape;
    for (plane, out) in stack.planes.iter().zip(voxels.chunks_mut(across * down)) {
        jobs[index[plane.shot.path.as_path()]].planes.push((plane.frame, plane.says, out));
    }
    jobs.into_par_iter().try_for_each_init(Vec::new, file)?;
    Ok(voxels)
}

/// Refuses a slope and intercept with which a voxel might be NaN or infinite as f32.
fn finite(plane: &Plane) -> Result<()> {
    let Frame { slope, intercept, .. } = plane.says;
    let largest = slope.abs() * f64::from(u32::MAX) + intercept.abs();
    // Written so that what is no number is refused as well.
    if largest < f64::from(f32::MAX) {
        return Ok(());
    }
    let expected = "a rescale slope and intercept for finite voxel values";
    Err(Error::new(&plane.shot.path, Kind::Voxels, expected, format!("{slope} and {intercept}"))
        .hint("the header is damaged; export it again"))
}

/// The SHA-256 of the files' bytes in the order of their first slices.
pub(super) fn hash(stack: &Stack) -> Result<String> {
    let mut sha256 = Sha256::new();
    for shot in files(stack) {
        let failed = |e: std::io::Error| Error::io(&shot.path, "read it", &e);
        let mut file = File::open(&shot.path).map_err(failed)?;
        std::io::copy(&mut file, &mut sha256).map_err(failed)?;
    }
    Ok(hex(&sha256.finalize()))
}

/// The stack's files, each once.
fn files<'a>(stack: &Stack<'a>) -> Vec<&'a Shot> {
    let mut seen = std::collections::HashSet::new();
    stack.planes.iter().map(|plane| plane.shot).filter(|shot| seen.insert(shot.path.as_path())).collect()
}

/// Memory for all voxels, if the files are large enough to hold them.
fn room(stack: &Stack, shots: &[&Shot], root: &Path) -> Result<Vec<f32>> {
    let size = |shot: &&Shot| std::fs::metadata(&shot.path).map_or(0, |meta| meta.len());
    let held: u64 = shots.iter().map(size).sum();
    let count = stack.space.shape.iter().try_fold(1u64, |n, &side| n.checked_mul(side as u64));
    let allowed = held.saturating_mul(VOXELS_FOR_BYTE).saturating_add(VOXELS_FREE);
    let refused = |found: String| {
        Error::new(root, Kind::Truncated, format!("{:?} voxels", stack.space.shape), found)
            .hint("the files are damaged, or were not copied to their end")
    };
    let count =
        count.filter(|&count| count <= allowed).ok_or_else(|| refused(format!("files of {held} bytes")))?;
    // Asked for once, to be refused rather than killed; then as zeros of the system's, which are not written.
    let mut asked: Vec<f32> = Vec::new();
    asked.try_reserve_exact(count as usize).map_err(|_| refused("too little memory".to_owned()))?;
    drop(asked);
    Ok(vec![0.0; count as usize])
}

fn unsupported(path: &Path, found: String) -> Error {
    Error::new(path, Kind::Format, "a transfer syntax that is read here", found).hint(
        "read are uncompressed, deflated and RLE files, JPEG (lossless, or 8 bits), JPEG-LS and JPEG 2000; convert with dcmdjpeg or gdcmconv --raw",
    )
}

fn compressed(path: &Path, found: String) -> Error {
    Error::new(path, Kind::Format, "intact compressed pixels of a kind that is read here", found)
        .hint("if dcmdjpeg or gdcmconv --raw can convert the file, read that; if not, it is damaged: export it again")
}

/// Reads one file and fills the planes that come from it.
fn file(buffer: &mut Vec<u8>, job: Job) -> Result<()> {
    let Job { shot, planes } = job;
    let (path, layout) = (&shot.path, &shot.layout);
    let Store { syntax, pixels: element, .. } = shot.store;
    whole(shot, buffer)?;
    let refused = |(expected, found): (String, String)| {
        Error::new(path, Kind::Truncated, expected, found)
            .hint("the file was not copied to its end; copy it again")
    };
    let pixels = pixels(buffer, &element, syntax, layout).map_err(refused)?;
    let codec = codec(&layout.transfer).map_err(|found| unsupported(path, found))?;
    let fragments = matches!(pixels, super::frames::Pixels::Frames(_));
    if fragments != (codec != Codec::Native) {
        let found = if fragments { "fragments" } else { "one run of bytes" };
        return Err(Error::new(path, Kind::Format, "pixel data as the transfer syntax says", found)
            .hint("the file is damaged; export it again"));
    }
    planes.into_par_iter().try_for_each(|(frame, says, out)| {
        let data = pixels.frame(frame, layout).map_err(refused)?;
        let cells = if fragments {
            decode(codec, &data, layout).map_err(|found| compressed(path, found))?
        } else {
            Cells { bytes: data, big: syntax.big, shift: layout.high + 1 - layout.stored }
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
