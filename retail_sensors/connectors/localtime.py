"""From a camera's local wall clock to UTC, by the IANA zone of the camera.

Here is decided which instant a local label means, what happens to labels that a change of clocks makes doubtful,
and which local days and hours belong to a span of UTC. Bodies and their columns belong in the vendor's module.

The rules, for rows that start on a full local hour:

* A label that happened twice (autumn): two rows are the first and the second time, in the order of the body; a
  single row is taken for the first time and flagged.
* A label that never happened (spring) means the instant after the gap, and is flagged. Where that instant is the
  start of a real local hour which has a row of its own, or which belongs to the next day, the real hour keeps it:
  a row of zeros is dropped in silence (a firmware that lists 24 hours every day), any other is rejected.
* A row that appears more often than its label happened is taken once if the copies are identical; if they differ,
  nobody can say which is right, and all are rejected.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from retail_sensors.connectors.base import LocalRow, Rejected, TimeWindow

AMBIGUOUS_FIRST = "ambiguous_first"
AMBIGUOUS_SECOND = "ambiguous_second"
AMBIGUOUS_SINGLE = "ambiguous_single"
NONEXISTENT = "nonexistent"

HOUR = timedelta(hours=1)


class PlacedRow(NamedTuple):
    """One row of a report with the instant at which it starts; `flag` is NULL (None) where nothing is doubtful."""

    start: datetime
    row: LocalRow
    flag: str | None


@dataclass(frozen=True, slots=True)
class _Label:
    """What one hour label of one local day means: its instant, and the second one if it happened twice."""

    first: datetime
    second: datetime | None = None
    exists: bool = True
    # False where the instant after the gap starts a real local hour, which then has a label of its own.
    is_hour: bool = True


@lru_cache(maxsize=8192)
def _labels(zone: ZoneInfo, day: date) -> dict[datetime, _Label]:
    """The 24 hour labels of a local day; cached, since thousands of cameras share a zone."""
    labels: dict[datetime, _Label] = {}
    for hour in range(24):
        label = datetime.combine(day, time(hour))
        first = label.replace(tzinfo=zone, fold=0).astimezone(UTC)
        second = label.replace(tzinfo=zone, fold=1).astimezone(UTC)
        if first == second:
            labels[label] = _Label(first)
        elif second > first:
            labels[label] = _Label(first, second)
        else:
            after_gap = first.astimezone(zone)
            labels[label] = _Label(first, exists=False, is_hour=after_gap.minute != 0)
    return labels


@lru_cache(maxsize=8192)
def local_hours(day: date, zone: ZoneInfo) -> tuple[datetime, ...]:
    """The UTC starts of the hours that a camera's local day has, in order: 24, or 23 or 25 when clocks change."""
    starts: set[datetime] = set()
    for label in _labels(zone, day).values():
        if label.exists or label.is_hour:
            starts.add(label.first)
        if label.second is not None:
            starts.add(label.second)
    return tuple(sorted(starts))


def hours_by_day(window: TimeWindow, zone: ZoneInfo) -> dict[date, tuple[datetime, ...]]:
    """The UTC starts of the camera's local hours inside a window, by local day; days without one are left out."""
    day = window.start.astimezone(zone).date() - timedelta(days=1)
    last = window.end.astimezone(zone).date() + timedelta(days=1)
    hours: dict[date, tuple[datetime, ...]] = {}
    while day <= last:
        inside = tuple(start for start in local_hours(day, zone) if window.start <= start < window.end)
        if inside:
            hours[day] = inside
        day += timedelta(days=1)
    return hours


def local_days(window: TimeWindow, zone: ZoneInfo) -> list[date]:
    """The local days that a camera must be asked for so that every hour starting inside the window is answered."""
    return list(hours_by_day(window, zone))


def place_rows(rows: Iterable[LocalRow], day: date, zone: ZoneInfo) -> tuple[list[PlacedRow], list[Rejected]]:
    """Rows of one local day in order of time, and those that cannot be placed, with the reason."""
    labels = _labels(zone, day)
    by_label: dict[datetime, list[LocalRow]] = {}
    rejected: list[Rejected] = []
    for row in rows:
        if row.local_start not in labels:
            rejected.append(_reject(row, _why_not_of_day(row, day)))
        elif row.local_start in by_label:
            by_label[row.local_start].append(row)
        else:
            by_label[row.local_start] = [row]

    placed: list[PlacedRow] = []
    nonexistent: list[tuple[_Label, LocalRow]] = []
    for local_start, copies in by_label.items():
        label = labels[local_start]
        if len(copies) == 1 and label.exists and label.second is None:
            placed.append(PlacedRow(label.first, copies[0], None))
            continue
        wanted = _distinct(copies, 1 if label.second is None else 2)
        if wanted is None:
            reason = f"{len(copies)} rows say different things about the local hour {local_start:%Y-%m-%d %H:%M}"
            rejected.extend(_reject(row, reason) for row in copies)
        elif not label.exists:
            nonexistent.append((label, wanted[0]))
        elif label.second is None:
            placed.append(PlacedRow(label.first, wanted[0], None))
        elif len(wanted) == 1:
            placed.append(PlacedRow(label.first, wanted[0], AMBIGUOUS_SINGLE))
        else:
            placed.append(PlacedRow(label.first, wanted[0], AMBIGUOUS_FIRST))
            placed.append(PlacedRow(label.second, wanted[1], AMBIGUOUS_SECOND))

    taken = {row.start for row in placed}
    for label, row in nonexistent:
        if label.first not in taken and (label.is_hour or label.first.astimezone(zone).date() == day):
            taken.add(label.first)
            placed.append(PlacedRow(label.first, row, NONEXISTENT))
        elif any(row.values):
            reason = f"the local hour {row.local_start:%Y-%m-%d %H:%M} never happened in {zone.key}, the next hour has its own row"
            rejected.append(_reject(row, reason))
    placed.sort(key=_start)
    return placed, rejected


def _start(row: PlacedRow) -> datetime:
    return row.start


def _reject(row: LocalRow, reason: str) -> Rejected:
    return Rejected(reason, row.raw.encode("latin-1"))


def _why_not_of_day(row: LocalRow, day: date) -> str:
    if row.local_start.date() != day:
        return f"the row is of {row.local_start:%Y-%m-%d}, asked was {day}"
    return f"the row starts at {row.local_start:%H:%M:%S}, not on a full hour"


def _distinct(copies: list[LocalRow], times: int) -> list[LocalRow] | None:
    """At most `times` rows that stand for all copies of a label, in the order of the body; None if they disagree."""
    if len(copies) <= times:
        return copies
    distinct: list[LocalRow] = []
    for row in copies:
        if all(row.values != other.values for other in distinct):
            distinct.append(row)
    if len(distinct) > times:
        return None
    # Copies beyond what the label allows that all agree: an hour that happened twice had the same count twice.
    return distinct if len(distinct) == times else [distinct[0]] * times
