//! Planes of a scan in canonical order, as the page shows them.

use polycl_image::Plane;

/// The planes of one kind of a scan of this canonical shape.
#[derive(Debug, Clone, Copy)]
pub struct View {
    pub plane: Plane,
    shape: [usize; 3],
}

impl View {
    pub fn new(plane: Plane, shape: [usize; 3]) -> Self {
        Self { plane, shape }
    }

    pub fn count(&self) -> usize {
        self.shape[self.plane as usize]
    }

    /// Columns and rows.
    pub fn size(&self) -> [usize; 2] {
        let [nx, ny, nz] = self.shape;
        match self.plane {
            Plane::Axial => [nx, ny],
            Plane::Coronal => [nx, nz],
            Plane::Sagittal => [ny, nz],
        }
    }

    pub fn pixels(&self) -> usize {
        self.size().iter().product()
    }

    /// The canonical voxel under a pixel of plane `k`.
    pub fn voxel(&self, k: usize, pixel: usize) -> usize {
        let [nx, ny, nz] = self.shape;
        let width = self.size()[0];
        let (column, row) = (pixel % width, pixel / width);
        match self.plane {
            Plane::Axial => column + nx * (row + ny * k),
            Plane::Coronal => column + nx * (k + ny * (nz - 1 - row)),
            Plane::Sagittal => k + nx * (column + ny * (nz - 1 - row)),
        }
    }

    /// The plane and the pixel over a canonical voxel: the way back of [`Self::voxel`].
    pub fn pixel(&self, [x, y, z]: [usize; 3]) -> (usize, [usize; 2]) {
        let head_up = || self.shape[2] - 1 - z;
        match self.plane {
            Plane::Axial => (z, [x, y]),
            Plane::Coronal => (y, [x, head_up()]),
            Plane::Sagittal => (x, [y, head_up()]),
        }
    }

    /// The number of the plane in which a canonical voxel lies.
    pub fn plane_of(&self, voxel: usize) -> usize {
        let [nx, ny, _] = self.shape;
        match self.plane {
            Plane::Axial => voxel / (nx * ny),
            Plane::Coronal => voxel / nx % ny,
            Plane::Sagittal => voxel % nx,
        }
    }

    /// The values of a plane, row by row from the upper left corner.
    pub fn cut<'a, T: Copy>(&'a self, volume: &'a [T], k: usize) -> impl Iterator<Item = T> + 'a {
        (0..self.pixels()).map(move |pixel| volume[self.voxel(k, pixel)])
    }
}

#[cfg(test)]
mod tests {
    use glam::{DAffine3, DMat3, DVec3};
    use polycl_image::{Space, Volume};

    use super::*;

    /// The same planes as those that networks see, from a file in any order.
    #[test]
    fn planes_are_those_of_the_house() {
        let affine = DAffine3::from_mat3(DMat3::from_cols(DVec3::Z * -2.0, DVec3::X, DVec3::Y * 3.0));
        let file = Volume { space: Space::new([4, 2, 3], affine), voxels: (0..24_u16).collect() };
        let canonical = Plane::Axial.order(&file.space).apply(&file);
        for plane in [Plane::Axial, Plane::Coronal, Plane::Sagittal] {
            let view = View::new(plane, canonical.space.shape);
            for k in 0..view.count() {
                let expected = plane.order(&file.space).plane(&file, k);
                assert_eq!(view.cut(&canonical.voxels, k).collect::<Vec<_>>(), expected, "{plane} {k}");
                assert!((0..view.pixels()).all(|pixel| view.plane_of(view.voxel(k, pixel)) == k));
                let [nx, ny, _] = canonical.space.shape;
                let place = |voxel: usize| [voxel % nx, voxel / nx % ny, voxel / nx / ny];
                let back = |pixel: usize| view.pixel(place(view.voxel(k, pixel)));
                let width = view.size()[0];
                assert!((0..view.pixels()).all(|pixel| back(pixel) == (k, [pixel % width, pixel / width])));
            }
        }
    }
}
