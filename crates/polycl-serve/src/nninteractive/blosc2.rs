//! Chunks of blosc2: read as they come compressed with zstd, written as plain bytes.

use polycl_base::{Error, Kind, Result, Subject};

/// Bytes of a chunk's header in its long form, which all clients send.
pub const HEADER: usize = 32;
/// The latest version of chunks that is known.
const VERSION: u8 = 5;
/// The flags that together say that the header is a long one.
const LONG: u8 = 0b101;
const STORED: u8 = 0b10;
/// The streams of a block's bytes are one.
const WHOLE: u8 = 0b1_0000;
const ZSTD: u8 = 4;
const SHUFFLE: u8 = 1;
/// Where all values of a chunk are the same, a word in its header says so.
const ZEROS: u8 = 1;
const NANS: u8 = 2;
const REPEATED: u8 = 3;

/// What is wrong with a chunk or with the array around it.
pub fn wrong(expected: impl Into<String>, found: impl Into<String>) -> Error {
    Error::new(Subject::Work("the array that was sent"), Kind::Format, expected, found)
}

fn cut_off() -> Error {
    wrong("a whole chunk of blosc2", "one that is cut off")
}

/// A chunk's header, checked.
struct Header {
    flags: u8,
    item: usize,
    block: usize,
    is_shuffled: bool,
    special: u8,
}

impl Header {
    fn read(chunk: &[u8], length: usize) -> Result<Self> {
        let head: &[u8; HEADER] = chunk.first_chunk().ok_or_else(cut_off)?;
        let (version, flags, item) = (head[0], head[2], usize::from(head[3]));
        if version > VERSION || flags & LONG != LONG {
            return Err(wrong("a chunk of blosc2", format!("version {version} with the flags {flags:#x}")));
        }
        let [bytes, block, packed] = [4, 8, 12].map(|at| word(head, at).unwrap_or(-1));
        let sides = [bytes, block, packed].map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        if sides[0] != length || sides[2] != chunk.len() {
            let found = format!("one that says {bytes} in {packed}");
            return Err(wrong(format!("a chunk of {length} bytes in {}", chunk.len()), found));
        }
        if item == 0 || sides[1] == 0 || sides[1] > length {
            return Err(wrong("blocks of whole items", format!("{item} bytes an item, {block} a block")));
        }
        let filters = &head[16..22];
        if filters.iter().any(|filter| *filter > SHUFFLE)
            || filters.iter().filter(|filter| **filter == SHUFFLE).count() > 1
        {
            return Err(wrong("no filter but one byte shuffle", format!("the filters {filters:?}")));
        }
        let (special, other) = (head[31] >> 4 & 7, head[31] & 0b1000_1111);
        if other != 0 {
            return Err(wrong("no dictionary and the least byte first", format!("the flags {other:#x}")));
        }
        Ok(Self { flags, item, block: sides[1], is_shuffled: filters.contains(&SHUFFLE), special })
    }
}

fn word(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Unpacks a chunk into all of `out`, which is zero.
///
/// # Errors
/// [`Kind::Format`] for a chunk of another length, a damaged one, and one of another codec or filter.
pub fn unpack(chunk: &[u8], out: &mut [u8]) -> Result<()> {
    let header = Header::read(chunk, out.len())?;
    if header.special != 0 {
        return repeat(chunk, &header, out);
    }
    if header.flags & STORED != 0 {
        let plain = chunk.get(HEADER..HEADER + out.len()).ok_or_else(cut_off)?;
        out.copy_from_slice(plain);
        return Ok(());
    }
    if header.flags >> 5 != ZSTD {
        let found = format!("the codec {}", header.flags >> 5);
        return Err(wrong("chunks compressed with zstd", found).hint("choose zstd, the client's default"));
    }
    let mut shuffled = Vec::new();
    for (number, block) in out.chunks_mut(header.block).enumerate() {
        let start = word(chunk, HEADER + 4 * number).ok_or_else(cut_off)?;
        let packed = usize::try_from(start).ok().and_then(|start| chunk.get(start..)).ok_or_else(cut_off)?;
        // The last block, where it is shorter, is one stream.
        let is_whole = header.flags & WHOLE != 0 || block.len() < header.block;
        let streams = if is_whole || block.len() % header.item != 0 { 1 } else { header.item };
        if header.is_shuffled && header.item > 1 {
            shuffled.clear();
            shuffled.resize(block.len(), 0);
            unpack_streams(packed, streams, &mut shuffled)?;
            unshuffle(&shuffled, header.item, block);
        } else {
            unpack_streams(packed, streams, block)?;
        }
    }
    Ok(())
}

/// Fills `out` with the value that a header says all are.
fn repeat(chunk: &[u8], header: &Header, out: &mut [u8]) -> Result<()> {
    let value: Vec<u8> = match (header.special, header.item) {
        (ZEROS, _) => return Ok(()),
        (NANS, 4) => f32::NAN.to_le_bytes().to_vec(),
        (NANS, 8) => f64::NAN.to_le_bytes().to_vec(),
        (REPEATED, item) => chunk.get(HEADER..HEADER + item).ok_or_else(cut_off)?.to_vec(),
        (other, _) => return Err(wrong("a value that all voxels have", format!("the word {other} for it"))),
    };
    out.chunks_mut(value.len()).for_each(|item| item.copy_from_slice(&value[..item.len()]));
    Ok(())
}

/// Unpacks a block of streams of equal lengths, each behind its packed length.
fn unpack_streams(mut packed: &[u8], streams: usize, block: &mut [u8]) -> Result<()> {
    let damaged = |found: String| wrong("a whole stream", found);
    for stream in block.chunks_mut(block.len() / streams) {
        let length = word(packed, 0).ok_or_else(cut_off)?;
        packed = &packed[4..];
        // A run of zeros has no bytes; one of another byte has that byte in its length, and a word of its own.
        if length <= 0 {
            let value = u8::try_from(-i64::from(length)).map_err(|_| damaged(format!("length {length}")))?;
            if value != 0 {
                let (&token, rest) = packed.split_first().ok_or_else(cut_off)?;
                if token & 1 == 0 {
                    return Err(damaged(format!("the token {token}")));
                }
                packed = rest;
            }
            stream.fill(value);
            continue;
        }
        let (own, rest) = packed.split_at_checked(length as usize).ok_or_else(cut_off)?;
        packed = rest;
        if own.len() == stream.len() {
            stream.copy_from_slice(own);
            continue;
        }
        let found = zstd::bulk::decompress_to_buffer(own, stream).map_err(|e| damaged(e.to_string()))?;
        if found != stream.len() {
            return Err(damaged(format!("{found} bytes of {}", stream.len())));
        }
    }
    Ok(())
}

/// Brings the bytes of each item together: first bytes of all items come first, then all second ones.
fn unshuffle(shuffled: &[u8], item: usize, out: &mut [u8]) {
    let items = out.len() / item;
    for (number, bytes) in shuffled.chunks_exact(items.max(1)).take(item).enumerate() {
        bytes.iter().enumerate().for_each(|(at, byte)| out[at * item + number] = *byte);
    }
    let rest = items * item;
    out[rest..].copy_from_slice(&shuffled[rest..]);
}

/// A chunk of plain bytes, which every blosc2 reads.
///
/// # Panics
/// Above the 2 GiB that a chunk may have.
pub fn store(bytes: &[u8]) -> Vec<u8> {
    let length = |more: usize| i32::try_from(bytes.len() + more).expect("a chunk of less than 2 GiB");
    let mut chunk = Vec::with_capacity(HEADER + bytes.len());
    chunk.extend([VERSION, 1, LONG | STORED, 1]);
    [length(0), length(0), length(HEADER)].iter().for_each(|word| chunk.extend(word.to_le_bytes()));
    chunk.resize(HEADER, 0);
    chunk.extend(bytes);
    chunk
}
