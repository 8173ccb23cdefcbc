//! Contours of which nothing can be drawn, or which look so: told or refused, and never empty in silence.

use dicom_core::VR;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use glam::DVec3;
use polycl_base::Kind;
use polycl_image::Space;
use polycl_image::dicom::structures::{Drawn, Structures};
use polycl_image::files::Reading;
use polycl_image::names::Names;

use crate::builder::*;

fn space() -> Space {
    upright([32, 32, 8], [1.0, 1.0, 2.0], DVec3::new(0.0, 0.0, 0.0))
}

/// A square from one place in voxels to another.
fn square([left, top]: [f64; 2], [right, bottom]: [f64; 2], slice: f64) -> Vec<DVec3> {
    let corner = |[x, y]: [f64; 2]| space().world_from_voxel.transform_point3(DVec3::new(x, y, slice));
    [[left, top], [right, top], [right, bottom], [left, bottom]].map(corner).to_vec()
}

/// 100 voxels in one slice.
fn good(slice: f64) -> Contour {
    closed(&square([4.5, 4.5], [14.5, 14.5], slice))
}

fn with(bad: Contour) -> Drawn {
    drawn(&[roi("organ", vec![good(3.0), bad])], &space()).unwrap()
}

fn count(drawn: &Drawn, value: u16) -> usize {
    drawn.mask.voxels.iter().filter(|voxel| **voxel == value).count()
}

#[test]
fn contours_that_cannot_be_filled_are_skipped_and_told() {
    let odd = |data: &str, kind: &'static str| Contour { kind, data: data.to_owned(), count: None };
    let five = "-5\\-5\\8\\-9\\-5\\8\\-9\\-9\\8\\-5\\-9\\8\\-4\\-4\\8";
    for (bad, why) in [
        (odd("-5\\-5\\8", "POINT"), "1 points"),
        (odd(five, "OPEN_PLANAR"), "1 open"),
        (odd(five, "OPEN_NONPLANAR"), "1 open"),
        (odd(five, "CLOSED_BOX"), "1 of an unknown geometric type"),
        (odd("-5\\-5\\8\\-9\\-5\\8", "CLOSED_PLANAR"), "1 of fewer than three points"),
        (odd("", "CLOSED_PLANAR"), "1 of fewer than three points"),
        (odd("-5\\-5\\8\\-9\\NaN\\8\\-9\\-9\\8", "CLOSED_PLANAR"), "1 with coordinates that are no numbers"),
        (odd("-5\\-5\\8\\-9\\inf\\8\\-9\\-9\\8", "CLOSED_PLANAR"), "1 with coordinates that are no numbers"),
        (
            odd("-5\\-5\\8\\-9\\1e300\\8\\-9\\-9\\8", "CLOSED_PLANAR"),
            "1 with coordinates that are no numbers",
        ),
        (odd("-5\\-5\\8\\-9\\none\\8\\-9\\-9\\8", "CLOSED_PLANAR"), "1 with coordinates that are no numbers"),
        (
            odd("-5\\-5\\8\\-9\\-5\\8\\-9\\-9", "CLOSED_PLANAR"),
            "1 with coordinates that do not come in threes",
        ),
        (odd("-5\\-5\\8\\-9\\-9\\8\\-7\\-7\\8", "CLOSED_PLANAR"), "1 without an area"),
        (odd("-5\\-5\\8\\-5\\-5\\8\\-5\\-5\\8", "CLOSED_PLANAR"), "1 without an area"),
        (closed(&square([4.0, 4.0], [9.0, 9.0], 30.0)), "1 beyond the scan"),
        (closed(&square([40.0, 4.0], [49.0, 9.0], 4.0)), "1 beyond the scan"),
        (odd("-5\\-5\\4\\-9\\-5\\8\\-9\\-9\\4", "CLOSED_PLANAR"), "1 across the scan's slices"),
        (good(3.0), "1 that repeat another contour"),
    ] {
        let drawn = with(bad);
        assert_eq!(drawn.notes, [format!("organ: contours skipped: {why}")]);
        assert_eq!(count(&drawn, 1), 100, "{why}");
    }
}

#[test]
fn what_is_odd_and_drawn_is_told() {
    let drawn = with(closed(&square([-9.0, 4.5], [4.5, 9.5], 4.0)));
    assert_eq!(drawn.notes, ["organ: contours that reach beyond the scan, and were cut off there: 1"]);
    assert_eq!(count(&drawn, 1), 125);
    let drawn = with(Contour { count: Some(7), ..closed(&square([4.5, 4.5], [9.5, 9.5], 4.0)) });
    assert_eq!(drawn.notes, ["organ: contours whose points are not as many as they say, and were read: 1"]);
    assert_eq!(count(&drawn, 1), 125);
    let drawn = with(closed(&square([4.9, 4.9], [5.1, 5.1], 4.0)));
    assert_eq!(drawn.notes, ["organ: slices with contours that cover no voxel to one half: 1"]);
    // As OpenCV draws them, through the outermost voxels.
    let drawn = with(closed(&square([4.0, 4.0], [9.0, 9.0], 4.0)));
    let note = "organ: slices with contours through the centres of voxels, which count as inside: 1";
    assert_eq!((count(&drawn, 1), drawn.notes), (136, vec![note.to_owned()]));
    // Some writers use decimal commas, and pad every number.
    let data = closed(&square([4.5, 4.5], [9.5, 9.5], 4.0)).data.replace('.', ",").replace('\\', " \\ ");
    let drawn = with(Contour { kind: "CLOSED_PLANAR", data, count: Some(4) });
    assert_eq!((count(&drawn, 1), drawn.notes), (125, vec![]));
}

#[test]
fn contours_that_cross_themselves_are_drawn_by_even_odd() {
    let corner = |[x, y]: [f64; 2]| space().world_from_voxel.transform_point3(DVec3::new(x, y, 4.0));
    let bow = closed(&[[4.5, 4.5], [14.5, 14.5], [14.5, 4.5], [4.5, 14.5]].map(corner));
    let drawn = with(bow);
    assert!(drawn.notes.is_empty());
    assert_eq!(count(&drawn, 1), 100 + 60, "voxels on the diagonals are covered to one half");
}

#[test]
fn a_contour_of_many_points_is_read() {
    let disc = |points: u32| {
        let point = |n: u32| {
            let (sine, cosine) = (std::f64::consts::TAU * f64::from(n) / f64::from(points)).sin_cos();
            space().world_from_voxel.transform_point3(DVec3::new(
                15.2 + 10.0 * cosine,
                15.1 + 10.0 * sine,
                4.0,
            ))
        };
        drawn(&[roi("disc", vec![closed(&(0..points).map(point).collect::<Vec<_>>())])], &space()).unwrap()
    };
    let many = disc(100_000);
    assert!(many.mask.voxels == disc(1000).mask.voxels && many.notes.is_empty());
    assert!((300..330).contains(&count(&many, 1)));
}

#[test]
fn rois_without_a_closed_contour_are_told_and_cannot_be_chosen() {
    let point = Contour { kind: "POINT", data: "-5\\-5\\8".to_owned(), count: Some(1) };
    let rois = [roi("isocentre", vec![point]), roi("organ", vec![good(3.0)]), roi("nothing", vec![])];
    let file = saved(object(&rois));
    let object = Structures::open(&file.path).unwrap().unwrap();
    assert_eq!(object.names(), Names::from([(2, "organ".to_owned())]));
    assert_eq!(object.notes, ["ROIs without a closed contour: isocentre, nothing"]);
    let error = object.mask(&space(), &[(1, "isocentre".to_owned())].into(), Reading::default()).unwrap_err();
    assert_eq!(error.kind, Kind::Labels);
}

#[test]
fn an_object_without_contours_is_refused() {
    for rois in [vec![], vec![roi("nothing", vec![])]] {
        let error = Structures::open(&saved(object(&rois)).path).unwrap_err();
        assert_eq!(error.kind, Kind::Format);
        assert_eq!(error.expected, "an ROI with a closed contour");
    }
}

#[test]
fn nothing_on_the_scan_is_an_error_and_one_empty_roi_a_note() {
    let far = || closed(&square([4.0, 4.0], [9.0, 9.0], 30.0));
    let error = drawn(&[roi("a", vec![far()]), roi("b", vec![far()])], &space()).unwrap_err();
    assert_eq!(error.kind, Kind::Geometry);
    assert!(error.found.starts_with("a: contours skipped: 1 beyond the scan"), "{}", error.found);
    let drawn = drawn(&[roi("a", vec![far()]), roi("b", vec![good(3.0)])], &space()).unwrap();
    assert_eq!(
        drawn.notes,
        ["a: contours skipped: 1 beyond the scan", "a: no voxel of the scan is covered to one half"]
    );
}

#[test]
fn overlaps_are_refused_among_those_that_are_chosen() {
    let other = closed(&square([10.5, 4.5], [20.5, 14.5], 3.0));
    let apart = closed(&square([22.5, 4.5], [30.5, 14.5], 3.0));
    let rois = [roi("a", vec![good(3.0)]), roi("b", vec![other]), roi("c", vec![apart])];
    let file = saved(object(&rois));
    let object = Structures::open(&file.path).unwrap().unwrap();
    let mask = |names: &[(u16, &str)]| {
        let names = names.iter().map(|(value, name)| (*value, (*name).to_owned())).collect();
        object.mask(&space(), &names, Reading::default())
    };
    let error = mask(&[(1, "a"), (2, "b"), (3, "c")]).unwrap_err();
    assert_eq!((error.kind, error.found.as_str()), (Kind::Voxels, "a and b in 40 voxels"));
    assert_eq!(count(&mask(&[(1, "a"), (3, "c")]).unwrap(), 3), 80);
    // Of one name, they are one organ.
    assert_eq!(count(&mask(&[(1, "a"), (2, "a")]).unwrap(), 1), 160);
}

#[test]
fn names_are_decoded_and_told_apart() {
    let mut named = object(&[roi("x", vec![good(3.0)]), roi("x", vec![good(4.0)]), roi("", vec![good(5.0)])]);
    let file = saved(named.clone());
    let object = Structures::open(&file.path).unwrap().unwrap();
    let names: Vec<String> = object.names().into_values().collect();
    assert_eq!(names, ["x", "x (2)", "label 3"]);
    // Bytes of a set that the file declares, and of one that nobody knows.
    for (declared, expected) in [("ISO_IR 100", "Drüse"), ("ISO_IR 144", "Drќse"), ("KLINGON 7", "Drüse")]
    {
        named.put_str(tags::SPECIFIC_CHARACTER_SET, VR::CS, declared);
        let bytes = saved(named.clone());
        let raw = std::fs::read(&bytes.path).unwrap();
        let at = raw.windows(8).position(|b| b == b"\x06\x30\x26\0\x02\0\0\0").unwrap();
        let raw = [&raw[..at], b"\x06\x30\x26\0\x06\0\0\0Dr\xFCse ", &raw[at + 10..]].concat();
        let raw = longer(&raw, at, 4);
        let file = super::builder::bytes(&raw);
        let object = Structures::open(&file.path).unwrap().unwrap();
        assert_eq!(object.list[0].name, expected, "{declared}");
    }
}

/// Lengthens the sequence and the item that hold what stands at `at`.
fn longer(raw: &[u8], at: usize, by: u32) -> Vec<u8> {
    let mut raw = raw.to_vec();
    for tag in [b"\x06\x30\x20\0", b"\xFE\xFF\0\xE0"] {
        let head = raw[..at].windows(4).rposition(|four| four == tag).unwrap();
        let length = u32::from_le_bytes(raw[head + 4..head + 8].try_into().unwrap());
        if length != u32::MAX {
            raw[head + 4..head + 8].copy_from_slice(&(length + by).to_le_bytes());
        }
    }
    raw
}

#[test]
fn two_rois_of_one_number_are_refused() {
    let mut twice = object(&[roi("a", vec![good(3.0)]), roi("b", vec![good(4.0)])]);
    twice.update_value(tags::STRUCTURE_SET_ROI_SEQUENCE, |value| {
        for item in value.items_mut().unwrap().iter_mut() {
            item.put_str(tags::ROI_NUMBER, VR::IS, "1");
        }
    });
    let error = Structures::open(&saved(twice).path).unwrap_err();
    assert_eq!((error.kind, error.expected.as_str()), (Kind::Format, "ROIs of distinct numbers"));
}

/// Numbers that are no values of a mask: places in the list are.
#[test]
fn rois_of_any_numbers_have_values() {
    let mut large = object(&[roi("a", vec![good(3.0)]), roi("b", vec![good(4.0)])]);
    for tag in [tags::STRUCTURE_SET_ROI_SEQUENCE, tags::ROI_CONTOUR_SEQUENCE] {
        large.update_value(tag, |value| {
            for (n, item) in value.items_mut().unwrap().iter_mut().enumerate() {
                for tag in [tags::ROI_NUMBER, tags::REFERENCED_ROI_NUMBER] {
                    if item.get(tag).is_some() {
                        item.put_str(tag, VR::IS, format!("{}", 100_000 - n));
                    }
                }
            }
        });
    }
    let drawn = draw(&saved(large).path, &space(), false).unwrap();
    assert_eq!((count(&drawn, 1), count(&drawn, 2)), (100, 100));
    assert!(drawn.mask.plane(3).contains(&1) && drawn.mask.plane(4).contains(&2));
}

#[test]
fn any_part_of_a_file_is_read_or_refused() {
    let rois = [roi("a", vec![good(3.0), good(4.0)]), roi("b", vec![good(5.0)])];
    let whole = std::fs::read(saved(object(&rois)).path).unwrap();
    let full = draw(&bytes(&whole).path, &space(), false).unwrap();
    for n in (0..whole.len()).step_by(3) {
        let file = bytes(&whole[..n]);
        let Ok(Some(object)) = Structures::open(&file.path) else { continue };
        if let Ok(drawn) = object.mask(&space(), &object.names(), Reading::default()) {
            assert!(n + 8 >= whole.len(), "{n} of {} bytes", whole.len());
            assert_eq!(drawn.mask.voxels, full.mask.voxels);
        }
    }
    for at in (140..whole.len()).step_by(2) {
        for byte in [0, 0x7F, 0xFF] {
            let mut damaged = whole.clone();
            damaged[at] = byte;
            let file = bytes(&damaged);
            if let Ok(Some(object)) = Structures::open(&file.path) {
                assert!(!object.list.is_empty());
                if let Ok(drawn) = object.mask(&space(), &object.names(), Reading::default()) {
                    assert!(
                        drawn.mask.voxels.iter().any(|voxel| *voxel > 0),
                        "byte {at}: nothing, in silence"
                    );
                }
            }
        }
    }
}

/// Explicit lengths have 16 bits, so that longer points are of an unknown VR: as pydicom writes them.
#[test]
fn points_of_an_unknown_vr_are_read() {
    fn explicit(object: &InMemDicomObject) -> Vec<u8> {
        let mut out = Vec::new();
        for element in object.iter() {
            let tag = element.header().tag;
            out.extend(tag.0.to_le_bytes());
            out.extend(tag.1.to_le_bytes());
            if let Some(items) = element.items() {
                let mut value = Vec::new();
                for item in items {
                    let item = explicit(item);
                    value.extend(b"\xFE\xFF\0\xE0");
                    value.extend((item.len() as u32).to_le_bytes());
                    value.extend(item);
                }
                out.extend(b"SQ\0\0");
                out.extend((value.len() as u32).to_le_bytes());
                out.extend(value);
                continue;
            }
            let mut value = element.to_str().unwrap().into_owned().into_bytes();
            value.resize(value.len().next_multiple_of(2), b' ');
            if tag == tags::CONTOUR_DATA {
                out.extend(b"UN\0\0");
                out.extend((value.len() as u32).to_le_bytes());
            } else {
                out.extend(element.vr().to_bytes());
                out.extend((value.len() as u16).to_le_bytes());
            }
            out.extend(value);
        }
        out
    }
    let rois = [roi("a", vec![good(3.0)])];
    let mut file = vec![0; 128];
    file.extend(b"DICM\x02\0\x10\0UI\x14\x001.2.840.10008.1.2.1\0");
    file.extend(explicit(&object(&rois)));
    let drawn = draw(&bytes(&file).path, &space(), false).unwrap();
    assert_eq!(count(&drawn, 1), 100);
}
