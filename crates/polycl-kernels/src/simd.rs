//! One source for AVX-512, AVX2, NEON and portable code, chosen at run time; the instructions
//! themselves are pulp's.

use std::any::TypeId;
use std::sync::OnceLock;

use pulp::{Scalar256b, Simd, WithSimd};

#[derive(Clone, Copy)]
enum Level {
    #[cfg(target_arch = "x86_64")]
    Avx512(pulp::x86::V4),
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
    #[cfg(target_arch = "aarch64")]
    Neon(pulp::aarch64::Neon),
    Portable,
}

static LEVEL: OnceLock<Level> = OnceLock::new();

/// The best this processor has; the environment variable `POLYCL_SIMD` (`avx512`, `avx2`, `neon`,
/// `portable`) keeps it from anything better than what it names.
fn level() -> Level {
    *LEVEL.get_or_init(|| best(u8::MAX))
}

/// The best that this processor and the environment allow, up to a rank.
fn best(limit: u8) -> Level {
    let limit = std::env::var("POLYCL_SIMD").map_or(limit, |name| rank(&name).min(limit));
    #[cfg(target_arch = "x86_64")]
    {
        if let Some(simd) = pulp::x86::V4::try_new().filter(|_| limit >= rank("avx512")) {
            return Level::Avx512(simd);
        }
        if let Some(simd) = pulp::x86::V3::try_new().filter(|_| limit >= rank("avx2")) {
            return Level::Avx2(simd);
        }
    }
    #[cfg(target_arch = "aarch64")]
    if let Some(simd) = pulp::aarch64::Neon::try_new().filter(|_| limit >= rank("neon")) {
        return Level::Neon(simd);
    }
    let _ = limit;
    Level::Portable
}

/// Keeps to an instruction set from now on, as other processes of the same work do; false where the processor lacks it, or where
/// something was computed with another one already.
pub fn keep_to(name: &str) -> bool {
    LEVEL.get_or_init(|| best(rank(name)));
    instruction_set() == name
}

/// Larger is better; what nobody knows limits nothing.
fn rank(name: &str) -> u8 {
    match name {
        "portable" => 0,
        "avx2" | "neon" => 1,
        "avx512" => 2,
        _ => u8::MAX,
    }
}

/// The name of the instruction set in use.
pub fn instruction_set() -> &'static str {
    match level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512(_) => "avx512",
        #[cfg(target_arch = "x86_64")]
        Level::Avx2(_) => "avx2",
        #[cfg(target_arch = "aarch64")]
        Level::Neon(_) => "neon",
        Level::Portable => "portable",
    }
}

/// Values in a vector of the instruction set in use.
pub fn width() -> usize {
    match level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512(_) => 16,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2(_) => 8,
        #[cfg(target_arch = "aarch64")]
        Level::Neon(_) => 4,
        Level::Portable => 8,
    }
}

/// Runs `task` compiled for the instruction set in use.
pub fn dispatch<T: WithSimd>(task: T) -> T::Output {
    match level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512(simd) => Simd::vectorize(simd, task),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2(simd) => Simd::vectorize(simd, task),
        #[cfg(target_arch = "aarch64")]
        Level::Neon(simd) => Simd::vectorize(simd, task),
        Level::Portable => Simd::vectorize(Scalar256b, task),
    }
}

/// Declares a function whose body is compiled once for each instruction set: within it, `$S` is
/// the set, `$simd` its token, and all that is called must be `#[inline(always)]`. With
/// `<S, FULL of (channels)>` it is compiled once more for channels that fill whole vectors, with a
/// constant `FULL` for [`load_part`] and [`store_part`].
macro_rules! vectorised {
    ($(#[$meta:meta])* $vis:vis unsafe fn $name:ident<$S:ident, $FULL:ident of ($channels:expr)>(
        $simd:ident $(, $arg:ident: $ty:ty)* $(,)?
    ) $body:block) => {
        $(#[$meta])*
        #[inline(never)] // so that profilers tell the kernels apart
        #[allow(clippy::too_many_arguments, reason = "an innermost kernel")]
        $vis unsafe fn $name($($arg: $ty),*) {
            struct Task { full: bool, $($arg: $ty),* }
            impl Task {
                #[inline(always)]
                fn run<$S: pulp::Simd, const $FULL: bool>(self, $simd: $S) {
                    let Self { full: _, $($arg),* } = self;
                    // SAFETY: the contract of the function around.
                    unsafe { $body }
                }
            }
            impl pulp::WithSimd for Task {
                type Output = ();
                #[inline(always)]
                fn with_simd<$S: pulp::Simd>(self, simd: $S) {
                    if self.full { self.run::<$S, true>(simd) } else { self.run::<$S, false>(simd) }
                }
            }
            let full = ($channels).is_multiple_of($crate::simd::width());
            $crate::simd::dispatch(Task { full, $($arg),* })
        }
    };
    ($(#[$meta:meta])* $vis:vis unsafe fn $name:ident<$S:ident>(
        $simd:ident $(, $arg:ident: $ty:ty)* $(,)?
    ) $body:block) => {
        $(#[$meta])*
        #[inline(never)] // so that profilers tell the kernels apart
        #[allow(clippy::too_many_arguments, reason = "an innermost kernel")]
        $vis unsafe fn $name($($arg: $ty),*) {
            struct Task { $($arg: $ty),* }
            impl pulp::WithSimd for Task {
                type Output = ();
                #[inline(always)]
                fn with_simd<$S: pulp::Simd>(self, $simd: $S) {
                    let Self { $($arg),* } = self;
                    // SAFETY: the contract of the function around.
                    unsafe { $body }
                }
            }
            $crate::simd::dispatch(Task { $($arg),* })
        }
    };
}

/// a · b + c, in one rounding where the processor can.
#[inline(always)]
pub fn fma<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    // The portable set would call the C library for every single value. The test folds away.
    if TypeId::of::<S>() == TypeId::of::<Scalar256b>() {
        simd.add_f32s(simd.mul_f32s(a, b), c)
    } else {
        simd.mul_add_e_f32s(a, b, c)
    }
}

/// Values in a vector.
#[inline(always)]
pub const fn lanes<S: Simd>() -> usize {
    S::F32_LANES
}

/// Loads a whole vector.
///
/// # Safety
/// `lanes` values can be read at `from`.
#[inline(always)]
pub unsafe fn load<S: Simd>(_: S, from: *const f32) -> S::f32s {
    // SAFETY: the caller's, and any bits are a vector.
    unsafe { from.cast::<S::f32s>().read_unaligned() }
}

/// Stores a whole vector.
///
/// # Safety
/// `lanes` values can be written at `to`.
#[inline(always)]
pub unsafe fn store<S: Simd>(_: S, to: *mut f32, values: S::f32s) {
    // SAFETY: the caller's.
    unsafe { to.cast::<S::f32s>().write_unaligned(values) }
}

/// Loads `count` values (at most a vector), the rest zero.
///
/// # Safety
/// `count` values can be read at `from`.
#[inline(always)]
pub unsafe fn load_some<S: Simd>(simd: S, from: *const f32, count: usize) -> S::f32s {
    if count >= lanes::<S>() {
        // SAFETY: the caller's.
        return unsafe { load(simd, from) };
    }
    let mut values = simd.splat_f32s(0.0);
    // SAFETY: `count` values lie at `from` and fit into a vector, which any bits may fill.
    unsafe { std::ptr::copy_nonoverlapping(from, (&raw mut values).cast(), count) };
    values
}

/// [`load_some`], where FULL promises that `count` is a vector at least.
///
/// # Safety
/// As [`load_some`].
#[inline(always)]
pub unsafe fn load_part<S: Simd, const FULL: bool>(simd: S, from: *const f32, count: usize) -> S::f32s {
    // SAFETY: the caller's.
    unsafe { if FULL { load(simd, from) } else { load_some(simd, from, count) } }
}

/// [`store_some`], where FULL promises that `count` is a vector at least.
///
/// # Safety
/// As [`store_some`].
#[inline(always)]
pub unsafe fn store_part<S: Simd, const FULL: bool>(simd: S, to: *mut f32, values: S::f32s, count: usize) {
    // SAFETY: the caller's.
    unsafe { if FULL { store(simd, to, values) } else { store_some(simd, to, values, count) } }
}

/// Stores the first `count` values (at most a vector).
///
/// # Safety
/// `count` values can be written at `to`.
#[inline(always)]
pub unsafe fn store_some<S: Simd>(simd: S, to: *mut f32, values: S::f32s, count: usize) {
    if count >= lanes::<S>() {
        // SAFETY: the caller's.
        return unsafe { store(simd, to, values) };
    }
    // SAFETY: a vector holds more than `count` values, and `to` has room for them.
    unsafe { std::ptr::copy_nonoverlapping((&raw const values).cast(), to, count) };
}

/// Fused multiply-adds from registers, as fast as the processor does them: the peak beside which
/// benchmarks stand. Returns how many operations one of the `rounds` is.
#[doc(hidden)]
pub fn peak_operations(rounds: usize) -> usize {
    let mut result = 0.0;
    // SAFETY: there is room for one value.
    unsafe { multiply_adds(rounds, &raw mut result) };
    std::hint::black_box(result);
    2 * SUMS * width()
}

/// Independent sums, enough to hide the latency.
const SUMS: usize = 12;

vectorised! {
    /// # Safety
    /// There is room for one value.
    unsafe fn multiply_adds<S>(simd, rounds: usize, result: *mut f32) {
        let factor = simd.splat_f32s(std::hint::black_box(0.5));
        let mut sums = [simd.splat_f32s(std::hint::black_box(1.0)); SUMS];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = fma(simd, *sum, factor, factor);
            }
        }
        let mut total = sums[0];
        for sum in &sums[1..] {
            total = simd.add_f32s(total, *sum);
        }
        *result = simd.reduce_sum_f32s(total);
    }
}
