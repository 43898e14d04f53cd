"""The hours that estimates are made from: the input as arrays, every open hour of each series in order, and the gaps in them.

Faults of the input are refused here. What an hour usually counts belongs in `imputation_donors`, what a gap gets in `imputation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from retail_sensors.analytics import frames
from retail_sensors.analytics.frames import DAY, HOUR, Array
from retail_sensors.analytics.localtime import walls
from retail_sensors.errors import ContractError

WEEK = 7 * 24
"""Hours of a week."""

_MONDAY = 3 * 24  # 1970-01-01 was a Thursday


@dataclass(frozen=True, slots=True, eq=False)
class Given:
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


def read(hours: pd.DataFrame, values: Sequence[str]) -> Given:
    """The input of `imputation.impute`; raises ContractError where it cannot be meant."""
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
    return Given(
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
class OpenHours:
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


def in_order(table: Given) -> Array:
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


def open_hours(table: Given, order: Array) -> OpenHours:
    """The grid of the open hours; hours without a row are among them."""
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
    week, day = wall_hour // WEEK, wall // DAY
    week, day = week - week.min(), day - day.min()
    weeks, days = int(week.max()) + 1, int(day.max()) + 1
    return OpenHours(
        row=row,
        series=series,
        second=second,
        store=table.store[series],
        counts=counts,
        counted=table.counted,
        valid=np.asarray(counted.any(axis=0) & ~np.isnan(counts).any(axis=0)),
        holiday=holiday,
        cell=(series * weeks + week) * WEEK + wall_hour % WEEK,
        cells=(number, weeks, WEEK),
        day=series * days + day,
        days=(number, days),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Gaps:
    """Missing open hours, `at` (hours,) with the gap `run` of each; per gap its first hour, hours, span and ends (-1: none)."""

    at: Array
    run: Array
    first: Array
    hours: Array
    span: Array  # hours by the clock from the first missing hour to the last, both included
    left: Array
    right: Array


def gaps_in(grid: OpenHours) -> Gaps:
    """Every run of hours of one series that are not valid."""
    missing = ~grid.valid
    fresh = np.append(True, grid.series[1:] != grid.series[:-1])
    begins = missing & (fresh | np.append(True, ~missing[:-1]))
    at = np.flatnonzero(missing)
    run = np.cumsum(begins)[at] - 1
    first = np.flatnonzero(begins)
    hours = np.bincount(run, minlength=len(first))
    last = first + hours - 1
    ends = np.append(fresh[1:], True)
    return Gaps(
        at=at,
        run=run,
        first=first,
        hours=hours,
        span=(grid.second[last] - grid.second[first]) // HOUR + 1,
        left=np.where(fresh[first], -1, first - 1),
        right=np.where(ends[last], -1, last + 1),
    )
