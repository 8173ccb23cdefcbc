//! Training, which is not offered through this door: the routes answer that there is none.

use serde_json::{Map, Value};

use crate::desk::Desk;
use crate::refusal::{Answer, Refusal};

/// Trainers by name.
pub fn trainers(_: &Desk) -> Map<String, Value> {
    Map::new()
}

/// Figures of trainings by trainer.
pub fn stats(_: &Desk) -> Map<String, Value> {
    Map::new()
}

/// Refuses what is asked of a training.
///
/// # Errors
/// `no_training`
pub fn refuse() -> Answer<Value> {
    Err(Refusal::missing("no_training", "No training is at work, and none can be started from here.")
        .hint("train in the workbench's page, or run `polycl finetune`"))
}
