//! Sets of contours, made element by element.

use std::path::{Path, PathBuf};

use dicom_core::value::{DataSetSequence, PrimitiveValue};
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use glam::{DAffine3, DMat3, DVec3};
use polycl_base::Result;
use polycl_image::Space;
use polycl_image::dicom::structures::{Drawn, Structures};
use polycl_image::files::Reading;
use tempfile::TempDir;

pub struct Contour {
    pub kind: &'static str,
    /// As the file has it.
    pub data: String,
    pub count: Option<usize>,
}

pub fn closed(points: &[DVec3]) -> Contour {
    // LPS, as DICOM has it.
    let numbers = points.iter().flat_map(|p| [-p.x, -p.y, p.z]).map(|mm| format!("{mm:.9}"));
    Contour { kind: "CLOSED_PLANAR", data: numbers.collect::<Vec<_>>().join("\\"), count: Some(points.len()) }
}

pub struct Roi {
    pub name: &'static str,
    pub algorithm: &'static str,
    pub contours: Vec<Contour>,
}

pub fn roi(name: &'static str, contours: Vec<Contour>) -> Roi {
    Roi { name, algorithm: "MANUAL", contours }
}

pub fn item(elements: Vec<DataElement<InMemDicomObject>>) -> InMemDicomObject {
    InMemDicomObject::from_element_iter(elements)
}

pub fn text(tag: Tag, vr: VR, value: impl Into<String>) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, vr, PrimitiveValue::from(value.into()))
}

pub fn sequence(tag: Tag, items: Vec<InMemDicomObject>) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, VR::SQ, DataSetSequence::from(items))
}

/// The data set of ROIs that are numbered from 1.
pub fn object(rois: &[Roi]) -> InMemDicomObject {
    let named = rois.iter().zip(1..).map(|(roi, number)| {
        item(vec![
            text(tags::ROI_NUMBER, VR::IS, format!("{number}")),
            text(tags::REFERENCED_FRAME_OF_REFERENCE_UID, VR::UI, "1.2.3"),
            text(tags::ROI_NAME, VR::LO, roi.name),
            text(tags::ROI_GENERATION_ALGORITHM, VR::CS, roi.algorithm),
        ])
    });
    let contour = |contour: &Contour| {
        let mut all = vec![
            text(tags::CONTOUR_GEOMETRIC_TYPE, VR::CS, contour.kind),
            text(tags::CONTOUR_DATA, VR::DS, &*contour.data),
        ];
        all.extend(
            contour.count.map(|count| text(tags::NUMBER_OF_CONTOUR_POINTS, VR::IS, count.to_string())),
        );
        item(all)
    };
    let drawn = rois.iter().zip(1..).map(|(roi, number)| {
        item(vec![
            text(tags::REFERENCED_ROI_NUMBER, VR::IS, format!("{number}")),
            sequence(tags::CONTOUR_SEQUENCE, roi.contours.iter().map(contour).collect()),
        ])
    });
    item(vec![
        text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192"),
        text(tags::SOP_CLASS_UID, VR::UI, uids::RT_STRUCTURE_SET_STORAGE),
        text(tags::SOP_INSTANCE_UID, VR::UI, "1.2.3.4"),
        text(tags::MODALITY, VR::CS, "RTSTRUCT"),
        text(tags::STRUCTURE_SET_LABEL, VR::SH, "organs"),
        text(tags::STRUCTURE_SET_DATE, VR::DA, "20240131"),
        sequence(tags::STRUCTURE_SET_ROI_SEQUENCE, named.collect()),
        sequence(tags::ROI_CONTOUR_SEQUENCE, drawn.collect()),
    ])
}

pub struct File {
    pub path: PathBuf,
    _folder: TempDir,
}

pub fn saved(object: InMemDicomObject) -> File {
    let meta = FileMetaTableBuilder::new().transfer_syntax(uids::IMPLICIT_VR_LITTLE_ENDIAN);
    let object = object.with_meta(meta).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("contours.dcm");
    object.write_to_file(&path).unwrap();
    File { path, _folder: folder }
}

pub fn bytes(bytes: &[u8]) -> File {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("contours.dcm");
    std::fs::write(&path, bytes).unwrap();
    File { path, _folder: folder }
}

/// All ROIs of a file, drawn.
pub fn draw(path: &Path, space: &Space, fill_gaps: bool) -> Result<Drawn> {
    let object = Structures::open(path)?.expect("it is DICOM");
    object.mask(space, &object.names(), Reading { fill_gaps, ..Reading::default() })
}

/// All of `rois`, drawn.
pub fn drawn(rois: &[Roi], space: &Space) -> Result<Drawn> {
    draw(&saved(object(rois)).path, space, false)
}

/// A grid with its axes where a patient's are.
pub fn upright(shape: [usize; 3], spacing: [f64; 3], first: DVec3) -> Space {
    let axes = DMat3::from_diagonal(DVec3::new(-spacing[0], -spacing[1], spacing[2]));
    Space::new(shape, DAffine3 { matrix3: axes, translation: first })
}

/// The same, turned about a slanted axis.
pub fn oblique(shape: [usize; 3], spacing: [f64; 3], first: DVec3) -> Space {
    let space = upright(shape, spacing, first);
    let turned = DMat3::from_axis_angle(DVec3::new(1.0, 2.0, -0.5).normalize(), 0.7);
    Space::new(shape, DAffine3 { matrix3: turned * space.world_from_voxel.matrix3, translation: first })
}

/// Slices that lean, as those of a tilted gantry.
pub fn tilted(shape: [usize; 3], spacing: [f64; 3], first: DVec3) -> Space {
    let mut space = upright(shape, spacing, first);
    let angle = 20_f64.to_radians();
    // The slices' normal is turned about x, and the table moves along z.
    let row = DVec3::new(0.0, -angle.cos(), -angle.sin()) * spacing[1];
    space.world_from_voxel.matrix3.y_axis = row;
    space
}

pub fn volume(drawn: &Drawn, value: u16) -> f64 {
    let voxels = drawn.mask.voxels.iter().filter(|voxel| **voxel == value).count() as f64;
    voxels * drawn.mask.space.world_from_voxel.matrix3.determinant().abs()
}
