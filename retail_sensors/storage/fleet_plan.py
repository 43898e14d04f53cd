"""What a fleet file means on top of what is registered: the rows that it asks for, and what it cannot ask for.

Here belongs what can be said once the registry is read; what a file alone can get wrong belongs in `fleet_file`, reading the
registry and writing to it in `storage.fleet`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retail_sensors.connectors.base import Endpoint
from retail_sensors.fleet_file import CameraEntry, FleetFile, LineEntry, RegionEntry, StoreEntry
from retail_sensors.fleet_places import otherwise_written
from retail_sensors.marked_yaml import Fault
from retail_sensors.words import did_you_mean

Row = dict[str, Any]
Key = tuple[str, str]
"""A store or group: its organization and its name."""


@dataclass(slots=True)
class PlannedCamera:
    """One camera of a file next to the one registered under its name; `store` is the key of its store."""

    index: int
    entry: CameraEntry
    present: Row | None
    store: Key


def address_of(row: Row) -> tuple[str, int]:
    """Host and port: what a camera is on the network."""
    return row["sensor_ip"], row["sensor_port"]


def differing(present: Row, wanted: Row) -> tuple[str, ...]:
    """The columns whose wanted value is another than the present one."""
    return tuple(name for name, value in wanted.items() if present[name] != value)


def store_row(entry: StoreEntry) -> Row:
    """A store's settings by their columns, its tills under `checkout`."""
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


def camera_row(camera: PlannedCamera, store_id: str, store_zone: str) -> Row:
    """A camera's settings by their columns, what stands in tables of its own under `place`, `groups`, `lines`, ..."""
    entry = camera.entry
    as_registered = camera.present or {"is_active": True, "tags": [], "groups": [], "place": None}
    place = None if entry.location is None else entry.location.place
    return {
        "sensor_name": entry.name,
        "store_id": store_id,
        "vendor": entry.vendor,
        "sensor_ip": entry.host,
        "sensor_port": entry.port,
        "timezone": entry.timezone or store_zone,
        "location": None if entry.location is None else entry.location.name,
        "username": entry.username,
        "password_reference": entry.password,
        "endpoints": [endpoint.value for endpoint in Endpoint if endpoint in entry.endpoints],
        "heat_scale": entry.heat_scale,
        "retention_days": {endpoint.value: days for endpoint, days in entry.retention_days.items()},
        "installed_on": entry.installed_on,
        "is_active": as_registered["is_active"] if entry.enabled is None else entry.enabled,
        "tags": as_registered["tags"] if entry.tags is None else entry.tags,
        "place": place or as_registered["place"],
        "groups": as_registered["groups"] if entry.groups is None else entry.groups,
        "lines": {str(number): _line_row(line) for number, line in entry.lines.items()},
        "regions": {str(number): _region_row(number, region) for number, region in entry.regions.items()},
        "adjacent": sorted(
            [number, name, to] for number, region in entry.regions.items() for name, to in _ways(entry, region)
        ),
    }


def _ways(entry: CameraEntry, region: RegionEntry) -> set[tuple[str, int]]:
    """Camera and number of the regions that one leads to."""
    return {(name or entry.name, to) for name, to in region.adjacent or ()}


def _line_row(line: LineEntry) -> Row:
    return {"role": line.role, "is_inverted": line.inverted, "line_name": line.name}


def _region_row(number: int, region: RegionEntry) -> Row:
    return {
        "region_name": region.name or f"Region {number}",
        "region_type": region.type,
        "role": region.role,
        "capacity": region.capacity,
        "business_purpose": region.business_purpose,
    }


# Stores and conflicts ---------------------------------------------------------------------------------------------------


def placed(
    fleet: FleetFile,
    stores: Mapping[Key, Row],
    registered: Mapping[str, Row],
    faults: list[Fault],
) -> list[PlannedCamera]:
    """The file's cameras with the store of each; one whose store nobody knows becomes a fault."""
    in_file = [(fleet.organization_of(store), store.name) for store in fleet.stores]
    known = dict.fromkeys((*in_file, *stores))
    key_by_id = {row["id"]: key for key, row in stores.items()}
    found: list[PlannedCamera] = []
    for index, entry in enumerate(fleet.cameras):
        present, organization = registered.get(entry.name), fleet.organization_of(entry)
        if entry.store is None:
            key = key_by_id[present["store_id"]] if present else (organization, entry.name)
        elif (organization, entry.store) in known:
            key = (organization, entry.store)
        else:
            # Where no organization is named, a store of any may be meant.
            is_named = (entry.organization or fleet.organization) is not None
            elsewhere = [] if is_named else [key for key in known if key[1] == entry.store]
            if len(elsewhere) != 1:
                near = did_you_mean(entry.store, (name for _, name in known))
                sentence = (
                    f"{entry.store!r} is a store of several organizations; name one in the field organization"
                    if elsewhere
                    else f"no store {entry.store!r} is in this file or registered{near}"
                )
                faults.append(fleet.camera_fault(index, "store", sentence))
                continue
            key = elsewhere[0]
        found.append(PlannedCamera(index, entry, present, key))
    return found


def conflicts(
    fleet: FleetFile,
    cameras: Sequence[PlannedCamera],
    stores: Mapping[Key, Row],
    registered: Mapping[str, Row],
) -> list[Fault]:
    """Cameras of the file that take the name or the address of another one."""
    faults: list[Fault] = []
    rewritten = {entry.name for entry in fleet.cameras}
    holders = {address_of(row): name for name, row in registered.items() if name not in rewritten}
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
        if present is None or (entry.host, entry.port) == address_of(present):
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


def ways_to_nowhere(
    fleet: FleetFile,
    cameras: Sequence[PlannedCamera],
    stores: Mapping[Key, Row],
    registered: Mapping[str, Row],
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


def wanted_stores(
    fleet: FleetFile,
    cameras: Sequence[PlannedCamera],
    stores: Mapping[Key, Row],
    registered: Mapping[str, Row],
) -> dict[Key, Row]:
    """The stores to write: those of the file, and those that cameras without one have for themselves."""
    wanted = {(fleet.organization_of(store), store.name): store_row(store) for store in fleet.stores}
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
            wanted[camera.store] = store_row(StoreEntry(name=camera.entry.name, timezone=zone))
        elif {name for name, row in registered.items() if row["store_id"] == store["id"]} == {camera.entry.name}:
            # The store was made for this camera alone, so a mended zone is the store's too.
            present = {name: value for name, value in store.items() if name in _STORE_SETTINGS}
            wanted[camera.store] = {**present, "timezone": zone}
    return wanted


_STORE_SETTINGS = store_row(StoreEntry(name="-", timezone="UTC")).keys()


# Groups -----------------------------------------------------------------------------------------------------------------


def wanted_groups(fleet: FleetFile, cameras: Sequence[PlannedCamera], groups: Mapping[Key, Row]) -> dict[Key, Row]:
    """The groups to write: those of the file, and those that its cameras name and nobody knows yet."""
    wanted: dict[Key, Row] = {
        (fleet.organization_of(group), group.name): {"group_type": group.type, "description": group.description}
        for group in fleet.groups
    }
    for camera in cameras:
        # A camera that moves to another organization takes the names of its groups along.
        names = (camera.present or {"groups": []})["groups"] if camera.entry.groups is None else camera.entry.groups
        for key in ((camera.store[0], name) for name in names):
            if key not in groups and key not in wanted:
                wanted[key] = {"group_type": None, "description": None}
    return wanted


def groups_otherwise_written(
    fleet: FleetFile, cameras: Sequence[PlannedCamera], groups: Mapping[Key, Row]
) -> Iterator[Fault]:
    """Groups of the file that differ only in case from registered ones."""

    def sentence(organization: str, name: str) -> str | None:
        other = otherwise_written(name, (known for of, known in groups if of == organization))
        return None if other is None else f"group {name!r} is registered as {other!r}; write it so"

    for index, group in enumerate(fleet.groups):
        if said := sentence(fleet.organization_of(group), group.name):
            yield fleet.text.fault(("groups", index, "name"), said)
    for camera in cameras:
        for name in camera.entry.groups or ():
            if said := sentence(camera.store[0], name):
                yield fleet.camera_fault(camera.index, "groups", said)
