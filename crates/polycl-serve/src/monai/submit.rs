//! A mask that a client submits: the document's mask as one step, vouched for by the user.

use std::collections::BTreeSet;

use polycl_base::Error;
use polycl_image::files::{self, Reading};
use polycl_image::names;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Door;
use super::form::{Form, Temporary, checked, unreadable};
use super::login::Login;
use super::numbers::{self, Segment, is_own};
use super::seen::Seen;
use crate::change;
use crate::document::{Act, Document, Label, Review, now};
use crate::given_mask::GivenMask;
use crate::labels;
use crate::marks::Mark;
use crate::publish::{self, write_mask, write_names, write_record};
use crate::refusal::{Answer, Refusal};
use crate::routes::NAME;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Params {
    label_info: Vec<Segment>,
}

/// Takes a mask over, and publishes it as reviewed.
///
/// # Errors
/// `bad_labels`, `other_place`, `locked`; a file that cannot be read; what storing says.
pub fn submit(door: &Door, login: &Login, seen: &Seen, form: &Form<'_>) -> Answer<Value> {
    let Params { label_info } = form.params()?;
    let file = Temporary::write(&form.needed_file(&["label"])?, &door.incoming())?;
    let path = file.path();
    checked(&path, seen.space.voxels())?;
    let mask = Reading::default().mask(&path).map_err(unreadable)?;
    // Segmentations of 3D Slicer bring the names of their numbers.
    let told = match files::is_segmentation(&path) {
        true => names::beside(&path).map_err(unreadable)?.names,
        false => numbers::names(&mask.voxels, &label_info)?,
    };
    let told: Vec<(u16, String)> = told.into_iter().filter(|(_, name)| !is_own(name)).collect();
    let names: Vec<String> = told.iter().map(|(_, name)| name.trim().to_owned()).collect();
    check(&names)?;
    let mut voxels = seen.take(mask, &path)?;
    drop(file);
    let (desk, scan, author) = (&door.desk, &seen.scan, &login.author);
    let who = author.who.clone().unwrap_or_default();
    let empty = scan.with(|sheet| {
        let (values, table) = labels::named(&sheet.document, &names)?;
        let mut numbers = vec![0; usize::from(u16::MAX) + 1];
        told.iter().zip(&values).for_each(|((number, _), value)| numbers[usize::from(*number)] = *value);
        voxels.iter_mut().for_each(|voxel| *voxel = numbers[usize::from(*voxel)]);
        let labels: BTreeSet<u16> = values.into_iter().collect();
        refuse_unseen(&sheet.document, &labels)?;
        let given = GivenMask { voxels: &voxels, labels: &labels };
        let step = given.step(&sheet.document)?;
        if let Some(table) = table {
            change::relabel(desk, scan, sheet, author, table)?;
        }
        if let Some(step) = step {
            change::store(desk, scan, sheet, author, None, Act::Step(step))?;
        }
        let empty = sheet.document.mask.iter().all(|label| *label == 0);
        let review = Review { who: who.clone(), when: now(), empty };
        sheet.act(author, None, Act::Review(Some(review)))?;
        change::tell_row(desk, scan, &sheet.document);
        Answer::Ok(empty)
    })?;
    publish::put_away(desk, scan)?;
    if scan.entry.is_sent() {
        publish_beside(seen)?;
    }
    login.take_back(&scan.entry.id);
    desk.leave(&scan.entry.id, &author.tab)?;
    let id = login.id(&scan.entry.id, false)?;
    Ok(json!({"image": id, "label": id, "reviewed_by": who, "labels": names, "empty": empty}))
}

/// Refuses a submission that leaves proposals out which nobody has looked at: a review would vouch for them.
fn refuse_unseen(document: &Document, named: &BTreeSet<u16>) -> Answer<()> {
    let is_unseen = |label: &&Label| {
        !named.contains(&label.value) && document.marks(label.value).slices.contains(&Mark::Proposed)
    };
    match document.facts.labels.iter().find(is_unseen) {
        None => Ok(()),
        Some(Label { name, .. }) => {
            let message = format!(
                "A network has proposed {name} in slices that nobody has seen, and the mask does not name it."
            );
            Err(Refusal::conflict("unseen_labels", message).hint(format!(
                "run the model `workbench` to load the mask, or submit an empty segment {name}"
            )))
        }
    }
}

fn check(names: &[String]) -> Answer<()> {
    let wrong = |text: String| Err(Refusal::senseless("bad_labels", text));
    let mut seen = BTreeSet::new();
    for name in names {
        if name.is_empty() || name.chars().count() > NAME || name.chars().any(char::is_control) {
            return wrong(format!("Expected names of 1 to {NAME} characters, found {name:?}."));
        }
        if !seen.insert(name.to_lowercase()) {
            return wrong(format!("Two segments have the name {name}."));
        }
    }
    Ok(())
}

/// Writes the mask of an image that the client has sent beside it, since it is no scan of the folder.
fn publish_beside(seen: &Seen) -> Result<(), Error> {
    let (entry, space) = (&seen.scan.entry, &seen.scan.image.space);
    let document = seen.scan.with(|sheet| sheet.document.clone());
    let folder = entry.folder.join("masks");
    std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, "make the folder", &e))?;
    write_record(&folder, &entry.name, space, &document)?;
    write_names(&folder, &entry.name, &document.names())?;
    write_mask(&folder.join(format!("{}.nii.gz", entry.name)), space, document.mask)
}
