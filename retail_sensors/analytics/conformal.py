"""How much wider (or narrower) an interval must be so that it holds what it promises: conformalised quantile regression.

A learner's lower and upper quantile are only as good as the learner. On forecasts of a past that it did not learn from, the score
of each is how far the true value lies outside, in units of the interval's width (negative inside); the quantile of these
scores at the promised coverage, with the correction for a finite sample, is the offset by which later intervals are
widened. Source: Romano, Patterson, Candes, "Conformalized quantile regression", NeurIPS 2019, with scores divided by the
width (Sesia, Candes, "A comparison of some conformal quantile regression methods", Stat, 2020), since a night and a
Saturday noon differ a hundredfold. The promise is exact for exchangeable days; seasons are not, so that coverage is measured too.
"""

from __future__ import annotations

import numpy as np

from retail_sensors.analytics.frames import Array


def scores(actual: Array, lower: Array, upper: Array, least_width: Array) -> Array:
    """How far each actual value lies outside its interval, in widths; negative inside. Widths are at least `least_width`."""
    return np.asarray(np.maximum(lower - actual, actual - upper) / np.maximum(upper - lower, least_width))


def offset(outside: Array, coverage: float) -> float:
    """The ceil((n + 1) coverage)-th smallest of n scores; NaN when n is too small to promise that coverage."""
    rank = int(np.ceil((len(outside) + 1) * coverage - 1e-9))
    if rank > len(outside):
        return float("nan")
    return float(np.partition(outside, rank - 1)[rank - 1])


def widened(lower: Array, upper: Array, by: Array, least_width: Array) -> tuple[Array, Array]:
    """Both ends moved outwards by `by` widths; where a negative offset would cross them they meet in the middle."""
    margin = by * np.maximum(upper - lower, least_width)
    middle = (lower + upper) / 2
    return np.minimum(lower - margin, middle), np.maximum(upper + margin, middle)
