//! Where each frame lies, and of which segment it is.

use std::path::Path;

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use polycl_base::{Error, Kind, Result};

use super::Form;
use crate::dicom::item::Item;
use crate::dicom::layout::Layout;
use crate::dicom::place::{Place, place};
use crate::dicom::slice::parse;
use crate::dicom::source::Head;
use crate::dicom::wanted::WANTED;

pub(super) struct Frames {
    pub form: Form,
    /// Of pixels; a frame of bits has one allocated.
    pub layout: Layout,
    /// In the order of the file.
    pub all: Vec<Frame>,
    /// Between slices, in mm, where the file says so.
    pub between: Option<f64>,
    pub thickness: Option<f64>,
}

pub(super) struct Frame {
    /// The number of its segment; a frame of a label map has none.
    pub segment: Option<u16>,
    pub place: Place,
}

impl Frames {
    pub fn of(path: &Path, head: &Head, form: Form) -> Result<Self> {
        let object = parse(path, head, |element| {
            WANTED.contains(&element.tag) && element.vr != dicom_core::VR::SQ && element.length.is_some()
        })?;
        let layout = Layout::of(&object, head);
        check(path, &layout, form)?;
        let item = Item::top(head);
        let shared = item.first(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE);
        let mut all = Vec::new();
        for (number, own) in item.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).enumerate() {
            if number >= layout.frames as usize {
                return Err(unequal(path, &layout, "more groups"));
            }
            all.push(Frame::of(path, &Levels { own, shared }, number, form)?);
        }
        if all.len() < layout.frames as usize {
            return Err(unequal(path, &layout, &all.len().to_string()));
        }
        let measure = |tag| {
            let found =
                shared.map(|shared| within(shared, tags::PIXEL_MEASURES_SEQUENCE, tag)).unwrap_or_default();
            found.first().copied().filter(|mm: &f64| *mm > 0.0 && mm.is_finite())
        };
        let (between, thickness) = (measure(tags::SPACING_BETWEEN_SLICES), measure(tags::SLICE_THICKNESS));
        Ok(Self { form, layout, all, between, thickness })
    }
}

fn unequal(path: &Path, layout: &Layout, found: &str) -> Error {
    let expected = format!("a functional group for each of {} frames", layout.frames);
    Error::new(path, Kind::Format, expected, found)
        .hint("export the segmentation again: its header is damaged")
}

/// Refuses pixels that are not of the kind that the form needs.
fn check(path: &Path, layout: &Layout, form: Form) -> Result<()> {
    let refused = |expected: &str, found: String| {
        Err(Error::new(path, Kind::Format, expected, found)
            .hint("export the segmentation again: its header is damaged"))
    };
    let Layout { rows, columns, samples, allocated, stored, high, .. } = *layout;
    if rows == 0 || columns == 0 || rows > 65_535 || columns > 65_535 {
        return refused("rows and columns from 1 to 65535", format!("{rows} rows and {columns} columns"));
    }
    let right = match form {
        Form::Binary => allocated == 1,
        Form::Fractional { .. } => allocated == 8,
        Form::LabelMap => allocated == 8 || allocated == 16,
    };
    if !right || samples != 1 || layout.floats {
        let expected = match form {
            Form::Binary => "one bit for each pixel of a binary segmentation",
            Form::Fractional { .. } => "8 bits for each pixel of a fractional segmentation",
            Form::LabelMap => "8 or 16 bits for each pixel of a label map",
        };
        return refused(expected, format!("{samples} samples of {allocated} bits"));
    }
    if stored == 0 || stored > allocated || high >= allocated || high + 1 < stored {
        return refused(
            "stored bits within those allocated",
            format!("{stored} bits up to bit {high} of {allocated}"),
        );
    }
    Ok(())
}

/// The functional groups of a frame, before those that all frames share.
struct Levels<'a> {
    own: Item<'a>,
    shared: Option<Item<'a>>,
}

impl Levels<'_> {
    fn numbers(&self, group: Tag, tag: Tag) -> Vec<f64> {
        let own = within(self.own, group, tag);
        if own.is_empty() {
            self.shared.map(|shared| within(shared, group, tag)).unwrap_or_default()
        } else {
            own
        }
    }
}

fn within(level: Item, group: Tag, tag: Tag) -> Vec<f64> {
    level.first(group).map(|item| item.numbers(tag)).unwrap_or_default()
}

impl Frame {
    fn of(path: &Path, levels: &Levels, number: usize, form: Form) -> Result<Self> {
        let position = levels.numbers(tags::PLANE_POSITION_SEQUENCE, tags::IMAGE_POSITION_PATIENT);
        let orientation = levels.numbers(tags::PLANE_ORIENTATION_SEQUENCE, tags::IMAGE_ORIENTATION_PATIENT);
        let spacing = levels.numbers(tags::PIXEL_MEASURES_SEQUENCE, tags::PIXEL_SPACING);
        let Some(place) = place(&position, &orientation, &spacing) else {
            let expected = "a position, an orientation and a pixel spacing for each frame";
            return Err(Error::new(
                path,
                Kind::Geometry,
                expected,
                format!("none that can be used in frame {}", number + 1),
            )
            .hint("export the segmentation again: without them nobody knows where it lies"));
        };
        if form == Form::LabelMap {
            return Ok(Self { segment: None, place });
        }
        let segment = levels.numbers(tags::SEGMENT_IDENTIFICATION_SEQUENCE, tags::REFERENCED_SEGMENT_NUMBER);
        let segment = segment.first().copied().filter(|n| n.fract() == 0.0 && (1.0..=65535.0).contains(n));
        match segment {
            Some(segment) => Ok(Self { segment: Some(segment as u16), place }),
            None => Err(Error::new(
                path,
                Kind::Format,
                "the number of a segment for each frame",
                format!("none in frame {}", number + 1),
            )
            .hint("export the segmentation again: its header is damaged")),
        }
    }
}
