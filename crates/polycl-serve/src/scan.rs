//! An open scan: its voxels, its document, and who may write to it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use polycl_base::{Error, Kind, Result};
use polycl_data::pairs::Label as Drawn;
use polycl_data::{Origin, Record, Records, masks};
use polycl_image::files::Reading;
use polycl_image::names::Names;
use polycl_image::orient::Reorientation;
use polycl_image::{Image, Input, Mask, Plane, Space, Volume, grid, odd};
use polycl_nn::sam::{Cache, window_of};
use rayon::prelude::*;

use crate::document::{Act, Author, Document, Label, Machine, Machines, Touched};
use crate::folder::Entry;
use crate::hub::Hub;
use crate::journal::Journal;
use crate::locked::locked;
use crate::marks::{Mark, Marks};
use crate::refusal::{Answer, Refusal};

/// Seconds after which a tab that no longer listens has given its pen back.
const AWAY: f32 = 30.0;
/// Colours of labels, one after the other, told apart on grey and by most who cannot see all colours.
const COLORS: [&str; 12] = [
    "#e6194b", "#3cb44b", "#ffe119", "#4363d8", "#f58231", "#42d4f4", "#f032e6", "#bfef45", "#fabed4",
    "#469990", "#dcbeff", "#9a6324",
];

pub struct Scan {
    pub entry: Arc<Entry>,
    /// In the order of its file.
    pub image: Image,
    /// From the file's order to the canonical one.
    pub order: Reorientation,
    pub canonical: Space,
    pub stored: Stored,
    /// Sentences about what is odd about the file.
    pub odd: Vec<String>,
    sheet: Mutex<Sheet>,
    pen: Mutex<Option<Pen>>,
    pub job: Mutex<Option<Arc<Job>>>,
    /// What the last job has failed of, until somebody has asked.
    pub failure: Mutex<Option<String>>,
    pub focus: Mutex<Focus>,
    /// Those of a network's embeddings, by planes.
    pub caches: Mutex<Vec<(Plane, Option<Cache>)>>,
    /// True once the mask could not be written, until something changes.
    unpublishable: AtomicBool,
    last_change: Mutex<Instant>,
    /// Held while its mask is written for other programs.
    pub publishing: Mutex<()>,
    used: Mutex<Instant>,
    /// Sizes and times of its files when it was opened, and when they were last found to be so.
    stamp: Mutex<(Option<Instant>, String)>,
}

/// The document, and the journal that it lives in.
pub struct Sheet {
    pub document: Document,
    journal: Journal,
}

/// The tab that writes.
struct Pen {
    tab: String,
    used: Instant,
}

/// The label and the plane that a person looks at.
#[derive(Debug, Clone, Copy)]
pub struct Focus {
    pub label: Option<u16>,
    pub plane: Plane,
    pub k: usize,
}

/// A propagation or prediction at work.
pub struct Job {
    pub kind: &'static str,
    pub labels: Vec<u16>,
    pub plane: Plane,
    /// The person who asked for it.
    pub who: Option<String>,
    pub progress: Mutex<(usize, usize)>,
    stop: AtomicBool,
}

impl Job {
    pub fn new(kind: &'static str, labels: Vec<u16>, plane: Plane, who: Option<String>) -> Self {
        Self { kind, labels, plane, who, progress: Mutex::new((0, 0)), stop: AtomicBool::new(false) }
    }

    /// Its result is nobody's edit: every tab hears of it.
    pub fn author(&self) -> Author {
        Author { tab: String::new(), who: self.who.clone() }
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// The way from values to the 16 bits that the page gets: value = slope * stored + intercept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stored {
    pub slope: f32,
    pub intercept: f32,
    pub min: f32,
    pub max: f32,
}

impl Stored {
    /// Whole numbers of 16 bits, as CT's are, stay as they are; others fill the 16 bits.
    fn of(voxels: &[f32]) -> Self {
        let fold = |(low, high, whole): (f32, f32, bool), &v: &f32| {
            (low.min(v), high.max(v), whole && v.fract() == 0.0)
        };
        let empty = || (f32::INFINITY, f32::NEG_INFINITY, true);
        let join = |a: (f32, f32, bool), b: (f32, f32, bool)| (a.0.min(b.0), a.1.max(b.1), a.2 && b.2);
        let (min, max, whole) =
            voxels.par_chunks(1 << 16).map(|part| part.iter().fold(empty(), fold)).reduce(empty, join);
        let fits = min >= f32::from(i16::MIN) && max <= f32::from(i16::MAX);
        if whole && fits {
            return Self { slope: 1.0, intercept: 0.0, min, max };
        }
        let slope = ((max - min) / 65535.0).max(f32::MIN_POSITIVE);
        Self { slope, intercept: min + 32768.0 * slope, min, max }
    }

    pub fn put(self, values: impl IntoIterator<Item = f32>) -> Vec<u8> {
        let stored = |value: f32| ((value - self.intercept) / self.slope).round() as i16;
        values.into_iter().flat_map(|value| stored(value).to_le_bytes()).collect()
    }
}

impl Sheet {
    /// Stores what a tab does, and does it.
    ///
    /// # Errors
    /// [`Kind::Io`]; nothing is done then.
    pub fn act(&mut self, author: &Author, seq: Option<u64>, act: Act) -> Result<Touched> {
        let entry = self.document.entry(author, seq, act);
        self.journal.append(&entry)?;
        let touched = self.document.apply(entry);
        if self.journal.is_long() {
            // The change is stored already; the next one tries again.
            let _ = self.journal.fold(&self.document);
        }
        Ok(touched)
    }

    /// Folds the journal into a snapshot.
    ///
    /// # Errors
    /// [`Kind::Io`]
    pub fn fold(&mut self) -> Result<()> {
        self.journal.fold(&self.document)
    }
}

/// The labels that a new scan begins with.
pub struct Beginnings<'a> {
    pub organs: &'a [String],
    pub structures: &'a BTreeMap<String, u16>,
    /// Those of the scan that was opened last, where nothing else gives any.
    pub last: &'a [Label],
}

impl Scan {
    /// Reads a scan and its document.
    ///
    /// # Errors
    /// As [`Input::image`] and [`Journal::open`]; [`Kind::Geometry`] where the scan's voxels are not those that were drawn
    /// on, or a mask does not lie on them.
    pub fn open(entry: Arc<Entry>, beginnings: &Beginnings<'_>) -> Result<Self> {
        let image = entry.input.image()?;
        let mut odd = odd::of(&entry.input, &image)?;
        let order = Reorientation::to_canonical(&image.space);
        let canonical = order.space(&image.space);
        let stamp = stamp(&entry.input);
        let scan = (&*entry, &image, &order);
        let mut failed = None;
        let new = || {
            let (mut document, error) = begin(scan, &canonical, beginnings, stamp.clone());
            document.facts.odd.clone_from(&odd);
            failed = error;
            document
        };
        let (mut journal, document) = Journal::open(&entry.folder, new)?;
        if let Some(error) = failed {
            // Nothing was drawn yet; the next time begins anew.
            drop(journal);
            let _ = std::fs::remove_dir_all(&entry.folder);
            return Err(error);
        }
        if document.facts.shape != canonical.shape {
            let found = format!("{:?}", canonical.shape);
            let expected = format!("the scan of shape {:?} that was drawn on", document.facts.shape);
            return Err(Error::new(entry.input.path(), Kind::Geometry, expected, found)
                .hint("put the file back, or choose another --out"));
        }
        if document.facts.stamp != stamp {
            odd.push("The file has changed since it was first drawn on.".to_owned());
        }
        if !journal.is_empty() {
            journal.fold(&document)?;
        }
        entry.summarise(&document.facts);
        let focus = Focus { label: None, plane: Plane::Axial, k: canonical.shape[2] / 2 };
        Ok(Self {
            stored: Stored::of(&image.voxels),
            entry,
            image,
            order,
            canonical,
            odd,
            sheet: Mutex::new(Sheet { document, journal }),
            pen: Mutex::new(None),
            job: Mutex::new(None),
            failure: Mutex::new(None),
            focus: Mutex::new(focus),
            caches: Mutex::default(),
            unpublishable: AtomicBool::new(false),
            last_change: Mutex::new(Instant::now()),
            publishing: Mutex::new(()),
            used: Mutex::new(Instant::now()),
            stamp: Mutex::new((Some(Instant::now()), stamp)),
        })
    }

    pub fn with<T>(&self, work: impl FnOnce(&mut Sheet) -> T) -> T {
        let mut sheet = locked(&self.sheet);
        let before = sheet.document.facts.revision;
        let result = work(&mut sheet);
        if sheet.document.facts.revision != before {
            self.unpublishable.store(false, Ordering::Relaxed);
            *locked(&self.last_change) = Instant::now();
        }
        drop(sheet);
        *locked(&self.used) = Instant::now();
        result
    }

    /// As [`Self::with`], of work that nobody asked for.
    pub fn peek<T>(&self, work: impl FnOnce(&Sheet) -> T) -> T {
        work(&locked(&self.sheet))
    }

    /// True if the mask for other programs is older than the document.
    pub fn is_unpublished(&self) -> bool {
        let behind = self.peek(|sheet| !sheet.journal.is_empty());
        behind && !self.unpublishable.load(Ordering::Relaxed)
    }

    pub fn give_up_publishing(&self) {
        self.unpublishable.store(true, Ordering::Relaxed);
    }

    /// The time since the last change.
    pub fn quiet(&self) -> Duration {
        locked(&self.last_change).elapsed()
    }

    pub fn idle(&self) -> Duration {
        locked(&self.used).elapsed()
    }

    /// The tab that writes, if one does.
    pub fn holder(&self, hub: &Hub) -> Option<String> {
        let mut pen = locked(&self.pen);
        let is_gone = |pen: &Pen| {
            hub.away(&pen.tab).unwrap_or(f32::INFINITY) > AWAY && pen.used.elapsed().as_secs_f32() > AWAY
        };
        if pen.as_ref().is_some_and(is_gone) {
            *pen = None;
        }
        pen.as_ref().map(|pen| pen.tab.clone())
    }

    /// Gives the pen to a tab where no other has it, or where it is taken over; true if the tab has it then.
    pub fn write(&self, tab: &str, over: bool, hub: &Hub) -> bool {
        let holder = self.holder(hub);
        let gets = over || holder.is_none_or(|holder| holder == tab);
        if gets {
            *locked(&self.pen) = Some(Pen { tab: tab.to_owned(), used: Instant::now() });
        }
        gets
    }

    pub fn give_back(&self, tab: &str) -> bool {
        let mut pen = locked(&self.pen);
        let own = pen.as_ref().is_some_and(|pen| pen.tab == tab);
        if own {
            *pen = None;
        }
        own
    }

    /// Refuses a tab that only reads, and a scan whose file is no longer the one that was opened.
    ///
    /// # Errors
    /// `read_only`, `changed`.
    pub fn check_writer(&self, tab: &str, hub: &Hub) -> Answer<()> {
        if !self.write(tab, false, hub) {
            return Err(Refusal::conflict("read_only", "Another tab writes to this scan.")
                .hint("wait until it is closed, or take the scan over"));
        }
        self.check_file()
    }

    /// Sizes and times of its files when it was opened.
    pub fn stamp(&self) -> String {
        locked(&self.stamp).1.clone()
    }

    fn check_file(&self) -> Answer<()> {
        let fresh = locked(&self.stamp).0.is_some_and(|seen| seen.elapsed() <= Duration::from_secs(1));
        if !fresh && self.has_changed() {
            let message = "The scan's file has changed or is gone since it was opened.";
            return Err(Refusal::conflict("changed", message)
                .hint("put the file back, or close the scan and open it again"));
        }
        Ok(())
    }

    /// True if its file is no longer the one that was opened; nobody writes to the scan from then on.
    pub fn has_changed(&self) -> bool {
        let mut known = locked(&self.stamp);
        let changed = stamp(&self.entry.input) != known.1;
        known.0 = (!changed).then(Instant::now);
        changed
    }

    /// A label map in the order of the scan's file, from one in canonical order.
    pub fn in_file(&self, voxels: Vec<u16>) -> Mask {
        self.order.invert(&Volume { space: self.canonical.clone(), voxels }, &self.image.space)
    }

    /// Pixels of a plane as displayed from those in the order of the file's voxels.
    pub fn displayed<T: Copy>(&self, plane: Plane, pixels: Vec<T>) -> Vec<T> {
        let order = plane.order(&self.image.space);
        let mut space = Space::new(self.image.space.shape, self.image.space.world_from_voxel);
        space.shape[order.slice_axis()] = 1;
        order.plane(&Volume { space, voxels: pixels }, 0)
    }
}

/// Sizes and times of the files of a scan; changes of it are changes of the scan.
pub fn stamp(input: &Input) -> String {
    use std::time::UNIX_EPOCH;
    let one = |path: &Path| {
        let data = path.metadata().ok()?;
        let when = data.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(format!("{}:{}", data.len(), when.as_nanos()))
    };
    let files = input.files();
    let all: Vec<String> =
        files.into_iter().map(|path| one(path).unwrap_or_else(|| "gone".to_owned())).collect();
    if all.len() == 1 {
        all.concat()
    } else {
        format!("{} {:08x}", all.len(), crc32c::crc32c(all.concat().as_bytes()))
    }
}

/// A label as it is made, without a value yet.
pub fn label(value: u16, name: &str, number: usize) -> Label {
    Label {
        value,
        name: name.to_owned(),
        color: COLORS[number % COLORS.len()].to_owned(),
        visible: true,
        locked: false,
        window: window_of(Some(&name.to_owned())),
    }
}

/// A new document, with the mask to begin with; and why that could not be had.
fn begin(
    (entry, image, order): (&Entry, &Image, &Reorientation),
    canonical: &Space,
    beginnings: &Beginnings<'_>,
    stamp: String,
) -> (Document, Option<Error>) {
    let organs: Names = (1..).zip(beginnings.organs.iter().cloned()).collect();
    let mut document = Document::new(canonical.shape, canonical.spacing(), Vec::new(), stamp);
    let (mask, names) =
        match entry.label.as_ref().map(|drawn| first_mask(entry, drawn, image, beginnings)).transpose() {
            Ok(Some((mask, names))) => (Some(mask), names),
            Ok(None) => (None, Names::new()),
            Err(error) => return (document, Some(error)),
        };
    let mut names = names;
    for organ in organs.values() {
        if !names.values().any(|name| name == organ) {
            let value = (1..).find(|value| !names.contains_key(value)).unwrap_or(u16::MAX);
            names.insert(value, organ.clone());
        }
    }
    if names.is_empty() && !beginnings.last.is_empty() {
        let as_new = |label: &Label| Label { visible: true, locked: false, ..label.clone() };
        document.facts.labels = beginnings.last.iter().map(as_new).collect();
        return (document, None);
    }
    if names.is_empty() {
        names.insert(1, "organ".to_owned());
    }
    document.facts.labels =
        names.iter().enumerate().map(|(number, (&value, name))| label(value, name, number)).collect();
    let (Some(mask), Some(drawn)) = (mask, &entry.label) else { return (document, None) };
    document.mask = order.apply(&mask).voxels;
    let mut records = Records::default();
    let makers = drawn_paths(drawn).into_iter().map(|path| records.maker(path)).collect::<Result<Vec<_>>>();
    let makers: Vec<_> = match makers {
        Ok(makers) => makers.into_iter().flatten().collect(),
        Err(error) => return (document, Some(error)),
    };
    let mut names: Vec<String> = makers.iter().flat_map(|maker| maker.machines.clone()).collect();
    let maker = makers.into_iter().max_by_key(|maker| maker.origin);
    // Of a mask without a record of ours nobody knows whether a person drew it: a click must not make it drawn by hand.
    let is_ours = drawn_paths(drawn).iter().any(|path| path.with_file_name(Record::Review.file()).is_file());
    let mark = if maker.is_none() && is_ours { Mark::Drawn } else { Mark::Proposed };
    document.facts.machines = match maker {
        None if is_ours => Machines::default(),
        None => vec![Machine::predicted("a maker unknown")].into(),
        Some(maker) => {
            let predicted = maker.origin == Origin::Predicted;
            let machine = if predicted { Machine::predicted } else { Machine::propagated };
            if names.is_empty() {
                names.push(maker.program.unwrap_or("polycl").to_owned());
            }
            names.sort_unstable();
            names.dedup();
            Vec::from_iter(names.iter().map(|name| machine(name))).into()
        }
    };
    for (value, pixels) in document.pixels() {
        let mut marks = Marks::new(canonical.shape[2]);
        let held = marks.slices.iter_mut().zip(pixels).filter(|(_, pixels)| *pixels > 0);
        held.for_each(|(own, _)| *own = mark);
        document.facts.marks.insert(value, marks);
    }
    (document, None)
}

fn drawn_paths(drawn: &Drawn) -> Vec<&Path> {
    match drawn {
        Drawn::Map(path, _) => vec![path],
        Drawn::Structures(files) => files.values().map(|path| path.as_path()).collect(),
    }
}

/// The mask that a scan begins with in the order of its file, and the names of its values.
fn first_mask(
    entry: &Entry,
    drawn: &Drawn,
    image: &Image,
    beginnings: &Beginnings<'_>,
) -> Result<(Mask, Names)> {
    let (path, space) = (entry.input.path(), &image.space);
    match drawn {
        Drawn::Map(file, legend) => {
            let mask = Reading::default().mask(file)?;
            let hint = "resample the mask onto the grid of its scan";
            let mask = grid::on_image(space, &mask.space, file, "its scan", hint)?.apply(mask, space);
            let mut names = legend.all();
            let mut seen = vec![false; usize::from(u16::MAX) + 1];
            mask.voxels.iter().for_each(|&value| seen[usize::from(value)] = true);
            for value in (1..=u16::MAX).filter(|value| seen[usize::from(*value)]) {
                names.entry(value).or_insert_with(|| format!("label {value}"));
            }
            Ok((mask, names))
        }
        Drawn::Structures(_) => {
            let mask = masks::structures_on(drawn, path, space, beginnings.structures)?;
            let own = drawn.organs();
            let names = beginnings.structures.iter().filter(|(name, _)| own.contains(name.as_str()));
            Ok((mask, names.map(|(name, &value)| (value, name.clone())).collect()))
        }
    }
}
