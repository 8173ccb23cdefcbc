//! Frames, painted on the voxels of a scan.

use std::collections::{BTreeMap, BTreeSet};

use polycl_base::{Error, Kind, Result, some};

use super::frames::Frames;
use super::pixels::Pixels;
use super::place::{Placed, Placer};
use crate::dicom::source::Head;
use crate::dicom::structures::{Drawn, Structures};
use crate::names::Names;
use crate::{Mask, Space};

/// Frames farther than this many mm from their slices are told.
const TOLD: f64 = 0.01;

/// The frames of segments that are wanted, by their numbers, and the voxels of each.
pub(super) type Places = BTreeMap<usize, Placed>;

pub(super) fn placed(object: &Structures, frames: &Frames, scan: &Space, wanted: &Names) -> Result<Places> {
    let known = |segment: &u16| object.list.iter().any(|own| own.value == *segment);
    let placer = Placer::new(scan, frames.layout.columns, frames.layout.rows);
    let mut places = Places::new();
    let mut seen = BTreeSet::new();
    for (number, frame) in frames.all.iter().enumerate() {
        if let Some(segment) = frame.segment {
            if seen.insert(segment) && !known(&segment) {
                let found = format!("segment {segment} in frame {}", number + 1);
                return Err(Error::new(
                    &object.path,
                    Kind::Format,
                    "frames of segments that the object lists",
                    found,
                )
                .hint("export the segmentation again: its header is damaged"));
            }
            if !wanted.contains_key(&segment) {
                continue;
            }
        }
        let placed = placer.place(&frame.place).map_err(|found| elsewhere(object, number, found))?;
        places.insert(number, placed);
    }
    Ok(places)
}

pub(super) fn paint(
    object: &Structures,
    head: &Head,
    frames: &Frames,
    scan: &Space,
    wanted: &Names,
) -> Result<Drawn> {
    let path = &object.path;
    let places = placed(object, frames, scan, wanted)?;
    let values = values(wanted);
    let mut known = vec![false; usize::from(u16::MAX) + 1];
    object.list.iter().for_each(|segment| known[usize::from(segment.value)] = true);
    let mut canvas = Canvas { scan, voxels: room(object, scan)?, contested: BTreeMap::new() };
    Pixels::open(path, head, frames)?.each(
        |number| places.contains_key(&number),
        |number, pixels| {
            let one = frames.all[number].segment.map(|segment| values[usize::from(segment)]);
            let unlisted = |pixel: &&u16| one.is_none() && **pixel > 0 && !known[usize::from(**pixel)];
            if let Some(unlisted) = pixels.iter().find(unlisted) {
                let found = format!("the value {unlisted} in frame {}", number + 1);
                return Err(Error::new(
                    path,
                    Kind::Format,
                    "values of segments that the object lists",
                    found,
                )
                .hint("export the segmentation again: its list of segments lacks some"));
            }
            let value = |pixel: u16| one.unwrap_or_else(|| values[usize::from(pixel)]);
            match canvas.paint(&places[&number], pixels, frames.layout.columns as usize, value) {
                0 => Ok(()),
                beyond => Err(elsewhere(object, number, format!("{beyond} of its pixels beyond the scan"))),
            }
        },
    )?;
    canvas.check(object)?;
    let off = places.values().map(|placed| placed.off).fold(0.0, f64::max);
    let note = (off > TOLD).then(|| format!("its frames lie up to {off:.2} mm from the scan's slices"));
    Ok(Drawn { mask: Mask { space: scan.clone(), voxels: canvas.voxels }, notes: note.into_iter().collect() })
}

/// The value in the mask of each segment by its number, 0 where it is not wanted: of several of one name the least.
fn values(wanted: &Names) -> Vec<u16> {
    let mut by_name: BTreeMap<&str, u16> = BTreeMap::new();
    let mut values = vec![0; usize::from(u16::MAX) + 1];
    for (&segment, name) in wanted {
        values[usize::from(segment)] = *by_name.entry(name).or_insert(segment);
    }
    values
}

fn elsewhere(object: &Structures, frame: usize, found: String) -> Error {
    Error::new(&object.path, Kind::Geometry, format!("frame {} on the slices of the scan", frame + 1), found)
        .hint("give the scan that it was drawn on, with all of its slices")
}

/// Memory for the voxels of the scan: asked for once, to be refused rather than killed, then as zeros of the system's.
fn room(object: &Structures, scan: &Space) -> Result<Vec<u16>> {
    let count = scan.shape.iter().try_fold(1usize, |n, &side| n.checked_mul(side));
    let has_room = |count: &usize| Vec::<u16>::new().try_reserve_exact(*count).is_ok();
    count.filter(has_room).map(|count| vec![0; count]).ok_or_else(|| {
        Error::new(&object.path, Kind::Request, format!("memory for {:?} voxels", scan.shape), "too little")
    })
}

struct Canvas<'a> {
    scan: &'a Space,
    voxels: Vec<u16>,
    /// Voxels that two values claim.
    contested: BTreeMap<[u16; 2], usize>,
}

impl Canvas<'_> {
    /// Paints a frame; how many of its pixels that show something lie beyond the scan.
    fn paint(
        &mut self,
        placed: &Placed,
        pixels: &[u16],
        columns: usize,
        value: impl Fn(u16) -> u16,
    ) -> usize {
        let shape = self.scan.shape.map(|side| side as i64);
        let mut beyond = 0;
        for (at, &pixel) in pixels.iter().enumerate().filter(|(_, pixel)| **pixel > 0) {
            let value = value(pixel);
            if value == 0 {
                continue;
            }
            let (column, row) = ((at % columns) as i64, (at / columns) as i64);
            let voxel: [i64; 3] = std::array::from_fn(|axis| {
                placed.first[axis] + column * placed.along[0][axis] + row * placed.along[1][axis]
            });
            if (0..3).any(|axis| voxel[axis] < 0 || voxel[axis] >= shape[axis]) {
                beyond += 1;
                continue;
            }
            let [i, j, k] = voxel;
            let voxel = &mut self.voxels[(i + shape[0] * (j + shape[1] * k)) as usize];
            if *voxel != 0 && *voxel != value {
                *self.contested.entry([*voxel, value]).or_default() += 1;
            } else {
                *voxel = value;
            }
        }
        beyond
    }

    /// Refuses segments that overlap.
    fn check(&self, object: &Structures) -> Result<()> {
        let name = |value: u16| {
            object.list.iter().find(|own| own.value == value).map_or("", |own| own.name.as_str())
        };
        let pairs: Vec<String> = self
            .contested
            .iter()
            .map(|([a, b], voxels)| format!("{} and {} in {voxels} voxels", name(*a), name(*b)))
            .collect();
        if pairs.is_empty() {
            return Ok(());
        }
        Err(Error::new(&object.path, Kind::Voxels, "segments that do not overlap", some(&pairs))
            .hint("choose by --names which of them are read"))
    }
}
