//! The pixels of frames, native or compressed.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use flate2::read::DeflateDecoder;
use polycl_base::{Error, Kind, Result};

use super::Form;
use super::frames::Frames;
use crate::dicom::codec::{Codec, PIXELS_FOR_BYTE, PIXELS_FREE, codec, decode};
use crate::dicom::frames::{self as within, Fault};
use crate::dicom::layout::Layout;
use crate::dicom::scan::Element;
use crate::dicom::source::{DEFLATED, Head, inflate};
use crate::dicom::values::{compressed, unsupported};

/// Deflated Image Frame Compression (Supplement 244): each frame is deflated by itself.
const DEFLATED_FRAMES: &str = "1.2.840.10008.1.2.8.1";

/// The bytes of a segmentation from its pixel data on, and how to read frames in them.
pub(super) struct Pixels<'a> {
    path: &'a Path,
    head: &'a Head,
    layout: &'a Layout,
    form: Form,
    way: Way,
    bytes: Vec<u8>,
    element: Element,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Codec(Codec),
    Deflated,
}

impl<'a> Pixels<'a> {
    pub fn open(path: &'a Path, head: &'a Head, frames: &'a Frames) -> Result<Self> {
        let layout = &frames.layout;
        let Some(element) = head.scan.pixels else {
            return Err(Error::new(
                path,
                Kind::Truncated,
                "the pixel data of a segmentation",
                "no pixel data",
            )
            .hint("copy the file again: it was not copied to its end"));
        };
        let way = match layout.transfer.as_str() {
            DEFLATED_FRAMES => Way::Deflated,
            other => Way::Codec(codec(other).map_err(|found| unsupported(path, found))?),
        };
        let bytes = bytes(path, head, layout, &element)?;
        // The element stands at the beginning of what was read.
        let element = Element { value: 0, ..element };
        Ok(Self { path, head, layout, form: frames.form, way, bytes, element })
    }

    /// Calls `shown` with each frame's number and pixels: 0 and 1, or, of a label map, the numbers of segments. Only frames that
    /// `wanted` picks are decoded.
    pub fn each(
        &self,
        wanted: impl Fn(usize) -> bool,
        mut shown: impl FnMut(usize, &[u16]) -> Result<()>,
    ) -> Result<()> {
        let Self { path, layout, .. } = *self;
        let refused = |(expected, found): Fault| {
            Error::new(path, Kind::Truncated, expected, found)
                .hint("copy the file again: it was not copied to its end")
        };
        let pixels = within::pixels(&self.bytes, &self.element, self.head.syntax, layout).map_err(refused)?;
        let is_native = matches!(pixels, within::Pixels::Native(_));
        if is_native != (self.way == Way::Codec(Codec::Native)) {
            let found = if is_native { "one run of bytes" } else { "fragments" };
            return Err(Error::new(path, Kind::Format, "pixel data as the transfer syntax says", found)
                .hint("export the file again: it is damaged"));
        }
        let held = self.bytes.len().saturating_mul(if is_native {
            8 / layout.allocated.min(8) as usize
        } else {
            PIXELS_FOR_BYTE
        });
        if layout.pixels() > held.saturating_add(if is_native { 0 } else { PIXELS_FREE }) {
            return Err(refused((needed(layout), format!("{} bytes", self.bytes.len()))));
        }
        let mut values = vec![0; layout.pixels()];
        for frame in (0..layout.frames as usize).filter(|&frame| wanted(frame)) {
            match &pixels {
                within::Pixels::Native(data) if layout.allocated == 1 => {
                    bits(data, frame * layout.pixels(), &mut values)
                        .map_err(|found| refused((needed(layout), found)))?;
                }
                _ => {
                    let data = pixels.frame(frame as u32, layout).map_err(refused)?;
                    self.decode(&data, is_native, &mut values)?;
                }
            }
            if let Form::Fractional { most } = self.form {
                values.iter_mut().for_each(|value| *value = u16::from(2 * u32::from(*value) >= most));
            }
            shown(frame, &values)?;
        }
        Ok(())
    }

    /// The pixels of one frame by its bytes.
    fn decode(&self, data: &[u8], is_native: bool, values: &mut [u16]) -> Result<()> {
        let Self { path, layout, .. } = *self;
        let broken = |found: String| compressed(path, found);
        match self.way {
            Way::Deflated => {
                let size = if layout.allocated == 1 {
                    values.len().div_ceil(8)
                } else {
                    values.len() * layout.cell()
                };
                let mut plain = Vec::new();
                DeflateDecoder::new(data)
                    .take(size as u64)
                    .read_to_end(&mut plain)
                    .map_err(|e| broken(e.to_string()))?;
                if plain.len() < size {
                    return Err(broken(format!("{} bytes of decoded pixels", plain.len())));
                }
                if layout.allocated == 1 {
                    return bits(&plain, 0, values).map_err(broken);
                }
                cells(&plain, false, 0, layout, values);
            }
            Way::Codec(_) if is_native => {
                cells(data, self.head.syntax.big, layout.high + 1 - layout.stored, layout, values);
            }
            Way::Codec(codec) => {
                // Codecs know no pixels of one bit: these are bytes in them.
                let bytes = Layout { allocated: layout.allocated.max(8), ..layout.clone() };
                let decoded = decode(codec, data, &bytes).map_err(broken)?;
                cells(&decoded.bytes, decoded.big, decoded.shift, &bytes, values);
            }
        }
        Ok(())
    }
}

fn needed(layout: &Layout) -> String {
    format!("{} frames of {} pixels", layout.frames, layout.pixels())
}

/// Bits from `first` on, the lowest of a byte before the others.
fn bits(data: &[u8], first: usize, values: &mut [u16]) -> std::result::Result<(), String> {
    let end = first + values.len();
    if end > data.len().saturating_mul(8) {
        return Err(format!("{} bytes", data.len()));
    }
    for (bit, value) in (first..end).zip(values) {
        *value = u16::from(data[bit / 8] >> (bit % 8) & 1);
    }
    Ok(())
}

fn cells(bytes: &[u8], big: bool, shift: u32, layout: &Layout, values: &mut [u16]) {
    let most = u16::MAX >> (16 - layout.stored);
    let value = |cell: u16| cell >> shift & most;
    if layout.allocated == 8 {
        values.iter_mut().zip(bytes).for_each(|(to, &cell)| *to = value(cell.into()));
        return;
    }
    for (to, &two) in values.iter_mut().zip(bytes.as_chunks().0) {
        *to = value(if big { u16::from_be_bytes(two) } else { u16::from_le_bytes(two) });
    }
}

/// The bytes from the pixel data's value on; of a deflated data set no more than its frames need.
fn bytes(path: &Path, head: &Head, layout: &Layout, element: &Element) -> Result<Vec<u8>> {
    let failed = |e: std::io::Error| Error::io(path, "read it", &e);
    let mut file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    if layout.transfer == DEFLATED {
        file.seek(SeekFrom::Start(head.start)).map_err(failed)?;
        file.read_to_end(&mut bytes).map_err(failed)?;
        let bits = (layout.pixels() as u64)
            .saturating_mul(layout.frames.into())
            .saturating_mul(layout.allocated.into());
        let limit = (element.value as u64).saturating_add(bits.div_ceil(8)).saturating_add(16);
        let mut data = inflate(&bytes, limit).map_err(failed)?;
        data.drain(..element.value.min(data.len()));
        return Ok(data);
    }
    file.seek(SeekFrom::Start(head.start + element.value as u64)).map_err(failed)?;
    file.read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
