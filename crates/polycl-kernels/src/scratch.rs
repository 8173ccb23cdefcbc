//! Working memory that is kept from one use to the next, so that a training step takes none from
//! the operating system.

use std::cell::RefCell;

use crate::parallel::Out;

/// Vectors begin at a cache line.
const ALIGNMENT: usize = 64;

thread_local! {
    /// Buffers of this thread that are not in use.
    static IDLE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Lends `len` values of undefined content, aligned to a cache line.
pub fn with<R>(len: usize, body: impl FnOnce(Out<'_>) -> R) -> R {
    let spare = ALIGNMENT / size_of::<f32>();
    let mut buffer = IDLE.with_borrow_mut(|idle| take(idle, len + spare));
    if buffer.capacity() < len + spare {
        buffer = Vec::with_capacity(len + spare);
    }
    let room = buffer.spare_capacity_mut();
    let skip = room.as_ptr().align_offset(ALIGNMENT).min(spare);
    let result = body(Out::uninit(&mut room[skip..skip + len]));
    IDLE.with_borrow_mut(|idle| idle.push(buffer));
    result
}

/// The smallest buffer that is large enough, else the largest, which the caller then replaces.
fn take(idle: &mut Vec<Vec<f32>>, len: usize) -> Vec<f32> {
    let fitting = (0..idle.len()).filter(|&i| idle[i].capacity() >= len);
    let chosen = fitting
        .min_by_key(|&i| idle[i].capacity())
        .or_else(|| (0..idle.len()).max_by_key(|&i| idle[i].capacity()));
    chosen.map_or_else(Vec::new, |i| idle.swap_remove(i))
}
