use polycl_image::{Mask, Space, Volume};
use polycl_metrics::{Options, Scores, score};
use proptest::prelude::*;

use crate::space;

/// Two masks of label 1 on one grid, both of which hold it; from sparse to nearly full.
fn pairs() -> impl Strategy<Value = [Mask; 2]> {
    let shape = prop::array::uniform3(1usize..8);
    let spacing = prop::array::uniform3(0.3f64..5.0);
    (shape, spacing, 0.05f64..0.95).prop_flat_map(|(shape, spacing, share)| {
        let space = space(shape, spacing);
        let voxels = prop::collection::vec(prop::bool::weighted(share), space.voxels());
        let filled = move |voxels: Vec<bool>| mask(&space, &voxels);
        prop::array::uniform2(voxels).prop_map(move |two| two.map(&filled))
    })
}

fn mask(space: &Space, inside: &[bool]) -> Mask {
    let mut voxels: Vec<u16> = inside.iter().copied().map(u16::from).collect();
    // At least one voxel holds the label, whatever was drawn.
    voxels[0] = 1;
    Volume { space: space.clone(), voxels }
}

fn scores(reference: &Mask, prediction: &Mask) -> Scores {
    score(reference, prediction, &Options::default()).remove(&1).unwrap()
}

/// Dice, IoU, NSD (more is better), then HD, HD95, ASSD (less is better).
fn governed(scores: &Scores) -> [f64; 6] {
    std::array::from_fn(|column| scores.values()[column].unwrap())
}

proptest! {
    #[test]
    fn reference_and_prediction_may_be_exchanged([a, b] in pairs()) {
        let there = governed(&scores(&a, &b));
        let back = governed(&scores(&b, &a));
        for (there, back) in there.into_iter().zip(back) {
            prop_assert!((there - back).abs() <= 1e-12 * there.abs(), "{there} {back}");
        }
    }

    #[test]
    fn identical_masks_are_perfect([a, _] in pairs()) {
        prop_assert_eq!(governed(&scores(&a, &a)), [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn distances_are_in_order([a, b] in pairs()) {
        let Scores { hd, hd95, assd, dice, iou, .. } = scores(&a, &b);
        prop_assert!(assd <= hd && hd95 <= hd, "{assd:?} {hd95:?} {hd:?}");
        let (dice, iou) = (dice.unwrap(), iou.unwrap());
        prop_assert!((iou - dice / (2.0 - dice)).abs() < 1e-12);
    }

    /// Under the default policy no prediction, however bad, is better left out.
    #[test]
    fn a_miss_is_never_better_than_a_prediction([a, b] in pairs()) {
        let nothing = Volume { space: a.space.clone(), voxels: vec![0; a.voxels.len()] };
        let (found, missed) = (governed(&scores(&a, &b)), governed(&scores(&a, &nothing)));
        for column in 0..3 {
            prop_assert!(missed[column] <= found[column]);
            prop_assert!(missed[column + 3] >= found[column + 3]);
        }
        prop_assert_eq!(missed, governed(&scores(&nothing, &a)));
    }
}
