//! The trunk: skin, fat, the muscular wall with its ribs, the cavity inside and the diaphragm that
//! divides it.

use glam::{Vec2, Vec3};

use super::draw::Draw;
use super::shape::Surface;
use super::texture::Texture;

#[derive(Debug, Clone)]
pub struct Trunk {
    /// Half the width and half the depth of the body at the level of the kidneys, mm.
    pub half: Vec2,
    /// Mean thickness of the fat under the skin and of the muscle under the fat, mm.
    pub fat: f32,
    pub wall: f32,
    /// Relative change of the outline for each mm up.
    taper: f32,
    lumps: Texture,
    /// Highest points of the right and the left dome of the diaphragm, mm.
    pub domes: [f32; 2],
    ribs: Ribs,
}

#[derive(Debug, Clone)]
struct Ribs {
    distance: f32,
    /// Fall of a rib on its way forward, mm per mm.
    slope: f32,
    shift: f32,
    /// Height of the lowest rib in the flank.
    lowest: f32,
}

/// The trunk's surfaces as seen from one point.
pub struct Layers {
    pub skin: Surface,
    pub muscle: Surface,
    pub cavity: Surface,
    pub rib: Surface,
}

impl Trunk {
    /// A body; `girth` 1 is an adult of middle size.
    pub fn draw(draw: &mut Draw, girth: f32) -> Self {
        let fat = draw.between(6.0, 22.0) + (60.0 * (girth - 1.0)).max(-3.0);
        let width = draw.about(136.0, 8.0) * (1.0 + 0.6 * (girth - 1.0)) + fat;
        let half = Vec2::new(width, width * draw.about(0.755, 0.045));
        let right = draw.about(80.0, 8.0);
        Self {
            half,
            fat,
            wall: draw.about(20.0, 3.0),
            taper: draw.about(0.0, 0.0004),
            lumps: Texture { seed: draw.seed(), grain: 70.0 },
            domes: [right, right - draw.between(6.0, 18.0)],
            ribs: Ribs {
                distance: draw.about(29.0, 3.0),
                slope: draw.about(0.62, 0.12),
                shift: draw.between(0.0, 29.0),
                lowest: draw.about(-35.0, 15.0),
            },
        }
    }

    /// Half the width and half the depth of the cavity, mm.
    pub fn cavity(&self) -> Vec2 {
        self.half - Vec2::splat(self.fat + self.wall)
    }

    pub fn layers(&self, p: Vec3) -> Layers {
        let skin = self.skin(p);
        let lump = self.lumps.at(p);
        let back = (-p.y / self.half.y).clamp(-1.0, 1.0);
        let fat = self.fat * (1.0 + 0.3 * lump + 0.25 * back);
        let wall = self.wall * (1.0 + 0.2 * lump + 0.35 * back);
        let (muscle, cavity) = (skin.grown(-fat), skin.grown(-fat - wall));
        let rib = self.ribs.surface(p, skin.grown(-fat - 0.6 * wall).distance, skin.normal);
        Layers { skin, muscle, cavity, rib }
    }

    /// A superellipse |x/a|^n + |y/b|^n = 1 with a flattened back.
    fn skin(&self, p: Vec3) -> Surface {
        const N: f32 = 2.2;
        let grow = 1.0 + self.taper * p.z + 0.025 * self.lumps.at(p * 0.6);
        let depth = if p.y < 0.0 { 0.96 } else { 1.0 };
        let half = Vec2::new(self.half.x, self.half.y * depth) * grow;
        let u = (p.truncate() / half).abs().max(Vec2::splat(1e-4));
        let k = (u.x.powf(N) + u.y.powf(N)).powf(1.0 / N);
        let steep = Vec2::new((u.x / k).powf(N - 1.0), (u.y / k).powf(N - 1.0)) / half;
        let gradient = steep * p.truncate().signum();
        let slope = gradient.length();
        Surface { distance: (k - 1.0) / slope, normal: (gradient / slope).extend(0.0) }
    }

    /// The diaphragm as seen from `p`; inside is below it. It falls away from two domes, so that
    /// slices through the top of the liver show lung all around it.
    pub fn diaphragm(&self, p: Vec3) -> Surface {
        let cavity = self.cavity();
        let right = smooth_step((p.x + 30.0) / 60.0);
        let top = self.domes[1] + (self.domes[0] - self.domes[1]) * right;
        let from_dome = (p.x.abs() - 0.45 * cavity.x) / cavity.x;
        let forward = (p.y - 0.15 * cavity.y) / cavity.y;
        let fall = if forward > 0.0 { 24.0 } else { 62.0 };
        let drop = 100.0 * from_dome * from_dome + fall * forward * forward;
        let slope = Vec2::new(200.0 * from_dome / cavity.x * p.x.signum(), 2.0 * fall * forward / cavity.y);
        let steep = (1.0 + slope.length_squared()).sqrt();
        let normal = slope.extend(1.0) / steep;
        Surface { distance: (p.z - top + drop) / steep, normal }
    }
}

impl Ribs {
    /// `depth` is the distance from the middle of the wall, along `normal`.
    fn surface(&self, p: Vec3, depth: f32, normal: Vec3) -> Surface {
        let along = (p.z + self.slope * p.y + self.shift) / self.distance;
        let off = (along - along.floor() - 0.5) * self.distance / (1.0 + self.slope * self.slope).sqrt();
        let (flat, tall) = (depth / 4.0, off / 6.5);
        let rib = Surface { distance: 4.0 * (flat.hypot(tall) - 1.0), normal };
        // The costal arch: in front, the lower ribs end before the midline.
        let arch = self.lowest + 0.8 * (p.y + 20.0).max(0.0) + 0.9 * (60.0 - p.x.abs()).max(0.0) - p.z;
        let spared = if p.y < 0.0 { 22.0 - p.x.abs() } else { -1.0 };
        let below = Surface { distance: arch.max(spared), normal: Vec3::Z };
        rib.and(below)
    }
}

pub fn smooth_step(t: f32) -> f32 {
    let t = t.clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}
