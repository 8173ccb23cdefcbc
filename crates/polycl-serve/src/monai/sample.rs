//! The next sample, and what a client fetches of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use polycl_base::hex;
use polycl_image::files::Format;
use polycl_image::{Input, Mask};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::Door;
use super::login::Login;
use super::nrrd;
use super::numbers::Numbering;
use super::seen::squared;
use crate::desk::Desk;
use crate::document::Facts;
use crate::folder::Entry;
use crate::journal;
use crate::publish::is_blank;
use crate::queue;
use crate::refusal::{Answer, Refusal};
use crate::scan::stamp;

/// The one strategy: the order of the workbench's queue.
pub const STRATEGY: &str = "queue";
/// The time that a folder has to be listed, and between looks at that.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);
/// mm between corners of a scan and of the same with axes at right angles.
const SQUARE: f64 = 0.01;
/// The tag of masks as they stand in the workbench.
const TAG: &str = "original";

/// The next scan of the queue for a user, who skips one by asking again; `{}` where all are done.
///
/// # Errors
/// `no_such_strategy`, `listing`.
pub fn next(door: &Door, login: &Login, strategy: &str) -> Answer<Value> {
    if strategy != STRATEGY {
        let message = format!("Expected the strategy {STRATEGY}, found {strategy:?}.");
        return Err(Refusal::missing("no_such_strategy", message));
    }
    let until = Instant::now() + PATIENCE;
    while !door.desk.is_listed() {
        if Instant::now() > until {
            let refusal = Refusal::conflict("listing", "The folder is still being read.");
            return Err(refusal.hint("wait a moment"));
        }
        std::thread::sleep(PAUSE);
    }
    let open = queue::ordered(door.desk.entries()).into_iter();
    let open = open.filter(|entry| !matches!(entry.state(), "reviewed" | "unreadable"));
    let open: Vec<String> = open.map(|entry| entry.id.clone()).collect();
    let (others, free): (Vec<String>, Vec<String>) =
        open.into_iter().partition(|scan| door.logins.is_with_another(login, scan));
    let Some(scan) = login.hand_out(if free.is_empty() { &others } else { &free }) else {
        return Ok(json!({}));
    };
    let entry = door.desk.entry(&scan)?;
    // What is called the patient's is the name of the volume in 3D Slicer.
    let mut answer =
        json!({"id": login.id(&scan, true)?, "name": cached_name(&entry), "PatientID": entry.name});
    if let Some(path) = shared_path(&door.desk, &entry) {
        answer["path"] = path.into();
    }
    Ok(answer)
}

/// The name under which 3D Slicer keeps a scan's file; it does not fetch one again of a name that it knows.
fn cached_name(entry: &Entry) -> String {
    let digest = Sha256::digest(format!("{} {}", entry.id, stamp(&entry.input)));
    format!("{}.{}.nrrd", entry.name, &hex(&digest)[..8])
}

fn file_name(entry: &Entry) -> String {
    format!("{}.nrrd", entry.name)
}

/// The path of a scan for a client on the same computer, where 3D Slicer reads its file as we do.
fn shared_path(desk: &Desk, entry: &Entry) -> Option<String> {
    let Input::File { path, reading } = &entry.input else { return None };
    let format = Format::of(path).ok()?;
    let whole = match format {
        Format::Nifti => true,
        Format::Nrrd => path.extension().is_some_and(|of| of.eq_ignore_ascii_case("nrrd")),
        Format::MetaImage => path.extension().is_some_and(|of| of.eq_ignore_ascii_case("mha")),
        Format::Npz => false,
    };
    if desk.request.listen.is_some() || !whole || reading.trust.is_some() {
        return None;
    }
    // Programs differ in what they make of headers that contradict themselves, and of sheared NIfTI files.
    let space = entry.input.space().ok()?;
    let is_plain = entry.input.notes().is_ok_and(|notes| notes.is_empty());
    if !is_plain || squared(&space).corner_distance(&space) > SQUARE {
        return None;
    }
    path.canonicalize().ok()?.into_os_string().into_string().ok()
}

/// The file of a scan, and its name.
///
/// # Errors
/// As [`Desk::scan`].
pub fn image(desk: &Desk, scan: &str) -> Answer<(String, Vec<u8>)> {
    let scan = desk.scan(scan)?;
    Ok((file_name(&scan.entry), nrrd::image(&scan.image)))
}

/// The mask of a scan as it stands in the workbench, in the order of its file, and its name.
///
/// # Errors
/// As [`Desk::scan`]; `no_label` where nobody and nothing has drawn.
pub fn label(desk: &Desk, scan: &str) -> Answer<(String, Vec<u8>)> {
    let scan = desk.scan(scan)?;
    let document = scan.with(|sheet| sheet.document.clone());
    if is_blank(&document.facts) {
        return Err(Refusal::missing("no_label", "Nothing is drawn on the scan yet."));
    }
    let numbers = Numbering::all(&document.facts.labels).apply(&document.mask);
    let Mask { space, voxels } = scan.in_file(numbers);
    Ok((file_name(&scan.entry), nrrd::mask(&space, &voxels)))
}

/// All scans by their ids; of those that a user was handed, the names of labels, too.
///
/// # Errors
/// As [`Login::id`].
pub fn objects(door: &Door, login: &Login) -> Answer<Value> {
    let mut objects = Map::new();
    for entry in door.desk.entries() {
        let mut labels: BTreeMap<&str, Value> = BTreeMap::new();
        let facts = login.was_handed(&entry.id).then(|| facts(&door.desk, &entry)).flatten();
        if let Some(facts) = facts.filter(|facts| !is_blank(facts)) {
            let params = json!({"label_names": Numbering::all(&facts.labels).names()});
            labels.insert(TAG, json!({"ext": ".nrrd", "info": {"params": params}}));
        }
        let image = json!({"ext": ".nrrd", "info": {"name": entry.name}});
        objects.insert(login.id(&entry.id, false)?, json!({"image": image, "labels": labels}));
    }
    Ok(json!({"name": "PolyCL", "description": "The scans of a folder", "objects": objects}))
}

fn facts(desk: &Desk, entry: &Arc<Entry>) -> Option<Facts> {
    match desk.opened(&entry.id) {
        Some(scan) => Some(scan.peek(|sheet| sheet.document.facts.clone())),
        None => journal::facts(&entry.folder).ok().flatten(),
    }
}
