"""Frames and tables: check a frame against its table's contract, write it as COPY text, read rows back as a frame.

A frame has the columns of `Table.written` with the dtypes of `Kind`; instants are zone-aware and come back in UTC. How
rows are merged into a table belongs in `storage.merge`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
from pandas.api import types as dtypes
from psycopg2 import sql
from psycopg2.extensions import connection as PgConnection

from retail_sensors.errors import ContractError
from retail_sensors.tables import Column, Kind, Table

_CHUNK_ROWS = 50_000
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_SCHEMA = "retail"
_INTEGER_BITS = {Kind.INTEGER: 31, Kind.BIGINT: 63}


def qualified(table: Table) -> sql.Identifier:
    """The table's name in its schema, quoted."""
    return sql.Identifier(_SCHEMA, table.name)


def identifiers(names: Sequence[str]) -> sql.Composed:
    """Column names, quoted and separated by commas."""
    return sql.SQL(", ").join(map(sql.Identifier, names))


# Checking ---------------------------------------------------------------------------------------------------------------


def check_frame(frame: pd.DataFrame, table: Table, asset: str) -> pd.DataFrame:
    """The frame with its columns in the table's order; nothing else is changed.

    Raises ContractError, naming asset, table, column and remedy, for a missing, extra or wrongly typed column, a NULL
    where none is allowed, a number that is infinite or too large, and a key that is NULL or stands twice.
    """
    where = f"Asset {asset}, table {_SCHEMA}.{table.name}"
    written = table.written
    expected = [column.name for column in written]
    if missing := [name for name in expected if name not in frame.columns]:
        raise ContractError(
            f"{where}: the frame lacks the column(s) {', '.join(missing)}; add them, NULL where unknown."
        )
    if extra := [str(name) for name in frame.columns if name not in expected]:
        generated = [column.name for column in table.columns if column.is_generated]
        hint = (
            "Postgres computes them, so drop them from the frame"
            if set(extra) <= set(generated)
            else "drop them from the frame, or declare them in retail_sensors/tables and a migration"
        )
        raise ContractError(f"{where}: the frame has the undeclared column(s) {', '.join(extra)}; {hint}.")
    if len(set(frame.columns)) != len(frame.columns):
        raise ContractError(f"{where}: a column name stands twice in the frame; keep one of each.")
    checked = frame.loc[:, expected]
    for column in written:
        _check_column(checked[column.name], column, where)
    key = list(table.key)
    doubled = checked.duplicated(subset=key, keep=False)
    if doubled.any():
        example = checked.loc[doubled, key].iloc[0].to_dict()
        raise ContractError(
            f"{where}: {int(doubled.sum())} rows share their key ({', '.join(key)}) with another, for example "
            f"{ {name: str(value) for name, value in example.items()} }; make the key unique before returning the frame."
        )
    return checked


def _check_column(series: pd.Series[Any], column: Column, where: str) -> None:
    if not column.nullable and series.isna().any():
        raise ContractError(
            f"{where}, column {column.name}: {int(series.isna().sum())} value(s) are NULL, which the contract does not allow; "
            "fill or drop those rows."
        )
    if not _fits(series, column.kind):
        raise ContractError(
            f"{where}, column {column.name}: the dtype {series.dtype} is not {column.kind.pandas} ({column.kind.postgres}); "
            f"{_REMEDIES.get(column.kind, f'convert it with .astype({column.kind.pandas!r})')}."
        )
    if column.kind in (Kind.DOUBLE, Kind.NUMERIC) and len(series):
        values = series.to_numpy(dtype="float64", na_value=np.nan)
        if np.isinf(values).any():
            raise ContractError(f"{where}, column {column.name}: a value is infinite; write NULL and state the reason.")
    if bits := _INTEGER_BITS.get(column.kind):
        present = series.dropna()
        if len(present) and not (-(2**bits) <= int(present.min()) and int(present.max()) < 2**bits):
            raise ContractError(
                f"{where}, column {column.name}: the values from {present.min()} to {present.max()} do not fit "
                f"{column.kind.postgres}; drop rows that cannot be meant."
            )


_REMEDIES = {
    Kind.TIMESTAMP: "give zone-aware instants, for example pd.to_datetime(..., utc=True)",
    Kind.DATE: "give datetime.date values",
    Kind.TIME: "give datetime.time values without a zone",
    Kind.BYTEA: "give bytes",
}


def _fits(series: pd.Series[Any], kind: Kind) -> bool:
    """Whether the values are of the kind; a column without any value fits every kind."""
    dtype = series.dtype
    if series.isna().all():
        return True
    if dtypes.is_object_dtype(dtype):
        return all(_OBJECTS[kind](value) for value in series.dropna())
    match kind:
        case Kind.INTEGER | Kind.BIGINT:
            return dtypes.is_integer_dtype(dtype)
        case Kind.NUMERIC | Kind.DOUBLE:
            return dtypes.is_numeric_dtype(dtype) and not dtypes.is_bool_dtype(dtype)
        case Kind.BOOLEAN:
            return dtypes.is_bool_dtype(dtype)
        case Kind.TIMESTAMP:
            return isinstance(dtype, pd.DatetimeTZDtype)
        case Kind.TEXT | Kind.UUID | Kind.JSONB:
            return dtypes.is_string_dtype(dtype)
        case _:
            return False


def _is_int(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


_OBJECTS = {
    Kind.INTEGER: _is_int,
    Kind.BIGINT: _is_int,
    Kind.NUMERIC: lambda value: _is_int(value) or isinstance(value, float | np.floating),
    Kind.DOUBLE: lambda value: _is_int(value) or isinstance(value, float | np.floating),
    Kind.BOOLEAN: lambda value: isinstance(value, bool | np.bool_),
    Kind.TIMESTAMP: lambda value: isinstance(value, datetime) and value.tzinfo is not None,
    Kind.DATE: lambda value: isinstance(value, date) and not isinstance(value, datetime),
    Kind.TIME: lambda value: isinstance(value, time) and value.tzinfo is None,
    Kind.BYTEA: lambda value: isinstance(value, bytes),
    Kind.TEXT: lambda value: isinstance(value, str),
    Kind.JSONB: lambda value: isinstance(value, str),
    Kind.UUID: lambda value: isinstance(value, str | UUID),
}


# Writing ----------------------------------------------------------------------------------------------------------------


def copy_frame(connection: PgConnection, frame: pd.DataFrame, table: Table, target: sql.Composable) -> None:
    """COPYs a checked frame into `target`, which has the table's written columns; memory is bounded by chunks.

    Raises UnicodeEncodeError for half of a surrogate pair, which no encoding has.
    """
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(target, identifiers([c.name for c in table.written]))
    with connection.cursor() as cursor:
        for start in range(0, len(frame), _CHUNK_ROWS):
            chunk = frame.iloc[start : start + _CHUNK_ROWS]
            # Encoded here: an error inside of the driver's callback would look like a lost connection.
            cursor.copy_expert(statement, io.BytesIO(_copy_text(chunk, table).encode()))


def _copy_text(frame: pd.DataFrame, table: Table) -> str:
    cells = [_cells(frame[column.name], column.kind) for column in table.written]
    return "\n".join(map("\t".join, zip(*cells, strict=True))) + "\n"


def _cells(series: pd.Series[Any], kind: Kind) -> list[str]:
    missing = series.isna().to_numpy()
    if not missing.any():
        return _present_cells(series, kind)
    cells = np.full(len(series), "\\N", dtype=object)
    present = ~missing
    if present.any():
        cells[present] = _present_cells(series[present], kind)
    return cells.tolist()


def _present_cells(series: pd.Series[Any], kind: Kind) -> list[str]:
    match kind:
        case Kind.INTEGER | Kind.BIGINT:
            return list(map(str, series.to_numpy(dtype="int64").tolist()))
        case Kind.DOUBLE:
            return list(map(repr, series.to_numpy(dtype="float64").tolist()))
        case Kind.NUMERIC:
            # A numeric keeps the digits that it was written with: 66 people, not 66.0.
            return [repr(value).removesuffix(".0") for value in series.to_numpy(dtype="float64").tolist()]
        case Kind.BOOLEAN:
            return np.where(series.to_numpy(dtype=bool), "t", "f").tolist()
        case Kind.TIMESTAMP:
            utc = pd.to_datetime(series, utc=True)
            # A column of hours repeats few instants: each is written once.
            codes, instants = pd.factorize(utc)
            labels = np.char.add(np.datetime_as_string(instants.to_numpy(dtype="datetime64[us]"), unit="us"), "+00")
            return labels.astype(object)[codes].tolist()
        case Kind.DATE | Kind.TIME:
            return [value.isoformat() for value in series]
        case Kind.BYTEA:
            return [r"\\x" + value.hex() for value in series]
        case _:
            texts = list(map(str, series.tolist()))
            # Almost no text holds a character that COPY must have escaped: look once for all of them.
            joined = "".join(texts)
            if "\\" in joined or "\t" in joined or "\n" in joined or "\r" in joined:
                return [text.translate(_ESCAPES) for text in texts]
            return texts


# Reading ----------------------------------------------------------------------------------------------------------------


def read_frame(
    connection: PgConnection,
    table: Table,
    where: sql.Composable | None = None,
    parameters: Mapping[str, Any] | None = None,
    *,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Rows of the table in the order of its key, with the contract's dtypes.

    `where` is a condition over the table's columns with `parameters`; `columns` defaults to all, and may name any of
    them. Raises ContractError for a column that the table does not have.
    """
    names = list(columns) if columns is not None else list(table.names)
    if unknown := [name for name in names if name not in table.names]:
        raise ContractError(
            f"Table {_SCHEMA}.{table.name} has no column(s) {', '.join(unknown)}; it has {', '.join(table.names)}."
        )
    wanted = [table.column(name) for name in names]
    statement = sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY {}").format(
        sql.SQL(", ").join(_selected(column) for column in wanted),
        qualified(table),
        where or sql.SQL("true"),
        identifiers(table.key),
    )
    pieces = [_frame(rows, wanted) for rows in _chunks(connection, statement, parameters)]
    if not pieces:
        return _frame([], wanted)
    return pd.concat(pieces, ignore_index=True) if len(pieces) > 1 else pieces[0]


def empty_frame(table: Table) -> pd.DataFrame:
    """A frame without rows that fits the table."""
    return _frame([], list(table.written))


def _chunks(
    connection: PgConnection, statement: sql.Composed, parameters: Mapping[str, Any] | None
) -> Iterator[list[tuple[Any, ...]]]:
    with connection.cursor(name="retail_sensors_read") as cursor:
        cursor.itersize = _CHUNK_ROWS
        cursor.execute(statement, parameters)
        while rows := cursor.fetchmany(_CHUNK_ROWS):
            yield rows


def _selected(column: Column) -> sql.Composable:
    name = sql.Identifier(column.name)
    match column.kind:
        case Kind.TIMESTAMP:
            # As whole microseconds: making a Python datetime for each cell costs more than the rest of the row.
            return sql.SQL("(extract(epoch FROM {}) * 1000000)::bigint").format(name)
        case Kind.NUMERIC:
            return sql.SQL("{}::double precision").format(name)
        case Kind.UUID | Kind.JSONB:
            return sql.SQL("{}::text").format(name)
        case _:
            return name


def _frame(rows: list[tuple[Any, ...]], columns: list[Column]) -> pd.DataFrame:
    values = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    series = {column.name: _series(cells, column.kind) for column, cells in zip(columns, values, strict=True)}
    return pd.DataFrame(series)


def _series(cells: Sequence[Any], kind: Kind) -> pd.Series[Any]:
    match kind:
        case Kind.TIMESTAMP:
            micros = np.array([np.iinfo("int64").min if cell is None else cell for cell in cells], dtype="int64")
            return pd.Series(micros.view("datetime64[us]")).dt.tz_localize("UTC")
        case Kind.BYTEA:
            return pd.Series([None if cell is None else bytes(cell) for cell in cells], dtype="object")
        case _:
            return pd.Series(list(cells), dtype=kind.pandas)
