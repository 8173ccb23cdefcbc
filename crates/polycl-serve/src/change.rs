//! Changes stored, done, and told to all who look.

use serde_json::{Map, Value, json};

use crate::desk::Desk;
use crate::document::{Act, Author, Document, Label, Touched};
use crate::hub::To;
use crate::locked::locked;
use crate::refusal::Answer;
use crate::runs;
use crate::scan::{Scan, Sheet};
use crate::work;

/// Stores and does something that changes pixels; gives what the page needs to know, and tells all other tabs.
///
/// # Errors
/// Those of the journal; nothing is done then.
pub fn store(
    desk: &Desk,
    scan: &Scan,
    sheet: &mut Sheet,
    author: &Author,
    seq: Option<u64>,
    act: Act,
) -> Answer<Value> {
    let touched = sheet.act(author, seq, act)?;
    let document = &sheet.document;
    let answer = told(document, &touched);
    let mut event = answer.clone();
    let (id, tab) = (&scan.entry.id, author.tab.as_str());
    event["scan"] = json!(id);
    event["tab"] = json!(tab);
    desk.hub.tell(To::Others { scan: id, tab }, "change", &event);
    tell_row(desk, scan, document);
    Ok(answer)
}

/// Tells the queue of a scan's new state.
pub fn tell_row(desk: &Desk, scan: &Scan, document: &Document) {
    scan.entry.summarise(&document.facts);
    desk.tell_row(&scan.entry);
}

/// Stores a table of labels.
///
/// # Errors
/// As [`store`].
pub fn relabel(
    desk: &Desk,
    scan: &Scan,
    sheet: &mut Sheet,
    author: &Author,
    labels: Vec<Label>,
) -> Answer<()> {
    sheet.act(author, None, Act::Labels(labels))?;
    desk.keep_labels(&sheet.document.facts.labels)?;
    let (id, tab) = (&scan.entry.id, author.tab.as_str());
    let event = json!({"scan": id, "labels": sheet.document.facts.labels});
    desk.hub.tell(To::Others { scan: id, tab }, "labels", &event);
    tell_row(desk, scan, &sheet.document);
    Ok(())
}

/// A document in which nothing has changed.
pub fn unchanged(document: &Document) -> Value {
    told(document, &Touched::default())
}

fn told(document: &Document, touched: &Touched) -> Value {
    let patch = |&z: &usize| json!({"z": z, "runs": runs::text(document.slice(z).iter().copied())});
    let mut told = json!({
        "revision": document.facts.revision,
        "undo": document.undo.len(),
        "redo": document.redo.len(),
        "what": touched.what,
        "about": touched.labels,
        "labels": document.facts.labels,
        "state": document.facts.state(),
        "who": document.facts.who,
        "when": document.facts.when,
        "patches": touched.slices.iter().map(patch).collect::<Vec<_>>(),
    });
    marks(document).into_iter().for_each(|(key, value)| told[key] = value);
    told
}

/// Who made what, and how far it can be believed.
pub fn marks(document: &Document) -> [(&'static str, Value); 3] {
    let (mut slices, mut planes, mut confidence) = (Map::new(), Map::new(), Map::new());
    for label in &document.facts.labels {
        let (key, own) = (label.value.to_string(), document.marks(label.value));
        slices.insert(key.clone(), own.text().into());
        planes.insert(key.clone(), json!({"coronal": own.coronal, "sagittal": own.sagittal}));
        if let Some(own) = &own.confidence {
            confidence.insert(key, json!({"plane": own.plane, "values": own.values, "next": own.next}));
        }
    }
    [("slices", slices.into()), ("planes", planes.into()), ("confidence", confidence.into())]
}

/// All that the page needs to show a scan.
pub fn scan(desk: &Desk, scan: &Scan, tab: Option<&str>) -> Value {
    let holder = scan.holder(&desk.hub);
    let job = locked(&scan.job).as_ref().map(|job| work::told(job));
    let m = scan.canonical.world_from_voxel;
    let columns = m.to_cols_array();
    let row = |at: usize| [0, 3, 6, 9].map(|column| columns[column + at]);
    let world = [0, 1, 2].map(row);
    let file = &scan.image.space;
    let hu = scan.stored.min < -100.0;
    let (low, high) = (scan.stored.min, scan.stored.max);
    let presets = [
        ("soft tissue", 40.0, 400.0),
        ("lung", -600.0, 1500.0),
        ("bone", 400.0, 1800.0),
        ("brain", 40.0, 80.0),
        ("liver", 60.0, 160.0),
        ("mediastinum", 50.0, 350.0),
    ];
    let whole = ("whole range", (low + high) / 2.0, (high - low).max(1.0));
    let windows: Vec<Value> = presets
        .into_iter()
        .filter(|_| hu)
        .chain([whole])
        .map(|(name, centre, width)| json!({"name": name, "centre": centre, "width": width}))
        .collect();
    let embedded = crate::embed::done(desk, scan);
    let mut told = scan.with(|sheet| {
        let document = &sheet.document;
        let facts = &document.facts;
        let mut told = json!({
            "labels": facts.labels,
            "revision": facts.revision,
            "undo": document.undo.len(),
            "redo": document.redo.len(),
            "note": facts.note,
            "state": facts.state(),
            "who": facts.who,
            "when": facts.when,
            "reviewed": facts.review,
            "last_seq": tab.and_then(|tab| document.last_seq(tab)).unwrap_or(0),
        });
        marks(document).into_iter().for_each(|(key, value)| told[key] = value);
        told
    });
    let fixed = json!({
        "id": scan.entry.id,
        "name": scan.entry.name,
        "shape": scan.canonical.shape,
        "spacing": scan.canonical.spacing(),
        "world": world,
        "file": {
            "axes": scan.order.axes,
            "flip": scan.order.flip,
            "shape": file.shape,
            "code": polycl_image::orient::orientation_code(file),
        },
        "turned": polycl_image::orient::turned(file),
        "odd": scan.odd,
        "values": {
            "slope": scan.stored.slope,
            "intercept": scan.stored.intercept,
            "min": low,
            "max": high,
            "hu": hu,
        },
        "windows": windows,
        "writer": tab.is_some() && holder.as_deref() == tab,
        "holder": holder,
        "job": job,
        "embedded": {"axial": embedded},
    });
    if let (Value::Object(told), Value::Object(fixed)) = (&mut told, fixed) {
        told.extend(fixed);
    }
    told
}
