//! The beginning of a file: whether it is DICOM, how it is spelt, and where its elements lie.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use dicom_core::{Tag, VR};
use flate2::read::DeflateDecoder;
use polycl_base::{Error, Kind, Result};

use super::scan::{Element, Fault, Scan, Syntax, head, scan};
use super::wanted::WANTED;

/// Bytes of a file that are read at first: most headers of CT slices fit.
const FIRST: u64 = 1 << 15;
/// A deflated header may be a thousand times longer than its file, and what only looks like DICOM may go on
/// for ever: no more than this is looked at.
const HEADER: u64 = 1 << 26;
const LITTLE: Syntax = Syntax { explicit: true, big: false };

pub(super) const IMPLICIT: &str = "1.2.840.10008.1.2";
pub(super) const BIG: &str = "1.2.840.10008.1.2.2";
pub(super) const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
/// GE's own: a header in implicit little endian before pixels in big endian.
pub(super) const GE: &str = "1.2.840.113619.5.2";

/// What is known of a file once its beginning was walked.
pub(super) struct Head {
    /// The data set's beginning, inflated where the file is deflated; at least up to the pixel data.
    pub bytes: Vec<u8>,
    pub scan: Scan,
    pub syntax: Syntax,
    /// Transfer syntax UID; empty where the file has no meta header.
    pub transfer: String,
    /// Where the data set begins in the file.
    pub start: u64,
    /// Length of the whole file.
    pub held: u64,
}

/// Reads as much of a file as it takes to walk its header; `None` where it is no DICOM file.
///
/// # Errors
/// `Io`, and `Format` or `Truncated` for a DICOM file whose header is damaged.
pub(super) fn open(path: &Path) -> Result<Option<Head>> {
    let failed = |e: std::io::Error| Error::io(path, "read it", &e);
    let mut file = File::open(path).map_err(failed)?;
    let held = file.metadata().map_err(failed)?.len();
    let mut bytes = Vec::new();
    let mut wanted = FIRST;
    loop {
        (&mut file).take(wanted - bytes.len() as u64).read_to_end(&mut bytes).map_err(failed)?;
        let whole = (bytes.len() as u64) < wanted;
        match try_open(&bytes, held, whole) {
            Ok(found) => return Ok(found),
            Err(Fault::More) if !whole => wanted *= 8,
            Err(fault) => return Err(damaged(path, fault)),
        }
    }
}

fn damaged(path: &Path, fault: Fault) -> Error {
    let found = match fault {
        Fault::Damaged(found) => found,
        Fault::More => "less than its header claims".to_owned(),
    };
    Error::new(path, Kind::Format, "an intact DICOM header", found)
        .hint("export or copy the file again: it is damaged or incomplete")
}

fn try_open(bytes: &[u8], held: u64, whole: bool) -> std::result::Result<Option<Head>, Fault> {
    let preamble = bytes.get(128..132) == Some(b"DICM");
    let begin = if preamble { 132 } else { 0 };
    let named = preamble
        || head(bytes, LITTLE).is_some_and(|(tag, vr, ..)| tag.0 == 2 && tag.1 <= 0x10 && vr != VR::UN);
    let (transfer, start) = if named { meta(bytes, begin)? } else { (String::new(), begin) };
    let sure = preamble || start > begin;
    let Some(syntax) = spelling(&bytes[start.min(bytes.len())..], &transfer) else {
        return if sure { Err(Fault::Damaged("no data set".to_owned())) } else { Ok(None) };
    };
    let (data, total) = if transfer == DEFLATED {
        inflated_head(&bytes[start..], whole)?
    } else {
        (bytes[start..].to_vec(), held - start as u64)
    };
    match scan(&data, total, syntax, |tag| WANTED.contains(&tag)) {
        Ok(scan) if sure || has_class(&scan) => {
            Ok(Some(Head { bytes: data, scan, syntax, transfer, start: start as u64, held }))
        }
        Err(fault) if sure => Err(fault),
        // Without a meta header a file may be anything that begins with a small number.
        Err(Fault::More) if !whole && (bytes.len() as u64) < HEADER => Err(Fault::More),
        _ => Ok(None),
    }
}

/// The transfer syntax of the meta header (group 2, always explicit little endian) and where it ends.
fn meta(bytes: &[u8], begin: usize) -> std::result::Result<(String, usize), Fault> {
    let (mut at, mut transfer) = (begin, String::new());
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some((tag, _, length, size)) = head(rest, LITTLE) else {
            return if at == begin { Ok((transfer, at)) } else { Err(Fault::More) };
        };
        if tag.0 != 2 {
            return Ok((transfer, at));
        }
        let value = rest.get(size..size.saturating_add(length as usize)).ok_or(Fault::More)?;
        if tag == Tag(2, 0x10) {
            transfer = String::from_utf8_lossy(value).trim_end_matches(['\0', ' ']).to_owned();
        }
        at += size + length as usize;
    }
}

/// How the data set is spelt. Writers confuse the transfer syntaxes, and the first element tells explicit from implicit
/// VR and big from little endian. `None` where this is no beginning of a data set.
fn spelling(data: &[u8], transfer: &str) -> Option<Syntax> {
    if transfer == DEFLATED {
        return Some(LITTLE);
    }
    let first = data.get(..8)?;
    let explicit =
        first[4..6].iter().all(u8::is_ascii_uppercase) && VR::from_binary([first[4], first[5]]).is_some();
    // The first group of a data set is 8 (or 4 in a DICOMDIR), of which big endian writes the zero first.
    let big = explicit && first[0] == 0 && first[1] != 0;
    let group =
        if big { u16::from_be_bytes([first[0], first[1]]) } else { u16::from_le_bytes([first[0], first[1]]) };
    (!transfer.is_empty() || matches!(group, 4..=0x10)).then_some(Syntax { explicit, big })
}

fn has_class(scan: &Scan) -> bool {
    scan.elements.iter().any(|element: &Element| element.tag == Tag(8, 0x16))
}

/// The beginning of a deflated data set, sixteen times as long as what was read of it, and its length (or no
/// limit, where it does not end here).
fn inflated_head(bytes: &[u8], whole: bool) -> std::result::Result<(Vec<u8>, u64), Fault> {
    let limit = (16 * bytes.len() as u64).clamp(FIRST, HEADER);
    let mut data = Vec::new();
    let ended = DeflateDecoder::new(bytes).take(limit).read_to_end(&mut data);
    match ended {
        Ok(_) if (data.len() as u64) < limit => {
            let total = data.len() as u64;
            Ok((data, total))
        }
        Ok(_) => Ok((data, u64::MAX)),
        Err(_) if !whole => Ok((data, u64::MAX)),
        Err(_) => Err(Fault::Damaged("deflated data that break off".to_owned())),
    }
}

/// Inflates a whole data set of at most `limit` bytes.
pub(super) fn inflate(bytes: &[u8], limit: u64) -> std::io::Result<Vec<u8>> {
    let mut data = Vec::new();
    DeflateDecoder::new(bytes).take(limit).read_to_end(&mut data)?;
    Ok(data)
}
