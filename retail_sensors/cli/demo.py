"""`retail-sensors demo`: simulated cameras over real sockets, collected through Dagster into Postgres.

Idempotent: the same cameras on the same ports, and only the hours that are not in yet are asked for again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import yaml

from retail_sensors.cli.collect import run_with_progress
from retail_sensors.connectors.base import TimeWindow
from retail_sensors.errors import ConfigurationError
from retail_sensors.installation import Installation
from retail_sensors.storage.sqlfiles import queries

if TYPE_CHECKING:
    from retail_sensors.simulator.fleet import SimulatedFleet
    from retail_sensors.storage.database import Database

FIRST_PORT = 18600


def demo(
    days: Annotated[int, typer.Option(min=1, max=90, help="Days of history to collect.")] = 14,
    port: Annotated[int, typer.Option(min=1024, max=65000, help="First of six loopback ports.")] = FIRST_PORT,
) -> None:
    """Start a simulated fleet, collect two weeks of it through Dagster and show the stores' days."""
    from retail_sensors.fleet_file import read_fleet_file
    from retail_sensors.simulator.fleet import DEMO_MISBEHAVING
    from retail_sensors.storage.fleet import FleetRegistry

    installation = Installation()
    # A fleet that `up` already serves on these ports is used as it is.
    with simulated_fleet(installation, port):
        fleet = read_fleet_file(_fleet_path(installation))
        FleetRegistry(installation.database).add(fleet)
        names = [camera.name for camera in fleet.cameras]
        now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        whole = TimeWindow(now - timedelta(days=days), now)
        window = _missing(installation.database, names, whole)
        _load_tills(installation, whole, port)
        report = run_with_progress(installation, window, names, with_outlook=True)
    _print(installation, days)
    is_whole = not report.problems
    for outcome in report.cameras:
        is_meant = outcome.camera == DEMO_MISBEHAVING
        is_whole = is_whole and (is_meant or outcome.is_complete)
        for problem in outcome.problems:
            typer.echo(
                f"{outcome.camera}{' misbehaves, as it is meant to' if is_meant else ''}: {problem}", err=not is_meant
            )
    for problem in report.problems:
        typer.echo(problem, err=True)
    typer.echo(
        "\nTo keep it all running and look at it in the Dagster UI: make up"
        "\nTo see what needs attention: .venv/bin/retail-sensors alerts"
        "\nTo look into the tables: .venv/bin/retail-sensors db psql   (for example: TABLE retail.store_daily;)"
        "\nTo stop everything: .venv/bin/retail-sensors down"
    )
    raise typer.Exit(0 if is_whole else 1)


@contextmanager
def simulated_fleet(installation: Installation, first_port: int) -> Iterator[None]:
    """The demo's six cameras, listening until the block ends; remembered, so that `up` serves them too."""
    from retail_sensors.simulator.camera import DEFAULT_PASSWORD
    from retail_sensors.simulator.fleet import fleet_file, running

    folder = installation.settings.home / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    password = folder / "password"
    password.write_text(DEFAULT_PASSWORD)
    password.chmod(0o600)
    settings_path = folder / "fleet.json"
    served = served_by_up(installation)
    if served is not None:
        yield
        return
    fleet = demo_fleet(first_port)
    with ExitStack() as stack:
        try:
            stack.enter_context(running(fleet))
        except ConfigurationError as error:
            raise ConfigurationError(
                f"The simulated cameras need 127.0.0.1 ports {first_port} to {first_port + 5}, and something else listens "
                "there; choose others with --port."
            ) from error
        structure = fleet_file(fleet, f"file:{password}")
        _fleet_path(installation).write_text(yaml.safe_dump(structure, sort_keys=False, allow_unicode=True))
        settings_path.write_text(json.dumps({"first_port": first_port}))
        yield


def _load_tills(installation: Installation, window: TimeWindow, first_port: int) -> None:
    """Loads what the stores' tills and rosters say of the window, as `retail-sensors load` does."""
    from retail_sensors.simulator.tills import write_tills
    from retail_sensors.storage.inputs import KINDS, Inputs

    files = {kind: installation.settings.home / "demo" / f"{kind}.csv" for kind in ("transactions", "staff")}
    write_tills(demo_fleet(first_port), window.start, window.end, files["transactions"], files["staff"])
    for kind, path in files.items():
        Inputs(installation.database).load(KINDS[kind], path, datetime.now(UTC))


def demo_fleet(first_port: int) -> SimulatedFleet:
    """The demo's fleet on consecutive loopback ports."""
    from retail_sensors.simulator.fleet import demo_fleet as make_fleet

    return make_fleet(lambda: datetime.now(UTC), first_port=first_port)


def demo_port(installation: Installation) -> int | None:
    """First port of the demo's cameras; None when the demo was never run."""
    path = installation.settings.home / "demo" / "fleet.json"
    return int(json.loads(path.read_text())["first_port"]) if path.is_file() else None


def served_by_up(installation: Installation) -> int | None:
    """First port of the demo's cameras where a running `up` serves them; None where none does."""
    from retail_sensors.cli.up import served_port

    return served_port(installation)


def _fleet_path(installation: Installation) -> Path:
    return installation.settings.home / "demo" / "fleet.yaml"


def _missing(database: Database, names: list[str], window: TimeWindow) -> TimeWindow:
    """The window from its first hour that some camera other than the misbehaving one has no final counts for."""
    from retail_sensors.simulator.fleet import DEMO_MISBEHAVING

    ((first,),) = database.fetch(
        queries("collection")["first_incomplete_hour"],
        {"start": window.start, "end": window.end, "names": [name for name in names if name != DEMO_MISBEHAVING]},
    )
    # The newest hours are always asked for: a second run shows that nothing changes.
    newest = window.end - timedelta(hours=8)
    return TimeWindow(min(first or newest, newest), window.end)


def _print(installation: Installation, days: int) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Column, Table

    rows = installation.database.fetch(
        queries("collection")["days_of_stores"], {"since": datetime.now(UTC).date() - timedelta(days=days + 1)}
    )
    heads = ("store", "day", "visitors", "entries", "exits", "peak", "capture", "complete")
    table = Table(*(Column(head, no_wrap=True) for head in heads), title="Store days", box=SIMPLE, padding=(0, 1, 0, 0))
    for store, day, visitors, entries, exits, peak, capture, completeness in rows:
        table.add_row(
            store,
            f"{day:%a %d %b}",
            *(("" if value is None else f"{value:,.0f}") for value in (visitors, entries, exits)),
            "" if peak is None else f"{peak:%H:%M}",
            "" if capture is None else f"{capture:.1f} %",
            f"{completeness:.0%}",
            style="" if completeness == 1 else "yellow",
        )
    Console().print(table)
