"""Which hours of cameras are missing, how far their gaps reach, and what they are taken for: rows of `imputed_hours`.

Here belongs what lies between raw rows and `imputation`: an hour is missing when it has ended, was asked for, falls into opening
hours and was not counted whole. A counter that is dead at zero was counted, and is not missing; nor is an hour before the first
one that the camera counted, since nothing says that it hung there. How an estimate is made belongs in `imputation`, what it does
to the figures in `hourly` and `daily`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from retail_sensors.analytics import frames
from retail_sensors.analytics.frames import DAY, HOUR, Array
from retail_sensors.analytics.imputation import impute
from retail_sensors.analytics.readings import asked_hours, raw_readings, split_keys
from retail_sensors.analytics.roster import LINES, Layout, Roster
from retail_sensors.analytics.traffic import Counts, has_wanted, line_counts
from retail_sensors.tables.missing import IMPUTED_HOURS

REASONS: dict[str, str] = {"imputed": "some of it was estimated and not measured"}
"""Reason for NULL in the figures, and flag of passers-by, beside an estimate."""

REACH_DAYS = 9
"""Days around a window in which a gap that touches it is looked for: an estimated one is at most 7 days long."""

COUNTED = tuple(f"line{line}_{way}" for line in LINES for way in ("in", "out"))
"""Columns of people_counting_raw that make the counts, beside the camera, the hour, `collected_at` and `is_final`."""

_VALUES = ("entries", "exits", "passersby")
_ANSWERS = ("ok", "ok_with_rejects")


@dataclass(frozen=True, slots=True, eq=False)
class _Hours:
    """Ended hours of cameras with a role that were asked for or read, by camera, then time; a row each.

    `measured`: counted, and finally; `missing`: open, asked for, and not counted, or only in part and then in vain.
    """

    camera: Array
    second: Array
    wall: Array
    counts: Counts
    counted: Array
    is_open: Array
    final: Array
    measured: Array
    missing: Array


def _hours(people: pd.DataFrame, asked: pd.DataFrame, layout: Layout, now: datetime) -> _Hours:
    readings = raw_readings(people, "people_counting_raw", COUNTED, layout)
    log = asked_hours(asked, layout)
    keys = np.union1d(readings.keys, log.keys)
    camera, second = split_keys(keys)
    wall = layout.wall(layout.store[camera], second)
    has_role = layout.is_entrance | layout.is_passerby
    kept = has_role[camera] & (second + HOUR <= frames.instant(now, "now"))
    kept &= ~(wall // DAY < layout.installed[camera])
    keys, camera, second, wall = keys[kept], camera[kept], second[kept], wall[kept]
    _, values, final = readings.at(keys)
    counts = line_counts(values, camera, layout)
    counted = has_wanted(counts, camera, layout)
    logged, outcome = log.at(keys)
    answered = np.array([word in _ANSWERS for word in log.outcomes] or [False])[outcome] & logged
    is_open = layout.is_open(layout.store[camera], wall)
    return _Hours(
        camera=camera,
        second=second,
        wall=wall,
        counts=counts,
        counted=counted,
        is_open=is_open,
        final=final,
        measured=counted & final,
        # counts that are not final are those of a part of the hour, unless the next answer is only minutes away
        missing=logged & is_open & ~(counted & (final | answered)),
    )


def missing_hours(people: pd.DataFrame, asked: pd.DataFrame, roster: Roster, now: datetime) -> pd.DataFrame:
    """sensor_id, hour_start: the open hours that ended by `now`, were asked for, and were not counted whole.

    `people`: rows of people_counting_raw; `asked`: sensor_id, hour_start, outcome of `collection_log` for people_counting.
    """
    hours = _hours(people, asked, roster.layout, now)
    return pd.DataFrame(
        {
            "sensor_id": pd.array(roster.layout.sensor_ids[hours.camera[hours.missing]], dtype="string"),
            "hour_start": _instants(hours.second[hours.missing]),
        }
    )


def gaps_at(
    people: pd.DataFrame, asked: pd.DataFrame, roster: Roster, window: tuple[datetime, datetime], now: datetime
) -> pd.DataFrame:
    """sensor_id, after, before, is_hopeless: for each camera the measured open hours around the gaps that touch the window.

    `people` and `asked` as for `missing_hours`, REACH_DAYS around the window; what is not among them counts as missing.
    Missing hours between `after` and `before` belong to a gap that touches the window, or end in it. A camera without such
    hours has no row. NULL: no hour was measured on that side. `is_hopeless`: nor in the window, so that there is no estimate.
    """
    layout = roster.layout
    start, end = (frames.instant(moment, "window") for moment in window)
    hours = _hours(people, asked, layout, now)
    cameras = len(layout.sensor_ids)
    after, before = np.full(cameras, -1, dtype=np.int64), np.full(cameras, np.iinfo(np.int64).max)
    sure = hours.measured & hours.is_open
    left, right = sure & (hours.second < start), sure & (hours.second >= end)
    np.maximum.at(after, hours.camera[left], hours.second[left])
    np.minimum.at(before, hours.camera[right], hours.second[right])
    within = (hours.second > after[hours.camera]) & (hours.second < before[hours.camera])
    touched = np.flatnonzero(frames.tally(hours.camera, hours.missing & within, cameras))
    seen = frames.tally(hours.camera, sure, cameras) > 0
    return pd.DataFrame(
        {
            "sensor_id": pd.array(layout.sensor_ids[touched], dtype="string"),
            "after": _instants(after[touched], unknown=after[touched] < 0),
            "before": _instants(before[touched], unknown=before[touched] == np.iinfo(np.int64).max),
            "is_hopeless": ~seen[touched],
        }
    )


def within_gaps(hours: pd.DataFrame, gaps: pd.DataFrame) -> Array:
    """Whether each row (sensor_id, hour_start) lies between the measured hours around its camera's gaps, of `gaps_at`."""
    of_gap = hours[["sensor_id", "hour_start"]].merge(gaps, on="sensor_id", how="left", indicator=True)
    inside = (of_gap["_merge"] == "both") & ~(of_gap["hour_start"] <= of_gap["after"])
    return np.asarray(inside & ~(of_gap["hour_start"] >= of_gap["before"]), dtype=bool)


def estimated_hours(
    people: pd.DataFrame, asked: pd.DataFrame, roster: Roster, now: datetime, holidays: pd.DataFrame | None = None
) -> pd.DataFrame:
    """One row of `imputed_hours` per missing hour for which there is an honest estimate.

    `people`: rows of people_counting_raw of whole stores, `imputation.CONTEXT_DAYS` around the hours; `asked`: as for
    `missing_hours`, only the hours to estimate; `holidays`: store_id, date. An hour before the camera's first measured one gets
    no estimate, nor one whose counted part is more than what is usual.
    """
    layout = roster.layout
    hours = _hours(people, asked, layout, now)
    rows = _to_impute(hours, layout, holidays)
    filled = impute(rows, _VALUES)
    given = rows[list(_VALUES)].to_numpy(dtype=np.float64)
    used = filled[list(_VALUES)].to_numpy(dtype=np.float64, na_value=np.nan)
    first = np.full(len(layout.sensor_ids), np.iinfo(np.int64).max)
    np.minimum.at(first, hours.camera[hours.measured], hours.second[hours.measured])
    row = rows.index.to_numpy()
    chosen = hours.missing[row] & filled["method"].notna().to_numpy() & (hours.second[row] > first[hours.camera[row]])
    chosen &= ~hours.counted[row] | (np.nan_to_num(used) > np.nan_to_num(given)).any(axis=1)
    taken, row = filled[chosen], row[chosen]
    return frames.build(
        IMPUTED_HOURS,
        {
            "sensor_id": layout.sensor_ids[hours.camera[row]],
            "hour_start": hours.second[row],
            **dict(zip(_VALUES, used[chosen].T, strict=True)),
            **{name: frames.texts(taken, name, "hours") for name in ("quality", "method", "donors")},
        },
    )


def _to_impute(hours: _Hours, layout: Layout, holidays: pd.DataFrame | None) -> pd.DataFrame:
    """The hours as `impute` takes them, without those that are not whole hours from their camera's last one.

    A zone whose clock changes by half an hour has such hours, and no donors beyond the change.
    """
    last = np.append(hours.camera[1:] != hours.camera[:-1], True) if len(hours.camera) else np.empty(0, dtype=bool)
    phase = np.zeros(len(layout.sensor_ids), dtype=np.int64)
    phase[hours.camera[last]] = hours.second[last] % HOUR
    kept = np.flatnonzero(hours.second % HOUR == phase[hours.camera])
    camera, store = hours.camera[kept], layout.store[hours.camera[kept]]
    return pd.DataFrame(
        {
            "series": layout.sensor_ids[camera],
            "store_id": layout.store_ids[store],
            "timezone": np.array(layout.zones, dtype=object)[layout.zone[store]],
            "hour_start": _instants(hours.second[kept]),
            "entries": hours.counts.entries[kept],
            "exits": hours.counts.exits[kept],
            "passersby": hours.counts.passersby[kept],
            "is_open": hours.is_open[kept],
            "is_holiday": _on_holidays(store, hours.wall[kept] // DAY, layout, holidays),
            "is_partial": ~hours.final[kept],
        },
        index=kept,
    )


def _on_holidays(store: Array, day: Array, layout: Layout, holidays: pd.DataFrame | None) -> Array:
    if holidays is None or not len(holidays):
        return np.zeros(len(store), dtype=bool)
    of = frames.codes(layout.store_ids, frames.texts(holidays, "store_id", "holidays"))
    dates = frames.days(holidays, "date", "holidays").astype(np.int64)
    return np.isin((store << 32) + day, ((of << 32) + dates)[of >= 0])


def _instants(seconds: Array, unknown: Array | None = None) -> pd.DatetimeIndex:
    stamps = np.where(False if unknown is None else unknown, 0, seconds).astype("datetime64[s]")
    if unknown is not None:
        stamps[unknown] = np.datetime64("NaT")
    return pd.DatetimeIndex(stamps.astype("datetime64[us]")).tz_localize("UTC")
