//! Models at work for a client: on the scan's document, as from the page.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use polycl_data::provenance::prediction;
use polycl_image::Plane;
use polycl_image::files::Reading;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Door;
use super::form::{Form, Temporary, checked, unreadable};
use super::info::{NETWORK, PROPAGATE, SLICE, VOLUME, WORKBENCH};
use super::login::Login;
use super::nrrd;
use super::numbers::{self, FOREGROUND, Numbering, Segment, is_own};
use super::seen::Seen;
use crate::change;
use crate::document::{Act, Machine};
use crate::edit::{Edit, Pixels};
use crate::labels;
use crate::refusal::{Answer, Refusal};
use crate::rounds;
use crate::routes::NAME;
use crate::step::What;
use crate::waited::rests;
use crate::work::{self, Point, Prompt, Propagate};

/// The time that a network has for a scan: a client waits as long as it takes.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);
/// Points in a slice that count.
const POINTS: usize = 64;

/// The request of a client to a model; indices are those of its voxels, first the axis that runs fastest.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    label: Option<String>,
    foreground: Vec<[f64; 3]>,
    background: Vec<[f64; 3]>,
    /// First and last index along each axis, in either order.
    roi: Vec<f64>,
    /// The third index of the slice that is shown.
    slice: Option<f64>,
    label_info: Vec<Segment>,
    selected_label_name: Option<String>,
}

/// A mask for a client.
pub struct Inferred {
    pub params: Map<String, Value>,
    /// As a file.
    pub mask: Vec<u8>,
}

/// Runs a model on a scan.
///
/// # Errors
/// `no_such_model`; what the model says.
pub fn infer(door: &Door, login: &Login, model: &str, seen: Seen, form: &Form<'_>) -> Answer<Inferred> {
    let asked: Asked = form.params()?;
    let turn = Turn { door, login, seen, asked };
    match model {
        WORKBENCH => Ok(turn.all()),
        NETWORK if door.desk.trained().is_some() => turn.network(),
        SLICE => turn.slice(),
        VOLUME => turn.volume(),
        PROPAGATE => turn.propagate(form),
        _ => {
            let message = format!("Expected a model of /info/, found {model:?}.");
            Err(Refusal::missing("no_such_model", message))
        }
    }
}

/// A model at work.
struct Turn<'a> {
    door: &'a Door,
    login: &'a Login,
    seen: Seen,
    asked: Asked,
}

/// Points of a slice.
type Clicks = BTreeMap<usize, Vec<Point>>;
/// The box of an ROI in planes of one kind: first and last plane, and x0, y0, x1, y1.
type Roi = ([usize; 2], [usize; 4]);

impl Turn<'_> {
    /// All labels as they stand.
    fn all(&self) -> Inferred {
        let (labels, mask) =
            self.seen.scan.with(|sheet| (sheet.document.facts.labels.clone(), sheet.document.mask.clone()));
        self.told(&Numbering::all(&labels), &mask)
    }

    /// One label as it stands, in all planes or in one alone.
    fn one(&self, label: u16, name: &str, only: Option<(Plane, usize)>) -> Inferred {
        let mut mask = self.seen.scan.with(|sheet| sheet.document.mask.clone());
        if let Some((plane, k)) = only {
            let view = self.seen.view(plane);
            let others = (0..mask.len()).filter(|&voxel| view.plane_of(voxel) != k);
            others.for_each(|voxel| mask[voxel] = 0);
        }
        self.told(&Numbering::one(label, name), &mask)
    }

    fn told(&self, numbering: &Numbering, mask: &[u16]) -> Inferred {
        let mut params = Map::from_iter([("label_names".to_owned(), numbering.names().into())]);
        if let Some(label) = &self.asked.label {
            params.insert("label".to_owned(), json!(label));
        }
        let voxels = self.seen.put(numbering.apply(mask));
        Inferred { params, mask: nrrd::mask(&self.seen.space, &voxels) }
    }

    /// The network's masks where nothing is drawn. What it has said already is not computed again.
    fn network(&self) -> Answer<Inferred> {
        let (desk, scan) = (&self.door.desk, &self.seen.scan);
        // 3D Slicer asks for each new sample by itself: what people are to draw unswayed, or have vouched for, is left alone.
        if rounds::is_held_back(desk, &scan.entry.id)
            || scan.with(|sheet| sheet.document.facts.review.is_some())
        {
            return Ok(self.all());
        }
        let own = desk.trained();
        let own = own.map(|own| Machine::predicted(&prediction::network(&own.predictor.weights)));
        if scan.with(|sheet| sheet.document.facts.machines.latest().cloned()) != own {
            work::predict(desk, scan, &self.login.author)?;
            rests(scan, Instant::now() + PATIENCE)?;
        }
        Ok(self.all())
    }

    /// Answers a box or points in the slice that is shown.
    fn slice(&self) -> Answer<Inferred> {
        let (label, name) = self.label(self.asked.label.as_deref())?;
        let plane = self.seen.plane();
        let clicks = self.clicks(plane)?;
        let roi = self.roi(plane)?;
        let shown = match self.asked.slice {
            Some(index) => Some(self.depth(plane, index)?),
            None => clicks.keys().next_back().copied(),
        };
        let k = shown.ok_or_else(|| self.nothing_clicked())?;
        if let Some(([from, to], _)) = roi
            && !(from..=to).contains(&k)
        {
            // The client counts the slice of a box without points in millimetres.
            let message = "The box does not reach the slice that is shown.";
            return Err(Refusal::conflict("bad_box", message).hint("set a point in a slice of the box"));
        }
        let points = clicks.into_iter().find(|(own, _)| *own == k).map(|(_, points)| points);
        if !self.prompt(label, plane, k, points.unwrap_or_default(), roi)? {
            return Err(self.nothing_clicked());
        }
        Ok(self.one(label, &name, Some((plane, k))))
    }

    /// Answers boxes and points in all slices that have any, and follows the answers through the scan.
    fn volume(&self) -> Answer<Inferred> {
        let (label, name) = self.label(self.asked.label.as_deref())?;
        let plane = self.seen.plane();
        let mut clicks = self.clicks(plane)?;
        let roi = self.roi(plane)?;
        if let Some(([from, to], _)) = roi {
            clicks.retain(|k, _| (from..=to).contains(k));
            if clicks.is_empty() {
                clicks.insert(from.midpoint(to), Vec::new());
            }
        }
        let mut answered = false;
        for (k, points) in clicks {
            answered |= self.prompt(label, plane, k, points, roi)?;
        }
        if !answered {
            return Err(self.nothing_clicked());
        }
        self.follow(label, plane, roi.map(|(range, _)| range))?;
        Ok(self.one(label, &name, None))
    }

    fn nothing_clicked(&self) -> Refusal {
        let message = "Points mend what is in a slice, and there is nothing of this label yet.";
        Refusal::conflict("nothing_to_correct", message)
            .hint("set points on the ends of the organ in one slice, two or more, or an ROI around it")
    }

    /// Lets the network answer in a plane; false where there is neither a box nor something to mend.
    fn prompt(
        &self,
        label: u16,
        plane: Plane,
        k: usize,
        mut points: Vec<Point>,
        roi: Option<Roi>,
    ) -> Answer<bool> {
        let (desk, scan, author) = (&self.door.desk, &self.seen.scan, &self.login.author);
        let view = self.seen.view(plane);
        let is_drawn = || scan.with(|sheet| view.cut(&sheet.document.mask, k).any(|own| own == label));
        let area = match roi {
            Some((_, area)) => Some(area),
            None if is_drawn() => None,
            // The ends of an organ are a box around it.
            None => {
                let ends: Vec<[usize; 2]> =
                    points.iter().filter(|point| point.on).map(|point| point.at).collect();
                points.retain(|point| !point.on);
                match bounds(&ends) {
                    Some(area) => Some(area),
                    None => return Ok(false),
                }
            }
        };
        if area.is_none() && points.is_empty() {
            return Ok(true);
        }
        points.truncate(POINTS);
        let asked = Prompt { tab: author.tab.clone(), label, plane, k, area, points, over: false };
        work::prompt(desk, scan, author, &asked)?;
        if !is_drawn() {
            let message = "The network found nothing there that is free of other labels.";
            return Err(Refusal::conflict("nothing_found", message)
                .hint("remove other labels from there in the workbench, or move the box"));
        }
        Ok(true)
    }

    /// Takes the slices that were drawn in the client's label map, and follows the label through the scan.
    fn propagate(&self, form: &Form<'_>) -> Answer<Inferred> {
        let (label, name) = self.label(self.asked.selected_label_name.as_deref())?;
        let file = Temporary::write(&form.needed_file(&["label"])?, &self.door.incoming())?;
        checked(&file.path(), self.seen.space.voxels())?;
        let map = Reading::default().mask(&file.path()).map_err(unreadable)?;
        let names = numbers::names(&map.voxels, &self.asked.label_info)?;
        let map = self.seen.take(map, &file.path())?;
        let is_own = |own: &str| own.to_lowercase() == name.to_lowercase() || own == FOREGROUND;
        let own: BTreeSet<u16> =
            names.iter().filter(|(_, own)| is_own(own)).map(|(number, _)| *number).collect();
        let drawn: Vec<bool> = map.iter().map(|number| own.contains(number)).collect();
        let (desk, scan, author) = (&self.door.desk, &self.seen.scan, &self.login.author);
        let plane = scan.with(|sheet| {
            let mask = &sheet.document.mask;
            let Some((plane, planes)) = self.drawn_planes(&drawn, mask, label) else { return Ok(None) };
            let planes = planes.into_iter().map(|k| self.pixels(&drawn, mask, label, plane, k)).collect();
            let edit = Edit { plane, label, what: What::Stroke, over: true, planes };
            let (step, _) = edit.step(&sheet.document)?;
            if let Some(step) = step {
                change::store(desk, scan, sheet, author, None, Act::Step(step))?;
            }
            Answer::Ok(Some(plane))
        })?;
        let range = match plane {
            Some(plane) => self.roi(plane)?.map(|(range, _)| range),
            None => None,
        };
        let asked = Propagate { tab: author.tab.clone(), labels: [label].into(), plane, range };
        self.run(&asked)?;
        Ok(self.one(label, &name, None))
    }

    /// The planes in which something is drawn that the document does not have: those of the kind that needs fewest.
    fn drawn_planes(&self, drawn: &[bool], mask: &[u16], label: u16) -> Option<(Plane, Vec<usize>)> {
        let planes = [Plane::Axial, Plane::Coronal, Plane::Sagittal].map(|plane| {
            let view = self.seen.view(plane);
            let mut has = vec![[false; 2]; view.count()];
            for (voxel, &own) in drawn.iter().enumerate() {
                if own || mask[voxel] == label {
                    let k = view.plane_of(voxel);
                    has[k][0] |= own;
                    has[k][1] |= own != (mask[voxel] == label);
                }
            }
            (plane, (0..has.len()).filter(|&k| has[k] == [true; 2]).collect::<Vec<usize>>())
        });
        // Where planes of a kind are all as they were, the client merely lacks what is in others.
        planes.into_iter().min_by_key(|(_, planes)| planes.len()).filter(|(_, planes)| !planes.is_empty())
    }

    /// Pixels to set and to clear in a plane, so that the label is what is drawn there.
    fn pixels(&self, drawn: &[bool], mask: &[u16], label: u16, plane: Plane, k: usize) -> Pixels {
        let view = self.seen.view(plane);
        let wanted = |pixel: usize| {
            let voxel = view.voxel(k, pixel);
            match (drawn[voxel], mask[voxel] == label) {
                (true, false) => Some(true),
                (false, true) => Some(false),
                _ => None,
            }
        };
        let mut runs: [Vec<[u32; 2]>; 2] = [Vec::new(), Vec::new()];
        for pixel in 0..view.pixels() {
            let Some(sets) = wanted(pixel) else { continue };
            let runs = &mut runs[usize::from(sets)];
            match runs.last_mut() {
                Some([start, length]) if (*start + *length) as usize == pixel => *length += 1,
                _ => runs.push([pixel as u32, 1]),
            }
        }
        let [clear, set] = runs;
        Pixels { k, set, clear }
    }

    fn follow(&self, label: u16, plane: Plane, range: Option<[usize; 2]>) -> Answer<()> {
        let tab = self.login.author.tab.clone();
        self.run(&Propagate { tab, labels: [label].into(), plane: Some(plane), range })
    }

    fn run(&self, asked: &Propagate) -> Answer<()> {
        let (desk, scan) = (&self.door.desk, &self.seen.scan);
        work::propagate(desk, scan, &self.login.author, asked)?;
        rests(scan, Instant::now() + PATIENCE).map(drop)
    }

    /// The value of a label by its name; one that is new comes into the table.
    fn label(&self, name: Option<&str>) -> Answer<(u16, String)> {
        let wrong = |text: String| Refusal::senseless("bad_labels", text);
        let name = name.unwrap_or_default().trim().to_owned();
        if name.is_empty()
            || name.chars().count() > NAME
            || name.chars().any(char::is_control)
            || is_own(&name)
        {
            return Err(wrong(format!(
                "Expected the name of a label of 1 to {NAME} characters, found {name:?}."
            )));
        }
        let (desk, scan, author) = (&self.door.desk, &self.seen.scan, &self.login.author);
        scan.with(|sheet| {
            let (values, table) = labels::named(&sheet.document, std::slice::from_ref(&name))?;
            if let Some(table) = table {
                change::relabel(desk, scan, sheet, author, table)?;
            }
            Ok((values[0], name))
        })
    }

    /// Points by the planes in which they lie.
    fn clicks(&self, plane: Plane) -> Answer<Clicks> {
        let view = self.seen.view(plane);
        let mut clicks = Clicks::new();
        for (points, on) in [(&self.asked.foreground, true), (&self.asked.background, false)] {
            for &at in points {
                let voxel = self.seen.voxel(at).ok_or_else(|| {
                    let shape = self.seen.space.shape;
                    let message = format!("Expected points in a volume of {shape:?} voxels, found {at:?}.");
                    Refusal::senseless("bad_points", message)
                })?;
                let (k, at) = view.pixel(voxel);
                clicks.entry(k).or_default().push(Point { at, on });
            }
        }
        Ok(clicks)
    }

    /// The box that was placed, cut to the scan; nothing where there is none.
    fn roi(&self, plane: Plane) -> Answer<Option<Roi>> {
        let &[i0, i1, j0, j1, k0, k1] = &self.asked.roi[..] else {
            return match self.asked.roi.is_empty() {
                true => Ok(None),
                false => {
                    let message = format!("Expected 6 ends of an ROI, found {}.", self.asked.roi.len());
                    Err(Refusal::senseless("bad_box", message))
                }
            };
        };
        let shape = self.seen.space.shape;
        let misses = |axis: usize, a: f64, b: f64| !(a.max(b) >= 0.0 && a.min(b) < shape[axis] as f64);
        if misses(0, i0, i1) || misses(1, j0, j1) || misses(2, k0, k1) {
            let message = format!("The ROI lies outside the scan of {shape:?} voxels.");
            return Err(Refusal::senseless("bad_box", message).hint("move the ROI onto the scan"));
        }
        let view = self.seen.view(plane);
        let [one, other] = [[i0, j0, k0], [i1, j1, k1]].map(|corner| view.pixel(self.seen.nearest(corner)));
        let area = bounds(&[one.1, other.1]).unwrap_or([one.1[0], one.1[1], other.1[0], other.1[1]]);
        Ok(Some(([one.0.min(other.0), one.0.max(other.0)], area)))
    }

    /// The plane of the client's third index.
    fn depth(&self, plane: Plane, index: f64) -> Answer<usize> {
        let count = self.seen.space.shape[2];
        if !(index >= 0.0 && index < count as f64) {
            let message = format!("Expected a slice from 0 to {}, found {index}.", count - 1);
            return Err(Refusal::senseless("no_such_slice", message));
        }
        Ok(self.seen.view(plane).pixel(self.seen.nearest([0.0, 0.0, index])).0)
    }
}

/// The box around pixels, of which there must be two or more.
fn bounds(pixels: &[[usize; 2]]) -> Option<[usize; 4]> {
    (pixels.len() > 1).then(|| {
        pixels.iter().fold([usize::MAX, usize::MAX, 0, 0], |[x0, y0, x1, y1], &[x, y]| {
            [x0.min(x), y0.min(y), x1.max(x), y1.max(y)]
        })
    })
}
