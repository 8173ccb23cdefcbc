//! Connected parts of an organ, by number: parts of a mask beyond them are a mistake.

use glam::DAffine3;
use polycl_base::Result;
use polycl_data::Dataset;
use polycl_image::components::{Connectivity, components};
use polycl_image::{Mask, Space, Volume};

use crate::train::draw::{self, Example};
use crate::train::run::Organ;

/// Most parts that are asked for: an organ, or a pair of them.
const MOST: usize = 2;
/// The part of an organ's voxels that its largest parts must hold …
const NEARLY_ALL: f64 = 0.95;
/// … in this part of the masks.
const NEARLY_ALWAYS: f64 = 0.9;
/// As many scans tell, spread over all that train.
const SCANS: usize = 40;
/// Fewer drawn slices say nothing: one of a pair may lie beside them.
const FEWEST_SLICES: usize = 3;

/// The parts of an organ, or of several together, by their classes (`which`), in the masks that train and that a person has drawn, if one
/// or two hold nearly all of it nearly always. Whole masks are looked at in 3D, those of which only slices were drawn slice by slice.
///
/// # Errors
/// As [`Dataset::mask`].
pub fn together(
    dataset: &Dataset,
    examples: &[Example],
    organs: &[Organ],
    which: &[u8],
) -> Result<Option<usize>> {
    let which: Vec<usize> = which.iter().map(|&class| usize::from(class) - 1).collect();
    let inside = |value: u16| which.iter().any(|&organ| organs[organ].value == value);
    let scans = draw::scans(examples);
    let scans: Vec<usize> = scans.iter().step_by(scans.len().div_ceil(SCANS).max(1)).copied().collect();
    let (mut shares, mut single) = (Vec::new(), Vec::new());
    for scan in scans {
        let described = &dataset.index.scans[scan];
        let by_hand = |slice| which.iter().all(|&organ| described.by_hand(&organs[organ].name, slice));
        let drawn: Vec<&Example> = examples
            .iter()
            .filter(|example| example.id.scan == scan && by_hand(example.id.slice))
            // What cuts an organ there need not end it.
            .filter(|example| !described.leaves_open(example.id.slice))
            .collect();
        if drawn.len() == described.slices {
            let slices: Vec<usize> = drawn.iter().map(|example| example.id.slice).collect();
            shares.extend(largest_parts(dataset, scan, &slices, inside)?);
            continue;
        }
        let shows = |example: &&&Example| which.iter().any(|organ| example.shows.contains(organ));
        for example in drawn.iter().filter(shows) {
            single.extend(largest_parts(dataset, scan, &[example.id.slice], inside)?);
        }
    }
    if single.len() >= FEWEST_SLICES {
        shares.append(&mut single);
    }
    let enough = |count: &usize| {
        let held = shares.iter().filter(|share| share[count - 1] >= NEARLY_ALL).count();
        held > 0 && held as f64 >= NEARLY_ALWAYS * shares.len() as f64
    };
    Ok((1..=MOST).find(enough))
}

/// The fraction of the voxels of labels that are `inside` that their largest part in these slices holds, and the two
/// largest; nothing where none shows.
fn largest_parts(
    dataset: &Dataset,
    scan: usize,
    slices: &[usize],
    inside: impl Fn(u16) -> bool,
) -> Result<Option<[f64; MOST]>> {
    let size = dataset.index.preprocess.size;
    let mut voxels = Vec::with_capacity(slices.len() * size * size);
    for &slice in slices {
        voxels.extend(dataset.mask(scan, slice)?);
    }
    let space = Space::new([size, size, slices.len()], DAffine3::IDENTITY);
    let mask: Mask = Volume { space, voxels };
    let mut sizes = components(&mask, inside, Connectivity::Corners).sizes;
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    let all: usize = sizes.iter().sum();
    let share = |count: usize| sizes.iter().take(count).sum::<usize>() as f64 / all as f64;
    Ok((all > 0).then(|| [share(1), share(2)]))
}
