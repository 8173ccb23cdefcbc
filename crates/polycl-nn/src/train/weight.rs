//! Weights of the slices of a fine-tuning.

use polycl_data::Scan;
use serde::{Deserialize, Serialize};

/// The rule that weighs a slice whose mask no person has drawn. A slice that a person has
/// drawn always counts in full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabelWeight {
    /// The confidence of propagation, the lowest of the organs segmented: a slice in which nobody
    /// has looked for one of them does not count at all. In full where none is known, as in predictions.
    #[default]
    Confidence,
    /// All slices alike, as if all had been drawn by hand, but for those that a person has left undrawn.
    Equal,
    /// Nothing: only slices count in which a person has drawn every organ.
    Drawn,
}

impl LabelWeight {
    pub fn of(self, scan: &Scan, organs: &[String], slice: usize) -> f32 {
        match self {
            Self::Confidence => organs.iter().map(|o| scan.confidence(o, slice)).fold(1.0, f32::min),
            Self::Equal => f32::from(u8::from(!organs.iter().any(|organ| scan.left_undrawn(organ, slice)))),
            Self::Drawn => f32::from(u8::from(organs.iter().all(|organ| scan.by_hand(organ, slice)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Three slices of which a person drew the second; the spleen was sought in two.
    fn scan(origin: &str, trust: Value) -> Scan {
        serde_json::from_value(json!({
            "case": "a", "patient": "a", "slices": 3, "first_slice": 0, "shape": [32, 32, 3],
            "spacing": [1, 1, 1], "orientation": "LPS", "image": {"path": "a.nii", "sha256": ""},
            "fingerprint": "", "drawn": ["liver", "spleen"], "presence": {}, "origin": origin, "trust": trust,
        }))
        .unwrap()
    }

    #[test]
    fn the_least_believable_organ_decides() {
        let liver = json!({"confidence": [0.5, 1, 0.25], "by_hand": [[1, 1]]});
        let spleen = json!({"confidence": [0.75, 1, null], "by_hand": [[1, 1]]});
        let propagated = scan("propagated", json!({"liver": liver, "spleen": spleen}));
        let weights = |weight: LabelWeight, scan: &Scan, organs: &[&str]| {
            let organs: Vec<String> = organs.iter().map(|&organ| organ.to_owned()).collect();
            [0, 1, 2].map(|slice| weight.of(scan, &organs, slice))
        };
        use LabelWeight::{Confidence, Drawn, Equal};
        assert_eq!(weights(Confidence, &propagated, &["liver"]), [0.5, 1.0, 0.25]);
        assert_eq!(weights(Confidence, &propagated, &["liver", "spleen"]), [0.5, 1.0, 0.0]);
        assert_eq!(weights(Equal, &propagated, &["liver", "spleen"]), [1.0; 3]);
        assert_eq!(weights(Drawn, &propagated, &["liver", "spleen"]), [0.0, 1.0, 0.0]);
        for (origin, drawn) in [("hand", 1.0), ("predicted", 0.0)] {
            let scan = scan(origin, json!({}));
            assert_eq!(weights(Confidence, &scan, &["liver"]), [1.0; 3]);
            assert_eq!(weights(Drawn, &scan, &["liver"]), [drawn; 3]);
        }
    }
}
