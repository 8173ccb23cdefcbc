//! The tissue of an object, told by its CT numbers.

/// Deviations from the mean from which on a pixel speaks against being inside, and how much each more
/// counts, in logits.
const FAR: f32 = 1.5;
const WEIGHT: f32 = 4.0;
/// Deviations of the mean of what is found from which on it is something else.
const OTHER: f32 = 1.5;
/// No tissue is known better than this, in HU.
const LEAST_DEVIATION: f32 = 15.0;

/// Mean and deviation in HU within a drawn outline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tissue {
    mean: f32,
    deviation: f32,
}

impl Tissue {
    /// The tissue of the pixels whose distance from the border is above zero.
    pub fn of(hu: &[f32], distance: &[f32]) -> Self {
        let inside = || hu.iter().zip(distance).filter(|(_, d)| **d > 0.0).map(|(hu, _)| *hu);
        let count = inside().count().max(1) as f32;
        let mean = inside().sum::<f32>() / count;
        let deviation = (inside().map(|x| (x - mean).powi(2)).sum::<f32>() / count).sqrt();
        Self { mean, deviation: deviation.max(LEAST_DEVIATION) }
    }

    /// Takes from the logits of pixels that do not look like it.
    pub fn weigh(&self, hu: &[f32], logits: &mut [f32]) {
        for (logit, hu) in logits.iter_mut().zip(hu) {
            let away = (hu - self.mean).abs() / self.deviation;
            *logit -= WEIGHT * (away - FAR).max(0.0);
        }
    }

    /// True if the pixels above zero look like this tissue as a whole.
    pub fn is_like(&self, hu: &[f32], logits: &[f32]) -> bool {
        let found = Self::of(hu, logits);
        (found.mean - self.mean).abs() <= OTHER * self.deviation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_tissue_is_told_apart() {
        let hu: Vec<f32> = (0..100).map(|i| if i < 50 { 60.0 + (i % 10) as f32 } else { -100.0 }).collect();
        let drawn: Vec<f32> = (0..100).map(|i| if i < 50 { 1.0 } else { -1.0 }).collect();
        let tissue = Tissue::of(&hu, &drawn);
        assert!(tissue.is_like(&hu, &drawn));
        let beside: Vec<f32> = drawn.iter().map(|d| -d).collect();
        assert!(!tissue.is_like(&hu, &beside));
        let mut logits = vec![5.0; 100];
        tissue.weigh(&hu, &mut logits);
        assert!(logits[..50].iter().all(|&x| x == 5.0) && logits[50..].iter().all(|&x| x < -5.0));
    }
}
