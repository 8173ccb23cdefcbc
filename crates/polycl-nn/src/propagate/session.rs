//! A scan while objects are followed through it.

use std::collections::BTreeMap;

use polycl_base::{Result, Watch};

use super::answer::{Answer, Answers, Pass};
use super::found::Found;
use super::journal::Journal;
use super::object::Object;
use super::request::Request;
use super::scene::Scene;
use super::shape::Shape;
use super::tracker::Tracker;

/// All that belongs to one scan; the network's weights are shared with others.
pub struct Session<'a> {
    pub tracker: Tracker,
    pub scene: &'a Scene<'a>,
    pub request: &'a Request<'a>,
    pub journal: &'a Journal,
    pub watch: &'a dyn Watch,
}

impl Session<'_> {
    /// Finds what boxes and clicks tell of, and what the tracker wants to know of drawn slices. Gives false where it
    /// was asked to stop.
    pub fn look_at_shown(&mut self) -> Result<bool> {
        for (k, numbers) in self.to_look_at() {
            if self.watch.stop() {
                return Ok(false);
            }
            let answers = match self.kept(k, &numbers) {
                Some(kept) => kept,
                None => self.look(k, &numbers)?,
            };
            let objects = self.request.objects;
            for number in numbers.iter().copied() {
                if let Some(answer) = answers.get(&objects[number].label) {
                    self.tracker.condition(number, k, answer);
                }
            }
            let prompted = numbers.into_iter().map(|number| &objects[number]);
            let prompted = prompted.filter(|object| !object.drawn.contains(&k)).map(|object| object.label);
            self.tell(k, prompted.collect(), answers);
        }
        Ok(true)
    }

    /// Numbers of objects by the slice in which the network must see them before it follows any.
    fn to_look_at(&self) -> BTreeMap<usize, Vec<usize>> {
        let mut of_slice: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (number, object) in self.request.objects.iter().enumerate() {
            let drawn = object.drawn.iter().filter(|_| self.tracker.is_conditioned());
            object.prompted.keys().chain(drawn).for_each(|&k| of_slice.entry(k).or_default().push(number));
        }
        of_slice
    }

    /// Answers of an earlier run, where they are all there.
    fn kept(&self, k: usize, numbers: &[usize]) -> Option<Answers> {
        let kept = self.journal.get_traced(Pass::Prompts, k)?;
        let whole = |answer: &Answer| self.tracker.can_go_on(answer);
        let is_there = |&number: &usize| kept.get(&self.request.objects[number].label).is_some_and(whole);
        numbers.iter().all(is_there).then_some(kept)
    }

    fn look(&mut self, k: usize, numbers: &[usize]) -> Result<Answers> {
        let scene = self.scene;
        let plane = scene.plane(k);
        let slice = scene.slice(k, &plane);
        let mut answers = Answers::new();
        for object in numbers.iter().map(|&number| &self.request.objects[number]) {
            let answer = if object.drawn.contains(&k) {
                let drawn = self.drawn(object, k);
                self.tracker.draw(&slice, object.window, &drawn)?
            } else {
                Some(self.tracker.prompt(&slice, scene.lattice, object.window, &object.prompted[&k])?)
            };
            answers.extend(answer.map(|answer| (object.label, answer)));
        }
        self.journal.put(Pass::Prompts, k, &mut answers)?;
        Ok(answers)
    }

    /// Hands what was found in a slice to whoever watches.
    pub fn tell(&self, k: usize, labels: Vec<u16>, answers: Answers) {
        if !labels.is_empty() {
            self.watch.partial(&Found::new(self.scene, k, labels, answers));
        }
    }

    /// The outline of an object in a slice in which it is shown.
    pub fn outline(&self, object: &Object, k: usize) -> Shape {
        let lattice = self.scene.lattice;
        if object.drawn.contains(&k) {
            let drawn = self.drawn(object, k);
            let plane: Vec<f32> = drawn.iter().map(|&inside| f32::from(u8::from(inside))).collect();
            let shares = self.scene.frame.on_masks(&plane);
            return Shape::of(&shares.iter().map(|share| share - 0.5).collect::<Vec<f32>>(), lattice);
        }
        let answers = self.journal.get(Pass::Prompts, k).unwrap_or_default();
        let logits = answers.get(&object.label).map(|answer| answer.logits.as_slice());
        Shape::of(logits.unwrap_or(&vec![-1.0; lattice.side.pow(2)]), lattice)
    }

    /// An object's pixels in a slice in which it is drawn.
    fn drawn(&self, object: &Object, k: usize) -> Vec<bool> {
        let mask = self.request.annotation.expect("what is drawn is in the annotation");
        self.scene.order.plane(mask, k).iter().map(|&label| label == object.label).collect()
    }
}
