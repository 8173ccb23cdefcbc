//! The surface of labels as a picture.

use std::collections::BTreeMap;

use polycl_app::figures::{picture, surface};
use polycl_image::{Mask, Space, Volume};

const SIDES: [usize; 2] = [360, 360];

/// A PNG of labels of a mask in canonical order by their colours, turned by some degrees.
///
/// # Errors
/// Those of the encoder.
pub fn picture(mask: &Mask, turn: f32, colors: &BTreeMap<u16, [u8; 3]>) -> anyhow::Result<Vec<u8>> {
    let own = turned(mask, turn);
    let color = |label| colors.get(&label).copied().unwrap_or_default();
    picture::encode(SIDES, &surface::view(&own, SIDES, color))
}

/// The box that holds labels, without any other; nothing where they have no voxel.
pub fn cut(voxels: &[u16], space: &Space, colors: &BTreeMap<u16, [u8; 3]>) -> Option<Mask> {
    let mut shown = vec![false; usize::from(u16::MAX) + 1];
    colors.keys().for_each(|&label| shown[usize::from(label)] = true);
    let is_shown = |own: u16| shown[usize::from(own)];
    let [nx, ny, _] = space.shape;
    let at = |voxel: usize| [voxel % nx, voxel / nx % ny, voxel / (nx * ny)];
    let (mut low, mut high) = ([usize::MAX; 3], [0; 3]);
    for voxel in (0..voxels.len()).filter(|&voxel| is_shown(voxels[voxel])).map(at) {
        for axis in 0..3 {
            low[axis] = low[axis].min(voxel[axis]);
            high[axis] = high[axis].max(voxel[axis]);
        }
    }
    if low[0] == usize::MAX {
        return None;
    }
    let shape = [0, 1, 2].map(|axis| high[axis] - low[axis] + 1);
    let mut own = Vec::with_capacity(shape.iter().product());
    for z in low[2]..=high[2] {
        for y in low[1]..=high[1] {
            let row = &voxels[low[0] + nx * (y + ny * z)..][..shape[0]];
            own.extend(row.iter().map(|&label| if is_shown(label) { label } else { 0 }));
        }
    }
    Some(Volume { space: Space::new(shape, space.world_from_voxel), voxels: own })
}

/// The mask turned about its long axis, on voxels that are square across it.
fn turned(mask: &Mask, degrees: f32) -> Mask {
    let ([nx, ny, nz], [sx, sy, _]) = (mask.space.shape, mask.space.spacing());
    let (sin, cos) = f64::from(degrees).to_radians().sin_cos();
    let step = sx.min(sy).max(0.5 * sx.max(sy));
    let reach = (nx as f64 * sx).hypot(ny as f64 * sy);
    let side = (reach / step).ceil() as usize + 1;
    let mut voxels = vec![0; side * side * nz];
    for row in 0..side * side {
        let [x, y] = [row % side, row / side].map(|at| (at as f64 - (side - 1) as f64 / 2.0) * step);
        let (x, y) = (x * cos - y * sin, x * sin + y * cos);
        let (x, y) = ((x / sx + (nx - 1) as f64 / 2.0).round(), (y / sy + (ny - 1) as f64 / 2.0).round());
        if x >= 0.0 && y >= 0.0 && x < nx as f64 && y < ny as f64 {
            let from = x as usize + nx * y as usize;
            (0..nz).for_each(|z| voxels[row + side * side * z] = mask.voxels[from + nx * ny * z]);
        }
    }
    let mut space = Space::new([side, side, nz], mask.space.world_from_voxel);
    let m = &mut space.world_from_voxel.matrix3;
    (m.x_axis, m.y_axis) = (m.x_axis * (step / sx), m.y_axis * (step / sy));
    Volume { space, voxels }
}
