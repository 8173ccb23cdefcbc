//! Slices as pictures: grey CT, masks as outlines.

use std::ops::Range;

use base64::Engine;
use polycl_image::orient::Reorientation;
use polycl_image::preprocess::labels_of;
use polycl_image::{Image, Mask, Plane, Space};

use crate::figures::digits::write_number;
use crate::figures::surface;

/// Blue, orange and green: apart for the colour-blind, and on grey.
pub const TRUTH: [u8; 3] = [86, 180, 233];
pub const PREDICTION: [u8; 3] = [230, 159, 0];
pub const REFINED: [u8; 3] = [0, 200, 120];

/// The window of the pictures in HU: soft tissue.
const LOW: f32 = -160.0;
const WIDTH: f32 = 400.0;
/// Sides of pictures are at least this many pixels.
const SIDE: usize = 320;
/// Pixels are square whose sides differ by less, and shown shorter whose sides differ by more.
const SQUARE: f64 = 1.01;
const LONGEST: f64 = 16.0;
/// Pictures in a row of several.
const COLUMNS: usize = 3;

/// The slice that shows most of `label` in the truth, seen from the feet as radiologists do, with
/// the outlines of truth and prediction; as a PNG in a `data:` address. `None` where the truth is
/// empty.
pub fn overlay(image: &Image, truth: &Mask, prediction: &Mask, label: u16) -> anyhow::Result<Option<String>> {
    let reorientation = Reorientation::to_canonical(&image.space);
    let (image, truth, prediction) =
        (reorientation.apply(image), reorientation.apply(truth), reorientation.apply(prediction));
    let area = |k: &usize| truth.plane(*k).iter().filter(|&&l| l == label).count();
    let Some(k) = (0..image.space.shape[2]).max_by_key(area).filter(|k| area(k) > 0) else {
        return Ok(None);
    };
    let [nx, ny, _] = image.space.shape;
    let alone =
        |mask: &Mask| -> Vec<u16> { mask.plane(k).iter().map(|&l| if l == label { l } else { 0 }).collect() };
    let picture = Picture::new(image.plane(k), &image.space, [0..nx, 0..ny])
        .outlined(&alone(&truth), TRUTH)
        .outlined(&alone(&prediction), PREDICTION);
    Ok(Some(address(&picture.png()?)))
}

/// The slices of a scan in which most was changed from `before` to `after`, six at most, from the feet
/// up, with their numbers in the file and the outlines of both masks and of the truth if there is one; as a PNG. Cut to
/// where the masks are. `None` where nothing was changed.
pub fn changes(
    image: &Image,
    [before, after]: [&Mask; 2],
    truth: Option<&Mask>,
) -> anyhow::Result<Option<Vec<u8>>> {
    let (space, reorientation) = (&image.space, Reorientation::to_canonical(&image.space));
    let (image, before, after) =
        (reorientation.apply(image), reorientation.apply(before), reorientation.apply(after));
    let truth = truth.map(|truth| reorientation.apply(truth));
    let changed = |k: usize| before.plane(k).iter().zip(after.plane(k)).filter(|(a, b)| a != b).count();
    let mut slices: Vec<(usize, usize)> = (0..image.space.shape[2]).map(|k| (changed(k), k)).collect();
    slices.sort_unstable_by(|a, b| b.cmp(a));
    slices.retain(|(changed, _)| *changed > 0);
    slices.truncate(2 * COLUMNS);
    slices.sort_unstable_by_key(|&(_, k)| k);
    let masks: Vec<(&Mask, [u8; 3])> = [(&before, PREDICTION), (&after, REFINED)]
        .into_iter()
        .chain(truth.as_ref().map(|t| (t, TRUTH)))
        .collect();
    let planes = slices.iter().flat_map(|&(_, k)| masks.iter().map(move |(mask, _)| mask.plane(k)));
    let [nx, ny, _] = image.space.shape;
    let Some(part) = surroundings(planes, [nx, ny]) else { return Ok(None) };
    let pictures = slices.iter().map(|&(_, k)| {
        let picture = Picture::new(image.plane(k), &image.space, part.clone());
        let outlined =
            masks.iter().fold(picture, |picture, (mask, colour)| picture.outlined(mask.plane(k), *colour));
        outlined.numbered(reorientation.slice_from_canonical(k, space))
    });
    Picture::together(&pictures.collect::<Vec<_>>()).png().map(Some)
}

/// A picture of a propagation: the drawn slice that shows most, four others from the feet up,
/// and the surface from the front; as a PNG. Planes of any kind are the slices, with their numbers in the file. Outlines by hand, of the truth as
/// well if there is one, are blue, others have a colour for each label. `drawn` tells whether somebody drew a label
/// in a slice, as [`Plane`] counts them. `None` where the mask is empty.
pub fn propagation(
    (image, plane): (&Image, Plane),
    (found, truth): (&Mask, Option<&Mask>),
    drawn: impl Fn(usize, u16) -> bool,
) -> anyhow::Result<Option<Vec<u8>>> {
    let (space, order) = (&image.space, plane.order(&image.space));
    let (image, mask) = (order.apply(image), order.apply(found));
    let truth = truth.map(|truth| order.apply(truth));
    let area = |k: usize| mask.plane(k).iter().filter(|&&l| l != 0).count();
    let by_hand = |k: &usize| labels_of(mask.plane(*k)).into_iter().any(|label| drawn(*k, label));
    let [nx, ny, nz] = image.space.shape;
    let (own, others): (Vec<usize>, Vec<usize>) = (0..nz).filter(|&k| area(k) > 0).partition(by_hand);
    let own = own.into_iter().max_by_key(|&k| area(k));
    let count = others.len().min(2 * COLUMNS - 1 - usize::from(own.is_some()));
    let spread = (0..count).map(|i| others[(2 * i + 1) * others.len() / (2 * count)]);
    let slices: Vec<usize> = own.into_iter().chain(spread).collect();
    let planes = slices.iter().map(|&k| mask.plane(k));
    let Some(part) = surroundings(planes, [nx, ny]) else { return Ok(None) };
    let mut pictures: Vec<Picture> = Vec::new();
    for k in slices {
        let plane = mask.plane(k);
        let outlined = |picture: Picture, label: u16| {
            let alone: Vec<u16> = plane.iter().map(|&l| if l == label { l } else { 0 }).collect();
            picture.outlined(&alone, if drawn(k, label) { TRUTH } else { colour_of(label) })
        };
        let mut picture = Picture::new(image.plane(k), &image.space, part.clone());
        if let Some(truth) = &truth {
            picture = picture.outlined(truth.plane(k), TRUTH);
        }
        let picture = labels_of(plane).fold(picture, outlined);
        pictures.push(picture.numbered(order.slice_from_canonical(k, space)));
    }
    let size = pictures[0].size();
    let canonical = Reorientation::to_canonical(&found.space).apply(found);
    let rgb = surface::view(&canonical, size, colour_of);
    pictures.push(Picture { row: size[0], part: size.map(|side| 0..side), scale: [1.0; 2], rgb });
    Picture::together(&pictures).png().map(Some)
}

/// Colours of labels: six that are apart for the colour-blind, and none of them that of drawn
/// outlines.
const COLOURS: [([u8; 3], &str); 6] = [
    (PREDICTION, "orange"),
    (REFINED, "green"),
    ([240, 228, 66], "yellow"),
    ([213, 94, 0], "red"),
    ([204, 121, 167], "pink"),
    ([200, 200, 200], "grey"),
];

/// The address under which a page holds a PNG within itself.
pub fn address(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", base64::engine::general_purpose::STANDARD.encode(png))
}

/// One of the six.
pub fn colour_of(label: u16) -> [u8; 3] {
    COLOURS[place_of(label)].0
}

/// The name of [`colour_of`] a label.
pub fn colour_name(label: u16) -> &'static str {
    COLOURS[place_of(label)].1
}

fn place_of(label: u16) -> usize {
    usize::from(label).saturating_sub(1) % COLOURS.len()
}

/// The columns and rows that hold all labels of some planes, and a quarter more around them.
fn surroundings<'a>(
    planes: impl Iterator<Item = &'a [u16]>,
    [nx, ny]: [usize; 2],
) -> Option<[Range<usize>; 2]> {
    let (mut low, mut high) = ([usize::MAX; 2], [0; 2]);
    for plane in planes {
        for i in (0..plane.len()).filter(|&i| plane[i] != 0) {
            for (axis, at) in [i % nx, i / nx].into_iter().enumerate() {
                low[axis] = low[axis].min(at);
                high[axis] = high[axis].max(at + 1);
            }
        }
    }
    let margin = (high[0].checked_sub(low[0])?.max(high[1] - low[1])) / 4;
    Some([(0, nx), (1, ny)].map(|(axis, n)| low[axis].saturating_sub(margin)..(high[axis] + margin).min(n)))
}

/// An RGB picture of a part of a slice, in the right proportions.
struct Picture {
    /// Pixels in a row of the slice.
    row: usize,
    part: [Range<usize>; 2],
    /// Pixels of its own for each of the slice, along x and y.
    scale: [f64; 2],
    rgb: Vec<[u8; 3]>,
}

impl Picture {
    fn new(plane: &[f32], space: &Space, part: [Range<usize>; 2]) -> Self {
        let (row, [dx, dy, _]) = (space.shape[0], space.spacing());
        let stretch = [dx, dy].map(|side| (side / dx.min(dy)).min(LONGEST));
        // Affines are rounded.
        let stretch = if stretch.iter().all(|&side| side < SQUARE) { [1.0; 2] } else { stretch };
        let sides = [0, 1].map(|axis| part[axis].len() as f64 * stretch[axis]);
        let whole = (SIDE as f64 / sides[0].max(sides[1])).ceil();
        let scale = stretch.map(|side| side * whole);
        let grey = |hu: f32| (((hu - LOW) / WIDTH).clamp(0.0, 1.0) * 255.0) as u8;
        let mut picture = Self { row, part, scale, rgb: Vec::new() };
        let [width, height] = picture.size();
        picture.rgb =
            (0..width * height).map(|i| [grey(plane[picture.voxel(i % width, i / width)]); 3]).collect();
        picture
    }

    fn size(&self) -> [usize; 2] {
        [0, 1].map(|axis| (self.part[axis].len() as f64 * self.scale[axis]) as usize)
    }

    /// The slice's pixel under a picture's.
    fn voxel(&self, x: usize, y: usize) -> usize {
        let [x, y] = [(x, 0), (y, 1)].map(|(at, axis)| (at as f64 / self.scale[axis]) as usize);
        self.part[0].start + x + self.row * (self.part[1].start + y)
    }

    /// Draws the border of every label of a mask, two picture pixels wide, inside the label.
    fn outlined(mut self, mask: &[u16], colour: [u8; 3]) -> Self {
        let [width, height] = self.size();
        for (x, y) in (0..width * height).map(|i| (i % width, i / width)) {
            let label = |x: usize, y: usize| mask[self.voxel(x, y)];
            let [left, right] = [x.saturating_sub(2), (x + 2).min(width - 1)];
            let [above, below] = [y.saturating_sub(2), (y + 2).min(height - 1)];
            let own = label(x, y);
            let surrounded = [label(left, y), label(right, y), label(x, above), label(x, below)] == [own; 4];
            if own != 0 && !surrounded {
                self.rgb[x + width * y] = colour;
            }
        }
        self
    }

    /// Writes a slice's number into the corner.
    fn numbered(mut self, number: usize) -> Self {
        let size = self.size();
        write_number(&mut self.rgb, size, number);
        self
    }

    /// Pictures of one size in rows, a few black pixels apart.
    fn together(pictures: &[Self]) -> Self {
        const GAP: usize = 4;
        let [width, height] = pictures[0].size();
        let columns = COLUMNS.min(pictures.len());
        let size = [columns * (width + GAP) - GAP, pictures.len().div_ceil(columns) * (height + GAP) - GAP];
        let mut rgb = vec![[0; 3]; size[0] * size[1]];
        for (i, picture) in pictures.iter().enumerate() {
            let (left, top) = (i % columns * (width + GAP), i / columns * (height + GAP));
            for (y, line) in picture.rgb.chunks_exact(width).enumerate() {
                rgb[(top + y) * size[0] + left..][..width].copy_from_slice(line);
            }
        }
        Self { row: size[0], part: size.map(|side| 0..side), scale: [1.0; 2], rgb }
    }

    fn png(&self) -> anyhow::Result<Vec<u8>> {
        encode(self.size(), &self.rgb)
    }
}

/// A PNG of pixels in rows.
pub fn encode([width, height]: [usize; 2], rgb: &[[u8; 3]]) -> anyhow::Result<Vec<u8>> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, u32::try_from(width)?, u32::try_from(height)?);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::High);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgb.as_flattened())?;
    writer.finish()?;
    Ok(file)
}
