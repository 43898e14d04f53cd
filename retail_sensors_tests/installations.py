"""Installations for tests: a database, a home folder, a fleet of simulated cameras, and the commands that a user types.

What is expected of them belongs in the tests.
"""

from __future__ import annotations

import io
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import psutil
import psycopg2
import yaml
from psycopg2 import sql
from sqlalchemy.engine import make_url

from retail_sensors.backfill import Report, collect_range
from retail_sensors.cli import main
from retail_sensors.connectors.base import HISTORY_ENDPOINTS, Endpoint, TimeWindow
from retail_sensors.fleet_file import read_fleet_file
from retail_sensors.installation import Installation
from retail_sensors.simulator.camera import DEFAULT_PASSWORD, Answer, SimulatedCamera
from retail_sensors.simulator.fleet import SimulatedFleet, SimulatedStore, fleet_file
from retail_sensors.simulator.traffic import Generated, OpeningHours
from retail_sensors.storage.database import DATA_DATABASE
from retail_sensors.storage.embedded import EmbeddedPostgres
from retail_sensors.storage.fleet import FleetRegistry
from retail_sensors.tables import TABLES

ROOT = Path(__file__).resolve().parent.parent
COLLECTED = ("people_counting_raw", "regional_counting_raw", "heatmap_temporal_raw")
FIGURES = ("hourly_analytics", "store_hourly", "daily_analytics", "store_daily")
LINES = tuple(f"line{line}_{way}" for line in (1, 2, 3, 4) for way in ("in", "out"))
PASSWORD_VARIABLE = "RS_TEST_CAMERA_PASSWORD"

_OWNERS = {"sensor_id": ("sensor_metadata", "sensor_name"), "store_id": ("stores", "store_name")}

Counted = dict[datetime, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """Standard error where it is one line of the program's own, without the program's name."""
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("retail-sensors: "), self.err
        return self.err.removeprefix("retail-sensors: ").strip()


class RecordedInMemory(Installation):
    """An installation whose runs Dagster records in memory: one event a partition costs it 20 ms in Postgres."""

    @cached_property
    def _instance(self) -> dg.DagsterInstance:
        os.environ.update(self.environment())
        return dg.DagsterInstance.ephemeral()

    def dagster_instance(self) -> dg.DagsterInstance:
        """The instance that ends with this object."""
        return self._instance


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collected range came to, and the instance that holds its runs."""

    report: Report
    instance: dg.DagsterInstance

    def log(self) -> list[tuple[str, str]]:
        """(level, message) of everything that the runs wrote into their logs themselves, in order."""
        return [
            (logging.getLevelName(entry.level), entry.user_message)
            for run in self.report.runs
            for entry in self.instance.all_logs(run["run_id"])
            if not entry.is_dagster_event
        ]


@dataclass
class Site:
    """One installation. `url` is its database, empty: a server of its own under `home`. `environment` is what its commands
    get besides the machine's own variables."""

    url: str
    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.environment = {
            "RETAIL_SENSORS_DATABASE_URL": self.url,
            "RETAIL_SENSORS_HOME": str(self.home),
            # Empty rather than unset: an unset variable would be read from a developer's .env.
            "RETAIL_SENSORS_DAGSTER_DATABASE_URL": "",
            "RETAIL_SENSORS_ALLOWED_NETWORKS": "127.0.0.0/8",
            "RETAIL_SENSORS_CONNECT_TIMEOUT_SECONDS": "30",
            "RETAIL_SENSORS_TRIES": "1",
            PASSWORD_VARIABLE: DEFAULT_PASSWORD,
            **self.environment,
        }

    @property
    def variables(self) -> dict[str, str]:
        """The whole environment of a command, free of this process's own installation."""
        own = {
            name: value for name, value in os.environ.items() if not name.startswith(("RETAIL_SENSORS_", "DAGSTER_"))
        }
        return {**own, **self.environment}

    def process(self, *arguments: str | Path, stderr: int = subprocess.PIPE, timeout: float = 600) -> Said:
        """A command in a process of its own, as a user starts it."""
        ended = subprocess.run(
            [sys.executable, "-m", "retail_sensors", *map(str, arguments)],
            cwd=ROOT,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Said(ended.returncode, ended.stdout, ended.stderr or "")

    def run(self, *arguments: str | Path) -> Said:
        """The same command line within this process, for what a process of its own adds nothing to."""
        out, err = io.StringIO(), io.StringIO()
        arguments_before, sys.argv = sys.argv, ["retail-sensors", *map(str, arguments)]
        code = 0
        try:
            with self.entered(), redirect_stdout(out), redirect_stderr(err):
                try:
                    main()
                except SystemExit as end:
                    code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        finally:
            sys.argv = arguments_before
        return Said(code, out.getvalue(), err.getvalue())

    @contextmanager
    def entered(self, kind: type[Installation] | None = None) -> Iterator[Installation]:
        """The installation, with its variables as those of this process until the block ends."""
        before = dict(os.environ)
        os.environ.clear()
        os.environ.update(self.variables)
        installation = Installation() if kind is None else kind()
        try:
            yield installation
        finally:
            if "database" in installation.__dict__:
                installation.database.dispose()
            os.environ.clear()
            os.environ.update(before)

    def collect(self, window: TimeWindow, *cameras: str, overwrite: bool = False) -> Collected:
        """What `collect` does, with Dagster's own records in memory: for ranges whose events would take minutes."""
        with self.entered(RecordedInMemory) as installation:
            report = collect_range(installation, window, list(cameras), overwrite=overwrite)
            return Collected(report, installation.dagster_instance())

    def register(
        self,
        fleet: SimulatedFleet,
        changes: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        by_the_hour: bool = False,
    ) -> None:
        """Registers a running fleet's cameras; `changes` to the entries of the file, by camera. `by_the_hour`: without questions
        about whole days."""
        structure = fleet_file(fleet, f"env:{PASSWORD_VARIABLE}")
        for entry in structure["cameras"]:
            if by_the_hour:
                entry["endpoints"] = [str(endpoint.value) for endpoint in (*HISTORY_ENDPOINTS, Endpoint.ALARM_STATUS)]
            entry.update((changes or {}).get(entry["name"], {}))
        self.home.mkdir(parents=True, exist_ok=True)
        path = self.home / "fleet.yaml"
        path.write_text(yaml.safe_dump(structure, sort_keys=False))
        with self.entered() as installation:
            FleetRegistry(installation.database).add(read_fleet_file(path))

    # Looking into the database --------------------------------------------------------------------------------------

    @property
    def _data_url(self) -> str:
        return self.url or EmbeddedPostgres(self.home).url(DATA_DATABASE)

    def fetch(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows of one statement."""
        with closing(_connect(self._data_url)) as connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return list(cursor.fetchall())

    def frame(self, statement: str, parameters: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """The same as a frame."""
        with closing(_connect(self._data_url)) as connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            columns = [column.name for column in cursor.description or ()]
            return pd.DataFrame(cursor.fetchall(), columns=columns)

    def execute(self, statement: str) -> None:
        """Runs one statement and commits it."""
        with closing(_connect(self._data_url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def contents(self, tables: Sequence[str] = (*COLLECTED, *FIGURES)) -> dict[str, list[tuple[Any, ...]]]:
        """Every column of every row of the tables, `updated_at` included, in the order of the key."""
        return {
            name: self.fetch(f"SELECT * FROM retail.{name} ORDER BY {', '.join(TABLES[name].key)}") for name in tables
        }

    def figures(self, tables: Sequence[str] = FIGURES) -> dict[str, list[dict[Hashable, object]]]:
        """The figures by names of cameras and stores, without the time at which they were written: to compare two sites."""
        found = {}
        for name in tables:
            scope, time_column = TABLES[name].key
            owners, label = _OWNERS[scope]
            frame = self.frame(
                f"SELECT n.{label} AS scope, f.* FROM retail.{name} AS f JOIN retail.{owners} AS n ON n.id = f.{scope}"
                f" ORDER BY 1, f.{time_column}"
            ).drop(columns=[scope, "updated_at"])
            found[name] = frame.astype(object).where(frame.notna(), None).to_dict("records")
        return found

    def counted(self, camera: str) -> Counted:
        """(line 1 in, line 1 out, line 2 in, ...) by hour, as they stand in the raw table."""
        return {
            row[0]: tuple(row[1:])
            for row in self.fetch(
                f"SELECT r.timestamp, {', '.join(LINES)} FROM retail.people_counting_raw AS r"
                " JOIN retail.sensor_metadata AS s ON s.id = r.sensor_id WHERE s.sensor_name = %(camera)s",
                {"camera": camera},
            )
        }

    def outcomes(self, camera: str, endpoint: Endpoint = Endpoint.PEOPLE_COUNTING) -> dict[str, int]:
        """Number of hours by outcome, as the log has them."""
        return dict(
            self.fetch(
                "SELECT l.outcome, count(*) FROM retail.collection_log AS l"
                " JOIN retail.sensor_metadata AS s ON s.id = l.sensor_id"
                " WHERE s.sensor_name = %(camera)s AND l.endpoint = %(endpoint)s GROUP BY 1",
                {"camera": camera, "endpoint": endpoint.value},
            )
        )


@contextmanager
def embedded_site(home: Path) -> Iterator[Site]:
    """An installation on a server of its own under its home; stopped and deleted at the end, with whatever runs of it."""
    site = Site("", home)
    try:
        yield site
    finally:
        site.process("down")
        EmbeddedPostgres(home).destroy()


def processes_of(home: Path) -> list[str]:
    """Command lines of the running processes that belong to an installation, its server's included."""
    found = []
    data = str(EmbeddedPostgres(home).data_directory)
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), process.environ().get("RETAIL_SENSORS_HOME", "")]
            if process.status() != psutil.STATUS_ZOMBIE and any(str(home) in word or data in word for word in words):
                found.append(" ".join(words))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def free_ports(count: int) -> int:
    """The first of that many consecutive loopback ports that are free now."""
    # Each worker of pytest-xdist looks in a range of its own: a port that is free now is taken a moment later.
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    lowest = 20000 + 6000 * (worker % 6)
    for first in range(lowest + os.getpid() % 3000, lowest + 6000 - count, count):
        with ExitStack() as stack, suppress(OSError):
            for port in range(first, first + count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
    raise AssertionError(f"no {count} ports in a row are free")


def graphql(url: str, query: str, **variables: object) -> dict[str, Any]:
    """The data of an answer of Dagster's web server."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})  # noqa: S310 -- loopback
    with urllib.request.urlopen(request, timeout=240) as response:  # noqa: S310
        answer = json.load(response)
    assert "errors" not in answer, answer
    data: dict[str, Any] = answer["data"]
    return data


def within_an_hour(seconds: float = 90.0) -> datetime:
    """Now. What a test does in so many seconds from now on is of one hour of the machine's clock, and so of one day.

    Where the hour has fewer left, its end is waited for.
    """
    while (now := datetime.now(UTC)).minute * 60 + now.second > 3600 - seconds:
        time.sleep(0.5)
    return now


def site_of_october(site: Site, fleet: Mapping[str, Any]) -> Site:
    """The installation with the cameras of a fleet file, registered long before October 2025, for whose log there is a month."""
    site.home.mkdir()
    path = site.home / "fleet.yaml"
    path.write_text(yaml.safe_dump(fleet))
    with site.entered() as installation:
        FleetRegistry(installation.database).add(read_fleet_file(path))
    site.execute("SELECT retail.ensure_month_partitions('collection_log', '2025-10-01Z', '2025-11-01Z')")
    site.execute("UPDATE retail.sensor_metadata SET created_at = '2025-09-01Z'")
    return site


def small_fleet() -> SimulatedFleet:
    """A shop with one door and its corridor, and one with two doors in a zone of half hours."""
    doors = {1: "entrance", 4: "passerby"}
    return SimulatedFleet(
        [
            SimulatedCamera("lisbon", "Europe/Lisbon", Generated(seed=1, lines=doors), store="Lisbon", regions={}),
            SimulatedCamera("mumbai-east", "Asia/Kolkata", Generated(seed=2), store="Mumbai"),
            SimulatedCamera("mumbai-west", "Asia/Kolkata", Generated(seed=3), store="Mumbai"),
        ],
        clock=lambda: datetime.now(UTC),
        stores=[
            SimulatedStore("Lisbon", "Europe/Lisbon", "PT", OpeningHours.daily("10:00-22:00"), 180, 620.0),
            SimulatedStore("Mumbai", "Asia/Kolkata", "IN", OpeningHours.daily("10:30-21:30"), 150, 480.0),
        ],
    )


def simulated(fleet: SimulatedFleet, camera: str, window: TimeWindow) -> Counted:
    """What was truly simulated for a camera in the window, as `Site.counted` gives what arrived."""
    return {
        hour.starts_at: tuple(value for line in hour.counts.lines for value in line)
        for hour in fleet.counts(camera, window.start, window.end)
        if hour.counts is not None
    }


@contextmanager
def meanwhile(fleet: SimulatedFleet, camera: str, act: Callable[[], object]) -> Iterator[None]:
    """While the block asks a camera for the first time, `act` is done: the camera answers when it has been.

    The other cameras of the fleet wait with it.
    """
    simulated_camera = fleet.cameras[camera]
    answer, asked, done = simulated_camera.answer, threading.Event(), threading.Event()

    def answer_afterwards(target: str, now: datetime) -> Answer:
        asked.set()
        done.wait(60)
        return answer(target, now)

    def do() -> None:
        try:
            assert asked.wait(120), f"{camera} is not asked"
            act()
        except BaseException as error:
            wrong.append(error)
        finally:
            done.set()

    wrong: list[BaseException] = []
    doer = threading.Thread(target=do)
    simulated_camera.answer = answer_afterwards  # type: ignore[method-assign]
    doer.start()
    try:
        yield
    finally:
        doer.join()
        simulated_camera.answer = answer  # type: ignore[method-assign]
    assert wrong == []


@contextmanager
def fresh_database(server_url: str, template: str) -> Iterator[str]:
    """URL of a fresh, migrated database until the block ends; for fixtures that several tests share."""
    name = f"site_{uuid.uuid4().hex[:12]}"
    with closing(_connect(server_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
            )
    url = make_url(server_url).set(database=name).render_as_string(hide_password=False)
    try:
        yield url
    finally:
        drop_database(server_url, url)


def drop_database(server_url: str, url: str) -> None:
    """Drops a database, whoever is connected to it."""
    with closing(_connect(server_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            name = sql.Identifier(make_url(url).database or "")
            cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))


def _connect(url: str) -> psycopg2.extensions.connection:
    return psycopg2.connect(_libpq(url), options="-ctimezone=UTC")


def _libpq(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
