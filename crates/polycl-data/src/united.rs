//! The shards of an import united to the data set that one process would have made.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use polycl_base::{Error, Kind, Result};

use super::failed::{self, Failed};
use super::import::refuse_twin;
use super::journal::{self, Journal};
use super::store::{self, Writer};
use super::{Index, Scan, shard};

/// The data set of all shards.
#[derive(Debug)]
pub struct United {
    pub index: Index,
    /// Cases that could not be used, and why.
    pub failed: Failed,
}

/// Moves the scans of imports by shards into the data set `out`, in the `order` of their cases. Where it is killed, it goes on
/// when it is asked again.
///
/// # Errors
/// [`Kind::Request`] for shards that were made in different ways, or where no scan at all could be used;
/// [`Kind::Io`] and [`Kind::Format`] for what cannot be read or written.
pub fn unite(shards: &[PathBuf], order: &BTreeMap<String, usize>, out: &Path) -> Result<United> {
    let mut head = None;
    let mut all: Vec<(Scan, &Path)> = Vec::new();
    let mut reasons = Failed::new();
    for shard in shards {
        let (own, scans) = journal::read(shard)?;
        head.get_or_insert_with(|| own.clone()).check(&own, shard)?;
        all.extend(scans.into_iter().map(|scan| (scan, &**shard)));
        reasons.extend(failed::failed(shard)?);
    }
    let Some(head) = head.filter(|_| !all.is_empty()) else {
        let found = reasons.iter().next().map_or_else(
            || "no scan".to_owned(),
            |(case, reason)| format!("none; the first that failed is {case}: {reason}"),
        );
        return Err(Error::new(out, Kind::Pairing, "scans that can be used", found)
            .hint("mend the files and run the shards again, or remove the folder"));
    };
    let known: BTreeSet<&String> = all.iter().map(|(scan, _)| &scan.case).chain(reasons.keys()).collect();
    if !known.iter().copied().eq(order.keys()) {
        let lost = order.keys().find(|case| !known.contains(case));
        let found = lost.map_or_else(|| "cases of no shard".to_owned(), |case| format!("no trace of {case}"));
        return Err(Error::new(out, Kind::Request, "all cases in the folders of their shards", found)
            .hint(format!("remove {} and begin anew", shard::folder(out).display())));
    }
    all.sort_by_key(|(scan, _)| order.get(&scan.case));
    let mut journal = Journal::open(out, head, true)?;
    Writer::create(out)?;
    for (scan, shard) in all {
        if journal.scans().iter().any(|there| there.case == scan.case) {
            continue;
        }
        match refuse_twin(&scan, journal.scans()) {
            Ok(()) => {
                take(&store::folder(shard).join(&scan.case), &store::folder(out).join(&scan.case))?;
                journal.add(scan)?;
            }
            Err(error) => drop(reasons.insert(scan.case, error.to_string())),
        }
    }
    failed::write(out, &reasons)?;
    Ok(United { index: journal.finish()?, failed: reasons })
}

/// Moves the slices of a scan, unless they were moved before a kill.
fn take(from: &Path, to: &Path) -> Result<()> {
    if to.is_dir() && !from.is_dir() {
        return Ok(());
    }
    match fs::remove_dir_all(to) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(to, "remove it", &e)),
        _ => fs::rename(from, to).map_err(|e| Error::io(from, "move it into the data set", &e)),
    }
}
