//! Work on all cores whose result does not depend on how many there are.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

/// Calls `task` with 0..`tasks`, each once, on all threads of the current rayon pool.
pub fn for_each(tasks: usize, task: impl Fn(usize) + Sync + Send) {
    (0..tasks).into_par_iter().with_max_len(1).for_each(task);
}

/// The `i`th of `parts` nearly equal pieces of `0..length`.
pub fn piece(length: usize, parts: usize, i: usize) -> Range<usize> {
    length * i / parts..length * (i + 1) / parts
}

/// Memory that tasks on several threads fill, each its own places. Nothing is read through it
/// before it was written, so it may begin uninitialised.
#[derive(Clone, Copy)]
pub struct Out<'a> {
    start: *mut f32,
    len: usize,
    memory: PhantomData<&'a mut [f32]>,
}

// SAFETY: an `Out` is a pointer and a length. Whoever writes through it (which is unsafe) promises
// that no two threads touch the same place at the same time.
unsafe impl Send for Out<'_> {}
unsafe impl Sync for Out<'_> {}

impl<'a> Out<'a> {
    pub fn new(memory: &'a mut [f32]) -> Self {
        Self { start: memory.as_mut_ptr(), len: memory.len(), memory: PhantomData }
    }

    pub fn uninit(memory: &'a mut [MaybeUninit<f32>]) -> Self {
        Self { start: memory.as_mut_ptr().cast(), len: memory.len(), memory: PhantomData }
    }

    pub fn len(self) -> usize {
        self.len
    }

    /// The place of value `index`; `room` values from there on belong to this memory.
    pub fn at(self, index: usize, room: usize) -> *mut f32 {
        assert!(index <= self.len && room <= self.len - index, "{index} + {room} of {}", self.len);
        // SAFETY: within the memory, as just checked.
        unsafe { self.start.add(index) }
    }

    /// Values `range` of this memory, as memory of its own.
    pub fn part(self, range: Range<usize>) -> Out<'a> {
        Out { start: self.at(range.start, range.len()), len: range.len(), memory: PhantomData }
    }
}

/// A vector of `len` values, all of which `fill` writes.
///
/// # Safety
/// `fill` must write every value.
pub unsafe fn filled(len: usize, fill: impl FnOnce(Out<'_>)) -> Vec<f32> {
    let mut values = Vec::with_capacity(len);
    fill(Out::uninit(&mut values.spare_capacity_mut()[..len]));
    // SAFETY: the capacity is there, and the caller vouches for the values.
    unsafe { values.set_len(len) };
    values
}
