"""Where in a camera's picture people stand: maps of presence by local day, and their statistics.

Here belong how a map is kept in one cell of a table and what it adds up to. What a body says belongs in
`connectors.milesight`; one value for the whole picture and the hour is the heat of `hourly_analytics`.
"""

from __future__ import annotations

import zlib

import numpy as np
import pandas as pd

from retail_sensors.analytics import frames
from retail_sensors.analytics.frames import Array
from retail_sensors.analytics.roster import Roster
from retail_sensors.errors import ContractError
from retail_sensors.tables.regions import HEATMAP_SPATIAL_RAW

_CELL = np.dtype("<u4")
_STATISTICS = ("total_seconds", "mean_seconds", "max_seconds", "variance_seconds_squared")


def pack(cells: Array) -> bytes:
    """A map of shape (height, width), whole numbers from 0 to 2^32 - 1, as the column `cells` holds it."""
    return zlib.compress(np.ascontiguousarray(cells, dtype=_CELL).tobytes(), 6)


def unpack(packed: bytes, width: int, height: int) -> Array:
    """The map of shape (height, width) in whole numbers; ContractError when the bytes are not a map of that size."""
    try:
        raw = zlib.decompress(packed)
    except zlib.error as error:
        raise ContractError(f"The cells of a map cannot be unpacked ({error}); collect its day anew.") from error
    if len(raw) != width * height * _CELL.itemsize:
        raise ContractError(
            f"The cells of a map are {len(raw)} bytes, not those of {width} by {height} cells; collect its day anew."
        )
    return np.frombuffer(raw, dtype=_CELL).reshape(height, width).astype(np.int64)


def spatial_days(maps: pd.DataFrame, roster: Roster) -> pd.DataFrame:
    """One row of HEATMAP_SPATIAL_RAW per camera and day of the input, ordered by them.

    `maps`: that table's columns up to rejected_points, and collected_at, with unique keys. Statistics are of all cells of
    the map, those without a point included, in seconds: values over the camera's `heat_scale`. Cameras that are not in
    the roster are left out.
    """
    what, layout = "spatial heat maps", roster.layout
    camera = frames.codes(layout.sensor_ids, frames.texts(maps, "sensor_id", what))
    order = np.lexsort((frames.days(maps, "date", what), camera))
    order = order[camera[order] >= 0]
    width, height = (frames.numbers(maps, name, what)[order].astype(np.int64) for name in ("map_w", "map_h"))
    packed = frames.texts(maps, "cells", what)[order]
    statistics = np.zeros((len(order), len(_STATISTICS)))
    for row, scale in enumerate(layout.heat_scale[camera[order]]):
        cells = unpack(packed[row], int(width[row]), int(height[row])) / scale
        statistics[row] = cells.sum(), cells.mean(), cells.max(), cells.var()
    days = maps.iloc[order].reset_index(drop=True)
    columns = {name: pd.array(statistics[:, n], dtype="Float64") for n, name in enumerate(_STATISTICS)}
    return days.assign(**columns)[[column.name for column in HEATMAP_SPATIAL_RAW.written]]
