//! Oddities of a scan or a mask, told by every command that reads one. What cannot be right is refused by the
//! readers, and what they had to assume stands in their notes.

use std::ops::RangeInclusive;

use glam::DVec3;
use polycl_base::Result;

use crate::orient::Reorientation;
use crate::preprocess::HU_RANGE;
use crate::{Image, Input, Space};

/// Sentences about a scan by its headers and about its values; none about one as scanners write them.
///
/// # Errors
/// As [`Input::notes`].
pub fn of(input: &Input, image: &Image) -> Result<Vec<String>> {
    let mut found = input.notes()?;
    found.extend(values(&image.voxels));
    found.extend(blank(image));
    Ok(found)
}

/// Degrees from right angles from which a person is told; less is what rounded numbers leave.
pub(crate) const SHEARED: f64 = 0.05;
/// Ratio of slice distance to pixel size from which a person is told: the thickest slices of the finest pixels have half.
const FAR: f64 = 60.0;

/// Sides of voxels, in mm, beyond which a person is told.
const LENGTHS: RangeInclusive<f64> = 0.02..=100.0;

/// Sentences about a grid that scanners do not make.
pub(crate) fn lattice(space: &Space) -> Vec<String> {
    let mut found = Vec::new();
    let m = space.world_from_voxel.matrix3;
    // How far each axis leans from the normal of the plane of the others.
    let leans = |axis: DVec3, [a, b]: [DVec3; 2]| axis.dot(a.cross(b).normalize()).abs() / axis.length();
    let [x, y, z] = [m.x_axis, m.y_axis, m.z_axis];
    let leans = [leans(x, [y, z]), leans(y, [z, x]), leans(z, [x, y])];
    let sheared = leans.map(|cosine| cosine.min(1.0).acos().to_degrees()).into_iter().fold(0.0, f64::max);
    if sheared > SHEARED {
        found.push(format!(
            "sheared: its axes are up to {sheared:.2} degrees from right angles (gantry tilt?); distances are measured as if \
             they stood at right angles"
        ));
    }
    let lengths = space.spacing();
    if lengths.iter().any(|mm| !LENGTHS.contains(mm)) {
        let [x, y, z] = lengths;
        found.push(format!("voxels of {x} × {y} × {z} mm: is that the unit?"));
    }
    let (spacing, axis) = (space.spacing(), Reorientation::to_canonical(space).slice_axis());
    let [x, y] = [(axis + 1) % 3, (axis + 2) % 3].map(|axis| spacing[axis]);
    let far = spacing[axis] / x.min(y);
    if far > FAR {
        found.push(format!("slices are {far:.0} times as far apart as pixels"));
    }
    found
}

/// A share of voxels at the greatest value, above which they were clipped there: of what is measured, hardly two voxels in a
/// thousand reach the very top.
const CLIPPED: f64 = 0.002;
/// Ratio of voxels at the greatest value to those at the next from which values count as clipped: measured ones thin out.
const HEAPED: usize = 4;
/// Share of voxels above the CT range from which a person is told: metal fills less.
const ABOVE: f64 = 0.005;

/// Range of values that is too narrow for air and soft tissue.
const NARROW: f32 = 200.0;

/// A sentence about values that are no HU, for air is below 0, or that were cut off.
fn values(voxels: &[f32]) -> Option<String> {
    let [least, most] =
        voxels.iter().fold([f32::INFINITY, f32::NEG_INFINITY], |[a, b], &v| [a.min(v), b.max(v)]);
    if voxels.is_empty() || least == most {
        return voxels.first().map(|value| format!("all values are {value}"));
    }
    if least >= 0.0 {
        return Some(format!("no value below 0, from {least} to {most}: these may be no HU"));
    }
    if most - least < NARROW {
        return Some(format!("values from {least} to {most}, too near each other for HU"));
    }
    if !voxels.iter().any(|&value| least < value && value < 0.0) {
        return Some(format!("no value below 0 but {least}, which may be padding: these may be no HU"));
    }
    let count = |is: &dyn Fn(f32) -> bool| voxels.iter().filter(|&&value| is(value)).count();
    let share = |count: usize| count as f64 / voxels.len() as f64;
    let top = HU_RANGE[1];
    if most > top {
        let above = share(count(&|value| value > top));
        return (above > ABOVE).then(|| {
            let percent = above * 100.0;
            format!(
                "{percent:.1}% of the voxels are above {top} HU, to which they are clipped: are these HU?"
            )
        });
    }
    let clipped = count(&|value| value == most);
    if share(clipped) <= CLIPPED || most == top {
        return None;
    }
    let next = voxels.iter().copied().filter(|&value| value < most).fold(least, f32::max);
    (clipped >= HEAPED * count(&|value| value == next)).then(|| {
        let percent = share(clipped) * 100.0;
        format!("{percent:.1}% of the voxels have the greatest value, {most}: clipped?")
    })
}

/// A sentence about slices in which nothing was measured.
fn blank(image: &Image) -> Option<String> {
    let axis = Reorientation::to_canonical(&image.space).slice_axis();
    let slices = image.space.shape[axis];
    let run: usize = image.space.shape[..axis].iter().product();
    let is_blank = |k: &usize| {
        let mut parts = image.voxels.chunks_exact(run * slices).map(|part| &part[k * run..][..run]);
        let first = parts.clone().next().map(|part| part[0]);
        parts.all(|part| part.iter().all(|&value| Some(value) == first))
    };
    let blank = (0..slices).filter(is_blank).count();
    // Of a scan of one value there is more to tell.
    (0 < blank && blank < slices).then(|| format!("{blank} slices of one value each"))
}

#[cfg(test)]
mod tests {
    use glam::{DAffine3, DMat3};

    use super::*;

    fn of_grid(columns: [[f64; 3]; 3]) -> Vec<String> {
        let matrix3 = DMat3::from_cols_array_2d(&columns);
        lattice(&Space::new([4, 4, 4], DAffine3::from_mat3(matrix3)))
    }

    #[test]
    fn grids_that_scanners_make_are_not_told() {
        let turn = DMat3::from_euler(glam::EulerRot::XYZ, 0.3, -0.2, 0.1);
        let turned = turn * DMat3::from_diagonal(DVec3::new(-0.3, 0.3, 10.0));
        for columns in [
            [[-0.7, 0.0, 0.0], [0.0, -0.7, 0.0], [0.0, 0.0, 5.0]],
            [[0.0, 0.0, 5.0], [0.8, 0.0, 0.0], [0.0, 0.8, 0.0]],
            turned.to_cols_array_2d(),
        ] {
            assert!(of_grid(columns).is_empty());
        }
    }

    #[test]
    fn other_grids_are_told() {
        // The slice axis leans by atan(0.9 / 3).
        let leaning = of_grid([[-1.5, 0.0, 0.0], [0.0, -1.5, 0.0], [0.0, 0.9, 3.0]]);
        assert!(leaning.len() == 1 && leaning[0].starts_with("sheared: its axes are up to 16.70 degrees"));
        let thick = of_grid([[0.05, 0.0, 0.0], [0.0, 0.05, 0.0], [0.0, 0.0, 80.0]]);
        assert_eq!(thick, ["slices are 1600 times as far apart as pixels"]);
    }

    /// A thousand voxels, of which the last have a value.
    fn with(count: usize, value: f32) -> Vec<f32> {
        let noise = |i: usize| (i * 37 % 1000) as f32 - 500.0;
        (0..1000 - count).map(noise).chain((0..count).map(|_| value)).collect()
    }

    #[test]
    fn values_that_are_none_of_a_ct_are_told_and_metal_and_padding_are_not() {
        assert_eq!(values(&with(0, 0.0)), None);
        assert_eq!(values(&with(300, -3024.0)), None);
        assert_eq!(values(&with(4, 30000.0)), None);
        assert_eq!(values(&with(100, 3071.0)), None);
        assert!(values(&with(6, 30000.0)).unwrap().starts_with("0.6% of the voxels are above 3071 HU"));
        assert!(
            values(&with(4, 600.0)).unwrap().starts_with("0.4% of the voxels have the greatest value, 600")
        );
        assert_eq!(values(&with(1000, 0.0)).unwrap(), "all values are 0");
        let unsigned = with(0, 0.0).iter().map(|value| value + 1024.0).collect::<Vec<_>>();
        assert!(values(&unsigned).unwrap().starts_with("no value below 0, from 524 to 1523"));
    }

    #[test]
    fn few_voxels_are_not_clipped_for_having_a_greatest_value() {
        // As noise in bone: each value from 588 to 612 as often as the next.
        let voxels: Vec<f32> = (0..150)
            .map(|i| if i < 50 { -1000.0 + (i % 3) as f32 } else { 588.0 + (i % 25) as f32 })
            .collect();
        assert_eq!(values(&voxels), None);
    }

    #[test]
    fn blank_slices_are_counted_along_the_slice_axis() {
        for axis in 0..3 {
            // Slices of three, four and five voxels along the axes; the first slice and the last are blank.
            let mut columns = [DVec3::X, DVec3::Y, DVec3::Z];
            columns.swap(axis, 2);
            let affine = DAffine3::from_mat3(DMat3::from_cols(columns[0], columns[1], columns[2]));
            let space = Space::new([3, 4, 5], affine);
            let place = |at: usize| [at % 3, at / 3 % 4, at / 12][axis];
            let last = space.shape[axis] - 1;
            let value = |at| if [0, last].contains(&place(at)) { place(at) as f32 } else { at as f32 };
            let image = Image { voxels: (0..60).map(value).collect(), space };
            assert_eq!(blank(&image).unwrap(), "2 slices of one value each", "{axis}");
        }
    }
}
