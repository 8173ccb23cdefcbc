//! The contours of one ROI, by the slices of a scan.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use dicom_dictionary_std::tags;

use super::contour::points;
use super::fill::Point;
use super::plane::{Flat, Planes};
use super::skipped::{Skipped, Tally};
use crate::Space;
use crate::dicom::item::Item;

/// Contours within this part of the distance between slices of each other are of one plane.
const ONE_PLANE: f64 = 0.05;
/// Contours farther than this many mm from their slices are told.
const TOLD: f64 = 0.05;

pub(super) struct Roi {
    pub planes: Planes,
    /// The contours of each slice that has some.
    pub slices: BTreeMap<usize, Vec<Vec<Point>>>,
    skipped: Tally,
    /// Contours that have more or fewer points than they say.
    miscounted: usize,
    /// Contours that go beyond the voxels of their slice.
    cut: usize,
    /// The contours that lie between slices, and the farthest of them in mm.
    moved: (usize, f64),
}

impl Roi {
    /// Reads the contours in `items`, and brings them to the slices of a scan. These run along the axis to which the first
    /// contour stands upright.
    pub fn read(items: &[Item], scan: &Space) -> Self {
        let mut found: BTreeMap<usize, Vec<Flat>> = BTreeMap::new();
        let mut axis = None;
        let mut roi = Self {
            planes: Planes::along(scan, 2),
            slices: BTreeMap::new(),
            skipped: Tally::default(),
            miscounted: 0,
            cut: 0,
            moved: (0, 0.0),
        };
        for contour in items.iter().flat_map(|item| item.items(tags::CONTOUR_SEQUENCE)) {
            let flat = points(contour).and_then(|(points, counted)| {
                if axis.is_none() {
                    axis = Planes::axis_of(scan, &points);
                    roi.planes = Planes::along(scan, axis.unwrap_or(2));
                }
                roi.miscounted += usize::from(!counted);
                roi.planes.flat(&points)
            });
            match flat {
                Ok(flat) => found.entry(flat.slice).or_default().push(flat),
                Err(reason) => roi.skipped.add(reason),
            }
        }
        for (slice, contours) in found {
            let contours = roi.nearest(contours);
            roi.slices.insert(slice, contours);
        }
        roi
    }

    /// The contours of the plane that is nearest to the slice, each once: two planes, or a contour and its copy, would take
    /// each other away.
    fn nearest(&mut self, contours: Vec<Flat>) -> Vec<Vec<Point>> {
        let nearest = contours.iter().map(|contour| contour.off).min_by(|a, b| a.abs().total_cmp(&b.abs()));
        let nearest = nearest.unwrap_or_default();
        let mut kept: Vec<Vec<Point>> = Vec::new();
        let mut seen: HashMap<u64, Vec<usize>> = HashMap::new();
        for Flat { off, points, .. } in contours {
            if (off - nearest).abs() > ONE_PLANE {
                self.skipped.add(Skipped::Farther);
                continue;
            }
            let alike = seen.entry(hash(&points)).or_default();
            if alike.iter().any(|&at| kept[at] == points) {
                self.skipped.add(Skipped::Repeated);
                continue;
            }
            alike.push(kept.len());
            self.cut += usize::from(self.planes.leaves(&points));
            let mm = off.abs() * self.planes.step();
            if mm > TOLD {
                self.moved = (self.moved.0 + 1, self.moved.1.max(mm));
            }
            kept.push(points);
        }
        kept
    }

    /// Sentences about what was made of the contours.
    pub fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = self.skipped.words().into_iter().collect();
        if self.miscounted > 0 {
            notes.push(format!(
                "contours whose points are not as many as they say, and were read: {}",
                self.miscounted
            ));
        }
        if self.cut > 0 {
            notes.push(format!("contours that reach beyond the scan, and were cut off there: {}", self.cut));
        }
        let (moved, mm) = self.moved;
        if moved > 0 {
            notes.push(format!(
                "contours between slices, drawn on the nearest, up to {mm:.2} mm away: {moved}"
            ));
        }
        notes
    }
}

fn hash(points: &[Point]) -> u64 {
    let mut hasher = DefaultHasher::new();
    points.iter().flatten().for_each(|number| number.to_bits().hash(&mut hasher));
    hasher.finish()
}
