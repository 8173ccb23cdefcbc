//! Networks at work on an open scan: prompts, propagations and predictions.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use polycl_base::Watch;
use polycl_data::provenance::prediction;
use polycl_image::Plane;
use polycl_nn::predict::Options;
use polycl_nn::propagate::{self, Direction, Follower, Found, Journal, Object, Place, Propagated, Request};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::change;
use crate::desk::{Desk, Trained};
use crate::document::{Act, Author, Document, Machine, pixels};
use crate::edit::{Proposal, by_hand, check_label};
use crate::embed;
use crate::hub::To;
use crate::labels;
use crate::locked::locked;
use crate::marks::{Confidence, Mark};
use crate::publish;
use crate::refusal::{Answer, Refusal};
use crate::scan::{Job, Scan};
use crate::step::{What, changes};
use crate::view::View;
use crate::{rounds, runs};

#[derive(Debug, Deserialize)]
pub struct Prompt {
    pub tab: String,
    pub label: u16,
    pub plane: Plane,
    pub k: usize,
    /// First and last column and row: x0, y0, x1, y1.
    #[serde(rename = "box")]
    pub area: Option<[usize; 4]>,
    #[serde(default)]
    pub points: Vec<Point>,
    /// Takes pixels of other labels, too.
    #[serde(default = "yes")]
    pub over: bool,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Clone, Deserialize)]
pub struct Point {
    pub at: [usize; 2],
    pub on: bool,
}

#[derive(Debug, Deserialize)]
pub struct Propagate {
    pub tab: String,
    pub labels: BTreeSet<u16>,
    pub plane: Option<Plane>,
    pub range: Option<[usize; 2]>,
}

/// Answers a box, or points on a label that is there.
///
/// # Errors
/// `no_network`, `nothing_to_correct`, a place outside the plane; what storing says.
pub fn prompt(desk: &Desk, scan: &Scan, author: &Author, asked: &Prompt) -> Answer<Value> {
    let follower = desk.needed_follower()?;
    let (places, window) = scan.with(|sheet| places(&sheet.document, asked))?;
    let _waiting = desk.waiting();
    let cache = embed::cache(scan, follower, asked.plane);
    let found =
        propagate::Desk::new(follower, &scan.image, asked.plane, cache).prompt(asked.k, window, &places)?;
    let machine = follower.name().to_string();
    let mut answer = scan.with(|sheet| {
        let document = &sheet.document;
        let view = document.view(asked.plane);
        let locked: BTreeSet<u16> =
            document.facts.labels.iter().filter(|label| label.locked).map(|label| label.value).collect();
        let mut wanted: Vec<(usize, u16)> = Vec::new();
        for (pixel, inside) in found.inside.iter().enumerate() {
            let voxel = view.voxel(asked.k, pixel);
            let old = document.mask[voxel];
            match inside {
                true if old != 0 && old != asked.label && (locked.contains(&old) || !asked.over) => {}
                true => wanted.push((voxel, asked.label)),
                false if old == asked.label => wanted.push((voxel, 0)),
                _ => {}
            }
        }
        wanted.sort_unstable();
        let changes = changes(&document.mask, wanted.into_iter());
        if changes.is_empty() {
            return Ok(change::unchanged(document));
        }
        let planes = BTreeSet::from([asked.k]);
        let mut step = by_hand(document, asked.plane, asked.label, &planes, What::Prompt, changes);
        step.machines[1] = step.machines[1].and(Machine::propagated(&machine));
        change::store(desk, scan, sheet, author, None, Act::Step(step))
    })?;
    answer["predicted_iou"] = json!(found.predicted_iou);
    Ok(answer)
}

/// The places that a prompt names, checked, and the window in which its label is seen.
fn places(document: &Document, asked: &Prompt) -> Answer<(Vec<Place>, [f32; 2])> {
    check_label(document, asked.label)?;
    let view = document.view(asked.plane);
    let [width, height] = view.size();
    if asked.k >= view.count() {
        return Err(Refusal::senseless("no_such_slice", format!("There is no plane {}.", asked.k)));
    }
    let inside = |[x, y]: [usize; 2]| x < width && y < height;
    let area = match asked.area {
        Some([x0, y0, x1, y1]) if x0 <= x1 && y0 <= y1 && inside([x1, y1]) => [x0, y0, x1, y1],
        Some(_) => {
            return Err(Refusal::senseless(
                "bad_box",
                "A box goes from its first corner to its last, in the plane.",
            ));
        }
        None => bounds(document, asked).ok_or_else(|| {
            Refusal::conflict(
                "nothing_to_correct",
                "Points correct what is there, and the plane has nothing of this label.",
            )
            .hint("draw a box around it")
        })?,
    };
    if !asked.points.iter().all(|point| inside(point.at)) || asked.points.len() > 64 {
        return Err(Refusal::senseless("bad_points", "Points, up to 64, must lie in the plane."));
    }
    let points = asked.points.iter().map(|point| Place::Point { xy: point.at, positive: point.on });
    let window = document.label(asked.label).map_or([40.0, 400.0], |label| label.window);
    Ok((std::iter::once(Place::Box(area)).chain(points).collect(), window))
}

/// The box around a label in a plane, and around the points on it.
fn bounds(document: &Document, asked: &Prompt) -> Option<[usize; 4]> {
    let view = document.view(asked.plane);
    let width = view.size()[0];
    let own = view.cut(&document.mask, asked.k).enumerate().filter(|(_, label)| *label == asked.label);
    let mut own = own.map(|(pixel, _)| [pixel % width, pixel / width]).peekable();
    own.peek()?;
    let points = asked.points.iter().filter(|point| point.on).map(|point| point.at);
    let grown = own.chain(points).fold([usize::MAX, usize::MAX, 0, 0], |[x0, y0, x1, y1], [x, y]| {
        [x0.min(x), y0.min(y), x1.max(x), y1.max(y)]
    });
    Some(grown)
}

/// A job of a scan, told as the page wants it.
pub fn told(job: &Job) -> Value {
    let (done, of) = *locked(&job.progress);
    json!({"kind": job.kind, "labels": job.labels, "plane": job.plane, "done": done, "of": of})
}

/// Starts to follow labels from the planes that a person drew.
///
/// # Errors
/// `no_network`, `busy`, `nothing_drawn`, `no_such_label`, `locked`.
pub fn propagate(desk: &Arc<Desk>, scan: &Arc<Scan>, author: &Author, asked: &Propagate) -> Answer<Value> {
    desk.needed_follower()?;
    let (plane, labels) = scan.with(|sheet| {
        let document = &sheet.document;
        for label in &asked.labels {
            check_label(document, *label)?;
        }
        let plane = asked.plane.or_else(|| plane_of(document, &asked.labels)).ok_or_else(|| {
            Refusal::conflict("nothing_drawn", "Nothing is drawn yet that could be followed.")
                .hint("draw one slice")
        })?;
        let count = document.view(plane).count();
        if asked.range.is_some_and(|[from, to]| from > to || to >= count) {
            return Err(Refusal::senseless("no_such_slice", format!("A range lies within {count} planes.")));
        }
        Ok((plane, asked.labels.iter().copied().collect()))
    })?;
    let work = Following { plane, range: asked.range, labels: asked.labels.clone() };
    let job = Job::new("propagate", labels, plane, author.who.clone());
    start(desk, scan, job, move |desk, scan, job| work.run(desk, scan, job))
}

/// Starts to segment a scan with the newest network.
///
/// # Errors
/// `no_predictor`, `busy`.
pub fn predict(desk: &Arc<Desk>, scan: &Arc<Scan>, author: &Author) -> Answer<Value> {
    let trained = desk.trained().ok_or_else(|| {
        Refusal::conflict("no_predictor", "No network is trained yet, and none was given.")
            .hint("train one from the queue, or run `polycl serve` with --network RUN")
    })?;
    let job = Job::new("predict", Vec::new(), Plane::Axial, author.who.clone());
    start(desk, scan, job, move |desk, scan, job| segment(desk, scan, job, &trained))
}

/// Segments a scan that nobody has asked for, and waits while people do.
///
/// # Errors
/// `busy`; what storing says.
pub fn propose(desk: &Desk, scan: &Scan, trained: &Trained) -> Answer<()> {
    let job = Job::new("predict", Vec::new(), Plane::Axial, None).yielding();
    let job = take(scan, job)?;
    perform(desk, scan, &job, |desk, scan, job| segment(desk, scan, job, trained))
}

/// Does a job in a thread of its own, and tells of its end.
fn start(
    desk: &Arc<Desk>,
    scan: &Arc<Scan>,
    job: Job,
    work: impl FnOnce(&Desk, &Scan, &Job) -> Answer<()> + Send + 'static,
) -> Answer<Value> {
    let job = take(scan, job)?;
    let answer = json!({"job": told(&job)});
    let (desk, scan) = (Arc::clone(desk), Arc::clone(scan));
    std::thread::spawn(move || {
        let _waiting = desk.waiting();
        // Whoever looks at the scan is told.
        let _ = perform(&desk, &scan, &job, work);
    });
    Ok(answer)
}

/// The time that a job nobody has asked for has to make room.
const ROOM: Duration = Duration::from_secs(20);

/// Takes the place of a scan's job, also from one that nobody has asked for.
fn take(scan: &Scan, job: Job) -> Answer<Arc<Job>> {
    let job = Arc::new(job);
    let until = Instant::now() + ROOM;
    loop {
        {
            let mut place = locked(&scan.job);
            match &*place {
                None => {
                    *place = Some(Arc::clone(&job));
                    return Ok(job);
                }
                Some(other) if other.yields && !job.yields && Instant::now() < until => other.stop(),
                Some(_) => {
                    return Err(Refusal::conflict("busy", "The scan is being worked on already."));
                }
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Does a job that has its place, and tells of its end.
fn perform(
    desk: &Desk,
    scan: &Scan,
    job: &Job,
    work: impl FnOnce(&Desk, &Scan, &Job) -> Answer<()>,
) -> Answer<()> {
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(desk, scan, job)));
    let ended = ended.unwrap_or_else(|_| {
        Err(Refusal::conflict("failed", "The network failed in a way that nobody foresaw."))
    });
    let error = ended.as_ref().err().map(|refusal| refusal.message.clone());
    locked(&scan.failure).clone_from(&error);
    *locked(&scan.job) = None;
    let id = &scan.entry.id;
    let mut end = told(job);
    end["stopped"] = json!(job.is_stopped());
    desk.hub.tell(To::Scan(id), "job", &json!({"scan": id, "job": null, "ended": end, "error": error}));
    if let Err(error) = publish::put_away(desk, scan) {
        desk.trouble(Some(id), &error.to_string());
    }
    ended
}

/// The kind of planes in which a person drew these labels.
fn plane_of(document: &Document, labels: &BTreeSet<u16>) -> Option<Plane> {
    let shown = |plane: Plane| labels.iter().any(|&label| !drawn(document, plane, label).is_empty());
    [Plane::Axial, Plane::Coronal, Plane::Sagittal].into_iter().find(|plane| shown(*plane))
}

/// The planes in which a person drew a label and some of it is.
fn drawn(document: &Document, plane: Plane, label: u16) -> BTreeSet<usize> {
    let view = document.view(plane);
    let planes = document.marks(label).by_hand(plane).into_iter();
    planes.filter(|&k| view.cut(&document.mask, k).any(|own| own == label)).collect()
}

/// Labels to follow through a scan.
struct Following {
    plane: Plane,
    range: Option<[usize; 2]>,
    labels: BTreeSet<u16>,
}

impl Following {
    fn run(&self, desk: &Desk, scan: &Scan, job: &Job) -> Answer<()> {
        let follower = desk.needed_follower()?;
        let plane = self.plane;
        let (annotation, names, windows) = scan.with(|sheet| {
            let document = &sheet.document;
            let view = document.view(plane);
            let mut voxels = vec![0; document.mask.len()];
            for &label in &self.labels {
                for k in drawn(document, plane, label) {
                    let own = (0..view.pixels()).map(|pixel| view.voxel(k, pixel));
                    own.filter(|&voxel| document.mask[voxel] == label)
                        .for_each(|voxel| voxels[voxel] = label);
                }
            }
            let windows: BTreeMap<u16, [f32; 2]> =
                document.facts.labels.iter().map(|label| (label.value, label.window)).collect();
            (voxels, document.names(), windows)
        });
        let annotation = scan.in_file(annotation);
        let space = &scan.image.space;
        let mut objects = Object::all(space, plane, Some(&annotation), &[], &names, None);
        objects
            .iter_mut()
            .for_each(|object| object.window = windows.get(&object.label).copied().unwrap_or(object.window));
        if objects.is_empty() {
            return Err(Refusal::conflict("nothing_drawn", "Nothing is drawn yet that could be followed."));
        }
        let count = space.shape[plane.order(space).slice_axis()];
        let [from, to] = self.range.unwrap_or([0, count - 1]);
        // What is drawn beyond a range is followed all the same, and then left as it was.
        let shown = || objects.iter().flat_map(|object| object.drawn.iter().copied());
        let range = from.min(shown().min().unwrap_or(from))..=to.max(shown().max().unwrap_or(to));
        let request = Request {
            image: &scan.image,
            plane,
            annotation: Some(&annotation),
            objects: &objects,
            range,
            direction: Direction::Both,
        };
        let folder = scan.entry.folder.join("propagate");
        let drawn = annotation.voxels.iter().flat_map(|voxel| voxel.to_le_bytes());
        let drawn = crc32c::crc32c(&drawn.collect::<Vec<u8>>());
        let key = format!(
            "{} {} {plane} {drawn:08x} {objects:?} {:?} {}",
            scan.entry.id,
            scan.stamp(),
            request.range,
            follower.fingerprint()
        );
        let (journal, _) = Journal::open(&folder, &key, follower.side())?;
        let watch = Watching { desk, scan, job, follower: Some(follower) };
        let cache = embed::cache(scan, follower, plane);
        let found = propagate::propagate_cached(follower, &request, &journal, cache, &watch)?;
        let whole = found.is_some();
        let found = match found {
            Some(found) => found,
            None => propagate::so_far(follower, &request, &journal)?,
        };
        self.take(desk, scan, job, (found, whole), &follower.name().to_string())?;
        if whole {
            journal.remove()?;
        }
        Ok(())
    }

    /// Puts what was found into the document, of a propagation that went to its end or was stopped.
    fn take(
        &self,
        desk: &Desk,
        scan: &Scan,
        job: &Job,
        (found, whole): (Propagated, bool),
        machine: &str,
    ) -> Answer<()> {
        let Propagated { mask, rows, suggestion } = found;
        let result = scan.order.apply(&mask).voxels;
        drop(mask);
        let order = self.plane.order(&scan.image.space);
        let space = &scan.image.space;
        let count = space.shape[order.slice_axis()];
        let mut confidence: BTreeMap<u16, Option<Confidence>> = BTreeMap::new();
        for row in &rows {
            let empty = || Confidence {
                plane: self.plane,
                values: vec![None; count],
                pixels: vec![0; count],
                next: None,
            };
            let own = confidence.entry(row.label).or_default().get_or_insert_with(empty);
            let k = order.slice_to_canonical(row.slice, space);
            own.values[k] = Some(row.confidence);
            own.pixels[k] = row.pixels as u32;
        }
        if let Some(own) = suggestion
            && let Some(Some(confidence)) = confidence.get_mut(&own.label)
        {
            confidence.next = Some(order.slice_to_canonical(own.slice, space));
        }
        if !whole {
            // Planes that were not come to keep what was known of them.
            scan.with(|sheet| keep_known(&mut confidence, &sheet.document, self.plane));
        }
        let machine = Machine::propagated(machine);
        let proposal = Proposal { what: What::Propagate, labels: &self.labels, machine, confidence };
        let view = View::new(self.plane, scan.canonical.shape);
        let [from, to] = self.range.unwrap_or([0, count - 1]);
        let looked: BTreeSet<(u16, usize)> =
            rows.iter().map(|row| (row.label, order.slice_to_canonical(row.slice, space))).collect();
        commit(desk, scan, job, proposal, |voxel, old| {
            let k = view.plane_of(voxel);
            let is_left = !(from..=to).contains(&k) || !whole && old != 0 && !looked.contains(&(old, k));
            if is_left { old } else { result[voxel] }
        })
        .map(drop)
    }
}

/// Takes over what is known of planes that have no confidence yet.
fn keep_known(confidence: &mut BTreeMap<u16, Option<Confidence>>, document: &Document, plane: Plane) {
    for (label, own) in confidence.iter_mut().filter_map(|(label, own)| Some((label, own.as_mut()?))) {
        let Some(before) = document.marks(*label).confidence.filter(|before| before.plane == plane) else {
            continue;
        };
        for k in (0..own.values.len().min(before.values.len())).filter(|&k| before.values[k].is_some()) {
            if own.values[k].is_none() {
                (own.values[k], own.pixels[k]) = (before.values[k], before.pixels[k]);
            }
        }
    }
}

/// Stores what a machine proposes. What nobody has asked for is stored where nobody has worked meanwhile; true if it was.
fn commit(
    desk: &Desk,
    scan: &Scan,
    job: &Job,
    proposal: Proposal<'_>,
    result: impl Fn(usize, u16) -> u16,
) -> Answer<bool> {
    scan.with(|sheet| {
        if job.yields && !rounds::is_untouched(&sheet.document.facts) {
            return Ok(false);
        }
        // A person may have locked or removed labels since the work began.
        let open = sheet.document.facts.labels.iter().filter(|label| !label.locked);
        let open: BTreeSet<u16> = open.map(|label| label.value).collect();
        let labels: BTreeSet<u16> = proposal.labels.intersection(&open).copied().collect();
        let proposal = Proposal { labels: &labels, ..proposal };
        let Some(step) = proposal.step(&sheet.document, result) else { return Ok(true) };
        change::store(desk, scan, sheet, &job.author(), None, Act::Step(step)).map(|_| true)
    })
}

fn segment(desk: &Desk, scan: &Scan, job: &Job, trained: &Trained) -> Answer<()> {
    let predictor = &trained.predictor;
    let watch = Watching { desk, scan, job, follower: None };
    let Some(prediction) = predictor.segment(&scan.image, Options::default(), &watch)? else { return Ok(()) };
    if job.yields && scan.peek(|sheet| !rounds::is_untouched(&sheet.document.facts)) {
        return Ok(());
    }
    let mut values: BTreeMap<u16, u16> = BTreeMap::new();
    scan.with(|sheet| {
        let organs = &predictor.card.organs;
        let names: Vec<String> = organs.iter().map(|organ| organ.name.clone()).collect();
        let (known, table) = labels::named(&sheet.document, &names)?;
        values.extend(organs.iter().map(|organ| organ.value).zip(known));
        if let Some(table) = table {
            change::relabel(desk, scan, sheet, &job.author(), table)?;
        }
        Answer::Ok(())
    })?;
    let labels: BTreeSet<u16> = values.values().copied().collect();
    let result = scan.order.apply(&prediction.mask).voxels;
    let machine = Machine::predicted(&prediction::network(&predictor.weights));
    let pixels = pixels(&result, scan.canonical.shape);
    let channels = predictor.card.channels();
    let of_organ = |organ: u16, label: u16| {
        // The innermost region is the one that its pixels were found by.
        let at = channels.iter().rposition(|channel| channel.values.contains(&organ))?;
        let mut values = prediction.confidence.get(at)?.clone();
        let found = pixels.get(&organ).into_iter().flatten().map(|&count| count as u32);
        let pixels: Vec<u32> = found.chain(std::iter::repeat(0)).take(values.len()).collect();
        let marks = scan.peek(|sheet| sheet.document.marks(label));
        for k in 0..values.len() {
            // A person's slices stay.
            if pixels[k] == 0 || marks.slices[k].is_hand() {
                values[k] = None;
            }
        }
        let doubt = |&k: &usize| f64::from(1.0 - values[k].unwrap_or(1.0)) * f64::from(pixels[k]);
        let next = (0..values.len()).filter(|k| doubt(k) > 0.0);
        let next = next.max_by(|one, other| doubt(one).total_cmp(&doubt(other)));
        Some(Confidence { plane: Plane::Axial, values, pixels, next })
    };
    let confidence = values.iter().map(|(&organ, &label)| (label, of_organ(organ, label))).collect();
    let proposal = Proposal { what: What::Predict, labels: &labels, machine, confidence };
    let value = |voxel: usize| values.get(&result[voxel]).copied().unwrap_or(0);
    let id = &scan.entry.id;
    // Kept first and noted last: what is noted was proposed, whenever this is killed.
    if let Some(round) = trained.round {
        let whole: Vec<u16> = (0..result.len()).map(value).collect();
        rounds::keep_proposal(desk, round, id, &whole)?;
    }
    let is_stored = commit(desk, scan, job, proposal, |voxel, _| value(voxel))?;
    match trained.round.filter(|_| is_stored) {
        Some(round) => Ok(rounds::arrived(desk, round, id, &labels)?),
        None => Ok(()),
    }
}

/// Tells the page of each slice, and asks whether to stop.
struct Watching<'a> {
    desk: &'a Desk,
    scan: &'a Scan,
    job: &'a Job,
    follower: Option<&'a Follower>,
}

impl Watch for Watching<'_> {
    fn step(&self, done: usize, of: usize) {
        *locked(&self.job.progress) = (done, of);
        let mut data = told(self.job);
        data["scan"] = json!(self.scan.entry.id);
        self.desk.hub.tell(To::Scan(&self.scan.entry.id), "progress", &data);
    }

    fn partial(&self, result: &dyn Any) {
        let Some(found) = result.downcast_ref::<Found>().filter(|_| self.follower.is_some()) else { return };
        let id = &self.scan.entry.id;
        if !self.desk.hub.is_watched(id) {
            return;
        }
        let space = &self.scan.image.space;
        let k = found.plane.order(space).slice_to_canonical(found.slice, space);
        let text = |plane: Vec<bool>| {
            let displayed = self.scan.displayed(found.plane, plane);
            Value::from(runs::text(displayed.into_iter().map(u16::from)))
        };
        let labels: serde_json::Map<String, Value> =
            found.planes().into_iter().map(|(label, plane)| (label.to_string(), text(plane))).collect();
        let confidence = found.confidence();
        let data =
            json!({"scan": id, "plane": found.plane, "k": k, "labels": labels, "confidence": confidence});
        self.desk.hub.tell(To::Scan(id), "found", &data);
    }

    fn stop(&self) -> bool {
        let is_over = || {
            let of_round = self.job.yields && self.desk.rounds.is_stopping();
            self.job.is_stopped() || self.desk.is_stopping() || of_round
        };
        if self.job.yields {
            self.desk.yield_to_people(is_over);
        }
        is_over()
    }
}

/// Fills the planes between drawn ones by shape.
///
/// # Errors
/// `nothing_between`, `no_such_label`, `locked`; what storing says.
pub fn interpolate(desk: &Desk, scan: &Scan, author: &Author, label: u16, plane: Plane) -> Answer<Value> {
    scan.with(|sheet| {
        let document = &sheet.document;
        check_label(document, label)?;
        let found = crate::interpolate::between(document, plane, label);
        if found.is_empty() {
            let refusal = Refusal::conflict("nothing_between", "No planes lie between drawn ones.");
            return Err(refusal.hint("draw two slices with some between them"));
        }
        let view = document.view(plane);
        let marks = document.marks(label);
        let pixels = document.facts.shape[0] * document.facts.shape[1];
        let is_copied = |voxel: usize| marks.slices[voxel / pixels] == Mark::Copied;
        let mut result: Vec<u16> =
            document.mask.iter().map(|&own| if own == label { own } else { 0 }).collect();
        for (k, inside) in &found {
            for (pixel, inside) in inside.iter().enumerate() {
                let voxel = view.voxel(*k, pixel);
                if !is_copied(voxel) {
                    result[voxel] = if *inside { label } else { 0 };
                }
            }
        }
        let labels = BTreeSet::from([label]);
        let confidence = BTreeMap::from([(label, None)]);
        let machine = Machine::propagated("interpolation");
        let proposal = Proposal { what: What::Interpolate, labels: &labels, machine, confidence };
        let step = proposal.step(document, |voxel, _| result[voxel]);
        match step {
            Some(step) => change::store(desk, scan, sheet, author, None, Act::Step(step)),
            None => Ok(change::unchanged(&sheet.document)),
        }
    })
}

/// A surface picture of labels, turned about the body's long axis; nothing where they have no voxel.
///
/// # Errors
/// `no_such_label`; what the picture says.
pub fn surface(scan: &Scan, labels: &BTreeSet<u16>, turn: f32) -> Answer<Option<Vec<u8>>> {
    let rgb = |color: &str| {
        [1, 3, 5].map(|at| u8::from_str_radix(color.get(at..at + 2).unwrap_or("c8"), 16).unwrap_or(200))
    };
    let (colors, own) = scan.with(|sheet| {
        let known = sheet.document.facts.labels.iter().filter(|label| labels.contains(&label.value));
        let colors: BTreeMap<u16, [u8; 3]> = known.map(|label| (label.value, rgb(&label.color))).collect();
        let own = crate::surface::cut(&sheet.document.mask, &scan.canonical, &colors);
        (colors, own)
    });
    if labels.is_empty() || colors.len() < labels.len() {
        return Err(Refusal::missing("no_such_label", "There is no such label."));
    }
    let Some(own) = own else { return Ok(None) };
    Ok(Some(crate::surface::picture(&own, turn, &colors)?))
}

/// Asks the job of a scan to stop, if there is one.
pub fn stop(scan: &Scan) {
    if let Some(job) = locked(&scan.job).as_ref() {
        job.stop();
    }
}
