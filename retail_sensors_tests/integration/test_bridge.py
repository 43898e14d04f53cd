"""The data bridge as a service starts it: `collect --once` and `--interval`, simulated cameras, real Postgres, real runs."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg2
import pytest
import typer.main
from hypothesis import given
from hypothesis import strategies as st
from psycopg2 import sql
from sqlalchemy.engine import make_url

from retail_sensors import cli
from retail_sensors.backfill import CameraOutcome, Report
from retail_sensors.bridge import Bridge, Cycle, seconds_to_next
from retail_sensors.connectors.base import TimeWindow
from retail_sensors.settings import Settings
from retail_sensors.simulator.camera import SimulatedCamera
from retail_sensors.simulator.fleet import SimulatedFleet, fleet_file, running
from retail_sensors.simulator.traffic import Generated
from retail_sensors.storage.database import Database
from retail_sensors.storage.sqlfiles import queries
from retail_sensors.tables import HOURLY_ANALYTICS, PEOPLE_COUNTING_RAW, STORE_HOURLY
from retail_sensors_tests.installations import PASSWORD_VARIABLE, ROOT, Site, within_an_hour
from retail_sensors_tests.integration.stored import hour, reading, register, store

DEPLOY = ROOT / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))
PROGRAM = "/opt/retail-sensors/.venv/bin/retail-sensors"
AT = datetime(2025, 10, 23, 8, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def fleet() -> Iterator[SimulatedFleet]:
    doors = SimulatedCamera("Main Entrance Camera", "Europe/Lisbon", Generated(seed=1))
    with running(SimulatedFleet([doors], clock=lambda: datetime.now(UTC))) as served:
        yield served


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Site:
    return Site(database_url, tmp_path / "home")


def sensor_file(fleet: SimulatedFleet, folder: Path) -> Path:
    """The fleet's camera as the integration guide writes one down."""
    (entry,) = fleet_file(fleet, f"env:{PASSWORD_VARIABLE}")["cameras"]
    auth = {"type": "basic", "username": entry["username"], "password": entry["password"]}
    guide = {
        "sensor_id": "milesight_001",
        "sensor_name": entry["name"],
        "connection": {"host": entry["host"], "port": entry["port"], "auth": auth},
        "data_mapping": {"supports_regional_counting": False, "supports_real_time_status": True, "line_count": 4},
        "location": "Main Entrance",
        "timezone": entry["timezone"],
    }
    path = folder / "sensors.json"
    path.write_text(json.dumps(guide))
    return path


# Options ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "Say what to collect: --from and --to for a range, --once for"),
        (("--backfill-hours", "3"), "Say what to collect"),
        (("--once", "--interval", "300"), "--once ends after one collection and --interval goes on; use one or"),
        (("--from", "2026-11-01", "--once"), "--from and --to name a range, and --once is for the hours up to now"),
        (("--from", "2026-11-01", "--to", "2026-11-02", "--interval", "300"), "a range, and --interval is for"),
        (("--to", "2026-11-02", "--backfill-hours", "3"), "a range, and --backfill-hours is for"),
        (("--from", "2026-11-01", "--to", "2026-11-02", "--sensors", "x.json"), "a range, and --sensors is for"),
        (("--interval", "300", "--overwrite"), "--overwrite is for one range; leave out --interval"),
        (("--interval", "300", "--dry-run"), "--dry-run is for one range; leave out --interval"),
        (
            ("--once", "--sensors", "x.json", "--dry-run"),
            "--dry-run writes nothing, and so registers no --sensors FILE",
        ),
    ],
)
def test_options_that_cannot_be_meant_together_are_refused_in_one_sentence(
    tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    said = Site("postgresql://nobody@127.0.0.1:1/nowhere", tmp_path).run("collect", *arguments)
    assert (said.code, said.out) == (2, "")
    assert sentence in said.sentence


# The grid of cycles ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("elapsed", "wait"),
    [(0, 300), (24, 276), (299.5, 0.5), (300, 300), (301, 299), (900.25, 299.75)],
)
def test_the_next_cycle_starts_on_the_grid(elapsed: float, wait: float) -> None:
    assert seconds_to_next(elapsed, 300) == wait


@given(st.lists(st.integers(0, 2_000), min_size=1, max_size=50), st.integers(1, 900))
def test_starts_neither_drift_nor_overlap(lengths: list[int], interval: int) -> None:
    start = 0
    for length in lengths:
        following = start + length + seconds_to_next(start + length, interval)
        assert following % interval == 0
        assert start + length < following <= start + length + interval
        start = int(following)


# What a cycle says -----------------------------------------------------------------------------------------------------


def outcome(camera: str, missing: int) -> CameraOutcome:
    return CameraOutcome(
        camera, {"people_counting": {"asked": 3, "in": 3 - missing, "why": "refused" if missing else None}}
    )


def test_a_cycle_is_one_line() -> None:
    window = TimeWindow(datetime(2025, 10, 23, 6, tzinfo=UTC), datetime(2025, 10, 23, 9, tzinfo=UTC))
    whole = Report(window, [outcome("lisbon", 0), outcome("porto", 0)], [{}, {}])
    assert Cycle(AT, 7.26, whole).line() == (
        "2025-10-23T08:05:00+00:00 2 of 2 cameras complete, 6 of 6 reports of hours since 2025-10-23T06:00Z in, 2 runs, 7.3 s"
    )
    part = Report(window, [outcome("lisbon", 0), *(outcome(f"porto-{n}", 1) for n in range(5))], [], ["a\nproblem"])
    assert (
        Cycle(AT, 1, part)
        .line()
        .endswith(
            " 0 runs, 1.0 s; porto-0: people_counting: 1 of 3 hours missing (refused);"
            " porto-1: people_counting: 1 of 3 hours missing (refused);"
            " porto-2: people_counting: 1 of 3 hours missing (refused); 2 more cameras are incomplete; a problem"
        )
    )
    failed = Cycle(AT, 1, failure="The database does not answer.")
    assert failed.line() == "2025-10-23T08:05:00+00:00 failed after 1.0 s: The database does not answer."
    assert failed.as_json() == {
        "started_at": "2025-10-23T08:05:00+00:00",
        "seconds": 1,
        "failure": "The database does not answer.",
    }


# Collecting ------------------------------------------------------------------------------------------------------------


@contextmanager
def bridge(site: Site, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """`collect` in a process of its own, which goes on; killed at the end where it did not end by itself."""
    process = subprocess.Popen(
        [sys.executable, "-m", "retail_sensors", "collect", *map(str, arguments)],
        cwd=ROOT,
        env=site.variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    watchdog = threading.Timer(600, process.kill)
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()


def lines(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    return iter(process.stdout.readline, "")


def test_once_registers_collects_the_last_hours_and_ends(site: Site, fleet: SimulatedFleet, tmp_path: Path) -> None:
    now = within_an_hour().replace(minute=0, second=0, microsecond=0)
    said = site.run("collect", "--once", "--backfill-hours", "3", "--sensors", sensor_file(fleet, tmp_path), "--json")
    assert (said.code, said.err) == (0, "")
    told, _, report = said.out.partition("{")
    assert "Added 1 camera: Main Entrance Camera" in told
    assert json.loads("{" + report)["to"] == (now + timedelta(hours=1)).isoformat()
    assert json.loads("{" + report)["from"] == (now - timedelta(hours=3)).isoformat()
    assert len(site.counted("Main Entrance Camera")) == 4
    assert site.fetch("SELECT count(*) FROM retail.hourly_analytics") == [(4,)]


def test_a_bridge_collects_and_ends_with_0_between_cycles(site: Site, fleet: SimulatedFleet, tmp_path: Path) -> None:
    within_an_hour()
    options = ("--interval", "3600", "--backfill-hours", "2", "--sensors", sensor_file(fleet, tmp_path))
    with bridge(site, *options) as process:
        said = lines(process)
        while " of 1 cameras complete" not in (line := next(said)):
            pass
        assert re.match(r"20\S+\+00:00 1 of 1 cameras complete, 6 of 6 reports of hours since \S+ in, \d+ runs, ", line)
        process.send_signal(signal.SIGTERM)
        assert process.wait(240) == 0, "an hour before the next cycle"
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert len(site.counted("Main Entrance Camera")) == 3
    # The daemon's nightly work, too: there is none here.
    assert site.fetch("SELECT count(*) FROM dagster.runs WHERE pipeline_name = 'maintenance'") == [(1,)]


def test_a_failed_cycle_is_told_and_the_next_goes_on(
    site: Site, server_url: str, fleet: SimulatedFleet, tmp_path: Path
) -> None:
    site.run("cameras", "add", sensor_file(fleet, tmp_path))
    within_an_hour()
    with bridge(site, "--interval", "1", "--backfill-hours", "2", "--json") as process:
        said = (json.loads(line) for line in lines(process))
        first = next(said)
        assert (first["failure"], first["complete"]) == (None, True)
        open_to_connections(server_url, site.url, False)
        failed = next(cycle for cycle in said if cycle["failure"] is not None)
        assert re.match(r"(The database|Dagster's storage) at \S+ (does not answer|broke off)", failed["failure"])
        open_to_connections(server_url, site.url, True)
        again = next(cycle for cycle in said if cycle["failure"] is None)
        assert again["complete"] is True
        assert again["started_at"] > failed["started_at"]
        # Two endpoints; all was in, so only the two newest hours are asked for, of three at first.
        assert [camera["hours_asked"] for camera in first["cameras"] + again["cameras"]] == [6, 4]
        process.send_signal(signal.SIGINT)
        assert process.wait(240) == 0


def open_to_connections(server_url: str, url: str, is_open: bool) -> None:
    """Lets a database answer, or drops all its connections and refuses new ones."""
    connection = psycopg2.connect(make_url(server_url).set(drivername="postgresql").render_as_string(False))
    connection.autocommit = True
    name = make_url(url).database or ""
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}").format(
                sql.Identifier(name), sql.SQL("true" if is_open else "false")
            )
        )
        if not is_open:
            cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
    connection.close()


def test_nobody_to_ask_ends_the_bridge_before_its_first_cycle(site: Site) -> None:
    said = site.process("collect", "--interval", "300")
    assert (said.code, said.out) == (2, "")
    assert said.sentence == "No active camera is registered; `--sensors FILE` registers some."


def test_a_bridge_that_is_told_to_stop_begins_no_cycle(site: Site, fleet: SimulatedFleet) -> None:
    site.register(fleet)
    stop = threading.Event()
    stop.set()
    with site.entered():
        Bridge([], 24, clock=lambda: datetime.now(UTC)).run(300, stop, lambda cycle: pytest.fail(cycle.line()))


def test_a_day_that_runs_is_not_missed_in_its_last_hour(database: Database) -> None:
    (door,) = register(database, "door")
    ((shop, zone),) = database.fetch("SELECT id::text, timezone FROM retail.stores")
    midnight = datetime(2026, 2, 3, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    hours = [midnight - n * timedelta(hours=1) for n in (3, 2)]
    for at in hours:
        store(database, PEOPLE_COUNTING_RAW, reading(door, at))
        row = hour(door, at)
        store(database, HOURLY_ANALYTICS, row)
        store(
            database,
            STORE_HOURLY,
            {"store_id": shop, **{name: one for name, one in row.items() if name != "sensor_id"}},
        )
    database.fetch("""UPDATE retail.sensor_metadata SET endpoints = '["people_counting"]' RETURNING 1""")

    def first_incomplete(now: datetime) -> datetime:
        asked = {"start": hours[0], "end": midnight, "now": now, "names": ["door"]}
        ((first,),) = database.fetch(queries("collection")["first_incomplete_hour"], asked)
        assert isinstance(first, datetime)
        return first

    assert first_incomplete(midnight - timedelta(minutes=50)) == midnight - timedelta(hours=1)
    assert first_incomplete(midnight) == hours[0]


# The units -------------------------------------------------------------------------------------------------------------


def section(path: Path, name: str) -> dict[str, str]:
    unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(path.read_text())
    return dict(unit[name])


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_starts_a_command_that_exists_and_is_shut_off(path: Path) -> None:
    if not cli.app.registered_commands:
        cli._assemble()
    commands = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
    settings = section(path, "Service")
    started = [value for name, value in settings.items() if name in ("ExecStart", "ExecStop")]
    assert started
    for text in started:
        program, command, *words = text.split()
        assert program == PROGRAM
        options = {option for parameter in commands[command].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options
    assert settings["ProtectSystem"] == "strict"
    assert settings["DynamicUser"] == settings["NoNewPrivileges"] == "yes"
    assert settings["Restart"] == "on-failure"
    assert settings["StateDirectory"] == "retail-sensors"
    assert settings["EnvironmentFile"] == "/etc/retail-sensors/retail-sensors.env"


def test_one_unit_takes_over_from_the_other_what_it_keeps() -> None:
    bridge, everything = (
        section(DEPLOY / f"{name}.service", "Unit") for name in ("retail-sensors-bridge", "retail-sensors")
    )
    assert bridge["Conflicts"] == "retail-sensors.service"
    assert everything["Conflicts"] == "retail-sensors-bridge.service"
    # Without an order both would run for a while on the same files; an order both ways round would be a cycle.
    assert "retail-sensors.service" in bridge["After"].split()
    assert "retail-sensors-bridge.service" not in everything["After"].split()
    kept = [
        {name: section(path, "Service").get(name) for name in ("User", "DynamicUser", "StateDirectory", "Environment")}
        for path in UNITS
    ]
    assert kept[0] == kept[1]
    assert kept[0]["User"] == "retail-sensors"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_accepts_a_unit(path: Path, tmp_path: Path) -> None:
    unit = tmp_path / path.name
    # The program is looked for: here it is this environment's.
    unit.write_text(path.read_text().replace(PROGRAM, sys.executable))
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_units_environment_is_of_settings_that_exist() -> None:
    text = (DEPLOY / "retail-sensors.env.example").read_text()
    names = re.findall(r"^#?RETAIL_SENSORS_([A-Z_]+)=", text, re.MULTILINE)
    assert names
    assert {name.lower() for name in names} <= set(Settings.model_fields)
