"""The fleet file: stores and cameras as a person writes them down, read and checked.

Two forms are read, YAML or JSON alike: `stores`, `groups` and `cameras` of one organization or of several, and the sensor file of the
integration guide (one camera, or a list of them). Here belongs everything that can be said from the file alone: single fields in
`fleet_fields`, places and groups in `fleet_places`. What is registered already, and writing, belong in `storage.fleet`. A file with
faults is refused whole, with every fault's line and field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import time
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_core import ErrorDetails

from retail_sensors.connectors.base import HISTORY_ENDPOINTS, Endpoint
from retail_sensors.errors import ConfigurationError
from retail_sensors.fleet_fields import (
    Count,
    Country,
    Day,
    Entry,
    Host,
    LineNumber,
    Name,
    Names,
    OpeningHours,
    Port,
    Reference,
    RegionNumber,
    Tags,
    Text,
    TimeOfDay,
    Way,
    Zone,
    normal_host,
    one_of,
    shown,
)
from retail_sensors.fleet_places import GroupEntry, LocationEntry, name_alone, otherwise_written
from retail_sensors.marked_yaml import Fault, Location, MarkedText, Value, parse, read_text, refusal
from retail_sensors.tables.queues import SERVICE_RATE_PER_MINUTE, TARGET_MINUTES, TARGET_SHARE
from retail_sensors.words import did_you_mean

DEFAULT_ORGANIZATION = "Default"
VENDORS = ("milesight",)
"""Whose wire formats are spoken; the one place that a new connector's name is added to."""

LINE_ROLES = ("entrance", "passerby", "internal")
REGION_ROLES = ("entrance", "queue", "checkout", "zone")
TRAFFIC_BASES = ("entries", "exits", "mean")


# The form of stores and cameras -----------------------------------------------------------------------------------------


class CheckoutEntry(Entry):
    """The tills of one shop: lanes, customers a minute and lane, which share shall wait how long, visitors a staff hour."""

    lanes: Count | None = None
    service_rate_per_minute: Annotated[float, Field(ge=0.001, le=1000)] = SERVICE_RATE_PER_MINUTE
    target_minutes: Annotated[float, Field(ge=0, le=1440)] = TARGET_MINUTES
    target_share: Annotated[float, Field(gt=0, lt=1)] = TARGET_SHARE
    star_target: Annotated[float, Field(ge=0.001, le=1e6)] | None = None


class StoreEntry(Entry):
    """One shop of the file. `organization` None: the file's."""

    name: Name
    organization: Name | None = None
    timezone: Zone
    country: Country | None = None
    capacity: Count | None = None
    area_sqm: Annotated[Decimal, Field(gt=0, lt=10**9)] | None = None
    traffic_basis: Annotated[str, one_of(TRAFFIC_BASES)] = "entries"
    passerby_excludes_entrants: bool = False
    occupancy_reset_time: TimeOfDay = time(4)
    opening_hours: OpeningHours | None = None
    checkout: CheckoutEntry | None = None


class LineEntry(Entry):
    """What one counting line stands for; a bare role is short for it."""

    role: Annotated[str, one_of(LINE_ROLES)] = "entrance"
    inverted: bool = False
    name: Name | None = None


class RegionEntry(Entry):
    """What one region stands for. `adjacent`: the regions that people walk on to; None: all others of the camera."""

    name: Name | None = None
    type: Name | None = None
    role: Annotated[str, one_of(REGION_ROLES)] = "zone"
    capacity: Count | None = None
    business_purpose: Text | None = None
    adjacent: Annotated[list[Way], Field(min_length=1)] | None = None


def _role_alone(value: object) -> object:
    return {"role": value} if isinstance(value, str) else {} if value is None else value


def _all_entrances(count: int = 4) -> dict[int, LineEntry]:
    return {line: LineEntry() for line in range(1, count + 1)}


class CameraEntry(Entry):
    """One camera of the file. `organization` None: the file's.

    `enabled`, `groups`, `tags` None and a `location` without a place: as it is registered, and where it is new enabled, in no
    group, without tags and with a place that is not known.
    """

    name: Name
    store: Name | None = None
    host: Host
    port: Port = 80
    organization: Name | None = None
    vendor: Annotated[str, one_of(VENDORS)] = "milesight"
    timezone: Zone | None = None
    location: Annotated[LocationEntry, BeforeValidator(name_alone)] | None = None
    groups: Names | None = None
    tags: Tags | None = None
    username: Name | None = None
    password: Reference | None = None
    lines: Annotated[dict[LineNumber, Annotated[LineEntry, BeforeValidator(_role_alone)]], Field(min_length=1)] = Field(
        default_factory=_all_entrances
    )
    regions: dict[RegionNumber, RegionEntry] = Field(default_factory=dict)
    heat_scale: Annotated[float, Field(gt=0)] = 1.0
    endpoints: Annotated[list[Annotated[Endpoint, one_of(tuple(Endpoint))]], Field(min_length=1)] = Field(
        default_factory=lambda: list(Endpoint)
    )
    retention_days: dict[Annotated[Endpoint, one_of(HISTORY_ENDPOINTS)], Annotated[int, Field(gt=0, le=36500)]] = Field(
        default_factory=dict
    )
    installed_on: Day | None = None
    enabled: bool | None = None


class _FleetForm(Entry):
    organization: Name | None = None
    stores: list[StoreEntry] = Field(default_factory=list)
    groups: list[GroupEntry] = Field(default_factory=list)
    cameras: list[CameraEntry] = Field(default_factory=list)


# The form of the integration guide --------------------------------------------------------------------------------------


class _GuideAuth(Entry):
    # The collector finds out by itself which of the two the camera wants.
    type: Literal["basic", "digest"] = "basic"
    username: Name
    password: Reference | None = None


class _GuideConnection(Entry):
    host: Host
    port: Port = 80
    auth: _GuideAuth | None = None


class _GuideMapping(Entry):
    supports_regional_counting: bool = True
    supports_real_time_status: bool = True
    line_count: Annotated[int, Field(ge=1, le=4)] = 4
    region_count: Annotated[int, Field(ge=0, le=4)] = 0


class _GuideForm(Entry):
    sensor_id: Text | None = None
    sensor_name: Name
    connection: _GuideConnection
    data_mapping: _GuideMapping = _GuideMapping()
    location: Text | None = None
    timezone: Zone

    def entry(self) -> CameraEntry:
        """The same camera in the form of this project."""
        supported = self.data_mapping
        auth = self.connection.auth
        left_out = {
            *(() if supported.supports_regional_counting else (Endpoint.REGIONAL_COUNTING, Endpoint.REGION_STAYS)),
            *(() if supported.supports_real_time_status else (Endpoint.ALARM_STATUS,)),
        }
        regions = supported.region_count if supported.supports_regional_counting else 0
        return CameraEntry(
            name=self.sensor_name,
            host=self.connection.host,
            port=self.connection.port,
            timezone=self.timezone,
            location=None if self.location is None else LocationEntry(name=self.location),
            username=auth.username if auth else None,
            password=auth.password if auth else None,
            lines=_all_entrances(supported.line_count),
            regions={region: RegionEntry() for region in range(1, regions + 1)},
            endpoints=[endpoint for endpoint in Endpoint if endpoint not in left_out],
        )


_GUIDE_FIELDS: Mapping[str, Location] = {"name": ("sensor_name",), "host": ("connection", "host")}
_ENTRIES: Mapping[str, type[Entry]] = {
    "stores": StoreEntry,
    "checkout": CheckoutEntry,
    "groups": GroupEntry,
    "cameras": CameraEntry,
    "location": LocationEntry,
    "lines": LineEntry,
    "regions": RegionEntry,
    "connection": _GuideConnection,
    "auth": _GuideAuth,
    "data_mapping": _GuideMapping,
}


_Form = TypeVar("_Form", bound=Entry)


# Reading ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FleetFile:
    """One checked file. `organization` None: not said, `DEFAULT_ORGANIZATION` is meant."""

    organization: str | None
    stores: tuple[StoreEntry, ...]
    groups: tuple[GroupEntry, ...]
    cameras: tuple[CameraEntry, ...]
    text: MarkedText
    camera_locations: tuple[Location, ...]

    def organization_of(self, entry: StoreEntry | GroupEntry | CameraEntry) -> str:
        """The retailer that a store, group or camera of the file belongs to."""
        return entry.organization or self.organization or DEFAULT_ORGANIZATION

    def camera_fault(self, index: int, field: str, sentence: str) -> Fault:
        """A fault of one camera's field that only the registry can know."""
        is_guide = self.camera_locations[index][:1] != ("cameras",)
        inner = _GUIDE_FIELDS.get(field, (field,)) if is_guide else (field,)
        return self.text.fault((*self.camera_locations[index], *inner), sentence)


def read_fleet_file(path: Path) -> FleetFile:
    """The fleet that a file describes; ConfigurationError with all of its faults, each with line and field."""
    return parse_fleet(read_text(path), str(path))


def parse_fleet(text: str, source: str) -> FleetFile:
    """The fleet that a text describes; `source` is what errors call it."""
    marked = parse(text, source)
    value = marked.value
    faults = list(marked.faults)
    fleet: FleetFile | None = None
    if value is None or value in ({}, []):
        if not faults:
            faults.append(marked.fault((), "is empty; write cameras, and stores where there are some"))
    elif isinstance(value, list) or (isinstance(value, dict) and _is_guide(value)):
        fleet = _read_guide(value, marked, faults)
    elif isinstance(value, dict):
        fleet = _read_form(value, marked, faults)
    else:
        faults.append(marked.fault((), "is not a mapping; write cameras: and a list of them"))
    if faults or fleet is None:
        raise refusal(source, faults)
    return fleet


def _is_guide(value: dict[str, Value]) -> bool:
    return not value.keys() & _FleetForm.model_fields.keys() and bool(value.keys() & _GuideForm.model_fields.keys())


def _read_form(value: dict[str, Value], marked: MarkedText, faults: list[Fault]) -> FleetFile | None:
    form = _validated(_FleetForm, value, (), marked, faults)
    raw_cameras = value.get("cameras")
    cameras = list(enumerate(raw_cameras)) if isinstance(raw_cameras, list) else []
    raw_stores = value.get("stores")
    stores = list(enumerate(raw_stores)) if isinstance(raw_stores, list) else []
    raw_groups = value.get("groups")
    groups = list(enumerate(raw_groups)) if isinstance(raw_groups, list) else []
    if not raw_cameras and not raw_stores and not raw_groups:
        faults.append(marked.fault((), "holds neither cameras nor stores nor groups"))
    for organization in {str(_get(entry, "organization")) for _, entry in (*stores, *groups)}:
        for kind, entries in (("stores", stores), ("groups", groups)):
            faults += _doubled(
                marked,
                [
                    ((kind, index, "name"), _get(entry, "name"))
                    for index, entry in entries
                    if str(_get(entry, "organization")) == organization
                ],
            )
    faults += _doubled(marked, [(("cameras", index, "name"), _get(camera, "name")) for index, camera in cameras])
    faults += _doubled_addresses(
        marked,
        [(("cameras", index, "host"), _get(camera, "host"), _get(camera, "port")) for index, camera in cameras],
    )
    for index, camera in cameras:
        if not isinstance(camera, dict):
            continue
        location = ("cameras", index)
        if camera.get("store") is None and camera.get("timezone") is None:
            faults.append(
                marked.fault((*location, "timezone"), "is missing; only a camera with a store can do without")
            )
        if camera.get("password") is not None and camera.get("username") is None:
            faults.append(marked.fault((*location, "username"), "is missing; a password needs one"))
    if form is None:
        return None
    faults += _ways_to_nowhere(marked, form.cameras)
    locations: list[Location] = [("cameras", index) for index in range(len(form.cameras))]
    fleet = FleetFile(
        form.organization, tuple(form.stores), tuple(form.groups), tuple(form.cameras), marked, tuple(locations)
    )
    faults += _groups_written_twice(fleet)
    return fleet


def _groups_written_twice(fleet: FleetFile) -> Iterator[Fault]:
    """Names of groups of one organization that differ only in case."""
    written: dict[tuple[str, str], str] = {}
    places: list[tuple[str, str, Location]] = [
        (fleet.organization_of(group), group.name, ("groups", index, "name"))
        for index, group in enumerate(fleet.groups)
    ]
    for index, camera in enumerate(fleet.cameras):
        places += [(fleet.organization_of(camera), name, ("cameras", index, "groups")) for name in camera.groups or ()]
    for organization, name, location in places:
        first = written.setdefault((organization, name.lower()), name)
        if otherwise_written(name, [first]):
            yield fleet.text.fault(location, f"group {name!r} is written {first!r} elsewhere; write it one way")


def _ways_to_nowhere(marked: MarkedText, cameras: Sequence[CameraEntry]) -> Iterator[Fault]:
    """Ways within a camera that do not lead to another of its regions."""
    for index, camera in enumerate(cameras):
        for number, region in camera.regions.items():
            for name, to in region.adjacent or ():
                if name not in (None, camera.name) or (to != number and to in camera.regions):
                    continue
                known = ", ".join(str(other) for other in camera.regions if other != number) or "none"
                yield marked.fault(
                    ("cameras", index, "regions", str(number), "adjacent"),
                    f"{to} is not another region of this camera; those are {known}",
                )


def _read_guide(value: list[Value] | dict[str, Value], marked: MarkedText, faults: list[Fault]) -> FleetFile | None:
    sensors: list[tuple[Location, Value]] = (
        [((index,), sensor) for index, sensor in enumerate(value)] if isinstance(value, list) else [((), value)]
    )
    forms = [_validated(_GuideForm, sensor, location, marked, faults) for location, sensor in sensors]
    faults += _doubled(
        marked, [((*location, "sensor_name"), _get(sensor, "sensor_name")) for location, sensor in sensors]
    )
    faults += _doubled_addresses(
        marked,
        [
            ((*location, "connection", "host"), _get(connection, "host"), _get(connection, "port"))
            for location, sensor in sensors
            for connection in [_get(sensor, "connection")]
        ],
    )
    entries = [form.entry() for form in forms if form is not None]
    return FleetFile(None, (), (), tuple(entries), marked, tuple(location for location, _ in sensors))


def _get(value: Value, key: str) -> Value:
    return value.get(key) if isinstance(value, dict) else None


def _doubled(marked: MarkedText, names: Iterable[tuple[Location, Value]]) -> Iterator[Fault]:
    first: dict[str, Location] = {}
    for location, name in names:
        if isinstance(name, str) and first.setdefault(name.strip(), location) != location:
            line = marked.line(first[name.strip()])
            yield marked.fault(
                location, f"{shown(name.strip())} is the name of another, in line {line}; names are unique"
            )


def _doubled_addresses(marked: MarkedText, hosts: Iterable[tuple[Location, Value, Value]]) -> Iterator[Fault]:
    first: dict[tuple[str, int], Location] = {}
    for location, host, port in hosts:
        try:
            address = normal_host(str(host or "").strip()), int(str(port or 80))
        except ValueError:
            continue
        if first.setdefault(address, location) != location:
            line = marked.line(first[address])
            yield marked.fault(
                location,
                f"{address[0]}:{address[1]} is the address of another camera, in line {line}; it can be only one",
            )


def _validated(
    form: type[_Form], value: Value, base: Location, marked: MarkedText, faults: list[Fault]
) -> _Form | None:
    try:
        return form.model_validate(value)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            location, sentence = _explained(form, details)
            faults.append(marked.fault((*base, *location), sentence))
    return None


def checked(form: type[_Form], fields: Mapping[str, object], options: Mapping[str, str]) -> _Form:
    """An entry whose fields were not written in a file; ConfigurationError with every fault, told by what `options` call it."""
    try:
        # As in a file, a value is the text that was written.
        return form.model_validate({field: value for field, value in fields.items() if value is not None})
    except ValidationError as error:
        told = [_explained(form, details) for details in error.errors(include_url=False)]
        raise ConfigurationError(
            "\n".join(
                (f"{options.get(str(location[0]), str(location[0]))}: " if location else "")
                + (sentence if sentence.endswith("?") else f"{sentence}.")
                for location, sentence in told
            )
        ) from None


def _explained(form: type[Entry], details: ErrorDetails) -> tuple[Location, str]:
    """Where one fault is and what to say about it."""
    location = tuple(part for part in details["loc"] if part != "[key]")
    kind = details["type"]
    if kind == "extra_forbidden":
        around = next((_ENTRIES[str(part)] for part in reversed(location[:-1]) if part in _ENTRIES), form)
        known = list(around.model_fields)
        hint = did_you_mean(str(location[-1]), known) or f"; known are {', '.join(known)}"
        return location, f"unknown field{hint}"
    context: dict[str, Any] = details.get("ctx", {})
    if kind == "value_error":
        return location, str(context["error"])
    if kind == "literal_error":
        return location, f"{shown(details['input'])} is not one of {context['expected']}"
    if kind in _SENTENCES:
        return location, _SENTENCES[kind](shown(details["input"]), context)
    return location, details["msg"][:1].lower() + details["msg"][1:]


_SENTENCES: Mapping[str, Callable[[str, dict[str, Any]], str]] = {
    "missing": lambda _value, _context: "is missing",
    "string_type": lambda value, _context: f"must be text, not {value}",
    "string_too_short": lambda _value, _context: "is empty",
    "string_too_long": lambda _value, context: f"is longer than {context['max_length']} characters",
    "too_short": lambda _value, _context: "is empty; name at least one, or leave the field out",
    "int_parsing": lambda value, _context: f"{value} is not a whole number",
    "int_type": lambda value, _context: f"{value} is not a whole number",
    "int_from_float": lambda value, _context: f"{value} is not a whole number",
    "int_parsing_size": lambda value, _context: f"{value} is too large",
    "float_parsing": lambda value, _context: f"{value} is not a number",
    "float_type": lambda value, _context: f"{value} is not a number",
    "decimal_parsing": lambda value, _context: f"{value} is not a number",
    "decimal_type": lambda value, _context: f"{value} is not a number",
    "finite_number": lambda value, _context: f"{value} is not a finite number",
    "bool_parsing": lambda value, _context: f"{value} is neither true nor false",
    "bool_type": lambda value, _context: f"{value} is neither true nor false",
    "greater_than": lambda value, context: f"{value} is out of range; it must be more than {context['gt']}",
    "greater_than_equal": lambda value, context: f"{value} is out of range; it must be at least {context['ge']}",
    "less_than": lambda value, context: f"{value} is out of range; it must be less than {context['lt']}",
    "less_than_equal": lambda value, context: f"{value} is out of range; it must be at most {context['le']}",
    "model_type": lambda value, _context: f"must be a mapping of fields, not {value}",
    "model_attributes_type": lambda value, _context: f"must be a mapping of fields, not {value}",
    "dict_type": lambda value, _context: f"must be a mapping, not {value}",
    "list_type": lambda value, _context: f"must be a list, not {value}",
}
