//! Results of both ways merged into labels.

use std::collections::BTreeMap;

use polycl_base::Result;
use polycl_data::Origin;
use polycl_data::provenance::propagation::{Evidence, Row};
use polycl_image::components::keep_anchored;
use polycl_image::orient::Reorientation;
use polycl_image::{Mask, Volume};
use polycl_metrics::dice_of;

use super::answer::{Answer, Answers, Pass};
use super::confidence::{Suggestion, by_hand, rate, suggest};
use super::journal::Journal;
use super::object::Object;
use super::request::Request;
use super::scene::Scene;

/// The volume, and how far it can be believed.
pub struct Propagated {
    pub mask: Mask,
    /// Each label in each slice, by label and slice of the file.
    pub rows: Vec<Row>,
    /// The slice that most deserves to be drawn next.
    pub suggestion: Option<Suggestion>,
}

/// Brings the answers of all passes together, slice by slice.
pub fn merge(
    request: &Request<'_>,
    journal: &Journal,
    scene: &Scene<'_>,
    scores: bool,
) -> Result<Propagated> {
    let space = &request.image.space;
    let mut mask: Mask = Volume { space: space.clone(), voxels: vec![0; space.voxels()] };
    let mut rows = Vec::new();
    for k in request.range.clone() {
        let kept = [Pass::Prompts, Pass::Up, Pass::Down].map(|pass| journal.get(pass, k).unwrap_or_default());
        let drawn = request.annotation.map(|annotation| scene.order.plane(annotation, k));
        let mut drawing = Drawing::new(drawn.as_deref(), scene.grid.shape[0] * scene.grid.shape[1]);
        for object in request.objects {
            let slice = scene.order.slice_from_canonical(k, space);
            if object.drawn.contains(&k) {
                rows.push(by_hand(object.label, slice));
            } else if let Some((answer, agreement)) = blended(object, k, &kept) {
                if answer.is_there() {
                    drawing.add(object.label, &scene.frame.restore(&answer.logits));
                }
                let away = object.shown().iter().map(|s| s.abs_diff(k)).min().unwrap_or(0);
                rows.push(Row {
                    label: object.label,
                    slice,
                    origin: Origin::Propagated,
                    pixels: 0,
                    confidence: 0.0,
                    predicted_iou: Some(answer.predicted_iou),
                    object_score: scores.then_some(answer.presence),
                    evidence: Some(Evidence { agreement, continuity: 0.0, away: away as f32 }),
                });
            }
        }
        scene.order.put_plane(&mut mask, k, &drawing.labels);
    }
    for object in request.objects {
        anchor(&mut mask, object, &scene.order);
    }
    count(&mask, &scene.order, &mut rows);
    rows.iter_mut().for_each(rate);
    rows.sort_by_key(|row| (row.label, row.slice));
    let suggestion = suggest(&rows);
    Ok(Propagated { mask, rows, suggestion })
}

/// The answer about an object in a slice, and how well both ways agree where both have come by.
fn blended(object: &Object, k: usize, kept: &[Answers; 3]) -> Option<(Answer, Option<f32>)> {
    let [prompts, up, down] = kept;
    if object.prompted.contains_key(&k) {
        return Some((prompts.get(&object.label)?.clone(), None));
    }
    let (up, down) = match (up.get(&object.label), down.get(&object.label)) {
        (Some(up), Some(down)) => (up, down),
        (one, other) => return Some((one.or(other)?.clone(), None)),
    };
    let share = match object.around(k) {
        [Some(below), Some(above)] => (k - below) as f32 / (above - below) as f32,
        _ => 0.5,
    };
    let mixed = |up: f32, down: f32| up + (down - up) * share;
    let answer = Answer {
        logits: up.logits.iter().zip(&down.logits).map(|(up, down)| mixed(*up, *down)).collect(),
        predicted_iou: mixed(up.predicted_iou, down.predicted_iou),
        presence: mixed(up.presence, down.presence),
        trace: None,
    };
    let agreement = dice_of(up.logits.iter().zip(&down.logits).map(|(&up, &down)| (up > 0.0, down > 0.0)));
    Some((answer, Some(agreement.unwrap_or(1.0) as f32)))
}

/// The labels of a slice. What is drawn stays; elsewhere the surest label has a pixel.
struct Drawing<'a> {
    drawn: Option<&'a [u16]>,
    labels: Vec<u16>,
    votes: Vec<f32>,
}

impl<'a> Drawing<'a> {
    fn new(drawn: Option<&'a [u16]>, pixels: usize) -> Self {
        let labels = drawn.map_or_else(|| vec![0; pixels], <[u16]>::to_vec);
        Self { drawn, labels, votes: vec![0.0; pixels] }
    }

    fn add(&mut self, label: u16, votes: &[f32]) {
        for (i, &vote) in votes.iter().enumerate() {
            if vote > self.votes[i] && self.drawn.is_none_or(|drawn| drawn[i] == 0) {
                (self.labels[i], self.votes[i]) = (label, vote);
            }
        }
    }
}

/// Drops what is connected to no slice in which the object is shown.
fn anchor(mask: &mut Mask, object: &Object, order: &Reorientation) {
    let space = mask.space.clone();
    let axis = order.slice_axis();
    let stride: usize = space.shape[..axis].iter().product();
    let in_shown: Vec<bool> =
        (0..space.shape[axis]).map(|k| object.is_shown(order.slice_to_canonical(k, &space))).collect();
    keep_anchored(mask, object.label, |voxel| in_shown[voxel / stride % space.shape[axis]]);
}

/// Counts what is left, and compares each slice with its neighbours.
fn count(mask: &Mask, order: &Reorientation, rows: &mut [Row]) {
    let slices = mask.space.shape[order.slice_axis()];
    let mut of_slice: BTreeMap<usize, Vec<&mut Row>> = BTreeMap::new();
    for row in rows.iter_mut() {
        of_slice.entry(order.slice_to_canonical(row.slice, &mask.space)).or_default().push(row);
    }
    for (k, rows) in of_slice {
        let plane = order.plane(mask, k);
        let near: Vec<Vec<u16>> = [k.checked_sub(1), Some(k + 1)]
            .into_iter()
            .flatten()
            .filter(|&k| k < slices)
            .map(|k| order.plane(mask, k))
            .collect();
        for row in rows {
            row.pixels = plane.iter().filter(|&&l| l == row.label).count();
            if let Some(evidence) = &mut row.evidence {
                let label = row.label;
                let fit = near.iter().map(|other| {
                    let both = plane.iter().zip(other).map(|(&a, &b)| (a == label, b == label));
                    dice_of(both).unwrap_or(1.0) as f32
                });
                evidence.continuity = fit.sum::<f32>() / near.len().max(1) as f32;
            }
        }
    }
}
