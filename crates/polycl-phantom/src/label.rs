//! The label values by name.

pub const LIVER: u16 = 1;
pub const SPLEEN: u16 = 2;
pub const KIDNEY_LEFT: u16 = 3;
pub const KIDNEY_RIGHT: u16 = 4;
pub const STOMACH: u16 = 5;
pub const AORTA: u16 = 6;
pub const SPINE: u16 = 7;
pub const LUNG_LEFT: u16 = 8;
pub const LUNG_RIGHT: u16 = 9;
