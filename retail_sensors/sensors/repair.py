"""Sensors that ask cameras again: for hours that are late, and for the history of new cameras.

`gap_repair` asks cameras again for hours that are late, `new_camera` for the history from before their registration; both then
have exactly the days computed that these hours touch. Which hours are missing, and which come next, is decided in
`storage.repair`. Each asks for hours in one run at a time and waits until that has ended.

The cursor is JSON: `asked` holds at most one short entry for each camera that owes something, `run` the run whose hours are awaited.
A tick that is evaluated twice after a crash starts its run once: the run key is the missing hours and the tick's ten minutes.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from retail_sensors.analytics.missing import REACH_DAYS
from retail_sensors.assets.raw import HISTORY_TABLES
from retail_sensors.backfill import DAYS_PER_RUN, HOURS_PER_RUN
from retail_sensors.connectors.base import TimeWindow
from retail_sensors.jobs import HOURLY_FIGURES, collect_hours, daily_figures, hourly_figures
from retail_sensors.partitions import FIRST_DAY, day_ranges, hour_key, range_tags
from retail_sensors.resources.clock import ClockResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.storage.database import Database
from retail_sensors.storage.repair import (
    Asked,
    Gap,
    Span,
    hours_came_in,
    instant,
    missing_spans,
    next_gap,
    present,
    still_asked,
    touched_days,
    with_gap,
)

EVERY_SECONDS = 600
REPAIR_TAG = "retail_sensors/repair"
"""Tag of a run that a sensor awaits: its run key."""

_FIGURES = [asset.key for asset in HOURLY_FIGURES]
_REACH = timedelta(days=REACH_DAYS)
"""So far from hours that came in, figures may have been mended: estimates of the gap, and the occupancy of the day."""
_ENDED = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}


@dataclass(frozen=True, slots=True)
class _Awaited:
    """A run of hours that was asked for: its key and job, its UTC hours, and the database's instant before it."""

    key: str
    job: str
    first: int
    last: int
    since: str

    @property
    def window(self) -> TimeWindow:
        return TimeWindow(instant(self.first), instant(self.last + 1))

    @property
    def since_at(self) -> datetime:
        return datetime.fromisoformat(self.since)


@dataclass(slots=True)
class _Cursor:
    """What a sensor remembers between two ticks."""

    asked: dict[str, Asked] = field(default_factory=dict)
    run: _Awaited | None = None

    @classmethod
    def read(cls, text: str | None) -> "_Cursor":
        stored = json.loads(text) if text else {}
        asked = {
            camera: Asked(attempts, mark, datetime.fromtimestamp(again, UTC))
            for camera, (attempts, mark, again) in stored.get("asked", {}).items()
        }
        return cls(asked, _Awaited(**stored["run"]) if stored.get("run") else None)

    def written(self) -> str:
        asked = {
            camera: (entry.attempts, entry.mark, int(entry.again_at.timestamp()))
            for camera, entry in self.asked.items()
        }
        return json.dumps({"asked": asked, "run": asdict(self.run) if self.run else None}, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class _Tick:
    """One evaluation of a sensor. `name` begins its run keys; `newest_first`: history, which is asked for backwards."""

    name: str
    context: dg.SensorEvaluationContext
    database: Database
    now: datetime
    newest_first: bool

    def evaluate(self) -> dg.SensorResult:
        """The days of the hours that came in since the last tick, and the next gap."""
        cursor = _Cursor.read(self.context.cursor)
        requests: list[dg.RunRequest] = []
        if cursor.run is not None:
            status = self._status(cursor.run)
            if status is not None and status not in _ENDED:
                return self._skip(cursor, f"Run {cursor.run.key} has not ended: {status.value.lower()}.")
            if (
                status is not dg.DagsterRunStatus.SUCCESS
                and cursor.run.job == collect_hours.name
                and self._came(cursor.run)
            ):
                return self._figures(cursor, cursor.run)
            requests += self._days(cursor.run)
            cursor.run = None
        spans = missing_spans(self.database, self.now, FIRST_DAY, is_history=self.newest_first)
        # The choice knows one direction only: what is asked for newest first is chosen with time running backwards.
        ordered = [span.mirrored() for span in spans] if self.newest_first else spans
        cursor.asked = still_asked(cursor.asked, ordered, self.now)
        gap = next_gap(ordered, cursor.asked, self.now, HOURS_PER_RUN)
        if gap is not None:
            cursor.asked = with_gap(cursor.asked, ordered, gap, self.now)
            requests.append(self._hours(cursor, gap.mirrored() if self.newest_first else gap, spans))
        if not requests:
            waiting = f" {len(cursor.asked)} cameras owe hours and are left alone for a while." if cursor.asked else ""
            return self._skip(cursor, f"No answering camera is to be asked for an hour.{waiting}")
        return dg.SensorResult(run_requests=requests, cursor=cursor.written())

    def _skip(self, cursor: _Cursor, reason: str) -> dg.SensorResult:
        return dg.SensorResult(skip_reason=dg.SkipReason(reason), cursor=cursor.written())

    def _status(self, awaited: _Awaited) -> dg.DagsterRunStatus | None:
        """How the awaited run stands; None: it was never started."""
        runs = self.context.instance.get_runs(dg.RunsFilter(tags={REPAIR_TAG: awaited.key}), limit=1)
        return runs[0].status if runs else None

    def _came(self, awaited: _Awaited) -> bool:
        return hours_came_in(self.database, awaited.window, awaited.since_at)

    def _figures(self, cursor: _Cursor, failed: _Awaited) -> dg.SensorResult:
        """The figures of hours that came in by a run that broke off before it had computed them: no camera owes them any more."""
        key = f"{failed.key}, figures"
        cursor.run = _Awaited(key, hourly_figures.name, failed.first, failed.last, failed.since)
        tags = {**range_tags(hour_key(instant(failed.first)), hour_key(instant(failed.last))), REPAIR_TAG: key}
        request = dg.RunRequest(run_key=key, job_name=hourly_figures.name, tags=tags)
        return dg.SensorResult(run_requests=[request], cursor=cursor.written())

    def _days(self, awaited: _Awaited) -> Iterator[dg.RunRequest]:
        """Runs of the days that the awaited run's hours touch."""
        window = TimeWindow(awaited.window.start - _REACH, awaited.window.end + _REACH)
        for first, last in touched_days(self.database, window, awaited.since_at, self.now):
            for first_key, last_key in day_ranges(max(first, FIRST_DAY), last, DAYS_PER_RUN):
                yield dg.RunRequest(
                    run_key=f"{awaited.key}, days {first_key}",
                    job_name=daily_figures.name,
                    tags=range_tags(first_key, last_key),
                )

    def _hours(self, cursor: _Cursor, gap: Gap, spans: list[Span]) -> dg.RunRequest:
        """The run that asks the cameras concerned for the gap, and no other camera."""
        owed = sorted(
            (span.camera, span.endpoint.value, max(span.first, gap.first), min(span.last, gap.last))
            for span in spans
            if span.camera in gap.cameras.get(span.endpoint, ()) and span.first <= gap.last and span.last >= gap.first
        )
        tick = int(self.now.timestamp()) // EVERY_SECONDS
        digest = hashlib.sha256(json.dumps([owed, tick]).encode()).hexdigest()[:16]
        first_key, last_key = hour_key(instant(gap.first)), hour_key(instant(gap.last))
        key = f"{self.name} {first_key} {last_key} {digest}"
        cursor.run = _Awaited(key, collect_hours.name, gap.first, gap.last, present(self.database).isoformat())
        config: dict[str, Any] = {
            HISTORY_TABLES[endpoint].name: {"config": {"cameras": names}} for endpoint, names in gap.cameras.items()
        }
        return dg.RunRequest(
            run_key=key,
            job_name=collect_hours.name,
            run_config={"ops": config},
            tags={**range_tags(first_key, last_key), REPAIR_TAG: key},
            # An asset without cameras in its config would ask them all.
            asset_selection=[*(dg.AssetKey(name) for name in config), *_FIGURES],
        )


@dg.sensor(
    jobs=[collect_hours, hourly_figures, daily_figures],
    minimum_interval_seconds=EVERY_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every 10 minutes asks cameras that answer for the oldest hours that are late, at most three days of them in one "
    "run, and then has the days computed that these hours touch. What was asked for in vain is left alone for 10 minutes, then for "
    "1, 6 and 24 hours.",
)
def gap_repair(
    context: dg.SensorEvaluationContext, database: DatabaseResource, clock: ClockResource
) -> dg.SensorResult:
    """One run of late hours at most, and runs of the days that came of the one before."""
    return _Tick("gap repair", context, database.database, clock.now(), newest_first=False).evaluate()


@dg.sensor(
    jobs=[collect_hours, hourly_figures, daily_figures],
    minimum_interval_seconds=EVERY_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every 10 minutes asks new cameras for what they counted before they were registered, back to their installation or "
    "to what they hold, newest first and three days in one run, and then has the days computed that these hours touch.",
)
def new_camera(
    context: dg.SensorEvaluationContext, database: DatabaseResource, clock: ClockResource
) -> dg.SensorResult:
    """One run of history at most, and runs of the days that came of the one before."""
    return _Tick("new camera", context, database.database, clock.now(), newest_first=True).evaluate()
