"""What a table is: its columns with their types, its key, and the columns that many tables share. The tables stand beside."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """A column's type: its Postgres name, and the dtype that it has in a frame, nullable throughout.

    In frames a UUID and a JSON value are text, a date is `datetime.date`, a time `datetime.time`, bytes are `bytes`.
    """

    UUID = ("uuid", "string")
    TEXT = ("text", "string")
    INTEGER = ("integer", "Int64")
    BIGINT = ("bigint", "Int64")
    NUMERIC = ("numeric", "Float64")
    DOUBLE = ("double precision", "Float64")
    BOOLEAN = ("boolean", "boolean")
    TIMESTAMP = ("timestamp with time zone", "datetime64[us, UTC]")
    DATE = ("date", "object")
    TIME = ("time without time zone", "object")
    JSONB = ("jsonb", "string")
    BYTEA = ("bytea", "object")

    def __init__(self, postgres: str, pandas: str) -> None:
        self.postgres = postgres
        self.pandas = pandas


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `description` says what the value is, its unit, and what NULL means where NULL is allowed.

    `is_count` marks a value that only grows while its hour runs: automatic collection never lowers it.
    `is_bookkeeping` marks a column that does not make a row different: a row that differs only there is left alone.
    `is_generated` marks a column that Postgres or a person fills: it is loaded, never written by a run.
    """

    name: str
    kind: Kind
    description: str
    nullable: bool = True
    unit: str | None = None
    is_count: bool = False
    is_bookkeeping: bool = False
    is_generated: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """One table of schema `retail`. `row` says what one row is; `key` is the natural primary key.

    `time_column` is the column that Dagster partitions and native partitions go by.
    """

    name: str
    row: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    time_column: str | None = None

    def column(self, name: str) -> Column:
        """The column of that name; KeyError if the table has none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"table {self.name} has no column {name}")

    @property
    def names(self) -> tuple[str, ...]:
        """All columns, in the order of the table."""
        return tuple(column.name for column in self.columns)

    @property
    def written(self) -> tuple[Column, ...]:
        """The columns that a frame must bring: all but the generated ones."""
        return tuple(column for column in self.columns if not column.is_generated)


@dataclass(frozen=True, slots=True)
class View:
    """One view of schema `retail`: a reading of tables that nobody writes. `row` says what one row is; rows are unique by `key`."""

    name: str
    row: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]


def sensor_id() -> Column:
    """The camera of a row."""
    return Column("sensor_id", Kind.UUID, "The camera, `sensor_metadata.id`.", nullable=False)


def updated_at() -> Column:
    """When a row last changed; Postgres keeps it."""
    return Column(
        "updated_at",
        Kind.TIMESTAMP,
        "When a value of this row last changed; an identical re-run leaves it alone.",
        nullable=False,
        is_bookkeeping=True,
        is_generated=True,
    )


def hour_start() -> Column:
    """The hour of a row."""
    return Column(
        "hour_start",
        Kind.TIMESTAMP,
        "Start of the camera's local hour as an instant; half past in zones with a half-hour offset.",
        nullable=False,
    )


def store_id() -> Column:
    """The store of a row."""
    return Column("store_id", Kind.UUID, "The store, `stores.id`.", nullable=False)
