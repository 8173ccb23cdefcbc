use crate::Space;

/// Voxels and where they lie. The first axis runs fastest in memory:
/// voxel (i, j, k) is `voxels[i + shape[0] * (j + shape[1] * k)]`.
#[derive(Debug, Clone)]
pub struct Volume<T> {
    pub space: Space,
    pub voxels: Vec<T>,
}

/// A scan in Hounsfield units.
pub type Image = Volume<f32>;
/// A label map; 0 is background.
pub type Mask = Volume<u16>;

impl<T: Copy> Volume<T> {
    /// The plane of all (i, j) at third index `k`.
    pub fn plane(&self, k: usize) -> &[T] {
        let n = self.space.shape[0] * self.space.shape[1];
        &self.voxels[k * n..(k + 1) * n]
    }
}
