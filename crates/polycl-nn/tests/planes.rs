//! Objects drawn in sagittal or coronal planes are followed as where those planes are the slices of a file.

mod following;

use std::collections::BTreeMap;
use std::path::Path;

use glam::{DAffine3, DMat3, DVec3};
use polycl_data::provenance::propagation::Row;
use polycl_image::{Image, Mask, Plane, Space, Volume};
use polycl_nn::propagate::{Follower, Propagated};

use following::{SHAPE, Watcher, drawn, embedder, memory, run_through};

const PLANES: [Plane; 2] = [Plane::Sagittal, Plane::Coronal];

/// A scan of which two planes of a kind are drawn.
fn scan(plane: Plane) -> (Image, Mask) {
    match plane {
        Plane::Sagittal => drawn(0, |[x, ..]| [8, 21].contains(&x)),
        Plane::Coronal => drawn(0, |[_, y, _]| [9, 13].contains(&y)),
        Plane::Axial => following::scan(0),
    }
}

/// The voxel of a file whose slices are the planes: the head is up, the front or the patient's right to the left.
fn turned_from_file(plane: Plane, [x, y, z]: [usize; 3]) -> [usize; 3] {
    // The scan's axes run to the right, to the front and to the feet.
    let [left, back, down] = [SHAPE[0] - 1 - x, SHAPE[1] - 1 - y, z];
    match plane {
        Plane::Sagittal => [back, down, left],
        Plane::Coronal => [left, down, back],
        Plane::Axial => unreachable!("planes that are slices as they are"),
    }
}

/// A file, in LPS order, whose slices are the planes.
fn turned<T: Copy + Default>(plane: Plane, volume: &Volume<T>) -> Volume<T> {
    // Millimetres by axis of the scan, along those of the file.
    let (shape, [dx, dy, dz]) = match plane {
        Plane::Sagittal => ([SHAPE[1], SHAPE[2], SHAPE[0]], [1.0, 4.0, 1.0]),
        _ => ([SHAPE[0], SHAPE[2], SHAPE[1]], [1.0, 4.0, 1.0]),
    };
    let space = Space::new(shape, DAffine3::from_mat3(DMat3::from_diagonal(DVec3::new(-dx, -dy, dz))));
    let mut voxels = vec![T::default(); space.voxels()];
    for (at, &voxel) in volume.voxels.iter().enumerate() {
        let [i, j, k] =
            turned_from_file(plane, [at % SHAPE[0], at / SHAPE[0] % SHAPE[1], at / (SHAPE[0] * SHAPE[1])]);
        voxels[i + shape[0] * (j + shape[1] * k)] = voxel;
    }
    Volume { space, voxels }
}

/// A plane's number along the axis of a scan's file, from that along the turned one.
fn number(plane: Plane, k: usize) -> usize {
    SHAPE[if plane == Plane::Sagittal { 0 } else { 1 }] - 1 - k
}

/// Pixels of labels that were found in planes, by the number of the plane and as often as they were.
type Planes = BTreeMap<usize, Vec<BTreeMap<u16, Vec<bool>>>>;

fn run(follower: &Follower, plane: Plane, scan: &(Image, Mask), folder: &Path) -> (Propagated, Planes) {
    let watcher = Watcher::default();
    let found = run_through(follower, plane, scan, &[], folder, &watcher).0.unwrap();
    let mut planes = Planes::new();
    for found in watcher.found.into_inner().unwrap() {
        assert_eq!(found.plane, plane);
        planes.entry(found.slice).or_default().push(found.planes());
    }
    (found, planes)
}

fn planes_are_slices_of_a_turned_file(follower: &Follower) {
    let folder = tempfile::tempdir().unwrap();
    for plane in PLANES {
        let (image, annotation) = scan(plane);
        let slices = (turned(plane, &image), turned(plane, &annotation));
        let journal = |name: &str| folder.path().join(format!("{plane} {name}"));
        let (own, own_planes) = run(follower, plane, &(image.clone(), annotation), &journal("planes"));
        let (other, other_planes) = run(follower, Plane::Axial, &slices, &journal("slices"));
        assert_eq!(own.mask.space, image.space);
        assert!(turned(plane, &own.mask).voxels == other.mask.voxels, "{plane}: other masks");
        assert!(own.mask.voxels.iter().any(|&label| label > 0));
        let mut rows: Vec<Row> = own.rows;
        rows.iter_mut().for_each(|row| row.slice = number(plane, row.slice));
        rows.sort_by_key(|row| (row.label, row.slice));
        assert_eq!(rows, other.rows, "{plane}");
        check_partial_results(plane, &own_planes, &other_planes);
    }
}

/// Pixels of a plane come in the order of the file's voxels.
fn check_partial_results(plane: Plane, own: &Planes, other: &Planes) {
    assert_eq!(own.len(), other.len());
    let width = SHAPE[if plane == Plane::Sagittal { 1 } else { 0 }];
    for (&number_in_file, own) in own {
        let other = &other[&number(plane, number_in_file)];
        let turned = |pixels: &Vec<bool>| -> Vec<bool> {
            // Rows run the same way, columns against each other.
            pixels.chunks_exact(width).flat_map(|row| row.iter().rev()).copied().collect()
        };
        for (own, other) in own.iter().zip(other) {
            let own: BTreeMap<u16, Vec<bool>> = own.iter().map(|(&label, p)| (label, turned(p))).collect();
            assert!(own == *other, "{plane} {number_in_file}: other partial results");
        }
    }
}

#[test]
fn planes_that_boxes_go_through_are_slices_of_a_turned_file() {
    planes_are_slices_of_a_turned_file(&Follower::Boxes(embedder()));
}

#[test]
fn planes_that_sam_2_remembers_are_slices_of_a_turned_file() {
    planes_are_slices_of_a_turned_file(&memory());
}

/// A stop leaves what the same request reads, and what planes of another kind do not.
#[test]
fn what_is_stopped_goes_on_through_the_same_planes() {
    let folder = tempfile::tempdir().unwrap();
    let follower = memory();
    let scan = scan(Plane::Sagittal);
    let (whole, _) = run(&follower, Plane::Sagittal, &scan, &folder.path().join("whole"));
    let journal = folder.path().join("stopped");
    let stop = Watcher { stop_at: Some(40), ..Watcher::default() };
    assert!(run_through(&follower, Plane::Sagittal, &scan, &[], &journal, &stop).0.is_none());
    let go_on = || run_through(&follower, Plane::Sagittal, &scan, &[], &journal, &Watcher::default());
    let (resumed, kept) = go_on();
    let resumed = resumed.unwrap();
    assert!(kept > 0);
    assert!(resumed.mask.voxels == whole.mask.voxels && resumed.rows == whole.rows);
    let (_, kept) = run_through(&follower, Plane::Coronal, &scan, &[], &journal, &stop);
    assert_eq!(kept, 0, "of other planes");
}
