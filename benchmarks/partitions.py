"""How years of hours are read: the main questions of dashboards and of the pipeline over three years of 250 cameras, made in SQL.

Each question is asked of figures and of raw months, warm, and its plan is printed: which index it took, how many relations and pages
it touched. Questions by time are asked again without the one or the other index, and what each index weighs is told: so one sees
which of them earns its place. The bar of a question is its milliseconds on two cores. At the end the oldest months are archived.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from statistics import median
from time import perf_counter
from typing import Any

from psycopg2.extensions import cursor as PgCursor

from benchmarks.figures import Figure, run
from benchmarks.scratch import scratch
from retail_sensors.storage.archive import ArchiveFolder
from retail_sensors.storage.retention import apply_policies, restore
from retail_sensors.tables import PEOPLE_COUNTING_RAW

_CAMERAS_A_STORE = 5

_ESTATE = """
INSERT INTO retail.organizations (organization_name) VALUES ('benchmark');
INSERT INTO retail.stores (organization_id, store_name, timezone, capacity)
  SELECT o.id, 'store ' || n, 'Europe/Lisbon', 200 FROM retail.organizations AS o, generate_series(1, %(stores)s) AS n;
INSERT INTO retail.sensor_metadata (sensor_name, store_id, sensor_ip, sensor_port, timezone, endpoints)
  SELECT s.store_name || ' camera ' || n, s.id, '192.0.2.' || n, 1000 + row_number() OVER (), s.timezone, '["people_counting"]'
  FROM retail.stores AS s, generate_series(1, %(cameras)s) AS n;
SELECT retail.ensure_month_partitions('people_counting_raw', now() - %(days)s * interval '1 day', now() + interval '1 hour');
"""
# In the order of time, as rows arrive: what a BRIN index lives by.
_HOURS = """
-- The cameras exist: asking for each row would take longer than the rows.
SET LOCAL session_replication_role = replica;
INSERT INTO retail.people_counting_raw (sensor_id, "timestamp", end_time, line1_in, line1_out, line2_in, line2_out, line3_in,
    line3_out, line4_in, line4_out, local_label, collected_at, is_final, updated_at)
  SELECT m.id, h.at, h.at + interval '1 hour', 12, 11, 0, 0, 0, 0, 0, 0, 'label', h.at + interval '65 minutes', true,
    h.at + interval '65 minutes'
  FROM generate_series(date_trunc('hour', now()) - %(days)s * interval '1 day', now() - interval '1 hour', interval '1 hour') AS h (at)
  CROSS JOIN retail.sensor_metadata AS m
  ORDER BY h.at;
INSERT INTO retail.hourly_analytics (sensor_id, hour_start, total_entries, total_exits, net_flow, traffic, is_open, visitors,
    data_completeness, is_provisional, quality, updated_at)
  SELECT m.id, h.at, 12, 11, 1, 12, true, 12, 1, false, '{"counts": "measured"}', h.at + interval '65 minutes'
  FROM generate_series(date_trunc('hour', now()) - %(days)s * interval '1 day', now() - interval '1 hour', interval '1 hour') AS h (at)
  CROSS JOIN retail.sensor_metadata AS m
  ORDER BY h.at;
INSERT INTO retail.daily_analytics (sensor_id, date, total_visitors, hourly_distribution, data_completeness, is_provisional, quality)
  SELECT m.id, d.date::date, 290, '{}', 1, false, '{"counts": "measured"}'
  FROM generate_series(current_date - %(days)s, current_date - 1, interval '1 day') AS d (date)
  CROSS JOIN retail.sensor_metadata AS m;
"""

_QUESTIONS: Mapping[str, tuple[str, float]] = {
    "raw, all cameras, an hour (a collection)": (
        """SELECT * FROM retail.people_counting_raw WHERE "timestamp" >= %(hour)s AND "timestamp" < %(hour)s + interval '1 hour'""",
        20.0,
    ),
    "raw, one camera, a day": (
        """SELECT * FROM retail.people_counting_raw WHERE sensor_id = %(camera)s AND "timestamp" >= %(hour)s - interval '1 day'
           AND "timestamp" < %(hour)s""",
        5.0,
    ),
    "raw, all cameras, written in the last hour": (
        """SELECT count(*) FROM retail.people_counting_raw WHERE updated_at > now() - interval '1 hour'
           AND "timestamp" > now() - interval '90 days'""",
        50.0,
    ),
    "hourly, all cameras, an hour (figures)": (
        "SELECT * FROM retail.hourly_analytics WHERE hour_start >= %(hour)s AND hour_start < %(hour)s + interval '1 hour'",
        20.0,
    ),
    "hourly, all cameras, a day": (
        "SELECT * FROM retail.hourly_analytics WHERE hour_start >= %(hour)s - interval '1 day' AND hour_start < %(hour)s",
        50.0,
    ),
    "hourly, one camera, a week (a chart)": (
        """SELECT * FROM retail.hourly_analytics WHERE sensor_id = %(camera)s AND hour_start >= %(hour)s - interval '7 days'
           AND hour_start < %(hour)s""",
        5.0,
    ),
    "hourly, one camera, three years": (
        "SELECT hour_start, visitors FROM retail.hourly_analytics WHERE sensor_id = %(camera)s ORDER BY hour_start",
        200.0,
    ),
    "hourly, one camera, its newest hour": (
        "SELECT * FROM retail.hourly_analytics WHERE sensor_id = %(camera)s ORDER BY hour_start DESC LIMIT 1",
        5.0,
    ),
    "daily, one camera, a year (a chart)": (
        "SELECT * FROM retail.daily_analytics WHERE sensor_id = %(camera)s AND date > current_date - 365 ORDER BY date",
        20.0,
    ),
    "daily, all cameras, a day": ("SELECT * FROM retail.daily_analytics WHERE date = current_date - 400", 20.0),
}


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def _explained(cursor: PgCursor, statement: str, parameters: Mapping[str, object]) -> tuple[float, str]:
    """Milliseconds of execution, the median of five, and the plan in a phrase."""
    spent = []
    for _ in range(5):
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT json) {statement}", parameters)
        ((explained,),) = cursor.fetchall()
        spent.append(explained[0]["Execution Time"] + explained[0]["Planning Time"])
    nodes = list(_nodes(explained[0]["Plan"]))
    scans = [node for node in nodes if "Scan" in node["Node Type"] and node["Node Type"] != "Bitmap Heap Scan"]
    kinds = sorted({f"{node['Node Type']} {_index(node)}".strip() for node in scans})
    pages = nodes[0]["Shared Hit Blocks"] + nodes[0]["Shared Read Blocks"]
    return median(spent), f"{', '.join(kinds)}; {len(scans)} relation{'' if len(scans) == 1 else 's'}, {pages:,} pages"


def _index(node: Mapping[str, Any]) -> str:
    # Of a partition's index the table's part is enough.
    return re.sub(r"_y\d{4}m\d{2}", "", node.get("Index Name", ""))


_BY_TIME = ("hourly, all cameras, an hour (figures)", "hourly, all cameras, a day")

# An invalid index is not looked at: servers before 18 cannot skip through the key to a time.
_WITHOUT: Mapping[str, str] = {
    "by BRIN": "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'retail.hourly_analytics_pkey'::regclass",
    "by neither": "DROP INDEX retail.hourly_analytics_hour",
    "by btree": "CREATE INDEX hourly_analytics_btree ON retail.hourly_analytics (hour_start)",
}
"""What is done, one after another, before the questions by time are asked again."""


def measure(arguments: argparse.Namespace) -> list[Figure]:
    """Fills a database of its own, asks with and without BRIN, tells what indexes weigh, and archives what is over two years old."""
    figures = []
    with scratch() as server:
        database = server.fresh().database
        with database.transaction() as connection, connection.cursor() as cursor:
            stores = max(1, arguments.cameras // _CAMERAS_A_STORE)
            parameters = {"stores": stores, "cameras": _CAMERAS_A_STORE, "days": arguments.days}
            cursor.execute(_ESTATE, parameters)
            cursor.execute(_HOURS, parameters)
        with database.engine.connect() as vacuuming:
            vacuuming.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM ANALYZE")
        with database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM retail.hourly_analytics")
            (rows,) = cursor.fetchone() or (0,)
            figures.append(Figure("hourly rows, and as many raw", rows, "rows"))
            cursor.execute(
                "SELECT id, date_trunc('hour', now()) - interval '30 days' FROM retail.sensor_metadata ORDER BY sensor_name LIMIT 1"
            )
            camera, hour = cursor.fetchone() or ("", None)
            asked = {"camera": camera, "hour": hour}
            for name, (statement, bar) in _QUESTIONS.items():
                figures.append(_figure(cursor, name, statement, asked, bar))
            figures += _weights(cursor)
            for way, change in _WITHOUT.items():
                cursor.execute(change)
                figures += [_figure(cursor, f"{name}, {way}", _QUESTIONS[name][0], asked, None) for name in _BY_TIME]
            figures += [one for one in _weights(cursor) if "btree" in one.name]
            connection.rollback()
        folder = ArchiveFolder(server.home / "archive")
        begun = perf_counter()
        (outcome,) = apply_policies(database, folder, datetime.now(UTC), [PEOPLE_COUNTING_RAW.name])
        print(outcome.sentence, file=sys.stderr)
        if outcome.rows:
            figures.append(Figure("raw rows archived and dropped", outcome.rows / (perf_counter() - begun), "rows/s"))
            newest = folder.named(outcome.archives[-1])
            begun = perf_counter()
            restore(database, folder, [newest], datetime.now(UTC))
            figures.append(Figure("raw rows restored", newest.rows / (perf_counter() - begun), "rows/s"))
            figures.append(Figure("bytes of an archived row", newest.size_bytes / newest.rows, "B"))
    return figures


def _figure(cursor: PgCursor, name: str, statement: str, parameters: Mapping[str, object], bar: float | None) -> Figure:
    spent, plan = _explained(cursor, statement, parameters)
    print(f"{name}\n    {plan}", file=sys.stderr)
    return Figure(name, spent, "ms", at_most=bar)


def _weights(cursor: PgCursor) -> list[Figure]:
    cursor.execute(
        "SELECT i.relname::text, pg_relation_size(i.oid) / 1e6 FROM pg_class AS i JOIN pg_index AS x ON x.indexrelid = i.oid"
        " WHERE x.indrelid = 'retail.hourly_analytics'::regclass ORDER BY 1"
    )
    return [Figure(f"size of {name}", float(size), "MB") for name, size in cursor.fetchall()]


if __name__ == "__main__":
    run(
        "partitions",
        "reading three years of hours",
        measure,
        [
            ("--cameras", {"type": int, "default": 250}),
            ("--days", {"type": int, "default": 1096}),
        ],
    )
