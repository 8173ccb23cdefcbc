//! Numbers of labels in the files that go to and fro: a client knows labels by their names, and by their place in a list.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::document::Label;
use crate::refusal::{Answer, Refusal};

/// Segments that the client keeps for itself: its lists leave them out.
const OWN: [&str; 3] = ["background", FOREGROUND, BACKGROUND];
/// Segments with what was scribbled for a label, and against it.
pub const FOREGROUND: &str = "foreground_scribbles";
pub const BACKGROUND: &str = "background_scribbles";

pub fn is_own(name: &str) -> bool {
    OWN.contains(&name)
}

/// Labels in the order of their numbers, which go from 1 on without gaps whether a label has voxels or not.
pub struct Numbering(Vec<(u16, String)>);

impl Numbering {
    /// Of a table of labels.
    pub fn all(labels: &[Label]) -> Self {
        let labels = labels.iter().filter(|label| !is_own(&label.name));
        Self(labels.map(|label| (label.value, label.name.clone())).collect())
    }

    /// Of one label.
    pub fn one(value: u16, name: &str) -> Self {
        Self(vec![(value, name.to_owned())])
    }

    pub fn names(&self) -> Map<String, Value> {
        (1_u64..).zip(&self.0).map(|(number, (_, name))| (name.clone(), number.into())).collect()
    }

    /// The numbers of labels in place of the document's values.
    pub fn apply(&self, mask: &[u16]) -> Vec<u16> {
        let mut table = vec![0; usize::from(u16::MAX) + 1];
        (1_u16..).zip(&self.0).for_each(|(number, (value, _))| table[usize::from(*value)] = number);
        mask.iter().map(|value| table[usize::from(*value)]).collect()
    }
}

/// A segment as a client tells of it.
#[derive(Debug, Clone, Deserialize)]
pub struct Segment {
    pub name: String,
    /// Its place among all segments, from 1, whether they are sent or not.
    #[serde(alias = "id")]
    pub idx: i64,
}

/// The names of the numbers in a label map. 3D Slicer numbers the segments that it sends one by one, but tells of each its
/// place among all segments: the place in the list counts. Where numbers are beyond the list, the client means what it says.
///
/// # Errors
/// `bad_labels`
pub fn names(mask: &[u16], segments: &[Segment]) -> Answer<BTreeMap<u16, String>> {
    let mut segments = segments.to_vec();
    segments.sort_by_key(|segment| segment.idx);
    let mut seen = vec![false; usize::from(u16::MAX) + 1];
    mask.iter().for_each(|number| seen[usize::from(*number)] = true);
    let seen: BTreeSet<u16> = (1..=u16::MAX).filter(|number| seen[usize::from(*number)]).collect();
    let wrong = |text: String| Refusal::senseless("bad_labels", text);
    let by_place = seen.last().is_none_or(|last| usize::from(*last) <= segments.len());
    let mut names = BTreeMap::new();
    for (number, Segment { name, idx }) in (1_i64..).zip(segments) {
        let number = u16::try_from(if by_place { number } else { idx });
        let number = number.ok().filter(|number| *number > 0);
        let number = number.ok_or_else(|| wrong(format!("A segment cannot have the number {idx}.")))?;
        if names.insert(number, name).is_some() {
            return Err(wrong(format!("Two segments have the number {number}.")));
        }
    }
    if let Some(nameless) = seen.iter().find(|number| !names.contains_key(number)) {
        let told: Vec<String> = names.iter().map(|(number, name)| format!("{number} = {name}")).collect();
        let message = format!(
            "Expected the segments that label_info tells of ({}), found the number {nameless}.",
            told.join(", ")
        );
        return Err(wrong(message).hint("give each segment a name in label_info"));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::label;

    fn segments(all: &[(&str, i64)]) -> Vec<Segment> {
        all.iter().map(|&(name, idx)| Segment { name: name.to_owned(), idx }).collect()
    }

    fn named(mask: &[u16], all: &[(&str, i64)]) -> Vec<(u16, String)> {
        names(mask, &segments(all)).unwrap().into_iter().collect()
    }

    #[test]
    fn an_absent_organ_keeps_its_number() {
        let labels = [(7, "liver"), (300, "spleen"), (2, "background"), (5, "kidney")];
        let labels = labels.map(|(value, name)| label(value, name, 0)).to_vec();
        let all = Numbering::all(&labels);
        assert_eq!(Value::from(all.names()).to_string(), r#"{"liver":1,"spleen":2,"kidney":3}"#);
        // No spleen, and what is called background is none of the client's.
        assert_eq!(all.apply(&[5, 0, 7, 2]), [3, 0, 1, 0]);
        assert_eq!(Numbering::one(300, "spleen").apply(&[300, 7, 0]), [1, 0, 0]);
    }

    #[test]
    fn segments_are_numbered_as_slicer_exports_them() {
        let told = |all: &[(u16, &str)]| Vec::from_iter(all.iter().map(|&(at, name)| (at, name.to_owned())));
        // A segment called background came first and is not sent: places and numbers are out of step.
        assert_eq!(named(&[0, 2], &[("liver", 2), ("spleen", 3)]), told(&[(1, "liver"), (2, "spleen")]));
        // An empty segment leaves a gap.
        assert_eq!(
            named(&[0, 3], &[("liver", 1), ("spleen", 2), ("kidney", 3)])[2],
            (3, "kidney".to_owned())
        );
        // Other clients say what they mean.
        assert_eq!(named(&[0, 2, 5], &[("liver", 5), ("spleen", 2)]), told(&[(2, "spleen"), (5, "liver")]));
        assert_eq!(names(&[9], &segments(&[("liver", 1)])).unwrap_err().code, "bad_labels");
        assert_eq!(names(&[9], &segments(&[("liver", -1)])).unwrap_err().code, "bad_labels");
        assert_eq!(names(&[9], &segments(&[("a", 9), ("b", 9)])).unwrap_err().code, "bad_labels");
        assert!(named(&[0, 0], &[]).is_empty());
    }
}
