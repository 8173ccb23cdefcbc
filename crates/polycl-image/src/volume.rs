use sha2::{Digest, Sha256};

use crate::Space;

/// Voxels that are hashed at a time.
const CHUNK: usize = 1 << 14;

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

impl Image {
    /// SHA-256 (lower-case hex) of shape and voxels: the same scan is known again whatever its file
    /// is called and however it is compressed.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        self.space.shape.iter().for_each(|&side| hash.update((side as u64).to_le_bytes()));
        let mut bytes = Vec::with_capacity(4 * CHUNK);
        for voxels in self.voxels.chunks(CHUNK) {
            bytes.clear();
            bytes.extend(voxels.iter().flat_map(|voxel| voxel.to_le_bytes()));
            hash.update(&bytes);
        }
        polycl_base::hex(&hash.finalize())
    }
}
