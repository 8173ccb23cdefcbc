//! Two looks at one slice, as SimCLR takes them: a random part of it at full size, perhaps mirrored,
//! brighter or darker, with more or less contrast.

use polycl_base::rng::{Purpose, rng};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::augment::bilinear;

/// The distance of views from their slice. The defaults are the paper's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Views {
    /// The smallest part of the slice's area that is cropped and resized to the whole.
    pub area: f32,
    /// Flips half of the views left to right.
    pub flip: bool,
    /// Largest relative change of brightness and of contrast.
    pub jitter: f32,
}

impl Default for Views {
    fn default() -> Self {
        Self { area: 0.08, flip: true, jitter: 0.24 }
    }
}

/// Crops are up to 4 : 3 or 3 : 4, as in torchvision's `RandomResizedCrop`.
const ASPECT: f32 = 4.0 / 3.0;
/// Crops that do not fit are drawn again, so many times.
const TRIES: usize = 10;

impl Views {
    /// # Errors
    /// A sentence about the first value that makes no sense.
    pub fn check(&self) -> Result<(), String> {
        if !(self.area > 0.0 && self.area <= 1.0) {
            return Err(format!("an area of {} of a slice, not above 0 and up to 1", self.area));
        }
        if !(0.0..1.0).contains(&self.jitter) {
            return Err(format!("a jitter of {}, not from 0 to 1", self.jitter));
        }
        Ok(())
    }

    /// A view of a slice of `size`² pixels; the draw depends on the arguments alone.
    pub fn apply(&self, image: &[f32], size: usize, seed: u64, at: [u64; 2]) -> Vec<f32> {
        let mut rng = rng(seed, Purpose::View, at);
        let mut between = |low: f32, high: f32| low + (high - low) * rng.random::<f32>();
        let mut sides = [1.0; 2];
        for _ in 0..TRIES {
            let area = between(self.area, 1.0);
            let aspect = between(-ASPECT.ln(), ASPECT.ln()).exp();
            let drawn = [(area * aspect).sqrt(), (area / aspect).sqrt()];
            if drawn.iter().all(|&side| side <= 1.0) {
                sides = drawn;
                break;
            }
        }
        let corner = sides.map(|side| between(0.0, 1.0 - side));
        let (brightness, contrast) =
            (1.0 + between(-self.jitter, self.jitter), 1.0 + between(-self.jitter, self.jitter));
        let flip = self.flip && between(0.0, 1.0) < 0.5;
        // Where the centre of pixel `at` of the view lies in the slice.
        let place = |axis: usize, at: usize| {
            let part = (at as f32 + 0.5) / size as f32;
            let part = if flip && axis == 0 { 1.0 - part } else { part };
            (corner[axis] + sides[axis] * part) * size as f32 - 0.5
        };
        let cropped =
            (0..size * size).map(|i| bilinear(image, size, [place(0, i % size), place(1, i / size)]));
        let mut view: Vec<f32> = cropped.collect();
        jitter(&mut view, brightness, contrast);
        view
    }
}

/// As torchvision does it, but for the range, which is that of the slice: brightness scales from its lowest
/// value, contrast stretches around the mean.
fn jitter(image: &mut [f32], brightness: f32, contrast: f32) {
    let (low, high) = image.iter().fold((f32::MAX, f32::MIN), |(l, h), &x| (l.min(x), h.max(x)));
    image.iter_mut().for_each(|x| *x = (low + (*x - low) * brightness).min(high));
    let mean = image.iter().sum::<f32>() / image.len() as f32;
    image.iter_mut().for_each(|x| *x = (mean + (*x - mean) * contrast).clamp(low, high));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_view_is_the_slice() {
        let image: Vec<f32> = (0..64).map(|i| i as f32).collect();
        let still = Views { area: 1.0, flip: false, jitter: 0.0 };
        let view = still.apply(&image, 8, 3, [0, 0]);
        assert!(view.iter().zip(&image).all(|(a, b)| (a - b).abs() < 1e-4), "{view:?}");
    }

    #[test]
    fn views_differ_and_stay_in_the_range_of_the_slice() {
        let image: Vec<f32> = (0..256).map(|i| (i % 16) as f32 / 15.0).collect();
        let views: Vec<_> = (0..50).map(|at| Views::default().apply(&image, 16, 3, [at, 0])).collect();
        assert!(views.windows(2).all(|two| two[0] != two[1]));
        assert!(views.iter().flatten().all(|x| (0.0..=1.0).contains(x)));
        // The slice grows brighter from left to right, a flipped view from right to left.
        let flipped = views.iter().filter(|view| view[0] > view[15]).count();
        assert!((10..40).contains(&flipped), "{flipped} of 50 are flipped");
    }
}
