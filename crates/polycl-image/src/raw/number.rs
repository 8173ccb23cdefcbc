use std::path::Path;

use polycl_base::{Error, Kind, Result};

use super::error::list;
use super::limits::MOST;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

/// The kind of number that a voxel is stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Datatype {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
}

impl Datatype {
    pub fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }
}

/// How voxels are stored: the value of one is the stored number times slope, plus intercept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Encoding {
    pub datatype: Datatype,
    pub order: Order,
    pub slope: f64,
    pub intercept: f64,
}

impl Encoding {
    /// Numbers that are the values.
    pub fn plain(datatype: Datatype, order: Order) -> Self {
        Self { datatype, order, slope: 1.0, intercept: 0.0 }
    }

    /// The bytes of all voxels of a shape together.
    pub fn bytes(&self, shape: [usize; 3], path: &Path) -> Result<u64> {
        (shape.iter().try_fold(1, |voxels: usize, &n| voxels.checked_mul(n)))
            .filter(|&voxels| voxels <= MOST)
            .map(|voxels| voxels as u64 * self.datatype.bytes() as u64)
            .ok_or_else(|| {
                Error::new(path, Kind::Geometry, format!("at most {MOST} voxels"), list(&shape))
                    .hint("crop the scan, or is its header damaged?")
            })
    }
}
