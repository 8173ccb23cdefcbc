//! Segmentations by highdicom and dcmqi, read back voxel by voxel; see `reference/dicom-structures/make.py`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dicom_core::value::{DataSetSequence, PrimitiveValue};
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::tags;
use dicom_object::{DefaultDicomObject, InMemDicomObject, open_file};
use polycl_base::{Error, Kind};
use polycl_fixtures::dicom::{SEGMENTATIONS, structures, unpack_from};
use polycl_image::dicom::segmentation::{self, Automation, How, Source};
use polycl_image::dicom::structures::{Drawn, Storage, Structures};
use polycl_image::dicom::{Series, find};
use polycl_image::files::{self, Reading};
use polycl_image::names::Names;
use polycl_image::{Mask, Space};
use tempfile::TempDir;

#[derive(serde::Deserialize)]
struct Expected {
    scan: String,
    names: Names,
    notes: Vec<String>,
}

fn expected() -> BTreeMap<String, Expected> {
    let text = std::fs::read_to_string(structures().join("expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn voxels(case: &str) -> Vec<u16> {
    let bytes = &SEGMENTATIONS[&format!("{case}.u16")];
    bytes.as_chunks().0.iter().map(|&two| u16::from_le_bytes(two)).collect()
}

fn series(name: &str) -> (TempDir, Series) {
    let folder = unpack_from(&SEGMENTATIONS, name);
    let series = find(folder.path()).unwrap().series.remove(0);
    (folder, series)
}

fn space(name: &str) -> Space {
    series(name).1.space().unwrap()
}

fn object(case: &str) -> (TempDir, Structures) {
    let folder = unpack_from(&SEGMENTATIONS, case);
    let object = Structures::at(folder.path()).unwrap().unwrap();
    (folder, object)
}

fn read(object: &Structures, scan: &Space, names: &Names) -> Result<Drawn, Error> {
    object.mask(scan, names, Reading::default())
}

#[test]
fn every_kind_of_segmentation_is_drawn_as_highdicom_reads_it() {
    let all = expected();
    assert!(all.len() > 15, "{} cases", all.len());
    for (case, Expected { scan, names, notes }) in all {
        let (_files, scan) = series(&scan);
        let (_folder, object) = object(&case);
        assert_eq!(
            (object.storage, object.names(), &object.notes),
            (Storage::Segmentation, names.clone(), &notes),
            "{case}"
        );
        assert!(object.series.contains(&scan.uid), "{case}");
        assert_eq!(object.belongs(&scan).unwrap(), None, "{case}");
        let scan = scan.space().unwrap();
        object.check(&scan, &names).unwrap();
        let Drawn { mask, notes } =
            read(&object, &scan, &names).unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(notes, [] as [String; 0], "{case}");
        assert!(mask.voxels == voxels(&case), "{case}");
        // One structure alone.
        let (&value, name) = names.last_key_value().unwrap();
        let alone = read(&object, &scan, &[(value, name.clone())].into()).unwrap().mask.voxels;
        assert!(
            alone.iter().zip(voxels(&case)).all(|(&found, all)| found == if all == value { all } else { 0 }),
            "{case}"
        );
    }
}

#[test]
fn without_a_scan_frames_span_a_grid_that_lies_in_the_scan() {
    for (case, scan) in [
        ("binary_shuffled", "plain"),
        ("labelmap", "plain"),
        ("enhanced_reference", "enhanced"),
        ("dcmqi", "plain"),
    ] {
        let scan = space(scan);
        let (_folder, object) = object(case);
        let mask = Reading::default().mask(&object.path).unwrap();
        let fit = polycl_image::grid::fit(&scan, &mask.space, Path::new("a.seg.nrrd")).unwrap();
        assert!(fit.apply(mask, &scan).voxels == voxels(case), "{case}");
    }
}

#[test]
fn segments_overlap_only_where_nobody_asks_for_both() {
    let (_folder, object) = object("overlapping");
    let (scan, mut names) = (space("plain"), object.names());
    let error = read(&object, &scan, &names).unwrap_err();
    let claimed = voxels("binary").iter().filter(|&&value| value == 3).count();
    assert_eq!((error.kind, error.found), (Kind::Voxels, format!("Liver and Tumour in {claimed} voxels")));
    names.remove(&1);
    let found = read(&object, &scan, &names).unwrap().mask.voxels;
    assert!(found.iter().zip(voxels("binary")).all(|(&found, all)| found == if all == 1 { 0 } else { all }));
    // Two of one name may overlap, and are one.
    names.insert(1, "Tumour".to_owned());
    let found = read(&object, &scan, &names).unwrap().mask.voxels;
    assert!(found.iter().zip(voxels("binary")).all(|(&found, all)| found == if all == 3 { 1 } else { all }));
}

#[test]
fn each_segment_says_who_drew_it() {
    let (_folder, object) = object("odd_names");
    let said: Vec<_> = object.list.iter().map(|segment| segment.automation).collect();
    let expected = [Automation::Manual, Automation::Semiautomatic, Automation::Automatic].map(Some);
    assert_eq!(said, expected);
}

/// What PolyCL writes it reads again, bit for bit.
#[test]
fn there_and_back() {
    let (folder, series) = series("plain");
    let space = series.space().unwrap();
    let voxels: Vec<u16> =
        (0..space.voxels()).map(|n| [0, 3, 0, 7, 7, 0, 12][n * 31 % 7] * u16::from(n % 5 < 2)).collect();
    let mask = Mask { space: space.clone(), voxels };
    let names = [(3, "liver".to_owned()), (7, "Küche \"links\"".to_owned()), (12, "Tumor".to_owned())].into();
    let (header, instances) = (series.header().unwrap(), series.instances());
    let source = Source { header: &header, instances: &instances, space: &space };
    let how = How {
        algorithm: "test".to_owned(),
        automatic: Automation::Semiautomatic,
        description: "ORGANS".to_owned(),
    };
    let path = folder.path().join("mask.dcm");
    segmentation::write(&path, &source, &mask, &names, &how).unwrap();
    let object = Structures::open(&path).unwrap().unwrap();
    assert_eq!(object.names().into_values().collect::<Vec<_>>(), names.into_values().collect::<Vec<_>>());
    assert!(object.list.iter().all(|segment| segment.automation == Some(Automation::Semiautomatic)));
    assert_eq!(object.belongs(&series).unwrap(), None);
    let found = read(&object, &space, &object.names()).unwrap().mask;
    let value = [0, 3, 7, 12];
    assert!(found.voxels.iter().zip(&mask.voxels).all(|(&found, &own)| value[usize::from(found)] == own));
    assert_eq!(found.space, space);
    // A folder of one object and its series is listed whole.
    let found = find(folder.path()).unwrap();
    assert_eq!((found.series.len(), found.structures.len()), (1, 1));
}

#[test]
fn masks_of_a_folder_are_files_and_folders() {
    let folder = unpack_from(&SEGMENTATIONS, "binary");
    let bytes = std::fs::read(folder.path().join("seg.dcm")).unwrap();
    for name in ["b.dcm", "c/whatever", "d.DCM", "1.2.840.7", "e.txt", ".hidden"] {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &bytes).unwrap();
    }
    std::fs::write(folder.path().join("b.nii.gz"), b"").unwrap();
    let cases: Vec<String> = files::masks(folder.path()).unwrap().into_iter().map(|(case, _)| case).collect();
    assert_eq!(cases, ["1.2.840.7", "b", "c", "d", "seg"]);
    std::fs::remove_file(folder.path().join("b.nii.gz")).unwrap();
    let error = Structures::at(folder.path()).unwrap_err();
    assert_eq!(error.kind, Kind::Request, "{error}");
}

/// A segmentation with something changed.
struct Changed {
    _folder: TempDir,
    path: PathBuf,
    scan: Space,
}

impl Changed {
    fn of(case: &str, change: impl FnOnce(&mut DefaultDicomObject)) -> Self {
        let folder = unpack_from(&SEGMENTATIONS, case);
        let path = folder.path().join("seg.dcm");
        let mut file = open_file(&path).unwrap();
        change(&mut file);
        file.write_to_file(&path).unwrap();
        Self { _folder: folder, path, scan: space("plain") }
    }

    fn read(&self) -> Result<Vec<u16>, Error> {
        let object = Structures::open(&self.path)?.expect("it stays a segmentation");
        Ok(read(&object, &self.scan, &object.names())?.mask.voxels)
    }

    fn refused(&self) -> String {
        let error = self.read().unwrap_err();
        let Error { kind, expected, found, hint, .. } = &error;
        assert!(hint.is_some(), "{error}");
        format!("{kind:?}: expected {expected}, found {found}")
    }
}

fn each_frame(file: &mut DefaultDicomObject, mut change: impl FnMut(usize, &mut InMemDicomObject)) {
    file.update_value(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, |value| {
        value.items_mut().unwrap().iter_mut().enumerate().for_each(|(at, item)| change(at, item));
    });
}

fn move_frame(item: &mut InMemDicomObject, mm: f64) {
    item.update_value(tags::PLANE_POSITION_SEQUENCE, |value| {
        let place = &mut value.items_mut().unwrap()[0];
        let at: Vec<f64> = place.element(tags::IMAGE_POSITION_PATIENT).unwrap().to_multi_float64().unwrap();
        let moved = [at[0] + mm, at[1], at[2]].map(|mm| format!("{mm:.8}"));
        place.put_str(tags::IMAGE_POSITION_PATIENT, VR::DS, moved.join("\\"));
    });
}

#[test]
fn frames_off_their_slices_are_told_or_refused() {
    let near = Changed::of("binary", |file| each_frame(file, |_, item| move_frame(item, 0.05)));
    let object = Structures::open(&near.path).unwrap().unwrap();
    let drawn = read(&object, &near.scan, &object.names()).unwrap();
    assert!(drawn.mask.voxels == voxels("binary"));
    assert_eq!(drawn.notes, ["its frames lie up to 0.05 mm from the scan's slices"]);
    let far = Changed::of("binary", |file| {
        each_frame(file, |at, item| move_frame(item, if at == 4 { 0.4 } else { 0.0 }))
    });
    assert_eq!(
        far.refused(),
        "Geometry: expected frame 5 on the slices of the scan, found a frame 0.40 mm from the nearest voxels of the scan"
    );
    let gone = Changed::of("binary", |file| each_frame(file, |_, item| move_frame(item, f64::NAN)));
    assert_eq!(
        gone.refused(),
        "Geometry: expected a position, an orientation and a pixel spacing for each frame, found none that can be used in frame 1"
    );
}

/// A scan that lacks slices at its end.
#[test]
fn frames_beyond_the_scan_are_refused_and_missing_images_told() {
    let folder = unpack_from(&SEGMENTATIONS, "plain");
    std::fs::remove_file(folder.path().join("007.dcm")).unwrap();
    let scan = find(folder.path()).unwrap().series.remove(0);
    let (_folder, object) = object("binary");
    assert_eq!(object.belongs(&scan).unwrap().unwrap(), "images that the object refers to are missing: 1");
    let error = read(&object, &scan.space().unwrap(), &object.names()).unwrap_err();
    assert_eq!(error.kind, Kind::Geometry);
    assert!(error.found.ends_with("of its pixels beyond the scan"), "{error}");
}

#[test]
fn a_segmentation_of_another_scan_is_refused() {
    let (_files, enhanced) = series("enhanced");
    let (_folder, object) = object("binary");
    let error = object.belongs(&enhanced).unwrap_err();
    assert_eq!(error.kind, Kind::Pairing);
    // Of the same place it is told.
    let near = Changed::of("binary", |file| {
        file.put_str(tags::FRAME_OF_REFERENCE_UID, VR::UI, enhanced.frame_of_reference.clone());
    });
    let object = Structures::open(&near.path).unwrap().unwrap();
    assert_eq!(object.belongs(&enhanced).unwrap().unwrap(), "drawn on another series of the same place");
}

#[test]
fn headers_that_lie_are_refused() {
    let put = |tag, vr, value: &'static str| {
        move |file: &mut DefaultDicomObject| drop(file.put_str(tag, vr, value))
    };
    let without = |tag| move |file: &mut DefaultDicomObject| assert!(file.remove_element(tag));
    let mut lines = Vec::new();
    let mut refuse = |what: &str, changed: Changed| lines.push(format!("{what}: {}", changed.refused()));
    refuse("more frames", Changed::of("binary", put(tags::NUMBER_OF_FRAMES, VR::IS, "1000000000")));
    refuse("fewer frames", Changed::of("binary", put(tags::NUMBER_OF_FRAMES, VR::IS, "3")));
    refuse("an unknown type", Changed::of("binary", put(tags::SEGMENTATION_TYPE, VR::CS, "MAYBE")));
    refuse("a label map of bits", Changed::of("binary", put(tags::SEGMENTATION_TYPE, VR::CS, "LABELMAP")));
    refuse("no segment", Changed::of("binary", without(tags::SEGMENT_SEQUENCE)));
    refuse("no largest value", Changed::of("fractional", without(tags::MAXIMUM_FRACTIONAL_VALUE)));
    refuse("no frame", Changed::of("binary", without(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE)));
    let rows = |rows: u16| {
        move |file: &mut DefaultDicomObject| {
            drop(file.put(DataElement::new(tags::ROWS, VR::US, PrimitiveValue::from(rows))))
        }
    };
    refuse("more rows than pixels", Changed::of("binary", rows(60_000)));
    let huge = |file: &mut DefaultDicomObject| {
        for tag in [tags::ROWS, tags::COLUMNS] {
            file.put(DataElement::new(tag, VR::US, PrimitiveValue::from(65_535u16)));
        }
    };
    for case in ["binary", "labelmap", "labelmap_rle"] {
        refuse("4 billion pixels", Changed::of(case, huge));
    }
    refuse("no rows", Changed::of("binary", rows(0)));
    refuse(
        "an unlisted segment",
        Changed::of("binary", |file| {
            file.update_value(tags::SEGMENT_SEQUENCE, |value| drop(value.items_mut().unwrap().pop()));
        }),
    );
    refuse(
        "an unlisted value",
        Changed::of("labelmap", |file| {
            file.update_value(tags::SEGMENT_SEQUENCE, |value| drop(value.items_mut().unwrap().pop()));
        }),
    );
    refuse(
        "a segment twice",
        Changed::of("binary", |file| {
            file.update_value(tags::SEGMENT_SEQUENCE, |value| {
                value.items_mut().unwrap()[2].put(DataElement::new(
                    tags::SEGMENT_NUMBER,
                    VR::US,
                    PrimitiveValue::from(1u16),
                ));
            });
        }),
    );
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn pixels_that_break_off_are_refused() {
    for case in ["binary", "deflated", "labelmap", "labelmap_rle", "labelmap_jpeg_ls", "fractional"] {
        let folder = unpack_from(&SEGMENTATIONS, case);
        let path = folder.path().join("seg.dcm");
        let bytes = std::fs::read(&path).unwrap();
        let scan = space("plain");
        for kept in [bytes.len() - 20, bytes.len() - 60, bytes.len() / 2, 400, 140] {
            std::fs::write(&path, &bytes[..kept]).unwrap();
            let found = Structures::open(&path).and_then(|object| match object {
                Some(object) => read(&object, &scan, &object.names()).map(drop),
                None => Ok(()),
            });
            assert!(found.is_err(), "{case}, {kept} of {} bytes", bytes.len());
        }
    }
}

/// Items of eight bytes each: frames, segments, references.
#[test]
fn a_million_items_are_an_error_or_nothing() {
    for tag in
        [tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, tags::SEGMENT_SEQUENCE, tags::REFERENCED_SERIES_SEQUENCE]
    {
        let changed = Changed::of("binary", |file| {
            let items = DataSetSequence::from(vec![InMemDicomObject::new_empty(); 1_000_000]);
            file.put(DataElement::new(tag, VR::SQ, items));
        });
        let found = changed.read();
        assert_eq!(found.is_err(), tag != tags::REFERENCED_SERIES_SEQUENCE, "{tag}");
    }
}
