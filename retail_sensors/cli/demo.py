"""`retail-sensors demo`: simulated cameras over real sockets, collected through Dagster into Postgres.

Idempotent: the same cameras on the same ports, and only the hours that are not in yet are asked for again. Before anything else is
collected, an outage is played at instants of yesterday, with the jobs, the rules and the repair of every day; what is told of it is
read from the tables, so that a second run tells the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

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
DARK = "lisbon-main-door"
"""The camera that does not answer for three hours of yesterday."""
DARK_HOURS = 3
_DARK_FROM = time(12)
"""On its store's clock, which is whole hours from UTC."""
_HOUR = timedelta(hours=1)
_MINUTE = timedelta(minutes=1)


class _Clock:
    """The instant at which the simulated cameras are: now, or where the outage is played the one that was set."""

    def __init__(self) -> None:
        self.set_to: datetime | None = None

    def now(self) -> datetime:
        return self.set_to or datetime.now(UTC)


def demo(
    days: Annotated[int, typer.Option(min=1, max=90, help="Days of history to collect.")] = 14,
    port: Annotated[int, typer.Option(min=1024, max=65000, help="First of six loopback ports.")] = FIRST_PORT,
) -> None:
    """Start a simulated fleet, play an outage, collect two weeks through Dagster and show the stores' days."""
    from retail_sensors.fleet_file import read_fleet_file
    from retail_sensors.simulator.fleet import DEMO_MISBEHAVING
    from retail_sensors.storage.fleet import FleetRegistry

    installation = Installation()
    # A fleet that `up` already serves on these ports is used as it is.
    with simulated_fleet(installation, port) as played:
        fleet = read_fleet_file(_fleet_path(installation))
        FleetRegistry(installation.database).add(fleet)
        names = [camera.name for camera in fleet.cameras]
        if played is not None and _is_new(installation.database, names):
            typer.echo("Playing an outage of yesterday, hour by hour ...", err=True)
            _Outage(installation, *played).play()
        now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        whole = TimeWindow(now - timedelta(days=days), now)
        window = _missing(installation.database, names, whole)
        _load_tills(installation, whole, port)
        report = run_with_progress(installation, window, names, with_outlook=True)
    _print(installation.database, whole.start, {store.name: ZoneInfo(store.timezone) for store in fleet.stores})
    _tell_outage(installation.database)
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
        "\nTo look into the tables: .venv/bin/retail-sensors db psql   (for example: SELECT * FROM retail.store_daily LIMIT 1 \\gx)"
        "\nTo stop everything: .venv/bin/retail-sensors down"
    )
    raise typer.Exit(0 if is_whole else 1)


@contextmanager
def simulated_fleet(installation: Installation, first_port: int) -> Iterator[tuple[SimulatedFleet, _Clock] | None]:
    """The demo's six cameras, listening until the block ends, with their clock; remembered, so that `up` serves them too. None: a
    running `up` serves them."""
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
        yield None
        return
    clock = _Clock()
    fleet = demo_fleet(first_port, clock)
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
        yield fleet, clock


def _load_tills(installation: Installation, window: TimeWindow, first_port: int) -> None:
    """Loads what the stores' tills and rosters say of the window, as `retail-sensors load` does."""
    from retail_sensors.simulator.tills import write_tills
    from retail_sensors.storage.inputs import KINDS, Inputs

    files = {kind: installation.settings.home / "demo" / f"{kind}.csv" for kind in ("transactions", "staff")}
    write_tills(demo_fleet(first_port), window.start, window.end, files["transactions"], files["staff"])
    for kind, path in files.items():
        Inputs(installation.database).load(KINDS[kind], path, datetime.now(UTC))


def demo_fleet(first_port: int, clock: _Clock | None = None) -> SimulatedFleet:
    """The demo's fleet on consecutive loopback ports."""
    from retail_sensors.simulator.fleet import demo_fleet as make_fleet

    return make_fleet((clock or _Clock()).now, first_port=first_port)


def _is_new(database: Database, names: list[str]) -> bool:
    """Whether no camera was ever asked, and none is registered but the demo's: an outage is not played into anybody's figures."""
    ((is_new,),) = database.fetch(queries("demo")["is_new"], {"names": names})
    return bool(is_new)


class _Outage:
    """Three hours of yesterday in which one camera of a store does not answer; the jobs and the sensor are those of every day."""

    def __init__(self, installation: Installation, fleet: SimulatedFleet, clock: _Clock) -> None:
        from retail_sensors.definitions import build_defs
        from retail_sensors.resources.clock import ClockResource

        class AtTheInstant(ClockResource):
            """The clock of the simulated cameras."""

            def now(self) -> datetime:
                return clock.now()

        self._fleet, self._clock = fleet, clock
        self._instance = installation.dagster_instance()
        self._defs = build_defs(clock=AtTheInstant())
        camera = fleet.cameras[DARK]
        self._store = camera.store
        yesterday = datetime.now(camera.zone).date() - timedelta(days=1)
        self._start = datetime.combine(yesterday, _DARK_FROM, camera.zone).astimezone(UTC)

    def play(self) -> None:
        """The runs of these hours, in their order; afterwards it is now again."""
        from retail_sensors.simulator.switches import Fault, FaultKind

        ends = DARK_HOURS * _HOUR
        try:
            self._collect(5 * _MINUTE, -_HOUR, -_HOUR)
            self._fleet.set_faults(DARK, [Fault(FaultKind.REFUSED)])
            # Every five minutes, as the schedules do it: the second question in vain is ten minutes after the last answer.
            for minute in (10, 15):
                self._collect(minute * _MINUTE, -_HOUR, 0 * _HOUR)
                self._watch((minute + 2) * _MINUTE)
            self._collect(ends + 5 * _MINUTE, 0 * _HOUR, ends - _HOUR)
            self._fleet.set_faults(DARK, [])
            self._collect(ends + 10 * _MINUTE, ends, ends)
            self._watch(ends + 12 * _MINUTE)
            self._repair(ends + 20 * _MINUTE)
        finally:
            self._clock.set_to = None

    def _collect(self, at: timedelta, first: timedelta, last: timedelta) -> None:
        """Asks the store's cameras for the hours from `first` to `last`, all counted from the beginning."""
        from retail_sensors.partitions import hour_key, range_tags
        from retail_sensors.tables import HEATMAP_TEMPORAL_RAW, PEOPLE_COUNTING_RAW, REGIONAL_COUNTING_RAW

        self._clock.set_to = self._start + at
        raw = [table.name for table in (PEOPLE_COUNTING_RAW, REGIONAL_COUNTING_RAW, HEATMAP_TEMPORAL_RAW)]
        self._run(
            "collect_hours",
            range_tags(hour_key(self._start + first), hour_key(self._start + last)),
            {name: {"config": {"cameras": [f"store:{self._store}"]}} for name in raw},
            raw,
        )

    def _watch(self, at: timedelta) -> None:
        """Evaluates the rules of the alerts."""
        self._clock.set_to = self._start + at
        self._run("alerts", {}, {}, ["alerts_generated"])

    def _repair(self, at: timedelta) -> None:
        """Evaluates the sensor that looks for gaps, and has its runs."""
        import dagster as dg

        from retail_sensors.sensors.repair import gap_repair

        self._clock.set_to = self._start + at
        wanted = {key: (self._defs.resources or {})[key] for key in gap_repair.required_resource_keys}
        with dg.build_sensor_context(
            instance=self._instance,
            repository_def=self._defs.get_repository_def(),
            resources=wanted,
            sensor_name=gap_repair.name,
        ) as context:
            asked = gap_repair.evaluate_tick(context).run_requests or ()
        for request in asked:
            assets = [key.to_user_string() for key in request.asset_selection or ()]
            self._run(request.job_name or "", request.tags, request.run_config.get("ops", {}), assets)

    def _run(self, job: str, tags: Mapping[str, str], ops: dict[str, Any], assets: Sequence[str]) -> None:
        import dagster as dg

        from retail_sensors.backfill import OF_THE_LOCATION

        self._defs.resolve_job_def(job).execute_in_process(
            instance=self._instance,
            tags={**OF_THE_LOCATION, **tags},
            run_config={"ops": ops, "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            asset_selection=[dg.AssetKey(name) for name in assets],
            raise_on_error=False,
        )


def _tell_outage(database: Database) -> None:
    """What the tables say of the outage; nothing where none was played."""
    found = database.fetch(queries("demo")["outage"], {"camera": DARK, "hours": DARK_HOURS})
    for zone, since, severity, title, raised, resolved, note, repaired, hours, first, entries in found:
        local = ZoneInfo(zone)
        lines = [
            (since, f"{DARK} answers for the last time"),
            (raised, f"alert raised, {severity}: {title}"),
            (resolved, f"alert resolved: {note}"),
        ]
        if hours:
            span = f"{first.astimezone(local):%H:%M} to {(first + hours * _HOUR).astimezone(local):%H:%M}"
            lines.append(
                (repaired, f"sensor gap_repair has it asked for {span}: {hours} hours, {entries} entries, come in")
            )
        typer.echo(f"An outage on {since.astimezone(local):%a %d %b}, played at simulated instants (times of {zone}):")
        for at, told in lines:
            typer.echo(f"  {at.astimezone(local):%H:%M}  {told}")
        typer.echo("The alert: .venv/bin/retail-sensors alerts --all   In the UI: docs/ui.md\n")


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

    asked = [name for name in names if name != DEMO_MISBEHAVING]
    ((first,),) = database.fetch(
        queries("collection")["first_incomplete_hour"],
        {"start": window.start, "end": window.end, "now": window.end, "names": asked},
    )
    # The newest hours are always asked for: a second run shows that nothing changes.
    newest = window.end - timedelta(hours=8)
    return TimeWindow(min(first or newest, newest), window.end)


def _print(database: Database, start: datetime, zones: Mapping[str, ZoneInfo]) -> None:
    """The stores' days on the terminal, without those that began before `start`, of which only a part was asked for; where there are
    no others, those."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Column, Table

    days = database.fetch(queries("collection")["days_of_stores"], {"since": start.date() - timedelta(days=1)})
    whole = [row for row in days if datetime.combine(row[1], time(), zones.get(row[0], UTC)) >= start]
    heads = ("store", "day", "visitors", "entries", "exits", "peak", "capture", "complete")
    table = Table(*(Column(head, no_wrap=True) for head in heads), title="Store days", box=SIMPLE, padding=(0, 1, 0, 0))
    for store, day, visitors, entries, exits, peak, capture, completeness in whole or days:
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
