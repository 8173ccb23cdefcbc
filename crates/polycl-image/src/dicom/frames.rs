//! The bytes of each frame within a file's pixel data.

use std::borrow::Cow;

use dicom_core::VR;

use super::layout::Layout;
use super::scan::{Element, Syntax, head};

/// What is wrong with a frame: expected, found.
pub(super) type Fault = (String, String);

/// The pixel data of a file: one run of bytes, or fragments.
pub(super) enum Pixels<'a> {
    Native(Cow<'a, [u8]>),
    /// The bytes of each frame, in fragments.
    Frames(Vec<Vec<&'a [u8]>>),
}

/// Finds the frames in `bytes` (of the data set), where `element` is the pixel data.
pub(super) fn pixels<'a>(
    bytes: &'a [u8],
    element: &Element,
    syntax: Syntax,
    layout: &Layout,
) -> Result<Pixels<'a>, Fault> {
    let rest = bytes.get(element.value..).unwrap_or_default();
    let Some(length) = element.length else {
        return fragments(rest, syntax).and_then(|(table, fragments)| frames(&table, fragments, layout));
    };
    let data = &rest[..length.min(rest.len())];
    // Two bytes to the word, and the word's byte order, even where each byte is a pixel, or eight.
    if syntax.big && element.vr == VR::OW && layout.allocated <= 8 {
        return Ok(Pixels::Native(data.as_chunks::<2>().0.iter().flat_map(|&[a, b]| [b, a]).collect()));
    }
    Ok(Pixels::Native(Cow::Borrowed(data)))
}

impl Pixels<'_> {
    /// The bytes of frame `k`.
    pub fn frame(&self, k: u32, layout: &Layout) -> Result<Cow<'_, [u8]>, Fault> {
        let k = k as usize;
        match self {
            Self::Native(data) => {
                let size = layout.pixels() * layout.cell();
                let end = size.saturating_mul(k + 1);
                let frame = data.get(end - size..end).ok_or_else(|| {
                    (
                        format!("{} bytes of pixels", size.saturating_mul(layout.frames as usize)),
                        data.len().to_string(),
                    )
                })?;
                Ok(Cow::Borrowed(frame))
            }
            Self::Frames(frames) => match frames[k].as_slice() {
                [one] => Ok(Cow::Borrowed(one)),
                several => Ok(Cow::Owned(several.concat())),
            },
        }
    }
}

/// The basic offset table's bytes, and the fragments with where each begins, counted as the table counts.
type Fragments<'a> = Vec<(usize, &'a [u8])>;

fn fragments(bytes: &[u8], syntax: Syntax) -> Result<(Vec<usize>, Fragments<'_>), Fault> {
    let mut items = Vec::new();
    let mut at = 0;
    // A file that ends without the closing item is read by everyone, if its last fragment is whole.
    while at < bytes.len() {
        let Some((tag, _, length, size)) = head(&bytes[at..], syntax) else { break };
        if tag.0 != 0xFFFE || tag.1 != 0xE000 {
            break;
        }
        let data = at + size;
        let Some(fragment) = bytes.get(data..data.saturating_add(length as usize)) else {
            return Err((format!("{length} bytes of compressed pixels"), (bytes.len() - data).to_string()));
        };
        items.push((at, fragment));
        at = data + length as usize;
    }
    if items.is_empty() {
        return Err(("compressed pixels".to_owned(), "no such pixels".to_owned()));
    }
    let (_, table) = items.remove(0);
    let begin = items.first().map_or(0, |item| item.0);
    items.iter_mut().for_each(|item| item.0 -= begin);
    let table = table.as_chunks().0.iter().map(|&four| u32::from_le_bytes(four) as usize).collect();
    Ok((table, items))
}

/// Which fragments are of which frame: all of the only one, one of each, by the offset table, or (as the
/// compressed streams begin with a mark) by where one begins.
fn frames<'a>(table: &[usize], fragments: Fragments<'a>, layout: &Layout) -> Result<Pixels<'a>, Fault> {
    let count = layout.frames as usize;
    let data = || fragments.iter().map(|each| each.1);
    if count == 1 && !fragments.is_empty() {
        return Ok(Pixels::Frames(vec![data().collect()]));
    }
    if fragments.len() == count {
        return Ok(Pixels::Frames(data().map(|one| vec![one]).collect()));
    }
    let begins = |at: &usize, data: &[u8]| {
        let marked = data.starts_with(&[0xFF, 0xD8]) || data.starts_with(&[0xFF, 0x4F, 0xFF, 0x51]);
        if table.len() == count { table.contains(at) } else { marked }
    };
    let mut frames: Vec<Vec<&[u8]>> = Vec::new();
    for (at, data) in &fragments {
        match frames.last_mut() {
            Some(frame) if !begins(at, data) => frame.push(data),
            _ => frames.push(vec![data]),
        }
    }
    if frames.len() == count {
        return Ok(Pixels::Frames(frames));
    }
    Err((format!("compressed pixels of {count} frames"), format!("{} fragments", fragments.len())))
}
