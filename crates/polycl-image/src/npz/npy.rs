use std::io::Read;
use std::path::Path;

use polycl_base::{Error, Kind, Result};

use crate::raw::{Datatype, Encoding, Order, fill, truncated};

/// The longest header; NumPy itself refuses those above 10 000 bytes.
const LONGEST: usize = 1 << 16;

/// The header of a NumPy array.
/// Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.
pub(super) struct Array {
    pub encoding: Encoding,
    /// True if the first axis, not the last, runs fastest.
    pub fortran: bool,
    pub shape: Vec<usize>,
}

impl Array {
    /// Reads the header of the member `name`, versions 1 to 3.
    pub fn read(stream: &mut impl Read, name: &str, path: &Path) -> Result<Self> {
        let wrong = |found: &str| {
            Error::new(path, Kind::Format, format!("{name} to be a NumPy array"), found)
                .hint("write it with numpy.savez_compressed")
        };
        let text = header(stream, name, path, &wrong)?;
        let descr = value(&text, "descr").ok_or_else(|| wrong("a header without descr"))?;
        let encoding = encoding(descr, name, path)?;
        let fortran = value(&text, "fortran_order").is_some_and(|value| value.starts_with("True"));
        let shape = value(&text, "shape").and_then(shape).ok_or_else(|| wrong("a header without shape"))?;
        Ok(Self { encoding, fortran, shape })
    }
}

/// The dictionary in the header, as text.
fn header(stream: &mut impl Read, name: &str, path: &Path, wrong: &impl Fn(&str) -> Error) -> Result<String> {
    let mut start = [0; 8];
    exact(stream, &mut start, name, path)?;
    if !start.starts_with(b"\x93NUMPY") || !(1..=3).contains(&start[6]) {
        return Err(wrong("other data"));
    }
    let mut len = [0; 4];
    let wide = if start[6] == 1 { 2 } else { 4 };
    exact(stream, &mut len[..wide], name, path)?;
    let len = u32::from_le_bytes(len) as usize;
    if len > LONGEST {
        return Err(wrong(&format!("a header of {len} bytes")));
    }
    let mut text = vec![0; len];
    exact(stream, &mut text, name, path)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn exact(stream: &mut impl Read, out: &mut [u8], name: &str, path: &Path) -> Result<()> {
    let got = fill(stream, out, path)?;
    if got < out.len() {
        return Err(truncated(path, format!("{} bytes of the header of {name}", out.len()), got as u64));
    }
    Ok(())
}

/// The text after a key of the dictionary.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let quoted = [format!("'{key}':"), format!("\"{key}\":")];
    quoted.iter().find_map(|key| text.split_once(key.as_str())).map(|(_, value)| value.trim_start())
}

fn encoding(descr: &str, name: &str, path: &Path) -> Result<Encoding> {
    let refused = |found: &str| {
        Error::new(path, Kind::Format, format!("{name} of real numbers of 8 to 64 bits"), found)
            .hint("convert it, e.g. array.astype(\"int16\"), and save it again")
    };
    let Some(quote) = descr.chars().next().filter(|c| ['\'', '"'].contains(c)) else {
        return Err(refused("a structured type"));
    };
    let code = descr[1..].split(quote).next().unwrap_or_default();
    let (order, code) = match code.split_at_checked(1) {
        Some(("<" | "|" | "=", code)) => (Order::Little, code),
        Some((">", code)) => (Order::Big, code),
        _ => (Order::Little, code),
    };
    let datatype = match code {
        "b1" | "u1" => Datatype::U8,
        "i1" => Datatype::I8,
        "u2" => Datatype::U16,
        "i2" => Datatype::I16,
        "u4" => Datatype::U32,
        "i4" => Datatype::I32,
        "u8" => Datatype::U64,
        "i8" => Datatype::I64,
        "f4" => Datatype::F32,
        "f8" => Datatype::F64,
        // Pickles are programs: they are not run.
        _ if code.starts_with('O') => return Err(refused("pickled objects")),
        _ => return Err(refused(&code.chars().take(20).collect::<String>())),
    };
    Ok(Encoding::plain(datatype, order))
}

fn shape(text: &str) -> Option<Vec<usize>> {
    let inside = text.strip_prefix('(')?.split_once(')')?.0;
    let sides = inside.split(',').map(str::trim).filter(|side| !side.is_empty());
    sides.map(|side| side.parse().ok()).collect()
}
