//! Contours of radiotherapy (RTSTRUCT) of any program, drawn on the voxels of a scan.
//!
//! The closed planar contours of an ROI in one slice are filled together by even-odd, so that a hole is a contour within
//! another, or hangs on a keyhole (`fill`). A voxel belongs to an ROI where at least half of it is covered. A contour
//! counts for the nearest slice within half a slice; slices between two others that have no contour stay empty, or are
//! interpolated where that is asked for (`gaps`).

mod centres;
mod contour;
mod draw;
mod fill;
mod gaps;
mod list;
mod plane;
mod roi;
mod skipped;
mod trace;
mod write;

pub(super) use draw::mask;
pub(super) use list::list;
pub use write::write;
