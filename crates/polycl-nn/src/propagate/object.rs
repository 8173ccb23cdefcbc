//! The word of a person: which objects there are, and in which slices they are shown.

use std::collections::{BTreeMap, BTreeSet};

use polycl_image::names::Names;
use polycl_image::orient::Reorientation;
use polycl_image::preprocess::labels_of;
use polycl_image::{Mask, Plane, Space};
use serde::{Deserialize, Serialize};

use crate::sam::window_of;

/// A box or a click, in voxels of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clue {
    pub label: u16,
    /// Number along the file's slice axis, or its axis across planes of another kind.
    pub slice: usize,
    pub place: Place,
}

/// Along the two axes of a slice: those of the file in their order, or the canonical ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// First and last column, first and last row, both included: x0, y0, x1, y1.
    Box([usize; 4]),
    /// On the object, or beside it.
    Point { xy: [usize; 2], positive: bool },
}

/// A label, and the slices (from the feet) in which it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    pub label: u16,
    /// Intensity window in HU.
    pub window: [f32; 2],
    /// Slices in which its pixels are drawn.
    pub drawn: BTreeSet<usize>,
    /// Boxes and clicks by slice.
    pub prompted: BTreeMap<usize, Vec<Place>>,
}

impl Object {
    /// The objects of an annotation and of clues, by label; planes of any kind are the slices. What is drawn in a slice
    /// goes before clues. `window` is for all objects; without it, names decide.
    pub fn all(
        space: &Space,
        plane: Plane,
        annotation: Option<&Mask>,
        clues: &[Clue],
        names: &Names,
        window: Option<[f32; 2]>,
    ) -> Vec<Self> {
        let order = plane.order(space);
        let mut all: BTreeMap<u16, Self> = BTreeMap::new();
        let object = |label: u16| {
            let window = window.unwrap_or_else(|| window_of(names.get(&label)));
            Self { label, window, drawn: BTreeSet::new(), prompted: BTreeMap::new() }
        };
        for (mask, k) in
            annotation.into_iter().flat_map(|m| (0..space.shape[order.slice_axis()]).map(move |k| (m, k)))
        {
            for label in labels_of(&order.plane(mask, k)) {
                all.entry(label).or_insert_with(|| object(label)).drawn.insert(k);
            }
        }
        for clue in clues {
            let own = all.entry(clue.label).or_insert_with(|| object(clue.label));
            let slice = order.slice_to_canonical(clue.slice, space);
            if !own.drawn.contains(&slice) {
                own.prompted.entry(slice).or_default().push(clue.place.canonical(&order, space));
            }
        }
        all.into_values().collect()
    }

    /// The slices in which it is shown, from the feet.
    pub fn shown(&self) -> BTreeSet<usize> {
        self.drawn.iter().chain(self.prompted.keys()).copied().collect()
    }

    pub fn is_shown(&self, k: usize) -> bool {
        self.drawn.contains(&k) || self.prompted.contains_key(&k)
    }

    /// The shown slices nearest to another slice, below it and above it.
    pub fn around(&self, k: usize) -> [Option<usize>; 2] {
        let shown = self.shown();
        [shown.range(..k).next_back().copied(), shown.range(k + 1..).next().copied()]
    }
}

impl Place {
    /// From the file's axes to the canonical ones.
    fn canonical(self, order: &Reorientation, space: &Space) -> Self {
        // The file's axes within a slice, in its order.
        let own: Vec<usize> = (0..3).filter(|&axis| axis != order.slice_axis()).collect();
        let moved = |xy: [usize; 2]| {
            [0, 1].map(|new| {
                let axis = order.axes[new];
                let at = xy[usize::from(axis != own[0])];
                if order.flip[new] { space.shape[axis] - 1 - at } else { at }
            })
        };
        match self {
            Self::Point { xy, positive } => Self::Point { xy: moved(xy), positive },
            Self::Box([x0, y0, x1, y1]) => {
                let (a, b) = (moved([x0, y0]), moved([x1, y1]));
                Self::Box([a[0].min(b[0]), a[1].min(b[1]), a[0].max(b[0]), a[1].max(b[1])])
            }
        }
    }
}
