"""Cameras in a real database, and frames and readings to store for them: what the tests of storage share."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pandas as pd
from psycopg2.extras import execute_values

from retail_sensors.storage.database import Database
from retail_sensors.storage.merge import MergeResult, WriteMode, merge_frame
from retail_sensors.tables import Table

HOUR = timedelta(hours=1)
COUNTS = tuple(f"line{line}_{way}" for line in (1, 2, 3, 4) for way in ("in", "out"))


def utc(text: str) -> datetime:
    """An instant from text such as 2026-02-02T09:00, meant in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def register(database: Database, *names: str, zone: str = "UTC") -> list[str]:
    """Registers one store and its cameras; returns the cameras' ids in the order of the names."""
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(
            "WITH o AS (INSERT INTO retail.organizations (organization_name) VALUES (%s) RETURNING id)"
            " INSERT INTO retail.stores (organization_id, store_name, timezone) SELECT id, %s, %s FROM o RETURNING id",
            (f"{names[0]} retail", f"{names[0]} store", zone),
        )
        (store,) = cursor.fetchone() or ("",)
        rows = execute_values(
            cursor,
            "INSERT INTO retail.sensor_metadata (sensor_name, store_id, sensor_ip, sensor_port, timezone, endpoints)"
            " VALUES %s RETURNING sensor_name, id::text",
            [(name, store, name, 80, zone) for name in names],
            template="(%s, %s, %s, %s, %s, '[\"people_counting\"]')",
            fetch=True,
        )
    ids = dict(rows)
    return [ids[name] for name in names]


def frame_of(table: Table, *rows: Mapping[str, Any]) -> pd.DataFrame:
    """A frame with the columns that a frame of the table must bring, in the declared dtypes; what a row lacks is NULL."""
    return pd.DataFrame(
        {
            column.name: pd.Series([row.get(column.name) for row in rows], dtype="object").astype(column.kind.pandas)
            for column in table.written
        }
    )


def reading(sensor: str, at: str | datetime, **changes: Any) -> dict[str, Any]:
    """One row of a raw table with hours, final; line 1 counted 10 in and 5 out, the other lines nobody."""
    start = utc(at) if isinstance(at, str) else at
    return {
        "sensor_id": sensor,
        "timestamp": start,
        "end_time": start + HOUR,
        **dict.fromkeys(COUNTS, 0),
        "line1_in": 10,
        "line1_out": 5,
        "local_label": f"{start:%Y/%m/%d %H:%M:%S}",
        "collected_at": start + HOUR + timedelta(minutes=5),
        "is_final": True,
        **changes,
    }


def hour(sensor: str, at: str | datetime, entries: float | None = 10.0, **changes: Any) -> dict[str, Any]:
    """One row of `hourly_analytics`."""
    return {
        "sensor_id": sensor,
        "hour_start": utc(at) if isinstance(at, str) else at,
        "total_entries": entries,
        "is_open": True,
        "data_completeness": 1.0,
        "is_provisional": False,
        "quality": '{"counts": "measured"}',
        **changes,
    }


def day(sensor: str, date: Any, visitors: float | None = 100.0, **changes: Any) -> dict[str, Any]:
    """One row of `daily_analytics`."""
    return {
        "sensor_id": sensor,
        "date": date,
        "total_visitors": visitors,
        "hourly_distribution": "{}",
        "data_completeness": 1.0,
        "is_provisional": False,
        "quality": '{"counts": "measured"}',
        **changes,
    }


def store(
    database: Database,
    table: Table,
    *rows: Mapping[str, Any],
    mode: WriteMode = "merge",
    window: tuple[datetime, datetime] | None = None,
    overwrite: bool = False,
    run_id: str | None = None,
) -> MergeResult:
    """Writes the rows in a transaction of their own."""
    with database.transaction() as connection:
        return merge_frame(
            connection,
            table,
            frame_of(table, *rows),
            asset=table.name,
            mode=mode,
            window=window,
            overwrite=overwrite,
            run_id=run_id,
        )


def versions(database: Database, table: Table) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Where and by which transaction each row was written, by its key: a row that was touched at all differs."""
    key = ", ".join(f'"{name}"::text' for name in table.key)
    rows = database.fetch(f"SELECT tableoid::text, ctid::text, xmin::text, {key} FROM retail.{table.name}")
    return {row[3:]: row[:3] for row in rows}


def stored(database: Database, table: Table, *columns: str) -> list[tuple[Any, ...]]:
    """The named columns of every row, in the order of the key."""
    names = ", ".join(f'"{name}"' for name in columns)
    order = ", ".join(f'"{name}"' for name in table.key)
    rows = database.fetch(f"SELECT {names} FROM retail.{table.name} ORDER BY {order}")
    return [tuple(str(value) if isinstance(value, UUID) else value for value in row) for row in rows]
