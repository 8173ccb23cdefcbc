//! Contours of a mask as an RTSTRUCT, filed under the patient and study of its scan.

use std::collections::BTreeMap;
use std::path::Path;

use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::entries::IMPLICIT_VR_LITTLE_ENDIAN;
use glam::DVec3;
use polycl_base::Result;
use rayon::prelude::*;

use super::fill::Point;
use super::trace::trace;
use crate::Mask;
use crate::dicom::write::element::{decimal, item, line, sequence, text};
use crate::dicom::write::header::{moment, put_equipment, put_series, uid};
use crate::dicom::write::reference::image;
use crate::dicom::write::shown::{self, Shown};
use crate::dicom::write::{Automation, How, Source, codes, header, save};
use crate::names::Names;

/// Coordinates are written to this part of a mm: far finer than a voxel, and as long as they need to be.
const PARTS: f64 = 1e6;
/// The study as such, which references must name by a class that has long been retired.
const STUDY: &str = "1.2.840.10008.3.1.2.3.1";

/// Writes all labels of `mask` that have voxels, each as the ROI of its value's number; one without a name in `names` is
/// called `label 7`. The grid may be sheared: contours lie in the planes of the slices wherever these are.
///
/// # Errors
/// [`polycl_base::Kind::Geometry`] where the mask does not lie on the voxels of the series, or where there is not one
/// instance for each slice; [`polycl_base::Kind::Format`] for a series without the UIDs that contours must repeat;
/// [`polycl_base::Kind::Voxels`] for an empty mask without names; [`polycl_base::Kind::Io`].
pub fn write(path: &Path, source: &Source, mask: &Mask, names: &Names, how: &How) -> Result<()> {
    save::check(path, source, mask)?;
    let shown = shown::of(path, mask, names)?;
    let images = source.instances.iter().map(|instance| {
        let mut image = image(path, instance)?;
        if let Some(frame) = instance.frame {
            text(&mut image, tags::REFERENCED_FRAME_NUMBER, VR::IS, frame.to_string());
        }
        Ok(image)
    });
    let images = images.collect::<Result<Vec<_>>>()?;
    let mut object = InMemDicomObject::new_empty();
    header::put(&mut object, path, source)?;
    put_series(&mut object, source.header, how, "RTSTRUCT", uids::RT_STRUCTURE_SET_STORAGE);
    text(&mut object, tags::OPERATORS_NAME, VR::PN, "");
    put_equipment(&mut object);
    put_set(&mut object, source, how);
    put_references(&mut object, path, source, &images)?;
    put_rois(&mut object, path, source, &shown, how)?;
    let mut contours = contours(mask);
    let items = shown.iter().map(|roi| {
        let own = contours.remove(&roi.value).unwrap_or_default();
        item(|object| put_contours(object, roi, own, &images))
    });
    sequence(&mut object, tags::ROI_CONTOUR_SEQUENCE, items.collect());
    put_observations(&mut object, &shown);
    text(&mut object, tags::APPROVAL_STATUS, VR::CS, "UNAPPROVED");
    // With lengths of 32 bits: the points of a long contour take more than 64 KiB.
    save::save(path, object, &IMPLICIT_VR_LITTLE_ENDIAN.erased())
}

fn put_set(object: &mut InMemDicomObject, source: &Source, how: &How) {
    let (date, time) = moment(source.header);
    let label = if how.automatic == Automation::Manual { "MANUAL" } else { "SEGMENTATION" };
    text(object, tags::STRUCTURE_SET_LABEL, VR::SH, label);
    text(object, tags::STRUCTURE_SET_NAME, VR::LO, line(&how.description, 64));
    text(object, tags::STRUCTURE_SET_DATE, VR::DA, date);
    text(object, tags::STRUCTURE_SET_TIME, VR::TM, time);
    text(object, tags::INSTANCE_NUMBER, VR::IS, "1");
}

/// The frame of reference, the study, the series and all of its images.
fn put_references(
    object: &mut InMemDicomObject,
    path: &Path,
    source: &Source,
    images: &[InMemDicomObject],
) -> Result<()> {
    let uid = |tag, name| uid(path, source.header, tag, name);
    let series = uid(tags::SERIES_INSTANCE_UID, "SeriesInstanceUID")?;
    let study = uid(tags::STUDY_INSTANCE_UID, "StudyInstanceUID")?;
    let frame = uid(tags::FRAME_OF_REFERENCE_UID, "FrameOfReferenceUID")?;
    let series = item(|object| {
        text(object, tags::SERIES_INSTANCE_UID, VR::UI, series);
        sequence(object, tags::CONTOUR_IMAGE_SEQUENCE, images.to_vec());
    });
    let study = item(|object| {
        text(object, tags::REFERENCED_SOP_CLASS_UID, VR::UI, STUDY);
        text(object, tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, study);
        sequence(object, tags::RT_REFERENCED_SERIES_SEQUENCE, vec![series]);
    });
    let frame = item(|object| {
        text(object, tags::FRAME_OF_REFERENCE_UID, VR::UI, frame);
        sequence(object, tags::RT_REFERENCED_STUDY_SEQUENCE, vec![study]);
    });
    sequence(object, tags::REFERENCED_FRAME_OF_REFERENCE_SEQUENCE, vec![frame]);
    Ok(())
}

fn put_rois(
    object: &mut InMemDicomObject,
    path: &Path,
    source: &Source,
    shown: &[Shown],
    how: &How,
) -> Result<()> {
    let frame = uid(path, source.header, tags::FRAME_OF_REFERENCE_UID, "FrameOfReferenceUID")?;
    let roi = |roi: &Shown| {
        item(|object| {
            text(object, tags::ROI_NUMBER, VR::IS, roi.value.to_string());
            text(object, tags::REFERENCED_FRAME_OF_REFERENCE_UID, VR::UI, &*frame);
            text(object, tags::ROI_NAME, VR::LO, line(&roi.name, 64));
            text(object, tags::ROI_GENERATION_ALGORITHM, VR::CS, how.automatic.term());
            if how.automatic != Automation::Manual {
                text(object, tags::ROI_GENERATION_DESCRIPTION, VR::LO, line(&how.algorithm, 64));
            }
        })
    };
    sequence(object, tags::STRUCTURE_SET_ROI_SEQUENCE, shown.iter().map(roi).collect());
    Ok(())
}

/// The contours of each label by its slices, in mm as DICOM has them.
fn contours(mask: &Mask) -> BTreeMap<u16, Vec<(usize, Vec<DVec3>)>> {
    let of_slice = |slice: usize| {
        boxes(mask, slice).into_iter().flat_map(move |(value, frame)| {
            frame.contours(mask, slice, value).into_iter().map(move |contour| (value, slice, contour))
        })
    };
    let all: Vec<_> = (0..mask.space.shape[2]).into_par_iter().flat_map_iter(of_slice).collect();
    let mut by_value: BTreeMap<u16, Vec<(usize, Vec<DVec3>)>> = BTreeMap::new();
    all.into_iter()
        .for_each(|(value, slice, contour)| by_value.entry(value).or_default().push((slice, contour)));
    by_value
}

/// A part of a plane: its first voxel, and the voxels across and down.
#[derive(Debug, Clone, Copy)]
struct Frame {
    low: [usize; 2],
    high: [usize; 2],
}

/// The part of a slice that holds each of its labels.
fn boxes(mask: &Mask, slice: usize) -> BTreeMap<u16, Frame> {
    let mut boxes: BTreeMap<u16, Frame> = BTreeMap::new();
    for (j, row) in mask.plane(slice).chunks(mask.space.shape[0]).enumerate() {
        for (i, &value) in row.iter().enumerate().filter(|(_, value)| **value > 0) {
            let frame = boxes.entry(value).or_insert(Frame { low: [i, j], high: [i, j] });
            frame.low[0] = frame.low[0].min(i);
            frame.high = [frame.high[0].max(i), j];
        }
    }
    boxes
}

impl Frame {
    fn contours(self, mask: &Mask, slice: usize, value: u16) -> Vec<Vec<DVec3>> {
        let shape: [usize; 2] = std::array::from_fn(|axis| self.high[axis] + 1 - self.low[axis]);
        let rows = mask.plane(slice).chunks(mask.space.shape[0]).skip(self.low[1]).take(shape[1]);
        let inside: Vec<bool> = rows
            .flat_map(|row| row[self.low[0]..=self.high[0]].iter().map(|&voxel| voxel == value))
            .collect();
        let lps = |&[x, y]: &Point| {
            let voxel = DVec3::new(x + self.low[0] as f64, y + self.low[1] as f64, slice as f64);
            let ras = mask.space.world_from_voxel.transform_point3(voxel);
            DVec3::new(-ras.x, -ras.y, ras.z)
        };
        trace(&inside, shape).iter().map(|contour| contour.iter().map(lps).collect()).collect()
    }
}

fn put_contours(
    object: &mut InMemDicomObject,
    roi: &Shown,
    contours: Vec<(usize, Vec<DVec3>)>,
    images: &[InMemDicomObject],
) {
    let contour = |(number, (slice, points)): (u32, (usize, Vec<DVec3>))| {
        item(|object| {
            text(object, tags::CONTOUR_NUMBER, VR::IS, number.to_string());
            sequence(object, tags::CONTOUR_IMAGE_SEQUENCE, vec![images[slice].clone()]);
            text(object, tags::CONTOUR_GEOMETRIC_TYPE, VR::CS, "CLOSED_PLANAR");
            text(object, tags::NUMBER_OF_CONTOUR_POINTS, VR::IS, points.len().to_string());
            let numbers = points.iter().flat_map(|point| point.to_array());
            let numbers = numbers.map(|mm| decimal((mm * PARTS).round() / PARTS));
            text(object, tags::CONTOUR_DATA, VR::DS, numbers.collect::<Vec<_>>().join("\\"));
        })
    };
    text(object, tags::REFERENCED_ROI_NUMBER, VR::IS, roi.value.to_string());
    let colour = rgb(shown::colour(roi.value)).map(|part| part.to_string());
    text(object, tags::ROI_DISPLAY_COLOR, VR::IS, colour.join("\\"));
    if !contours.is_empty() {
        sequence(object, tags::CONTOUR_SEQUENCE, (1..).zip(contours).map(contour).collect());
    }
}

fn put_observations(object: &mut InMemDicomObject, shown: &[Shown]) {
    let observation = |(number, roi): (u32, &Shown)| {
        item(|object| {
            text(object, tags::OBSERVATION_NUMBER, VR::IS, number.to_string());
            text(object, tags::REFERENCED_ROI_NUMBER, VR::IS, roi.value.to_string());
            sequence(object, tags::RTROI_IDENTIFICATION_CODE_SEQUENCE, vec![codes::kind(&roi.name)]);
            let kind = if codes::is_organ(&roi.name) { "ORGAN" } else { "" };
            text(object, tags::RTROI_INTERPRETED_TYPE, VR::CS, kind);
            text(object, tags::ROI_INTERPRETER, VR::PN, "");
        })
    };
    sequence(object, tags::RTROI_OBSERVATIONS_SEQUENCE, (1..).zip(shown).map(observation).collect());
}

/// CIE L*a*b* (D50) as sRGB of 8 bits, by the formulas of IEC 61966-2-1, its matrix adapted to D50 by Bradford's.
fn rgb([lightness, a, b]: [f64; 3]) -> [u8; 3] {
    let y = (lightness + 16.0) / 116.0;
    let linear = |t: f64| if t > 6.0 / 29.0 { t.powi(3) } else { (t - 4.0 / 29.0) * 108.0 / 841.0 };
    let xyz = [0.964_22 * linear(y + a / 500.0), linear(y), 0.825_21 * linear(y - b / 200.0)];
    let rows = [
        [3.133_856, -1.616_867, -0.490_615],
        [-0.978_768, 1.916_142, 0.033_454],
        [0.071_945, -0.228_991, 1.405_243],
    ];
    rows.map(|row| {
        let linear: f64 = row.iter().zip(xyz).map(|(a, b)| a * b).sum();
        let part = if linear > 0.003_130_8 { 1.055 * linear.powf(1.0 / 2.4) - 0.055 } else { 12.92 * linear };
        (255.0 * part).round().clamp(0.0, 255.0) as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_those_of_the_standard() {
        assert_eq!(rgb([100.0, 0.0, 0.0]), [255, 255, 255]);
        assert_eq!(rgb([0.0, 0.0, 0.0]), [0, 0, 0]);
        // Red of sRGB in L*a*b* by D50.
        let [red, green, blue] = rgb([54.29, 80.81, 69.89]);
        assert!(red >= 254 && green <= 2 && blue <= 2, "{red} {green} {blue}");
    }
}
