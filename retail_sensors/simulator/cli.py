"""The command `simulate`: serves simulated cameras until it is told to stop.

Here belong options and words for the terminal. The heavy modules are imported inside the command, so that the other
commands start without them.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retail_sensors.errors import ConfigurationError

if TYPE_CHECKING:
    from retail_sensors.simulator.camera import SimulatedCamera
    from retail_sensors.simulator.fleet import SimulatedFleet

_SHOWN = 20


def simulate(
    fleet_file: Annotated[
        Path | None, typer.Option(help="Write the fleet here, as `cameras add` reads it (YAML).")
    ] = None,
    cameras: Annotated[
        int | None, typer.Option(min=1, max=60000, help="That many equal cameras, each on an address of its own.")
    ] = None,
    replay: Annotated[Path | None, typer.Option(help="A CSV file (.gz too) of real counts to play again.")] = None,
    timezone: Annotated[str, typer.Option(help="Zone of the equal or replayed cameras.")] = "UTC",
    site: Annotated[list[str] | None, typer.Option(help="Series of the file to play; all by default.")] = None,
    replay_until: Annotated[
        datetime | None, typer.Option(help="The last replayed full week ends by then (UTC); now by default.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="One address for all cameras, with a port for each.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The first port; 0 takes free ones.")] = 8600,
    latency: Annotated[float, typer.Option(min=0, help="Seconds that every answer waits.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, another made-up past.")] = 0,
    fault: Annotated[list[str] | None, typer.Option(help="KIND or KIND:RATE, on every camera.")] = None,
    switch: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, on every camera.")] = None,
    duration: Annotated[float | None, typer.Option(min=0, help="Stop after that many seconds.")] = None,
) -> None:
    """Serve simulated cameras until SIGINT or SIGTERM: the demo's three stores, equal cameras, or replayed counts."""
    from retail_sensors.simulator import fleet as fleets

    if cameras is not None and replay is not None:
        raise ConfigurationError("--cameras and --replay exclude each other: leave one of them out")
    if replay is None and (site or replay_until is not None):
        raise ConfigurationError("--site and --replay-until pick from a recording: give it with --replay FILE")
    stores: tuple[fleets.SimulatedStore, ...] = ()
    if replay is not None:
        served = _replayed(
            replay, timezone, site, _now() if replay_until is None else replay_until.replace(tzinfo=UTC), seed
        )
    elif cameras is not None:
        served = fleets.uniform_cameras(cameras, timezone, port, seed)
    else:
        served, stores = fleets.demo_cameras(seed), fleets.DEMO_STORES
    if cameras is None or host is not None:
        _place(served, host or "127.0.0.1", port)
    _spoil(served, switch or [], fault or [])
    fleet = fleets.SimulatedFleet(
        served,
        clock=_now,
        latency_seconds=latency,
        seed=seed,
        stores=stores,
        organization=fleets.DEMO_ORGANIZATION if stores else "Simulated Retail",
    )
    asyncio.run(_serve(fleet, fleet_file, duration))


def _now() -> datetime:
    return datetime.now(UTC)


def _replayed(path: Path, timezone: str, sites: list[str] | None, until: datetime, seed: int) -> list[SimulatedCamera]:
    from retail_sensors.simulator.camera import SimulatedCamera, zone_named
    from retail_sensors.simulator.replay import read_replay

    series = read_replay(path, zone_named(timezone, "--timezone").key, until, sites or None)
    return [
        SimulatedCamera(name, timezone, traffic, seed=seed + index, regions={})
        for index, (name, traffic) in enumerate(series.items())
    ]


def _place(cameras: list[SimulatedCamera], host: str, first_port: int) -> None:
    if first_port + len(cameras) > 65536:
        raise ConfigurationError(f"{len(cameras)} cameras from port {first_port} do not fit: give a lower --port")
    for index, camera in enumerate(cameras):
        camera.host = host
        camera.port = first_port + index if first_port else 0


def _spoil(cameras: list[SimulatedCamera], switches: list[str], faults: list[str]) -> None:
    from retail_sensors.simulator.switches import Fault

    wanted = [Fault.from_text(text) for text in faults]
    for camera in cameras:
        for text in switches:
            camera.switches = camera.switches.with_text(text)
        camera.faults = (*camera.faults, *wanted)


async def _serve(fleet: SimulatedFleet, fleet_file: Path | None, duration: float | None) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    await fleet.start()
    try:
        if fleet_file is not None:
            _write(fleet, fleet_file)
        for name in list(fleet.cameras)[:_SHOWN]:
            host, port = fleet.address(name)
            typer.echo(f"{name}  http://{host}:{port}")
        if len(fleet.cameras) > _SHOWN:
            last = list(fleet.cameras)[-1]
            host, port = fleet.address(last)
            typer.echo(f"... {len(fleet.cameras) - _SHOWN} more, up to {last}  http://{host}:{port}")
        typer.echo("Serving; Ctrl-C stops.")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopped.wait(), duration)
    finally:
        await fleet.stop()
    typer.echo(f"Stopped after {fleet.requests} requests.")


def _write(fleet: SimulatedFleet, path: Path) -> None:
    import yaml

    from retail_sensors.simulator import fleet as fleets
    from retail_sensors.simulator.camera import DEFAULT_PASSWORD

    text = yaml.safe_dump(fleets.fleet_file(fleet), sort_keys=False, allow_unicode=True)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"--fleet-file {path} cannot be written: {error.strerror}") from error
    typer.echo(f"Wrote {path}; the cameras' password is {DEFAULT_PASSWORD!r}, expected in {fleets.PASSWORD_REFERENCE}")
