use std::io::Write;
use std::path::{Path, PathBuf};

use polycl_nn::device::Device;
use polycl_nn::propagate::{
    Clue, Direction, Journal, Network, Object, Place, Propagated, Request, Tracker, fingerprint, propagate,
};
use polycl_nn::sam::Model;
use polycl_volume::dataset::names::{self, Names};
use polycl_volume::dataset::provenance::propagation::Row;
use polycl_volume::dataset::provenance::{Record, propagation, settle};
use polycl_volume::dicom::segmentation::Automation;
use polycl_volume::orient::Reorientation;
use polycl_volume::{Error, Image, Kind, Mask, Space, files, nifti, odd, output};

use super::case::{MaskFormat, ScanArgs, Targets, read_truth, write_names};
use super::sam::{check_window, names_beside, on_grid};
use crate::cli::Outcome;
use crate::{fetch, picture, talk};

/// Make a volume of one annotated slice, or of several
///
/// What is drawn in some slices of the annotation, of one or more labels, is followed through the others
/// by a Segment Anything network. Drawn slices come back as they are. How far each slice can be believed
/// stands in propagate.csv beside the volume, and which slice to draw next is said at the end. If the
/// command is killed, the same command goes on where it was.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    scan: ScanArgs,
    /// Mask in which one or more slices are drawn
    #[arg(long, value_name = "MASK")]
    annotation: Option<PathBuf>,
    /// Volume to write
    #[arg(long, value_name = "VOLUME")]
    out: PathBuf,
    /// A box around an object in a slice, instead of its outline; may be repeated. Slice and corners are
    /// voxels of the file from 0, the last ones included; the label is 1 unless said
    #[arg(long = "box", value_name = "SLICE,X0,Y0,X1,Y1[,LABEL]", value_parser = parse_box)]
    boxes: Vec<Clue>,
    /// A point on an object in a slice; may be repeated
    #[arg(long = "point", value_name = "SLICE,X,Y[,LABEL]", value_parser = parse_point)]
    points: Vec<Clue>,
    /// A point beside an object, in a slice with a box or a point on it; may be repeated
    #[arg(long = "not", value_name = "SLICE,X,Y[,LABEL]", value_parser = parse_not)]
    nots: Vec<Clue>,
    /// Slices that may be filled, along the file's slice axis from 0, the last one included; all without it
    #[arg(long, value_name = "FIRST,LAST", value_parser = parse_range)]
    range: Option<[usize; 2]>,
    /// Where to go from the drawn slices: both ways, up (towards the head) or down. Slices between drawn
    /// ones are filled in any case
    #[arg(long, value_enum, value_name = "WAY", default_value_t = Way::Both)]
    direction: Way,
    /// litemedsam, whose boxes go from slice to slice, or another network of its kind; medsam2,
    /// sam2.1-hiera-tiny, -small, -base-plus, -large or sam2-hiera-…, which remember what they have seen.
    /// Told by the weights where they can tell
    #[arg(long, value_name = "NAME")]
    model: Option<Network>,
    /// Official checkpoint (.pt, .pth) or safetensors with its names; without it, what `polycl fetch`
    /// has brought
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Names of labels, which choose the intensity window: a file, or 1=liver,2=spleen; else those
    /// beside the annotation
    #[arg(long, value_name = "NAMES")]
    names: Option<String>,
    /// Intensity window in HU: centre,width; by the organ's name without it
    #[arg(long, value_name = "C,W", value_parser = super::import::window, allow_hyphen_values = true)]
    window: Option<[f32; 2]>,
    /// Keep the network's embeddings of the slices in this folder, for later commands on the same scan
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Picture of the drawn slice, of others, and of the surface
    #[arg(long, value_name = "PNG")]
    picture: Option<PathBuf>,
    /// True mask, for the picture
    #[arg(long, value_name = "FILE", requires = "picture")]
    truth: Option<PathBuf>,
    /// Format of the mask
    #[arg(long, value_enum, default_value = "nifti")]
    format: MaskFormat,
    /// Where to compute: cpu, cuda[:N] or wgpu[:N]
    #[arg(long, value_name = "D", default_value = "cpu")]
    device: Device,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Way {
    Both,
    Up,
    Down,
}

fn numbers(text: &str, least: usize) -> Result<Vec<usize>, String> {
    let parts: Result<Vec<usize>, _> = text.split(',').map(|part| part.trim().parse()).collect();
    let wrong = || format!("expected {least} whole numbers, and a label if it is not 1, found '{text}'");
    parts.ok().filter(|n| n.len() == least || n.len() == least + 1).ok_or_else(wrong)
}

fn clue(numbers: &[usize], least: usize, place: Place) -> Result<Clue, String> {
    let label = numbers.get(least).copied().unwrap_or(1);
    let label = u16::try_from(label).ok().filter(|&label| label > 0);
    let label = label.ok_or_else(|| "expected a label from 1 to 65535".to_owned())?;
    Ok(Clue { label, slice: numbers[0], place })
}

fn parse_box(text: &str) -> Result<Clue, String> {
    let n = numbers(text, 5)?;
    if n[1] > n[3] || n[2] > n[4] {
        return Err("expected the first corner before the last".to_owned());
    }
    clue(&n, 5, Place::Box([n[1], n[2], n[3], n[4]]))
}

fn parse_point(text: &str) -> Result<Clue, String> {
    let n = numbers(text, 3)?;
    clue(&n, 3, Place::Point { xy: [n[1], n[2]], positive: true })
}

fn parse_not(text: &str) -> Result<Clue, String> {
    let n = numbers(text, 3)?;
    clue(&n, 3, Place::Point { xy: [n[1], n[2]], positive: false })
}

fn parse_range(text: &str) -> Result<[usize; 2], String> {
    let ends: Result<Vec<usize>, _> = text.split(',').map(|part| part.trim().parse()).collect();
    match ends.as_deref() {
        Ok(&[first, last]) if first <= last => Ok([first, last]),
        _ => Err(format!("expected FIRST,LAST, the first not after the last, found '{text}'")),
    }
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    check_window(args.window)?;
    let targets = Targets { mask: &args.out, picture: args.picture.as_deref(), what: "volume" };
    targets.check(&[
        (Some(&args.scan.image), "the scan"),
        (args.annotation.as_ref(), "the annotation"),
        (args.truth.as_ref(), "the true mask"),
    ])?;
    let input = args.scan.open()?;
    args.format.check(&input, &args.out)?;
    let image = input.image()?;
    talk::odd(&args.scan.image.display().to_string(), &odd::of(&input, &image)?);
    let on_grid = |path: &Path, mask: Mask| on_grid(path, mask, &args.scan.image, &image);
    let annotation =
        args.annotation.as_deref().map(|path| on_grid(path, files::read_mask(path)?)).transpose()?;
    let truth =
        args.truth.as_deref().map(|path| anyhow::Ok(on_grid(path, read_truth(path)?)?)).transpose()?;
    let names = names_of(args)?;
    let clues: Vec<Clue> = [&args.boxes, &args.points, &args.nots].into_iter().flatten().copied().collect();
    check_places(args, &image.space, &clues)?;
    let objects = Object::all(&image.space, annotation.as_ref(), &clues, &names, args.window);
    let request = request(args, &image, annotation.as_ref(), &objects)?;
    let case = nifti::case_name(&args.out).unwrap_or_default();
    let folder = args.out.parent().map_or_else(PathBuf::new, PathBuf::from);
    propagation::check(&folder)?;
    let (model, mut tracker) = open(args)?;
    let key = fingerprint(&tracker, &request, args.device);
    let (journal, kept) = Journal::open(&folder.join(format!(".{case}.propagate")), &key, tracker.side())?;
    if kept > 0 {
        talk::note(format_args!("{case}: goes on where it was stopped, with {kept} slices done"));
    }
    let bar = talk::progress(0, &case);
    let found = propagate(&mut tracker, &request, &journal, &mut |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let found = found?;
    // The table comes first, so that no volume is ever without it.
    propagation::write(&folder, &case, &found.rows, &names)?;
    write_names(&folder, &case, &names)?;
    args.format.write(&args.out, &found.mask, &input, &names, Automation::Semiautomatic)?;
    settle(&folder, &case, &[Record::Propagate])?;
    journal.remove()?;
    if let Some(path) = &args.picture {
        draw(path, &image, (&found.mask, truth.as_ref()), &objects)?;
    }
    note_objects(&case, &found, &objects, &names);
    talk::note(format_args!("propagated by {model}: {}", args.out.display()));
    note_suggestion(&found, &names);
    Ok(Outcome::Done)
}

/// The network with its weights, LiteMedSAM where nothing is said.
fn open(args: &Args) -> anyhow::Result<(Network, Tracker)> {
    let path = match (&args.weights, args.model) {
        (Some(path), _) => path.clone(),
        (None, Some(Network::Sam2(model))) => {
            let expected = format!("--weights with the official checkpoint of {model}");
            return Err(Error::new("--model", Kind::Request, expected, "no weights")
                .hint("weights of SAM 2 are not on the package index: its authors and MedSAM2's offer them as .pt files")
                .into());
        }
        (None, model) => fetch::needed(&model.unwrap_or(Network::Sam(Model::LiteMedSam)).to_string())?,
    };
    Ok(Network::open(&path, args.model, args.device, args.cache.clone())?)
}

fn names_of(args: &Args) -> anyhow::Result<Names> {
    match (&args.names, &args.annotation) {
        (Some(given), _) => Ok(names::given(given, Path::new(""))?),
        (None, Some(annotation)) => names_beside(annotation),
        (None, None) => Ok(Names::new()),
    }
}

/// The file that should say what is drawn.
fn source(args: &Args) -> &Path {
    args.annotation.as_ref().unwrap_or(&args.scan.image)
}

/// Boxes and points must lie in the scan, and a point beside an object needs one that has it.
fn check_places(args: &Args, space: &Space, clues: &[Clue]) -> anyhow::Result<()> {
    let axis = Reorientation::to_canonical(space).slice_axis();
    let sides: Vec<usize> = (0..3).filter(|&a| a != axis).map(|a| space.shape[a]).collect();
    for clue in clues {
        let (flag, [x, y]) = match clue.place {
            Place::Box([_, _, x1, y1]) => ("--box", [x1, y1]),
            Place::Point { xy, positive: true } => ("--point", xy),
            Place::Point { xy, positive: false } => ("--not", xy),
        };
        if clue.slice >= space.shape[axis] || x >= sides[0] || y >= sides[1] {
            let [nx, ny, nz] = [sides[0], sides[1], space.shape[axis]];
            let expected = format!("{flag} within {nz} slices of {nx} by {ny} voxels, counted from 0");
            let found = format!("slice {}, {x},{y}", clue.slice);
            return Err(Error::new(&args.scan.image, Kind::Request, expected, found).into());
        }
        let told = |other: &Clue| {
            other.slice == clue.slice
                && other.label == clue.label
                && !matches!(other.place, Place::Point { positive: false, .. })
        };
        if flag == "--not" && !clues.iter().any(told) {
            let expected = "a --box or a --point in the slice of every --not";
            let found = format!("none for label {} in slice {}", clue.label, clue.slice);
            return Err(Error::new(&args.scan.image, Kind::Request, expected, found).into());
        }
    }
    Ok(())
}

/// What is to be done, if there is anything.
fn request<'a>(
    args: &Args,
    image: &'a Image,
    annotation: Option<&'a Mask>,
    objects: &'a [Object],
) -> anyhow::Result<Request<'a>> {
    let (space, order) = (&image.space, Reorientation::to_canonical(&image.space));
    let slices = space.shape[order.slice_axis()];
    let refused = |file: &Path, expected: &str, found: String, hint: &str| {
        Err(Error::new(file, Kind::Request, expected, found).hint(hint).into())
    };
    if slices < 2 {
        let hint = "polycl refine sharpens a mask of a single slice";
        return refused(&args.scan.image, "a scan of several slices", "one slice".to_owned(), hint);
    }
    if objects.is_empty() {
        let hint = "draw a slice in the annotation, or give --box or --point";
        return refused(
            source(args),
            "an object that is drawn in at least one slice",
            "none".to_owned(),
            hint,
        );
    }
    let [first, last] = args.range.unwrap_or([0, slices - 1]);
    if last >= slices {
        let expected = format!("a --range within slices 0 to {}", slices - 1);
        return refused(&args.scan.image, &expected, format!("{first},{last}"), "count slices from 0");
    }
    let ends = [first, last].map(|k| order.slice_to_canonical(k, space));
    let range = ends[0].min(ends[1])..=ends[0].max(ends[1]);
    for object in objects {
        if let Some(&k) = object.shown().iter().find(|k| !range.contains(k)) {
            let found = format!("label {} in slice {}", object.label, order.slice_from_canonical(k, space));
            let expected = format!("what is drawn within --range {first},{last}");
            return refused(source(args), &expected, found, "widen --range");
        }
    }
    if objects.iter().all(|object| object.shown().len() == range.clone().count()) {
        let hint = "draw fewer slices, or widen --range";
        return refused(source(args), "a slice that is not drawn", "every slice drawn".to_owned(), hint);
    }
    let direction = match args.direction {
        Way::Both => Direction::Both,
        Way::Up => Direction::Up,
        Way::Down => Direction::Down,
    };
    Ok(Request { image, annotation, objects, range, direction })
}

fn draw(
    path: &Path,
    image: &Image,
    (mask, truth): (&Mask, Option<&Mask>),
    objects: &[Object],
) -> anyhow::Result<()> {
    let drawn = |k: usize, label: u16| objects.iter().any(|o| o.label == label && o.drawn.contains(&k));
    match picture::propagation(image, mask, truth, drawn)? {
        Some(png) => output::atomically(path, |file| file.write_all(&png))?,
        None => talk::note("nothing was found, so there is no picture"),
    }
    Ok(())
}

fn title(label: u16, names: &Names) -> String {
    names.get(&label).cloned().unwrap_or_else(|| format!("label {label}"))
}

/// A line about each object: where it was found, and where it ends.
fn note_objects(case: &str, found: &Propagated, objects: &[Object], names: &Names) {
    for object in objects {
        let own: Vec<&Row> = found.rows.iter().filter(|row| row.label == object.label).collect();
        let filled: Vec<usize> = own.iter().filter(|row| row.pixels > 0).map(|row| row.slice).collect();
        let (Some(first), Some(last)) = (filled.iter().min(), filled.iter().max()) else {
            talk::note(format_args!("{case}: {} was found in no slice", title(object.label, names)));
            continue;
        };
        let ends = own.iter().filter(|row| row.pixels == 0 && (row.slice < *first || row.slice > *last));
        let ends: Vec<String> = ends
            .map(|row| format!("{} (predicted IoU {:.2})", row.slice, row.predicted_iou.unwrap_or_default()))
            .collect();
        let ends =
            if ends.is_empty() { String::new() } else { format!("; not found in {}", ends.join(", ")) };
        let title = title(object.label, names);
        talk::note(format_args!("{case}: {title} in slices {first} to {last}{ends}"));
    }
}

fn note_suggestion(found: &Propagated, names: &Names) {
    if let Some(suggestion) = found.suggestion {
        talk::note(format_args!(
            "to make it better, draw slice {} next ({}, confidence {:.2})",
            suggestion.slice,
            title(suggestion.label, names),
            suggestion.confidence
        ));
    }
}
