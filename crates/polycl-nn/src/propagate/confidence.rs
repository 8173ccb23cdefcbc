//! The confidence of each slice, and the slice to draw next.

use polycl_data::Origin;
use polycl_data::provenance::propagation::Row;

/// The slice that most deserves to be drawn next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Suggestion {
    pub label: u16,
    pub slice: usize,
    pub confidence: f32,
}

/// The row of a slice that a person drew.
pub fn by_hand(label: u16, slice: usize) -> Row {
    Row {
        label,
        slice,
        origin: Origin::Hand,
        pixels: 0,
        confidence: 1.0,
        predicted_iou: None,
        object_score: None,
        evidence: None,
    }
}

/// Confidence by what was measured: predicted IoU alone ranks slices best. Where nothing was found it
/// speaks for that instead, or the network's own score does.
pub fn rate(row: &mut Row) {
    let Some(iou) = row.predicted_iou else { return };
    let iou = iou.clamp(0.0, 1.0);
    row.confidence = match row.object_score {
        _ if row.pixels > 0 => iou,
        Some(score) => 1.0 / (1.0 + score.exp()),
        None => 1.0 - iou,
    };
}

/// The slice where most pixels are in doubt.
pub fn suggest(rows: &[Row]) -> Option<Suggestion> {
    let doubt = |row: &&Row| (1.0 - row.confidence) * row.pixels as f32;
    let found = rows.iter().filter(|row| row.origin == Origin::Propagated && row.pixels > 0);
    let row = found.max_by(|a, b| doubt(a).total_cmp(&doubt(b)))?;
    Some(Suggestion { label: row.label, slice: row.slice, confidence: row.confidence })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slice_with_most_doubtful_pixels_is_to_be_drawn() {
        let row = |slice, pixels, iou| {
            let propagated =
                Row { origin: Origin::Propagated, predicted_iou: Some(iou), ..by_hand(1, slice) };
            let mut row = Row { pixels, ..propagated };
            rate(&mut row);
            row
        };
        let rows = [row(0, 0, 0.2), row(1, 10, 0.5), row(2, 100, 0.9), by_hand(1, 3), row(4, 100, 0.99)];
        assert_eq!(rows.iter().map(|row| row.confidence).collect::<Vec<_>>(), [0.8, 0.5, 0.9, 1.0, 0.99]);
        assert_eq!(suggest(&rows).map(|s| s.slice), Some(2));
        assert_eq!(suggest(&rows[3..4]), None);
    }
}
