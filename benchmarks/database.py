"""How fast the live functions and views answer on a year of hourly rows of 250 cameras, made in SQL.

What counts is the 95th percentile of the whole round trip of one question about one store or camera, each time another one. The floor
is one row by its primary key, asked the same way in the same run. What a question reads is told by Postgres' own counters: none may
read a large table from its beginning to its end, unless it was made so small that this is the quicker way.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Mapping
from math import ceil
from statistics import median
from time import perf_counter

import pandas as pd
from psycopg2 import sql
from psycopg2.extensions import cursor as PgCursor

from benchmarks.figures import Figure, run
from benchmarks.scratch import scratch
from retail_sensors.storage.database import Database
from retail_sensors.storage.frames import read_frame
from retail_sensors.storage.merge import merge_frame
from retail_sensors.tables import HOURLY_ANALYTICS

_CAMERAS_A_STORE = 5
_UPSERTED_CAMERAS = 1000
_LARGE = ("hourly_analytics", "daily_analytics", "queue_analytics")

_ESTATE = """
INSERT INTO retail.organizations (organization_name) VALUES ('benchmark');
INSERT INTO retail.stores (organization_id, store_name, timezone, capacity)
  SELECT o.id, 'store ' || n, (ARRAY['Europe/Lisbon', 'Asia/Kolkata', 'America/New_York'])[n %% 3 + 1], 200
  FROM retail.organizations AS o, generate_series(1, %(stores)s) AS n;
INSERT INTO retail.sensor_metadata (sensor_name, store_id, sensor_ip, sensor_port, timezone, endpoints, created_at, last_seen_at)
  SELECT s.store_name || ' camera ' || n, s.id, '192.0.2.' || n, 1000 + row_number() OVER (), s.timezone, '["people_counting"]',
    now() - interval '1 year', now()
  FROM retail.stores AS s, generate_series(1, %(cameras_a_store)s) AS n;
INSERT INTO retail.region_configurations (sensor_id, region_number, region_name, role)
  SELECT m.id, 1, 'Tills', 'queue' FROM retail.sensor_metadata AS m WHERE m.sensor_name LIKE '%% camera 1';
INSERT INTO retail.store_service (store_id, lanes, service_rate_per_minute, target_minutes, target_share)
  SELECT s.id, 4, 0.8, 5, 0.8 FROM retail.stores AS s;
"""
_HISTORY = """
INSERT INTO retail.hourly_analytics (sensor_id, hour_start, total_entries, total_exits, net_flow, traffic, is_open, visitors,
    region_counts, data_completeness, is_provisional, quality)
  SELECT m.id, h.at, n.people, n.people, 0, n.people, true, n.people, jsonb_build_object('1', n.people * 2), 1, false,
    '{"counts": "measured", "passersby": "no_passerby_line", "avg_heat_value": "not_collected"}'
  FROM generate_series(date_trunc('hour', now()) - %(days)s * interval '1 day', now() - interval '1 hour', interval '1 hour') AS h (at)
  CROSS JOIN retail.sensor_metadata AS m
  CROSS JOIN LATERAL (SELECT floor(40 * random()) AS people WHERE m.id IS NOT NULL) AS n;
INSERT INTO retail.daily_analytics (sensor_id, date, total_visitors, total_entries, total_exits, peak_hour, peak_hour_traffic,
    off_peak_traffic, hourly_distribution, data_completeness, is_provisional, quality)
  SELECT m.id, d.date::date, 480, 480, 480, '12:00', 39, 1, '{}', 1, false, '{"counts": "measured"}'
  FROM retail.sensor_metadata AS m
  CROSS JOIN generate_series(current_date - %(days)s, current_date - 1, interval '1 day') AS d (date);
INSERT INTO retail.queue_analytics (store_id, hour_start, analysis_type, arrivals, arrivals_source, lanes, lanes_source,
    offered_load, is_overloaded, predicted_queue_length, estimated_wait_time_minutes, queue_velocity, recommended_open_lanes,
    frame_analyzed, quality)
  SELECT s.id, h.at, 'model', 60, 'detections_over_60_s', 4, 'best_case', 1.25, false, 0.1, 0.1, 1, 2, false, '{}'
  FROM generate_series(date_trunc('hour', now()) - %(days)s * interval '1 day', now() - interval '1 hour', interval '1 hour') AS h (at)
  CROSS JOIN retail.stores AS s;
SELECT retail.ensure_month_partitions('collection_log', now() - interval '12 days', now());
INSERT INTO retail.collection_log (sensor_id, endpoint, hour_start, outcome, row_count, rejected_count, latency_ms, attempts, asked_at)
  SELECT m.id, e.name, h.at, 'ok', 1, 0, 80, 1, least(h.at + interval '65 minutes', now())
  FROM generate_series(date_trunc('hour', now()) - interval '10 days', now(), interval '1 hour') AS h (at)
  CROSS JOIN retail.sensor_metadata AS m
  CROSS JOIN (VALUES ('people_counting'), ('regional_counting'), ('heatmap_temporal'), ('vca_alarm_status')) AS e (name);
"""

_MORE_CAMERAS = """
INSERT INTO retail.sensor_metadata (sensor_name, store_id, sensor_ip, sensor_port, timezone, endpoints)
  SELECT 'more ' || n, s.id, '198.51.100.1', n, s.timezone, '["people_counting"]'
  FROM (SELECT id, timezone FROM retail.stores ORDER BY store_name LIMIT 1) AS s,
    generate_series(1, %(cameras)s - (SELECT count(*) FROM retail.sensor_metadata)) AS n
"""

_QUESTIONS: Mapping[str, tuple[str, float | None]] = {
    "one row by its key": (
        "SELECT * FROM retail.daily_analytics WHERE sensor_id = %(camera)s AND date = current_date - 1",
        None,
    ),
    "dashboard of one store": ("SELECT * FROM retail.mv_realtime_dashboard WHERE store_id = %(store)s", 50.0),
    "comparison of one store": ("SELECT * FROM retail.mv_historical_comparison WHERE store_id = %(store)s", 50.0),
    "a year's daily chart": (
        "SELECT * FROM retail.historical_analytics WHERE camera_id = %(camera)s AND time_period = 'day' ORDER BY period_start",
        50.0,
    ),
    "a year's monthly chart": (
        "SELECT * FROM retail.historical_analytics WHERE camera_id = %(camera)s AND time_period = 'month' ORDER BY period_start",
        None,
    ),
    "occupancy of one store": ("SELECT * FROM retail.calculate_current_occupancy(p_store_id => %(store)s)", 10.0),
    "queue of one store": ("SELECT * FROM retail.estimate_queue_metrics(%(store)s)", 10.0),
    "queue of one region": ("SELECT * FROM retail.estimate_queue_metrics(%(store)s, 1)", 10.0),
    "health of one camera": ("SELECT * FROM retail.check_camera_health(%(camera)s)", 50.0),
    "anomalies of one camera": ("SELECT * FROM retail.detect_anomalies(%(camera)s)", 50.0),
}
"""What is asked, and the bar of its 95th percentile in ms."""

_FLEET: Mapping[str, str] = {
    "dashboard": "SELECT * FROM retail.mv_realtime_dashboard",
    "comparison": "SELECT * FROM retail.mv_historical_comparison",
    "occupancy": "SELECT * FROM retail.calculate_current_occupancy()",
    "table sizes": "SELECT * FROM retail.table_sizes",
}


def _fill(cursor: PgCursor, cameras: int, days: int) -> None:
    stores = max(1, cameras // _CAMERAS_A_STORE)
    cursor.execute(_ESTATE, {"stores": stores, "cameras_a_store": _CAMERAS_A_STORE})
    cursor.execute(_HISTORY, {"days": days})


def _upserts(database: Database, cameras: int, rounds: int) -> list[float]:
    """Milliseconds of writing the hour that has just ended for so many cameras, each time with other counts, commit included.

    Through the pipeline's own merge; the first time, in which the rows are new, is left out. Triggers of alerts stand on the tables of
    stores: `benchmarks.alerts` has their price.
    """
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(_MORE_CAMERAS, {"cameras": cameras})
        cursor.execute("SELECT id::text FROM retail.sensor_metadata LIMIT %s", (cameras,))
        ids = [identity for (identity,) in cursor.fetchall()]
        cursor.execute("SELECT date_trunc('hour', now()) - interval '1 hour'")
        (hour,) = cursor.fetchone() or (None,)
        sample = read_frame(
            connection,
            HOURLY_ANALYTICS,
            sql.SQL("hour_start = %(hour)s"),
            {"hour": hour},
            columns=[column.name for column in HOURLY_ANALYTICS.written],
        )
    frame = sample.iloc[[0] * len(ids)].reset_index(drop=True)
    frame["sensor_id"] = pd.Series(ids, dtype="string")
    spent = []
    for turn in range(rounds + 1):
        begun = perf_counter()
        with database.transaction() as connection:
            merge_frame(
                connection, HOURLY_ANALYTICS, frame.assign(total_exits=100.0 + turn), asset="benchmark", mode="merge"
            )
        spent.append(1000 * (perf_counter() - begun))
    return spent[1:]


def _scans(cursor: PgCursor) -> int:
    """How often a large table was read from its beginning to its end so far."""
    cursor.execute("SELECT pg_stat_force_next_flush()")
    cursor.execute("SELECT pg_stat_clear_snapshot()")
    cursor.execute(
        "SELECT sum(seq_scan)::integer FROM pg_stat_user_tables WHERE schemaname = 'retail' AND relname = ANY (%s)",
        (list(_LARGE),),
    )
    (scans,) = cursor.fetchone() or (0,)
    return int(scans)


def _asked(cursor: PgCursor, statement: str, parameters: Mapping[str, object]) -> float:
    """Milliseconds of one question and its answer; raises RuntimeError for an empty one, which would measure nothing."""
    begun = perf_counter()
    cursor.execute(statement, parameters)
    rows = cursor.fetchall()
    spent = 1000 * (perf_counter() - begun)
    if not rows and "detect_anomalies" not in statement:
        raise RuntimeError(f"no row answers {statement}")
    return spent


def measure(arguments: argparse.Namespace) -> list[Figure]:
    """Fills a database of its own and asks."""
    choose = random.Random(0)
    with scratch() as server:
        database = server.fresh().database
        with database.transaction() as connection, connection.cursor() as cursor:
            begun = perf_counter()
            _fill(cursor, arguments.cameras, arguments.days)
            filled = perf_counter() - begun
        with database.engine.connect() as vacuuming:
            vacuuming.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM ANALYZE")
        with database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT id::text, store_id::text FROM retail.sensor_metadata ORDER BY sensor_name")
            cameras = cursor.fetchall()
        times: dict[str, list[float]] = {name: [] for name in _QUESTIONS}
        with database.transaction() as connection, connection.cursor() as cursor:
            before = _scans(cursor)
            for _ in range(arguments.rounds):
                for name, (statement, _bar) in _QUESTIONS.items():
                    camera, store = choose.choice(cameras)
                    times[name].append(_asked(cursor, statement, {"camera": camera, "store": store}))
        with database.transaction() as connection, connection.cursor() as cursor:
            scans = _scans(cursor) - before
            fleet = {
                name: median(_asked(cursor, statement, {}) for _ in range(3)) for name, statement in _FLEET.items()
            }
            cursor.execute("SELECT count(*) FROM retail.hourly_analytics")
            (rows,) = cursor.fetchone() or (0,)
        upserts = _upserts(database, _UPSERTED_CAMERAS, arguments.rounds)
    p95 = {name: sorted(spent)[ceil(0.95 * len(spent)) - 1] for name, spent in times.items()}
    floor = p95["one row by its key"]
    return [
        Figure(f"{rows:,} hourly rows made in SQL", rows / filled, "rows/s"),
        *(Figure(f"p95, {name}", p95[name], "ms", at_most=bar) for name, (_, bar) in _QUESTIONS.items()),
        *(
            Figure(f"p95, {name} / one row by its key", p95[name] / floor)
            for name in _QUESTIONS
            if p95[name] is not floor
        ),
        Figure("reads of a whole large table, all of the above", scans, at_most=0),
        Figure(f"upsert of an hour for {_UPSERTED_CAMERAS:,} cameras, median", median(upserts), "ms", at_most=100.0),
        *(Figure(f"whole fleet: {name}", spent, "ms") for name, spent in fleet.items()),
    ]


if __name__ == "__main__":
    run(
        "database",
        "live functions and views on a year of hourly rows",
        measure,
        [
            ("--cameras", {"type": int, "default": 250}),
            ("--days", {"type": int, "default": 365}),
            ("--rounds", {"type": int, "default": 100, "help": "times that each question is asked"}),
        ],
    )
