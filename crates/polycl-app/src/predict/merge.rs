//! The masks of shards united in one folder, with the records that one process would have left.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use polycl_base::{Error, Kind, Result, lock};
use polycl_data::Records;
use polycl_data::provenance::{Record, refinement, settle};
use serde::Serialize;

use super::book::Card;
use crate::masks::spare_hands;
use crate::shards::Shards;

/// The names of labels beside the masks.
const LABELS: &str = "labels.json";

/// Masks of shards in one folder.
#[derive(Debug, Clone, Serialize)]
pub struct Merged {
    /// Scans that were segmented.
    pub masks: usize,
    /// Cases that could not be, and why.
    pub failed: BTreeMap<String, String>,
}

/// Moves the masks of shards into `out`, and unites their records. Where it is killed, it goes on when it is asked again.
///
/// # Errors
/// [`Kind::Request`] where shards are missing, not done or at work, were made by different networks, lack a mask, or would
/// replace one that a person may have drawn; [`Kind::Io`].
pub fn merge(out: &Path) -> Result<Merged> {
    let shards = Shards::all(out)?;
    let mut united: Option<Card> = card(out)?;
    let mut owners: BTreeMap<String, &Path> = BTreeMap::new();
    for folder in &shards.folders {
        let Some(card) = card(folder)? else { continue };
        let made = card.cases.iter().flatten().filter(|case| !shards.failed.contains_key(*case));
        owners.extend(made.map(|case| (case.clone(), &**folder)));
        match &mut united {
            None => united = Some(card),
            Some(all) if (&all.weights, &all.refined_by) == (&card.weights, &card.refined_by) => {
                all.add(card)
            }
            Some(_) => {
                let expected = "masks of one network, refined in one way";
                return Err(Error::new(
                    folder,
                    Kind::Request,
                    expected,
                    "masks of another run or refinement",
                )
                .hint("remove the file and the folder of the shard, and run it again"));
            }
        }
    }
    let lost =
        shards.order.keys().find(|case| !owners.contains_key(*case) && !shards.failed.contains_key(*case));
    if let Some(case) = lost {
        let found = format!("no record of {case}");
        let expected = "a mask, and a record of it, of each case that did not fail";
        return Err(Error::new(out, Kind::Request, expected, found)
            .hint("remove the file and the folder of its shard, and run the shard again"));
    }
    let mut records = Records::default();
    for (case, folder) in &owners {
        let name = format!("{case}.nii.gz");
        if folder.join(&name).is_file() {
            spare_hands(&mut records, &out.join(name))?;
        } else if !out.join(&name).is_file() {
            return Err(Error::new(
                folder.join(&name),
                Kind::Request,
                "the mask that is listed",
                "no such file",
            )
            .hint("remove the file and the folder of the shard, and run it again"));
        }
    }
    if let Some(card) = united {
        let _lock = lock::wait(out)?;
        card.write(out)?;
    }
    if let Some(labels) = shards.folders.iter().map(|folder| folder.join(LABELS)).find(|file| file.is_file())
    {
        let to = out.join(LABELS);
        fs::copy(labels, &to).map_err(|e| Error::io(&to, "write it", &e))?;
    }
    refinement::unite(out, &shards.folders, &shards.order)?;
    // A mask that an earlier try left of a case that failed since is no result.
    for (folder, case) in
        shards.folders.iter().flat_map(|folder| shards.failed.keys().map(move |case| (folder, case)))
    {
        for ending in ["nii.gz", "dcm"] {
            let _ = fs::remove_file(folder.join(format!("{case}.{ending}")));
        }
    }
    shards.folders.iter().try_for_each(|folder| take(folder, out))?;
    let is_refined = shards.folders.iter().any(|folder| folder.join(Record::Refine.file()).is_file());
    let own = if is_refined { &[Record::Predict, Record::Refine][..] } else { &[Record::Predict] };
    owners.keys().try_for_each(|case| settle(out, case, own))?;
    let merged = Merged { masks: owners.len(), failed: shards.failed.clone() };
    shards.remove()?;
    Ok(merged)
}

/// The card of a folder, if it has one.
fn card(folder: &Path) -> Result<Option<Card>> {
    let path = folder.join(Record::Predict.file());
    if !path.is_file() {
        return Ok(None);
    }
    let expected = "a record of masks as this version of `polycl predict` writes it";
    Card::read(folder)?.map(Some).ok_or_else(|| {
        Error::new(path, Kind::Format, expected, "another file").hint("choose another --out for the shards")
    })
}

/// Moves the files of a shard, those in folders too, but for its records.
fn take(from: &Path, to: &Path) -> Result<()> {
    let failed = |path: &Path, e: &std::io::Error| Error::io(path, "move it to the other masks", e);
    if !from.is_dir() {
        return Ok(());
    }
    let entries = fs::read_dir(from).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    for entry in entries.map_err(|e| failed(from, &e))? {
        let (path, name) = (entry.path(), entry.file_name());
        let is_record =
            [Record::Predict.file(), Record::Refine.file(), LABELS].into_iter().any(|own| name == own);
        if is_record || name.to_string_lossy().starts_with(".polycl") {
            continue;
        }
        let target: PathBuf = to.join(&name);
        if path.is_dir() {
            fs::create_dir_all(&target).map_err(|e| failed(&target, &e))?;
            take(&path, &target)?;
        } else {
            fs::rename(&path, &target).map_err(|e| failed(&path, &e))?;
        }
    }
    Ok(())
}
