//! Canonical orientation: network slices are in LPS voxel order (the first axis runs to the
//! patient's left, the second to posterior, the third to superior), so that pictures look as
//! radiologists are used to.

use glam::{DAffine3, DMat3, DVec3};

use crate::{Space, Volume};

const PERMUTATIONS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
/// Names of the directions in which the canonical axes run, and of their opposites.
const CANONICAL: [char; 3] = ['L', 'P', 'S'];
const OPPOSITE: [char; 3] = ['R', 'A', 'I'];
/// Sign of each canonical axis in RAS+ world coordinates.
const SIGN: [f64; 3] = [-1.0, -1.0, 1.0];

/// Swaps and flips of axes; no voxel is interpolated, none moves in the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reorientation {
    /// The source axis that becomes each new axis.
    pub axes: [usize; 3],
    /// True for each new axis that runs against its source axis.
    pub flip: [bool; 3],
}

impl Reorientation {
    /// From the voxel order of `space` to LPS: the assignment of voxel axes to world axes with
    /// the largest sum of absolute direction cosines, which is well defined for oblique and
    /// sheared volumes too (the first in lexical order where several are equal).
    pub fn to_canonical(space: &Space) -> Self {
        let m = space.world_from_voxel.matrix3;
        let columns = [m.x_axis, m.y_axis, m.z_axis].map(DVec3::normalize_or_zero);
        let fit = |axes: &[usize; 3]| -> f64 { (0..3).map(|world| columns[axes[world]][world].abs()).sum() };
        let mut axes = PERMUTATIONS[0];
        for candidate in &PERMUTATIONS[1..] {
            if fit(candidate) > fit(&axes) {
                axes = *candidate;
            }
        }
        Self { axes, flip: [0, 1, 2].map(|world| columns[axes[world]][world] * SIGN[world] < 0.0) }
    }

    /// The way back.
    #[must_use]
    pub fn inverse(&self) -> Self {
        let mut inverse = *self;
        for (new, &source) in self.axes.iter().enumerate() {
            inverse.axes[source] = new;
            inverse.flip[source] = self.flip[new];
        }
        inverse
    }

    /// The space of the reoriented volume; every voxel keeps its world position.
    pub fn space(&self, source: &Space) -> Space {
        let m = source.world_from_voxel.matrix3;
        let columns = [m.x_axis, m.y_axis, m.z_axis];
        let shape = self.axes.map(|axis| source.shape[axis]);
        let mut translation = source.world_from_voxel.translation;
        let column = |new: usize| {
            let column = columns[self.axes[new]];
            if !self.flip[new] {
                return column;
            }
            translation += column * (shape[new] as f64 - 1.0);
            -column
        };
        let [x, y, z] = [0, 1, 2].map(column);
        Space::new(shape, DAffine3 { matrix3: DMat3::from_cols(x, y, z), translation })
    }

    /// The volume in the new voxel order.
    pub fn apply<T: Copy>(&self, volume: &Volume<T>) -> Volume<T> {
        Volume { space: self.space(&volume.space), voxels: self.gather(&volume.voxels, volume.space.shape) }
    }

    /// Brings a volume in the new order back to the order of `original`, the space that this
    /// reorientation was made for, whose affine and header fields it takes over.
    ///
    /// # Panics
    /// If the volume's shape is not that of `original` reoriented.
    pub fn invert<T: Copy>(&self, volume: &Volume<T>, original: &Space) -> Volume<T> {
        let shape = volume.space.shape;
        assert_eq!(shape, self.axes.map(|axis| original.shape[axis]), "shape of the reoriented volume");
        Volume { space: original.clone(), voxels: self.inverse().gather(&volume.voxels, shape) }
    }

    /// The source axis along which slices are stacked.
    pub fn slice_axis(&self) -> usize {
        self.axes[2]
    }

    /// The canonical number, counted from the feet, of slice `k` of the file's slice axis.
    pub fn slice_to_canonical(&self, k: usize, source: &Space) -> usize {
        if self.flip[2] { source.shape[self.slice_axis()] - 1 - k } else { k }
    }

    /// The number along the file's slice axis of canonical slice `k`.
    pub fn slice_from_canonical(&self, k: usize, source: &Space) -> usize {
        // Reversing is its own inverse.
        self.slice_to_canonical(k, source)
    }

    /// Plane `k` of the volume in the new voxel order, for those who do not need the rest.
    pub fn plane<T: Copy>(&self, volume: &Volume<T>, k: usize) -> Vec<T> {
        let walk = Walk::new(self, volume.space.shape);
        let mut plane = Vec::with_capacity(walk.shape[0] * walk.shape[1]);
        (0..walk.shape[1]).for_each(|j| walk.collect_row(&volume.voxels, j, k, &mut plane));
        plane
    }

    /// Writes a plane in the new voxel order to where [`Self::plane`] takes it from.
    ///
    /// # Panics
    /// If the plane has another number of pixels.
    pub fn put_plane<T: Copy>(&self, volume: &mut Volume<T>, k: usize, plane: &[T]) {
        let walk = Walk::new(self, volume.space.shape);
        let [nx, ny, _] = walk.shape;
        assert_eq!(plane.len(), nx * ny, "a plane of another shape");
        for (p, &value) in plane.iter().enumerate() {
            volume.voxels[walk.index([p % nx, p / nx, k])] = value;
        }
    }

    /// Collects the source's voxels in the new order, row by row.
    fn gather<T: Copy>(&self, source: &[T], shape: [usize; 3]) -> Vec<T> {
        let walk = Walk::new(self, shape);
        let mut voxels = Vec::with_capacity(source.len());
        for k in 0..walk.shape[2] {
            (0..walk.shape[1]).for_each(|j| walk.collect_row(source, j, k, &mut voxels));
        }
        voxels
    }
}

/// The places of the new order's voxels in the source's memory.
struct Walk {
    /// In the new order.
    shape: [usize; 3],
    first: isize,
    steps: [isize; 3],
}

impl Walk {
    fn new(order: &Reorientation, shape: [usize; 3]) -> Self {
        let step = [1, shape[0], shape[0] * shape[1]];
        let mut walk = Self { shape: order.axes.map(|axis| shape[axis]), first: 0, steps: [0; 3] };
        for (new, &axis) in order.axes.iter().enumerate() {
            walk.steps[new] = step[axis] as isize;
            if order.flip[new] {
                walk.first += walk.steps[new] * (shape[axis] as isize - 1);
                walk.steps[new] = -walk.steps[new];
            }
        }
        walk
    }

    fn index(&self, at: [usize; 3]) -> usize {
        let along = |new: usize| at[new] as isize * self.steps[new];
        (self.first + along(0) + along(1) + along(2)) as usize
    }

    fn collect_row<T: Copy>(&self, source: &[T], j: usize, k: usize, row: &mut Vec<T>) {
        // An empty volume has no first voxel.
        if self.shape[0] == 0 {
            return;
        }
        match self.steps[0] {
            1 => row.extend_from_slice(&source[self.index([0, j, k])..][..self.shape[0]]),
            -1 => row.extend(source[self.index([self.shape[0] - 1, j, k])..][..self.shape[0]].iter().rev()),
            _ => row.extend((0..self.shape[0]).map(|i| source[self.index([i, j, k])])),
        }
    }
}

/// The directions in which the voxel axes run, as nibabel's `aff2axcodes`: "LPS", "RAS", ...
pub fn orientation_code(space: &Space) -> String {
    let canonical = Reorientation::to_canonical(space);
    let inverse = canonical.inverse();
    let letter = |axis: usize| {
        let names = if inverse.flip[axis] { OPPOSITE } else { CANONICAL };
        names[inverse.axes[axis]]
    };
    [0, 1, 2].map(letter).iter().collect()
}

/// Degrees between the voxel axis that is farthest from an axis of the patient and that axis: 0 where none is oblique.
pub fn turned(space: &Space) -> f64 {
    let m = space.world_from_voxel.matrix3;
    let degrees = |axis: DVec3| axis.normalize().abs().max_element().min(1.0).acos().to_degrees();
    [m.x_axis, m.y_axis, m.z_axis].map(degrees).into_iter().fold(0.0, f64::max)
}

/// From a voxel's place in memory to its slice, counted from 0 along the slice axis of the file.
pub fn slice_of(space: &Space) -> impl Fn(usize) -> usize + use<> {
    let axis = Reorientation::to_canonical(space).slice_axis();
    let (stride, slices) = (space.shape[..axis].iter().product::<usize>(), space.shape[axis]);
    move |at| at / stride % slices
}

/// The axis of a file along which slices are stacked, by its [`orientation_code`]; `None` where no letter is
/// S or I.
pub fn slice_axis_of(code: &str) -> Option<usize> {
    code.chars().take(3).position(|letter| "SI".contains(letter))
}

/// The number along the file's slice axis of canonical slice `k`, for a file of which shape and
/// [`orientation_code`] are all that is known; `None` where it has no such slice.
pub fn slice_in_file(code: &str, shape: [usize; 3], k: usize) -> Option<usize> {
    let axis = slice_axis_of(code)?;
    let from_the_end = shape[axis].checked_sub(1)?.checked_sub(k)?;
    Some(if code.chars().nth(axis) == Some('I') { from_the_end } else { k })
}
