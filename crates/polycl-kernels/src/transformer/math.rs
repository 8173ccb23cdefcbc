//! Functions of whole vectors that the instruction sets lack.

use pulp::Simd;

use crate::simd::fma;

/// e^x for x in −87..88, to which larger and smaller ones are clamped; a relative error of 2e-7.
/// Polynomial and splitting of ln 2 are those of Cephes' `expf`.
#[inline(always)]
pub fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let x = simd.min_f32s(simd.max_f32s(x, simd.splat_f32s(-87.0)), simd.splat_f32s(88.0));
    // Adding 1.5 · 2^23 leaves round(x / ln 2) in the lowest bits; 127 is the bias of exponents.
    let magic = simd.splat_f32s(12_582_912.0 + 127.0);
    let shifted = fma(simd, x, simd.splat_f32s(std::f32::consts::LOG2_E), magic);
    let n = simd.neg_f32s(simd.sub_f32s(shifted, magic));
    let r = fma(simd, n, simd.splat_f32s(0.693_359_4), x);
    let r = fma(simd, n, simd.splat_f32s(-2.121_944_4e-4), r);
    let mut p = simd.splat_f32s(1.987_569_1e-4);
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = fma(simd, p, r, simd.splat_f32s(coefficient));
    }
    let p = fma(simd, p, simd.mul_f32s(r, r), simd.add_f32s(r, simd.splat_f32s(1.0)));
    let exponent = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    simd.mul_f32s(p, simd.transmute_f32s_u32s(exponent))
}

/// x/2 · (1 + erf(x/√2)), PyTorch's default GELU. The rational function for erf is Eigen's
/// (`generic_fast_erf_float`), good to a few units in the last place.
#[inline(always)]
pub fn gelu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let z = simd.mul_f32s(x, simd.splat_f32s(std::f32::consts::FRAC_1_SQRT_2));
    let z = simd.min_f32s(simd.max_f32s(z, simd.splat_f32s(-4.0)), simd.splat_f32s(4.0));
    let square = simd.mul_f32s(z, z);
    let mut p = simd.splat_f32s(-2.726_142_3e-10);
    for coefficient in
        [2.770_681_4e-8, -2.101_024e-6, -5.692_506_4e-5, -7.349_906_5e-4, -2.954_6e-3, -1.609_603_3e-2]
    {
        p = fma(simd, p, square, simd.splat_f32s(coefficient));
    }
    let mut q = simd.splat_f32s(-1.456_607_2e-5);
    for coefficient in [-2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2] {
        q = fma(simd, q, square, simd.splat_f32s(coefficient));
    }
    let erf = simd.div_f32s(simd.mul_f32s(z, p), q);
    let half = simd.mul_f32s(x, simd.splat_f32s(0.5));
    fma(simd, half, erf, half)
}
