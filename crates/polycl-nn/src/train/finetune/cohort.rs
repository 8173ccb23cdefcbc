//! Who trains and who validates, and which of their slices.

use std::collections::{BTreeMap, BTreeSet};

use polycl_base::{Error, Kind, Result, only};
use polycl_data::split::{self, Budget, Split};
use polycl_data::{Dataset, Scan};

use super::config::FinetuneConfig;
use super::ranges::Ranges;
use crate::select::SliceId;
use crate::train::draw::Example;
use crate::train::run::Organ;
use crate::train::slices;

/// The slices that count, with weights that are 1 in the mean: confidence decides how much a slice
/// counts beside others, never how large the steps are, and where all are 1 nothing changes.
pub(super) fn examples(
    dataset: &Dataset,
    config: &FinetuneConfig,
    scans: &[usize],
    organs: &[String],
) -> Result<Vec<Example>> {
    let weight = config.label_weight.unwrap_or_default();
    let example = |id: SliceId| {
        let scan = &dataset.index.scans[id.scan];
        let shows = |organ: &String| scan.shows(organ, id.slice) == Some(true);
        Example {
            weight: weight.of(scan, organs, id.slice),
            shows: (0..organs.len()).filter(|&organ| shows(&organs[organ])).collect(),
            heights: Ranges::own(scan).heights(organs, id.slice),
            id,
        }
    };
    let mut examples: Vec<Example> = slices(dataset, scans).into_iter().map(example).collect();
    let blank = |id: SliceId| dataset.index.scans[id.scan].is_blank(id.slice);
    examples.retain(|example| example.weight > 0.0 && !blank(example.id));
    if let Some(drawn) = &config.drawn {
        check_drawn(dataset, drawn, scans, &examples)?;
        examples.retain(|Example { id, .. }| {
            let scan = &dataset.index.scans[id.scan];
            let absent = |organ: &String| scan.shows(organ, id.slice) == Some(false);
            organs.iter().all(absent) || drawn[&scan.case].contains(&id.slice)
        });
    }
    let refused = |expected: String, found: &str, hint: &str| {
        Err(Error::new(&dataset.dir, Kind::Request, expected, found).hint(hint))
    };
    let named = organs.join(", ");
    if examples.is_empty() {
        let hint =
            "see with `polycl inspect` who drew the masks, or take all slices with --label-weight equal";
        let expected = format!("slices in which {named} is drawn or known to be absent");
        return refused(expected, "no such slice", hint);
    }
    let unseen =
        (0..organs.len()).find(|organ| !examples.iter().any(|example| example.shows.contains(organ)));
    // Slices that a study draws by chance may miss one organ of several.
    let chance = config.drawn.is_some() && examples.iter().any(|example| !example.shows.is_empty());
    if let Some(unseen) = unseen.filter(|_| !chance) {
        let hint = "name an organ that the training scans show, or label more of them";
        return refused(
            format!("slices that show {}", organs[unseen]),
            "no such slice among those that train",
            hint,
        );
    }
    // A scan of which nothing is drawn shows a network its patient, and no organ.
    let shown: BTreeSet<usize> =
        examples.iter().filter(|example| !example.shows.is_empty()).map(|example| example.id.scan).collect();
    let bare = |scan: usize| {
        let scan = &dataset.index.scans[scan];
        let named = |organ: &String| (0..scan.slices).any(|slice| scan.shows(organ, slice) == Some(true));
        organs.iter().any(named)
    };
    examples.retain(|example| shown.contains(&example.id.scan) || !bare(example.id.scan));
    let mean = examples.iter().map(|example| f64::from(example.weight)).sum::<f64>() / examples.len() as f64;
    examples.iter_mut().for_each(|example| example.weight = (f64::from(example.weight) / mean) as f32);
    Ok(examples)
}

/// Refuses drawn slices of scans that do not train, and slices that are not drawn.
fn check_drawn(
    dataset: &Dataset,
    drawn: &BTreeMap<String, Vec<usize>>,
    scans: &[usize],
    examples: &[Example],
) -> Result<()> {
    let trains: BTreeSet<SliceId> = examples.iter().map(|example| example.id).collect();
    for (case, slices) in drawn {
        let refused = |expected: String, found: String| {
            Err(Error::new(&dataset.dir, Kind::Request, expected, found)
                .hint("name in [drawn] cases that train and their drawn slices, counted from 0 at the feet"))
        };
        let Some(&scan) = scans.iter().find(|&&scan| dataset.index.scans[scan].case == *case) else {
            return refused("drawn slices of scans that train".to_owned(), format!("case '{case}'"));
        };
        if let Some(slice) = slices.iter().find(|&&slice| !trains.contains(&SliceId { scan, slice })) {
            return refused(format!("drawn slices of {case}"), format!("slice {slice}, which is not drawn"));
        }
    }
    Ok(())
}

/// The organs asked for, or all, with their values in the data set; a region is its parts.
pub(super) fn organs(dataset: &Dataset, asked: &[String]) -> Result<Vec<Organ>> {
    let labels = &dataset.index.labels;
    if labels.is_empty() {
        return Err(Error::new(
            &dataset.dir,
            Kind::Request,
            "masks to learn from",
            "no label in the data set",
        )
        .hint("give masks to `polycl import` with --labels"));
    }
    let asked = &dataset.index.parts(asked);
    if let Some(missing) = asked.iter().find(|name| !labels.values().any(|label| label == *name)) {
        let expected = format!("an organ '{missing}'");
        let found = only(labels.values().chain(dataset.index.regions.keys()), "organ");
        return Err(Error::new(&dataset.dir, Kind::Request, expected, found)
            .hint_spelling(missing, labels.values().chain(dataset.index.regions.keys())));
    }
    let wanted = |name: &String| asked.is_empty() || asked.contains(name);
    let organ = |(&value, name): (&u16, &String)| Organ { value, name: name.clone(), parts: None };
    let organs: Vec<Organ> = labels.iter().filter(|(_, name)| wanted(name)).map(organ).collect();
    few_enough(dataset, organs.len())?;
    Ok(organs)
}

/// Refuses more organs, or regions, than classes can number.
pub(super) fn few_enough(dataset: &Dataset, organs: usize) -> Result<()> {
    if organs <= 254 {
        return Ok(());
    }
    Err(Error::new(&dataset.dir, Kind::Request, "at most 254 organs", organs.to_string())
        .hint("name those to segment with --organ"))
}

/// The scans whose masks draw every one of these organs, and how many have masks that do not.
pub(super) fn labelled(
    dataset: &Dataset,
    domain: Option<&str>,
    organs: &[String],
) -> Result<(Vec<usize>, usize)> {
    let mut scans = crate::train::scans_of(dataset, domain, &[])?;
    scans.retain(|&scan| dataset.index.scans[scan].labelled());
    let with_masks = scans.len();
    scans.retain(|&scan| dataset.index.scans[scan].draws(organs));
    if scans.is_empty() {
        let expected = format!("scans with masks of {}", organs.join(", "));
        return Err(Error::new(&dataset.dir, Kind::Request, expected, "no such scan")
            .hint("list with `polycl inspect` what is drawn, or name fewer organs with --organ"));
    }
    let partial = with_masks - scans.len();
    Ok((scans, partial))
}

pub(super) fn split(
    dataset: &Dataset,
    config: &FinetuneConfig,
    scans: &[usize],
    organs: &[String],
) -> Result<Split> {
    if let Some(split) = &config.split {
        return named_split(dataset, config, split, scans);
    }
    let budget = match (config.cases, config.fraction) {
        (Some(_), Some(_)) => {
            return Err(Error::new(&dataset.dir, Kind::Request, "--cases or --fraction", "both of them"));
        }
        (Some(cases), None) => Budget::Cases(cases),
        (None, Some(fraction)) => Budget::Fraction(fraction),
        (None, None) => Budget::All,
    };
    let scans = || scans.iter().map(|&scan| &dataset.index.scans[scan]);
    let patients = |by_hand| -> Vec<String> {
        let trusted = |scan: &&Scan| scan.is_truth(organs, config.accept_reviewed) == by_hand;
        scans().filter(trusted).map(|scan| scan.patient.clone()).collect()
    };
    split::budget(&patients(true), &patients(false), budget, config.training.seed, config.validate)
        .map_err(|error| error.about(&dataset.dir))
}

/// A split by name, if its patients have masks, none is on both sides, and nothing else is asked for.
fn named_split(dataset: &Dataset, config: &FinetuneConfig, split: &Split, scans: &[usize]) -> Result<Split> {
    let refused = |expected: &str, found: String| {
        Err(Error::new(&dataset.dir, Kind::Request, expected, found)
            .hint("name patients in [split] whose scans `polycl inspect` lists: those that could not be imported are none of them"))
    };
    if config.cases.is_some() || config.fraction.is_some() {
        return refused("a split by name without `cases` and `fraction`", "both kinds of split".to_owned());
    }
    if split.train.is_empty() {
        return refused("patients to train on", "no patient".to_owned());
    }
    if let Some(both) = split.train.iter().find(|patient| split.validation.contains(patient)) {
        return refused("patients that train or validate", format!("'{both}' in both lists"));
    }
    let labelled = |patient: &String| scans.iter().any(|&scan| dataset.index.scans[scan].patient == *patient);
    match split.train.iter().chain(&split.validation).find(|patient| !labelled(patient)) {
        Some(unknown) => {
            refused("patients with masks of these organs", format!("'{unknown}' without such masks"))
        }
        None => Ok(split.clone()),
    }
}
