//! The check that tells the labels of a mask from the values of an image.

use std::path::Path;

use polycl_base::{Error, Kind, Result};

use crate::Mask;

/// Values that a mask may have whatever they look like.
const FEW: usize = 32;
/// A share of voxels: points and lines that people set are fewer.
const COVERED: f64 = 0.05;
/// A share of voxels that differ from the next: structures are thicker than that, noise is not.
const ALONE: f64 = 0.5;

/// The number of values, where they are an image's: there are many, and most voxels beside those of the commonest value
/// differ from the next. Hundreds of structures, or points, are a mask all the same.
pub fn of_an_image(voxels: &[u16]) -> Option<usize> {
    let mut counts = vec![0_usize; usize::from(u16::MAX) + 1];
    voxels.iter().for_each(|&value| counts[usize::from(value)] += 1);
    let values = counts.iter().filter(|&&count| count > 0).count();
    if values <= FEW {
        return None;
    }
    let commonest = (0..=u16::MAX).max_by_key(|&value| counts[usize::from(value)]).unwrap_or_default();
    let covered = voxels.len() - counts[usize::from(commonest)];
    let alone = voxels.windows(2).filter(|two| two[0] != commonest && two[0] != two[1]).count();
    let is_image = covered as f64 > COVERED * voxels.len() as f64 && alone as f64 > ALONE * covered as f64;
    is_image.then_some(values)
}

/// Refuses a scan that is given for a mask.
///
/// # Errors
/// [`Kind::Voxels`].
pub(crate) fn check(mask: &Mask, path: &Path) -> Result<()> {
    of_an_image(&mask.voxels).map_or(Ok(()), |values| {
        let found = format!("{values} values that change from voxel to voxel, as those of an image");
        Err(Error::new(path, Kind::Voxels, "the labels of a mask", found)
            .hint("give the mask that was drawn on the scan, not the scan itself"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_an_image_and_structures_are_not() {
        // Air and soft tissue above 1024, each with noise.
        let noise = |at: usize| (at * 7919 % 101) as u16;
        let scan: Vec<u16> =
            (0..10_000).map(|at| if at % 200 < 120 { noise(at) } else { 1064 + noise(at) }).collect();
        assert_eq!(of_an_image(&scan), Some(202));
        // The same within a body alone, and windowed to few values.
        let body: Vec<u16> =
            (0..10_000).map(|at| if at % 200 < 160 { 24 } else { 1064 + noise(at) }).collect();
        assert_eq!(of_an_image(&body), Some(102));
        // Rows of 120 structures that are three voxels long each, without any background.
        let mask: Vec<u16> = (0..10_000).map(|at| (at / 3 % 120) as u16).collect();
        assert_eq!(of_an_image(&mask), None);
        // Three hundred points, each with a number of its own.
        let points: Vec<u16> =
            (0..10_000).map(|at| if at % 33 == 0 { (at / 33) as u16 } else { 0 }).collect();
        assert_eq!(of_an_image(&points), None);
        assert_eq!(of_an_image(&[]), None);
    }
}
