"""The simulated week: a fleet over real sockets, the real schedules, sensors and runs at instants of the past, faults that come and
go, and a judgement in the end. `make simulate-week` runs it; a day of it is a test.

Every schedule and sensor of the definitions takes part (`simulated_time.daemon`). Two things are thinner than in life. A schedule
runs, and a sensor is evaluated, every `--tick` minutes at most, except around the beginning and the end of each fault, where all ticks
count. And instants lie on the schedules' minutes, so that a sensor of one minute is evaluated a few times in five. Postgres' own
clock, which stamps `updated_at`, stays that of the machine.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import yaml

from retail_sensors.backfill import DAYS_PER_RUN, HOURS_PER_RUN
from retail_sensors.connectors.base import HISTORY_ENDPOINTS, Endpoint, TimeWindow
from retail_sensors.partitions import day_ranges, hour_ranges, range_tags
from retail_sensors.settings import Settings
from retail_sensors.simulator.fleet import SimulatedFleet, fleet_file, running
from retail_sensors.storage import migrations
from retail_sensors.storage.database import Database
from retail_sensors.storage.embedded import EmbeddedPostgres
from retail_sensors.storage.status import Status, fleet_status
from retail_sensors_tests.installations import PASSWORD_VARIABLE, Site
from retail_sensors_tests.simulated_time.daemon import Clock, Ran, SimulatedDaemon
from retail_sensors_tests.simulated_time.plan import DISABLED_CAMERA, HOUR, MINUTE, NEW_CAMERA, Plan
from retail_sensors_tests.simulated_time.verdict import Found, Seen, judge_data, judge_episodes, judge_quiet, judge_runs

_EVERY_TICK = timedelta()
_LOOKS = {"watch_cameras", "alerts"}
"""Jobs after which `status` has something new to say."""
_ENVIRONMENT = {
    # A camera that hangs costs this time in truth, for each question; the others have it too, on a machine that stands still.
    "RETAIL_SENSORS_REQUEST_TIMEOUT_SECONDS": "5.0",
}

Say = Callable[[str], None]


@dataclass
class Result:
    """What came of it: when each fault was seen, everything that does not hold, and the runs."""

    found: list[Found]
    wrong: list[str]
    seen: Seen
    seconds: float


@dataclass
class _Week:
    """One run through the plan."""

    plan: Plan
    site: Site
    fleet: SimulatedFleet
    clock: Clock
    server: EmbeddedPostgres
    quiet: timedelta
    say: Say
    seen: Seen = field(default_factory=Seen)
    _of_hour: list[Ran] = field(default_factory=list)
    _last_states: dict[str, str] = field(default_factory=dict)
    _known_alerts: dict[str, bool] = field(default_factory=dict)

    def go(self) -> None:
        """All instants of the plan, one after the other."""
        plan = self.plan
        register(self.site, self.fleet, [name for name in plan.cameras if name != NEW_CAMERA], plan.start, plan.start)
        with self.site.entered() as installation:
            # The nightly maintenance prunes Dagster's storage in Postgres, which has to be there.
            installation.dagster_instance().dispose()
            daemon = SimulatedDaemon(self.clock)
            self.seen.broken = daemon.broken
            edges = sorted({plan.start + edge for one in plan.episodes for edge in (one.start, one.end)})
            hour = plan.start
            for at, names in daemon.due(plan.end):
                while at >= hour + HOUR:
                    self._tell_hour(hour)
                    hour += HOUR
                self._people_act(self.clock.now, at)
                passed = [edge for edge in edges if self.clock.now < edge <= at]
                self.clock.now = at
                if passed:
                    # The listeners follow the clock by themselves a moment later; here they must have.
                    for name in self.fleet.cameras:
                        self.fleet.set_faults(name, plan.faults(name))
                    for one in plan.episodes:
                        for edge, word in ((one.start, "begins"), (one.end, "is over")):
                            if plan.start + edge in passed:
                                self._event(f"{one.told} {word}")
                is_full = plan.is_watched(at) or at in plan.restarts
                with self._restarted(at in plan.restarts, daemon.run_begun):
                    ran = daemon.tick(
                        names,
                        _EVERY_TICK if is_full or plan.is_hourly(at) else self.quiet,
                        seldom_only=not is_full and not self._is_in_block(at),
                    )
                self.seen.runs += ran
                self._of_hour += ran
                for run in ran:
                    if not run.success:
                        self._event(f"run of {run.job} failed: {run.why}")
                if any(run.job in _LOOKS for run in ran):
                    self._look(installation.database)
            self._tell_hour(hour)

    def _is_in_block(self, at: datetime) -> bool:
        """Whether it lies in the first five minutes, from five past on, of a quiet tick: what belongs together then runs together."""
        minutes = at.hour * 60 + at.minute - 5
        return minutes % (self.quiet // MINUTE) < 5

    def _people_act(self, before: datetime, at: datetime) -> None:
        """Registers and switches off cameras when their time has come."""
        new, off = self.plan.registered_at, self.plan.disabled_at
        if new is not None and before < new <= at:
            register(self.site, self.fleet, [NEW_CAMERA], new, self.plan.start)
            self._event(f"{NEW_CAMERA} is registered")
        if off is not None and before < off <= at:
            said = self.site.run("cameras", "disable", DISABLED_CAMERA)
            assert said.code == 0, said.err
            self._event(f"{DISABLED_CAMERA} is switched off")

    @contextmanager
    def _restarted(self, is_restarted: bool, run_begun: threading.Event) -> Iterator[None]:
        """Postgres ends and comes back as the block's first run asks its first camera."""
        if not is_restarted:
            yield
            return

        def restart() -> None:
            run_begun.wait()
            asked = self.fleet.requests
            while self.fleet.requests == asked and not is_over.wait(0.005):
                pass
            self.server.stop()
            self.server.start()

        run_begun.clear()
        is_over = threading.Event()
        thread = threading.Thread(target=restart)
        self._event("Postgres is restarted in the middle of a run")
        thread.start()
        try:
            yield
        finally:
            # Without a run, or a question, nobody would wake it.
            run_begun.set()
            is_over.set()
            thread.join()

    def _look(self, database: Database) -> None:
        status = fleet_status(database, self.clock.now)
        self.seen.statuses.append(status)
        if self.plan.is_watched(self.clock.now):
            self._tell_changes(status)
        for identity, title, is_resolved in self.site.fetch(
            'SELECT id::text, title, resolved FROM retail.alerts_generated ORDER BY "timestamp"'
        ):
            if self._known_alerts.get(identity) != is_resolved:
                self._known_alerts[identity] = is_resolved
                self._event(f"alert {'resolved' if is_resolved else 'raised'}: {title}")

    def _tell_changes(self, status: Status) -> None:
        for camera in status.cameras:
            if self._last_states.get(camera.name, "healthy") != camera.state:
                self._event(f"status: {camera.name} is {camera.state}{f' ({camera.why})' if camera.why else ''}")
            self._last_states[camera.name] = camera.state

    def _event(self, what: str) -> None:
        self.say(f"{self.clock.now:%a %H:%M}   {what}")

    def _tell_hour(self, hour: datetime) -> None:
        jobs = Counter(run.job for run in self._of_hour)
        seconds = sum(run.seconds for run in self._of_hour)
        told = ", ".join(f"{job} {count}" for job, count in jobs.most_common())
        ill = [stage for stage in self.seen.statuses[-1].stages if not stage.is_well] if self.seen.statuses else []
        states = "; ".join(f"{stage.name} {stage.state} ({stage.detail})" for stage in ill) or "all is well"
        self.say(f"{hour:%a %H}:00 {len(self._of_hour):3} runs in {seconds:5.1f} s: {told or 'nothing'}. {states}")
        self._of_hour.clear()


def register(site: Site, fleet: SimulatedFleet, names: list[str], at: datetime, installed: datetime) -> None:
    """Registers cameras of the fleet as `cameras add` does, at a simulated instant."""
    structure = fleet_file(fleet, f"env:{PASSWORD_VARIABLE}")
    structure["cameras"] = [entry for entry in structure["cameras"] if entry["name"] in names]
    for entry in structure["cameras"]:
        entry["endpoints"] = [str(endpoint.value) for endpoint in (*HISTORY_ENDPOINTS, Endpoint.ALARM_STATUS)]
        entry["installed_on"] = f"{installed:%Y-%m-%d}"
    site.home.mkdir(parents=True, exist_ok=True)
    path = site.home / "fleet.yaml"
    path.write_text(yaml.safe_dump(structure, sort_keys=False))
    said = site.run("cameras", "add", path)
    assert said.code == 0, said.err
    listed = ", ".join(f"'{name}'" for name in names)
    site.execute(f"UPDATE retail.sensor_metadata SET created_at = '{at}' WHERE sensor_name IN ({listed})")


def back_fill(plan: Plan, site: Site) -> None:
    """The week of a fleet that never failed, asked for once when it is over."""
    clock = Clock(plan.end)
    with running(plan.fleet(lambda: clock.now, with_faults=False)) as fleet:
        register(site, fleet, plan.cameras, plan.start, plan.start)
        with site.entered():
            daemon = SimulatedDaemon(clock)
            # In the week the schedule brings them each night: days are not compared with holidays.
            holidays = daemon.run("public_holidays", dg.RunRequest())
            assert holidays.success, holidays.why
            # From the first local midnight on, which is before the start: the first schedules look back as well.
            window = TimeWindow(plan.start - 4 * HOUR, plan.end.replace(minute=0))
            for first, last in hour_ranges(window, HOURS_PER_RUN):
                run_to_success(daemon, "collect_hours", first, last)
            for first, last in day_ranges(plan.start.date(), plan.end.date(), DAYS_PER_RUN):
                run_to_success(daemon, "daily_figures", first, last)


def run_to_success(daemon: SimulatedDaemon, job: str, first: str, last: str) -> None:
    """One run of the partitions."""
    ran = daemon.run(job, dg.RunRequest(tags=range_tags(first, last)))
    assert ran.success, ran.why


def simulate(plan: Plan, home: Path, *, quiet: timedelta, say: Say) -> Result:
    """The plan from its start to its end, on an embedded server of its own under `home`, and the judgement."""
    began = time.monotonic()
    server = EmbeddedPostgres(home / "server")
    server.start()
    try:
        site, reference = (_site(server, home, name) for name in ("week", "reference"))
        clock = Clock(plan.start)
        with running(plan.fleet(lambda: clock.now, with_faults=True)) as fleet:
            week = _Week(plan, site, fleet, clock, server, quiet, say)
            week.go()
            back_fill(plan, reference)
            found, wrong = judge_episodes(plan, week.seen, site)
            wrong += judge_quiet(plan, week.seen)
            wrong += judge_runs(plan, week.seen)
            wrong += judge_data(plan, site, reference, fleet)
    finally:
        server.destroy()
    return Result(found, wrong, week.seen, time.monotonic() - began)


def _site(server: EmbeddedPostgres, home: Path, name: str) -> Site:
    server.ensure_database(name)
    url = server.url(name)
    database = Database(Settings(database_url=url))
    migrations.upgrade(database)
    database.dispose()
    return Site(url, home / name, dict(_ENVIRONMENT))


def tell(result: Result, plan: Plan, say: Say) -> None:
    """The summary for a person."""
    say(f"\n{plan.days} simulated days in {result.seconds:.0f} s.\n\njob                       runs   failed  seconds")
    jobs = Counter(run.job for run in result.seen.runs)
    for job, count in jobs.most_common():
        its = [run for run in result.seen.runs if run.job == job]
        failed = sum(not run.success for run in its)
        say(f"{job:24} {count:5} {failed:8} {sum(run.seconds for run in its):8.1f}")
    say(
        "\nwhat befell                 from        to          in status   well again  in checks   alert       resolved"
    )
    for one in result.found:
        edges = (plan.start + one.episode.start, plan.start + one.episode.end)
        instants = (*edges, one.in_status, one.well_again, one.in_checks, one.alert, one.resolved)
        say(f"{one.episode.told:27} " + " ".join(f"{f'{at:%a %H:%M}' if at else '-':11}" for at in instants))
    say("")
    for sentence in result.wrong:
        say(sentence)
    say("All holds." if not result.wrong else f"{len(result.wrong)} things do not hold.")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """The command line; 1 when something does not hold."""
    parser = argparse.ArgumentParser(description="A simulated week of the pipeline.")
    parser.add_argument("--days", type=int, default=7, choices=range(1, 8), help="how many of its days")
    parser.add_argument(
        "--tick",
        type=int,
        default=5,
        help="minutes between two ticks where nothing begins or ends",
    )
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    plan = Plan(given.days)
    with tempfile.TemporaryDirectory(prefix="simulated-week-") as folder:
        result = simulate(plan, Path(folder), quiet=given.tick * MINUTE, say=_say)
    tell(result, plan, _say)
    return 1 if result.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
