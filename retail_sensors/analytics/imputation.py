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
from itertools import pairwise

import numpy as np
import pandas as pd

from retail_sensors.analytics import frames
from retail_sensors.analytics.frames import DAY, HOUR, Array
from retail_sensors.analytics.localtime import walls
from retail_sensors.errors import ContractError

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

_SHORT, _HALF_DAY, _LONGEST = 4, 12, 7 * 24
_OFFSET = 20.0  # a level varies by a fifth: 1 / 0.22^2 people weigh as much as its prior value of 1
_SAME_HOURS, _SAME_HOURS_LEAST, _WEEKS = 4, 2, 8
_RATIO_BOUNDS, _LEVEL_BOUNDS = (0.3, 3.0), (0.5, 2.0)
_DAY_HOURS_LEAST = 3
_LEVEL_DAYS, _LEVEL_DAYS_LEAST, _LEVEL_REACH = 7, 3, 28
_VALID_DAY = 0.9
_TRIAL_LEAST = 24  # fewer tried hours say nothing about which method suits a sensor
_SERIES_AT_A_TIME = 32  # bounds the memory of medians to some tens of megabytes
_WEEK = 7 * 24
_MONDAY = 3 * 24  # 1970-01-01 was a Thursday


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
    table = _read(hours, values)
    order = _in_order(table)
    filled = _Filled.nothing(table)
    if table.is_open.any():
        grid = _open_hours(table, order)
        gaps = _gaps(grid)
        if len(gaps.at):
            _fill(filled, table, grid, gaps)
    return _result(hours, values, table, filled)


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """The input as arrays, a row each: `given` (values, rows) as it came, `known` without the counts of partial rows."""

    names: Array
    series: Array
    second: Array
    store: Array
    zones: tuple[str, ...]
    zone: Array
    given: Array
    known: Array
    is_open: Array
    is_holiday: Array
    is_recovered: Array
    counted: Array  # (values, series): whether the series ever counted the column


def _read(hours: pd.DataFrame, values: Sequence[str]) -> _Table:
    what = "hours"
    if not values:
        raise ContractError("hours has no value column to estimate; name at least one.")
    series, names = _codes(hours, "series")
    if (series < 0).any():
        raise ContractError("hours.series has a NULL; it is part of the key, leave such rows out.")
    zones: tuple[str, ...] = ("UTC",)
    zone = np.zeros(len(names), dtype=np.int64)
    if "local_time" in hours.columns:
        moments = pd.to_datetime(hours["local_time"])
        if getattr(moments.dtype, "tz", None) is not None:
            raise ContractError("hours.local_time has a zone; call instants hour_start and give their timezone.")
        stamps = moments.to_numpy(dtype="datetime64[s]")
        if np.isnat(stamps).any():
            raise ContractError("hours.local_time has a NULL; it is part of the key, leave such rows out.")
        second = stamps.astype(np.int64)
    else:
        second = frames.seconds(hours, "hour_start", what)
        zone, words = _of_series(names, series, hours, "timezone")
        if len(zone) and zone.min() < 0:
            raise ContractError(f"Series {names[zone < 0][0]} has no timezone; name one such as Europe/Berlin.")
        zones = tuple(words.tolist())
    if "store_id" in hours.columns:
        store, _ = _of_series(names, series, hours, "store_id")
    else:
        store = np.full(len(names), -1, dtype=np.int64)
    given = np.stack([frames.numbers(hours, value, what) for value in values])
    if (given < 0).any():
        value, row = np.argwhere(given < 0)[0]
        raise ContractError(f"Series {names[series[row]]} has a negative {values[value]}; counts are never below 0.")
    flag = {
        name: frames.flags(hours, name, what) if name in hours.columns else np.full(len(hours), name == "is_open")
        for name in ("is_open", "is_holiday", "is_recovered", "is_partial")
    }
    known = np.where(flag["is_partial"], np.nan, given)
    counted = np.stack([frames.tally(series, ~np.isnan(line), len(names)) > 0 for line in given])
    return _Table(
        names,
        series,
        second,
        store,
        zones,
        zone,
        given,
        known,
        flag["is_open"],
        flag["is_holiday"],
        flag["is_recovered"],
        counted,
    )


def _codes(hours: pd.DataFrame, column: str) -> tuple[Array, Array]:
    """Position of each row's text among the distinct ones in ascending order, -1 for NULL, and those texts."""
    if column not in hours.columns:
        raise ContractError(f"hours has no column {column}; give one row per series and hour, with it.")
    code, words = pd.factorize(hours[column], sort=True)
    return np.asarray(code, dtype=np.int64), np.array([str(word) for word in words], dtype=object)


def _of_series(names: Array, series: Array, hours: pd.DataFrame, column: str) -> tuple[Array, Array]:
    """Position of each series' one text among the distinct ones, -1 for NULL, and the distinct texts."""
    code, words = _codes(hours, column)
    most, least = np.full(len(names), -1, dtype=np.int64), np.full(len(names), len(words), dtype=np.int64)
    np.maximum.at(most, series, code)
    np.minimum.at(least, series, code)
    if (most != least).any():
        raise ContractError(f"Series {names[most != least][0]} has more than one {column}; give each series one.")
    return most, words


@dataclass(frozen=True, slots=True, eq=False)
class _Grid:
    """Every open hour from each series' first row to its last, by series, then time; arrays are (hours,) unless said.

    `row` is the input's row, -1 where there is none. `counts` (values, hours) has NaN for unknown and 0 for a column that
    the series never counts; `valid`: every column is known. `cell` is the hour's place in `cells` (series, weeks, hours of
    the week), `day` in `days` (series, days).
    """

    row: Array
    series: Array
    second: Array
    store: Array
    counts: Array
    counted: Array  # (values, series)
    valid: Array
    holiday: Array
    cell: Array
    cells: tuple[int, int, int]
    day: Array
    days: tuple[int, int]

    @property
    def keys(self) -> Array:
        """Ascending integers that sort by series, then time."""
        return (self.series << 40) + self.second


def _in_order(table: _Table) -> Array:
    """Positions of the rows by series, then time."""
    order = np.argsort((table.series << 40) + table.second, kind="stable")
    series, second = table.series[order], table.second[order]
    doubled = (series[1:] == series[:-1]) & (second[1:] == second[:-1])
    if doubled.any():
        at = int(np.argmax(doubled))
        stamp = np.datetime64(int(second[at]), "s")
        raise ContractError(f"Series {table.names[series[at]]} has two rows for {stamp}; keep one.")
    apart = (series[1:] == series[:-1]) & ((second[1:] - second[:-1]) % HOUR != 0)
    if apart.any():
        name = table.names[series[np.argmax(apart)]]
        raise ContractError(f"Series {name} has rows that are not whole hours apart; give one row an hour.")
    return order


def _open_hours(table: _Table, order: Array) -> _Grid:
    series, second = table.series[order], table.second[order]
    number = len(table.names)
    begins = np.flatnonzero(np.append(True, series[1:] != series[:-1]))
    first, last = second[begins], second[np.append(begins[1:], len(series)) - 1]
    length = (last - first) // HOUR + 1
    start = np.cumsum(length) - length
    place = start[series] + (second - first[series]) // HOUR
    size = int(length.sum())

    row = np.full(size, -1, dtype=np.int64)
    row[place] = order
    is_open = np.ones(size, dtype=bool)
    is_open[place] = table.is_open[order]
    kept = np.flatnonzero(is_open)
    row, series = row[kept], np.repeat(np.arange(number), length)[kept]
    second = first[series] + (kept - start[series]) * HOUR
    wall = walls(table.zones, table.zone[series], second)

    present = row >= 0
    counts = np.where(present, table.known[:, row], np.nan)
    counted = table.counted[:, series]
    counts[~counted] = 0.0
    holiday = present & table.is_holiday[row]
    wall_hour = wall // HOUR + _MONDAY
    week, day = wall_hour // _WEEK, wall // DAY
    week, day = week - week.min(), day - day.min()
    weeks, days = int(week.max()) + 1, int(day.max()) + 1
    return _Grid(
        row=row,
        series=series,
        second=second,
        store=table.store[series],
        counts=counts,
        counted=table.counted,
        valid=np.asarray(counted.any(axis=0) & ~np.isnan(counts).any(axis=0)),
        holiday=holiday,
        cell=(series * weeks + week) * _WEEK + wall_hour % _WEEK,
        cells=(number, weeks, _WEEK),
        day=series * days + day,
        days=(number, days),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Usual:
    """What each open hour usually counts: `counts` (values, hours), NaN with too few donors; `weeks`: a bit per donor.

    Bit n - 1 stands for n weeks before, bit _WEEKS + n - 1 for n weeks after. `known`: there is a value.
    """

    counts: Array
    weeks: Array
    known: Array


def _usual(grid: _Grid) -> _Usual:
    number, weeks, _ = grid.cells
    counts, bits = np.empty(grid.counts.shape), np.empty(len(grid.cell), dtype=np.int32)
    bounds = np.searchsorted(grid.series, np.arange(0, number + _SERIES_AT_A_TIME, _SERIES_AT_A_TIME))
    for part, (begin, end) in enumerate(pairwise(bounds)):
        lines = min(_SERIES_AT_A_TIME, number - part * _SERIES_AT_A_TIME)
        shape = (lines, weeks, _WEEK)
        cell = grid.cell[begin:end] - part * _SERIES_AT_A_TIME * weeks * _WEEK
        donor = grid.valid[begin:end] & ~grid.holiday[begin:end]
        # an hour that the wall clock shows twice is one donor: its mean
        times = np.bincount(cell[donor], minlength=lines * weeks * _WEEK).reshape(shape)
        chosen, weeks_taken = _nearest_weeks(times > 0)
        bits[begin:end] = weeks_taken.reshape(-1)[cell]
        for value in range(len(grid.counts)):
            line = grid.counts[value, begin:end]
            total = np.bincount(cell[donor], weights=line[donor], minlength=lines * weeks * _WEEK).reshape(shape)
            counts[value, begin:end] = _median(frames.ratio(total, times.astype(float)), chosen).reshape(-1)[cell]
    return _Usual(counts, bits, np.asarray(~np.isnan(counts).any(axis=0)))


def _nearest_weeks(known: Array) -> tuple[list[tuple[int, Array]], Array]:
    """The lags in weeks (positive: earlier), each with the slot (series, weeks, hours) it fills, and the donors as bits.

    The slot of a cell that does not take the donor is the last one, which is thrown away.
    """
    chosen: list[tuple[int, Array]] = []
    bits = np.zeros(known.shape, dtype=np.int32)
    for side, first_slot in ((1, 0), (-1, _SAME_HOURS)):
        found = np.zeros(known.shape, dtype=np.int8)
        for away in range(1, min(_WEEKS, known.shape[1] - 1) + 1):
            of, to = _shifted(side * away)
            taken = known[:, of] & (found[:, to] < _SAME_HOURS)
            chosen.append((side * away, np.where(taken, found[:, to] + first_slot, 2 * _SAME_HOURS)))
            found[:, to] += taken
            bits[:, to] |= taken.astype(np.int32) << (away - 1 + (0 if side > 0 else _WEEKS))
    return chosen, bits


def _shifted(lag: int) -> tuple[slice, slice]:
    """Where values come from and go to along an axis that is shifted by `lag` places (positive: from earlier)."""
    return (slice(None, -lag), slice(lag, None)) if lag > 0 else (slice(-lag, None), slice(None, lag))


def _median(grid: Array, chosen: list[tuple[int, Array]]) -> Array:
    slots = np.full((2 * _SAME_HOURS + 1, *grid.shape), np.nan)
    for lag, slot in chosen:
        of, to = _shifted(lag)
        np.put_along_axis(slots[:, :, to], slot[None].astype(np.int64), grid[None, :, of], axis=0)
    slots = np.sort(slots[:-1], axis=0)  # NaN last
    found = (~np.isnan(slots)).sum(axis=0)
    low, high = (
        np.take_along_axis(slots, np.maximum(middle, 0)[None], axis=0)[0] for middle in ((found - 1) // 2, found // 2)
    )
    return np.where(found >= _SAME_HOURS_LEAST, (low + high) / 2, np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class _Gaps:
    """Missing open hours, `at` (hours,) with the gap `run` of each; per gap its first hour, hours, span and ends (-1: none)."""

    at: Array
    run: Array
    first: Array
    hours: Array
    span: Array  # hours by the clock from the first missing hour to the last, both included
    left: Array
    right: Array


def _gaps(grid: _Grid) -> _Gaps:
    missing = ~grid.valid
    fresh = np.append(True, grid.series[1:] != grid.series[:-1])
    begins = missing & (fresh | np.append(True, ~missing[:-1]))
    at = np.flatnonzero(missing)
    run = np.cumsum(begins)[at] - 1
    first = np.flatnonzero(begins)
    hours = np.bincount(run, minlength=len(first))
    last = first + hours - 1
    ends = np.append(fresh[1:], True)
    return _Gaps(
        at=at,
        run=run,
        first=first,
        hours=hours,
        span=(grid.second[last] - grid.second[first]) // HOUR + 1,
        left=np.where(fresh[first], -1, first - 1),
        right=np.where(ends[last], -1, last + 1),
    )


def _ratio(counts: Array, usual: Array) -> Array:
    return (counts + _OFFSET) / (usual + _OFFSET)


def _between(left: Array, right: Array, share: Array) -> Array:
    return left + (right - left) * share


def _times_level(usual: Array, level: Array, bounds: tuple[float, float], holiday: Array) -> Array:
    """usual x level within its bounds; a holiday may be as quiet as it likes."""
    return usual * np.clip(level, np.where(holiday, 0.0, bounds[0]), bounds[1])


def _from_ratio(ratio: Array, usual: Array) -> Array:
    return np.maximum(ratio * (usual + _OFFSET) - _OFFSET, 0.0)


class _Days:
    """What the valid hours of each (series, day) say about its level; shapes (values, series * days) and (series * days,)."""

    def __init__(self, grid: _Grid, usual: _Usual) -> None:
        self._grid, self._usual = grid, usual
        self._usable = grid.valid & usual.known
        size = grid.days[0] * grid.days[1]
        self._pairs = [
            (np.where(self._usable, counts, 0.0), np.where(self._usable, typical, 0.0))
            for counts, typical in zip(grid.counts, usual.counts, strict=True)
        ]
        self._sums = [
            tuple(np.bincount(grid.day, weights=part, minlength=size) for part in pair) for pair in self._pairs
        ]
        self.hours = frames.tally(grid.day, self._usable, size)
        expected = np.bincount(grid.day, minlength=size)
        self._ordinary = (
            (expected > 0) & (self.hours >= _VALID_DAY * expected) & (frames.tally(grid.day, grid.holiday, size) == 0)
        )

    def own(self, at: Array) -> Array:
        """Estimates (values, hours) from the other valid hours of the same day, which the hours `at` themselves are not."""
        day = self._grid.day[at]
        level = np.stack([_ratio(counts[day], typical[day]) for counts, typical in self._sums])
        estimates = _times_level(self._usual.counts[:, at], level, _LEVEL_BOUNDS, self._grid.holiday[at])
        return np.where(self.hours[day] >= _DAY_HOURS_LEAST, estimates, np.nan)

    def tried(self) -> Array:
        """Estimates (values, hours) of every hour as if it and the _SHORT hours on both sides of it were missing."""
        day, size = self._grid.day, len(self._grid.day)
        # a clock that is turned back at midnight shows the evening before once more
        ascending = np.maximum.accumulate(day)
        first, last = np.searchsorted(ascending, ascending), np.searchsorted(ascending, ascending, side="right")
        begin, end = np.maximum(np.arange(size) - _SHORT, first), np.minimum(np.arange(size) + _SHORT + 1, last)

        def without(total: Array, part: Array) -> Array:
            running = np.append(0.0, np.cumsum(part))
            return np.maximum(total[day] - (running[end] - running[begin]), 0.0)

        level = np.stack(
            [
                _ratio(without(sums[0], pair[0]), without(sums[1], pair[1]))
                for sums, pair in zip(self._sums, self._pairs, strict=True)
            ]
        )
        hours = without(self.hours, self._usable.astype(float))
        estimates = _times_level(self._usual.counts, level, _LEVEL_BOUNDS, self._grid.holiday)
        return np.where(hours >= _DAY_HOURS_LEAST, estimates, np.nan)

    def like(self) -> tuple[Array, Array]:
        """Factor (values, series * days) for a day by the level of its nearest ordinary days, NaN with too few; the days as bits.

        Bit n - 1 stands for n days before, bit _LEVEL_REACH + n - 1 for n days after.
        """
        shape = self._grid.days
        ordinary = self._ordinary.reshape(shape)
        sums = [tuple(part.reshape(shape) for part in pair) for pair in self._sums]
        found, bits = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        total = np.zeros((len(sums), 2, *shape))
        for away in range(1, min(_LEVEL_REACH, shape[1] - 1) + 1):
            for side, first_bit in ((1, 0), (-1, _LEVEL_REACH)):
                of, to = _shifted(side * away)
                taken = ordinary[:, of] & (found[:, to] < _LEVEL_DAYS)
                found[:, to] += taken
                bits[:, to] |= taken.astype(np.int64) << (first_bit + away - 1)
                for value, pair in enumerate(sums):
                    for part in (0, 1):
                        total[value, part][:, to] += np.where(taken, pair[part][:, of], 0.0)
        level = np.sqrt(np.clip(_ratio(total[:, 0], total[:, 1]), *_LEVEL_BOUNDS))
        level[:, found < _LEVEL_DAYS_LEAST] = np.nan
        return level.reshape(len(sums), -1), bits.reshape(-1)


class _Sisters:
    """What the other series of the same store say about an hour."""

    def __init__(self, grid: _Grid, usual: _Usual, names: Array) -> None:
        self._grid, self._usual, self._names = grid, usual, names
        usable = grid.valid & usual.known
        doors = np.bincount(grid.store[np.append(True, grid.series[1:] != grid.series[:-1]) & (grid.store >= 0)])
        self.exist = bool((doors > 1).any())
        if not self.exist:
            return
        several = (grid.store >= 0) & (doors[np.maximum(grid.store, 0)] > 1)
        hour, distinct = pd.factorize((grid.store << 40) + grid.second)
        self._hour, size = hour, len(distinct)
        self._usable = usable & several
        self._counting = self._usable & grid.counted[:, grid.series]
        self._doors = [frames.tally(hour, counting, size) for counting in self._counting]
        self._pairs = [
            (np.where(self._usable, counts, 0.0), np.where(self._usable, typical, 0.0))
            for counts, typical in zip(grid.counts, usual.counts, strict=True)
        ]
        self._sums = [tuple(np.bincount(hour, weights=part, minlength=size) for part in pair) for pair in self._pairs]
        self._sorted = np.flatnonzero(self._usable)
        self._sorted = self._sorted[np.argsort(hour[self._sorted], kind="stable")]

    def estimates(self, at: Array) -> Array:
        """Estimates (values, hours), NaN where no other door of the store has a valid hour."""
        if not self.exist:
            return np.full((len(self._grid.counts), len(at)), np.nan)
        hour = self._hour[at]
        level = np.stack(
            [
                _ratio(*(np.maximum(total[hour] - own[at], 0.0) for total, own in zip(sums, pair, strict=True)))
                for sums, pair in zip(self._sums, self._pairs, strict=True)
            ]
        )
        others = np.stack([doors[hour] for doors in self._doors]) - self._counting[:, at]
        answered = (others > 0) | ~self._grid.counted[:, self._grid.series[at]]
        estimates = _times_level(self._usual.counts[:, at], level, _RATIO_BOUNDS, self._grid.holiday[at])
        return np.where(answered, estimates, np.nan)

    def named(self, at: Array) -> list[tuple[str, ...]]:
        """The doors that the estimates of the hours `at`, which are missing, come from."""
        hours = self._hour[self._sorted]
        begin, end = np.searchsorted(hours, self._hour[at]), np.searchsorted(hours, self._hour[at], side="right")
        result = []
        for own, low, high in zip(self._grid.series[at], begin, end, strict=True):
            others = self._grid.series[self._sorted[low:high]]
            alike = (self._grid.counted[:, others] & self._grid.counted[:, [own]]).any(axis=0)
            result.append(tuple(self._names[others[alike]].tolist()))
        return result


def _misses(estimates: Array, grid: _Grid) -> Array:
    """Absolute error of each hour, summed over the values; NaN where it is not valid, a holiday, or has no estimate."""
    errors = np.abs(estimates - grid.counts).sum(axis=0)
    return np.where(grid.valid & ~grid.holiday, errors, np.nan)


def _interpolation_trials(grid: _Grid, usual: _Usual, length: int) -> tuple[Array, Array, Array]:
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
        share = (grid.second[middle] - grid.second[left]) / (grid.second[right] - grid.second[left])
        tried[middle] += ok
        for counts, typical in zip(grid.counts, usual.counts, strict=True):
            ratio = np.clip(_ratio(counts, typical), *_RATIO_BOUNDS)
            guess = _from_ratio(_between(ratio[left], ratio[right], share), typical[middle])
            by_ratio[middle] += np.where(ok, np.abs(guess - counts[middle]), 0.0)
            guess = _between(counts[left], counts[right], share)
            by_line[middle] += np.where(ok, np.abs(guess - counts[middle]), 0.0)
    return tried, by_ratio, by_line


def _best(grid: _Grid, first: Array, tried: Array, *errors: Array) -> Array:
    """For each gap that starts at `first` the position in `errors` of the smallest sum over the weeks before it.

    `tried`: how often each hour was tried; where it is 0 the errors do not count.
    """
    begin = np.searchsorted(grid.keys, grid.keys[first] - _WEEKS * 7 * DAY)
    # trials of the last hours before a gap would need hours inside of it
    end = np.maximum(first - _SHORT, begin)

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
    def nothing(cls, table: _Table) -> _Filled:
        """No estimate; rows that may turn out missing are closed."""
        size = len(table.series)
        return cls(
            table.given.copy(),
            np.full(size, _NONE, dtype=np.int64),
            np.full(size, None, dtype=object),
            np.full(size, "closed", dtype=object),
        )


def _fill(filled: _Filled, table: _Table, grid: _Grid, gaps: _Gaps) -> None:
    usual = _usual(grid)
    days, sisters = _Days(grid, usual), _Sisters(grid, usual, table.names)
    like, like_bits = days.like()
    at, run = gaps.at, gaps.run

    left, right = gaps.left[run], gaps.right[run]
    between = (left >= 0) & (right >= 0)
    left, right = np.where(between, left, 0), np.where(between, right, 0)
    between &= (grid.holiday[left] == grid.holiday[at]) & (grid.holiday[right] == grid.holiday[at])
    share = (grid.second[at] - grid.second[left]) / np.where(between, grid.second[right] - grid.second[left], 1)
    ratio = np.clip(_ratio(grid.counts, usual.counts), *_RATIO_BOUNDS)
    by_ratio = _from_ratio(_between(ratio[:, left], ratio[:, right], share), usual.counts[:, at])
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
    grid: _Grid, usual: _Usual, gaps: _Gaps, days: _Days, sisters: _Sisters, like: Array, available: Array
) -> Array:
    """The method of each missing hour; `available` (methods, hours): whether there is an estimate."""
    run, every = gaps.run, np.arange(len(gaps.at))
    method = np.full(len(every), _NONE, dtype=np.int64)

    def attempt(rung: Array, way: Array | int) -> None:
        ways = np.broadcast_to(way, method.shape)
        free = rung[run] & (method == _NONE) & available[ways, every]
        method[free] = ways[free]

    long = gaps.span <= _LONGEST
    half_day, short = long & (gaps.hours <= _HALF_DAY), long & (gaps.hours <= _SHORT)
    day_errors = _misses(days.tried(), grid)
    preferred = np.full(len(gaps.first), _RATIO)
    for length in range(1, _SHORT + 1):
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
    grid: _Grid, first: Array, tried: Array, by_ratio: Array, by_line: Array, day_errors: Array
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
            "weeks": _offsets(weeks, _WEEKS),
            "day_hours": day_hours,
            "days": _offsets(days, _LEVEL_REACH),
            "sisters": list(listed[names]),
        }
        parts = {name: everything[name] for name in _TRACES[method]}
        spelled.append(json.dumps(parts, ensure_ascii=False) if parts else None)
    return np.array([*spelled, None], dtype=object)[group]


def _result(hours: pd.DataFrame, values: Sequence[str], table: _Table, filled: _Filled) -> pd.DataFrame:
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
