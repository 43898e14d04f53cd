"""One simulated Milesight camera without its sockets: a question and an instant in, an answer out.

Here belong paths, parameters, bodies, the camera's clock and its counters. Credentials, connections and broken answers
are in `server`; how many people walked is in `traffic` and `replay`.
"""

from __future__ import annotations

import json
import math
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from retail_sensors.connectors.base import Endpoint
from retail_sensors.errors import ConfigurationError
from retail_sensors.simulator.switches import Fault, FaultKind, Switches
from retail_sensors.simulator.traffic import HOUR, NOTHING, Counts, LocalHour, TrafficSource, local_hours

DEFAULT_PASSWORD = "simulated"  # noqa: S105 - guards made-up numbers on a loopback address
DATALOADER = "/dataloader.cgi"
ALARM_STATUS = "/cgi-bin/operator/operator.cgi"
LENGTHS_SECONDS = (5, 10, 30, 60, 100, 300, 600, 1800)
MAP_SIZE = 192

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)-(\d\d):(\d\d):(\d\d)")
_CACHED_BODIES = 48


@dataclass(frozen=True, slots=True)
class SimulatedRegion:
    """One region that is drawn in a camera's picture, and how long its detections stay.

    capacity: persons. stay_seconds: mean stay of those who pass through, found anew every few seconds. lingering_share of the
    detections stay lingering_seconds in the mean. Both without memory: what outlasts a length falls exponentially with it.
    """

    name: str
    role: str
    type: str | None = None
    capacity: int | None = None
    stay_seconds: float = 4.0
    lingering_share: float = 0.0
    lingering_seconds: float = 100.0

    def longer_share(self, seconds: float) -> float:
        """Share of the detections that stay longer."""
        passing = (1 - self.lingering_share) * math.exp(-seconds / self.stay_seconds)
        return passing + self.lingering_share * math.exp(-seconds / self.lingering_seconds)

    @property
    def mean_stay_seconds(self) -> float:
        """Mean stay of a detection."""
        return (1 - self.lingering_share) * self.stay_seconds + self.lingering_share * self.lingering_seconds


# With them the regions of the default shop hold as many people as its heat value says are in view.
DEFAULT_REGIONS: Mapping[int, SimulatedRegion] = {
    1: SimulatedRegion("Entrance", "entrance", "entrance", 20, 5.0),
    2: SimulatedRegion("Aisle", "zone", "zone", 60),
    3: SimulatedRegion("Queue", "queue", "queue", 15, 4.0, 0.05),
    4: SimulatedRegion("Checkout", "checkout", "checkout", 10, 30.0, 0.2),
}


class Answer(NamedTuple):
    """One HTTP answer: status, content type, and the whole body."""

    status: int
    content_type: str
    body: bytes


class HourTruth(NamedTuple):
    """What was simulated for one local hour: its label (wall clock), fold, instant, and counts (None: no row)."""

    label: datetime
    fold: int
    starts_at: datetime
    counts: Counts | None


@dataclass(frozen=True, slots=True)
class Question:
    """A request target as the camera understands it.

    `kind` is the `dw` value, `alarm`, `forbidden` or `unknown`. `period` is day, week, month or year by its number.
    """

    kind: str
    start: datetime | None = None
    end: datetime | None = None
    period: int = 0
    statistics: int = 3
    length_type: int = 0
    length: int = 0
    regions: tuple[bool, ...] = (True,) * 4

    @property
    def endpoint(self) -> Endpoint | None:
        """The endpoint's name in the rest of the package; None for the ones that are not collected."""
        return Endpoint.REGION_STAYS if self.is_about_stays else _ENDPOINTS.get(self.kind)

    @property
    def is_about_stays(self) -> bool:
        """Whether only long, or only short, stays in the regions are asked for."""
        return self.kind == "regionalcountlogcsv" and self.length_type in (1, 2)


_ENDPOINTS = {
    "vcalogcsv": Endpoint.PEOPLE_COUNTING,
    "regionalcountlogcsv": Endpoint.REGIONAL_COUNTING,
    "heatmapcsv": Endpoint.HEATMAP_TEMPORAL,
    "spaceheatmap": Endpoint.SPATIAL_HEATMAP,
    "alarm": Endpoint.ALARM_STATUS,
}
_KINDS = frozenset(("vcalogcsv", "regionalcountlogcsv", "heatmapcsv", "spaceheatmap"))


def _moment(text: str | None) -> datetime | None:
    match = _TIME.fullmatch(text or "")
    if match is None:
        return None
    try:
        return datetime(*map(int, match.groups()))  # type: ignore[arg-type]  # noqa: DTZ001 - a wall clock
    except ValueError:
        return None


def _number(given: Mapping[str, str], name: str, default: int) -> int:
    text = given.get(name, "")
    return int(text) if text.isdecimal() and text.isascii() else default


@lru_cache(maxsize=4096)
def understand(target: str) -> Question:
    """The question in a request target (path and query); parameters that the camera does not know are ignored."""
    parts = urlsplit(target)
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.path == ALARM_STATUS and given.get("action") == "get.vca.alarmstatus":
        return Question("alarm")
    if parts.path != DATALOADER:
        # Snapshot, system and configuration pages exist, but not for an account that may only read counts.
        return Question("forbidden" if parts.path.startswith("/cgi-bin/") else "unknown")
    kind = given.get("dw", "")
    if kind not in _KINDS:
        return Question("unknown")
    asked = tuple(given.get(f"region{region}", "1") != "0" for region in range(1, 5))
    return Question(
        kind,
        _moment(given.get("time_start")),
        _moment(given.get("time_end")),
        _number(given, "report_type" if kind in ("vcalogcsv", "regionalcountlogcsv") else "sub_type", 0),
        _number(given, "statistics_type", 3),
        _number(given, "lengthtype", 0),
        _number(given, "length", 0),
        asked,
    )


class _Row(NamedTuple):
    starts: datetime
    ends: datetime
    counts: Counts


@lru_cache(maxsize=65536)
def _stamps(starts: datetime, ends: datetime, separator: str) -> str:
    day = f"%Y{separator}%m{separator}%d %H:%M:%S"
    return f"{starts.strftime(day)},{ends.strftime(day)}"


class SimulatedCamera:
    """One camera: where it listens, what it counts, and how its firmware and its luck are.

    name: unique in a fleet. timezone: IANA name of its wall clock. host, port: its address; port 0 lets the system
    choose. An empty username switches the login off. store: name of its store. lines: role by line number, for the
    configuration file; by default those of its traffic. regions: the drawn ones, by number 1 to 4; others count
    nothing. counter_limits: `in`, `out`, `sum` or `capacity` -> the number at which the counter alarm rises.
    clock_offset_seconds: how far its clock is ahead of true time.
    """

    def __init__(
        self,
        name: str,
        timezone: str,
        traffic: TrafficSource,
        *,
        seed: int = 0,
        host: str = "127.0.0.1",
        port: int = 0,
        username: str = "admin",
        password: str = DEFAULT_PASSWORD,
        switches: Switches = Switches(),  # noqa: B008 - frozen
        faults: Sequence[Fault] = (),
        store: str | None = None,
        location: str | None = None,
        lines: Mapping[int, str] | None = None,
        regions: Mapping[int, SimulatedRegion] = DEFAULT_REGIONS,
        counter_limits: Mapping[str, int] | None = None,
        clock_offset_seconds: float = 0.0,
    ) -> None:
        self.zone = zone_named(timezone, f"camera {name}")
        self.name = name
        self.timezone = timezone
        self.traffic = traffic
        self.seed = seed
        self.host = host
        self.port = port
        self.username = username
        self.password = password
        self.switches = switches
        self.store = store
        self.location = location
        self.lines = dict(traffic.lines if lines is None else lines)
        self.regions = dict(regions)
        self.counter_limits = dict(counter_limits or {})
        self.clock_offset_seconds = clock_offset_seconds
        self.started_at: datetime | None = None
        for what, numbers in (("line", self.lines), ("region", self.regions)):
            for number in numbers:
                if number not in range(1, 5):
                    raise ConfigurationError(f"camera {name} has a {what} {number}: use 1 to 4")
        if unknown := set(self.counter_limits) - set(_ALARM_BITS):
            raise ConfigurationError(
                f"camera {name} has counter limits {', '.join(sorted(unknown))}: use {', '.join(_ALARM_BITS)}"
            )
        self._day = lru_cache(maxsize=64)(self._day_of_traffic)
        self._bodies: OrderedDict[str, Answer] = OrderedDict()
        self.faults = tuple(faults)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What goes wrong with this camera; to be set on a running camera through its fleet."""
        return self._faults

    @faults.setter
    def faults(self, faults: Sequence[Fault]) -> None:
        self._faults = tuple(faults)
        self._states = tuple(fault for fault in faults if fault.kind.is_state)
        # Without a crooked clock, resets or forgetting, a report about finished hours never changes.
        self._is_plain = not self._states and self.clock_offset_seconds == 0
        self._bodies.clear()

    def answer(self, target: str, now: datetime) -> Answer:
        """What the camera says to `GET target` at the true instant `now` (zone-aware), if nothing breaks."""
        kept = self._bodies.get(target)
        if kept is not None:
            self._bodies.move_to_end(target)
            return kept
        question = understand(target)
        if question.kind == "alarm":
            return Answer(200, "text/plain", self._alarm_status(now))
        if question.kind == "forbidden":
            return page(401)
        if question.kind == "unknown":
            return page(404)
        if question.kind == "spaceheatmap" and self.switches.spatial_heat_map != 200:
            return page(self.switches.spatial_heat_map)
        if question.is_about_stays and self.switches.region_stays != 200:
            return page(self.switches.region_stays)
        if question.start is None:
            return page(400)
        rows = self._rows(question, now)
        if question.kind == "spaceheatmap":
            answer = Answer(200, "application/json", self._spatial(question.start, rows))
        else:
            render = {"vcalogcsv": self._people, "regionalcountlogcsv": self._regional, "heatmapcsv": self._heat}
            answer = Answer(200, self.switches.content_type, render[question.kind](question, rows))
        if self._is_settled(question, now):
            self._bodies[target] = answer
            if len(self._bodies) > _CACHED_BODIES:
                self._bodies.popitem(last=False)
        return answer

    def clock(self, now: datetime) -> datetime:
        """The instant that the camera believes it is, when it truly is `now`."""
        return now + self._offset(now)

    def truth(self, start: datetime, end: datetime) -> list[HourTruth]:
        """See `counts`."""
        begin, stop = (
            (one if one.tzinfo is not None else one.replace(tzinfo=self.zone)).astimezone(UTC) for one in (start, end)
        )
        truths = []
        for day in _days(begin.astimezone(self.zone).date(), stop.astimezone(self.zone).date()):
            counted = self._day(day)
            truths += [
                HourTruth(hour.label, hour.fold, hour.starts_at, counted.get(hour.starts_at))
                for hour in local_hours(day, self.zone)
                if begin <= hour.starts_at < stop
            ]
        return truths

    def _day_of_traffic(self, day: date) -> Mapping[datetime, Counts]:
        drawn = [region in self.regions for region in range(1, 5)]
        return {
            starts_at: counts._replace(
                regions=tuple(value if on else 0 for value, on in zip(counts.regions, drawn, strict=True))
            )
            for starts_at, counts in self.traffic.day(day, self.zone).items()
        }

    def _offset(self, instant: datetime) -> timedelta:
        seconds = self.clock_offset_seconds
        for fault in self._states:
            if not fault.is_active(instant):
                continue
            if fault.kind is FaultKind.CLOCK_OFFSET:
                seconds += fault.offset_seconds
            elif fault.kind is FaultKind.CLOCK_DRIFT:
                since = fault.start or self.started_at
                if since is not None and instant > since:
                    seconds += fault.drift_seconds_per_day * ((instant - since) / _DAY)
        return timedelta(seconds=seconds)

    def _resets(self, kind: FaultKind, now: datetime) -> Iterator[datetime]:
        for fault in self._states:
            at = fault.start or self.started_at
            if fault.kind is kind and at is not None and at <= now:
                yield at

    def _hour(self, hour: LocalHour, now: datetime, believed: datetime) -> Counts | None:
        if hour.starts_at >= believed:
            return NOTHING
        ends = hour.starts_at + HOUR
        if self._is_plain:
            counts = self._day(hour.label.date()).get(hour.starts_at)
            if counts is None or ends <= believed:
                return counts
            return counts.so_far((believed - hour.starts_at) / HOUR)
        ends = min(ends, believed)
        return self._between(hour.starts_at - self._offset(hour.starts_at), ends - self._offset(ends), now)

    def _between(self, begin: datetime, end: datetime, now: datetime) -> Counts | None:
        """What was counted from one true instant to another; None where the traffic knows nothing about any of it."""
        factory_reset = max(self._resets(FaultKind.FACTORY_RESET, now), default=None)
        if factory_reset is not None and factory_reset > begin:
            begin = factory_reset
            if end <= begin:
                return NOTHING
        total: Counts | None = None
        for day in _days(begin.astimezone(self.zone).date(), end.astimezone(self.zone).date()):
            for starts_at, counts in self._day(day).items():
                # Shares of the same hour are always taken from its start, so that adjoining spans add up exactly.
                since = min(max((begin - starts_at) / HOUR, 0.0), 1.0)
                until = min(max((end - starts_at) / HOUR, 0.0), 1.0)
                if since < until:
                    part = counts.so_far(until).minus(counts.so_far(since))
                    total = part if total is None else total.plus(part)
        return total

    def _hourly(self, start: datetime, end: datetime, now: datetime, is_heat: bool) -> list[_Row]:
        """Hourly rows with labels in [start, end) as the camera lists them."""
        believed = self.clock(now)
        held_days = self.switches.heat_retention_days if is_heat else self.switches.retention_days
        oldest = None if held_days is None else believed.astimezone(self.zone).date() - timedelta(days=held_days)
        rows: list[_Row] = []
        for day in _days(start.date(), end.date()):
            for hour in local_hours(day, self.zone):
                if not start <= hour.label < end:
                    continue
                if oldest is not None and day < oldest:
                    counts = NOTHING if self.switches.beyond_retention == "zero" else None
                else:
                    counts = self._hour(hour, now, believed)
                if counts is None:
                    continue
                row = _Row(hour.label, hour.label + HOUR - _SECOND, counts)
                if rows and rows[-1].starts == row.starts and self.switches.repeated_hour != "listed_twice":
                    earlier = rows.pop().counts
                    if self.switches.repeated_hour == "merged":
                        row = row._replace(counts=earlier.plus(counts))
                rows.append(row)
        return rows

    def _rows(self, question: Question, now: datetime) -> list[_Row]:
        assert question.start is not None  # noqa: S101 - the caller has answered 400
        is_heat = question.kind in ("heatmapcsv", "spaceheatmap")
        periods = list(_periods(question.start, question.period))
        if question.period == 0:
            rows = self._hourly(*periods[0], now, is_heat)
        else:
            rows = []
            for begin, end in periods:
                total = NOTHING
                for row in self._hourly(begin, end, now, is_heat):
                    total = total.plus(row.counts)
                rows.append(_Row(begin, end - _SECOND, total))
        if self.switches.time_end == "honoured" and question.end is not None:
            rows = [row for row in rows if row.starts <= question.end]
        return rows

    def _is_settled(self, question: Question, now: datetime) -> bool:
        switches = self.switches
        if not self._is_plain or switches.retention_days is not None or switches.heat_retention_days is not None:
            return False
        assert question.start is not None  # noqa: S101 - the caller has answered 400
        *_, (_, end) = _periods(question.start, question.period)
        return end.replace(tzinfo=self.zone, fold=1) <= now

    def _csv(self, header: Sequence[str], lines: Sequence[str], spaced: bool = True) -> bytes:
        if self.switches.header_spaces == "no":
            header, spaced = [cell.replace(" ", "") for cell in header], False
        end = "\r\n" if self.switches.line_end == "crlf" else "\n"
        return end.join([(", " if spaced else ",").join(header), *lines, ""]).encode("ascii")

    def _people(self, question: Question, rows: Sequence[_Row]) -> bytes:
        names = [self.switches.total_spelling, "Line1", "Line2", "Line3", "Line4"]
        columns = {0: ["In"], 1: ["Out"]}.get(question.statistics, ["In", "Out", "Sum"])
        header = ["StartTime", "EndTime", *(f"{name} - {column}" for name in names for column in columns)]
        lines = []
        for starts, ends, counts in rows:
            cells = [_stamps(starts, ends, "/")]
            for entered, left in ((counts.total_in, counts.total_out), *counts.lines):
                if question.statistics == 0:
                    cells.append(f"{entered}")
                elif question.statistics == 1:
                    cells.append(f"{left}")
                else:
                    cells.append(f"{entered},{left},{entered + left}")
            lines.append(",".join(cells))
        return self._csv(header, lines)

    def _regional(self, question: Question, rows: Sequence[_Row]) -> bytes:
        asked = [question.regions[index] and index + 1 in self.regions for index in range(4)]
        columns = [index for index in range(4) if asked[index] or self.switches.region_columns == "always_4"]
        seconds = LENGTHS_SECONDS[min(question.length, len(LENGTHS_SECONDS) - 1)]
        share = np.array([self.regions[i + 1].longer_share(seconds) if i + 1 in self.regions else 0.0 for i in columns])
        # Rounded along the day, so that the few long stays of quiet hours are not lost.
        values_by_hour = np.array([[counts.regions[i] for i in columns] for *_, counts in rows], dtype=float)
        along = np.floor(np.cumsum(values_by_hour.reshape(len(rows), len(columns)) * share, axis=0) + 0.5)
        longer_by_hour = np.diff(along, axis=0, prepend=0.0).astype(int).tolist()
        lines = []
        for (starts, ends, counts), longest in zip(rows, longer_by_hour, strict=True):
            values = [counts.regions[index] if asked[index] else 0 for index in columns]
            if question.is_about_stays and self.switches.stay_length == "heeded":
                longer = [many if asked[index] else 0 for index, many in zip(columns, longest, strict=True)]
                values = longer if question.length_type == 1 else [a - b for a, b in zip(values, longer, strict=True)]
            lines.append(",".join([_stamps(starts, ends, "/"), *map(str, values), str(sum(values))]))
        return self._csv(["StartTime", "EndTime", *(f"region{index + 1}" for index in columns), "Sum"], lines)

    def _heat(self, question: Question, rows: Sequence[_Row]) -> bytes:
        scale = self.switches.heat_scale
        lines = [f"{_stamps(starts, ends, '-')},{counts.heat_seconds * scale}" for starts, ends, counts in rows]
        return self._csv(["StartTime", "EndTime", "Value(s)"], lines, spaced=False)

    def _spatial(self, start: datetime, rows: Sequence[_Row]) -> bytes:
        """The period's seconds of presence, spread over the map: the values add up to the temporal report."""
        seconds = sum(row.counts.heat_seconds for row in rows)
        rng = np.random.default_rng([self.seed % 2**32, start.toordinal(), MAP_SIZE])
        share = _density(self.seed)
        cells = rng.multinomial(seconds, share) * self.switches.heat_scale
        found = np.flatnonzero(cells)
        body = {
            "max": int(cells.max()),
            "min": 0,
            **({"map_w": MAP_SIZE, "map_h": MAP_SIZE} if self.switches.spatial_size == "given" else {}),
            "data": [
                {"x": x, "y": y, "value": value}
                for x, y, value in zip(
                    (found % MAP_SIZE).tolist(), (found // MAP_SIZE).tolist(), cells[found].tolist(), strict=True
                )
            ],
        }
        return json.dumps(body, separators=(",", ":")).encode("ascii")

    def _alarm_status(self, now: datetime) -> bytes:
        believed = self.clock(now)
        midnight = local_hours(believed.astimezone(self.zone).date(), self.zone)[0].starts_at
        since = max([midnight - self._offset(midnight), *self._resets(FaultKind.COUNTER_RESET, now)])
        counts = self._between(since, now, now) or NOTHING
        entered, left = counts.total_in, counts.total_out
        current = {"in": entered, "out": left, "sum": entered + left, "capacity": entered - left}
        alarm = sum(_ALARM_BITS[name] for name, limit in self.counter_limits.items() if current[name] >= limit)
        values = {
            "region_entrance_alarm_status": 0,
            "region_exit_alarm_status": 0,
            "counter_alarm_status": int(alarm > 0),
            **{f"current_{name}_count": value for name, value in current.items()},
            "current_counter_alarm": alarm,
        }
        before, after = _ALARM_FORMS[self.switches.alarm_form]
        return "".join(before.format(name) + str(value) + after for name, value in values.items()).encode("ascii")


_ALARM_BITS = {"in": 1, "out": 2, "sum": 8, "capacity": 4}
_ALARM_FORMS = {
    "inline": ("var {}='", "';"),
    "lines": ("var {}='", "';\n"),
    "crlf_lines": ("var {}='", "';\r\n"),
    "double_quotes": ('var {}="', '";'),
    "key_value": ("{}=", "\n"),
}


def counts(camera: SimulatedCamera, start_local: datetime, end_local: datetime) -> list[HourTruth]:
    """What was truly simulated, hour by hour in [start_local, end_local), before switches and faults touch it.

    Times without a zone are the camera's wall clock, with a zone they are instants. Heat is in seconds, whatever
    `heat_scale`; hours in the future have the counts that they are going to have.
    """
    return camera.truth(start_local, end_local)


def zone_named(timezone: str, what: str) -> ZoneInfo:
    """The zone of that IANA name; `what` says in the error whose it is."""
    try:
        return ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigurationError(
            f"{what}: time zone {timezone!r} is unknown: use an IANA name such as Europe/Lisbon"
        ) from error


def page(status: int) -> Answer:
    """A small HTML page that says the status."""
    return Answer(status, "text/html", f"<html><body><h1>{status}</h1></body></html>".encode("ascii"))


def _days(first: date, last: date) -> Iterator[date]:
    for ordinal in range(first.toordinal(), last.toordinal() + 1):
        yield date.fromordinal(ordinal)


def _periods(start: datetime, period: int) -> Iterator[tuple[datetime, datetime]]:
    """The spans (half-open, wall clock) that a report of this period has: one for a day, else one for each row."""
    midnight = datetime.combine(start.date(), time())
    if period == 0:
        begin = start.replace(minute=0, second=0)
        yield begin, begin + _DAY
    elif period == 1:
        for days in range(7):
            yield midnight + days * _DAY, midnight + (days + 1) * _DAY
    elif period == 2:
        day = midnight.replace(day=1)
        while day.month == midnight.month:
            yield day, day + _DAY
            day += _DAY
    else:
        for month in range(1, 13):
            begin = midnight.replace(month=month, day=1)
            yield begin, (begin + timedelta(days=31)).replace(day=1)


@lru_cache(maxsize=64)
def _density(seed: int) -> np.ndarray:
    """Where people stand: the share of presence in each cell of the map, row by row. A corridor and a few hot spots."""
    rng = np.random.default_rng([seed % 2**32, MAP_SIZE])
    y, x = np.mgrid[0:MAP_SIZE, 0:MAP_SIZE]
    bend = rng.uniform(60, 130) + 20 * np.sin(x / 40 + rng.uniform(0, 6))
    density = np.exp(-(((y - bend) / 22) ** 2))
    for _ in range(5):
        at_x, at_y, width = rng.uniform(20, 170), rng.uniform(20, 170), rng.uniform(2, 9)
        density += rng.uniform(2, 30) * np.exp(-(((x - at_x) ** 2 + (y - at_y) ** 2) / width**2))
    flat = density.ravel()
    return np.asarray(flat / flat.sum())
