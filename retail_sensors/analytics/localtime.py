"""Local calendars of stores: wall clocks, days of 23 to 25 hours, and the days that run from reset to reset.

A store's IANA zone decides its day. Instants are whole seconds since 1970 in UTC, days whole days since 1970.
Opening hours belong in `opening`.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from retail_sensors.analytics.frames import DAY, HOUR, Array

SLOTS = 25
"""Most hours that a local day can have."""


def wall_seconds(instants: Array, zone: str) -> Array:
    """What the wall clock of a zone shows at each instant, as seconds since 1970 by that clock."""
    index = pd.DatetimeIndex(instants.astype("datetime64[s]")).tz_localize("UTC").tz_convert(zone)
    return index.tz_localize(None).to_numpy(dtype="datetime64[s]").astype(np.int64)


def day_starts(days: Array, at: int, zone: str) -> Array:
    """The instant at which the wall clock of a zone shows `at` seconds after midnight of each day.

    A time that the clock skips becomes the first instant after the gap; of a time that comes twice it is the first.
    """
    shown = days * DAY + at
    index = pd.DatetimeIndex(shown.astype("datetime64[s]"))
    local = index.tz_localize(zone, nonexistent="NaT", ambiguous=np.ones(len(index), dtype=bool))
    instants = local.tz_convert("UTC").tz_localize(None).to_numpy(dtype="datetime64[s]").astype(np.int64)
    for row in np.flatnonzero(local.isna()):
        instants[row] = _end_of_gap(int(shown[row]), ZoneInfo(zone))
    return instants


def _end_of_gap(wall: int, zone: ZoneInfo) -> int:
    """The first instant after the gap that a skipped time lies in; pandas' own shift goes to full hours only."""
    skipped = datetime.fromtimestamp(wall, UTC)
    # by the offset that holds after the gap it is an instant before it, and the other way round
    before, after = (int(skipped.replace(tzinfo=zone, fold=fold).timestamp()) for fold in (1, 0))

    def is_past(instant: int) -> bool:
        return datetime.fromtimestamp(instant, zone).replace(tzinfo=UTC) > skipped

    return before + bisect_left(range(before, after), True, key=is_past)


def walls(zones: tuple[str, ...], zone_of_row: Array, instants: Array) -> Array:
    """Wall clock of each row's zone at each row's instant; converts each distinct instant once per zone."""
    position, distinct = pd.factorize(instants)
    result = np.empty(len(instants), dtype=np.int64)
    for code in np.unique(zone_of_row):
        rows = zone_of_row == code
        result[rows] = wall_seconds(np.asarray(distinct), zones[code])[position[rows]]
    return result


@dataclass(frozen=True, slots=True, eq=False)
class Calendar:
    """Consecutive local days of every store, each from one wall-clock time to the same time of the next day.

    `starts` has shape (stores, days + 1): the last column is the end of the last day. `first` is the first day.
    """

    first: int
    starts: Array

    @property
    def count(self) -> int:
        """Number of days."""
        return int(self.starts.shape[1]) - 1

    @property
    def lengths(self) -> Array:
        """Hours of each store's days, shape (stores, days): 23, 24 or 25."""
        # a change of clocks by half an hour leaves 24 hourly reports: rint rounds 23.5 and 24.5 to 24
        return np.clip(np.rint(np.diff(self.starts, axis=1) / HOUR), 0, SLOTS).astype(np.int64)

    @property
    def slots(self) -> Array:
        """Instant at which each hour of each day starts, shape (stores, days, SLOTS)."""
        return self.starts[:, :-1, None] + np.arange(SLOTS) * HOUR

    def locate(self, store: Array, instants: Array, wall: Array) -> tuple[Array, Array]:
        """Day (as an offset from `first`, outside 0..count-1 if not covered) and hour of the day of each row."""
        day = wall // DAY - self.first
        inside = (day >= 0) & (day <= self.count)
        column = np.clip(day, 0, self.count)
        day = day - (inside & (instants < self.starts[store, column]))
        day = np.where(inside, day, np.where(day < 0, -1, self.count))
        slot = (instants - self.starts[store, np.clip(day, 0, self.count - 1)]) // HOUR
        return day, np.clip(slot, 0, SLOTS - 1)


def calendar(zones: tuple[str, ...], zone_of_store: Array, at: Array, first: int, count: int) -> Calendar:
    """The calendar of `count` days from `first` on, of stores whose days start `at` seconds after midnight."""
    days = np.arange(first, first + count + 1)
    starts = np.empty((len(zone_of_store), count + 1), dtype=np.int64)
    clocks = np.stack([zone_of_store, at], axis=1)
    for code, time in np.unique(clocks, axis=0):
        starts[(zone_of_store == code) & (at == time)] = day_starts(days, int(time), zones[code])
    return Calendar(first, starts)
