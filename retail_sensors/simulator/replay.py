"""Real counts from a CSV file, played again at a later time.

Here belong the three shapes of file and the move in time. Nothing is made up: an empty cell is an hour without a row,
and the region and heat reports, of which a recording knows nothing, are zeros.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import TextIO
from zoneinfo import ZoneInfo

from retail_sensors.errors import ConfigurationError
from retail_sensors.simulator.traffic import HOUR, Counts, local_hours

_WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Replay:
    """One recorded series as traffic, `shift` (whole weeks) after it was recorded; its counts are those of line 1.

    recorded: (in, out) by the recorded wall-clock hour. Hours are matched by local label: a recorded hour that falls
    into the gap of a spring day is not played, and the second of two hours with one label has no row.
    """

    recorded: Mapping[datetime, tuple[int, int]]
    shift: timedelta

    @property
    def lines(self) -> Mapping[int, str]:
        """Line 1 is an entrance; no other line counts."""
        return {1: "entrance"}

    @property
    def first(self) -> datetime:
        """The first hour played, as local wall clock."""
        return min(self.recorded) + self.shift

    @property
    def last(self) -> datetime:
        """The last hour played, as local wall clock."""
        return max(self.recorded) + self.shift

    def day(self, day: date, zone: ZoneInfo) -> Mapping[datetime, Counts]:
        """See `TrafficSource.day`."""
        counts = {}
        for hour in local_hours(day, zone):
            recorded = self.recorded.get(hour.label - self.shift) if hour.fold == 0 else None
            if recorded is not None:
                counts[hour.starts_at] = Counts((recorded, (0, 0), (0, 0), (0, 0)))
        return counts


def read_replay(path: Path, timezone: str, until: datetime, sites: Iterable[str] | None = None) -> dict[str, Replay]:
    """Every series of a CSV file (`.gz` too) by name, moved so that its last full week ends at or before `until`.

    A full week is seven recorded days from a Monday; what was recorded after it follows at its own place. All series
    of a file move together. Shapes: `local_time, site, in_count, out_count`; `local_time` and one column for each
    series (counted as in, none out); `slot, in_count, out_count` with two half-hours to the hour, one series named
    like the file. `sites` picks series by name.
    """
    series = _read(path)
    wanted = list(series) if sites is None else list(sites)
    for name in wanted:
        if name not in series:
            raise ConfigurationError(f"{path} has no series {name!r}: choose from {', '.join(sorted(series))}")
    labels = [label for hours in series.values() for label in hours]
    if not labels:
        raise ConfigurationError(f"{path} holds no counts: give a file with at least one hour")
    shift = _shift(min(labels), max(labels) + HOUR, until.astimezone(ZoneInfo(timezone)).replace(tzinfo=None))
    return {name: Replay(series[name], shift) for name in wanted if series[name]}


def _shift(first: datetime, end: datetime, until: datetime) -> timedelta:
    midnight = datetime.combine(end.date(), time())
    week_end = midnight - timedelta(days=midnight.weekday())
    if week_end - _WEEK < first:
        # Less than one full week was recorded: the end of its last day stands in for the end of the week.
        week_end = midnight if midnight == end else midnight + timedelta(days=1)
    return (until - week_end) // _WEEK * _WEEK


def _read(path: Path) -> dict[str, dict[datetime, tuple[int, int]]]:
    try:
        with _open(path) as stream:
            rows = csv.reader(stream)
            header = [cell.strip() for cell in next(rows, [])]
            if header[:3] == ["slot", "in_count", "out_count"]:
                return {path.name.split(".")[0]: _half_hours(path, rows)}
            if header[:4] == ["local_time", "site", "in_count", "out_count"]:
                return _long(path, rows)
            if header[:1] == ["local_time"] and len(header) > 1:
                return _wide(path, header[1:], rows)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    raise ConfigurationError(
        f"{path} line 1 is not a known header: use local_time,site,in_count,out_count, or local_time and one column "
        "for each series, or slot,in_count,out_count"
    )


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _numbered(path: Path, rows: Iterator[list[str]], cells: int) -> Iterator[tuple[int, datetime, list[str]]]:
    for number, row in enumerate(rows, start=2):
        if not row:
            continue
        try:
            label = datetime.fromisoformat(row[0].strip())
        except ValueError:
            raise ConfigurationError(f"{path} line {number}: {row[0]!r} is not a time like 2025-07-18T10:00") from None
        if label.tzinfo is not None:
            raise ConfigurationError(f"{path} line {number}: {row[0]!r} has a zone; times are local wall clock")
        if len(row) < cells:
            raise ConfigurationError(f"{path} line {number}: {len(row)} cells, the header has {cells}")
        yield number, label, row


def _count(path: Path, number: int, column: str, cell: str) -> int | None:
    text = cell.strip()
    if not text:
        return None
    try:
        value = float(text)
        if value < 0 or value != int(value):
            raise ValueError(text)
    except (ValueError, OverflowError):
        raise ConfigurationError(f"{path} line {number}: {column} is {cell!r}, not a count") from None
    return int(value)


def _keep(
    path: Path,
    number: int,
    hours: dict[datetime, tuple[int, int]],
    label: datetime,
    both: tuple[int | None, int | None],
) -> None:
    if (label.minute, label.second) != (0, 0):
        raise ConfigurationError(f"{path} line {number}: {label} is not a full hour")
    if label in hours:
        raise ConfigurationError(f"{path} line {number}: {label} comes twice in one series; keep one row of it")
    entered, left = both
    if entered is not None and left is not None:
        hours[label] = (entered, left)


def _long(path: Path, rows: Iterator[list[str]]) -> dict[str, dict[datetime, tuple[int, int]]]:
    series: dict[str, dict[datetime, tuple[int, int]]] = {}
    for number, label, row in _numbered(path, rows, 4):
        both = _count(path, number, "in_count", row[2]), _count(path, number, "out_count", row[3])
        _keep(path, number, series.setdefault(row[1], {}), label, both)
    return series


def _wide(path: Path, names: list[str], rows: Iterator[list[str]]) -> dict[str, dict[datetime, tuple[int, int]]]:
    series: dict[str, dict[datetime, tuple[int, int]]] = {name: {} for name in names}
    for number, label, row in _numbered(path, rows, len(names) + 1):
        for name, cell in zip(names, row[1:], strict=False):
            _keep(path, number, series[name], label, (_count(path, number, name, cell), 0))
    return series


def _half_hours(path: Path, rows: Iterator[list[str]]) -> dict[datetime, tuple[int, int]]:
    slots: dict[datetime, tuple[int, int]] = {}
    for number, label, row in _numbered(path, rows, 3):
        entered, left = _count(path, number, "in_count", row[1]), _count(path, number, "out_count", row[2])
        if label.minute not in (0, 30) or label in slots:
            raise ConfigurationError(f"{path} line {number}: {row[0]!r} is not the next half hour")
        if entered is not None and left is not None:
            slots[label] = (entered, left)
    half = timedelta(minutes=30)
    # Half an hour is no hour: without its other slot it would be played as too few people.
    return {
        label: (both[0] + slots[label + half][0], both[1] + slots[label + half][1])
        for label, both in slots.items()
        if label.minute == 0 and label + half in slots
    }
