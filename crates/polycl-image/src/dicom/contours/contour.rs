//! One contour, as an object has it.

use dicom_dictionary_std::tags;
use glam::DVec3;

use super::skipped::Skipped;
use crate::dicom::item::Item;

/// The points of a contour in RAS+ mm, and whether they are as many as it says.
pub(super) fn points(contour: Item) -> Result<(Vec<DVec3>, bool), Skipped> {
    kind(contour)?;
    let is_padding = |byte: &u8| b" \0".contains(byte);
    let data = contour.get(tags::CONTOUR_DATA).filter(|data| !data.bytes.iter().all(is_padding));
    let numbers = data.map(|data| data.numbers(true));
    let numbers = numbers.unwrap_or(Some(Vec::new())).ok_or(Skipped::NoNumbers)?;
    let (points, rest) = numbers.as_chunks();
    if !rest.is_empty() {
        return Err(Skipped::NoTriples);
    }
    let ras = |&[x, y, z]: &[f64; 3]| DVec3::new(-x, -y, z);
    let said = contour.whole(tags::NUMBER_OF_CONTOUR_POINTS);
    Ok((points.iter().map(ras).collect(), said.is_none_or(|said| said as usize == points.len())))
}

/// Refuses a contour that is none to be filled.
pub(super) fn kind(contour: Item) -> Result<(), Skipped> {
    match contour.text(tags::CONTOUR_GEOMETRIC_TYPE).as_str() {
        "CLOSED_PLANAR" | "CLOSEDPLANAR_XOR" => Ok(()),
        "POINT" => Err(Skipped::Point),
        "OPEN_PLANAR" | "OPEN_NONPLANAR" => Err(Skipped::Open),
        _ => Err(Skipped::Unknown),
    }
}
