//! The most that a file is trusted with.

/// Voxels in the largest volume that is read: 16 GiB in memory, four times what the longest scan of
/// 1024 x 1024 pixels a slice holds.
pub(crate) const MOST: usize = 1 << 32;

/// Bytes that may follow the last voxel. Padding and footers are shorter; a file with more has
/// another shape than its header says.
pub(crate) const TRAILING: u64 = 1 << 20;
