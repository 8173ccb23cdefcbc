//! The word of a DICOM segmentation, or of contours, about who drew it, found without decoding the object.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::dicom::segmentation::Automation;
use crate::dicom::structures::Structures;

/// The part of a file that is looked at: segments are described before anything that is large.
const PART: u64 = 1 << 20;
/// The classes of segmentations and of contours, and in each the element that says it, little endian:
/// SegmentAlgorithmType, ROIGenerationAlgorithm.
const CLASSES: [(&[u8], [u8; 4]); 2] = [
    (b"1.2.840.10008.5.1.4.1.1.66.4", [0x62, 0, 0x08, 0]),
    (b"1.2.840.10008.5.1.4.1.1.481.3", [0x06, 0x30, 0x36, 0]),
];

/// The least that a person had to do with the segments of a DICOM segmentation, or with the ROIs of an RTSTRUCT; `None` for another file, or where a person
/// drew all of them.
pub fn of_segmentation(file: &Path) -> Option<Automation> {
    let mut bytes = Vec::new();
    File::open(file).ok()?.take(PART).read_to_end(&mut bytes).ok()?;
    let class = CLASSES.into_iter().find(|(class, _)| contains(&bytes, class));
    let (_, element) = class.filter(|_| bytes.get(128..132) == Some(b"DICM"))?;
    let words = || bytes.windows(4).enumerate().filter(|(_, tag)| **tag == element);
    let said = |word: &str| words().any(|(at, _)| value(&bytes[at + 4..]).is_some_and(|value| value == word));
    match said("AUTOMATIC") {
        true => Some(Automation::Automatic),
        false => said("SEMIAUTOMATIC").then_some(Automation::Semiautomatic),
    }
}

/// The same of the segments and ROIs that a mask takes from a DICOM object; `None` where nothing is said, too.
pub fn of(object: &Structures) -> Option<Automation> {
    let said = |automation| object.list.iter().any(|structure| structure.automation == Some(automation));
    [Automation::Automatic, Automation::Semiautomatic].into_iter().find(|&automation| said(automation))
}

/// The text of an element behind its tag, with a VR or without.
fn value(bytes: &[u8]) -> Option<&str> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    let length = match *head {
        [b'C', b'S', low, high] => usize::from(u16::from_le_bytes([low, high])),
        without_vr => usize::try_from(u32::from_le_bytes(without_vr)).ok()?,
    };
    let text = rest.get(..length)?;
    Some(std::str::from_utf8(text).ok()?.trim_matches([' ', '\0']))
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
