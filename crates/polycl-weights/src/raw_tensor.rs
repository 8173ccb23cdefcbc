//! Tensors without a framework.

/// A tensor as a file holds it, in float32.
#[derive(Debug, Clone, PartialEq)]
pub struct RawTensor {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}
