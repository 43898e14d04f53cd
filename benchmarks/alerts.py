"""How soon figures over a threshold are an open alert that a listener has heard of, and what the triggers cost those that are not.

What counts is the time from sending COMMIT of a statement with as many new rows as stores until a listener has the notice, by when
the alert is open for everybody; the alerts themselves are made within the statement. The floor is the same statement, and its commit,
without the triggers, in the same run: a ratio says what a loader pays. History is as many rows of a year ago, all over the threshold.
"""

from __future__ import annotations

import argparse
import json
import select
from contextlib import closing
from statistics import median
from time import perf_counter

import psycopg2
from psycopg2.extensions import connection as PgConnection

from benchmarks.figures import Figure, run
from benchmarks.scratch import scratch
from retail_sensors.storage.database import Database

_ESTATE = """
INSERT INTO retail.organizations (organization_name) VALUES ('benchmark');
INSERT INTO retail.stores (organization_id, store_name, timezone, capacity)
  SELECT o.id, 'store ' || n, 'Europe/Lisbon', 200 FROM retail.organizations AS o, generate_series(1, %(stores)s) AS n;
INSERT INTO retail.store_hourly (store_id, hour_start, is_open, avg_occupancy, utilization, data_completeness, is_provisional, quality)
  SELECT s.id, now() - h * interval '1 hour' - interval '30 minutes', true, 20, 0.1, 1, false, '{}'
  FROM retail.stores AS s, generate_series(1, 24) AS h;
"""
_STATEMENT = """
INSERT INTO retail.store_hourly (store_id, hour_start, is_open, avg_occupancy, utilization, data_completeness, is_provisional, quality)
  SELECT s.id, now() - interval '30 minutes' - %(days)s * interval '1 day', true, u.utilization * 200, u.utilization, 0, true, '{}'
  FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM retail.stores) AS s
  CROSS JOIN LATERAL (SELECT CASE WHEN s.n <= %(crowded)s THEN 0.95 ELSE 0.1 END) AS u (utilization)
"""


def _undo(database: Database) -> None:
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM retail.store_hourly WHERE is_provisional")
        cursor.execute("TRUNCATE retail.alerts_generated CASCADE")
    with database.engine.connect() as vacuuming:
        vacuuming.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM retail.store_hourly")


def _written(
    database: Database, listener: PgConnection, crowded: int, days: int, notices: int
) -> tuple[float, float, float]:
    """Milliseconds of the statement, of its COMMIT, and from its COMMIT to the last of the notices; and all is as it was before."""
    with closing(psycopg2.connect(database.libpq_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        begun = perf_counter()
        cursor.execute(_STATEMENT, {"crowded": crowded, "days": days})
        stated = perf_counter()
        connection.commit()
        committed = perf_counter()
    heard = 0
    while heard < notices:
        if not select.select([listener], [], [], 30)[0]:
            raise RuntimeError(f"{heard} of {notices} notices came")
        listener.poll()
        heard += sum("id" in json.loads(notice.payload) for notice in listener.notifies)
        listener.notifies.clear()
    told = perf_counter()
    opened = database.fetch("SELECT count(*) FROM retail.alerts_generated WHERE NOT resolved")
    if opened != [(notices,)]:
        raise RuntimeError(f"{opened} alerts are open, not {notices}")
    _undo(database)
    return 1000 * (stated - begun), 1000 * (committed - stated), 1000 * (told - stated)


def _triggers(database: Database, word: str) -> None:
    with database.transaction() as connection, connection.cursor() as cursor:
        for name in ("alerts_of_inserted", "alerts_of_updated"):
            cursor.execute(f"ALTER TABLE retail.store_hourly {word} TRIGGER {name}")


def measure(arguments: argparse.Namespace) -> list[Figure]:
    """Writes the same rows with the triggers and without them, in turns."""
    stores, crowded = arguments.rows, min(arguments.crowded, arguments.rows)
    quiet: list[float] = []
    floor: list[float] = []
    loud: list[float] = []
    told: list[float] = []
    history: list[float] = []
    with scratch() as server:
        database = server.fresh().database
        with database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute(_ESTATE, {"stores": stores})
        with database.engine.connect() as vacuuming:
            vacuuming.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM ANALYZE")
        with closing(psycopg2.connect(database.libpq_url)) as listener:
            listener.autocommit = True
            with listener.cursor() as cursor:
                cursor.execute("LISTEN retail_alerts")
            for _ in range(arguments.rounds):
                _triggers(database, "DISABLE")
                floor.append(sum(_written(database, listener, crowded, 0, 0)[:2]))
                _triggers(database, "ENABLE")
                quiet.append(sum(_written(database, listener, 0, 0, 0)[:2]))
                statement, commit, heard = _written(database, listener, crowded, 0, crowded)
                loud.append(statement + commit)
                told.append(heard)
                history.append(sum(_written(database, listener, stores, 365, 0)[:2]))
    base = median(floor)
    return [
        Figure(f"{stores:,} rows without the triggers (the floor)", base, "ms"),
        Figure(f"from COMMIT to a notice of {crowded} crowded stores", median(told), "ms", at_most=250),
        Figure("the same, worst round", max(told), "ms", at_most=250),
        Figure(
            f"statement and COMMIT with {crowded} crowded stores, beyond the floor",
            median(loud) - base,
            "ms",
            at_most=250,
        ),
        Figure("statement and COMMIT / the floor, nobody crowded", median(quiet) / base, at_most=1.5),
        Figure("statement and COMMIT / the floor, a year ago, all crowded", median(history) / base, at_most=1.5),
    ]


if __name__ == "__main__":
    run(
        "alerts",
        "from the commit of many figures to an open alert",
        measure,
        [
            ("--rows", {"type": int, "default": 10000, "help": "rows of the statement, one a store"}),
            ("--crowded", {"type": int, "default": 10, "help": "stores that are over the threshold"}),
            ("--rounds", {"type": int, "default": 5}),
        ],
    )
