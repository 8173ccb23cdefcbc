//! Questions about objects in slices, and the answers of trackers.

use std::collections::BTreeMap;

use half::bf16;

use super::shape::Shape;

/// Slices that are looked back at, at most.
pub const TRACES: usize = 16;

/// A walk over the slices from which answers come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Boxes and clicks of a person.
    Prompts,
    Up,
    Down,
}

/// An object to be found in a slice.
pub struct Asked<'a> {
    /// Its number among all objects.
    pub object: usize,
    pub window: [f32; 2],
    /// The next slice ahead in which it is shown: how many slices away, and its outline there.
    pub ahead: Option<(usize, &'a Shape)>,
}

/// Answers about a slice by label.
pub type Answers = BTreeMap<u16, Answer>;

/// An object in a slice, as a tracker has found it.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// On the decoder's grid, above zero inside.
    pub logits: Vec<f32>,
    pub predicted_iou: f32,
    /// Above zero where the object is in the slice at all.
    pub presence: f32,
    /// Memories of it, by networks that have any.
    pub trace: Option<Trace>,
}

impl Answer {
    pub fn is_there(&self) -> bool {
        self.presence > 0.0
    }
}

/// SAM 2's memories of an object in a slice.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    pub pointer: Vec<f32>,
    pub pixels: Vec<bf16>,
}
