//! The labels of a mask that an object shows, and how they are told from each other.

use std::collections::BTreeMap;
use std::path::Path;

use polycl_base::{Error, Kind, Result};

use crate::Mask;
use crate::names::Names;

pub(in crate::dicom) struct Shown {
    /// The label's value in the mask.
    pub(in crate::dicom) value: u16,
    pub(in crate::dicom) name: String,
    /// The slices that show it, ascending; one without voxels stands in the first.
    pub(in crate::dicom) slices: Vec<usize>,
}

/// The labels with voxels, by value; all that have names where there is no voxel at all. One without a name is called
/// `label 7`.
pub(in crate::dicom) fn of(path: &Path, mask: &Mask, names: &Names) -> Result<Vec<Shown>> {
    let mut slices: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
    for k in 0..mask.space.shape[2] {
        let mut last = 0;
        // Neighbours mostly agree, and only changes are looked at.
        for &value in mask.plane(k) {
            if value != last && value != 0 {
                let seen = slices.entry(value).or_default();
                if seen.last() != Some(&k) {
                    seen.push(k);
                }
            }
            last = value;
        }
    }
    if slices.is_empty() {
        slices = names.keys().filter(|&&value| value != 0).map(|&value| (value, vec![0])).collect();
    }
    if slices.is_empty() {
        return Err(Error::new(
            path,
            Kind::Voxels,
            "a mask with labels to write",
            "an empty mask and no label names",
        )
        .hint("give the names of the labels: each is then written as an empty object"));
    }
    let name = |value: u16| names.get(&value).cloned().unwrap_or_else(|| format!("label {value}"));
    Ok(slices.into_iter().map(|(value, slices)| Shown { value, name: name(value), slices }).collect())
}

/// A colour in CIE L*a*b*: hues a golden angle apart, so that however many there are, neighbouring numbers differ, all as
/// light and as strong as each other.
pub(in crate::dicom) fn colour(number: u16) -> [f64; 3] {
    const GOLDEN: f64 = 137.507_764;
    let (lightness, strength) = (68.0, 45.0);
    let (b, a) = (f64::from(number) * GOLDEN).to_radians().sin_cos();
    [lightness, strength * a, strength * b]
}
