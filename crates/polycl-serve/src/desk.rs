//! The workbench: a folder's scans, those that are open, the networks, and who listens.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use polycl_app::fetch;
use polycl_base::{Error, Kind, Result, Subject, lock, output};
use polycl_nn::device::Device;
use polycl_nn::predict::Predictor;
use polycl_nn::propagate::{Follower, NetworkName};
use polycl_nn::sam::Model;
use serde_json::{Value, json};

use crate::document::{Author, Document, Label};
use crate::folder::{self, Entry, Listing};
use crate::hub::{Hub, To};
use crate::journal::{self, Journal};
use crate::locked::locked;
use crate::publish;
use crate::refusal::{Answer, Refusal};
use crate::rounds::Rounds;
use crate::scan::{Beginnings, Scan};
use crate::settings::Request;

/// Tabs whose names are remembered.
const TABS: usize = 256;
/// Scans that are open at once.
const OPEN: usize = 3;
/// The time in which one of them must come to rest for another to be opened.
const PATIENCE: Duration = Duration::from_secs(10);
const LOCK: &str = ".polycl-serve.lock";
/// The file of the labels that the next new scan begins with.
const LAST: &str = "labels.json";

/// Who sits in front of which tab.
#[derive(Default)]
struct Names {
    last: Option<String>,
    /// The latest at the end.
    tabs: Vec<(String, String)>,
}

/// A network that segments whole scans.
pub struct Trained {
    pub predictor: Predictor,
    /// That of its run, for people.
    pub name: String,
    /// The round that trained it, where one did.
    pub round: Option<u32>,
}

pub struct Desk {
    pub request: Request,
    pub out: PathBuf,
    pub hub: Arc<Hub>,
    listing: OnceLock<Listing>,
    /// Scans that clients have sent, by id.
    sent: Mutex<BTreeMap<String, Arc<Entry>>>,
    open: Mutex<Vec<Arc<Scan>>>,
    /// Scans are opened one after the other.
    opening: Mutex<()>,
    follower: OnceLock<std::result::Result<Follower, Error>>,
    /// The newest network, or the one that was asked for.
    trained: Mutex<Option<Arc<Trained>>>,
    pub rounds: Rounds,
    /// The name that was given last, and those of tabs.
    who: Mutex<Names>,
    /// Labels of the scan that was opened last.
    last: Mutex<Vec<Label>>,
    /// Requests and jobs that a person waits for; other work waits for them.
    pub waited_for: AtomicUsize,
    pub stopping: AtomicBool,
    /// Held as long as this lives.
    _lock: lock::Lock,
}

impl Desk {
    /// Takes the folder for the results, and lists nothing yet.
    ///
    /// # Errors
    /// [`Kind::Request`] where another server works there; [`Kind::Io`]; as [`Predictor::load`].
    pub fn new(request: Request) -> Result<Self> {
        let out = request.out();
        if !request.folder.is_dir() {
            let error = std::io::ErrorKind::NotFound.into();
            return Err(Error::io(&request.folder, "list the scans in it", &error));
        }
        let work = out.join(".workbench");
        std::fs::create_dir_all(&work).map_err(|e| Error::io(&work, "make the folder", &e))?;
        let lock = lock::hold(&work, LOCK).map_err(|error| named(error, &work))?;
        let trained = |run: &Path| {
            let name = run.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Ok(Arc::new(Trained { predictor: Predictor::load(run, Device::Cpu)?, name, round: None }))
        };
        let trained = request.network.as_deref().map(trained).transpose()?;
        let who = std::fs::read_to_string(work.join("who")).ok().filter(|who| !who.is_empty());
        let last = std::fs::read(work.join(LAST)).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Ok(Self {
            hub: Arc::default(),
            listing: OnceLock::new(),
            sent: Mutex::default(),
            open: Mutex::default(),
            opening: Mutex::default(),
            follower: OnceLock::new(),
            trained: Mutex::new(trained),
            rounds: Rounds::open(&out)?,
            out,
            who: Mutex::new(Names { last: who, tabs: Vec::new() }),
            last: Mutex::new(last.unwrap_or_default()),
            waited_for: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            request,
            _lock: lock,
        })
    }

    /// The folder of what is not for other programs.
    pub fn work(&self) -> PathBuf {
        self.out.join(".workbench")
    }

    /// Leaves the address for whoever tries to serve the folder as well.
    ///
    /// # Errors
    /// [`Kind::Io`]
    pub fn sign(&self, address: &str) -> Result<()> {
        output::atomically(&self.work().join("server"), |file| file.write_all(address.as_bytes()))
    }

    /// Lists the scans.
    ///
    /// # Errors
    /// As [`folder::list`].
    pub fn list(&self) -> Result<()> {
        let salt = self.request.environment.salt();
        let listing =
            folder::list(&self.request.folder, self.request.labels.as_deref(), &self.work(), &salt)?;
        let rows: Vec<Value> = listing.entries.values().map(|entry| entry.row()).collect();
        let _ = self.listing.set(listing);
        rows.iter().for_each(|row| self.hub.tell(To::All, "row", row));
        let count = rows.len();
        self.hub.tell(To::All, "listing", &json!({"done": count, "of": count}));
        Ok(())
    }

    pub fn is_listed(&self) -> bool {
        self.listing.get().is_some()
    }

    pub fn notes(&self) -> &[String] {
        self.listing.get().map_or(&[], |listing| &listing.notes)
    }

    /// By id.
    pub fn entries(&self) -> Vec<Arc<Entry>> {
        let listing = self.listing.get();
        listing.into_iter().flat_map(|listing| listing.entries.values().cloned()).collect()
    }

    /// # Errors
    /// `no_such_scan`
    pub fn entry(&self, id: &str) -> Answer<Arc<Entry>> {
        let found = self.listing.get().and_then(|listing| listing.entries.get(id).cloned());
        let found = found.or_else(|| locked(&self.sent).get(id).cloned());
        found.ok_or_else(|| Refusal::missing("no_such_scan", "There is no such scan."))
    }

    /// A scan, opened if it is not; idle ones are closed where too many are open.
    ///
    /// # Errors
    /// `no_such_scan`, `unreadable`, `busy`.
    pub fn scan(&self, id: &str) -> Answer<Arc<Scan>> {
        let entry = self.entry(id)?;
        if let Some(scan) = self.opened(id) {
            return Ok(scan);
        }
        let _waiting = self.waiting();
        let _opening = locked(&self.opening);
        if let Some(scan) = self.opened(id) {
            return Ok(scan);
        }
        self.make_room()?;
        let structures = self.listing.get().map_or(&NO_STRUCTURES, |listing| &listing.structures);
        let last = locked(&self.last).clone();
        let beginnings = Beginnings { organs: &self.request.organs, structures, last: &last };
        let scan = Scan::open(Arc::clone(&entry), &beginnings).map_err(|error| {
            entry.fail(error.to_string());
            self.tell_row(&entry);
            let mut refusal = Refusal::from(error);
            refusal.code = "unreadable";
            refusal.status = axum::http::StatusCode::SERVICE_UNAVAILABLE;
            refusal
        })?;
        let scan = Arc::new(scan);
        locked(&self.open).push(Arc::clone(&scan));
        entry.mend();
        self.tell_row(&entry);
        Ok(scan)
    }

    /// Does something with the folder of a scan that is not open, and is not opened meanwhile.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn while_closed(&self, entry: &Entry, work: impl FnOnce() -> Result<()>) -> Result<()> {
        let _opening = locked(&self.opening);
        if self.opened(&entry.id).is_some() { Ok(()) } else { work() }
    }

    /// The document of a scan, open or not; nothing of one that was never opened.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn document(&self, entry: &Entry) -> Result<Option<Document>> {
        if let Some(scan) = self.opened(&entry.id) {
            return Ok(Some(scan.peek(|sheet| sheet.document.clone())));
        }
        let _opening = locked(&self.opening);
        if let Some(scan) = self.opened(&entry.id) {
            return Ok(Some(scan.peek(|sheet| sheet.document.clone())));
        }
        if journal::facts(&entry.folder)?.is_none() {
            return Ok(None);
        }
        Journal::open(&entry.folder, || unreachable!("its facts are there"))
            .map(|(_, document)| Some(document))
    }

    pub fn opened(&self, id: &str) -> Option<Arc<Scan>> {
        locked(&self.open).iter().find(|scan| scan.entry.id == id).cloned()
    }

    /// The scans that are open, those first that were used last. Whoever works on one asks for it by its id: a scan that
    /// is held is not closed.
    pub fn all_open(&self) -> Vec<String> {
        let open = locked(&self.open);
        let mut ids: Vec<_> = open.iter().map(|scan| (scan.idle(), scan.entry.id.clone())).collect();
        ids.sort();
        ids.into_iter().map(|(_, id)| id).collect()
    }

    /// Closes a scan whose file has changed since it was opened: the next to ask for it gets the file as it is now.
    ///
    /// # Errors
    /// `busy`; what writing its mask says.
    pub fn close_changed(&self, id: &str) -> Answer<()> {
        let _opening = locked(&self.opening);
        let until = Instant::now() + PATIENCE;
        let scan = loop {
            {
                let mut open = locked(&self.open);
                let changed = |scan: &Arc<Scan>| scan.entry.id == id && scan.has_changed();
                let Some(at) = open.iter().position(changed) else { return Ok(()) };
                // Whoever works with it holds it, too, and would store into what is closed.
                if Arc::strong_count(&open[at]) == 1 {
                    break open.remove(at);
                }
            }
            if Instant::now() > until {
                return Err(Refusal::conflict("busy", "The scan is being worked on already."));
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        self.put_away(scan)
    }

    /// Writes a scan that was taken out of those that are open; it goes back where that fails.
    fn put_away(&self, scan: Arc<Scan>) -> Answer<()> {
        if let Err(error) = publish::put_away(self, &scan) {
            locked(&self.open).push(scan);
            return Err(error.into());
        }
        scan.entry.set_open(false);
        self.tell_row(&scan.entry);
        Ok(())
    }

    /// Closes the scan that was idle for longest, where there is no room for another.
    fn make_room(&self) -> Answer<()> {
        while let Some(scan) = self.take_idle()? {
            self.put_away(scan)?;
        }
        Ok(())
    }

    /// Takes the scan that was idle for longest out of those that are open, where there are too many.
    fn take_idle(&self) -> Answer<Option<Arc<Scan>>> {
        let until = Instant::now() + PATIENCE;
        loop {
            {
                let mut open = locked(&self.open);
                if open.len() < OPEN {
                    return Ok(None);
                }
                // Whoever works with one holds it, too.
                let idle = (0..open.len()).filter(|&at| Arc::strong_count(&open[at]) == 1);
                let longest =
                    idle.max_by_key(|&at| (!self.hub.is_watched(&open[at].entry.id), open[at].idle()));
                if let Some(at) = longest {
                    return Ok(Some(open.remove(at)));
                }
                let all_at_work = open.iter().all(|scan| locked(&scan.job).is_some());
                if all_at_work || Instant::now() > until {
                    let busy = Refusal::conflict("busy", "Too many scans are at work.");
                    return Err(busy.hint("wait until one is done, or stop a propagation"));
                }
            }
            // Requests and embeddings hold one for a moment.
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Loads the network, where its weights are there.
    pub fn load(&self) {
        self.follower.get_or_init(|| self.open_follower());
    }

    fn open_follower(&self) -> std::result::Result<Follower, Error> {
        let model = self.request.model.unwrap_or(NetworkName::Sam(Model::LiteMedSam));
        let path = match &self.request.weights {
            Some(path) => path.clone(),
            None => fetch::needed(&model.to_string())?,
        };
        let cache = Some(self.cache()).filter(|_| self.request.cache_limit > 0);
        Follower::open(&path, self.request.model, Device::Cpu, cache)
    }

    /// The folder of embeddings.
    pub fn cache(&self) -> PathBuf {
        self.work().join("embeddings")
    }

    pub fn follower(&self) -> Option<&Follower> {
        self.follower.get()?.as_ref().ok()
    }

    /// # Errors
    /// `no_network`
    pub fn needed_follower(&self) -> Answer<&Follower> {
        match self.follower.get() {
            Some(Ok(follower)) => Ok(follower),
            Some(Err(error)) => {
                let refusal = Refusal::conflict("no_network", error.to_string());
                Err(error.hint.iter().cloned().fold(refusal, Refusal::hint))
            }
            None => {
                Err(Refusal::conflict("no_network", "The network is still being loaded.")
                    .hint("wait a moment"))
            }
        }
    }

    /// The network that predicts, if there is one.
    pub fn trained(&self) -> Option<Arc<Trained>> {
        locked(&self.trained).clone()
    }

    /// Makes a network the one that predicts.
    pub fn set_trained(&self, trained: Trained) -> Arc<Trained> {
        let trained = Arc::new(trained);
        *locked(&self.trained) = Some(Arc::clone(&trained));
        trained
    }

    /// Keeps the labels of a scan that a person works on: the next new scan begins with them.
    ///
    /// # Errors
    /// [`Kind::Io`]
    pub fn keep_labels(&self, labels: &[Label]) -> Result<()> {
        let mut last = locked(&self.last);
        if *last != labels {
            let text = serde_json::to_vec(labels).expect("labels are plain data");
            output::atomically(&self.work().join(LAST), |file| file.write_all(&text))?;
            *last = labels.to_vec();
        }
        Ok(())
    }

    /// Opens a scan for a tab, which gets the pen where no other has it or where it takes it.
    ///
    /// # Errors
    /// As [`Self::close_changed`] and [`Self::scan`].
    pub fn enter(&self, id: &str, tab: &str, take: bool) -> Answer<Arc<Scan>> {
        self.close_changed(id)?;
        let scan = self.scan(id)?;
        let before = scan.holder(&self.hub);
        if scan.write(tab, take, &self.hub) && before.as_deref() != Some(tab) {
            self.hub.tell(To::Scan(id), "writer", &json!({"scan": id, "tab": tab}));
        }
        self.tell_open(&scan);
        self.keep_labels(&scan.peek(|sheet| sheet.document.facts.labels.clone()))?;
        Ok(scan)
    }

    /// Gives the pen of a tab that goes away back.
    ///
    /// # Errors
    /// As [`publish::put_away`].
    pub fn leave(&self, id: &str, tab: &str) -> Result<()> {
        let Some(scan) = self.opened(id).filter(|scan| scan.give_back(tab)) else { return Ok(()) };
        self.hub.tell(To::Scan(id), "writer", &json!({"scan": id, "tab": null}));
        self.tell_open(&scan);
        publish::put_away(self, &scan)
    }

    /// Takes in a scan that was sent, which has no place in the queue.
    pub fn take_in(&self, entry: Entry) {
        locked(&self.sent).insert(entry.id.clone(), Arc::new(entry));
    }

    /// Forgets a scan that was sent for a session alone, with all that was made of it.
    pub fn forget(&self, id: &str) {
        let is_session_s = |entry: &Arc<Entry>| entry.folder.starts_with(self.sent_folder());
        let Some(entry) = locked(&self.sent).get(id).filter(|entry| is_session_s(entry)).cloned() else {
            return;
        };
        locked(&self.sent).remove(id);
        locked(&self.open).retain(|scan| scan.entry.id != id);
        // Files that stay are removed when the server starts again.
        let _ = std::fs::remove_dir_all(&entry.folder);
    }

    /// The folder of scans that were sent.
    pub fn sent_folder(&self) -> PathBuf {
        self.work().join("sent")
    }

    /// Tells the queue of a scan's row, where it has one.
    pub fn tell_row(&self, entry: &Entry) {
        if !entry.is_sent() {
            self.hub.tell(To::All, "row", &entry.row());
        }
    }

    /// Names of the labels that the next new scan begins with.
    pub fn last_labels(&self) -> Vec<String> {
        locked(&self.last).iter().map(|label| label.name.clone()).collect()
    }

    /// Tells the queue if a scan has come to be open in a tab, or is no longer.
    pub fn tell_open(&self, scan: &Scan) {
        if scan.entry.set_open(scan.holder(&self.hub).is_some()) {
            self.tell_row(&scan.entry);
        }
    }

    /// The person in front of a tab. Where nobody else can reach the server, whoever gave a name last sits there.
    pub fn author(&self, tab: &str) -> Author {
        let names = locked(&self.who);
        let own = names.tabs.iter().find(|(own, _)| own == tab).map(|(_, who)| who.clone());
        let last = names.last.clone().filter(|_| self.request.listen.is_none());
        Author { tab: tab.to_owned(), who: own.or(last) }
    }

    /// Keeps the name of whoever sits in front of a tab.
    ///
    /// # Errors
    /// [`Kind::Io`]
    pub fn set_who(&self, tab: Option<&str>, who: &str) -> Result<()> {
        let mut names = locked(&self.who);
        if names.last.as_deref() != Some(who) {
            output::atomically(&self.work().join("who"), |file| file.write_all(who.as_bytes()))?;
            names.last = Some(who.to_owned());
        }
        let Some(tab) = tab else { return Ok(()) };
        names.tabs.retain(|(own, _)| own != tab);
        names.tabs.push((tab.to_owned(), who.to_owned()));
        let surplus = names.tabs.len().saturating_sub(TABS);
        names.tabs.drain(..surplus);
        Ok(())
    }

    /// The first thing that the page asks.
    pub fn session(&self, tab: &str) -> Value {
        let model = self.request.model.unwrap_or(NetworkName::Sam(Model::LiteMedSam)).to_string();
        let failure = self.follower.get().and_then(|follower| follower.as_ref().err());
        let hint = failure.map(|error| error.hint.clone().unwrap_or_else(|| error.to_string()));
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "who": self.author(tab).who,
            "network": {"name": model, "ready": self.follower().is_some()},
            "predictor": self.trained().map(|trained| trained.name.clone()),
            "out": self.out.file_name().map(|name| name.to_string_lossy()),
            "organs": self.request.organs,
            "hint": hint,
            "demo": self.request.demo,
            "formats": ["nifti", "seg", "rtstruct", "dataset", "nnunet"],
            "notes": self.notes(),
        })
    }

    /// Work that a person waits for, as long as what is returned lives.
    pub fn waiting(&self) -> Waiting<'_> {
        self.waited_for.fetch_add(1, Ordering::Relaxed);
        Waiting(self)
    }

    /// Waits for as long as a person does, or until the work `is_over`.
    pub fn yield_to_people(&self, is_over: impl Fn() -> bool) {
        while self.waited_for.load(Ordering::Relaxed) > 0 && !is_over() {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// True if a scan can be opened without closing one that somebody looks at.
    pub fn has_room(&self) -> bool {
        let open = locked(&self.open);
        open.len() < OPEN || open.iter().any(|scan| !self.hub.is_watched(&scan.entry.id))
    }

    /// Tells of what went wrong where nobody asked.
    pub fn trouble(&self, scan: Option<&str>, text: &str) {
        self.hub.tell(To::All, "trouble", &json!({"scan": scan, "text": text}));
    }
}

static NO_STRUCTURES: BTreeMap<String, u16> = BTreeMap::new();

pub struct Waiting<'a>(&'a Desk);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waited_for.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Names the server that has the folder.
fn named(error: Error, work: &Path) -> Error {
    if error.kind != Kind::Request {
        return error;
    }
    let other = std::fs::read_to_string(work.join("server")).unwrap_or_else(|_| "another address".to_owned());
    let folder = work.parent().unwrap_or(work);
    Error::new(
        Subject::File(folder.into()),
        Kind::Request,
        "no other server at work here",
        format!("one at {other}"),
    )
    .hint("use that one, stop it, or choose another --out")
}
