//! The voxels of a stack, file by file in parallel.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use polycl_base::{Error, Result, hex};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::slice::Shot;
use super::stack::Stack;
use super::values::{Job, file, finite, readable, room};

/// All voxels, with slope and intercept.
pub(super) fn voxels(stack: &Stack, root: &Path) -> Result<Vec<f32>> {
    let shots = files(stack);
    shots.iter().try_for_each(|shot| readable(shot))?;
    stack.planes.iter().try_for_each(finite)?;
    let mut voxels = room(stack.space.shape, &shots, root)?;
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
