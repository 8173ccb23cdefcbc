//! Who follows objects from slice to slice.

use polycl_volume::preprocess::Grid;
use polycl_volume::{Image, Result};

use super::boxes::Boxes;
use super::object::Place;
use super::shape::Shape;
use crate::sam::{Cache, Frame, Lattice, Slice};

/// A network with what it remembers of the objects in the slices that it has passed.
pub enum Tracker {
    /// The last outline gives the box that prompts the network in the next slice.
    Boxes(Boxes),
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
}

impl Tracker {
    /// How planes become the network's input.
    pub fn frame(&self, grid: Grid) -> Frame {
        match self {
            Self::Boxes(boxes) => boxes.network.frame(grid),
        }
    }

    /// Side of the decoder's grid.
    pub fn side(&self) -> usize {
        match self {
            Self::Boxes(boxes) => 4 * boxes.network.sam.config.side(),
        }
    }

    /// Tells networks and their weights apart.
    pub fn fingerprint(&self) -> String {
        match self {
            Self::Boxes(Boxes { network, .. }) => format!("{} {:08x}", network.model, network.sam.checksum),
        }
    }

    /// Where embeddings are kept, if they are.
    pub fn cache(&self, image: &Image) -> Option<Cache> {
        match self {
            Self::Boxes(boxes) => boxes.network.cache(image),
        }
    }

    /// Forgets all; another sweep begins, over slices that are `step` mm apart.
    pub fn begin(&mut self, objects: usize, step: f64) {
        match self {
            Self::Boxes(boxes) => boxes.begin(objects, step),
        }
    }

    /// Hears how an object, known by its number and window, was drawn in a slice.
    ///
    /// # Errors
    /// What the device or the cache says; so do the others.
    pub fn show(
        &mut self,
        slice: &Slice<'_>,
        lattice: Lattice,
        object: (usize, [f32; 2]),
        shape: &Shape,
    ) -> Result<()> {
        match self {
            Self::Boxes(boxes) => boxes.show(slice, lattice, object, shape),
        }
    }

    /// Finds an object by boxes and clicks.
    ///
    /// # Errors
    /// As [`Self::show`].
    pub fn prompt(
        &self,
        slice: &Slice<'_>,
        lattice: Lattice,
        window: [f32; 2],
        places: &[Place],
    ) -> Result<Answer> {
        match self {
            Self::Boxes(boxes) => boxes.prompt(slice, lattice, window, places),
        }
    }

    /// Finds objects in the next slice.
    ///
    /// # Errors
    /// As [`Self::show`].
    pub fn follow(&self, slice: &Slice<'_>, lattice: Lattice, asked: &[Asked<'_>]) -> Result<Vec<Answer>> {
        match self {
            Self::Boxes(boxes) => boxes.follow(slice, lattice, asked),
        }
    }

    /// Takes notice of an answer, its own or one that was kept.
    pub fn remember(&mut self, lattice: Lattice, object: usize, answer: &Answer) {
        match self {
            Self::Boxes(boxes) => boxes.remember(lattice, object, answer),
        }
    }

    /// Slices without the object after which it is no longer looked for.
    pub fn patience(&self) -> usize {
        match self {
            Self::Boxes(_) => 1,
        }
    }

    /// Whether [`Answer::presence`] is the network's own score.
    pub fn scores_objects(&self) -> bool {
        match self {
            Self::Boxes(_) => false,
        }
    }
}
