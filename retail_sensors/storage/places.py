"""Groups, tags and places of registered cameras, changed by hand; and the record of what was changed.

Here belongs what the command line changes of cameras that are registered. What a fleet file changes belongs in `storage.fleet`; which
cameras some words mean in `analytics.selection`. Each change is recorded in its own transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from psycopg2.extensions import connection as PgConnection
from psycopg2.extras import RealDictCursor

from retail_sensors.analytics.selection import chosen_of
from retail_sensors.errors import ConfigurationError
from retail_sensors.fleet_fields import tag_of
from retail_sensors.fleet_file import checked
from retail_sensors.fleet_places import PLACE_COLUMNS, GroupEntry, LocationEntry, otherwise_written
from retail_sensors.storage.database import Database
from retail_sensors.storage.fleet import members
from retail_sensors.storage.fleet_changes import Change, RecordedChange, as_json, differences, history, record
from retail_sensors.storage.sqlfiles import queries
from retail_sensors.words import did_you_mean

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Group:
    """One group with the names of its cameras."""

    organization: str
    name: str
    type: str | None
    description: str | None
    cameras: tuple[str, ...]


class FleetPlaces:
    """Groups, tags and places of one installation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def groups(self) -> list[Group]:
        """Every group, by organization and name."""
        with self._database.transaction() as connection:
            return [
                Group(
                    row["organization_name"],
                    row["group_name"],
                    row["group_type"],
                    row["description"],
                    tuple(row["cameras"]),
                )
                for row in _rows(connection, "registered_groups")
            ]

    def add_to_group(
        self, name: str, words: Sequence[str], *, group_type: str | None = None, description: str | None = None
    ) -> list[str]:
        """Puts the cameras that the words mean into the group, which is made where it is new; names of those that were not in it.

        A group is of one organization: cameras of several come into a group of that name in each. `group_type` and `description`
        None: as they are. Raises ConfigurationError for a word that means no camera, a name that is written otherwise, and a
        type that is not known.
        """
        entry = checked(
            GroupEntry,
            {"name": name, "type": group_type, "description": description},
            {"name": "GROUP", "type": "--type", "description": "--description"},
        )
        with self._changing() as connection:
            joined = _chosen(connection, words)
            present = {
                (row["organization_name"], row["group_name"]): row for row in _rows(connection, "registered_groups")
            }
            changes: list[Change] = []
            added: list[Row] = []
            changed: list[Row] = []
            for organization in dict.fromkeys(row["organization_name"] for row in joined):
                known = (group for of, group in present if of == organization)
                if other := otherwise_written(entry.name, known):
                    raise ConfigurationError(f"Group {entry.name!r} is registered as {other!r}; write it so.")
                group = present.get((organization, entry.name))
                was = None if group is None else {key: group[key] for key in ("group_type", "description")}
                wanted = {
                    "group_type": entry.type or (was or {}).get("group_type"),
                    "description": entry.description or (was or {}).get("description"),
                }
                changes += differences("group", organization, entry.name, was, wanted)
                if group is None:
                    added.append({**wanted, "organization_name": organization, "group_name": entry.name})
                elif was != wanted:
                    changed.append({**wanted, "id": group["id"]})
            _write(connection, "add_groups", added)
            _write(connection, "change_groups", changed)
            joining = [row for row in joined if entry.name not in row["groups"]]
            wanted_groups = {row["sensor_name"]: sorted({*row["groups"], entry.name}) for row in joining}
            changes += _assign(connection, joining, wanted_groups)
            record(connection, changes, f"cameras group add {entry.name}")
        return [row["sensor_name"] for row in joining]

    def remove_from_group(self, name: str, words: Sequence[str]) -> list[str]:
        """Takes the cameras that the words mean out of the group, or, where no word is given, removes the group itself.

        Names of the cameras that were in it. Raises ConfigurationError for an unknown group and a word that means no camera.
        """
        with self._changing() as connection:
            groups = _rows(connection, "registered_groups")
            named = [row for row in groups if row["group_name"] == name]
            if not named:
                near = did_you_mean(name, (row["group_name"] for row in groups))
                raise ConfigurationError(f"No group is registered as {name!r}{near.replace(';', ',') or '.'}")
            leaving = [row for row in _chosen(connection, words) if name in row["groups"]]
            wanted = {row["sensor_name"]: [group for group in row["groups"] if group != name] for row in leaving}
            changes = _assign(connection, leaving, wanted)
            if not words:
                _execute(connection, "remove_groups", {"ids": [row["id"] for row in named]})
                changes += [
                    Change(
                        "group",
                        row["organization_name"],
                        name,
                        None,
                        {"group_type": row["group_type"], "description": row["description"]},
                    )
                    for row in named
                ]
            record(connection, changes, f"cameras group remove {name}")
        return [row["sensor_name"] for row in leaving]

    def tag(self, tag: str, words: Sequence[str], *, is_set: bool) -> list[str]:
        """Gives the tag to the cameras that the words mean, or takes it from them; names of those that changed.

        Raises ConfigurationError for what is no tag, for a tag to take that no camera carries, and a word that means no camera.
        """
        try:
            tag_of(tag)
        except ValueError as error:
            raise ConfigurationError(f"{error}.") from None
        with self._changing() as connection:
            carried = {known for row in members(connection) for known in row["tags"]}
            if not is_set and tag not in carried:
                near = did_you_mean(tag, sorted(carried)).replace(";", ",")
                raise ConfigurationError(f"No camera carries the tag {tag!r}{near or '.'}")
            changing = [row for row in _chosen(connection, words) if (tag in row["tags"]) != is_set]
            rows = [
                {"id": row["id"], "tags": sorted({*row["tags"], tag} if is_set else {*row["tags"]} - {tag})}
                for row in changing
            ]
            _write(connection, "set_tags", rows)
            record(
                connection,
                [
                    Change("camera", row["organization_name"], row["sensor_name"], "tags", row["tags"], wanted["tags"])
                    for row, wanted in zip(changing, rows, strict=True)
                ],
                f"cameras tag {'add' if is_set else 'remove'} {tag}",
            )
        return [row["sensor_name"] for row in changing]

    def locate(
        self, words: Sequence[str], fields: Mapping[str, str], unset: Sequence[str], options: Mapping[str, str]
    ) -> list[str]:
        """Says where the cameras hang: `fields` by their names in the fleet file, `unset` those that are not known any more.

        The other fields stay; names of the cameras that changed. `options`: what the caller calls the fields. Raises
        ConfigurationError for a value that cannot be meant and a word that means no camera.
        """
        with self._changing() as connection:
            changes: list[Change] = []
            located: list[Row] = []
            gone: list[str] = []
            for row in _chosen(connection, words):
                present = row["place"]
                merged = {field: (present or {}).get(column) for field, column in PLACE_COLUMNS.items()}
                place = checked(LocationEntry, {**merged, **fields, **dict.fromkeys(unset)}, options).place
                if place is None and present is not None:
                    gone.append(row["id"])
                elif place is not None:
                    located.append({"sensor_id": row["id"], **place})
                changes += differences("location", row["organization_name"], row["sensor_name"], present, place)
            _write(connection, "set_locations", located)
            _execute(connection, "remove_locations", {"ids": gone})
            record(connection, changes, "cameras locate")
        return list(dict.fromkeys(change.name for change in changes))

    def history(self, name: str | None = None, limit: int = 50) -> Sequence[RecordedChange]:
        """The newest changes of the fleet, newest first; `name`: of this camera, store, group or organization only."""
        with self._database.transaction() as connection:
            return history(connection, name, limit)

    @contextmanager
    def _changing(self) -> Iterator[PgConnection]:
        """One transaction; a registration that goes on is waited for."""
        with self._database.transaction() as connection:
            _execute(connection, "lock_registry", {}, "fleet")
            yield connection


def _assign(connection: PgConnection, rows: Sequence[Row], wanted: Mapping[str, list[str]]) -> list[Change]:
    """Puts the cameras into exactly these groups, which exist; the changes to record."""
    assigned = [
        {"id": row["id"], "organization_name": row["organization_name"], "groups": wanted[row["sensor_name"]]}
        for row in rows
    ]
    _write(connection, "remove_assignments", assigned)
    _write(connection, "add_assignments", assigned)
    return [
        Change(
            "camera", row["organization_name"], row["sensor_name"], "groups", row["groups"], wanted[row["sensor_name"]]
        )
        for row in rows
    ]


def _chosen(connection: PgConnection, words: Sequence[str]) -> list[Row]:
    """The cameras that the words mean, with their places; no word: all of them."""
    rows = members(connection)
    names = set(chosen_of(rows, words))
    return [row for row in rows if row["sensor_name"] in names]


def _rows(connection: PgConnection, query: str) -> list[Row]:
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(queries("places")[query])
        return [dict(row) for row in cursor.fetchall()]


def _write(connection: PgConnection, query: str, rows: Sequence[Row]) -> None:
    if rows:
        _execute(connection, query, {"rows": as_json(rows)})


def _execute(connection: PgConnection, query: str, parameters: Mapping[str, Any], file: str = "places") -> None:
    with connection.cursor() as cursor:
        cursor.execute(queries(file)[query], parameters)
