//! Shapes whose volumes are known, on grids that stand upright, are turned, or lean.

use std::f64::consts::{PI, TAU};

use glam::DVec3;
use polycl_image::Space;

use crate::builder::*;

const SHAPE: [usize; 3] = [96, 90, 40];
const SPACING: [f64; 3] = [1.1, 0.9, 2.5];

/// Slices this many mm apart.
fn grids(step: f64) -> [(&'static str, Space); 3] {
    let (spacing, first) = ([SPACING[0], SPACING[1], step], DVec3::new(-71.3, 44.4, -210.7));
    [
        ("upright", upright(SHAPE, spacing, first)),
        ("oblique", oblique(SHAPE, spacing, first)),
        ("tilted", tilted(SHAPE, spacing, first)),
    ]
}

/// A place near the middle that is another part of a voxel in each slice, so that voxels at the border even out.
fn middle(slice: u32) -> [f64; 2] {
    [47.0 + (f64::from(slice) * 0.618).fract(), 45.0 + (f64::from(slice) * 0.414).fract()]
}

/// A circle of a radius in mm about a place in voxels, in the plane of a slice.
fn circle(space: &Space, [x, y]: [f64; 2], slice: f64, radius: f64) -> Vec<DVec3> {
    let spacing = space.spacing();
    let point = |n: u32| {
        let (sine, cosine) = (TAU * f64::from(n) / 240.0).sin_cos();
        let voxel = DVec3::new(x + radius * cosine / spacing[0], y + radius * sine / spacing[1], slice);
        space.world_from_voxel.transform_point3(voxel)
    };
    (0..240).map(point).collect()
}

/// Between the planes of slices.
fn distance(space: &Space) -> f64 {
    let axes = space.world_from_voxel.matrix3;
    axes.determinant().abs() / axes.x_axis.cross(axes.y_axis).length()
}

fn assert_near(what: &str, found: f64, expected: f64, allowed: f64) {
    let off = found / expected - 1.0;
    println!("{what}: {found:.1} of {expected:.1} mm3, {:+.3}%", 100.0 * off);
    assert!(off.abs() <= allowed, "{what}: {found} for {expected}");
}

#[test]
fn cylinders_have_their_volumes() {
    for (name, space) in grids(2.5) {
        for (radius, allowed) in [(4.0, 0.01), (12.0, 0.002), (30.0, 0.001)] {
            let contours =
                (5..35).map(|k| closed(&circle(&space, middle(k), f64::from(k), radius))).collect();
            let drawn = drawn(&[roi("cylinder", contours)], &space).unwrap();
            assert!(drawn.notes.is_empty(), "{:?}", drawn.notes);
            let expected = PI * radius * radius * 30.0 * distance(&space);
            assert_near(&format!("{name} cylinder of {radius} mm"), volume(&drawn, 1), expected, allowed);
        }
    }
}

/// Around the slices' normal; each slice holds a ring, whose inner circle is a hole.
#[test]
fn tori_have_their_volumes() {
    for (name, space) in grids(0.5) {
        let (large, small) = (25.0, 9.0);
        let step = distance(&space);
        let mut nested = Vec::new();
        let mut keyhole = Vec::new();
        for k in 0..40 {
            let height = (f64::from(k) - 19.5) * step;
            if height.abs() >= small {
                continue;
            }
            let width = (small * small - height * height).sqrt();
            let [outer, inner] =
                [large + width, large - width].map(|r| circle(&space, middle(k), f64::from(k), r));
            let channel = [&outer[..], &outer[..1], &inner[..], &inner[..1]].concat();
            keyhole.push(closed(&channel));
            nested.extend([closed(&outer), closed(&inner)]);
        }
        let [nested, keyhole] = [nested, keyhole].map(|all| drawn(&[roi("torus", all)], &space).unwrap());
        assert_eq!(nested.mask.voxels, keyhole.mask.voxels, "{name}");
        let expected = 2.0 * PI * PI * large * small * small;
        assert_near(&format!("{name} torus"), volume(&nested, 1), expected, 0.005);
    }
}

/// A ball within a hole within a ball: three contours in a slice, of which the inner one is an island.
#[test]
fn nested_shells_have_their_volumes() {
    for (name, space) in grids(2.5) {
        let radii = [38.0, 30.0, 15.0];
        let step = distance(&space);
        let contours = (0..40).flat_map(|k| {
            let height = (f64::from(k) - 19.5) * step;
            let rings = radii.iter().filter(move |radius| height.abs() < **radius);
            let ring = |radius: &f64| (radius * radius - height * height).sqrt();
            rings
                .map(ring)
                .map(|radius| closed(&circle(&space, middle(k), f64::from(k), radius)))
                .collect::<Vec<_>>()
        });
        let drawn = drawn(&[roi("shells", contours.collect())], &space).unwrap();
        let ball = |radius: f64| 4.0 / 3.0 * PI * radius.powi(3);
        assert_near(
            &format!("{name} shells"),
            volume(&drawn, 1),
            ball(38.0) - ball(30.0) + ball(15.0),
            0.005,
        );
    }
}

#[test]
fn contours_in_sagittal_planes_of_the_scan_are_drawn() {
    let space = upright([40, 90, 96], [2.5, 0.9, 1.1], DVec3::new(40.0, 40.0, -100.0));
    let circle = |i: u32| -> Vec<DVec3> {
        let point = |n: u32| {
            let (sine, cosine) = (TAU * f64::from(n) / 240.0).sin_cos();
            let voxel = DVec3::new(f64::from(i), 45.0 + 20.0 * cosine / 0.9, 48.0 + 20.0 * sine / 1.1);
            space.world_from_voxel.transform_point3(voxel)
        };
        (0..240).map(point).collect()
    };
    let drawn = drawn(&[roi("cylinder", (10..20).map(|i| closed(&circle(i))).collect())], &space).unwrap();
    assert_near("sagittal cylinder", volume(&drawn, 1), PI * 400.0 * 25.0, 0.005);
}

#[test]
fn contours_belong_to_the_nearest_slice() {
    let space = upright(SHAPE, SPACING, DVec3::new(50.0, 40.0, -100.0));
    let ring = |slice: f64| closed(&circle(&space, [47.0, 45.0], slice, 20.0));
    let slices = |contours: Vec<Contour>| {
        let drawn = drawn(&[roi("disc", contours)], &space).unwrap();
        let shown = |k: &usize| drawn.mask.plane(*k).contains(&1);
        ((0..SHAPE[2]).filter(shown).collect::<Vec<_>>(), drawn.notes)
    };
    assert_eq!(slices(vec![ring(7.0)]), (vec![7], vec![]));
    assert_eq!(slices(vec![ring(7.01)]), (vec![7], vec![]));
    let (shown, notes) = slices(vec![ring(6.6), ring(8.4)]);
    assert_eq!(shown, [7, 8]);
    assert_eq!(notes, ["disc: contours between slices, drawn on the nearest, up to 1.00 mm away: 2"]);
    // Drawn for a finer series: the nearest of each slice counts, and they do not take each other away.
    let (shown, notes) = slices((20..35).map(|k| ring(f64::from(k) / 3.0)).collect());
    assert_eq!(shown, [7, 8, 9, 10, 11]);
    assert!(
        notes[0].starts_with("disc: contours skipped: 10 between slices that have nearer ones"),
        "{notes:?}"
    );
    let (shown, notes) = slices(vec![ring(-0.4), ring(39.4), ring(-0.6), ring(39.6), ring(100.0)]);
    assert_eq!(shown, [0, 39]);
    assert!(notes[0].starts_with("disc: contours skipped: 3 beyond the scan"), "{notes:?}");
}

#[test]
fn gaps_are_told_and_filled_where_that_is_asked_for() {
    let space = upright(SHAPE, SPACING, DVec3::new(50.0, 40.0, -100.0));
    let cone = |k: u32| closed(&circle(&space, [47.0, 45.0], f64::from(k), 10.0 + f64::from(k)));
    let file = saved(object(&[roi("cone", [4, 5, 9, 10, 12].map(cone).into())]));
    let bare = draw(&file.path, &space, false).unwrap();
    assert_eq!(bare.notes, ["cone: slices without a contour, left empty between their neighbours: 7-9, 12"]);
    assert!(bare.mask.plane(7).iter().all(|voxel| *voxel == 0));
    let filled = draw(&file.path, &space, true).unwrap();
    assert_eq!(filled.notes, ["cone: slices without a contour, interpolated from their neighbours: 7-9, 12"]);
    let pixel = SPACING[0] * SPACING[1];
    for k in [6, 7, 8, 11] {
        let area = filled.mask.plane(k).iter().filter(|voxel| **voxel == 1).count() as f64 * pixel;
        assert_near(&format!("slice {k} of a cone"), area, PI * (10.0 + k as f64).powi(2), 0.03);
    }
    let expected: f64 = (4..=12).map(|k| PI * f64::from(10 + k).powi(2) * SPACING[2]).sum();
    assert_near("filled cone", volume(&filled, 1), expected, 0.01);
}
