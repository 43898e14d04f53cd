"""Frames of stores on arrays (stores, days): what a store brought on each local day, from daily rows or from hours.

Which figure is made of it belongs in `kpi` and `beside`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from retail_sensors.analytics import frames
from retail_sensors.analytics.frames import DAY, Array
from retail_sensors.analytics.readings import hour_keys, last_of_each
from retail_sensors.analytics.roster import Layout, Roster


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
    to that region.
    """
    what = "region_stays"
    layout = roster.layout
    wanted = roster.regions[frames.texts(roster.regions, "role", "region_configurations") == role]
    regions = set(zip(wanted["sensor_id"], wanted["region_number"].astype(int), strict=True))
    pairs = zip(frames.texts(stays, "sensor_id", what), frames.numbers(stays, "region_number", what), strict=True)
    chosen = np.array([(sensor, int(region)) in regions for sensor, region in pairs], dtype=bool)
    camera = frames.codes(layout.sensor_ids, frames.texts(stays, "sensor_id", what))
    rows = np.flatnonzero(chosen & (camera >= 0)) if len(stays) else np.empty(0, dtype=np.int64)
    store, day = layout.store[camera[rows]], frames.days(stays, "date", what)[rows].astype(np.int64)
    detections = frames.numbers(stays, "detections", what)[rows]
    share = frames.numbers(stays, column, what)[rows]
    keys, cell = np.unique(store << 23 | day, return_inverse=True)
    total = np.bincount(cell, weights=np.where(detections > 0, detections, 0.0), minlength=len(keys))
    weighted = np.bincount(cell, weights=np.where(detections > 0, detections * share, 0.0), minlength=len(keys))
    return pd.DataFrame(
        {
            "store_id": layout.store_ids[keys >> 23],
            "date": (keys & ((1 << 23) - 1)).astype("datetime64[D]").astype(object),
            "detections": total,
            column: frames.ratio(weighted, total),
        }
    )
