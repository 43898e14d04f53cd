"""The commands `retail-sensors cameras ...`: register, list, probe, disable and enable cameras.

Here belong options and words for the terminal; what they do belongs in `storage.fleet` and `connectors.probe`, groups, tags, places
and the whole fleet as a file in `cli.fleet`. The sub-application is named `app`, for the main command line to add; errors pass through
to it. The heavy modules are imported inside the commands, so that the other commands start without them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from retail_sensors.cli import fleet as fleet_commands
from retail_sensors.cli.terminal import AsJson, console, listed, migrated_database, print_json
from retail_sensors.settings import Settings

if TYPE_CHECKING:
    from retail_sensors.connectors.base import Camera, CameraLease
    from retail_sensors.connectors.probe import ProbeResult
    from retail_sensors.fleet_file import FleetFile
    from retail_sensors.storage.fleet import Changes, RegisteredCamera

app = typer.Typer(help="Register, list, probe, group, locate, disable and remove cameras.", no_args_is_help=True)
app.add_typer(fleet_commands.group, name="group")
app.add_typer(fleet_commands.tag, name="tag")
app.command("locate")(fleet_commands.locate)
app.command("export")(fleet_commands.export)
app.command("history")(fleet_commands.history)
app.command("remove")(fleet_commands.remove)

CLOCK_WARNING_SECONDS = 120.0
"""A camera's clock that is further off puts people into wrong hours."""

Words = fleet_commands.Words


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
    with migrated_database() as (_, database):
        changes = FleetRegistry(database).add(fleet)
    _say_changes("store", changes.stores)
    _say_changes("group", changes.groups)
    _say_changes("camera", changes.cameras)
    _warn_of_secrets(fleet)


@app.command("list")
def list_cameras(words: fleet_commands.AnyWords = None, as_json: AsJson = False) -> None:
    """Show registered cameras, disabled ones included."""
    from retail_sensors.storage.fleet import FleetRegistry

    with migrated_database() as (_, database):
        cameras = FleetRegistry(database).listing(words or ())
    if as_json:
        print_json([asdict(camera) for camera in cameras])
    elif cameras:
        console().print(_listing_table(cameras))
    else:
        typer.echo("No camera is registered; `retail-sensors cameras add FILE` registers those of a file.")


@app.command("probe")
def probe_cameras(words: fleet_commands.AnyWords = None, as_json: AsJson = False) -> None:
    """Ask cameras what they can do, and record it; a camera that cannot be reached is a row, not a failure."""
    from retail_sensors.storage.fleet import FleetRegistry
    from retail_sensors.storage.leases import PostgresLeases

    with migrated_database() as (settings, database):
        registry = FleetRegistry(database)
        cameras = registry.cameras(words or None, include_inactive=bool(words))
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
        print_json(recorded)
    elif cameras:
        console().print(_probe_table(cameras, found))
    else:
        typer.echo("No camera is enabled; `retail-sensors cameras list` shows those that are registered.")


@app.command("disable")
def disable_cameras(words: Words) -> None:
    """Stop asking cameras; what is stored of them stays and still counts."""
    _set_active(words, False)


@app.command("enable")
def enable_cameras(words: Words) -> None:
    """Ask cameras again."""
    _set_active(words, True)


def _set_active(words: Sequence[str], is_active: bool) -> None:
    from retail_sensors.storage.fleet import FleetRegistry

    with migrated_database() as (_, database):
        registry = FleetRegistry(database)
        changed = registry.set_active(words, is_active)
        meant = [camera.name for camera in registry.listing(words)]
    word = "enabled" if is_active else "disabled"
    already = [name for name in meant if name not in changed]
    if changed:
        typer.echo(f"{word.capitalize()}: {listed(changed)}")
    if already:
        typer.echo(f"Already {word}: {listed(already)}")


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


def _say_changes(kind: str, changes: Changes) -> None:
    def count(number: int) -> str:
        return f"{number} {kind}{'' if number == 1 else 's'}"

    if changes.added:
        typer.echo(f"Added {count(len(changes.added))}: {listed(changes.added)}")
    if changes.changed:
        described = [f"{name} ({', '.join(fields)})" for name, fields in changes.changed.items()]
        typer.echo(f"Changed {count(len(described))}: {listed(described)}")
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
            typer.echo(f"Warning: {reference} of {listed(cameras)} does not resolve at present. {problem}", err=True)


def _listing_table(cameras: Sequence[RegisteredCamera]) -> Table:
    table = Table(title=f"{len(cameras)} registered camera{'' if len(cameras) == 1 else 's'}")
    headings = (
        "Name",
        "Store",
        "Place",
        "Zone",
        "Address",
        "Endpoints",
        "Lines",
        "Enabled",
        "Last seen",
        "Clock offset",
    )
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for camera in cameras:
        host = f"[{camera.host}]" if ":" in camera.host else camera.host
        cells = (
            camera.name,
            camera.store,
            "\n".join(_place(camera)),
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


def _place(camera: RegisteredCamera) -> Iterator[str]:
    """Where it hangs, its groups and its tags, a line each."""
    place = camera.place or {}
    floor = None if place.get("floor_level") is None else f"floor {place['floor_level']}"
    where = [part for part in (place.get("building_name"), floor, place.get("zone_name"), camera.location) if part]
    if where:
        yield ", ".join(where)
    yield from (f"group {name}" for name in camera.groups)
    if camera.tags:
        yield f"tags {' '.join(camera.tags)}"


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
