"""One request in flight per camera across processes: an advisory lock per host:port in Postgres.

A schedule, a back-fill and the command line may want the same camera at once; its little web server answers one. All
leases of a sweep share one connection of their own, so a process that dies lets go of all of them at once.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Self

import psycopg2

from retail_sensors.connectors.base import Camera, LeaseTimeoutError
from retail_sensors.storage.database import Database

_FIRST_WAIT_SECONDS = 0.01
_LONGEST_WAIT_SECONDS = 0.5


class PostgresLeases:
    """Leases on cameras for one sweep; a context manager that lets go of whatever is still held."""

    def __init__(self, database: Database, *, timeout_seconds: float) -> None:
        self._database = database
        self._timeout_seconds = timeout_seconds
        self._lanes: dict[int, asyncio.Lock] = {}

    def __enter__(self) -> Self:
        try:
            self._connection = psycopg2.connect(
                self._database.libpq_url,
                application_name="retail_sensors leases",
                connect_timeout=10,
            )
        except psycopg2.OperationalError as error:
            raise self._database.unavailable(error) from error
        self._connection.autocommit = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def hold(self, camera: Camera) -> AbstractAsyncContextManager[None]:
        """Holds the camera; raises LeaseTimeoutError when another process keeps it for too long."""
        return self._hold(_key(camera))

    @asynccontextmanager
    async def _hold(self, key: int) -> AsyncIterator[None]:
        # Postgres counts a session's own locks as its own: within the process a lock of asyncio keeps the order.
        async with self._lanes.setdefault(key, asyncio.Lock()):
            await self._acquire(key)
            try:
                yield
            finally:
                self._call("SELECT pg_advisory_unlock(%s)", key)

    async def _acquire(self, key: int) -> None:
        wait = _FIRST_WAIT_SECONDS
        deadline = asyncio.get_running_loop().time() + self._timeout_seconds
        while not self._call("SELECT pg_try_advisory_lock(%s)", key):
            if asyncio.get_running_loop().time() + wait > deadline:
                raise LeaseTimeoutError
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)

    def _call(self, statement: str, key: int) -> bool:
        # Well under a millisecond on a server nearby: a thread for it would cost more than it.
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(statement, (key,))
                (answer,) = cursor.fetchone() or (False,)
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
            raise self._database.unavailable(error) from error
        return bool(answer)


def _key(camera: Camera) -> int:
    digest = hashlib.blake2b(f"retail_sensors camera {camera.host}:{camera.port}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
