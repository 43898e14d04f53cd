"""Frames of stores on arrays (stores, days): what a store brought on each local day, from daily rows or from hours.

Which figure is made of it belongs in `kpi` and `beside`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from retail_sensors.analytics import frames
from retail_sensors.analytics.frames import DAY, Array
from retail_sensors.analytics.readings import day_keys, hour_keys, last_of_each, split_day_keys
from retail_sensors.analytics.roster import Layout, Roster

"""Bits of a day in a key of store and day; days reach the year 24 800."""


class StoreDays:
    """Stores x days from `first` on, and where the rows of a frame lie in it; only rows of known stores within the dates."""

    def __init__(self, layout: Layout, first: int, count: int) -> None:
        self.layout = layout
        self.first = first
        self.shape = (len(layout.store_ids), count)

    def cells(self, frame: pd.DataFrame, what: str) -> tuple[Array, Array]:
        """Rows of the frame that lie in the grid, and their cells."""
        store = frames.codes(self.layout.store_ids, frames.texts(frame, "store_id", what))
        offset = frames.days(frame, "date", what) - self.first
        rows = np.flatnonzero((store >= 0) & (offset >= 0) & (offset < self.shape[1]))
        return rows, store[rows] * self.shape[1] + offset[rows].astype(np.int64)

    def spread(self, cell: Array, values: Array) -> Array:
        """The values at their cells, NaN elsewhere, shape (stores, days)."""
        result = np.full(self.shape[0] * self.shape[1], np.nan)
        result[cell] = values
        return result.reshape(self.shape)

    def daily(self, frame: pd.DataFrame, names: tuple[str, ...], what: str) -> list[Array]:
        """Columns of a frame by store and day, shape (stores, days); of two rows the one with the greatest values."""
        rows, cell = self.cells(frame, what)
        columns = [frames.numbers(frame, name, what)[rows] for name in names]
        order = last_of_each(cell, columns)
        return [self.spread(cell[order], column[order]) for column in columns]

    def summed_hours(self, frame: pd.DataFrame, names: tuple[str, ...], what: str) -> list[Array]:
        """Sums of hourly columns over each local day; NaN where there is no hour or one of them is NULL."""
        store = frames.codes(self.layout.store_ids, frames.texts(frame, "store_id", what))
        second = frames.seconds(frame, "hour_start", what)
        rows = np.flatnonzero(store >= 0)
        columns = [frames.numbers(frame, name, what)[rows] for name in names]
        order = last_of_each(hour_keys(store[rows], second[rows]), columns)
        store, second = store[rows][order], second[rows][order]
        offset = self.layout.wall(store, second) // DAY - self.first
        inside = (offset >= 0) & (offset < self.shape[1])
        cell = (store * self.shape[1] + offset)[inside]
        size = self.shape[0] * self.shape[1]
        hours = np.bincount(cell, minlength=size)
        return [
            np.where(hours > 0, np.bincount(cell, weights=column[order][inside], minlength=size), np.nan).reshape(
                self.shape
            )
            for column in columns
        ]


def role_stays(stays: pd.DataFrame, roster: Roster, role: str, column: str) -> pd.DataFrame:
    """store_id, date, detections and `column` of the regions of a role together: its mean weighted by detections.

    `stays`: rows of `region_stays`. A store and day with a region of that role whose share is not known has NULL, unless nobody came
    to that region; a region of an active camera without a row is not known either, and its detections are NULL.
    """
    what = "region_stays"
    layout = roster.layout
    wanted = roster.regions[frames.texts(roster.regions, "role", "region_configurations") == role]
    owner = frames.codes(layout.sensor_ids, frames.texts(wanted, "sensor_id", "region_configurations"))
    regions = owner * 8 + frames.numbers(wanted, "region_number", "region_configurations").astype(np.int64)
    camera = frames.codes(layout.sensor_ids, frames.texts(stays, "sensor_id", what))
    region = camera * 8 + frames.numbers(stays, "region_number", what).astype(np.int64)
    rows = np.flatnonzero((camera >= 0) & np.isin(region, regions[owner >= 0]))
    day = frames.days(stays, "date", what)[rows].astype(np.int64)
    detections, share = (frames.numbers(stays, name, what)[rows] for name in ("detections", column))
    once = last_of_each(day_keys(region[rows], day), [detections, share])
    camera, day, detections, share = camera[rows][once], day[once], detections[once], share[once]
    keys, cell = np.unique(day_keys(layout.store[camera], day), return_inverse=True)
    total = np.bincount(cell, weights=detections, minlength=len(keys))
    weighted = np.bincount(cell, weights=np.where(detections == 0, 0.0, detections * share), minlength=len(keys))

    expected = owner[owner >= 0]
    expected = expected[layout.active[expected]]
    store, date = split_day_keys(keys)
    at = (layout.store[expected] == store[:, None]) & ~(date[:, None] < layout.installed[expected])
    silent = frames.tally(cell, layout.active[camera], len(keys)) < at.sum(axis=1)
    total = np.where(silent, np.nan, total)
    return pd.DataFrame(
        {
            "store_id": layout.store_ids[store],
            "date": date.astype("datetime64[D]").astype(object),
            "detections": total,
            column: frames.ratio(weighted, total),
        }
    )
