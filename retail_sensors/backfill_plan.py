"""What a range of hours would ask of whom, and how long it would take; nobody is asked and nothing is written.

Asking belongs in `backfill`, the words of a dry run in `cli.backfill`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from retail_sensors.backfill import Step, steps_of
from retail_sensors.connectors.base import DAY_ENDPOINTS, HISTORY_ENDPOINTS, Camera, Endpoint, TimeWindow
from retail_sensors.connectors.localtime import hours_by_day, local_hours
from retail_sensors.connectors.stays import QUESTIONS
from retail_sensors.errors import ConfigurationError
from retail_sensors.installation import Installation
from retail_sensors.partitions import DAILY, HOURLY, check_window
from retail_sensors.storage.fleet import FleetRegistry
from retail_sensors.storage.sqlfiles import queries
from retail_sensors.tables import (
    HEATMAP_TEMPORAL_RAW,
    PEOPLE_COUNTING_RAW,
    REGIONAL_COUNTING_RAW,
    VCA_ALARM_STATUS,
)
from retail_sensors.tables.regions import HEATMAP_SPATIAL_RAW, REGION_STAYS

_ENDPOINTS = {
    PEOPLE_COUNTING_RAW.name: Endpoint.PEOPLE_COUNTING,
    REGIONAL_COUNTING_RAW.name: Endpoint.REGIONAL_COUNTING,
    HEATMAP_TEMPORAL_RAW.name: Endpoint.HEATMAP_TEMPORAL,
    VCA_ALARM_STATUS.name: Endpoint.ALARM_STATUS,
    REGION_STAYS.name: Endpoint.REGION_STAYS,
    HEATMAP_SPATIAL_RAW.name: Endpoint.SPATIAL_HEATMAP,
}
"""What the asset of each table asks."""
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)

RUN_SECONDS = 1.0
"""Fixed cost of a run."""
EVENT_SECONDS = 0.02
"""Dagster's record of one partition of one asset."""

NOT_MEASURED = "how long an answer takes is not known, none is in the log"
NO_PASSWORD = "not asked, the password cannot be read"  # noqa: S105 -- a sentence, not a secret


@dataclass(slots=True)
class CameraPlan:
    """What a range would ask of one camera.

    `questions` by endpoint: an upper bound where a day is asked about stays, since an empty day is told by the first of nine
    answers. `hours` of a window times endpoints that keep a history: all, `hours_in` stored and final, `hours_beyond` neither
    in nor held by the camera any more. `latency_ms` None, `note` says why.
    """

    camera: str
    questions: Counter[Endpoint] = field(default_factory=Counter)
    hours: int = 0
    hours_in: int = 0
    hours_beyond: int = 0
    latency_ms: float | None = None
    note: str | None = None

    @property
    def hours_missing(self) -> int:
        """Hours that the range can bring."""
        return self.hours - self.hours_in - self.hours_beyond

    @property
    def seconds(self) -> float | None:
        """Time for its questions, one after another; None: not known."""
        return None if self.latency_ms is None else self.questions.total() * self.latency_ms / 1000


@dataclass(slots=True)
class Plan:
    """What a range would ask of whom.

    `asking_seconds`: the fleet's questions, each camera's one after another and the cameras side by side, without those whose
    latency is not known. `recording_seconds`: what the runs themselves take besides.
    """

    window: TimeWindow
    cameras: list[CameraPlan]
    runs: list[Step]
    recording_seconds: float
    asking_seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """The plan for programs."""
        return {
            "from": self.window.start.isoformat(),
            "to": self.window.end.isoformat(),
            "cameras": [
                {
                    "camera": plan.camera,
                    "questions": {endpoint.value: count for endpoint, count in plan.questions.items()},
                    "hours": plan.hours,
                    "hours_in": plan.hours_in,
                    "hours_beyond_retention": plan.hours_beyond,
                    "hours_missing": plan.hours_missing,
                    "latency_ms": plan.latency_ms,
                    "seconds": plan.seconds,
                    "note": plan.note,
                }
                for plan in self.cameras
            ],
            "runs": [
                {
                    "what": run.what,
                    "job": run.job,
                    "assets": list(run.assets),
                    "from": run.first or None,
                    "to": run.last or None,
                }
                for run in self.runs
            ],
            "asking_seconds": self.asking_seconds,
            "recording_seconds": self.recording_seconds,
        }


def make_plan(installation: Installation, window: TimeWindow, names: list[str], now: datetime) -> Plan:
    """What `collect_range` would do with the window; nobody is asked and nothing is written.

    Raises ConfigurationError for a window or a camera that cannot be meant, DatabaseUnavailableError.
    """
    database = installation.database
    cameras = FleetRegistry(database).cameras(names or None)
    if not cameras:
        raise ConfigurationError("No active camera is registered; `retail-sensors cameras add FILE` registers some.")
    window = check_window(window, now)
    runs = list(steps_of(database, window, cameras, now, tuple(names)))
    plans = {camera.name: CameraPlan(camera.name) for camera in cameras}
    _count_hours(installation, window, cameras, now, plans)
    _take_latencies(installation, cameras, plans)
    plan = Plan(window, [plans[name] for name in sorted(plans)], runs, _recording_seconds(runs))
    for sweep in _sweeps(installation, cameras, runs, now, has_names=bool(names)):
        lanes: dict[tuple[str, int], float] = defaultdict(float)
        for camera, endpoint, count in sweep:
            if camera.credentials_error is not None:
                continue
            plans[camera.name].questions[endpoint] += count
            lanes[camera.host, camera.port] += count * (plans[camera.name].latency_ms or 0.0) / 1000
        if lanes:
            plan.asking_seconds += max(max(lanes.values()), sum(lanes.values()) / installation.settings.in_flight)
    return plan


def _count_hours(
    installation: Installation,
    window: TimeWindow,
    cameras: Sequence[Camera],
    now: datetime,
    plans: Mapping[str, CameraPlan],
) -> None:
    pairs = [
        (camera, endpoint, _held_from(camera, endpoint, now))
        for camera in cameras
        for endpoint in HISTORY_ENDPOINTS
        if endpoint in camera.endpoints
    ]
    rows = installation.database.fetch(
        queries("backfill")["final_hours"],
        {
            "start": window.start,
            "end": window.end,
            "sensors": [str(camera.sensor_id) for camera, _, _ in pairs],
            "endpoints": [endpoint.value for _, endpoint, _ in pairs],
            "held_from": [held_from for _, _, held_from in pairs],
        },
    )
    stored = {(sensor, endpoint): (count, beyond) for sensor, endpoint, count, beyond in rows}
    for camera, endpoint, held_from in pairs:
        begun = [hour for hours in hours_by_day(window, camera.zone).values() for hour in hours if hour <= now]
        inside, inside_beyond = stored.get((str(camera.sensor_id), endpoint.value), (0, 0))
        beyond = 0 if held_from is None else sum(hour < held_from for hour in begun)
        plan = plans[camera.name]
        plan.hours += len(begun)
        plan.hours_in += inside
        plan.hours_beyond += beyond - inside_beyond


def _held_from(camera: Camera, endpoint: Endpoint, now: datetime) -> datetime | None:
    days = camera.retention_days.get(endpoint)
    return None if days is None else local_hours(now.astimezone(camera.zone).date() - days * _DAY, camera.zone)[0]


def _take_latencies(installation: Installation, cameras: Sequence[Camera], plans: Mapping[str, CameraPlan]) -> None:
    found = dict(
        installation.database.fetch(
            queries("backfill")["latencies"],
            {
                "sensors": [str(camera.sensor_id) for camera in cameras],
                "endpoints": [endpoint.value for endpoint in Endpoint],
            },
        )
    )
    for camera in cameras:
        plan = plans[camera.name]
        plan.latency_ms = found.get(str(camera.sensor_id))
        if camera.credentials_error is not None:
            plan.note = NO_PASSWORD
        elif plan.latency_ms is None:
            plan.note = NOT_MEASURED


def _recording_seconds(runs: Sequence[Step]) -> float:
    # Imported here, as all assets: a wrong date or an unknown camera is told first.
    from retail_sensors.definitions import build_defs

    defs = build_defs()
    seconds = 0.0
    for run in runs:
        assets = len(run.assets) or len(list(defs.resolve_job_def(run.job).asset_layer.executable_asset_keys))
        seconds += RUN_SECONDS + EVENT_SECONDS * assets * _partitions(run)
    return seconds


def _partitions(run: Step) -> int:
    span = _span(run)
    return 1 if span is None else (span.end - span.start) // (_HOUR if run.job == "collect_hours" else _DAY)


def _span(run: Step) -> TimeWindow | None:
    """The instants of the run's partitions; None: it has none."""
    if not run.first:
        return None
    keys = HOURLY if run.job == "collect_hours" else DAILY
    return TimeWindow(
        keys.time_window_for_partition_key(run.first).start, keys.time_window_for_partition_key(run.last).end
    )


def _sweeps(
    installation: Installation, cameras: Sequence[Camera], runs: Sequence[Step], now: datetime, *, has_names: bool
) -> Iterator[list[tuple[Camera, Endpoint, int]]]:
    """The questions of each asset of each run that asks: an asset asks when the one before it is done."""
    for run in runs:
        window = _span(run)
        if window is None:
            continue
        for endpoint in (_ENDPOINTS[name] for name in run.assets if name in _ENDPOINTS):
            asked = [camera for camera in cameras if endpoint in camera.endpoints]
            if endpoint is Endpoint.ALARM_STATUS:
                yield [(camera, endpoint, 1) for camera in asked if window.start <= now < window.end]
            elif endpoint in DAY_ENDPOINTS:
                yield _about_days(installation, asked, endpoint, window, now, has_names=has_names)
            else:
                yield [
                    (
                        camera,
                        endpoint,
                        sum(hours[0] <= now for hours in hours_by_day(window, camera.zone).values()),
                    )
                    for camera in asked
                ]


def _about_days(
    installation: Installation,
    cameras: Sequence[Camera],
    endpoint: Endpoint,
    window: TimeWindow,
    now: datetime,
    *,
    has_names: bool,
) -> list[tuple[Camera, Endpoint, int]]:
    from retail_sensors.assets.regions import cameras_that_may

    if not has_names:
        may = cameras_that_may(FleetRegistry(installation.database).roster(), endpoint)
        cameras = [camera for camera in cameras if camera.name in may]
    first, last = window.start.date(), window.end.date() - _DAY
    stored = set(installation.database.fetch(queries("backfill")["stored_days"], {"first": first, "last": last}))
    each = QUESTIONS if endpoint is Endpoint.REGION_STAYS else 1
    settle = timedelta(seconds=installation.settings.settle_seconds)

    def due(camera: Camera, day: date) -> bool:
        has_ended = local_hours(day + _DAY, camera.zone)[0] + settle <= now
        return has_ended and (endpoint.value, str(camera.sensor_id), day) not in stored

    days = [first + number * _DAY for number in range((last - first).days + 1)]
    return [(camera, endpoint, each * sum(due(camera, day) for day in days)) for camera in cameras]
