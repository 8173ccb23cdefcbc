//! The order of the queue: what would help most comes first.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::folder::Entry;

/// Grey values of a small picture, row by row.
pub type Greys = [u8; 64];

/// Proposals with most pixels in doubt first, then what is drawn, then what nobody has touched: as unlike the scans
/// before it as possible. Done scans and unreadable ones are last.
pub fn ordered(mut entries: Vec<Arc<Entry>>) -> Vec<Arc<Entry>> {
    entries.sort_by(|a, b| {
        let ((group, doubt), (other, others)) = (a.rank(), b.rank());
        group.cmp(&other).then(doubt.total_cmp(&others)).then(a.name.cmp(&b.name))
    });
    let is_untouched = |entry: &Arc<Entry>| entry.state() == "untouched";
    let Some(first) = entries.iter().position(is_untouched) else { return entries };
    let untouched = entries.iter().filter(|entry| is_untouched(entry)).count();
    let others = || entries[..first].iter().chain(&entries[first + untouched..]);
    let seen: Vec<Greys> = others().filter_map(|entry| entry.greys()).collect();
    let looks: Vec<Option<Greys>> =
        entries[first..first + untouched].iter().map(|entry| entry.greys()).collect();
    let order: Vec<Arc<Entry>> =
        varied(&looks, &seen).into_iter().map(|at| Arc::clone(&entries[first + at])).collect();
    entries.splice(first..first + untouched, order);
    entries
}

/// Places in `looks`, each the farthest from those before it and from those seen; where nothing is seen, the most
/// typical one begins. Those without a picture are last.
fn varied(looks: &[Option<Greys>], seen: &[Greys]) -> Vec<usize> {
    let known: Vec<(usize, Greys)> =
        looks.iter().enumerate().filter_map(|(at, look)| Some((at, (*look)?))).collect();
    let to_all = |look: &Greys| known.iter().map(|(_, other)| distance(look, other).isqrt()).sum::<u64>();
    let mut apart: Vec<u64> = match known.iter().min_by_key(|(_, look)| to_all(look)) {
        Some((typical, _)) if seen.is_empty() => {
            known.iter().map(|(at, _)| if at == typical { u64::MAX } else { u64::MAX - 1 }).collect()
        }
        _ => {
            let nearest = |look: &Greys| seen.iter().map(|other| distance(look, other)).min().unwrap_or(0);
            known.iter().map(|(_, look)| nearest(look)).collect()
        }
    };
    let mut left = Vec::from_iter(0..known.len());
    let mut order = Vec::with_capacity(looks.len());
    while let Some(place) = (0..left.len()).max_by_key(|&place| (apart[left[place]], Reverse(left[place]))) {
        let (at, look) = known[left.swap_remove(place)];
        order.push(at);
        for &other in &left {
            apart[other] = apart[other].min(distance(&look, &known[other].1));
        }
    }
    order.extend((0..looks.len()).filter(|&at| looks[at].is_none()));
    order
}

fn distance(one: &Greys, other: &Greys) -> u64 {
    one.iter().zip(other).map(|(one, other)| u64::from(one.abs_diff(*other)).pow(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::{Greys, varied};

    const fn grey(value: u8) -> Option<Greys> {
        Some([value; 64])
    }

    #[test]
    fn unlike_scans_come_first() {
        let looks = [grey(10), grey(12), grey(200), None, grey(100)];
        assert_eq!(varied(&looks, &[[11; 64]]), [2, 4, 0, 1, 3]);
        // With nothing seen, the most typical begins: 12 is nearest to all.
        assert_eq!(varied(&looks, &[]), [1, 2, 4, 0, 3]);
        assert_eq!(varied(&[], &[]), Vec::<usize>::new());
        assert_eq!(varied(&[None, None], &[[0; 64]]), [0, 1]);
    }
}
