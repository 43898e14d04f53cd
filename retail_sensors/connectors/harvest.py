"""The frames of one sweep: the columns of each endpoint's rows, of the log and of what was refused, empty ones included.

What is written into them belongs in `collector`. `DAY_ENDPOINTS` bring other rows than their tables have:

* `region_stays`: sensor_id, region_number, date and `stays.STAY_COLUMNS`, one row for each region that the camera reports, and
  only where every question of the day is answered;
* `spatial_heatmap`: sensor_id, date, map_w, map_h, max, cells (as `analytics.spatial` packs them), rejected_points, collected_at.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from retail_sensors.connectors import milesight
from retail_sensors.connectors.base import Collection, Endpoint, TimeWindow
from retail_sensors.connectors.stays import STAY_COLUMNS

VALUE_COLUMNS: dict[Endpoint, tuple[str, ...]] = {
    Endpoint.PEOPLE_COUNTING: milesight.PEOPLE_VALUES,
    Endpoint.REGIONAL_COUNTING: milesight.REGIONAL_VALUES,
    Endpoint.HEATMAP_TEMPORAL: milesight.HEATMAP_VALUES,
    Endpoint.ALARM_STATUS: milesight.ALARM_VALUES,
}

_TEXT, _INTEGER, _FLOAT, _BOOLEAN, _INSTANT, _OBJECT = "string", "Int64", "Float64", "boolean", "instant", "object"

_LOG_COLUMNS = {
    "sensor_id": _TEXT,
    "endpoint": _TEXT,
    "hour_start": _INSTANT,
    "outcome": _TEXT,
    "http_status": _INTEGER,
    "row_count": _INTEGER,
    "rejected_count": _INTEGER,
    "latency_ms": _FLOAT,
    "attempts": _INTEGER,
    "error": _TEXT,
    "clock_offset_seconds": _FLOAT,
    "asked_at": _INSTANT,
    "run_id": _TEXT,
}

_REJECTED_COLUMNS = {
    "sensor_id": _TEXT,
    "endpoint": _TEXT,
    "local_day": _OBJECT,
    "payload_hash": _TEXT,
    "reason": _TEXT,
    "raw": _OBJECT,
    "received_at": _INSTANT,
    "run_id": _TEXT,
}


def _row_columns(endpoint: Endpoint) -> dict[str, str]:
    if endpoint is Endpoint.REGION_STAYS:
        return {
            "sensor_id": _TEXT,
            "region_number": _INTEGER,
            "date": _OBJECT,
            **dict.fromkeys(STAY_COLUMNS, _INTEGER),
        }
    if endpoint is Endpoint.SPATIAL_HEATMAP:
        return {
            "sensor_id": _TEXT,
            "date": _OBJECT,
            "map_w": _INTEGER,
            "map_h": _INTEGER,
            "max": _INTEGER,
            "cells": _OBJECT,
            "rejected_points": _INTEGER,
            "collected_at": _INSTANT,
        }
    values = VALUE_COLUMNS[endpoint]
    if endpoint is Endpoint.ALARM_STATUS:
        return {"sensor_id": _TEXT, "timestamp": _INSTANT, **dict.fromkeys(values, _INTEGER), "extra": _TEXT}
    kind = _FLOAT if endpoint is Endpoint.HEATMAP_TEMPORAL else _INTEGER
    return {
        "sensor_id": _TEXT,
        "timestamp": _INSTANT,
        "end_time": _INSTANT,
        **dict.fromkeys(values, kind),
        "local_label": _TEXT,
        "label_flag": _TEXT,
        "collected_at": _INSTANT,
        "is_final": _BOOLEAN,
    }


class _Columns:
    """Lists that grow into one frame: one list for each column, built once for the whole fleet."""

    def __init__(self, columns: dict[str, str]) -> None:
        self._kinds = columns
        self._rows: list[tuple[Any, ...]] = []
        self.append = self._rows.append

    def frame(self) -> pd.DataFrame:
        lists = zip(*self._rows, strict=True) if self._rows else [()] * len(self._kinds)
        return pd.DataFrame(
            {name: _array(list(values), kind) for (name, kind), values in zip(self._kinds.items(), lists, strict=True)}
        )


def _array(values: list[Any], kind: str) -> pd.Series[Any]:
    return pd.Series(values, dtype="datetime64[us, UTC]" if kind == _INSTANT else kind)


class Harvest:
    """What one sweep has collected so far for one endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.rows = _Columns(_row_columns(endpoint))
        self.log = _Columns(_LOG_COLUMNS)
        self.rejected = _Columns(_REJECTED_COLUMNS)
        self.rejected_keys: set[tuple[str, str]] = set()

    def collection(self, window: TimeWindow) -> Collection:
        return Collection(self.endpoint, window, self.rows.frame(), self.log.frame(), self.rejected.frame())


def together(endpoint: Endpoint, window: TimeWindow, collections: Iterable[Collection]) -> Collection:
    """Sweeps over parts of a window, or over some of the cameras each, as one collection of the window; none: an empty one."""
    nothing = Harvest(endpoint).collection(window)
    parts = list(collections)
    left_out = {name: why for part in parts for name, why in part.left_out.items()}

    def joined(empty: pd.DataFrame, frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
        filled = [frame for frame in frames if len(frame)]
        return pd.concat(filled, ignore_index=True) if filled else empty

    return Collection(
        endpoint,
        window,
        joined(nothing.rows, (part.rows for part in parts)),
        joined(nothing.log, (part.log for part in parts)),
        joined(nothing.rejected, (part.rejected for part in parts)),
        left_out,
    )
