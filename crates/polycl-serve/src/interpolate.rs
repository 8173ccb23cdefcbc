//! Shapes between drawn planes, without a network: signed distances to the outlines of the two neighbours, each moved
//! to where the middle of the shape should be, weighted by how near they are.

use polycl_image::Plane;
use polycl_image::edt::squared_distances;

use crate::document::Document;

/// A drawn plane of a label.
struct Outline {
    k: usize,
    middle: [f64; 2],
    /// Millimetres to the outline, above zero inside.
    distance: Vec<f32>,
}

/// The label's pixels in all planes between drawn ones, by plane; nothing where none lies between.
pub fn between(document: &Document, plane: Plane, label: u16) -> Vec<(usize, Vec<bool>)> {
    let view = document.view(plane);
    let [width, _] = view.size();
    let [sx, sy, sz] = document.facts.spacing;
    let spacing = match plane {
        Plane::Axial => [sx, sy],
        Plane::Coronal => [sx, sz],
        Plane::Sagittal => [sy, sz],
    };
    let outline = |k: usize| {
        let inside: Vec<bool> = view.cut(&document.mask, k).map(|own| own == label).collect();
        Outline::of(k, &inside, view.size(), spacing)
    };
    let drawn = document.marks(label).by_hand(plane);
    let outlines: Vec<Outline> = drawn.into_iter().filter_map(outline).collect();
    let mut found = Vec::new();
    for pair in outlines.windows(2) {
        let [below, above] = [&pair[0], &pair[1]];
        for k in below.k + 1..above.k {
            let share = (k - below.k) as f64 / (above.k - below.k) as f64;
            let middle =
                [0, 1].map(|axis| below.middle[axis] + share * (above.middle[axis] - below.middle[axis]));
            let inside = |pixel: usize| {
                let at = [pixel % width, pixel / width];
                let [one, other] = [below, above].map(|outline| outline.at(at, middle, view.size()));
                one * (1.0 - share as f32) + other * share as f32 > 0.0
            };
            found.push((k, (0..view.pixels()).map(inside).collect()));
        }
    }
    found
}

impl Outline {
    fn of(k: usize, inside: &[bool], [width, height]: [usize; 2], spacing: [f64; 2]) -> Option<Self> {
        let count = inside.iter().filter(|inside| **inside).count();
        if count == 0 {
            return None;
        }
        let mut middle = [0.0; 2];
        for pixel in (0..inside.len()).filter(|&pixel| inside[pixel]) {
            middle[0] += (pixel % width) as f64 / count as f64;
            middle[1] += (pixel / width) as f64 / count as f64;
        }
        let outside: Vec<bool> = inside.iter().map(|inside| !inside).collect();
        let away = |site: &[bool]| squared_distances(site, [width, height, 1], [spacing[0], spacing[1], 1.0]);
        let (to_inside, to_outside) = (away(inside), away(&outside));
        // The outline runs between pixels; a plane that is drawn all over has none.
        let farthest = width as f64 * spacing[0] + height as f64 * spacing[1];
        let signed = |(within, beyond): (&f64, &f64)| (beyond.sqrt().min(farthest) - within.sqrt()) as f32;
        Some(Self { k, middle, distance: to_inside.iter().zip(&to_outside).map(signed).collect() })
    }

    /// The distance at a pixel, were the middle of the shape at another place.
    fn at(&self, at: [usize; 2], middle: [f64; 2], [width, height]: [usize; 2]) -> f32 {
        let place = [0, 1].map(|axis| at[axis] as f64 - middle[axis] + self.middle[axis]);
        let [x, y] = [(0, width), (1, height)].map(|(axis, n)| place[axis].clamp(0.0, n as f64 - 1.0));
        let (x0, y0) = (x as usize, y as usize);
        let (x1, y1) = ((x0 + 1).min(width - 1), (y0 + 1).min(height - 1));
        let (fx, fy) = ((x - x0 as f64) as f32, (y - y0 as f64) as f32);
        let value = |x: usize, y: usize| self.distance[x + width * y];
        let row = |y: usize| value(x0, y) * (1.0 - fx) + value(x1, y) * fx;
        row(y0) * (1.0 - fy) + row(y1) * fy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marks::{Mark, Marks};

    /// Two discs that do not overlap, one twice as large: between them lies one of a size between, in the middle.
    #[test]
    fn discs_grow_and_move() {
        let shape = [60, 40, 5];
        let mut document = Document::new(shape, [1.0, 1.0, 4.0], Vec::new(), String::new());
        let disc = |at: [f64; 2], radius: f64, pixel: usize| {
            let d = [(pixel % 60) as f64 - at[0], (pixel / 60) as f64 - at[1]];
            d[0].hypot(d[1]) <= radius
        };
        for (z, at, radius) in [(0, [12.0, 12.0], 5.0), (4, [44.0, 24.0], 10.0)] {
            for pixel in (0..2400).filter(|&pixel| disc(at, radius, pixel)) {
                document.mask[z * 2400 + pixel] = 3;
            }
        }
        let mut marks = Marks::new(5);
        (marks.slices[0], marks.slices[4]) = (Mark::Drawn, Mark::Edited);
        document.facts.marks.insert(3, marks);
        let found = between(&document, Plane::Axial, 3);
        assert_eq!(found.iter().map(|(k, _)| *k).collect::<Vec<_>>(), [1, 2, 3]);
        let (_, halfway) = &found[1];
        let expected: Vec<bool> = (0..2400).map(|pixel| disc([28.0, 18.0], 7.5, pixel)).collect();
        let off = halfway.iter().zip(&expected).filter(|(a, b)| a != b).count();
        let area = expected.iter().filter(|inside| **inside).count();
        assert!(off * 10 < area, "{off} of {area} pixels");
        assert!(between(&document, Plane::Coronal, 3).is_empty());
    }
}
