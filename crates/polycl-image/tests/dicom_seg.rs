//! DICOM segmentations against the same made by highdicom, and read back; see
//! `reference/dicom-seg/check.py` for what other programs read in them.

use std::path::{Path, PathBuf};

use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{DefaultDicomObject, InMemDicomObject, open_file};
use glam::{DAffine3, DMat3, DVec3};
use polycl_base::{Error, Kind};
use polycl_image::dicom::Instance;
use polycl_image::dicom::segmentation::{self, Automation, How, Source};
use polycl_image::names::Names;
use polycl_image::{Mask, Space};

#[derive(serde::Deserialize)]
struct Expected {
    shape: [usize; 3],
    affine: [[f64; 4]; 3],
    instances: Vec<String>,
    frames: Vec<Frame>,
    orientation: Vec<f64>,
    pixel_spacing: Vec<f64>,
    slice_thickness: f64,
    pixel_data: String,
}

#[derive(Debug, serde::Deserialize)]
struct Frame {
    segment: u16,
    position: Vec<f64>,
    source: String,
    index: Vec<u32>,
}

fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/dicom-seg").join(name)
}

/// The scan of the reference, and the mask that its generator draws as well.
struct Scene {
    header: InMemDicomObject,
    instances: Vec<Instance>,
    mask: Mask,
    names: Names,
    how: How,
}

impl Scene {
    fn new() -> (Self, Expected) {
        let text = std::fs::read_to_string(reference("expected.json")).unwrap();
        let expected: Expected = serde_json::from_str(&text).unwrap();
        let instance = |uid: &String| Instance {
            sop_class: uids::CT_IMAGE_STORAGE.to_owned(),
            sop_instance: uid.clone(),
            frame: None,
        };
        let column = |c: usize| DVec3::from_array(expected.affine.map(|row| row[c]));
        let affine = DAffine3::from_cols(column(0), column(1), column(2), column(3));
        let scene = Self {
            header: open_file(reference("source.dcm")).unwrap().into_inner(),
            instances: expected.instances.iter().map(instance).collect(),
            mask: drawn(Space::new(expected.shape, affine)),
            names: [(3, "liver".to_owned()), (7, "kidney_left".to_owned())].into(),
            how: How {
                algorithm: "polycl 0.1.0".to_owned(),
                automatic: Automation::Automatic,
                description: "Organs by polycl".to_owned(),
            },
        };
        (scene, expected)
    }

    fn write(&self, path: &Path) -> Result<(), Error> {
        self.write_on(path, &self.mask.space)
    }

    fn write_on(&self, path: &Path, space: &Space) -> Result<(), Error> {
        let source = Source { header: &self.header, instances: &self.instances, space };
        segmentation::write(path, &source, &self.mask, &self.names, &self.how)
    }

    fn written(&self) -> DefaultDicomObject {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mask.dcm");
        self.write(&path).unwrap();
        open_file(path).unwrap()
    }

    fn bytes(&self) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mask.dcm");
        self.write(&path).unwrap();
        std::fs::read(path).unwrap()
    }
}

fn drawn(space: Space) -> Mask {
    const VALUES: [u16; 11] = [3, 0, 0, 7, 3, 0, 0, 12, 0, 0, 0];
    let [nx, ny, nz] = space.shape;
    let at = |n: usize| {
        let (i, j, k) = (n % nx, n / nx % ny, n / nx / ny);
        let value = VALUES[(7 * i + 5 * j + 3 * k) % 11];
        if k == 3 || (value == 12 && k != 2) { 0 } else { value }
    };
    Mask { voxels: (0..nx * ny * nz).map(at).collect(), space }
}

fn items(object: &InMemDicomObject, tag: Tag) -> &[InMemDicomObject] {
    object.element(tag).unwrap().items().unwrap()
}

fn text(object: &InMemDicomObject, tag: Tag) -> String {
    let text = object.element(tag).unwrap().to_str().unwrap();
    text.trim_end_matches([' ', '\0']).to_owned()
}

fn numbers(object: &InMemDicomObject, tag: Tag) -> Vec<f64> {
    object.element(tag).unwrap().to_multi_float64().unwrap()
}

fn whole(object: &InMemDicomObject, tag: Tag) -> u16 {
    object.element(tag).unwrap().to_int().unwrap()
}

fn near(found: &[f64], expected: &[f64]) -> bool {
    found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 1e-9)
}

fn frame(object: &InMemDicomObject) -> Frame {
    let first = |tag| &items(object, tag)[0];
    let image = &items(first(tags::DERIVATION_IMAGE_SEQUENCE), tags::SOURCE_IMAGE_SEQUENCE)[0];
    let content = first(tags::FRAME_CONTENT_SEQUENCE);
    Frame {
        segment: whole(first(tags::SEGMENT_IDENTIFICATION_SEQUENCE), tags::REFERENCED_SEGMENT_NUMBER),
        position: numbers(first(tags::PLANE_POSITION_SEQUENCE), tags::IMAGE_POSITION_PATIENT),
        source: text(image, tags::REFERENCED_SOP_INSTANCE_UID),
        index: content.element(tags::DIMENSION_INDEX_VALUES).unwrap().to_multi_int().unwrap(),
    }
}

/// 35 pixels a frame: every frame begins at another bit of its byte.
#[test]
fn frames_are_those_of_highdicom() {
    let (scene, expected) = Scene::new();
    let file = scene.written();
    let frames = items(&file, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
    assert_eq!(frames.len(), expected.frames.len());
    assert_eq!(text(&file, tags::NUMBER_OF_FRAMES), frames.len().to_string());
    for (object, expected) in frames.iter().zip(&expected.frames) {
        let found = frame(object);
        assert!(near(&found.position, &expected.position), "{found:?} for {expected:?}");
        assert_eq!(
            (found.segment, &found.source, &found.index),
            (expected.segment, &expected.source, &expected.index)
        );
    }
    let shared = &items(&file, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE)[0];
    let orientation = &items(shared, tags::PLANE_ORIENTATION_SEQUENCE)[0];
    assert!(near(&numbers(orientation, tags::IMAGE_ORIENTATION_PATIENT), &expected.orientation));
    let measures = &items(shared, tags::PIXEL_MEASURES_SEQUENCE)[0];
    assert!(near(&numbers(measures, tags::PIXEL_SPACING), &expected.pixel_spacing));
    assert!(near(&numbers(measures, tags::SLICE_THICKNESS), &[expected.slice_thickness]));
    assert!(near(&numbers(measures, tags::SPACING_BETWEEN_SLICES), &[2.25]));
    let bits = file.element(tags::PIXEL_DATA).unwrap();
    let hex: String = bits.to_bytes().unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    // 49 bytes, and one more that makes them even.
    assert_eq!((bits.vr(), hex), (VR::OB, expected.pixel_data + "00"));
}

#[test]
fn it_belongs_to_the_patient_and_says_what_was_drawn() {
    let (mut scene, _) = Scene::new();
    scene.names.insert(5, "spleen".to_owned());
    let file = scene.written();
    for tag in [
        tags::PATIENT_NAME,
        tags::PATIENT_ID,
        tags::STUDY_INSTANCE_UID,
        tags::FRAME_OF_REFERENCE_UID,
        tags::STUDY_DATE,
        tags::CONTENT_DATE,
        tags::CONTENT_TIME,
    ] {
        assert_eq!(text(&file, tag), text(&scene.header, tag), "{tag}");
    }
    // In the scan the umlaut is a byte of Latin-1.
    assert_eq!(text(&file, tags::PATIENT_NAME), "Müller^Jörg");
    assert_eq!(text(&file, tags::REFERRING_PHYSICIAN_NAME), "");
    let (own, theirs) =
        (text(&file, tags::SERIES_INSTANCE_UID), text(&scene.header, tags::SERIES_INSTANCE_UID));
    assert!(own.starts_with("2.25.") && own.len() <= 64 && own != theirs);
    assert_eq!(file.meta().media_storage_sop_instance_uid(), text(&file, tags::SOP_INSTANCE_UID));
    assert_eq!(file.meta().transfer_syntax(), uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let referenced = &items(&file, tags::REFERENCED_SERIES_SEQUENCE)[0];
    assert_eq!(text(referenced, tags::SERIES_INSTANCE_UID), theirs);
    assert_eq!(items(referenced, tags::REFERENCED_INSTANCE_SEQUENCE).len(), scene.instances.len());
    insta::assert_snapshot!(told(&file));
}

/// A line for each segment.
fn told(file: &InMemDicomObject) -> String {
    let line = |segment: &InMemDicomObject| {
        let kind = &items(segment, tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE)[0];
        let side = kind.get(tags::SEGMENTED_PROPERTY_TYPE_MODIFIER_CODE_SEQUENCE);
        let side = side.map(|side| text(&side.items().unwrap()[0], tags::CODE_MEANING));
        let colour: Vec<u16> =
            segment.element(tags::RECOMMENDED_DISPLAY_CIE_LAB_VALUE).unwrap().to_multi_int().unwrap();
        format!(
            "{} {:?} ({}), {} {}, {} {} {side:?}, {colour:?}\n",
            whole(segment, tags::SEGMENT_NUMBER),
            text(segment, tags::SEGMENT_LABEL),
            text(segment, tags::SEGMENT_DESCRIPTION),
            text(segment, tags::SEGMENT_ALGORITHM_TYPE),
            text(segment, tags::SEGMENT_ALGORITHM_NAME),
            text(kind, tags::CODE_VALUE),
            text(kind, tags::CODE_MEANING),
        )
    };
    items(file, tags::SEGMENT_SEQUENCE).iter().map(line).collect()
}

#[test]
fn equal_input_gives_equal_bytes_and_any_change_another_object() {
    let (mut scene, _) = Scene::new();
    let first = scene.bytes();
    assert!(first == scene.bytes());
    let mut instances = vec![text(&scene.written(), tags::SOP_INSTANCE_UID)];
    scene.names.insert(12, "spleen".to_owned());
    instances.push(text(&scene.written(), tags::SOP_INSTANCE_UID));
    scene.how.algorithm = "polycl 0.2.0".to_owned();
    instances.push(text(&scene.written(), tags::SOP_INSTANCE_UID));
    scene.mask.voxels[0] = 0;
    instances.push(text(&scene.written(), tags::SOP_INSTANCE_UID));
    let distinct: std::collections::BTreeSet<&String> = instances.iter().collect();
    assert_eq!(distinct.len(), 4, "{instances:?}");
}

#[test]
fn an_empty_mask_is_an_empty_frame_for_each_name() {
    let (mut scene, _) = Scene::new();
    scene.mask.voxels.fill(0);
    let file = scene.written();
    let frames: Vec<Frame> =
        items(&file, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).iter().map(frame).collect();
    assert_eq!(frames.iter().map(|frame| frame.segment).collect::<Vec<_>>(), [1, 2]);
    assert!(frames.iter().all(|frame| frame.source == scene.instances[0].sop_instance));
    assert!(file.element(tags::PIXEL_DATA).unwrap().to_bytes().unwrap().iter().all(|&byte| byte == 0));
}

#[test]
fn frames_of_one_instance_are_told_by_their_number_and_the_instance_once() {
    let (mut scene, _) = Scene::new();
    let uid = scene.instances[0].sop_instance.clone();
    for (k, instance) in (1..).zip(&mut scene.instances) {
        instance.sop_instance = uid.clone();
        instance.frame = Some(k);
    }
    let file = scene.written();
    let referenced = &items(&file, tags::REFERENCED_SERIES_SEQUENCE)[0];
    assert_eq!(items(referenced, tags::REFERENCED_INSTANCE_SEQUENCE).len(), 1);
    let fifth = &items(&file, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE)[3];
    let image = &items(&items(fifth, tags::DERIVATION_IMAGE_SEQUENCE)[0], tags::SOURCE_IMAGE_SEQUENCE)[0];
    assert_eq!(text(image, tags::REFERENCED_FRAME_NUMBER), "5");
}

#[test]
fn codes_of_the_scan_are_repeated_without_what_else_is_in_them() {
    let (mut scene, _) = Scene::new();
    let mut code = InMemDicomObject::new_empty();
    code.put_str(tags::CODE_VALUE, VR::SH, "113100");
    code.put_str(tags::CODING_SCHEME_DESIGNATOR, VR::SH, "DCM");
    code.put_str(tags::CODE_MEANING, VR::LO, "Basic Application Confidentiality Profile");
    code.put_str(tags::PATIENT_COMMENTS, VR::LT, "x".repeat(70_000));
    let codes = DataSetSequence::from(vec![code, InMemDicomObject::new_empty()]);
    scene.header.put(DataElement::new(tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE, VR::SQ, codes));
    let file = scene.written();
    let found = items(&file, tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE);
    assert_eq!((found.len(), text(&found[0], tags::CODE_VALUE)), (1, "113100".to_owned()));
    assert!(found[0].get(tags::PATIENT_COMMENTS).is_none());
}

/// A header that lies about lengths and kinds of its values.
#[test]
fn odd_headers_are_cut_to_size() {
    let (mut scene, _) = Scene::new();
    scene.header.put_str(tags::PATIENT_NAME, VR::UT, "x".repeat(70_000));
    scene.header.put_str(tags::SERIES_NUMBER, VR::IS, "99999999999");
    scene.header.put_str(tags::CONTENT_DATE, VR::DA, "yesterday");
    scene.header.put_str(tags::ACQUISITION_DATE, VR::DA, "");
    scene.header.put_str(tags::SERIES_TIME, VR::TM, "noon");
    scene.how.description = "a\\b\n".repeat(100);
    scene.names.insert(3, "liver\\".repeat(30));
    let file = scene.written();
    assert_eq!(text(&file, tags::PATIENT_NAME), "");
    assert_eq!(text(&file, tags::SERIES_NUMBER), "1000");
    assert_eq!(
        (text(&file, tags::CONTENT_DATE), text(&file, tags::CONTENT_TIME)),
        ("20240131".into(), "000000".into())
    );
    assert_eq!(text(&file, tags::SERIES_DESCRIPTION).chars().count(), 63);
    let label = text(&items(&file, tags::SEGMENT_SEQUENCE)[0], tags::SEGMENT_LABEL);
    assert!(label.starts_with("liver liver") && label.chars().count() <= 64, "{label}");
}

#[test]
fn what_cannot_be_said_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mask.dcm");
    let mut lines = String::new();
    let mut refuse = |what: &str, kind: Kind, change: &dyn Fn(&mut Scene), space: Option<Space>| {
        let (mut scene, _) = Scene::new();
        change(&mut scene);
        let space = space.unwrap_or_else(|| scene.mask.space.clone());
        let error = scene.write_on(&path, &space).unwrap_err();
        assert_eq!(error.kind, kind, "{what}");
        assert!(!path.exists());
        let hint = error.hint.as_deref().unwrap_or("none");
        let error = error.to_string().replace(&*dir.path().to_string_lossy(), "");
        lines += &format!("{what}: {error}\n  hint: {hint}\n");
    };
    let space = Scene::new().0.mask.space;
    let with = |change: &dyn Fn(&mut Space)| {
        let mut space = space.clone();
        change(&mut space);
        Some(space)
    };
    let both = |change: &dyn Fn(&mut DMat3)| {
        let mut space = space.clone();
        change(&mut space.world_from_voxel.matrix3);
        (space.clone(), space)
    };
    let sheared = both(&|m| m.z_axis += 0.05 * m.x_axis);
    let skewed = both(&|m| m.y_axis += 0.01 * m.x_axis);
    let nowhere = both(&|m| m.y_axis *= f64::NAN);
    refuse("another shape", Kind::Geometry, &|_| (), with(&|space| space.shape[2] = 5));
    refuse(
        "another place",
        Kind::Geometry,
        &|_| (),
        with(&|space| space.world_from_voxel.translation.x += 1.0),
    );
    for (what, (of, on)) in [("gantry tilt", sheared), ("skewed pixels", skewed), ("no place", nowhere)] {
        refuse(what, Kind::Geometry, &|scene| scene.mask.space = of.clone(), Some(on));
    }
    refuse("a slice without an instance", Kind::Geometry, &|scene| drop(scene.instances.pop()), None);
    refuse(
        "no frame of reference",
        Kind::Format,
        &|scene| {
            scene.header.remove_element(tags::FRAME_OF_REFERENCE_UID);
        },
        None,
    );
    refuse(
        "a broken study",
        Kind::Format,
        &|scene| {
            scene.header.put_str(tags::STUDY_INSTANCE_UID, VR::UI, "1.2.x");
        },
        None,
    );
    refuse("a nameless slice", Kind::Format, &|scene| scene.instances[1].sop_instance.clear(), None);
    refuse(
        "nothing at all",
        Kind::Voxels,
        &|scene| {
            scene.mask.voxels.fill(0);
            scene.names.clear();
        },
        None,
    );
    insta::assert_snapshot!(lines);
}
