//! Coarse masks sharpened by a Segment Anything network: the box around each component prompts it, and
//! a gate decides what becomes of its answer.

mod consistency;
mod decision;
mod gate;

use std::sync::Arc;

use burn::tensor::Tensor;
use polycl_base::{Result, Watch};
use polycl_image::names::Names;
use polycl_image::orient::Reorientation;
use polycl_image::preprocess::Grid;
use polycl_image::{Image, Mask, Plane, Volume};
use polycl_metrics::dice;

use crate::sam::{self, Component, Drawn, Embedder, Model, Prompt, window_of};
use consistency::Slices;
pub use decision::Decision;
pub use gate::{Choice, Evidence, Gate};

/// Who decides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// One box for each component, moved a little several times; the gate decides.
    Gate(Gate),
    /// As published: one box for each organ and slice, whose mask replaces the coarse one.
    Paper,
}

/// Options of a refinement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    pub rule: Rule,
    /// Intensity window in HU (centre and width); by the organ's name where there is none.
    pub window: Option<[f32; 2]>,
    /// Take slices back whose refined mask fits the neighbouring slices less well.
    pub consistent: bool,
}

pub struct Refined {
    pub mask: Mask,
    pub decisions: Vec<Decision>,
}

/// A network that refines masks, shared with others. Any number of scans are refined at once.
pub struct Refiner {
    network: Arc<Embedder>,
}

/// Components smaller than this, in mm² or in pixels, do not prompt the network.
const TINY_AREA: f64 = 50.0;
const TINY_PIXELS: usize = 9;

/// Moves of the corners outwards, as parts of the box's sides. The first is the box that counts, the others
/// tell how much depends on it.
const BOXES: [[f32; 4]; 4] = [[0.02; 4], [0.07; 4], [-0.03; 4], [0.06, -0.02, -0.02, 0.06]];

/// Boxes that are decoded together, so that memory does not grow with the components.
const TOGETHER: usize = 16;

impl Refiner {
    pub fn new(network: Arc<Embedder>) -> Self {
        Self { network }
    }

    pub fn model(&self) -> Model {
        self.network.model
    }

    /// Tells the network's weights from others.
    pub fn checksum(&self) -> u32 {
        self.network.sam.checksum
    }

    /// Refines every slice of a mask in its scan's grid; nothing where it was asked to stop meanwhile.
    ///
    /// # Errors
    /// [`polycl_base::Kind::Io`] where the cache cannot be written.
    ///
    /// # Panics
    /// If the mask has another grid than the scan.
    pub fn refine(
        &self,
        image: &Image,
        coarse: &Mask,
        names: &Names,
        options: Options,
        watch: &dyn Watch,
    ) -> Result<Option<Refined>> {
        let refined = self.refine_by(image, coarse, names, &[options], watch)?;
        Ok(refined.map(|mut refined| refined.remove(0)))
    }

    /// [`Self::refine`] in several ways at once, which share what the network says; the window is that
    /// of the first.
    ///
    /// # Errors
    /// As [`Self::refine`].
    pub fn refine_by(
        &self,
        image: &Image,
        coarse: &Mask,
        names: &Names,
        options: &[Options],
        watch: &dyn Watch,
    ) -> Result<Option<Vec<Refined>>> {
        assert!(image.space.disagreement(&coarse.space).is_none(), "a mask of another grid");
        let reorientation = Reorientation::to_canonical(&image.space);
        let (scan, mask) = (reorientation.apply(image), reorientation.apply(coarse));
        let (grid, slices) = (Grid::of(&scan.space), scan.space.shape[2]);
        let (frame, cache) = (self.network.frame(grid), self.network.cache(image, Plane::Axial));
        let mut found: Vec<(Vec<u16>, Vec<Decision>)> = options.iter().map(|_| Default::default()).collect();
        let rules: Vec<Rule> = options.iter().map(|options| options.rule).collect();
        for k in 0..slices {
            if watch.stop() {
                return Ok(None);
            }
            let seen = sam::Slice { number: k, plane: scan.plane(k), frame, cache: cache.as_ref() };
            let slice = Slice { seen, labels: mask.plane(k), grid };
            let window = |label: u16| options[0].window.unwrap_or_else(|| window_of(names.get(&label)));
            for ((voxels, decisions), (labels, new)) in
                found.iter_mut().zip(self.refine_slice(&slice, &rules, window)?)
            {
                voxels.extend(labels);
                decisions.extend(new);
            }
            watch.step(k + 1, slices);
        }
        let finished = found.into_iter().zip(options).map(|((mut voxels, mut decisions), options)| {
            if options.consistent {
                let pixels = grid.shape[0] * grid.shape[1];
                Slices { before: &mask.voxels, after: &mut voxels, pixels }.make_consistent(&mut decisions);
            }
            decisions
                .iter_mut()
                .for_each(|decision| decision.move_to_file(&reorientation, &scan.space, &image.space));
            decisions.sort_by_key(|decision| decision.slice);
            let refined = Volume { space: scan.space.clone(), voxels };
            Refined { mask: reorientation.invert(&refined, &image.space), decisions }
        });
        Ok(Some(finished.collect()))
    }

    /// A slice's labels, refined by each rule, and what was decided.
    fn refine_slice(
        &self,
        slice: &Slice<'_>,
        rules: &[Rule],
        window: impl Fn(u16) -> [f32; 2] + Copy,
    ) -> Result<Vec<(Vec<u16>, Vec<Decision>)>> {
        let mut answers: [Option<Answers>; 2] = Default::default();
        let mut results = Vec::with_capacity(rules.len());
        for rule in rules {
            // The gates share one set of boxes, the paper's rule has another.
            let own = &mut answers[usize::from(*rule == Rule::Paper)];
            if own.is_none() {
                let components = slice.components(*rule);
                let proposals = self.propose_all(slice, &components, *rule, window)?;
                *own = Some(Answers { components, proposals });
            }
            results.extend(own.as_ref().map(|own| slice.decide(*rule, own)));
        }
        Ok(results)
    }

    /// The network's answer for each component; none for tiny ones. A slice is embedded once for each
    /// window that its organs want.
    fn propose_all(
        &self,
        slice: &Slice<'_>,
        components: &[Component],
        rule: Rule,
        window: impl Fn(u16) -> [f32; 2] + Copy,
    ) -> Result<Vec<Option<Proposal>>> {
        let mut proposals: Vec<Option<Proposal>> = components.iter().map(|_| None).collect();
        let asked: Vec<usize> = (0..components.len()).filter(|&i| !slice.is_tiny(&components[i])).collect();
        let mut windows: Vec<[f32; 2]> = asked.iter().map(|&i| window(components[i].label)).collect();
        windows.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
        windows.dedup();
        for of_window in windows {
            let embedding = self.network.embed(&slice.seen, of_window)?;
            let asked: Vec<usize> =
                asked.iter().copied().filter(|&i| window(components[i].label) == of_window).collect();
            let wanted: Vec<&Component> = asked.iter().map(|&i| &components[i]).collect();
            for (i, proposal) in asked.into_iter().zip(self.propose(slice, &embedding, &wanted, rule)?) {
                proposals[i] = Some(proposal);
            }
        }
        Ok(proposals)
    }

    fn propose(
        &self,
        slice: &Slice<'_>,
        embedding: &Tensor<4>,
        components: &[&Component],
        rule: Rule,
    ) -> Result<Vec<Proposal>> {
        let boxes: &[[f32; 4]] = match rule {
            Rule::Gate(_) => &BOXES,
            Rule::Paper => &[[0.0; 4]],
        };
        let mut proposals = Vec::with_capacity(components.len());
        for components in components.chunks(TOGETHER / boxes.len()) {
            let prompts: Vec<Prompt> = components
                .iter()
                .flat_map(|component| boxes.iter().map(|&margin| component.moved(margin, slice.grid.shape)))
                .map(|corners| Prompt::bounds(slice.in_model(corners)))
                .collect();
            let answers = self.network.draw(embedding, &prompts)?;
            let each = components.iter().zip(answers.chunks_exact(boxes.len()));
            proposals.extend(each.map(|(component, answers)| slice.proposal(component, answers)));
        }
        Ok(proposals)
    }
}

/// A component as the network has it.
struct Proposal {
    /// Above zero inside, on the slice's pixels.
    votes: Vec<f32>,
    evidence: Evidence,
}

/// The components of a slice, and what the network says of each, but for tiny ones.
struct Answers {
    components: Vec<Component>,
    proposals: Vec<Option<Proposal>>,
}

/// A slice in canonical order.
struct Slice<'a> {
    seen: sam::Slice<'a>,
    labels: &'a [u16],
    grid: Grid,
}

impl Slice<'_> {
    /// The components that prompt the network: the published way joins all of an organ in a slice.
    fn components(&self, rule: Rule) -> Vec<Component> {
        let components = Component::all(self.labels, self.grid.shape);
        if rule != Rule::Paper {
            return components;
        }
        let parts = components.chunk_by(|a, b| a.label == b.label);
        let joined = |parts: &[Component]| {
            let mut pixels: Vec<usize> = parts.iter().flat_map(|part| &part.pixels).copied().collect();
            pixels.sort_unstable();
            Component::new(parts[0].label, pixels, self.grid.shape[0])
        };
        parts.map(joined).collect()
    }

    /// Labels by one rule, and what it decided.
    fn decide(&self, rule: Rule, Answers { components, proposals }: &Answers) -> (Vec<u16>, Vec<Decision>) {
        let mut drawing = Drawing::new(self.labels);
        let mut decisions = Vec::new();
        for (component, proposal) in components.iter().zip(proposals) {
            let choice = match (rule, proposal) {
                (_, None) => Choice::Tiny,
                (Rule::Paper, Some(_)) => Choice::Refined,
                (Rule::Gate(gate), Some(proposal)) => gate.decide(proposal.evidence),
            };
            drawing.add(component, proposal.as_ref(), choice);
            decisions.push(Decision {
                slice: self.seen.number,
                label: component.label,
                first: [component.bounds[0], component.bounds[1], self.seen.number],
                last: [component.bounds[2], component.bounds[3], self.seen.number],
                pixels: [component.pixels.len(), 0],
                evidence: proposal.as_ref().map(|proposal| proposal.evidence),
                choice,
            });
        }
        decisions.iter_mut().zip(drawing.counts()).for_each(|(decision, count)| decision.pixels[1] = count);
        (drawing.finish(), decisions)
    }

    /// Intersection over union of what is above zero; 1 where nothing is.
    fn iou(&self, a: &[f32], b: &[f32]) -> f32 {
        let (mut both, mut any) = (0u32, 0u32);
        for (_, (a, b)) in a.iter().zip(b).enumerate().filter(|(i, _)| self.seen.frame.holds(*i)) {
            both += u32::from(*a > 0.0 && *b > 0.0);
            any += u32::from(*a > 0.0 || *b > 0.0);
        }
        if any == 0 { 1.0 } else { both as f32 / any as f32 }
    }

    fn is_tiny(&self, component: &Component) -> bool {
        component.area(self.grid) < TINY_AREA || component.pixels.len() < TINY_PIXELS
    }

    fn in_model(&self, [x0, y0, x1, y1]: [f32; 4]) -> [f32; 4] {
        let ([x0, y0], [x1, y1]) =
            (self.seen.frame.model_from_voxel([x0, y0]), self.seen.frame.model_from_voxel([x1, y1]));
        [x0, y0, x1, y1]
    }

    fn proposal(&self, component: &Component, answers: &[Drawn]) -> Proposal {
        let votes = self.seen.frame.restore(&answers[0].logits);
        let refined = votes.iter().filter(|&&vote| vote > 0.0).count();
        let both = component.pixels.iter().filter(|&&i| votes[i] > 0.0).count();
        let coarse = component.pixels.len();
        let share = |pixels: usize| pixels as f32 / coarse as f32;
        let stability = answers.iter().skip(1).map(|other| self.iou(&answers[0].logits, &other.logits));
        let evidence = Evidence {
            predicted_iou: answers.iter().map(|answer| answer.predicted_iou).sum::<f32>()
                / answers.len() as f32,
            stability: stability.fold(1.0, f32::min),
            agreement: dice(both as u64, (refined + coarse) as u64).unwrap_or(1.0) as f32,
            lost: share(coarse - both),
            gained: share(refined - both),
        };
        Proposal { votes, evidence }
    }
}

/// The labels of a slice as components are decided. Where several claim a pixel, the label that had it
/// keeps it; else the surest has it.
struct Drawing<'a> {
    before: &'a [u16],
    /// Labels of the components drawn so far.
    labels: Vec<u16>,
    /// Number of the component that has each pixel, and its vote.
    after: Vec<Option<(usize, f32)>>,
}

impl<'a> Drawing<'a> {
    fn new(before: &'a [u16]) -> Self {
        Self { before, labels: Vec::new(), after: vec![None; before.len()] }
    }

    fn add(&mut self, component: &Component, proposal: Option<&Proposal>, choice: Choice) {
        let number = self.labels.len();
        self.labels.push(component.label);
        let mut coarse = component.pixels.iter().peekable();
        for (i, after) in self.after.iter_mut().enumerate() {
            let inside = coarse.next_if(|&&pixel| pixel == i).is_some();
            let vote = proposal.map_or(0.0, |proposal| proposal.votes[i]);
            if choice.inside(inside, vote > 0.0) {
                let vote = if self.before[i] == component.label { f32::INFINITY } else { vote };
                if after.is_none_or(|(_, other)| vote > other) {
                    *after = Some((number, vote));
                }
            }
        }
    }

    /// Pixels that each component has in the end.
    fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.labels.len()];
        self.after.iter().flatten().for_each(|(number, _)| counts[*number] += 1);
        counts
    }

    fn finish(self) -> Vec<u16> {
        self.after.iter().map(|after| after.map_or(0, |(number, _)| self.labels[number])).collect()
    }
}
