//! Small pictures of scans for the queue.

use std::io::Write;

use polycl_app::figures::picture;
use polycl_base::output;
use polycl_image::{Image, Plane};

use crate::desk::Desk;
use crate::folder::Entry;
use crate::hub::To;
use crate::queue::Greys;

/// Pixels of the longer side.
const SIDE: usize = 128;
const SOFT_TISSUE: [f32; 2] = [-160.0, 240.0];

/// Makes the next picture that is not there; false where all are. `done` counts those that were looked at.
pub fn next(desk: &Desk, done: &mut usize) -> bool {
    let entries = desk.entries();
    while let Some(entry) = entries.get(*done) {
        *done += 1;
        if entry.thumbnail().is_file() || entry.reason().is_some() {
            continue;
        }
        let opened = desk.opened(&entry.id);
        let read = if opened.is_some() { Ok(None) } else { entry.input.image().map(Some) };
        match (read, &opened) {
            // One that cannot be written is no reason to withhold the scan.
            (Ok(Some(image)), _) => drop(make(entry, &image)),
            (Ok(None), Some(scan)) => drop(make(entry, &scan.image)),
            (Ok(None), None) => {}
            (Err(error), _) => entry.fail(error.to_string()),
        }
        desk.hub.tell(To::All, "row", &entry.row());
        return true;
    }
    false
}

fn make(entry: &Entry, image: &Image) -> anyhow::Result<()> {
    let order = Plane::Axial.order(&image.space);
    let space = order.space(&image.space);
    let [nx, ny, nz] = space.shape;
    let plane = order.plane(image, nz / 2);
    let [low, high] = if plane.iter().any(|&value| value < -100.0) { SOFT_TISSUE } else { ends(&plane) };
    let [sx, sy, _] = space.spacing();
    let sides = [nx as f64 * sx, ny as f64 * sy];
    let scale = SIDE as f64 / sides[0].max(sides[1]);
    let [width, height] = sides.map(|side| ((side * scale).round() as usize).max(1));
    let pixel = |at: usize| {
        let (x, y) = (at % width * nx / width, at / width * ny / height);
        let grey = ((plane[x + nx * y] - low) / (high - low).max(f32::MIN_POSITIVE)).clamp(0.0, 1.0);
        [(grey * 255.0) as u8; 3]
    };
    let rgb: Vec<[u8; 3]> = (0..width * height).map(pixel).collect();
    let png = picture::encode([width, height], &rgb)?;
    output::atomically(&entry.greys_file(), |file| file.write_all(&greys(&rgb, [width, height])))?;
    Ok(output::atomically(&entry.thumbnail(), |file| file.write_all(&png))?)
}

/// Mean greys of eight by eight fields.
fn greys(rgb: &[[u8; 3]], [width, height]: [usize; 2]) -> Greys {
    let mean = |field: usize| {
        let (columns, rows) = (span(field % 8, width), span(field / 8, height));
        let count = columns.len() * rows.len();
        let pixels = rows.flat_map(|y| columns.clone().map(move |x| rgb[x + width * y][0]));
        (pixels.map(usize::from).sum::<usize>() / count) as u8
    };
    std::array::from_fn(mean)
}

/// The pixels of one of eight parts of a side, at least one.
fn span(part: usize, side: usize) -> std::ops::Range<usize> {
    let from = part * side / 8;
    from..((part + 1) * side / 8).max(from + 1)
}

fn ends(plane: &[f32]) -> [f32; 2] {
    plane
        .iter()
        .fold([f32::INFINITY, f32::NEG_INFINITY], |[low, high], &value| [low.min(value), high.max(value)])
}
