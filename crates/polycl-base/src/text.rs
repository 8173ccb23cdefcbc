//! Files of text that are read whole: JSON and CSV, as editors and spreadsheets save them.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// The most bytes of such a file. Rows about every slice of thousands of scans have less; a file without an end,
/// such as a device, is not read until memory is full.
const MOST: u64 = 1 << 30;

/// # Errors
/// As reading does, and for a file that is too large.
pub fn read(file: &Path) -> Result<Vec<u8>> {
    let too_large = || {
        Error::new(ErrorKind::FileTooLarge, "the file is above 1 GiB, which is more than any such file holds")
    };
    let file = File::open(file)?;
    let mut bytes = Vec::new();
    let len = file.metadata()?.len();
    // Not all files know their length.
    if len > MOST || file.take(MOST + 1).read_to_end(&mut bytes)? as u64 > MOST {
        return Err(too_large());
    }
    Ok(bytes)
}

/// As [`read`], as text: UTF-8, or UTF-16 with the byte order mark that says so. Marks are left out, and lines end in
/// `\n` alone.
///
/// # Errors
/// As [`read`], and [`ErrorKind::InvalidData`] for other bytes.
pub fn decoded(file: &Path) -> Result<String> {
    let bytes = read(file)?;
    let wrong = || Error::new(ErrorKind::InvalidData, "the text is not UTF-8: save it as \"CSV UTF-8\"");
    let wide = |bytes: &[u8], number: fn([u8; 2]) -> u16| {
        let units = bytes.chunks(2).map(|pair| <[u8; 2]>::try_from(pair).map(number).map_err(|_| wrong()));
        String::from_utf16(&units.collect::<Result<Vec<u16>>>()?).map_err(|_| wrong())
    };
    let text = match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes)?,
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes)?,
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8(rest.to_vec()).map_err(|_| wrong())?,
        _ => String::from_utf8(bytes).map_err(|_| wrong())?,
    };
    Ok(if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text })
}

/// Text in the one spelling in which equal letters are equal: macOS writes `ä` as two characters, others as one (NFC).
pub fn composed(text: String) -> String {
    if is_nfc_quick(text.chars()) == IsNormalized::Yes { text } else { text.nfc().collect() }
}

/// JSON in which no object has a key twice: which of two names was meant cannot be told.
///
/// # Errors
/// For text that is no such JSON.
pub fn json(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str::<Once>(text).map(|Once(value)| value)
}

struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(OnceVisitor).map(Self)
    }
}

struct OnceVisitor;

impl<'de> Visitor<'de> for OnceVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> std::result::Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, Once(value))) = entries.next_entry::<String, Once>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("the key {key:?} twice")));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> std::result::Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(Once(item)) = items.next_element()? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_str<E>(self, text: &str) -> std::result::Result<Value, E> {
        Ok(text.into())
    }

    fn visit_bool<E>(self, value: bool) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, number: i64) -> std::result::Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> std::result::Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> std::result::Result<Value, E> {
        Ok(number.into())
    }

    fn visit_unit<E>(self) -> std::result::Result<Value, E> {
        Ok(Value::Null)
    }
}
