//! One annotated slice becomes a volume: objects are followed from the slices in which they are shown,
//! up and down, and what both ways say is brought together.

mod boxes;
mod confidence;
mod journal;
mod memory;
mod merge;
mod network;
mod object;
mod request;
mod shape;
mod tissue;
mod tracker;

use std::collections::{BTreeMap, VecDeque};

use polycl_volume::dataset::provenance::propagation::Row;
use polycl_volume::orient::Reorientation;
use polycl_volume::preprocess::Grid;
use polycl_volume::{Image, Mask, Result};

use crate::sam::{Cache, Frame, Lattice, Slice};

pub use boxes::Boxes;
pub use confidence::Suggestion;
pub use journal::{Journal, Pass};
pub use memory::Memory;
pub use network::Network;
pub use object::{Clue, Object, Place};
pub use request::{Direction, Request, fingerprint};
pub use shape::Shape;
pub use tracker::{Answer, Asked, TRACES, Tracker};

pub struct Propagated {
    pub mask: Mask,
    /// What is known of every label in every slice, by label and slice of the file.
    pub rows: Vec<Row>,
    /// The slice that most deserves to be drawn next.
    pub suggestion: Option<Suggestion>,
}

/// The planes of a scan as trackers see them.
struct Scene<'a> {
    image: &'a Image,
    order: Reorientation,
    grid: Grid,
    frame: Frame,
    lattice: Lattice,
    cache: Option<Cache>,
}

impl Scene<'_> {
    fn plane(&self, k: usize) -> Vec<f32> {
        self.order.plane(self.image, k)
    }

    fn slice<'a>(&'a self, number: usize, plane: &'a [f32]) -> Slice<'a> {
        Slice { number, plane, frame: self.frame, cache: self.cache.as_ref() }
    }
}

/// Follows objects through a scan. `journal` holds what is found until it is removed; `done` hears
/// the number of slices finished so far and of all.
///
/// # Errors
/// [`polycl_volume::Kind::Io`] where the journal or the cache cannot be written.
pub fn propagate(
    tracker: &mut Tracker,
    request: &Request<'_>,
    journal: &Journal,
    done: &mut dyn FnMut(usize, usize),
) -> Result<Propagated> {
    let order = Reorientation::to_canonical(&request.image.space);
    let space = order.space(&request.image.space);
    let grid = Grid::of(&space);
    let frame = tracker.frame(grid);
    let cache = tracker.cache(request.image);
    let lattice = frame.lattice(grid.spacing);
    let scene = Scene { image: request.image, order, grid, frame, lattice, cache };
    tracker.set_slices(space.shape[2], space.spacing()[2]);
    let mut walk = Walk { tracker, request, journal, scene: &scene, finished: 0, done };
    walk.shown_slices()?;
    for pass in [Pass::Up, Pass::Down] {
        if !walk.sweep(pass, true)? {
            walk.sweep(pass, false)?;
        }
    }
    let scores = walk.tracker.scores_objects();
    merge::merge(request, journal, &scene, scores)
}

struct Walk<'a> {
    tracker: &'a mut Tracker,
    request: &'a Request<'a>,
    journal: &'a Journal,
    scene: &'a Scene<'a>,
    finished: usize,
    done: &'a mut dyn FnMut(usize, usize),
}

impl Walk<'_> {
    /// Finds what boxes and clicks tell of, and what the tracker wants to know of drawn slices.
    fn shown_slices(&mut self) -> Result<()> {
        let mut of_slice: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (number, object) in self.request.objects.iter().enumerate() {
            let drawn = object.drawn.iter().filter(|_| self.tracker.is_conditioned());
            object.prompted.keys().chain(drawn).for_each(|&k| of_slice.entry(k).or_default().push(number));
        }
        for (k, objects) in of_slice {
            let kept = self.journal.get_traced(Pass::Prompts, k).filter(|kept| {
                let label = |&number: &usize| self.request.objects[number].label;
                let whole =
                    |answer: &Answer| !self.tracker.is_conditioned() || self.tracker.can_go_on(answer);
                objects.iter().all(|number| kept.get(&label(number)).is_some_and(whole))
            });
            let answers = match kept {
                Some(kept) => kept,
                None => {
                    let mut answers = self.look_at_shown(k, &objects)?;
                    self.journal.put(Pass::Prompts, k, &mut answers)?;
                    answers
                }
            };
            for number in objects {
                self.tracker.condition(number, k, &answers[&self.request.objects[number].label]);
            }
        }
        Ok(())
    }

    fn look_at_shown(&self, k: usize, objects: &[usize]) -> Result<BTreeMap<u16, Answer>> {
        let plane = self.scene.plane(k);
        let slice = self.scene.slice(k, &plane);
        let mut answers = BTreeMap::new();
        for object in objects.iter().map(|&number| &self.request.objects[number]) {
            let answer = if object.drawn.contains(&k) {
                self.tracker.draw(&slice, object.window, &self.drawn(object, k))?
            } else {
                self.tracker.prompt(&slice, self.scene.lattice, object.window, &object.prompted[&k])?
            };
            answers.insert(object.label, answer);
        }
        Ok(answers)
    }

    /// An object's pixels in a slice in which it is drawn.
    fn drawn(&self, object: &Object, k: usize) -> Vec<bool> {
        let mask = self.request.annotation.expect("what is drawn is in the annotation");
        self.scene.order.plane(mask, k).iter().map(|&label| label == object.label).collect()
    }

    /// The outline of an object in a slice in which it is shown.
    fn shown(&self, object: &Object, k: usize) -> Shape {
        if object.drawn.contains(&k) {
            let plane: Vec<f32> =
                self.drawn(object, k).iter().map(|&inside| f32::from(u8::from(inside))).collect();
            let logits: Vec<f32> =
                self.scene.frame.on_masks(&plane).iter().map(|share| share - 0.5).collect();
            return Shape::of(&logits, self.scene.lattice);
        }
        let answers = self.journal.get(Pass::Prompts, k).unwrap_or_default();
        let logits = answers.get(&object.label).map(|answer| answer.logits.as_slice());
        Shape::of(logits.unwrap_or(&vec![-1.0; self.scene.lattice.side.pow(2)]), self.scene.lattice)
    }

    /// Goes once over the slices, and looks in each for all objects that have been shown before. What was
    /// kept is taken up to the first slice that is missing, if it is `trusted` at all; false if it turns out
    /// that it is not enough to go on from there.
    fn sweep(&mut self, pass: Pass, mut trusted: bool) -> Result<bool> {
        let objects = self.request.objects;
        self.tracker.begin(objects.len(), pass);
        let slices: Vec<usize> = match pass {
            Pass::Down => self.request.range.clone().rev().collect(),
            _ => self.request.range.clone().collect(),
        };
        // Slices without the object since it was seen last; none before it was shown.
        let mut missing: Vec<Option<usize>> = vec![None; objects.len()];
        let mut ahead: Vec<Option<(usize, Shape)>> = vec![None; objects.len()];
        let all = 2 * slices.len();
        // Of the last slices that were kept, whether one can go on from them.
        let mut sound: VecDeque<bool> = VecDeque::new();
        for (i, &k) in slices.iter().enumerate() {
            (self.done)(self.finished + i, all);
            let wanted: Vec<usize> = (0..objects.len())
                .filter(|&o| {
                    objects[o].is_shown(k)
                        || missing[o].is_some_and(|m| m < self.tracker.patience() || ahead[o].is_some())
                            && self.goes(pass, ahead[o].is_some())
                })
                .collect();
            if wanted.is_empty() {
                continue;
            }
            let plane = self.scene.plane(k);
            let slice = self.scene.slice(k, &plane);
            let (shown, sought): (Vec<usize>, Vec<usize>) =
                wanted.into_iter().partition(|&o| objects[o].is_shown(k));
            for o in shown {
                let object = &objects[o];
                let shape = self.shown(object, k);
                self.tracker.show(&slice, self.scene.lattice, (o, object.window), &shape)?;
                missing[o] = Some(0);
                let [below, above] = object.around(k);
                let next = if pass == Pass::Down { below } else { above };
                ahead[o] = next.map(|next| (next, self.shown(object, next)));
            }
            let asked: Vec<Asked<'_>> = sought
                .into_iter()
                .map(|o| {
                    let ahead = ahead[o].as_ref().map(|(next, shape)| (next.abs_diff(k) + 1, shape));
                    Asked { object: o, window: objects[o].window, ahead }
                })
                .collect();
            if asked.is_empty() {
                continue;
            }
            let kept = trusted.then(|| self.journal.get_traced(pass, k)).flatten().filter(|kept| {
                kept.len() == asked.len() && asked.iter().all(|a| kept.contains_key(&objects[a.object].label))
            });
            let answers = match kept {
                Some(kept) => {
                    sound.push_back(kept.values().all(|answer| self.tracker.can_go_on(answer)));
                    if sound.len() == TRACES {
                        sound.pop_front();
                    }
                    kept
                }
                None => {
                    if trusted && sound.contains(&false) {
                        return Ok(false);
                    }
                    trusted = false;
                    let found = self.tracker.follow(&slice, self.scene.lattice, &asked)?;
                    let mut answers: BTreeMap<u16, Answer> =
                        asked.iter().map(|a| objects[a.object].label).zip(found).collect();
                    self.journal.put(pass, k, &mut answers)?;
                    answers
                }
            };
            for object in asked.iter().map(|a| a.object) {
                let answer = &answers[&objects[object].label];
                self.tracker.remember(self.scene.lattice, object, k, answer);
                let there = answer.presence > 0.0;
                missing[object] = Some(if there { 0 } else { missing[object].unwrap_or(0) + 1 });
            }
        }
        self.finished += slices.len();
        Ok(true)
    }

    /// Whether slices are to be filled this way; those between shown ones are whatever the direction.
    fn goes(&self, pass: Pass, between: bool) -> bool {
        match self.request.direction {
            _ if between => true,
            Direction::Both => true,
            Direction::Up => pass == Pass::Up,
            Direction::Down => pass == Pass::Down,
        }
    }
}
