//! Changes of a mask that can be undone.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::document::{Label, Machines, Review};
use crate::marks::Marks;

/// Neighbouring voxels that had one label and have another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    pub start: u32,
    pub length: u32,
    pub old: u16,
    pub new: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    Stroke,
    Copy,
    /// A label taken out of one plane or many.
    Clear,
    /// A label taken out of the table, with all its pixels.
    Remove,
    Prompt,
    Interpolate,
    Propagate,
    Predict,
    /// A mask of another program.
    Given,
}

/// A change of voxels, of who made them, and of how far they are believed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub what: What,
    #[serde(serialize_with = "pack", deserialize_with = "unpack")]
    pub changes: Vec<Change>,
    /// Before and after, of labels that change.
    pub marks: BTreeMap<u16, [Marks; 2]>,
    #[serde(alias = "machine")]
    pub machines: [Machines; 2],
    /// The label that a person worked on; without it, the step is about all of `marks`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<u16>,
    /// The word that the scan is done, which the step took back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<Review>,
    /// The label that the step takes out of the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removes: Option<Label>,
}

impl Step {
    /// The labels that the step is about.
    pub fn about(&self) -> Vec<u16> {
        self.label.map_or_else(|| self.marks.keys().copied().collect(), |label| vec![label])
    }
}

/// The changes from one mask to another, whose voxels come in order; those that are left out stay.
pub fn changes(mask: &[u16], wanted: impl Iterator<Item = (usize, u16)>) -> Vec<Change> {
    let mut all: Vec<Change> = Vec::new();
    for (at, new) in wanted {
        let old = mask[at];
        if old == new {
            continue;
        }
        match all.last_mut() {
            Some(last) if (last.start + last.length) as usize == at && (last.old, last.new) == (old, new) => {
                last.length += 1;
            }
            _ => all.push(Change { start: at as u32, length: 1, old, new }),
        }
    }
    all
}

fn pack<S: Serializer>(changes: &[Change], serializer: S) -> Result<S::Ok, S::Error> {
    let mut bytes = Vec::with_capacity(12 * changes.len());
    for change in changes {
        bytes.extend(change.start.to_le_bytes());
        bytes.extend(change.length.to_le_bytes());
        bytes.extend(change.old.to_le_bytes());
        bytes.extend(change.new.to_le_bytes());
    }
    serializer.serialize_str(&STANDARD.encode(bytes))
}

fn unpack<'d, D: Deserializer<'d>>(deserializer: D) -> Result<Vec<Change>, D::Error> {
    let bytes = STANDARD.decode(String::deserialize(deserializer)?).map_err(de::Error::custom)?;
    if bytes.len() % 12 != 0 {
        return Err(de::Error::custom("changes of another length"));
    }
    let word = |b: &[u8]| u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    let change = |b: &[u8]| Change {
        start: word(b),
        length: word(&b[4..]),
        old: u16::from_le_bytes([b[8], b[9]]),
        new: u16::from_le_bytes([b[10], b[11]]),
    };
    Ok(bytes.chunks_exact(12).map(change).collect())
}
