//! The allocator. A training step frees and takes hundreds of megabytes; giving pages back to the
//! operating system in between makes a step a third slower.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` in mimalloc.h (the binding names only the first three options).
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
/// Milliseconds until a freed page is returned; −1 is never.
const NEVER: std::ffi::c_long = -1;

/// Keeps freed pages, as the environment variable `MIMALLOC_PURGE_DELAY=-1` does; to be called first of all.
pub fn keep_freed_pages() {
    // SAFETY: mi_option_set writes one entry of mimalloc's option table; the index is checked there
    // against the table's length, and no other thread exists yet.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, NEVER) }
}
