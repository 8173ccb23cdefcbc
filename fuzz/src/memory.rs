//! An allocator that refuses what no small file may ask for, and counts the rest. libFuzzer's own limits do
//! not see memory that is asked for and not written to, nor do they tell memory that was asked for fallibly.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// Above this there is no memory: who asked fallibly returns an error, who did not ends the process.
const MOST: usize = 1 << 30;

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: every call that is not refused goes to the system's allocator with the layout it came with.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed).saturating_add(layout.size());
        if held > MOST {
            HELD.fetch_sub(layout.size(), Ordering::Relaxed);
            return std::ptr::null_mut();
        }
        PEAK.fetch_max(held, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed).saturating_add(layout.size());
        if held > MOST {
            HELD.fetch_sub(layout.size(), Ordering::Relaxed);
            return std::ptr::null_mut();
        }
        PEAK.fetch_max(held, Ordering::Relaxed);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Runs a reader.
///
/// # Panics
/// Where it held more than `most` bytes at a time.
pub fn proportionate<T>(most: usize, read: impl FnOnce() -> T) -> T {
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let result = read();
    let peak = PEAK.load(Ordering::Relaxed).saturating_sub(before);
    assert!(peak <= most, "{peak} bytes were held, which should have been {most} at the most");
    result
}
