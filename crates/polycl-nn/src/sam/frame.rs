//! The place of a slice in a network's input and the change of its values, as the code that each
//! network was published with does it.

use polycl_image::preprocess::Grid;
use polycl_image::resize;

use super::{Model, SamConfig};

/// Colour means and deviations of SAM's training images, on a scale of 0..255.
const MEAN: [f32; 3] = [123.675, 116.28, 103.53];
const DEVIATION: [f32; 3] = [58.395, 57.12, 57.375];

/// The way from values to a network's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    LiteMedSam,
    MedSam,
    /// All others of the first generation.
    Sam,
    /// SAM 2 and MedSAM2.
    Sam2,
}

/// A plane of nx · ny pixels in the first `content` pixels of the square input.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    style: Style,
    /// Side of the input.
    image: usize,
    /// Side of the masks that the decoder makes.
    masks: usize,
    shape: [usize; 2],
    content: [usize; 2],
}

/// The decoder's square grid, of which the plane fills the first `content` pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lattice {
    pub side: usize,
    pub content: [usize; 2],
    /// Millimetres between pixels along x and y.
    pub spacing: [f64; 2],
}

impl Frame {
    /// MedSAM stretches planes to its square; the others make the longest side fit. Where pixels are
    /// not square, which the original code does not know of, sides are measured in millimetres.
    pub fn new(model: Model, config: &SamConfig, Grid { shape, spacing }: Grid) -> Self {
        let image = config.image;
        let style = match model {
            Model::LiteMedSam => Style::LiteMedSam,
            Model::MedSam => Style::MedSam,
            Model::MobileSam | Model::SamVitB | Model::SamVitL | Model::SamVitH => Style::Sam,
        };
        let content = match style {
            Style::MedSam => [image; 2],
            _ => {
                let sides = [0, 1].map(|axis| shape[axis] as f64 * spacing[axis]);
                let scale = image as f64 / sides[0].max(sides[1]);
                // As `ResizeLongestSide` rounds.
                sides.map(|side| ((side * scale + 0.5) as usize).clamp(1, image))
            }
        };
        Self { style, image, masks: 4 * config.side(), shape, content }
    }

    /// SAM 2 stretches planes to its square, of side `image`.
    pub fn of_video(image: usize, Grid { shape, .. }: Grid) -> Self {
        Self { style: Style::Sam2, image, masks: image / 4, shape, content: [image; 2] }
    }

    /// A place in the network's input from one in the plane, both in pixels whose centres are whole
    /// numbers. Scales alone, without a shift of half a pixel: the networks were trained with boxes
    /// made so.
    pub fn model_from_voxel(&self, xy: [f32; 2]) -> [f32; 2] {
        [0, 1].map(|axis| xy[axis] * self.content[axis] as f32 / self.shape[axis] as f32)
    }

    /// A plane of HU, [ny, nx], as the network wants it: [image, image, 3]. `window` is its centre and
    /// width.
    pub fn prepare(&self, plane: &[f32], [centre, width]: [f32; 2]) -> Vec<f32> {
        let low = centre - width / 2.0;
        let windowed = plane.iter().map(|hu| ((hu - low) / width).clamp(0.0, 1.0));
        match self.style {
            // The published script resizes bytes by area; without rounding, and antialiased as the rest
            // of PolyCL, masks of a CT are better (docs/sam.md).
            Style::LiteMedSam => {
                let plane: Vec<f32> = windowed.collect();
                let resized = resize::antialiased(&plane, self.shape, self.content);
                self.padded(stretched(resized).into_iter().map(|x| [x; 3]))
            }
            Style::MedSam => {
                // The published script interpolates by cubic splines and then drops the fractions.
                let plane: Vec<f32> = windowed.map(|x| (x * 255.0).floor()).collect();
                let resized = resize::cubic(&plane, self.shape, self.content);
                let bytes = resized.iter().map(|x| x.clamp(0.0, 255.0).floor()).collect();
                self.padded(stretched(bytes).into_iter().map(|x| [x; 3]))
            }
            Style::Sam | Style::Sam2 => {
                let plane: Vec<u8> = windowed.map(|x| (x * 255.0) as u8).collect();
                self.prepare_grey(&plane)
            }
        }
    }

    /// A grey plane as SAM and SAM 2 want it.
    pub fn prepare_grey(&self, plane: &[u8]) -> Vec<f32> {
        let resized = self.resized(plane);
        self.coloured([&resized; 3])
    }

    /// Red, green and blue planes as SAM and SAM 2 want them.
    pub fn prepare_colour(&self, planes: [&[u8]; 3]) -> Vec<f32> {
        let [red, green, blue] = planes.map(|plane| self.resized(plane));
        self.coloured([&red, &green, &blue])
    }

    fn resized(&self, plane: &[u8]) -> Vec<u8> {
        match self.style {
            // PIL's default, by which upstream and MedSAM2's script resize frames.
            Style::Sam2 => resize::bicubic_bytes(plane, self.shape, self.content),
            _ => resize::antialiased_bytes(plane, self.shape, self.content),
        }
    }

    /// Resized planes less the mean colour, in units of its deviation.
    fn coloured(&self, resized: [&[u8]; 3]) -> Vec<f32> {
        let colour = |i: usize| {
            [0, 1, 2].map(|channel| (f32::from(resized[channel][i]) - MEAN[channel]) / DEVIATION[channel])
        };
        self.padded((0..resized[0].len()).map(colour))
    }

    /// Pixels in the first corner of the input, and zeros beyond.
    fn padded(&self, mut content: impl Iterator<Item = [f32; 3]>) -> Vec<f32> {
        let mut input = vec![0.0; self.image * self.image * 3];
        for row in input.chunks_exact_mut(3 * self.image).take(self.content[1]) {
            for (pixel, value) in row.chunks_exact_mut(3).zip(content.by_ref().take(self.content[0])) {
                pixel.copy_from_slice(&value);
            }
        }
        input
    }

    /// True if value `i` of a mask of the decoder is about the plane, not the padding beside it.
    pub fn holds(&self, i: usize) -> bool {
        let at = [i % self.masks, i / self.masks];
        (0..2).all(|axis| at[axis] * self.image < self.content[axis] * self.masks)
    }

    /// The grid of the decoder's masks.
    pub fn lattice(&self, spacing: [f64; 2]) -> Lattice {
        let content = self.content.map(|n| (n * self.masks).div_ceil(self.image));
        let sides = [0, 1].map(|axis| self.shape[axis] as f64 * spacing[axis]);
        let spacing = [0, 1].map(|axis| sides[axis] / content[axis] as f64);
        Lattice { side: self.masks, content, spacing }
    }

    /// Values of the plane on the decoder's grid, antialiased; 0 beside the plane.
    pub fn on_masks(&self, plane: &[f32]) -> Vec<f32> {
        let content = self.content.map(|n| (n * self.masks).div_ceil(self.image));
        let resized = resize::antialiased(plane, self.shape, content);
        let mut masks = vec![0.0; self.masks * self.masks];
        for (row, values) in masks.chunks_exact_mut(self.masks).zip(resized.chunks_exact(content[0])) {
            row[..content[0]].copy_from_slice(values);
        }
        masks
    }

    /// A drawn plane on the input's grid, zeros and ones, as SAM 2 takes it.
    pub fn on_input(&self, drawn: &[bool]) -> Vec<f32> {
        let plane: Vec<f32> = drawn.iter().map(|&inside| f32::from(u8::from(inside))).collect();
        if self.shape == [self.image; 2] {
            return plane;
        }
        let resized = resize::antialiased(&plane, self.shape, self.content);
        // A few pixels of a large plane may be less than half of any here; they are still drawn.
        let most = resized.iter().copied().fold(0.0, f32::max);
        let limit = if most > 0.0 { most.min(0.5) } else { 0.5 };
        resized.iter().map(|&share| f32::from(u8::from(share >= limit))).collect()
    }

    /// A place in the network's input from one on the decoder's grid, by the centres of pixels.
    pub fn model_from_masks(&self, xy: [f32; 2]) -> [f32; 2] {
        let scale = self.image as f32 / self.masks as f32;
        xy.map(|place| (place + 0.5) * scale - 0.5)
    }

    /// A mask of the decoder, [masks, masks], on the plane's pixels, [ny, nx]; above zero is inside.
    pub fn restore(&self, logits: &[f32]) -> Vec<f32> {
        let square = [self.masks; 2];
        match self.style {
            Style::Sam2 => resize::interpolated(logits, square, self.shape),
            // MedSAM interpolates probabilities; minus ½, their sign is what it decides by.
            Style::MedSam => {
                let inside: Vec<f32> = logits.iter().map(|x| 1.0 / (1.0 + (-x).exp()) - 0.5).collect();
                resize::interpolated(&inside, square, self.shape)
            }
            _ if self.masks == self.image => {
                resize::interpolated(&cropped(logits, self.masks, self.content), self.content, self.shape)
            }
            _ => {
                let whole = resize::interpolated(logits, square, [self.image; 2]);
                resize::interpolated(&cropped(&whole, self.image, self.content), self.content, self.shape)
            }
        }
    }
}

/// Values stretched to 0..1, as the medical networks want them; a plane of one value becomes 0.
fn stretched(mut values: Vec<f32>) -> Vec<f32> {
    let (low, high) =
        values.iter().fold((f32::MAX, f32::MIN), |(low, high), &value| (low.min(value), high.max(value)));
    let range = (high - low).max(1e-8);
    values.iter_mut().for_each(|value| *value = (*value - low) / range);
    values
}

/// The first `content` pixels of a square of `side`.
fn cropped(values: &[f32], side: usize, content: [usize; 2]) -> Vec<f32> {
    values.chunks_exact(side).take(content[1]).flat_map(|row| &row[..content[0]]).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_planes_that_are_not_square() {
        let config = Model::LiteMedSam.config();
        let frame = |shape, spacing| Frame::new(Model::LiteMedSam, &config, Grid { shape, spacing });
        let wide = frame([400, 200], [1.0, 1.0]);
        assert_eq!(wide.content, [256, 128]);
        assert_eq!(wide.model_from_voxel([100.0, 100.0]), [64.0, 64.0]);
        // As many pixels each way, but those along y are twice as long.
        let tall = frame([300, 300], [0.5, 1.0]);
        assert_eq!(tall.content, [128, 256]);
        assert_eq!(tall.model_from_voxel([150.0, 150.0]), [64.0, 128.0]);
    }

    /// A plane of SAM 2 comes back as it was drawn, but for the edge.
    #[test]
    fn what_is_drawn_for_sam_2() {
        let frame = Frame::of_video(512, Grid { shape: [90, 40], spacing: [1.0, 2.0] });
        let drawn: Vec<bool> = (0..90 * 40).map(|i| i % 90 < 45).collect();
        let input = frame.on_input(&drawn);
        assert_eq!(input.iter().filter(|&&x| x == 1.0).count(), 256 * 512);
        let logits: Vec<f32> = frame.on_masks(&input_plane(&drawn)).iter().map(|x| x - 0.5).collect();
        let back: Vec<bool> = frame.restore(&logits).iter().map(|&x| x > 0.0).collect();
        assert_eq!(back, drawn);
        assert_eq!(frame.model_from_voxel([45.0, 20.0]), [256.0, 256.0]);
    }

    fn input_plane(drawn: &[bool]) -> Vec<f32> {
        drawn.iter().map(|&inside| f32::from(u8::from(inside))).collect()
    }

    /// A mask that fills the content's left half fills the plane's left half.
    #[test]
    fn masks_come_back_to_their_place() {
        for model in [Model::LiteMedSam, Model::SamVitB, Model::MedSam] {
            let config = model.config();
            let frame = Frame::new(model, &config, Grid { shape: [90, 40], spacing: [1.0, 1.0] });
            let half = frame.content[0] * frame.masks / frame.image / 2;
            let logits: Vec<f32> = (0..frame.masks * frame.masks)
                .map(|i| if i % frame.masks < half { 5.0 } else { -5.0 })
                .collect();
            let plane = frame.restore(&logits);
            let inside = plane.iter().filter(|&&x| x > 0.0).count();
            assert_eq!(plane.len(), 90 * 40);
            assert!(inside.abs_diff(45 * 40) <= 40, "{model}: {inside} of {}", 45 * 40);
        }
    }

    #[test]
    fn a_plane_of_one_value_is_prepared_without_nan() {
        for model in [Model::LiteMedSam, Model::SamVitB, Model::MedSam] {
            let frame = Frame::new(model, &model.config(), Grid { shape: [3, 2], spacing: [1.0, 1.0] });
            assert!(frame.prepare(&[-1000.0; 6], [40.0, 400.0]).iter().all(|x| x.is_finite()), "{model}");
        }
    }
}
