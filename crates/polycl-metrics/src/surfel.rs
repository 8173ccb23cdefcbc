//! Areas of surface elements ("surfels").
//!
//! A mask's surface is made of elements that sit where eight voxels meet. Which of the eight are
//! inside (the neighbour code) decides the shape of the element: marching cubes with the surface
//! half-way between voxel centres. DeepMind's `surface-distance` (Apache-2.0, `lookup_tables.py`)
//! lists the triangles of all 256 codes; those tables are symmetric under turning, mirroring and
//! swapping inside and outside, so six shapes are enough to rebuild every area here.

/// `LOW[a]`: the corners whose coordinate along axis `a` is 0. Corner (x, y, z) of the cube of
/// eight voxels is bit `x + 2 y + 4 z`.
const LOW: [u8; 3] = [0x55, 0x33, 0x0f];

/// Area in mm² of the surface element of each neighbour code, on a grid with this spacing in mm.
pub fn areas([dx, dy, dz]: [f64; 3]) -> [f64; 256] {
    let faces = [dy * dz, dx * dz, dx * dy];
    std::array::from_fn(|code| {
        let code = code as u8;
        let solid = if code.count_ones() > 4 { !code } else { code };
        pieces(solid).map(|piece| area(piece, faces)).sum()
    })
}

/// The parts of a set of corners that hang together along edges of the cube.
fn pieces(mut solid: u8) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let mut piece = 1u8.checked_shl(solid.trailing_zeros())?;
        for _ in 0..3 {
            piece |= (0..3).fold(0, |all, axis| all | neighbours(piece, axis)) & solid;
        }
        solid &= !piece;
        Some(piece)
    })
}

/// The corners across the cube's edges along `axis` from each corner of `set`.
fn neighbours(set: u8, axis: usize) -> u8 {
    let step = 1 << axis;
    (set & LOW[axis]) << step | set >> step & LOW[axis]
}

/// Area that cuts one connected piece of one to four corners from the others, where `faces` are
/// the areas of a voxel's faces across each axis.
fn area(piece: u8, faces: [f64; 3]) -> f64 {
    let [fx, fy, fz] = faces;
    let slant = |axis: usize| [fy.hypot(fz), fx.hypot(fz), fx.hypot(fy)][axis];
    let corner = (fx * fx + fy * fy + fz * fz).sqrt() / 8.0;
    // The corners that have an edge within the piece along each axis, and those with two or more.
    let along: [u8; 3] = std::array::from_fn(|axis| piece & neighbours(piece, axis));
    let inner = along[0] & along[1] | along[1] & along[2] | along[0] & along[2];
    let flat = along.iter().position(|&edges| edges == 0).unwrap_or(0);
    match (piece.count_ones(), inner.count_ones()) {
        (1, _) => corner,
        (2, _) => (0..3).filter(|&axis| along[axis] != 0).map(|axis| slant(axis) / 2.0).sum(),
        (3, _) => faces[flat] / 2.0 + 3.0 * corner,
        // A square.
        (4, 4) => faces[flat],
        // A corner and its three neighbours.
        (4, 1) => 6.0 * corner,
        // A path of three edges, one along each axis; the two outer edges add slanted triangles.
        _ => {
            let outer = (0..3).filter(|&axis| inner & neighbours(inner, axis) == 0);
            4.0 * corner + outer.map(|axis| slant(axis) / 4.0).sum::<f64>()
        }
    }
}
