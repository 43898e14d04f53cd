"""A range of hours through the project's own Dagster jobs, in this process, and what came of it per camera.

The runs are real: recorded in the instance, seen in the UI. What a run does belongs in `jobs` and `assets`; how the
outcome is shown belongs in `cli.collect`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import psutil

from retail_sensors.connectors.base import DAY_ENDPOINTS, HISTORY_ENDPOINTS, Camera, TimeWindow
from retail_sensors.connectors.localtime import hours_by_day
from retail_sensors.errors import ConfigurationError, StoppedError
from retail_sensors.installation import Installation
from retail_sensors.partitions import FIRST_DAY, check_window, day_key, day_ranges, hour_key, hour_ranges, range_tags
from retail_sensors.storage.database import Database
from retail_sensors.storage.fleet import FleetRegistry
from retail_sensors.storage.sqlfiles import queries
from retail_sensors.tables import (
    HEATMAP_TEMPORAL_RAW,
    HOURLY_ANALYTICS,
    PEOPLE_COUNTING_RAW,
    REGIONAL_COUNTING_RAW,
    STORE_HOURLY,
    VCA_ALARM_STATUS,
)
from retail_sensors.tables.missing import IMPUTED_HOURS
from retail_sensors.tables.queues import QUEUE_ANALYTICS
from retail_sensors.tables.regions import HEATMAP_SPATIAL_RAW, REGION_STAYS

if TYPE_CHECKING:
    import dagster as dg

HOURS_PER_RUN = 72
"""A run's fixed cost is about a second; three days keep a run, its memory and the progress bar's steps small."""
FIGURE_HOURS_PER_RUN = 744
"""Figures are computed from what is stored: a month of them takes little time and memory."""
DAYS_PER_RUN = 31
PROCESS_TAG = "retail_sensors/process"
"""Tag of a run in a process of ours: the machine, the process's number, and when it was started, in seconds since 1970."""
OF_THE_LOCATION = {".dagster/repository": "__repository__@retail_sensors"}
"""Tags by which a job's page in the UI finds its runs; Dagster sets them on what its daemon launches. The name is workspace.yaml's."""
OUTLOOK_DAYS = 10
"""Newest days in which anomalies are looked for."""

_RAW_TABLES = (PEOPLE_COUNTING_RAW, REGIONAL_COUNTING_RAW, HEATMAP_TEMPORAL_RAW, VCA_ALARM_STATUS)
_DAY_TABLES = (REGION_STAYS, HEATMAP_SPATIAL_RAW)
_FIGURE_TABLES = (IMPUTED_HOURS, HOURLY_ANALYTICS, QUEUE_ANALYTICS, STORE_HOURLY)
"""In the order in which they are made of each other."""
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Step:
    """One run: what it does in two words, its job, the keys of its range (none: it has no partitions), its assets (none named: all
    of the job's), and the cameras that it asks (none named: those that the assets choose)."""

    what: str
    job: str
    first: str = ""
    last: str = ""
    assets: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CameraOutcome:
    """What came of one camera: its hours asked for and in, over all endpoints that keep a history."""

    camera: str
    endpoints: dict[str, dict[str, Any]]

    @property
    def hours_asked(self) -> int:
        """Hours times endpoints that were asked for."""
        return sum(endpoint["asked"] for endpoint in self.endpoints.values())

    @property
    def hours_in(self) -> int:
        """Of those, the ones that stand in the raw tables."""
        return sum(endpoint["in"] for endpoint in self.endpoints.values())

    @property
    def is_complete(self) -> bool:
        """Whether every hour that was asked for is in."""
        return self.hours_in == self.hours_asked

    @property
    def problems(self) -> list[str]:
        """One sentence for each endpoint that something is missing of."""
        return [
            f"{name}: {endpoint['asked'] - endpoint['in']} of {endpoint['asked']} hours missing ({endpoint['why']})"
            for name, endpoint in self.endpoints.items()
            if endpoint["in"] < endpoint["asked"]
        ]


@dataclass(slots=True)
class Report:
    """What a collected range came to. `problems` are sentences about runs that failed as a whole."""

    window: TimeWindow
    cameras: list[CameraOutcome] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether every hour that was asked for is in and its figures are computed."""
        return not self.problems and all(outcome.is_complete for outcome in self.cameras)

    def as_json(self) -> dict[str, Any]:
        """The report for programs."""
        return {
            "from": self.window.start.isoformat(),
            "to": self.window.end.isoformat(),
            "complete": self.is_complete,
            "cameras": [
                {
                    "camera": outcome.camera,
                    "complete": outcome.is_complete,
                    "hours_asked": outcome.hours_asked,
                    "hours_in": outcome.hours_in,
                    "endpoints": outcome.endpoints,
                    "problems": outcome.problems,
                }
                for outcome in self.cameras
            ],
            "runs": self.runs,
            "problems": self.problems,
        }


def collect_range(
    installation: Installation,
    window: TimeWindow,
    cameras: list[str],
    *,
    in_full: bool = False,
    overwrite: bool = False,
    verbose: bool = False,
    with_outlook: bool = False,
    on_progress: Callable[[int, int, str], None] | None = None,
    defs: dg.Definitions | None = None,
) -> Report:
    """Collects the window from the cameras that the words mean (none: all active ones), then computes its days.

    `in_full`: asks every question also of cameras at whose address nobody has answered lately. `with_outlook`: then looks for
    anomalies of the last days, predicts the next ones and evaluates the alert rules, as the schedules do.
    Raises ConfigurationError for a window or a camera that cannot be meant, DatabaseUnavailableError.
    """
    database = installation.database
    chosen = FleetRegistry(database).cameras(cameras or None)
    if not chosen:
        raise ConfigurationError("No active camera is registered; `retail-sensors cameras add FILE` registers some.")
    now = _now()
    window = check_window(window, now)
    report = Report(window)
    steps = list(steps_of(database, window, chosen, now, tuple(cameras)))
    total = len(steps) + (len(list(outlook(_now))) if with_outlook else 0)
    with installation.storage_reached():
        instance = installation.dagster_instance()
        if defs is None:
            # Imported here: a wrong date or an unknown camera is told before Dagster's second of imports.
            from retail_sensors.definitions import build_defs

            defs = build_defs()
        end_lost_runs(instance)
        for done, step in enumerate(chain(steps, outlook(_now) if with_outlook else ())):
            if on_progress:
                on_progress(done, total, f"{step.what} from {step.first}" if step.first else step.what)
            _run(step, report, instance, defs, in_full=in_full, overwrite=overwrite, verbose=verbose)
    if on_progress:
        on_progress(total, total, "collected")
    report.cameras = _outcomes(database, window, chosen, now)
    return report


def end_lost_runs(instance: dg.DagsterInstance) -> None:
    """Fails the runs of processes of this machine that were killed: Dagster itself would show them as running for ever."""
    import dagster as dg

    going_on = [
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    ]
    for run in instance.get_runs(dg.RunsFilter(statuses=going_on)):
        machine, _, process = run.tags.get(PROCESS_TAG, "").partition(" ")
        if machine == socket.gethostname() and not _is_running(*process.split()):
            instance.report_run_failed(run, "Its process was killed; the same range again makes good what is missing.")


def _this_process() -> str:
    process = psutil.Process()
    return f"{socket.gethostname()} {process.pid} {process.create_time():.0f}"


def _is_running(number: str, started: str) -> bool:
    try:
        process = psutil.Process(int(number))
        # A number is given again; only the same start is the same process.
        return abs(process.create_time() - int(started)) < 2 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _run(
    step: Step,
    report: Report,
    instance: dg.DagsterInstance,
    defs: dg.Definitions,
    *,
    in_full: bool,
    overwrite: bool,
    verbose: bool,
) -> None:
    import dagster as dg

    config: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "INFO" if verbose else "CRITICAL"}}}}
    asked = [table.name for table in (*_RAW_TABLES, *_DAY_TABLES) if table.name in step.assets]
    chosen = {"cameras": list(step.cameras), "in_full": in_full, "overwrite": overwrite}
    config["ops"] = {name: {"config": chosen} for name in asked}
    result = defs.resolve_job_def(step.job).execute_in_process(
        instance=instance,
        tags={
            **OF_THE_LOCATION,
            PROCESS_TAG: _this_process(),
            **(range_tags(step.first, step.last) if step.first else {}),
        },
        run_config=config,
        asset_selection=[dg.AssetKey(name) for name in step.assets] or None,
        raise_on_error=False,
    )
    report.runs.append(
        {
            "run_id": result.run_id,
            "job": step.job,
            "assets": list(step.assets),
            "from": step.first or None,
            "to": step.last or None,
            "success": result.success,
        }
    )
    failures = [event for event in result.get_step_failure_events() if not _is_upstream(event)]
    if any(_error_class(event) == "DagsterExecutionInterruptedError" for event in failures):
        raise StoppedError("Stopped; what is in stays in, and the same command goes on.")
    # A camera that is down fails its asset in each run of the range: once is enough, the table says which hours.
    told = {problem.partition(",")[0] for problem in report.problems}
    span = f", {step.first} to {step.last}" if step.first else ""
    causes = [
        f"{event.step_key}{span}: {_cause(event)}"
        for event in failures
        if event.step_key not in told or event.step_key not in asked
    ]
    if not result.success and not failures:
        causes = [f"{step.job}{span}: run {result.run_id} failed; its log says why."]
    report.problems += causes


def steps_of(
    database: Database, window: TimeWindow, cameras: Sequence[Camera], now: datetime, named: tuple[str, ...]
) -> Iterator[Step]:
    """The runs of a window, in order.

    All hours are collected before any figure is computed: what occupancy says of an hour depends on every hour from one
    reset of its store to the next, and a figure computed between two runs would be of half a day.
    """
    if database.fetch(queries("collection")["calendar_is_missing"]):
        yield Step("public holidays", "public_holidays")
    raw = tuple(table.name for table in _RAW_TABLES)
    for first_key, last_key in hour_ranges(window, HOURS_PER_RUN):
        yield Step("asking cameras", "collect_hours", first_key, last_key, raw, named)
    stores = [
        (ZoneInfo(zone), reset)
        for zone, reset in database.fetch(
            queries("collection")["clocks_of_stores"], {"sensors": [str(camera.sensor_id) for camera in cameras]}
        )
    ]
    yield from _questions_about_days(window, cameras, stores, now, named)
    touched = _touched(database, window, stores, now)
    spans = list(hour_ranges(touched, FIGURE_HOURS_PER_RUN))
    names = tuple(table.name for table in _FIGURE_TABLES)
    # Likewise in a range of several runs: each table as a whole before those that are made of it.
    for group in [names] if len(spans) == 1 else [(name,) for name in names]:
        for first_key, last_key in spans:
            yield Step("hourly figures", "collect_hours", first_key, last_key, group)
    days = []
    for zone, reset in stores:
        # Where hours before the window are stored, the day whose last hours it brings is computed anew.
        first = touched.start if touched.start == window.start else _reset_before(touched.start, zone, reset)
        days.append((first.astimezone(zone).date(), (window.end - _HOUR).astimezone(zone).date()))
    ended = max(now.astimezone(zone).date() for zone, _ in stores) - _DAY
    first_day, last_day = min(first for first, _ in days), max(last for _, last in days)
    for first_key, last_key in day_ranges(max(first_day, FIRST_DAY), min(last_day, ended), DAYS_PER_RUN):
        yield Step("daily figures", "daily_figures", first_key, last_key)
    # Days that were stored before are compared with the ones that have now arrived: last week's, last year's.
    ((first_later, last_later),) = database.fetch(queries("collection")["later_days"], {"last": last_day})
    if first_later is not None:
        for first_key, last_key in day_ranges(first_later, last_later, DAYS_PER_RUN):
            yield Step("comparisons of later days", "daily_figures", first_key, last_key)


def _now() -> datetime:
    return datetime.now(UTC)


def outlook(clock: Callable[[], datetime]) -> Iterator[Step]:
    """Runs that say what stands out, what comes and what is to be done, each by the clock as it is when its turn has come.

    A model serves no origin before the end of its training: forecasts start from the hour in which that is done.
    """
    today = clock().date()
    yield Step("anomalies", "anomalies", day_key(today - (OUTLOOK_DAYS - 1) * _DAY), day_key(today))
    yield Step("training", "train_model")
    hour = hour_key(clock())
    yield Step("forecasts", "forecasts", hour, hour)
    yield Step("camera health", "watch_cameras")
    yield Step("alerts", "alerts")


def _questions_about_days(
    window: TimeWindow,
    cameras: Sequence[Camera],
    stores: Sequence[tuple[ZoneInfo, time]],
    now: datetime,
    named: tuple[str, ...],
) -> Iterator[Step]:
    """Runs that ask for the stays and the spatial heat of the window's ended days, where a camera has them."""
    first = min(window.start.astimezone(zone).date() for zone, _ in stores)
    last = max(min(window.end - _HOUR, now - _DAY).astimezone(zone).date() for zone, _ in stores)
    for endpoint, table in zip(DAY_ENDPOINTS, _DAY_TABLES, strict=True):
        asked = tuple(camera.name for camera in cameras if endpoint in camera.endpoints)
        if asked:
            for first_key, last_key in day_ranges(max(first, FIRST_DAY), last, DAYS_PER_RUN):
                chosen = asked if named else ()
                yield Step("asking about days", "ended_day_questions", first_key, last_key, (table.name,), chosen)


def _touched(
    database: Database, window: TimeWindow, stores: Sequence[tuple[ZoneInfo, time]], now: datetime
) -> TimeWindow:
    """The window, widened to the stored hours around it that lie between the same two resets of a store as its edges."""
    last = window.end - _HOUR
    begin = min(_reset_before(window.start, zone, reset) for zone, reset in stores)
    end = max(_reset_before(_reset_before(last, zone, reset) + 1.25 * _DAY, zone, reset) for zone, reset in stores)
    ((earliest, latest),) = database.fetch(
        queries("collection")["span_of_figures"], {"start": begin, "end": max(end, window.end)}
    )
    if earliest is None:
        return window
    running = now.replace(minute=0, second=0, microsecond=0) + _HOUR
    start = min(window.start, _floor(earliest))
    return TimeWindow(start, max(window.end, min(_floor(latest) + _HOUR, running)))


def _reset_before(instant: datetime, zone: ZoneInfo, reset: time) -> datetime:
    local = instant.astimezone(zone)
    day = local.date()
    at = datetime.combine(day, reset, zone).astimezone(UTC)
    return at if at <= instant else datetime.combine(day - _DAY, reset, zone).astimezone(UTC)


def _floor(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _cause(event: dg.DagsterEvent) -> str:
    error = event.step_failure_data.error
    if error is None:
        return str(event.message)
    while error.cause is not None:
        error = error.cause
    if event.step_failure_data.user_failure_data and event.step_failure_data.user_failure_data.description:
        return event.step_failure_data.user_failure_data.description
    return error.message.strip().partition(": ")[2] or error.message.strip()


def _is_upstream(event: dg.DagsterEvent) -> bool:
    return _error_class(event) == "DagsterDependencyError"


def _error_class(event: dg.DagsterEvent) -> str | None:
    error = event.step_failure_data.error
    return error.cls_name if error is not None else None


def _outcomes(
    database: Database, window: TimeWindow, cameras: Sequence[Camera], started: datetime
) -> list[CameraOutcome]:
    rows = database.fetch(
        queries("collection")["outcomes_of_range"],
        {
            "start": window.start,
            "end": window.end,
            "sensors": [str(camera.sensor_id) for camera in cameras],
            "endpoints": [endpoint.value for endpoint in HISTORY_ENDPOINTS],
            "started": started,
        },
    )
    found = {(sensor, endpoint): (logged, inside, why) for sensor, endpoint, logged, inside, why in rows}
    outcomes = []
    for camera in sorted(cameras, key=lambda camera: camera.name):
        begun = sum(hour <= started for hours in hours_by_day(window, camera.zone).values() for hour in hours)
        endpoints = {}
        for endpoint in HISTORY_ENDPOINTS:
            if endpoint not in camera.endpoints:
                continue
            logged, inside, why = found.get((str(camera.sensor_id), endpoint.value), (0, 0, None))
            # An hour that no run recorded was not collected, whatever became of the run.
            if logged < begun:
                why = why or "the run failed before it was asked"
            endpoints[endpoint.value] = {"asked": max(begun, logged), "in": inside, "why": why}
        outcomes.append(CameraOutcome(camera.name, endpoints))
    return outcomes
