//! One patient: a trunk, and the layers of organs painted into it one over the other.

use glam::Vec3;

use super::draw::Draw;
use super::layer::Layer;
use super::organs;
use super::texture::Texture;
use super::tissue::Tissues;
use super::trunk::Trunk;

pub struct Anatomy {
    pub trunk: Trunk,
    pub tissues: Tissues,
    /// Painted in this order: a later layer replaces what an earlier one put in its place.
    pub layers: Vec<Layer>,
    /// Displacement of all organs along x, y and z.
    warp: [Texture; 3],
    mottle: Texture,
}

impl Anatomy {
    pub fn draw(draw: &mut Draw, girth: f32, tissues: Tissues) -> Self {
        let trunk = Trunk::draw(draw, girth);
        let warp = std::array::from_fn(|_| Texture { seed: draw.seed(), grain: 75.0 });
        let mottle = Texture { seed: draw.seed(), grain: 9.0 };
        let layers = organs::layers(draw, &trunk, &tissues);
        Self { trunk, tissues, layers, warp, mottle }
    }

    /// The place in the undisturbed anatomy of what this patient has at `p`.
    pub fn warped(&self, p: Vec3) -> Vec3 {
        const MM: f32 = 9.0;
        p + MM * Vec3::from_array(std::array::from_fn(|axis| self.warp[axis].at(p)))
    }

    /// The pattern of uneven tissue at `p`, in -1..=1.
    pub fn mottle(&self, p: Vec3) -> f32 {
        0.6 * self.mottle.at(p) + 0.4 * self.mottle.at(p * 0.4)
    }
}
