//! Objects followed by boxes: what was found in one slice says where to look in the next. The numbers
//! were chosen on CTs other than those that propagation is measured on (docs/propagation.md).

use std::sync::Arc;

use burn::tensor::Tensor;
use polycl_base::Result;
use polycl_metrics::dice_of;

use super::answer::{Answer, Asked};
use super::object::Place;
use super::shape::Shape;
use super::tissue::Tissue;
use crate::sam::{Component, Drawn, Embedder, Frame, Lattice, Point, Prompt, Slice};

/// Margin of boxes around the expected outline, in mm, and for each mm between
/// slices: an object may grow from one to the next.
const MARGIN: f32 = 2.0;
const MARGIN_PER_STEP: f32 = 0.3;
/// And as a part of the box's sides, as the networks were trained.
const MARGIN_SHARE: f32 = 0.02;
/// Share of the border's last motion that is expected in the next slice.
const MOTION: f32 = 0.6;
/// Weight of the expected outline beside the network: logits at a distance of `PRIOR_REACH` mm and one
/// slice, and the most they can be.
const PRIOR: f32 = 3.0;
const PRIOR_REACH: f32 = 2.0;
/// Nothing is believed that is farther outside the expected outline than this, in mm and per mm of step.
const REACH: f32 = 4.0;
const REACH_PER_STEP: f32 = 1.5;
/// Least predicted IoU of an object that is there.
const SURE: f32 = 0.65;
/// Parts smaller than this, or than this share of the largest, do not prompt the network.
const TINY_PIXELS: usize = 9;
const TINY_SHARE: f32 = 0.02;
/// A logit that is outside for sure.
const OUTSIDE: f32 = -8.0;

/// Objects of one scan, each with its last outlines.
pub struct Boxes {
    network: Arc<Embedder>,
    /// Millimetres between slices.
    step: f32,
    trails: Vec<Option<Trail>>,
}

/// An object on its way.
#[derive(Debug, Clone)]
struct Trail {
    last: Shape,
    before: Option<Shape>,
    tissue: Tissue,
    /// The logit from which on a pixel is inside, by what was drawn.
    threshold: f32,
    /// It was drawn without holes.
    solid: bool,
}

/// A slice, and what was made of it.
struct Sight {
    frame: Frame,
    lattice: Lattice,
    /// The plane in its window on the decoder's grid.
    hu: Vec<f32>,
    embedding: Tensor<4>,
}

impl Boxes {
    /// Slices are `step` mm apart.
    pub fn new(network: Arc<Embedder>, step: f64) -> Self {
        Self { network, step: step as f32, trails: Vec::new() }
    }

    /// Forgets all.
    pub fn begin(&mut self, objects: usize) {
        self.trails = vec![None; objects];
    }

    /// Hears how an object was drawn, learns of what it is made, and how the network would have drawn it.
    pub fn show(
        &mut self,
        slice: &Slice<'_>,
        lattice: Lattice,
        (object, window): (usize, [f32; 2]),
        shape: &Shape,
    ) -> Result<()> {
        let sight = self.sight(slice, lattice, window)?;
        let tissue = Tissue::of(&sight.hu, &shape.distance);
        let threshold = match self.ask(&sight, shape)? {
            Some(answer) => best_threshold(&answer.logits, &shape.distance),
            None => 0.0,
        };
        let solid = holes(&shape.distance, lattice).is_empty();
        self.trails[object] = Some(Trail { last: shape.clone(), before: None, tissue, threshold, solid });
        Ok(())
    }

    pub fn remember(&mut self, lattice: Lattice, object: usize, answer: &Answer) {
        if let Some(trail) = &mut self.trails[object]
            && answer.is_there()
        {
            let found = Shape::of(&answer.logits, lattice);
            trail.before = Some(std::mem::replace(&mut trail.last, found));
        }
    }

    /// One mask for all boxes of a slice, each with all its points; or for the points alone.
    pub fn prompt(
        &self,
        slice: &Slice<'_>,
        lattice: Lattice,
        window: [f32; 2],
        places: &[Place],
    ) -> Result<Answer> {
        let in_model = |xy: [usize; 2]| slice.frame.model_from_voxel(xy.map(|x| x as f32));
        let (mut points, mut prompts) = (Vec::new(), Vec::new());
        for place in places {
            match *place {
                Place::Point { xy, positive } => points.push(Point { xy: in_model(xy), positive }),
                Place::Box([x0, y0, x1, y1]) => {
                    let (low, high) = (in_model([x0, y0]), in_model([x1, y1]));
                    prompts.push(Prompt::bounds([low[0], low[1], high[0], high[1]]));
                }
            }
        }
        if prompts.is_empty() {
            prompts.push(Prompt::default());
        }
        prompts.iter_mut().for_each(|prompt| prompt.points.clone_from(&points));
        let drawn = self.network.draw(&self.network.embed(slice, window)?, &prompts)?;
        Ok(united(drawn.into_iter().map(|drawn| (drawn, 1.0)), slice.frame, lattice))
    }

    /// Slices are embedded once for each window that objects want.
    pub fn follow(&self, slice: &Slice<'_>, lattice: Lattice, asked: &[Asked<'_>]) -> Result<Vec<Answer>> {
        let mut sights: Vec<([f32; 2], Sight)> = Vec::new();
        let mut answers = Vec::with_capacity(asked.len());
        for own in asked {
            if !sights.iter().any(|(window, _)| *window == own.window) {
                sights.push((own.window, self.sight(slice, lattice, own.window)?));
            }
            let sight = sights.iter().find(|(window, _)| *window == own.window).map(|(_, sight)| sight);
            let found = match (sight, &self.trails[own.object]) {
                (Some(sight), Some(trail)) => self.find(sight, trail, own)?,
                _ => absent(lattice),
            };
            answers.push(found);
        }
        Ok(answers)
    }

    fn sight(&self, slice: &Slice<'_>, lattice: Lattice, window: [f32; 2]) -> Result<Sight> {
        let embedding = self.network.embed(slice, window)?;
        let hu = slice.frame.on_masks(&clamped(slice.plane, window));
        Ok(Sight { frame: slice.frame, lattice, hu, embedding })
    }

    fn find(&self, sight: &Sight, trail: &Trail, asked: &Asked<'_>) -> Result<Answer> {
        let expected = self.expected(trail, asked.ahead);
        let Some(mut answer) = self.ask(sight, &expected)? else { return Ok(absent(sight.lattice)) };
        trail.tissue.weigh(&sight.hu, &mut answer.logits);
        self.hold_to(&expected, trail.threshold, &mut answer.logits);
        drop_strays(&mut answer.logits, &expected, sight.lattice);
        if trail.solid {
            holes(&answer.logits, sight.lattice).into_iter().for_each(|i| answer.logits[i] = 1.0);
        }
        let pixels = answer.logits.iter().filter(|&&x| x > 0.0).count();
        let alike = trail.tissue.is_like(&sight.hu, &answer.logits);
        let doubtful = answer.predicted_iou < SURE || !alike;
        // Between drawn slices it must be somewhere.
        if pixels < TINY_PIXELS || doubtful && asked.ahead.is_none() {
            answer.presence = -1.0;
        }
        Ok(answer)
    }

    /// The outline to look for: the last one, moving on. A drawn slice ahead counts with the inverse
    /// square of how many slices it is away: from afar it would only hold back what grows in between.
    fn expected(&self, trail: &Trail, ahead: Option<(usize, &Shape)>) -> Shape {
        let Trail { last, before, .. } = trail;
        let moved = before.as_ref().map(|before| last.moving_on(before, MOTION, self.step));
        let moved = moved.filter(|moved| moved.pixels() >= 2 * TINY_PIXELS).unwrap_or_else(|| last.clone());
        match ahead {
            Some((away, shape)) => moved.towards(shape, 1.0 / (away * away) as f32),
            None => moved,
        }
    }

    /// The network's mask of the box around each part of an outline; none where there are only tiny ones.
    fn ask(&self, sight: &Sight, shape: &Shape) -> Result<Option<Answer>> {
        let parts = parts(shape, sight.lattice);
        let mut drawn = Vec::with_capacity(parts.len());
        for part in &parts {
            let prompt = Prompt::bounds(self.corners(part, sight));
            let found = self.network.draw(&sight.embedding, &[prompt])?;
            drawn.extend(found.into_iter().map(|found| (found, part.pixels.len() as f32)));
        }
        Ok((!drawn.is_empty()).then(|| united(drawn.into_iter(), sight.frame, sight.lattice)))
    }

    /// The box around a part, moved out, in the network's input.
    fn corners(&self, part: &Component, sight: &Sight) -> [f32; 4] {
        let [x0, y0, x1, y1] = part.bounds.map(|corner| corner as f32);
        let sides = [x1 - x0 + 1.0, y1 - y0 + 1.0];
        let mm = MARGIN + MARGIN_PER_STEP * self.step;
        let out = [0, 1].map(|a| MARGIN_SHARE * sides[a] + mm / sight.lattice.spacing[a] as f32);
        let last = sight.lattice.content.map(|n| n as f32 - 1.0);
        let within =
            |xy: [f32; 2]| sight.frame.model_from_masks([0, 1].map(|axis| xy[axis].clamp(0.0, last[axis])));
        let (low, high) = (within([x0 - out[0], y0 - out[1]]), within([x1 + out[0], y1 + out[1]]));
        [low[0], low[1], high[0], high[1]]
    }

    /// Adds what the expected outline says; far from it nothing is inside.
    fn hold_to(&self, expected: &Shape, threshold: f32, logits: &mut [f32]) {
        let reach = REACH + REACH_PER_STEP * self.step;
        for (logit, &distance) in logits.iter_mut().zip(&expected.distance) {
            *logit += (PRIOR * distance / (PRIOR_REACH + self.step)).clamp(-PRIOR, PRIOR) - threshold;
            if distance < -reach {
                *logit = logit.min(-1.0);
            }
        }
    }
}

fn clamped(plane: &[f32], [centre, width]: [f32; 2]) -> Vec<f32> {
    plane.iter().map(|hu| hu.clamp(centre - width / 2.0, centre + width / 2.0)).collect()
}

fn absent(lattice: Lattice) -> Answer {
    let logits = vec![OUTSIDE; lattice.side * lattice.side];
    Answer { logits, predicted_iou: 0.0, presence: -1.0, trace: None }
}

/// The connected parts of a shape that are large enough.
fn parts(shape: &Shape, lattice: Lattice) -> Vec<Component> {
    let plane: Vec<u16> = shape.distance.iter().map(|&d| u16::from(d > 0.0)).collect();
    let mut all = Component::all(&plane, [lattice.side; 2]);
    let largest = all.iter().map(|part| part.pixels.len()).max().unwrap_or(0);
    let least = TINY_PIXELS.max((largest as f32 * TINY_SHARE) as usize);
    all.retain(|part| part.pixels.len() >= least);
    all
}

/// One answer from those of an object's parts, which count by their weights.
fn united(parts: impl Iterator<Item = (Drawn, f32)>, frame: Frame, lattice: Lattice) -> Answer {
    let mut all = absent(lattice);
    let (mut sum, mut iou) = (0.0, 0.0);
    for (part, weight) in parts {
        for (i, (all, own)) in all.logits.iter_mut().zip(&part.logits).enumerate() {
            if frame.holds(i) {
                *all = all.max(*own);
            }
        }
        sum += weight;
        iou += weight * part.predicted_iou;
    }
    Answer { predicted_iou: iou / sum, presence: 1.0, ..all }
}

/// The logit at which the network's mask is most like the drawn one. The network may be made stricter by
/// what a person drew, but not more generous: that leaks.
fn best_threshold(logits: &[f32], drawn: &[f32]) -> f32 {
    let mut best = (0.0, 0.0);
    for threshold in (0..=12).map(|i| i as f32 * 0.25) {
        let dice = dice_of(logits.iter().zip(drawn).map(|(&logit, &drawn)| (logit > threshold, drawn > 0.0)));
        let dice = dice.unwrap_or(0.0) as f32 - 0.0005 * threshold;
        if dice > best.0 {
            best = (dice, threshold);
        }
    }
    best.1
}

/// Pixels not above zero from which there is no way to the plane's border.
fn holes(values: &[f32], lattice: Lattice) -> Vec<usize> {
    let plane: Vec<u16> = values.iter().map(|&x| u16::from(x <= 0.0)).collect();
    let [last_x, last_y] = lattice.content.map(|n| n - 1);
    let enclosed = |[x0, y0, x1, y1]: [usize; 4]| x0 > 0 && y0 > 0 && x1 < last_x && y1 < last_y;
    let all = Component::all(&plane, [lattice.side; 2]).into_iter();
    all.filter(|part| enclosed(part.bounds)).flat_map(|part| part.pixels).collect()
}

/// Parts that do not touch what is expected are something else.
fn drop_strays(logits: &mut [f32], expected: &Shape, lattice: Lattice) {
    let plane: Vec<u16> = logits.iter().map(|&x| u16::from(x > 0.0)).collect();
    for part in Component::all(&plane, [lattice.side; 2]) {
        if !part.pixels.iter().any(|&i| expected.distance[i] > 0.0) {
            part.pixels.iter().for_each(|&i| logits[i] = -1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATTICE: Lattice = Lattice { side: 5, content: [5, 4], spacing: [1.0, 1.0] };
    #[rustfmt::skip]
    const RING: [f32; 25] = [
        -1.0, 1.0, 1.0, 1.0, -1.0,
        -1.0, 1.0, -2.0, 1.0, -1.0,
        -1.0, 1.0, 1.0, 1.0, -1.0,
        1.0, -1.0, -1.0, -1.0, -1.0,
        -1.0, -1.0, -1.0, -1.0, -1.0,
    ];

    #[test]
    fn holes_are_what_is_enclosed() {
        assert_eq!(holes(&RING, LATTICE), [7]);
        assert!(holes(&[-1.0; 25], LATTICE).is_empty() && holes(&[1.0; 25], LATTICE).is_empty());
    }

    #[test]
    fn the_network_is_made_stricter_but_not_more_generous() {
        let drawn: Vec<f32> = RING.iter().map(|&x| if x > 0.0 { 1.0 } else { -1.0 }).collect();
        let generous: Vec<f32> = drawn.iter().map(|d| 1.2 + d).collect();
        let strict: Vec<f32> = drawn.iter().map(|d| d - 1.2).collect();
        assert!((0.2..2.2).contains(&best_threshold(&generous, &drawn)));
        assert_eq!(best_threshold(&strict, &drawn), 0.0);
    }

    #[test]
    fn parts_apart_from_what_is_expected_are_dropped() {
        let mut logits = RING.to_vec();
        logits[20] = 1.0;
        let expected = Shape { distance: RING.map(|x| if x > 0.0 { 1.0 } else { -1.0 }).to_vec() };
        let other = Shape { distance: (0..25).map(|i| if i == 8 { 1.0 } else { -1.0 }).collect() };
        drop_strays(&mut logits, &expected, LATTICE);
        assert_eq!(logits[8], 1.0);
        drop_strays(&mut logits, &other, LATTICE);
        assert_eq!((logits[8], logits[24]), (1.0, -1.0));
        let nowhere = Shape { distance: vec![-1.0; 25] };
        drop_strays(&mut logits, &nowhere, LATTICE);
        assert!(logits.iter().all(|&x| x <= 0.0));
    }
}
