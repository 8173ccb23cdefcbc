//! Leases: who is served, each until it goes, falls silent or does nothing for long.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use polycl_base::Result;
use tokio::task::AbortHandle;

use super::session::Session;
use crate::guard;
use crate::locked::locked;
use crate::refusal::{Answer, Refusal};

/// Clients that are served at once.
pub const CLIENTS: usize = 4;

/// How long is waited for what.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// For a person to do something.
    pub idle: Duration,
    /// For a sign of the client.
    pub liveness: Duration,
    /// For a network, before the answer is what it has found so far: clients give up after 60 s.
    pub patience: Duration,
}

impl Default for Times {
    fn default() -> Self {
        let [idle, liveness, patience] = [600, 60, 45].map(Duration::from_secs);
        Self { idle, liveness, patience }
    }
}

pub struct Lease {
    pub token: String,
    /// The name that it has beside the tabs of browsers.
    pub tab: String,
    /// When a person last did something, and when anything was last heard.
    clocks: Mutex<[Instant; 2]>,
    pub session: Mutex<Option<Session>>,
    /// The id of the session's scan, known also while the session is at work.
    pub scan: Mutex<Option<String>>,
    /// Listens to the scan, as a page does that shows it.
    ear: Mutex<Option<AbortHandle>>,
}

impl Lease {
    /// Notes a sign of life, and if a person has done something.
    fn hear(&self, is_person: bool) {
        let now = Instant::now();
        let mut clocks = locked(&self.clocks);
        clocks[1] = now;
        if is_person {
            clocks[0] = now;
        }
    }

    /// Listens with another ear, or with none.
    pub fn listen(&self, ear: Option<AbortHandle>) {
        if let Some(before) = std::mem::replace(&mut *locked(&self.ear), ear) {
            before.abort();
        }
    }
}

#[derive(Default)]
pub struct Leases {
    held: Mutex<Vec<Arc<Lease>>>,
    next: AtomicUsize,
    pub times: Times,
}

impl Leases {
    pub fn new(times: Times) -> Self {
        Self { times, ..Self::default() }
    }

    /// A new lease; nothing where as many are held as can be.
    ///
    /// # Errors
    /// As [`guard::random`].
    pub fn claim(&self) -> Result<Option<Arc<Lease>>> {
        let token = guard::random()?;
        let mut held = locked(&self.held);
        if held.len() >= CLIENTS {
            return Ok(None);
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let lease = Arc::new(Lease {
            token,
            tab: format!("nnInteractive {number}"),
            clocks: Mutex::new([Instant::now(); 2]),
            session: Mutex::default(),
            scan: Mutex::default(),
            ear: Mutex::default(),
        });
        held.push(Arc::clone(&lease));
        Ok(Some(lease))
    }

    /// The lease of a token, which is heard by that.
    ///
    /// # Errors
    /// `no_lease`
    pub fn find(&self, token: &str, is_person: bool) -> Answer<Arc<Lease>> {
        let lease = self.peek(token)?;
        lease.hear(is_person);
        Ok(lease)
    }

    /// As [`Self::find`], and nothing is heard.
    ///
    /// # Errors
    /// `no_lease`
    pub fn peek(&self, token: &str) -> Answer<Arc<Lease>> {
        let held = locked(&self.held);
        let own = held.iter().find(|lease| guard::same(&lease.token, token));
        own.cloned().ok_or_else(|| {
            Refusal::new(StatusCode::GONE, "no_lease", "The session has ended.").hint("call claim again")
        })
    }

    /// The seconds after which a lease ends if its person does nothing.
    pub fn remaining(&self, lease: &Lease) -> f64 {
        let [active, _] = *locked(&lease.clocks);
        self.times.idle.saturating_sub(active.elapsed()).as_secs_f64()
    }

    /// Takes the leases away that are over at a moment.
    pub fn sweep(&self, now: Instant) -> Vec<Arc<Lease>> {
        let is_over = |lease: &mut Arc<Lease>| {
            let [active, seen] = locked(&lease.clocks).map(|when| now.saturating_duration_since(when));
            // What works is neither idle nor dead.
            let is_at_work = matches!(lease.session.try_lock(), Err(TryLockError::WouldBlock));
            !is_at_work && (active > self.times.idle || seen > self.times.liveness)
        };
        locked(&self.held).extract_if(.., is_over).collect()
    }

    pub fn release(&self, token: &str) -> Option<Arc<Lease>> {
        let mut held = locked(&self.held);
        let at = held.iter().position(|lease| guard::same(&lease.token, token))?;
        Some(held.remove(at))
    }

    pub fn all(&self) -> Vec<Arc<Lease>> {
        locked(&self.held).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_end() {
        let leases = Leases::default();
        let [silent, alive] = [(); 2].map(|()| leases.claim().unwrap().unwrap());
        let began = Instant::now();
        let after = |seconds: u64| began + Duration::from_secs(seconds);
        assert!(leases.sweep(after(50)).is_empty());
        assert_ne!((&silent.token, &silent.tab), (&alive.token, &alive.tab));
        locked(&alive.clocks)[1] = after(50);
        // What works is left alone.
        let work = locked(&silent.session);
        assert!(leases.sweep(after(70)).is_empty());
        drop(work);
        let gone = leases.sweep(after(70));
        assert_eq!(gone.iter().map(|lease| &lease.token).collect::<Vec<_>>(), [&silent.token]);
        assert_eq!(leases.find(&silent.token, true).err().unwrap().status, StatusCode::GONE);
        assert!(leases.find(&alive.token, false).is_ok());
        // Signs of life alone keep no lease for ever.
        locked(&alive.clocks)[1] = after(600);
        assert_eq!(leases.sweep(after(610)).len(), 1);
        let all: Vec<_> = (0..CLIENTS).map(|_| leases.claim().unwrap().unwrap()).collect();
        assert!(leases.claim().unwrap().is_none());
        leases.release(&all[0].token);
        assert!(leases.claim().unwrap().is_some());
    }
}
