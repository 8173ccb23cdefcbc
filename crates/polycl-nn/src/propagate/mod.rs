//! One annotated slice becomes a volume: objects are followed from the slices in which they are shown, up and down,
//! and what both ways say is brought together.
//!
//! A [`Follower`] is a loaded network, which any number of scans share, at once too. All that belongs to one scan is
//! in a session of its own, which [`propagate()`] begins and ends.

mod answer;
mod boxes;
mod confidence;
mod follower;
mod found;
mod journal;
mod memory;
mod merge;
mod network_name;
mod object;
mod prompt;
mod request;
mod scene;
mod session;
mod shape;
mod sweep;
mod tissue;
mod tracker;

use polycl_base::{Result, Watch};

use crate::sam::Cache;
use answer::Pass;
pub use confidence::Suggestion;
pub use follower::{Follower, VideoNetwork};
pub use found::Found;
pub use journal::Journal;
pub use merge::Propagated;
pub use network_name::NetworkName;
pub use object::{Clue, Object, Place};
pub use prompt::{Desk, Prompted};
pub use request::{Direction, Request, fingerprint};
use scene::Scene;
use session::Session;
use sweep::{Sweep, Swept};
use tracker::Tracker;

/// Follows objects through a scan. `journal` holds what is found until it is removed: where it was asked to stop
/// meanwhile, which gives nothing, the same call goes on from there to the same bits. Each slice is a partial result
/// as soon as objects were looked for in it: a [`Found`], also where an earlier run has found them.
///
/// # Errors
/// [`polycl_base::Kind::Io`] where the journal or the cache cannot be written.
pub fn propagate(
    follower: &Follower,
    request: &Request<'_>,
    journal: &Journal,
    watch: &dyn Watch,
) -> Result<Option<Propagated>> {
    let cache = follower.cache(request.image, request.plane);
    propagate_cached(follower, request, journal, cache, watch)
}

/// As [`propagate()`], where the scan's cache is known: finding it takes a look at all voxels.
///
/// # Errors
/// As [`propagate()`].
pub fn propagate_cached(
    follower: &Follower,
    request: &Request<'_>,
    journal: &Journal,
    cache: Option<Cache>,
    watch: &dyn Watch,
) -> Result<Option<Propagated>> {
    let scene = Scene::with(request.image, request.plane, follower, cache);
    let tracker = Tracker::new(follower, scene.slices, scene.step);
    let mut session = Session { tracker, scene: &scene, request, journal, watch };
    if !session.look_at_shown()? {
        return Ok(None);
    }
    for pass in [Pass::Up, Pass::Down] {
        let mut swept = Sweep::new(&mut session, pass, true).run()?;
        if swept == Swept::Untraced {
            swept = Sweep::new(&mut session, pass, false).run()?;
        }
        if swept == Swept::Stopped {
            return Ok(None);
        }
    }
    merge::merge(request, journal, &scene, session.tracker.scores_objects()).map(Some)
}

/// The volume of what has been found before it was asked to stop; nothing is found anew.
///
/// # Errors
/// As [`propagate()`].
pub fn so_far(follower: &Follower, request: &Request<'_>, journal: &Journal) -> Result<Propagated> {
    let scene = Scene::with(request.image, request.plane, follower, None);
    let scores = matches!(follower, Follower::Memory(_));
    merge::merge(request, journal, &scene, scores)
}
