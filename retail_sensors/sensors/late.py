"""The sensor that has figures computed anew of rows that came in late, without asking a camera.

Late is what was written into the past beside the schedules and repairs, which compute figures themselves: a till feed, readings
loaded by hand, a run that broke off before its figures. Which hours and days that touches is decided in `storage.late`. The last
hours are left to the next scheduled run, and all waits while another run works on hours before these.

Hours whose run failed are asked for again, as often as AGAIN says, and hold up no others meanwhile; then `run_failure` has told it,
each time, and only the schedules look at them still.

The cursor is JSON: `since` and `until`, between which instants of the database the rows were written that are being worked on;
`after`, the UTC hour up to which their figures were asked for; `run`, what is awaited; `failed`, runs that are to be asked for again.
Its length does not depend on the fleet: there is one run at a time, and one that is to be asked for again comes before new hours.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta

import dagster as dg

from retail_sensors.analytics.missing import REACH_DAYS
from retail_sensors.backfill import DAYS_PER_RUN, HOURS_PER_RUN
from retail_sensors.connectors.base import TimeWindow
from retail_sensors.jobs import collect_hours, daily_figures, hourly_figures
from retail_sensors.partitions import FIRST_DAY, day_ranges, hour_key, range_tags
from retail_sensors.resources.clock import ClockResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.schedules import FINISHED_HOURS
from retail_sensors.sensors.repair import REPAIR_TAG
from retail_sensors.storage.database import Database
from retail_sensors.storage.late import late_hours, reopened_days
from retail_sensors.storage.repair import instant, present

EVERY_SECONDS = 600
SETTLED = timedelta(minutes=10)
"""Rows are looked at so long after they were written: most runs have computed their figures by then, and no transaction that
began earlier is still to be committed."""
LOOK_BACK = timedelta(days=7)
"""So far the first tick of all looks back."""
AGAIN = (timedelta(minutes=10), timedelta(hours=1), timedelta(hours=6))
"""So long after its run was seen to have failed a range is asked for again, the first, second and last time."""
GIVEN_UP = timedelta(hours=2)
"""A run that has not been heard of for so long is dead, and not waited for."""

_HOUR = timedelta(hours=1)
_REACH = timedelta(days=REACH_DAYS)
_FIRST = datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, tzinfo=UTC)
_FAILED = (dg.DagsterRunStatus.FAILURE, None)
"""Who cancels a run wants no other; one of which nothing is known was lost."""
_GOING_ON = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dataclass(frozen=True, slots=True)
class _Awaited:
    """A run of hours that was asked for: its key, its UTC hours, the database's instant before it was asked for first, and between
    which instants the rows were written that it is about. `tries`: how often it has been; `again_at`: when it will be once more."""

    key: str
    first: int
    last: int
    asked_at: str
    since: str
    until: str
    tries: int = 1
    again_at: str | None = None

    @property
    def hours(self) -> TimeWindow:
        return TimeWindow(instant(self.first), instant(self.last + 1))

    @property
    def written(self) -> TimeWindow:
        return TimeWindow(datetime.fromisoformat(self.since), datetime.fromisoformat(self.until))

    @property
    def run_key(self) -> str:
        return self.key if self.tries == 1 else f"{self.key}, try {self.tries}"

    def request(self) -> dg.RunRequest:
        """The run; the hours between those that are late stay as they are."""
        tags = {**range_tags(hour_key(instant(self.first)), hour_key(instant(self.last))), REPAIR_TAG: self.run_key}
        return dg.RunRequest(run_key=self.run_key, job_name=hourly_figures.name, tags=tags)


@dataclass(slots=True)
class _Cursor:
    """What the sensor remembers between two ticks; `until` None: all that was written by `since` is done."""

    since: str
    until: str | None = None
    after: int | None = None
    run: _Awaited | None = None
    failed: list[_Awaited] = field(default_factory=list)

    @classmethod
    def read(cls, text: str | None, moment: datetime) -> "_Cursor":
        if not text:
            return cls((moment - LOOK_BACK).isoformat())
        stored = json.loads(text)
        written = {"since": stored["since"], "until": stored["until"]}
        return cls(
            stored["since"],
            stored["until"],
            stored["after"],
            _Awaited(**{**written, **stored["run"]}) if stored["run"] else None,
            [_Awaited(**run) for run in stored.get("failed", ())],
        )

    @property
    def written(self) -> TimeWindow:
        return TimeWindow(datetime.fromisoformat(self.since), datetime.fromisoformat(self.until or self.since))

    def text(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class _Tick:
    """One evaluation of the sensor; `moment` is the database's instant of it."""

    context: dg.SensorEvaluationContext
    database: Database
    now: datetime
    moment: datetime

    @property
    def _until_hour(self) -> datetime:
        """The first hour of the next scheduled run."""
        running = self.now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        return running + _HOUR - FINISHED_HOURS * _HOUR

    def evaluate(self) -> dg.SensorResult:
        """The days of the hours that were computed since the last tick, and the next late hours."""
        cursor = _Cursor.read(self.context.cursor, self.moment)
        requests: list[dg.RunRequest] = []
        if cursor.run is not None:
            if (status := self._status(cursor.run)) in _GOING_ON:
                return self._skip(cursor, f"Run {cursor.run.run_key} has not ended: {status.value.lower()}.")
            if status in _FAILED and cursor.run.tries <= len(AGAIN):
                again_at = self.now + AGAIN[cursor.run.tries - 1]
                cursor.failed.append(replace(cursor.run, again_at=again_at.isoformat()))
            else:
                requests += self._days(cursor.run)
            cursor.run = None
        if (run := self._at_work()) is not None:
            reason = f"Run {run.run_id} of {run.job_name} works on earlier hours; its own figures are waited for."
            return (
                dg.SensorResult(run_requests=requests, cursor=cursor.text()) if requests else self._skip(cursor, reason)
            )
        if (again := self._again(cursor)) is not None:
            cursor.run = again
            return dg.SensorResult(run_requests=[*requests, again.request()], cursor=cursor.text())
        if cursor.until is None:
            cursor.until = max(cursor.written.start, self.moment - SETTLED).isoformat()
        hours = self._late(cursor)
        if hours:
            requests.append(self._hours(cursor, hours[0], hours[-1]))
        else:
            cursor.since, cursor.until, cursor.after = cursor.until, None, None
        if requests:
            return dg.SensorResult(run_requests=requests, cursor=cursor.text())
        waiting = f" Asked for again later: the hours of {len(cursor.failed)} failed runs." if cursor.failed else ""
        return self._skip(
            cursor, f"No row of before {hour_key(self._until_hour)} is newer than the figures made of it.{waiting}"
        )

    def _skip(self, cursor: _Cursor, reason: str) -> dg.SensorResult:
        return dg.SensorResult(skip_reason=dg.SkipReason(reason), cursor=cursor.text())

    def _status(self, awaited: _Awaited) -> dg.DagsterRunStatus | None:
        """How the awaited run stands; None: it was never started, or goes on and has not been heard of for long."""
        tags = {REPAIR_TAG: awaited.run_key}
        runs = self.context.instance.get_runs(dg.RunsFilter(tags=tags), limit=1)
        if runs and runs[0].status in _GOING_ON:
            heard_of = dg.RunsFilter(tags=tags, updated_after=self.moment - GIVEN_UP)
            runs = self.context.instance.get_runs(heard_of, limit=1)
        return runs[0].status if runs else None

    def _at_work(self) -> dg.DagsterRun | None:
        """A run that collects or computes hours from before those of the schedules."""
        keys = (*range_tags("", ""), "dagster/partition")
        for job in (collect_hours, hourly_figures):
            filters = dg.RunsFilter(job_name=job.name, statuses=_GOING_ON, updated_after=self.moment - GIVEN_UP)
            for run in self.context.instance.get_runs(filters):
                if any(run.tags.get(key, "~") < hour_key(self._until_hour) for key in keys):
                    return run
        return None

    def _late(self, cursor: _Cursor) -> list[int]:
        """The first late hours that were not asked for yet, at most as many as one run holds."""
        first = _FIRST if cursor.after is None else instant(cursor.after + 1)
        if first >= self._until_hour:
            return []
        window = TimeWindow(first, self._until_hour)
        found = late_hours(self.database, cursor.written.start, cursor.written.end, window, HOURS_PER_RUN)
        return [hour for hour in found if hour < found[0] + HOURS_PER_RUN]

    def _again(self, cursor: _Cursor) -> _Awaited | None:
        """Takes the oldest failed run whose wait is over out of the cursor; None: there is none."""
        for run in cursor.failed:
            if self.now >= datetime.fromisoformat(run.again_at or run.asked_at):
                cursor.failed.remove(run)
                return replace(run, tries=run.tries + 1, again_at=None)
        return None

    def _hours(self, cursor: _Cursor, first: int, last: int) -> dg.RunRequest:
        """The run that computes the late hours."""
        written = cursor.written
        key = f"late data {hour_key(instant(first))} {hour_key(instant(last))} {cursor.until}"
        cursor.run = _Awaited(
            key, first, last, self.moment.isoformat(), written.start.isoformat(), written.end.isoformat()
        )
        cursor.after = last
        return cursor.run.request()

    def _days(self, awaited: _Awaited) -> Iterator[dg.RunRequest]:
        """Runs of the days that the hours of an awaited run reopen, whichever of its tries has computed them."""
        asked_at = datetime.fromisoformat(awaited.asked_at)
        for first, last in reopened_days(self.database, awaited.hours, _REACH, awaited.written, asked_at, self.now):
            for first_key, last_key in day_ranges(max(first, FIRST_DAY), last, DAYS_PER_RUN):
                yield dg.RunRequest(
                    run_key=f"{awaited.key}, days {first_key}",
                    job_name=daily_figures.name,
                    tags=range_tags(first_key, last_key),
                )


@dg.sensor(
    jobs=[hourly_figures, daily_figures],
    minimum_interval_seconds=EVERY_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every 10 minutes looks for rows of older hours that are newer than the figures made of them (a till feed, readings "
    "loaded by hand, a run that broke off), and has exactly their hours and then their days computed, three days in one run. What "
    "failed is asked for again after 10 minutes, 1 and 6 hours.",
)
def late_data(context: dg.SensorEvaluationContext, database: DatabaseResource, clock: ClockResource) -> dg.SensorResult:
    """One run of late hours at most, and runs of the days that came of the one before."""
    return _Tick(context, database.database, clock.now(), present(database.database)).evaluate()
