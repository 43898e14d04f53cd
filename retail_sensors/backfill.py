"""A range of hours through the project's own Dagster jobs, in this process, and what came of it per camera.

The runs are real: recorded in the instance, seen in the UI. What a run does belongs in `jobs` and `assets`; how the
outcome is shown belongs in `cli.collect`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from retail_sensors.connectors.base import HISTORY_ENDPOINTS, TimeWindow
from retail_sensors.errors import ConfigurationError
from retail_sensors.installation import Installation
from retail_sensors.partitions import FIRST_DAY, check_window, day_ranges, hour_ranges, range_tags
from retail_sensors.storage.database import Database
from retail_sensors.storage.fleet import FleetRegistry
from retail_sensors.storage.sqlfiles import queries
from retail_sensors.tables import HEATMAP_TEMPORAL_RAW, PEOPLE_COUNTING_RAW, REGIONAL_COUNTING_RAW, VCA_ALARM_STATUS

if TYPE_CHECKING:
    import dagster as dg

HOURS_PER_RUN = 72
"""A run's fixed cost is about a second; three days keep a run, its memory and the progress bar's steps small."""
DAYS_PER_RUN = 31

_RAW_TABLES = (PEOPLE_COUNTING_RAW, REGIONAL_COUNTING_RAW, HEATMAP_TEMPORAL_RAW, VCA_ALARM_STATUS)


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
        return self.hours_in == self.hours_asked and self.hours_asked > 0

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
    overwrite: bool = False,
    verbose: bool = False,
    on_progress: Callable[[int, int, str], None] | None = None,
    defs: dg.Definitions | None = None,
) -> Report:
    """Collects the window from the named cameras (none named: all active ones), then computes its days.

    Raises ConfigurationError for a window or a camera that cannot be meant, DatabaseUnavailableError.
    """
    database = installation.database
    chosen = FleetRegistry(database).cameras(cameras or None)
    if not chosen:
        raise ConfigurationError("No active camera is registered; `retail-sensors cameras add FILE` registers some.")
    now = datetime.now(UTC)
    window = check_window(window, now)
    instance = installation.dagster_instance()
    if defs is None:
        # Imported here: a wrong date or an unknown camera is told before Dagster's second of imports.
        from retail_sensors.definitions import build_defs

        defs = build_defs()
    report = Report(window)
    hours = list(hour_ranges(window, HOURS_PER_RUN))
    days = list(day_ranges(*_local_dates(database, window, now), DAYS_PER_RUN))
    total = len(hours) + len(days)
    steps = [("collect_hours", span) for span in hours] + [("daily_figures", span) for span in days]
    for done, (job_name, (first, last)) in enumerate(steps):
        if on_progress:
            on_progress(done, total, f"{job_name} {first} to {last}")
        config: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "INFO" if verbose else "CRITICAL"}}}}
        if job_name == "collect_hours":
            asset_config = {"config": {"cameras": cameras, "overwrite": overwrite}}
            config["ops"] = {table.name: asset_config for table in _RAW_TABLES}
        result = defs.resolve_job_def(job_name).execute_in_process(
            instance=instance, tags=range_tags(first, last), run_config=config, raise_on_error=False
        )
        report.runs.append(
            {"run_id": result.run_id, "job": job_name, "from": first, "to": last, "success": result.success}
        )
        report.problems += [
            f"{event.step_key}, {first} to {last}: {_cause(event)}"
            for event in result.get_step_failure_events()
            if not _is_upstream(event)
        ]
    if on_progress:
        on_progress(total, total, "collected")
    report.cameras = _outcomes(database, window, [camera.name for camera in chosen], report)
    return report


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
    error = event.step_failure_data.error
    return error is not None and error.cls_name == "DagsterDependencyError"


def _local_dates(database: Database, window: TimeWindow, now: datetime) -> tuple[date, date]:
    """First and last local date that the window touches and that has ended in some store; reversed when none has."""
    zones = {ZoneInfo(name) for (name,) in database.fetch("SELECT DISTINCT timezone FROM retail.stores")}
    last_instant = window.end - timedelta(microseconds=1)
    first = min(window.start.astimezone(zone).date() for zone in zones)
    last = max(last_instant.astimezone(zone).date() for zone in zones)
    ended = max(now.astimezone(zone).date() for zone in zones) - timedelta(days=1)
    return max(first, FIRST_DAY), min(last, ended)


def _outcomes(database: Database, window: TimeWindow, names: list[str], report: Report) -> list[CameraOutcome]:
    rows = database.fetch(
        queries("collection")["outcomes_of_range"],
        {
            "start": window.start,
            "end": window.end,
            "names": names,
            "endpoints": [endpoint.value for endpoint in HISTORY_ENDPOINTS],
            "runs": [run["run_id"] for run in report.runs],
        },
    )
    by_camera: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in names}
    for name, endpoint, asked, inside, why in rows:
        by_camera[name][endpoint] = {"asked": asked, "in": inside, "why": why}
    return [CameraOutcome(name, endpoints) for name, endpoints in sorted(by_camera.items())]
