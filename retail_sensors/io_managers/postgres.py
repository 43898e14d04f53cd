"""The Postgres IO manager: an asset's frame is the window of its partitions in the declared table of its name.

Asset key -> table of `retail_sensors.tables` in schema `retail`; metadata as in Dagster's own database IO managers:
`partition_expr` (the table's time column), `columns` (load only these), and `write_mode`:

* `replace` (default): the frame is all there is in the run's window, swapped in one transaction;
* `merge`: rows are inserted or updated on the key, none is deleted, and counts are not lowered.

A run over a range of partitions is one window. What a frame must look like, and how rows are merged, belongs in
`retail_sensors.storage`. The database IO manager's base classes are private in Dagster: they are imported here only.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, cast

import dagster as dg
import pandas as pd
from dagster._core.storage.db_io_manager import DbClient, DbIOManager, DbTypeHandler, TableSlice
from psycopg2 import sql
from psycopg2.extensions import connection as PgConnection

from retail_sensors.errors import ContractError
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.storage.collections import CollectedWindow, store_collection
from retail_sensors.storage.database import Database
from retail_sensors.storage.frames import qualified, read_frame
from retail_sensors.storage.merge import MergeResult, WriteMode, merge_frame, window_condition
from retail_sensors.tables import TABLES, Table

_WRITE_MODES = ("replace", "merge")


class PostgresIOManager(dg.ConfigurableIOManagerFactory):
    """Stores and loads assets in the declared tables of schema `retail`."""

    database: DatabaseResource

    def create_io_manager(self, context: dg.InitResourceContext) -> dg.IOManager:
        """The IO manager on this installation's database."""
        return DbIOManager(
            type_handlers=[FrameHandler(), CollectionHandler()],
            db_client=_Client(self.database.database),
            database="",
            schema="retail",
            io_manager_name="PostgresIOManager",
            default_load_type=pd.DataFrame,
        )


class _Client(DbClient[PgConnection]):
    """One connection and one transaction for each output or input."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def connect(  # type: ignore[override] # Dagster calls it on the instance, although it declares it static
        self, context: dg.OutputContext | dg.InputContext, table_slice: TableSlice
    ) -> Iterator[PgConnection]:
        with self._database.transaction() as connection:
            yield connection

    @staticmethod
    def ensure_schema_exists(context: dg.OutputContext, table_slice: TableSlice, connection: PgConnection) -> None:
        """Nothing: tables are declared by migrations."""

    @staticmethod
    def delete_table_slice(context: dg.OutputContext, table_slice: TableSlice, connection: PgConnection) -> None:
        """Nothing: the handler replaces the window's rows itself, with the frame's rows at hand."""

    @staticmethod
    def get_select_statement(table_slice: TableSlice) -> str:
        """The statement that shows the window, for the asset's metadata."""
        columns = ", ".join(f'"{name}"' for name in table_slice.columns or ()) or "*"
        statement = f'SELECT {columns} FROM {table_slice.schema}."{table_slice.table}"'  # noqa: S608 -- shown, not run
        window = _window(table_slice)
        if window is None:
            return statement
        time_column = TABLES[table_slice.table].time_column
        return f"{statement} WHERE \"{time_column}\" >= '{window[0]}' AND \"{time_column}\" < '{window[1]}'"

    @staticmethod
    def get_table_name(table_slice: TableSlice) -> str:
        """The table with its schema."""
        return f"{table_slice.schema}.{table_slice.table}"


class FrameHandler(DbTypeHandler[pd.DataFrame]):
    """Frames out and in."""

    @property
    def supported_types(self) -> Sequence[type[object]]:
        return [pd.DataFrame]

    def handle_output(
        self, context: dg.OutputContext, table_slice: TableSlice, obj: pd.DataFrame, connection: PgConnection
    ) -> Mapping[str, Any]:
        """Writes the frame in the asset's `write_mode`; the metadata says how many rows did what."""
        table = _table(context, table_slice)
        window = _window(table_slice)
        result = merge_frame(
            connection,
            table,
            obj,
            asset=context.asset_key.to_user_string(),
            mode=_write_mode(context),
            window=window,
            run_id=context.run_id,
        )
        return _written(connection, table, window, result)

    def load_input(self, context: dg.InputContext, table_slice: TableSlice, connection: PgConnection) -> pd.DataFrame:
        """The rows of the input's partitions, in the order of the key; without partitions the whole table."""
        table = _table(context, table_slice)
        if any(dimension.partitions == [] for dimension in table_slice.partition_dimensions or ()):
            # A mapping may lead to partitions that do not exist yet, and to none that does.
            return read_frame(connection, table, sql.SQL("false"), columns=table_slice.columns)
        window = _window(table_slice)
        where = window_condition(table, window) if window else None
        return read_frame(connection, table, where, columns=table_slice.columns)


class CollectionHandler(DbTypeHandler[CollectedWindow]):
    """What a sweep over the fleet brought home: raw rows, log and rejected payloads, in one transaction."""

    @property
    def supported_types(self) -> Sequence[type[object]]:
        return [CollectedWindow]

    def handle_output(
        self, context: dg.OutputContext, table_slice: TableSlice, obj: CollectedWindow, connection: PgConnection
    ) -> Mapping[str, Any]:
        """Merges the rows; the metadata says how many rows did what."""
        table = _table(context, table_slice)
        result = store_collection(
            connection, table, obj, asset=context.asset_key.to_user_string(), run_id=context.run_id
        )
        return {**_written(connection, table, _window(table_slice), result), "rows refused": result.refused}

    def load_input(
        self, context: dg.InputContext, table_slice: TableSlice, connection: PgConnection
    ) -> CollectedWindow:
        """Refused: what was collected is loaded as a frame."""
        raise ContractError(
            f"Asset {context.asset_key.to_user_string()} loads as a pandas DataFrame; annotate the input with pd.DataFrame."
        )


def _table(context: dg.OutputContext | dg.InputContext, table_slice: TableSlice) -> Table:
    table = TABLES.get(table_slice.table)
    if table is None or table_slice.schema != "retail":
        raise ContractError(
            f"Asset {context.asset_key.to_user_string()}: table {table_slice.schema}.{table_slice.table} is not declared; "
            "declare it in retail_sensors/tables and a migration, or give the asset another IO manager."
        )
    for dimension in table_slice.partition_dimensions or ():
        if dimension.partition_expr != table.time_column:
            raise ContractError(
                f"Asset {context.asset_key.to_user_string()}: partition_expr {dimension.partition_expr!r} is not the time column "
                f"of retail.{table.name}; write partition_expr: {table.time_column!r}."
            )
    return table


def _write_mode(context: dg.OutputContext) -> WriteMode:
    mode = (context.definition_metadata or {}).get("write_mode", "replace")
    if mode not in _WRITE_MODES:
        raise ContractError(
            f"Asset {context.asset_key.to_user_string()}: write_mode {mode!r} is unknown; write 'replace' or 'merge'."
        )
    return cast("WriteMode", mode)


def _window(table_slice: TableSlice) -> tuple[datetime, datetime] | None:
    for dimension in table_slice.partition_dimensions or ():
        if isinstance(dimension.partitions, dg.TimeWindow):
            return dimension.partitions.start, dimension.partitions.end
        raise ContractError(
            f"Table retail.{table_slice.table}: partitions {dimension.partitions!r} are not a time window; the Postgres IO "
            "manager serves assets partitioned by time."
        )
    return None


def _written(
    connection: PgConnection, table: Table, window: tuple[datetime, datetime] | None, result: MergeResult
) -> Mapping[str, Any]:
    where = window_condition(table, window) if window else sql.SQL("true")
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("SELECT count(*) FROM {} WHERE {}").format(qualified(table), where))
        (rows,) = cursor.fetchone() or (0,)
    return {
        "dagster/partition_row_count" if window else "dagster/row_count": rows,
        "rows inserted": result.inserted,
        "rows changed": result.changed,
        "rows unchanged": result.unchanged,
        "rows deleted": result.deleted,
    }
