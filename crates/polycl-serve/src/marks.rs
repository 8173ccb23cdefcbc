//! Who made a label in each slice, and whether a person has looked at it.

use std::collections::{BTreeMap, BTreeSet};

use polycl_image::Plane;
use serde::{Deserialize, Serialize};

/// A label in an axial slice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mark {
    /// Nothing is there, and nobody has looked.
    #[default]
    Unknown,
    /// Nothing is there, as a person has seen.
    Empty,
    /// A person drew all of it, where no machine had proposed anything.
    Drawn,
    /// A machine's, which a person has mended.
    Edited,
    /// A person drew a part of it: in another plane, or another label over it.
    Crossed,
    /// A network's answer to a person's box or points.
    Prompted,
    /// A machine's, which a person has looked at.
    Viewed,
    /// A neighbour's, which a person copied.
    Copied,
    /// A machine's, which nobody has looked at.
    Proposed,
}

impl Mark {
    const LETTERS: [(Self, char); 9] = [
        (Self::Unknown, '.'),
        (Self::Empty, 's'),
        (Self::Drawn, 'd'),
        (Self::Edited, 'e'),
        (Self::Crossed, 'c'),
        (Self::Prompted, 'b'),
        (Self::Viewed, 'v'),
        (Self::Copied, 'k'),
        (Self::Proposed, 'p'),
    ];

    fn letter(self) -> char {
        Self::LETTERS.into_iter().find(|(mark, _)| *mark == self).map_or('.', |(_, letter)| letter)
    }

    fn of(letter: char) -> Self {
        Self::LETTERS.into_iter().find(|(_, own)| *own == letter).map_or(Self::Unknown, |(mark, _)| mark)
    }

    /// True if a person stands for every pixel of the slice: it is followed from there, and no proposal changes it.
    pub fn is_hand(self) -> bool {
        matches!(self, Self::Drawn | Self::Edited | Self::Prompted)
    }

    pub fn is_machine(self) -> bool {
        matches!(self, Self::Prompted | Self::Viewed | Self::Copied | Self::Proposed)
    }

    /// After a person drew in the slice itself.
    pub fn drawn(self) -> Self {
        let machines = self.is_machine() || matches!(self, Self::Edited | Self::Crossed);
        if machines { Self::Edited } else { Self::Drawn }
    }

    /// After a network answered a person's box or points in the slice itself.
    pub fn prompted(self) -> Self {
        if matches!(self, Self::Drawn | Self::Edited | Self::Crossed) { Self::Edited } else { Self::Prompted }
    }

    /// After a person looked at the slice.
    pub fn viewed(self) -> Self {
        match self {
            Self::Unknown => Self::Empty,
            Self::Proposed => Self::Viewed,
            other => other,
        }
    }
}

/// A machine's trust in its planes of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Confidence {
    pub plane: Plane,
    pub values: Vec<Option<f32>>,
    /// Pixels in each plane when it was found.
    pub pixels: Vec<u32>,
    /// The plane to draw next.
    pub next: Option<usize>,
}

impl Confidence {
    /// Pixels in doubt.
    pub fn doubt(&self) -> f64 {
        let doubts = self.values.iter().zip(&self.pixels);
        doubts.filter_map(|(value, &pixels)| Some(f64::from(1.0 - (*value)?) * f64::from(pixels))).sum()
    }
}

/// All marks of one label.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Marks {
    #[serde(with = "letters")]
    pub slices: Vec<Mark>,
    /// Planes of the other kinds in which a person drew.
    #[serde(default)]
    pub coronal: BTreeSet<usize>,
    #[serde(default)]
    pub sagittal: BTreeSet<usize>,
    #[serde(default)]
    pub confidence: Option<Confidence>,
}

impl Marks {
    pub fn new(slices: usize) -> Self {
        Self { slices: vec![Mark::Unknown; slices], ..Self::default() }
    }

    pub fn text(&self) -> String {
        self.slices.iter().map(|mark| mark.letter()).collect()
    }

    /// The planes of a kind for all pixels of which a person stands.
    pub fn by_hand(&self, plane: Plane) -> BTreeSet<usize> {
        match plane {
            Plane::Axial => {
                (0..).zip(&self.slices).filter(|(_, mark)| mark.is_hand()).map(|(k, _)| k).collect()
            }
            Plane::Coronal => self.coronal.clone(),
            Plane::Sagittal => self.sagittal.clone(),
        }
    }

    /// Notes that a machine proposes what is in these slices where no person drew. One that it leaves as it was keeps its
    /// mark.
    pub fn propose(&mut self, holds: impl Fn(usize) -> bool, changes: impl Fn(usize) -> bool) {
        for (z, mark) in self.slices.iter_mut().enumerate().filter(|(_, mark)| !mark.is_hand()) {
            *mark = match (holds(z), *mark) {
                (true, own) if !changes(z) && (own.is_machine() || own == Mark::Crossed) => own,
                (true, _) => Mark::Proposed,
                (false, Mark::Empty) if !changes(z) => Mark::Empty,
                (false, _) => Mark::Unknown,
            };
        }
    }
}

/// The marks of labels by value.
pub type AllMarks = BTreeMap<u16, Marks>;

mod letters {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Mark;

    pub fn serialize<S: Serializer>(marks: &[Mark], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&marks.iter().map(|mark| mark.letter()).collect::<String>())
    }

    pub fn deserialize<'d, D: Deserializer<'d>>(deserializer: D) -> Result<Vec<Mark>, D::Error> {
        Ok(String::deserialize(deserializer)?.chars().map(Mark::of).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_go_their_way() {
        assert_eq!(Mark::Unknown.drawn(), Mark::Drawn);
        assert_eq!(Mark::Proposed.viewed().drawn(), Mark::Edited);
        assert_eq!(Mark::Edited.drawn().viewed(), Mark::Edited);
        assert_eq!(Mark::Drawn.viewed(), Mark::Drawn);
        let mut marks = Marks::new(4);
        marks.slices[1] = Mark::Drawn;
        marks.propose(|z| z < 3, |_| true);
        assert_eq!(marks.text(), "pdp.");
        marks.slices[0] = marks.slices[0].viewed();
        marks.propose(|z| z < 2, |z| z == 2);
        assert_eq!(marks.text(), "vd..");
        marks.slices[0] = Mark::Proposed;
        marks.slices[2] = Mark::Proposed;
        let text = serde_json::to_string(&marks).unwrap();
        assert_eq!(serde_json::from_str::<Marks>(&text).unwrap(), marks);
        assert_eq!(marks.by_hand(Plane::Axial), BTreeSet::from([1]));
    }

    #[test]
    fn a_box_is_an_anchor_and_no_drawing() {
        assert_eq!(Mark::Unknown.prompted(), Mark::Prompted);
        assert_eq!([Mark::Drawn, Mark::Edited, Mark::Crossed].map(Mark::prompted), [Mark::Edited; 3]);
        assert!(Mark::Prompted.is_hand() && Mark::Prompted.is_machine());
        assert_eq!((Mark::Prompted.drawn(), Mark::Prompted.viewed()), (Mark::Edited, Mark::Prompted));
    }
}
