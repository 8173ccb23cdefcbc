//! RLE Lossless (part 5, annex G): each byte of the samples is a PackBits segment of its own, highest first.

use super::layout::Layout;

/// Two bytes stand for a run of at most 128.
const MOST_FOR_BYTE: usize = 64;

/// Little endian samples of one frame.
pub(super) fn decode(data: &[u8], layout: &Layout) -> Result<Vec<u8>, String> {
    let broken = || "segments that do not fit the stream".to_owned();
    let word = |k: usize| {
        let four = data.get(4 * k..4 * k + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(four) as usize)
    };
    let cell = layout.cell();
    let segments = word(0).ok_or_else(broken)?;
    if segments != cell {
        return Err(format!("{segments} segments for samples of {cell} bytes"));
    }
    if layout.pixels().saturating_mul(cell) > MOST_FOR_BYTE.saturating_mul(data.len()) {
        return Err(format!("{} bytes for {} pixels", data.len(), layout.pixels()));
    }
    let mut out = vec![0; layout.pixels() * cell];
    for k in 0..segments {
        let begin = word(k + 1).ok_or_else(broken)?;
        let end = if k + 1 < segments { word(k + 2).ok_or_else(broken)? } else { data.len() };
        let segment = data.get(begin..end).ok_or_else(broken)?;
        let decoded = unpack(segment, out.iter_mut().skip(cell - 1 - k).step_by(cell));
        if decoded < layout.pixels() {
            return Err(format!("{decoded} of {} pixels in a segment", layout.pixels()));
        }
    }
    Ok(out)
}

/// Writes what a segment holds to `out`, as far as there is room; how many bytes were written.
fn unpack<'a>(segment: &[u8], mut out: impl Iterator<Item = &'a mut u8>) -> usize {
    let (mut at, mut written) = (0, 0);
    let mut put = |byte: u8| out.next().map(|place| *place = byte).is_some();
    while let Some(&code) = segment.get(at) {
        at += 1;
        let (run, literal) = match code {
            0..=127 => (usize::from(code) + 1, true),
            128 => continue,
            _ => (257 - usize::from(code), false),
        };
        for k in 0..run {
            let Some(&byte) = segment.get(if literal { at + k } else { at }) else { return written };
            if !put(byte) {
                return written;
            }
            written += 1;
        }
        at += if literal { run } else { 1 };
    }
    written
}
