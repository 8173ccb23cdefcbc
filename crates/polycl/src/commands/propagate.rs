use std::path::PathBuf;

use polycl_app::propagate::{Extent, Outcome as Propagated, Request, run as propagate};
use polycl_nn::device::Device;
use polycl_nn::propagate::{Clue, Direction, NetworkName, Place};

use super::shared::{FormatArg, ScanArgs};
use crate::ended::Ended;
use crate::talk;
use crate::terminal::Terminal;

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
    model: Option<NetworkName>,
    /// Official checkpoint (.pt, .pth) or safetensors with its names; without it, what `polycl fetch`
    /// has brought
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Names of labels, which choose the intensity window: a file, or 1=liver,2=spleen; else those
    /// beside the annotation
    #[arg(long, value_name = "NAMES")]
    names: Option<String>,
    /// Intensity window in HU: centre,width; by the organ's name without it
    #[arg(long, value_name = "C,W", value_parser = super::shared::window, allow_hyphen_values = true)]
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
    format: FormatArg,
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
        talk::note("stopped before the end; the same command goes on with it");
        return Ok(Ended::Stopped);
    };
    tell(&propagated);
    Ok(Ended::Done)
}

fn tell(propagated: &Propagated) {
    let Propagated { case, objects, model, mask, suggestion, without_picture } = propagated;
    if *without_picture {
        talk::note("nothing was found, so there is no picture");
    }
    objects.iter().for_each(|object| tell_extent(case, object));
    talk::note(format_args!("propagated by {model}: {}", mask.display()));
    if let Some(suggestion) = suggestion {
        talk::note(format_args!(
            "to make it better, draw slice {} next ({}, confidence {:.2})",
            suggestion.slice,
            title(suggestion.label, suggestion.name.as_deref()),
            suggestion.confidence
        ));
    }
}

/// A line about an object: where it was found, and where it ends.
fn tell_extent(case: &str, Extent { label, name, slices, ends }: &Extent) {
    let title = title(*label, name.as_deref());
    let Some([first, last]) = slices else {
        talk::note(format_args!("{case}: {title} was found in no slice"));
        return;
    };
    let ends: Vec<String> =
        ends.iter().map(|(slice, iou)| format!("{slice} (predicted IoU {iou:.2})")).collect();
    let ends = if ends.is_empty() { String::new() } else { format!("; not found in {}", ends.join(", ")) };
    talk::note(format_args!("{case}: {title} in slices {first} to {last}{ends}"));
}

fn title(label: u16, name: Option<&str>) -> String {
    name.map_or_else(|| format!("label {label}"), str::to_owned)
}
