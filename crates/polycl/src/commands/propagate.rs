use std::path::{Path, PathBuf};

use polycl_app::propagate::{Extent, Outcome as Propagated, Request, Suggestion, run as propagate};
use polycl_image::Plane;
use polycl_nn::device::Device;
use polycl_nn::propagate::{Clue, Direction, NetworkName, Place};

use super::shared::{FormatArg, ScanArgs};
use crate::ended::Ended;
use crate::talk;
use crate::terminal::Terminal;

/// Propagate one or more drawn slices to a whole volume
///
/// A Segment Anything network follows each label from the drawn slices through the others. Drawn slices stay as
/// they are. propagate.csv beside the volume holds the confidence of every slice. The last line of output says
/// which slice to draw next. An outline drawn in sagittal or coronal planes is followed from plane to plane: read
/// "plane" for "slice" then.
///
/// If the command is stopped or killed, run it again to resume.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  polycl propagate scan.nii.gz --annotation drawn.nii.gz --out volume.nii.gz
  polycl propagate scan.nii.gz --box 40,61,120,240,300 --out volume.nii.gz")]
pub struct Args {
    #[command(flatten)]
    scan: ScanArgs,
    /// Mask with one or more drawn slices
    #[arg(long, value_name = "MASK")]
    annotation: Option<PathBuf>,
    /// Mask of the whole volume to write
    #[arg(long, value_name = "VOLUME")]
    out: PathBuf,
    /// Box around an organ: SLICE,X0,Y0,X1,Y1[,LABEL]
    ///
    /// A box takes the place of an outline; repeat for several. Slice and corners are voxel numbers in the file, from
    /// 0; the last corner belongs to the box. The label is 1 unless given.
    #[arg(long = "box", value_name = "BOX", value_parser = parse_box)]
    boxes: Vec<Clue>,
    /// Point on an organ: SLICE,X,Y[,LABEL]; repeatable
    #[arg(long = "point", value_name = "POINT", value_parser = parse_point)]
    points: Vec<Clue>,
    /// Point outside an organ: SLICE,X,Y[,LABEL]; repeatable
    ///
    /// The slice must have a --box or a --point of the same label.
    #[arg(long = "not", value_name = "POINT", value_parser = parse_not)]
    nots: Vec<Clue>,
    /// First and last slice to fill [default: all]
    ///
    /// Slices count from 0 along the file's slice axis. For outlines in sagittal or coronal planes, these are planes.
    #[arg(long, value_name = "FIRST,LAST", value_parser = parse_range)]
    range: Option<[usize; 2]>,
    /// Direction from drawn slices; up is towards the head
    ///
    /// Slices between drawn ones are always filled. Sagittal and coronal planes are always filled both ways.
    #[arg(long, value_enum, value_name = "WAY", default_value_t = Way::Both)]
    direction: Way,
    /// Network [default: recognised from the weights]
    ///
    /// litemedsam and the other networks of `polycl refine` pass boxes from slice to slice. Networks with a memory of
    /// earlier slices: medsam2, sam2.1-hiera-tiny, -small, -base-plus, -large and sam2-hiera-…
    #[arg(long, value_name = "NAME")]
    model: Option<NetworkName>,
    /// Weights of the network [default: those from `polycl fetch`]
    ///
    /// An official checkpoint (.pt, .pth), or safetensors with its tensor names.
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Names of labels: 1=liver,2=spleen, or a file
    ///
    /// Names choose the intensity window. By default they are read from the files beside the annotation.
    #[arg(long, value_name = "NAMES")]
    names: Option<String>,
    /// Intensity window in HU: centre,width [default: by the organ's name]
    #[arg(long, value_name = "C,W", value_parser = super::shared::window, allow_hyphen_values = true)]
    window: Option<[f32; 2]>,
    /// Folder for embeddings, which speed up later commands on the same scan
    #[arg(long, hide_short_help = true, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Picture to write: slices and the surface
    #[arg(long, value_name = "PNG")]
    picture: Option<PathBuf>,
    /// True mask, for the picture
    #[arg(long, value_name = "FILE", requires = "picture")]
    truth: Option<PathBuf>,
    /// Format of the mask
    #[arg(long, value_enum, default_value = "nifti")]
    format: FormatArg,
    /// Device to compute on: cpu, cuda[:N] or wgpu[:N]
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

impl Args {
    fn request(self) -> Request {
        Request {
            scan: self.scan.scan(),
            annotation: self.annotation,
            clues: [self.boxes, self.points, self.nots].concat(),
            out: self.out,
            range: self.range,
            direction: match self.direction {
                Way::Both => Direction::Both,
                Way::Up => Direction::Up,
                Way::Down => Direction::Down,
            },
            model: self.model,
            weights: self.weights,
            names: self.names,
            window: self.window,
            cache: self.cache,
            picture: self.picture,
            truth: self.truth,
            format: self.format.into(),
            device: self.device,
        }
    }
}

pub fn run(args: Args) -> anyhow::Result<Ended> {
    let request = args.request();
    let terminal = Terminal::new("propagate");
    let propagated = propagate(&request, &terminal)?;
    drop(terminal);
    let Some(propagated) = propagated else {
        talk::note("stopped before the end; run the same command again to resume");
        return Ok(Ended::Stopped);
    };
    tell(&propagated, request.picture.as_deref());
    Ok(Ended::Done)
}

/// From this confidence on, a slice seldom needs a correction.
const CONFIDENT: f32 = 0.9;

fn tell(propagated: &Propagated, picture: Option<&Path>) {
    let Propagated { case, plane, objects, model, mask, table, suggestion, without_picture } = propagated;
    if *without_picture {
        talk::note("nothing was found, so there is no picture");
    }
    objects.iter().for_each(|object| tell_extent(case, *plane, object));
    talk::note(format_args!("propagated by {model}: {}", mask.display()));
    talk::note(format_args!("confidence of each {}: {}", plane.word(), table.display()));
    if let Some(picture) = picture.filter(|_| !without_picture) {
        talk::note(format_args!("picture: {}", picture.display()));
    }
    if let Some(suggestion) = suggestion {
        talk::note(next(*plane, suggestion));
    }
}

/// A line about what to draw next, if anything.
fn next(plane: Plane, Suggestion { slice, label, name, confidence, least }: &Suggestion) -> String {
    let one = plane.word();
    if *least < CONFIDENT {
        let title = title(*label, name.as_deref());
        return format!(
            "next: check the {one}s of low confidence, down to {least:.2} of 1\n\
             hint: draw {one} {slice} (counted from 0) as well: there most pixels of {title} are in doubt (confidence {confidence:.2})"
        );
    }
    // Rounded, it could be more than there is.
    let least = (100.0 * least).floor() / 100.0;
    format!(
        "next: look at the result; every {one} has a confidence of {least:.2} of 1 or more\n\
         hint: draw {one} {slice} (counted from 0) as well, if something is wrong"
    )
}

/// A line about an object: where it was found, and where it ends.
fn tell_extent(case: &str, plane: Plane, Extent { label, name, slices, ends }: &Extent) {
    let title = title(*label, name.as_deref());
    let Some([first, last]) = slices else {
        talk::note(format_args!("{case}: {title} was found in no {}", plane.word()));
        return;
    };
    let ends: Vec<String> = ends.iter().map(ToString::to_string).collect();
    let ends = if ends.is_empty() { String::new() } else { format!("; not found in {}", ends.join(", ")) };
    talk::note(format_args!("{case}: {title} in {}s {first} to {last}{ends}", plane.word()));
}

fn title(label: u16, name: Option<&str>) -> String {
    name.map_or_else(|| format!("label {label}"), str::to_owned)
}
