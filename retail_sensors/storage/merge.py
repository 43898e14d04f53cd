"""Merging a frame into its table: the only way rows get into a table of the contract.

One transaction, one advisory lock per table: two writers do not interleave, a failure leaves the former rows, and the
same frame again changes nothing. Rows go through a temporary table, because COPY alone can neither update nor pass
row-level security. What a frame must look like belongs in `storage.frames`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

import pandas as pd
import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as PgConnection

from retail_sensors.errors import ContractError
from retail_sensors.storage.frames import check_frame, copy_frame, identifiers, qualified
from retail_sensors.tables import Column, Kind, Table

WriteMode = Literal["replace", "merge"]

PARTITIONED = frozenset(
    {"people_counting_raw", "regional_counting_raw", "heatmap_temporal_raw", "vca_alarm_status", "collection_log"}
)
"""Tables with native monthly partitions, which the loader makes when history arrives."""

_INCOMING = sql.Identifier("pg_temp", "incoming")


@dataclass(frozen=True, slots=True)
class MergeResult:
    """What a merge did, in rows. `refused`: lower than the stored counts, set aside in `raw_revisions`."""

    inserted: int = 0
    changed: int = 0
    unchanged: int = 0
    deleted: int = 0
    refused: int = 0


def merge_frame(
    connection: PgConnection,
    table: Table,
    frame: pd.DataFrame,
    *,
    asset: str,
    mode: WriteMode,
    window: tuple[datetime, datetime] | None = None,
    overwrite: bool = False,
    run_id: str | None = None,
) -> MergeResult:
    """Writes the frame and says what changed.

    `merge`: rows are inserted, or updated where a value differs; no row is deleted. In tables with counts a row with a
    lower (or newly empty) count does not replace the stored one unless `overwrite`; it is kept in `raw_revisions`.
    `replace`: the frame is all there is in `window` (half-open instants); rows of the window that it lacks are deleted,
    and an empty frame empties the window.

    Raises ContractError for a frame that breaks the contract or has rows outside of `window`.
    """
    checked = check_frame(frame, table, asset)
    if window is not None:
        _check_window(checked, table, window, asset)
    if mode == "replace" and window is None:
        raise ContractError(
            f"Asset {asset}, table retail.{table.name}: write_mode replace needs partitions; use merge."
        )
    if checked.empty and mode == "merge":
        return MergeResult()
    try:
        lock_writers(connection, table)
        _ensure_partitions(connection, table, checked)
        _load_incoming(connection, table, checked)
        return _merge_incoming(connection, table, len(checked), mode, window, overwrite, run_id)
    except (psycopg2.DataError, psycopg2.IntegrityError) as error:
        detail = (error.diag.message_detail or error.diag.context or "").splitlines()
        raise ContractError(
            f"Asset {asset}, table retail.{table.name}: Postgres refused a value: {error.diag.message_primary}"
            f"{' (' + detail[0] + ')' if detail else ''}; nothing was written. Mend the value, or drop its row."
        ) from error
    except UnicodeEncodeError as error:
        raise ContractError(
            f"Asset {asset}, table retail.{table.name}: a text holds {error.object[error.start : error.end]!r}, which is no "
            "character; nothing was written. Decode bytes with errors='replace'."
        ) from error


def lock_writers(connection: PgConnection, table: Table) -> None:
    """Waits until no other transaction writes the table, and keeps others from it until this one ends.

    Whoever writes several tables takes the locks of all of them in one order, or two writers wait for each other.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"retail.{table.name} writer",))


def _check_window(frame: pd.DataFrame, table: Table, window: tuple[datetime, datetime], asset: str) -> None:
    if table.time_column is None or frame.empty:
        return
    values = frame[table.time_column]
    bounds = window_bounds(table, window)
    outside = (values < bounds[0]) | (values >= bounds[1])
    if outside.any():
        raise ContractError(
            f"Asset {asset}, table retail.{table.name}, column {table.time_column}: {int(outside.sum())} row(s) lie outside of "
            f"the window {window[0].isoformat()} to {window[1].isoformat()}, for example {values[outside].iloc[0]}; "
            "return only rows of the run's partitions."
        )


def window_bounds(table: Table, window: tuple[datetime, datetime]) -> tuple[datetime | date, datetime | date]:
    """The half-open window in the type of the table's time column.

    A date column is compared with dates: `date >= timestamptz` would be decided by the session's zone.
    """
    if table.time_column is not None and table.column(table.time_column).kind is Kind.DATE:
        return window[0].date(), window[1].date()
    return window


def window_condition(table: Table, window: tuple[datetime, datetime], alias: str | None = None) -> sql.Composed:
    """SQL for "the row lies in the window", with the bounds as literals so that other months are pruned."""
    if table.time_column is None:
        raise ContractError(f"Table retail.{table.name} has no time column; it cannot be read by partition.")
    column = sql.Identifier(*([alias] if alias else []), table.time_column)
    start, end = window_bounds(table, window)
    return sql.SQL("({} >= {} AND {} < {})").format(column, sql.Literal(start), column, sql.Literal(end))


def _ensure_partitions(connection: PgConnection, table: Table, frame: pd.DataFrame) -> None:
    if table.name not in PARTITIONED or table.time_column is None or frame.empty:
        return
    instants = frame[table.time_column]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT retail.ensure_month_partitions(%s, %s, %s + interval '1 microsecond')",
            (table.name, pd.Timestamp(instants.min()).to_pydatetime(), pd.Timestamp(instants.max()).to_pydatetime()),
        )


def _load_incoming(connection: PgConnection, table: Table, frame: pd.DataFrame) -> None:
    definitions = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(column.kind.postgres)) for column in table.written
    )
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("CREATE TEMPORARY TABLE incoming ({}) ON COMMIT DROP").format(definitions))
        copy_frame(connection, frame, table, _INCOMING)
        # Without statistics the planner takes the table for tiny and walks the big one row by row.
        cursor.execute(sql.SQL("ANALYZE {}").format(_INCOMING))


def _merge_incoming(
    connection: PgConnection,
    table: Table,
    rows: int,
    mode: WriteMode,
    window: tuple[datetime, datetime] | None,
    overwrite: bool,
    run_id: str | None,
) -> MergeResult:
    target = qualified(table)
    same_key = sql.SQL(" AND ").join(sql.SQL("t.{0} = i.{0}").format(sql.Identifier(name)) for name in table.key)
    near = _pruning(connection, table)
    values = [column for column in table.written if column.name not in table.key]
    counts = [column for column in values if column.is_count]
    refused = deleted = 0
    with connection.cursor() as cursor:
        if counts and mode == "merge":
            refused = _keep_aside(connection, table, counts, same_key, near, overwrite, run_id)
        if mode == "replace" and window is not None:
            cursor.execute(
                sql.SQL("DELETE FROM {} AS t WHERE {} AND NOT EXISTS (SELECT FROM {} AS i WHERE {})").format(
                    target, window_condition(table, window, "t"), _INCOMING, same_key
                )
            )
            deleted = cursor.rowcount
        compared = [column for column in values if not column.is_bookkeeping]
        changed = 0
        if compared:
            incoming: dict[str, sql.Composable] = {
                column.name: sql.SQL("i.{}").format(sql.Identifier(column.name)) for column in values
            }
            if mode == "merge" and not overwrite and "is_final" in incoming:
                # A slow run that asked while the hour ran may write after the one that asked when it was over.
                incoming["is_final"] = sql.SQL("(t.is_final OR i.is_final)")
            touch = [sql.SQL("updated_at = now()")] if "updated_at" in table.names else []
            cursor.execute(
                sql.SQL("UPDATE {} AS t SET {} FROM {} AS i WHERE {} AND {} AND ({})").format(
                    target,
                    sql.SQL(", ").join(
                        [
                            *(sql.SQL("{} = {}").format(sql.Identifier(name), new) for name, new in incoming.items()),
                            *touch,
                        ]
                    ),
                    _INCOMING,
                    same_key,
                    near,
                    # Plain comparisons joined by OR: Postgres stops at the first difference, a row comparison builds both rows.
                    sql.SQL(" OR ").join(
                        sql.SQL("t.{} IS DISTINCT FROM {}").format(sql.Identifier(column.name), incoming[column.name])
                        for column in compared
                    ),
                )
            )
            changed = cursor.rowcount
        cursor.execute(
            sql.SQL(
                "INSERT INTO {} ({}) SELECT {} FROM {} AS i WHERE NOT EXISTS (SELECT FROM {} AS t WHERE {} AND {})"
            ).format(
                target,
                identifiers([column.name for column in table.written]),
                identifiers([column.name for column in table.written]),
                _INCOMING,
                target,
                same_key,
                near,
            )
        )
        inserted = cursor.rowcount
        cursor.execute(sql.SQL("DROP TABLE {}").format(_INCOMING))
    return MergeResult(inserted, changed, rows - inserted - changed - refused, deleted, refused)


def _pruning(connection: PgConnection, table: Table) -> sql.Composed:
    """The span of the incoming rows as literals, so that only the months that they touch are looked at."""
    if table.time_column is None:
        return sql.Composed([sql.SQL("true")])
    column = sql.Identifier(table.time_column)
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("SELECT min({}), max({}) FROM {}").format(column, column, _INCOMING))
        low, high = cursor.fetchone() or (None, None)
    return sql.SQL("(t.{0} >= {1} AND t.{0} <= {2})").format(column, sql.Literal(low), sql.Literal(high))


def _keep_aside(
    connection: PgConnection,
    table: Table,
    counts: list[Column],
    same_key: sql.Composed,
    near: sql.Composed,
    overwrite: bool,
    run_id: str | None,
) -> int:
    """Records readings that are lower than what is stored; without `overwrite` takes them out of the incoming rows.

    After a factory reset a camera answers zeros for hours that it once counted. Returns the rows refused.
    """
    lowered = sql.SQL(" OR ").join(
        sql.SQL("t.{0} > i.{0} OR (t.{0} IS NOT NULL AND i.{0} IS NULL)").format(sql.Identifier(column.name))
        for column in counts
    )

    def values(alias: str) -> sql.Composed:
        pairs = sql.SQL(", ").join(
            sql.SQL("{}, {}").format(sql.Literal(column.name), sql.Identifier(alias, column.name)) for column in counts
        )
        return sql.SQL("jsonb_build_object({})").format(pairs)

    kept, aside, action = ("i", "t", "overwritten") if overwrite else ("t", "i", "refused")
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL(
                "INSERT INTO retail.raw_revisions"
                " (table_name, sensor_id, timestamp, reading_hash, action, kept, set_aside, run_id)"
                " SELECT {}, i.sensor_id, i.{}, md5({} || {}::text || {}::text), {}, {}, {}, {}"
                " FROM {} AS i JOIN {} AS t ON {} AND {} WHERE {}"
                " ON CONFLICT DO NOTHING"
            ).format(
                sql.Literal(table.name),
                sql.Identifier(table.time_column or ""),
                sql.Literal(action),
                values(aside),
                values(kept),
                sql.Literal(action),
                values(kept),
                values(aside),
                sql.Literal(run_id),
                _INCOMING,
                qualified(table),
                same_key,
                near,
                lowered,
            )
        )
        if overwrite:
            return 0
        # The hour is over although its last reading is not believed: what was stored stands, and stands as final.
        cursor.execute(
            sql.SQL(
                "UPDATE {} AS t SET is_final = true, updated_at = now() FROM {} AS i"
                " WHERE {} AND {} AND i.is_final AND NOT t.is_final AND ({})"
            ).format(qualified(table), _INCOMING, same_key, near, lowered)
        )
        cursor.execute(
            sql.SQL("DELETE FROM {} AS i USING {} AS t WHERE {} AND {} AND ({})").format(
                _INCOMING, qualified(table), same_key, near, lowered
            )
        )
        return cursor.rowcount
