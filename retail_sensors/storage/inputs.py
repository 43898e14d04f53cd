"""Files of what a store knows beside its cameras, read, checked and written: till feed, staff, weather, holidays, counted queues.

A file is CSV in UTF-8: a line with the names of the columns in any order, then a row a line. It is refused whole, with line, column
and remedy of each fault; a row of it replaces the stored row of its key whole, and the same file again changes nothing. An
hour is the store's wall clock, or an instant with its offset. What follows from the rows belongs in `analytics`, words for the
terminal in `cli.load`.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from psycopg2.extensions import connection as PgConnection
from psycopg2.extras import RealDictCursor

from retail_sensors.analytics import frames
from retail_sensors.errors import ConfigurationError
from retail_sensors.marked_yaml import Fault, read_text, refusal
from retail_sensors.storage.database import Database
from retail_sensors.storage.merge import MergeResult, lock_writers, merge_frame
from retail_sensors.storage.sqlfiles import queries
from retail_sensors.tables import Kind, Table
from retail_sensors.tables.inputs import (
    HOLIDAYS,
    POS_TRANSACTIONS,
    QUEUE_GROUND_TRUTH,
    STAFF_HOURS,
    STORE_SUBDIVISIONS,
    WEATHER_HOURLY,
)
from retail_sensors.words import did_you_mean

FAULTS_SHOWN = 20
_YEARS = range(2000, 2101)
_LONGEST_HOLIDAYS = 120
_HOUR = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d?):(\d\d)(?::(\d\d))?\s*(Z|[+-]\d\d:?\d\d)?")

_Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What one file did to its table, in rows. `repeated`: rows of the file that say again what an earlier one said."""

    table: str
    rows: int
    repeated: int
    result: MergeResult


@dataclass(frozen=True, slots=True)
class _Store:
    id: str
    organization: str
    name: str
    zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class _Cell:
    """One column of a file: how its text becomes the value of the table's column. `default` stands for an empty cell."""

    name: str
    parse: Callable[[str], Any]
    is_required: bool = False
    default: Any = None


@dataclass(frozen=True, slots=True)
class InputKind:
    """One kind of file. `cells` besides the key's; `check` gives (column, sentence) for a row that cannot be meant."""

    name: str
    table: Table
    cells: tuple[_Cell, ...]
    check: Callable[[_Row], Iterator[tuple[str, str]]]
    is_past: bool = False

    @property
    def required(self) -> tuple[str, ...]:
        """Columns that a file must have."""
        return (*self._of_key, *(cell.name for cell in self.cells if cell.is_required))

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that a file may have."""
        organization = ("organization",) if self._of_key else ()
        return (*self._of_key, *organization, *(cell.name for cell in self.cells))

    @property
    def _of_key(self) -> tuple[str, ...]:
        names = {"store_id": "store", "hour_start": "hour"}
        return tuple(names[name] for name in self.table.key if name in names)


# Cells ------------------------------------------------------------------------------------------------------------------


def _number(text: str, digits: str = r"\d{1,12}(\.\d{1,9})?", example: str = "12.5") -> float:
    # Twelve digits with enough nines behind them are read as a number of thirteen, which the tables refuse.
    if re.fullmatch(digits, text) and float(text) < 1e12:
        return float(text)
    if re.fullmatch(rf"-(?:{digits})", text):
        raise ValueError(f"{text!r} is negative; write a number from 0 on, or leave the row out")
    if "," in text:
        raise ValueError(f"{text!r} has a comma; write a point before decimals and nothing between thousands")
    raise ValueError(f"{text[:40]!r} is not a number that can be meant; write one such as {example}")


def _whole(text: str) -> float:
    if re.fullmatch(r"\d{1,9}\.\d*", text):
        raise ValueError(f"{text!r} is not a whole number; write one such as 12")
    return _number(text, r"\d{1,9}", "12")


def _receipts(text: str) -> float:
    value = _whole(text)
    if value >= 1_000_000:
        raise ValueError(f"{text} is no number of receipts of one store and hour; write one under a million")
    return value


def _between(low: float, high: float, unit: str) -> Callable[[str], float]:
    def parse(text: str) -> float:
        is_negative = text.startswith("-") and low < 0
        value = -_number(text[1:]) if is_negative else _number(text)
        if not low <= value <= high:
            raise ValueError(f"{text} is not within {low:g} to {high:g} {unit}; check the unit")
        return value

    return parse


def _minutes(text: str) -> float:
    value = _whole(text)
    if not 1 <= value <= 60:
        raise ValueError(f"{text} is not within 1 to 60; write how many minutes of the hour were watched")
    return value


def _line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds a character that cannot be printed; write one line of text")
    return text


def _code(letters: int, example: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not re.fullmatch(rf"[A-Za-z]{{{letters}}}", text):
            raise ValueError(f"{text[:40]!r} is not a code of {letters} letters; write one such as {example}")
        return text.upper()

    return parse


def _date(text: str) -> date:
    try:
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", text) or int(text[:4]) not in _YEARS:
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not a date; write one such as 2026-12-24") from None


def _holiday_kind(text: str) -> str:
    if text not in ("public", "school"):
        raise ValueError(f"{text[:40]!r} is neither public nor school{did_you_mean(text, ('public', 'school'))}")
    return text


# Kinds ------------------------------------------------------------------------------------------------------------------


def _fine(row: _Row) -> Iterator[tuple[str, str]]:
    yield from ()


def _says_something(*names: str) -> Callable[[_Row], Iterator[tuple[str, str]]]:
    def check(row: _Row) -> Iterator[tuple[str, str]]:
        if all(row[name] is None for name in names):
            yield names[0], f"the row says nothing; give at least one of {', '.join(names)}, or leave it out"

    return check


def _check_currency(row: _Row) -> Iterator[tuple[str, str]]:
    if row["sales"] is not None and row["currency"] is None:
        yield "currency", "sales need their currency; write its three letters such as EUR"
    if row["sales"] is None and row["currency"] is not None:
        yield "sales", "is empty beside a currency; write the sales, or empty the currency"


def _check_span(row: _Row) -> Iterator[tuple[str, str]]:
    if row["last_date"] is None:
        return
    days = (row["last_date"] - row["date"]).days
    if not 0 <= days <= _LONGEST_HOLIDAYS:
        yield "last_date", f"{row['last_date']} is not within {_LONGEST_HOLIDAYS} days after {row['date']}; check both"


KINDS: dict[str, InputKind] = {
    kind.name: kind
    for kind in (
        InputKind(
            "transactions",
            POS_TRANSACTIONS,
            (
                _Cell("transactions", _receipts, is_required=True),
                _Cell("sales", _number),
                _Cell("units", _number),
                _Cell("currency", _code(3, "EUR")),
            ),
            _check_currency,
            is_past=True,
        ),
        InputKind(
            "staff",
            STAFF_HOURS,
            (_Cell("staff", _number, is_required=True), _Cell("lanes_open", _number)),
            _fine,
        ),
        InputKind(
            "weather",
            WEATHER_HOURLY,
            (
                _Cell("temperature_c", _between(-90, 60, "degrees Celsius")),
                _Cell("precipitation_mm", _between(0, 500, "mm")),
                _Cell("wind_kmh", _between(0, 450, "km/h")),
            ),
            _says_something("temperature_c", "precipitation_mm", "wind_kmh"),
        ),
        InputKind(
            "holidays",
            HOLIDAYS,
            (
                _Cell("country", _code(2, "PT"), is_required=True),
                _Cell("subdivision", _line, default=""),
                _Cell("date", _date, is_required=True),
                _Cell("last_date", _date),
                _Cell("holiday_name", _line, is_required=True),
                _Cell("kind", _holiday_kind, default="public"),
            ),
            _check_span,
        ),
        InputKind(
            "queue-counts",
            QUEUE_GROUND_TRUTH,
            (
                _Cell("minutes_counted", _minutes, default=60.0),
                _Cell("actual_queue_length", _number),
                _Cell("actual_wait_minutes", _number),
                _Cell("served", _whole),
                _Cell("abandoned", _whole),
                _Cell("counted_by", _line, is_required=True),
            ),
            _says_something("actual_queue_length", "actual_wait_minutes", "served", "abandoned"),
            is_past=True,
        ),
        InputKind("subdivisions", STORE_SUBDIVISIONS, (_Cell("subdivision", _line, is_required=True),), _fine),
    )
}
"""Every kind of file by its name on the command line."""


class Inputs:
    """The tables of inputs in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self, kind: InputKind, path: Path, now: datetime, *, dry_run: bool = False) -> Loaded:
        """Loads one file in one transaction; `dry_run` says what it would do, and does it not.

        Raises ConfigurationError for a file with faults; then nothing is loaded.
        """
        text = read_text(path)
        with self._database.transaction() as connection:
            stores = _Stores(_registered(connection)) if "store" in kind.columns else _Stores(())
            rows, repeated = _Reader(kind, str(path), stores, now).read(text)
            frame = _frame(kind.table, rows)
            result = merge_frame(connection, kind.table, frame, asset=f"load {kind.name}", mode="merge")
            if dry_run:
                connection.rollback()
        return Loaded(kind.table.name, len(rows), repeated, result)

    def forget_library_holidays(self, given: pd.DataFrame, years: range) -> int:
        """Deletes the library's holidays of those years that it no longer gives, in the places that `given` has; how many."""
        parameters = {
            name: given[column].tolist()
            for name, column in (
                ("countries", "country"),
                ("subdivisions", "subdivision"),
                ("dates", "date"),
                ("names", "holiday_name"),
            )
        }
        span = {"first": date(years.start, 1, 1), "end": date(years.stop, 1, 1)}
        with self._database.transaction() as connection, connection.cursor() as cursor:
            lock_writers(connection, HOLIDAYS)
            cursor.execute(queries("inputs")["forget_library_holidays"], {**parameters, **span})
            return cursor.rowcount


def _registered(connection: PgConnection) -> list[_Store]:
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(queries("fleet")["registered_stores"])
        return [
            _Store(row["id"], row["organization_name"], row["store_name"], ZoneInfo(row["timezone"])) for row in cursor
        ]


def _frame(table: Table, rows: Sequence[_Row]) -> pd.DataFrame:
    values = {}
    for column in table.written:
        cells = [row[column.name] for row in rows]
        if column.kind is Kind.TIMESTAMP:
            values[column.name] = np.array([int(cell.timestamp()) for cell in cells], dtype=np.int64)
        elif column.kind in (Kind.INTEGER, Kind.NUMERIC, Kind.DOUBLE):
            values[column.name] = np.array([np.nan if cell is None else cell for cell in cells], dtype=np.float64)
        else:
            values[column.name] = np.array(cells, dtype=object)
    return frames.build(table, values)


# Reading ----------------------------------------------------------------------------------------------------------------


class _Stores:
    """Stores by name; a name that several organizations use needs the organization beside it."""

    def __init__(self, stores: Sequence[_Store]) -> None:
        self._by_name: dict[str, list[_Store]] = {}
        for store in stores:
            self._by_name.setdefault(store.name, []).append(store)

    def find(self, name: str, organization: str) -> _Store:
        """The store; ValueError with what to write instead."""
        named = self._by_name.get(name, [])
        if not named:
            suggestion = did_you_mean(name, self._by_name)
            raise ValueError(f"no store is registered as {name[:60]!r}{suggestion or '; check its name'}")
        found = [store for store in named if not organization or store.organization == organization]
        if len(found) == 1:
            return found[0]
        known = ", ".join(sorted(store.organization for store in named))
        if organization:
            raise ValueError(f"organization {organization[:60]!r} has no store {name!r}; write one of {known}")
        raise ValueError(f"several organizations have a store {name!r}; write one of {known} in column organization")


class _Reader:
    """Reads one file: rows of the table, or every fault."""

    def __init__(self, kind: InputKind, source: str, stores: _Stores, now: datetime) -> None:
        self._kind = kind
        self._source = source
        self._stores = stores
        self._now = now
        self._faults: list[Fault] = []

    def read(self, text: str) -> tuple[list[_Row], int]:
        """The rows, each key once, and how many rows of the file only repeat another; ConfigurationError with the faults."""
        found: dict[tuple[Any, ...], tuple[int, _Row]] = {}
        repeated = 0
        for line, row in self._rows(text):
            key = tuple(row[name] for name in self._kind.table.key)
            first = found.setdefault(key, (line, row))
            if first[0] != line:
                repeated += 1
                if first[1] != row:
                    what = "hour" if "hour_start" in row else "key"
                    self._fault(
                        line, "", f"says otherwise of the same {what} as line {first[0]}; keep one, or add them up"
                    )
        if self._faults:
            raise self._refusal()
        if not found:
            raise ConfigurationError(f"{self._source} has no rows below its heading; there is nothing to load.")
        return [row for _, row in found.values()], repeated

    def _refusal(self) -> ConfigurationError:
        faults = sorted(set(self._faults))
        more = len(faults) - FAULTS_SHOWN
        rest = f" {more} more fault{'' if more == 1 else 's'} not shown." if more > 0 else ""
        return ConfigurationError(f"{refusal(self._source, faults[:FAULTS_SHOWN])}\nNothing was loaded.{rest}")

    def _fault(self, line: int, column: str, sentence: str) -> None:
        self._faults.append(Fault(line, f"column {column}" if column else "", sentence))

    def _lines(self, text: str) -> Iterator[tuple[int, list[str]]]:
        """Number of the line on which each row starts, and its cells; empty lines are left out."""
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        line = 1
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield line, [cell.strip() for cell in cells]
                line = reader.line_num + 1
        except csv.Error as error:
            self._fault(line, "", f"is not CSV ({error}); close quotes, and double those inside of quotes")

    def _rows(self, text: str) -> Iterator[tuple[int, _Row]]:
        lines = self._lines(text)
        line, heading = next(lines, (1, []))
        if not heading and not self._faults:
            raise ConfigurationError(f"{self._source} is empty; there is nothing to load.")
        columns = [name.lower() for name in heading]
        self._check_heading(line, columns)
        if self._faults:
            return
        for line, cells in lines:
            if len(cells) != len(columns):
                self._fault(
                    line,
                    "",
                    f"has {len(cells)} cells below {len(columns)} columns; put texts with commas into quotes, and "
                    "write numbers with a point",
                )
                continue
            for row in self._row(line, dict(zip(columns, cells, strict=True))):
                yield line, row

    def _check_heading(self, line: int, columns: Sequence[str]) -> None:
        if len(columns) == 1 and re.search(r"[;\t]", columns[0]):
            self._fault(line, "", "separates the columns by something else; separate them by commas")
            return
        for name in dict.fromkeys(columns):
            if name not in self._kind.columns:
                known = did_you_mean(name, self._kind.columns) or f"; known are {', '.join(self._kind.columns)}"
                self._fault(line, name[:40] or "without a name", f"is not one of {self._kind.name}{known}")
            if columns.count(name) > 1:
                self._fault(line, name, "stands twice; keep one")
        for name in self._kind.required:
            if name not in columns:
                self._fault(line, name, "is missing; the file needs it")

    def _row(self, line: int, cells: Mapping[str, str]) -> Iterator[_Row]:
        row: _Row = {}
        faulty = len(self._faults)
        store = self._store(line, cells) if "store" in cells else None
        if store is not None:
            row["store_id"] = store.id
            if "hour" in cells:
                row["hour_start"] = self._hour(line, cells["hour"], store.zone)
        for cell in self._kind.cells:
            text = cells.get(cell.name, "")
            row[cell.name] = cell.default
            if text:
                try:
                    row[cell.name] = cell.parse(text)
                except ValueError as error:
                    self._fault(line, cell.name, str(error))
            elif cell.is_required:
                self._fault(line, cell.name, "is empty; fill it, or leave the row out")
        if len(self._faults) == faulty:
            for column, sentence in self._kind.check(row):
                self._fault(line, column, sentence)
        if len(self._faults) > faulty:
            return
        if "last_date" not in row:
            yield row
        else:
            yield from _each_day(row)

    def _store(self, line: int, cells: Mapping[str, str]) -> _Store | None:
        try:
            return self._stores.find(cells["store"], cells.get("organization", ""))
        except ValueError as error:
            self._fault(line, "store", str(error))
            return None

    def _hour(self, line: int, text: str, zone: ZoneInfo) -> datetime | None:
        try:
            hour = hour_of(text, zone)
        except ValueError as error:
            self._fault(line, "hour", str(error))
            return None
        if self._kind.is_past and hour > self._now:
            self._fault(line, "hour", f"{text!r} lies in the future; check the date")
        return hour


def _each_day(row: _Row) -> Iterator[_Row]:
    last = row.pop("last_date") or row["date"]
    row["source"] = "file"
    for offset in range((last - row["date"]).days + 1):
        yield {**row, "date": row["date"] + timedelta(days=offset)}


def hour_of(text: str, zone: ZoneInfo) -> datetime:
    """The instant in UTC at which an hour starts, from the store's wall clock (`2025-07-22 10:00`) or with an offset.

    ValueError, with what to write instead, for anything else, for a wall clock that came twice or never, and where the hour
    does not start on the full hour of the store's clock.
    """
    match = _HOUR.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is not an hour; write one such as 2025-07-22 10:00, by the store's clock")
    day, hour, minute, second, offset = match.groups()
    try:
        wall = datetime.combine(date.fromisoformat(day), time(int(hour), int(minute), int(second or 0)))
        given = None if offset is None else datetime.fromisoformat(f"{wall.isoformat()}{offset}")
    except ValueError:
        raise ValueError(f"{text!r} does not exist; check day and hour") from None
    if wall.year not in _YEARS:
        raise ValueError(f"{text!r} is not in {_YEARS.start} to {_YEARS.stop - 1}; check the year")
    if given is not None:
        instant = given.astimezone(UTC)
        wall = instant.astimezone(zone).replace(tzinfo=None)
    else:
        instant = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
        second_time = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
        if second_time < instant:
            raise ValueError(
                f"{text!r} never came in {zone.key}, where clocks went forward; leave the row out, or write the hour with "
                "its offset"
            )
        if second_time > instant:
            first, later = (at.astimezone(zone).isoformat(sep=" ", timespec="minutes") for at in (instant, second_time))
            raise ValueError(
                f"{text!r} came twice in {zone.key}, where clocks went back; write {first} for the first or {later} "
                "for the second"
            )
    if wall.minute or wall.second:
        raise ValueError(
            f"{text!r} is {wall:%H:%M:%S} by the store's clock ({zone.key}); write the full hour in which it lies, and add "
            "up what belongs to it"
        )
    return instant
