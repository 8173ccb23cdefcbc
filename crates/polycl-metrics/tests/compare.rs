//! Sign-flip tests as SciPy does them; the numbers and their generator are in
//! `tests/reference/compare/`.

use polycl_metrics::compare::{Resamples, Scores, compare};
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    comparisons: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    patients: usize,
    method: Vec<Option<f64>>,
    baseline: Vec<Option<f64>>,
    defined: usize,
    difference: f64,
    p: f64,
}

#[test]
fn p_as_scipy_has_it() {
    let text = include_str!("reference/compare/cases.json");
    let Reference { comparisons } = serde_json::from_str(text).unwrap();
    assert_eq!(comparisons.len(), 8);
    let mut sampled = 0;
    for case in comparisons {
        let [method, baseline] =
            [case.method, case.baseline].map(|values| Scores::new(case.patients, values));
        let resamples = Resamples::new(method.seeds(), case.patients, 7);
        let found = compare(&resamples, &method, &baseline, 7).unwrap();
        assert_eq!(found.patients, case.defined);
        assert!((found.difference - case.difference).abs() < 1e-12, "{found:?}");
        // SciPy looks at every pattern; for 17 patients ours are drawn, and five standard errors off
        // at most.
        let drawn = case.defined > 16;
        let allowed = if drawn { 5.0 * (case.p * (1.0 - case.p) / 1e5).sqrt() } else { 1e-12 };
        assert!((found.p - case.p).abs() < allowed, "{}, not {}", found.p, case.p);
        sampled += usize::from(drawn);
    }
    assert_eq!(sampled, 2);
}
