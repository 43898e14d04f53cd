"""What each camera counted since its reading before, and how full its store is now: one sweep of readings to minute rows.

The alarm status has two running counters for all lines of a camera together. Their differences are entries and exits where every
line that the registry names is an entrance of one direction; lines that it does not name are taken for not drawn. Beside a
passer-by or internal line, or between doors of two directions, nothing can be told apart: `lines_mixed`.

* A counter that fell was set to zero. What it shows is the period's count where the period has at most 15 minutes and holds the
  camera's local midnight, or 60 people a minute at most would have had to cross; else nothing is known of the period.
* A longer period over the camera's midnight tells nothing: a reset in it may have been overtaken.
* Sums since a start (hour, local day, occupancy reset) go on from row to row. Where a link is missing they are taken from the
  hourly figures up to the last collection of the running hour, if that is at most 10 minutes old, and said to be so.

What is stored of the row before and of the hours is read by `storage.realtime`; how a camera is asked belongs in `sensors.alarms`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from retail_sensors.analytics import frames, localtime
from retail_sensors.analytics.frames import DAY, HOUR, Array
from retail_sensors.analytics.quality import Vocabulary, quality_texts
from retail_sensors.analytics.roster import Layout, Roster
from retail_sensors.tables import VCA_ALARM_STATUS
from retail_sensors.tables.realtime import REALTIME_ANALYTICS

REASONS: dict[str, str] = {
    "first_reading": "there is no reading before this one",
    "not_said": "the camera did not say both counters, now or in the reading before",
    "lines_mixed": "the counters are of all lines together, and not all of them are entrances of one direction",
    "no_entrance_line": "no line has the role entrance",
    "counter_reset": "the counter was reset, and it is not known what it had counted",
    "gap_over_midnight": "no reading for over 15 minutes around the camera's midnight, when counters are reset",
    "not_from_start": "the sum is not known from its start on",
    "other_door_unknown": "it is not known how many came and left through another door of the store",
    "no_capacity": "the store has no capacity",
    "no_earlier_count": "there is no count of a quarter of an hour before",
    "no_count_yet": "no count is known since the store's occupancy reset",
    "running_hour": "as of the last collection of the running hour",
    "counted_from_zero": "the counter was reset in the period and counts from there",
}
"""Reasons for NULL, and the two notes beside values, with what they mean."""

FLAGS = tuple(column.name for column in VCA_ALARM_STATUS.columns if "alarm" in column.name)
"""Columns whose change is news."""

SHORT_SECONDS = 900
"""The longest period in which a reset may be told, and the longest span that an average goes over."""
STRADDLE_SECONDS = 300
"""A period that is no longer than this counts for the hour or day in which it ends."""
FRESH_SECONDS = 600
"""How old the last collection of the running hour may be to stand for now."""
PLAUSIBLE_PER_MINUTE = 60
TREND_PEOPLE, TREND_SHARE = 3, 0.1
"""Two counts that are each one off differ by two."""


@dataclass(frozen=True, slots=True, eq=False)
class _Before:
    """Each camera's row before with the counters of its reading, in the order of the layout; NaN: unknown."""

    second: Array
    came: Array
    left: Array
    net: Array
    hourly: Array
    daily: Array
    count: Array
    peak: Array
    peak_second: Array
    average: Array
    observed: Array
    earlier: Array


def changed_flags(readings: pd.DataFrame, previous: pd.DataFrame) -> list[tuple[str, tuple[int | None, ...]]]:
    """Cameras whose alarm flags differ from those of their row before, with the new flags, in the order of their ids.

    A camera without a row before has changed nothing. `readings`: rows of `vca_alarm_status`; `previous` as for `minute_rows`.
    """
    known = previous[previous["period_end"].notna()].set_index("sensor_id")
    changed = []
    for row in readings.sort_values("sensor_id").to_dict("records"):
        if row["sensor_id"] not in known.index:
            continue
        before = known.loc[row["sensor_id"]]
        now = tuple(_flag(row[name]) for name in FLAGS)
        if now != tuple(_flag(before[name]) for name in FLAGS):
            changed.append((str(row["sensor_id"]), now))
    return changed


def _flag(value: Any) -> int | None:
    return None if pd.isna(value) else int(value)


def minute_rows(
    readings: pd.DataFrame,
    latencies: pd.DataFrame,
    previous: pd.DataFrame,
    hours: pd.DataFrame,
    roster: Roster,
    now: datetime,
) -> pd.DataFrame:
    """Rows of `realtime_analytics`, one for each reading of a camera of the roster.

    readings: one row of `vca_alarm_status` a camera. latencies: sensor_id, latency_ms. previous and hours: as `storage.realtime`
    reads them, instants in seconds. A camera that was not read counts on in its store with a row of the last 5 minutes or with
    its hours.
    """
    layout = roster.layout
    words = Vocabulary()
    cameras = len(layout.sensor_ids)
    at = np.full(cameras, frames.instant(now, "now"))
    what = "vca_alarm_status"
    camera = frames.codes(layout.sensor_ids, frames.texts(readings, "sensor_id", what))
    rows, place = np.flatnonzero(camera >= 0), camera[camera >= 0]
    at[place] = frames.seconds(readings, "timestamp", what)[rows]
    is_read = np.zeros(cameras, dtype=bool)
    is_read[place] = True
    came, left = np.full((2, cameras), np.nan)
    came[place] = frames.numbers(readings, "current_in_count", what)[rows]
    left[place] = frames.numbers(readings, "current_out_count", what)[rows]
    before = _before(previous, layout)

    starts = _starts(layout, roster, at)
    entries, exits, unknown, from_zero = _crossings(words, layout, roster, at, came, left, before, starts.camera_day)
    gap = at - before.second
    is_bounded = (gap <= STRADDLE_SECONDS) | ((entries == 0) & (exits == 0))

    def since(start: Array, carried: Array, change: Array, by_hours: Array) -> tuple[Array, Array]:
        """The sum since the start, and why there is none or what it rests on."""
        linked = np.where(before.second >= start, carried + change, np.where(is_bounded, change, np.nan))
        value = np.where(np.isnan(linked), by_hours, linked)
        why = words.first(
            cameras,
            (~np.isnan(linked), ""),
            (~np.isnan(value), "running_hour"),
            (unknown > 0, unknown),
            (True, "not_from_start"),
        )
        return value, why

    sums = _Hours(hours, layout, at)
    hourly, hourly_why = since(starts.hour, before.hourly, entries, sums.since(starts.hour)[0])
    daily, daily_why = since(starts.day, before.daily, entries, sums.since(starts.day)[0])
    in_hours, out_hours = sums.since(starts.reset)
    net, net_why = since(starts.reset, before.net, entries - exits, in_hours - out_hours)

    is_recent = ~is_read & (before.second >= starts.reset) & (gap <= STRADDLE_SECONDS) & ~np.isnan(before.net)
    net = np.where(is_recent, before.net, net)
    count, count_why = _inside(words, layout, net, net_why)
    same_day = before.second >= starts.reset
    peak_before = np.where(same_day, before.peak, np.nan)
    peak = np.fmax(peak_before, count)
    is_higher = ~np.isnan(count) & ~(count <= peak_before)
    span = np.where(same_day & (gap <= SHORT_SECONDS) & ~np.isnan(count + before.count), gap / 60, 0.0)
    observed_before = np.where(same_day, np.nan_to_num(before.observed), 0.0)
    observed = observed_before + span
    people_minutes = observed_before * np.nan_to_num(before.average) + span * np.nan_to_num((before.count + count) / 2)
    percent = 100 * frames.ratio(count, layout.capacity[layout.store])
    trend = _trend(count, before.earlier)
    no_count = np.where(np.isnan(count), count_why, 0).astype(np.int16)
    notes = [
        (("entries", "exits"), words.first(cameras, (unknown > 0, unknown), (from_zero, "counted_from_zero"))),
        (("net_count",), net_why),
        (("current_count",), count_why),
        (
            ("current_occupancy_percent",),
            words.first(cameras, (no_count > 0, no_count), (np.isnan(percent), "no_capacity")),
        ),
        (
            ("count_trend",),
            words.first(cameras, (no_count > 0, no_count), (np.isnan(before.earlier), "no_earlier_count")),
        ),
        (("peak_count",), words.first(cameras, (np.isnan(peak), "no_count_yet"))),
        (("hourly_count",), hourly_why),
        (("daily_count",), daily_why),
    ]
    quality = quality_texts(words, cameras, notes)
    latency = np.full(cameras, np.nan)
    answered = frames.codes(layout.sensor_ids, frames.texts(latencies, "sensor_id", "collection_log"))
    latency[answered[answered >= 0]] = frames.numbers(latencies, "latency_ms", "collection_log")[answered >= 0]
    values = {
        "sensor_id": layout.sensor_ids,
        "period_end": at,
        "period_start": before.second,
        "entries": entries,
        "exits": exits,
        "net_count": net,
        "current_count": count,
        "current_occupancy_percent": percent,
        "count_trend": trend,
        "peak_count": peak,
        "peak_timestamp": np.where(is_higher, at, np.where(same_day, before.peak_second, np.nan)),
        "average_count": frames.ratio(people_minutes, observed),
        "observed_minutes": observed,
        "hourly_count": hourly,
        "daily_count": daily,
        "latency_ms": latency,
        "quality": quality,
    }
    values["peak_timestamp"] = np.where(np.isnan(peak), np.nan, values["peak_timestamp"])
    return frames.build(REALTIME_ANALYTICS, {name: _column(name, value[is_read]) for name, value in values.items()})


def _column(name: str, values: Array) -> Array:
    """Instants as datetime64 with NaT for NaN, whole people as whole numbers; others as they are."""
    if name in ("period_start", "peak_timestamp"):
        unknown = np.isnan(values)
        return np.where(unknown, np.datetime64("NaT"), np.where(unknown, 0, values).astype("datetime64[s]"))
    return (
        np.rint(values)
        if name in ("net_count", "current_count", "peak_count", "hourly_count", "daily_count")
        else values
    )


def _before(previous: pd.DataFrame, layout: Layout) -> _Before:
    what = "the rows before"
    camera = frames.codes(layout.sensor_ids, frames.texts(previous, "sensor_id", what))
    known = camera >= 0

    def column(name: str) -> Array:
        result = np.full(len(layout.sensor_ids), np.nan)
        result[camera[known]] = frames.numbers(previous, name, what)[known]
        return result

    return _Before(
        second=column("period_end"),
        came=column("current_in_count"),
        left=column("current_out_count"),
        net=column("net_count"),
        hourly=column("hourly_count"),
        daily=column("daily_count"),
        count=column("current_count"),
        peak=column("peak_count"),
        peak_second=column("peak_second"),
        average=column("average_count"),
        observed=column("observed_minutes"),
        earlier=column("earlier_count"),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Starts:
    """The instants from which each camera's sums are counted."""

    hour: Array
    day: Array
    reset: Array
    camera_day: Array


def _starts(layout: Layout, roster: Roster, at: Array) -> _Starts:
    """Start of the camera's local hour and local day, of the store's local day and of its occupancy day, at each instant."""
    zone_of = dict(
        zip(
            frames.texts(roster.sensors, "id", "sensor_metadata"),
            frames.texts(roster.sensors, "timezone", "sensor_metadata"),
            strict=True,
        )
    )
    zones, zone = np.unique([str(zone_of[camera]) for camera in layout.sensor_ids], return_inverse=True)
    wall = localtime.walls(tuple(zones.tolist()), zone, at)
    store_zone = layout.zone[layout.store]
    return _Starts(
        hour=at - wall % HOUR,
        day=_last_start(layout.zones, store_zone, np.zeros_like(at), at),
        reset=_last_start(layout.zones, store_zone, layout.reset[layout.store], at),
        camera_day=_last_start(tuple(zones.tolist()), zone, np.zeros_like(at), at),
    )


def _last_start(zones: tuple[str, ...], zone: Array, clock: Array, at: Array) -> Array:
    """The last instant up to each row's at which its zone's wall clock showed `clock` seconds after midnight."""
    if not len(at):
        return at
    first = int(at.min()) // DAY - 2
    starts = localtime.calendar(zones, zone, clock, first, int(at.max()) // DAY - first + 2).starts
    return np.where(starts <= at[:, None], starts, starts[:, :1]).max(axis=1)


def _crossings(
    words: Vocabulary,
    layout: Layout,
    roster: Roster,
    at: Array,
    came: Array,
    left: Array,
    before: _Before,
    camera_day: Array,
) -> tuple[Array, Array, Array, Array]:
    """Entries and exits since the row before, why there are none, and whether they count from a reset."""
    named = np.zeros((len(at), 4), dtype=bool)
    camera = frames.codes(layout.sensor_ids, frames.texts(roster.lines, "sensor_id", "counting_lines"))
    line = frames.numbers(roster.lines, "line_number", "counting_lines").astype(np.int64) - 1
    named[camera[camera >= 0], line[camera >= 0]] = True
    inverted = (layout.entrance & layout.inverted).any(axis=1)
    is_forward = (layout.entrance & ~layout.inverted).any(axis=1)
    is_mixed = np.asarray((named & ~layout.entrance).any(axis=1) | (inverted & is_forward))
    gap = at - before.second
    has_fallen = (came < before.came) | (left < before.left)
    over_midnight = before.second < camera_day
    most = PLAUSIBLE_PER_MINUTE * gap / 60
    from_zero = has_fallen & (gap <= SHORT_SECONDS) & (over_midnight | ((came <= most) & (left <= most)))
    unknown = words.first(
        len(at),
        (~layout.is_entrance, "no_entrance_line"),
        (is_mixed, "lines_mixed"),
        (np.isnan(before.second), "first_reading"),
        (np.isnan(came + left + before.came + before.left), "not_said"),
        (has_fallen & ~from_zero, "counter_reset"),
        ((gap > SHORT_SECONDS) & over_midnight, "gap_over_midnight"),
    )
    along = np.where(unknown > 0, np.nan, np.where(has_fallen, came, came - before.came))
    against = np.where(unknown > 0, np.nan, np.where(has_fallen, left, left - before.left))
    return (
        np.where(inverted, against, along),
        np.where(inverted, along, against),
        unknown,
        from_zero & (unknown == 0),
    )


class _Hours:
    """Sums of the hourly figures of each camera up to its instant."""

    def __init__(self, hours: pd.DataFrame, layout: Layout, at: Array) -> None:
        what = "the counted hours"
        camera = frames.codes(layout.sensor_ids, frames.texts(hours, "sensor_id", what))
        second, until, entries, exits = (
            frames.numbers(hours, name, what) for name in ("hour_start", "counted_until", "entries", "exits")
        )
        known = np.flatnonzero(camera >= 0)
        known = known[second[known] <= at[camera[known]]]
        self._at = at
        self._camera = camera[known]
        self._second, self._until, self._entries, self._exits = (
            values[known] for values in (second, until, entries, exits)
        )

    def since(self, start: Array) -> tuple[Array, Array]:
        """Entries and exits in the hours from each camera's start on; NaN where one is missing or the last is not fresh."""
        cameras = len(start)
        inside = self._second >= start[self._camera]
        camera, second = self._camera[inside], self._second[inside]
        count = np.bincount(camera, minlength=cameras)
        first, last, until = np.full(cameras, np.inf), np.full((2, cameras), -np.inf)[0], np.full(cameras, -np.inf)
        np.minimum.at(first, camera, second)
        np.maximum.at(last, camera, second)
        np.fmax.at(until, camera, self._until[inside])
        with np.errstate(invalid="ignore"):
            is_whole = (first - start < HOUR) & (np.rint((last - first) / HOUR) + 1 == count)
        is_usable = (count > 0) & is_whole & (self._at - until <= FRESH_SECONDS)
        entries, exits = (
            np.where(is_usable, np.bincount(camera, weights=values[inside], minlength=cameras), np.nan)
            for values in (self._entries, self._exits)
        )
        return entries, exits


def _inside(words: Vocabulary, layout: Layout, net: Array, net_why: Array) -> tuple[Array, Array]:
    """People in each camera's store, and why they are not known or what the number rests on."""
    stores = len(layout.store_ids)
    is_door = layout.is_entrance & layout.active
    doors = layout.per_store(is_door)
    silent = layout.per_store(is_door & np.isnan(net))
    total = np.bincount(layout.store, weights=np.where(is_door, np.nan_to_num(net), 0.0), minlength=stores)
    by_hours = layout.per_store(is_door & (net_why == words.code("running_hour"))) > 0
    count = np.where((doors > 0) & (silent == 0), np.maximum(total, 0.0), np.nan)
    why = words.first(
        len(net),
        ((doors == 0)[layout.store], "no_entrance_line"),
        ((silent == 0)[layout.store], words.first(len(net), (by_hours[layout.store], "running_hour"))),
        (is_door & np.isnan(net), net_why),
        (True, "other_door_unknown"),
    )
    return count[layout.store], why


def _trend(count: Array, earlier: Array) -> Array:
    """The way that the count went; None where one of the two is unknown."""
    change = count - earlier
    has_moved = (np.abs(change) >= TREND_PEOPLE) & (np.abs(change) >= TREND_SHARE * np.fmax(count, earlier))
    words = np.array(["stable", "increasing", "decreasing", None], dtype=object)
    return words[np.select([np.isnan(change), has_moved & (change > 0), has_moved], [3, 1, 2], 0)]
