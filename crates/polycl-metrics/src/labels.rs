//! One numbering of labels for all pairs: by name where files name their labels, else by value.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use polycl_base::{Error, Kind, Result, some};
use polycl_image::Mask;
use polycl_image::legend::{IGNORE, Legend};
use polycl_image::names::{self, Names};

use super::Pair;

/// The numbers of all names, and what is named in which pair.
pub(super) struct Numbering {
    /// The first reference's names keep their values; a name that it lacks keeps its own value
    /// where that is free.
    pub(super) names: Names,
    /// Names of each pair, in their order.
    pairs: Vec<PairNames>,
    /// Notes on the names for a person.
    pub(super) notes: Vec<String>,
}

struct PairNames {
    reference: Option<Named>,
    prediction: Option<Named>,
}

/// The names beside a mask and their file.
struct Named {
    file: PathBuf,
    /// The labels to score, by value; regions are numbered from 1 in the order of their file.
    names: Names,
    legend: Legend,
}

/// Something that several label values make up together, and that is scored as one.
pub(super) struct Region {
    pub(super) number: u16,
    /// Its values in the reference and in the prediction.
    pub(super) values: [BTreeSet<u16>; 2],
}

impl Numbering {
    /// Reads the names beside the masks. Those that cannot be read are left out with a note: they
    /// are not given to be scored. Where labels are `chosen`, these are scored whoever names them.
    ///
    /// # Errors
    /// `Labels` where a prediction and its reference have names and share none.
    pub(super) fn of(pairs: &[Pair], chosen: bool) -> Result<Self> {
        let (mut notes, mut beside) = (Vec::new(), names::Beside::default());
        let mut named = |pair: &Pair| PairNames {
            reference: Named::beside(&pair.reference, &mut beside, &mut notes),
            prediction: Named::beside(&pair.prediction, &mut beside, &mut notes),
        };
        let pairs: Vec<PairNames> = pairs.iter().map(&mut named).collect();
        for pair in &pairs {
            pair.check(&mut notes, chosen)?;
        }
        let of_references = united(pairs.iter().filter_map(|pair| Some(&pair.reference.as_ref()?.names)));
        let of_predictions =
            || united(pairs.iter().filter_map(|pair| Some(&pair.prediction.as_ref()?.names)));
        let names = if of_references.is_empty() { of_predictions() } else { of_references };
        Ok(Self { names, pairs, notes })
    }

    /// Empties the voxels of pair number `at` that nobody annotated, in both masks; the number of them.
    pub(super) fn leave_ignored(&self, at: usize, reference: &mut Mask, prediction: &mut Mask) -> u64 {
        let Some(ignored) = self.pairs[at].told().and_then(|named| named.legend.ignored) else { return 0 };
        let both = reference.voxels.iter_mut().zip(&mut prediction.voxels);
        let open = both.filter(|(truth, _)| **truth == ignored);
        open.map(|(truth, found)| (*truth, *found) = (0, 0)).count() as u64
    }

    /// The regions that both masks of pair number `at` name; `None` where both have plain labels. A mask without names
    /// has the values of the other one.
    pub(super) fn regions(&self, at: usize) -> Option<Vec<Region>> {
        let pair = &self.pairs[at];
        let told = pair.told()?;
        let both = [&pair.reference, &pair.prediction].into_iter().flatten();
        both.clone().find(|named| named.has_regions())?;
        let parts = |name: &str| both.clone().find_map(|named| named.parts(name)).unwrap_or_default();
        let of =
            |named: &Option<Named>, name: &str| named.as_ref().unwrap_or(told).values(name, &parts(name));
        let region = |(&number, name): (&u16, &String)| {
            let values = [of(&pair.reference, name)?, of(&pair.prediction, name)?];
            Some(Region { number: self.number(name).unwrap_or(number), values })
        };
        Some(told.names.iter().filter_map(region).collect())
    }

    /// The common number of a name.
    fn number(&self, name: &str) -> Option<u16> {
        self.names.iter().find_map(|(&number, known)| (known == name).then_some(number))
    }

    /// Brings both masks of pair number `at` into the common numbering. The numbers of the names that both have, or that
    /// the prediction has where its reference has none; `None` where the prediction has no names.
    ///
    /// # Errors
    /// `Labels` for a label without a name, where that leaves its meaning open.
    pub(super) fn apply(
        &self,
        (at, pair): (usize, &Pair),
        reference: &mut Mask,
        prediction: &mut Mask,
    ) -> Result<Option<BTreeSet<u16>>> {
        let pair_names = &self.pairs[at];
        let PairNames { reference: Some(truth), prediction: named } = pair_names else {
            // Without names of the reference, values are all there is; the prediction says which it may show.
            return Ok(pair_names.prediction.as_ref().map(|named| named.names.keys().copied().collect()));
        };
        let numbers: BTreeMap<&str, u16> = self.names.iter().map(|(&n, name)| (name.as_str(), n)).collect();
        let own = |label| truth.names.get(&label).and_then(|name| numbers.get(name.as_str())).copied();
        // A value without a name means itself, unless the common numbering gives it a meaning.
        let itself = |label| (!self.names.contains_key(&label)).then_some(label);
        let number = |label| own(label).or_else(|| itself(label));
        renumber(&pair.reference, reference, number)?;
        let Some(named) = named else {
            return renumber(&pair.prediction, prediction, number).map(|()| None);
        };
        let shared: BTreeSet<&str> = truth.names.values().map(String::as_str).collect();
        let number = |name: &String| shared.get(name.as_str()).and_then(|name| numbers.get(name)).copied();
        // What the reference does not name cannot be scored: it counts as background.
        renumber(&pair.prediction, prediction, |label| {
            named.names.get(&label).map(|name| number(name).unwrap_or(0))
        })?;
        Ok(Some(named.names.values().filter_map(number).collect()))
    }
}

impl PairNames {
    /// nnU-Net copies its `dataset.json` beside its predictions; references may have no names.
    fn told(&self) -> Option<&Named> {
        self.reference.as_ref().or(self.prediction.as_ref())
    }

    /// Notes the names that one side alone has and that are not scored.
    fn check(&self, notes: &mut Vec<String>, chosen: bool) -> Result<()> {
        let (Some(reference), Some(prediction)) = (&self.reference, &self.prediction) else {
            if let Some(Named { file, names, .. }) = self.prediction.as_ref().filter(|_| !chosen) {
                let labels: Vec<String> = names.keys().map(u16::to_string).collect();
                let text = "references have no label names; scored are the labels of this file alone";
                note(notes, format!("{}: {text}: {} (others with --labels)", file.display(), some(&labels)));
            }
            return Ok(());
        };
        let known: BTreeSet<&String> = reference.names.values().collect();
        let alone = prediction.without(reference);
        if alone.len() == prediction.names.len() {
            let expected = format!("one of the names in {}: {}", prediction.file.display(), some(&alone));
            let found = Vec::from_iter(known).into_iter().map(String::as_str).collect::<Vec<_>>();
            return Err(Error::new(&reference.file, Kind::Labels, expected, some(&found)).hint(
                "rename the labels of one side: they are matched by name where both sides have names",
            ));
        }
        let mut tell = |of: &Named, other: &Named, alone: &[&String]| {
            let (file, other) = (of.file.display(), other.file.display());
            if !alone.is_empty() {
                note(notes, format!("{file}: not scored, as {other} does not name them: {}", some(alone)));
            }
        };
        tell(prediction, reference, &alone);
        if !chosen {
            tell(reference, prediction, &reference.without(prediction));
        }
        Ok(())
    }
}

impl Named {
    fn has_regions(&self) -> bool {
        !self.legend.regions.is_empty()
    }

    /// Its names of which the other side names nothing, nor a part.
    fn without(&self, other: &Self) -> Vec<&String> {
        let names = |name: &str| other.legend.names.values().any(|own| own == name);
        let in_part = |name: &str| self.parts(name).is_some_and(|parts| parts.into_iter().any(names));
        let known = |name: &&String| other.names.values().any(|own| own == *name);
        let alone = |name: &&String| !known(name) && !names(name) && !in_part(name);
        self.names.values().filter(alone).collect()
    }

    /// The names of a region's parts.
    fn parts(&self, name: &str) -> Option<BTreeSet<&str>> {
        let (_, values) = self.legend.regions.iter().find(|(region, _)| region == name)?;
        Some(values.iter().filter_map(|value| self.legend.names.get(value)).map(String::as_str).collect())
    }

    /// The label values of a name, or of the parts that the other mask says it has; `None` where it is not named.
    fn values(&self, name: &str, parts: &BTreeSet<&str>) -> Option<BTreeSet<u16>> {
        if let Some((_, values)) = self.legend.regions.iter().find(|(region, _)| region == name) {
            return Some(values.clone());
        }
        let plain =
            |name: &str| self.legend.names.iter().find_map(|(&value, own)| (own == name).then_some(value));
        match plain(name) {
            Some(value) => Some(BTreeSet::from([value])),
            None if parts.is_empty() => None,
            None => parts.iter().map(|part| plain(part)).collect(),
        }
    }

    fn beside(mask: &Path, beside: &mut names::Beside, notes: &mut Vec<String>) -> Option<Self> {
        let file = beside.file(mask)?;
        match beside.read(&file) {
            Ok(legend) => {
                let regions = (1..).zip(legend.regions.iter().map(|(name, _)| name.clone())).collect();
                let names = if legend.regions.is_empty() { legend.names.clone() } else { regions };
                let shown = file.display();
                if !legend.regions.is_empty() {
                    let text = "regions are scored, each as all its label values together";
                    note(notes, format!("{shown}: {text}"));
                }
                if let Some(label) = legend.ignored {
                    note(notes, format!("{shown}: voxels of the label `{IGNORE}` ({label}) are not scored"));
                }
                Some(Self { file, names, legend })
            }
            Err(error) => {
                note(notes, format!("label names are left out, values are compared: {error}"));
                None
            }
        }
    }
}

/// Many masks share a file of names: what it gives rise to is said once.
fn note(notes: &mut Vec<String>, text: String) {
    if !notes.contains(&text) {
        notes.push(text);
    }
}

fn united<'a>(tables: impl Iterator<Item = &'a Names> + Clone) -> Names {
    let mut names = Names::new();
    let mut known = BTreeSet::new();
    let taken: BTreeSet<u16> = tables.clone().flat_map(|table| table.keys().copied()).collect();
    let mut free = (1..=u16::MAX).filter(|number| !taken.contains(number));
    for (&number, name) in tables.flatten() {
        if !known.insert(name) {
            continue;
        }
        let number = if names.contains_key(&number) { free.next() } else { Some(number) };
        names.extend(number.map(|number| (number, name.clone())));
    }
    names
}

/// Gives each label the number that `number` knows for it.
fn renumber(file: &Path, mask: &mut Mask, number: impl Fn(u16) -> Option<u16>) -> Result<()> {
    let numbers: Vec<Option<u16>> =
        (0..=u16::MAX).map(|label| if label == 0 { Some(0) } else { number(label) }).collect();
    for label in &mut mask.voxels {
        *label = numbers[usize::from(*label)].ok_or_else(|| {
            let found = format!("label {label} without one");
            Error::new(file, Kind::Labels, "a name for each label", found)
        })?;
    }
    Ok(())
}
