"""What row-level security costs: readers' queries with and without it, and the loader's merge through its policy and past it.

250 cameras in 25 stores of 5 retailers with a year of hours, generated in SQL. Each query is asked by turns by a reader whose
rows the policies choose, and by the owner, whom no policy binds, for the same rows.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from time import perf_counter
from typing import Any

import pandas as pd
import psycopg2
from psycopg2.extensions import connection as PgConnection

from benchmarks.figures import Figure, run
from benchmarks.scratch import scratch
from retail_sensors.storage.database import Database
from retail_sensors.storage.frames import read_frame
from retail_sensors.storage.merge import merge_frame
from retail_sensors.tables import HOURLY_ANALYTICS

_END = datetime(2026, 1, 1, tzinfo=UTC)
_AT_MOST = 1.3
_GENERATE = """
SET LOCAL session_replication_role = replica;
INSERT INTO retail.organizations (organization_name) SELECT 'retailer ' || n FROM generate_series(1, 5) AS n;
INSERT INTO retail.stores (organization_id, store_name, timezone)
SELECT o.id, 'store ' || n, 'Europe/Lisbon' FROM retail.organizations AS o CROSS JOIN generate_series(1, 5) AS n;
INSERT INTO retail.sensor_metadata (sensor_name, store_id, sensor_ip, sensor_port, timezone, endpoints)
SELECT 'camera ' || row_number() OVER (), s.id, '192.0.2.1', row_number() OVER (), 'Europe/Lisbon', '[]'
FROM retail.stores AS s CROSS JOIN generate_series(1, 10) AS n;
INSERT INTO retail.store_hourly (store_id, hour_start, total_entries, is_open, data_completeness, is_provisional, quality)
SELECT s.id, h, extract(hour FROM h), true, 1, false, '{}'
FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 hour', interval '1 hour') AS h
CROSS JOIN retail.stores AS s;
INSERT INTO retail.hourly_analytics (sensor_id, hour_start, total_entries, is_open, data_completeness, is_provisional, quality)
SELECT m.id, h, extract(hour FROM h), true, 1, false, '{}'
FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 hour', interval '1 hour') AS h
CROSS JOIN retail.sensor_metadata AS m;
INSERT INTO retail.daily_analytics (sensor_id, date, total_entries, hourly_distribution, data_completeness, is_provisional, quality)
SELECT m.id, d, 276, '{}', 1, false, '{}'
FROM generate_series(%(start)s::date, %(end)s::date - 1, interval '1 day') AS d
CROSS JOIN retail.sensor_metadata AS m;
INSERT INTO retail.user_sensor_access (user_id, organization_id, granted_by)
SELECT 'everything', id, 'benchmark' FROM retail.organizations
UNION ALL SELECT 'one retailer', id, 'benchmark' FROM retail.organizations WHERE organization_name = 'retailer 1';
INSERT INTO retail.user_sensor_access (user_id, store_id, granted_by)
SELECT 'all but one store', id, 'benchmark' FROM retail.stores WHERE store_name <> 'store 5' OR organization_id <> (
  SELECT id FROM retail.organizations WHERE organization_name = 'retailer 5');
"""


@dataclass(frozen=True, slots=True)
class _Question:
    """A query, who asks it, and what the owner must add for the same rows."""

    name: str
    user: str
    select: str
    group: str
    own: str = ""


_DAY_OF_HOUR = "(hour_start AT TIME ZONE 'Europe/Lisbon')::date"
_QUESTIONS = (
    _Question(
        "a year's daily chart of a store",
        "one retailer",
        f"SELECT {_DAY_OF_HOUR}, sum(total_entries) FROM retail.store_hourly"
        " WHERE store_id = %(store)s AND hour_start >= %(start)s",
        "GROUP BY 1",
    ),
    _Question(
        "a month of one camera",
        "one retailer",
        "SELECT hour_start, total_entries FROM retail.hourly_analytics"
        " WHERE sensor_id = %(camera)s AND hour_start >= %(month)s",
        "ORDER BY 1",
    ),
    _Question(
        "the last week of a retailer's 50 cameras",
        "one retailer",
        "SELECT sensor_id, sum(total_entries) FROM retail.hourly_analytics WHERE hour_start >= %(week)s",
        "GROUP BY 1",
        own="AND sensor_id = ANY (%(cameras)s::uuid[])",
    ),
    _Question(
        "a year of a retailer's 50 cameras",
        "one retailer",
        "SELECT sensor_id, sum(total_entries) FROM retail.hourly_analytics WHERE hour_start >= %(start)s",
        "GROUP BY 1",
        own="AND sensor_id = ANY (%(cameras)s::uuid[])",
    ),
    _Question(
        "the last week of all 250 cameras",
        "everything",
        "SELECT sensor_id, sum(total_entries) FROM retail.hourly_analytics WHERE hour_start >= %(week)s",
        "GROUP BY 1",
    ),
    _Question(
        "a year of all 250 cameras",
        "everything",
        "SELECT sensor_id, sum(total_entries) FROM retail.hourly_analytics WHERE hour_start >= %(start)s",
        "GROUP BY 1",
    ),
    _Question(
        "a month of all 250 cameras, hours beside days",
        "everything",
        "SELECT h.sensor_id, sum(h.total_entries), sum(d.total_entries) FROM retail.hourly_analytics AS h"
        " JOIN retail.daily_analytics AS d ON d.sensor_id = h.sensor_id AND d.date = (h.hour_start AT TIME ZONE 'UTC')::date"
        " WHERE h.hour_start >= %(month)s",
        "GROUP BY 1",
    ),
    _Question(
        "a year of all cameras but one store's",
        "all but one store",
        "SELECT sensor_id, sum(total_entries) FROM retail.hourly_analytics WHERE hour_start >= %(start)s",
        "GROUP BY 1",
        own="AND sensor_id = ANY (%(most_cameras)s::uuid[])",
    ),
)


def measure(arguments: argparse.Namespace) -> list[Figure]:
    """Ratio and milliseconds for each question, and for the merge of a day."""
    with scratch() as server:
        database = server.fresh().database
        start = _END - timedelta(days=arguments.days)
        with database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute(_GENERATE, {"start": start, "end": _END})
        with closing(psycopg2.connect(database.libpq_url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("VACUUM ANALYZE")
        parameters = _parameters(database, start)
        figures = []
        for question in _QUESTIONS:
            figures += _compared(database, question, parameters, arguments.repeat)
        return [*figures, *_merged(database, arguments.repeat)]


def _parameters(database: Database, start: datetime) -> dict[str, Any]:
    mine = database.fetch(
        "SELECT m.id::text, m.store_id::text FROM retail.sensor_metadata AS m JOIN retail.stores AS s ON s.id = m.store_id"
        " JOIN retail.organizations AS o ON o.id = s.organization_id WHERE o.organization_name = 'retailer 1' ORDER BY 1"
    )
    most = database.fetch(
        "SELECT m.id::text FROM retail.sensor_metadata AS m"
        " JOIN retail.user_sensor_access AS a ON a.store_id = m.store_id AND a.user_id = 'all but one store'"
    )
    return {
        "start": start,
        "month": _END - timedelta(days=30),
        "week": _END - timedelta(days=7),
        "camera": mine[0][0],
        "store": mine[0][1],
        "cameras": [camera for camera, _ in mine],
        "most_cameras": [camera for (camera,) in most],
    }


def _as_reader(connection: PgConnection, user: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('app.user_id', %s, true)", (user,))
        cursor.execute("SET LOCAL ROLE retail_reader")


def _compared(database: Database, question: _Question, parameters: dict[str, Any], repeat: int) -> list[Figure]:
    def ask(*, as_reader: bool) -> tuple[float, list[tuple[Any, ...]]]:
        with database.transaction() as connection, connection.cursor() as cursor:
            if as_reader:
                _as_reader(connection, question.user)
            text = f"{question.select} {'' if as_reader else question.own} {question.group}"
            begun = perf_counter()
            cursor.execute(text, parameters)
            rows = cursor.fetchall()
            return perf_counter() - begun, rows

    rows = [sorted(ask(as_reader=who)[1]) for who in (False, True)]
    if rows[0] != rows[1] or not rows[0]:
        raise RuntimeError(f"{question.name}: reader and owner were told different rows")
    without, guarded = _by_turns((lambda: ask(as_reader=False)[0], lambda: ask(as_reader=True)[0]), repeat)
    return [
        Figure(f"{question.name}, through policies", 1000 * guarded, "ms"),
        Figure("  over the same without", guarded / without, at_most=_AT_MOST),
    ]


def _merged(database: Database, repeat: int) -> list[Figure]:
    """The merge of a day of 250 cameras whose figures have changed: by the role of the service, and by the owner."""
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id::text FROM retail.sensor_metadata ORDER BY id")
        frame = read_frame(connection, HOURLY_ANALYTICS, None)
    frame = frame[frame["hour_start"] >= pd.Timestamp(_END - timedelta(days=1))][
        [column.name for column in HOURLY_ANALYTICS.written]
    ]
    turn = 0

    def merge(*, role: str | None) -> float:
        nonlocal turn
        turn += 1
        changed = frame.assign(total_exits=float(turn))
        with database.transaction() as connection, connection.cursor() as cursor:
            if role is not None:
                cursor.execute(f"SET LOCAL ROLE {role}")
            begun = perf_counter()
            result = merge_frame(connection, HOURLY_ANALYTICS, changed, asset="benchmark", mode="merge")
            seconds = perf_counter() - begun
        if result.changed != len(frame):
            raise RuntimeError(f"{result.changed} rows were changed, not {len(frame)}")
        return seconds

    without, guarded = _by_turns((lambda: merge(role=None), lambda: merge(role="retail_transform")), repeat)
    return [
        Figure(f"merge of {len(frame)} hours by retail_transform", 1000 * guarded, "ms"),
        Figure("  over the same by the owner", guarded / without, at_most=_AT_MOST),
    ]


def _by_turns(timed: Sequence[Callable[[], float]], repeat: int) -> list[float]:
    seconds: list[list[float]] = [[] for _ in timed]
    for _ in range(repeat):
        for each, kept in zip(timed, seconds, strict=True):
            kept.append(each())
    return [median(kept) for kept in seconds]


if __name__ == "__main__":
    run(
        "access",
        "row-level security: the same rows through policies and without them",
        measure,
        (
            ("--days", {"type": int, "default": 365, "help": "days of hours for each camera"}),
            ("--repeat", {"type": int, "default": 25, "help": "times that each is asked"}),
        ),
    )
