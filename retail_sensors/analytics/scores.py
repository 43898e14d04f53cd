"""How a value stands beside its like: scores, benchmarks and trends of values by day.

Arrays in, arrays out; NaN is NULL. A value is compared with the last 8 comparable values of its own group, such as one figure of
one store on one weekday, of the 52 weeks before; fewer than 4 say nothing. What is comparable (complete days without holidays)
is the caller's to say.

    score     = 100 (#less + 0.5 #equal) / n                  percentile rank, the tested value excluded
    benchmark = median of them; else the median of the organization's stores on that day, of at least 5
    trend     = median of all pairwise slopes / median, a day  (Theil 1950, Sen 1968: up to 29 % wild values do no harm)

Values of single days against 7, 28 and 364 days before belong in `comparisons`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from retail_sensors.analytics import frames
from retail_sensors.analytics.comparisons import YEAR
from retail_sensors.analytics.frames import Array
from retail_sensors.analytics.readings import day_keys, split_day_keys

MOST, LEAST = 8, 4
"""How many comparable values are looked at, and how many are needed."""

PEERS = 5
"""Fewest stores of an organization whose median says something."""

STEADY = 0.01
"""Largest change a day, as a share of the median, that counts as stable."""

IMPROVING, STABLE, DECLINING = "improving", "stable", "declining"

_PAIRS = np.triu_indices(MOST, k=1)
_CHUNK = 100_000  # rows whose 28 slopes are held at a time


@dataclass(frozen=True, slots=True, eq=False)
class Like:
    """The comparable values of each row and their days, the latest last, shape (rows, MOST); NaN where there are fewer."""

    values: Array
    days: Array

    @property
    def count(self) -> Array:
        """How many each row has."""
        return np.asarray((~np.isnan(self.values)).sum(axis=1))


def last_comparable(
    rows: tuple[Array, Array], group: Array, day: Array, value: Array, *, including: bool = False
) -> Like:
    """The last MOST values of each row's group within YEAR days before the row's day.

    `rows`: group and day of the rows to compare. `group`, `day`, `value`: the comparable values, one for each group and day; NaN
    ones are passed over. Groups and days are whole numbers from 0. `including`: the value of the row's own day is one of them.
    """
    known = ~np.isnan(value)
    key = day_keys(group[known], day[known])
    order = np.argsort(key)
    key, taken = key[order], value[known][order]
    wanted = day_keys(*rows)
    end = np.searchsorted(key, wanted, side="right" if including else "left")
    oldest = np.maximum(rows[1].astype(np.int64) - YEAR, 0)
    start = np.searchsorted(key, day_keys(rows[0], oldest))
    place = end[:, None] + np.arange(-MOST, 0)
    inside = place >= start[:, None]
    place = np.where(inside, place, len(key))
    values = np.append(taken, np.nan)[place]
    days = np.append(split_day_keys(key)[1].astype(np.float64), np.nan)[place]
    return Like(values, days)


def percentile_rank(value: Array, like: Array, least: int = LEAST) -> Array:
    """100 (#less + 0.5 #equal) / n of each value among the known ones of its row of `like`; NaN for fewer than `least`."""
    count = (~np.isnan(like)).sum(axis=1)
    below = (like < value[:, None]).sum(axis=1) + 0.5 * (like == value[:, None]).sum(axis=1)
    return np.where((count >= least) & ~np.isnan(value), 100 * below / np.maximum(count, 1), np.nan)


def known_median(values: Array, least: int = 1) -> Array:
    """Median of the known values of each row; NaN where fewer than `least` are known."""
    ordered = np.sort(values, axis=1)  # NaN last
    count = (~np.isnan(values)).sum(axis=1)
    row = np.arange(len(values))
    middle = np.maximum(count - 1, 0)
    median = (ordered[row, middle // 2] + ordered[row, (middle + 1) // 2]) / 2
    return np.where(count >= max(least, 1), median, np.nan)


def relative_slope(like: Like, least: int = LEAST) -> Array:
    """Theil-Sen slope a day over the median of each row; NaN for fewer than `least` values or a median that is not over 0."""
    result = np.full(len(like.values), np.nan)
    for base in range(0, len(result), _CHUNK):
        part = slice(base, base + _CHUNK)
        values, days = like.values[part], like.days[part]
        rise = values[:, _PAIRS[1]] - values[:, _PAIRS[0]]
        slope = known_median(frames.ratio(rise, days[:, _PAIRS[1]] - days[:, _PAIRS[0]]))
        median = known_median(values, least)
        result[part] = frames.ratio(slope, np.where(median > 0, median, np.nan))
    return result


def trends(slope: Array, lower_is_better: Array) -> Array:
    """`improving` over STEADY a day, `declining` under -STEADY, else `stable`, the sign turned where less is better; None for NaN."""
    gain = np.where(lower_is_better, -slope, slope)
    words = np.where(gain > STEADY, IMPROVING, np.where(gain < -STEADY, DECLINING, STABLE)).astype(object)
    words[np.isnan(slope)] = None
    return np.asarray(words)


def peer_medians(group: Array, value: Array, count: int, least: int = PEERS) -> Array:
    """Median of the known values of each group 0..count-1; NaN for a group with fewer than `least`."""
    known = np.flatnonzero(~np.isnan(value))
    order = known[np.lexsort((value[known], group[known]))]
    size = np.bincount(group[order], minlength=count)
    start = np.cumsum(size) - size
    ordered = np.append(value[order], np.nan)
    low = np.minimum(start + np.maximum(size - 1, 0) // 2, len(order))
    high = np.minimum(start + size // 2, len(order))
    return np.where(size >= least, (ordered[low] + ordered[high]) / 2, np.nan)


def overall_performance(traffic: Array, conversion: Array, queue: Array) -> Array:
    """Mean of the known ones of three scores; NaN for fewer than two."""
    parts = np.stack([traffic, conversion, queue], axis=1)
    count = (~np.isnan(parts)).sum(axis=1)
    return np.where(count >= 2, np.nansum(parts, axis=1) / np.maximum(count, 1), np.nan)
