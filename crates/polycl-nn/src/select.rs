//! Which slices make a triplet. The three strategies of the paper differ here and nowhere else.
//!
//! A draw is uniform over the scans that have an eligible slice, then over the eligible slices of
//! the scan, so that long scans do not dominate. It depends on seed, epoch and anchor alone.

use std::path::Path;

use polycl_base::rng::{Purpose, rng};
use polycl_base::{Error, Kind, Result};
use polycl_data::{Index, Scan};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// The strategy that chooses positives and negatives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// Positive: another slice of the anchor's scan. Negative: any slice of another scan.
    Scan,
    /// Positive: any other slice with the same answer to "does it show the organ?". Negative: any
    /// slice with the opposite answer.
    Organ,
    /// Positive: another slice of the anchor's scan with the same answer. Negative: a slice of
    /// another scan with the opposite answer.
    Mixed,
}

/// A slice of the data set, by the number of its scan in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SliceId {
    pub scan: usize,
    pub slice: usize,
}

impl SliceId {
    /// The slice as one counter of a random stream.
    pub fn counter(self) -> u64 {
        (self.scan as u64) << 32 | self.slice as u64
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Triplet {
    pub anchor: SliceId,
    pub positive: SliceId,
    pub negative: SliceId,
}

/// Draws triplets from some scans of a data set.
pub struct Selector {
    strategy: Strategy,
    scans: Vec<Eligible>,
    /// Slices nobody has said anything about; they take no part where the answer matters.
    pub unknown: usize,
}

/// The slices of one scan by their answer: `with[0]` do not show the organ, `with[1]` do. Where
/// the answer does not matter (strategy S) all stand in `with[0]`.
struct Eligible {
    scan: usize,
    with: [Vec<usize>; 2],
}

impl Selector {
    /// Sorts the slices of `scans` (numbers in `index`). `dataset` is named in errors.
    ///
    /// # Errors
    /// [`Kind::Request`] for what no draw could satisfy.
    pub fn new(
        dataset: &Path,
        index: &Index,
        scans: &[usize],
        strategy: Strategy,
        organ: Option<&str>,
    ) -> Result<Self> {
        let organ = match (strategy, organ) {
            (Strategy::Scan, None) => None,
            (Strategy::Scan, Some(organ)) => {
                return Err(refused(dataset, "no --organ with strategy `scan`, which needs no organ", organ));
            }
            (_, Some(organ)) => Some(organ),
            (_, None) => {
                return Err(refused(dataset, "an organ for this strategy", "no --organ")
                    .hint("name one with --organ"));
            }
        };
        let eligible: Vec<Eligible> =
            scans.iter().map(|&scan| Eligible::new(scan, &index.scans[scan], organ)).collect();
        let eligible: Vec<Eligible> = eligible.into_iter().filter(|e| e.size() > 0).collect();
        let known: usize = eligible.iter().map(Eligible::size).sum();
        let all: usize = scans.iter().map(|&scan| index.scans[scan].slices).sum();
        let selector = Self { strategy, scans: eligible, unknown: all - known };
        selector.check(dataset, organ)?;
        Ok(selector)
    }

    fn check(&self, dataset: &Path, organ: Option<&str>) -> Result<()> {
        if let Some(organ) = organ {
            let count = |answer: usize| self.scans.iter().map(|scan| scan.with[answer].len()).sum::<usize>();
            let found = match (count(0), count(1)) {
                (0, 0) => format!("{} slices without a mask or a range of '{organ}'", self.unknown),
                (_, 0) => format!("'{organ}' in no slice"),
                (0, _) => format!("'{organ}' in every slice"),
                _ => String::new(),
            };
            if !found.is_empty() {
                let expected = format!("slices with and slices without '{organ}'");
                return Err(refused(dataset, &expected, &found)
                    .hint("list the organs with `polycl inspect`, and name their slices with --ranges of `polycl import`"));
            }
        }
        if self.strategy != Strategy::Organ && self.scans.len() < 2 {
            let found = format!("{}", self.scans.len());
            return Err(refused(dataset, "at least two scans, to take negatives from another one", &found)
                .hint(
                    "use strategy `organ`, which can do with one scan in which the organ begins and ends",
                ));
        }
        if self.anchors().iter().all(|&anchor| self.triplet(0, 0, anchor).is_none()) {
            return Err(refused(
                dataset,
                "a slice with a positive and a negative partner",
                "no such slice under this strategy",
            ));
        }
        Ok(())
    }

    /// The numbers of the scans that take part.
    pub fn scans(&self) -> Vec<usize> {
        self.scans.iter().map(|e| e.scan).collect()
    }

    /// Every slice that may be an anchor, in order.
    pub fn anchors(&self) -> Vec<SliceId> {
        let mut anchors: Vec<SliceId> = self.scans.iter().flat_map(|e| e.slices(&[0, 1])).collect();
        anchors.sort_unstable();
        anchors
    }

    /// True if the strategy could have drawn `other` as the negative of `anchor`.
    pub fn opposes(&self, anchor: SliceId, other: SliceId) -> bool {
        let answer = |id: SliceId| {
            let scan = self.scans.iter().find(|e| e.scan == id.scan);
            scan.map(|scan| scan.answer(id.slice))
        };
        let (elsewhere, opposite) = (anchor.scan != other.scan, answer(anchor) != answer(other));
        match self.strategy {
            Strategy::Scan => elsewhere,
            Strategy::Organ => opposite,
            Strategy::Mixed => elsewhere && opposite,
        }
    }

    /// The triplet of `anchor` in `epoch`; `None` where it has no positive or no negative partner.
    pub fn triplet(&self, seed: u64, epoch: u64, anchor: SliceId) -> Option<Triplet> {
        let counter = anchor.counter();
        let mut rng = rng(seed, Purpose::Triplet, [epoch, counter]);
        let own = self.scans.iter().position(|e| e.scan == anchor.scan)?;
        let answer = self.scans[own].answer(anchor.slice);
        let same_scan = &self.scans[own..=own];
        let others = || self.scans.iter().filter(|e| e.scan != anchor.scan);
        let (positive, negative) = match self.strategy {
            Strategy::Scan => {
                (draw(same_scan, answer, Some(anchor), &mut rng)?, draw(others(), answer, None, &mut rng)?)
            }
            Strategy::Organ => (
                draw(&self.scans, answer, Some(anchor), &mut rng)?,
                draw(&self.scans, 1 - answer, None, &mut rng)?,
            ),
            Strategy::Mixed => (
                draw(same_scan, answer, Some(anchor), &mut rng)?,
                draw(others(), 1 - answer, None, &mut rng)?,
            ),
        };
        Some(Triplet { anchor, positive, negative })
    }
}

impl Eligible {
    fn new(number: usize, scan: &Scan, organ: Option<&str>) -> Self {
        let mut with = [Vec::new(), Vec::new()];
        for slice in 0..scan.slices {
            match organ.map(|organ| scan.shows(organ, slice)) {
                None => with[0].push(slice),
                Some(Some(shown)) => with[usize::from(shown)].push(slice),
                Some(None) => {}
            }
        }
        Self { scan: number, with }
    }

    /// The answer of a slice that takes part.
    fn answer(&self, slice: usize) -> usize {
        usize::from(self.with[1].binary_search(&slice).is_ok())
    }

    fn size(&self) -> usize {
        self.with[0].len() + self.with[1].len()
    }

    fn slices<'a>(&'a self, answers: &'a [usize]) -> impl Iterator<Item = SliceId> + 'a {
        let of = move |&answer: &usize| self.with[answer].iter();
        answers.iter().flat_map(of).map(|&slice| SliceId { scan: self.scan, slice })
    }

    /// Number of slices with this answer besides `except`.
    fn count(&self, answer: usize, except: Option<SliceId>) -> usize {
        let excepted = except.is_some_and(|e| e.scan == self.scan);
        self.with[answer].len() - usize::from(excepted)
    }
}

/// Uniform over the scans with an eligible slice, then over that scan's; `except` (which has the
/// asked answer) is never drawn.
fn draw<'a>(
    scans: impl IntoIterator<Item = &'a Eligible>,
    answer: usize,
    except: Option<SliceId>,
    rng: &mut ChaCha8Rng,
) -> Option<SliceId> {
    let scans: Vec<&Eligible> = scans.into_iter().filter(|e| e.count(answer, except) > 0).collect();
    if scans.is_empty() {
        return None;
    }
    let scan = scans[rng.random_range(0..scans.len())];
    let mut slices = scan.slices(std::slice::from_ref(&answer)).filter(|&slice| Some(slice) != except);
    slices.nth(rng.random_range(0..scan.count(answer, except)))
}

fn refused(dataset: &Path, expected: &str, found: &str) -> Error {
    Error::new(dataset, Kind::Request, expected, found)
}
