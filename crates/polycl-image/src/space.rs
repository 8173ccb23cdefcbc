use glam::{DAffine3, DVec3};

use crate::native::Geometry;

/// Corners of two files that share their voxels lie within this part of a voxel's smallest side of each other: programs
/// round what they write.
const SAME_PLACE: f64 = 0.1;

/// The place of a volume's voxels in the patient: their number along each axis and the affine
/// that takes a voxel index (i, j, k), centre of voxel, to RAS+ millimetres.
#[derive(Debug, Clone)]
pub struct Space {
    /// Voxels along the first (fastest in memory), second and third axis.
    pub shape: [usize; 3],
    pub world_from_voxel: DAffine3,
    /// The spelling of this geometry in the source file, so that a mask made with `image.space.clone()` is
    /// written back with the very same header fields. `None` for spaces made in memory.
    pub native: Option<Geometry>,
}

/// Two spaces are equal when shape and affine are, however their files spelt them.
impl PartialEq for Space {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape && self.world_from_voxel == other.world_from_voxel
    }
}

impl Space {
    /// A space that comes from no file.
    pub fn new(shape: [usize; 3], world_from_voxel: DAffine3) -> Self {
        Self { shape, world_from_voxel, native: None }
    }

    /// Distance in mm between neighbouring voxel centres along each axis.
    pub fn spacing(&self) -> [f64; 3] {
        let m = self.world_from_voxel.matrix3;
        [m.x_axis.length(), m.y_axis.length(), m.z_axis.length()]
    }

    pub fn voxels(&self) -> usize {
        self.shape.iter().product()
    }

    /// World positions (RAS+ mm) of the eight corner voxels' centres.
    pub fn corners(&self) -> [DVec3; 8] {
        std::array::from_fn(|c| {
            let at = |axis: usize| if c >> axis & 1 == 1 { self.shape[axis] as f64 - 1.0 } else { 0.0 };
            self.world_from_voxel.transform_point3(DVec3::new(at(0), at(1), at(2)))
        })
    }

    /// The largest distance in mm between corresponding corners of two volumes.
    pub fn corner_distance(&self, other: &Space) -> f64 {
        let pairs = self.corners().into_iter().zip(other.corners());
        // `f64::max` passes over what is no number, which must stay to be seen.
        let farther = |most: f64, distance: f64| match most.is_nan() || distance.is_nan() {
            true => f64::NAN,
            false => most.max(distance),
        };
        pairs.map(|(a, b)| a.distance(b)).fold(0.0, farther)
    }

    /// The first thing that keeps `other` from lying on these voxels, as expected here and found there; `None`
    /// where shapes agree and no corner is more than a tenth of a voxel's smallest side from its place.
    pub fn disagreement(&self, other: &Space) -> Option<(String, String)> {
        if self.shape != other.shape {
            return Some((format!("the shape {:?}", self.shape), format!("{:?}", other.shape)));
        }
        let moved = self.corner_distance(other);
        // Written so that a distance that is no number is refused as well.
        let side = self.spacing().into_iter().fold(f64::INFINITY, f64::min);
        let same = moved <= SAME_PLACE * side;
        (!same).then(|| ("the place".to_owned(), format!("a corner {moved:.2} mm away")))
    }
}
