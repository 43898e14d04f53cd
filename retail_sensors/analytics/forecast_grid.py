"""Counts of many series on their own wall clocks, what is known of their days, and the simple rules.

A grid is a matrix of series x hours of the wall clock, NaN where nothing was counted. An hour that the clock shows twice in
autumn holds the mean of both, the one that it skips in spring stays NaN, so that "the same hour last week" is one step of 168
columns all year. Rows are addressed by (series, origin, target): the hour at the origin and all later ones are unknown,
and no function here reads them. What a learner makes of it belongs in `forecast_features`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from retail_sensors.analytics import frames
from retail_sensors.analytics.frames import DAY, HOUR, Array
from retail_sensors.analytics.localtime import wall_seconds
from retail_sensors.analytics.opening import minute_of_week, open_hours_of_week
from retail_sensors.errors import ContractError

WEEK = 168
"""Hours of a week."""

LOOK_BACK = 26
"""Weeks in which the simple rules look for a same hour that was counted."""

_DEAD_WEEKS = 8
_BUSY_SHARE = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class Regressors:
    """What is known beforehand of days and hours; each frame may be absent.

    `holidays`, `school_holidays`: one row per date (`date`); `weather`: one row per `hour_start` (zone-aware) with number
    columns, as they were or will be forecast when the prediction is made. A column `series` restricts a row to one series;
    without it the row is true of all.
    """

    holidays: pd.DataFrame | None = None
    school_holidays: pd.DataFrame | None = None
    weather: pd.DataFrame | None = None


NOTHING_KNOWN = Regressors()
"""No holidays and no weather."""


@dataclass(frozen=True, slots=True, eq=False)
class Clocks:
    """Zone and opening hours of every series.

    `zones` of each series; `open_hours` (series, 168): whether an hour of the local week (0: Monday 00:00) is open;
    `declared`: whether its opening hours are known.
    """

    names: tuple[str, ...]
    zones: Array
    open_hours: Array
    declared: Array

    def first_targets(self, origin: int) -> tuple[Array, Array]:
        """Start in UTC seconds of each series' first hour not ended at the origin, and its wall-clock hour since 1970."""
        wall = np.empty(len(self.names), dtype=np.int64)
        for zone in np.unique(self.zones):
            wall[self.zones == zone] = wall_seconds(np.array([origin]), str(zone))[0]
        return origin - wall % HOUR, wall // HOUR


def clocks(names: tuple[str, ...], places: pd.DataFrame | None) -> Clocks:
    """The clocks of the named series from `places` (`series`, `timezone`, optionally `opening_hours`); UTC without it."""
    zones = np.full(len(names), "UTC", dtype=object)
    open_hours = np.ones((len(names), WEEK), dtype=bool)
    declared = np.zeros(len(names), dtype=bool)
    if places is None:
        return Clocks(names, zones, open_hours, declared)
    place = frames.codes(frames.texts(places, "series", "places"), np.array(names, dtype=object))
    if (place < 0).any():
        lost = ", ".join(name for name, at in zip(names, place, strict=True) if at < 0)
        raise ContractError(f"places has no row for series {lost}; give each series its time zone.")
    zones = frames.texts(places, "timezone", "places")[place]
    if "opening_hours" in places.columns:
        texts = frames.texts(places, "opening_hours", "places")[place]
        for series, text in enumerate(texts):
            if text is not None:
                # columns are full hours of the wall clock in every zone, also where those start at half past UTC
                open_hours[series] = open_hours_of_week(text, names[series])[np.arange(WEEK) * 60]
                declared[series] = True
    return Clocks(names, zones, open_hours, declared)


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Counts (series, hours) by the wall clock, and sums of them that start at 0 (series, hours + 1).

    `first`: wall-clock hour since 1970 of column 0. `usual`: median of the same hour of the 4 weeks before, holidays left out.
    `counts`, `known`: running sums of values and of their number; `actual`, `expected`, `misses`: running sums of values,
    usual values and absolute differences where both exist. `holiday`, `school` (series, days from column 0 on, a year
    beyond the end); `weather` (series, hours, columns). Days before the first known holiday are workdays.
    """

    clocks: Clocks
    first: int
    values: Array
    usual: Array
    counts: Array
    known: Array
    actual: Array
    expected: Array
    misses: Array
    holiday: Array
    school: Array
    has_school: bool
    weather: Array
    weather_names: tuple[str, ...]

    @property
    def hours(self) -> int:
        """Number of columns."""
        return int(self.values.shape[1])

    def at(self, values: Array, series: Array, origin: Array, hour: Array) -> Array:
        """Values of (series, hours) at each row's hour, NaN at the origin and after it and before the first column."""
        inside = (hour >= 0) & (hour < origin) & (hour < self.hours)
        return np.where(inside, values[series, np.clip(hour, 0, self.hours - 1)], np.nan)

    def within(self, sums: Array, series: Array, origin: Array, start: Array, end: Array) -> Array:
        """Difference of a running sum over [start, end) of each row, cut off at the origin."""
        last = np.minimum(origin, self.hours)
        start, end = (np.clip(np.minimum(edge, last), 0, None) for edge in (start, end))
        return np.asarray(sums[series, end] - sums[series, start])

    def hour_of_week(self, hour: Array) -> Array:
        """Hour of the local week (0: Monday 00:00) of a column."""
        return np.asarray(minute_of_week((hour + self.first) * HOUR) // 60)

    def is_open(self, series: Array, hour: Array) -> Array:
        """Whether the store of each row is open in its hour."""
        return np.asarray(self.clocks.open_hours[series, self.hour_of_week(hour)])


def median(stack: Array) -> Array:
    """Median of the known values along the first axis; NaN where none is known."""
    ordered = np.sort(stack, axis=0)  # NaN sorts to the end
    count = (~np.isnan(stack)).sum(axis=0)
    low, high = np.clip((count - 1) // 2, 0, None), np.clip(count // 2, 0, len(stack) - 1)
    high = np.where(count % 2 == 1, low, high)
    pair = np.take_along_axis(ordered, np.stack([low, high]), axis=0)
    return np.where(count > 0, pair.mean(axis=0), np.nan)


def _running(values: Array) -> Array:
    return np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)


def _flagged(frame: pd.DataFrame | None, what: str, names: tuple[str, ...], first: int, days: int) -> Array:
    result = np.zeros((len(names), days), dtype=bool)
    if frame is None or not len(frame):
        return result
    day = frames.days(frame, "date", what)
    if np.isnan(day).any():
        raise ContractError(f"{what}.date has a NULL; leave such rows out.")
    column = day.astype(np.int64) - first
    inside = (column >= 0) & (column < days)
    if "series" in frame.columns:
        series = frames.codes(np.array(names, dtype=object), frames.texts(frame, "series", what))
        inside &= series >= 0
        result[series[inside], column[inside]] = True
    else:
        result[:, column[inside]] = True
    return result


def _weather(frame: pd.DataFrame | None, known: Clocks, first: int, hours: int) -> tuple[Array, tuple[str, ...]]:
    if frame is None or not len(frame):
        return np.empty((len(known.names), hours, 0)), ()
    columns = tuple(sorted(str(name) for name in frame.columns if name not in ("series", "hour_start")))
    second = frames.seconds(frame, "hour_start", "weather")
    table = np.stack([frames.numbers(frame, name, "weather") for name in columns], axis=-1)
    result = np.full((len(known.names), hours, len(columns)), np.nan)
    series = None
    if "series" in frame.columns:
        series = frames.codes(np.array(known.names, dtype=object), frames.texts(frame, "series", "weather"))
    for zone in np.unique(known.zones):
        column = wall_seconds(second, str(zone)) // HOUR - first
        inside = (column >= 0) & (column < hours)
        there = known.zones == zone
        if series is None:
            common = np.full((hours, len(columns)), np.nan)
            common[column[inside]] = table[inside]
            result[there] = common
        else:
            rows = inside & (series >= 0) & there[series]
            result[series[rows], column[rows]] = table[rows]
    return result, columns


def read(
    history: pd.DataFrame,
    places: pd.DataFrame | None,
    origin: datetime,
    weeks: int,
    regressors: Regressors,
    names: tuple[str, ...] | None = None,
) -> Grid:
    """The grid of the hours that had ended at the origin, of at most so many weeks before it.

    `history`: one row per series and hour (`series`, `hour_start` zone-aware, `value` people, NULL: not counted). Rows of
    other series than `names` (default: all, sorted) are left out. ContractError: a value is negative or infinite, an
    instant has no zone or a series no place.
    """
    ends = frames.instant(origin, "origin")
    label = frames.texts(history, "series", "history")
    found = names if names is not None else tuple(sorted({str(name) for name in label if name is not None}))
    known = clocks(found, places)
    second = frames.seconds(history, "hour_start", "history")
    value = frames.numbers(history, "value", "history")
    if np.isinf(value).any() or (value < 0).any():
        raise ContractError("history.value has a negative or infinite count; counts are 0 or more, NULL where unknown.")
    row = np.flatnonzero((second + HOUR <= ends) & (second >= ends - weeks * 7 * DAY))
    series = frames.codes(np.array(found, dtype=object), label[row])
    row, series = row[series >= 0], series[series >= 0]
    wall = np.empty(len(row), dtype=np.int64)
    for zone in np.unique(known.zones):
        there = known.zones[series] == zone
        wall[there] = wall_seconds(second[row[there]], str(zone)) // HOUR
    last = int(known.first_targets(ends)[1].max()) if found else 0
    first = min(int(wall.min()), last) if len(wall) else last
    first -= first % 24  # columns start at midnight, so that day blocks do
    shape = (len(found), max(last - first, 1))
    counted = ~np.isnan(value[row])
    cell = series[counted] * shape[1] + np.clip(wall[counted] - first, 0, shape[1] - 1)
    size = shape[0] * shape[1]
    total = np.bincount(cell, weights=value[row[counted]], minlength=size)
    values = frames.ratio(total, np.bincount(cell, minlength=size).astype(float)).reshape(shape)
    return _grid(known, first, values, regressors)


def unread(origin: datetime) -> Grid:
    """The grid of no series at an origin."""
    first = frames.instant(origin, "origin") // HOUR
    return _grid(clocks((), None), first, np.empty((0, 0)), NOTHING_KNOWN)


def _grid(known: Clocks, first: int, values: Array, regressors: Regressors) -> Grid:
    series, hours = values.shape
    days = hours // 24 + 366
    holiday = _flagged(regressors.holidays, "holidays", known.names, first // 24, days)
    school = _flagged(regressors.school_holidays, "school_holidays", known.names, first // 24, days)
    weather, weather_names = _weather(regressors.weather, known, first, hours + 2 * WEEK)
    donors = np.where(np.repeat(holiday, 24, axis=1)[:, :hours], np.nan, values)
    usual = np.full(values.shape, np.nan)
    for one in range(series):  # a stack of one series at a time keeps memory linear in cameras
        lags = np.full((4, hours), np.nan)
        for week in range(1, min(4, (hours - 1) // WEEK) + 1):
            lags[week - 1, WEEK * week :] = donors[one, : -WEEK * week]
        usual[one] = median(lags)
    both = ~np.isnan(values) & ~np.isnan(usual)
    return Grid(
        clocks=known,
        first=first,
        values=values,
        usual=usual,
        counts=_running(np.nan_to_num(values)),
        known=_running(~np.isnan(values)),
        actual=_running(np.where(both, values, 0.0)),
        expected=_running(np.where(both, usual, 0.0)),
        misses=_running(np.where(both, np.abs(values - usual), 0.0)),
        holiday=holiday,
        school=school,
        has_school=bool(school.any()),
        weather=weather,
        weather_names=weather_names,
    )


def same_hours(grid: Grid, series: Array, origin: Array, target: Array, count: int) -> Array:
    """The last `count` known same hours of the week before each target, latest first, shape (count, rows).

    NaN where LOOK_BACK weeks hold fewer.
    """
    result = np.full((count, len(target)), np.nan)
    found = np.zeros(len(target), dtype=np.int64)
    for week in range(1, LOOK_BACK + 1):
        wanted = np.flatnonzero(found < count)
        if not len(wanted):
            break
        value = grid.at(grid.values, series[wanted], origin[wanted], target[wanted] - WEEK * week)
        there = ~np.isnan(value)
        result[found[wanted[there]], wanted[there]] = value[there]
        found[wanted[there]] += 1
    return result


def same_hour_last_week(grid: Grid, series: Array, origin: Array, target: Array) -> Array:
    """The last known same hour of the week; NaN when LOOK_BACK weeks hold none."""
    return np.asarray(same_hours(grid, series, origin, target, 1)[0])


def mean_4(grid: Grid, series: Array, origin: Array, target: Array) -> Array:
    """Mean of the last 4 known same hours of the week; NaN when LOOK_BACK weeks hold none."""
    lags = same_hours(grid, series, origin, target, 4)
    known = ~np.isnan(lags)
    return frames.ratio(np.where(known, lags, 0.0).sum(axis=0), known.sum(axis=0).astype(float))


def median_4(grid: Grid, series: Array, origin: Array, target: Array) -> Array:
    """Median of the last 4 known same hours of the week; NaN when LOOK_BACK weeks hold none."""
    return median(same_hours(grid, series, origin, target, 4))


def first_guess(grid: Grid, series: Array, origin: Array, target: Array) -> Array:
    """The median of the last 4 same hours of the week, in a sensor's first week of the same hour of the last 7 days.

    NaN for an hour of the day at which nothing was ever counted: there is nothing to guess from.
    """
    guess = median_4(grid, series, origin, target)
    lost = np.flatnonzero(np.isnan(guess))
    if len(lost):
        ahead = (target[lost] - origin[lost]) // 24 + 1
        days = [
            grid.at(grid.values, series[lost], origin[lost], target[lost] - 24 * (ahead + back)) for back in range(7)
        ]
        guess[lost] = median(np.stack(days))
    return guess


def is_dead(grid: Grid, origin: int) -> Array:
    """Whether over half of each series' busy hours of the 8 weeks before a column are zero or missing.

    Busy are the opening hours where they are declared, else the hours of the week of which at least a quarter of all
    known values of the year before the column are positive: a shop that is closed at night is not dead. A series without
    busy hours is dead.
    """
    hour = np.arange(max(0, origin - 52 * WEEK), origin)
    slot = grid.hour_of_week(hour)
    result = np.ones(len(grid.values), dtype=bool)
    for series, values in enumerate(grid.values[:, hour]):
        known = ~np.isnan(values)
        share = frames.ratio(
            np.bincount(slot, weights=np.where(known, values, 0.0) > 0, minlength=WEEK),
            np.bincount(slot, weights=known, minlength=WEEK),
        )
        declared = bool(grid.clocks.declared[series])
        busy = grid.clocks.open_hours[series] if declared else np.nan_to_num(share) >= _BUSY_SHARE
        recent = busy[slot] & (hour >= origin - _DEAD_WEEKS * WEEK)
        if recent.any():
            result[series] = (np.nan_to_num(values[recent]) > 0).mean() < 0.5
    return result
