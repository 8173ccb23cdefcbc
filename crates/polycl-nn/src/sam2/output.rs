//! An object as the network finds it.

use half::bf16;

/// An object on a frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// [4 side, 4 side], above zero inside.
    pub logits: Vec<f32>,
    pub predicted_iou: f32,
    /// Above zero where the object is on the frame.
    pub object_score: f32,
    pub pointer: Vec<f32>,
    /// [side², memory dim]; upstream keeps it in this precision.
    pub memory: Vec<bf16>,
}
