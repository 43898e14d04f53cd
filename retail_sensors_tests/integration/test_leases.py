"""Leases on cameras, between real processes: one request in flight, let go by whoever dies, and no endless waiting."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

from retail_sensors.connectors.base import Camera, LeaseTimeoutError
from retail_sensors.errors import DatabaseUnavailableError
from retail_sensors.settings import Settings
from retail_sensors.storage.database import Database
from retail_sensors.storage.leases import PostgresLeases

HOLDER = """
import asyncio, sys, time
from uuid import uuid4
from zoneinfo import ZoneInfo
from retail_sensors.connectors.base import Camera
from retail_sensors.settings import Settings
from retail_sensors.storage.database import Database
from retail_sensors.storage.leases import PostgresLeases

url, host, rounds, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
camera = Camera(uuid4(), "here", host, 80, ZoneInfo("UTC"))

async def main():
    with PostgresLeases(Database(Settings(database_url=url)), timeout_seconds=240) as leases:
        print("ready", flush=True)
        sys.stdin.readline()
        for _ in range(rounds):
            async with leases.hold(camera):
                taken = time.monotonic()
                print("holds", flush=True)
                await asyncio.sleep(seconds)
                print(f"span {taken} {time.monotonic()}", flush=True)

asyncio.run(main())
"""


def camera(host: str = "192.0.2.10", port: int = 80) -> Camera:
    return Camera(uuid4(), f"{host}:{port}", host, port, ZoneInfo("UTC"))


@contextmanager
def process(
    url: str, host: str = "192.0.2.10", *, rounds: int = 1, seconds: float = 600.0
) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the camera for so many seconds, so many times."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, url, host, str(rounds), str(seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ},
    )
    try:
        yield holder
    finally:
        holder.kill()
        holder.communicate(timeout=60)


def line(holder: subprocess.Popen[str]) -> str:
    assert holder.stdout is not None
    return holder.stdout.readline().strip()


def begin(holder: subprocess.Popen[str]) -> None:
    assert holder.stdin is not None
    holder.stdin.write("\n")
    holder.stdin.flush()


async def takes(leases: PostgresLeases, wanted: Camera) -> float:
    """Seconds until the camera was granted."""
    start = time.monotonic()
    async with leases.hold(wanted):
        return time.monotonic() - start


def test_two_processes_never_hold_one_camera_at_once(database_url: str) -> None:
    with process(database_url, rounds=8, seconds=0.01) as one, process(database_url, rounds=8, seconds=0.01) as two:
        spans = []
        for holder in (one, two):
            assert line(holder) == "ready"
        for holder in (one, two):
            begin(holder)
        for holder in (one, two):
            out, _ = holder.communicate(timeout=240)
            spans += [tuple(map(float, text.split()[1:])) for text in out.splitlines() if text.startswith("span")]
    spans.sort()
    assert len(spans) == 16
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(spans))


def test_a_camera_is_busy_after_the_timeout_and_free_when_its_holder_is_killed(
    database: Database, database_url: str
) -> None:
    with (
        process(database_url) as holder,
        PostgresLeases(database, timeout_seconds=0.2) as leases,
        PostgresLeases(database, timeout_seconds=60) as patient,
    ):
        assert line(holder) == "ready"
        begin(holder)
        assert line(holder) == "holds"
        start = time.monotonic()
        with pytest.raises(LeaseTimeoutError):
            asyncio.run(takes(leases, camera()))
        # Against the 600 s for which it stays taken.
        assert 0.05 <= time.monotonic() - start < 60
        # The same host on another port is another camera.
        assert asyncio.run(takes(patient, camera(port=81))) < 60
        holder.kill()
        holder.wait(60)
        assert asyncio.run(takes(patient, camera())) < 60


def test_within_a_process_holders_take_turns_and_cameras_do_not_wait_for_each_other(database: Database) -> None:
    async def sweep() -> int:
        inside = most = others = 0

        async def ask(leases: PostgresLeases, wanted: Camera) -> None:
            nonlocal inside, most, others
            async with leases.hold(wanted):
                if wanted.port != 80:
                    others += 1
                    return
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0.005)
                inside -= 1

        with PostgresLeases(database, timeout_seconds=60) as leases:
            ports = [80] * 10 + list(range(81, 100))
            await asyncio.gather(*(ask(leases, camera(port=port)) for port in ports))
        assert others == 19
        return most

    assert asyncio.run(sweep()) == 1


def test_a_holder_that_fails_or_is_cancelled_lets_go(database: Database) -> None:
    async def fail(leases: PostgresLeases) -> None:
        async with leases.hold(camera()):
            raise ValueError("the answer is nonsense")

    async def hang(leases: PostgresLeases, held: asyncio.Event) -> None:
        async with leases.hold(camera()):
            held.set()
            await asyncio.sleep(600)

    async def act() -> None:
        with PostgresLeases(database, timeout_seconds=60) as leases:
            with pytest.raises(ValueError, match="nonsense"):
                await fail(leases)
            held = asyncio.Event()
            task = asyncio.create_task(hang(leases, held))
            await held.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with PostgresLeases(database, timeout_seconds=20) as others:
                await takes(others, camera())

    asyncio.run(act())
    assert database.fetch("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]


def test_a_lost_connection_is_a_sentence(database: Database) -> None:
    with PostgresLeases(database, timeout_seconds=60) as leases:
        database.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'retail_sensors leases'"
        )
        for _ in range(2):
            with pytest.raises(DatabaseUnavailableError, match="does not answer"):
                asyncio.run(takes(leases, camera()))


def test_a_server_that_is_not_there_is_a_sentence_without_the_password() -> None:
    url = "postgresql://someone:s3cret@127.0.0.1:1/nothing"
    database = Database(Settings(database_url=url))
    with pytest.raises(DatabaseUnavailableError) as caught, PostgresLeases(database, timeout_seconds=1):
        pass
    assert "127.0.0.1:1/nothing does not answer" in str(caught.value)
    assert "s3cret" not in str(caught.value)
