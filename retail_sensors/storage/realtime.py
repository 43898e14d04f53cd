"""Minute rows in Postgres: what a sweep of readings needs of the rows before, and storing it.

The statements stand in `sql/queries/realtime.sql`; what is made of the frames belongs in `analytics.realtime`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
from psycopg2.extensions import connection as PgConnection

from retail_sensors.storage.collections import CollectedWindow, store_collection
from retail_sensors.storage.database import Database
from retail_sensors.storage.merge import MergeResult, merge_frame
from retail_sensors.storage.sqlfiles import queries
from retail_sensors.tables import VCA_ALARM_STATUS
from retail_sensors.tables.realtime import REALTIME_ANALYTICS

_DAY = timedelta(days=1, hours=2)
"""An occupancy day has up to 25 hours, and its first hour may have begun a little before."""


def polled(database: Database, sensors: Sequence[str], minute: datetime) -> set[str]:
    """Those of the cameras that have a row in the minute already."""
    rows = database.fetch(queries("realtime")["polled_cameras"], {"sensors": list(sensors), "minute": minute})
    return {sensor for (sensor,) in rows}


def rows_before(database: Database, sensors: Sequence[str], minute: datetime) -> pd.DataFrame:
    """One row for each camera that has one from before the minute: the sums that go on, its counters and its flags."""
    with database.transaction() as connection:
        return _frame(connection, "rows_before", {"sensors": list(sensors), "minute": minute})


def counted_hours(database: Database, sensors: Sequence[str], now: datetime) -> pd.DataFrame:
    """sensor_id, hour_start, entries, exits, counted_until: the measured hours of the occupancy day and the local day."""
    with database.transaction() as connection:
        return _frame(connection, "counted_hours", {"sensors": list(sensors), "since": now - _DAY, "now": now})


def minutes_of_stores(database: Database, since: datetime, now: datetime) -> pd.DataFrame:
    """store_id, period_start, period_end, current_count, current_occupancy_percent, one row for each store and minute."""
    with database.transaction() as connection:
        return _frame(connection, "minutes_of_stores", {"since": since, "now": now})


def store_minutes(database: Database, collected: CollectedWindow, rows: pd.DataFrame) -> MergeResult:
    """Stores the readings, what became of asking and the minute rows in one transaction; what changed of the minute rows."""
    with database.transaction() as connection:
        store_collection(connection, VCA_ALARM_STATUS, collected, asset=VCA_ALARM_STATUS.name, run_id=None)
        return merge_frame(connection, REALTIME_ANALYTICS, rows, asset=REALTIME_ANALYTICS.name, mode="merge")


def _frame(connection: PgConnection, query: str, parameters: Mapping[str, Any]) -> pd.DataFrame:
    with connection.cursor() as cursor:
        cursor.execute(queries("realtime")[query], parameters)
        return pd.DataFrame(cursor.fetchall(), columns=[column.name for column in cursor.description or ()])
