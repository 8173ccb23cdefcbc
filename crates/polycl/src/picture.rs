//! Slices as pictures: grey CT, truth and prediction as outlines.

use base64::Engine;
use polycl_volume::orient::Reorientation;
use polycl_volume::{Image, Mask};

/// Blue and orange: apart for the colour-blind, and on grey.
pub const TRUTH: [u8; 3] = [86, 180, 233];
pub const PREDICTION: [u8; 3] = [230, 159, 0];

/// The window of the pictures in HU: soft tissue.
const LOW: f32 = -160.0;
const WIDTH: f32 = 400.0;
/// Sides of pictures are at least this many pixels.
const SIDE: usize = 320;

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
    let outlines = [(truth.plane(k), TRUTH), (prediction.plane(k), PREDICTION)];
    let picture = Picture::new(image.plane(k), [nx, ny]).outlined(outlines, label);
    Ok(Some(picture.data_address()?))
}

/// An RGB picture, each pixel of the slice `scale`² of its own.
struct Picture {
    slice: [usize; 2],
    scale: usize,
    rgb: Vec<[u8; 3]>,
}

impl Picture {
    fn new(plane: &[f32], slice: [usize; 2]) -> Self {
        let scale = SIDE.div_ceil(slice[0].max(slice[1]));
        let grey = |hu: f32| (((hu - LOW) / WIDTH).clamp(0.0, 1.0) * 255.0) as u8;
        let mut picture = Self { slice, scale, rgb: Vec::new() };
        let [width, height] = picture.size();
        picture.rgb =
            (0..width * height).map(|i| [grey(plane[picture.voxel(i % width, i / width)]); 3]).collect();
        picture
    }

    fn size(&self) -> [usize; 2] {
        self.slice.map(|side| side * self.scale)
    }

    /// The slice's pixel under a picture's.
    fn voxel(&self, x: usize, y: usize) -> usize {
        x / self.scale + self.slice[0] * (y / self.scale)
    }

    /// Draws the border of `label` in each mask, one picture pixel wide, inside the label.
    fn outlined(mut self, masks: [(&[u16], [u8; 3]); 2], label: u16) -> Self {
        let [width, height] = self.size();
        for (mask, colour) in masks {
            for (x, y) in (0..width * height).map(|i| (i % width, i / width)) {
                let inside = |x: usize, y: usize| mask[self.voxel(x, y)] == label;
                let [left, right] = [x.saturating_sub(1), (x + 1).min(width - 1)];
                let [above, below] = [y.saturating_sub(1), (y + 1).min(height - 1)];
                let surrounded = inside(left, y) && inside(right, y) && inside(x, above) && inside(x, below);
                if inside(x, y) && !surrounded {
                    self.rgb[x + width * y] = colour;
                }
            }
        }
        self
    }

    fn data_address(&self) -> anyhow::Result<String> {
        let [width, height] = self.size();
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, u32::try_from(width)?, u32::try_from(height)?);
        encoder.set_color(png::ColorType::Rgb);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(self.rgb.as_flattened())?;
        writer.finish()?;
        Ok(format!("data:image/png;base64,{}", base64::engine::general_purpose::STANDARD.encode(file)))
    }
}
