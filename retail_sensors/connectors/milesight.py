"""The wire format of Milesight people-counting cameras: what to ask, and what an answer's bytes say.

Pure functions: a question gives a path and query, a body gives rows as the camera labels them. Parsing never raises,
whatever the bytes: what is wrong comes back as `Rejected` with a reason. Which instant a label means belongs in
`localtime`, requests in `http`, and what the counts mean in `retail_sensors.analytics`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from operator import itemgetter
from typing import Any, Never

import numpy as np
import numpy.typing as npt

from retail_sensors.connectors.base import Endpoint, LocalRow, Outcome, Parsed, Rejected

MAX_COUNT_PER_HOUR = 100_000
"""No line or region is crossed more often in an hour: 28 people a second. A greater number is a fault."""

MAX_HEAT_PER_HOUR = 3_600 * 1_000 * 10
"""1 000 people in view for a whole hour, on a camera that reports ten times the seconds."""

MAX_COUNTER = 100_000_000
"""Bound of a running counter, which grows for as long as nobody resets it."""

MAX_ROWS = 1_000
"""A day has at most 25 hours; what follows this many rows is refused as one piece."""

MAX_ALARM_BYTES = 65_536

PEOPLE_VALUES = tuple(f"line{line}_{way}" for line in (1, 2, 3, 4) for way in ("in", "out"))
REGIONAL_VALUES = tuple(f"region{region}_count" for region in (1, 2, 3, 4))
HEATMAP_VALUES = ("heat_value",)

ALARM_FLAGS = (
    "region_entrance_alarm_status",
    "region_exit_alarm_status",
    "counter_alarm_status",
    *(f"region{region}_{way}_alarm" for region in (1, 2, 3, 4) for way in ("in", "out")),
)
ALARM_COUNTERS = ("current_in_count", "current_out_count", "current_sum_count", "current_capacity_count")
ALARM_VALUES = (*ALARM_FLAGS, *ALARM_COUNTERS, "current_counter_alarm")
"""Keys of the alarm status that have a column of their own, in the order of the table."""

STAY_LENGTHS = (5, 10, 30, 60, 100, 300, 600, 1800)
"""Seconds that the regional report can tell longer stays from; their place in this list is the `length` of the question."""

DEFAULT_MAP_SIDE = 192
"""Cells of a spatial heat map in both directions, where it does not say."""

MAX_MAP_SIDE = 1_024

MAX_CELL_PER_DAY = 25 * MAX_HEAT_PER_HOUR
"""Everybody who can be in view stands in one cell all day."""

ALARM_PATH = "/cgi-bin/operator/operator.cgi?action=get.vca.alarmstatus"

_REGIONS = "&region1=1&region2=1&region3=1&region4=1"
_DAY_KINDS = {
    Endpoint.PEOPLE_COUNTING: "dw=vcalogcsv&report_type=0&linetype=31&statistics_type=3",
    Endpoint.REGIONAL_COUNTING: f"dw=regionalcountlogcsv&report_type=0&lengthtype=0&length=0{_REGIONS}",
    Endpoint.HEATMAP_TEMPORAL: "dw=heatmapcsv&sub_type=0",
    Endpoint.SPATIAL_HEATMAP: "dw=spaceheatmap&sub_type=0",
}


def request_target(endpoint: Endpoint, local_day: date | None) -> str:
    """Path and query of a question; `local_day` is None exactly for the alarm status, which is a reading of now.

    About stays there is more than one question: see `stay_target`.
    """
    if local_day is None:
        return ALARM_PATH
    return _day_target(_DAY_KINDS[endpoint], local_day)


def stay_target(length: int, local_day: date) -> str:
    """Path and query of the question how many detections stayed longer than STAY_LENGTHS[length] seconds."""
    return _day_target(f"dw=regionalcountlogcsv&report_type=0&lengthtype=1&length={length}{_REGIONS}", local_day)


def _day_target(kind: str, local_day: date) -> str:
    """Path and query of a report over one local day, from local midnight to 23:59:59."""
    return f"/dataloader.cgi?{kind}&time_start={local_day}-00:00:00&time_end={local_day}-23:59:59"


class _RefusedError(Exception):
    """Why one row or one body is not data."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where one header puts what.

    `numbers` takes a row's numeric cells: first those of the values that the header has, then the totals. `values`
    gives for each value its place among them, -1 where the header lacks it. `sums` are (place of the total, its
    parts): they must agree where all are given. `is_self_checking` says whether a value that lost its last digits
    would break a sum.
    """

    width: int
    start: int
    end: int
    numbers: Callable[[list[str]], Sequence[str]]
    values: tuple[int, ...]
    has_all_values: bool
    sums: tuple[tuple[int, Callable[[list[Any]], Sequence[Any]]], ...]
    is_self_checking: bool


def parse_people(body: bytes, *, is_framed: bool = True) -> Parsed:
    """Hourly line counts: values in the order of `PEOPLE_VALUES`.

    `is_framed` is false where nothing but the end of the connection said that the body is complete.
    """
    return _parse(body, _people_layout, _count, is_framed)


def parse_regional(body: bytes, *, is_framed: bool = True) -> Parsed:
    """Hourly region counts: values in the order of `REGIONAL_VALUES`, None for a region without a column."""
    return _parse(body, _regional_layout, _count, is_framed)


def parse_heatmap(body: bytes, *, is_framed: bool = True) -> Parsed:
    """Hourly heat values exactly as the camera says them: one value, `HEATMAP_VALUES`."""
    return _parse(body, _heatmap_layout, _heat, is_framed)


def not_data(body: bytes, reason: str) -> Parsed:
    """A body that is no report at all, kept whole as one rejected payload."""
    return Parsed([], [Rejected(reason, body)], Outcome.NOT_DATA)


def _parse(
    body: bytes,
    layout_of: Callable[[str], _Layout],
    number: Callable[[str], int | float | None],
    is_framed: bool,
) -> Parsed:
    # One character for each byte: decoding cannot fail, and encoding a row gives back its very bytes.
    text = body.decode("latin-1").removeprefix("\xef\xbb\xbf")
    lines = [line for line in text.replace("\r", "\n").split("\n") if line and not line.isspace()]
    if not lines:
        return Parsed([], [], Outcome.EMPTY_BODY)
    if lines[0].lstrip().startswith("<"):
        return not_data(body, "the body is an HTML or XML page, not a report")
    if len(lines[0]) > 4_096:
        return not_data(body, "the body does not begin with a report's header")
    try:
        layout = layout_of(lines[0])
    except _RefusedError as refused:
        return not_data(body, str(refused))

    rows: list[LocalRow] = []
    rejected: list[Rejected] = []
    is_last_line_open = text[-1] not in "\r\n"
    last = len(lines) - 1
    # Rows follow the header's line end, so a header without one is not the report of an empty day.
    is_cut = last == 0 and is_last_line_open
    for position in range(1, min(last, MAX_ROWS) + 1):
        raw = lines[position]
        try:
            row = _parse_row(raw, layout, number)
            # 154 may be what is left of 15420; only the day's last hour in a body of known length is surely whole.
            is_sure = layout.is_self_checking or (is_framed and row.local_start.hour == 23)
            if position == last and is_last_line_open and not is_sure:
                raise _RefusedError("the body ends without a line end, the last number may be cut off")
            rows.append(row)
        except _RefusedError as refused:
            reason = str(refused)
            if position == last and is_last_line_open:
                is_cut = True
                reason = f"the last row is cut off: {reason}"
            rejected.append(Rejected(reason, raw.encode("latin-1")))
    if last > MAX_ROWS:
        rest = "\n".join(lines[MAX_ROWS + 1 :]).encode("latin-1")
        rejected.append(Rejected(f"the report has {last} rows, at most {MAX_ROWS} are read", rest))
    # A daily report lists all hours; one that stops early was cut between two rows, if nothing announced its length.
    if is_cut or (not is_framed and last > 0 and not any(row.local_start.hour == 23 for row in rows)):
        return Parsed(rows, rejected, Outcome.TRUNCATED)
    return Parsed(rows, rejected, Outcome.OK_WITH_REJECTS if rejected else Outcome.OK)


def _parse_row(raw: str, layout: _Layout, number: Callable[[str], int | float | None]) -> LocalRow:
    cells = raw.split(",")
    if len(cells) != layout.width:
        raise _RefusedError(f"the row has {len(cells)} cells, the header {layout.width}")
    # Clipped, because the cache behind it keeps what it is asked for.
    start = _instant(cells[layout.start][:40])
    end = _instant(cells[layout.end][:40])
    if start is None or end is None:
        text = cells[layout.start if start is None else layout.end]
        raise _RefusedError(f"{text[:40]!r} is not a time like 2025/07/22 10:00:00")
    if end - start != _ONE_HOUR_INCLUSIVE:
        raise _RefusedError(f"the row runs from {start} to {end}, not to the last second of an hour")
    numbers = [_SMALL[cell] if cell in _SMALL else number(cell) for cell in layout.numbers(cells)]
    has_gap = None in numbers
    for total_place, parts in layout.sums:
        total, given = numbers[total_place], parts(numbers)
        if has_gap and (total is None or None in given):
            continue
        if total != sum(given):
            raise _RefusedError(f"the row says {total} where its parts add up to {sum(given)}")
    if layout.has_all_values:
        values = tuple(numbers[: len(layout.values)])
    else:
        values = tuple([numbers[place] if place >= 0 else None for place in layout.values])
    return LocalRow(start, end, values, raw, cells[layout.start].strip())


# Most cells are small, and looking them up takes half the time of checking and converting them.
_SMALL: dict[str, int | float] = {str(value): value for value in range(1_000)}
_ONE_HOUR_INCLUSIVE = timedelta(minutes=59, seconds=59)
_INSTANT = re.compile(r"\d{4}([/-])\d{2}\1\d{2} \d{2}:\d{2}:\d{2}", re.ASCII)


@lru_cache(maxsize=4096)
def _instant(text: str) -> datetime | None:
    """A local wall-clock time, without a zone; None for a text that is not one. Cached: the fleet shares its hours."""
    text = text.strip()
    if _INSTANT.fullmatch(text) is None:
        return None
    try:
        return datetime.fromisoformat(text.replace("/", "-"))
    except ValueError:
        return None


def _count(cell: str) -> int | None:
    # isdecimal alone keeps out what int() would take: signs, underscores and digits of other scripts.
    if not cell.isdecimal():
        cell = cell.strip()
        if not cell:
            return None
        if not cell.isdecimal():
            raise _RefusedError(f"{cell[:40]!r} is not a count")
    if len(cell) > 12 or (value := int(cell)) > MAX_COUNT_PER_HOUR:
        raise _RefusedError(f"{cell[:40]} in one hour is beyond {MAX_COUNT_PER_HOUR}, which no place has")
    return value


_HEAT = re.compile(r"\d{1,12}(?:\.\d{1,9})?", re.ASCII)


def _heat(cell: str) -> float | None:
    cell = cell.strip()
    if not cell:
        return None
    if _HEAT.fullmatch(cell) is None:
        raise _RefusedError(f"{cell[:40]!r} is not a heat value")
    value = float(cell)
    if value > MAX_HEAT_PER_HOUR:
        raise _RefusedError(f"a heat value of {cell[:40]} in one hour is beyond {MAX_HEAT_PER_HOUR}")
    return value


def _columns(header: str) -> dict[str, int]:
    """Positions by column name, in lower case and without spaces. Refuses a header that names a column twice."""
    positions: dict[str, int] = {}
    for position, cell in enumerate(header.split(",")):
        # "Tolal" is the firmware's own spelling.
        name = "".join(cell.split()).lower().replace("tolal", "total")
        if name in positions:
            raise _RefusedError(f"the header names the column {name[:40]!r} twice")
        positions[name] = position
    return positions


def _require(columns: dict[str, int], names: tuple[str, ...]) -> None:
    missing = [name for name in names if name not in columns]
    if missing:
        raise _RefusedError(f"the body has no column {', '.join(missing)}")


@lru_cache(maxsize=256)
def _people_layout(header: str) -> _Layout:
    columns = _columns(header)
    lines = (1, 2, 3, 4)
    _require(
        columns,
        ("starttime", "endtime", *(f"line{line}-{way}" for line in lines for way in ("in", "out"))),
    )
    sums = [
        (columns[total], tuple(columns[part] for part in parts))
        for total, parts in (
            *((f"line{line}-sum", (f"line{line}-in", f"line{line}-out")) for line in lines),
            *((f"total-{way}", tuple(f"line{line}-{way}" for line in lines)) for way in ("in", "out")),
            ("total-sum", tuple(f"line{line}-{way}" for line in lines for way in ("in", "out"))),
        )
        if total in columns
    ]
    return _layout(columns, [columns[f"line{line}-{way}"] for line in lines for way in ("in", "out")], sums)


@lru_cache(maxsize=256)
def _regional_layout(header: str) -> _Layout:
    columns = _columns(header)
    _require(columns, ("starttime", "endtime"))
    values = [columns.get(f"region{region}", -1) for region in (1, 2, 3, 4)]
    present = tuple(position for position in values if position >= 0)
    if not present:
        # A camera without any region drawn; the sum alone still says which report this is.
        _require(columns, ("sum",))
    return _layout(columns, values, [(columns["sum"], present)] if "sum" in columns else [])


@lru_cache(maxsize=256)
def _heatmap_layout(header: str) -> _Layout:
    columns = _columns(header)
    if "value" in columns and "value(s)" not in columns:
        columns["value(s)"] = columns.pop("value")
    _require(columns, ("starttime", "endtime", "value(s)"))
    return _layout(columns, [columns["value(s)"]], [])


def _picker(places: list[int]) -> Callable[[list[Any]], Sequence[Any]]:
    """Takes the items at some places of a list."""
    if len(places) > 1:
        return itemgetter(*places)
    # With a single place itemgetter would give the bare item.
    return itemgetter(slice(places[0], places[0] + 1) if places else slice(0))


def _layout(columns: dict[str, int], values: list[int], sums: list[tuple[int, tuple[int, ...]]]) -> _Layout:
    present = [position for position in values if position >= 0]
    positions = [*present, *(total for total, _ in sums)]
    place = {position: at for at, position in enumerate(positions)}
    summed = {position for _, parts in sums for position in parts}
    return _Layout(
        width=len(columns),
        start=columns["starttime"],
        end=columns["endtime"],
        numbers=_picker(positions),
        values=tuple(place.get(position, -1) for position in values),
        has_all_values=len(present) == len(values),
        sums=tuple((place[total], _picker([place[part] for part in parts])) for total, parts in sums),
        is_self_checking=summed.issuperset(present),
    )


@dataclass(frozen=True, slots=True)
class ParsedAlarm:
    """One reading of the alarm status: values by the names in `ALARM_VALUES`, and the keys that have no column.

    A value is None where the camera does not say it. `outcome` is `ok` with values, or without any `truncated`,
    `not_data`, `ok_with_rejects` (the reading was refused) or `empty_body`; `rejected` then says why.
    """

    values: dict[str, int | None]
    extra: dict[str, str]
    rejected: list[Rejected]
    outcome: Outcome


_ASSIGNMENT = re.compile(
    r"""\s*(?:var\s+)?([A-Za-z_][\w.]*)\s*=\s*(?:'([^'\r\n]*)'|"([^"\r\n]*)"|([^;'"\r\n]*))[^\S\r\n]*(?:;|\r\n|\r|\n|\Z)""",
    re.ASCII,
)


def parse_alarm(body: bytes, *, is_framed: bool = True) -> ParsedAlarm:
    """The alarm flags and running counters of now, from JavaScript assignments or `key=value` lines.

    A reading is one row: one impossible number refuses all of it.
    """
    text = body.decode("latin-1").removeprefix("\xef\xbb\xbf").strip()
    if not text:
        return ParsedAlarm({}, {}, [], Outcome.EMPTY_BODY)
    if text.startswith("<"):
        return _refuse_alarm(body, "the body is an HTML or XML page, not an alarm status")
    if len(body) > MAX_ALARM_BYTES or "\0" in text:
        return _refuse_alarm(body, f"the body is binary, or longer than {MAX_ALARM_BYTES} bytes")
    assigned: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _ASSIGNMENT.match(text, position)
        if match is None:
            break
        key, single, double, plain = match.groups()
        assigned[key] = single if single is not None else double if double is not None else plain.strip()
        position = match.end()
    if not any(name in assigned for name in ALARM_VALUES):
        return _refuse_alarm(body, "the body names no known key of the alarm status")
    if text[position:].strip("; \t\r\n"):
        return _refuse_alarm(body, "the alarm status is cut off, or holds something else", Outcome.TRUNCATED)
    if not is_framed and text[-1] not in ";'\"" and body[-1:] not in (b"\r", b"\n"):
        return _refuse_alarm(body, "the alarm status may be cut off in its last number", Outcome.TRUNCATED)
    try:
        values = {name: _alarm_number(name, assigned.get(name)) for name in ALARM_VALUES}
        _check_counters(values)
    except _RefusedError as refused:
        return _refuse_alarm(body, str(refused), Outcome.OK_WITH_REJECTS)
    extra = {key: text for key, text in assigned.items() if key not in values}
    return ParsedAlarm(values, extra, [], Outcome.OK)


def _refuse_alarm(body: bytes, reason: str, outcome: Outcome = Outcome.NOT_DATA) -> ParsedAlarm:
    return ParsedAlarm({}, {}, [Rejected(reason, body)], outcome)


_INTEGER = re.compile(r"-?\d{1,12}", re.ASCII)


def _alarm_number(name: str, text: str | None) -> int | None:
    if text is None or not text.strip():
        return None
    if _INTEGER.fullmatch(text.strip()) is None:
        raise _RefusedError(f"{name} is {text[:40]!r}, not a number")
    value = int(text)
    # People who came in uncounted and left counted make the capacity negative; nothing else can be.
    lowest = -MAX_COUNTER if name == "current_capacity_count" else 0
    highest = MAX_COUNTER if name in ALARM_COUNTERS else 255
    if not lowest <= value <= highest:
        raise _RefusedError(f"{name} is {value}, outside {lowest} to {highest}")
    return value


def _check_counters(values: dict[str, int | None]) -> None:
    came, left = values["current_in_count"], values["current_out_count"]
    if came is None or left is None:
        return
    for name, expected in (("current_sum_count", came + left), ("current_capacity_count", came - left)):
        if values[name] is not None and values[name] != expected:
            raise _RefusedError(f"{name} is {values[name]}, but in {came} and out {left} make {expected}")


@dataclass(frozen=True, slots=True)
class ParsedMap:
    """A spatial heat map: `cells` has shape (height, width), values exactly as the camera says them.

    `maximum` is what the camera calls the largest value, None where it says none. A cell without a point is 0. `cells` is
    None where the body is no map; `outcome` and the last of `rejected` then say why. Otherwise `rejected` are points.
    """

    cells: npt.NDArray[np.uint32] | None
    maximum: int | None
    rejected: list[Rejected]
    outcome: Outcome


def parse_spatial(body: bytes, *, is_framed: bool = True) -> ParsedMap:
    """Where people stood on one day, from sparse points in JSON.

    A point outside of the map or without whole numbers is refused, and so are all points of a cell that is given
    different values; a point that is given twice is one. JSON says itself whether it is complete, so `is_framed` is not needed.
    """
    text = body.removeprefix(b"\xef\xbb\xbf").strip()
    if not text:
        return ParsedMap(None, None, [], Outcome.EMPTY_BODY)
    if text.startswith(b"<"):
        return _refuse_map(body, "the body is an HTML or XML page, not a heat map")
    try:
        said = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        if text.startswith(b"{") and not text.endswith(b"}"):
            return _refuse_map(body, "the heat map is cut off", Outcome.TRUNCATED)
        return _refuse_map(body, "the body is not JSON")
    points = said.get("data") if isinstance(said, dict) else None
    if not isinstance(points, list):
        return _refuse_map(body, "the body holds no points")
    try:
        width, height = (_map_side(said, name) for name in ("map_w", "map_h"))
    except _RefusedError as refused:
        return _refuse_map(body, str(refused))
    given: dict[tuple[int, int], int] = {}
    torn: dict[tuple[int, int], str] = {}
    rejected: list[Rejected] = []
    for point in points:
        try:
            x, y, value = _map_point(point, width, height)
        except _RefusedError as refused:
            rejected.append(Rejected(str(refused), _point_bytes(point)))
            continue
        first = given.setdefault((x, y), value)
        if first != value:
            torn[x, y] = f"the cell x {x}, y {y} is given twice, with {first} and {value}"
    for (x, y), reason in torn.items():
        rejected.append(Rejected(reason, _point_bytes({"x": x, "y": y, "value": given.pop((x, y))})))
    if points and not given:
        return _refuse_map(body, f"not one of its {len(points)} points can be meant: {rejected[0].reason}")
    cells = np.zeros((height, width), dtype=np.uint32)
    for (x, y), value in given.items():
        cells[y, x] = value
    maximum = _whole(said.get("max"))
    return ParsedMap(
        cells,
        maximum if maximum is not None and 0 <= maximum < 2**63 else None,
        rejected,
        Outcome.OK_WITH_REJECTS if rejected else Outcome.OK,
    )


def _refuse_map(body: bytes, reason: str, outcome: Outcome = Outcome.NOT_DATA) -> ParsedMap:
    return ParsedMap(None, None, [Rejected(reason, body)], outcome)


def _point_bytes(point: object) -> bytes:
    try:
        return json.dumps(point).encode()
    except RecursionError:
        # Nested as deep as reading just allowed.
        return b"[...]"


def _refuse_constant(text: str) -> Never:
    raise ValueError(text)


def _whole(value: object) -> int | None:
    """A whole number of JSON, also one that is written 15.0; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) else None


def _map_side(said: dict[str, Any], name: str) -> int:
    if said.get(name) is None:
        return DEFAULT_MAP_SIDE
    side = _whole(said[name])
    if side is None or not 1 <= side <= MAX_MAP_SIDE:
        raise _RefusedError(f"{name} is {str(said[name])[:40]}, not a number of cells from 1 to {MAX_MAP_SIDE}")
    return side


def _map_point(point: object, width: int, height: int) -> tuple[int, int, int]:
    if not isinstance(point, dict):
        raise _RefusedError("the point is not of the form x, y, value")
    x, y, value = (_whole(point.get(name)) for name in ("x", "y", "value"))
    if x is None or y is None or value is None:
        raise _RefusedError("the point has no whole numbers x, y and value")
    if not (0 <= x < width and 0 <= y < height):
        raise _RefusedError(f"the point x {x}, y {y} lies outside of the map of {width} by {height} cells"[:120])
    if not 0 <= value <= MAX_CELL_PER_DAY:
        raise _RefusedError(f"the value {value} of a cell is outside of 0 to {MAX_CELL_PER_DAY}"[:120])
    return x, y, value
