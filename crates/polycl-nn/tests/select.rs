//! Which slices make a triplet: the rules of the three strategies, and that draws are what they
//! claim to be.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use polycl_base::{Kind, Result};
use polycl_data::{Index, Origin, Scan};
use polycl_image::Source;
use polycl_image::preprocess::Preprocess;
use polycl_nn::select::{Selector, SliceId, Strategy, Triplet};

const ORGAN: &str = "liver";

/// A scan of `slices` slices; `None` for an organ about which nobody has said anything.
fn scan(case: usize, slices: usize, liver: Option<&[[usize; 2]]>) -> Scan {
    Scan {
        case: format!("case{case}"),
        patient: format!("case{case}"),
        domain: None,
        slices,
        first_slice: 0,
        shape: [32, 32, slices],
        spacing: [1.0; 3],
        orientation: "LPS".into(),
        image: Source {
            path: PathBuf::from("x.nii"),
            series: None,
            sha256: String::new(),
            trust: None,
            fill_gaps: false,
        },
        fingerprint: String::new(),
        masks: Vec::new(),
        mask_names: BTreeMap::new(),
        origin: Origin::Hand,
        drawn: BTreeSet::new(),
        presence: liver
            .map(|ranges| BTreeMap::from([(ORGAN.to_owned(), ranges.to_vec())]))
            .unwrap_or_default(),
        trust: BTreeMap::new(),
        ignored: Vec::new(),
        blank: Vec::new(),
        notes: Vec::new(),
    }
}

fn index(scans: Vec<Scan>) -> Index {
    let (labels, regions, painting) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    Index { polycl_dataset: 1, preprocess: Preprocess::default(), labels, regions, painting, scans }
}

/// Three scans: one long, one short, one in which the organ is never seen.
fn cohort() -> Index {
    index(vec![scan(0, 40, Some(&[[5, 24]])), scan(1, 6, Some(&[[2, 4]])), scan(2, 10, Some(&[]))])
}

fn selector(index: &Index, strategy: Strategy) -> Result<Selector> {
    let scans: Vec<usize> = (0..index.scans.len()).collect();
    let organ = Some(ORGAN).filter(|_| strategy != Strategy::Scan);
    Selector::new(Path::new("dataset"), index, &scans, strategy, organ)
}

fn triplets(index: &Index, strategy: Strategy, epochs: u64) -> Vec<Triplet> {
    let selector = selector(index, strategy).unwrap();
    let anchors = selector.anchors();
    let drawn =
        |epoch| anchors.iter().filter_map(|&anchor| selector.triplet(7, epoch, anchor)).collect::<Vec<_>>();
    (0..epochs).flat_map(drawn).collect()
}

fn shows(index: &Index, id: SliceId) -> bool {
    index.scans[id.scan].shows(ORGAN, id.slice).unwrap()
}

#[test]
fn scan_takes_the_positive_from_the_anchors_scan_and_the_negative_from_another() {
    let index = cohort();
    let triplets = triplets(&index, Strategy::Scan, 20);
    assert_eq!(triplets.len(), 20 * 56);
    for Triplet { anchor, positive, negative } in triplets {
        assert!(anchor.scan == positive.scan && anchor.slice != positive.slice);
        assert_ne!(anchor.scan, negative.scan);
    }
}

#[test]
fn scan_asks_for_no_organ() {
    let index = index(vec![scan(0, 3, None), scan(1, 3, None)]);
    let scans = [0, 1];
    let selector = Selector::new(Path::new("dataset"), &index, &scans, Strategy::Scan, None).unwrap();
    assert_eq!((selector.anchors().len(), selector.unknown), (6, 0));
}

#[test]
fn organ_goes_by_the_answer_alone() {
    let index = cohort();
    let mut across = 0;
    for Triplet { anchor, positive, negative } in triplets(&index, Strategy::Organ, 20) {
        assert!(anchor != positive && shows(&index, anchor) == shows(&index, positive));
        assert_ne!(shows(&index, anchor), shows(&index, negative));
        across += usize::from(anchor.scan != positive.scan) + usize::from(anchor.scan == negative.scan);
    }
    assert!(across > 0, "positives may come from other scans and negatives from the same");
}

#[test]
fn mixed_asks_for_both() {
    let index = cohort();
    for Triplet { anchor, positive, negative } in triplets(&index, Strategy::Mixed, 20) {
        assert!(anchor.scan == positive.scan && anchor.slice != positive.slice);
        assert_eq!(shows(&index, anchor), shows(&index, positive));
        assert!(anchor.scan != negative.scan && shows(&index, anchor) != shows(&index, negative));
    }
}

#[test]
fn anchors_without_a_partner_are_skipped_and_others_are_not() {
    // The only slice of scan 1 with the organ has no positive in its scan.
    let index = index(vec![scan(0, 10, Some(&[[0, 4]])), scan(1, 4, Some(&[[0, 0]]))]);
    let selector = selector(&index, Strategy::Mixed).unwrap();
    let skipped: Vec<SliceId> =
        selector.anchors().into_iter().filter(|&anchor| selector.triplet(0, 0, anchor).is_none()).collect();
    assert_eq!(skipped, [SliceId { scan: 1, slice: 0 }]);
}

#[test]
fn slices_of_which_nothing_is_known_take_no_part() {
    let index = index(vec![scan(0, 10, Some(&[[0, 4]])), scan(1, 8, None), scan(2, 9, Some(&[[3, 3]]))]);
    let selector = selector(&index, Strategy::Organ).unwrap();
    assert_eq!(selector.unknown, 8);
    let used = |id: SliceId| assert_ne!(id.scan, 1);
    for Triplet { anchor, positive, negative } in triplets(&index, Strategy::Organ, 5) {
        [anchor, positive, negative].into_iter().for_each(used);
    }
}

#[test]
fn a_triplet_depends_on_seed_epoch_and_anchor_alone() {
    let index = cohort();
    let selector = selector(&index, Strategy::Mixed).unwrap();
    let anchors = selector.anchors();
    let draw = |seed, epoch, anchors: &[SliceId]| -> HashMap<SliceId, Option<Triplet>> {
        anchors.iter().map(|&anchor| (anchor, selector.triplet(seed, epoch, anchor))).collect()
    };
    let reversed: Vec<SliceId> = anchors.iter().rev().copied().collect();
    assert_eq!(draw(1, 2, &anchors), draw(1, 2, &reversed));
    assert_ne!(draw(1, 2, &anchors), draw(1, 3, &anchors));
    assert_ne!(draw(1, 2, &anchors), draw(2, 2, &anchors));
}

#[test]
fn long_scans_do_not_dominate() {
    // Negatives of scan 2 come from scan 0 (40 slices) and scan 1 (6) equally often, and from all
    // slices of each.
    let triplets = triplets(&cohort(), Strategy::Scan, 600);
    let negatives: Vec<SliceId> =
        triplets.iter().filter(|triplet| triplet.anchor.scan == 2).map(|triplet| triplet.negative).collect();
    let share = |scan| negatives.iter().filter(|n| n.scan == scan).count() as f64 / negatives.len() as f64;
    // 6000 draws: five standard deviations of a share of one half are 0.032.
    assert!((share(0) - 0.5).abs() < 0.032, "{}", share(0));
    assert_eq!(negatives.iter().collect::<std::collections::HashSet<_>>().len(), 46);
}

#[test]
fn impossible_requests_are_refused_before_training() {
    let refused = |index: &Index, strategy| {
        let error = selector(index, strategy).err().unwrap();
        assert_eq!(error.kind, Kind::Request);
        error.to_string()
    };
    let one = index(vec![scan(0, 10, Some(&[[2, 5]]))]);
    let expected = "dataset: expected at least two scans, to take negatives from another one, found 1";
    assert_eq!(refused(&one, Strategy::Scan), expected);
    assert_eq!(refused(&one, Strategy::Mixed), expected);
    assert!(selector(&one, Strategy::Organ).is_ok(), "one scan is enough where the organ begins and ends");

    let everywhere = index(vec![scan(0, 5, Some(&[[0, 4]])), scan(1, 5, Some(&[[0, 4]]))]);
    let nowhere = index(vec![scan(0, 5, Some(&[])), scan(1, 5, Some(&[]))]);
    let unknown = index(vec![scan(0, 5, None), scan(1, 5, None)]);
    for strategy in [Strategy::Organ, Strategy::Mixed] {
        let expected = "dataset: expected slices with and slices without 'liver', found";
        assert_eq!(refused(&everywhere, strategy), format!("{expected} 'liver' in every slice"));
        assert_eq!(refused(&nowhere, strategy), format!("{expected} 'liver' in no slice"));
        let found = "10 slices without a mask or a range of 'liver'";
        assert_eq!(refused(&unknown, strategy), format!("{expected} {found}"));
    }
    let scans = [0, 1];
    let nameless = Selector::new(Path::new("dataset"), &everywhere, &scans, Strategy::Organ, None);
    assert_eq!(
        nameless.err().unwrap().to_string(),
        "dataset: expected an organ for this strategy, found no --organ"
    );
}

#[test]
fn what_opposes_an_anchor_is_what_could_be_its_negative() {
    let index = cohort();
    for strategy in [Strategy::Scan, Strategy::Organ, Strategy::Mixed] {
        let selector = selector(&index, strategy).unwrap();
        for Triplet { anchor, positive, negative } in triplets(&index, strategy, 20) {
            assert!(selector.opposes(anchor, negative) && selector.opposes(negative, anchor));
            assert!(!selector.opposes(anchor, anchor));
            assert!(!selector.opposes(anchor, positive), "{strategy:?} {anchor:?} {positive:?}");
        }
        for (a, b) in
            selector.anchors().into_iter().flat_map(|a| selector.anchors().into_iter().map(move |b| (a, b)))
        {
            let (elsewhere, opposite) = (a.scan != b.scan, shows(&index, a) != shows(&index, b));
            let expected = match strategy {
                Strategy::Scan => elsewhere,
                Strategy::Organ => opposite,
                Strategy::Mixed => elsewhere && opposite,
            };
            assert_eq!(selector.opposes(a, b), expected);
        }
    }
}
