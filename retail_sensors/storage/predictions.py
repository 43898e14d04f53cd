"""What forecasts read and what becomes of them: measured counts, the model of an origin, actual values, forecasts to judge.

The statements stand in `sql/queries/predictions.sql`; what is made of the frames belongs in `analytics`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal

import pandas as pd
from psycopg2.extensions import connection as PgConnection

from retail_sensors.storage.database import Database
from retail_sensors.storage.merge import lock_writers
from retail_sensors.storage.sqlfiles import queries
from retail_sensors.tables.predictions import PREDICTIONS, STORE_PREDICTIONS

Scope = Literal["sensor", "store"]


def entries(
    database: Database, sensors: Sequence[str], stores: Sequence[str], start: datetime, end: datetime
) -> pd.DataFrame:
    """One row per camera or store and measured hour of the window: `series` (`sensor:ID`, `store:ID`), `hour_start`, `value`."""
    parts = []
    with database.transaction() as connection:
        for scope, ids, first in (("sensor", sensors, 0), ("store", stores, len(sensors))):
            parameters = {"ids": list(ids), "start": start, "end": end}
            kinds = {"place": "int32", "second": "int64", "value": "float64"}
            rows = _rows(connection, f"entries_of_{scope}s", parameters, kinds)
            parts.append(rows.assign(place=rows["place"] + first))
    rows = pd.concat(parts, ignore_index=True)
    names = pd.Index([*(f"sensor:{one}" for one in sensors), *(f"store:{one}" for one in stores)], dtype=object)
    return pd.DataFrame(
        {
            # A category holds each name once, not once for every hour.
            "series": pd.Categorical.from_codes(rows["place"].to_numpy(), categories=names),
            "hour_start": pd.to_datetime(rows["second"], unit="s", utc=True),
            "value": rows["value"],
        }
    )


def model_at(database: Database, origin: datetime) -> tuple[str, bytes] | None:
    """Version and bytes of the newest model that looked at nothing after the origin; None: there is none."""
    found = database.fetch(queries("predictions")["model_at"], {"origin": origin})
    return (str(found[0][0]), bytes(found[0][1])) if found else None


def fill_actuals(database: Database, scope: Scope, dates: tuple[date, date], now: datetime) -> int:
    """Writes what was counted beside the forecasts for the half-open local dates that had ended; the number of changed rows."""
    with database.transaction() as connection, connection.cursor() as cursor:
        lock_writers(connection, PREDICTIONS if scope == "sensor" else STORE_PREDICTIONS)
        statement = queries("predictions")[f"fill_actuals_of_{scope}s"]
        cursor.execute(statement, {"first": dates[0], "end": dates[1], "now": now})
        return int(cursor.rowcount)


def judged(database: Database, scope: Scope, day: date, now: datetime) -> pd.DataFrame:
    """One row per forecast for an hour of the local day, where it had ended: `subject`, `horizon_hours`, the value with its
    intervals, `actual_value` and `same_hour_last_week` (NaN: not measured).
    """
    figures = (
        "predicted_value",
        "lower_80",
        "upper_80",
        "lower_95",
        "upper_95",
        "actual_value",
        "same_hour_last_week",
    )
    with database.transaction() as connection:
        return _rows(
            connection,
            f"judged_{scope}s",
            {"day": day, "now": now},
            {"subject": "str", "horizon_hours": "int32", **dict.fromkeys(figures, "float64")},
        )


def forecasts_for_plan(database: Database, plan_time: datetime) -> pd.DataFrame:
    """One row per store and coming hour, from the newest origin of the 24 hours up to the plan: `store_id`, `prediction_second`,
    `target_second` (since 1970), `predicted_value`, `lower_80`, `upper_80`.
    """
    kinds = {"store_id": "str", "prediction_second": "int64", "target_second": "int64"}
    figures = dict.fromkeys(("predicted_value", "lower_80", "upper_80"), "float64")
    with database.transaction() as connection:
        return _rows(connection, "forecasts_for_plan", {"plan_time": plan_time}, {**kinds, **figures})


def _rows(
    connection: PgConnection, query: str, parameters: Mapping[str, Any], kinds: Mapping[str, str]
) -> pd.DataFrame:
    """The query's rows by COPY through a file: a year of hours of 250 cameras takes seconds and no object a cell."""
    with connection.cursor() as cursor, tempfile.TemporaryFile() as file:
        statement = cursor.mogrify(queries("predictions")[query], parameters).decode()
        cursor.copy_expert(f"COPY ({statement}) TO STDOUT (FORMAT csv)", file)
        file.seek(0)
        return pd.read_csv(file, names=list(kinds), dtype=dict(kinds), header=None)
