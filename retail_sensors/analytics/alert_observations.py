"""What alerts look at: one value of one metric of one camera or store, and the time that it is about.

Figures and the collection log in, observations out. Which value is too high belongs in `alert_rules`, when that becomes an
alert in `alerts`. A store that is closed is crowded by nobody and waits for nobody: its observations say that they have ended.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from retail_sensors.analytics import frames
from retail_sensors.analytics.localtime import day_starts
from retail_sensors.analytics.roster import Roster

REASONS: dict[str, str] = {
    "overloaded": "more customers came than the open lanes can serve: the wait has no bound",
}
"""Why an alert's value has no number, in its `metrics`."""

CLOSED = "The store is closed."
BACK_TO_USUAL = "The counts are back to what is usual."
SWITCHED_OFF = "The camera was switched off."
NOTHING_LOWER = "No count of the last day is set aside any more."
NONE_SWITCHED_ON = "No camera of the store is switched on."

GAP_RECOVERS = timedelta(hours=4)
"""Hours that are still missing so long after their end were not made good by asking again."""

MEASURED = frozenset({"measured", "partial", "provisional"})
"""Words of `quality.counts` for hours that some camera counted."""

_OF_CAMERAS = ("anomaly_severity", "minutes_since_answer", "clock_offset_seconds", "hours_set_aside")
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_MINUTE = timedelta(minutes=1)
_AS_FRESH = timedelta(minutes=2)
"""Minutes come each minute: a figure that was made in between is no fresher than they are."""


@dataclass(frozen=True, slots=True)
class Sources:
    """The newest rows of each table that alerts look at; a window that is long enough for the rules, all its rows."""

    store_hours: pd.DataFrame
    """store_id, hour_start, is_open, avg_occupancy, utilization, quality, updated_at of `store_hourly`."""
    queue_hours: pd.DataFrame
    """store_id, hour_start, estimated_wait_time_minutes, predicted_queue_length, abandonment_risk_score, is_overloaded,
    recommended_open_lanes of `queue_analytics`."""
    key_figures: pd.DataFrame
    """scope_id, date, metric_name, metric_value, benchmark_value of `kpi_metrics`."""
    anomalies: pd.DataFrame
    """sensor_id, anomaly_type, detected_at, started_at, ended_at, severity, expected_value, actual_value, potential_causes,
    recommended_actions, auto_resolved of `anomalies_detected`."""
    log: pd.DataFrame
    """sensor_id, outcome, asked_at, last_success_at of `collection_log`."""
    revisions: pd.DataFrame = field(default_factory=pd.DataFrame)
    """table_name, sensor_id, timestamp, action, recorded_at of `raw_revisions`."""
    minutes: pd.DataFrame = field(default_factory=pd.DataFrame)
    """store_id, period_start, period_end, current_count, current_occupancy_percent of `realtime_analytics`, in the order of time."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One value of one metric. `value` None: the condition cannot be, for the reason in `ended`; infinite: beyond any number.

    `seen_from` and `seen_until`: the time that it is about. `subject` and `zone`: the camera's or store's name and clock.
    `is_lasting`: it holds until its source says otherwise, however old it is. `details`: what a text about it needs.
    """

    metric: str
    sensor_id: str | None
    store_id: str
    subject: str
    zone: str
    value: float | None
    seen_from: datetime
    seen_until: datetime
    details: Mapping[str, Any] = field(default_factory=dict)
    is_lasting: bool = False
    ended: str | None = None

    @property
    def key(self) -> str:
        """The camera, or where it is about a store the store."""
        return self.sensor_id or self.store_id


def observations(sources: Sources, roster: Roster, now: datetime) -> list[Observation]:
    """What the sources say of the cameras and stores of the roster at `now`; what lies after `now` is left out."""
    watch = _Watch(roster, now)
    return [
        *watch.crowds(sources.store_hours, sources.minutes),
        *watch.queues(sources.queue_hours),
        *watch.conversions(sources.key_figures),
        *watch.anomalies(sources.anomalies),
        *watch.answers(sources.log),
        *watch.clocks(),
        *watch.lower_counts(sources.revisions),
        *watch.counts(sources.store_hours),
        *watch.switched_off(),
    ]


@dataclass(frozen=True, slots=True)
class _Place:
    """A camera or store: its identity, its store, that store's position in the layout, and what texts call it."""

    sensor_id: str | None
    store_id: str
    position: int
    name: str
    zone: str


class _Watch:
    """The estate at one instant."""

    def __init__(self, roster: Roster, now: datetime) -> None:
        self._layout = roster.layout
        self._roster = roster
        self._now = now
        names = dict(zip(roster.stores["id"], roster.stores["store_name"], strict=True))
        layout = roster.layout
        self._stores = {
            store: _Place(None, store, position, names[store], layout.zones[layout.zone[position]])
            for position, store in enumerate(layout.store_ids)
        }
        self._active = set(layout.sensor_ids[layout.active])
        self._cameras: dict[str, _Place] = {}
        for camera, name, position in zip(layout.sensor_ids, layout.names, layout.store, strict=True):
            store = self._stores[layout.store_ids[position]]
            self._cameras[camera] = _Place(camera, store.store_id, store.position, name, store.zone)

    def crowds(self, hours: pd.DataFrame, minutes: pd.DataFrame) -> Iterator[Observation]:
        """The share of its capacity that each store held in each hour, and by the minute for as long as that is known.

        The running hour counts as far as it has come, and each hour only up to the first minute of its store.
        """
        counted = self._counted_minutes(hours, minutes)
        for row in _rows(hours):
            place = self._stores.get(row["store_id"])
            if place is None or row["hour_start"] > self._now:
                continue
            capacity = self._layout.capacity[place.position]
            until = self._until(row)
            if place.store_id in counted:
                until = min(until, counted[place.store_id][0]["period_start"])
                if until <= row["hour_start"]:
                    continue
            if not row["is_open"]:
                yield self._seen("utilization_percent", place, None, row["hour_start"], until, ended=CLOSED)
            elif not pd.isna(row["utilization"]):
                details = {"avg_occupancy": float(row["avg_occupancy"]), "capacity": float(capacity)}
                value = 100 * float(row["utilization"])
                yield self._seen("utilization_percent", place, value, row["hour_start"], until, details)
        for store, rows in counted.items():
            place = self._stores[store]
            for row in rows:
                details = {
                    "avg_occupancy": float(row["current_count"]),
                    "capacity": float(self._layout.capacity[place.position]),
                }
                value = float(row["current_occupancy_percent"])
                yield self._seen("utilization_percent", place, value, row["period_start"], row["period_end"], details)

    def _counted_minutes(self, hours: pd.DataFrame, minutes: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
        """The minutes of each open store, in the order of time, where the newest is as fresh as the newest hour's figure."""
        newest: dict[str, dict[str, Any]] = {}
        for row in _rows(hours):
            known = newest.get(row["store_id"])
            if row["hour_start"] <= self._now and (known is None or row["hour_start"] > known["hour_start"]):
                newest[row["store_id"]] = row
        counted: dict[str, list[dict[str, Any]]] = {}
        for row in _rows(minutes):
            place = self._stores.get(row["store_id"])
            if place is not None and row["period_end"] <= self._now:
                counted.setdefault(place.store_id, []).append(row)
        return {
            store: rows
            for store, rows in counted.items()
            if self._is_open(self._stores[store], rows[-1]["period_end"])
            and (
                store not in newest
                or (newest[store]["is_open"] and rows[-1]["period_end"] > self._until(newest[store]) - _AS_FRESH)
            )
        }

    def queues(self, hours: pd.DataFrame) -> Iterator[Observation]:
        """Wait, length and risk of each ended hour: arrivals of a running one are not all there yet."""
        metrics = (
            ("queue_wait_minutes", "estimated_wait_time_minutes", 1.0),
            ("queue_length", "predicted_queue_length", 1.0),
            ("abandonment_risk_percent", "abandonment_risk_score", 100.0),
        )
        for row in _rows(hours):
            place = self._stores.get(row["store_id"])
            start, end = row["hour_start"], row["hour_start"] + _HOUR
            if place is None or end > self._now:
                continue
            is_open = self._is_open(place, start)
            details: dict[str, Any] = {name: float(row[name]) for _, name, _ in metrics if not pd.isna(row[name])}
            if not pd.isna(row["recommended_open_lanes"]):
                details["recommended_open_lanes"] = int(row["recommended_open_lanes"])
            for metric, name, factor in metrics:
                if not is_open:
                    yield self._seen(metric, place, None, start, end, ended=CLOSED)
                elif row["is_overloaded"]:
                    yield self._seen(metric, place, math.inf, start, end, {**details, "reason": "overloaded"})
                elif not pd.isna(row[name]):
                    yield self._seen(metric, place, factor * float(row[name]), start, end, details)

    def conversions(self, figures: pd.DataFrame) -> Iterator[Observation]:
        """By how much each store's conversion of a day, without a till feed its capture rate, is below what is usual."""
        chosen: dict[tuple[str, Any], dict[str, Any]] = {}
        for row in _rows(figures):
            known = not pd.isna(row["benchmark_value"]) and row["benchmark_value"] > 0
            if row["metric_name"] == "conversion_rate" and known:
                chosen[row["scope_id"], row["date"]] = row
            elif row["metric_name"] == "capture_rate" and known:
                chosen.setdefault((row["scope_id"], row["date"]), row)
        for (store, day), row in chosen.items():
            place = self._stores.get(store)
            if place is None:
                continue
            number = frames.day_number(day)
            start, end = (
                pd.Timestamp(int(second), unit="s", tz="UTC").to_pydatetime()
                for second in day_starts(np.array([number, number + 1]), 0, place.zone)
            )
            if end > self._now:
                continue
            value, usual = float(row["metric_value"]), float(row["benchmark_value"])
            details = {
                "metric_name": row["metric_name"],
                "metric_value": value,
                "benchmark_value": usual,
                "date": f"{day}",
            }
            yield self._seen("conversion_drop_percent", place, 100 * (1 - value / usual), start, end, details)

    def anomalies(self, events: pd.DataFrame) -> Iterator[Observation]:
        """The severity of each event of an active camera; a drop outside of the opening hours is none, nor is a gap while it grows:
        a silent camera has its own alert, and is asked again for the hours when it returns."""
        for row in _rows(events):
            place = self._cameras.get(row["sensor_id"])
            start, end = row["started_at"], row["ended_at"]
            if place is None or place.sensor_id not in self._active or row["detected_at"] > self._now:
                continue
            if row["anomaly_type"] == "traffic_drop" and self._open_minutes(place, start, end) == 0:
                continue
            if row["auto_resolved"]:
                yield self._seen("anomaly_severity", place, None, start, end, ended=BACK_TO_USUAL)
                continue
            if row["anomaly_type"] == "data_gap" and end + GAP_RECOVERS > self._now:
                continue
            details = {
                "anomaly_type": row["anomaly_type"],
                "expected_value": _known(row["expected_value"]),
                "actual_value": _known(row["actual_value"]),
                "potential_causes": json.loads(row["potential_causes"]),
                "recommended_actions": json.loads(row["recommended_actions"]),
            }
            yield self._seen("anomaly_severity", place, float(row["severity"]), start, end, details, is_lasting=True)

    def answers(self, log: pd.DataFrame) -> Iterator[Observation]:
        """For how long each active camera has been asked in vain, as of the newest question.

        A camera that is not asked is not offline: then its store's counts grow old. One that has never answered counts from
        its registration.
        """
        if not len(log):
            return
        log = log[log["asked_at"] <= self._now]
        newest = log.sort_values("asked_at").groupby("sensor_id").tail(1).set_index("sensor_id")
        answered = log.groupby("sensor_id")["last_success_at"].max()
        first = log.groupby("sensor_id")["asked_at"].min()
        for camera in _rows(self._roster.sensors):
            sensor = camera["id"]
            if sensor not in self._active or sensor not in newest.index:
                continue
            asked_at = newest.loc[sensor, "asked_at"]
            last = max((at for at in (answered[sensor], camera["last_seen_at"]) if not pd.isna(at)), default=None)
            since = min(min(first[sensor], camera["created_at"]) if last is None else last, asked_at)
            details = {"outcome": newest.loc[sensor, "outcome"], "has_answered": last is not None}
            yield self._seen(
                "minutes_since_answer", self._cameras[sensor], (asked_at - since) / _MINUTE, since, asked_at, details
            )

    def clocks(self) -> Iterator[Observation]:
        """How far each camera's clock was off when it last answered."""
        for camera in _rows(self._roster.sensors[["id", "last_seen_at", "clock_offset_seconds"]]):
            at, offset = camera["last_seen_at"], camera["clock_offset_seconds"]
            if camera["id"] in self._active and not pd.isna(at) and not pd.isna(offset) and at <= self._now:
                details = {"offset_seconds": float(offset)}
                yield self._seen("clock_offset_seconds", self._cameras[camera["id"]], abs(offset), at, at, details)

    def lower_counts(self, revisions: pd.DataFrame) -> Iterator[Observation]:
        """For how many hours of the last day a lower count of each camera is set aside; one that a run has stored since is none."""
        last: dict[tuple[str, datetime], tuple[datetime, str]] = {}
        for row in _rows(revisions):
            if row["table_name"] == "people_counting_raw" and self._now - _DAY <= row["timestamp"] <= self._now:
                hour, done = (row["sensor_id"], row["timestamp"]), (row["recorded_at"], row["action"])
                last[hour] = max(done, last.get(hour, done))
        hours: dict[str, set[datetime]] = {}
        for (sensor, hour_start), (_, action) in last.items():
            if action == "refused":
                hours.setdefault(sensor, set()).add(hour_start)
        for camera in sorted(self._active):
            place, lowered = self._cameras[camera], hours.get(camera)
            if lowered is None:
                yield self._seen("hours_set_aside", place, None, self._now, self._now, ended=NOTHING_LOWER)
            else:
                until = min(max(lowered) + _HOUR, self._now)
                yield self._seen("hours_set_aside", place, float(len(lowered)), min(lowered), until)

    def counts(self, hours: pd.DataFrame) -> Iterator[Observation]:
        """For how many minutes of its opening hours each store with an active camera has been without a count until now.

        A store that has not counted is without from the registration of its first active camera on.
        """
        watched: dict[str, datetime] = {}
        for camera in _rows(self._roster.sensors):
            if camera["id"] in self._active:
                registered = camera["created_at"]
                watched[camera["store_id"]] = min(registered, watched.get(camera["store_id"], registered))
        newest: dict[str, datetime] = {}
        counted: dict[str, bool] = {}
        for row in _rows(hours):
            store = row["store_id"]
            if row["hour_start"] > self._now or store not in watched:
                continue
            is_counted = json.loads(row["quality"]).get("counts") in MEASURED
            if is_counted:
                newest[store] = max(self._until(row), newest[store]) if counted.get(store) else self._until(row)
                counted[store] = True
            elif not counted.get(store):
                newest[store] = min(newest.get(store, row["hour_start"]), row["hour_start"])
        for store, at in newest.items():
            place = self._stores[store]
            details = {"has_counted": counted.get(store, False)}
            is_new = not counted.get(store) and at < watched[store] <= self._now
            since = watched[store] if is_new else at
            yield self._seen(
                "minutes_without_counts", place, self._open_minutes(place, since, self._now), since, self._now, details
            )

    def switched_off(self) -> Iterator[Observation]:
        """That nothing can be wrong with a camera that is switched off, nor with the counts of a store without any other."""
        for camera, place in self._cameras.items():
            if camera not in self._active:
                for metric in _OF_CAMERAS:
                    yield self._seen(metric, place, None, self._now, self._now, ended=SWITCHED_OFF)
        watched = set(self._layout.store_ids[self._layout.store[self._layout.active]])
        for place in self._stores.values():
            if place.store_id not in watched:
                yield self._seen("minutes_without_counts", place, None, self._now, self._now, ended=NONE_SWITCHED_ON)

    def _seen(
        self,
        metric: str,
        place: _Place,
        value: float | None,
        start: datetime,
        end: datetime,
        details: Mapping[str, Any] | None = None,
        *,
        is_lasting: bool = False,
        ended: str | None = None,
    ) -> Observation:
        return Observation(
            metric,
            place.sensor_id,
            place.store_id,
            place.name,
            place.zone,
            value,
            start,
            end,
            details or {},
            is_lasting,
            ended,
        )

    def _until(self, row: Mapping[str, Any]) -> datetime:
        """How far the hour's figures reach: a running hour's until they last changed."""
        end: datetime = row["hour_start"] + _HOUR
        return end if end <= self._now else min(self._now, max(row["hour_start"], row["updated_at"]))

    def _is_open(self, place: _Place, instant: datetime) -> bool:
        """Whether the hour from that instant on overlaps the store's opening hours."""
        store = np.array([place.position])
        wall = self._layout.wall(store, np.array([frames.instant(instant, "An hour's start")]))
        return bool(self._layout.is_open(store, wall)[0])

    def _open_minutes(self, place: _Place, since: datetime, until: datetime) -> float:
        """Minutes from `since` to `until` in hours, counted from `since`, that overlap the opening hours."""
        start, end = frames.instant(since, "A count"), frames.instant(until, "Its end")
        slots = np.arange(start, end, frames.HOUR)
        if not len(slots):
            return 0.0
        store = np.full(len(slots), place.position)
        is_open = self._layout.is_open(store, self._layout.wall(store, slots))
        return float((np.minimum(end - slots, frames.HOUR) * is_open).sum() / 60)


def _rows(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Each row with its instants as plain datetimes."""
    for row in frame.to_dict("records"):
        yield {
            str(name): cell.to_pydatetime() if isinstance(cell, pd.Timestamp) else cell for name, cell in row.items()
        }


def _known(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)
