"""Frames in and out: typed columns of a table's contract as numpy arrays, and numpy arrays as a typed frame.

Here belongs what every figure needs to read its input and write its output: columns with NULL as NaN, instants as whole
seconds since 1970 in UTC, days as whole days since 1970; for the few rows that are judged one by one, rows as dictionaries. Formulas
belong in the modules named after them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from retail_sensors.errors import ContractError
from retail_sensors.tables import Column, Kind, Table

Array = npt.NDArray[Any]

HOUR = 3600
DAY = 86_400


def instant(value: datetime, name: str) -> int:
    """Whole seconds since 1970 of a zone-aware instant; ContractError when it has no zone."""
    if value.tzinfo is None:
        raise ContractError(
            f"{name} {value.isoformat()} has no time zone; give an instant, such as 2026-02-01T00:00:00Z."
        )
    return int(value.timestamp())


def day_number(value: date) -> int:
    """Whole days since 1970 of a calendar date."""
    return value.toordinal() - date(1970, 1, 1).toordinal()


def _column(frame: pd.DataFrame, name: str, what: str) -> pd.Series[Any]:
    if name not in frame.columns:
        raise ContractError(f"{what} has no column {name}; give the columns that retail_sensors.tables declares.")
    return frame[name]


def seconds(frame: pd.DataFrame, name: str, what: str) -> Array:
    """An instant column as whole seconds since 1970; ContractError when it has no zone or a NULL."""
    if not len(frame):
        return np.empty(0, dtype=np.int64)
    column = _column(frame, name, what)
    if getattr(column.dtype, "tz", None) is None:
        raise ContractError(f"{what}.{name} is {column.dtype}, not zone-aware instants; load it as timestamptz.")
    values = column.to_numpy(dtype="datetime64[s]")
    if np.isnat(values).any():
        raise ContractError(f"{what}.{name} has a NULL; it is part of the key, leave such rows out.")
    return values.astype(np.int64)


def numbers(frame: pd.DataFrame, name: str, what: str) -> Array:
    """A number column as float64 with NaN for NULL."""
    if not len(frame):
        return np.empty(0, dtype=np.float64)
    return _column(frame, name, what).to_numpy(dtype=np.float64, na_value=np.nan)


def flags(frame: pd.DataFrame, name: str, what: str) -> Array:
    """A boolean column; NULL is false."""
    if not len(frame):
        return np.empty(0, dtype=bool)
    return _column(frame, name, what).to_numpy(dtype=bool, na_value=False)


def texts(frame: pd.DataFrame, name: str, what: str) -> Array:
    """A text column as an object array with None for NULL."""
    if not len(frame):
        return np.empty(0, dtype=object)
    values = _column(frame, name, what).to_numpy(dtype=object, copy=True)
    values[pd.isna(values)] = None
    return np.asarray(values)


def days(frame: pd.DataFrame, name: str, what: str) -> Array:
    """A column of calendar dates as days since 1970 in float64, NaN for NULL."""
    if not len(frame):
        return np.empty(0, dtype=np.float64)
    values = pd.to_datetime(_column(frame, name, what)).to_numpy(dtype="datetime64[D]")
    return np.where(np.isnat(values), np.nan, values.astype(np.int64).astype(np.float64))


def codes(ids: Array, values: Array) -> Array:
    """Position of each value in `ids`, -1 where it is not among them."""
    if not len(values) or not len(ids):
        return np.full(len(values), -1, dtype=np.int64)
    return np.asarray(pd.Index(ids, dtype=object).get_indexer(pd.Index(values, dtype=object)), dtype=np.int64)


def summed(groups: Array, values: Array, count: int) -> Array:
    """Sum of the known values of each group 0..count-1; NaN for a group in which none is known."""
    known = ~np.isnan(values)
    total = np.bincount(groups, weights=np.where(known, values, 0.0), minlength=count)
    return np.where(np.bincount(groups, weights=known, minlength=count) > 0, total, np.nan)


def tally(groups: Array, flagged: Array, count: int) -> Array:
    """How many rows of each group 0..count-1 are flagged."""
    return np.bincount(groups[flagged], minlength=count)


def ratio(numerator: Array, denominator: Array) -> Array:
    """numerator / denominator; NaN where either is NaN or the denominator is 0."""
    usable = ~np.isnan(denominator) & (denominator != 0)
    return np.where(usable, numerator / np.where(usable, denominator, 1.0), np.nan)


def _typed(column: Column, values: Array) -> Any:
    kind = column.kind
    if kind in (Kind.NUMERIC, Kind.DOUBLE):
        missing = np.isnan(values)
        return pd.arrays.FloatingArray(np.where(missing, 0.0, values), missing)
    if kind in (Kind.INTEGER, Kind.BIGINT):
        missing = np.isnan(values)
        return pd.arrays.IntegerArray(np.where(missing, 0, values).astype(np.int64), missing)
    if kind is Kind.BOOLEAN:
        missing = np.asarray(pd.isna(values))
        return pd.arrays.BooleanArray(np.where(missing, False, values).astype(bool), missing)
    if kind is Kind.TIMESTAMP:
        return pd.DatetimeIndex(values.astype("datetime64[s]").astype("datetime64[us]")).tz_localize("UTC")
    if kind in (Kind.DATE, Kind.TIME):
        return pd.Series(values, dtype=object)
    return pd.array(values, dtype="string")


def columns(table: Table, values: Mapping[str, Array]) -> dict[str, Any]:
    """The named columns of a table in its dtypes; instants in seconds, NULL as NaN or None."""
    return {name: _typed(table.column(name), value) for name, value in values.items()}


def build(table: Table, values: Mapping[str, Array]) -> pd.DataFrame:
    """The frame of `table.written`, in its order and dtypes; instants in seconds, NULL as NaN or None.

    Raises KeyError when a column of the table is not among the values.
    """
    typed = columns(table, values)
    return pd.DataFrame({column.name: typed[column.name] for column in table.written}, copy=False)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame with None for NULL and plain instants."""

    def cell(value: Any) -> Any:
        if isinstance(value, pd.Timestamp):
            return value.to_pydatetime()
        return None if pd.isna(value) else value

    return [{str(name): cell(value) for name, value in row.items()} for row in frame.to_dict("records")]


def from_records(table: Table, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The frame of `table.written` from such rows."""
    return pd.DataFrame(
        {
            column.name: pd.Series([row[column.name] for row in rows], dtype="object").astype(
                pd.api.types.pandas_dtype(column.kind.pandas)
            )
            for column in table.written
        }
    )
