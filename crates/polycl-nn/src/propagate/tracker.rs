//! Who follows objects from slice to slice.

use half::bf16;
use polycl_volume::preprocess::Grid;
use polycl_volume::{Image, Result};

use super::boxes::Boxes;
use super::journal::Pass;
use super::memory::Memory;
use super::object::Place;
use super::shape::Shape;
use crate::sam::{Cache, Frame, Lattice, Slice};

/// A network with what it remembers of the objects in the slices that it has passed.
#[expect(clippy::large_enum_variant, reason = "there is one")]
pub enum Tracker {
    /// The last outline gives the box that prompts the network in the next slice.
    Boxes(Boxes),
    /// SAM 2 looks back at what it remembers of earlier slices.
    Memory(Memory),
}

/// What is known of an object that is to be found in a slice.
pub struct Asked<'a> {
    /// Its number among all objects.
    pub object: usize,
    pub window: [f32; 2],
    /// The next slice ahead in which it is shown: how many slices away, and its outline there.
    pub ahead: Option<(usize, &'a Shape)>,
}

/// What a tracker says of an object in a slice.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// On the decoder's grid, above zero inside.
    pub logits: Vec<f32>,
    pub predicted_iou: f32,
    /// Whether the object is there at all: above zero if so.
    pub presence: f32,
    /// What is remembered of it, by networks that do.
    pub trace: Option<Trace>,
}

/// What SAM 2 remembers of an object in a slice.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    pub pointer: Vec<f32>,
    pub pixels: Vec<bf16>,
}

/// How many slices are looked back at, at most.
pub const TRACES: usize = 16;

impl Tracker {
    /// How planes become the network's input.
    pub fn frame(&self, grid: Grid) -> Frame {
        match self {
            Self::Boxes(boxes) => boxes.network.frame(grid),
            Self::Memory(memory) => memory.frame(grid),
        }
    }

    /// Side of the decoder's grid.
    pub fn side(&self) -> usize {
        match self {
            Self::Boxes(boxes) => 4 * boxes.network.sam.config.side(),
            Self::Memory(memory) => memory.network.config.image / 4,
        }
    }

    /// Tells networks and their weights apart.
    pub fn fingerprint(&self) -> String {
        match self {
            Self::Boxes(Boxes { network, .. }) => format!("{} {:08x}", network.model, network.sam.checksum),
            Self::Memory(Memory { network, model, .. }) => format!("{model} {:08x}", network.checksum),
        }
    }

    /// Where embeddings are kept, if they are.
    pub fn cache(&self, image: &Image) -> Option<Cache> {
        match self {
            Self::Boxes(boxes) => boxes.network.cache(image),
            Self::Memory(_) => None,
        }
    }

    /// Another scan begins: how many slices there are, and how many millimetres apart.
    pub fn set_slices(&mut self, slices: usize, step: f64) {
        match self {
            Self::Boxes(boxes) => boxes.set_step(step),
            Self::Memory(memory) => memory.set_slices(slices, step),
        }
    }

    /// Whether it wants to see all slices in which objects are shown before it begins.
    pub fn is_conditioned(&self) -> bool {
        matches!(self, Self::Memory(_))
    }

    /// Remembers an object in a slice where a person drew it.
    ///
    /// # Errors
    /// What the device or the cache says; so do the others.
    ///
    /// # Panics
    /// If the tracker is not [`Self::is_conditioned`].
    pub fn draw(&self, slice: &Slice<'_>, window: [f32; 2], drawn: &[bool]) -> Result<Answer> {
        match self {
            Self::Boxes(_) => unreachable!("boxes take outlines as they come by"),
            Self::Memory(memory) => memory.draw(slice, window, drawn),
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
        &self,
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
    pub fn follow(&self, slice: &Slice<'_>, lattice: Lattice, asked: &[Asked<'_>]) -> Result<Vec<Answer>> {
        match self {
            Self::Boxes(boxes) => boxes.follow(slice, lattice, asked),
            Self::Memory(memory) => memory.follow(slice, asked),
        }
    }

    /// Whether an answer that was kept is all that it takes to go on from there.
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

    /// Whether [`Answer::presence`] is the network's own score.
    pub fn scores_objects(&self) -> bool {
        matches!(self, Self::Memory(_))
    }
}
