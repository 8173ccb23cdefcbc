use pulp::Simd;

use super::math::gelu;
use crate::parallel::{filled, for_each};
use crate::simd::{lanes, load_some, store_some};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    None,
    Relu,
    /// With the error function, not its approximation by tanh.
    Gelu,
}

impl Activation {
    #[inline(always)]
    pub(super) fn of<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
        match self {
            Self::None => x,
            // Not the larger of x and 0, which would hide NaN.
            Self::Relu => {
                let zero = simd.splat_f32s(0.0);
                simd.select_f32s(simd.less_than_f32s(x, zero), zero, x)
            }
            Self::Gelu => gelu(simd, x),
        }
    }
}

/// Values of one task.
const BLOCK: usize = 1 << 14;

/// The activation of every value.
pub fn activate(x: &[f32], activation: Activation) -> Vec<f32> {
    // SAFETY: every block writes its values.
    unsafe {
        filled(x.len(), |out| {
            for_each(x.len().div_ceil(BLOCK), |i| {
                let from = &x[i * BLOCK..(i * BLOCK + BLOCK).min(x.len())];
                activate_block(from.as_ptr(), from.len(), activation, out.at(i * BLOCK, from.len()));
            });
        })
    }
}

vectorised! {
    /// # Safety
    /// `count` values can be read and written.
    unsafe fn activate_block<S>(simd, from: *const f32, count: usize, activation: Activation, to: *mut f32) {
        for i in (0..count).step_by(lanes::<S>()) {
            store_some(simd, to.add(i), activation.of(simd, load_some(simd, from.add(i), count - i)), count - i);
        }
    }
}
