//! Facility location, one example after the other.

use std::collections::BTreeMap;

use polycl_kernels::transformer::{Activation, Linear, linear};
use rayon::prelude::*;

/// Similarities of all pairs of points, from 0 to 1.
pub(super) struct Similarity {
    count: usize,
    values: Vec<f32>,
}

/// Rows among whose distances the median is sought.
const ROWS: usize = 512;

impl Similarity {
    /// Similarities of points with `width` coordinates each.
    pub fn of(points: &[f32], width: usize) -> Self {
        let count = points.len() / width;
        let transposed = Linear {
            weight: points,
            bias: None,
            outputs: count,
            inputs: width,
            activation: Activation::None,
        };
        let mut values = linear(points, transposed, None);
        // |a - b|² = |a|² + |b|² - 2ab
        let squares: Vec<f32> = (0..count).map(|i| values[i * count + i]).collect();
        values.par_chunks_exact_mut(count).zip(&squares).for_each(|(row, own)| {
            for (value, other) in row.iter_mut().zip(&squares) {
                *value = (own + other - 2.0 * *value).max(0.0);
            }
        });
        let unit = median(&values, count).max(f32::MIN_POSITIVE);
        values.par_iter_mut().for_each(|value| *value = (-*value / unit).exp());
        Self { count, values }
    }

    fn to(&self, point: usize) -> &[f32] {
        &self.values[point * self.count..][..self.count]
    }
}

/// The median of the squared distances of different points, or of some of them to all.
fn median(squared: &[f32], count: usize) -> f32 {
    let rows = (0..count).step_by(count.div_ceil(ROWS));
    let others = |i: usize| (0..count).filter(move |&j| j != i).map(move |j| squared[i * count + j]);
    let mut distances: Vec<f32> = rows.flat_map(others).collect();
    if distances.is_empty() {
        return 0.0;
    }
    let middle = distances.len() / 2;
    *distances.select_nth_unstable_by(middle, f32::total_cmp).1
}

/// A point that was chosen, and what it adds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pick {
    pub point: usize,
    /// Points that are more like it than like any example before.
    pub covers: usize,
    /// The mean similarity to the most similar example, without it and with it.
    pub before: f64,
    pub after: f64,
}

/// Chooses `count` points, or as many as there are, each the one that covers most of what is left; of equal ones
/// the first. Points of a scan wait until every other scan was chosen from as often. Those that are drawn already
/// cover, and are not chosen. `chosen` hears how many are.
pub(super) fn choose(
    similarity: &Similarity,
    scans: &[usize],
    drawn: &[bool],
    count: usize,
    chosen: &mut dyn FnMut(usize),
) -> Vec<Pick> {
    let mut covered = vec![0f32; similarity.count];
    (0..similarity.count).filter(|&i| drawn[i]).for_each(|i| cover(&mut covered, similarity.to(i)));
    let mut free: Vec<usize> = (0..similarity.count).filter(|&i| !drawn[i]).collect();
    let mut times: BTreeMap<usize, usize> = BTreeMap::new();
    let mut picks: Vec<Pick> = Vec::new();
    while picks.len() < count {
        let times_of = |&i: &usize| times.get(&scans[i]).copied().unwrap_or(0);
        let Some(round) = free.iter().map(times_of).min() else { break };
        let waiting = free.par_iter().filter(|&i| times_of(i) == round);
        let gains: Vec<(usize, f64)> = waiting.map(|&i| (i, gain(&covered, similarity.to(i)))).collect();
        let better = |best: (usize, f64), next: (usize, f64)| if next.1 > best.1 { next } else { best };
        let Some((point, _)) = gains.into_iter().reduce(better) else { break };
        let before = mean(&covered);
        let covers = covered.iter().zip(similarity.to(point)).filter(|(old, new)| new > old).count();
        cover(&mut covered, similarity.to(point));
        picks.push(Pick { point, covers, before, after: mean(&covered) });
        free.retain(|&other| other != point);
        *times.entry(scans[point]).or_default() += 1;
        chosen(picks.len());
    }
    picks
}

fn cover(covered: &mut [f32], by: &[f32]) {
    covered.iter_mut().zip(by).for_each(|(old, new)| *old = old.max(*new));
}

fn gain(covered: &[f32], by: &[f32]) -> f64 {
    covered.iter().zip(by).map(|(old, new)| f64::from((new - old).max(0.0))).sum()
}

fn mean(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three by three points, and far from them three in a row.
    const POINTS: [[f32; 2]; 12] = [
        [-1.0, -1.0],
        [0.0, -1.0],
        [1.0, -1.0],
        [-1.0, 0.0],
        [0.0, 0.0],
        [1.0, 0.0],
        [-1.0, 1.0],
        [0.0, 1.0],
        [1.0, 1.0],
        [20.0, 0.0],
        [20.5, 0.0],
        [21.0, 0.0],
    ];

    /// Each of a scan of its own.
    const APART: [usize; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

    fn chosen(scans: &[usize], drawn: &[usize], count: usize) -> Vec<Pick> {
        let similarity = Similarity::of(POINTS.as_flattened(), 2);
        let drawn: Vec<bool> = (0..POINTS.len()).map(|i| drawn.contains(&i)).collect();
        let mut heard = Vec::new();
        let picks = choose(&similarity, scans, &drawn, count, &mut |picks| heard.push(picks));
        assert_eq!(heard, (1..=picks.len()).collect::<Vec<_>>());
        picks
    }

    fn points(picks: &[Pick]) -> Vec<usize> {
        picks.iter().map(|pick| pick.point).collect()
    }

    #[test]
    fn first_the_middle_of_most_then_what_is_far() {
        let picks = chosen(&APART, &[], 3);
        assert_eq!(points(&picks), [4, 10, 1]);
        assert_eq!(picks.iter().map(|pick| pick.covers).collect::<Vec<_>>(), [12, 3, 3]);
        assert_eq!(picks[0].before, 0.0);
        assert!(picks.windows(2).all(|two| two[0].after == two[1].before && two[0].after < two[1].after));
    }

    #[test]
    fn few_are_the_first_of_many_and_all_cover_all() {
        let all = chosen(&APART, &[], 100);
        assert_eq!(all.len(), POINTS.len());
        assert_eq!(all[11].after, 1.0);
        (1..12).for_each(|count| assert_eq!(chosen(&APART, &[], count), all[..count]));
    }

    #[test]
    fn every_scan_once_before_any_twice() {
        let scans = [1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 0, 1];
        let picks = points(&chosen(&scans, &[], 12));
        // The two best are of scan 0.
        assert_eq!(picks[..4], [4, 9, 1, 10]);
        // When scan 0 has no more, scan 1 goes on alone.
        assert!(picks[4..].iter().all(|&point| scans[point] == 1) && picks.len() == 12);
    }

    #[test]
    fn what_is_drawn_covers_and_is_not_chosen() {
        let picks = chosen(&APART, &[1, 4], 12);
        assert_eq!(picks[0].point, 10);
        assert!(picks[0].before > 0.5 && picks.len() == 10);
        assert!(!points(&picks).iter().any(|point| [1, 4].contains(point)));
    }

    #[test]
    fn equal_points_are_all_alike() {
        let similarity = Similarity::of(&[0.5; 8], 2);
        assert_eq!(similarity.values, [1.0; 16]);
        let picks = choose(&similarity, &[0, 0, 1, 1], &[false; 4], 3, &mut |_| {});
        assert_eq!(points(&picks), [0, 2, 1]);
        assert_eq!(Similarity::of(&[3.0, 4.0], 2).values, [1.0]);
    }
}
