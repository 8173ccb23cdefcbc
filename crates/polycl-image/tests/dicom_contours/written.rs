//! Masks as contours, and back.

use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use dicom_object::{InMemDicomObject, open_file};
use glam::DVec3;
use polycl_base::Kind;
use polycl_image::dicom::Instance;
use polycl_image::dicom::contours;
use polycl_image::dicom::segmentation::{Automation, How, Source};
use polycl_image::dicom::structures::{Storage, Structures};
use polycl_image::files::Reading;
use polycl_image::names::Names;
use polycl_image::{Mask, Space, automation};
use proptest::prelude::*;

use crate::builder::{oblique, tilted, upright};

struct Scene {
    header: InMemDicomObject,
    instances: Vec<Instance>,
    mask: Mask,
    names: Names,
    how: How,
}

impl Scene {
    fn new(mask: Mask) -> Self {
        let mut header = InMemDicomObject::new_empty();
        for (tag, vr, value) in [
            (tags::PATIENT_ID, VR::LO, "id"),
            (tags::PATIENT_NAME, VR::PN, "Müller^Jörg"),
            (tags::STUDY_INSTANCE_UID, VR::UI, "1.2.1"),
            (tags::SERIES_INSTANCE_UID, VR::UI, "1.2.2"),
            (tags::FRAME_OF_REFERENCE_UID, VR::UI, "1.2.3"),
            (tags::STUDY_DATE, VR::DA, "20240131"),
            (tags::STUDY_TIME, VR::TM, "101112"),
        ] {
            header.put_str(tag, vr, value);
        }
        let instance = |k: usize| Instance {
            sop_class: uids::CT_IMAGE_STORAGE.to_owned(),
            sop_instance: format!("1.2.4.{k}"),
            frame: None,
        };
        let how = How {
            algorithm: "polycl 0.1.0".to_owned(),
            automatic: Automation::Automatic,
            description: "case 7".to_owned(),
        };
        let instances = (0..mask.space.shape[2]).map(instance).collect();
        Self { header, instances, mask, names: Names::new(), how }
    }

    fn write(&self) -> polycl_base::Result<tempfile::TempDir> {
        let folder = tempfile::tempdir().unwrap();
        let source = Source { header: &self.header, instances: &self.instances, space: &self.mask.space };
        contours::write(&folder.path().join("case.dcm"), &source, &self.mask, &self.names, &self.how)?;
        Ok(folder)
    }

    fn back(&self) -> (Structures, Mask) {
        let folder = self.write().unwrap();
        let object = Structures::open(&folder.path().join("case.dcm")).unwrap().unwrap();
        let drawn = object.mask(&self.mask.space, &object.names(), Reading::default()).unwrap();
        (object, drawn.mask)
    }
}

/// Organs of any shape: some blobs, with holes and crumbs.
fn organs(space: Space, seed: u64) -> Mask {
    let [nx, ny, nz] = space.shape;
    let place = |n: usize| [n % nx, n / nx % ny, n / (nx * ny)].map(|index| index as f64);
    let value = |n: usize| {
        let [x, y, z] = place(n);
        let wave = |a: f64, b: f64, c: f64| (a * x + seed as f64).sin() + (b * y).cos() + (c * z + a).sin();
        let crumbs = (n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15 ^ seed) >> 58;
        match (wave(0.31, 0.27, 0.4), wave(0.7, 0.23, 0.9)) {
            _ if crumbs == 0 => 7,
            _ if crumbs == 1 => 0,
            (a, _) if a > 0.8 => 2,
            (_, b) if b > 1.1 => 300,
            _ => 0,
        }
    };
    Mask { voxels: (0..nx * ny * nz).map(value).collect(), space }
}

#[test]
fn masks_come_back_voxel_by_voxel() {
    let (shape, spacing, first) =
        ([61, 47, 9], [0.871, 1.13, 2.5], DVec3::new(-123.456_789, 87.654_321, -1000.125));
    for space in
        [upright(shape, spacing, first), oblique(shape, spacing, first), tilted(shape, spacing, first)]
    {
        for seed in 1..4 {
            let scene = Scene::new(organs(space.clone(), seed));
            let (object, mask) = scene.back();
            assert_eq!(mask.voxels, scene.mask.voxels);
            assert_eq!(object.list.iter().map(|roi| roi.value).collect::<Vec<_>>(), [2, 7, 300]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn noise_comes_back(voxels in prop::collection::vec(0u16..4, 2 * 13 * 11), turned: bool) {
        prop_assume!(voxels.iter().any(|voxel| *voxel > 0));
        let grid = if turned { oblique } else { upright };
        let space = grid([13, 11, 2], [0.7, 0.9, 3.0], DVec3::new(10.0, -20.0, 30.0));
        let scene = Scene::new(Mask { space, voxels });
        prop_assert_eq!(&scene.back().1.voxels, &scene.mask.voxels);
    }
}

#[test]
fn an_object_says_where_it_belongs_and_who_drew_it() {
    let space = upright([40, 30, 5], [1.0, 1.0, 2.5], DVec3::ZERO);
    let mut scene = Scene::new(organs(space, 1));
    scene.names = [(2, "liver".to_owned()), (7, "Kidney Left".to_owned())].into();
    let folder = scene.write().unwrap();
    let path = folder.path().join("case.dcm");
    let (object, _) = scene.back();
    assert_eq!(object.storage, Storage::Contours);
    assert_eq!(object.series, ["1.2.2".to_owned()].into());
    assert_eq!(object.frames_of_reference, ["1.2.3".to_owned()].into());
    let names = ["liver", "Kidney Left", "label 300"];
    assert_eq!(object.names().into_values().collect::<Vec<_>>(), names);
    assert!(object.list.iter().all(|roi| roi.automation == Some(Automation::Automatic)));
    assert_eq!(automation::of_segmentation(&path), Some(Automation::Automatic));
    let file = open_file(&path).unwrap();
    let text = |tag| file.element(tag).unwrap().to_str().unwrap().into_owned();
    assert_eq!(text(tags::PATIENT_NAME), "Müller^Jörg");
    assert_eq!(text(tags::APPROVAL_STATUS), "UNAPPROVED");
    assert_eq!(text(tags::STRUCTURE_SET_DATE), "20240131");
    let roi = &file.element(tags::ROI_CONTOUR_SEQUENCE).unwrap().items().unwrap()[0];
    let contours = roi.element(tags::CONTOUR_SEQUENCE).unwrap().items().unwrap();
    for contour in contours {
        let image = &contour.element(tags::CONTOUR_IMAGE_SEQUENCE).unwrap().items().unwrap()[0];
        let image = image.element(tags::REFERENCED_SOP_INSTANCE_UID).unwrap().to_str().unwrap().into_owned();
        let slice: usize = image.strip_prefix("1.2.4.").unwrap().parse().unwrap();
        let points = contour.element(tags::CONTOUR_DATA).unwrap().to_multi_float64().unwrap();
        assert!(points.chunks(3).all(|point| point[2] == 2.5 * slice as f64), "the image of another slice");
        let count: usize = contour.element(tags::NUMBER_OF_CONTOUR_POINTS).unwrap().to_int().unwrap();
        assert_eq!(points.len(), 3 * count);
    }
}

#[test]
fn equal_masks_make_equal_files() {
    let space = upright([40, 30, 5], [1.0, 1.0, 2.5], DVec3::ZERO);
    let bytes = |scene: &Scene| std::fs::read(scene.write().unwrap().path().join("case.dcm")).unwrap();
    let mut scene = Scene::new(organs(space, 1));
    let first = bytes(&scene);
    assert_eq!(first, bytes(&scene));
    scene.mask.voxels[3] = 2 - scene.mask.voxels[3].min(1);
    assert_ne!(first, bytes(&scene));
}

#[test]
fn a_mask_without_voxels_is_written_by_its_names() {
    let space = upright([4, 3, 2], [1.0, 1.0, 2.5], DVec3::ZERO);
    let mut scene = Scene::new(Mask { voxels: vec![0; 24], space });
    assert_eq!(scene.write().unwrap_err().kind, Kind::Voxels);
    scene.names = [(3, "liver".to_owned())].into();
    let folder = scene.write().unwrap();
    let file = open_file(folder.path().join("case.dcm")).unwrap();
    let rois = file.element(tags::STRUCTURE_SET_ROI_SEQUENCE).unwrap().items().unwrap();
    assert_eq!(rois[0].element(tags::ROI_NAME).unwrap().to_str().unwrap(), "liver");
}

#[test]
fn a_mask_of_another_scan_is_refused() {
    let space = upright([4, 3, 2], [1.0, 1.0, 2.5], DVec3::ZERO);
    let mut scene = Scene::new(Mask { voxels: vec![1; 24], space });
    scene.instances.pop();
    assert_eq!(scene.write().unwrap_err().kind, Kind::Geometry);
}
