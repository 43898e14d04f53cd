"""One sweep over a simulated fleet in a process of its own: by the collector, by bare aiohttp, or by bare httpx.

Standard input names the cameras; the answer is one line of JSON: requests, seconds, and the process's peak memory. What
the sweeps are compared for belongs in `fleet`.
"""

from __future__ import annotations

import asyncio
import json
import resource
import ssl
import sys
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from time import perf_counter
from typing import Any
from uuid import NAMESPACE_URL, uuid5
from zoneinfo import ZoneInfo

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from retail_sensors.connectors.base import HISTORY_ENDPOINTS, Camera, Credentials, Endpoint, TimeWindow
from retail_sensors.connectors.collector import Collector, CollectorSettings
from retail_sensors.connectors.leases import LocalLeases
from retail_sensors.connectors.milesight import request_target
from retail_sensors.simulator.camera import DEFAULT_PASSWORD

ENDPOINTS = (*HISTORY_ENDPOINTS, Endpoint.ALARM_STATUS)
"""What a camera is asked in each hour."""

_WARMING = 8
"""Cameras asked before the clock starts, for what is imported and cached at the first use."""

Get = Callable[[str], Awaitable[int]]
"""Asks one URL, reads the whole body, and returns the status."""


def _targets(at: datetime) -> list[str]:
    return [
        request_target(endpoint, None if endpoint is Endpoint.ALARM_STATUS else at.date()) for endpoint in ENDPOINTS
    ]


async def _lanes(get: Get, cameras: list[dict[str, Any]], at: datetime, in_flight: int) -> int:
    """A camera's URLs one after another on its connection, as many cameras at a time as may be in flight."""
    waiting = iter(cameras)

    async def lane() -> int:
        asked = 0
        for camera in waiting:
            for target in _targets(at):
                asked += await _counted(get, camera, target)
        return asked

    return sum(await asyncio.gather(*(lane() for _ in range(in_flight))))


async def _anyhow(get: Get, cameras: list[dict[str, Any]], at: datetime, in_flight: int) -> int:
    """All URLs, endpoint by endpoint, as many at a time as may be in flight, whichever camera they are on."""
    waiting: Iterator[tuple[str, dict[str, Any]]] = ((target, camera) for target in _targets(at) for camera in cameras)

    async def worker() -> int:
        asked = 0
        for target, camera in waiting:
            asked += await _counted(get, camera, target)
        return asked

    return sum(await asyncio.gather(*(worker() for _ in range(in_flight))))


async def _counted(get: Get, camera: dict[str, Any], target: str) -> int:
    status = await get(f"http://{camera['host']}:{camera['port']}{target}")
    if status != 200:
        raise RuntimeError(f"the simulated camera {camera['name']} answered {status}, so the sweep's time says nothing")
    return 1


async def _aiohttp(
    cameras: list[dict[str, Any]], at: datetime, in_flight: int, order: Callable[..., Awaitable[int]]
) -> int:
    pair = f"{cameras[0]['username']}:{DEFAULT_PASSWORD}"
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Authorization": f"Basic {b64encode(pair.encode()).decode()}"},
    ) as session:

        async def get(url: str) -> int:
            async with session.get(url) as response:
                await response.read()
                return response.status

        return await order(get, cameras, at, in_flight)


async def _httpx(cameras: list[dict[str, Any]], at: datetime, in_flight: int) -> int:
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar())
    async with httpx.AsyncClient(
        transport=AiohttpTransport(client=session, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)),
        auth=(cameras[0]["username"], DEFAULT_PASSWORD),
        timeout=60,
        trust_env=False,
    ) as client:

        async def get(url: str) -> int:
            return (await client.get(url)).status_code

        return await _lanes(get, cameras, at, in_flight)


async def _collector(cameras: list[dict[str, Any]], at: datetime, in_flight: int) -> int:
    collector = Collector(CollectorSettings(in_flight=in_flight), clock=lambda: at)
    hour = at.replace(minute=0, second=0, microsecond=0)
    collections = await collector.collect_many(
        [
            Camera(
                sensor_id=uuid5(NAMESPACE_URL, camera["name"]),
                name=camera["name"],
                host=camera["host"],
                port=camera["port"],
                zone=ZoneInfo("UTC"),
                credentials=Credentials(camera["username"], DEFAULT_PASSWORD),
            )
            for camera in cameras
        ],
        ENDPOINTS,
        TimeWindow(hour, hour + timedelta(hours=1)),
        lease=LocalLeases(),
        run_id="benchmark",
    )
    for endpoint, collection in collections.items():
        if len(collection.rows) != len(cameras) or set(collection.log["outcome"]) != {"ok"}:
            raise RuntimeError(
                f"{endpoint.value}: {len(collection.rows)} of {len(cameras)} rows, so the time says nothing"
            )
    return sum(len(collection.log) for collection in collections.values())


async def _aiohttp_lanes(cameras: list[dict[str, Any]], at: datetime, in_flight: int) -> int:
    return await _aiohttp(cameras, at, in_flight, _lanes)


async def _aiohttp_anyhow(cameras: list[dict[str, Any]], at: datetime, in_flight: int) -> int:
    return await _aiohttp(cameras, at, in_flight, _anyhow)


CONTENDERS: dict[str, Callable[[list[dict[str, Any]], datetime, int], Awaitable[int]]] = {
    "collector": _collector,
    "aiohttp, camera by camera": _aiohttp_lanes,
    "aiohttp, in any order": _aiohttp_anyhow,
    "httpx on aiohttp": _httpx,
}


async def _sweep(name: str, cameras: list[dict[str, Any]], at: datetime, in_flight: int) -> dict[str, float]:
    sweep = CONTENDERS[name]
    await sweep(cameras[:_WARMING], at, in_flight)
    begun = perf_counter()
    requests = await sweep(cameras, at, in_flight)
    seconds = perf_counter() - begun
    return {
        "requests": requests,
        "seconds": seconds,
        # Kilobytes on Linux, bytes on macOS.
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        / (2**20 if sys.platform == "darwin" else 2**10),
    }


def main() -> None:
    """Makes one sweep."""
    name, at, in_flight = sys.argv[1], datetime.fromisoformat(sys.argv[2]), int(sys.argv[3])
    # Bare aiohttp opens as many connections as it likes.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(json.dumps(asyncio.run(_sweep(name, json.load(sys.stdin), at, in_flight))))


if __name__ == "__main__":
    main()
