//! How a frame of a video becomes the network's input, and masks come back to it: the frame is stretched
//! to a square, as upstream does it.

use polycl_volume::resize;

use super::Sam2Config;

/// Colour means and deviations of the training images, on a scale of 0..1.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

/// A plane of nx · ny pixels stretched to the square input.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    /// Side of the input.
    image: usize,
    shape: [usize; 2],
}

impl Frame {
    pub fn new(config: &Sam2Config, shape: [usize; 2]) -> Self {
        Self { image: config.image, shape }
    }

    /// A plane of HU, [ny, nx], as the network wants it: [image, image, 3]. `window` is its centre and
    /// width. As MedSAM2's script and upstream's reader of frames do: bytes, resized by PIL's default.
    pub fn prepare(&self, plane: &[f32], [centre, width]: [f32; 2]) -> Vec<f32> {
        let low = centre - width / 2.0;
        let bytes: Vec<u8> =
            plane.iter().map(|hu| (((hu - low) / width).clamp(0.0, 1.0) * 255.0) as u8).collect();
        self.normalised(&resize::bicubic_bytes(&bytes, self.shape, [self.image; 2]))
    }

    /// Grey pixels of the input.
    pub fn normalised(&self, grey: &[u8]) -> Vec<f32> {
        let colours = |&byte: &u8| [0, 1, 2].map(|c| (f32::from(byte) / 255.0 - MEAN[c]) / DEVIATION[c]);
        grey.iter().flat_map(colours).collect()
    }

    /// A mask on the plane, [ny, nx], as zeros and ones on the input's grid.
    pub fn draw(&self, mask: &[bool]) -> Vec<f32> {
        let mask: Vec<f32> = mask.iter().map(|&inside| f32::from(u8::from(inside))).collect();
        if self.shape == [self.image; 2] {
            return mask;
        }
        let resized = resize::antialiased(&mask, self.shape, [self.image; 2]);
        resized.iter().map(|&x| f32::from(u8::from(x >= 0.5))).collect()
    }

    /// A place in the network's input from one in the plane, both in pixels.
    pub fn model_from_voxel(&self, xy: [f32; 2]) -> [f32; 2] {
        [0, 1].map(|axis| xy[axis] * self.image as f32 / self.shape[axis] as f32)
    }

    /// A mask of the decoder, [image / 4, image / 4], on the plane's pixels, [ny, nx].
    pub fn restore(&self, logits: &[f32]) -> Vec<f32> {
        resize::interpolated(logits, [self.image / 4; 2], self.shape)
    }
}
