"""The registry of stores and cameras in Postgres: registered from fleet files, read by the collector and the figures.

Here belongs what needs the registry to be known: which cameras are new, changed or in each other's way. What a file
alone can get wrong belongs in `fleet_file`; asking a camera belongs in `connectors`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from psycopg2.extensions import connection as PgConnection
from psycopg2.extras import Json, RealDictCursor

from retail_sensors.analytics.roster import Roster
from retail_sensors.connectors.base import Camera, Credentials, Endpoint
from retail_sensors.errors import ConfigurationError
from retail_sensors.fleet_file import (
    DEFAULT_ORGANIZATION,
    CameraEntry,
    FleetFile,
    LineEntry,
    RegionEntry,
    StoreEntry,
    did_you_mean,
)
from retail_sensors.marked_yaml import Fault, refusal
from retail_sensors.secrets import Secrets
from retail_sensors.storage.database import Database
from retail_sensors.storage.frames import read_frame
from retail_sensors.storage.sqlfiles import queries
from retail_sensors.tables import COUNTING_LINES, REGION_CONFIGURATIONS, SENSOR_METADATA, STORES
from retail_sensors.tables.queues import STORE_SERVICE

_Row = dict[str, Any]

_FILE_FIELDS = {
    "store_id": "store",
    "sensor_ip": "host",
    "sensor_port": "port",
    "password_reference": "password",
    "is_active": "enabled",
}
"""Columns of a camera that a fleet file calls by another name."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What one file did to stores, or to cameras: names, and for the changed ones the fields that differ."""

    added: tuple[str, ...]
    changed: Mapping[str, tuple[str, ...]]
    unchanged: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FleetChanges:
    """What registering one file changed."""

    stores: Changes
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
    endpoints: tuple[str, ...]
    lines: Mapping[int, str]
    is_active: bool
    capabilities: Mapping[str, Any] | None
    last_seen_at: datetime | None
    clock_offset_seconds: float | None


@dataclass(slots=True)
class _Camera:
    """One camera of a file next to the one registered under its name; `store` is the key of its store."""

    index: int
    entry: CameraEntry
    present: _Row | None
    store: tuple[str, str]


class FleetRegistry:
    """The stores and cameras of one installation."""

    def __init__(self, database: Database, secrets: Secrets | None = None) -> None:
        self._database = database
        self._secrets = secrets
        self._queries = queries("fleet")

    # Reading --------------------------------------------------------------------------------------------------------

    def cameras(self, names: Sequence[str] | None = None, *, include_inactive: bool = False) -> list[Camera]:
        """The cameras to ask, by name, with their credentials; `names` None: all of them.

        A credential that cannot be read is the camera's `credentials_error`. Raises ConfigurationError for a name that
        is not registered, or that is disabled unless `include_inactive`.
        """
        with self._database.transaction() as connection:
            rows = self._registered_cameras(connection)
        if names is not None:
            rows = _named(rows, names)
            disabled = [row["sensor_name"] for row in rows if not row["is_active"]]
            if disabled and not include_inactive:
                listed = ", ".join(disabled)
                raise ConfigurationError(
                    f"Disabled, and so not asked: {listed}; `retail-sensors cameras enable` enables a camera."
                )
        secrets = self._secrets or Secrets()
        return [_connector_camera(row, secrets) for row in rows if include_inactive or row["is_active"]]

    def roster(self) -> Roster:
        """Stores, cameras, lines and regions as the figures need them; disabled cameras included."""
        with self._database.transaction() as connection:
            return Roster(
                stores=read_frame(connection, STORES),
                sensors=read_frame(connection, SENSOR_METADATA),
                lines=read_frame(connection, COUNTING_LINES),
                regions=read_frame(connection, REGION_CONFIGURATIONS),
                service=read_frame(connection, STORE_SERVICE),
            )

    def listing(self) -> list[RegisteredCamera]:
        """Every registered camera by name, disabled ones included."""
        with self._database.transaction() as connection:
            rows = self._registered_cameras(connection)
        return [
            RegisteredCamera(
                name=row["sensor_name"],
                store=row["store_name"],
                vendor=row["vendor"],
                host=row["sensor_ip"],
                port=row["sensor_port"],
                timezone=row["timezone"],
                location=row["location"],
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

    # Writing --------------------------------------------------------------------------------------------------------

    def set_active(self, names: Sequence[str], is_active: bool) -> list[str]:
        """Enables or disables cameras, all or none; returns the names of those that were not so before.

        What is stored of a disabled camera stays, and still counts. Raises ConfigurationError for an unknown name.
        """
        with self._database.transaction() as connection:
            ids = [row["id"] for row in _named(self._registered_cameras(connection), names)]
            changed = self._rows(connection, "set_active", {"ids": ids, "is_active": is_active})
        return sorted(row["sensor_name"] for row in changed)

    def record_capabilities(self, name: str, capabilities: Mapping[str, Any]) -> None:
        """Stores what a probe found; ConfigurationError for an unknown name."""
        with self._database.transaction() as connection:
            parameters = {"name": name, "capabilities": Json(dict(capabilities))}
            if not self._rows(connection, "record_capabilities", parameters):
                _named(self._registered_cameras(connection), [name])

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
            registered = {row["sensor_name"]: row for row in self._registered_cameras(connection)}
            faults: list[Fault] = []
            cameras = _placed(fleet, stores, registered, faults)
            faults += _conflicts(fleet, cameras, stores, registered)
            faults += _ways_to_nowhere(fleet, cameras, stores, registered)
            if faults:
                raise refusal(fleet.text.source, faults)
            wanted = _wanted_stores(fleet, cameras, stores, registered)
            store_changes, ids, zones = self._write_stores(connection, wanted, stores)
            return FleetChanges(store_changes, self._write_cameras(connection, cameras, ids, zones))

    def _write_stores(
        self, connection: PgConnection, wanted: Mapping[tuple[str, str], _Row], stores: Mapping[tuple[str, str], _Row]
    ) -> tuple[Changes, dict[tuple[str, str], str], dict[tuple[str, str], str]]:
        added: list[str] = []
        changed: dict[str, tuple[str, ...]] = {}
        unchanged: list[str] = []
        ids = {key: row["id"] for key, row in stores.items()}
        zones = {key: row["timezone"] for key, row in stores.items()}
        for key, row in wanted.items():
            zones[key] = row["timezone"]
            present = stores.get(key)
            values = {**row, **{name: _json(row[name]) for name in ("opening_hours", "checkout")}}
            if present is None:
                names = {"organization_name": key[0], "store_name": key[1]}
                self._execute(connection, "add_organization", names)
                [[ids[key]]] = [made.values() for made in self._rows(connection, "add_store", values | names)]
                added.append(key[1])
            elif differing := _differing(present, row):
                self._execute(connection, "change_store", {**values, "id": present["id"]})
                changed[key[1]] = differing
            else:
                unchanged.append(key[1])
                continue
            query = "remove_checkout" if row["checkout"] is None else "set_checkout"
            self._execute(connection, query, {**values, "id": ids[key]})
        return Changes(tuple(added), changed, tuple(unchanged)), ids, zones

    def _write_cameras(
        self,
        connection: PgConnection,
        cameras: Sequence[_Camera],
        store_ids: Mapping[tuple[str, str], str],
        zones: Mapping[tuple[str, str], str],
    ) -> Changes:
        added: list[str] = []
        changed: dict[str, tuple[str, ...]] = {}
        unchanged: list[str] = []
        rows = [(camera, _camera_row(camera, store_ids[camera.store], zones[camera.store])) for camera in cameras]
        moving = [
            camera.present["id"]
            for camera, row in rows
            if camera.present is not None and _address(camera.present) != (row["sensor_ip"], row["sensor_port"])
        ]
        self._execute(connection, "vacate_addresses", {"ids": moving})
        leading: list[_Row] = []
        for camera, row in rows:
            values = {
                **row,
                **{key: Json(row[key]) for key in ("endpoints", "retention_days", "lines", "regions", "adjacent")},
            }
            if camera.present is None:
                [made] = self._rows(connection, "add_camera", values)
                values["id"] = made["id"]
                added.append(camera.entry.name)
                differing: tuple[str, ...] = ("lines", "regions", "adjacent")
            else:
                values["id"] = camera.present["id"]
                differing = _differing(camera.present, row)
                if not differing:
                    unchanged.append(camera.entry.name)
                    continue
                self._execute(connection, "change_camera", values)
                changed[camera.entry.name] = tuple(_FILE_FIELDS.get(name, name) for name in differing)
            for part in ("lines", "regions"):
                if part in differing:
                    self._execute(connection, f"remove_{part}", values)
                    self._execute(connection, f"add_{part}", values)
            if "adjacent" in differing:
                leading.append(values)
        # Ways may lead to cameras further down in the file, so they come when all cameras are there.
        for values in leading:
            self._execute(connection, "remove_adjacent", values)
            self._execute(connection, "add_adjacent", values)
        return Changes(tuple(added), changed, tuple(unchanged))

    # Statements -----------------------------------------------------------------------------------------------------

    def _registered_cameras(self, connection: PgConnection) -> list[_Row]:
        return self._rows(connection, "registered_cameras", {})

    def _rows(self, connection: PgConnection, query: str, parameters: Mapping[str, Any]) -> list[_Row]:
        with connection.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute(self._queries[query], parameters)
            return [dict(row) for row in cursor.fetchall()]

    def _execute(self, connection: PgConnection, query: str, parameters: Mapping[str, Any]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(self._queries[query], parameters)


# Rows -------------------------------------------------------------------------------------------------------------------


def _named(rows: Sequence[_Row], names: Iterable[str]) -> list[_Row]:
    """The rows of those cameras, each once; ConfigurationError that names all unknown ones."""
    by_name = {row["sensor_name"]: row for row in rows}
    wanted = dict.fromkeys(names)
    unknown = [f"{name!r}{did_you_mean(name, by_name).replace(';', ',')}" for name in wanted if name not in by_name]
    if unknown:
        raise ConfigurationError(
            f"No camera is registered as {'; nor as '.join(unknown)} "
            "(`retail-sensors cameras list` shows those that are)."
        )
    return [row for name, row in by_name.items() if name in wanted]


def _connector_camera(row: _Row, secrets: Secrets) -> Camera:
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
                problem = f"Camera {name}: {error}"
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


def _json(value: object) -> Json | None:
    """A JSON value as a parameter; None stays NULL."""
    return None if value is None else Json(value)


def _address(row: _Row) -> tuple[str, int]:
    return row["sensor_ip"], row["sensor_port"]


def _differing(present: _Row, wanted: _Row) -> tuple[str, ...]:
    return tuple(name for name, value in wanted.items() if present[name] != value)


def _store_row(entry: StoreEntry) -> _Row:
    return {
        "timezone": entry.timezone,
        "country": entry.country,
        "capacity": entry.capacity,
        "area_sqm": entry.area_sqm,
        "traffic_basis": entry.traffic_basis,
        "passerby_excludes_entrants": entry.passerby_excludes_entrants,
        "opening_hours": entry.opening_hours,
        "occupancy_reset_time": entry.occupancy_reset_time,
        "checkout": None if entry.checkout is None else entry.checkout.model_dump(),
    }


def _camera_row(camera: _Camera, store_id: str, store_zone: str) -> _Row:
    entry = camera.entry
    was_active = True if camera.present is None else camera.present["is_active"]
    return {
        "sensor_name": entry.name,
        "store_id": store_id,
        "vendor": entry.vendor,
        "sensor_ip": entry.host,
        "sensor_port": entry.port,
        "timezone": entry.timezone or store_zone,
        "location": entry.location,
        "username": entry.username,
        "password_reference": entry.password,
        "endpoints": [endpoint.value for endpoint in Endpoint if endpoint in entry.endpoints],
        "heat_scale": entry.heat_scale,
        "retention_days": {endpoint.value: days for endpoint, days in entry.retention_days.items()},
        "installed_on": entry.installed_on,
        "is_active": was_active if entry.enabled is None else entry.enabled,
        "lines": {str(number): _line_row(line) for number, line in entry.lines.items()},
        "regions": {str(number): _region_row(number, region) for number, region in entry.regions.items()},
        "adjacent": sorted(
            [number, name, to] for number, region in entry.regions.items() for name, to in _ways(entry, region)
        ),
    }


def _ways(entry: CameraEntry, region: RegionEntry) -> set[tuple[str, int]]:
    """Camera and number of the regions that one leads to."""
    return {(name or entry.name, to) for name, to in region.adjacent or ()}


def _line_row(line: LineEntry) -> _Row:
    return {"role": line.role, "is_inverted": line.inverted, "line_name": line.name}


def _region_row(number: int, region: RegionEntry) -> _Row:
    return {
        "region_name": region.name or f"Region {number}",
        "region_type": region.type,
        "role": region.role,
        "capacity": region.capacity,
        "business_purpose": region.business_purpose,
    }


# What a file means on top of what is registered ---------------------------------------------------------------------------


def _placed(
    fleet: FleetFile,
    stores: Mapping[tuple[str, str], _Row],
    registered: Mapping[str, _Row],
    faults: list[Fault],
) -> list[_Camera]:
    """The file's cameras with the store of each; one whose store nobody knows becomes a fault."""
    organization = fleet.organization or DEFAULT_ORGANIZATION
    in_file = {store.name for store in fleet.stores}
    key_by_id = {row["id"]: key for key, row in stores.items()}
    placed: list[_Camera] = []
    for index, entry in enumerate(fleet.cameras):
        present = registered.get(entry.name)
        if entry.store is None:
            key = key_by_id[present["store_id"]] if present else (organization, entry.name)
        elif entry.store in in_file or (organization, entry.store) in stores:
            key = (organization, entry.store)
        else:
            # A file that names no organization may mean a store of any.
            elsewhere = [key for key in stores if key[1] == entry.store] if fleet.organization is None else []
            if len(elsewhere) != 1:
                known = [*in_file, *(key[1] for key in stores)]
                sentence = (
                    f"{entry.store!r} is a store of several organizations; name one in the field organization"
                    if elsewhere
                    else f"no store {entry.store!r} is in this file or registered{did_you_mean(entry.store, known)}"
                )
                faults.append(fleet.camera_fault(index, "store", sentence))
                continue
            key = elsewhere[0]
        placed.append(_Camera(index, entry, present, key))
    return placed


def _conflicts(
    fleet: FleetFile,
    cameras: Sequence[_Camera],
    stores: Mapping[tuple[str, str], _Row],
    registered: Mapping[str, _Row],
) -> list[Fault]:
    """Cameras of the file that take the name or the address of another one."""
    faults: list[Fault] = []
    rewritten = {entry.name for entry in fleet.cameras}
    holders = {_address(row): name for name, row in registered.items() if name not in rewritten}
    for camera in cameras:
        entry, present = camera.entry, camera.present
        address = f"{entry.host}:{entry.port}"
        if holder := holders.get((entry.host, entry.port)):
            faults.append(
                fleet.camera_fault(
                    camera.index,
                    "host",
                    f"{address} is registered as camera {holder!r} and cannot be {entry.name!r} too; use that name, or give "
                    f"{holder!r} its new address in the same file",
                )
            )
        if present is None or (entry.host, entry.port) == _address(present):
            continue
        store = stores.get(camera.store)
        if store is None or store["id"] != present["store_id"]:
            # With neither address nor store in common, one camera's history would become another's.
            faults.append(
                fleet.camera_fault(
                    camera.index,
                    "name",
                    f"{entry.name!r} is the name of the camera {present['sensor_ip']}:{present['sensor_port']} in store "
                    f"{present['store_name']!r}, and this one is {address} in store {camera.store[1]!r}; use another name, "
                    "or move the camera in two steps",
                )
            )
    return faults


def _ways_to_nowhere(
    fleet: FleetFile,
    cameras: Sequence[_Camera],
    stores: Mapping[tuple[str, str], _Row],
    registered: Mapping[str, _Row],
) -> Iterator[Fault]:
    """Ways to regions of other cameras that are not there, or in another store."""
    key_by_id = {row["id"]: key for key, row in stores.items()}
    places = {name: (key_by_id[row["store_id"]], set(map(int, row["regions"]))) for name, row in registered.items()}
    places |= {camera.entry.name: (camera.store, set(camera.entry.regions)) for camera in cameras}
    for camera in cameras:
        for number, region in camera.entry.regions.items():
            for name, to in sorted(_ways(camera.entry, region)):
                store, regions = places.get(name, (None, set()))
                if name == camera.entry.name or (store == camera.store and to in regions):
                    continue
                if store is None:
                    sentence = f"no camera {name!r} is in this file or registered{did_you_mean(name, places)}"
                elif store != camera.store:
                    sentence = f"camera {name!r} hangs in store {store[1]!r}; ways lead through one store"
                else:
                    known = ", ".join(map(str, sorted(regions))) or "none"
                    sentence = f"camera {name!r} has no region {to}; it has {known}"
                location = (*fleet.camera_locations[camera.index], "regions", str(number), "adjacent")
                yield fleet.text.fault(location, sentence)


def _wanted_stores(
    fleet: FleetFile,
    cameras: Sequence[_Camera],
    stores: Mapping[tuple[str, str], _Row],
    registered: Mapping[str, _Row],
) -> dict[tuple[str, str], _Row]:
    """The stores to write: those of the file, and those that cameras without one have for themselves."""
    organization = fleet.organization or DEFAULT_ORGANIZATION
    wanted = {(organization, store.name): _store_row(store) for store in fleet.stores}
    for camera in cameras:
        zone = camera.entry.timezone
        if (
            camera.entry.store is not None
            or zone is None
            or camera.store in wanted
            or camera.store[1] != camera.entry.name
        ):
            continue
        store = stores.get(camera.store)
        if store is None:
            wanted[camera.store] = _store_row(StoreEntry(name=camera.entry.name, timezone=zone))
        elif {name for name, row in registered.items() if row["store_id"] == store["id"]} == {camera.entry.name}:
            # The store was made for this camera alone, so a mended zone is the store's too.
            present = {name: value for name, value in store.items() if name in _STORE_SETTINGS}
            wanted[camera.store] = {**present, "timezone": zone}
    return wanted


_STORE_SETTINGS = _store_row(StoreEntry(name="-", timezone="UTC")).keys()
