//! Which slices a person should draw.

use std::path::PathBuf;

use polycl_volume::Result;
use polycl_volume::dataset::Dataset;

use crate::device::Device;

/// What is to be drawn, and where.
pub struct Request {
    pub organs: Vec<String>,
    pub count: usize,
    /// Scans that may be chosen from, by number; all without it.
    pub scans: Option<Vec<usize>>,
    pub encoder: Option<PathBuf>,
    pub device: Device,
}

pub struct Suggestion {
    pub scan: usize,
    pub slice: usize,
}

/// The slices to draw, in order.
///
/// # Errors
/// None.
pub fn choose(dataset: &Dataset, request: &Request) -> Result<Vec<Suggestion>> {
    let scans = request.scans.clone().unwrap_or_else(|| (0..dataset.index.scans.len()).collect());
    let middle = |&scan: &usize| {
        let scan_of = &dataset.index.scans[scan];
        let shows =
            |&slice: &usize| request.organs.iter().any(|organ| scan_of.shows(organ, slice) == Some(true));
        let slices: Vec<usize> = (0..scan_of.slices).filter(shows).collect();
        slices.get(slices.len() / 2).map(|&slice| Suggestion { scan, slice })
    };
    Ok(scans.iter().filter_map(middle).take(request.count).collect())
}
