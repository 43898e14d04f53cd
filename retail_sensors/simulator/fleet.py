"""Many simulated cameras in one process, the demo fleet, and the configuration file that describes a fleet.

Here belong names, stores and addresses, starting and stopping. One camera's behaviour is in `camera` and `server`.
"""

from __future__ import annotations

import asyncio
import resource
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from retail_sensors.connectors.base import Endpoint
from retail_sensors.errors import ConfigurationError
from retail_sensors.simulator.camera import (
    DEFAULT_REGIONS,
    HourTruth,
    SimulatedCamera,
    counts,
)
from retail_sensors.simulator.server import CameraServer, Served, listening_faults
from retail_sensors.simulator.switches import Fault, FaultKind
from retail_sensors.simulator.traffic import Generated, OpeningHours

DEMO_ORGANIZATION = "Demo Retail"
PASSWORD_REFERENCE = "env:SIMULATED_CAMERA_PASSWORD"  # noqa: S105 - names the variable, holds no secret
_SCHEDULE_STEP_SECONDS = 0.05
_SPARE_FILES = 256


@dataclass(frozen=True, slots=True)
class SimulatedStore:
    """One store of the configuration file; capacity in persons, area in square metres, lanes: its tills, 0: not said."""

    name: str
    timezone: str
    country: str
    opening_hours: OpeningHours
    capacity: int
    area_sqm: float
    traffic_basis: Literal["entries", "exits", "mean"] = "entries"
    currency: str = "EUR"
    lanes: int = 0


class SimulatedFleet:
    """Cameras that are served together, each on its own address.

    clock: the true instant, zone-aware. latency_seconds: every answer waits that long. seed: decides which answers
    the faults with a rate hit. Start and stop it in an event loop, or use `running`.
    """

    def __init__(
        self,
        cameras: Sequence[SimulatedCamera],
        *,
        clock: Callable[[], datetime],
        latency_seconds: float = 0.0,
        seed: int = 0,
        stores: Sequence[SimulatedStore] = (),
        organization: str = "Simulated Retail",
    ) -> None:
        names = [camera.name for camera in cameras]
        for name in names:
            if names.count(name) > 1:
                raise ConfigurationError(f"camera {name} comes twice in the fleet: give each its own name")
        known = {store.name for store in stores}
        for camera in cameras:
            if camera.store is not None and stores and camera.store not in known:
                raise ConfigurationError(f"camera {camera.name} is in store {camera.store!r}, which the fleet has not")
        self.cameras = {camera.name: camera for camera in cameras}
        self.stores = tuple(stores)
        self.organization = organization
        self.clock = clock
        self._servers = {camera.name: CameraServer(camera, clock, latency_seconds, seed) for camera in cameras}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._schedule: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listens on every camera's address."""
        self._loop = asyncio.get_running_loop()
        _allow_open_files(2 * len(self._servers))
        now = self.clock()
        try:
            for server in self._servers.values():
                server.camera.started_at = now
                self._open(server)
        except BaseException:
            await self.stop()
            raise
        self._schedule = asyncio.create_task(self._follow_schedules())

    async def stop(self) -> None:
        """Closes every listener and connection."""
        if self._schedule is not None:
            self._schedule.cancel()
            await asyncio.gather(self._schedule, return_exceptions=True)
            self._schedule = None
        for server in self._servers.values():
            server.close()
        for server in self._servers.values():
            await server.closed()
        self._loop = None

    def address(self, name: str) -> tuple[str, int]:
        """(host, port) of a camera of the running fleet."""
        return self._server(name).address

    def served(self, name: str) -> Served:
        """What this camera has been asked so far."""
        return self._server(name).served

    @property
    def requests(self) -> int:
        """Requests read so far by all cameras."""
        return sum(server.served.requests for server in self._servers.values())

    def set_faults(self, name: str, faults: Sequence[Fault]) -> None:
        """Replaces a camera's faults; when it returns, they hold. From any thread, the fleet's own included."""
        server = self._server(name)
        if self._loop is None or _running_loop() is self._loop:
            self._change(server, faults)
        else:
            asyncio.run_coroutine_threadsafe(self._change_in_loop(server, faults), self._loop).result(10)

    def counts(self, name: str, start_local: datetime, end_local: datetime) -> list[HourTruth]:
        """What was truly simulated for a camera; see `retail_sensors.simulator.camera.counts`."""
        return counts(self._server(name).camera, start_local, end_local)

    async def _change_in_loop(self, server: CameraServer, faults: Sequence[Fault]) -> None:
        self._change(server, faults)

    def _change(self, server: CameraServer, faults: Sequence[Fault]) -> None:
        server.camera.faults = tuple(faults)
        if self._loop is not None:
            self._open(server)

    def _open(self, server: CameraServer) -> None:
        try:
            server.follow_schedule()
        except OSError as error:
            host, port = server.address
            raise ConfigurationError(
                f"camera {server.camera.name} cannot listen on {host}:{port} ({error.strerror or error}): "
                "choose another address, or port 0 for a free one"
            ) from error

    async def _follow_schedules(self) -> None:
        while True:
            await asyncio.sleep(_SCHEDULE_STEP_SECONDS)
            for server in self._servers.values():
                if listening_faults(server.camera.faults):
                    # Where another process took the port meanwhile, the camera goes on refusing.
                    with suppress(OSError):
                        server.follow_schedule()

    def _server(self, name: str) -> CameraServer:
        try:
            return self._servers[name]
        except KeyError:
            raise ConfigurationError(
                f"the fleet has no camera {name!r}: it has {', '.join(list(self._servers)[:10])}"
            ) from None


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _allow_open_files(wanted: int) -> None:
    """A listener and a connection for each camera are more files than a process may usually open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        limit = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


@contextmanager
def running(fleet: SimulatedFleet) -> Iterator[SimulatedFleet]:
    """Serves the fleet in a background thread for as long as the block runs."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="simulated-fleet", daemon=True)
    thread.start()

    def run(coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, loop).result(60)

    try:
        run(fleet.start())
        try:
            yield fleet
        finally:
            run(fleet.stop())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def fleet_file(fleet: SimulatedFleet, password: str = PASSWORD_REFERENCE) -> dict[str, Any]:
    """A started fleet as the structure that `retail-sensors cameras add` reads; `password` is a secret reference."""
    cameras: list[dict[str, Any]] = []
    for camera in fleet.cameras.values():
        host, port = fleet.address(camera.name)
        entry = {
            "name": camera.name,
            "store": camera.store,
            "host": host,
            "port": port,
            "vendor": "milesight",
            "timezone": camera.timezone,
            "location": camera.location,
            "username": camera.username,
            "password": password,
            "lines": dict(sorted(camera.lines.items())),
            "regions": {
                number: _without_none(
                    {"name": region.name, "type": region.type, "role": region.role, "capacity": region.capacity}
                )
                for number, region in sorted(camera.regions.items())
            },
            "heat_scale": camera.switches.heat_scale,
        }
        cameras.append(_without_none(entry))
    stores = [
        {
            "name": store.name,
            "timezone": store.timezone,
            "country": store.country,
            "capacity": store.capacity,
            "area_sqm": store.area_sqm,
            "traffic_basis": store.traffic_basis,
            "opening_hours": store.opening_hours.as_mapping(),
            **({"checkout": {"lanes": store.lanes, "star_target": 12}} if store.lanes else {}),
        }
        for store in fleet.stores
    ]
    structure: dict[str, Any] = {"organization": fleet.organization}
    if stores:
        structure["stores"] = stores
    return structure | {"cameras": cameras}


def _without_none(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if value is not None}


def own_addresses(count: int, port: int) -> Iterator[tuple[str, int]]:
    """`count` loopback addresses with one port: 127.1.0.1, 127.1.0.2, ... 127.1.0.254, 127.1.1.1, ..."""
    for index in range(count):
        block, last = divmod(index, 254)
        yield f"127.{1 + block // 256}.{block % 256}.{last + 1}", port


def uniform_cameras(count: int, timezone: str, port: int, seed: int = 0) -> list[SimulatedCamera]:
    """`count` cameras (`camera-0001`, ...) of the calibrated store, each on an address of its own."""
    return [
        SimulatedCamera(
            f"camera-{index:04}", timezone, Generated(seed=seed + index), seed=seed + index, host=host, port=own_port
        )
        for index, (host, own_port) in enumerate(own_addresses(count, port), start=1)
    ]


DEMO_STORES = (
    SimulatedStore("Lisbon Baixa", "Europe/Lisbon", "PT", OpeningHours.daily("10:00-22:00"), 180, 620.0, lanes=2),
    SimulatedStore(
        "New York SoHo",
        "America/New_York",
        "US",
        OpeningHours.from_mapping(
            {
                **dict.fromkeys(("mon", "tue", "wed", "thu"), "10:00-20:00"),
                **dict.fromkeys(("fri", "sat"), "10:00-21:00"),
                "sun": "11:00-19:00",
            }
        ),
        240,
        850.0,
        "mean",
        currency="USD",
        lanes=3,
    ),
    SimulatedStore(
        "Mumbai Bandra", "Asia/Kolkata", "IN", OpeningHours.daily("10:30-21:30"), 150, 480.0, currency="INR", lanes=2
    ),
)
_DEMO_DOORS = (
    # store, camera, place, visitors and passers-by a day
    (0, "lisbon-main-door", "Rua Augusta", 520.0, 5200.0),
    (0, "lisbon-side-door", "Rua da Prata", 140.0, 0.0),
    (1, "new-york-broadway", "Broadway", 760.0, 6400.0),
    (1, "new-york-prince-street", "Prince Street", 230.0, 2100.0),
    (2, "mumbai-main-gate", "Linking Road", 640.0, 4800.0),
    (2, "mumbai-car-park", "Car park", 170.0, 0.0),
)
DEMO_MISBEHAVING = "mumbai-car-park"
_DEMO_FAULTS = (
    Fault(FaultKind.REFUSED, 0.10, per="day"),
    Fault(FaultKind.TRUNCATED, 0.08, per="day"),
    Fault(FaultKind.HTML_LOGIN, 0.08, per="day"),
    Fault(FaultKind.EMPTY, 0.06, per="day", endpoint=Endpoint.HEATMAP_TEMPORAL),
    Fault(FaultKind.NEGATIVE_NUMBERS, 0.10, per="day"),
    Fault(FaultKind.DUPLICATE_ROWS, 0.10, per="day"),
)


def demo_cameras(seed: int = 0, *, host: str = "127.0.0.1", first_port: int = 0) -> list[SimulatedCamera]:
    """The six cameras of the demo, on consecutive ports (0: free ones); see `demo_fleet`."""
    cameras = []
    for index, (store_index, name, location, visitors, passersby) in enumerate(_DEMO_DOORS):
        store = DEMO_STORES[store_index]
        traffic = Generated(
            seed=seed * 1000 + index,
            opening_hours=store.opening_hours,
            lines={1: "entrance", 2: "entrance"} | ({4: "passerby"} if passersby else {}),
            visitors_per_day=visitors,
            passersby_per_day=passersby,
        )
        cameras.append(
            SimulatedCamera(
                name,
                store.timezone,
                traffic,
                seed=seed * 1000 + index,
                host=host,
                port=first_port + index if first_port else 0,
                faults=_DEMO_FAULTS if name == DEMO_MISBEHAVING else (),
                store=store.name,
                location=location,
                regions=DEFAULT_REGIONS if passersby else {number: DEFAULT_REGIONS[number] for number in (1, 3)},
            )
        )
    return cameras


def demo_fleet(
    clock: Callable[[], datetime],
    seed: int = 0,
    *,
    host: str = "127.0.0.1",
    first_port: int = 0,
    latency_seconds: float = 0.0,
) -> SimulatedFleet:
    """Three stores in three time zones, six cameras, one of them misbehaving.

    The camera `DEMO_MISBEHAVING` fails on some days for some endpoints; which, follows from the seed and the day
    asked for, so that every run finds the same days broken.
    """
    return SimulatedFleet(
        demo_cameras(seed, host=host, first_port=first_port),
        clock=clock,
        latency_seconds=latency_seconds,
        seed=seed,
        stores=DEMO_STORES,
        organization=DEMO_ORGANIZATION,
    )
