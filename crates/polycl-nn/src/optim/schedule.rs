use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// The fall of the learning rate over a training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    Constant,
    /// Half a cosine from the full rate to (almost) none over the whole training
    /// (`CosineAnnealingLR`; Loshchilov and Hutter 2017).
    #[default]
    Cosine,
    /// Half cosines of 1, 2, 4, … parts, each beginning at the full rate again
    /// (`CosineAnnealingWarmRestarts` with `T_mult` 2); three of them fill the training.
    Restarts,
}

/// Cosine periods that [`Schedule::Restarts`] fits into a training: 1 + 2 + 4 parts.
const PARTS: f64 = 7.0;

impl Schedule {
    /// The factor on the learning rate at step `step` of `steps`.
    pub fn factor(self, step: usize, steps: usize) -> f64 {
        let (step, steps) = (step as f64, steps.max(1) as f64);
        match self {
            Self::Constant => 1.0,
            Self::Cosine => half_cosine(step / steps),
            Self::Restarts => {
                let (within, period) = restart(step, steps / PARTS);
                half_cosine(within / period)
            }
        }
    }
}

/// The factor where the first `warmup` of all steps, a part of them, climb to the full rate in a line, and the
/// schedule begins after them.
pub fn warmed_up(schedule: Schedule, warmup: f64, step: usize, steps: usize) -> f64 {
    let climb = if warmup > 0.0 { ((warmup * steps as f64).round() as usize).max(1) } else { 0 };
    if step < climb {
        (step + 1) as f64 / climb as f64
    } else {
        schedule.factor(step - climb, steps.saturating_sub(climb))
    }
}

/// From 1 at 0 to 0 at 1.
pub fn half_cosine(progress: f64) -> f64 {
    (1.0 + (PI * progress.min(1.0)).cos()) / 2.0
}

/// The position within the current period and that period's length, when each is twice as long
/// as the one before and the first is `first`.
pub fn restart(step: f64, first: f64) -> (f64, f64) {
    let (mut begin, mut period) = (0.0, first);
    while step >= begin + period && period.is_finite() && period > 0.0 {
        begin += period;
        period *= 2.0;
    }
    (step - begin, period)
}
