//! Resampling of planes, [ny, nx] with centres of pixels at half integers.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::F32;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

/// Bilinear, antialiased where it shrinks, as PIL and torch's `interpolate(antialias=True)` do it.
/// `from` and `to` are pixels along x and y.
pub fn antialiased(plane: &[f32], from: [usize; 2], to: [usize; 2]) -> Vec<f32> {
    floats(plane, from, to, ResizeAlg::Convolution(FilterType::Bilinear))
}

/// Bilinear between the nearest pixels alone, as torch's `interpolate(mode="bilinear")` does it.
pub fn interpolated(plane: &[f32], from: [usize; 2], to: [usize; 2]) -> Vec<f32> {
    floats(plane, from, to, ResizeAlg::Interpolation(FilterType::Bilinear))
}

/// By cubic B-splines through all values, clipped to their range, as scikit-image's
/// `resize(order=3)` does where it enlarges. Where it shrinks, a Gaussian comes first there; here it
/// is the antialiased cubic filter of Catmull and Rom.
pub fn cubic(plane: &[f32], from: [usize; 2], to: [usize; 2]) -> Vec<f32> {
    if to[0] < from[0] || to[1] < from[1] {
        return floats(plane, from, to, ResizeAlg::Convolution(FilterType::CatmullRom));
    }
    let (low, high) = plane.iter().fold((f32::MAX, f32::MIN), |(l, h), &x| (l.min(x), h.max(x)));
    let rows: Vec<f64> = plane
        .chunks_exact(from[0])
        .flat_map(|row| Spline::through(row.iter().map(|&value| f64::from(value))).resized(to[0]))
        .collect();
    let columns =
        (0..to[0]).map(|x| Spline::through((0..from[1]).map(|y| rows[y * to[0] + x])).resized(to[1]));
    let columns: Vec<Vec<f64>> = columns.collect();
    let at = |i: usize| (columns[i % to[0]][i / to[0]] as f32).clamp(low, high);
    (0..to[0] * to[1]).map(at).collect()
}

/// The coefficients of a cubic B-spline on whole numbers, mirrored about its first and last.
struct Spline(Vec<f64>);

impl Spline {
    /// M. Unser, "Splines: a perfect fit for signal and image processing" (1999): the inverse of the
    /// sampled B-spline is a filter that runs forth and back.
    fn through(values: impl Iterator<Item = f64>) -> Self {
        let mut c: Vec<f64> = values.map(|value| 6.0 * value).collect();
        let n = c.len();
        if n < 2 {
            return Self(c.iter().map(|value| value / 6.0).collect());
        }
        let pole = 3f64.sqrt() - 2.0;
        let end = pole.powi(n as i32 - 1);
        let mirrored = (1..n - 1).map(|i| pole.powi(i as i32) * (c[i] + end * c[n - 1 - i]));
        c[0] = (c[0] + end * c[n - 1] + mirrored.sum::<f64>()) / (1.0 - end * end);
        (1..n).for_each(|i| c[i] += pole * c[i - 1]);
        c[n - 1] = (pole * c[n - 2] + c[n - 1]) * pole / (pole * pole - 1.0);
        (0..n - 1).rev().for_each(|i| c[i] = pole * (c[i + 1] - c[i]));
        Self(c)
    }

    /// Values at the centres of `count` pixels over the same length.
    fn resized(&self, count: usize) -> Vec<f64> {
        let scale = self.0.len() as f64 / count as f64;
        (0..count).map(|i| self.at((i as f64 + 0.5) * scale - 0.5)).collect()
    }

    fn at(&self, x: f64) -> f64 {
        let last = self.0.len() as isize - 1;
        let (i, t) = (x.floor() as isize, x - x.floor());
        let s = 1.0 - t;
        let weights = [
            s * s * s / 6.0,
            (4.0 - 6.0 * t * t + 3.0 * t * t * t) / 6.0,
            (4.0 - 6.0 * s * s + 3.0 * s * s * s) / 6.0,
            t * t * t / 6.0,
        ];
        let value = |i: isize| {
            let i = i.abs();
            self.0[if i > last { (2 * last - i).max(0) } else { i } as usize]
        };
        weights.iter().zip(i - 1..).map(|(weight, i)| weight * value(i)).sum()
    }
}

/// [`antialiased`] of bytes as PIL does it to the last bit: first along x, then along y, each in whole
/// numbers (`Resample.c`).
pub fn antialiased_bytes(plane: &[u8], from: [usize; 2], to: [usize; 2]) -> Vec<u8> {
    bytes(plane, from, to, 1.0, |x| (1.0 - x.abs()).max(0.0))
}

/// By cubic convolution (Keys, a = −1/2), antialiased, as PIL does it to the last bit: its default.
pub fn bicubic_bytes(plane: &[u8], from: [usize; 2], to: [usize; 2]) -> Vec<u8> {
    bytes(plane, from, to, 2.0, |x| {
        let x = x.abs();
        match x {
            0.0..1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            1.0..2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
            _ => 0.0,
        }
    })
}

/// By a kernel that ends `reach` pixels from its centre.
fn bytes(
    plane: &[u8],
    from: [usize; 2],
    to: [usize; 2],
    reach: f64,
    kernel: impl Fn(f64) -> f64 + Copy,
) -> Vec<u8> {
    assert_eq!(plane.len(), from[0] * from[1], "a plane of another shape");
    let (columns, rows) =
        (Taps::all(from[0], to[0], reach, kernel), Taps::all(from[1], to[1], reach, kernel));
    let wide: Vec<u8> =
        plane.chunks_exact(from[0]).flat_map(|row| columns.iter().map(|taps| taps.sum(|x| row[x]))).collect();
    rows.iter().flat_map(|taps| (0..to[0]).map(|x| taps.sum(|y| wide[y * to[0] + x]))).collect()
}

/// The inputs of one resized byte: neighbours from `first` on, and their weights.
struct Taps {
    first: usize,
    weights: Vec<i64>,
}

/// Bits behind the point of PIL's weights.
const BITS: u32 = 22;

impl Taps {
    fn all(from: usize, to: usize, reach: f64, kernel: impl Fn(f64) -> f64) -> Vec<Self> {
        let scale = from as f64 / to as f64;
        let support = reach * scale.max(1.0);
        let tap = |i: usize| {
            let centre = (i as f64 + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as usize;
            let last = ((centre + support + 0.5) as usize).min(from);
            let weight = |x: usize| kernel((x as f64 - centre + 0.5) / scale.max(1.0));
            let total: f64 = (first..last).map(weight).sum();
            // Halves are rounded away from zero.
            let whole = |x| (weight(x) / total * f64::from(1 << BITS)).round() as i64;
            Self { first, weights: (first..last).map(whole).collect() }
        };
        (0..to).map(tap).collect()
    }

    fn sum(&self, value: impl Fn(usize) -> u8) -> u8 {
        let products = self.weights.iter().zip(self.first..).map(|(weight, i)| weight * i64::from(value(i)));
        ((products.sum::<i64>() + (1 << (BITS - 1))) >> BITS).clamp(0, 255) as u8
    }
}

fn floats(plane: &[f32], from: [usize; 2], to: [usize; 2], algorithm: ResizeAlg) -> Vec<f32> {
    assert_eq!(plane.len(), from[0] * from[1], "a plane of another shape");
    let pixels: Vec<F32> = plane.iter().map(|&value| F32::new(value)).collect();
    let [from, to] = [from, to].map(|sides| sides.map(|n| u32::try_from(n).expect("sides are pixel counts")));
    let source = TypedImageRef::new(from[0], from[1], &pixels).expect("its length has been checked");
    let mut target = TypedImage::<F32>::new(to[0], to[1]);
    let options = ResizeOptions::new().resize_alg(algorithm);
    Resizer::new().resize_typed(&source, &mut target, &options).expect("neither picture is empty");
    target.pixels().iter().map(|pixel| pixel.0).collect()
}
