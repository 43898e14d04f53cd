"""`retail-sensors up` and `down`: everything runs, what dies comes back, and nothing is left behind."""

from __future__ import annotations

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import psycopg2
import pytest

from retail_sensors.cli.up import LOG_BYTES, bound_log, served_port
from retail_sensors.storage.embedded import EmbeddedPostgres
from retail_sensors_tests.installations import Site, embedded_site, free_ports, graphql, processes_of


class Running(NamedTuple):
    """An installation that is up on a server of its own, with the demo's cameras."""

    site: Site
    url: str
    first_port: int


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with embedded_site(tmp_path_factory.mktemp("up") / "home") as site:
        first_port = free_ports(7)
        port = first_port + 6
        remember_demo(site, first_port)
        said = site.process("up", "--detach", "--port", str(port), timeout=600)
        assert (said.code, said.err) == (0, "")
        assert said.out == f"The Dagster UI answers at http://127.0.0.1:{port}; `retail-sensors down` stops it.\n"
        yield Running(site, f"http://127.0.0.1:{port}", first_port)


def remember_demo(site: Site, first_port: int) -> None:
    """What a demo leaves for `up` to find: the ports of its cameras."""
    folder = site.home / "demo"
    folder.mkdir(parents=True)
    (folder / "fleet.json").write_text(f'{{"first_port": {first_port}}}')


def test_the_ui_answers_with_schedules_running(up: Running) -> None:
    query = '{schedulesOrError(repositorySelector: {repositoryName: "__repository__", repositoryLocationName: "retail_sensors"})'
    found = graphql(up.url, query + "{... on Schedules {results {name scheduleState {status}}}}}")
    schedules = {one["name"]: one["scheduleState"]["status"] for one in found["schedulesOrError"]["results"]}
    assert set(schedules) >= {"finished_hours", "running_hour", "ended_days"}
    assert set(schedules.values()) == {"RUNNING"}


def test_the_cameras_of_the_demo_are_served(up: Running) -> None:
    for port in range(up.first_port, up.first_port + 6):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/dataloader.cgi?dw=vcalogcsv", timeout=60)
        assert refused.value.code == 401
    with up.site.entered() as installation:
        assert served_port(installation) == up.first_port


def test_up_twice_is_refused_in_a_sentence(up: Running) -> None:
    for arguments in ((), ("--detach",)):
        said = up.site.run("up", "--port", str(free_ports(1)), *arguments)
        assert (said.code, said.out) == (2, "")
        assert said.sentence == f"It is already up: {up.url}. `retail-sensors down` stops it."


def test_a_postgres_that_was_killed_comes_back_with_its_data(up: Running) -> None:
    up.site.execute("INSERT INTO retail.organizations (organization_name) VALUES ('kept')")
    server = EmbeddedPostgres(up.site.home)
    postmaster = int((server.data_directory / "postmaster.pid").read_text().splitlines()[0])
    psutil.Process(postmaster).kill()
    deadline = time.monotonic() + 240
    while True:
        try:
            kept = up.site.fetch("SELECT organization_name FROM retail.organizations")
            break
        except psycopg2.OperationalError:
            assert time.monotonic() < deadline
            time.sleep(0.5)
    assert ("kept",) in kept
    assert int((server.data_directory / "postmaster.pid").read_text().splitlines()[0]) != postmaster
    assert graphql(up.url, "{version}")["version"]


def test_a_log_that_has_grown_is_begun_anew(up: Running) -> None:
    log = up.site.home / "dagster" / "dagster-dev.log"
    words = log.read_bytes()
    with log.open("r+b") as opened:
        opened.truncate(LOG_BYTES + 1)
    older = log.with_name("dagster-dev.log.1")
    deadline = time.monotonic() + 240
    while log.stat().st_size > LOG_BYTES:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert older.read_bytes().startswith(words)


def test_what_is_written_after_a_log_was_begun_anew_is_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "dagster-dev.log"
    with path.open("ab", buffering=0) as log:
        for words in (b"first\n", b"second\n"):
            log.write(words)
            bound_log(path, 5)
        log.write(b"third\n")
        bound_log(path, 6)
    assert path.read_bytes() == b"third\n"
    assert path.with_name("dagster-dev.log.1").read_bytes() == b"second\n"


def test_down_leaves_no_process_and_all_data(up: Running) -> None:
    up.site.execute("INSERT INTO retail.organizations (organization_name) VALUES ('stays')")
    assert len(processes_of(up.site.home)) > 4
    said = up.site.process("down", timeout=600)
    assert (said.code, said.out, said.err) == (0, "Stopped: Dagster, Postgres\n", "")
    assert processes_of(up.site.home) == []
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(up.url, timeout=60)  # noqa: S310 -- a loopback address
    again = up.site.process("down")
    assert (again.code, again.out, again.err) == (0, "Nothing was running.\n", "")
    started = up.site.process("db", "status")
    assert started.code == 0
    assert ("stays",) in up.site.fetch("SELECT organization_name FROM retail.organizations")


def test_down_of_an_installation_that_never_was_makes_nothing(tmp_path: Path) -> None:
    said = Site("", tmp_path / "home").run("down")
    assert (said.code, said.out) == (0, "Nothing was running.\n")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("arguments", [(), ("--detach",)], ids=["foreground", "detached"])
def test_a_port_in_use_is_refused_in_a_sentence(database_url: str, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        said = Site(database_url, tmp_path / "home").run("up", "--port", str(port), *arguments)
    assert (said.code, said.out) == (2, "")
    assert said.sentence.startswith(f"The UI cannot listen on 127.0.0.1:{port} (Address already in use)")
    assert processes_of(tmp_path / "home") == []


def test_a_database_that_is_down_is_one_sentence(tmp_path: Path) -> None:
    nowhere = Site(f"postgresql://somebody@127.0.0.1:{free_ports(1)}/retail", tmp_path / "home")
    said = nowhere.run("up", "--detach", "--port", str(free_ports(1)))
    assert (said.code, said.out) == (3, "")
    assert "does not answer" in said.sentence
