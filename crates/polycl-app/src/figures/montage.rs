//! Many slices of a scan in one picture, to see at a glance what it is and whether a mask fits.

use polycl_image::orient::Reorientation;
use polycl_image::preprocess::labels_of;
use polycl_image::{Image, Mask, resize};

use crate::figures::digits::write_number;
use crate::figures::picture::{colour_of, encode};

/// Pixels along the longer side of a slice.
const SIDE: usize = 256;
const COLUMNS: usize = 5;
const GAP: usize = 4;

pub struct Montage {
    pub png: Vec<u8>,
    /// The numbers of the slices as the file has them, from 0, in the order of the picture: from the
    /// feet up, in rows.
    pub slices: Vec<usize>,
}

/// Up to `count` slices spread evenly over the scan, or over the part of it that a mask lies in, seen
/// from the feet as radiologists do, pixels as wide and high as they are in the patient. Each has its
/// number in the file; a mask is drawn as outlines, in [`colour_of`] its labels.
pub fn montage(
    image: &Image,
    mask: Option<&Mask>,
    [centre, width]: [f32; 2],
    count: usize,
) -> anyhow::Result<Montage> {
    let canonical = Reorientation::to_canonical(&image.space);
    let space = canonical.space(&image.space);
    let [nx, ny, nz] = space.shape;
    let shows = |k: &usize| mask.is_some_and(|mask| canonical.plane(mask, *k).iter().any(|&l| l != 0));
    let part = (0..nz).find(&shows).zip((0..nz).rev().find(shows));
    let (first, last) = part.unwrap_or((0, nz - 1));
    let chosen = spread(first, last, count);
    let size = size([nx, ny], space.spacing());
    let grey = |hu: f32| (((hu - centre) / width + 0.5).clamp(0.0, 1.0) * 255.0) as u8;
    let file_number = |k: usize| canonical.slice_from_canonical(k, &image.space);
    let tile = |&k: &usize| {
        let plane = resize::antialiased(&canonical.plane(image, k), [nx, ny], size);
        let mut tile: Vec<[u8; 3]> = plane.into_iter().map(|hu| [grey(hu); 3]).collect();
        if let Some(mask) = mask {
            outline(&mut tile, size, &canonical.plane(mask, k), [nx, ny]);
        }
        write_number(&mut tile, size, file_number(k));
        tile
    };
    let (whole, rgb) = together(&chosen.iter().map(tile).collect::<Vec<_>>(), size);
    Ok(Montage { png: encode(whole, &rgb)?, slices: chosen.into_iter().map(file_number).collect() })
}

/// Square slices as the network sees them, from `low`, black, to `high`, white; several have numbers from 1.
/// As a PNG.
pub fn squares(slices: &[Vec<f32>], [low, high]: [f32; 2]) -> anyhow::Result<Vec<u8>> {
    let side = slices[0].len().isqrt();
    let scale = SIDE.div_ceil(side);
    let size = [side * scale; 2];
    let tile = |(slice, number): (&Vec<f32>, usize)| {
        let value = |i: usize| slice[i % size[0] / scale + side * (i / size[0] / scale)];
        let grey = |value: f32| ((value - low) / (high - low) * 255.0).round() as u8;
        let mut tile: Vec<[u8; 3]> = (0..size[0] * size[1]).map(|i| [grey(value(i)); 3]).collect();
        if slices.len() > 1 {
            write_number(&mut tile, size, number);
        }
        tile
    };
    let (whole, rgb) = together(&slices.iter().zip(1..).map(tile).collect::<Vec<_>>(), size);
    encode(whole, &rgb)
}

/// Whole numbers from `first` to `last`, both among them where there are several.
fn spread(first: usize, last: usize, count: usize) -> Vec<usize> {
    let between = last - first;
    let count = count.clamp(1, between + 1);
    if count == 1 {
        return vec![first + between / 2];
    }
    (0..count).map(|i| first + (i * between + (count - 1) / 2) / (count - 1)).collect()
}

/// Pixels of the picture of a plane, at least one along either side.
fn size(pixels: [usize; 2], spacing: [f64; 3]) -> [usize; 2] {
    let extent = [0, 1].map(|axis| pixels[axis] as f64 * spacing[axis]);
    extent.map(|side| ((side / extent[0].max(extent[1]) * SIDE as f64).round() as usize).max(1))
}

/// Draws the border of every label of a plane, inside the label.
fn outline(tile: &mut [[u8; 3]], [width, height]: [usize; 2], plane: &[u16], [nx, ny]: [usize; 2]) {
    if labels_of(plane).next().is_none() {
        return;
    }
    let label = |x: usize, y: usize| plane[x * nx / width + nx * (y * ny / height)];
    for (i, pixel) in tile.iter_mut().enumerate() {
        let (x, y) = (i % width, i / width);
        let own = label(x, y);
        let around = [
            label(x.saturating_sub(1), y),
            label((x + 1).min(width - 1), y),
            label(x, y.saturating_sub(1)),
            label(x, (y + 1).min(height - 1)),
        ];
        if own != 0 && around != [own; 4] {
            *pixel = colour_of(own);
        }
    }
}

/// Tiles of one size in rows, on dark grey so that one tells where black slices end.
fn together(tiles: &[Vec<[u8; 3]>], [width, height]: [usize; 2]) -> ([usize; 2], Vec<[u8; 3]>) {
    let columns = COLUMNS.min(tiles.len());
    let whole = [columns * (width + GAP) - GAP, tiles.len().div_ceil(columns) * (height + GAP) - GAP];
    let mut rgb = vec![[48; 3]; whole[0] * whole[1]];
    for (i, tile) in tiles.iter().enumerate() {
        let (left, top) = (i % columns * (width + GAP), i / columns * (height + GAP));
        for (y, line) in tile.chunks_exact(width).enumerate() {
            rgb[(top + y) * whole[0] + left..][..width].copy_from_slice(line);
        }
    }
    (whole, rgb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_spread_from_end_to_end() {
        assert_eq!(spread(0, 132, 3), [0, 66, 132]);
        assert_eq!(spread(7, 9, 20), [7, 8, 9]);
        assert_eq!(spread(4, 4, 20), [4]);
        assert_eq!(spread(0, 10, 1), [5]);
        let many = spread(0, 132, 20);
        assert!(many.len() == 20 && many.windows(2).all(|two| [6, 7].contains(&(two[1] - two[0]))));
    }

    #[test]
    fn pictures_have_the_patients_proportions() {
        assert_eq!(size([512, 512], [0.7, 0.7, 5.0]), [256, 256]);
        assert_eq!(size([100, 100], [1.0, 2.0, 5.0]), [128, 256]);
        assert_eq!(size([4000, 1], [1.0, 1.0, 5.0]), [256, 1]);
    }
}
