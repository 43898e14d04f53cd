"""Leases on cameras that hold within one process. Those that hold between processes belong in `storage.leases`."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from retail_sensors.connectors.base import Camera, LeaseTimeoutError


class LocalLeases:
    """Leases that hold within this process, across its threads and event loops; `wait_seconds` bounds the waiting."""

    def __init__(self, wait_seconds: float = 120.0, poll_seconds: float = 0.02) -> None:
        self._wait_seconds = wait_seconds
        self._poll_seconds = poll_seconds
        self._guard = threading.Lock()
        self._taken: set[tuple[str, int]] = set()

    def hold(self, camera: Camera) -> AbstractAsyncContextManager[None]:
        """Keep a camera's address while the context lasts; raises LeaseTimeoutError when it stays taken."""
        return self._hold((camera.host, camera.port))

    @asynccontextmanager
    async def _hold(self, address: tuple[str, int]) -> AsyncIterator[None]:
        give_up_at = time.monotonic() + self._wait_seconds
        # Asking again in short steps, because a lock of one event loop cannot wake a waiter in another.
        while not self._take(address):
            if time.monotonic() >= give_up_at:
                raise LeaseTimeoutError(f"{address[0]}:{address[1]} stayed taken for {self._wait_seconds:g} s")
            await asyncio.sleep(self._poll_seconds)
        try:
            yield
        finally:
            with self._guard:
                self._taken.discard(address)

    def _take(self, address: tuple[str, int]) -> bool:
        with self._guard:
            if address in self._taken:
                return False
            self._taken.add(address)
            return True
