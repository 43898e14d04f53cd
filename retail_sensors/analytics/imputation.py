"""Missing hours estimated from what was counted around them: one row in, the same row out, with the values used.

Here belongs what follows once asking the camera again has failed: which estimate an hour gets, from which donors, and when none is
honest. Frames in, frames out; raw tables never see an estimate. Which hours are expected belongs in `hourly`.

A gap is a run of missing open hours of one series. Its rung depends on its length:

* up to 4 open hours: ratio_interpolation, the ratio (count + 20) / (usual + 20), kept within 0.3 and 3, interpolated between
  both ends; or linear_interpolation of the counts, or day_level;
* up to 12 open hours: day_level, usual x level of the day's valid hours (at least 3; 0.5 to 2); or sister_doors, usual x
  level of the store's other series in the same hour (0.3 to 3);
* up to 7 days from its first hour to its last: like_days, usual x square root of the level of the 7 nearest valid days (0.5
  to 2); or sister_doors;
* longer: missing. A rung without donors falls through to the next one.

usual = median of the last 4 valid same hours of the local week and, once they are known, the next 4, at most 8 weeks away
and at least 2 in all; level = (sum of counts + 20) / (sum of usual + 20). A valid day has 0.9 of its open hours, no holiday,
and is at most 28 days away; at least 3 of them make a level. Its square root is taken because a level persists only in part: on
Leeds, Dublin and New York counts that errs less than the whole level or none.
"Or" is decided by the sensor's own masking: each valid hour of the 8 weeks before the gap is estimated as if it were
missing, and a later way replaces the first one when its absolute errors add up to less.
Holidays and closed hours are no donors. An hour of a holiday is estimated from its own day, by a straight line first, or from
sister doors, then without the lower bound of a level; else it is missing. A missing closed hour stays missing.

A gap at the end of the data has no right end, so that nothing is interpolated: by its length so far its hours come from the
day's valid hours, from sister doors or from like days, and are made anew when it has ended. An estimate made at once sees
past weeks only; the same gap computed weeks later also sees what followed. A caller who must not look ahead, such as a
back-test, passes rows up to its origin only. Rows further than CONTEXT_DAYS from a gap change nothing in it, unless a series
counts a column only there; series of other stores change nothing, so that a big fleet can be computed in slices of stores.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from retail_sensors.analytics import frames
from retail_sensors.analytics.frames import DAY, HOUR, Array
from retail_sensors.analytics.imputation_donors import (
    LEVEL_REACH,
    RATIO_BOUNDS,
    SHORT,
    WEEKS,
    Days,
    Sisters,
    Usual,
    from_level,
    level_of,
    usual_of,
)
from retail_sensors.analytics.imputation_hours import Gaps, Given, OpenHours, gaps_in, in_order, open_hours, read

QUALITIES: dict[str, str] = {
    "measured": "every count of the row is the camera's",
    "recovered": "the camera gave the counts when it was asked again",
    "estimated": "a count comes from the sensor's own hours around it",
    "substituted": "a count comes from other doors or other days",
    "missing": "a count is NULL or covers only part of its hour, and no honest estimate exists",
}
"""Quality codes of a row and what they mean."""

METHODS = ("", "ratio_interpolation", "linear_interpolation", "day_level", "sister_doors", "like_days")
"""Ways to an estimate; the first is none."""
_NONE, _RATIO, _LINEAR, _DAY_LEVEL, _SISTERS, _LIKE_DAYS = range(len(METHODS))

REASONS: dict[str, str] = {
    "closed": "the store was closed",
    "gap_over_7_days": "more than 7 days are missing",
    "holiday": "other days say nothing of a holiday, and too little of it was counted",
    "too_few_donors": "too few valid hours around the gap",
}
"""Why a row stays missing."""

CONTEXT_DAYS = 7 * 21
"""Days of rows around a gap's start that may matter to it: 8 weeks of trials, 4 of level, 8 of donors, and the gap's own."""

_HALF_DAY, _LONGEST = 12, 7 * 24
_TRIAL_LEAST = 24  # fewer tried hours say nothing about which method suits a sensor


def impute(hours: pd.DataFrame, values: Sequence[str]) -> pd.DataFrame:
    """The rows of `hours` with the values used in `values`, and what became of each row in five more columns.

    `hours`: one row per series and hour, in any order, with `series` (text); either `hour_start` (instant) with `timezone`
    (IANA name), or `local_time` (a wall clock without zone that shows no hour twice); and the columns `values`, counts in
    people, NULL: not known. An hour without a row between a series' first and last one is missing and open, but gets no row.
    Optional: `is_open` (default true), `is_holiday` (default false), `is_recovered` (default false), `is_partial` (default
    false; the counts cover part of the hour or of its lines: an estimate is never below them), `store_id` (series of one
    store are sister doors; NULL: no sisters).

    A known count stays as it is, in whatever row; a column that a series never counted stays NULL and needs nothing. Index,
    order and other columns stay. Counts become Float64 and are not rounded: rounded parts would not add up to their day.
    The five columns, which replace such of the same name:

    * quality: a key of QUALITIES, of the weakest count of the row;
    * method: of METHODS, NULL when nothing was estimated;
    * donors: JSON text, NULL without a method. `ends_hours`: the two ends, in hours from the estimated one; `weeks`: same
      hours of the week, in weeks from it; `day_hours`: number of valid hours of its day; `days`: days of the level, in days
      from its own; `sisters`: series of the store. Negative is earlier;
    * imputed_share: estimated part of the sum of the row's counts, 0 to 1; NULL when a count is missing or the sum is 0;
    * missing_reason: a key of REASONS, NULL unless quality is `missing`.

    ContractError: a missing column, a NULL or doubled key, a series in two zones or stores, rows of a series that are not
    whole hours apart, a negative count.
    """
    table = read(hours, values)
    order = in_order(table)
    filled = _Filled.nothing(table)
    if table.is_open.any():
        grid = open_hours(table, order)
        gaps = gaps_in(grid)
        if len(gaps.at):
            _fill(filled, table, grid, gaps)
    return _result(hours, values, table, filled)


def _between(left: Array, right: Array, share: Array) -> Array:
    return left + (right - left) * share


def _misses(estimates: Array, grid: OpenHours) -> Array:
    """Absolute error of each hour, summed over the values; NaN where it is not valid, a holiday, or has no estimate."""
    errors = np.abs(estimates - grid.counts).sum(axis=0)
    return np.where(grid.valid & ~grid.holiday, errors, np.nan)


def _interpolation_trials(grid: OpenHours, usual: Usual, length: int) -> tuple[Array, Array, Array]:
    """How often each hour was tried as part of a gap of `length` hours, and the summed errors by ratio and by line."""
    size = len(grid.series)
    tried, by_ratio, by_line = np.zeros(size), np.zeros(size), np.zeros(size)
    width = length + 1
    if size <= width:
        return tried, by_ratio, by_line
    fit = grid.valid & usual.known & ~grid.holiday
    left, right = slice(None, -width), slice(width, None)
    ends = fit[left] & fit[right] & (grid.series[left] == grid.series[right])
    for place in range(1, length + 1):
        middle = slice(place, place - width)
        ok = ends & fit[middle]
        # the ends of two series may be one hour
        share = frames.ratio(grid.second[middle] - grid.second[left], grid.second[right] - grid.second[left])
        tried[middle] += ok
        for counts, typical in zip(grid.counts, usual.counts, strict=True):
            ratio = np.clip(level_of(counts, typical), *RATIO_BOUNDS)
            guess = from_level(_between(ratio[left], ratio[right], share), typical[middle])
            by_ratio[middle] += np.where(ok, np.abs(guess - counts[middle]), 0.0)
            guess = _between(counts[left], counts[right], share)
            by_line[middle] += np.where(ok, np.abs(guess - counts[middle]), 0.0)
    return tried, by_ratio, by_line


def _best(grid: OpenHours, first: Array, tried: Array, *errors: Array) -> Array:
    """For each gap that starts at `first` the position in `errors` of the smallest sum over the weeks before it.

    `tried`: how often each hour was tried; where it is 0 the errors do not count.
    """
    begin = np.searchsorted(grid.keys, grid.keys[first] - WEEKS * 7 * DAY)
    # trials of the last hours before a gap would need hours inside of it
    end = np.maximum(first - SHORT, begin)

    def over(part: Array) -> Array:
        running = np.append(0.0, np.cumsum(np.where(tried > 0, part, 0.0)))
        return running[end] - running[begin]

    # running sums round: a later way that is equal in truth must not win by it
    sums = np.stack([over(part) * (1.0 if position == 0 else 1.0 + 1e-6) for position, part in enumerate(errors)])
    return np.where(over(tried) >= _TRIAL_LEAST, np.argmin(sums, axis=0), 0)


@dataclass(frozen=True, slots=True, eq=False)
class _Filled:
    """What each row of the input gets: `used` (values, rows), `method`, and texts or None."""

    used: Array
    method: Array
    donors: Array
    reason: Array

    @classmethod
    def nothing(cls, table: Given) -> _Filled:
        """No estimate; rows that may turn out missing are closed."""
        size = len(table.series)
        return cls(
            table.given.copy(),
            np.full(size, _NONE, dtype=np.int64),
            np.full(size, None, dtype=object),
            np.full(size, "closed", dtype=object),
        )


def _fill(filled: _Filled, table: Given, grid: OpenHours, gaps: Gaps) -> None:
    usual = usual_of(grid)
    days, sisters = Days(grid, usual), Sisters(grid, usual, table.names)
    like, like_bits = days.like()
    at, run = gaps.at, gaps.run

    left, right = gaps.left[run], gaps.right[run]
    between = (left >= 0) & (right >= 0)
    left, right = np.where(between, left, 0), np.where(between, right, 0)
    between &= (grid.holiday[left] == grid.holiday[at]) & (grid.holiday[right] == grid.holiday[at])
    share = (grid.second[at] - grid.second[left]) / np.where(between, grid.second[right] - grid.second[left], 1)
    ratio = np.clip(level_of(grid.counts, usual.counts), *RATIO_BOUNDS)
    by_ratio = from_level(_between(ratio[:, left], ratio[:, right], share), usual.counts[:, at])
    by_line = _between(grid.counts[:, left], grid.counts[:, right], share)
    estimates = np.full((len(METHODS), *by_line.shape), np.nan)
    estimates[_RATIO] = np.where(between, by_ratio, np.nan)
    estimates[_LINEAR] = np.where(between, by_line, np.nan)
    estimates[_DAY_LEVEL] = days.own(at)
    estimates[_SISTERS] = sisters.estimates(at)
    estimates[_LIKE_DAYS] = np.where(grid.holiday[at], np.nan, usual.counts[:, at] * like[:, grid.day[at]])
    method = _ladder(grid, usual, gaps, days, sisters, like, np.asarray(~np.isnan(estimates).any(axis=1)))

    of_sisters = np.flatnonzero(method == _SISTERS)
    ends = [np.where(between, (grid.second[end] - grid.second[at]) // HOUR, 0) for end in (left, right)]
    traces = np.stack([method, *ends, usual.weeks[at], days.hours[grid.day[at]], like_bits[grid.day[at]]], axis=1)
    donors = _donor_texts(traces, of_sisters, sisters.named(at[of_sisters]) if len(of_sisters) else [])
    reason = np.select([gaps.span[run] > _LONGEST, grid.holiday[at]], ["gap_over_7_days", "holiday"], "too_few_donors")

    shown = grid.row[at] >= 0
    row = grid.row[at][shown]
    chosen = np.take_along_axis(estimates, method[None, None, :], axis=0)[0][:, shown]
    given = table.given[:, row]
    wanted = np.isnan(table.known[:, row]) & table.counted[:, table.series[row]] & (method[shown] != _NONE)
    filled.used[:, row] = np.where(wanted, np.fmax(chosen, given), given)
    filled.method[row], filled.donors[row], filled.reason[row] = method[shown], donors[shown], reason[shown]


def _ladder(
    grid: OpenHours, usual: Usual, gaps: Gaps, days: Days, sisters: Sisters, like: Array, available: Array
) -> Array:
    """The method of each missing hour; `available` (methods, hours): whether there is an estimate."""
    run, every = gaps.run, np.arange(len(gaps.at))
    method = np.full(len(every), _NONE, dtype=np.int64)

    def attempt(rung: Array, way: Array | int) -> None:
        ways = np.broadcast_to(way, method.shape)
        free = rung[run] & (method == _NONE) & available[ways, every]
        method[free] = ways[free]

    long = gaps.span <= _LONGEST
    half_day, short = long & (gaps.hours <= _HALF_DAY), long & (gaps.hours <= SHORT)
    day_errors = _misses(days.tried(), grid)
    preferred = np.full(len(gaps.first), _RATIO)
    for length in range(1, SHORT + 1):
        of = np.flatnonzero(short & (gaps.hours == length))
        if len(of):
            preferred[of] = _short_preference(
                grid, gaps.first[of], *_interpolation_trials(grid, usual, length), day_errors
            )
    # what is usual says little about a holiday, and so does how an ordinary hour is best estimated
    attempt(short, np.where(grid.holiday[gaps.at], _LINEAR, preferred[run]))
    attempt(short, _RATIO)
    attempt(short, _LINEAR)

    sister_errors = _misses(sisters.estimates(np.arange(len(grid.series))), grid) if sisters.exist else None
    like_errors = _misses(usual.counts * like[:, grid.day], grid)
    for rung, way, errors in ((half_day, _DAY_LEVEL, day_errors), (long, _LIKE_DAYS, like_errors)):
        if sister_errors is not None:
            tried = ~np.isnan(errors) & ~np.isnan(sister_errors)
            attempt(rung, np.array([way, _SISTERS])[_best(grid, gaps.first, tried, errors, sister_errors)][run])
        attempt(rung, way)
        attempt(rung, _SISTERS)
    return method


def _short_preference(
    grid: OpenHours, first: Array, tried: Array, by_ratio: Array, by_line: Array, day_errors: Array
) -> Array:
    """Which of ratio, line and day level suits the gaps that start at `first`."""
    line_wins = _best(grid, first, tried, by_ratio, by_line) == 1
    by_day = tried * day_errors
    with_day = np.where(np.isnan(day_errors), 0.0, tried)
    day_wins = np.where(
        line_wins, _best(grid, first, with_day, by_line, by_day), _best(grid, first, with_day, by_ratio, by_day)
    )
    return np.where(day_wins == 1, _DAY_LEVEL, np.where(line_wins, _LINEAR, _RATIO))


_TRACES: dict[int, tuple[str, ...]] = {
    _NONE: (),
    _RATIO: ("ends_hours", "weeks"),
    _LINEAR: ("ends_hours",),
    _DAY_LEVEL: ("weeks", "day_hours"),
    _SISTERS: ("weeks", "sisters"),
    _LIKE_DAYS: ("weeks", "days"),
}
"""What the donors of each method are."""


def _offsets(bits: int, reach: int) -> list[int]:
    """The donors of a bit set as offsets, earlier ones first."""
    earlier = [-away for away in range(reach, 0, -1) if bits >> (away - 1) & 1]
    return earlier + [away for away in range(1, reach + 1) if bits >> (reach + away - 1) & 1]


def _donor_texts(traces: Array, of_sisters: Array, sisters: list[tuple[str, ...]]) -> Array:
    """JSON text of each estimated hour's donors, None without; spelled once per distinct combination."""
    sets: dict[tuple[str, ...], int] = {(): 0}
    code = np.zeros(len(traces), dtype=np.int64)
    code[of_sisters] = [sets.setdefault(names, len(sets)) for names in sisters]
    listed = list(sets)
    # what a method does not use must not make combinations distinct
    relevant = np.array(
        [["ends_hours" in use, "weeks" in use, "day_hours" in use, "days" in use] for use in _TRACES.values()]
    )
    use = relevant[traces[:, 0]]
    traces = traces * np.column_stack([np.ones(len(traces), dtype=bool), use[:, :1], use[:, :1], use[:, 1:]])
    group, distinct = pd.MultiIndex.from_arrays([*traces.T, code]).factorize()
    spelled: list[str | None] = []
    for method, before, after, weeks, day_hours, days, names in distinct:
        everything = {
            "ends_hours": [before, after],
            "weeks": _offsets(weeks, WEEKS),
            "day_hours": day_hours,
            "days": _offsets(days, LEVEL_REACH),
            "sisters": list(listed[names]),
        }
        parts = {name: everything[name] for name in _TRACES[method]}
        spelled.append(json.dumps(parts, ensure_ascii=False) if parts else None)
    return np.array([*spelled, None], dtype=object)[group]


def _result(hours: pd.DataFrame, values: Sequence[str], table: Given, filled: _Filled) -> pd.DataFrame:
    counted = table.counted[:, table.series]
    whole = counted.any(axis=0) & ~(counted & np.isnan(table.known)).any(axis=0)
    own = np.isin(filled.method, (_RATIO, _LINEAR, _DAY_LEVEL))
    quality = np.select(
        [whole & table.is_recovered, whole, own, filled.method != _NONE],
        ["recovered", "measured", "estimated", "substituted"],
        "missing",
    )
    missing = quality == "missing"
    total = np.where(missing, np.nan, np.nansum(filled.used, axis=0))
    estimated = np.nansum(filled.used - np.nan_to_num(table.given), axis=0)
    nothing = np.full(len(hours), None, dtype=object)
    result = hours.copy()
    for value, used in zip(values, filled.used, strict=True):
        result[value] = _floating(used)
    result["quality"] = pd.array(quality.astype(object), dtype="string")
    result["method"] = pd.array(
        np.where(filled.method != _NONE, np.array(METHODS, dtype=object)[filled.method], nothing), dtype="string"
    )
    result["donors"] = pd.array(filled.donors, dtype="string")
    result["imputed_share"] = _floating(frames.ratio(estimated, total))
    result["missing_reason"] = pd.array(np.where(missing, filled.reason, nothing), dtype="string")
    return result


def _floating(values: Array) -> pd.arrays.FloatingArray:
    unknown = np.isnan(values)
    return pd.arrays.FloatingArray(np.where(unknown, 0.0, values), unknown)
