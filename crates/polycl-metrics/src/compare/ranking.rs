//! The stability of a ranking of methods.
//!
//! M. Wiesenfarth et al., "Methods and open-source toolkit for analyzing and visualizing challenge
//! results" (Scientific Reports, 2021; challengeR): methods are ranked again in each resample, and
//! Kendall's tau tells how like the ranking on all data the resampled ones are.

use rayon::prelude::*;

use super::{Resamples, Scores};
use crate::bootstrap::interval;

/// The place of one method among the others; 1 is the best.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rank {
    /// Over resamples.
    pub mean: f64,
    /// 95% of the resamples.
    pub interval: [f64; 2],
    /// The share of resamples in which the method has the best mean; where several have, they share it.
    pub first: f64,
}

/// The places of all methods.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking {
    pub ranks: Vec<Rank>,
    /// The mean over resamples of Kendall's tau-b with the ranking on all data.
    pub tau: f64,
}

/// Ranks methods by their means, in each resample; `higher` says that more is better. Resamples in
/// which a method has no mean are left out. `None` where a method has none on all data.
///
/// # Panics
/// Where the scores are of other numbers of seeds and patients than the resamples.
pub fn ranking(resamples: &Resamples, methods: &[&Scores], higher: bool) -> Option<Ranking> {
    let sign = if higher { -1.0 } else { 1.0 };
    let ranked = |means: Option<Vec<f64>>| {
        Some(ranks(&means?.into_iter().map(|mean| sign * mean).collect::<Vec<_>>()))
    };
    let all = ranked(methods.iter().map(|method| method.mean()).collect())?;
    let means: Vec<_> = methods.iter().map(|method| resamples.means(method)).collect();
    let number = means.first()?.len();
    let in_resample = |resample: usize| ranked(means.iter().map(|means| means[resample]).collect());
    let drawn: Vec<Vec<f64>> = (0..number).into_par_iter().filter_map(in_resample).collect();
    let over_drawn = |value: &dyn Fn(&[f64]) -> f64| {
        drawn.iter().map(|ranks| value(ranks)).sum::<f64>() / drawn.len() as f64
    };
    let rank = |method: usize| {
        let own: Vec<_> = drawn.iter().map(|ranks| Some(ranks[method])).collect();
        let interval = interval(&own)?;
        Some(Rank {
            mean: over_drawn(&|ranks| ranks[method]),
            interval,
            first: over_drawn(&|ranks| first(ranks, method)),
        })
    };
    let ranks = (0..methods.len()).map(rank).collect::<Option<_>>()?;
    Some(Ranking { ranks, tau: over_drawn(&|ranks| tau(&all, ranks)) })
}

/// Ranks from 1 for the smallest; ties get the mean of the ranks that they take up.
fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: &f64| {
        let below = values.iter().filter(|other| *other < value).count();
        let equal = values.iter().filter(|other| *other == value).count();
        below as f64 + (equal + 1) as f64 / 2.0
    };
    values.iter().map(rank).collect()
}

/// The part of the first place that falls to `method`.
fn first(ranks: &[f64], method: usize) -> f64 {
    if ranks.iter().any(|&rank| rank < ranks[method]) {
        return 0.0;
    }
    1.0 / ranks.iter().filter(|&&rank| rank == ranks[method]).count() as f64
}

/// Kendall's tau-b, by every pair of methods. It is undefined where one side ties all of them; equal
/// rankings then count as 1, and others, which agree about no pair, as 0.
fn tau(a: &[f64], b: &[f64]) -> f64 {
    let (mut agreeing, mut untied_a, mut untied_b) = (0i32, 0i32, 0i32);
    for i in 0..a.len() {
        for j in 0..i {
            let (in_a, in_b) = (a[i].total_cmp(&a[j]) as i32, b[i].total_cmp(&b[j]) as i32);
            agreeing += in_a * in_b;
            untied_a += in_a.abs();
            untied_b += in_b.abs();
        }
    }
    if untied_a == 0 || untied_b == 0 {
        return f64::from(u8::from(untied_a == untied_b));
    }
    f64::from(agreeing) / (f64::from(untied_a) * f64::from(untied_b)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five seeds of 16 patients whose scores differ, and `gain` on top.
    fn method(gain: f64) -> Scores {
        Scores::new(16, (0..80).map(|i| Some(f64::from(i * 37 % 80) / 100.0 + gain)).collect())
    }

    fn ranked(methods: &[&Scores], higher: bool) -> Ranking {
        ranking(&Resamples::new(5, 16, 7), methods, higher).unwrap()
    }

    #[test]
    fn ranks_and_tau_as_scipy_has_them() {
        #[derive(serde::Deserialize)]
        struct Reference {
            rankings: Vec<Case>,
        }
        #[derive(serde::Deserialize)]
        struct Case {
            a: Vec<f64>,
            b: Vec<f64>,
            ranks: Vec<f64>,
            tau: Option<f64>,
        }
        let text = include_str!("../../tests/reference/compare/cases.json");
        let Reference { rankings } = serde_json::from_str(text).unwrap();
        assert_eq!(rankings.len(), 15);
        for case in rankings {
            assert_eq!(ranks(&case.a), case.ranks);
            if let Some(theirs) = case.tau {
                let ours = tau(&ranks(&case.a), &ranks(&case.b));
                assert!((ours - theirs).abs() < 1e-12, "{ours}, not {theirs}");
            }
        }
        assert_eq!(tau(&[1.5, 1.5], &[1.5, 1.5]), 1.0);
        assert_eq!(tau(&[1.5, 1.5], &[1.0, 2.0]), 0.0);
    }

    #[test]
    fn who_dominates_is_first_in_all() {
        let methods = [method(0.0), method(0.2), method(0.1)];
        let fixed = |rank, first| Rank { mean: rank, interval: [rank; 2], first };
        let found = ranked(&methods.each_ref(), true);
        assert_eq!(found.ranks, [fixed(3.0, 0.0), fixed(1.0, 1.0), fixed(2.0, 0.0)]);
        assert_eq!(found.tau, 1.0);
        let found = ranked(&methods.each_ref(), false);
        assert_eq!(found.ranks, [fixed(1.0, 1.0), fixed(3.0, 0.0), fixed(2.0, 0.0)]);
    }

    #[test]
    fn the_same_methods_share_the_first_place() {
        let methods = [method(0.1), method(0.0), method(0.1)];
        let found = ranked(&methods.each_ref(), true);
        let shared = Rank { mean: 1.5, interval: [1.5; 2], first: 0.5 };
        assert_eq!([found.ranks[0], found.ranks[2]], [shared; 2]);
        assert_eq!(found.ranks[1], Rank { mean: 3.0, interval: [3.0; 2], first: 0.0 });
    }

    /// Two methods of which each is better for half of the patients, by as much, change places in
    /// every other resample; a tie is where both halves are drawn alike, C(16, 8) / 2^16 = 0.196.
    #[test]
    fn an_open_race_is_unstable() {
        let alternating = |side: i32| {
            let value = |i: i32| Some(f64::from(u8::from(i % 2 == side)));
            Scores::new(16, (0..80).map(value).collect())
        };
        let resamples = Resamples::new(5, 16, 7);
        let found = ranking(&resamples, &[&alternating(0), &alternating(1)], true).unwrap();
        for rank in &found.ranks {
            assert!((rank.first - 0.5).abs() < 0.02 && (rank.mean - 1.5).abs() < 0.02, "{found:?}");
            assert_eq!(rank.interval, [1.0, 2.0]);
        }
        // All data tie the two, and so do 0.196 of the resamples.
        assert!((found.tau - 0.196).abs() < 0.015, "{found:?}");
        let first: f64 = found.ranks.iter().map(|rank| rank.first).sum();
        assert!((first - 1.0).abs() < 1e-9);
    }

    #[test]
    fn degenerate_scores() {
        let resamples = Resamples::new(1, 1, 7);
        let [half, none] = [Some(0.5), None].map(|value| Scores::new(1, vec![value]));
        assert_eq!(ranking(&resamples, &[&half, &none], true), None);
        assert_eq!(ranking(&resamples, &[], true), None);
        let alone = ranking(&resamples, &[&half], true).unwrap();
        assert_eq!(
            alone,
            Ranking { ranks: vec![Rank { mean: 1.0, interval: [1.0; 2], first: 1.0 }], tau: 1.0 }
        );
        // Resamples of one patient, which only one of the methods has, are left out; the others tie.
        let halves = [[Some(0.5), None], [None, Some(0.5)]].map(|values| Scores::new(2, values.to_vec()));
        let both = ranking(&Resamples::new(1, 2, 7), &halves.each_ref(), true).unwrap();
        assert_eq!(both.ranks, [Rank { mean: 1.5, interval: [1.5; 2], first: 0.5 }; 2]);
    }
}
