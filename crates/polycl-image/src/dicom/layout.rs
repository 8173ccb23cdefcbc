//! The layout of a file's pixels.

use std::path::Path;

use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use polycl_base::{Error, Kind, Result};

use super::elements::{text, whole};
use super::source::Head;

/// How a file's pixels are stored, as its header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub rows: u32,
    pub columns: u32,
    /// As claimed: compare with the file before taking memory.
    pub frames: u32,
    pub samples: u32,
    pub photometric: String,
    pub inverted: bool,
    pub allocated: u32,
    pub stored: u32,
    pub high: u32,
    pub signed: bool,
    /// Values go through a table rather than slope and intercept.
    pub table: bool,
    pub floats: bool,
    pub transfer: String,
}

impl Layout {
    pub fn of(object: &InMemDicomObject, head: &Head) -> Self {
        let number = |tag, absent| whole(object, tag).unwrap_or(absent);
        let allocated = number(tags::BITS_ALLOCATED, 0);
        let stored = number(tags::BITS_STORED, allocated);
        let photometric = text(object, tags::PHOTOMETRIC_INTERPRETATION);
        Self {
            rows: number(tags::ROWS, 0),
            columns: number(tags::COLUMNS, 0),
            frames: number(tags::NUMBER_OF_FRAMES, 1).max(1),
            samples: number(tags::SAMPLES_PER_PIXEL, 1),
            inverted: photometric == "MONOCHROME1",
            photometric,
            allocated,
            stored,
            high: number(tags::HIGH_BIT, stored.saturating_sub(1)),
            signed: number(tags::PIXEL_REPRESENTATION, 0) == 1,
            table: object.get(tags::MODALITY_LUT_SEQUENCE).is_some(),
            floats: head.scan.pixels.is_some_and(|pixels| pixels.tag != tags::PIXEL_DATA),
            transfer: head.transfer.clone(),
        }
    }

    pub fn pixels(&self) -> usize {
        self.rows as usize * self.columns as usize
    }

    /// Bytes of one sample.
    pub fn cell(&self) -> usize {
        self.allocated as usize / 8
    }

    /// Refuses what we do not read.
    pub fn check(&self, path: &Path) -> Result<()> {
        let refused = |expected: &str, found: String, hint: &str| {
            Err(Error::new(path, Kind::Format, expected, found).hint(hint))
        };
        let Self { rows, columns, allocated, stored, high, .. } = *self;
        let grey = matches!(self.photometric.as_str(), "" | "MONOCHROME1" | "MONOCHROME2");
        if self.samples != 1 || !grey {
            let found = format!("{} with {} samples per pixel", self.photometric, self.samples);
            return refused(
                "one grey value for each pixel",
                found,
                "name the series of the scan itself: colour images cannot be segmented",
            );
        }
        if rows == 0 || columns == 0 || rows > 65_535 || columns > 65_535 {
            let found = format!("{rows} rows and {columns} columns");
            return refused(
                "rows and columns from 1 to 65535",
                found,
                "export the file again: it is damaged",
            );
        }
        if self.floats {
            let hint = "write stored values and a rescale slope, as CT images have";
            return refused("whole numbers as pixels", "floating-point pixel data".to_owned(), hint);
        }
        if !matches!(allocated, 8 | 16 | 32) {
            let hint = "name the series of the scan itself: masks of one bit and odd sizes are no scans";
            return refused("8, 16 or 32 bits for each pixel", allocated.to_string(), hint);
        }
        if stored == 0 || stored > allocated || high >= allocated || high + 1 < stored {
            let found = format!("{stored} bits up to bit {high} of {allocated}");
            return refused(
                "stored bits within those allocated",
                found,
                "export the file again: the header is damaged",
            );
        }
        if self.table {
            let hint = "export the series with rescale slope and intercept instead";
            return refused(
                "a rescale slope and intercept",
                "a table (Modality LUT Sequence)".to_owned(),
                hint,
            );
        }
        Ok(())
    }
}
