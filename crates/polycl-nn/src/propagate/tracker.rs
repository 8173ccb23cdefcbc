//! The follower of one scan's objects, from slice to slice.

use std::sync::Arc;

use polycl_base::Result;

use super::answer::{Answer, Asked, Pass};
use super::boxes::Boxes;
use super::follower::Follower;
use super::memory::Memory;
use super::object::Place;
use super::shape::Shape;
use crate::sam::{Lattice, Slice};

/// A network's view of the objects of one scan in the slices that it has passed. Its weights are shared.
pub enum Tracker {
    Boxes(Boxes),
    Memory(Memory),
}

impl Tracker {
    /// Begins a scan of so many slices, `step` mm apart.
    pub fn new(follower: &Follower, slices: usize, step: f64) -> Self {
        match follower {
            Follower::Boxes(network) => Self::Boxes(Boxes::new(Arc::clone(network), step)),
            Follower::Memory(network) => Self::Memory(Memory::new(Arc::clone(network), slices, step)),
        }
    }

    /// Tells whether it wants to see all slices in which objects are shown before it begins.
    pub fn is_conditioned(&self) -> bool {
        matches!(self, Self::Memory(_))
    }

    /// Looks at an object in a slice where a person drew it; nothing from boxes, which take outlines as they come by.
    ///
    /// # Errors
    /// What the device or the cache says; so do the others.
    pub fn draw(&mut self, slice: &Slice<'_>, window: [f32; 2], drawn: &[bool]) -> Result<Option<Answer>> {
        match self {
            Self::Boxes(_) => Ok(None),
            Self::Memory(memory) => memory.draw(slice, window, drawn).map(Some),
        }
    }

    /// Takes notice of what a person has shown in a slice.
    pub fn condition(&mut self, object: usize, slice: usize, answer: &Answer) {
        match self {
            Self::Boxes(_) => {}
            Self::Memory(memory) => memory.condition(object, slice, answer),
        }
    }

    /// Forgets what it has found; another sweep begins.
    pub fn begin(&mut self, objects: usize, pass: Pass) {
        match self {
            Self::Boxes(boxes) => boxes.begin(objects),
            Self::Memory(memory) => memory.begin(pass),
        }
    }

    /// Hears how an object, known by its number and window, was drawn in a slice.
    ///
    /// # Errors
    /// As [`Self::draw`].
    pub fn show(
        &mut self,
        slice: &Slice<'_>,
        lattice: Lattice,
        object: (usize, [f32; 2]),
        shape: &Shape,
    ) -> Result<()> {
        match self {
            Self::Boxes(boxes) => boxes.show(slice, lattice, object, shape),
            Self::Memory(_) => Ok(()),
        }
    }

    /// Finds an object by boxes and clicks.
    ///
    /// # Errors
    /// As [`Self::draw`].
    pub fn prompt(
        &mut self,
        slice: &Slice<'_>,
        lattice: Lattice,
        window: [f32; 2],
        places: &[Place],
    ) -> Result<Answer> {
        match self {
            Self::Boxes(boxes) => boxes.prompt(slice, lattice, window, places),
            Self::Memory(memory) => memory.prompt(slice, window, places),
        }
    }

    /// Finds objects in the next slice.
    ///
    /// # Errors
    /// As [`Self::draw`].
    pub fn follow(
        &mut self,
        slice: &Slice<'_>,
        lattice: Lattice,
        asked: &[Asked<'_>],
    ) -> Result<Vec<Answer>> {
        match self {
            Self::Boxes(boxes) => boxes.follow(slice, lattice, asked),
            Self::Memory(memory) => memory.follow(slice, asked),
        }
    }

    /// Tells whether an answer that was kept is all that it takes to go on from there.
    pub fn can_go_on(&self, answer: &Answer) -> bool {
        match self {
            Self::Boxes(_) => true,
            Self::Memory(memory) => memory.can_go_on(answer),
        }
    }

    /// Takes notice of an answer, its own or one that was kept.
    pub fn remember(&mut self, lattice: Lattice, object: usize, slice: usize, answer: &Answer) {
        match self {
            Self::Boxes(boxes) => boxes.remember(lattice, object, answer),
            Self::Memory(memory) => memory.remember(object, slice, answer),
        }
    }

    /// Slices without the object after which it is no longer looked for.
    pub fn patience(&self) -> usize {
        match self {
            Self::Boxes(_) => 1,
            Self::Memory(memory) => memory.patience(),
        }
    }

    /// Tells whether [`Answer::presence`] is the network's own score.
    pub fn scores_objects(&self) -> bool {
        matches!(self, Self::Memory(_))
    }
}
