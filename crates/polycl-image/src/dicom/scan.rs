//! Where the elements of a data set lie, found by their lengths alone.
//!
//! dicom-rs takes the memory that an element claims (up to 4 GiB, and writes zeros to it) before it reads the
//! first byte, and calls itself once for every nested sequence. Of numbers it reads as many as are whole, and
//! takes what is left for the next element. So it is only given elements that were walked here: all of their
//! lengths, nested ones too, lie within what the file holds and fit their values, and nesting has a limit.

use std::cell::{Cell, RefCell};

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::StandardDataDictionary;

/// Sequences within sequences that are followed; the deepest in real files are structured reports of about 20.
const DEPTH: usize = 64;
pub(super) const ITEM: Tag = Tag(0xFFFE, 0xE000);
pub(super) const ITEM_END: Tag = Tag(0xFFFE, 0xE00D);
pub(super) const SEQUENCE_END: Tag = Tag(0xFFFE, 0xE0DD);

/// How elements are spelt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Syntax {
    pub explicit: bool,
    pub big: bool,
}

impl Syntax {
    /// The syntax within a sequence: one of unknown VR is implicit little endian inside (part 5, 6.2.2, note 2).
    pub(super) fn within(self, vr: VR) -> Self {
        if self.explicit && vr == VR::UN { Self { explicit: false, big: false } } else { self }
    }
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
/// where it is not known yet). A fault within a sequence that is not `needed` costs that sequence alone, if its length
/// tells where it ends.
pub(super) fn scan(bytes: &[u8], total: u64, syntax: Syntax, needed: impl Fn(Tag) -> bool) -> Walk<Scan> {
    let total = usize::try_from(total).unwrap_or(usize::MAX);
    let walker = Walker { bytes, total, unfit: Cell::new(false), fault: RefCell::new(None) };
    let mut scan = Scan::default();
    let mut at = 0;
    // Fewer than eight bytes are no element: some writers pad files to an even or round length.
    while total.saturating_sub(at) >= 8 {
        walker.unfit.set(false);
        let head = walker.head(at, total, syntax)?;
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
        // An unknown VR at the top level is spelt anew for who wants it, but for big endian.
        let unknown = walker.unfit.get() && (syntax.big || head.length.is_none());
        walker.unfit.set(unknown || !fits(&head));
        let end = walker.end(&head, syntax)?;
        if let Some(found) = walker.fault.take().filter(|_| needed(head.tag)) {
            return Err(Fault::Damaged(found));
        }
        // Nobody may need it; who does finds it missing.
        if !walker.unfit.get() {
            scan.elements.push(Element { end, ..head });
        }
        at = end;
    }
    Ok(scan)
}

/// The place of the walk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Sequence,
    Item,
    /// Pixels in fragments: items of bytes.
    Fragments,
}

struct Level {
    inside: Inside,
    end: Option<usize>,
    syntax: Syntax,
}

struct Walker<'a> {
    bytes: &'a [u8],
    total: usize,
    /// Whether the element at hand, or one in it, has a length that its values do not fit, or is spelt otherwise than
    /// the rest.
    unfit: Cell<bool>,
    /// The first fault in a sequence that was skipped by its length.
    fault: RefCell<Option<String>>,
}

impl Walker<'_> {
    /// The header of the element at `at`, which ends before `limit`; its `end` is not known yet.
    fn head(&self, at: usize, limit: usize, syntax: Syntax) -> Walk<Element> {
        match head(self.bytes.get(at..).unwrap_or_default(), syntax) {
            Some((tag, vr, length, size)) => {
                let (length, size) = self.unknown(at, limit, syntax, tag)?.unwrap_or((length, size));
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

    /// Length and size of a header whose VR is none that there is (`??`, say). Writers spell the length in two bytes, in
    /// four after two of zero, or as without a VR: what makes the next header likely is right.
    fn unknown(&self, at: usize, limit: usize, syntax: Syntax, tag: Tag) -> Walk<Option<(u32, usize)>> {
        let Some(&[a, b, c, d]) = self.bytes.get(at + 4..).and_then(|rest| rest.first_chunk()) else {
            return Ok(None);
        };
        if !syntax.explicit || tag.0 == 0xFFFE || VR::from_binary([a, b]).is_some() {
            return Ok(None);
        }
        self.unfit.set(true);
        let whole =
            |four: [u8; 4]| if syntax.big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) };
        let short = if syntax.big { [0, 0, c, d] } else { [c, d, 0, 0] };
        let long =
            self.bytes.get(at + 8..).and_then(|rest| rest.first_chunk()).map(|&four| (whole(four), 12));
        let spellings = [Some((whole(short), 8)), long, Some((whole([a, b, c, d]), 8))];
        let mut beyond = false;
        for (length, size) in spellings.into_iter().flatten() {
            let end = at.saturating_add(size).saturating_add(length as usize);
            match self.follows(end, limit, syntax, tag) {
                Some(true) => return Ok(Some((length, size))),
                Some(false) => (),
                None => beyond = true,
            }
        }
        if beyond { Err(Fault::More) } else { Ok(None) }
    }

    /// True where an element after `tag` may begin at `at`; `None` where it lies beyond the bytes at hand.
    fn follows(&self, at: usize, limit: usize, syntax: Syntax, tag: Tag) -> Option<bool> {
        if at >= limit || self.total.saturating_sub(at) < 8 {
            return Some(at <= limit);
        }
        let (next, ..) = head(self.bytes.get(at..)?, syntax)?;
        let letters = self.bytes.get(at + 4..at + 6)?;
        let spelt = letters == b"??" || VR::from_binary([letters[0], letters[1]]).is_some();
        Some(next.0 == 0xFFFE || (next > tag && spelt))
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

    /// Walks a sequence, whatever its depth, without calling itself; its end. What is wrong within a length that is
    /// known is skipped by it.
    fn nested(&self, head: &Element, syntax: Syntax) -> Walk<usize> {
        let end = head.length.map(|length| head.value + length);
        let mut levels = vec![Level { inside: inside(head), end, syntax: syntax.within(head.vr) }];
        self.unfit.set(self.unfit.get() || inside(head) == Inside::Fragments);
        let mut at = head.value;
        while let Some(level) = levels.last() {
            if level.end.is_some_and(|end| at >= end) {
                levels.pop();
                continue;
            }
            match self.step(at, &mut levels) {
                Ok(next) => at = next,
                Err(Fault::Damaged(found)) => {
                    while levels.last().is_some_and(|level| level.end.is_none()) {
                        levels.pop();
                    }
                    let Some(end) = levels.pop().and_then(|level| level.end) else {
                        return Err(Fault::Damaged(found));
                    };
                    self.unfit.set(true);
                    self.fault.borrow_mut().get_or_insert(found);
                    at = end;
                }
                Err(more) => return Err(more),
            }
        }
        Ok(at)
    }

    /// Goes over one header within the innermost level, into what begins there or past it.
    fn step(&self, at: usize, levels: &mut Vec<Level>) -> Walk<usize> {
        let limit = levels.iter().rev().find_map(|level| level.end).unwrap_or(self.total);
        let Some(&Level { inside: place, syntax, .. }) = levels.last() else { return Ok(at) };
        let head = self.head(at, limit, syntax)?;
        let closes = if place == Inside::Item { ITEM_END } else { SEQUENCE_END };
        if head.tag == closes {
            levels.pop();
            return Ok(head.value);
        }
        let end = head.length.map(|n| self.within(head.tag, head.value, n, limit)).transpose()?;
        if place == Inside::Item {
            if head.length.is_none() || head.vr == VR::SQ {
                if levels.len() >= 2 * DEPTH {
                    return Err(Fault::Damaged(format!("more than {DEPTH} sequences within each other")));
                }
                levels.push(Level { inside: inside(&head), end, syntax: syntax.within(head.vr) });
                // Pictures within pictures are looked at by nobody here.
                self.unfit.set(self.unfit.get() || inside(&head) == Inside::Fragments);
                return Ok(head.value);
            }
            self.unfit.set(self.unfit.get() || !fits(&head));
            return Ok(end.unwrap_or(head.value));
        }
        if head.tag != ITEM {
            return Err(Fault::Damaged(format!("{} where an item of a sequence begins", head.tag)));
        }
        match (place, end) {
            (Inside::Fragments, Some(end)) => Ok(end),
            (Inside::Fragments, None) => Err(Fault::Damaged("a fragment without a length".to_owned())),
            _ => {
                let syntax = self.spelt(head.value, end.unwrap_or(limit), syntax);
                levels.push(Level { inside: Inside::Item, end, syntax });
                Ok(head.value)
            }
        }
    }

    /// The syntax of an item by its first element: some writers spell items without VR in a file with VR.
    fn spelt(&self, at: usize, limit: usize, syntax: Syntax) -> Syntax {
        let implicit = Syntax { explicit: false, ..syntax };
        let rest = self.bytes.get(at..).unwrap_or_default();
        let letters = rest.get(4..6).is_none_or(|vr| vr.iter().all(u8::is_ascii_uppercase));
        let Some((tag, _, length, size)) = head(rest, implicit) else { return syntax };
        let fits = length == u32::MAX || at.saturating_add(size + length as usize) <= limit;
        if !syntax.explicit || tag.0 == 0xFFFE || letters || !fits {
            return syntax;
        }
        self.unfit.set(true);
        implicit
    }
}

/// Bytes of undefined length are pixels in fragments, all else is a sequence.
fn inside(head: &Element) -> Inside {
    if head.length.is_none() && matches!(head.vr, VR::OB | VR::OW) {
        Inside::Fragments
    } else {
        Inside::Sequence
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
