//! Where the elements of a data set lie, found by their lengths alone.
//!
//! dicom-rs takes the memory that an element claims (up to 4 GiB, and writes zeros to it) before it reads the
//! first byte, and calls itself once for every nested sequence. Of numbers it reads as many as are whole, and
//! takes what is left for the next element. So it is only given elements that were walked here: all of their
//! lengths, nested ones too, lie within what the file holds and fit their values, and nesting has a limit.

use std::cell::Cell;

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::StandardDataDictionary;

/// Sequences within sequences that are followed; the deepest in real files are structured reports of about 20.
const DEPTH: usize = 64;
const ITEM: Tag = Tag(0xFFFE, 0xE000);
const ITEM_END: Tag = Tag(0xFFFE, 0xE00D);
const SEQUENCE_END: Tag = Tag(0xFFFE, 0xE0DD);

/// How elements are spelt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Syntax {
    pub explicit: bool,
    pub big: bool,
}

/// One element of the data set's top level: the header begins at `start`, the value at `value`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element {
    pub tag: Tag,
    pub vr: VR,
    pub start: usize,
    pub value: usize,
    /// `None` where the length is undefined: pixel data in fragments, or (`end` is known) a sequence.
    pub length: Option<usize>,
    pub end: usize,
}

/// The top level up to the pixel data; for these, `end` is where the value begins.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub elements: Vec<Element>,
    pub pixels: Option<Element>,
}

/// Why a walk stopped early.
#[derive(Debug)]
pub(super) enum Fault {
    /// The bytes at hand end, the file does not.
    More,
    Damaged(String),
}

type Walk<T> = std::result::Result<T, Fault>;

/// Walks the top level of a data set, of which `bytes` is the beginning and `total` the whole length (or more,
/// where it is not known yet).
pub(super) fn scan(bytes: &[u8], total: u64, syntax: Syntax) -> Walk<Scan> {
    let total = usize::try_from(total).unwrap_or(usize::MAX);
    let walker = Walker { bytes, total, unfit: Cell::new(false) };
    let mut scan = Scan::default();
    let mut at = 0;
    // Fewer than eight bytes are no element: some writers pad files to an even or round length.
    while total.saturating_sub(at) >= 8 {
        let head = walker.head(at, syntax)?;
        if head.tag.0 == 0xFFFE {
            at = head.value;
            continue;
        }
        if head.tag.0 == 0x7FE0 && matches!(head.tag.1, 0x0008..=0x0010) {
            scan.pixels = Some(Element { end: head.value, ..head });
            break;
        }
        if head.tag.0 > 0x7FE0 {
            break;
        }
        walker.unfit.set(!fits(&head));
        let end = walker.end(&head, syntax)?;
        // Nobody may need it; who does finds it missing.
        if !walker.unfit.get() {
            scan.elements.push(Element { end, ..head });
        }
        at = end;
    }
    Ok(scan)
}

/// A sequence or an item that the walk is inside of.
struct Level {
    item: bool,
    end: Option<usize>,
    syntax: Syntax,
}

struct Walker<'a> {
    bytes: &'a [u8],
    total: usize,
    /// Whether the element at hand, or one in it, has a length that its values do not fit.
    unfit: Cell<bool>,
}

impl Walker<'_> {
    /// The header of the element at `at`; `end` is not known yet.
    fn head(&self, at: usize, syntax: Syntax) -> Walk<Element> {
        match head(self.bytes.get(at..).unwrap_or_default(), syntax) {
            Some((tag, vr, length, size)) => {
                let value = at + size;
                let length = (length != u32::MAX).then_some(length as usize);
                Ok(Element { tag, vr, start: at, value, length, end: value })
            }
            None if self.total.saturating_sub(at) < 12 => {
                Err(Fault::Damaged("an element's header".to_owned()))
            }
            None => Err(Fault::More),
        }
    }

    /// Where the element ends, having walked all that lies in it.
    fn end(&self, head: &Element, syntax: Syntax) -> Walk<usize> {
        if let Some(length) = head.length {
            let end = self.within(head.tag, head.value, length, self.total)?;
            if head.vr == VR::SQ {
                self.nested(head, syntax)?;
            }
            return Ok(end);
        }
        self.nested(head, syntax)
    }

    fn within(&self, tag: Tag, value: usize, length: usize, limit: usize) -> Walk<usize> {
        match value.checked_add(length) {
            Some(end) if end <= limit => Ok(end),
            _ => {
                let left = limit.saturating_sub(value);
                Err(Fault::Damaged(format!("{length} bytes of {tag}, of which {left} are there")))
            }
        }
    }

    /// Walks a sequence, whatever its depth, without calling itself; its end.
    fn nested(&self, head: &Element, syntax: Syntax) -> Walk<usize> {
        let end = head.length.map(|length| head.value + length);
        let mut levels = vec![Level { item: false, end, syntax: inner(head, syntax) }];
        let mut at = head.value;
        while let Some(level) = levels.last() {
            let limit = levels.iter().rev().find_map(|level| level.end).unwrap_or(self.total);
            if level.end.is_some_and(|end| at >= end) {
                levels.pop();
                continue;
            }
            let head = self.head(at, level.syntax)?;
            let syntax = level.syntax;
            let closes = if level.item { ITEM_END } else { SEQUENCE_END };
            if head.tag == closes {
                levels.pop();
                at = head.value;
            } else if !level.item {
                if head.tag != ITEM {
                    return Err(Fault::Damaged(format!("{} where an item of a sequence begins", head.tag)));
                }
                let end = head.length.map(|n| self.within(head.tag, head.value, n, limit)).transpose()?;
                levels.push(Level { item: true, end, syntax });
                at = head.value;
            } else if head.length.is_none() || head.vr == VR::SQ {
                if levels.len() >= 2 * DEPTH {
                    return Err(Fault::Damaged(format!("more than {DEPTH} sequences within each other")));
                }
                let end = head.length.map(|n| self.within(head.tag, head.value, n, limit)).transpose()?;
                levels.push(Level { item: false, end, syntax: inner(&head, syntax) });
                at = head.value;
            } else {
                self.unfit.set(self.unfit.get() || !fits(&head));
                at = self.within(head.tag, head.value, head.length.unwrap_or(0), limit)?;
            }
        }
        Ok(at)
    }
}

/// Whether an element's length is that of whole values.
fn fits(head: &Element) -> bool {
    let overlay = head.tag.0 >> 8 == 0x60 && head.tag.1 == 0x3000;
    let unit = match head.vr {
        _ if overlay => 2,
        VR::US | VR::SS | VR::OW => 2,
        VR::UL | VR::SL | VR::FL | VR::AT | VR::OF | VR::OL => 4,
        VR::FD | VR::SV | VR::UV | VR::OD | VR::OV => 8,
        _ => 1,
    };
    head.length.is_none_or(|length| length.is_multiple_of(unit))
}

/// The syntax within a sequence: one of unknown VR and undefined length is implicit little endian inside
/// (part 5, 6.2.2, note 2).
fn inner(head: &Element, syntax: Syntax) -> Syntax {
    if syntax.explicit && head.vr == VR::UN { Syntax { explicit: false, big: false } } else { syntax }
}

/// Tag, VR, length and size of the header that begins `bytes`.
pub(super) fn head(bytes: &[u8], syntax: Syntax) -> Option<(Tag, VR, u32, usize)> {
    let short = |at: usize| {
        let two: [u8; 2] = bytes.get(at..at + 2)?.try_into().ok()?;
        Some(if syntax.big { u16::from_be_bytes(two) } else { u16::from_le_bytes(two) })
    };
    let long = |at: usize| {
        let four: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(if syntax.big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) })
    };
    let tag = Tag(short(0)?, short(2)?);
    if tag.0 == 0xFFFE || !syntax.explicit {
        let vr = StandardDataDictionary.by_tag(tag).map_or(VR::UN, |entry| entry.vr().relaxed());
        return Some((tag, vr, long(4)?, 8));
    }
    let vr = VR::from_binary(bytes.get(4..6)?.try_into().ok()?).unwrap_or(VR::UN);
    match vr {
        VR::OB
        | VR::OD
        | VR::OF
        | VR::OL
        | VR::OV
        | VR::OW
        | VR::SQ
        | VR::SV
        | VR::UC
        | VR::UN
        | VR::UR
        | VR::UT
        | VR::UV => Some((tag, vr, long(8)?, 12)),
        _ => Some((tag, vr, short(6)?.into(), 8)),
    }
}
