//! The voxels of a stack, file by file in parallel.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::codec::{Codec, codec, decode};
use super::frames::pixels;
use super::pixels::{Cells, rescale};
use super::slice::{Frame, Shot};
use super::source::{Head, inflate, open};
use super::stack::Stack;
use crate::volume::hex;
use crate::{Error, Kind, Result};

/// A scan has at most this many voxels for each byte of its files, beyond the first 64 million: deflated or
/// JPEG 2000 files of empty slices are that small, and no others.
const VOXELS_FOR_BYTE: u64 = 1 << 10;
const VOXELS_FREE: u64 = 1 << 26;

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
    for plane in &stack.planes {
        if !plane.says.slope.is_finite() || !plane.says.intercept.is_finite() {
            let found = format!("{} and {}", plane.says.slope, plane.says.intercept);
            return Err(Error::new(
                &plane.shot.path,
                Kind::Format,
                "a finite rescale slope and intercept",
                found,
            )
            .hint("the header is damaged; export it again"));
        }
    }
    let mut voxels = room(stack, &shots, root)?;
    let mut jobs: Vec<Job> = shots.iter().map(|&shot| Job { shot, planes: Vec::new() }).collect();
    let index: HashMap<&Path, usize> =
        shots.iter().zip(0..).map(|(shot, k)| (shot.path.as_path(), k)).collect();
    let [across, down, _] = stack.space.shape;
    for (plane, out) in stack.planes.iter().zip(voxels.chunks_mut(across * down)) {
        jobs[index[plane.shot.path.as_path()]].planes.push((plane.frame, plane.says, out));
    }
    jobs.into_par_iter().try_for_each(file)?;
    finite(&voxels, root)?;
    Ok(voxels)
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
    let mut voxels = Vec::new();
    voxels.try_reserve_exact(count as usize).map_err(|_| refused("too little memory".to_owned()))?;
    voxels.resize(count as usize, 0.0);
    Ok(voxels)
}

fn unsupported(path: &Path, found: String) -> Error {
    Error::new(path, Kind::Format, "a transfer syntax that is read here", found).hint(
        "read are uncompressed, deflated and RLE files, JPEG (lossless, or 8 bits), JPEG-LS and JPEG 2000; convert with dcmdjpeg or gdcmconv --raw",
    )
}

fn damaged(path: &Path, expected: &str, found: String) -> Error {
    Error::new(path, Kind::Format, expected, found).hint("the file is damaged; export it again")
}

fn compressed(path: &Path, found: String) -> Error {
    Error::new(path, Kind::Format, "intact compressed pixels of a kind that is read here", found)
        .hint("if dcmdjpeg or gdcmconv --raw can convert the file, read that; if not, it is damaged: export it again")
}

/// Reads one file and fills the planes that come from it.
fn file(job: Job) -> Result<()> {
    let Job { shot, planes } = job;
    let path = &shot.path;
    let head = open(path)?.ok_or_else(|| damaged(path, "a DICOM file", "another".to_owned()))?;
    let element = head.scan.pixels.ok_or_else(|| damaged(path, "pixel data", "none".to_owned()))?;
    let layout = &shot.layout;
    let bytes = whole(path, &head, (layout.pixels() * layout.cell()).saturating_mul(layout.frames as usize))?;
    let refused = |(expected, found): (String, String)| {
        Error::new(path, Kind::Truncated, expected, found)
            .hint("the file was not copied to its end; copy it again")
    };
    let pixels = pixels(&bytes, &element, head.syntax, layout).map_err(refused)?;
    let codec = codec(&layout.transfer).map_err(|found| unsupported(path, found))?;
    let fragments = matches!(pixels, super::frames::Pixels::Frames(_));
    if fragments != (codec != Codec::Native) {
        let found = if fragments { "fragments" } else { "one run of bytes" };
        return Err(damaged(path, "pixel data as the transfer syntax says", found.to_owned()));
    }
    planes.into_par_iter().try_for_each(|(frame, says, out)| {
        let data = pixels.frame(frame, layout).map_err(refused)?;
        let cells = if fragments {
            decode(codec, &data, layout).map_err(|found| compressed(path, found))?
        } else {
            Cells { bytes: data, big: head.syntax.big, shift: layout.high + 1 - layout.stored }
        };
        rescale(&cells, layout, &says, out);
        Ok(())
    })
}

/// The whole data set; of a deflated one no more than its pixels need.
fn whole(path: &Path, head: &Head, pixels: usize) -> Result<Vec<u8>> {
    let failed = |e: std::io::Error| Error::io(path, "read it", &e);
    let mut bytes = Vec::new();
    let held = usize::try_from(head.held).unwrap_or(usize::MAX);
    bytes.try_reserve_exact(held).map_err(|_| Error::new(path, Kind::Io, "read it", "too little memory"))?;
    let mut file = File::open(path).map_err(failed)?;
    file.seek(SeekFrom::Start(head.start)).map_err(failed)?;
    file.take(head.held).read_to_end(&mut bytes).map_err(failed)?;
    if head.deflated() {
        let begin = head.scan.pixels.map_or(0, |element| element.value);
        bytes = inflate(&bytes, begin.saturating_add(pixels).saturating_add(16) as u64).map_err(failed)?;
    }
    Ok(bytes)
}

/// A slope or intercept may be too large for f32.
fn finite(voxels: &[f32], root: &Path) -> Result<()> {
    let unusable =
        voxels.par_chunks(1 << 16).map(|part| part.iter().filter(|v| !v.is_finite()).count()).sum::<usize>();
    if unusable == 0 {
        return Ok(());
    }
    let found = format!("{unusable} of {} voxels that are not", voxels.len());
    Err(Error::new(root, Kind::Voxels, "finite voxel values", found)
        .hint("the rescale slope or intercept is damaged"))
}
