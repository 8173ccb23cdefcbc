//! Arrays as nnInteractive's clients send and take them: a name for the numbers, the sides, and chunks of blosc2.

use polycl_base::Result;

use super::blosc2::{HEADER, store, unpack, wrong};

const MAGIC: &[u8; 4] = b"NNIA";
const VERSION: u8 = 1;
/// The number of zstd among the codecs, which is said and not relied upon.
const CODEC: u8 = 1;
/// Bytes of a chunk that is written.
const CHUNK: usize = 1 << 30;
/// Axes of an image, channels among them.
const AXES: usize = 4;
/// Bytes before each chunk: its lengths.
const LENGTHS: usize = 16;

/// Kinds of numbers, by the names that numpy has for them.
const KINDS: [(&str, Kind, usize); 12] = [
    ("bool", Kind::Unsigned, 1),
    ("uint8", Kind::Unsigned, 1),
    ("uint16", Kind::Unsigned, 2),
    ("uint32", Kind::Unsigned, 4),
    ("uint64", Kind::Unsigned, 8),
    ("int8", Kind::Signed, 1),
    ("int16", Kind::Signed, 2),
    ("int32", Kind::Signed, 4),
    ("int64", Kind::Signed, 8),
    ("float16", Kind::Float, 2),
    ("float32", Kind::Float, 4),
    ("float64", Kind::Float, 8),
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Unsigned,
    Signed,
    Float,
}

/// An array, whose last axis runs fastest.
#[derive(Debug)]
pub struct Array {
    pub shape: Vec<usize>,
    kind: Kind,
    item: usize,
    bytes: Vec<u8>,
}

/// What is left to read of some bytes.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (own, rest) =
            self.0.split_at_checked(count).ok_or_else(|| wrong("a whole array", "one that is cut off"))?;
        self.0 = rest;
        Ok(own)
    }

    fn number<const N: usize>(&mut self) -> Result<u64> {
        let bytes = self.take(N)?;
        Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

impl Array {
    /// Reads an array of at most so many values; nothing is allocated before its claims are checked.
    ///
    /// # Errors
    /// [`polycl_base::Kind::Format`] for bytes that are no such array, or one of more values or other numbers.
    pub fn read(bytes: &[u8], most: usize) -> Result<Self> {
        let mut rest = Rest(bytes);
        if rest.take(4)? != MAGIC || rest.take(1)? != [VERSION] {
            return Err(wrong("an NNIA array of version 1", "other bytes"));
        }
        // Every chunk says its codec itself.
        rest.take(1)?;
        let (axes, letters) = (usize::from(rest.take(1)?[0]), usize::from(rest.take(1)?[0]));
        let name = rest.take(letters)?;
        let known = KINDS.iter().find(|(own, ..)| own.as_bytes() == name);
        let &(_, kind, item) = known.ok_or_else(|| {
            wrong("whole numbers or floats", format!("the type {}", String::from_utf8_lossy(name)))
        })?;
        if !(1..=AXES).contains(&axes) {
            return Err(wrong(format!("1 to {AXES} axes"), format!("{axes}")));
        }
        let mut shape = Vec::new();
        for _ in 0..axes {
            shape.push(usize::try_from(rest.number::<8>()?).unwrap_or(usize::MAX));
        }
        let count = shape.iter().try_fold(1_usize, |count, side| count.checked_mul(*side));
        let count = count.filter(|count| (1..=most).contains(count)).ok_or_else(|| {
            wrong(format!("1 to {most} values"), format!("an array of the shape {shape:?}"))
        })?;
        let length = count.checked_mul(item).ok_or_else(|| wrong("an array that fits", "a larger one"))?;
        let chunks = rest.number::<4>()? as usize;
        if chunks > rest.0.len() / (LENGTHS + HEADER) {
            return Err(wrong("chunks that were sent", format!("{chunks} in {} bytes", rest.0.len())));
        }
        let mut own = Vec::new();
        own.try_reserve_exact(length).map_err(|e| wrong("an array that fits into memory", e.to_string()))?;
        own.resize(length, 0);
        let mut left = own.as_mut_slice();
        for _ in 0..chunks {
            let (plain, packed) = (rest.number::<8>()?, rest.number::<8>()?);
            let [plain, packed] = [plain, packed].map(|count| usize::try_from(count).unwrap_or(usize::MAX));
            let (out, after) = left
                .split_at_mut_checked(plain)
                .ok_or_else(|| wrong(format!("{length} bytes in all"), format!("{plain} in a chunk")))?;
            unpack(rest.take(packed)?, out)?;
            left = after;
        }
        if !left.is_empty() || !rest.0.is_empty() {
            let found = format!("{} fewer, and {} behind them", left.len(), rest.0.len());
            return Err(wrong(format!("{length} bytes in all"), found));
        }
        Ok(Self { shape, kind, item, bytes: own })
    }

    /// The values as numbers.
    pub fn numbers(&self) -> Vec<f32> {
        let float = |bytes: &[u8]| match *bytes {
            [a, b] => half(u16::from_le_bytes([a, b])),
            [a, b, c, d] => f32::from_le_bytes([a, b, c, d]),
            [a, b, c, d, e, f, g, h] => f64::from_le_bytes([a, b, c, d, e, f, g, h]) as f32,
            _ => f32::NAN,
        };
        let unsigned =
            |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        let signed = |bytes: &[u8]| {
            let surplus = 64 - 8 * bytes.len() as u32;
            (unsigned(bytes) << surplus).cast_signed() >> surplus
        };
        let items = self.bytes.chunks_exact(self.item);
        match self.kind {
            Kind::Float => items.map(float).collect(),
            Kind::Unsigned => items.map(|bytes| unsigned(bytes) as f32).collect(),
            Kind::Signed => items.map(|bytes| signed(bytes) as f32).collect(),
        }
    }

    /// True where a value is not 0.
    pub fn truths(&self) -> Vec<bool> {
        self.bytes.chunks_exact(self.item).map(|bytes| bytes.iter().any(|byte| *byte != 0)).collect()
    }
}

/// A float of 16 bits.
fn half(bits: u16) -> f32 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    let size = match exponent {
        0 => fraction * (-24_f32).exp2(),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        exponent => (1.0 + fraction / 1024.0) * ((exponent - 15) as f32).exp2(),
    };
    if bits >> 15 == 1 { -size } else { size }
}

/// Writes an array of bytes, whose last axis runs fastest.
pub fn write(shape: [usize; 3], values: &[u8]) -> Vec<u8> {
    let name = "uint8";
    let mut bytes = Vec::with_capacity(values.len() + 128);
    bytes.extend(MAGIC);
    bytes.extend([VERSION, CODEC, shape.len() as u8, name.len() as u8]);
    bytes.extend(name.as_bytes());
    shape.iter().for_each(|side| bytes.extend((*side as u64).to_le_bytes()));
    let chunks = values.chunks(CHUNK);
    bytes.extend((chunks.len() as u32).to_le_bytes());
    for own in chunks {
        let chunk = store(own);
        bytes.extend((own.len() as u64).to_le_bytes());
        bytes.extend((chunk.len() as u64).to_le_bytes());
        bytes.extend(chunk);
    }
    bytes
}
