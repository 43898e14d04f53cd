"""Storing what a sweep over the fleet brought home: rows, log, rejected payloads and breakers in one transaction.

So a row never stands without the record of how it came, and a failure to store leaves neither. A camera that was removed while it was
asked is left out of all of them: the others' answers are not lost for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from psycopg2.extensions import connection as PgConnection
from psycopg2.extras import execute_values

from retail_sensors.connectors.base import Collection, Outcome
from retail_sensors.storage.breakers import remember_answers
from retail_sensors.storage.database import Database
from retail_sensors.storage.merge import MergeResult, lock_writers, merge_frame
from retail_sensors.storage.sqlfiles import queries
from retail_sensors.tables import COLLECTION_LOG, REJECTED_PAYLOADS, Table


@dataclass(frozen=True, slots=True)
class CollectedWindow:
    """A collection on its way into its raw table; `overwrite` lets lower counts replace the stored ones."""

    collection: Collection
    overwrite: bool = False


def store_collection(
    connection: PgConnection, table: Table, collected: CollectedWindow, *, asset: str, run_id: str | None
) -> MergeResult:
    """Stores the collection within the caller's transaction and says what changed in the raw table."""
    collection = collected.collection
    # The log's lock first: making a month of any of these tables locks sensor_metadata, which another collection may
    # be about to write while it holds the log. Who removes cameras takes it too.
    lock_writers(connection, COLLECTION_LOG)
    log = of_registered(connection, collection.log)
    result = merge_frame(
        connection,
        table,
        of_registered(connection, collection.rows),
        asset=asset,
        mode="merge",
        window=(collection.window.start, collection.window.end),
        overwrite=collected.overwrite,
        run_id=run_id,
    )
    merge_frame(connection, COLLECTION_LOG, log, asset=asset, mode="merge")
    rejected = of_registered(connection, collection.rejected).drop_duplicates(subset=list(REJECTED_PAYLOADS.key))
    merge_frame(connection, REJECTED_PAYLOADS, rejected, asset=asset, mode="merge")
    remember_answers(connection, log, run_id)
    _remember_seen(connection, log)
    return result


def record(database: Database, table: Table, collected: CollectedWindow, run_id: str | None) -> None:
    """Stores a collection outside of the IO manager: that of a step that is about to fail, or of a sensor's tick."""
    with database.transaction() as connection:
        store_collection(connection, table, collected, asset=table.name, run_id=run_id)


def of_registered(connection: PgConnection, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of cameras that are registered, by `sensor_id`; they stay so while the caller holds the log's lock."""
    sensors = frame["sensor_id"].dropna().unique().tolist()
    with connection.cursor() as cursor:
        cursor.execute(queries("collection")["registered_sensors"], {"sensors": sensors})
        gone = set(sensors) - {sensor for (sensor,) in cursor.fetchall()}
    return frame[~frame["sensor_id"].isin(gone)] if gone else frame


def _remember_seen(connection: PgConnection, log: pd.DataFrame) -> None:
    answered = log[log["outcome"].isin([outcome.value for outcome in Outcome if outcome.is_answer])]
    if answered.empty:
        return
    latest = answered.sort_values("asked_at").drop_duplicates("sensor_id", keep="last")
    seen = [
        (sensor, asked_at.to_pydatetime(), None if pd.isna(offset) else float(offset))
        for sensor, asked_at, offset in zip(
            latest["sensor_id"], latest["asked_at"], latest["clock_offset_seconds"], strict=True
        )
    ]
    with connection.cursor() as cursor:
        execute_values(
            cursor,
            "WITH v (id, seen, clock_offset) AS (VALUES %s), free AS ("
            # A registration may hold these cameras in another order: it is not waited for, the next sweep sees them again.
            "SELECT s.id FROM retail.sensor_metadata AS s JOIN v USING (id) FOR NO KEY UPDATE OF s SKIP LOCKED)"
            " UPDATE retail.sensor_metadata AS s"
            # An answer that tells no time leaves it unknown: what the clock showed long ago says nothing of now.
            " SET last_seen_at = v.seen, clock_offset_seconds = v.clock_offset"
            " FROM v JOIN free USING (id)"
            " WHERE s.id = v.id AND (s.last_seen_at IS NULL OR s.last_seen_at < v.seen)",
            seen,
            template="(%s::uuid, %s::timestamptz, %s::double precision)",
        )
