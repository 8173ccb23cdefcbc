//! Text in the character sets of the standard (part 5, 6.1.2), escapes between them included, which dicom-rs leaves in
//! the text.

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::entries;

use super::elements::text;
use super::item::Item;

const ESCAPE: u8 = 0x1B;

/// Gives the text of `object`, whose bytes were read as Latin-1, its true characters by the character sets that were
/// declared. Items that declare their own were read by these.
pub(super) fn decode_all(object: &mut InMemDicomObject, declared: &str) {
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii() && byte != ESCAPE);
    let found: Vec<(Tag, VR, String)> = object
        .iter()
        .filter(|element| {
            matches!(element.vr(), VR::SH | VR::LO | VR::ST | VR::LT | VR::UC | VR::UT | VR::PN)
        })
        .filter_map(|element| {
            Some((element.header().tag, element.vr(), element.value().to_raw_str().ok()?.into_owned()))
        })
        .filter(|(.., text)| !is_plain(text))
        .collect();
    for (tag, vr, text) in found {
        // What is no Latin-1 was decoded already.
        let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
        if let Some(bytes) = bytes {
            object.put_str(tag, vr, decode(&bytes, declared, vr == VR::PN));
        }
    }
    let sequences: Vec<Tag> = object.iter().filter(|e| e.items().is_some()).map(|e| e.header().tag).collect();
    for tag in sequences {
        object.update_value(tag, |value| {
            for item in value.items_mut().into_iter().flatten() {
                if item.get(tags::SPECIFIC_CHARACTER_SET).is_none() {
                    decode_all(item, declared);
                }
            }
        });
    }
}

/// Decodes one element's bytes. In a name, its parts' separators end what an escape began, too.
pub(super) fn decode(bytes: &[u8], declared: &str, name: bool) -> String {
    let first = Set::named(declared.split('\\').next().unwrap_or_default());
    if first.is_whole() {
        return first.decode(bytes);
    }
    let ends = |byte: &u8| b"\\\r\n\t\x0C".contains(byte) || (name && b"^=".contains(byte));
    let mut right = first;
    let mut out = String::new();
    for part in fragments(bytes) {
        let (set, size) = escape(part).map_or((None, 0), |(set, size)| (Some(set), size));
        if let Some(Set::Registered("ISO_IR 87")) = set {
            // Two bytes to the character, which may be those of separators; the decoder knows the escape.
            out += &Set::Registered("ISO_IR 87").decode(part);
            continue;
        }
        right = set.filter(|&set| set != Set::Ascii).unwrap_or(right);
        let body = &part[size..];
        let (within, after) = body.split_at(body.iter().position(ends).unwrap_or(body.len()));
        out += &right.decode(within);
        if !after.is_empty() {
            right = first;
            out += &right.decode(after);
        }
    }
    out
}

/// Cuts before every escape.
fn fragments(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let from = usize::from(!rest.is_empty());
        let end = rest[from..].iter().position(|&byte| byte == ESCAPE).map_or(rest.len(), |at| at + from);
        let (part, after) = rest.split_at(end);
        rest = after;
        (!part.is_empty()).then_some(part)
    })
}

/// The set that an escape calls, and the escape's length.
fn escape(part: &[u8]) -> Option<(Set, usize)> {
    let sets: [(&[u8], Set); 17] = [
        (b"\x1B(B", Set::Ascii),
        (b"\x1B(J", Set::Registered("ISO_IR 13")),
        (b"\x1B)I", Set::Registered("ISO_IR 13")),
        (b"\x1B$B", Set::Registered("ISO_IR 87")),
        (b"\x1B$(D", Set::Registered("ISO_IR 87")),
        (b"\x1B$)C", Set::Registered("ISO_IR 149")),
        (b"\x1B$)A", Set::Registered("GBK")),
        (b"\x1B-A", Set::Registered("ISO_IR 100")),
        (b"\x1B-B", Set::Registered("ISO_IR 101")),
        (b"\x1B-C", Set::Registered("ISO_IR 109")),
        (b"\x1B-D", Set::Registered("ISO_IR 110")),
        (b"\x1B-F", Set::Registered("ISO_IR 126")),
        (b"\x1B-G", Set::Registered("ISO_IR 127")),
        (b"\x1B-H", Set::Registered("ISO_IR 138")),
        (b"\x1B-L", Set::Registered("ISO_IR 144")),
        (b"\x1B-M", Set::Latin5),
        (b"\x1B-T", Set::Registered("ISO_IR 166")),
    ];
    sets.into_iter().find(|(mark, _)| part.starts_with(mark)).map(|(mark, set)| (set, mark.len()))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    /// Nothing above 127 but what another set gives it; Latin-1 where none does, as scanners of old wrote.
    Ascii,
    /// One that dicom-rs decodes, by its defined term.
    Registered(&'static str),
    /// Latin alphabet no. 5 (Turkish), which dicom-rs has not.
    Latin5,
}

impl Set {
    /// The set of a defined term, with or without code extensions, in the spellings that occur.
    fn named(term: &str) -> Self {
        let term = term.trim_matches([' ', '\0']);
        let number = term.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        match (term, number) {
            ("GB18030", _) => Self::Registered("GB18030"),
            ("GBK" | "GB2312", _) | (_, "58") => Self::Registered("GBK"),
            (_, "13") => Self::Registered("ISO_IR 13"),
            (_, "87" | "159") => Self::Registered("ISO_IR 87"),
            (_, "100") => Self::Registered("ISO_IR 100"),
            (_, "101") => Self::Registered("ISO_IR 101"),
            (_, "109") => Self::Registered("ISO_IR 109"),
            (_, "110") => Self::Registered("ISO_IR 110"),
            (_, "126") => Self::Registered("ISO_IR 126"),
            (_, "127") => Self::Registered("ISO_IR 127"),
            (_, "138") => Self::Registered("ISO_IR 138"),
            (_, "144") => Self::Registered("ISO_IR 144"),
            (_, "148") => Self::Latin5,
            (_, "149") => Self::Registered("ISO_IR 149"),
            (_, "166") => Self::Registered("ISO_IR 166"),
            (_, "192") => Self::Registered("ISO_IR 192"),
            _ => Self::Ascii,
        }
    }

    /// Sets beside which the standard allows no other.
    fn is_whole(self) -> bool {
        matches!(self, Self::Registered("ISO_IR 192" | "GB18030"))
    }

    fn decode(self, bytes: &[u8]) -> String {
        if bytes.is_ascii() && !bytes.contains(&ESCAPE) {
            return bytes.iter().map(|&byte| char::from(byte)).collect();
        }
        match self {
            Self::Ascii => bytes.iter().map(|&byte| char::from(byte)).collect(),
            Self::Latin5 => bytes.iter().map(|&byte| latin5(byte)).collect(),
            Self::Registered(term) => registered(term, bytes),
        }
    }
}

/// Latin-1 but for six letters.
fn latin5(byte: u8) -> char {
    match byte {
        0xD0 => 'Ğ',
        0xDD => 'İ',
        0xDE => 'Ş',
        0xF0 => 'ğ',
        0xFD => 'ı',
        0xFE => 'ş',
        _ => char::from(byte),
    }
}

/// Text by the decoders of dicom-rs, which are reached through a data set of two elements alone.
fn registered(term: &str, bytes: &[u8]) -> String {
    let mut data = b"\x08\0\x05\0CS".to_vec();
    data.extend((term.len().next_multiple_of(2) as u16).to_le_bytes());
    data.extend(term.bytes().chain(std::iter::repeat_n(b' ', term.len() % 2)));
    data.extend(b"\x10\0\0\x40UT\0\0");
    data.extend((bytes.len() as u32).to_le_bytes());
    data.extend(bytes);
    let syntax = entries::EXPLICIT_VR_LITTLE_ENDIAN.erased();
    let object = InMemDicomObject::read_dataset_with_ts(&data[..], &syntax).ok();
    let found =
        object.as_ref().and_then(|object| object.get(tags::PATIENT_COMMENTS)?.value().to_raw_str().ok());
    found.map_or_else(|| bytes.iter().map(|&byte| char::from(byte)).collect(), std::borrow::Cow::into_owned)
}

/// The character sets that a data set declares.
pub(super) fn declared(object: &InMemDicomObject) -> String {
    text(object, tags::SPECIFIC_CHARACTER_SET)
}

/// The same, of a data set or an item that is read in place.
pub(super) fn declared_in(item: Item) -> String {
    item.text(tags::SPECIFIC_CHARACTER_SET)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What pydicom 3.0 makes of the same bytes; the first two stand in annex H of part 5.
    #[test]
    fn escapes_are_followed() {
        for (declared, bytes, expected) in [
            (
                "\\ISO 2022 IR 87",
                &b"Yamada^Tarou=\x1B$B;3ED\x1B(B^\x1B$BB@O:\x1B(B=\x1B$B$d$^$@\x1B(B^\x1B$B$?$m$&\x1B(B"[..],
                "Yamada^Tarou=山田^太郎=やまだ^たろう",
            ),
            (
                "\\ISO 2022 IR 149",
                b"Hong^Gildong=\x1B$)C\xFB\xF3^\x1B$)C\xD1\xCE\xD4\xD7=\x1B$)C\xC8\xAB^\x1B$)C\xB1\xE6\xB5\xBF",
                "Hong^Gildong=洪^吉洞=홍^길동",
            ),
            (
                "ISO 2022 IR 13\\ISO 2022 IR 87",
                b"\xD4\xCF\xC0\xDE^\xC0\xDB\xB3=\x1B$B;3ED\x1B(J^\x1B$BB@O:\x1B(J",
                "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎",
            ),
            ("\\ISO 2022 IR 58", b"Zhang=\x1B$)A\xD5\xC5^\x1B$)A\xD0\xA1\xB6\xAB", "Zhang=张^小东"),
            ("ISO 2022 IR 100\\ISO 2022 IR 144", b"M\xFCller=\x1B-L\xBB\xEE\xDA", "Müller=Люк"),
            ("ISO_IR 148", b"\xDEi\xFEli^G\xFCl", "Şişli^Gül"),
            ("ISO_IR 126", b"\xC4\xE9\xEF\xED\xF5\xF3\xE9\xEF\xF2", "Διονυσιος"),
            ("ISO_IR 166", b"\xA1\xA2", "กข"),
            // The second byte of the first is a backslash, which separates nothing here.
            ("GB18030", b"\x95\x5C^\xCD\xF5", "昞^王"),
            ("ISO_IR 192", "Wáng^小东".as_bytes(), "Wáng^小东"),
            ("", b"D\xF6e^J", "Döe^J"),
        ] {
            assert_eq!(decode(bytes, declared, true), expected, "{declared}");
        }
    }

    #[test]
    fn any_bytes_are_some_text() {
        for declared in
            ["", "\\ISO 2022 IR 87", "ISO_IR 13", "GB18030", "ISO 2022 IR 149", "ISO_IR 192", "nonsense"]
        {
            for first in [0x1B, 0x24, 0x5C, 0x80, 0xFF] {
                let bytes: Vec<u8> = (0..=255).flat_map(|byte| [first, byte, 0x1B]).collect();
                assert!(!decode(&bytes, declared, true).is_empty());
            }
        }
        assert_eq!(decode(b"", "ISO_IR 13", true), "");
    }
}
