"""The live views on rows worked by hand, who may read them, and what the database refuses."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg2
import pytest

from retail_sensors.fleet_file import parse_fleet
from retail_sensors.storage.database import Database
from retail_sensors.storage.fleet import FleetRegistry
from retail_sensors.storage.sqlfiles import sql_directory
from retail_sensors.tables import DAILY_ANALYTICS, HOURLY_ANALYTICS, TABLES
from retail_sensors.tables.alerts import ALERTS_GENERATED
from retail_sensors_tests.installations import within_an_hour
from retail_sensors_tests.integration.stored import day, hour, register, store, utc

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LISBON = ZoneInfo("Europe/Lisbon")


def seen(database: Database, statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
    return database.fetch(statement, parameters)


def today_of(database: Database) -> date:
    within_an_hour()
    [(today,)] = database.fetch("SELECT (now() AT TIME ZONE 'Europe/Lisbon')::date")
    assert isinstance(today, date)
    return today


def test_periods_add_up_and_say_how_much_is_known(database: Database) -> None:
    [door] = register(database, "door", zone="Europe/Lisbon")
    # the week of Sunday 2025-10-26, which has 25 hours; Thursday is missing, Friday was not counted
    days = [
        day(
            door,
            date(2025, 10, 20) + n * DAY,
            visitors,
            total_entries=visitors,
            total_exits=visitors,
            peak_hour_traffic=9,
        )
        for n, visitors in enumerate((100.0, 110.0, 120.0, None, None, 150.0, 250.0))
        if n != 3
    ]
    days[3]["data_completeness"] = 0.0
    store(database, DAILY_ANALYTICS, *days)
    store(
        database, HOURLY_ANALYTICS, hour(door, "2025-10-26T12:00", 7.0, total_exits=6.0, visitors=7.0, utilization=0.25)
    )
    period = "SELECT {} FROM retail.historical_analytics WHERE camera_id = %(camera)s AND time_period = %(period)s ORDER BY data_date"
    columns = "data_date, visitors, total_count, periods_counted, data_completeness, average_count"
    [week] = seen(database, period.format(columns), camera=door, period="week")
    assert week == (date(2025, 10, 20), 730, 1460, 5, pytest.approx(5 / 7), 146)
    [month] = seen(database, period.format(columns), camera=door, period="month")
    assert month[:4] == (date(2025, 10, 1), 730, 1460, 5)
    assert month[4] == pytest.approx(5 / 31)
    by_day = seen(
        database,
        period.format("data_date, visitors, periods_counted, average_count, period_start"),
        camera=door,
        period="day",
    )
    assert len(by_day) == 6
    assert by_day[3][:4] == (date(2025, 10, 24), None, 0, None)
    assert by_day[-1] == (date(2025, 10, 26), 250, 1, 10, datetime(2025, 10, 25, 23, tzinfo=UTC))
    [one] = seen(
        database,
        period.format("visitors, total_count, peak_hour, average_occupancy_percent"),
        camera=door,
        period="hour",
    )
    assert one == (7, 13, 12, 25)
    [(weekdays,)] = seen(database, period.format("daily_distribution"), camera=door, period="week")
    assert (weekdays["sunday"], weekdays["friday"], "thursday" in weekdays) == (250, None, False)


def test_a_period_that_runs_may_still_change(database: Database) -> None:
    [door] = register(database, "door", zone="Europe/Lisbon")
    today = today_of(database)
    weeks = [today - timedelta(days=today.weekday() + back) for back in (0, 14)]
    store(database, DAILY_ANALYTICS, *(day(door, monday + n * DAY) for monday in weeks for n in range(7)))
    period = "SELECT data_date, is_provisional FROM retail.historical_analytics WHERE time_period = 'week' ORDER BY data_date"
    assert seen(database, period) == [(weeks[1], False), (weeks[0], False)]
    # Without its last day, that of this week is to come; that of the week before the last never came.
    ((_,), *_) = seen(
        database,
        "DELETE FROM retail.daily_analytics WHERE date = ANY (%(last)s) RETURNING 1",
        last=[monday + 6 * DAY for monday in weeks],
    )
    assert seen(database, period) == [(weeks[1], False), (weeks[0], True)]


def test_an_hour_that_was_not_counted_is_no_period_and_has_no_peak(database: Database) -> None:
    [door] = register(database, "door")
    missing = hour(door, "2025-10-26T12:00", None, data_completeness=0.0, quality='{"counts": "missing"}')
    store(database, HOURLY_ANALYTICS, missing)
    assert seen(database, "SELECT visitors, peak_hour, periods_counted FROM retail.historical_analytics") == [
        (None, None, 0)
    ]


def test_a_day_with_two_midnights_begins_at_the_first(database: Database) -> None:
    """On the Azores clocks go back from one o'clock to midnight."""
    [door] = register(database, "door", zone="Atlantic/Azores")
    start = datetime(2025, 10, 26, tzinfo=UTC)
    store(database, HOURLY_ANALYTICS, *(hour(door, start + n * HOUR, 1.0, visitors=1.0) for n in range(-24, 26)))
    store(database, DAILY_ANALYTICS, *(day(door, date(2025, 10, n), float(hours)) for n, hours in ((25, 24), (26, 25))))
    by_date = "SELECT date, hours_of_day, hours_asked FROM retail.camera_completeness ORDER BY date"
    assert seen(database, by_date) == [(date(2025, 10, 25), 24, 24), (date(2025, 10, 26), 25, 25)]
    days = "SELECT period_start, average_count FROM retail.historical_analytics WHERE time_period = 'day' ORDER BY data_date"
    assert seen(database, days) == [(start - DAY, 1), (start, 1)]
    [(hours,)] = seen(
        database,
        "SELECT count(*) FROM retail.historical_analytics WHERE time_period = 'hour' AND data_date = '2025-10-26'",
    )
    assert hours == 25


def test_a_part_of_a_day_is_compared_with_no_whole_one(database: Database) -> None:
    [door] = register(database, "door", zone="Europe/Lisbon")
    today = today_of(database)
    known = {1: 0.5, 2: 1.0, 3: 0.9, 8: 1.0, 9: 0.89, 10: 0.9}
    store(
        database,
        DAILY_ANALYTICS,
        *(day(door, today - back * DAY, 10.0, data_completeness=share) for back, share in known.items()),
    )
    columns = "visitors, visitors_prev_week, wow_change_percent"
    rows = seen(database, f"SELECT {columns} FROM retail.mv_historical_comparison ORDER BY date DESC LIMIT 4")
    assert rows[1:] == [(10, 10, None), (10, 10, None), (10, 10, 0)]


def test_a_missing_day_is_no_day_without_visitors(database: Database) -> None:
    [door] = register(database, "door", zone="Europe/Lisbon")
    today = today_of(database)
    # a week of 100, then a week of 130 of which yesterday is missing
    visitors = {back: 130.0 if back <= 7 else 100.0 for back in range(2, 15)}
    store(database, DAILY_ANALYTICS, *(day(door, today - back * DAY, count) for back, count in visitors.items()))
    columns = "date, visitors, visitors_7d_avg, days_in_7d_avg, visitors_prev_week, wow_change_percent, trend"
    rows = {
        (today - row[0]).days: row[1:]
        for row in seen(
            database, f"SELECT {columns} FROM retail.mv_historical_comparison WHERE sensor_id = %(id)s", id=door
        )
    }
    assert len(rows) == 31
    assert rows[1] == (None, 130, 6, 100, None, "up")
    assert rows[2] == (130, pytest.approx((6 * 130 + 100) / 7), 7, 100, pytest.approx(30), "up")
    assert rows[9] == (100, 100, 6, None, None, None)
    assert rows[20] == (None, None, 0, None, None, None)


def test_the_dashboard_is_of_now(database: Database) -> None:
    fleet = "stores:\n  - {name: Chiado, timezone: Europe/Lisbon, capacity: 50}\ncameras:\n"
    fleet += "  - {name: door, store: Chiado, host: 192.0.2.10}\n  - {name: old, store: Chiado, host: 192.0.2.11, enabled: false}\n"
    FleetRegistry(database).add(parse_fleet(fleet, "fleet.yaml"))
    [(door, shop)] = database.fetch(
        "SELECT id::text, store_id::text FROM retail.sensor_metadata WHERE sensor_name = 'door'"
    )
    database.fetch("UPDATE retail.stores SET occupancy_reset_time = '00:00' RETURNING 1")
    database.fetch(
        "UPDATE retail.counting_lines AS l SET role = 'internal' FROM retail.sensor_metadata AS m"
        " WHERE m.id = l.sensor_id AND m.sensor_name = 'old' RETURNING 1"
    )
    within_an_hour()
    [(now,)] = database.fetch("SELECT now()")
    midnight = datetime.combine(now.astimezone(LISBON).date(), datetime.min.time(), LISBON).astimezone(UTC)
    hours = [midnight + n * HOUR for n in range(int((now - midnight) / HOUR))]
    counted = {"total_exits": 1.0, "visitors": 2.0, "region_counts": '{"1": 5}'}
    store(database, HOURLY_ANALYTICS, *(hour(door, at, 2.0, **counted) for at in hours))
    alert = {
        "id": "8a5b2f7c-0000-4000-8000-000000000001",
        "rule_name": "data_stale",
        "scope": "store",
        "store_id": shop,
    }
    alert |= {
        "alert_type": "system",
        "metric": "minutes_without_counts",
        "severity": "warning",
        "title": "t",
        "message": "m",
    }
    alert |= {"timestamp": now, "first_seen_at": now, "last_seen_at": now, "metrics": "{}", "threshold_value": 120.0}
    alert |= {"occurrences": 1, "acknowledged": False, "resolved": False, "actions_taken": "[]", "escalated": False}
    store(database, ALERTS_GENERATED, alert)

    [row] = seen(database, "SELECT to_jsonb(d) FROM retail.mv_realtime_dashboard AS d")
    dashboard = row[0]
    [[function]] = seen(
        database, "SELECT to_jsonb(o) FROM retail.calculate_current_occupancy(p_store_id => %(id)s) AS o", id=shop
    )
    assert dashboard["current_occupancy"] == function["current_occupancy"]
    assert (dashboard["sensor_name"], dashboard["store_name"], dashboard["active_alerts_count"]) == (
        "door",
        "Chiado",
        1,
    )
    assert dashboard["today_summary"]["hours_counted"] == len(hours)
    assert dashboard["today_summary"]["total_visitors"] == (2 * len(hours) or None)
    assert dashboard["quality"]["queue_length"] == "no_ended_hour"
    assert dashboard["quality"]["camera_state"] == "not_looked_at"
    [(camera, severity, current)] = seen(
        database,
        "SELECT camera_id, alert_severity, current_value FROM retail.analytics_alerts WHERE store_id = %(id)s",
        id=shop,
    )
    assert (camera, severity, current) == (None, "warning", None)


def test_completeness_counts_the_hours_of_the_local_day(database: Database) -> None:
    [door] = register(database, "door", zone="Europe/Lisbon")
    start = datetime(2025, 10, 25, 23, tzinfo=UTC)
    words = ["measured"] * 20 + ["provisional", "estimated", "substituted", "missing"]
    rows = [
        hour(door, start + n * HOUR, None if word == "missing" else 5.0, quality=f'{{"counts": "{word}"}}')
        for n, word in enumerate(words)
    ]
    for row in rows[20:]:
        row["data_completeness"] = 0.0
    store(database, HOURLY_ANALYTICS, *rows, hour(door, start - HOUR))
    store(database, DAILY_ANALYTICS, day(door, date(2025, 10, 26), data_completeness=0.8))
    columns = (
        "hours_of_day, hours_asked, hours_final, hours_provisional, hours_estimated, hours_missing, data_completeness"
    )
    assert seen(database, f"SELECT {columns} FROM retail.camera_completeness") == [(25, 24, 20, 1, 2, 1, 0.8)]


def test_tables_tell_their_size_and_age(database: Database) -> None:
    [door] = register(database, "door")
    store(database, HOURLY_ANALYTICS, hour(door, "2025-10-26T12:00"), hour(door, "2025-10-27T12:00"))
    rows = {
        row[0]: row[1:]
        for row in seen(
            database, "SELECT table_name, total_bytes, partitions, oldest_at, newest_at FROM retail.table_sizes"
        )
    }
    size, partitions, oldest, newest = rows["hourly_analytics"]
    assert size > 0
    assert (partitions, oldest, newest) == (
        0,
        datetime(2025, 10, 26, 12, tzinfo=UTC),
        datetime(2025, 10, 27, 12, tzinfo=UTC),
    )
    assert rows["collection_log"][1] >= 3
    assert rows["people_counting_raw"][2:] == (None, None)


def test_the_age_of_a_table_is_that_of_its_first_and_last_row_whatever_its_key(database: Database) -> None:
    near, far = register(database, "near", "far")
    store(database, DAILY_ANALYTICS, day(near, date(2025, 10, 26)), day(far, date(2025, 3, 1)))
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT retail.ensure_month_partitions('collection_log', '2025-01-01Z', '2025-12-01Z');"
            # Between camera and time stand endpoint, or region and size: the first row of all is of neither the first nor the last.
            " INSERT INTO retail.collection_log (sensor_id, endpoint, hour_start, outcome, row_count, rejected_count, attempts,"
            " asked_at) SELECT m.id, e.name, e.at::timestamptz + i, 'ok', 1, 0, 1, now() FROM retail.sensor_metadata AS m,"
            " (VALUES ('heatmap', '2025-03-05Z'), ('people_counting', '2025-02-05Z'), ('vca', '2025-06-05Z')) AS e (name, at),"
            " (VALUES (interval '0'), (interval '30 days')) AS d (i) WHERE m.sensor_name = 'near' OR e.name = 'people_counting';"
            " INSERT INTO retail.regional_analytics (sensor_id, region_number, bucket_size, time_bucket, date, metrics,"
            " data_completeness) SELECT id, r.n, '1h', r.at::timestamptz, r.at::date, '{}', 1 FROM retail.sensor_metadata,"
            " (VALUES (1, '2025-05-01Z'), (2, '2025-04-01Z'), (3, '2025-08-01Z'), (4, '2025-07-01Z')) AS r (n, at)"
        )
    names = ["collection_log", "regional_analytics", "daily_analytics", "sensor_metadata", "alert_rules", "predictions"]
    rows = seen(database, "SELECT table_name, oldest_at, newest_at FROM retail.table_sizes")
    found = {name: tuple(span) for name, *span in rows}
    assert found["collection_log"] == (utc("2025-02-05T00:00"), utc("2025-07-05T00:00"))
    assert found["regional_analytics"] == (utc("2025-04-01T00:00"), utc("2025-08-01T00:00"))
    assert found["daily_analytics"] == (utc("2025-03-01T00:00"), utc("2025-10-26T00:00"))
    assert found["predictions"] == (None, None)
    for name, column in (("sensor_metadata", "created_at"), ("alert_rules", "updated_at")):
        assert [found[name]] == seen(database, f"SELECT min({column}), max({column}) FROM retail.{name}")
    assert set(names) < set(found) == set(TABLES)


def test_a_reader_sees_through_views_and_functions_only_what_it_may(database: Database) -> None:
    """A user of one of two cameras; nobody sees nothing."""
    mine, theirs = register(database, "mine", "theirs")
    days = [day(camera, today_of(database) - DAY) for camera in (mine, theirs)]
    store(database, DAILY_ANALYTICS, *days)
    store(database, HOURLY_ANALYTICS, *(hour(camera, "2025-10-26T12:00") for camera in (mine, theirs)))
    database.fetch(
        "INSERT INTO retail.user_sensor_access (user_id, sensor_id, granted_by) VALUES ('ana', %(id)s, 'test') RETURNING 1",
        {"id": mine},
    )
    statements = (
        "SELECT DISTINCT camera_id::text FROM retail.historical_analytics",
        "SELECT DISTINCT sensor_id::text FROM retail.mv_historical_comparison",
        "SELECT DISTINCT sensor_id::text FROM retail.mv_realtime_dashboard",
        "SELECT DISTINCT sensor_id::text FROM retail.camera_completeness",
        "SELECT camera_id::text FROM retail.check_camera_health()",
        "SELECT DISTINCT sensor_id::text FROM retail.detect_anomalies()",
    )
    for user, sees in (("ana", [(mine,)]), ("", [])):
        with database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute("SET LOCAL ROLE retail_reader")
            cursor.execute("SELECT set_config('app.user_id', %s, true)", (user,))
            for statement in statements:
                cursor.execute(statement)
                assert cursor.fetchall() == sees, statement
            cursor.execute("SELECT table_name FROM retail.table_sizes WHERE newest_at IS NOT NULL")
            aged = {name for (name,) in cursor.fetchall()}
            assert ({"hourly_analytics", "daily_analytics"} <= aged) if sees else aged == set()


def test_every_statement_of_the_analysts_page_runs_for_a_reader(database: Database) -> None:
    register(database, "door", zone="Europe/Lisbon")
    page = (sql_directory().parent / "docs" / "database.md").read_text()
    blocks = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    statements = [statement for block in blocks for statement in block.split(";") if statement.strip()]
    assert len(statements) > 8
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE retail_reader")
        for statement in statements:
            cursor.execute(statement)


def test_functions_run_with_the_readers_rights_and_names_of_their_own(database: Database) -> None:
    names = sorted(path.stem for path in (sql_directory() / "functions").glob("*.sql"))
    rows = database.fetch(
        "SELECT proname, prosecdef, provolatile::text, proparallel::text, proconfig FROM pg_proc"
        " WHERE pronamespace = 'retail'::regnamespace AND proname = ANY(%(names)s) AND prorettype <> 'trigger'::regtype",
        {"names": names},
    )
    live = {row[0]: row[1:] for row in rows}
    for name in ("calculate_current_occupancy", "estimate_queue_metrics", "check_camera_health", "detect_anomalies"):
        assert live[name] == (False, "s", "s", ["search_path=pg_catalog, pg_temp"]), name
    for name in (
        "erlang_c",
        "count_surprise",
        "incomplete_beta",
        "log_gamma",
        "lanes_needed",
        "opening_hours_are_sound",
    ):
        assert live[name] == (False, "i", "s", ["search_path=pg_catalog, pg_temp"]), name


REFUSED = (
    ("UPDATE retail.stores SET timezone = 'Lisbon'", "store_timezone_is_an_iana_zone"),
    ("UPDATE retail.sensor_metadata SET timezone = 'XYZ+3'", "camera_timezone_is_an_iana_zone"),
    (
        """UPDATE retail.stores SET opening_hours = '{"mon": [["10:00", "21:00"], ["20:00", "22:00"]]}'""",
        "opening_hours_are_spans_that_do_not_overlap",
    ),
    (
        """UPDATE retail.stores SET opening_hours = '{"sun": [["22:00", "02:00"]], "mon": [["01:00", "03:00"]]}'""",
        "opening_hours_are_spans_that_do_not_overlap",
    ),
    (
        """UPDATE retail.stores SET opening_hours = '{"monday": [["10:00", "21:00"]]}'""",
        "opening_hours_are_spans_that_do_not_overlap",
    ),
    ("UPDATE retail.hourly_analytics SET total_entries = -1", "total_entries_is_not_negative"),
    ("UPDATE retail.hourly_analytics SET visitors = 'NaN'", "visitors_is_not_negative"),
    ("UPDATE retail.daily_analytics SET data_quality_score = 140", "data_quality_score_is_0_to_100"),
    (
        "UPDATE retail.daily_analytics SET peak_hour_traffic = 3, off_peak_traffic = 4",
        "off_peak_is_not_above_the_peak",
    ),
    ("UPDATE retail.daily_analytics SET quality = '[]'", "quality_is_an_object"),
    (
        "INSERT INTO retail.region_configurations (sensor_id, region_number, region_name)"
        " SELECT id, 5, 'fifth' FROM retail.sensor_metadata",
        "region_number_is_1_to_4",
    ),
)
"""A statement, and the rule that refuses it."""

SOUND = (
    "NULL",
    """'{"mon": [["10:00", "13:00"], ["13:00", "21:00"]], "sun": []}'""",
    """'{"sat": [["22:00", "02:00"]], "sun": [["02:00", "04:00"]]}'""",
    """'{"mon": [["00:00", "24:00"]], "tue": [["00:00", "24:00"]]}'""",
)
"""Opening hours that are taken."""


def test_what_cannot_be_is_refused_by_a_rule_whose_name_says_why(database: Database) -> None:
    [door] = register(database, "door")
    store(database, HOURLY_ANALYTICS, hour(door, "2025-10-26T12:00"))
    store(database, DAILY_ANALYTICS, day(door, date(2025, 10, 26)))
    for statement, constraint in REFUSED:
        with pytest.raises(psycopg2.errors.CheckViolation) as refused:
            database.fetch(f"{statement} RETURNING 1")
        assert refused.value.diag.constraint_name == constraint
    zone = "America/Port-au-Prince"
    for hours in SOUND:
        assert (
            len(database.fetch(f"UPDATE retail.stores SET opening_hours = {hours}, timezone = '{zone}' RETURNING 1"))
            == 1
        )
