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

/// Cubic (Catmull and Rom), antialiased where it shrinks.
pub fn cubic(plane: &[f32], from: [usize; 2], to: [usize; 2]) -> Vec<f32> {
    floats(plane, from, to, ResizeAlg::Convolution(FilterType::CatmullRom))
}

/// [`antialiased`] of bytes as PIL does it to the last bit: first along x, then along y, each in whole
/// numbers (`Resample.c`).
pub fn antialiased_bytes(plane: &[u8], from: [usize; 2], to: [usize; 2]) -> Vec<u8> {
    assert_eq!(plane.len(), from[0] * from[1], "a plane of another shape");
    let (columns, rows) = (Taps::all(from[0], to[0]), Taps::all(from[1], to[1]));
    let wide: Vec<u8> =
        plane.chunks_exact(from[0]).flat_map(|row| columns.iter().map(|taps| taps.sum(|x| row[x]))).collect();
    rows.iter().flat_map(|taps| (0..to[0]).map(|x| taps.sum(|y| wide[y * to[0] + x]))).collect()
}

/// What one resized byte is made of: neighbours from `first` on, and their weights.
struct Taps {
    first: usize,
    weights: Vec<i64>,
}

/// Bits behind the point of PIL's weights.
const BITS: u32 = 22;

impl Taps {
    fn all(from: usize, to: usize) -> Vec<Self> {
        let scale = from as f64 / to as f64;
        let support = scale.max(1.0);
        let tap = |i: usize| {
            let centre = (i as f64 + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as usize;
            let last = ((centre + support + 0.5) as usize).min(from);
            let weight = |x: usize| (1.0 - ((x as f64 - centre + 0.5) / support).abs()).max(0.0);
            let total: f64 = (first..last).map(weight).sum();
            let whole = |x| (weight(x) / total * f64::from(1 << BITS) + 0.5) as i64;
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
