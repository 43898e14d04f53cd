"""One sweep over the fleet: from cameras and a window of time to the frames of their readings.

Here belongs the order of questions: cameras side by side under one bound, the questions to one address strictly one
after another, each answer turned into rows, log lines and rejects. One HTTP exchange and its retries belong in
`http`, bodies in `reading`, labels and zones in `localtime`, columns in `harvest`, storing in `retail_sensors.io_managers`.

Endpoints with a history are asked for the local days that hold the window's hours, `DAY_ENDPOINTS` for the calendar dates of the
window, each when it has ended for the camera.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from retail_sensors.analytics.spatial import pack
from retail_sensors.connectors import milesight
from retail_sensors.connectors.base import (
    DAY_ENDPOINTS,
    Camera,
    CameraLease,
    Collection,
    Endpoint,
    LeaseTimeoutError,
    Outcome,
    Rejected,
    TimeWindow,
)
from retail_sensors.connectors.breaker import DEAD, PROBE_CONNECT_SECONDS, PROBE_SECONDS, LeftAlone
from retail_sensors.connectors.harvest import Harvest
from retail_sensors.connectors.http import Answer, CameraHttp, DigestMemory, HttpSettings
from retail_sensors.connectors.localtime import HOUR, PlacedRow, hours_by_day, local_hours, place_rows
from retail_sensors.connectors.networks import AllowedNetworks
from retail_sensors.connectors.reading import Reading
from retail_sensors.connectors.stays import QUESTIONS, StayDay
from retail_sensors.errors import ConfigurationError

MAX_RAW_BYTES = 65_536
"""A rejected payload keeps this much of itself."""

MAX_REJECTED_PER_ANSWER = 100
"""More than a day's rows four times over; the rest of a longer list is counted and not kept."""

_HELD_AS = {Endpoint.REGION_STAYS: Endpoint.REGIONAL_COUNTING, Endpoint.SPATIAL_HEATMAP: Endpoint.HEATMAP_TEMPORAL}
"""Whose retention decides for a report that is made from the same memory of the camera."""


@dataclass(frozen=True, slots=True)
class CollectorSettings:
    """How hard the fleet is asked.

    `in_flight` bounds the requests over the fleet. `settle_seconds` is how long after its end an hour's row counts as
    final. `pause_seconds` lies between two calls to one camera. `lease_seconds` is how long a camera is kept before
    others get a turn between two questions. After `give_up_after` questions in a row that found no connection or no
    answer in time, a camera's remaining questions are recorded with that outcome and not sent.
    """

    in_flight: int = 256
    http: HttpSettings = field(default_factory=HttpSettings)
    networks: AllowedNetworks = field(default_factory=AllowedNetworks)
    settle_seconds: float = 120.0
    pause_seconds: float = 0.0
    lease_seconds: float = 10.0
    give_up_after: int = 3


class CameraAnswer(NamedTuple):
    """What became of one question to one camera; `local_day` is None for a reading of now."""

    endpoint: Endpoint
    local_day: date | None
    outcome: Outcome
    error: str | None


OnCamera = Callable[[Camera, Sequence[CameraAnswer]], None]
"""Called once for every camera that was asked anything, when its last question of the sweep is answered."""


@dataclass(slots=True)
class _Task:
    """One question: the hours that it is to answer, and what is needed to say so in words."""

    camera: Camera
    sensor: str
    endpoint: Endpoint
    local_day: date | None
    hours: tuple[datetime, ...]
    stays: StayDay | None = None

    @property
    def subject(self) -> str:
        if self.stays is not None:
            return self.stays.subject
        return self.endpoint.value if self.local_day is None else f"{self.endpoint.value} of {self.local_day}"

    @property
    def target(self) -> str:
        return milesight.request_target(self.endpoint, self.local_day) if self.stays is None else self.stays.target

    @property
    def is_settled(self) -> bool:
        """Whether an earlier question of the same day made this one needless."""
        return self.stays is not None and self.stays.is_over


@dataclass(slots=True)
class _Sweep:
    """What all questions of one sweep share; `brief` asks as `http`, with the time of a short question."""

    http: CameraHttp
    brief: CameraHttp
    lease: CameraLease
    left_alone: Mapping[UUID, LeftAlone]
    run_id: str | None
    window: TimeWindow
    began_at: datetime
    harvests: dict[Endpoint, Harvest]
    on_camera: OnCamera | None
    _begun: dict[ZoneInfo, dict[date, tuple[datetime, ...]]] = field(default_factory=dict)

    def begun_hours(self, zone: ZoneInfo) -> dict[date, tuple[datetime, ...]]:
        """The local hours of the window that have begun, by local day; once for each zone of the fleet."""
        begun = self._begun.get(zone)
        if begun is None:
            begun = self._begun[zone] = {
                day: started
                for day, hours in hours_by_day(self.window, zone).items()
                if (started := tuple(hour for hour in hours if hour <= self.began_at))
            }
        return begun

    def ended_days(self, zone: ZoneInfo, settle: timedelta) -> Iterator[tuple[date, datetime]]:
        """The window's calendar dates that have ended in a zone, each with the first instant of its first hour."""
        day = self.window.start.astimezone(UTC).date()
        while day < self.window.end.astimezone(UTC).date():
            if _end_of(day, zone) + settle <= self.began_at:
                yield day, local_hours(day, zone)[0]
            day += timedelta(days=1)


@dataclass(slots=True)
class _Health:
    """How one address answers: how many of its latest questions found nobody, and what became of the last of them."""

    dead_in_a_row: int = 0
    last: Outcome | None = None


class Collector:
    """Asks a fleet of cameras for windows of time; one object can serve many sweeps.

    `clock` gives the zone-aware instant of now, `rng` the jitter of retries.
    """

    def __init__(
        self,
        settings: CollectorSettings | None = None,
        *,
        clock: Callable[[], datetime],
        rng: random.Random | None = None,
    ) -> None:
        self.settings = settings or CollectorSettings()
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._digests: DigestMemory = {}

    def collect_sync(
        self,
        cameras: Sequence[Camera],
        endpoint: Endpoint,
        window: TimeWindow,
        *,
        lease: CameraLease,
        run_id: str | None,
        on_camera: OnCamera | None = None,
        left_alone: Mapping[UUID, LeftAlone] | None = None,
    ) -> Collection:
        """`collect` for a caller without an event loop."""
        return asyncio.run(
            self.collect(
                cameras,
                endpoint,
                window,
                lease=lease,
                run_id=run_id,
                on_camera=on_camera,
                left_alone=left_alone,
            )
        )

    async def collect(
        self,
        cameras: Sequence[Camera],
        endpoint: Endpoint,
        window: TimeWindow,
        *,
        lease: CameraLease,
        run_id: str | None,
        on_camera: OnCamera | None = None,
        left_alone: Mapping[UUID, LeftAlone] | None = None,
    ) -> Collection:
        """Everything that the cameras say about one window and endpoint; see `collect_many`."""
        collections = await self.collect_many(
            cameras,
            (endpoint,),
            window,
            lease=lease,
            run_id=run_id,
            on_camera=on_camera,
            left_alone=left_alone,
        )
        return collections[endpoint]

    async def collect_many(
        self,
        cameras: Sequence[Camera],
        endpoints: Iterable[Endpoint],
        window: TimeWindow,
        *,
        lease: CameraLease,
        run_id: str | None,
        on_camera: OnCamera | None = None,
        left_alone: Mapping[UUID, LeftAlone] | None = None,
    ) -> dict[Endpoint, Collection]:
        """Everything that the cameras say about one window, by endpoint.

        A camera is asked only for the endpoints that it has, and only for local days of the window that have begun (of
        DAY_ENDPOINTS: that have ended).
        The alarm status is asked only if the window holds this moment: it has no past. A camera that is left alone is asked one
        question at most, and all of its own when that is answered. What a camera does wrong is in the log; raised are only
        faults of ours, such as a vendor that no connector speaks (ConfigurationError).
        """
        wanted = list(dict.fromkeys(endpoints))
        for camera in cameras:
            if camera.vendor != "milesight":
                raise ConfigurationError(
                    f"camera {camera.name}: no connector speaks {camera.vendor!r}; the vendor must be milesight"
                )
        harvests = {endpoint: Harvest(endpoint) for endpoint in wanted}
        async with self._http(self.settings.http) as http, self._http(_brief(self.settings.http)) as brief:
            sweep = _Sweep(http, brief, lease, left_alone or {}, run_id, window, self._clock(), harvests, on_camera)
            lanes: dict[tuple[str, int], dict[UUID, list[_Task]]] = {}
            for camera in cameras:
                lane = lanes.setdefault((camera.host, camera.port), {})
                lane.setdefault(camera.sensor_id, self._tasks(camera, wanted, sweep))
            in_flight = asyncio.Semaphore(self.settings.in_flight)

            async def run(lane: list[list[_Task]]) -> None:
                async with in_flight:
                    await self._run_lane(lane, sweep)

            # A short question goes out first: its time must not run out while the answers of others are worked through.
            try:
                async with asyncio.TaskGroup() as group:
                    for by_sensor in sorted(lanes.values(), key=sweep.left_alone.keys().isdisjoint):
                        if tasks := [tasks for tasks in by_sensor.values() if tasks]:
                            group.create_task(run(tasks))
            except BaseExceptionGroup as failures:
                # An interrupt, or a database that went away: the caller knows it by its own class, not by the group's.
                raise failures.exceptions[0] from failures.exceptions[0].__cause__
        return {endpoint: harvest.collection(window) for endpoint, harvest in harvests.items()}

    def _http(self, limits: HttpSettings) -> CameraHttp:
        return CameraHttp(limits, self.settings.networks, rng=self._rng, clock=self._clock, digests=self._digests)

    def _tasks(self, camera: Camera, endpoints: list[Endpoint], sweep: _Sweep) -> list[_Task]:
        tasks: list[_Task] = []
        sensor = str(camera.sensor_id)
        for endpoint in endpoints:
            if endpoint not in camera.endpoints:
                continue
            if endpoint in DAY_ENDPOINTS:
                for day, start in sweep.ended_days(camera.zone, timedelta(seconds=self.settings.settle_seconds)):
                    stays = StayDay(day) if endpoint is Endpoint.REGION_STAYS else None
                    task = _Task(camera, sensor, endpoint, day, (start,), stays)
                    tasks.extend([task] * (1 if stays is None else QUESTIONS))
            elif endpoint is not Endpoint.ALARM_STATUS:
                begun = sweep.begun_hours(camera.zone)
                tasks.extend(_Task(camera, sensor, endpoint, day, hours) for day, hours in begun.items())
            elif sweep.window.start <= sweep.began_at < sweep.window.end:
                tasks.append(_Task(camera, sensor, endpoint, None, ()))
        return tasks

    async def _run_lane(self, lane: list[list[_Task]], sweep: _Sweep) -> None:
        """All questions to one address, one after another; cameras that share the address take turns."""
        health = _Health()
        for tasks in lane:
            said: list[CameraAnswer] = []
            waiting = tasks[::-1]
            camera = tasks[0].camera
            # Without its password a camera is not asked at all.
            alone = sweep.left_alone.get(camera.sensor_id) if camera.credentials_error is None else None
            if alone is not None and not alone.is_probed:
                said += self._none_asked(waiting, sweep, alone.outcome, alone.why)
            while waiting:
                try:
                    async with sweep.lease.hold(camera):
                        if alone is not None:
                            probe = await self._probe(alone, waiting[-1], sweep)
                            if probe.outcome in DEAD:
                                said += self._none_asked(waiting, sweep, probe.outcome, alone.why, probe)
                                break
                            alone = None
                            if self.settings.pause_seconds > 0:
                                await asyncio.sleep(self.settings.pause_seconds)
                        give_back_at = time.monotonic() + self.settings.lease_seconds
                        while True:
                            is_last = len(waiting) == 1 and tasks is lane[-1]
                            said.append(await self._ask(waiting.pop(), sweep, health, is_last))
                            while waiting and waiting[-1].is_settled:
                                waiting.pop()
                            if not is_last and self.settings.pause_seconds > 0:
                                await asyncio.sleep(self.settings.pause_seconds)
                            if not waiting or time.monotonic() >= give_back_at:
                                break
                except LeaseTimeoutError as busy:
                    # Waiting again for each question would keep the sweep for as long as the other run lasts.
                    reason = f"another run keeps the camera ({busy}); it will be asked again"
                    said += self._none_asked(waiting, sweep, Outcome.BUSY, reason)
            if sweep.on_camera is not None:
                sweep.on_camera(camera, said)

    async def _probe(self, alone: LeftAlone, task: _Task, sweep: _Sweep) -> Answer:
        """The one question to a camera that is left alone: its smallest report, by which it says nothing but that it is there."""
        camera = task.camera
        endpoint = Endpoint.ALARM_STATUS
        is_small = endpoint in camera.endpoints
        return await (sweep.http if alone.is_full else sweep.brief).get(
            camera,
            milesight.request_target(endpoint, None) if is_small else task.target,
            subject=endpoint.value if is_small else task.subject,
            tries=1,
            is_last=True,
        )

    def _none_asked(
        self, waiting: list[_Task], sweep: _Sweep, outcome: Outcome, reason: str, probe: Answer | None = None
    ) -> list[CameraAnswer]:
        """Empties what waits: recorded, not sent. `probe` was sent in the place of the first of it."""
        said: list[CameraAnswer] = []
        while waiting:
            task = waiting.pop()
            if task.is_settled:
                continue
            said.append(self._not_asked(task, sweep, outcome, reason, probe))
            probe = None
        return said

    def _not_asked(
        self, task: _Task, sweep: _Sweep, outcome: Outcome, reason: str, probe: Answer | None = None
    ) -> CameraAnswer:
        answer = Answer(outcome, self._clock(), error=f"{_naming(task)}: {reason}")
        if probe is not None:
            answer = replace(probe, error=f"{probe.error}; {reason}")
        return self._record(task, sweep, answer, [], self._end_stays(task, []))

    async def _ask(self, task: _Task, sweep: _Sweep, health: _Health, is_last: bool) -> CameraAnswer:
        camera = task.camera
        if camera.credentials_error is not None:
            return self._not_asked(task, sweep, Outcome.MISSING_SECRET, camera.credentials_error)
        if health.last is not None and health.dead_in_a_row >= self.settings.give_up_after:
            reason = f"not asked, since the {health.dead_in_a_row} questions before it ended as {health.last.value}"
            return self._not_asked(task, sweep, health.last, reason)
        reading = Reading(task.endpoint)
        answer = await sweep.http.get(
            camera,
            task.target,
            subject=task.subject,
            # A dead camera must not cost all tries for each of its days.
            tries=1 if health.dead_in_a_row else None,
            judge=reading.judge,
            is_last=is_last,
        )
        if answer.outcome in DEAD:
            health.dead_in_a_row += 1
            health.last = answer.outcome
        else:
            health.dead_in_a_row = 0
        reading.settle(answer)
        if task.endpoint is Endpoint.ALARM_STATUS:
            return self._record_alarm(task, sweep, answer, reading)
        if task.endpoint is Endpoint.SPATIAL_HEATMAP:
            return self._record_spatial(task, sweep, answer, reading)
        if task.stays is not None:
            return self._record_stays(task, task.stays, sweep, answer, reading)
        return self._record_history(task, sweep, answer, reading)

    def _record_history(self, task: _Task, sweep: _Sweep, answer: Answer, reading: Reading) -> CameraAnswer:
        assert task.local_day is not None  # noqa: S101 - only the alarm status has no day
        placed: list[PlacedRow] = []
        rejected = reading.rejected
        if reading.rows:
            placed, misplaced = place_rows(reading.rows, task.local_day, task.camera.zone)
            rejected = rejected + misplaced
        if answer.outcome.is_answer and not rejected and _is_beyond_retention(task, placed, answer.asked_at):
            answer.outcome = Outcome.BEYOND_RETENTION
            placed = []
        camera_now = _camera_now(answer, placed)
        final_before = camera_now - timedelta(seconds=self.settings.settle_seconds)
        append = sweep.harvests[task.endpoint].rows.append
        kept: list[datetime] = []
        for start, row, flag in placed:
            if not sweep.window.start <= start < sweep.window.end or start > camera_now:
                continue
            end = start + HOUR
            append((task.sensor, start, end, *row.values, row.label, flag, answer.asked_at, end <= final_before))
            kept.append(start)
        return self._record(task, sweep, answer, kept, rejected)

    def _record_stays(
        self, task: _Task, stays: StayDay, sweep: _Sweep, answer: Answer, reading: Reading
    ) -> CameraAnswer:
        """One answer of a day; only the last of them, or one that ends the day early, is logged."""
        placed, misplaced = place_rows(reading.rows, stays.local_day, task.camera.zone)
        rejected = [*reading.rejected, *misplaced]
        naming = _naming(task)
        if answer.outcome.is_answer:
            # That nobody stayed for long says nothing about what the camera still holds.
            if stays.is_unasked and not rejected and _is_beyond_retention(task, placed, answer.asked_at):
                answer.outcome = Outcome.BEYOND_RETENTION
            elif self._has_not_ended(task, answer, placed):
                answer.outcome, answer.error = Outcome.NO_ROWS, f"{naming}: by its own clock the day has not ended"
            else:
                stays.take(placed)
                if not stays.is_complete:
                    stays.rejected += rejected
                    return CameraAnswer(task.endpoint, task.local_day, answer.outcome, answer.error)
                if stays.heeds_no_length:
                    # An answer with nothing in it: one such firmware must not fail the step.
                    answer.outcome = Outcome.NO_ROWS
                    answer.error = (
                        f"{naming}: it answers as if no length were asked for; take the endpoint off its list"
                    )
        kept: list[datetime] = []
        if stays.is_complete and answer.error is None:
            append = sweep.harvests[task.endpoint].rows.append
            for region, values in stays.regions():
                append((task.sensor, region, stays.local_day, *values))
                kept = list(task.hours)
        return self._record(task, sweep, answer, kept, self._end_stays(task, rejected))

    def _end_stays(self, task: _Task, rejected: list[Rejected]) -> list[Rejected]:
        """No further question of the task's day; all that its answers refused."""
        if task.stays is None:
            return rejected
        task.stays.is_over = True
        return task.stays.rejected + rejected

    def _record_spatial(self, task: _Task, sweep: _Sweep, answer: Answer, reading: Reading) -> CameraAnswer:
        found, kept = reading.map, list[datetime]()
        if found is not None and found.cells is not None and answer.outcome.is_answer:
            if not found.cells.any() and not reading.rejected and _is_past_retention(task, answer.asked_at):
                answer.outcome = Outcome.BEYOND_RETENTION
            elif self._has_not_ended(task, answer, []):
                answer.outcome = Outcome.NO_ROWS
                answer.error = f"{_naming(task)}: by its own clock the day has not ended"
            else:
                height, width = found.cells.shape
                cells = (width, height, found.maximum, pack(found.cells), len(reading.rejected))
                sweep.harvests[task.endpoint].rows.append((task.sensor, task.local_day, *cells, answer.asked_at))
                kept = list(task.hours)
        return self._record(task, sweep, answer, kept, reading.rejected)

    def _has_not_ended(self, task: _Task, answer: Answer, placed: list[PlacedRow]) -> bool:
        assert task.local_day is not None  # noqa: S101 - only the alarm status has no day
        final_before = _camera_now(answer, placed) - timedelta(seconds=self.settings.settle_seconds)
        return _end_of(task.local_day, task.camera.zone) > final_before

    def _record_alarm(self, task: _Task, sweep: _Sweep, answer: Answer, reading: Reading) -> CameraAnswer:
        kept: list[datetime] = []
        if reading.alarm is not None:
            values = reading.alarm.values
            extra = json.dumps(reading.alarm.extra, sort_keys=True) if reading.alarm.extra else None
            sweep.harvests[task.endpoint].rows.append(
                (
                    task.sensor,
                    answer.asked_at.replace(microsecond=0),
                    *(values[name] for name in milesight.ALARM_VALUES),
                    extra,
                )
            )
            kept.append(_utc_hour(answer.asked_at))
        return self._record(task, sweep, answer, kept, reading.rejected)

    def _record(
        self, task: _Task, sweep: _Sweep, answer: Answer, kept: list[datetime], rejected: list[Rejected]
    ) -> CameraAnswer:
        """Log one question: each of its hours by itself, since an answer may hold some hours and not others.

        Of a question that is asked by the day it is the day's first hour.
        """
        harvest = sweep.harvests[task.endpoint]
        error = answer.error
        if error is None and rejected:
            rows = "1 row was" if len(rejected) == 1 else f"{len(rejected)} rows were"
            error = f"{_naming(task)}: {rows} refused, the first because {rejected[0].reason}"
        without_row = Outcome.NO_ROWS if answer.outcome in (Outcome.OK, Outcome.OK_WITH_REJECTS) else answer.outcome
        with_row = Outcome.OK_WITH_REJECTS if rejected or not answer.outcome.is_answer else Outcome.OK
        # A camera whose clock runs ahead may have begun an hour that has not begun here.
        hours = set(task.hours).union(kept) if task.local_day is not None else {_utc_hour(answer.asked_at)}
        for hour in sorted(hours):
            has_row = hour in kept
            harvest.log.append(
                (
                    task.sensor,
                    task.endpoint.value,
                    hour,
                    with_row.value if has_row else without_row.value,
                    answer.http_status,
                    int(has_row),
                    len(rejected),
                    answer.latency_ms,
                    answer.attempts,
                    error,
                    answer.clock_offset_seconds,
                    answer.asked_at,
                    sweep.run_id,
                )
            )
        for refused in rejected[:MAX_REJECTED_PER_ANSWER]:
            digest = hashlib.sha256(refused.raw + b"\0" + refused.reason.encode()).hexdigest()
            if (task.sensor, digest) in harvest.rejected_keys:
                continue
            harvest.rejected_keys.add((task.sensor, digest))
            harvest.rejected.append(
                (
                    task.sensor,
                    task.endpoint.value,
                    task.local_day,
                    digest,
                    refused.reason,
                    refused.raw[:MAX_RAW_BYTES],
                    answer.asked_at,
                    sweep.run_id,
                )
            )
        outcome = answer.outcome
        if outcome.is_answer and outcome is not Outcome.BEYOND_RETENTION:
            outcome = with_row if kept else Outcome.NO_ROWS
        return CameraAnswer(task.endpoint, task.local_day, outcome, error)


def _brief(limits: HttpSettings) -> HttpSettings:
    return replace(
        limits,
        connect_seconds=min(limits.connect_seconds, PROBE_CONNECT_SECONDS),
        total_seconds=min(limits.total_seconds, PROBE_SECONDS),
    )


def _naming(task: _Task) -> str:
    camera = task.camera
    return f"camera {camera.name} ({camera.host}:{camera.port}), {task.subject}"


def _end_of(day: date, zone: ZoneInfo) -> datetime:
    return local_hours(day + timedelta(days=1), zone)[0]


def _utc_hour(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _camera_now(answer: Answer, placed: list[PlacedRow]) -> datetime:
    """The instant that the camera's own clock showed when it was asked."""
    ours = answer.asked_at
    if answer.clock_offset_seconds is None:
        return ours
    said = ours + timedelta(seconds=answer.clock_offset_seconds)
    # People counted after "now" prove that the header is not of the clock that labels the rows: some web servers send
    # their local time and call it GMT.
    if any(said < placed_row.start <= ours and any(placed_row.row.values) for placed_row in placed):
        return ours
    return said


def _is_beyond_retention(task: _Task, placed: list[PlacedRow], asked_at: datetime) -> bool:
    return _is_past_retention(task, asked_at) and not any(any(row.row.values) for row in placed)


def _is_past_retention(task: _Task, asked_at: datetime) -> bool:
    days = task.camera.retention_days.get(_HELD_AS.get(task.endpoint, task.endpoint))
    if days is None or task.local_day is None:
        return False
    return task.local_day < asked_at.astimezone(task.camera.zone).date() - timedelta(days=days)
