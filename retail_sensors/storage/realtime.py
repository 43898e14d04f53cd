"""Minute rows in Postgres: what a sweep of readings needs of the rows before, and storing it.

The statements stand in `sql/queries/realtime.sql`; what is made of the frames belongs in `analytics.realtime`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pandas as pd
from psycopg2.extensions import connection as PgConnection

from retail_sensors.analytics.realtime import changed_flags
from retail_sensors.connectors.base import Outcome
from retail_sensors.storage.collections import CollectedWindow, of_registered, store_collection
from retail_sensors.storage.database import Database
from retail_sensors.storage.merge import MergeResult, merge_frame
from retail_sensors.storage.sqlfiles import queries
from retail_sensors.tables import VCA_ALARM_STATUS
from retail_sensors.tables.realtime import REALTIME_ANALYTICS


@dataclass(frozen=True, slots=True)
class FlagChanges:
    """Cameras whose alarm flags have changed, with the new flags, by the minute of the reading; and the newest reading looked at."""

    by_minute: Mapping[datetime, list[tuple[str, tuple[int | None, ...]]]]
    until: datetime


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
        rows = of_registered(connection, rows)
        return merge_frame(connection, REALTIME_ANALYTICS, rows, asset=REALTIME_ANALYTICS.name, mode="merge")


def last_asked(database: Database, sensors: Sequence[str], now: datetime) -> dict[str, tuple[datetime, Outcome]]:
    """When each of the cameras was last asked anything in the hours before, and what became of it; without those that were not."""
    rows = database.fetch(queries("realtime")["last_asked"], {"sensors": list(sensors), "now": now})
    return {sensor: (asked_at, Outcome(outcome)) for sensor, asked_at, outcome in rows}


def changes_since(database: Database, sensors: Sequence[str], since: datetime, now: datetime) -> FlagChanges:
    """Which of the cameras' stored readings after `since` have other alarm flags than the reading before, by minute."""
    with database.transaction() as connection:
        frame = _frame(connection, "flags_since", {"sensors": list(sensors), "since": since, "now": now})
    frame["minute"] = frame["period_end"] // 60
    frame = frame.drop_duplicates(["sensor_id", "minute"], keep="last", ignore_index=True)
    before = frame.groupby("sensor_id").shift().assign(sensor_id=frame["sensor_id"])
    new = frame[frame["is_new"].astype(bool)]
    by_minute = {
        datetime.fromtimestamp(cast("int", minute) * 60, UTC): changed
        for minute, readings in new.groupby("minute")
        if (changed := changed_flags(readings, before.loc[readings.index]))
    }
    until = datetime.fromtimestamp(int(new["period_end"].max()), UTC) if len(new) else since
    return FlagChanges(by_minute, until)


def _frame(connection: PgConnection, query: str, parameters: Mapping[str, Any]) -> pd.DataFrame:
    with connection.cursor() as cursor:
        cursor.execute(queries("realtime")[query], parameters)
        return pd.DataFrame(cursor.fetchall(), columns=[column.name for column in cursor.description or ()])
