//! From organs of a middle-sized cavity to layers of one patient.

use glam::{EulerRot, Mat3, Vec3};

use super::draw::Draw;
use super::layer::{Fill, Layer, Place};
use super::shape::{Part, Shape};
use super::texture::{Texture, mix};
use super::trunk::Trunk;

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
