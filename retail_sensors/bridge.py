"""The data bridge: cycle after cycle of collecting the last hours, for a site without a Dagster daemon.

Here belongs when a cycle runs and which hours it asks for; what a cycle does is `backfill.collect_range`, as for any range.
A daemon does more, with its schedules: forecasts, anomalies and alerts are no part of a cycle.
"""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from retail_sensors.backfill import OF_THE_LOCATION, Report, collect_range
from retail_sensors.connectors.base import TimeWindow
from retail_sensors.errors import ConfigurationError, RetailSensorsError, StoppedError
from retail_sensors.installation import Installation, opened
from retail_sensors.partitions import check_window
from retail_sensors.storage.fleet import FleetRegistry
from retail_sensors.storage.sqlfiles import queries

if TYPE_CHECKING:
    import dagster as dg

NEWEST_HOURS = 2
"""Asked for in each cycle: a camera's local hour may start at half past."""
TOLD_CAMERAS = 3
"""Incomplete cameras that a cycle's line names."""

_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Cycle:
    """What one cycle came to. `failure`: the sentence of why there is no report, and `trace` where the fault is ours."""

    started_at: datetime
    seconds: float
    report: Report | None = None
    failure: str | None = None
    trace: str | None = None

    def line(self) -> str:
        """The cycle for a log."""
        stamp = self.started_at.isoformat(timespec="seconds")
        if self.report is None:
            return f"{stamp} failed after {self.seconds:.1f} s: {self.failure}"
        cameras = self.report.cameras
        incomplete = [outcome for outcome in cameras if not outcome.is_complete]
        told = [
            f"{stamp} {len(cameras) - len(incomplete)} of {len(cameras)} cameras complete,"
            f" {sum(outcome.hours_in for outcome in cameras)} of {sum(outcome.hours_asked for outcome in cameras)}"
            f" reports of hours since {self.report.window.start:%Y-%m-%dT%H:%MZ} in,"
            f" {len(self.report.runs)} runs, {self.seconds:.1f} s",
            *(f"{outcome.camera}: {', '.join(outcome.problems)}" for outcome in incomplete[:TOLD_CAMERAS]),
        ]
        if (more := len(incomplete) - TOLD_CAMERAS) > 0:
            told.append(f"{more} more cameras are incomplete")
        return " ".join("; ".join([*told, *self.report.problems]).split())

    def as_json(self) -> dict[str, Any]:
        """The cycle for programs; without a report only when it started, how long it took and why it failed."""
        report = {} if self.report is None else self.report.as_json()
        return {
            "started_at": self.started_at.isoformat(),
            "seconds": round(self.seconds, 3),
            "failure": self.failure,
            **report,
        }


class Bridge:
    """Cycles over the last `hours` hours of the cameras that words mean, as `analytics.selection` reads them; none: all active ones.

    A cycle asks anew who is meant: a camera that joins a group joins with the next one.
    """

    def __init__(self, cameras: list[str], hours: int, *, clock: Callable[[], datetime], verbose: bool = False) -> None:
        self._cameras = cameras
        self._hours = hours
        self._clock = clock
        self._verbose = verbose
        self._has_begun = False
        self._maintained_on: date | None = None

    def check(self) -> None:
        """Raises ConfigurationError where there is nobody to ask, DatabaseUnavailableError: before the first cycle these end
        the program, later they end a cycle."""
        with opened() as installation:
            self._names(installation)

    def run(self, interval: float, stop: threading.Event, tell: Callable[[Cycle], None]) -> None:
        """A cycle each `interval` seconds until `stop`, each told when it has ended.

        Starts lie on a grid from the first one. A cycle that takes longer than the interval is followed by the next of the
        grid: none overlap, and none are made up for.
        """
        first = time.monotonic()
        while not stop.is_set():
            try:
                tell(self._cycle(stop))
            except StoppedError:
                return
            stop.wait(seconds_to_next(time.monotonic() - first, interval))

    def _cycle(self, stop: threading.Event) -> Cycle:
        started_at, begun = self._clock(), time.monotonic()

        def go_on(done: int, total: int, _: str) -> None:
            if stop.is_set() and done < total:
                raise StoppedError("Stopped; what is in stays in, and the next start goes on.")

        report = failure = trace = None
        try:
            # For one cycle: no connection is kept between them, and the embedded server is started anew where it ended.
            with opened() as installation:
                window = self._window(installation, started_at)
                report = collect_range(
                    installation, window, self._cameras, verbose=self._verbose, on_progress=go_on, defs=self._defs
                )
                self._has_begun = True
                self._maintain(installation, report)
        except StoppedError:
            raise
        except RetailSensorsError as error:
            report, failure = None, str(error)
        except Exception as error:
            # A fault of ours must not end the collection of a shop.
            report, failure, trace = None, f"{type(error).__name__}: {error}", traceback.format_exc()
        return Cycle(started_at, time.monotonic() - begun, report, failure, trace)

    def _window(self, installation: Installation, now: datetime) -> TimeWindow:
        """All hours at first; then from the first one that is not in, not final or without its figures."""
        whole = check_window(TimeWindow(now - self._hours * _HOUR, now), now)
        if not self._has_begun:
            return whole
        ((first,),) = installation.database.fetch(
            queries("collection")["first_incomplete_hour"],
            {"start": whole.start, "end": whole.end, "now": now, "names": self._names(installation)},
        )
        newest = max(whole.end - NEWEST_HOURS * _HOUR, whole.start)
        return TimeWindow(min(first or newest, newest), whole.end)

    def _names(self, installation: Installation) -> list[str]:
        names = [camera.name for camera in FleetRegistry(installation.database).cameras(self._cameras or None)]
        if not names:
            raise ConfigurationError("No active camera is registered; `--sensors FILE` registers some.")
        return names

    def _maintain(self, installation: Installation, report: Report) -> None:
        """Once a day what the daemon does at night: Dagster keeps its event log for ever, a cycle every five minutes fills it."""
        today = self._clock().date()
        if self._maintained_on == today:
            return
        with installation.storage_reached():
            result = self._defs.resolve_job_def("maintenance").execute_in_process(
                instance=installation.dagster_instance(),
                tags=OF_THE_LOCATION,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                raise_on_error=False,
            )
        if result.success:
            self._maintained_on = today
        else:
            report.problems.append(f"maintenance: run {result.run_id} failed; its log says why.")

    @cached_property
    def _defs(self) -> dg.Definitions:
        from retail_sensors.definitions import build_defs

        return build_defs()


def seconds_to_next(elapsed: float, interval: float) -> float:
    """Time from `elapsed` seconds after the first start to the next start of the grid; never 0, and no start twice."""
    return (math.floor(elapsed / interval) + 1) * interval - elapsed
