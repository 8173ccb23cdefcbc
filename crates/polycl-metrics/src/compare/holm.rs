/// Holm's correction of several p values, which keeps the chance of any false finding where it is
/// said to be, whatever ties the tests together: S. Holm, "A simple sequentially rejective multiple
/// test procedure" (1979). Adjusted values in the order given; none is above 1, or below that of a
/// smaller p.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut least = 0.0;
    for (step, at) in order.into_iter().enumerate() {
        least = f64::max(least, (p.len() - step) as f64 * p[at]).min(1.0);
        adjusted[at] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(p: &[f64], expected: &[f64]) {
        let found = holm(p);
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found}, not {expected}");
        }
    }

    #[test]
    fn by_hand() {
        // 4 * 0.005, 3 * 0.01, 2 * 0.03, and 0.04 which must not be below the one before.
        check(&[0.01, 0.04, 0.03, 0.005], &[0.03, 0.06, 0.06, 0.02]);
        check(&[0.6, 0.2, 0.5], &[1.0, 0.6, 1.0]);
        check(&[0.02, 0.02], &[0.04, 0.04]);
        check(&[0.3], &[0.3]);
        check(&[], &[]);
    }

    proptest! {
        #[test]
        fn keeps_order_and_bounds(p in prop::collection::vec(0.0f64..=1.0, 0..12)) {
            let adjusted = holm(&p);
            prop_assert_eq!(adjusted.len(), p.len());
            for (i, (&p_i, &adjusted_i)) in p.iter().zip(&adjusted).enumerate() {
                prop_assert!(adjusted_i >= p_i && adjusted_i <= 1.0);
                // Never more than Bonferroni's correction.
                prop_assert!(adjusted_i <= p.len() as f64 * p_i);
                for j in 0..i {
                    prop_assert!(p[j] > p_i || adjusted[j] <= adjusted_i);
                    prop_assert!(p[j] < p_i || adjusted[j] >= adjusted_i);
                }
            }
        }
    }
}
