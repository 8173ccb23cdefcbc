use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks what a panicking thread may have left; all that is guarded so is whole between statements.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
