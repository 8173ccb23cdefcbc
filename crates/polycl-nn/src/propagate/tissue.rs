//! What an object is made of, told by its CT numbers.

use super::shape::Shape;
use crate::sam::Lattice;

/// Mean and deviation in HU within a drawn outline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tissue {
    pub mean: f32,
    pub deviation: f32,
}

impl Tissue {
    /// The border is left out, where pixels are of both sides.
    pub fn of(hu: &[f32], shape: &Shape, lattice: Lattice) -> Self {
        let border = lattice.spacing[0].max(lattice.spacing[1]) as f32;
        let inner: Vec<f32> = within(hu, &shape.distance, border);
        let values = if inner.len() >= 9 { inner } else { within(hu, &shape.distance, 0.0) };
        let n = values.len().max(1) as f32;
        let mean = values.iter().sum::<f32>() / n;
        let deviation = (values.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / n).sqrt();
        Self { mean, deviation }
    }

    /// The share of what is found that looks like it: within two and a half deviations of the mean.
    pub fn likeness(&self, hu: &[f32], logits: &[f32]) -> f32 {
        let values = within(hu, logits, 0.0);
        let far = 2.5 * self.deviation.max(10.0);
        let alike = values.iter().filter(|&&x| (x - self.mean).abs() < far).count();
        alike as f32 / values.len().max(1) as f32
    }
}

fn within(hu: &[f32], values: &[f32], above: f32) -> Vec<f32> {
    hu.iter().zip(values).filter(|(_, value)| **value > above).map(|(hu, _)| *hu).collect()
}
