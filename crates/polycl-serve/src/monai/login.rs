//! Who asks: users who gave the workbench's token as their password, and what is remembered of each of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use polycl_base::Result;
use polycl_image::Space;
use polycl_image::orient::Reorientation;
use sha2::{Digest as _, Sha256};

use crate::document::Author;
use crate::guard::{random, same};
use crate::locked::locked;

/// Logins, and sessions and names of images of one of them, that are remembered; the oldest is forgotten.
const LOGINS: usize = 64;
const SESSIONS: usize = 16;
const IMAGES: usize = 64;
/// Hex digits of an id that is told to clients.
const DIGITS: usize = 32;

/// An image that a client has sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// The id of its scan.
    pub scan: String,
    /// The place of its voxels as the client has them, and their order.
    pub view: (Space, Reorientation),
}

/// A user's way in, until the server ends.
pub struct Login {
    pub token: String,
    pub author: Author,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    /// What a client may name each scan by.
    passes: BTreeMap<String, Pass>,
    /// Scans that were handed out, the latest at the end.
    handed: Vec<String>,
    /// Images that the client has sent, by its own names for them.
    images: Vec<(String, Sent)>,
    sessions: Vec<(String, Sent)>,
}

/// An id that says nothing of the scan that it stands for.
struct Pass {
    id: String,
    /// Ids are compared by their digests: the time that takes tells nothing.
    digest: Digest,
    /// Files that may be fetched once by whoever knows the id.
    open: [bool; 2],
}

/// Files of a scan that a client fetches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Image,
    Label,
}

/// All logins, the latest used at the end.
#[derive(Default)]
pub struct Logins(Mutex<Vec<Arc<Login>>>);

impl Logins {
    /// Lets a user in.
    ///
    /// # Errors
    /// As [`random`].
    pub fn begin(&self, user: &str) -> Result<Arc<Login>> {
        let author = Author { tab: format!("monai-{}", &random()?[..DIGITS]), who: Some(user.to_owned()) };
        let login = Arc::new(Login { token: random()?, author, memory: Mutex::default() });
        let mut all = locked(&self.0);
        all.push(Arc::clone(&login));
        let surplus = all.len().saturating_sub(LOGINS);
        all.drain(..surplus);
        Ok(login)
    }

    /// The login whose token a request brings.
    pub fn of(&self, headers: &HeaderMap) -> Option<Arc<Login>> {
        let text = headers.get(AUTHORIZATION)?.to_str().ok()?;
        let (kind, token) = text.split_once(' ')?;
        if !kind.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut all = locked(&self.0);
        let at = all.iter().position(|login| same(&login.token, token))?;
        let login = all.remove(at);
        all.push(Arc::clone(&login));
        Some(login)
    }

    /// The scan of an id by which a file may be fetched once, which is used up.
    pub fn use_up(&self, id: &str, kind: Kind) -> Option<String> {
        let digest = digest(id);
        locked(&self.0).iter().find_map(|login| {
            let mut memory = locked(&login.memory);
            let (scan, pass) = memory.passes.iter_mut().find(|(_, pass)| pass.digest == digest)?;
            std::mem::take(&mut pass.open[kind as usize]).then(|| scan.clone())
        })
    }

    /// True if another login was handed a scan last.
    pub fn is_with_another(&self, login: &Login, scan: &str) -> bool {
        let others = || locked(&self.0).iter().filter(|other| other.token != login.token).cloned().collect();
        let others: Vec<Arc<Login>> = others();
        others.iter().any(|other| locked(&other.memory).handed.last().is_some_and(|last| last == scan))
    }
}

impl Login {
    /// The id by which this user names a scan; `anew` lets its files be fetched once more.
    ///
    /// # Errors
    /// As [`random`].
    pub fn id(&self, scan: &str, anew: bool) -> Result<String> {
        let mut memory = locked(&self.memory);
        if let Some(pass) = memory.passes.get_mut(scan) {
            if anew {
                pass.open = [true; 2];
            }
            return Ok(pass.id.clone());
        }
        let id = random()?[..DIGITS].to_owned();
        let pass = Pass { id: id.clone(), digest: digest(&id), open: [true; 2] };
        memory.passes.insert(scan.to_owned(), pass);
        Ok(id)
    }

    /// The scan of an id.
    pub fn scan(&self, id: &str) -> Option<String> {
        let (memory, digest) = (locked(&self.memory), digest(id));
        memory.passes.iter().find(|(_, pass)| pass.digest == digest).map(|(scan, _)| scan.clone())
    }

    /// The image that the client calls so.
    pub fn image(&self, name: &str) -> Option<Sent> {
        let memory = locked(&self.memory);
        memory.images.iter().find(|(own, _)| own == name).map(|(_, sent)| sent.clone())
    }

    pub fn name_image(&self, name: &str, sent: Sent) {
        put(&mut locked(&self.memory).images, name, sent, IMAGES);
    }

    /// Begins a session on an image; gives its id.
    ///
    /// # Errors
    /// As [`random`].
    pub fn begin_session(&self, sent: Sent) -> Result<String> {
        let id = random()?[..DIGITS].to_owned();
        put(&mut locked(&self.memory).sessions, &id, sent, SESSIONS);
        Ok(id)
    }

    pub fn session(&self, id: &str) -> Option<Sent> {
        let memory = locked(&self.memory);
        memory.sessions.iter().find(|(own, _)| own == id).map(|(_, sent)| sent.clone())
    }

    /// Ends a session; false where there is none.
    pub fn end_session(&self, id: &str) -> bool {
        let sessions = &mut locked(&self.memory).sessions;
        let before = sessions.len();
        sessions.retain(|(own, _)| own != id);
        sessions.len() < before
    }

    /// Hands out the first of some scans that was not handed out yet, or the one that was longest ago.
    pub fn hand_out(&self, scans: &[String]) -> Option<String> {
        let handed = &mut locked(&self.memory).handed;
        let age = |scan: &&String| handed.iter().position(|own| own == *scan).map_or(0, |at| at + 1);
        let scan = scans.iter().min_by_key(age)?.clone();
        handed.retain(|own| *own != scan);
        handed.push(scan.clone());
        Some(scan)
    }

    /// Forgets that a scan was handed out: it is done.
    pub fn take_back(&self, scan: &str) {
        locked(&self.memory).handed.retain(|own| own != scan);
    }

    pub fn was_handed(&self, scan: &str) -> bool {
        locked(&self.memory).handed.iter().any(|own| own == scan)
    }
}

type Digest = [u8; 32];

fn digest(id: &str) -> Digest {
    Sha256::digest(id.as_bytes()).into()
}

/// Puts something at the end of what is remembered, and forgets the oldest of too many.
fn put(all: &mut Vec<(String, Sent)>, name: &str, sent: Sent, most: usize) {
    all.retain(|(own, _)| own != name);
    all.push((name.to_owned(), sent));
    let surplus = all.len().saturating_sub(most);
    all.drain(..surplus);
}

#[cfg(test)]
mod tests {
    use glam::DAffine3;

    use super::*;

    #[test]
    fn files_are_fetched_once_by_an_id() {
        let logins = Logins::default();
        let [ann, ben] = ["Ann", "Ben"].map(|user| logins.begin(user).unwrap());
        let id = ann.id("scan", true).unwrap();
        assert_eq!(id.len(), DIGITS);
        assert_ne!(ben.id("scan", true).unwrap(), id);
        assert_eq!(logins.use_up(&id, Kind::Image).as_deref(), Some("scan"));
        assert_eq!(logins.use_up(&id, Kind::Image), None);
        assert_eq!(logins.use_up(&id, Kind::Label).as_deref(), Some("scan"));
        // The id stays, and a list does not open it again; handing it out does.
        assert_eq!((ann.id("scan", false).unwrap(), ann.scan(&id).unwrap()), (id.clone(), "scan".to_owned()));
        assert_eq!(logins.use_up(&id, Kind::Image), None);
        ann.id("scan", true).unwrap();
        assert!(logins.use_up(&id, Kind::Image).is_some());
        assert_eq!((ben.scan(&id), logins.use_up("scan", Kind::Image)), (None, None));
    }

    #[test]
    fn scans_go_round_and_others_are_left_theirs() {
        let logins = Logins::default();
        let [ann, ben] = ["Ann", "Ben"].map(|user| logins.begin(user).unwrap());
        let scans = ["a", "b"].map(str::to_owned);
        let order: Vec<_> = (0..4).map(|_| ann.hand_out(&scans).unwrap()).collect();
        assert_eq!(order, ["a", "b", "a", "b"]);
        assert!(logins.is_with_another(&ben, "b") && !logins.is_with_another(&ann, "b"));
        ann.take_back("b");
        assert!(!logins.is_with_another(&ben, "b"));
        assert_eq!(ann.hand_out(&[]), None);
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let logins = Logins::default();
        let first = logins.begin("first").unwrap();
        let header = |login: &Login| {
            let value = format!("bearer {}", login.token).parse().unwrap();
            HeaderMap::from_iter([(AUTHORIZATION, value)])
        };
        assert!(logins.of(&header(&first)).is_some());
        (0..LOGINS).for_each(|_| drop(logins.begin("next")));
        assert!(logins.of(&header(&first)).is_none());
        let space = Space::new([1; 3], DAffine3::IDENTITY);
        let view = (space.clone(), Reorientation::to_canonical(&space));
        let sent = Sent { scan: "scan".to_owned(), view };
        let sessions: Vec<_> = (0..=SESSIONS).map(|_| first.begin_session(sent.clone()).unwrap()).collect();
        assert_eq!((first.session(&sessions[0]), first.session(&sessions[1])), (None, Some(sent)));
        assert!(first.end_session(&sessions[1]) && !first.end_session(&sessions[1]));
    }
}
