//! The decision about a component of a coarse mask.

use glam::DVec3;
use polycl_image::Space;
use polycl_image::orient::Reorientation;

use super::gate::{Choice, Evidence};

/// The decision on a component of a slice.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Number of the slice along the file's slice axis, from 0.
    pub slice: usize,
    pub label: u16,
    /// The coarse component's box: voxels of the file, the last ones included.
    pub first: [usize; 3],
    pub last: [usize; 3],
    /// Pixels before and after.
    pub pixels: [usize; 2],
    /// None where the network was not asked.
    pub evidence: Option<Evidence>,
    pub choice: Choice,
}

impl Decision {
    /// From canonical order to that of the file.
    pub(super) fn move_to_file(&mut self, reorientation: &Reorientation, canonical: &Space, file: &Space) {
        let file_from_canonical = file.world_from_voxel.inverse() * canonical.world_from_voxel;
        let corners = [self.first, self.last].map(|corner| {
            let at = DVec3::from_array(corner.map(|i| i as f64));
            file_from_canonical.transform_point3(at).to_array().map(|i| i.round() as usize)
        });
        self.first = [0, 1, 2].map(|axis| corners[0][axis].min(corners[1][axis]));
        self.last = [0, 1, 2].map(|axis| corners[0][axis].max(corners[1][axis]));
        self.slice = reorientation.slice_from_canonical(self.slice, file);
    }
}
