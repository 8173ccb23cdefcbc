//! ROIs, drawn on the voxels of a scan.

use std::collections::BTreeMap;

use polycl_base::{Error, Kind, Result, some};
use rayon::prelude::*;

use super::centres;
use super::fill::{Point, fill};
use super::gaps::{Slices, fill_gaps, gaps};
use super::list::{Rois, contours};
use super::roi::Roi;
use crate::Space;
use crate::dicom::item::Item;
use crate::dicom::source::open;
use crate::dicom::structures::canvas::{Canvas, by_name};
use crate::dicom::structures::{Drawn, Structures, values};
use crate::files::Reading;
use crate::names::Names;

/// Draws the ROIs that are wanted on the voxels of a scan.
pub(in crate::dicom) fn mask(
    object: &Structures,
    scan: &Space,
    wanted: &Names,
    reading: Reading,
) -> Result<Drawn> {
    let path = &object.path;
    let head =
        open(path)?.ok_or_else(|| Error::new(path, Kind::Format, "contours (RTSTRUCT)", "another file"))?;
    let item = Item::top(&head);
    let numbers: Vec<u32> = Rois::of(path, item)?.drawn.into_iter().map(|(number, ..)| number).collect();
    let numbers: BTreeMap<u16, u32> = values(&numbers).into_iter().zip(numbers).collect();
    let items = contours(item);
    let mut canvas = Canvas::new(scan);
    let (mut notes, mut empty) = (Vec::new(), Vec::new());
    let by_name = by_name(wanted);
    for (&value, &target) in &by_name {
        let own = numbers.get(&value).and_then(|number| items.get(number)).map(Vec::as_slice);
        let roi = Roi::read(own.unwrap_or_default(), scan);
        let (drawn, mut told) = draw(&roi, reading.fill_gaps, |voxel| canvas.claim(voxel, target));
        if drawn == 0 {
            told.push("no voxel of the scan is covered to one half".to_owned());
            empty.push(format!("{}: {}", wanted[&value], told.join("; ")));
        }
        notes.extend(told.into_iter().map(|note| format!("{}: {note}", wanted[&value])));
    }
    if empty.len() == by_name.len() {
        return Err(Error::new(path, Kind::Geometry, "contours on the slices of the scan", some(&empty))
            .hint("give the scan that they were drawn on, with all of its slices"));
    }
    Ok(Drawn { mask: canvas.mask(object)?, notes })
}

/// Claims the voxels of an ROI; how many these are, and what is worth telling.
fn draw(roi: &Roi, gaps_too: bool, mut claim: impl FnMut(usize)) -> (usize, Vec<String>) {
    let planes = &roi.planes;
    let filled = |(&slice, contours): (&usize, &Vec<Vec<Point>>)| {
        let contours: Vec<&[Point]> = contours.iter().map(Vec::as_slice).collect();
        let mut plane = fill(&contours, planes.shape());
        let through_centres = centres::through_centres(&contours);
        if through_centres {
            centres::add(&mut plane, &contours, planes.shape());
        }
        ((slice, plane), through_centres)
    };
    let filled: Vec<_> = roi.slices.par_iter().map(filled).collect();
    let through_centres = filled.iter().filter(|(_, through_centres)| *through_centres).count();
    let mut slices: Slices = filled.into_iter().map(|(slice, _)| slice).collect();
    let mut told = roi.notes();
    if through_centres > 0 {
        told.push(format!(
            "slices with contours through the centres of voxels, which count as inside: {through_centres}"
        ));
    }
    let small = slices.values().filter(|plane| !plane.contains(&true)).count();
    if small > 0 && small < slices.len() {
        told.push(format!("slices with contours that cover no voxel to one half: {small}"));
    }
    let gaps = gaps(&slices.keys().copied().collect::<Vec<_>>());
    if !gaps.is_empty() {
        let list: Vec<String> = gaps.iter().map(|&[first, last]| range(first + 1, last + 1)).collect();
        let done = if gaps_too { "interpolated from" } else { "left empty between" };
        told.push(format!("slices without a contour, {done} their neighbours: {}", some(&list)));
    }
    if gaps_too {
        fill_gaps(&mut slices, &gaps, planes.shape(), planes.spacing());
    }
    let mut drawn = 0;
    for (&slice, plane) in &slices {
        for (at, _) in plane.iter().enumerate().filter(|(_, inside)| **inside) {
            claim(planes.voxel(slice, at));
            drawn += 1;
        }
    }
    (drawn, told)
}

fn range(first: usize, last: usize) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}
