"""The registry of stores and cameras in Postgres: registered from fleet files, read by the collector and the figures.

Here belongs reading and writing what is registered. What a file means on top of it belongs in `storage.fleet_plan`, groups, tags and
places by the command line in `storage.places`; asking a camera belongs in `connectors`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd
from psycopg2 import sql
from psycopg2.extensions import connection as PgConnection
from psycopg2.extras import Json, RealDictCursor

from retail_sensors.analytics.roster import Roster
from retail_sensors.analytics.selection import COLUMNS, NOT, chosen_of
from retail_sensors.connectors.base import Camera, Credentials, Endpoint
from retail_sensors.errors import ConfigurationError
from retail_sensors.fleet_file import FleetFile
from retail_sensors.marked_yaml import Fault, refusal
from retail_sensors.secrets import Secrets
from retail_sensors.storage import fleet_plan
from retail_sensors.storage.alerts import tell_removed
from retail_sensors.storage.database import Database
from retail_sensors.storage.fleet_changes import Change, as_json, differences, record
from retail_sensors.storage.fleet_plan import Key, PlannedCamera, Row
from retail_sensors.storage.frames import qualified, read_frame
from retail_sensors.storage.merge import lock_writers
from retail_sensors.storage.sqlfiles import queries
from retail_sensors.tables import COLLECTION_LOG, COUNTING_LINES, REGION_CONFIGURATIONS, SENSOR_METADATA, STORES, TABLES
from retail_sensors.tables.queues import STORE_SERVICE
from retail_sensors.words import did_you_mean

_FILE_FIELDS = {
    "store_id": "store",
    "sensor_ip": "host",
    "sensor_port": "port",
    "password_reference": "password",
    "is_active": "enabled",
    "place": "location",
}
"""Columns of a camera that a fleet file calls by another name."""
_REMOVED = "it was removed from the registry"
_DISABLED = "it is disabled; `retail-sensors cameras enable` enables it"
_OF_THE_REGISTRY = {
    "counting_lines",
    "region_configurations",
    "region_adjacency",
    "camera_locations",
    "camera_group_assignments",
    "camera_health",
    "user_sensor_access",
}
"""Tables with cameras in them that hold nothing that a camera said."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What one file did to stores, or to cameras: names, and for the changed ones the fields that differ."""

    added: tuple[str, ...]
    changed: Mapping[str, tuple[str, ...]]
    unchanged: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FleetChanges:
    """What registering one file changed; of groups those that the file adds or describes."""

    stores: Changes
    groups: Changes
    cameras: Changes


@dataclass(frozen=True, slots=True)
class RegisteredCamera:
    """One camera as it is registered. `lines` maps a line to its role, with `, inverted` where it is."""

    name: str
    store: str
    vendor: str
    host: str
    port: int
    timezone: str
    location: str | None
    place: Mapping[str, Any] | None
    groups: tuple[str, ...]
    tags: tuple[str, ...]
    endpoints: tuple[str, ...]
    lines: Mapping[int, str]
    is_active: bool
    capabilities: Mapping[str, Any] | None
    last_seen_at: datetime | None
    clock_offset_seconds: float | None


@dataclass(frozen=True, slots=True)
class ToAsk:
    """The cameras that a run asks, and by name why others that its words mean are left out."""

    cameras: list[Camera]
    left_out: Mapping[str, str]


class FleetRegistry:
    """The stores and cameras of one installation."""

    def __init__(self, database: Database, secrets: Secrets | None = None) -> None:
        self._database = database
        self._secrets = secrets
        self._queries = queries("fleet")

    # Reading --------------------------------------------------------------------------------------------------------

    def cameras(self, words: Sequence[str] | None = None, *, include_inactive: bool = False) -> list[Camera]:
        """The cameras to ask, by name, with their credentials; `words` as `analytics.selection` reads them, None: all of them.

        A credential that cannot be read is the camera's `credentials_error`. Disabled cameras are left out unless
        `include_inactive`. Raises ConfigurationError for a word that means no camera, for a disabled camera that a word names by
        its whole name, and where the words mean disabled ones only.
        """
        with self._database.transaction() as connection:
            rows = self._registered_cameras(connection)
        if words is not None:
            rows = _chosen(rows, words)
            disabled = [row["sensor_name"] for row in rows if not row["is_active"]]
            refused = disabled if len(disabled) == len(rows) else [name for name in disabled if name in words]
            if refused and not include_inactive:
                listed = ", ".join(refused)
                raise ConfigurationError(
                    f"Disabled, and so not asked: {listed}; `retail-sensors cameras enable` enables a camera."
                )
        secrets = self._secrets or Secrets()
        return [_connector_camera(row, secrets) for row in rows if include_inactive or row["is_active"]]

    def to_ask(self, words: Sequence[str]) -> ToAsk:
        """The cameras to ask of a run that was asked for a while ago; no word: all that are not disabled.

        What has been disabled or removed since then is left out: a camera that a word names by its whole name, or all that the
        words mean. Raises ConfigurationError for a word that means no camera and is no removed one's name either.
        """
        with self._database.transaction() as connection:
            rows = self._registered_cameras(connection)
            known = {row["sensor_name"] for row in rows}
            names = {word.removeprefix(NOT) for word in words} - known
            gone = self._rows(connection, "removed_cameras", {"names": sorted(names)}) if names else []
        left_out = {row["name"]: _REMOVED for row in gone}
        wanted = [word for word in words if word.removeprefix(NOT) not in left_out]
        # Without any word, or with `not:` alone, all cameras would be meant.
        if any(not word.startswith(NOT) for word in words) and all(word.startswith(NOT) for word in wanted):
            return ToAsk([], left_out)
        rows = _chosen(rows, wanted)
        disabled = [row["sensor_name"] for row in rows if not row["is_active"]]
        if words:
            told = disabled if len(disabled) == len(rows) else [name for name in disabled if name in words]
            left_out |= dict.fromkeys(told, _DISABLED)
        secrets = self._secrets or Secrets()
        return ToAsk([_connector_camera(row, secrets) for row in rows if row["is_active"]], left_out)

    def roster(self) -> Roster:
        """Stores, cameras, lines and regions as the figures need them; disabled cameras included."""
        with self._database.transaction() as connection:
            return _roster(connection)

    def listing(self, words: Sequence[str] = ()) -> list[RegisteredCamera]:
        """The registered cameras that the words mean, by name, disabled ones included; no word: every one."""
        with self._database.transaction() as connection:
            rows = _chosen(self._registered_cameras(connection), words)
        return [
            RegisteredCamera(
                name=row["sensor_name"],
                store=row["store_name"],
                vendor=row["vendor"],
                host=row["sensor_ip"],
                port=row["sensor_port"],
                timezone=row["timezone"],
                location=row["location"],
                place=row["place"],
                groups=tuple(row["groups"]),
                tags=tuple(row["tags"]),
                endpoints=tuple(row["endpoints"]),
                lines={
                    int(number): line["role"] + (", inverted" if line["is_inverted"] else "")
                    for number, line in sorted(row["lines"].items())
                },
                is_active=row["is_active"],
                capabilities=row["capabilities"],
                last_seen_at=row["last_seen_at"],
                clock_offset_seconds=row["clock_offset_seconds"],
            )
            for row in rows
        ]

    def everything(self) -> tuple[list[Row], list[Row], list[Row]]:
        """Stores, groups and cameras as `fleet_export` writes them down, all of one instant."""
        with self._database.transaction() as connection:
            self._execute(connection, "lock_registry", {})
            return (
                self._rows(connection, "registered_stores", {}),
                self._rows(connection, "registered_groups", {}, "places"),
                self._registered_cameras(connection),
            )

    # Writing --------------------------------------------------------------------------------------------------------

    def set_active(self, words: Sequence[str], is_active: bool) -> list[str]:
        """Enables or disables the cameras that the words mean, all or none; returns the names of those that were not so before.

        What is stored of a disabled camera stays, and still counts. Raises ConfigurationError for a word that means no camera.
        """
        with self._database.transaction() as connection:
            self._execute(connection, "lock_registry", {})
            rows = _chosen(self._registered_cameras(connection), words)
            changing = [row for row in rows if row["is_active"] != is_active]
            self._rows(connection, "set_active", {"ids": [row["id"] for row in changing], "is_active": is_active})
            record(
                connection,
                [
                    Change("camera", row["organization_name"], row["sensor_name"], "enabled", not is_active, is_active)
                    for row in changing
                ],
                f"cameras {'enable' if is_active else 'disable'}",
            )
        return sorted(row["sensor_name"] for row in changing)

    def remove(self, names: Sequence[str], *, now: datetime, with_data: bool = False) -> list[str]:
        """Removes cameras from the registry, all or none, with all that was stored of them; the names of those that are gone.

        Names are whole names: what cannot be undone is not chosen by a pattern. Their stores stay. Who was told of an alert of
        theirs that is open is told in the same transaction that it ends, at `now`. Raises ConfigurationError for an unknown name,
        and for a camera of which something is stored unless `with_data`.
        """
        with self._database.transaction() as connection:
            self._execute(connection, "lock_registry", {})
            # A collection that is being stored is waited for: it may bring what must not be lost.
            lock_writers(connection, COLLECTION_LOG)
            registered = self._registered_cameras(connection)
            known = {row["sensor_name"] for row in registered}
            if unknown := [name for name in names if name not in known]:
                listed = "; nor as ".join(f"{name!r}{did_you_mean(name, known).replace(';', ',')}" for name in unknown)
                raise ConfigurationError(
                    f"No camera is registered as {listed}; cameras are removed by their whole names."
                )
            rows = [row for row in registered if row["sensor_name"] in names]
            holding = [row["sensor_name"] for row in rows if not with_data and self._has_data(connection, row["id"])]
            if holding:
                raise ConfigurationError(
                    f"Something is stored of {', '.join(holding)}, and would be lost; `retail-sensors cameras disable` stops "
                    "asking and keeps it, --with-data removes the camera and all that was stored of it."
                )
            ids = [row["id"] for row in rows]
            tell_removed(connection, ids, _roster(connection), now)
            self._execute(connection, "remove_cameras", {"ids": ids})
            record(
                connection,
                [
                    Change("camera", row["organization_name"], row["sensor_name"], None, _told(row, row["store_name"]))
                    for row in rows
                ],
                f"cameras remove{' --with-data' if with_data else ''}",
            )
        return [row["sensor_name"] for row in rows]

    def record_capabilities(self, name: str, capabilities: Mapping[str, Any]) -> None:
        """Stores what a probe found; ConfigurationError for an unknown name."""
        with self._database.transaction() as connection:
            parameters = {"name": name, "capabilities": Json(dict(capabilities))}
            if not self._rows(connection, "record_capabilities", parameters):
                _chosen(self._registered_cameras(connection), [name])

    def add(self, fleet: FleetFile) -> FleetChanges:
        """Registers a file's stores and cameras, all or none; the same file again changes nothing.

        A camera is known by its name, so a new address or store is a change to it. A camera or store that the file does
        not name stays as it is. Where the file names no store, a camera stays in its store, and a new one gets a store of
        its own name and zone. Raises ConfigurationError, with line and field, for a store that nobody knows, and for
        a name or an address that belongs to another camera.
        """
        with self._database.transaction() as connection:
            self._execute(connection, "lock_registry", {})
            stores = {
                (row["organization_name"], row["store_name"]): row
                for row in self._rows(connection, "registered_stores", {})
            }
            groups = {
                (row["organization_name"], row["group_name"]): row
                for row in self._rows(connection, "registered_groups", {}, "places")
            }
            registered = {row["sensor_name"]: row for row in self._registered_cameras(connection)}
            faults: list[Fault] = []
            cameras = fleet_plan.placed(fleet, stores, registered, faults)
            faults += fleet_plan.conflicts(fleet, cameras, stores, registered)
            faults += fleet_plan.ways_to_nowhere(fleet, cameras, stores, registered)
            faults += fleet_plan.groups_otherwise_written(fleet, cameras, groups)
            if faults:
                raise refusal(fleet.text.source, faults)
            written: list[Change] = []
            wanted = fleet_plan.wanted_stores(fleet, cameras, stores, registered)
            wanted_groups = fleet_plan.wanted_groups(fleet, cameras, groups)
            organizations = sorted({organization for organization, _ in (*wanted, *wanted_groups)})
            for row in self._rows(connection, "add_organizations", {"names": organizations}):
                name = row["organization_name"]
                written.append(Change("organization", name, name, None, None, {"name": name}))
            store_changes, ids, zones = self._write_stores(connection, wanted, stores, written)
            group_changes = self._write_groups(connection, wanted_groups, groups, written)
            camera_changes = self._write_cameras(connection, cameras, ids, zones, written)
            record(connection, written, f"cameras add {fleet.text.source}")
            return FleetChanges(store_changes, group_changes, camera_changes)

    def _write_stores(
        self,
        connection: PgConnection,
        wanted: Mapping[Key, Row],
        stores: Mapping[Key, Row],
        written: list[Change],
    ) -> tuple[Changes, dict[Key, str], dict[Key, str]]:
        changes = _Sorted()
        ids = {key: row["id"] for key, row in stores.items()}
        zones = {key: row["timezone"] for key, row in stores.items()} | {
            key: row["timezone"] for key, row in wanted.items()
        }
        for key, row in wanted.items():
            written += changes.sort("store", key, stores.get(key), row)
        for row in self._write(
            connection,
            "add_stores",
            [{**wanted[key], "organization_name": key[0], "store_name": key[1]} for key in changes.added],
        ):
            ids[row["organization_name"], row["store_name"]] = row["id"]
        self._write(connection, "change_stores", [{**wanted[key], "id": ids[key]} for key in changes.changed])
        touched = [*changes.added, *changes.changed]
        without = [ids[key] for key in touched if wanted[key]["checkout"] is None]
        self._execute(connection, "remove_checkouts", {"ids": without})
        tills = [{"store_id": ids[key], **wanted[key]["checkout"]} for key in touched if wanted[key]["checkout"]]
        self._write(connection, "set_checkouts", tills)
        return changes.as_changes(), ids, zones

    def _write_groups(
        self, connection: PgConnection, wanted: Mapping[Key, Row], groups: Mapping[Key, Row], written: list[Change]
    ) -> Changes:
        changes = _Sorted()
        for key, row in wanted.items():
            written += changes.sort("group", key, groups.get(key), row)
        rows = [{**wanted[key], "organization_name": key[0], "group_name": key[1]} for key in changes.added]
        self._write(connection, "add_groups", rows, "places")
        changed = [{**wanted[key], "id": groups[key]["id"]} for key in changes.changed]
        self._write(connection, "change_groups", changed, "places")
        return changes.as_changes()

    def _write_cameras(
        self,
        connection: PgConnection,
        cameras: Sequence[PlannedCamera],
        store_ids: Mapping[Key, str],
        zones: Mapping[Key, str],
        written: list[Change],
    ) -> Changes:
        """Set by set, so that a thousand cameras take as many statements as one."""
        added: list[Row] = []
        changed: dict[str, tuple[str, ...]] = {}
        unchanged: list[str] = []
        moving: list[str] = []
        parts: dict[str, list[Row]] = {
            part: [] for part in ("cameras", "lines", "regions", "adjacent", "groups", "place")
        }
        for camera in cameras:
            name, present = camera.entry.name, camera.present
            row = fleet_plan.camera_row(camera, store_ids[camera.store], zones[camera.store])
            row["organization_name"] = camera.store[0]
            if present is None:
                added.append(row)
                written.append(Change("camera", camera.store[0], name, None, None, _told(row, camera.store[1])))
                continue
            row["id"] = present["id"]
            fields = fleet_plan.differing(
                present, {key: value for key, value in row.items() if key != "organization_name"}
            )
            moves = present["organization_name"] != camera.store[0]
            if not fields:
                unchanged.append(name)
                continue
            changed[name] = tuple(dict.fromkeys(_FILE_FIELDS.get(field, field) for field in fields))
            written += _camera_changes(camera, present, row, fields)
            if fleet_plan.address_of(present) != (row["sensor_ip"], row["sensor_port"]):
                moving.append(row["id"])
            parts["cameras"].append(row)
            for part in ("lines", "regions", "adjacent", "groups", "place"):
                if part in fields or (part == "groups" and moves):
                    parts[part].append(row)
        self._execute(connection, "vacate_addresses", {"ids": moving})
        ids = {made["sensor_name"]: made["id"] for made in self._write(connection, "add_cameras", added)}
        self._write(connection, "change_cameras", parts["cameras"])
        for row in added:
            row["id"] = ids[row["sensor_name"]]
        for part in ("lines", "regions", "adjacent"):
            # Ways may lead to cameras further down in the file, so they come when all cameras are there.
            self._execute(connection, f"remove_{part}", {"ids": [row["id"] for row in parts[part]]})
            self._write(connection, f"add_{part}", [*parts[part], *added])
        self._write(connection, "remove_assignments", parts["groups"], "places")
        self._write(connection, "add_assignments", [*parts["groups"], *added], "places")
        places = [{"sensor_id": row["id"], **row["place"]} for row in (*parts["place"], *added) if row["place"]]
        self._write(connection, "set_locations", places, "places")
        return Changes(tuple(row["sensor_name"] for row in added), changed, tuple(unchanged))

    def _has_data(self, connection: PgConnection, sensor_id: str) -> bool:
        """Whether anything is stored that the camera said, or that was made of it."""
        tables = [
            table for table in TABLES.values() if "sensor_id" in table.names and table.name not in _OF_THE_REGISTRY
        ]
        statement = sql.SQL("SELECT {}").format(
            sql.SQL(" OR ").join(
                sql.SQL("EXISTS (SELECT FROM {} WHERE sensor_id = %(id)s::uuid)").format(qualified(table))
                for table in tables
            )
        )
        with connection.cursor() as cursor:
            cursor.execute(statement, {"id": sensor_id})
            return bool((cursor.fetchone() or (False,))[0])

    # Statements -----------------------------------------------------------------------------------------------------

    def _registered_cameras(self, connection: PgConnection) -> list[Row]:
        return self._rows(connection, "registered_cameras", {})

    def _rows(
        self, connection: PgConnection, query: str, parameters: Mapping[str, Any], file: str = "fleet"
    ) -> list[Row]:
        with connection.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute(queries(file)[query], parameters)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []

    def _write(self, connection: PgConnection, query: str, rows: Sequence[Row], file: str = "fleet") -> list[Row]:
        """One statement for all rows; what it returns."""
        return self._rows(connection, query, {"rows": as_json(rows)}, file) if rows else []

    def _execute(self, connection: PgConnection, query: str, parameters: Mapping[str, Any]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(queries("fleet")[query], parameters)


def _roster(connection: PgConnection) -> Roster:
    return Roster(
        stores=read_frame(connection, STORES),
        sensors=read_frame(connection, SENSOR_METADATA),
        lines=read_frame(connection, COUNTING_LINES),
        regions=read_frame(connection, REGION_CONFIGURATIONS),
        service=read_frame(connection, STORE_SERVICE),
        places=pd.DataFrame(members(connection), columns=list(COLUMNS)),
    )


def members(connection: PgConnection) -> list[Row]:
    """Every camera with what the words of a selection may name, by name: `analytics.selection.COLUMNS` and its `id`."""
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(queries("places")["members"])
        return [dict(row) for row in cursor.fetchall()]


# Rows -------------------------------------------------------------------------------------------------------------------


class _Sorted:
    """Stores or groups of a file, sorted by what becomes of them."""

    def __init__(self) -> None:
        self.added: list[Key] = []
        self.changed: dict[Key, tuple[str, ...]] = {}
        self.unchanged: list[Key] = []

    def sort(self, kind: str, key: Key, present: Row | None, wanted: Row) -> list[Change]:
        """Takes one in; the changes to record."""
        if present is None:
            self.added.append(key)
        elif fields := fleet_plan.differing(present, wanted):
            self.changed[key] = fields
        else:
            self.unchanged.append(key)
        return differences(kind, *key, present, wanted)

    def as_changes(self) -> Changes:
        """The same by name alone."""
        return Changes(
            tuple(name for _, name in self.added),
            {name: fields for (_, name), fields in self.changed.items()},
            tuple(name for _, name in self.unchanged),
        )


def _chosen(rows: Sequence[Row], words: Iterable[str]) -> list[Row]:
    """The rows of the cameras that the words mean; ConfigurationError for a word that means none."""
    names = set(chosen_of(rows, list(words)))
    return [row for row in rows if row["sensor_name"] in names]


def _told(row: Row, store: str) -> Row:
    """A camera as the record of changes tells it, by the fields of the file."""
    told = {"store": store} | {
        _FILE_FIELDS.get(column, column): row[column] for column in _TOLD if row[column] not in (None, [], {})
    }
    return told | {"location": row["location"], "place": row["place"]}


_TOLD = (
    "vendor",
    "sensor_ip",
    "sensor_port",
    "timezone",
    "username",
    "password_reference",
    "endpoints",
    "heat_scale",
    "retention_days",
    "installed_on",
    "is_active",
    "tags",
    "groups",
    "lines",
    "regions",
    "adjacent",
)


def _camera_changes(camera: PlannedCamera, present: Row, row: Row, fields: Iterable[str]) -> list[Change]:
    """The changes of one camera to record; those of its place are a location's."""
    changes: list[Change] = []
    organization, name = camera.store[0], camera.entry.name
    for field in fields:
        if field == "place":
            changes += differences("location", organization, name, present["place"], row["place"])
        elif field == "store_id":
            changes.append(Change("camera", organization, name, "store", present["store_name"], camera.store[1]))
        else:
            shown = _FILE_FIELDS.get(field, field)
            changes.append(Change("camera", organization, name, shown, present[field], row[field]))
    return changes


def _connector_camera(row: Row, secrets: Secrets) -> Camera:
    name = row["sensor_name"]
    try:
        zone = ZoneInfo(row["timezone"])
        endpoints = frozenset(Endpoint(endpoint) for endpoint in row["endpoints"])
        retention = {Endpoint(endpoint): int(days) for endpoint, days in row["retention_days"].items()}
    except (ZoneInfoNotFoundError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"Camera {name} is registered with a setting that cannot be meant ({error}); register it anew with "
            "`retail-sensors cameras add`."
        ) from None
    credentials = None
    problem = None
    if row["username"] is not None:
        password = ""
        if row["password_reference"] is not None:
            try:
                password = secrets.resolve(row["password_reference"])
            except ConfigurationError as error:
                problem = str(error)
        if problem is None:
            credentials = Credentials(row["username"], password)
    return Camera(
        sensor_id=UUID(row["id"]),
        name=name,
        host=row["sensor_ip"],
        port=row["sensor_port"],
        zone=zone,
        vendor=row["vendor"],
        credentials=credentials,
        credentials_error=problem,
        endpoints=endpoints,
        retention_days=retention,
    )
