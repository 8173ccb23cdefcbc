//! Whether a refined mask is better than the coarse one, told without the truth.

use std::fmt;

/// What the network says of a component, beside the coarse mask.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    /// Intersection over union that the network predicts for its mask.
    pub predicted_iou: f32,
    /// Least intersection over union of the refined mask with those of shifted boxes.
    pub stability: f32,
    /// Dice of the refined mask with the coarse component.
    pub agreement: f32,
    /// Pixels of the refined mask for each of the coarse one's.
    pub growth: f32,
}

/// What becomes of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    Coarse,
    Refined,
    Union,
    Intersection,
    /// Too small to prompt the network; left as it is.
    Tiny,
}

impl Choice {
    /// Whether a pixel is inside, from whether it is in the coarse and in the refined mask.
    pub fn inside(self, coarse: bool, refined: bool) -> bool {
        match self {
            Self::Coarse | Self::Tiny => coarse,
            Self::Refined => refined,
            Self::Union => coarse || refined,
            Self::Intersection => coarse && refined,
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Coarse => "coarse",
            Self::Refined => "refined",
            Self::Union => "union",
            Self::Intersection => "intersection",
            Self::Tiny => "tiny",
        })
    }
}

/// From which evidence on a refined mask is believed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gate {
    pub predicted_iou: f32,
    pub stability: f32,
    pub agreement: f32,
}

impl Default for Gate {
    fn default() -> Self {
        Self { predicted_iou: 0.85, stability: 0.85, agreement: 0.7 }
    }
}

impl Gate {
    /// Believes everything.
    pub const OPEN: Self = Self { predicted_iou: f32::MIN, stability: f32::MIN, agreement: f32::MIN };

    pub fn decide(&self, evidence: Evidence) -> Choice {
        let believed = evidence.predicted_iou >= self.predicted_iou
            && evidence.stability >= self.stability
            && evidence.agreement >= self.agreement;
        if believed { Choice::Refined } else { Choice::Coarse }
    }
}
