//! The gate: judges without the truth if a refined mask is better than the coarse one.

use std::fmt;

/// The network's evidence about a component, beside the coarse mask.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    /// Intersection over union that the network predicts for its mask; the mean over boxes that are
    /// moved a little.
    pub predicted_iou: f32,
    /// Least intersection over union of the refined mask with those of the moved boxes.
    pub stability: f32,
    /// Dice of the refined mask with the coarse component.
    pub agreement: f32,
    /// Pixels that only the coarse component has, and those that only the refined mask has, as parts of
    /// the coarse component.
    pub lost: f32,
    pub gained: f32,
}

/// The choice for a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    Coarse,
    Refined,
    Union,
    Intersection,
    /// Decided for the network's mask, which then fitted the neighbouring slices less well.
    TakenBack,
    /// Too small to prompt the network; left as it is.
    Tiny,
}

impl Choice {
    /// True if the coarse mask stays as it is.
    pub fn keeps(self) -> bool {
        matches!(self, Self::Coarse | Self::TakenBack | Self::Tiny)
    }

    /// True if a pixel is inside, from its places in the coarse and in the refined mask.
    pub fn inside(self, coarse: bool, refined: bool) -> bool {
        match self {
            Self::Coarse | Self::TakenBack | Self::Tiny => coarse,
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
            Self::TakenBack => "taken back",
            Self::Tiny => "tiny",
        })
    }
}

/// Thresholds of the evidence. The numbers were chosen on degraded organs of CTs other than those that
/// refinement is measured on (docs/sam.md).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Gate {
    Measured {
        /// Predicted IoU from which on the network is sure.
        sure: f32,
        /// Agreement below which the answer is about something else, and from which on there is nothing to
        /// mend.
        other: f32,
        same: f32,
        /// Gain below which a sure network only takes away, and from which on it is not believed in what
        /// it takes away.
        little_more: f32,
        much_more: f32,
        /// An unsure network adds where its mask is stable, gains and loses this much at least.
        stable: f32,
        more: f32,
        less: f32,
        /// Gain from which on it is no correction but a leak.
        leak: f32,
    },
    /// Believes everything; for measurements.
    Open,
}

impl Default for Gate {
    fn default() -> Self {
        Self::Measured {
            sure: 0.89,
            other: 0.3,
            same: 0.91,
            little_more: 0.02,
            much_more: 0.22,
            stable: 0.3,
            more: 0.1,
            less: 0.03,
            leak: 2.0,
        }
    }
}

impl Gate {
    pub fn decide(&self, evidence: Evidence) -> Choice {
        let Self::Measured { sure, other, same, little_more, much_more, stable, more, less, leak } = *self
        else {
            return Choice::Refined;
        };
        let Evidence { predicted_iou, stability, agreement, lost, gained } = evidence;
        // Written so that what is no number changes nothing.
        let about_this = agreement >= other && gained < leak;
        match predicted_iou >= sure {
            _ if !about_this => Choice::Coarse,
            true if agreement >= same => Choice::Coarse,
            true if gained < little_more => Choice::Intersection,
            true if gained < much_more => Choice::Refined,
            true => Choice::Union,
            false if stability >= stable && gained >= more && lost >= less => Choice::Union,
            false => Choice::Coarse,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every kind of answer, told as a person would.
    #[test]
    fn decisions() {
        let evidence = |predicted_iou, stability, agreement, lost, gained| {
            Gate::default().decide(Evidence { predicted_iou, stability, agreement, lost, gained })
        };
        assert_eq!(evidence(0.96, 0.95, 0.97, 0.02, 0.04), Choice::Coarse, "nothing to mend");
        assert_eq!(evidence(0.96, 0.95, 0.80, 0.30, 0.01), Choice::Intersection, "a spill is cut off");
        assert_eq!(evidence(0.96, 0.95, 0.85, 0.15, 0.15), Choice::Refined, "a shift is put right");
        assert_eq!(evidence(0.96, 0.95, 0.75, 0.05, 0.50), Choice::Union, "a missed part is found");
        assert_eq!(evidence(0.70, 0.60, 0.60, 0.30, 0.50), Choice::Union, "unsure, but of more");
        assert_eq!(evidence(0.70, 0.10, 0.60, 0.30, 0.50), Choice::Coarse, "another box, another mask");
        assert_eq!(evidence(0.70, 0.60, 0.60, 0.60, 0.01), Choice::Coarse, "unsure, and of less");
        assert_eq!(evidence(0.95, 1.0, 0.0, 1.0, 0.0), Choice::Coarse, "an empty mask deletes nothing");
        assert_eq!(evidence(0.95, 0.9, 0.0, 1.0, 0.9), Choice::Coarse, "something beside it");
        assert_eq!(evidence(0.30, 0.5, 0.35, 0.05, 30.0), Choice::Coarse, "a leak over the body");
        assert_eq!(evidence(f32::NAN, f32::NAN, f32::NAN, 0.0, 0.0), Choice::Coarse);
        assert!(Choice::Intersection.inside(true, true) && !Choice::Intersection.inside(true, false));
    }
}
