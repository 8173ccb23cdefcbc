//! A scan's job waited for, by those who hear no events.

use std::time::{Duration, Instant};

use axum::http::StatusCode;

use crate::locked::locked;
use crate::refusal::{Answer, Refusal};
use crate::scan::Scan;

/// Between looks at the job.
const PAUSE: Duration = Duration::from_millis(10);

/// Waits for the job of a scan, until a moment at the latest; true where the scan has none any more.
///
/// # Errors
/// `failed`, with what the job said.
pub fn rests(scan: &Scan, until: Instant) -> Answer<bool> {
    while locked(&scan.job).is_some() {
        if Instant::now() >= until {
            return Ok(false);
        }
        std::thread::sleep(PAUSE);
    }
    match locked(&scan.failure).take() {
        Some(message) => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", message)),
        None => Ok(true),
    }
}
