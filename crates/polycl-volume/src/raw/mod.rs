//! Voxels as they lie in files, whatever the format: numbers of some kind and byte order, plain or
//! compressed.
//!
//! No header is trusted with memory or time. Memory grows with what has been decoded; no volume has
//! more than [`MOST`] voxels, which is what a gzip bomb can make us take; and no more than
//! [`TRAILING`] bytes are decoded behind the last voxel.

mod error;
mod number;
mod read;
mod source;
mod stream;
mod voxel;

pub(crate) use error::{list, truncated, unreadable};
pub(crate) use number::{Datatype, Encoding, Order};
pub(crate) use read::{complete, fill, skip, voxels};
pub(crate) use source::{CHUNK, Source};
pub(crate) use stream::Stream;
pub(crate) use voxel::Voxel;

/// Voxels in the largest volume that is read: 16 GiB in memory, four times what the longest scan of
/// 1024 x 1024 pixels a slice holds.
pub(crate) const MOST: usize = 1 << 32;

/// Bytes that may follow the last voxel. Padding and footers are shorter; a file with more has
/// another shape than its header says.
pub(crate) const TRAILING: u64 = 1 << 20;

/// A determinant below this share of the product of the columns' lengths is called singular.
const SINGULAR: f64 = 1e-6;

/// Whether an affine says where voxels lie: finite, and the three axes span the space.
pub(crate) fn spans_space(world_from_voxel: &glam::DAffine3) -> bool {
    let m = world_from_voxel.matrix3;
    let volume = m.x_axis.length() * m.y_axis.length() * m.z_axis.length();
    world_from_voxel.is_finite() && volume.is_finite() && m.determinant().abs() > SINGULAR * volume
}
