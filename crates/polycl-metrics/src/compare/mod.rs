//! Methods beside each other: whether one is better than another, and how sure that is when few
//! patients and few seeds of training speak for it.
//!
//! What is estimated is the mean over patients of a method's mean over seeds. Patients are the unit
//! of every test and both are drawn in every interval, as another study would have other patients
//! and train from other seeds. Many comparisons are corrected by [`holm`].

mod holm;
mod paired;
mod ranking;
mod resamples;
mod scores;

pub use holm::holm;
pub use paired::{Comparison, compare};
pub use ranking::{Rank, Ranking, ranking};
pub use resamples::Resamples;
pub use scores::Scores;
