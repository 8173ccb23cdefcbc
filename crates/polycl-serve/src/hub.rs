//! Events for pages that listen.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::response::sse::Event;
use futures_core::Stream;
use serde_json::Value;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::locked::locked;

/// Events that wait for a slow listener; one that is slower is cut off, connects again and loads anew.
const WAITING: usize = 4096;
const LISTENERS: usize = 256;

#[derive(Debug, Clone)]
struct Message {
    name: &'static str,
    data: Arc<str>,
}

struct Listener {
    id: u64,
    tab: String,
    scan: Option<String>,
    sender: Sender<Message>,
}

#[derive(Default)]
pub struct Hub {
    listeners: Mutex<Vec<Listener>>,
    next: AtomicU64,
    /// When the last stream of a tab ended.
    left: Mutex<BTreeMap<String, Instant>>,
}

/// Whom an event is for.
#[derive(Clone, Copy)]
pub enum To<'a> {
    All,
    /// Those who look at a scan.
    Scan(&'a str),
    /// Those but one tab, which has heard already.
    Others {
        scan: &'a str,
        tab: &'a str,
    },
}

impl Hub {
    /// Begins to listen; nothing where too many do.
    pub fn listen(self: &Arc<Self>, tab: &str, scan: Option<&str>) -> Option<Events> {
        let (sender, receiver) = channel(WAITING);
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut listeners = locked(&self.listeners);
        if listeners.len() >= LISTENERS {
            return None;
        }
        listeners.push(Listener { id, tab: tab.to_owned(), scan: scan.map(str::to_owned), sender });
        Some(Events { receiver, id, hub: Arc::clone(self) })
    }

    pub fn tell(&self, to: To<'_>, name: &'static str, data: &Value) {
        let message = Message { name, data: data.to_string().into() };
        let is_for = |listener: &Listener| match to {
            To::All => true,
            To::Scan(scan) => listener.scan.as_deref() == Some(scan),
            To::Others { scan, tab } => listener.scan.as_deref() == Some(scan) && listener.tab != tab,
        };
        locked(&self.listeners)
            .retain(|listener| !is_for(listener) || listener.sender.try_send(message.clone()).is_ok());
    }

    /// Seconds for which a tab has not listened: none while it does, nothing where it never did.
    pub fn away(&self, tab: &str) -> Option<f32> {
        if locked(&self.listeners).iter().any(|listener| listener.tab == tab) {
            return Some(0.0);
        }
        locked(&self.left).get(tab).map(|left| left.elapsed().as_secs_f32())
    }

    /// True if anybody looks at a scan.
    pub fn is_watched(&self, scan: &str) -> bool {
        locked(&self.listeners).iter().any(|listener| listener.scan.as_deref() == Some(scan))
    }

    /// Ends all streams.
    pub fn close(&self) {
        locked(&self.listeners).clear();
    }

    fn leave(&self, id: u64) {
        let mut listeners = locked(&self.listeners);
        let Some(at) = listeners.iter().position(|listener| listener.id == id) else { return };
        let tab = listeners.remove(at).tab;
        let mut left = locked(&self.left);
        left.retain(|_, when| when.elapsed().as_secs() < 3600);
        left.insert(tab, Instant::now());
    }
}

/// A stream of events for one page.
pub struct Events {
    receiver: Receiver<Message>,
    id: u64,
    hub: Arc<Hub>,
}

impl Events {
    /// Sends an event to this page alone.
    pub fn greet(&self, name: &'static str, data: &Value) {
        let listeners = locked(&self.hub.listeners);
        if let Some(own) = listeners.iter().find(|listener| listener.id == self.id) {
            // A stream that has just begun has room.
            let _ = own.sender.try_send(Message { name, data: data.to_string().into() });
        }
    }
}

impl Stream for Events {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let message = self.receiver.poll_recv(context);
        message.map(|message| {
            message.map(|Message { name, data }| Ok(Event::default().event(name).data(&*data)))
        })
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.hub.leave(self.id);
    }
}
