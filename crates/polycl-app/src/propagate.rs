//! A volume from drawn slices, boxes and clicks.

use std::io::Write;
use std::path::{Path, PathBuf};

use polycl_base::{Error, Kind, Subject, Watch, counted, output, some};
use polycl_data::Origin;
use polycl_data::provenance::propagation::Row;
use polycl_data::provenance::{Record, propagation, settle};
use polycl_image::dicom::segmentation::Automation;
use polycl_image::names::{self, Names};
use polycl_image::{Given, Image, Mask, Plane, Space, nifti};
use polycl_nn::device::Device;
use polycl_nn::propagate::{self, Clue, Direction, Follower, Journal, NetworkName, Object, Place};
use polycl_nn::sam::Model;
use serde::{Deserialize, Serialize};

use crate::fetch;
use crate::figures::picture;
use crate::masks::{MaskFormat, ScanPath, Targets, check_window, given_or_beside, on_grid, write_names};

/// A scan, and what a person has shown in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    pub scan: ScanPath,
    /// Mask in which one or more slices are drawn.
    pub annotation: Option<PathBuf>,
    /// Boxes and points, in voxels of the file.
    pub clues: Vec<Clue>,
    /// The volume to write.
    pub out: PathBuf,
    /// First and last slice of the file that may be filled, or plane of the kind in which the annotation was drawn; all
    /// without it.
    pub range: Option<[usize; 2]>,
    /// Both, where the annotation was not drawn in axial planes.
    pub direction: Direction,
    /// Told by the weights where they can tell.
    pub model: Option<NetworkName>,
    /// Those that were fetched without it.
    pub weights: Option<PathBuf>,
    /// Names of labels, a file or a list; those beside the annotation without it.
    pub names: Option<String>,
    /// Intensity window in HU, centre and width; by the organ's name without it.
    pub window: Option<[f32; 2]>,
    /// Folder of the network's embeddings, for later work on the same scan.
    pub cache: Option<PathBuf>,
    pub picture: Option<PathBuf>,
    /// True mask, for the picture.
    pub truth: Option<PathBuf>,
    pub format: MaskFormat,
    pub device: Device,
}

/// The result of a propagation that was not stopped.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    pub case: String,
    /// Kind of the planes that the numbers below are of.
    pub plane: Plane,
    pub objects: Vec<Extent>,
    /// The network that followed them.
    pub model: String,
    pub mask: PathBuf,
    /// The table of all slices, with the confidence of each.
    pub table: PathBuf,
    /// The slice that most deserves to be drawn next.
    pub suggestion: Option<Suggestion>,
    /// True if a picture was asked for of a volume in which nothing was found.
    pub without_picture: bool,
}

/// The slices in which an object was found.
#[derive(Debug, Clone, Serialize)]
pub struct Extent {
    pub label: u16,
    pub name: Option<String>,
    /// First and last slice of the file; nothing where it was found in none.
    pub slices: Option<[usize; 2]>,
    /// Slices beyond in which it was looked for.
    pub ends: Vec<usize>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Suggestion {
    pub slice: usize,
    pub label: u16,
    pub name: Option<String>,
    pub confidence: f32,
    /// The least confidence of any slice in which something was found.
    pub least: f32,
}

/// Propagates; nothing where it was asked to stop: the same request goes on from there, to the same bits.
///
/// # Errors
/// Inputs that do not belong together, clues outside the scan, targets that are taken, weights that are not there; what
/// reading and writing can say.
pub fn run(request: &Request, watch: &dyn Watch) -> anyhow::Result<Option<Outcome>> {
    check_window(request.window)?;
    let Request { scan, out, picture, truth, .. } = request;
    Targets { mask: out, picture: picture.as_deref(), what: "volume" }.check(&[
        (Some(&scan.image), "the scan"),
        (request.annotation.as_ref(), "the annotation"),
        (truth.as_ref(), "the true mask"),
    ])?;
    let input = scan.open()?;
    request.format.check(&input, out)?;
    let (image, odd) = scan.read(&input, watch)?;
    request.format.check_scan(out, &image.space, &input)?;
    let on_grid = |path: &Path, mask: Mask| on_grid(path, mask, (&scan.image, &image), watch);
    let annotation = request.annotation.as_deref();
    let (names, on) = (names_of(request)?, (&input, &image.space));
    let annotation =
        annotation.map(|path| on_grid(path, scan.mask(path, on, Some(&names), watch)?)).transpose()?;
    let names = names::distinct(names);
    let truth =
        truth.as_deref().map(|path| on_grid(path, scan.truth(path, on, &names, watch)?)).transpose()?;
    request.check_places(&image.space)?;
    let drawn = request.annotation.as_deref().zip(annotation.as_ref());
    let plane = drawn.map(|(path, mask)| request.plane(path, mask, watch)).transpose()?.unwrap_or_default();
    let objects =
        Object::all(&image.space, plane, annotation.as_ref(), &request.clues, &names, request.window);
    let work = request.work((&image, plane), annotation.as_ref(), &objects)?;
    let case = nifti::case_name(out).unwrap_or_default();
    let folder = out.parent().map_or_else(PathBuf::new, PathBuf::from);
    propagation::check(&folder)?;
    let follower = open(request)?;
    let key = propagate::fingerprint(&follower, &work);
    let (journal, kept) = Journal::open(&folder.join(format!(".{case}.propagate")), &key, follower.side())?;
    if kept > 0 {
        watch.note(&format!("{case}: resumed, with {kept} slices done"));
    }
    if out.exists() {
        watch.note(&format!("note: {} is there already and is made again", out.display()));
    }
    watch.note(&format!("{case}: {}", told(&objects, &work, &names)));
    watch.task(&case);
    let Some(found) = propagate::propagate(&follower, &work, &journal, watch)? else { return Ok(None) };
    // The table comes first, so that no volume is ever without it.
    propagation::write(&folder, (&case, &odd), plane, &found.rows, &names)?;
    write_names(&folder, &case, &names)?;
    request.format.write(out, &found.mask, &input, &names, Automation::Semiautomatic)?;
    settle(&folder, &case, &[Record::Propagate])?;
    journal.remove()?;
    let drawn = match picture {
        Some(path) => draw(path, (&image, plane), (&found.mask, truth.as_ref()), &objects)?,
        None => true,
    };
    let propagated = found.rows.iter().filter(|row| row.origin == Origin::Propagated && row.pixels > 0);
    let least = propagated.map(|row| row.confidence).fold(1.0, f32::min);
    let suggestion = found.suggestion.map(|suggestion| Suggestion {
        slice: suggestion.slice,
        label: suggestion.label,
        name: names.get(&suggestion.label).cloned(),
        confidence: suggestion.confidence,
        least,
    });
    Ok(Some(Outcome {
        objects: objects.iter().map(|object| extent(object.label, &found.rows, &names)).collect(),
        case,
        plane,
        model: follower.name().to_string(),
        mask: out.clone(),
        table: folder.join(Record::Propagate.file()),
        suggestion,
        without_picture: !drawn,
    }))
}

/// The work in words, before it begins.
fn told(objects: &[Object], work: &propagate::Request<'_>, names: &Names) -> String {
    let (space, order, one) = (&work.image.space, work.plane.order(&work.image.space), work.plane.word());
    let told = objects.iter().map(|object| {
        let name = names.get(&object.label).map_or_else(|| format!("label {}", object.label), String::clone);
        let mut shown: Vec<usize> =
            object.shown().iter().map(|&k| order.slice_from_canonical(k, space)).collect();
        shown.sort_unstable();
        let shown = shown.iter().map(ToString::to_string).collect::<Vec<_>>();
        let several = if shown.len() == 1 { "" } else { "s" };
        format!("{name} from {one}{several} {}", some(&shown))
    });
    let told = told.collect::<Vec<_>>().join("; ");
    format!("{told}; through {}, counted from 0", counted(work.range.clone().count(), one))
}

/// The network with its weights, LiteMedSAM where nothing is said.
fn open(request: &Request) -> anyhow::Result<Follower> {
    let path = match (&request.weights, request.model) {
        (Some(path), _) => path.clone(),
        (None, Some(NetworkName::Sam2(model))) => {
            let expected = format!("--weights with the official checkpoint of {model}");
            return Err(Error::new(Subject::Flag("--model".into()), Kind::Request, expected, "no weights")
                .hint("download the .pt file that the authors of SAM 2 or MedSAM2 offer: the package index has no such file")
                .into());
        }
        (None, model) => fetch::needed(&model.unwrap_or(NetworkName::Sam(Model::LiteMedSam)).to_string())?,
    };
    Ok(Follower::open(&path, request.model, request.device, request.cache.clone())?)
}

fn names_of(request: &Request) -> anyhow::Result<Names> {
    match (&request.names, &request.annotation) {
        (given, Some(annotation)) => given_or_beside(given.as_deref(), annotation),
        (Some(given), None) => Ok(Given::parse(given, Path::new(""))?.values()?.names),
        (None, None) => Ok(Names::new()),
    }
}

impl Request {
    /// The planes of one kind in which the labels of the annotation were drawn, and from one to the next of which they go.
    fn plane(&self, path: &Path, mask: &Mask, watch: &dyn Watch) -> polycl_base::Result<Plane> {
        let plane = Plane::of_drawing(mask).map_err(|[(label, plane), (other, others)]| {
            let found = format!("label {label} drawn in {plane} planes, label {other} in {others} planes");
            Error::new(path, Kind::Request, "labels that are all drawn in planes of one kind", found).hint(
                "propagate an annotation for each kind of plane: labels go from plane to plane together",
            )
        })?;
        if plane == Plane::Axial {
            return Ok(plane);
        }
        let refused = |flag: &str, hint: &str| {
            let expected = format!("an annotation in axial slices, with {flag}");
            Err(Error::new(path, Kind::Request, expected, format!("an annotation in {plane} planes"))
                .hint(hint))
        };
        if !self.clues.is_empty() {
            return refused("--box and --point", "leave boxes and points out: they lie in axial slices");
        }
        if self.direction != Direction::Both {
            return refused(
                "--direction",
                "leave --direction out, or give a --range of planes: up and down are along the body",
            );
        }
        let note =
            format!("note: {}: drawn in {plane} planes: labels go from one to the next", path.display());
        watch.note(&note);
        Ok(plane)
    }

    /// The file that should say what is drawn.
    fn source(&self) -> &Path {
        self.annotation.as_ref().unwrap_or(&self.scan.image)
    }

    /// Boxes and points must lie in the scan, and a point beside an object needs one that has it.
    fn check_places(&self, space: &Space) -> anyhow::Result<()> {
        let axis = Plane::Axial.order(space).slice_axis();
        let sides: Vec<usize> = (0..3).filter(|&a| a != axis).map(|a| space.shape[a]).collect();
        for clue in &self.clues {
            let (flag, [x, y]) = match clue.place {
                Place::Box([_, _, x1, y1]) => ("--box", [x1, y1]),
                Place::Point { xy, positive: true } => ("--point", xy),
                Place::Point { xy, positive: false } => ("--not", xy),
            };
            let turned = matches!(clue.place, Place::Box([x0, y0, x1, y1]) if x0 > x1 || y0 > y1);
            if turned || clue.label == 0 {
                let expected = "boxes from their first corner to their last, and labels from 1";
                let found = format!("{:?} of label {}", clue.place, clue.label);
                return Err(Error::new(&self.scan.image, Kind::Request, expected, found).into());
            }
            if clue.slice >= space.shape[axis] || x >= sides[0] || y >= sides[1] {
                let [nx, ny, nz] = [sides[0], sides[1], space.shape[axis]];
                let expected = format!("{flag} within {nz} slices of {nx} by {ny} voxels, counted from 0");
                let found = format!("slice {}, {x},{y}", clue.slice);
                return Err(Error::new(&self.scan.image, Kind::Request, expected, found).into());
            }
            let told = |other: &Clue| {
                other.slice == clue.slice
                    && other.label == clue.label
                    && !matches!(other.place, Place::Point { positive: false, .. })
            };
            if flag == "--not" && !self.clues.iter().any(told) {
                let expected = "a --box or a --point in the slice of every --not";
                let found = format!("none for label {} in slice {}", clue.label, clue.slice);
                return Err(Error::new(&self.scan.image, Kind::Request, expected, found).into());
            }
        }
        Ok(())
    }

    /// The work that is to be done, if there is any.
    fn work<'a>(
        &self,
        (image, plane): (&'a Image, Plane),
        annotation: Option<&'a Mask>,
        objects: &'a [Object],
    ) -> anyhow::Result<propagate::Request<'a>> {
        let (space, order, one) = (&image.space, plane.order(&image.space), plane.word());
        let slices = space.shape[order.slice_axis()];
        let refused = |file: &Path, expected: &str, found: String, hint: &str| {
            Err(Error::new(file, Kind::Request, expected, found).hint(hint).into())
        };
        if slices < 2 {
            let hint = "use `polycl refine` for a mask of a single slice";
            return refused(
                &self.scan.image,
                &format!("a scan of several {one}s"),
                format!("one {one}"),
                hint,
            );
        }
        if objects.is_empty() {
            let hint = "draw a slice in the annotation, or give --box or --point";
            let expected = "an object that is drawn in at least one slice";
            return refused(self.source(), expected, "no drawn slice".to_owned(), hint);
        }
        let [first, last] = self.range.unwrap_or([0, slices - 1]);
        if last >= slices || first > last {
            let expected = format!("a --range within {one}s 0 to {}", slices - 1);
            let hint = format!("count {one}s from 0");
            return refused(&self.scan.image, &expected, format!("{first},{last}"), &hint);
        }
        let ends = [first, last].map(|k| order.slice_to_canonical(k, space));
        let range = ends[0].min(ends[1])..=ends[0].max(ends[1]);
        for object in objects {
            if let Some(&k) = object.shown().iter().find(|k| !range.contains(k)) {
                let found =
                    format!("label {} in {one} {}", object.label, order.slice_from_canonical(k, space));
                let expected = format!("what is drawn within --range {first},{last}");
                return refused(self.source(), &expected, found, "widen --range");
            }
        }
        if objects.iter().all(|object| object.shown().len() == range.clone().count()) {
            let expected = format!("a {one} that is not drawn");
            let hint = format!("draw fewer {one}s, or widen --range");
            return refused(self.source(), &expected, format!("every {one} drawn"), &hint);
        }
        Ok(propagate::Request { image, plane, annotation, objects, range, direction: self.direction })
    }
}

/// Draws what was found; false where there is nothing to draw.
fn draw(
    path: &Path,
    (image, plane): (&Image, Plane),
    (mask, truth): (&Mask, Option<&Mask>),
    objects: &[Object],
) -> anyhow::Result<bool> {
    let drawn = |k: usize, label: u16| objects.iter().any(|o| o.label == label && o.drawn.contains(&k));
    let Some(png) = picture::propagation((image, plane), (mask, truth), drawn)? else { return Ok(false) };
    output::atomically(path, |file| file.write_all(&png))?;
    Ok(true)
}

/// The slices of an object, and its ends.
fn extent(label: u16, rows: &[Row], names: &Names) -> Extent {
    let own = || rows.iter().filter(|row| row.label == label);
    let filled = || own().filter(|row| row.pixels > 0).map(|row| row.slice);
    let slices = filled().min().zip(filled().max()).map(|(first, last)| [first, last]);
    let beyond = |row: &&Row| {
        row.pixels == 0 && slices.is_some_and(|[first, last]| row.slice < first || row.slice > last)
    };
    let ends = own().filter(beyond).map(|row| row.slice).collect();
    Extent { label, name: names.get(&label).cloned(), slices, ends }
}
