"""How much wider (or narrower) an interval must be so that it holds what it promises: conformalised quantile regression.

A learner's lower and upper quantile are only as good as the learner. On forecasts of a past that it did not learn from, the
score of each is how far the true value lies outside, in units of the interval's width (negative inside); the quantile of these
scores at the promised coverage, corrected for a finite sample, is the offset by which later intervals are widened.
Source: Romano, Patterson, Candes, "Conformalized quantile regression", NeurIPS 2019; scores divided by the width (Sesia, Candes,
"A comparison of some conformal quantile regression methods", Stat 2020), since a night and a Saturday noon differ a
hundredfold; newer scores may weigh more (Barber, Candes, Ramdas, Tibshirani, "Conformal prediction beyond exchangeability",
Annals of Statistics 2023), since one season's errors are not the next one's. The promise is exact for exchangeable days;
real ones are not, so that coverage is measured too.
"""

from __future__ import annotations

import numpy as np

from retail_sensors.analytics.frames import Array


def scores(actual: Array, lower: Array, upper: Array, least_width: Array) -> Array:
    """How far each actual value lies outside its interval, in widths; negative inside. Widths are at least `least_width`."""
    return np.asarray(np.maximum(lower - actual, actual - upper) / np.maximum(upper - lower, least_width))


def offset(outside: Array, weight: Array, coverage: float) -> float:
    """The least score at or under which that share of all weight lies; NaN when the scores are too few to promise it.

    The interval to come counts as one more score, infinitely large, of weight 1, which is also the most that a past one may
    have. With equal weights this is the ceil((n + 1) coverage)-th smallest score.
    """
    order = np.argsort(outside)
    reached = np.cumsum(weight[order])
    wanted = coverage * (weight.sum() + 1)
    place = int(np.searchsorted(reached, wanted * (1 - 1e-12)))
    return float(outside[order[place]]) if place < len(order) else float("nan")


def widened(lower: Array, upper: Array, by: Array, least_width: Array) -> tuple[Array, Array]:
    """Both ends moved outwards by `by` widths; where a negative offset would cross them they meet in the middle."""
    margin = by * np.maximum(upper - lower, least_width)
    middle = (lower + upper) / 2
    return np.minimum(lower - margin, middle), np.maximum(upper + margin, middle)
