"""Rows of raw and hourly frames as arrays: known cameras only, one row per camera and hour, ordered by both.

What the values mean belongs in `traffic`; here is only which row of several for the same hour holds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from retail_sensors.analytics import frames
from retail_sensors.analytics.frames import Array
from retail_sensors.analytics.roster import Layout

_IMPUTED = ('"counts": "estimated"', '"counts": "substituted"')
_SECOND_BITS = 34  # 2**34 seconds reach the year 2514
_DAY_BITS = 23  # 2**23 days reach the year 24 936


def hour_keys(scope: Array, second: Array) -> Array:
    """One integer per (camera or store, hour) that sorts by scope, then by time."""
    return (scope << _SECOND_BITS) | second


def split_keys(keys: Array) -> tuple[Array, Array]:
    """Scope and instant of each key."""
    return keys >> _SECOND_BITS, keys & ((1 << _SECOND_BITS) - 1)


def day_keys(scope: Array, day: Array) -> Array:
    """One integer per (scope, day since 1970) that sorts by scope, then by day."""
    return (scope.astype(np.int64) << _DAY_BITS) | day.astype(np.int64)


def split_day_keys(keys: Array) -> tuple[Array, Array]:
    """Scope and day of each key."""
    return keys >> _DAY_BITS, keys & ((1 << _DAY_BITS) - 1)


def last_of_each(keys: Array, ties: list[Array]) -> Array:
    """Positions of one row per key, in the order of the keys: the one with the greatest ties, the first tie first."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    if not (ordered[1:] == ordered[:-1]).any():
        return order
    order = np.lexsort((*(np.nan_to_num(tie, nan=-1.0) for tie in reversed(ties)), keys))
    ordered = keys[order]
    return order[np.append(ordered[1:] != ordered[:-1], True)]


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """Raw rows: `keys` ascending and unique, `values` (rows, columns) with NaN for an empty cell, `final` flags."""

    keys: Array
    values: Array
    final: Array

    def at(self, keys: Array) -> tuple[Array, Array, Array]:
        """For each key whether there is a reading, its values (NaN where there is none), and whether they are final."""
        if not len(self.keys):
            nothing = np.zeros(len(keys), dtype=bool)
            return nothing, np.full((len(keys), self.values.shape[1]), np.nan), nothing
        position = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        found = self.keys[position] == keys
        values = self.values[position]
        values[~found] = np.nan
        return found, values, found & self.final[position]


def raw_readings(frame: pd.DataFrame, what: str, columns: tuple[str, ...], layout: Layout) -> Readings:
    """The readings of a raw table's frame; of two rows for one camera and hour the last collected holds."""
    camera = frames.codes(layout.sensor_ids, frames.texts(frame, "sensor_id", what))
    second = frames.seconds(frame, "timestamp", what)
    collected = frames.seconds(frame, "collected_at", what)
    final = frames.flags(frame, "is_final", what)
    values = np.empty((len(frame), len(columns)))
    for position, column in enumerate(columns):
        values[:, position] = frames.numbers(frame, column, what)
    known = np.flatnonzero(camera >= 0)
    keys = hour_keys(camera[known], second[known])
    order = last_of_each(keys, [collected[known], final[known], *values[known].T])
    rows = known[order]
    return Readings(keys[order], values[rows], final[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """Hours that cameras were asked for: `keys` ascending and unique, `outcome` a position in `outcomes`."""

    keys: Array
    outcome: Array
    outcomes: list[str]

    def at(self, keys: Array) -> tuple[Array, Array]:
        """For each key whether it was asked for, and its position in `outcomes` (0 where it was not)."""
        if not len(self.keys):
            return np.zeros(len(keys), dtype=bool), np.zeros(len(keys), dtype=np.int64)
        position = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        found = self.keys[position] == keys
        return found, np.where(found, self.outcome[position], 0)


def asked_hours(frame: pd.DataFrame, layout: Layout) -> Asked:
    """The hours asked for; an hour named twice has the outcome that comes last in the alphabet."""
    camera = frames.codes(layout.sensor_ids, frames.texts(frame, "sensor_id", "collection_log"))
    second = frames.seconds(frame, "hour_start", "collection_log")
    outcome, outcomes = pd.factorize(frames.texts(frame, "outcome", "collection_log"), sort=True)
    known = np.flatnonzero(camera >= 0)
    keys = hour_keys(camera[known], second[known])
    order = last_of_each(keys, [outcome[known]])
    return Asked(keys[order], outcome[known][order], [str(word) for word in outcomes])


@dataclass(frozen=True, slots=True, eq=False)
class HourRows:
    """Rows of `hourly_analytics` as arrays, ordered by camera and hour; NaN is NULL.

    `position` is the row's place in the frame, where its JSON texts are. `counted`: the camera answered with the counts that its
    lines are for; `complete`: and they are final. `imputed`: some of the counts is an estimate, so that the hour is neither;
    `substituted`: and it comes from other doors or days. `estimated`: estimated people, 0 in other hours.
    """

    position: Array
    camera: Array
    second: Array
    entries: Array
    exits: Array
    passersby: Array
    traffic: Array
    visitors: Array
    is_open: Array
    counted: Array
    complete: Array
    imputed: Array
    substituted: Array
    estimated: Array


def people_of(entries: Array, exits: Array, passersby: Array) -> Array:
    """Entries, exits and passers-by of each row together, a NULL as 0: what shares of estimates are shares of."""
    return np.asarray(np.nan_to_num(entries) + np.nan_to_num(exits) + np.nan_to_num(passersby))


@dataclass(frozen=True, slots=True, eq=False)
class Estimates:
    """Rows of `imputed_hours`: `keys` ascending and unique, `values` (rows, 3) entries, exits, passers-by; NaN is NULL."""

    keys: Array
    values: Array
    substituted: Array

    def at(self, keys: Array) -> tuple[Array, Array]:
        """For each key its values, NaN where there is no estimate, and whether they come from other doors or days."""
        if not len(self.keys):
            return np.full((len(keys), 3), np.nan), np.zeros(len(keys), dtype=bool)
        position = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        found = self.keys[position] == keys
        return np.where(found[:, None], self.values[position], np.nan), found & self.substituted[position]


def estimates(frame: pd.DataFrame, layout: Layout) -> Estimates:
    """The rows of an `imputed_hours` frame for known cameras; of two for one camera and hour the greater holds."""
    what = "imputed_hours"
    camera = frames.codes(layout.sensor_ids, frames.texts(frame, "sensor_id", what))
    second = frames.seconds(frame, "hour_start", what)
    values = np.stack([frames.numbers(frame, name, what) for name in ("entries", "exits", "passersby")], axis=1)
    substituted = frames.texts(frame, "quality", what) == "substituted"
    known = np.flatnonzero(camera >= 0)
    keys = hour_keys(camera[known], second[known])
    order = last_of_each(keys, [*values[known].T])
    rows = known[order]
    return Estimates(keys[order], values[rows], substituted[rows])


def hour_rows(frame: pd.DataFrame, layout: Layout) -> HourRows:
    """The rows of an `hourly_analytics` frame for known cameras, from their first expected day on.

    Of two rows for one camera and hour the more complete one holds, then the one with more counted.
    """
    what = "hourly_analytics"
    camera = frames.codes(layout.sensor_ids, frames.texts(frame, "sensor_id", what))
    second = frames.seconds(frame, "hour_start", what)
    names = ("data_completeness", "total_entries", "total_exits", "passersby", "traffic", "visitors")
    value = {name: frames.numbers(frame, name, what) for name in names}
    is_open = frames.flags(frame, "is_open", what)
    share = np.nan_to_num(frames.numbers(frame, "imputed_share", what))
    known = np.flatnonzero(camera >= 0)
    if np.isfinite(layout.installed).any():
        store = layout.store[camera[known]]
        day = layout.wall(store, second[known]) // frames.DAY
        known = known[~(day < layout.installed[camera[known]])]
    keys = hour_keys(camera[known], second[known])
    rows = known[last_of_each(keys, [value[name][known] for name in names])]
    camera = camera[rows]
    entries, exits, passersby = (value[name][rows] for name in ("total_entries", "total_exits", "passersby"))
    complete = value["data_completeness"][rows] >= 1
    imputed, substituted = np.zeros((2, len(rows)), dtype=bool)
    unfinished = np.flatnonzero(~complete & ~(np.isnan(entries) & np.isnan(exits) & np.isnan(passersby)))
    if len(unfinished):
        quality = frames.texts(frame[["quality"]].iloc[rows[unfinished]], "quality", what)
        imputed[unfinished], substituted[unfinished] = (
            [text is not None and any(word in text for word in words) for text in quality]
            for words in (_IMPUTED, _IMPUTED[1:])
        )
    counted = np.where(layout.is_entrance[camera], ~np.isnan(entries) & ~np.isnan(exits), ~np.isnan(passersby))
    return HourRows(
        position=rows,
        camera=camera,
        second=second[rows],
        entries=entries,
        exits=exits,
        passersby=passersby,
        traffic=value["traffic"][rows],
        visitors=value["visitors"][rows],
        is_open=is_open[rows],
        counted=(counted & ~imputed) | complete,
        complete=complete,
        imputed=imputed,
        substituted=substituted,
        estimated=share[rows] * people_of(entries, exits, passersby),
    )
