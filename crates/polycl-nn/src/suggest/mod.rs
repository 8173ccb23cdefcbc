//! Which slices to draw first: the most typical one, then those that cover what is left.
//!
//! Two slices at distance d, in units of the median distance, are alike by exp(-d²). Examples cover a slice as
//! far as the one that is most alike does, and all slices by the mean of that. Each step chooses the slice that
//! covers most of what is left (greedy facility location), from every scan once before any twice. The first
//! slices of many are those of few.

mod candidate;
mod describe;
mod greedy;

use std::collections::BTreeSet;
use std::path::PathBuf;

use polycl_base::{Error, Kind, Result, Watch, only};
use polycl_data::{Dataset, Scan};

use crate::device::Device;
use crate::select::SliceId;
use candidate::Candidate;
pub use candidate::Height;
use describe::Looks;
use greedy::{Pick, Similarity};

/// A request for suggestions.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Organs to draw; every organ of which something is known where none is named.
    pub organs: Vec<String>,
    pub count: usize,
    /// Scans that may be chosen from, by number; all without it.
    pub scans: Option<Vec<usize>>,
    /// The run whose encoder tells slices apart; their pixels without it.
    pub encoder: Option<PathBuf>,
    pub device: Device,
    /// Also choose from scans of which some slice is drawn by hand, which else counts as chosen already.
    pub ignore_masks: bool,
}

/// A slice to draw, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Suggestion {
    pub scan: usize,
    /// In the store.
    pub slice: usize,
    /// `None` where nobody has said which slices show the organs.
    pub height: Option<Height>,
    /// Slices that are more like this one than like any chosen before.
    pub covers: usize,
    /// Coverage of all slices without it and with it, from 0 to 1.
    pub before: f64,
    pub after: f64,
}

/// [`Candidates::of`] the request, and their [choice](Candidates::choose).
///
/// # Errors
/// As those of both.
pub fn choose(dataset: &Dataset, request: &Request) -> Result<Vec<Suggestion>> {
    Candidates::of(dataset, request)?.choose(&())
}

/// The slices to choose from.
pub struct Candidates<'a> {
    dataset: &'a Dataset,
    looks: Looks,
    count: usize,
    slices: Vec<Candidate>,
    /// True if somebody has said which slices show the organs; all slices are candidates otherwise.
    pub known: bool,
    /// Scans drawn already, which cover others and are not suggested.
    pub drawn: usize,
}

/// Slices of a scan that are looked at, spread evenly, so that long scans do not dominate.
const MOST_OF_SCAN: usize = 24;
/// Slices that are looked at in all: the similarities of so many fill 100 MB.
const MOST: usize = 5000;

impl<'a> Candidates<'a> {
    /// Finds the slices that show one of the organs; where nobody has said which do, all slices.
    ///
    /// # Errors
    /// [`Kind::Request`] for an organ or a scan that the data set does not have, and for more suggestions than
    /// there are slices; for the encoder what [`crate::train::RunCard::read`] and
    /// [`crate::checkpoint::Checkpoint::load_part`] say, and [`Kind::Checkpoint`] where it has seen other
    /// intensities.
    pub fn of(dataset: &'a Dataset, request: &Request) -> Result<Self> {
        let refused = |expected: &str, found: &str| Error::new(&dataset.dir, Kind::Request, expected, found);
        if request.count == 0 {
            return Err(refused("at least one slice to suggest", "0"));
        }
        let scans = scans(dataset, request)?;
        let organs = organs(dataset, &request.organs, &scans)?;
        let scan = |number: usize| &dataset.index.scans[number];
        let known = |number: &usize| organs.iter().any(|organ| scan(*number).presence.contains_key(organ));
        let known = scans.iter().any(known);
        let shown = |number: usize| -> Vec<usize> {
            let slices = 0..scan(number).slices;
            slices.filter(|&slice| !known || first_shown(scan(number), &organs, slice).is_some()).collect()
        };
        let mut shown: Vec<(usize, Vec<usize>)> =
            scans.iter().map(|&number| (number, shown(number))).collect();
        shown.retain(|(_, slices)| !slices.is_empty());
        // What is drawn in a slice covers; that scan comes last, however much of it is left.
        let by_hand = |number: usize, slice: usize| {
            let drawn =
                |organ: &String| scan(number).drawn.contains(organ) && scan(number).by_hand(organ, slice);
            !organs.is_empty() && organs.iter().all(drawn)
        };
        let finished = |(number, slices): &&(usize, Vec<usize>)| slices.iter().any(|&s| by_hand(*number, s));
        let finished: BTreeSet<usize> = shown.iter().filter(finished).map(|(number, _)| *number).collect();
        let all = request.ignore_masks || finished.len() == shown.len();
        let finished = if all { BTreeSet::new() } else { finished };
        for (number, slices) in shown.iter_mut().filter(|(number, _)| finished.contains(number)) {
            slices.retain(|&slice| by_hand(*number, slice));
        }
        let of_scan = (MOST / shown.len().max(1)).clamp(1, MOST_OF_SCAN);
        let slices = shown.iter().flat_map(|(number, slices)| {
            spread(slices, of_scan).map(|slice| SliceId { scan: *number, slice })
        });
        let slices: Vec<SliceId> = slices.collect();
        let candidate = |id: SliceId| Candidate {
            height: height(scan(id.scan), &organs, id.slice),
            drawn: finished.contains(&id.scan),
            id,
        };
        let slices: Vec<Candidate> = spread(&slices, MOST).map(candidate).collect();
        if slices.is_empty() {
            return Err(refused(&format!("slices that show {}", organs.join(" or ")), "no such slice")
                .hint("count them with `polycl inspect`, and name them with --ranges of `polycl import`"));
        }
        let free = slices.iter().filter(|slice| !slice.drawn).count();
        if free < request.count {
            let (expected, found) = (format!("at most {free} slices to suggest"), request.count.to_string());
            return Err(refused(&expected, &found).hint(match finished.len() {
                0 => format!("at most {of_scan} slices of a scan are looked at, spread over the organ"),
                drawn => format!("--again also takes the scans whose organs are drawn by hand: {drawn}"),
            }));
        }
        let looks = Looks::open(dataset, request.encoder.as_deref(), request.device)?;
        Ok(Self { dataset, looks, count: request.count, slices, known, drawn: finished.len() })
    }

    /// Number of slices, those drawn already among them.
    pub fn size(&self) -> usize {
        self.slices.len()
    }

    /// Chooses, most important first.
    ///
    /// # Errors
    /// As [`Dataset::image`]; [`Kind::Checkpoint`] where the encoder's output is not float32.
    pub fn choose(&self, watch: &dyn Watch) -> Result<Vec<Suggestion>> {
        let (slices, steps) = (&self.slices, self.slices.len() + self.count);
        let points =
            self.looks.describe(self.dataset, slices, &mut |described| watch.step(described, steps))?;
        let similarity = Similarity::of(&points.values, points.width);
        let scans: Vec<usize> = slices.iter().map(|slice| slice.id.scan).collect();
        let drawn: Vec<bool> = slices.iter().map(|slice| slice.drawn).collect();
        let mut chosen = |picks: usize| watch.step(slices.len() + picks, steps);
        let picks = greedy::choose(&similarity, &scans, &drawn, self.count, &mut chosen);
        let suggestion = |Pick { point, covers, before, after }| {
            let Candidate { id: SliceId { scan, slice }, height, .. } = &slices[point];
            Suggestion { scan: *scan, slice: *slice, height: height.clone(), covers, before, after }
        };
        Ok(picks.into_iter().map(suggestion).collect())
    }
}

/// The scans to choose from, in order.
fn scans(dataset: &Dataset, request: &Request) -> Result<BTreeSet<usize>> {
    let all = dataset.index.scans.len();
    let scans: BTreeSet<usize> = match &request.scans {
        Some(scans) => scans.iter().copied().collect(),
        None => (0..all).collect(),
    };
    match scans.last() {
        Some(&last) if last >= all => {
            let (expected, found) = (format!("scan number {last}"), format!("{all} scans"));
            Err(Error::new(&dataset.dir, Kind::Request, expected, found))
        }
        _ => Ok(scans),
    }
}

/// The organs asked for, or all that some scan shows. Any name will do where the data set knows no organ.
fn organs(dataset: &Dataset, asked: &[String], scans: &BTreeSet<usize>) -> Result<Vec<String>> {
    let index = &dataset.index;
    let of = |scan: &Scan| scan.presence.keys().cloned().collect::<Vec<_>>();
    let known: BTreeSet<String> =
        index.labels.values().cloned().chain(index.scans.iter().flat_map(of)).collect();
    let asked = &index.parts(asked);
    if let Some(missing) = asked.iter().find(|organ| !known.is_empty() && !known.contains(*organ)) {
        let expected = format!("an organ '{missing}'");
        let hint =
            "list the organs with `polycl inspect`, and name their slices with --ranges of `polycl import`";
        return Err(Error::new(&dataset.dir, Kind::Request, expected, only(&known, "organ"))
            .hint(hint)
            .hint_spelling(missing, &known));
    }
    if !asked.is_empty() {
        return Ok(asked.to_vec());
    }
    let shown: BTreeSet<String> = scans.iter().flat_map(|&scan| of(&index.scans[scan])).collect();
    Ok(shown.into_iter().collect())
}

/// The first of the organs that a slice is known to show.
fn first_shown<'o>(scan: &Scan, organs: &'o [String], slice: usize) -> Option<&'o String> {
    organs.iter().find(|organ| scan.shows(organ, slice) == Some(true))
}

/// The height of a slice in the first organ that it shows; the only slice of an organ is its middle.
fn height(scan: &Scan, organs: &[String], slice: usize) -> Option<Height> {
    let organ = first_shown(scan, organs, slice)?;
    let ranges = &scan.presence[organ];
    let (first, last) = (ranges.first()?[0], ranges.last()?[1]);
    let at = if first == last { 0.5 } else { (slice - first) as f64 / (last - first) as f64 };
    Some(Height { organ: organ.clone(), at })
}

/// At most `count` of some things, the middles of as many equal parts.
pub fn spread<T: Copy>(all: &[T], count: usize) -> impl Iterator<Item = T> {
    let count = count.min(all.len());
    (0..count).map(move |i| all[(2 * i + 1) * all.len() / (2 * count)])
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn candidates_are_spread_evenly() {
        let spread = |count: usize, most: usize| {
            let all: Vec<usize> = (0..count).collect();
            spread(&all, most).collect::<Vec<_>>()
        };
        assert_eq!(spread(3, 24), [0, 1, 2]);
        assert_eq!(spread(9, 3), [1, 4, 7]);
        assert_eq!(spread(10, 1), [5]);
        assert_eq!(spread(0, 5), [0; 0]);
    }
}
