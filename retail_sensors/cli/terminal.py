"""What several commands do alike: the migrated database for one command, JSON and tables on the terminal, lists of names.

The words of one command belong to the command.
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, time
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from retail_sensors.settings import Settings, load_settings

if TYPE_CHECKING:
    from retail_sensors.storage.database import Database

WORD_HELP = (
    "A camera's name (* and ? stand for others), store:NAME, org:NAME, group:NAME, tag:WORD, building:NAME, floor:NUMBER; "
    "not: before one takes its cameras away."
)
"""How `analytics.selection` is told in a command's help."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

_SHOWN_NAMES = 12
_WIDTH_OF_A_FILE = 200


def told_to_stop(*numbers: int) -> threading.Event:
    """An event that the first of these signals sets; the next one ends the process at once.

    An exception that comes while Python tidies up is lost, a flag is not.
    """
    stop = threading.Event()

    def handle(number: int, _: FrameType | None) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    for number in numbers:
        signal.signal(number, handle)
    return stop


@contextmanager
def migrated_database() -> Iterator[tuple[Settings, Database]]:
    """The settings and the database with all tables, until the block ends."""
    from retail_sensors.storage import migrations
    from retail_sensors.storage.database import Database

    settings = load_settings()
    database = Database(settings)
    try:
        migrations.upgrade(database)
        yield settings, database
    finally:
        database.dispose()


def console() -> Console:
    """The terminal; a pipe has no width of its own, and 80 columns would break every address and title."""
    terminal = Console(highlight=False)
    return terminal if terminal.is_terminal else Console(highlight=False, width=_WIDTH_OF_A_FILE)


def print_json(value: object) -> None:
    """A value as JSON, instants as text with their zone, times of day as text."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=_as_json))


def listed(names: Sequence[str]) -> str:
    """The first of the names and how many more there are."""
    shown = ", ".join(names[:_SHOWN_NAMES])
    return f"{shown} and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else shown


def _as_json(value: object) -> object:
    if isinstance(value, datetime | time):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")
