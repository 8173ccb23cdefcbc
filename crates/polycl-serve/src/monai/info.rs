//! What a client is told of the server: labels, models, the queue.

use serde_json::{Map, Value, json};

use super::numbers::is_own;
use super::sample::STRATEGY;
use super::train;
use crate::desk::Desk;

/// The network of `--network`.
pub const NETWORK: &str = "network";
/// The mask as it stands in the workbench.
pub const WORKBENCH: &str = "workbench";
/// A box or points in one slice, and the same followed through the scan.
pub const SLICE: &str = "slice";
pub const VOLUME: &str = "volume";
/// What was drawn in 3D Slicer, followed through the scan.
pub const PROPAGATE: &str = "propagate";

/// The label of scans for which nobody has named any.
const NAMELESS: &str = "organ";

pub fn told(desk: &Desk) -> Value {
    let entries = desk.entries();
    let completed = entries.iter().filter(|entry| entry.state() == "reviewed").count();
    let strategies = json!({STRATEGY: {"description": "The scan that would help most, in the order of the workbench's queue"}});
    json!({
        "name": "PolyCL",
        "description": "The workbench of PolyCL",
        "version": env!("CARGO_PKG_VERSION"),
        "labels": labels(desk),
        "models": models(desk),
        "trainers": train::trainers(desk),
        "strategies": strategies,
        "scoring": {},
        "train_stats": train::stats(desk),
        "datastore": {"total": entries.len(), "completed": completed, "label_tags": {}},
    })
}

/// Names of labels: those of `--organs`, those of the network, and those that were worked with last.
fn labels(desk: &Desk) -> Vec<String> {
    let organs = desk.request.organs.iter().cloned();
    let all = organs.chain(network(desk)).chain(desk.last_labels());
    let mut names: Vec<String> = Vec::new();
    for name in all.filter(|name| !is_own(name)) {
        if !names.iter().any(|own| own.to_lowercase() == name.to_lowercase()) {
            names.push(name);
        }
    }
    if names.is_empty() {
        names.push(NAMELESS.to_owned());
    }
    names
}

/// The organs of the network that predicts.
fn network(desk: &Desk) -> Vec<String> {
    let organs = desk.trained().map(|own| own.predictor.card.organs.clone());
    organs.into_iter().flatten().map(|organ| organ.name).collect()
}

/// The models that help. 3D Slicer runs the first that shares a label with the server on every new sample: those that wait
/// for a person's click name no label.
fn models(desk: &Desk) -> Map<String, Value> {
    let model = |kind: &str, labels: Vec<String>, dimension: u8, description: &str| json!({"type": kind, "labels": labels, "dimension": dimension, "description": description, "config": {}});
    let mut models = Map::new();
    if desk.trained().is_some() {
        let text = "The network of --network or of the latest round of training, where no person has drawn";
        models.insert(NETWORK.to_owned(), model("segmentation", network(desk), 3, text));
    }
    let text = "The mask as it stands in the workbench";
    models.insert(WORKBENCH.to_owned(), model("segmentation", labels(desk), 3, text));
    if desk.follower().is_some() {
        let text = "A box (ROI) or points in one slice: points mend what is there";
        models.insert(SLICE.to_owned(), model("deepgrow", Vec::new(), 2, text));
        let text = "A box (ROI) or points in one slice or several, followed through the scan";
        models.insert(VOLUME.to_owned(), model("deepgrow", Vec::new(), 3, text));
        let text = "Slices of the label that were drawn or mended in 3D Slicer, followed through the scan";
        models.insert(PROPAGATE.to_owned(), model("scribbles", Vec::new(), 3, text));
    }
    models
}
