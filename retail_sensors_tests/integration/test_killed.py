"""A worker, all of Dagster, and Postgres are killed in mid-run: afterwards all is as if nothing had happened, and nothing is doubled.

A run is held at a chosen moment by a lock on the table that it is about to write, and killed there with SIGKILL; other moments
are drawn from a seed and printed. All tables are compared with those of a site that nobody disturbed, whose ids are the same.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest
from sqlalchemy.engine import make_url

from retail_sensors.connectors.base import TimeWindow
from retail_sensors.partitions import hour_key, range_tags
from retail_sensors.simulator.fleet import SimulatedFleet, running
from retail_sensors.storage.embedded import EmbeddedPostgres, keep_alive
from retail_sensors_tests.installations import (
    COLLECTED,
    FIGURES,
    ROOT,
    Site,
    embedded_site,
    free_ports,
    fresh_database,
    graphql,
    processes_of,
    simulated,
    small_fleet,
)

START = datetime(2025, 10, 24, 8, tzinfo=UTC)
HOURS = 6
WINDOW = TimeWindow(START, START + timedelta(hours=HOURS))
COLLECT = ("collect", "--from", WINDOW.start.isoformat(), "--to", WINDOW.end.isoformat())
SEED = 4
WAIT_SECONDS = 600.0

VOLATILE = (
    "updated_at",
    "created_at",
    "collected_at",
    "asked_at",
    "last_success_at",
    "last_seen_at",
    "latency_ms",
    "clock_offset_seconds",
    "run_id",
)
"""Columns that say when something was done and by which run; all others are compared."""
_TABLES = """SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'retail'::regnamespace AND c.relkind IN ('r', 'p')
AND NOT c.relispartition ORDER BY 1"""
_WAITING = """SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND %(holder)s = ANY(pg_blocking_pids(pid))"""
_ENDED = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE %(holder)s = ANY(pg_blocking_pids(pid))"
_LAUNCH = """mutation($params: ExecutionParams!) {launchRun(executionParams: $params) {
  ... on LaunchRunSuccess {run {runId}} ... on PythonError {message} ... on RunConfigValidationInvalid {errors {message}}}}"""
_RUNS = """SELECT r.run_id, r.status FROM dagster.runs AS r WHERE EXISTS (SELECT FROM dagster.run_tags AS t
WHERE t.run_id = r.run_id AND t.key = 'must_hold') ORDER BY r.id"""


def everything(site: Site, stamps: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """Every row of every table as text without the volatile columns, in order; `stamps`: of those, the ones that count."""
    without = " - ".join(["to_jsonb(t)", *(f"'{column}'" for column in VOLATILE if column not in stamps)])
    return {
        table: [row for (row,) in site.fetch(f"SELECT ({without})::text FROM retail.{table} AS t ORDER BY 1")]
        for (table,) in site.fetch(_TABLES)
    }


def assert_same(found: dict[str, list[str]], expected: dict[str, list[str]]) -> None:
    """The same rows in the same tables; says what is found that is not expected, and the other way round."""
    assert found.keys() == expected.keys()
    for table, wanted in expected.items():
        more, less = sorted(set(found[table]) - set(wanted)), sorted(set(wanted) - set(found[table]))
        assert (more[:1], less[:1]) == ([], []), f"{table}: {_cells(more, less)}"
        assert len(found[table]) == len(wanted), table


def _cells(more: list[str], less: list[str]) -> list[tuple[str, object, object]]:
    """The cells in which the first row that is only here differs from the first one that is only there."""
    if not more or not less:
        return []
    here, there = json.loads(more[0]), json.loads(less[0])
    return [(name, here[name], there.get(name)) for name in here if here[name] != there.get(name)]


@pytest.fixture(scope="module")
def fleet() -> Iterator[SimulatedFleet]:
    with running(small_fleet()) as served:
        yield served


@contextmanager
def two_sites(server_url: str, url: str, home: Path, fleet: SimulatedFleet) -> Iterator[tuple[Site, Site]]:
    """A site and its double, with the same cameras under the same ids."""
    site = Site(url, home / "site")
    site.register(fleet, by_the_hour=True)
    with fresh_database(server_url, make_url(url).database or "") as other:
        yield site, Site(other, home / "undisturbed")


@contextmanager
def held(site: Site, table: str) -> Iterator[psycopg2.extensions.connection]:
    """Whoever writes to the table waits until the block ends; readers do not."""
    url = make_url(site._data_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
        yield connection


def until(condition: Callable[[], object], what: str, seconds: float = WAIT_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def waiting(site: Site, holder: psycopg2.extensions.connection) -> Callable[[], bool]:
    """Whether somebody waits for what the connection holds."""
    return lambda: bool(site.fetch(_WAITING, {"holder": holder.info.backend_pid})[0][0])


@contextmanager
def collecting(site: Site) -> Iterator[subprocess.Popen[str]]:
    """`retail-sensors collect` in a process of its own; killed when the block ends."""
    with subprocess.Popen(
        [sys.executable, "-m", "retail_sensors", *COLLECT],
        cwd=ROOT,
        env=site.variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def rows(site: Site, table: str) -> int:
    return int(site.fetch(f"SELECT count(*) FROM retail.{table}")[0][0])


def kill_before(site: Site, table: str) -> None:
    """Kills a collection that is about to write to the table, in its transaction."""
    with held(site, table) as lock, collecting(site) as process:
        until(lambda: waiting(site, lock)() or process.poll() is not None, f"nobody writes to {table}")
        assert process.poll() is None


def kill_between_data_and_event(site: Site) -> None:
    """Kills a collection whose rows are in, and which is about to tell Dagster so."""
    with held(site, "retail.collection_log") as first, collecting(site) as process:
        until(waiting(site, first), "nobody writes to the log")
        with held(site, "dagster.event_logs") as second:
            first.rollback()
            until(waiting(site, second), "nobody writes an event")
            [table] = [name for name in COLLECTED if rows(site, name)]
            assert rows(site, table) == 3 * HOURS
            process.kill()
            assert process.wait(WAIT_SECONDS)
            # Else the server would go on with the statement of a client that is gone.
            site.fetch(_ENDED, {"holder": second.info.backend_pid})
            until(lambda: not waiting(site, second)(), "the server goes on waiting")
            materialized = "SELECT count(*) FROM dagster.event_logs WHERE dagster_event_type = 'ASSET_MATERIALIZATION'"
            assert site.fetch(f"{materialized} AND asset_key = %(key)s", {"key": f'["{table}"]'}) == [(0,)]


def test_a_worker_that_is_killed_at_any_moment_leaves_nothing_behind(
    server_url: str, database_url: str, tmp_path: Path, fleet: SimulatedFleet, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(SEED)
    with two_sites(server_url, database_url, tmp_path, fleet) as (site, undisturbed):
        assert undisturbed.collect(WINDOW).report.is_complete
        expected = everything(undisturbed)
        assert all(expected[table] for table in (*COLLECTED, *FIGURES, "collection_log"))

        kill_before(site, "retail.collection_log")
        assert rows(site, "people_counting_raw") == 0, "what was half written is not there"
        kill_between_data_and_event(site)
        kill_before(site, "retail.hourly_analytics")
        assert rows(site, "hourly_analytics") == 0
        kill_before(site, "retail.store_daily")
        moments = []
        for _ in range(2):
            asked, seconds = fleet.requests + rng.randint(1, 8), rng.uniform(0, 2.5)
            with collecting(site) as process:
                until(lambda: fleet.requests >= asked, "the cameras are not asked")  # noqa: B023 -- used in this turn
                time.sleep(seconds)
                process.kill()
            moments.append(f"{seconds:.2f} s after a question")
        with capsys.disabled():
            sys.stdout.write(f"\nworker killed in 4 chosen moments and, seed {SEED}, {', '.join(moments)}\n")
        again = site.process(*COLLECT, timeout=WAIT_SECONDS)
        assert (again.code, again.err) == (0, "")
        assert_same(everything(site), expected)
        statuses = dict(site.fetch("SELECT status, count(*) FROM dagster.runs GROUP BY 1"))
        assert statuses.keys() == {"SUCCESS", "FAILURE"}, "none is shown as running for ever"


# Dagster --------------------------------------------------------------------------------------------------------------------


def launched(site: Site, url: str) -> str:
    """The id of a run of the window, launched as the UI does."""
    tags = range_tags(hour_key(WINDOW.start), hour_key(WINDOW.end - timedelta(hours=1)))
    selector = {
        "repositoryName": "__repository__",
        "repositoryLocationName": "retail_sensors",
        "jobName": "collect_hours",
    }
    metadata = {"tags": [{"key": key, "value": value} for key, value in {**tags, "must_hold": "1"}.items()]}
    launch = {"selector": selector, "runConfigData": {}, "executionMetadata": metadata}
    return str(graphql(url, _LAUNCH, params=launch)["launchRun"]["run"]["runId"])


def of_dagster(site: Site, *, workers_only: bool = False) -> list[psutil.Process]:
    """What `up` has started, the supervisor included; `workers_only`: the processes that execute runs."""
    state = json.loads((site.home / "up.json").read_text())
    found = [] if workers_only else [psutil.Process(state["pid"])]
    for process in psutil.process_iter():
        try:
            is_ours = process.environ().get("RETAIL_SENSORS_UP") == state["mark"]
            if is_ours and (not workers_only or "spawn_main" in " ".join(process.cmdline())):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def has_ended(site: Site) -> bool:
    """Whether the newest of the runs has; one that failed is started again."""
    return bool(site.fetch(_RUNS)[-1][1] == "SUCCESS")


def kill(processes: list[psutil.Process]) -> None:
    assert processes
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def test_a_run_is_finished_although_its_worker_and_then_all_of_dagster_is_killed(
    server_url: str, database_url: str, tmp_path: Path, fleet: SimulatedFleet
) -> None:
    with two_sites(server_url, database_url, tmp_path, fleet) as (site, undisturbed):
        port = free_ports(1)
        up = ("up", "--detach", "--port", str(port))
        try:
            assert site.process(*up, timeout=600).code == 0
            with held(site, "retail.people_counting_raw") as raw:
                run = launched(site, f"http://127.0.0.1:{port}")
                until(waiting(site, raw), "the run does not reach the raw table")
                with held(site, "retail.hourly_analytics") as figures:
                    kill(of_dagster(site, workers_only=True))
                    raw.rollback()
                    # Its code server tells that the worker is gone, and the daemon starts the run again.
                    until(waiting(site, figures), "the lost run was not started again")
                    assert site.fetch(_RUNS)[0] == (run, "FAILURE")
                    kill(of_dagster(site))
            assert [status for _, status in site.fetch(_RUNS)] == ["FAILURE", "STARTED"]
            assert site.process(*up, timeout=600).code == 0
            until(lambda: has_ended(site), "the run was not finished")
            assert [status for _, status in site.fetch(_RUNS)] == ["FAILURE", "FAILURE", "SUCCESS"]
        finally:
            site.process("down", timeout=600)
        assert processes_of(site.home) == []
        assert undisturbed.collect(WINDOW).report.is_complete
        expected = undisturbed.figures(("hourly_analytics", "store_hourly"))
        # The schedules were on, and have collected the running hour beside it.
        found = site.figures(("hourly_analytics", "store_hourly"))
        assert {name: [row for row in of if is_of_the_window(row)] for name, of in found.items()} == expected
        for camera in fleet.cameras:
            counted = {hour: counts for hour, counts in site.counted(camera).items() if hour < WINDOW.end}
            assert counted == simulated(fleet, camera, WINDOW)


def is_of_the_window(row: dict[Hashable, Any]) -> bool:
    return bool(row["hour_start"] < WINDOW.end)


# Postgres -------------------------------------------------------------------------------------------------------------------


def test_a_postgres_that_is_killed_in_mid_run_comes_back_and_the_run_is_made_good(
    tmp_path: Path, fleet: SimulatedFleet, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(SEED)
    with embedded_site(tmp_path / "home") as site, embedded_site(tmp_path / "other") as undisturbed:
        for one in (site, undisturbed):
            one.register(fleet, by_the_hour=True)
        server = EmbeddedPostgres(site.home)
        stop = threading.Event()
        keeper = threading.Thread(target=keep_alive, args=(site.home, stop), daemon=True)
        keeper.start()
        try:
            moments = [rng.randint(1, 8) for _ in range(2)]
            for moment in moments:
                asked = fleet.requests + moment
                with collecting(site) as process:
                    until(lambda: fleet.requests >= asked, "the cameras are not asked")  # noqa: B023 -- used in this turn
                    kill_postmaster(server)
                    assert process.wait(WAIT_SECONDS) in (0, 1, 3), "Dagster waits for a server that is back soon"
                    said = process.stderr.read() if process.stderr else ""
                assert "Traceback" not in said
                until(lambda: is_alive(site), "Postgres does not come back")
            with capsys.disabled():
                sys.stdout.write(
                    f"\nPostgres killed, seed {SEED}, after {' and '.join(map(str, moments))} questions of a run\n"
                )
            again = site.process(*COLLECT, timeout=WAIT_SECONDS)
            assert (again.code, again.err) == (0, "")
        finally:
            stop.set()
            keeper.join(WAIT_SECONDS)
        assert undisturbed.collect(WINDOW).report.is_complete
        assert site.figures() == undisturbed.figures()
        found, expected = everything(site), everything(undisturbed)
        assert {table: len(of) for table, of in found.items()} == {table: len(of) for table, of in expected.items()}
        for camera in fleet.cameras:
            assert site.counted(camera) == simulated(fleet, camera, WINDOW)


def kill_postmaster(server: EmbeddedPostgres) -> None:
    pid = int((server.data_directory / "postmaster.pid").read_text().splitlines()[0])
    psutil.Process(pid).kill()


def is_alive(site: Site) -> bool:
    try:
        return bool(site.fetch("SELECT 1"))
    except psycopg2.OperationalError:
        return False
