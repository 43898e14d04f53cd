"""The commands `retail-sensors cameras ...`: register, list, probe, disable and enable cameras.

Here belong options and words for the terminal; what they do belongs in `storage.fleet` and `connectors.probe`. The
sub-application is named `app`, for the main command line to add; errors pass through to it. The heavy modules are
imported inside the commands, so that the other commands start without them.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from retail_sensors.settings import Settings, load_settings

if TYPE_CHECKING:
    from retail_sensors.connectors.base import Camera, CameraLease
    from retail_sensors.connectors.probe import ProbeResult
    from retail_sensors.fleet_file import FleetFile
    from retail_sensors.storage.database import Database
    from retail_sensors.storage.fleet import Changes, RegisteredCamera

app = typer.Typer(help="Register, list, probe, disable and enable cameras.", no_args_is_help=True)

CLOCK_WARNING_SECONDS = 120.0
"""A camera's clock that is further off puts people into wrong hours."""

_SHOWN_NAMES = 12
_WIDTH_OF_A_FILE = 200

Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of cameras.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command("add")
def add_cameras(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Stores and cameras in YAML or JSON; a file with faults is refused whole."),
    ],
) -> None:
    """Register the stores and cameras of FILE; the same file again changes nothing."""
    from retail_sensors.fleet_file import read_fleet_file
    from retail_sensors.storage.fleet import FleetRegistry

    fleet = read_fleet_file(file)
    with _database() as (_, database):
        changes = FleetRegistry(database).add(fleet)
    _say_changes("store", changes.stores)
    _say_changes("camera", changes.cameras)
    _warn_of_secrets(fleet)


@app.command("list")
def list_cameras(as_json: AsJson = False) -> None:
    """Show every registered camera, disabled ones included."""
    from retail_sensors.storage.fleet import FleetRegistry

    with _database() as (_, database):
        cameras = FleetRegistry(database).listing()
    if as_json:
        _print_json([asdict(camera) for camera in cameras])
    elif cameras:
        _console().print(_listing_table(cameras))
    else:
        typer.echo("No camera is registered; `retail-sensors cameras add FILE` registers those of a file.")


@app.command("probe")
def probe_cameras(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Cameras to probe; all enabled ones by default.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask cameras what they can do, and record it; a camera that cannot be reached is a row, not a failure."""
    from retail_sensors.storage.fleet import FleetRegistry
    from retail_sensors.storage.leases import PostgresLeases

    with _database() as (settings, database):
        registry = FleetRegistry(database)
        cameras = registry.cameras(names or None, include_inactive=bool(names))
        with PostgresLeases(database, timeout_seconds=settings.lease_timeout_seconds) as leases:
            found = asyncio.run(_probe_all(cameras, settings, leases))
        recorded = {
            name: {capability: result.as_json() for capability, result in results.items()}
            for name, results in found.items()
        }
        for camera in cameras:
            # A camera that could not be asked keeps what an earlier probe found.
            if camera.credentials_error is None:
                registry.record_capabilities(camera.name, recorded[camera.name])
    if as_json:
        _print_json(recorded)
    elif cameras:
        _console().print(_probe_table(cameras, found))
    else:
        typer.echo("No camera is enabled; `retail-sensors cameras list` shows those that are registered.")


@app.command("disable")
def disable_cameras(names: Names) -> None:
    """Stop asking cameras; what is stored of them stays and still counts."""
    _set_active(names, False)


@app.command("enable")
def enable_cameras(names: Names) -> None:
    """Ask cameras again."""
    _set_active(names, True)


def _set_active(names: Sequence[str], is_active: bool) -> None:
    from retail_sensors.storage.fleet import FleetRegistry

    with _database() as (_, database):
        changed = FleetRegistry(database).set_active(names, is_active)
    word = "enabled" if is_active else "disabled"
    already = [name for name in dict.fromkeys(names) if name not in changed]
    if changed:
        typer.echo(f"{word.capitalize()}: {_listed(changed)}")
    if already:
        typer.echo(f"Already {word}: {_listed(already)}")


@contextmanager
def _database() -> Iterator[tuple[Settings, Database]]:
    from retail_sensors.storage import migrations
    from retail_sensors.storage.database import Database

    settings = load_settings()
    database = Database(settings)
    try:
        migrations.upgrade(database)
        yield settings, database
    finally:
        database.dispose()


# Probing ----------------------------------------------------------------------------------------------------------------


async def _probe_all(
    cameras: Sequence[Camera], settings: Settings, leases: CameraLease
) -> dict[str, dict[str, ProbeResult]]:
    """What each camera can do, by name and capability."""
    from retail_sensors.connectors.probe import probe
    from retail_sensors.resources.cameras import collector_settings
    from retail_sensors.resources.clock import ClockResource

    limits = collector_settings(settings)
    clock = ClockResource().now
    room = asyncio.Semaphore(settings.in_flight)

    async def ask(camera: Camera) -> dict[str, ProbeResult]:
        async with room:
            jitter = random.Random()  # noqa: S311 -- jitter, not a secret
            return await probe(camera, limits, lease=leases, clock=clock, rng=jitter)

    results = await asyncio.gather(*(ask(camera) for camera in cameras))
    return {camera.name: result for camera, result in zip(cameras, results, strict=True)}


# Words ------------------------------------------------------------------------------------------------------------------


def _console() -> Console:
    console = Console(highlight=False)
    # A pipe has no width of its own, and 80 columns would break every address.
    return console if console.is_terminal else Console(highlight=False, width=_WIDTH_OF_A_FILE)


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=_as_json))


def _as_json(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN_NAMES])
    return f"{shown} and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else shown


def _say_changes(kind: str, changes: Changes) -> None:
    def count(number: int) -> str:
        return f"{number} {kind}{'' if number == 1 else 's'}"

    if changes.added:
        typer.echo(f"Added {count(len(changes.added))}: {_listed(changes.added)}")
    if changes.changed:
        described = [f"{name} ({', '.join(fields)})" for name, fields in changes.changed.items()]
        typer.echo(f"Changed {count(len(described))}: {_listed(described)}")
    if changes.unchanged:
        typer.echo(f"Unchanged: {count(len(changes.unchanged))}")


def _warn_of_secrets(fleet: FleetFile) -> None:
    """Says which references point at nothing here and now; another machine may be the one that collects."""
    from retail_sensors.secrets import Secrets

    secrets = Secrets()
    cameras_of: dict[str, list[str]] = {}
    for camera in fleet.cameras:
        if camera.password is not None:
            cameras_of.setdefault(camera.password, []).append(camera.name)
    for reference, cameras in cameras_of.items():
        if problem := secrets.problem(reference):
            typer.echo(f"Warning: {reference} of {_listed(cameras)} does not resolve at present. {problem}", err=True)


def _listing_table(cameras: Sequence[RegisteredCamera]) -> Table:
    table = Table(title=f"{len(cameras)} registered camera{'' if len(cameras) == 1 else 's'}")
    for heading in ("Name", "Store", "Zone", "Address", "Endpoints", "Lines", "Enabled", "Last seen", "Clock offset"):
        table.add_column(heading, overflow="fold")
    for camera in cameras:
        host = f"[{camera.host}]" if ":" in camera.host else camera.host
        cells = (
            camera.name,
            camera.store,
            camera.timezone,
            f"{host}:{camera.port}",
            "\n".join(camera.endpoints),
            "\n".join(f"{line} {role}" for line, role in camera.lines.items()),
            "yes" if camera.is_active else "no",
            f"{camera.last_seen_at:%Y-%m-%d %H:%M} UTC" if camera.last_seen_at else "never",
            _clock_offset(camera.clock_offset_seconds),
        )
        table.add_row(*map(escape, cells), style=None if camera.is_active else "dim")
    return table


def _clock_offset(seconds: float | None) -> str:
    if seconds is None:
        return "not said"
    warning = "  wrong, set its clock" if abs(seconds) > CLOCK_WARNING_SECONDS else ""
    return f"{seconds:+.0f} s{warning}"


def _probe_table(cameras: Sequence[Camera], found: Mapping[str, Mapping[str, ProbeResult]]) -> Table:
    table = Table(title="What the cameras can do")
    for heading in ("Name", "Reached", "Supported", "Not supported"):
        table.add_column(heading, overflow="fold")
    for camera in cameras:
        results = found[camera.name]
        if camera.credentials_error is not None:
            cells = ("not asked", "", camera.credentials_error)
        elif all(result.status == "unreachable" for result in results.values()):
            cells = ("no", "", next((result.detail or "" for result in results.values()), ""))
        else:
            cells = (
                "yes",
                "\n".join(name for name, result in results.items() if result.status == "supported"),
                "\n".join(
                    f"{name}: {result.status}{f' ({result.http_status})' if result.http_status else ''}"
                    for name, result in results.items()
                    if result.status != "supported"
                ),
            )
        table.add_row(*map(escape, (camera.name, *cells)))
    return table
