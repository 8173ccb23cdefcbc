//! Embeddings made in the background: those around what a person looks at first, never while a person waits.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use polycl_image::Plane;
use polycl_nn::propagate::{Desk as Network, Follower};
use polycl_nn::sam::Cache;
use serde_json::json;

use crate::desk::Desk;
use crate::hub::To;
use crate::locked::locked;
use crate::publish;
use crate::scan::Scan;
use crate::thumbnail;

/// Between looks for work where there is none.
const PAUSE: Duration = Duration::from_millis(200);
/// Slices after which the cache's size is looked at.
const SLICES: usize = 32;
/// Seconds without a change after which a mask is written.
const QUIET: Duration = Duration::from_secs(10);

/// The cache of a scan's planes.
pub fn cache(scan: &Scan, follower: &Follower, plane: Plane) -> Option<Cache> {
    let mut known = locked(&scan.caches);
    if let Some((_, cache)) = known.iter().find(|(own, _)| *own == plane) {
        return cache.clone();
    }
    let cache = follower.cache(&scan.image, plane);
    known.push((plane, cache.clone()));
    cache
}

/// Ranges of axial slices that are embedded in the window of the label in focus.
pub fn done(desk: &Desk, scan: &Scan) -> Vec<[usize; 2]> {
    let Some(follower) = desk.follower() else { return Vec::new() };
    // Found by a look at all voxels, for which nobody waits here.
    let Some((_, Some(cache))) =
        locked(&scan.caches).iter().find(|(plane, _)| *plane == Plane::Axial).cloned()
    else {
        return Vec::new();
    };
    let network = Network::new(follower, &scan.image, Plane::Axial, Some(cache));
    let window = window(scan);
    let mut ranges: Vec<[usize; 2]> = Vec::new();
    for k in (0..scan.canonical.shape[2]).filter(|&k| network.is_embedded(k, window)) {
        match ranges.last_mut() {
            Some([_, last]) if *last + 1 == k => *last = k,
            _ => ranges.push([k, k]),
        }
    }
    ranges
}

/// The window of the label in focus.
fn window(scan: &Scan) -> [f32; 2] {
    let focus = *locked(&scan.focus);
    scan.peek(|sheet| {
        let labels = &sheet.document.facts.labels;
        let own = labels.iter().find(|label| Some(label.value) == focus.label).or(labels.first());
        own.map_or([40.0, 400.0], |label| label.window)
    })
}

/// Works in the background until the server stops: masks of killed servers, embeddings, thumbnails, masks of scans that
/// were left alone for a while.
pub fn run(desk: &Arc<Desk>) {
    desk.load();
    for entry in desk.entries() {
        if let Err(error) = desk.while_closed(&entry, || publish::recover(desk, &entry)) {
            desk.trouble(Some(&entry.id), &error.to_string());
        }
    }
    let (mut embedded, mut pictured) = (0, 0);
    // The scans for whose embeddings there is no room.
    let mut full: Option<Vec<String>> = None;
    while !desk.stopping.load(Ordering::Relaxed) {
        if desk.waited_for.load(Ordering::Relaxed) > 0 {
            std::thread::sleep(PAUSE / 10);
            continue;
        }
        put_away_quiet(desk);
        let watched = watched(desk);
        let mut looked_at = watched.clone();
        looked_at.sort();
        if full.as_ref() != Some(&looked_at) && embed_next(desk, &watched) {
            embedded += 1;
            if embedded % SLICES == 0 {
                let kept: Vec<PathBuf> = watched.iter().flat_map(|id| folders(desk, id)).collect();
                let has_room = limit(&desk.cache(), desk.request.cache_limit, &kept);
                full = (!has_room).then_some(looked_at);
            }
        } else if !thumbnail::next(desk, &mut pictured) {
            std::thread::sleep(PAUSE);
        }
    }
}

/// Writes masks that have not changed for a while.
fn put_away_quiet(desk: &Desk) {
    for id in desk.all_open() {
        let Some(scan) = desk.opened(&id) else { continue };
        desk.tell_open(&scan);
        let is_at_work = locked(&scan.job).is_some();
        if scan.quiet() > QUIET
            && !is_at_work
            && scan.is_unpublished()
            && let Err(error) = publish::put_away(desk, &scan)
        {
            scan.give_up_publishing();
            desk.trouble(Some(&id), &error.to_string());
        }
    }
}

/// The scans that people look at, those first that were used last.
fn watched(desk: &Desk) -> Vec<String> {
    desk.all_open().into_iter().filter(|id| desk.hub.is_watched(id)).collect()
}

/// The folders of a scan's embeddings.
fn folders(desk: &Desk, id: &str) -> Vec<PathBuf> {
    let Some(scan) = desk.opened(id) else { return Vec::new() };
    let known = locked(&scan.caches);
    known.iter().filter_map(|(_, cache)| Some(cache.as_ref()?.folder().to_path_buf())).collect()
}

/// Embeds the slice that is nearest to what a person looks at; false where all are.
fn embed_next(desk: &Desk, watched: &[String]) -> bool {
    let Some(follower) = desk.follower() else { return false };
    if desk.request.cache_limit == 0 {
        return false;
    }
    watched.iter().any(|id| {
        let Some(scan) = desk.opened(id) else { return false };
        let focus = *locked(&scan.focus);
        let plane = focus.plane;
        let Some(cache) = cache(&scan, follower, plane) else { return false };
        let network = Network::new(follower, &scan.image, plane, Some(cache));
        let window = window(&scan);
        let mut planes: Vec<usize> = (0..scan.canonical.shape[plane as usize]).collect();
        planes.sort_by_key(|k| k.abs_diff(focus.k));
        let Some(k) = planes.into_iter().find(|&k| !network.is_embedded(k, window)) else { return false };
        match network.embed(k, window) {
            Ok(()) => {
                let data = json!({"scan": scan.entry.id, "plane": plane, "k": k});
                desk.hub.tell(To::Scan(&scan.entry.id), "embedded", &data);
                true
            }
            // Most likely a full disk: what is drawn needs the room.
            Err(_) => false,
        }
    })
}

/// Removes the embeddings of scans that were used least lately until the others take no more than `most` bytes; false
/// where those that are `kept` take more.
pub fn limit(cache: &Path, most: u64, kept: &[PathBuf]) -> bool {
    let mut folders: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
    for computer in entries(cache) {
        for scan in entries(&computer) {
            let files = entries(&scan);
            let data = files.iter().filter_map(|file| file.metadata().ok());
            let (mut size, mut used) = (0, SystemTime::UNIX_EPOCH);
            for data in data {
                size += data.len();
                used = used.max(data.modified().unwrap_or(used));
            }
            folders.push((used, size, scan));
        }
    }
    folders.sort();
    let mut size: u64 = folders.iter().map(|folder| folder.1).sum();
    for (_, own, folder) in folders.into_iter().filter(|(.., folder)| !kept.contains(folder)) {
        if size <= most {
            break;
        }
        // What stays is removed another time.
        if std::fs::remove_dir_all(&folder).is_ok() {
            size -= own;
        }
    }
    size <= most
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_keeps_within_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        for (number, scan) in ["old", "new"].into_iter().enumerate() {
            let path = folder.path().join("cpu").join(scan);
            std::fs::create_dir_all(&path).unwrap();
            std::fs::write(path.join("slice"), [0; 100]).unwrap();
            let file = std::fs::File::options().write(true).open(path.join("slice")).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1000 + number as u64)).unwrap();
        }
        let [old, new] = ["old", "new"].map(|scan| folder.path().join("cpu").join(scan));
        assert!(limit(folder.path(), 200, &[]));
        assert_eq!(entries(&folder.path().join("cpu")).len(), 2);
        assert!(limit(folder.path(), 199, &[]));
        assert_eq!(entries(&folder.path().join("cpu")), std::slice::from_ref(&new));
        // A scan that is looked at keeps its own, and gets no more.
        assert!(!limit(folder.path(), 99, &[old, new.clone()]));
        assert!(new.is_dir());
    }
}
