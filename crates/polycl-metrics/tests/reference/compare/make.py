"""Sign-flip tests, Kendall's tau-b and ranks by SciPy, of scores drawn here.

    pip install numpy scipy
    python3 make.py
"""

import json
import warnings
from pathlib import Path

import numpy as np
import scipy
from scipy.stats import kendalltau, permutation_test, rankdata

random = np.random.default_rng(11)


def scores(seeds, patients, digits, shift, missing):
    """Two methods [seed][patient] with a common difficulty of patients; the second lacks some values."""
    patient = random.normal(0.7, 0.15, patients)
    method, baseline = (np.clip(patient + random.normal(0, 0.1, (seeds, patients)) + s, 0, 1).round(digits) for s in (shift, 0))
    baseline[random.random((seeds, patients)) < missing] = np.nan
    return method, baseline


def plain(values):
    return [None if np.isnan(x) else x for x in values.flatten().tolist()]


comparisons = []
# The digits make ties among sign patterns, as small data sets have them. 17 patients are one more than we enumerate.
for seeds, patients, digits, shift, missing in (
    (1, 2, 3, 0.1, 0), (1, 5, 1, 0.1, 0), (3, 10, 3, 0.05, 0.2), (1, 12, 1, 0.05, 0), (5, 16, 3, 0.04, 0),
    (2, 16, 1, 0.0, 0.3), (4, 17, 3, 0.02, 0.1), (1, 17, 1, -0.06, 0),
):
    method, baseline = scores(seeds, patients, digits, shift, missing)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a patient without any value
        difference = np.nanmean(method - baseline, axis=0)
    difference = difference[~np.isnan(difference)]
    test = permutation_test((difference,), lambda x, axis: x.mean(axis), permutation_type="samples",
                            vectorized=True, n_resamples=np.inf, alternative="two-sided")
    comparisons.append({"patients": patients, "method": plain(method), "baseline": plain(baseline),
                        "defined": len(difference), "difference": difference.mean(), "p": test.pvalue})

rankings = []
for methods in (2, 3, 5, 8, 12):
    for _ in range(3):
        a, b = random.integers(0, methods, (2, methods)).astype(float)
        tau = kendalltau(a, b, variant="b").statistic
        rankings.append({"a": a.tolist(), "b": b.tolist(), "ranks": rankdata(a).tolist(),
                         "tau": None if np.isnan(tau) else tau})

versions = {"numpy": np.__version__, "scipy": scipy.__version__}
text = json.dumps({"versions": versions, "comparisons": comparisons, "rankings": rankings}, separators=(",", ":"))
Path(__file__).with_name("cases.json").write_text(text + "\n")
