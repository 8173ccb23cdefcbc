//! Slices as pictures: grey CT, masks as outlines.

use std::ops::Range;

use base64::Engine;
use polycl_volume::orient::Reorientation;
use polycl_volume::{Image, Mask};

/// Blue, orange and green: apart for the colour-blind, and on grey.
pub const TRUTH: [u8; 3] = [86, 180, 233];
pub const PREDICTION: [u8; 3] = [230, 159, 0];
pub const REFINED: [u8; 3] = [0, 200, 120];

/// The window of the pictures in HU: soft tissue.
const LOW: f32 = -160.0;
const WIDTH: f32 = 400.0;
/// Sides of pictures are at least this many pixels.
const SIDE: usize = 320;
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
    let picture = Picture::new(image.plane(k), nx, [0..nx, 0..ny])
        .outlined(&alone(&truth), TRUTH)
        .outlined(&alone(&prediction), PREDICTION);
    let png = base64::engine::general_purpose::STANDARD.encode(picture.png()?);
    Ok(Some(format!("data:image/png;base64,{png}")))
}

/// The slices of a scan in which most was changed from `before` to `after`, six at most, from the feet
/// up, with the outlines of both masks and of the truth if there is one; as a PNG. Cut to where the
/// masks are. `None` where nothing was changed.
pub fn changes(
    image: &Image,
    [before, after]: [&Mask; 2],
    truth: Option<&Mask>,
) -> anyhow::Result<Option<Vec<u8>>> {
    let reorientation = Reorientation::to_canonical(&image.space);
    let (image, before, after) =
        (reorientation.apply(image), reorientation.apply(before), reorientation.apply(after));
    let truth = truth.map(|truth| reorientation.apply(truth));
    let changed = |k: usize| before.plane(k).iter().zip(after.plane(k)).filter(|(a, b)| a != b).count();
    let mut slices: Vec<(usize, usize)> = (0..image.space.shape[2]).map(|k| (changed(k), k)).collect();
    slices.sort_unstable_by(|a, b| b.cmp(a));
    slices.retain(|(changed, _)| *changed > 0);
    slices.truncate(2 * COLUMNS);
    slices.sort_unstable_by_key(|&(_, k)| k);
    let slices: Vec<usize> = slices.into_iter().map(|(_, k)| k).collect();
    let masks: Vec<(&Mask, [u8; 3])> = [(&before, PREDICTION), (&after, REFINED)]
        .into_iter()
        .chain(truth.as_ref().map(|t| (t, TRUTH)))
        .collect();
    outlines(&image, &slices, &masks)
}

/// Six slices of what was found, at most, from the feet up and evenly apart, with its outlines, those of
/// what was drawn, and those of the truth if there is one; as a PNG. `None` where nothing was found.
pub fn spread(
    image: &Image,
    drawn: Option<&Mask>,
    found: &Mask,
    truth: Option<&Mask>,
) -> anyhow::Result<Option<Vec<u8>>> {
    let reorientation = Reorientation::to_canonical(&image.space);
    let canonical = |mask: &Mask| reorientation.apply(mask);
    let (drawn, found, truth) = (drawn.map(canonical), canonical(found), truth.map(canonical));
    let has = |mask: &Mask, k: usize| mask.plane(k).iter().any(|&l| l != 0);
    let own: Vec<usize> = (0..found.space.shape[2]).filter(|&k| has(&found, k)).collect();
    let Some(last) = own.len().checked_sub(1) else { return Ok(None) };
    let mut slices: Vec<usize> = (0..2 * COLUMNS).map(|i| own[(2 * i + 1) * last / (4 * COLUMNS)]).collect();
    // The first drawn slice takes the place of the nearest.
    if let Some(k) = drawn.as_ref().and_then(|drawn| own.iter().copied().find(|&k| has(drawn, k)))
        && let Some(nearest) = slices.iter_mut().min_by_key(|slice| slice.abs_diff(k))
    {
        *nearest = k;
    }
    slices.dedup();
    let masks: Vec<(&Mask, [u8; 3])> = [truth.as_ref().map(|t| (t, TRUTH)), Some((&found, REFINED))]
        .into_iter()
        .chain([drawn.as_ref().map(|d| (d, PREDICTION))])
        .flatten()
        .collect();
    outlines(&reorientation.apply(image), &slices, &masks)
}

/// Slices with the outlines of masks, all in canonical order. Cut to where the masks are.
fn outlines(image: &Image, slices: &[usize], masks: &[(&Mask, [u8; 3])]) -> anyhow::Result<Option<Vec<u8>>> {
    let planes = slices.iter().flat_map(|&k| masks.iter().map(move |(mask, _)| mask.plane(k)));
    let [nx, ny, _] = image.space.shape;
    let Some(part) = surroundings(planes, [nx, ny]) else { return Ok(None) };
    let pictures = slices.iter().map(|&k| {
        let picture = Picture::new(image.plane(k), nx, part.clone());
        masks.iter().fold(picture, |picture, (mask, colour)| picture.outlined(mask.plane(k), *colour))
    });
    Picture::together(&pictures.collect::<Vec<_>>()).png().map(Some)
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

/// An RGB picture of a part of a slice, each pixel of the slice `scale`² of its own.
struct Picture {
    /// Pixels in a row of the slice.
    row: usize,
    part: [Range<usize>; 2],
    scale: usize,
    rgb: Vec<[u8; 3]>,
}

impl Picture {
    fn new(plane: &[f32], row: usize, part: [Range<usize>; 2]) -> Self {
        let scale = SIDE.div_ceil(part[0].len().max(part[1].len()));
        let grey = |hu: f32| (((hu - LOW) / WIDTH).clamp(0.0, 1.0) * 255.0) as u8;
        let mut picture = Self { row, part, scale, rgb: Vec::new() };
        let [width, height] = picture.size();
        picture.rgb =
            (0..width * height).map(|i| [grey(plane[picture.voxel(i % width, i / width)]); 3]).collect();
        picture
    }

    fn size(&self) -> [usize; 2] {
        [self.part[0].len() * self.scale, self.part[1].len() * self.scale]
    }

    /// The slice's pixel under a picture's.
    fn voxel(&self, x: usize, y: usize) -> usize {
        self.part[0].start + x / self.scale + self.row * (self.part[1].start + y / self.scale)
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
        Self { row: size[0], part: size.map(|side| 0..side), scale: 1, rgb }
    }

    fn png(&self) -> anyhow::Result<Vec<u8>> {
        let [width, height] = self.size();
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, u32::try_from(width)?, u32::try_from(height)?);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_compression(png::Compression::High);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(self.rgb.as_flattened())?;
        writer.finish()?;
        Ok(file)
    }
}
