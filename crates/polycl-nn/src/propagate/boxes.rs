//! Objects followed by boxes alone: what was found in one slice says where to look in the next.

use burn::tensor::Tensor;
use polycl_volume::Result;
use polycl_volume::preprocess::Grid;

use super::object::Place;
use super::shape::{Shape, dice};
use super::tissue::Tissue;
use super::tracker::{Answer, Asked};
use crate::sam::{Component, Drawn, Embedder, Frame, Lattice, Point, Prompt, Slice};

pub fn tune(name: &str, default: f32) -> f32 {
    std::env::var(format!("PT_{name}")).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// A network that was trained on boxes, and what it has found last.
pub struct Boxes {
    pub network: Embedder,
    /// Millimetres between slices.
    step: f32,
    trails: Vec<Option<Trail>>,
}

/// An object on its way.
#[derive(Debug, Clone)]
struct Trail {
    last: Shape,
    /// The shape before the last.
    before: Option<Shape>,
    tissue: Tissue,
    /// Pixels where it was shown last.
    shown: usize,
}

/// Parts smaller than this do not prompt the network.
const TINY_PIXELS: usize = 9;

/// How corners of a box move out: part of the sides.
const BOXES: [[f32; 4]; 4] = [[0.0; 4], [0.05; 4], [-0.03; 4], [0.04, -0.02, -0.02, 0.04]];

impl Boxes {
    pub fn new(network: Embedder) -> Self {
        Self { network, step: 1.0, trails: Vec::new() }
    }

    pub fn set_step(&mut self, step: f64) {
        self.step = step as f32;
    }

    pub fn begin(&mut self, objects: usize) {
        self.trails = vec![None; objects];
    }

    pub fn show(
        &mut self,
        slice: &Slice<'_>,
        lattice: Lattice,
        (object, window): (usize, [f32; 2]),
        shape: &Shape,
    ) {
        let hu = slice.frame.on_masks(&clamped(slice.plane, window));
        let tissue = Tissue::of(&hu, shape, lattice);
        let trail = Trail { last: shape.clone(), before: None, tissue, shown: shape.pixels() };
        self.trails[object] = Some(trail);
    }

    pub fn remember(&mut self, lattice: Lattice, object: usize, answer: &Answer) {
        if let Some(trail) = &mut self.trails[object]
            && answer.presence > 0.0
        {
            let found = Shape::of(&answer.logits, lattice);
            trail.before = Some(std::mem::replace(&mut trail.last, found));
        }
    }

    pub fn prompt(
        &self,
        slice: &Slice<'_>,
        lattice: Lattice,
        window: [f32; 2],
        places: &[Place],
    ) -> Result<Answer> {
        let embedding = self.network.embed(slice, window)?;
        let mut points = Vec::new();
        let mut prompts = Vec::new();
        for place in places {
            match *place {
                Place::Point { xy, positive } => {
                    points.push(Point { xy: slice.frame.model_from_voxel(xy.map(|x| x as f32)), positive });
                }
                Place::Box([x0, y0, x1, y1]) => {
                    let low = slice.frame.model_from_voxel([x0 as f32, y0 as f32]);
                    let high = slice.frame.model_from_voxel([x1 as f32, y1 as f32]);
                    prompts.push(Prompt::bounds([low[0], low[1], high[0], high[1]]));
                }
            }
        }
        if prompts.is_empty() {
            prompts.push(Prompt::default());
        }
        prompts.iter_mut().for_each(|prompt| prompt.points.clone_from(&points));
        let parts: Vec<Answer> = self
            .network
            .draw(&embedding, &prompts)?
            .into_iter()
            .map(|drawn| joined(&[drawn], slice.frame))
            .collect();
        Ok(united(&parts, lattice))
    }

    pub fn follow(&self, slice: &Slice<'_>, lattice: Lattice, asked: &[Asked<'_>]) -> Result<Vec<Answer>> {
        let mut windows: Vec<[f32; 2]> = Vec::new();
        for own in asked {
            if !windows.contains(&own.window) {
                windows.push(own.window);
            }
        }
        let mut answers: Vec<Option<Answer>> = asked.iter().map(|_| None).collect();
        for window in windows {
            let embedding = self.network.embed(slice, window)?;
            let hu = slice.frame.on_masks(&clamped(slice.plane, window));
            for (i, own) in asked.iter().enumerate().filter(|(_, own)| own.window == window) {
                if let Some(trail) = &self.trails[own.object] {
                    let sight = Sight { slice, lattice, hu: &hu, embedding: &embedding };
                    answers[i] = Some(self.find(&sight, trail, own)?);
                }
            }
        }
        Ok(answers.into_iter().map(|a| a.unwrap_or_else(|| absent(lattice))).collect())
    }

    fn find(&self, sight: &Sight<'_>, trail: &Trail, asked: &Asked<'_>) -> Result<Answer> {
        let lattice = sight.lattice;
        let mut prior = trail.last.clone();
        let motion = tune("MOTION", 0.0);
        if let (Some(before), true) = (&trail.before, motion > 0.0) {
            let each = prior.distance.iter().zip(&before.distance);
            let limit = 2.0 * self.step;
            prior =
                Shape { distance: each.map(|(a, b)| a + (motion * (a - b)).clamp(-limit, limit)).collect() };
        }
        if let Some((away, ahead)) = asked.ahead {
            prior = trail.last.towards(ahead, 1.0 / away as f32);
        }
        let margin = tune("MARGIN", 0.0) + tune("MARGIN_STEP", 0.0) * self.step;
        let parts = parts(&prior, lattice);
        if parts.is_empty() {
            return Ok(absent(lattice));
        }
        let rel = tune("REL", 0.02);
        let mut answers = Vec::new();
        let candidates = tune("BOXES", 4.0) as usize;
        for part in &parts {
            let prompts: Vec<Prompt> = BOXES[..candidates]
                .iter()
                .map(|moved| Prompt::bounds(corners(part, moved.map(|m| m + rel), margin, sight)))
                .collect();
            let drawn = self.network.draw(sight.embedding, &prompts)?;
            let mut answer = joined(&drawn, sight.slice.frame);
            for _ in 0..tune("AGAIN", 0.0) as usize {
                // Ask again with the box of the answer.
                let inside = limited(&answer.logits, &prior, self.reach());
                let Some(own) = bounding(&inside, lattice) else { break };
                let prompts: Vec<Prompt> = BOXES[..candidates]
                    .iter()
                    .map(|moved| Prompt::bounds(corners(&own, moved.map(|m| m + rel), margin, sight)))
                    .collect();
                answer = joined(&self.network.draw(sight.embedding, &prompts)?, sight.slice.frame);
            }
            answers.push(answer);
        }
        let mut answer = united(&answers, lattice);
        answer.logits = limited(&answer.logits, &prior, self.reach());
        drop_strays(&mut answer.logits, &prior, lattice);
        self.judge(&mut answer, sight, trail, asked.ahead.is_some());
        Ok(answer)
    }

    fn reach(&self) -> f32 {
        tune("REACH", 4.0) + tune("REACH_STEP", 1.5) * self.step
    }

    /// Whether the object is there.
    fn judge(&self, answer: &mut Answer, sight: &Sight<'_>, trail: &Trail, between: bool) {
        let inside = answer.logits.iter().filter(|&&x| x > 0.0).count();
        let last = trail.last.pixels();
        let mut presence = answer.predicted_iou - tune("IOU", 0.5);
        if inside < TINY_PIXELS {
            presence = -1.0;
        }
        let share = inside as f32 / last as f32;
        if !between && share < tune("SHRINK", 0.0) {
            presence = -0.5;
        }
        if !between {
            let own = trail.tissue.likeness(sight.hu, &answer.logits);
            if own < tune("TISSUE", 0.0) {
                presence = -0.25;
            }
        }
        if std::env::var("PT_TRACE").is_ok() {
            eprintln!(
                "TRACE slice {} iou {:.3} stab {:.3} area {} share {:.3} tissue {:.3} presence {:.3} dice_last {:.3}",
                sight.slice.number,
                answer.predicted_iou,
                answer.stability,
                inside,
                share,
                trail.tissue.likeness(sight.hu, &answer.logits),
                presence,
                dice(&answer.logits, &trail.last.distance)
            );
        }
        answer.presence = presence;
        if std::env::var("PT_NOSTOP").is_ok() && inside >= TINY_PIXELS {
            answer.presence = 1.0;
        }
    }
}

/// A slice, and what was made of it.
struct Sight<'a> {
    slice: &'a Slice<'a>,
    lattice: Lattice,
    /// The plane on the decoder's grid.
    hu: &'a [f32],
    embedding: &'a Tensor<4>,
}

fn clamped(plane: &[f32], [centre, width]: [f32; 2]) -> Vec<f32> {
    plane.iter().map(|hu| hu.clamp(centre - width / 2.0, centre + width / 2.0)).collect()
}

fn absent(lattice: Lattice) -> Answer {
    Answer {
        logits: vec![-8.0; lattice.side * lattice.side],
        predicted_iou: 0.0,
        presence: -1.0,
        stability: 1.0,
        trace: None,
    }
}

/// The connected parts of a shape that are large enough.
fn parts(shape: &Shape, lattice: Lattice) -> Vec<Component> {
    let plane: Vec<u16> = shape.distance.iter().map(|&d| u16::from(d > 0.0)).collect();
    if tune("WHOLE", 0.0) > 0.0 {
        return bounding(&shape.distance, lattice).into_iter().collect();
    }
    let mut all = Component::all(&plane, [lattice.side; 2]);
    let largest = all.iter().map(|part| part.pixels.len()).max().unwrap_or(0);
    let least = (largest as f32 * tune("PART", 0.02)) as usize;
    all.retain(|part| part.pixels.len() >= TINY_PIXELS.max(least));
    all
}

fn bounding(values: &[f32], lattice: Lattice) -> Option<Component> {
    let pixels: Vec<usize> = (0..values.len()).filter(|&i| values[i] > 0.0).collect();
    (pixels.len() >= TINY_PIXELS).then(|| Component::new(1, pixels, lattice.side))
}

fn corners(part: &Component, moved: [f32; 4], margin: f32, sight: &Sight<'_>) -> [f32; 4] {
    let lattice = sight.lattice;
    let [x0, y0, x1, y1] = part.bounds.map(|c| c as f32);
    let sides = [x1 - x0 + 1.0, y1 - y0 + 1.0];
    let mm = lattice.spacing.map(|s| margin / s as f32);
    let low = [x0 - moved[0] * sides[0] - mm[0], y0 - moved[1] * sides[1] - mm[1]];
    let high = [x1 + moved[2] * sides[0] + mm[0], y1 + moved[3] * sides[1] + mm[1]];
    let last = lattice.content.map(|n| n as f32 - 1.0);
    let clamp = |xy: [f32; 2]| [0, 1].map(|axis| xy[axis].clamp(0.0, last[axis]));
    let (low, high) = (clamp(low), clamp(high));
    let (low, high) = (sight.slice.frame.model_from_masks(low), sight.slice.frame.model_from_masks(high));
    [low[0], low[1], high[0], high[1]]
}

/// One answer from several boxes of one part.
fn joined(drawn: &[Drawn], frame: Frame) -> Answer {
    let n = drawn.len() as f32;
    let mean_mode = tune("MEAN", 1.0) > 0.0;
    let logits: Vec<f32> = (0..drawn[0].logits.len())
        .map(|i| {
            if !frame.holds(i) {
                return -8.0;
            }
            if mean_mode { drawn.iter().map(|d| d.logits[i]).sum::<f32>() / n } else { drawn[0].logits[i] }
        })
        .collect();
    let iou = |a: &[f32], b: &[f32]| {
        let d = dice(a, b);
        d / (2.0 - d)
    };
    let stability = drawn.iter().map(|d| iou(&logits, &d.logits)).fold(1.0, f32::min);
    let predicted_iou = drawn.iter().map(|d| d.predicted_iou).sum::<f32>() / n;
    Answer { logits, predicted_iou, presence: 1.0, stability, trace: None }
}

/// One answer from those of an object's parts, which count by their pixels.
fn united(parts: &[Answer], lattice: Lattice) -> Answer {
    let mut all = absent(lattice);
    let (mut sum, mut iou, mut stability) = (0.0, 0.0, 0.0);
    for part in parts {
        let mut inside = 1e-3;
        for (all, own) in all.logits.iter_mut().zip(&part.logits) {
            *all = all.max(*own);
            inside += f32::from(u8::from(*own > 0.0));
        }
        sum += inside;
        iou += inside * part.predicted_iou;
        stability += inside * part.stability;
    }
    if sum > 0.0 {
        (all.predicted_iou, all.stability, all.presence) = (iou / sum, stability / sum, 1.0);
    }
    all
}

/// Nothing is inside that is farther than `reach` mm from where it is expected.
fn limited(logits: &[f32], prior: &Shape, reach: f32) -> Vec<f32> {
    let each = logits.iter().zip(&prior.distance);
    each.map(|(&x, &distance)| if distance < -reach { x.min(-1.0) } else { x }).collect()
}

/// Parts that do not touch what is expected are something else.
fn drop_strays(logits: &mut [f32], prior: &Shape, lattice: Lattice) {
    let plane: Vec<u16> = logits.iter().map(|&x| u16::from(x > 0.0)).collect();
    for part in Component::all(&plane, [lattice.side; 2]) {
        if !part.pixels.iter().any(|&i| prior.distance[i] > 0.0) {
            part.pixels.iter().for_each(|&i| logits[i] = -1.0);
        }
    }
}

/// A grid of the decoder as one of a plane.
#[allow(dead_code)]
fn grid(lattice: Lattice) -> Grid {
    Grid { shape: [lattice.side; 2], spacing: lattice.spacing }
}
