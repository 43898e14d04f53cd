"""The fleet file: stores and cameras as a person writes them down, read and checked.

Two forms are read, YAML or JSON alike: `stores` and `cameras` of one organization, and the sensor file of the integration
guide (one camera, or a list of them). Here belongs everything that can be said from the file alone; what is registered
already, and writing, belong in `storage.fleet`. A file with faults is refused whole, with every fault's line and field.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from retail_sensors.connectors.base import HISTORY_ENDPOINTS, Endpoint
from retail_sensors.marked_yaml import Fault, Location, MarkedText, Value, parse, read_text, refusal
from retail_sensors.secrets import check_reference
from retail_sensors.tables.queues import SERVICE_RATE_PER_MINUTE, TARGET_MINUTES, TARGET_SHARE

DEFAULT_ORGANIZATION = "Default"
VENDORS = ("milesight",)
"""Whose wire formats are spoken; the one place that a new connector's name is added to."""

LINE_ROLES = ("entrance", "passerby", "internal")
REGION_ROLES = ("entrance", "queue", "checkout", "zone")
TRAFFIC_BASES = ("entries", "exits", "mean")
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_MAX_INTEGER = 2**31 - 1
_MINUTES_A_DAY = 24 * 60
_SPAN = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)\s*-\s*(?:([01]?\d|2[0-3]):([0-5]\d)|(24):(00))")
_DAY_OR_RANGE = re.compile(rf"({'|'.join(WEEKDAYS)})(?:-({'|'.join(WEEKDAYS)}))?")
_HOST_NAME = re.compile(
    r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*\.?"
)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'X'?` where something known is near the word, else nothing."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    near = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.6)
    return f"; did you mean {by_folded[near[0]]!r}?" if near else ""


@cache
def _zones() -> frozenset[str]:
    # Two entries of some systems' zone folders are not zones that another system would know.
    return frozenset(available_timezones() - {"localtime", "Factory"})


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = str(value)
    return repr(text if len(text) <= 60 else text[:57] + "...")


# Fields -----------------------------------------------------------------------------------------------------------------


def _one_of(known: Sequence[str]) -> BeforeValidator:
    def check(value: object) -> object:
        if isinstance(value, str) and value in known:
            return value
        suggestion = did_you_mean(value, known) if isinstance(value, str) else ""
        raise ValueError(f"{_shown(value)} is not one of {', '.join(known)}{suggestion}")

    return BeforeValidator(check)


def _number_of(kind: str) -> BeforeValidator:
    def check(value: object) -> object:
        if str(value) in ("1", "2", "3", "4"):
            return int(str(value))
        raise ValueError(f"{_shown(value)} is not a {kind} of a camera; they are 1 to 4")

    return BeforeValidator(check)


def _check_way(value: object) -> object:
    """The camera, None for the region's own, and the number of a region."""
    camera, _, number = str(value).rpartition(":")
    if isinstance(value, str) and number.strip() in ("1", "2", "3", "4") and (camera.strip() or ":" not in value):
        return camera.strip() or None, int(number)
    raise ValueError(f"{_shown(value)} is not a region; write its number, or CAMERA:NUMBER for one of another camera")


def _check_name(value: str) -> str:
    if any(ord(character) < 32 for character in value):
        raise ValueError("must be one line of text")
    return value


def _check_zone(value: str) -> str:
    if value not in _zones():
        raise ValueError(f"{_shown(value)} is not an IANA zone{did_you_mean(value, _zones())}")
    return value


def normal_host(value: str) -> str:
    """Address or host name as it is compared and stored: lower case, addresses in their shortest form.

    ValueError for anything else; it does not repeat user names or passwords that were written into the host.
    """
    if "://" in value:
        raise ValueError(f"must be the address alone, without {value.partition('://')[0][:10]}://")
    if "@" in value:
        raise ValueError("must not hold a user or password; write username, and password as env:NAME or file:PATH")
    bare = value.removeprefix("[").removesuffix("]")
    try:
        return ip_address(bare).compressed
    except ValueError:
        pass
    if re.fullmatch(r"[^:/]+:\d+", value):
        raise ValueError("must be the address alone; write the port in the field port")
    lowered = value.lower()
    if not _HOST_NAME.fullmatch(lowered) or re.fullmatch(r"[\d.]+", lowered):
        raise ValueError(f"{_shown(value)} is neither an address nor a host name")
    return lowered.removesuffix(".")


def _check_date(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    if type(value) is date:
        return value
    raise ValueError(f"{_shown(value)} is not a date; write YYYY-MM-DD")


def _check_time(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"([01]?\d|2[0-3]):[0-5]\d", value):
        return time.fromisoformat(value.zfill(5))
    raise ValueError(f"{_shown(value)} is not a time of day; write HH:MM")


def _check_country(value: str) -> str:
    if not re.fullmatch("[A-Z]{2}", value):
        raise ValueError(f"{_shown(value)} is not a country; write its two letters of ISO 3166, such as PT")
    return value


Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_check_name)]
Text = Annotated[str, Field(max_length=2000)]
Zone = Annotated[str, AfterValidator(_check_zone)]
Host = Annotated[str, AfterValidator(normal_host)]
Port = Annotated[int, Field(ge=1, le=65535)]
Count = Annotated[int, Field(gt=0, le=_MAX_INTEGER)]
Reference = Annotated[str, AfterValidator(check_reference)]
Day = Annotated[date, BeforeValidator(_check_date)]
TimeOfDay = Annotated[time, BeforeValidator(_check_time)]
LineNumber = Annotated[int, _number_of("line")]
RegionNumber = Annotated[int, _number_of("region")]
Way = Annotated[tuple[str | None, int], BeforeValidator(_check_way)]


# Opening hours ----------------------------------------------------------------------------------------------------------


def _check_weekdays(value: object) -> object:
    if isinstance(value, str) and _DAY_OR_RANGE.fullmatch(value):
        return value
    suggestion = did_you_mean(value, WEEKDAYS) if isinstance(value, str) else ""
    raise ValueError(
        f"{_shown(value)} is neither a weekday ({', '.join(WEEKDAYS)}) nor a range such as mon-sat{suggestion}"
    )


def _check_spans(value: object) -> object:
    """The spans of one day as pairs of HH:MM; nothing and `closed` are no span at all."""
    if value is None or value == "closed":
        return []
    texts = value.split(",") if isinstance(value, str) else value
    if not isinstance(texts, list):
        raise ValueError('must be a span such as "10:00-21:00", or a list of them')  # noqa: TRY004 -- pydantic's contract
    return [_span(text) for text in texts]


def _span(text: object) -> list[str]:
    found = _SPAN.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f'{_shown(text)} is not a span of opening hours; write it like "10:00-21:00"')
    start = f"{found[1]:0>2}:{found[2]}"
    end = f"{found[3] or found[5]:0>2}:{found[4] or found[6]}"
    if start == end:
        raise ValueError(f"{_shown(text)} has no length; a day that never closes is 00:00-24:00")
    return [start, end]


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


def _check_week(spans: dict[str, list[list[str]]]) -> dict[str, list[list[str]]]:
    """The spans by single weekday, in the order of the week and of the day; a closed day is left out."""
    week: dict[str, list[list[str]]] = {}
    given_by: dict[str, str] = {}
    for key, value in spans.items():
        for day in _days(key):
            if given_by.setdefault(day, key) != key:
                raise ValueError(f"{day} is given twice, by {given_by[day]} and by {key}")
            week[day] = sorted(value)
    intervals = sorted(
        (
            number * _MINUTES_A_DAY + _minutes(start),
            number * _MINUTES_A_DAY + _minutes(end) + (_MINUTES_A_DAY if _minutes(end) <= _minutes(start) else 0),
            f"{day} {start}-{end}",
        )
        for number, day in enumerate(WEEKDAYS)
        for start, end in week.get(day, [])
    )
    if not intervals:
        raise ValueError("never opens; leave opening_hours out where they are not known")
    first_start, _, first = intervals[0]
    for (_, end, earlier), (start, _, later) in zip(
        intervals, [*intervals[1:], (first_start + 7 * _MINUTES_A_DAY, 0, first)], strict=True
    ):
        if end > start:
            raise ValueError(f"{earlier} and {later} overlap")
    return {day: week[day] for day in WEEKDAYS if week.get(day)}


def _days(key: str) -> list[str]:
    first, _, last = key.partition("-")
    start, end = WEEKDAYS.index(first), WEEKDAYS.index(last or first)
    return [WEEKDAYS[(start + step) % 7] for step in range((end - start) % 7 + 1)]


OpeningHours = Annotated[
    dict[Annotated[str, BeforeValidator(_check_weekdays)], Annotated[list[list[str]], BeforeValidator(_check_spans)]],
    AfterValidator(_check_week),
]


# The form of stores and cameras -----------------------------------------------------------------------------------------


class _Entry(BaseModel):
    """One mapping of the file; a field that is written without a value counts as left out."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _leave_out_nothing(cls, data: object) -> object:
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data


class CheckoutEntry(_Entry):
    """The tills of one shop: lanes, customers a minute and lane, which share shall wait how long, visitors a staff hour."""

    lanes: Count | None = None
    service_rate_per_minute: Annotated[float, Field(gt=0)] = SERVICE_RATE_PER_MINUTE
    target_minutes: Annotated[float, Field(ge=0)] = TARGET_MINUTES
    target_share: Annotated[float, Field(gt=0, lt=1)] = TARGET_SHARE
    star_target: Annotated[float, Field(gt=0)] | None = None


class StoreEntry(_Entry):
    """One shop of the file."""

    name: Name
    timezone: Zone
    country: Annotated[str, AfterValidator(_check_country)] | None = None
    capacity: Count | None = None
    area_sqm: Annotated[Decimal, Field(gt=0, lt=10**9)] | None = None
    traffic_basis: Annotated[str, _one_of(TRAFFIC_BASES)] = "entries"
    passerby_excludes_entrants: bool = False
    occupancy_reset_time: TimeOfDay = time(4)
    opening_hours: OpeningHours | None = None
    checkout: CheckoutEntry | None = None


class LineEntry(_Entry):
    """What one counting line stands for; a bare role is short for it."""

    role: Annotated[str, _one_of(LINE_ROLES)] = "entrance"
    inverted: bool = False
    name: Name | None = None


class RegionEntry(_Entry):
    """What one region stands for. `adjacent`: the regions that people walk on to; None: all others of the camera."""

    name: Name | None = None
    type: Name | None = None
    role: Annotated[str, _one_of(REGION_ROLES)] = "zone"
    capacity: Count | None = None
    business_purpose: Text | None = None
    adjacent: Annotated[list[Way], Field(min_length=1)] | None = None


def _role_alone(value: object) -> object:
    return {"role": value} if isinstance(value, str) else {} if value is None else value


def _all_entrances(count: int = 4) -> dict[int, LineEntry]:
    return {line: LineEntry() for line in range(1, count + 1)}


class CameraEntry(_Entry):
    """One camera of the file. `enabled` None: as it is registered, and enabled where it is new."""

    name: Name
    store: Name | None = None
    host: Host
    port: Port = 80
    vendor: Annotated[str, _one_of(VENDORS)] = "milesight"
    timezone: Zone | None = None
    location: Text | None = None
    username: Name | None = None
    password: Reference | None = None
    lines: Annotated[dict[LineNumber, Annotated[LineEntry, BeforeValidator(_role_alone)]], Field(min_length=1)] = Field(
        default_factory=_all_entrances
    )
    regions: dict[RegionNumber, RegionEntry] = Field(default_factory=dict)
    heat_scale: Annotated[float, Field(gt=0)] = 1.0
    endpoints: Annotated[list[Annotated[Endpoint, _one_of(tuple(Endpoint))]], Field(min_length=1)] = list(Endpoint)
    retention_days: dict[Annotated[Endpoint, _one_of(HISTORY_ENDPOINTS)], Annotated[int, Field(gt=0, le=36500)]] = (
        Field(default_factory=dict)
    )
    installed_on: Day | None = None
    enabled: bool | None = None


class _FleetForm(_Entry):
    organization: Name | None = None
    stores: list[StoreEntry] = Field(default_factory=list)
    cameras: list[CameraEntry] = Field(default_factory=list)


# The form of the integration guide --------------------------------------------------------------------------------------


class _GuideAuth(_Entry):
    # The collector finds out by itself which of the two the camera wants.
    type: Literal["basic", "digest"] = "basic"
    username: Name
    password: Reference | None = None


class _GuideConnection(_Entry):
    host: Host
    port: Port = 80
    auth: _GuideAuth | None = None


class _GuideMapping(_Entry):
    supports_regional_counting: bool = True
    supports_real_time_status: bool = True
    line_count: Annotated[int, Field(ge=1, le=4)] = 4
    region_count: Annotated[int, Field(ge=0, le=4)] = 0


class _GuideForm(_Entry):
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
            location=self.location,
            username=auth.username if auth else None,
            password=auth.password if auth else None,
            lines=_all_entrances(supported.line_count),
            regions={region: RegionEntry() for region in range(1, regions + 1)},
            endpoints=[endpoint for endpoint in Endpoint if endpoint not in left_out],
        )


_GUIDE_FIELDS: Mapping[str, Location] = {"name": ("sensor_name",), "host": ("connection", "host")}
_ENTRIES: Mapping[str, type[_Entry]] = {
    "stores": StoreEntry,
    "checkout": CheckoutEntry,
    "cameras": CameraEntry,
    "lines": LineEntry,
    "regions": RegionEntry,
    "connection": _GuideConnection,
    "auth": _GuideAuth,
    "data_mapping": _GuideMapping,
}


_Form = TypeVar("_Form", bound=_Entry)


# Reading ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FleetFile:
    """One checked file. `organization` None: not said, `DEFAULT_ORGANIZATION` is meant."""

    organization: str | None
    stores: tuple[StoreEntry, ...]
    cameras: tuple[CameraEntry, ...]
    text: MarkedText
    camera_locations: tuple[Location, ...]

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
    if not raw_cameras and not raw_stores:
        faults.append(marked.fault((), "holds neither cameras nor stores"))
    faults += _doubled(marked, [(("stores", index, "name"), _get(store, "name")) for index, store in stores])
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
    return FleetFile(form.organization, tuple(form.stores), tuple(form.cameras), marked, tuple(locations))


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
    return FleetFile(None, (), tuple(entries), marked, tuple(location for location, _ in sensors))


def _get(value: Value, key: str) -> Value:
    return value.get(key) if isinstance(value, dict) else None


def _doubled(marked: MarkedText, names: Iterable[tuple[Location, Value]]) -> Iterator[Fault]:
    first: dict[str, Location] = {}
    for location, name in names:
        if isinstance(name, str) and first.setdefault(name.strip(), location) != location:
            line = marked.line(first[name.strip()])
            yield marked.fault(
                location, f"{_shown(name.strip())} is the name of another, in line {line}; names are unique"
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


def _explained(form: type[_Entry], details: ErrorDetails) -> tuple[Location, str]:
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
        return location, f"{_shown(details['input'])} is not one of {context['expected']}"
    if kind in _SENTENCES:
        return location, _SENTENCES[kind](_shown(details["input"]), context)
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
