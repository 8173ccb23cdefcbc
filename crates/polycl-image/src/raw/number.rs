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
    fn is_whole(self) -> bool {
        !matches!(self, Self::F32 | Self::F64)
    }

    /// A sentence about voxels that are none of a scan.
    pub fn eight_bits(self) -> Option<String> {
        matches!(self, Self::U8 | Self::I8).then(|| {
            "voxels of 8 bits: if this is a scan, it was windowed, and its values are no HU".to_owned()
        })
    }

    pub fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }
}

/// The storage of voxels: the value of one is the stored number times slope, plus intercept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Encoding {
    pub datatype: Datatype,
    pub order: Order,
    pub slope: f64,
    pub intercept: f64,
}

/// Largest distance of a label from a whole number, but for what scaling leaves.
const WHOLE: f64 = 1e-3;
/// Steps of scaled numbers that are less than half a label wide, so that what lies between labels is still noticed.
const STEP: f64 = 0.5;

impl Encoding {
    /// Largest distance of a label from a whole number. Scaled whole numbers have no value between two steps, so what was a whole
    /// number is up to half a step away.
    pub fn rounding(&self) -> f64 {
        let step = self.slope.abs();
        // The slope is of single precision in many headers.
        if self.datatype.is_whole() && step <= STEP { WHOLE.max(0.5001 * step) } else { WHOLE }
    }

    /// A sentence about labels that were scaled, as programs do that keep them as fractions.
    pub fn rounded(&self) -> Option<String> {
        let Self { slope, intercept, .. } = self;
        let added = if *intercept == 0.0 { String::new() } else { format!(" and adds {intercept}") };
        let rounded = if self.rounding() > WHOLE { ", and labels are rounded to whole numbers" } else { "" };
        ((*slope, *intercept) != (1.0, 0.0))
            .then(|| format!("its header scales labels by {slope}{added}{rounded}"))
    }

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
                    .hint("crop the scan, or check whether its header is damaged")
            })
    }
}
