"""What Dagster's daemon does, at simulated instants: schedules by their cron lines, sensors by their interval with their cursors
kept, runs in order of priority, each run key once.

What is evaluated comes from the definitions, so that a new schedule or sensor takes part by itself. It differs from the daemon
in this: a run takes no simulated time, runs follow one another, and Dagster's records are kept in memory (a run of the running hour
takes 1.3 s so, and 4.5 s with records in SQLite). Which instants are gone through is said by the caller.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any

import dagster as dg
from dagster._utils.schedules import cron_string_iterator

from retail_sensors.definitions import build_defs
from retail_sensors.resources.clock import ClockResource

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_PRIORITY = "dagster/priority"
_FREQUENT = timedelta(minutes=10)


@dataclass
class Clock:
    """The simulated instant; whoever holds the clock moves it."""

    now: datetime

    def resource(self) -> ClockResource:
        """The clock as the definitions want it."""

        class Simulated(ClockResource):
            def now(inner) -> datetime:  # noqa: N805 - `self` is the clock
                return self.now

        return Simulated()


@dataclass(frozen=True, slots=True)
class Judged:
    """One evaluation of an asset check: what it said, and the rows that it shows."""

    at: datetime
    asset: str
    check: str
    passed: bool
    told: str


@dataclass(frozen=True, slots=True)
class Ran:
    """One run: its job, who asked for it, how it ended, and how long it truly took. `why`: in one line where it failed."""

    at: datetime
    job: str
    asked_by: str
    success: bool
    seconds: float
    why: str | None
    judged: tuple[Judged, ...]


@dataclass(order=True)
class _Queued:
    rank: tuple[int, int]
    origin: str = field(compare=False)
    job: str = field(compare=False)
    request: dg.RunRequest = field(compare=False)


class SimulatedDaemon:
    """The schedules and sensors of one installation, whose environment this process has, on a simulated clock."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.instance = dg.DagsterInstance.ephemeral()
        self._definitions = build_defs(clock=clock.resource())
        self._repository = self._definitions.get_repository_def()
        self.schedules = {one.name: one for one in self._repository.schedule_defs}
        self.sensors = {one.name: one for one in self._repository.sensor_defs}
        self._cursors: dict[str, str | None] = {}
        self._rested_since: dict[str, datetime] = {}
        self._frequent: set[str] = set()
        self.broken: list[tuple[datetime, str, str]] = []
        """Evaluations that broke off: instant, schedule or sensor, why. It is evaluated again when it is due again."""
        self.run_begun = threading.Event()
        """Set as a run begins; whoever waits for the next one clears it."""
        self._known: set[tuple[str, str]] = set()
        self._queue: list[_Queued] = []
        self._count = 0

    def due(self, end: datetime) -> Iterator[tuple[datetime, list[str]]]:
        """The instants from now on, before `end`, at which schedules are due, with their names."""
        lines: list[tuple[datetime, str, Iterator[datetime]]] = []
        for name, schedule in self.schedules.items():
            if schedule.default_status is not dg.DefaultScheduleStatus.RUNNING:
                continue
            crons = [schedule.cron_schedule] if isinstance(schedule.cron_schedule, str) else schedule.cron_schedule
            for cron in crons:
                ticks = cron_string_iterator(self.clock.now.timestamp(), cron, schedule.execution_timezone or "UTC")
                first, second = next(ticks).astimezone(UTC), next(ticks).astimezone(UTC)
                if second - first <= _FREQUENT:
                    self._frequent.add(name)
                lines.append((first, name, chain([second], ticks)))
        heapq.heapify(lines)
        while lines and lines[0][0] < end:
            at, names = lines[0][0], list[str]()
            while lines[0][0] == at:
                _, name, ticks = lines[0]
                names.append(name)
                heapq.heapreplace(lines, (next(ticks).astimezone(UTC), name, ticks))
            yield at, names

    def tick(self, names: list[str], least: timedelta, *, seldom_only: bool) -> list[Ran]:
        """Evaluates these schedules and all sensors that are due at the clock's instant, and runs what they ask for.

        `least`: what a schedule asks for less than that after its last run is dropped. `seldom_only`: without the sensors, and
        without the schedules that are due every few minutes.
        """
        for name in names:
            if not (seldom_only and name in self._frequent):
                self._try(name, partial(self._evaluate_schedule, self.schedules[name], least))
        for name, sensor in self.sensors.items():
            if seldom_only or sensor.default_status is not dg.DefaultSensorStatus.RUNNING:
                continue
            if self._is_rested(name, timedelta(seconds=sensor.minimum_interval_seconds or 30)):
                self._try(name, partial(self._evaluate_sensor, sensor))
        ran = []
        while self._queue:
            queued = heapq.heappop(self._queue)
            ran.append(self.run(queued.job, queued.request, queued.origin))
        return ran

    def _try(self, name: str, evaluate: Callable[[], None]) -> None:
        # Whatever breaks an evaluation, the daemon goes on.
        try:
            evaluate()
        except Exception as error:
            while error.__cause__ is not None and isinstance(error.__cause__, Exception):
                error = error.__cause__
            self.broken.append((self.clock.now, name, (str(error).strip().splitlines() or [type(error).__name__])[0]))

    def _is_rested(self, name: str, least: timedelta) -> bool:
        before = self._rested_since.get(name)
        if before is not None and self.clock.now - before < least:
            return False
        self._rested_since[name] = self.clock.now
        return True

    def _resources(self) -> Mapping[str, Any]:
        """Fresh resources: each evaluation opens and closes its own connections, as in the daemon's code server."""
        return dict(build_defs(clock=self.clock.resource()).resources or {})

    def _evaluate_schedule(self, schedule: dg.ScheduleDefinition, least: timedelta) -> None:
        wanted = {name: one for name, one in self._resources().items() if name in schedule.required_resource_keys}
        context = dg.build_schedule_context(
            scheduled_execution_time=self.clock.now, resources=wanted, repository_def=self._repository
        )
        with context:
            data = schedule.evaluate_tick(context)
        if data.run_requests and self._is_rested(schedule.name, least):
            self._enqueue(schedule.name, schedule.job_name, list(data.run_requests))

    def _evaluate_sensor(self, sensor: dg.SensorDefinition) -> None:
        wanted = {name: one for name, one in self._resources().items() if name in sensor.required_resource_keys}
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=self._cursors.get(sensor.name),
            repository_def=self._repository,
            resources=wanted,
            sensor_name=sensor.name,
        )
        with context:
            data = sensor.evaluate_tick(context)
        self._cursors[sensor.name] = data.cursor
        only = sensor.job_name if len(sensor.targets) == 1 else None
        self._enqueue(sensor.name, only, list(data.run_requests or ()))

    def _enqueue(self, origin: str, job: str | None, requests: list[dg.RunRequest]) -> None:
        for request in requests:
            key = origin, request.run_key or ""
            if request.run_key is not None and key in self._known:
                continue
            self._known.add(key)
            name = request.job_name or job
            assert name is not None, f"{origin} asks for a run without saying of which job"
            self._count += 1
            rank = -int(request.tags.get(_PRIORITY, "0")), self._count
            heapq.heappush(self._queue, _Queued(rank, origin, name, request))

    def run(self, job: str, request: dg.RunRequest, origin: str = "hand") -> Ran:
        """The real job in this process at the clock's instant."""
        began = time.monotonic()
        self.run_begun.set()
        result = self._repository.get_job(job).execute_in_process(
            instance=self.instance,
            tags=dict(request.tags),
            run_config={**_QUIET, **(request.run_config or {})},
            asset_selection=list(request.asset_selection) if request.asset_selection else None,
            raise_on_error=False,
        )
        judged = tuple(
            Judged(
                self.clock.now,
                one.asset_key.to_user_string(),
                one.check_name,
                one.passed,
                f"{one.description} {' '.join(str(entry.value) for entry in one.metadata.values())}",
            )
            for one in result.get_asset_check_evaluations()
        )
        return Ran(
            self.clock.now,
            job,
            origin,
            result.success,
            time.monotonic() - began,
            None if result.success else _why(result),
            judged,
        )


def _why(result: dg.ExecuteInProcessResult) -> str:
    """The innermost cause of the first step that failed, in one line."""
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.user_failure_data and data.user_failure_data.description:
                return data.user_failure_data.description
            error = data.error
            while error is not None and error.cause is not None:
                error = error.cause
            if error is not None:
                return (error.message.strip().splitlines() or [""])[0]
    return next((event.message or "" for event in result.all_events if event.is_failure), "it gave no reason")
