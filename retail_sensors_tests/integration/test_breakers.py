"""Cameras at whose address nobody answers: several sweeps over real sockets, their state in a real database, two processes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from retail_sensors.assets.health import camera_health
from retail_sensors.connectors.base import Collection, Endpoint, TimeWindow
from retail_sensors.definitions import build_defs
from retail_sensors.io_managers.postgres import PostgresIOManager
from retail_sensors.partitions import FIRST_DAY
from retail_sensors.resources.cameras import CamerasResource
from retail_sensors.resources.clock import ClockResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.sensors.removed import fleet_changes
from retail_sensors.simulator.camera import SimulatedCamera
from retail_sensors.simulator.fleet import SimulatedFleet, running, uniform_cameras
from retail_sensors.simulator.switches import Fault, FaultKind
from retail_sensors.simulator.traffic import Generated
from retail_sensors.storage.collections import CollectedWindow
from retail_sensors.storage.repair import missing_spans
from retail_sensors.tables import PEOPLE_COUNTING_RAW, REGIONAL_COUNTING_RAW
from retail_sensors_tests.installations import ROOT, Site, free_ports, simulated

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
START = datetime(2025, 10, 24, tzinfo=UTC)
WINDOW = TimeWindow(START, START + 2 * DAY)
"""Two questions to each camera."""
NOW = START + 3 * DAY
PEOPLE, REGIONS = Endpoint.PEOPLE_COUNTING, Endpoint.REGIONAL_COUNTING
TABLES = {PEOPLE: PEOPLE_COUNTING_RAW, REGIONS: REGIONAL_COUNTING_RAW}
HANGING = Fault(FaultKind.SLOW, delay_seconds=600.0)
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
STATE = "SELECT state, failures, last_error_class, opened_at FROM retail.camera_breakers"


class Frozen(ClockResource):
    """A clock that stands still."""

    instant: str

    def now(self) -> datetime:
        return datetime.fromisoformat(self.instant)


class Sweeper:
    """Sweeps over an installation's cameras at simulated instants, stored as the raw assets store them."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.now = NOW

    def sweep(
        self, run: str, *named: str, in_full: bool = False, endpoint: Endpoint = PEOPLE, window: TimeWindow = WINDOW
    ) -> Collection:
        with self.site.entered():
            database = DatabaseResource()
            cameras = CamerasResource(database=database, clock=Frozen(instant=self.now.isoformat()))
            collection = cameras.collect(endpoint, window, list(named), run, in_full=in_full)
            database.record(TABLES[endpoint], CollectedWindow(collection), run)
            database.database.dispose()
        return collection

    def sweeps(self, count: int) -> None:
        """As many runs as that, five minutes apart."""
        for _ in range(count):
            self.now += 5 * MINUTE
            self.sweep(f"run of {self.now:%H:%M}")


@contextmanager
def shop(url: str, home: Path, *names: str) -> Iterator[tuple[Sweeper, SimulatedFleet]]:
    """An installation with these cameras."""
    cameras = [SimulatedCamera(name, "UTC", Generated(seed=seed)) for seed, name in enumerate(names)]
    with running(SimulatedFleet(cameras, clock=lambda: NOW)) as fleet:
        site = Site(url, home)
        site.register(fleet, by_the_hour=True)
        yield Sweeper(site), fleet


def test_an_outage_of_three_runs_opens_and_an_answer_recovers_in_its_own_sweep(
    database_url: str, tmp_path: Path
) -> None:
    with shop(database_url, tmp_path / "home", "door", "back") as (sweeper, fleet):
        site, back = sweeper.site, fleet.served("back")
        fleet.set_faults("back", [HANGING])
        # Nobody else is hurried.
        site.environment["RETAIL_SENSORS_REQUEST_TIMEOUT_SECONDS"] = "1"
        sweeper.sweep("run 1", "back")
        del site.environment["RETAIL_SENSORS_REQUEST_TIMEOUT_SECONDS"]
        assert site.fetch(STATE) == [("closed", 1, "timeout", None)]
        assert back.requests == 2
        fleet.set_faults("back", [Fault(FaultKind.REFUSED)])
        sweeper.sweeps(1)
        assert site.fetch(STATE) == [("closed", 2, "refused", None)]
        sweeper.sweeps(1)
        assert site.fetch(STATE) == [("open", 3, "refused", sweeper.now)]

        # The fourth run costs one connection, whatever its endpoints; its log is as complete as ever.
        fleet.set_faults("back", [HANGING])
        connections, opened_at = back.connections, sweeper.now
        sweeper.now += 5 * MINUTE
        log = sweeper.sweep("run 4").log
        sweeper.sweep("run 4", endpoint=REGIONS)
        assert (back.connections - connections, back.by_kind["alarm"]) == (1, 1)
        assert site.fetch(STATE) == [("open", 4, "timeout", opened_at)]
        assert site.outcomes("back") == {"timeout": 48}
        assert site.outcomes("back", REGIONS) == {"timeout": 48}
        ((sensor,),) = site.fetch("SELECT sensor_id::text FROM retail.camera_breakers")
        told = list(log.loc[log["sensor_id"] == sensor, "error"])
        since = f"left alone since {opened_at:%Y-%m-%d %H:%M} UTC, as nobody has answered there in 3 runs in a row"
        assert all(since in sentence for sentence in told)
        assert "vca_alarm_status: it did not answer completely within 3 s" in told[0]

        # Beside it, a run that begins within 45 seconds sends nothing.
        sweeper.now += MINUTE / 2
        sweeper.sweep("run beside")
        assert back.connections - connections == 1

        fleet.set_faults("back", ())
        sweeper.sweeps(1)
        assert site.fetch(STATE) == []
        assert site.outcomes("back") == {"ok": 48}
        assert site.counted("back") == simulated(fleet, "back", WINDOW)
        assert site.counted("door") == simulated(fleet, "door", WINDOW)
        assert fleet.served("door").requests == 2 * 6


def test_two_runs_beside_each_other_open_nothing(database_url: str, tmp_path: Path) -> None:
    with shop(database_url, tmp_path / "home", "back") as (sweeper, fleet):
        fleet.set_faults("back", [Fault(FaultKind.REFUSED)])
        for endpoint in (PEOPLE, REGIONS, PEOPLE):
            for run in ("run a", "run b"):
                sweeper.now += timedelta(seconds=10)
                sweeper.sweep(run, endpoint=endpoint)
        assert sweeper.site.fetch(STATE) == [("closed", 2, "refused", None)]
        sweeper.sweeps(1)
        assert sweeper.site.fetch(STATE)[0][:2] == ("open", 3)


def test_who_asks_in_full_gets_an_answer_and_an_answer_closes(database_url: str, tmp_path: Path) -> None:
    with shop(database_url, tmp_path / "home", "back") as (sweeper, fleet):
        fleet.set_faults("back", [Fault(FaultKind.REFUSED)])
        sweeper.sweeps(3)
        assert sweeper.site.fetch(STATE)[0][0] == "open"
        fleet.set_faults("back", ())
        sweeper.now += timedelta(seconds=10)
        sweeper.sweep("too early for the short question")
        assert fleet.served("back").requests == 0
        sweeper.sweep("of chosen cameras", "back")
        assert fleet.served("back").requests == 0
        sweeper.sweep("by hand", "back", in_full=True)
        assert fleet.served("back").requests == 2
        assert sweeper.site.fetch(STATE) == []


@pytest.mark.parametrize(
    "kind", [FaultKind.UNAUTHORIZED, FaultKind.SERVER_ERROR_500, FaultKind.HTML_LOGIN, FaultKind.RESET_MID_BODY]
)
def test_answers_of_a_living_address_never_open_it(database_url: str, tmp_path: Path, kind: FaultKind) -> None:
    with shop(database_url, tmp_path / "home", "back") as (sweeper, fleet):
        fleet.set_faults("back", [Fault(kind)])
        sweeper.sweeps(4)
        assert sweeper.site.fetch(STATE) == []
        assert fleet.served("back").requests >= 8


def test_another_address_or_a_switch_begins_anew_and_health_shows_it(database_url: str, tmp_path: Path) -> None:
    with shop(database_url, tmp_path / "home", "door", "back") as (sweeper, fleet):
        site = sweeper.site
        fleet.set_faults("back", [Fault(FaultKind.REFUSED)])
        sweeper.sweeps(3)
        with site.entered():
            database = DatabaseResource()
            clock = Frozen(instant=sweeper.now.isoformat())
            manager = PostgresIOManager(database=database)
            dg.materialize([camera_health], resources={"database": database, "clock": clock, "io_manager": manager})
        shown = "SELECT breaker_state, left_alone_since FROM retail.camera_health JOIN retail.sensor_metadata ON id = sensor_id"
        assert site.fetch(f"{shown} ORDER BY sensor_name") == [("open", sweeper.now), (None, None)]

        site.execute("UPDATE retail.sensor_metadata SET location = 'Yard', clock_offset_seconds = 1")
        assert len(site.fetch(STATE)) == 1
        site.execute("UPDATE retail.sensor_metadata SET sensor_port = sensor_port + 1 WHERE sensor_name = 'back'")
        assert site.fetch(STATE) == []
        sweeper.sweeps(3)
        assert len(site.fetch(STATE)) == 1
        site.execute("UPDATE retail.sensor_metadata SET is_active = false WHERE sensor_name = 'back'")
        assert site.fetch(STATE) == []


_PROCESS = """
import sys
from datetime import datetime, timedelta
from retail_sensors.connectors.base import Endpoint, TimeWindow
from retail_sensors.resources.cameras import CamerasResource
from retail_sensors.resources.clock import ClockResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.storage.collections import CollectedWindow
from retail_sensors.tables import PEOPLE_COUNTING_RAW

database, start = DatabaseResource(), datetime.fromisoformat(sys.argv[2])
cameras = CamerasResource(database=database, clock=ClockResource())
collection = cameras.collect(Endpoint.PEOPLE_COUNTING, TimeWindow(start, start + timedelta(days=2)), [], sys.argv[1])
database.record(PEOPLE_COUNTING_RAW, CollectedWindow(collection), sys.argv[1])
"""


def test_two_processes_share_one_short_question(database_url: str, tmp_path: Path) -> None:
    with shop(database_url, tmp_path / "home", "door", "back") as (sweeper, fleet):
        site = sweeper.site
        fleet.set_faults("back", [Fault(FaultKind.REFUSED)])
        sweeper.sweeps(3)
        fleet.set_faults("back", [HANGING])
        # By the real clock it is given the ordinary time once more, as is the healthy one.
        site.environment["RETAIL_SENSORS_REQUEST_TIMEOUT_SECONDS"] = "10"
        connections = fleet.served("back").connections
        both = [
            subprocess.Popen([sys.executable, "-c", _PROCESS, run, START.isoformat()], cwd=ROOT, env=site.variables)
            for run in ("run a", "run b")
        ]
        assert [process.wait(timeout=240) for process in both] == [0, 0]
        assert fleet.served("back").connections - connections == 1
        assert site.fetch(STATE)[0][:2] == ("open", 4)
        assert site.outcomes("door") == {"ok": 48}


def test_forty_hanging_cameras_of_two_hundred_cost_one_short_question_each(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cameras = uniform_cameras(200, "UTC", free_ports(1))
    dead = [camera.name for camera in cameras[::5]]
    named = ", ".join(f"'{name}'" for name in dead)
    day = TimeWindow(START, START + DAY)
    with running(SimulatedFleet(cameras, clock=lambda: NOW)) as fleet:
        site = Site(database_url, tmp_path / "home")
        site.register(fleet, by_the_hour=True)
        sweeper = Sweeper(site)

        def tick(run: str) -> float:
            sweeper.now += 5 * MINUTE
            began = time.perf_counter()
            for endpoint in (PEOPLE, REGIONS):
                sweeper.sweep(run, endpoint=endpoint, window=day)
            return time.perf_counter() - began

        site.execute(f"UPDATE retail.sensor_metadata SET is_active = false WHERE sensor_name IN ({named})")
        tick("first of the others")
        without = tick("the others")
        site.execute("UPDATE retail.sensor_metadata SET is_active = true")
        for name in dead:
            fleet.set_faults(name, [HANGING])
        # Three runs of failures, without waiting for them.
        site.execute(
            "INSERT INTO retail.camera_breakers (sensor_id, state, failures, opened_at, next_probe_at, last_error_class,"
            f" last_failed_at, run_id) SELECT id, 'open', 3, '{sweeper.now}', '{sweeper.now}', 'timeout', '{sweeper.now}', '-'"
            f" FROM retail.sensor_metadata WHERE sensor_name IN ({named})"
        )
        before = {name: fleet.served(name).requests for name in fleet.cameras}
        opened = tick("open")
        sent = {name: fleet.served(name).requests - before[name] for name in fleet.cameras}
        # Less than one where this machine was too busy to read it in time; none was sent a second one.
        assert {sent[name] for name in dead} <= {0, 1}
        asked = (
            "SELECT endpoint, count(*), count(DISTINCT sensor_id) FILTER (WHERE attempts = 1) FROM retail.collection_log"
            f" JOIN retail.sensor_metadata ON id = sensor_id WHERE sensor_name IN ({named}) GROUP BY 1 ORDER BY 1"
        )
        assert site.fetch(asked) == [("people_counting", 40 * 24, 40), ("regional_counting", 40 * 24, 0)]
        assert {sent[name] for name in fleet.cameras if name not in dead} == {2}
        assert site.fetch("SELECT count(*) FROM retail.camera_breakers WHERE state = 'open'") == [(40,)]
        with capsys.disabled():
            sys.stdout.write(
                f"\n200 cameras, 40 of them hanging: {opened:.1f} s, {opened / without:.1f} times the {without:.1f} s without them\n"
            )


def test_a_camera_that_is_switched_off_ends_its_alerts_and_owes_nothing(database_url: str, tmp_path: Path) -> None:
    with shop(database_url, tmp_path / "home", "door", "back") as (sweeper, fleet):
        site, instance = sweeper.site, dg.DagsterInstance.ephemeral()
        site.execute("UPDATE retail.sensor_metadata SET created_at = '2025-10-01'")
        cursor: str | None = None

        def tick() -> list[str]:
            """What the sensor asks for, done."""
            nonlocal cursor
            with site.entered():
                resources = {"database": DatabaseResource()}
                context = dg.build_sensor_context(
                    instance=instance,
                    cursor=cursor,
                    repository_def=build_defs().get_repository_def(),
                    resources=resources,
                )
                with context:
                    result = fleet_changes.evaluate_tick(context)
            cursor = result.cursor
            jobs = [str(request.job_name) for request in result.run_requests or ()]
            for job in jobs:
                run(job)
            return jobs

        def run(job: str) -> None:
            with site.entered():
                definition = build_defs(clock=Frozen(instant=sweeper.now.isoformat())).resolve_job_def(job)
                assert definition.execute_in_process(instance=instance, run_config=QUIET).success

        fleet.set_faults("back", [Fault(FaultKind.REFUSED)])
        ahead = TimeWindow(NOW - DAY, NOW)
        for number in range(4):
            sweeper.now += 15 * MINUTE
            sweeper.sweep(f"run {number}", window=ahead)
        run("alerts")
        told = "SELECT rule_name, resolved, resolution_notes FROM retail.alerts_generated WHERE rule_name = 'camera_offline'"
        assert site.fetch(told) == [("camera_offline", False, None)]
        figures = site.fetch("SELECT count(*) FROM retail.people_counting_raw")
        assert tick() == []
        assert tick() == []

        site.execute("UPDATE retail.sensor_metadata SET is_active = false WHERE sensor_name = 'back'")
        assert tick() == ["watch_cameras", "alerts"]
        assert site.fetch(told) == [("camera_offline", True, "The camera was switched off.")]
        states = "SELECT sensor_name, quality ->> 'state' FROM retail.camera_health JOIN retail.sensor_metadata ON id = sensor_id"
        assert ("back", "switched_off") in site.fetch(states)
        assert tick() == []
        # On, off and on again: each change is one, though the sets are the same.
        for number, is_active in enumerate(("true", "false"), start=2):
            site.execute(f"UPDATE retail.sensor_metadata SET is_active = {is_active} WHERE sensor_name = 'back'")
            assert len(tick()) == 2
            assert json.loads(cursor or "")["changes"] == number
        with site.entered() as installation:
            assert {
                span.camera for span in missing_spans(installation.database, sweeper.now, FIRST_DAY, is_history=False)
            } <= {"door"}
        assert site.fetch("SELECT count(*) FROM retail.people_counting_raw") == figures
