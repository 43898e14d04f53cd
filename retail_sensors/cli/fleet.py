"""The commands of `retail-sensors cameras` for a large fleet: groups, tags, places, the whole fleet as a file, what was changed.

Here belong options and words for the terminal; what they do belongs in `storage.places` and `storage.fleet`, how a fleet is written
down in `fleet_export`. The commands are put together in `cli.cameras`.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from retail_sensors.cli.terminal import WORD_HELP, AsJson, console, listed, migrated_database, print_json
from retail_sensors.errors import ConfigurationError

Words = Annotated[list[str], typer.Argument(metavar="WORD...", help=WORD_HELP, show_default=False)]
AnyWords = Annotated[
    list[str] | None, typer.Argument(metavar="[WORD]...", help=f"{WORD_HELP} None: all.", show_default=False)
]

group = typer.Typer(help="Put cameras into groups.", no_args_is_help=True)
tag = typer.Typer(help="Give cameras tags.", no_args_is_help=True)

# What the options of `locate` are called in a fleet file.
_OPTIONS = {
    "building": "--building",
    "floor": "--floor",
    "zone": "--zone",
    "type": "--type",
    "latitude": "--lat",
    "longitude": "--lon",
    "x_m": "--x",
    "y_m": "--y",
    "area_sqm": "--area",
    "capacity": "--capacity",
    "mounting_height_m": "--height",
}


# Groups -----------------------------------------------------------------------------------------------------------------


@group.command("add")
def add_to_group(
    name: Annotated[str, typer.Argument(metavar="GROUP", help="The group; a new one is made.", show_default=False)],
    words: Words,
    group_type: Annotated[
        str | None, typer.Option("--type", help="zone, building, floor, department, role or other.", show_default=False)
    ] = None,
    description: Annotated[str | None, typer.Option(help="What the group is for.", show_default=False)] = None,
) -> None:
    """Put cameras into a group; those of several organizations into a group of that name in each."""
    from retail_sensors.storage.places import FleetPlaces

    with migrated_database() as (_, database):
        joined = FleetPlaces(database).add_to_group(name, words, group_type=group_type, description=description)
    typer.echo(f"Into group {name}: {listed(joined)}" if joined else f"Already in group {name}.")


@group.command("remove")
def remove_from_group(
    name: Annotated[str, typer.Argument(metavar="GROUP", help="The group.", show_default=False)],
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[WORD]...", help=f"{WORD_HELP} None: the group itself goes.", show_default=False),
    ] = None,
) -> None:
    """Take cameras out of a group, or remove the group."""
    from retail_sensors.storage.places import FleetPlaces

    with migrated_database() as (_, database):
        left = FleetPlaces(database).remove_from_group(name, words or [])
    if not words:
        typer.echo(f"Removed group {name}{' of ' + listed(left) if left else ''}")
    else:
        typer.echo(f"Out of group {name}: {listed(left)}" if left else f"None of them is in group {name}.")


@group.command("list")
def list_groups(as_json: AsJson = False) -> None:
    """Show every group with its cameras."""
    from retail_sensors.storage.places import FleetPlaces

    with migrated_database() as (_, database):
        groups = FleetPlaces(database).groups()
    if as_json:
        print_json([asdict(found) for found in groups])
    elif groups:
        table = Table("Group", "Organization", "Type", "Cameras", "Description")
        for found in groups:
            members = f"{len(found.cameras)}: {listed(found.cameras)}" if found.cameras else "0"
            cells = (found.name, found.organization, found.type or "", members, found.description or "")
            table.add_row(*map(escape, cells))
        console().print(table)
    else:
        typer.echo("There is no group; `retail-sensors cameras group add GROUP WORD...` makes one.")


# Tags -------------------------------------------------------------------------------------------------------------------

Tag = Annotated[str, typer.Argument(metavar="TAG", help="One lower-case word.", show_default=False)]


@tag.command("add")
def add_tag(name: Tag, words: Words) -> None:
    """Give cameras a tag."""
    _set_tag(name, words, is_set=True)


@tag.command("remove")
def remove_tag(name: Tag, words: AnyWords = None) -> None:
    """Take a tag from cameras."""
    _set_tag(name, words or [], is_set=False)


def _set_tag(name: str, words: list[str], *, is_set: bool) -> None:
    from retail_sensors.storage.places import FleetPlaces

    with migrated_database() as (_, database):
        changed = FleetPlaces(database).tag(name, words, is_set=is_set)
    if changed:
        typer.echo(f"{'Tagged' if is_set else 'No longer tagged'} {name}: {listed(changed)}")
    else:
        typer.echo(f"All of them are tagged {name} already." if is_set else f"None of them is tagged {name}.")


# Places -----------------------------------------------------------------------------------------------------------------


def _field(name: str, text: str) -> Any:
    return typer.Option(_OPTIONS[name], help=text, show_default=False)


def locate(
    words: Words,
    building: Annotated[str | None, _field("building", "The building.")] = None,
    floor: Annotated[str | None, _field("floor", "The floor: 0 at the street, -1 below it.")] = None,
    zone: Annotated[str | None, _field("zone", "What people call this part of the floor.")] = None,
    kind: Annotated[
        str | None,
        _field("type", "indoor, outdoor, entrance, exit, corridor, checkout, parking, storage or other."),
    ] = None,
    latitude: Annotated[str | None, _field("latitude", "Degrees, north positive.")] = None,
    longitude: Annotated[str | None, _field("longitude", "Degrees, east positive.")] = None,
    x: Annotated[str | None, _field("x_m", "Metres on the floor plan.")] = None,
    y: Annotated[str | None, _field("y_m", "Metres on the floor plan.")] = None,
    area: Annotated[str | None, _field("area_sqm", "Square metres that it watches.")] = None,
    capacity: Annotated[str | None, _field("capacity", "People allowed in that area.")] = None,
    height: Annotated[str | None, _field("mounting_height_m", "Metres above the floor.")] = None,
    unset: Annotated[
        list[str] | None,
        typer.Option(
            "--unset", metavar="FIELD", help="A field that is not known any more; repeatable.", show_default=False
        ),
    ] = None,
) -> None:
    """Say where cameras hang; the fields that are not named stay as they are."""
    from retail_sensors.storage.places import FleetPlaces
    from retail_sensors.words import did_you_mean

    given = {
        "building": building,
        "floor": floor,
        "zone": zone,
        "type": kind,
        "latitude": latitude,
        "longitude": longitude,
        "x_m": x,
        "y_m": y,
        "area_sqm": area,
        "capacity": capacity,
        "mounting_height_m": height,
    }
    fields = {field: value for field, value in given.items() if value is not None}
    by_option = {option.removeprefix("--"): field for field, option in _OPTIONS.items()}
    for word in unset or ():
        if word not in by_option:
            hint = did_you_mean(word, by_option) or f"; known are {', '.join(by_option)}."
            raise ConfigurationError(f"--unset {word!r}: unknown field{hint}")
        if by_option[word] in fields:
            raise ConfigurationError(f"--{word} and --unset {word} are opposites; use one or the other.")
    if not fields and not unset:
        raise ConfigurationError(f"Say where: {', '.join(_OPTIONS.values())}, or --unset FIELD.")
    with migrated_database() as (_, database):
        changed = FleetPlaces(database).locate(words, fields, [by_option[word] for word in unset or ()], _OPTIONS)
    typer.echo(f"Located: {listed(changed)}" if changed else "They were known to hang there.")


# The whole fleet --------------------------------------------------------------------------------------------------------


def export(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="Where to write it; none: standard output.", show_default=False),
    ] = None,
) -> None:
    """Write the whole fleet as one file that `cameras add` takes again; secrets only as references."""
    from retail_sensors.fleet_export import exported
    from retail_sensors.storage.fleet import FleetRegistry

    with migrated_database() as (_, database):
        stores, groups, cameras = FleetRegistry(database).everything()
    text = exported(stores, groups, cameras)
    if not text:
        raise ConfigurationError(
            "Nothing is registered; `retail-sensors cameras add FILE` registers the cameras of a file."
        )
    if file is None:
        typer.echo(text, nl=False)
        return
    _write_whole(file, text)
    typer.echo(f"Wrote {len(stores)} stores, {len(groups)} groups and {len(cameras)} cameras to {file}")


def _write_whole(file: Path, text: str) -> None:
    """Writes the file at once: a former one stays until the new one is complete."""
    try:
        if file.exists() and not (file.is_file() or file.is_dir()):
            raise ConfigurationError(
                f"{file} is a device or a pipe, which a file would take the place of; name a file, or none for standard output."
            )
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=file.parent, delete=False) as fresh:
            fresh.write(text)
        try:
            Path(fresh.name).chmod(0o644)
            os.replace(fresh.name, file)  # noqa: PTH105 -- replaces a file as one step
        except OSError:
            Path(fresh.name).unlink()
            raise
    except OSError as error:
        raise ConfigurationError(
            f"{file} cannot be written ({error.strerror}); check the path and its rights."
        ) from None


def remove(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Whole names of cameras.", show_default=False)],
    with_data: Annotated[
        bool, typer.Option("--with-data", help="Also where something is stored of them; all of it is lost.")
    ] = False,
) -> None:
    """Remove cameras from the registry; one with data is refused, `disable` keeps what it counted."""
    from retail_sensors.storage.fleet import FleetRegistry

    with migrated_database() as (_, database):
        gone = FleetRegistry(database).remove(names, now=datetime.now(UTC), with_data=with_data)
    typer.echo(f"Removed: {listed(gone)}")


def history(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="A camera, store, group or organization; none: everything.", show_default=False
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Newest changes to show.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show what was changed of the fleet, by whom and with which command, newest first."""
    from retail_sensors.storage.places import FleetPlaces

    with migrated_database() as (_, database):
        changes = FleetPlaces(database).history(name, limit)
    if as_json:
        print_json([asdict(change) for change in changes])
        return
    if not changes:
        typer.echo("No change is recorded." if name is None else f"No change of {name} is recorded.")
        return
    table = Table("When (UTC)", "What", "Name", "Change", "From", "To", "By", "Command")
    for change in changes:
        cells = (
            f"{change.changed_at:%Y-%m-%d %H:%M:%S}",
            change.kind,
            change.name,
            change.field or change.change,
            _value(change.old_value),
            _value(change.new_value),
            change.changed_by,
            change.command,
        )
        table.add_row(*map(escape, cells))
    console().print(table)


def _value(value: object) -> str:
    """A value as people read it: text as it is, what was not said as a dash."""
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
