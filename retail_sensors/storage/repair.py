"""Hours that cameras still owe, which of them are asked for next, and which days they touch.

Here belong the search for missing hours, the choice of one gap among them, and the memory of what was asked in vain. The statements
stand in `sql/queries/repair.sql`; when it is looked for gaps, and the runs that close them, belong in `retail_sensors.sensors`.

A UTC hour is a whole number, hours since 1970: the partition that holds a camera's local hour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain
from zoneinfo import ZoneInfo

from retail_sensors.connectors.base import Endpoint, TimeWindow
from retail_sensors.connectors.breaker import DEAD
from retail_sensors.connectors.localtime import hours_by_day
from retail_sensors.storage.database import Database
from retail_sensors.storage.sqlfiles import queries

HELD_DAYS = {Endpoint.PEOPLE_COUNTING: 31, Endpoint.REGIONAL_COUNTING: 31, Endpoint.HEATMAP_TEMPORAL: 7}
"""Whole local days before today that a camera is taken to hold, where its `retention_days` do not say."""

MOST_DAYS = 31
"""So far back gaps are looked for, whatever a camera holds; `retail-sensors collect` reaches further."""

LATE_AFTER = timedelta(minutes=15)
"""An hour is late so long after its end: until then the schedules bring it."""

ANSWERED_WITHIN = timedelta(minutes=30)
"""A camera that has not answered for longer is offline: what runs by the minute goes on asking it, one question at a time."""

BACK_OFF = (timedelta(minutes=10), timedelta(hours=1), timedelta(hours=6), timedelta(hours=24))
"""How long an hour that was asked for in vain is left alone, after the first, second, third and any further time."""

_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Span:
    """UTC hours, both ends included, that one camera owes of one endpoint."""

    camera: str
    endpoint: Endpoint
    first: int
    last: int

    def mirrored(self) -> Span:
        """The span with time running backwards: what is chosen oldest first is then chosen newest first."""
        return Span(self.camera, self.endpoint, -self.last, -self.first)


@dataclass(frozen=True, slots=True)
class Gap:
    """UTC hours, both ends included, to ask for in one run, and the cameras that owe some of them, by endpoint."""

    first: int
    last: int
    cameras: dict[Endpoint, list[str]]

    def mirrored(self) -> Gap:
        """The gap with time running backwards."""
        return Gap(-self.last, -self.first, self.cameras)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is remembered of one camera: it was asked for its missing hours up to and with `mark`, which are left alone until
    `again_at`; `attempts` is how often it had been asked for them before."""

    attempts: int
    mark: int
    again_at: datetime


def instant(hour: int) -> datetime:
    """The start of a UTC hour."""
    return datetime.fromtimestamp(hour * 3600, UTC)


# What is missing --------------------------------------------------------------------------------------------------------


def missing_spans(database: Database, now: datetime, first_day: date, *, is_history: bool) -> list[Span]:
    """The hours that answering cameras owe and can still serve, by camera, endpoint and time.

    `is_history`: those from before a camera's registration that nobody has asked for; else all others. No hour from before
    `first_day` (UTC) is meant. Raises DatabaseUnavailableError.
    """
    statements = queries("repair")
    start = max(now - (MOST_DAYS + 2) * _DAY, datetime.combine(first_day, time(), UTC))
    late = TimeWindow(start, now - LATE_AFTER - _HOUR)
    zones: list[str] = []
    hours: list[datetime] = []
    for (zone,) in database.fetch(statements["zones_of_cameras"]):
        ended = list(chain.from_iterable(hours_by_day(late, ZoneInfo(zone)).values()))
        hours += ended
        zones += [zone] * len(ended)
    found = database.fetch(
        statements["missing_spans"],
        {
            "zones": zones,
            "hours": hours,
            "endpoints": [endpoint.value for endpoint in HELD_DAYS],
            "held_days": list(HELD_DAYS.values()),
            "most_days": MOST_DAYS,
            "answered_since": now - ANSWERED_WITHIN,
            "within": ANSWERED_WITHIN,
            "nobody": [outcome.value for outcome in DEAD],
            "now": now,
            "is_history": is_history,
        },
    )
    return [Span(camera, Endpoint(endpoint), first, last) for camera, endpoint, first, last in found]


# Which of it is asked for -------------------------------------------------------------------------------------------------


def next_gap(spans: Sequence[Span], asked: Mapping[str, Asked], now: datetime, most_hours: int) -> Gap | None:
    """The first `most_hours` of the oldest unbroken range in which some camera owes hours that are not left alone; None: there
    is none."""
    free = [part for span in spans if (part := _free(span, asked.get(span.camera), now)) is not None]
    # Who was asked in vain waits for those who were not: a camera with many holes that gives nothing would keep all others waiting.
    free = [span for span in free if span.camera not in asked] or free
    if not free:
        return None
    first = last = min(span.first for span in free)
    for span in sorted(free, key=lambda span: span.first):
        if span.first > last + 1:
            break
        last = max(last, span.last)
    last = min(last, first + most_hours - 1)
    cameras: dict[Endpoint, set[str]] = {}
    for span in free:
        if span.first <= last:
            cameras.setdefault(span.endpoint, set()).add(span.camera)
    return Gap(first, last, {endpoint: sorted(names) for endpoint, names in sorted(cameras.items())})


def _free(span: Span, asked: Asked | None, now: datetime) -> Span | None:
    """The part of a span that may be asked for now; None: no hour of it."""
    if asked is None or now >= asked.again_at or span.first > asked.mark:
        return span
    return Span(span.camera, span.endpoint, asked.mark + 1, span.last) if span.last > asked.mark else None


def still_asked(asked: Mapping[str, Asked], spans: Sequence[Span], now: datetime) -> dict[str, Asked]:
    """The memory without the cameras that have given all that they were asked for, and without those that owe nothing now and were
    to be asked again."""
    oldest: dict[str, int] = {}
    for span in spans:
        oldest[span.camera] = min(span.first, oldest.get(span.camera, span.first))
    return {
        camera: entry
        for camera, entry in asked.items()
        # A camera that is offline again owes nothing for now; what it was asked for in vain stays known for a while.
        if (oldest[camera] <= entry.mark if camera in oldest else now < entry.again_at)
    }


def with_gap(asked: Mapping[str, Asked], spans: Sequence[Span], gap: Gap, now: datetime) -> dict[str, Asked]:
    """The memory after the gap was asked for: one entry at most for each camera that owes something."""
    named = {name for names in gap.cameras.values() for name in names}
    repeated = {
        span.camera
        for span in spans
        if span.camera in asked and span.last >= gap.first and span.first <= min(gap.last, asked[span.camera].mark)
        if now >= asked[span.camera].again_at
    }
    remembered = dict(asked)
    for camera in named:
        before = asked[camera].attempts if camera in asked else 0
        attempts = min(before + (camera in repeated), len(BACK_OFF) - 1)
        remembered[camera] = Asked(attempts, gap.last, now + BACK_OFF[attempts])
    return dict(sorted(remembered.items()))


# What it touches ----------------------------------------------------------------------------------------------------------


def present(database: Database) -> datetime:
    """The database's own instant, to compare `updated_at` with."""
    ((moment,),) = database.fetch(queries("repair")["present"])
    return moment


def hours_came_in(database: Database, window: TimeWindow, since: datetime) -> bool:
    """Whether a reading of the window was stored or changed since an instant of the database."""
    parameters = {"start": window.start, "end": window.end, "since": since}
    ((came,),) = database.fetch(queries("repair")["hours_came_in"], parameters)
    return bool(came)


def touched_days(database: Database, window: TimeWindow, since: datetime, now: datetime) -> list[tuple[date, date]]:
    """First and last dates, in order, of the ended days that hours of the window changed since then make, or are compared with."""
    parameters = {"start": window.start, "end": window.end, "since": since, "now": now}
    ranges: list[tuple[date, date]] = []
    for (day,) in database.fetch(queries("repair")["touched_days"], parameters):
        if ranges and ranges[-1][1] + _DAY == day:
            ranges[-1] = (ranges[-1][0], day)
        else:
            ranges.append((day, day))
    return ranges
