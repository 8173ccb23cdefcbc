//! Resampling of planes, [ny, nx] with centres of pixels at half integers.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{F32, InnerPixel, U8};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};

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

/// [`antialiased`] of bytes, rounded as PIL rounds.
pub fn antialiased_bytes(plane: &[u8], from: [usize; 2], to: [usize; 2]) -> Vec<u8> {
    let pixels: Vec<U8> = plane.iter().map(|&value| U8::new(value)).collect();
    let resized = resize(&pixels, from, to, ResizeAlg::Convolution(FilterType::Bilinear));
    resized.iter().map(|pixel| pixel.0).collect()
}

fn floats(plane: &[f32], from: [usize; 2], to: [usize; 2], algorithm: ResizeAlg) -> Vec<f32> {
    let pixels: Vec<F32> = plane.iter().map(|&value| F32::new(value)).collect();
    resize(&pixels, from, to, algorithm).iter().map(|pixel| pixel.0).collect()
}

fn resize<P: PixelTrait + InnerPixel>(
    pixels: &[P],
    from: [usize; 2],
    to: [usize; 2],
    algorithm: ResizeAlg,
) -> Vec<P> {
    assert_eq!(pixels.len(), from[0] * from[1], "a plane of another shape");
    let [from, to] = [from, to].map(|sides| sides.map(|n| u32::try_from(n).expect("sides are pixel counts")));
    let source = TypedImageRef::new(from[0], from[1], pixels).expect("its length has been checked");
    let mut target = TypedImage::<P>::new(to[0], to[1]);
    let options = ResizeOptions::new().resize_alg(algorithm);
    Resizer::new().resize_typed(&source, &mut target, &options).expect("neither picture is empty");
    target.pixels().to_vec()
}
