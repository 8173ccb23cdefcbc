//! One patient: a trunk, and the layers of organs painted into it one over the other.

use glam::{EulerRot, Mat3, Vec3};

use super::draw::Draw;
use super::organs;
use super::shape::{Part, Shape};
use super::texture::{Texture, mix};
use super::tissue::Tissues;
use super::trunk::{Trunk, smooth_step};

pub struct Anatomy {
    pub trunk: Trunk,
    pub tissues: Tissues,
    /// Painted in this order: a later layer replaces what an earlier one put in its place.
    pub layers: Vec<Layer>,
    /// Displacement of all organs along x, y and z.
    warp: [Texture; 3],
    mottle: Texture,
}

pub struct Layer {
    pub shape: Shape,
    pub fill: Fill,
    /// 0 for what nobody labels.
    pub label: u16,
    pub place: Place,
}

/// Where a layer may be painted.
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

/// What is in a shape, from its surface inwards.
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

impl Anatomy {
    pub fn draw(draw: &mut Draw, girth: f32, tissues: Tissues) -> Self {
        let trunk = Trunk::draw(draw, girth);
        let warp = std::array::from_fn(|_| Texture { seed: draw.seed(), grain: 75.0 });
        let mottle = Texture { seed: draw.seed(), grain: 9.0 };
        let layers = organs::layers(draw, &trunk, &tissues);
        Self { trunk, tissues, layers, warp, mottle }
    }

    /// Where the undisturbed anatomy has what this patient has at `p`.
    pub fn warped(&self, p: Vec3) -> Vec3 {
        const MM: f32 = 9.0;
        p + MM * Vec3::from_array(std::array::from_fn(|axis| self.warp[axis].at(p)))
    }

    /// The pattern of uneven tissue at `p`, in -1..=1.
    pub fn mottle(&self, p: Vec3) -> f32 {
        0.6 * self.mottle.at(p) + 0.4 * self.mottle.at(p * 0.4)
    }
}

/// Places organs that are given in the frame of a middle-sized cavity (250 mm wide, 164 mm deep)
/// into one patient's cavity, each a little off its place.
pub struct Builder<'a> {
    pub draw: &'a mut Draw,
    pub layers: Vec<Layer>,
    scale: Vec3,
    offset: Vec3,
}

impl<'a> Builder<'a> {
    pub fn new(draw: &'a mut Draw, trunk: &Trunk) -> Self {
        let cavity = trunk.cavity();
        let scale = Vec3::new(cavity.x / 125.0, cavity.y / 82.0, 1.0);
        Self { draw, layers: Vec::new(), scale, offset: Vec3::ZERO }
    }

    /// Moves all that is built next by up to `mm` along each axis.
    pub fn stray(&mut self, mm: f32) {
        self.offset = self.draw.jitter(mm);
    }

    pub fn at(&self, x: f32, y: f32, z: f32) -> Vec3 {
        Vec3::new(x, y, z) * self.scale + self.offset
    }

    pub fn ball(&mut self, centre: [f32; 3], radii: [f32; 3]) -> Part {
        self.turned(centre, radii, [0.0; 3])
    }

    /// An ellipsoid turned by angles (radians) about x, y and z.
    pub fn turned(&mut self, [x, y, z]: [f32; 3], radii: [f32; 3], angles: [f32; 3]) -> Part {
        let centre = self.at(x, y, z) + self.draw.jitter(2.5);
        let breadth = 0.5 * (self.scale.x + self.scale.y);
        let size = Vec3::new(breadth, breadth, 1.0) * (Vec3::ONE + self.draw.jitter(0.09));
        let [a, b, c] = (Vec3::from_array(angles) + self.draw.jitter(0.12)).to_array();
        let turn = Mat3::from_euler(EulerRot::XYZ, a, b, c);
        Part::Ellipsoid { centre, radii: Vec3::from_array(radii) * size, turn }
    }

    /// A tube through `points`, `radii` thick at its two ends.
    pub fn tube(&mut self, points: &[[f32; 3]], radii: [f32; 2], stray: f32) -> Vec<Part> {
        let places: Vec<Vec3> =
            points.iter().map(|&[x, y, z]| self.at(x, y, z) + self.draw.jitter(stray)).collect();
        let pieces = places.len() - 1;
        let radius = |i: usize| mix(radii[0], radii[1], i as f32 / pieces as f32);
        let ends = places.windows(2).enumerate();
        ends.map(|(i, w)| Part::Capsule { ends: [w[0], w[1]], radii: [radius(i), radius(i + 1)] }).collect()
    }

    /// Adds a layer; `rough` is the displacement of its surface (mm) and the grain of that (mm).
    pub fn add(
        &mut self,
        parts: Vec<Part>,
        [blend, rough, grain]: [f32; 3],
        fill: Fill,
        label: u16,
        place: Place,
    ) {
        let pattern = Texture { seed: self.draw.seed(), grain };
        let shape = Shape::new(parts, blend, (rough, pattern));
        self.layers.push(Layer { shape, fill, label, place });
    }
}
