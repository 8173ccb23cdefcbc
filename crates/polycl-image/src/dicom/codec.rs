//! Decoders for compressed frames.
//!
//! Each is told how large the frame must be, and the stream's own header is asked before anything is decoded:
//! no decoder takes memory for a size that the data set does not have.

use std::panic::{AssertUnwindSafe, catch_unwind};

use dicom_transfer_syntax_registry::{TransferSyntaxIndex, TransferSyntaxRegistry};

use super::layout::Layout;
use super::pixels::Cells;
use super::source::{BIG, DEFLATED, GE, IMPLICIT};
use super::{lossless, rle};

/// A frame has at most this many pixels for each of its compressed bytes, beyond the first 4 million: an empty
/// slice of 512 x 512 takes some 100 bytes of JPEG 2000.
pub(super) const PIXELS_FOR_BYTE: usize = 1 << 12;
pub(super) const PIXELS_FREE: usize = 1 << 22;

/// What a compressed stream is, by its transfer syntax.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Native,
    Rle,
    Jpeg,
    JpegLs,
    Jpeg2000,
}

/// The codec of a transfer syntax, or the name of one that we have no decoder for.
pub(super) fn codec(transfer: &str) -> Result<Codec, String> {
    Ok(match transfer {
        "" | IMPLICIT | BIG | DEFLATED | GE | "1.2.840.10008.1.2.1" => Codec::Native,
        "1.2.840.10008.1.2.5" => Codec::Rle,
        "1.2.840.10008.1.2.4.50"
        | "1.2.840.10008.1.2.4.51"
        | "1.2.840.10008.1.2.4.57"
        | "1.2.840.10008.1.2.4.70" => Codec::Jpeg,
        "1.2.840.10008.1.2.4.80" | "1.2.840.10008.1.2.4.81" => Codec::JpegLs,
        "1.2.840.10008.1.2.4.90" | "1.2.840.10008.1.2.4.91" => Codec::Jpeg2000,
        other => {
            return Err(TransferSyntaxRegistry.get(other).map_or(other, |known| known.name()).to_owned());
        }
    })
}

/// Decodes one compressed frame. The error says what was found.
pub(super) fn decode(codec: Codec, data: &[u8], layout: &Layout) -> Result<Cells<'static>, String> {
    if layout.pixels() > PIXELS_FREE.saturating_add(PIXELS_FOR_BYTE.saturating_mul(data.len())) {
        return Err(format!("{} bytes for {} pixels", data.len(), layout.pixels()));
    }
    // The decoders are others' code and meet damaged files: a panic in one is an error of this frame, no more.
    let decoded = catch_unwind(AssertUnwindSafe(|| match codec {
        Codec::Native => Err("no compressed data".to_owned()),
        Codec::Rle => rle::decode(data, layout).map(|bytes| Samples { bytes, precision: layout.allocated }),
        Codec::Jpeg => jpeg(data, layout),
        Codec::JpegLs => jpeg_ls(data, layout),
        Codec::Jpeg2000 => jpeg_2000(data, layout),
    }));
    let samples = decoded.unwrap_or_else(|_| Err("data that the decoder cannot make sense of".to_owned()))?;
    if samples.bytes.len() != layout.pixels() * layout.cell() {
        return Err(format!("{} bytes of decoded pixels", samples.bytes.len()));
    }
    let shift = if samples.precision > layout.stored { layout.high + 1 - layout.stored } else { 0 };
    Ok(Cells { bytes: samples.bytes.into(), big: false, shift })
}

/// Decoded little endian samples of `allocated` bits, of which `precision` may be set.
struct Samples {
    bytes: Vec<u8>,
    precision: u32,
}

/// Writes numbers as samples of the layout's size; the bits beyond it are signs.
fn cells(values: impl Iterator<Item = i32>, layout: &Layout) -> Vec<u8> {
    match layout.allocated {
        8 => values.map(|value| value as u8).collect(),
        16 => values.flat_map(|value| (value as u16).to_le_bytes()).collect(),
        _ => values.flat_map(i32::to_le_bytes).collect(),
    }
}

/// What a JPEG or JPEG-LS stream says of itself.
struct Sof {
    marker: u8,
    precision: u32,
}

/// Reads the segments up to the frame header, and holds its size against the data set's.
fn sof(data: &[u8], layout: &Layout) -> Result<Sof, String> {
    let broken = || "no frame header in the stream".to_owned();
    let mut at = 2;
    if !data.starts_with(&[0xFF, 0xD8]) {
        return Err("a stream that does not begin as JPEG does".to_owned());
    }
    loop {
        let &[mark, marker, high, low] =
            data.get(at..at + 4).and_then(|four| four.first_chunk()).ok_or_else(broken)?;
        if mark != 0xFF {
            return Err(broken());
        }
        if marker == 0xFF {
            at += 1;
            continue;
        }
        if matches!(marker, 0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF | 0xF7) {
            let &[precision, h1, h0, w1, w0, components] =
                data.get(at + 4..at + 10).and_then(|six| six.first_chunk()).ok_or_else(broken)?;
            let (rows, columns) = (u16::from_be_bytes([h1, h0]), u16::from_be_bytes([w1, w0]));
            fits(rows.into(), columns.into(), components.into(), layout)?;
            return Ok(Sof { marker, precision: precision.into() });
        }
        at += 2 + usize::from(u16::from_be_bytes([high, low])).max(2);
    }
}

fn fits(rows: u32, columns: u32, components: u32, layout: &Layout) -> Result<(), String> {
    if (rows, columns, components) == (layout.rows, layout.columns, 1) {
        return Ok(());
    }
    Err(format!("a compressed image of {rows} x {columns} pixels with {components} samples"))
}

fn jpeg(data: &[u8], layout: &Layout) -> Result<Samples, String> {
    let Sof { marker, precision } = sof(data, layout)?;
    if marker == 0xC3 {
        let values = lossless::decode(data, layout.rows as usize, layout.columns as usize)?;
        return Ok(Samples { bytes: cells(values.into_iter().map(i32::from), layout), precision });
    }
    if precision != 8 {
        return Err(format!("lossy JPEG of {precision} bits, for which there is no decoder here"));
    }
    let mut decoder = jpeg_decoder::Decoder::new(data);
    decoder.set_max_decoding_buffer_size(layout.pixels());
    let bytes = decoder.decode().map_err(|e| e.to_string())?;
    Ok(Samples { bytes: cells(bytes.into_iter().map(i32::from), layout), precision })
}

fn jpeg_ls(data: &[u8], layout: &Layout) -> Result<Samples, String> {
    let Sof { precision, .. } = sof(data, layout)?;
    // An even length may be had by a zero after the end of the stream, which the decoder does not mind.
    let (values, ..) = jpegls::decode(data, layout.columns, layout.rows).map_err(|e| e.to_string())?;
    Ok(Samples { bytes: cells(values.into_iter().map(i32::from), layout), precision })
}

fn jpeg_2000(data: &[u8], layout: &Layout) -> Result<Samples, String> {
    let settings =
        hayro_jpeg2000::DecodeSettings { resolve_palette_indices: false, strict: true, ..Default::default() };
    let image = hayro_jpeg2000::Image::new(data, &settings).map_err(|e| e.to_string())?;
    let components = u32::from(image.color_space().num_channels()) + u32::from(image.has_alpha());
    fits(image.height(), image.width(), components, layout)?;
    let precision = u32::from(image.original_bit_depth());
    let signed = signed(data).ok_or("a stream without a size")?;
    let mut context = hayro_jpeg2000::DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(|e| e.to_string())?;
    let samples = decoded.components().first().ok_or("an image without samples")?.samples();
    // The decoder takes all samples as unsigned and adds half their range, as the format says for those alone.
    let half = 2f32.powi(precision as i32 - 1);
    let (shift, low, high) = if signed { (half, -half, half - 1.0) } else { (0.0, 0.0, 2.0 * half - 1.0) };
    let values = samples.iter().map(|sample| (sample - shift).round().clamp(low, high) as i32);
    Ok(Samples { bytes: cells(values, layout), precision })
}

/// Whether the samples of a JPEG 2000 codestream are signed: the highest bit of the component's Ssiz.
fn signed(data: &[u8]) -> Option<bool> {
    let at = data.windows(4).position(|four| four == [0xFF, 0x4F, 0xFF, 0x51])?;
    Some(data.get(at + 42)? & 0x80 != 0)
}
