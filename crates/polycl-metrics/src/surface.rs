//! Distances between the surfaces of two masks, weighted by area, as DeepMind's `surface-distance`
//! defines them (S. Nikolov et al., "Clinically Applicable Segmentation of Head and Neck Anatomy
//! for Radiotherapy", J. Med. Internet Res. 23 (2021); github.com/google-deepmind/surface-distance).
//!
//! Surface elements lie on the corners of voxels. The grid is taken as rectangular with the
//! lengths of [`polycl_image::Space::spacing`]: exact for every orthogonal affine, oblique ones included;
//! on a sheared grid it measures the grid as if its axes stood at right angles.

use polycl_image::Mask;

use super::overlap::Bounds;
use super::surfel;
use polycl_image::edt::squared_distances;

/// A distance on the tolerance counts as within it. Spacing comes from 32-bit headers and from
/// the norms of affine columns, so the comparison allows for their rounding.
const TOLERANCE_SLACK: f64 = 1.0 + 1e-6;

/// Every surface element of two masks with its distance to the other mask's surface.
#[derive(Debug, Clone)]
pub struct Surfaces {
    /// From the reference to the prediction, nearest first.
    reference: Vec<Surfel>,
    /// From the prediction to the reference, nearest first.
    prediction: Vec<Surfel>,
}

/// A surface element: its distance in mm to the other surface and its area in mm².
#[derive(Debug, Clone, Copy)]
struct Surfel {
    distance: f64,
    area: f64,
}

impl Surfaces {
    /// Surfaces of `label` in two masks of the same space, both of which hold it, within `bounds`.
    pub fn between(reference: &Mask, prediction: &Mask, label: u16, bounds: Bounds) -> Self {
        let spacing = reference.space.spacing();
        let areas = surfel::areas(spacing);
        let reference = Dual::of(reference, label, bounds);
        let prediction = Dual::of(prediction, label, bounds);
        Self {
            reference: reference.surfels(&prediction, spacing, &areas),
            prediction: prediction.surfels(&reference, spacing, &areas),
        }
    }

    /// Hausdorff distance in mm: the farthest any point of one surface is from the other surface.
    /// Upstream's `compute_robust_hausdorff` at 100.
    pub fn hausdorff(&self) -> f64 {
        self.percentile(1.0)
    }

    /// The larger of the two directed percentiles of distance, in mm, where every element counts
    /// with its area; `fraction` is 0.95 for HD95. Upstream's `compute_robust_hausdorff`.
    pub fn percentile(&self, fraction: f64) -> f64 {
        directed_percentile(&self.reference, fraction).max(directed_percentile(&self.prediction, fraction))
    }

    /// Average symmetric surface distance in mm: the mean over the area of both surfaces together
    /// (not the mean of the two directed means).
    pub fn average(&self) -> f64 {
        self.pooled(|surfel| surfel.distance)
    }

    /// Normalised surface Dice: the share of the area of both surfaces that lies within
    /// `tolerance` mm of the other. Upstream's `compute_surface_dice_at_tolerance`.
    pub fn dice(&self, tolerance: f64) -> f64 {
        self.pooled(|surfel| if surfel.distance <= tolerance * TOLERANCE_SLACK { 1.0 } else { 0.0 })
    }

    fn pooled(&self, value: impl Fn(&Surfel) -> f64) -> f64 {
        let all = || self.reference.iter().chain(&self.prediction);
        let area: f64 = all().map(|surfel| surfel.area).sum();
        all().map(|surfel| value(surfel) * surfel.area).sum::<f64>() / area
    }
}

/// The distance below which `fraction` of a surface's area lies; 1 gives the largest distance,
/// whatever the sum's rounding.
fn directed_percentile(surfels: &[Surfel], fraction: f64) -> f64 {
    let total: f64 = surfels.iter().map(|surfel| surfel.area).sum();
    let mut sum = 0.0;
    let reached = surfels.iter().find(|surfel| {
        sum += surfel.area;
        fraction < 1.0 && sum / total >= fraction
    });
    reached.or(surfels.last()).map_or(0.0, |surfel| surfel.distance)
}

/// The grid of the corners of a box of voxels: one more point than voxels along each axis. Each
/// point holds which of its eight voxels carry the label; what lies outside the box does not.
struct Dual {
    shape: [usize; 3],
    codes: Vec<u8>,
}

impl Dual {
    fn of(mask: &Mask, label: u16, Bounds { low, high }: Bounds) -> Self {
        let shape: [usize; 3] = std::array::from_fn(|axis| high[axis] - low[axis] + 1);
        let mut dual = Self { shape, codes: vec![0; shape.iter().product()] };
        let [nx, ny, _] = mask.space.shape;
        for k in low[2]..high[2] {
            for j in low[1]..high[1] {
                let start = nx * (j + ny * k);
                let row = &mask.voxels[start + low[0]..start + high[0]];
                for i in (0..row.len()).filter(|&i| row[i] == label) {
                    dual.mark([i, j - low[1], k - low[2]]);
                }
            }
        }
        dual
    }

    /// Tells the eight corners of a voxel that it is inside.
    fn mark(&mut self, [i, j, k]: [usize; 3]) {
        let [nx, ny, _] = self.shape;
        for corner in 0..8 {
            let (x, y, z) = (corner & 1, corner >> 1 & 1, corner >> 2);
            // Seen from this corner of the voxel, the voxel lies in the opposite direction.
            self.codes[i + x + nx * (j + y + ny * (k + z))] |= 1 << (7 - corner);
        }
    }

    /// The surface elements with their distances to the other surface, nearest first.
    fn surfels(&self, other: &Dual, spacing: [f64; 3], areas: &[f64; 256]) -> Vec<Surfel> {
        let sites: Vec<bool> = other.codes.iter().map(|&code| on_surface(code)).collect();
        let squared = squared_distances(&sites, self.shape, spacing);
        let mut surfels: Vec<Surfel> = std::iter::zip(&self.codes, squared)
            .filter(|&(&code, _)| on_surface(code))
            .map(|(&code, squared)| Surfel { distance: squared.sqrt(), area: areas[usize::from(code)] })
            .collect();
        surfels.sort_by(|a, b| a.distance.total_cmp(&b.distance));
        surfels
    }
}

/// True if some but not all of the eight voxels around a corner are inside.
fn on_surface(code: u8) -> bool {
    code != 0 && code != 255
}
