//! Connected components against a plain flood fill.

use glam::DAffine3;
use polycl_image::components::{Components, Connectivity, components, largest_components};
use polycl_image::{Mask, Space, Volume};
use proptest::prelude::*;

fn mask(shape: [usize; 3], voxels: Vec<u16>) -> Mask {
    Volume { space: Space::new(shape, DAffine3::IDENTITY), voxels }
}

/// Numbers components in scan order by visiting neighbours one by one.
fn flood_fill(mask: &Mask, reach: i32) -> Components {
    let shape = mask.space.shape.map(|n| n as i32);
    let at = |[i, j, k]: [i32; 3]| (i + shape[0] * (j + shape[1] * k)) as usize;
    let inside =
        |p: [i32; 3]| p.iter().zip(shape).all(|(&x, n)| (0..n).contains(&x)) && mask.voxels[at(p)] == 1;
    let cube = || (-1..=1).flat_map(|dk| (-1..=1).flat_map(move |dj| (-1..=1).map(move |di| [di, dj, dk])));
    let mut found = Components { numbers: vec![0; mask.voxels.len()], sizes: Vec::new() };
    for start in
        (0..shape[2]).flat_map(|k| (0..shape[1]).flat_map(move |j| (0..shape[0]).map(move |i| [i, j, k])))
    {
        if !inside(start) || found.numbers[at(start)] != 0 {
            continue;
        }
        found.sizes.push(0);
        let number = found.sizes.len() as u32;
        let mut open = vec![start];
        while let Some(p) = open.pop() {
            if found.numbers[at(p)] != 0 {
                continue;
            }
            found.numbers[at(p)] = number;
            found.sizes[number as usize - 1] += 1;
            let near = cube().filter(|d| d.iter().map(|x: &i32| x.abs()).sum::<i32>() <= reach);
            open.extend(near.map(|d| [p[0] + d[0], p[1] + d[1], p[2] + d[2]]).filter(|&q| inside(q)));
        }
    }
    found
}

fn masks() -> impl Strategy<Value = Mask> {
    let fill = 1u32..9;
    (prop::array::uniform3(1usize..8), fill).prop_flat_map(|(shape, fill)| {
        let voxel = (0u32..10).prop_map(move |x| u16::from(x < fill));
        prop::collection::vec(voxel, shape.iter().product::<usize>())
            .prop_map(move |voxels| mask(shape, voxels))
    })
}

proptest! {
    #[test]
    fn as_flood_fill(mask in masks()) {
        prop_assert_eq!(components(&mask, |l| l == 1, Connectivity::Corners), flood_fill(&mask, 3));
        prop_assert_eq!(components(&mask, |l| l == 1, Connectivity::Faces), flood_fill(&mask, 1));
    }
}

#[test]
fn corners_touch_only_when_asked() {
    let diagonal = mask([2, 2, 2], vec![1, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(components(&diagonal, |l| l > 0, Connectivity::Corners).sizes, [2]);
    assert_eq!(components(&diagonal, |l| l > 0, Connectivity::Faces).sizes, [1, 1]);
}

#[test]
fn rows_do_not_touch_around_their_ends() {
    let apart = mask([4, 2, 1], vec![0, 0, 0, 1, 1, 0, 0, 0]);
    assert_eq!(components(&apart, |l| l > 0, Connectivity::Corners).sizes, [1, 1]);
}

#[test]
fn largest_component_keeps_other_labels() {
    let mut labels = mask([9, 1, 1], vec![1, 0, 1, 1, 2, 0, 2, 0, 1]);
    largest_components(&mut labels, |label| label == 1, 1, 0);
    assert_eq!(labels.voxels, [0, 0, 1, 1, 2, 0, 2, 0, 0]);
    largest_components(&mut labels, |label| label == 2, 1, 0);
    assert_eq!(labels.voxels, [0, 0, 1, 1, 2, 0, 0, 0, 0], "the first of equally large ones stays");
    let before = labels.voxels.clone();
    largest_components(&mut labels, |label| label == 7, 1, 0);
    assert_eq!(labels.voxels, before);
}
