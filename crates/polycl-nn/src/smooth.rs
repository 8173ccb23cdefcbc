//! Smoothing along the body: a network sees one slice at a time, and an organ goes on in the next.

use std::collections::VecDeque;

/// Standard deviation of the Gaussian in mm, unless another is asked for. On 30 heads of 1.5 to 3 mm it is worth 0.01 Dice.
pub const SMOOTH: f64 = 2.5;
/// Standard deviations that the Gaussian reaches.
const REACH: f64 = 3.0;
/// Bytes that the maps of slices near by may take.
const NEAR: usize = 512 << 20;

/// Probability maps of a scan's slices, which come in order and leave as means with those near by.
pub struct Smoother {
    deviation: f64,
    thickness: f64,
    /// Slices to either side that count.
    reach: usize,
    /// Slices that would count if there were memory.
    wanted: usize,
    near: VecDeque<(usize, Vec<f32>)>,
}

impl Smoother {
    /// A Gaussian of `deviation` mm over `slices` slices, `thickness` mm apart. The maps of a slice have `values` together,
    /// and come `batch` slices at a time. 0 mm leaves them as they are.
    pub fn new([deviation, thickness]: [f64; 2], slices: usize, values: usize, batch: usize) -> Self {
        let most = NEAR / (size_of::<f32>() * values.max(1));
        let wanted = ((REACH * deviation / thickness) as usize).min(slices);
        let reach = wanted.min(most.saturating_sub(batch) / 2);
        Self { deviation, thickness, reach, wanted, near: VecDeque::new() }
    }

    /// A sentence where memory lets fewer slices count.
    pub fn shortened(&self) -> Option<String> {
        let Self { reach, wanted, .. } = self;
        let limit = format!("{reach} slices to either side are smoothed over instead of {wanted}");
        (reach < wanted).then(|| format!("{limit}: the maps of more would take over {} MiB", NEAR >> 20))
    }

    /// Takes the maps of the next slices, by their numbers; some may be left out.
    pub fn add(&mut self, maps: impl IntoIterator<Item = (usize, Vec<f32>)>) {
        self.near.extend(maps);
    }

    /// True once all slices have come that count for this one.
    pub fn knows(&self, slice: usize) -> bool {
        self.near.back().is_some_and(|(last, _)| *last >= slice + self.reach)
    }

    /// The mean of the maps of `slice` with those near by. Slices are asked for in order.
    pub fn mean(&mut self, slice: usize) -> Vec<f32> {
        while self.near.pop_front_if(|(first, _)| *first + self.reach < slice).is_some() {}
        let (mut mean, mut whole) = (vec![0.0; self.near[0].1.len()], 0.0);
        for (other, maps) in self.near.iter().filter(|(other, _)| *other <= slice + self.reach) {
            let apart = other.abs_diff(slice) as f64 * self.thickness;
            // Its own map counts whole, however narrow the Gaussian.
            let weight =
                if *other == slice { 1.0 } else { (-0.5 * (apart / self.deviation).powi(2)).exp() as f32 };
            mean.iter_mut().zip(maps).for_each(|(mean, p)| *mean += weight * p);
            whole += weight;
        }
        mean.iter_mut().for_each(|p| *p /= whole);
        mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Maps of one value, by the slices' numbers, smoothed.
    fn smoothed(of: [f64; 2], maps: &[(usize, f32)], batch: usize) -> Vec<f32> {
        let mut smoother = Smoother::new(of, 9, 1, batch);
        let mut coming = maps.chunks(batch);
        let mean = |&(slice, _): &(usize, f32)| {
            while !smoother.knows(slice)
                && let Some(next) = coming.next()
            {
                smoother.add(next.iter().map(|&(slice, p)| (slice, vec![p])));
            }
            smoother.mean(slice)[0]
        };
        maps.iter().map(mean).collect()
    }

    #[test]
    fn near_slices_count_by_their_distance_and_far_ones_not_at_all() {
        let maps: Vec<(usize, f32)> = (0..9).map(|slice| (slice, f32::from(u8::from(slice == 4)))).collect();
        let near = |apart: f64| (-0.5 * (2.0 * apart / 2.5).powi(2)).exp();
        let whole = 1.0 + 2.0 * (near(1.0) + near(2.0) + near(3.0));
        for batch in [1, 2, 8, 100] {
            let means = smoothed([2.5, 2.0], &maps, batch);
            assert!((f64::from(means[4]) - 1.0 / whole).abs() < 1e-6, "{means:?}");
            assert!(
                (f64::from(means[2]) - near(2.0) / (whole - near(3.0))).abs() < 1e-6,
                "the scan begins: {means:?}"
            );
            assert_eq!((means[0], means[8]), (0.0, 0.0), "3 slices of 2 mm are as far as it reaches");
        }
    }

    #[test]
    fn slices_that_are_left_out_or_thick_or_alone_change_nothing() {
        let maps = [(0, 0.3), (7, 0.1), (8, 0.9)];
        let own = [0.3, 0.1, 0.9];
        assert_eq!(smoothed([0.0, 2.0], &maps, 2), own);
        assert_eq!(smoothed([2.5, 8.0], &maps, 2), own);
        assert_eq!(smoothed([2.5, f64::NAN], &maps, 2), own);
        assert_eq!(smoothed([2.5, 5.0], &maps, 2)[0], 0.3, "no neighbour came");
        assert_ne!(smoothed([2.5, 5.0], &maps, 2)[1], 0.1);
        assert_eq!(smoothed([2.5, 1.0], &[(5, 0.7)], 8), [0.7]);
    }

    #[test]
    fn too_little_memory_is_told() {
        let of = |slices, values| Smoother::new([2.5, 1.0], slices, values, 8).shortened();
        assert_eq!((of(90, 3 << 16), of(4, 8 << 20)), (None, None));
        let told = "4 slices to either side are smoothed over instead of 7: the maps of more would take over 512 MiB";
        assert_eq!(of(90, 8 << 20).as_deref(), Some(told));
    }
}
