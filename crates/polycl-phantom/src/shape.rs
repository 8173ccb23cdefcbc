//! Organs as implicit surfaces: smooth unions of ellipsoids and capsules whose surface is displaced
//! by a texture. Lengths are mm in the body frame (x to the patient's right, y anterior, z superior).

use glam::{Mat3, Vec3};

use super::texture::{Texture, mix};

/// The nearest surface from a point: mm outside it (negative inside) and the outward direction.
#[derive(Debug, Clone, Copy)]
pub struct Surface {
    pub distance: f32,
    pub normal: Vec3,
}

impl Surface {
    /// Share of a voxel of this size (mm) that is inside. The surface is taken as flat within the
    /// voxel, and the transition as wide as the voxel is along the normal: partial volume.
    pub fn coverage(self, voxel: Vec3) -> f32 {
        (0.5 - self.distance / self.normal.abs().dot(voxel)).clamp(0.0, 1.0)
    }

    /// The intersection of two insides.
    pub fn and(self, other: Self) -> Self {
        if self.distance > other.distance { self } else { other }
    }

    pub fn outside(self) -> Self {
        Self { distance: -self.distance, normal: -self.normal }
    }

    /// The surface `mm` further out.
    pub fn grown(self, mm: f32) -> Self {
        Self { distance: self.distance - mm, ..self }
    }

    /// A union whose seam is rounded over about `width` mm (Quilez's polynomial smooth minimum).
    fn smooth_or(self, other: Self, width: f32) -> Self {
        let h = (0.5 + 0.5 * (other.distance - self.distance) / width).clamp(0.0, 1.0);
        let distance = mix(other.distance, self.distance, h) - width * h * (1.0 - h);
        Self { distance, normal: other.normal.lerp(self.normal, h).normalize_or(Vec3::Z) }
    }
}

#[derive(Debug, Clone)]
pub enum Part {
    /// `turn` takes the ellipsoid's own axes to the body frame.
    Ellipsoid { centre: Vec3, radii: Vec3, turn: Mat3 },
    /// A rod with round ends, thicker or thinner towards its second end.
    Capsule { ends: [Vec3; 2], radii: [f32; 2] },
}

impl Part {
    pub fn ball(centre: Vec3, radii: Vec3) -> Self {
        Self::Ellipsoid { centre, radii, turn: Mat3::IDENTITY }
    }

    fn surface(&self, p: Vec3) -> Surface {
        match self {
            Self::Ellipsoid { centre, radii, turn } => {
                // First-order distance: k0 (k0 - 1) / |gradient|, exact on the surface.
                let q = turn.transpose() * (p - centre);
                let k0 = (q / radii).length();
                let gradient = q / (radii * radii);
                let k1 = gradient.length().max(1e-6);
                let normal = (*turn * gradient).normalize_or(Vec3::Z);
                Surface { distance: k0 * (k0 - 1.0) / k1, normal }
            }
            Self::Capsule { ends: [a, b], radii } => {
                let axis = b - a;
                let t = ((p - a).dot(axis) / axis.length_squared()).clamp(0.0, 1.0);
                let away = p - (a + axis * t);
                let distance = away.length() - mix(radii[0], radii[1], t);
                Surface { distance, normal: away.normalize_or(Vec3::Z) }
            }
        }
    }

    /// The opposite corners of a box around the part.
    fn bounds(&self) -> [Vec3; 2] {
        match self {
            Self::Ellipsoid { centre, radii, turn } => {
                let axes = turn.mul_mat3(&Mat3::from_diagonal(*radii)).transpose();
                let half = Vec3::new(axes.x_axis.length(), axes.y_axis.length(), axes.z_axis.length());
                [centre - half, centre + half]
            }
            Self::Capsule { ends: [a, b], radii } => {
                let r = Vec3::splat(radii[0].max(radii[1]));
                [a.min(*b) - r, a.max(*b) + r]
            }
        }
    }
}

#[derive(Debug, Clone)]
pub struct Shape {
    parts: Vec<Part>,
    /// Width of the rounded seams between parts, mm.
    blend: f32,
    /// Displacement of the surface: its largest value in mm, and its pattern.
    rough: (f32, Texture),
    bounds: [Vec3; 2],
}

impl Shape {
    pub fn new(parts: Vec<Part>, blend: f32, rough: (f32, Texture)) -> Self {
        let boxes = parts.iter().map(Part::bounds);
        let around = boxes.reduce(|[a, b], [c, d]| [a.min(c), b.max(d)]).unwrap_or_default();
        let margin = Vec3::splat(blend / 4.0 + rough.0);
        Self { parts, blend, rough, bounds: [around[0] - margin, around[1] + margin] }
    }

    /// True if `p` may be inside or within `margin` of the shape.
    pub fn near(&self, p: Vec3, margin: Vec3) -> bool {
        let [low, high] = self.bounds;
        (p + margin).cmpge(low).all() && (p - margin).cmple(high).all()
    }

    /// True if the plane at height `z` may come within `margin` of the shape.
    pub fn near_height(&self, z: f32, margin: f32) -> bool {
        let [low, high] = self.bounds;
        low.z - margin <= z && z <= high.z + margin
    }

    pub fn surface(&self, p: Vec3) -> Surface {
        let parts = self.parts.iter().map(|part| part.surface(p));
        let union = parts.reduce(|a, b| a.smooth_or(b, self.blend));
        let (mm, pattern) = self.rough;
        // A shape without parts is nowhere.
        let union = union.unwrap_or(Surface { distance: f32::INFINITY, normal: Vec3::Z });
        if mm == 0.0 { union } else { union.grown(mm * pattern.at(p)) }
    }
}
