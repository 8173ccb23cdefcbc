use crate::parallel::{Out, for_each, piece};

/// The settings of one update of Adam (Kingma and Ba 2015).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam {
    /// Multiplies the gradient first.
    pub scale: f32,
    /// Learning rate divided by 1 − β₁ᵗ.
    pub rate: f32,
    /// √(1 − β₂ᵗ)
    pub root_bias: f32,
    pub beta: [f64; 2],
    pub epsilon: f32,
}

/// Values a task updates.
const CHUNK: usize = 1 << 14;

/// One update of `values` and their moments, each byte read and written once:
/// m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², x ← x − rate · m / (√v / root_bias + ε).
pub fn adam(values: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32], step: Adam) {
    let len = values.len();
    assert!(gradient.len() == len && first.len() == len && second.len() == len);
    let [values, first, second] = [values, first, second].map(Out::new);
    let tasks = len.div_ceil(CHUNK);
    for_each(tasks, |i| {
        let range = piece(len, tasks, i);
        let at = |all: Out<'_>| all.at(range.start, range.len());
        let gradient = gradient[range.clone()].as_ptr();
        // SAFETY: the pieces are disjoint.
        unsafe { update(range.len(), at(values), gradient, at(first), at(second), step) };
    });
}

vectorised! {
    /// # Safety
    /// `count` values can be read, and but for the gradient written, at each pointer.
    unsafe fn update<S>(
        simd, count: usize, values: *mut f32, gradient: *const f32, first: *mut f32, second: *mut f32, step: Adam,
    ) {
        let _: S = simd; // a plain loop, which the compiler turns into vectors of the set
        // 1 − β₂ of a rounded β₂ would be off by 1e-5.
        let [(beta1, rest1), (beta2, rest2)] = step.beta.map(|beta| (beta as f32, (1.0 - beta) as f32));
        for i in 0..count {
            let g = *gradient.add(i) * step.scale;
            let m = beta1 * *first.add(i) + rest1 * g;
            let v = beta2 * *second.add(i) + rest2 * (g * g);
            *first.add(i) = m;
            *second.add(i) = v;
            *values.add(i) -= step.rate * m / (v.sqrt() / step.root_bias + step.epsilon);
        }
    }
}
