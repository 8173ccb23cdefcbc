//! A data set and the items of its sequences, read where they lie in a file's bytes: a sequence of a million items takes no
//! memory but that of the file.
//!
//! All lengths were walked before, by [`super::scan`]; what does not fit ends the reading of its item all the same.

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::StandardDataDictionary;

use super::charset;
use super::elements::number;
use super::scan::{ITEM, ITEM_END, SEQUENCE_END, Scan, Syntax, head};
use super::source::Head;

/// A data set, or an item of a sequence in it.
#[derive(Clone, Copy)]
pub(super) struct Item<'a> {
    bytes: &'a [u8],
    syntax: Syntax,
    /// The elements of a data set, found already; `None` for the item of a sequence.
    scan: Option<&'a Scan>,
}

/// The value of an element.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    vr: VR,
    /// Of a sequence of undefined length with the mark of its end.
    pub bytes: &'a [u8],
    syntax: Syntax,
}

impl<'a> Item<'a> {
    pub fn top(head: &'a Head) -> Self {
        Self { bytes: &head.bytes, syntax: head.syntax, scan: Some(&head.scan) }
    }

    pub fn get(self, tag: Tag) -> Option<Field<'a>> {
        let Some(scan) = self.scan else {
            return self.fields().find(|(own, _)| *own == tag).map(|(_, field)| field);
        };
        let element = scan.elements.iter().find(|element| element.tag == tag)?;
        let bytes = self.bytes.get(element.value..element.end)?;
        Some(Field { vr: known(element.vr, tag), bytes, syntax: self.syntax.within(element.vr) })
    }

    /// The items of a sequence; none where it is missing.
    pub fn items(self, tag: Tag) -> impl Iterator<Item = Item<'a>> + use<'a> {
        self.get(tag).into_iter().flat_map(Field::items)
    }

    pub fn first(self, tag: Tag) -> Option<Item<'a>> {
        self.items(tag).next()
    }

    /// Text without padding, in Latin-1, which loses no byte; empty where absent.
    pub fn text(self, tag: Tag) -> String {
        self.get(tag).map(|field| field.text()).unwrap_or_default()
    }

    /// Text in the character sets that are `declared`, or that the item declares itself.
    pub fn decoded(self, tag: Tag, declared: &str) -> String {
        let own = self.text(dicom_dictionary_std::tags::SPECIFIC_CHARACTER_SET);
        let declared = if own.is_empty() { declared } else { &own };
        let text =
            self.get(tag).map(|field| charset::decode(field.bytes, declared, false)).unwrap_or_default();
        text.trim_matches([' ', '\0']).to_owned()
    }

    /// Numbers in whatever way they are written; none where one of them cannot be read.
    pub fn numbers(self, tag: Tag) -> Vec<f64> {
        self.get(tag).and_then(|field| field.numbers(true)).unwrap_or_default()
    }

    pub fn whole(self, tag: Tag) -> Option<u32> {
        let number = self.numbers(tag).first().copied()?;
        (number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number)).then_some(number as u32)
    }

    fn fields(self) -> impl Iterator<Item = (Tag, Field<'a>)> + use<'a> {
        let Self { bytes, syntax, .. } = self;
        let mut at = 0;
        std::iter::from_fn(move || {
            let (tag, vr, length, size) = head(bytes.get(at..)?, syntax)?;
            if tag == ITEM_END {
                return None;
            }
            let (value, within) = (at + size, syntax.within(vr));
            at = if length == u32::MAX {
                sequence_end(bytes, value, within)?
            } else {
                value.checked_add(length as usize)?
            };
            Some((tag, Field { vr: known(vr, tag), bytes: bytes.get(value..at)?, syntax: within }))
        })
    }
}

impl<'a> Field<'a> {
    fn items(self) -> impl Iterator<Item = Item<'a>> {
        let Self { bytes, syntax, .. } = self;
        let mut at = 0;
        std::iter::from_fn(move || {
            let (tag, _, length, size) = head(bytes.get(at..)?, syntax)?;
            if tag != ITEM {
                return None;
            }
            let value = at + size;
            at = if length == u32::MAX {
                item_end(bytes, value, syntax)?
            } else {
                value.checked_add(length as usize)?
            };
            Some(Item { bytes: bytes.get(value..at)?, syntax, scan: None })
        })
    }

    pub fn text(self) -> String {
        let text: String = self.bytes.iter().map(|&byte| char::from(byte)).collect();
        text.trim_matches([' ', '\0']).to_owned()
    }

    /// `small` numbers may have decimal commas where thousands could have them, too.
    pub fn numbers(self, small: bool) -> Option<Vec<f64>> {
        let big = self.syntax.big;
        let two = |bytes: &[u8; 2]| if big { u16::from_be_bytes(*bytes) } else { u16::from_le_bytes(*bytes) };
        let four =
            |bytes: &[u8; 4]| if big { u32::from_be_bytes(*bytes) } else { u32::from_le_bytes(*bytes) };
        let eight =
            |bytes: &[u8; 8]| if big { u64::from_be_bytes(*bytes) } else { u64::from_le_bytes(*bytes) };
        let twos = || self.bytes.as_chunks().0.iter();
        let fours = || self.bytes.as_chunks().0.iter();
        Some(match self.vr {
            VR::US => twos().map(|bytes| two(bytes).into()).collect(),
            VR::SS => twos().map(|bytes| (two(bytes) as i16).into()).collect(),
            VR::UL => fours().map(|bytes| four(bytes).into()).collect(),
            VR::SL => fours().map(|bytes| (four(bytes) as i32).into()).collect(),
            VR::FL => fours().map(|bytes| f32::from_bits(four(bytes)).into()).collect(),
            VR::FD => self.bytes.as_chunks().0.iter().map(|bytes| f64::from_bits(eight(bytes))).collect(),
            _ => {
                let text = std::str::from_utf8(self.bytes).ok()?;
                return text.split('\\').map(|one| number(one, small)).collect();
            }
        })
    }
}

/// The VR that the standard has for an element, where the file has none.
fn known(vr: VR, tag: Tag) -> VR {
    let standard = || StandardDataDictionary.by_tag(tag).map(|entry| entry.vr().relaxed());
    if vr == VR::UN { standard().unwrap_or(vr) } else { vr }
}

/// The end of a sequence of undefined length, whose first item begins at `at`.
fn sequence_end(bytes: &[u8], mut at: usize, syntax: Syntax) -> Option<usize> {
    loop {
        let (tag, _, length, size) = head(bytes.get(at..)?, syntax)?;
        at += size;
        at = match tag {
            SEQUENCE_END => return Some(at),
            ITEM if length == u32::MAX => item_end(bytes, at, syntax)?,
            _ => at.checked_add(length as usize)?,
        };
    }
}

/// The end of an item of undefined length, whose first element begins at `at`.
fn item_end(bytes: &[u8], mut at: usize, syntax: Syntax) -> Option<usize> {
    loop {
        let (tag, vr, length, size) = head(bytes.get(at..)?, syntax)?;
        at += size;
        at = match tag {
            ITEM_END => return Some(at),
            _ if length == u32::MAX => sequence_end(bytes, at, syntax.within(vr))?,
            _ => at.checked_add(length as usize)?,
        };
    }
}
