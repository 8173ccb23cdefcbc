//! Layers of organs: a shape, what is in it, and where it may be painted.

use glam::Vec3;

use super::shape::Shape;
use super::texture::mix;
use super::trunk::smooth_step;

pub struct Layer {
    pub shape: Shape,
    pub fill: Fill,
    /// 0 for what nobody labels.
    pub label: u16,
    pub place: Place,
}

/// The part of the body in which a layer may be painted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Inside the muscular wall, below the diaphragm.
    Abdomen,
    /// Inside the muscular wall, above the diaphragm.
    Thorax,
    /// Anywhere under the skin.
    Trunk,
    /// Within the organ of this label, which must have been painted before.
    Onto(u16),
}

/// The content of a shape, from its surface inwards.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fill {
    /// HU of the rim (a wall, a cortex) and its thickness in mm.
    pub rim: f32,
    pub thickness: f32,
    /// HU of the core, and how much it varies from place to place.
    pub core: f32,
    pub mottle: f32,
    /// Gas above this height over the table (y, mm): patients lie on their back.
    pub gas: Option<f32>,
}

impl Fill {
    pub fn solid(core: f32, mottle: f32) -> Self {
        Self { rim: core, core, mottle, ..Self::default() }
    }

    /// HU at `p`, which lies `distance` mm outside the surface.
    pub fn hu(&self, distance: f32, p: Vec3, pattern: f32) -> f32 {
        let gas = self.gas.map_or(0.0, |level| smooth_step((p.y - level) / 3.0 + 0.5));
        let core = mix(self.core + self.mottle * pattern, -940.0, gas);
        if self.thickness == 0.0 {
            return core;
        }
        mix(self.rim, core, ((-distance - self.thickness) / 2.0 + 0.5).clamp(0.0, 1.0))
    }
}
