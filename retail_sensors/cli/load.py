"""`retail-sensors load`: files of what a store knows beside its cameras, into their tables.

Here belong options and words for the terminal; how a file is read and checked belongs in `storage.inputs`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retail_sensors.installation import Installation

if TYPE_CHECKING:
    from retail_sensors.storage.inputs import Loaded


class FileKind(StrEnum):
    """What a file holds: the names of `storage.inputs.KINDS`."""

    TRANSACTIONS = "transactions"
    STAFF = "staff"
    WEATHER = "weather"
    HOLIDAYS = "holidays"
    QUEUE_COUNTS = "queue-counts"
    SUBDIVISIONS = "subdivisions"


def load(
    kind: Annotated[FileKind, typer.Argument(metavar="KIND", help="What the file holds, one of those above.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV in UTF-8; a file with faults is refused whole.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the file and say what it would do, without loading it.")
    ] = False,
) -> None:
    """Load a CSV file of what the store knows; the same file again changes nothing.

    The first line names the columns, in any order. Those with a
    question mark may be left out, as may their cells.

    \b
    transactions  store, hour, transactions, sales?, units?, currency?
    staff         store, hour, staff, lanes_open?
    weather       store, hour, temperature_c?, precipitation_mm?, wind_kmh?
    queue-counts  store, hour, counted_by, minutes_counted?,
                  actual_queue_length?, actual_wait_minutes?,
                  served?, abandoned?
    holidays      country, date, holiday_name, last_date?, subdivision?,
                  kind? (public or school)
    subdivisions  store, subdivision

    A store whose name several organizations use needs the column organization too.

    An hour is the store's wall clock, 2025-07-22 10:00, or has an offset, 2025-07-22 10:00+01:00.

    A row replaces the stored row of its store and hour whole: an empty cell empties what was stored.
    """
    from retail_sensors.storage.inputs import KINDS, Inputs

    database = Installation().database
    try:
        loaded = Inputs(database).load(KINDS[kind.value], file, datetime.now(UTC), dry_run=dry_run)
    finally:
        database.dispose()
    _say(loaded, file, dry_run=dry_run)


def _say(loaded: Loaded, file: Path, *, dry_run: bool) -> None:
    result = loaded.result
    if loaded.repeated:
        typer.echo(f"Said twice in the file, and taken once: {_rows(loaded.repeated)}")
    if not result.inserted and not result.changed:
        typer.echo(f"Nothing to change: retail.{loaded.table} holds {_rows(loaded.rows)} of {file} already.")
        return
    done = f"{result.inserted} added, {result.changed} changed, {result.unchanged} unchanged"
    if dry_run:
        typer.echo(f"Nothing was loaded. {file} would bring {_rows(loaded.rows)} into retail.{loaded.table}: {done}.")
    else:
        typer.echo(f"Loaded {_rows(loaded.rows)} of {file} into retail.{loaded.table}: {done}.")


def _rows(count: int) -> str:
    return f"{count} row{'' if count == 1 else 's'}"
