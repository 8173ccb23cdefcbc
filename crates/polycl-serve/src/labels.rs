//! Labels of a document by their names.

use crate::document::{Document, Label};
use crate::refusal::{Answer, Refusal};
use crate::scan::label;

/// The values of labels of these names, and the table of labels with those that are new in it; nothing where all are known.
///
/// # Errors
/// `bad_labels`, where no value is left.
pub fn named(document: &Document, names: &[String]) -> Answer<(Vec<u16>, Option<Vec<Label>>)> {
    let mut labels = document.facts.labels.clone();
    let mut taken = document.taken();
    let mut values = Vec::with_capacity(names.len());
    for name in names {
        let is_same = |label: &&Label| label.name.to_lowercase() == name.to_lowercase();
        let value = match labels.iter().find(is_same) {
            Some(known) => known.value,
            None => {
                let value = (1..u16::MAX).find(|value| !taken.contains(value)).ok_or_else(|| {
                    Refusal::conflict("bad_labels", "No label value is left for further labels.")
                })?;
                taken.insert(value);
                labels.push(label(value, name, labels.len()));
                value
            }
        };
        values.push(value);
    }
    let is_new = labels.len() > document.facts.labels.len();
    Ok((values, is_new.then_some(labels)))
}
