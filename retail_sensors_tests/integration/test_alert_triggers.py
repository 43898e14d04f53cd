"""Alerts that the database raises as figures are written: the same as the Python side's, told at commit, in nobody's way."""

from __future__ import annotations

import json
import random
import select
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import psycopg2
import pytest
from psycopg2.extensions import connection as PgConnection
from psycopg2.extras import RealDictCursor

from retail_sensors.analytics.alert_observations import observations
from retail_sensors.analytics.alert_texts import duration
from retail_sensors.analytics.alerts import evaluate
from retail_sensors.analytics.opening import open_hours_of_week
from retail_sensors.assets.alerts import _sources
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.storage.alerts import AlertStore
from retail_sensors.storage.database import Database
from retail_sensors.storage.frames import read_frame
from retail_sensors.tables.alerts import ALERT_RULES, ALERTS_GENERATED

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
JUDGED = ["utilization_percent", "queue_wait_minutes", "queue_length", "abandonment_risk_percent"]
LATE_HOURS = json.dumps({day: [["10:00", "13:30"], ["15:00", "00:30"]] for day in ("mon", "tue", "wed")})
ESTATE = """
INSERT INTO retail.organizations (organization_name) VALUES ('Retailer');
INSERT INTO retail.stores (organization_id, store_name, timezone, capacity, opening_hours)
  SELECT id, s.* FROM retail.organizations, (VALUES ('Lisbon 100 %%', 'Europe/Lisbon', 200, NULL),
    ('Mumbai', 'Asia/Kolkata', 80, %(late_hours)s::jsonb)) AS s;
INSERT INTO retail.sensor_metadata (sensor_name, store_id, sensor_ip, timezone, endpoints, created_at)
  SELECT store_name, id, '192.0.2.' || row_number() OVER (), timezone, '[]', '2025-01-01Z' FROM retail.stores;
"""

Row = dict[str, Any]


@pytest.fixture
def stores(database: Database) -> tuple[str, str]:
    """A store that is always open, and one that is open until after midnight with a break."""
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(ESTATE, {"late_hours": LATE_HOURS})
        cursor.execute("SELECT id::text FROM retail.stores ORDER BY store_name")
        lisbon, mumbai = (store for (store,) in cursor.fetchall())
    return lisbon, mumbai


@pytest.fixture
def resource(database: Database, monkeypatch: pytest.MonkeyPatch) -> DatabaseResource:
    """What the asset reads with; it knows the stores as they are when they are first asked for."""
    monkeypatch.setenv("RETAIL_SENSORS_DATABASE_URL", database.url)
    return DatabaseResource()


def written(connection: PgConnection, statement: str, **parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def hour(connection: PgConnection, store: str, start: datetime, utilization: float | None, **changes: Any) -> None:
    """An hour of a store of 200 people."""
    written(
        connection,
        "INSERT INTO retail.store_hourly (store_id, hour_start, is_open, avg_occupancy, utilization, data_completeness,"
        " is_provisional, quality, updated_at) VALUES (%(store)s, %(start)s, %(is_open)s, 200 * %(utilization)s, %(utilization)s,"
        " 0, true, '{}', coalesce(%(at)s, now())) ON CONFLICT (store_id, hour_start) DO UPDATE SET is_open = excluded.is_open,"
        " avg_occupancy = excluded.avg_occupancy, utilization = excluded.utilization, updated_at = excluded.updated_at",
        **{"store": store, "start": start, "utilization": utilization, "is_open": True, "at": None, **changes},
    )


def minute(connection: PgConnection, store: str, end: datetime, percent: float | None, minutes: float = 1) -> None:
    written(
        connection,
        "INSERT INTO retail.realtime_analytics (sensor_id, period_start, period_end, current_count, current_occupancy_percent,"
        " observed_minutes, quality) SELECT id, %(start)s, %(end)s, round(%(percent)s::numeric), %(percent)s, 0, '{}'"
        " FROM retail.sensor_metadata WHERE store_id = %(store)s ON CONFLICT DO NOTHING",
        store=store,
        start=end - minutes * MINUTE,
        end=end,
        percent=percent,
    )


def queue(connection: PgConnection, store: str, start: datetime, wait: float | None, **changes: Any) -> None:
    written(
        connection,
        "INSERT INTO retail.queue_analytics (store_id, hour_start, analysis_type, is_overloaded, predicted_queue_length,"
        " estimated_wait_time_minutes, abandonment_risk_score, recommended_open_lanes, frame_analyzed, quality)"
        " VALUES (%(store)s, %(start)s, 'model', %(overloaded)s, 1.5 * %(wait)s, %(wait)s, %(risk)s, %(lanes)s, false, '{}')"
        " ON CONFLICT (store_id, hour_start) DO UPDATE SET is_overloaded = excluded.is_overloaded,"
        " predicted_queue_length = excluded.predicted_queue_length, recommended_open_lanes = excluded.recommended_open_lanes,"
        " estimated_wait_time_minutes = excluded.estimated_wait_time_minutes,"
        " abandonment_risk_score = excluded.abandonment_risk_score",
        **{"store": store, "start": start, "wait": wait, "overloaded": False, "risk": None, "lanes": None, **changes},
    )


def alerts(database: Database) -> list[Row]:
    with database.transaction() as connection, connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(
            "SELECT a.*, a.id::text AS id, a.store_id::text AS store_id FROM retail.alerts_generated AS a ORDER BY a.timestamp, 2"
        )
        return [dict(row) for row in cursor.fetchall()]


def python_side(resource: DatabaseResource, now: datetime) -> pd.DataFrame:
    """The rows that the asset would write at that instant about what the database judges."""
    seen = observations(_sources(resource, now), resource.roster(), now)
    with resource.database.transaction() as connection:
        rules = read_frame(connection, ALERT_RULES)
        known = read_frame(connection, ALERTS_GENERATED)
    return evaluate(rules[rules["metric"].isin(JUDGED)], [one for one in seen if one.metric in JUDGED], known, now)


def comparable(rows: list[Row]) -> list[Row]:
    """Rows without their identity."""
    return [{name: cell for name, cell in row.items() if name != "id"} for row in comparable_with_id(rows)]


def comparable_with_id(rows: list[Row]) -> list[Row]:
    """Rows without the time of writing, JSON as values, in one order."""
    return [
        {
            name: json.loads(cell) if isinstance(cell, str) and name in ("metrics", "actions_taken") else cell
            for name, cell in row.items()
            if name not in ("state", "created_at", "updated_at")
        }
        for row in sorted(rows, key=lambda row: (row["timestamp"], row["rule_name"], row["store_id"]))
    ]


def plain(frame: pd.DataFrame) -> list[Row]:
    return [
        {
            str(name): None if pd.isna(cell) else cell.to_pydatetime() if isinstance(cell, pd.Timestamp) else cell
            for name, cell in row.items()
        }
        for row in frame.to_dict("records")
    ]


# The same as the Python side ---------------------------------------------------------------------------------------------

KINDS = ("running", "running", "ended", "closed", "minutes", "minutes", "queue", "queue", "person", "python")
UTILIZATIONS = (None, 0.3, 0.895, 0.9, 0.945, 0.985, 1.0, 1.2)


def steps_of(choose: random.Random) -> list[Row]:
    """What happens one after another, mostly to one store: figures of every kind, a person, a run of the asset."""
    return [
        {
            "kind": choose.choice(KINDS),
            "store": choose.choice((0, 0, 1)),
            "later": choose.choice((0, 1, 5, 5, 12, 31, 70)),
            "utilization": choose.choice(UTILIZATIONS),
            "before": choose.choice(UTILIZATIONS),
            "wait": choose.choice((None, 0.4, 4.99, 5.0, 7.5, 10.0, 95.5, 100.0)),
            "overloaded": choose.random() < 0.2,
            "risk": choose.choice((None, 0.05, 0.35, 0.6)),
            "lanes": choose.choice((None, 1, 4)),
        }
        for _ in range(16)
    ]


def step(database: Database, store: str, now: datetime, given: Mapping[str, Any]) -> None:
    running = now.replace(minute=0)
    with database.transaction() as connection:
        match given["kind"]:
            case "running":
                hour(connection, store, running, given["utilization"], at=now)
            case "ended":
                hour(connection, store, running - HOUR, given["before"], at=now)
            case "closed":
                hour(connection, store, running, None, at=now, is_open=False)
            case "minutes":
                minute(connection, store, now - 1 * MINUTE, _percent(given["before"]), minutes=11)
                minute(connection, store, now, _percent(given["utilization"]))
            case "queue":
                shown = {name: given[name] for name in ("overloaded", "risk", "lanes")}
                queue(connection, store, running - HOUR, None if given["overloaded"] else given["wait"], **shown)
            case "person":
                written(
                    connection,
                    "UPDATE retail.alerts_generated SET resolved = true, resolved_at = %(now)s, resolution_notes = 'Mended.'"
                    " WHERE NOT resolved AND store_id = %(store)s",
                    now=now,
                    store=store,
                )


def _percent(utilization: float | None) -> float | None:
    return None if utilization is None else 100 * utilization


@pytest.mark.parametrize(
    ("start", "seed"),
    [
        ("2025-10-06T22:40", 1),
        ("2025-10-07T13:05", 2),
        ("2025-10-07T18:20", 3),
        ("2025-10-07T22:50", 5),
        ("2025-10-08T07:40", 7),
    ],
)
def test_each_step_gives_what_the_python_side_would_write(
    database: Database, stores: tuple[str, str], resource: DatabaseResource, start: str, seed: int
) -> None:
    now = datetime.fromisoformat(start).replace(tzinfo=UTC)
    with database.transaction() as connection:
        # To escalate is the Python side's alone. A store has its own words on what is too much.
        written(connection, "UPDATE retail.alert_rules SET escalate_after_minutes = NULL")
        written(
            connection,
            "INSERT INTO retail.alert_rules (rule_name, store_id, alert_type, scope, metric, comparison, warning_threshold,"
            " critical_threshold, hold_minutes, cool_down_minutes, recency_minutes, is_enabled, description)"
            " SELECT r.*, 0, 0, 45, r.rule_name <> 'queue_length', '-' FROM (SELECT 'overcrowding', id, 'capacity', 'store',"
            " 'utilization_percent', '>', NULL::float8, 94.5 FROM retail.stores WHERE store_name = 'Mumbai' UNION ALL"
            " SELECT 'queue_length', id, 'queue', 'store', 'queue_length', '>=', 1, 2 FROM retail.stores"
            " WHERE store_name = 'Mumbai' UNION ALL SELECT 'empty', id, 'capacity', 'store', 'utilization_percent', '<=', 35, 30"
            " FROM retail.stores WHERE store_name = 'Mumbai') AS r (rule_name)",
        )
    raised = kept = 0

    for given_step in steps_of(random.Random(seed)):
        now += given_step["later"] * MINUTE
        step(database, stores[given_step["store"]], now, given_step)
        before = {row["id"]: row for row in alerts(database)}
        expected = [row for row in plain(python_side(resource, now)) if not row["resolved"]]
        evaluated = "SELECT retail.raise_alerts(%(metrics)s, %(stores)s::uuid[], %(now)s)"
        parameters = {"metrics": JUDGED, "stores": list(stores), "now": now}
        assert database.fetch(evaluated, parameters) == [(len(expected),)]
        changed = {row["id"] for row in expected}
        raised, kept = raised + len(changed - set(before)), kept + len(changed & set(before))
        assert comparable(alerts(database)) == comparable(
            [*(row for identity, row in before.items() if identity not in changed), *expected]
        )
        assert database.fetch(evaluated, parameters) == [(0,)]
        assert python_side(resource, now)["resolved"].all()
        # Five minutes later the asset finds them, and goes on: an hour may have ended by then, and a cool-down be over.
        found = {row["id"]: row for row in comparable_with_id(alerts(database))}
        for row in comparable_with_id(plain(python_side(resource, now + 5 * MINUTE))):
            if row["id"] in found and not row["resolved"]:
                moves = ("last_seen_at", "occurrences", "message")
                assert {**row, **{name: found[row["id"]][name] for name in moves}} == found[row["id"]]
        if given_step["kind"] == "python":
            AlertStore(database).update(lambda _rules, _known, at=now: python_side(resource, at), now)  # type: ignore[misc]
    assert (raised > 2, kept > 0) == (True, True), "nothing was compared"


@pytest.mark.parametrize(
    "text",
    [
        None,
        "{}",
        LATE_HOURS,
        '{"sun": [["18:00", "03:15"]], "mon": [["00:00", "24:00"]], "fri": null, "sat": [["9:05", "9:10"]]}',
        '{"wed": [["12:00", "12:00"]]}',
    ],
)
def test_an_hour_is_open_as_the_python_side_says(database: Database, text: str | None) -> None:
    found = database.fetch(
        "SELECT array_agg(retail.raise_alerts_is_open(%(text)s::jsonb, '2026-02-02'::timestamp + m * interval '1 minute')"
        " ORDER BY m) FROM generate_series(0, 10079) AS m",
        {"text": text},
    )[0][0]
    assert np.array_equal(found, open_hours_of_week(text, "-"))


def test_a_time_has_the_python_sides_words(database: Database) -> None:
    minutes = [0.0, 0.5, 1.0, 1.4, 1.5, 2.5, 89.49, 89.5, 90.0, 93.0, 117.0, 120.0, 2879.9, 2880.0, 3000.0, 14400.0]
    found = database.fetch(
        "SELECT retail.raise_alerts_duration(m) FROM unnest(%(minutes)s) WITH ORDINALITY AS t (m, n) ORDER BY n",
        {"minutes": minutes},
    )
    assert [words for (words,) in found] == [duration(one) for one in minutes]


# At the write ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def listener(database: Database) -> Iterator[PgConnection]:
    with closing(psycopg2.connect(database.libpq_url)) as connection:
        connection.autocommit = True
        written(connection, "LISTEN retail_alerts")
        yield connection


def told(listener: PgConnection, wait: float = 0.0) -> list[dict[str, Any]]:
    """What a listener has got since it was asked last."""
    select.select([listener], [], [], wait)
    listener.poll()
    found = [json.loads(notify.payload) for notify in listener.notifies]
    listener.notifies.clear()
    return found


def server_now(database: Database) -> datetime:
    """An hour of a test starts at a distance from now: none runs into the next."""
    ((now,),) = database.fetch("SELECT now()")
    return now


def test_a_statement_raises_one_alert_and_tells_it_at_commit(
    database: Database, stores: tuple[str, str], listener: PgConnection, resource: DatabaseResource
) -> None:
    lisbon, mumbai = stores
    now = server_now(database)
    with database.transaction() as connection:
        # Years of history, and what lies ahead.
        for start in (now - 400 * 24 * HOUR, now - 3 * HOUR, now + 2 * HOUR):
            hour(connection, lisbon, start, 1.2)
        queue(connection, mumbai, now - 7 * HOUR, 99.0)
    assert (alerts(database), told(listener)) == ([], [])

    with database.transaction() as connection:
        hour(connection, lisbon, now - 30 * MINUTE, 0.95)
        assert (alerts(database), told(listener, 0.05)) == ([], []), "it is not committed yet"
    [alert] = alerts(database)
    assert (alert["rule_name"], alert["severity"], alert["occurrences"]) == ("overcrowding", "warning", 1)
    assert alert["title"] == "Lisbon 100 % is crowded: 95 % of its capacity"
    assert alert["timestamp"] == alert["last_seen_at"] >= now
    at = f"{alert['timestamp']:%Y-%m-%dT%H:%M:%S.%f}Z"
    # Everybody may listen: it says neither whose alert it is nor what about.
    assert told(listener, 60) == [{"id": alert["id"], "at": at}]

    # Counted on without a word; told again when it is worse, and then never better.
    for utilization, severity, occurrences, news in (
        (0.96, "warning", 2, []),
        (1.05, "critical", 3, [alert["id"]]),
        (0.95, "critical", 4, []),
    ):
        with database.transaction() as connection:
            hour(connection, lisbon, now - 30 * MINUTE, utilization)
        [alert] = alerts(database)
        assert (alert["severity"], alert["occurrences"]) == (severity, occurrences)
        assert alert["actual_value"] == 100 * utilization
        assert [payload["id"] for payload in told(listener, 60 if news else 0.05)] == news
    assert [action["action"] for action in alert["actions_taken"]] == ["severity_raised"]
    # The asset's run of five minutes later has nothing to add.
    assert python_side(resource, server_now(database) + 5 * MINUTE).empty


def test_the_tills_raise_theirs_and_a_closed_store_none(
    database: Database, stores: tuple[str, str], listener: PgConnection
) -> None:
    now = server_now(database)
    with database.transaction() as connection:
        written(connection, "UPDATE retail.stores SET opening_hours = '{}' WHERE store_name = 'Mumbai'")
        for store in stores:
            queue(connection, store, now - 70 * MINUTE, None, overloaded=True, lanes=6)
        # An hour that runs has not all its arrivals yet.
        queue(connection, stores[0], now - 30 * MINUTE, 2.0)
    found = alerts(database)
    assert [(alert["rule_name"], alert["severity"], alert["store_id"]) for alert in found] == [
        (name, "critical", stores[0]) for name in ("abandonment_risk", "queue_length", "queue_wait")
    ]
    assert {alert["actual_value"] for alert in found} == {None}
    assert found[0]["metrics"] == {
        "abandonment_risk_percent": None,
        "reason": "overloaded",
        "recommended_open_lanes": 6,
    }
    assert found[0]["title"] == "The tills of Lisbon 100 % cannot serve all who come"
    assert sorted(payload["id"] for payload in told(listener, 60)) == sorted(alert["id"] for alert in found)


def test_what_a_later_statement_of_the_same_transaction_refutes_is_withdrawn_unheard(
    database: Database, stores: tuple[str, str], listener: PgConnection
) -> None:
    now = server_now(database)
    with database.transaction() as connection:
        hour(connection, stores[0], now - 80 * MINUTE, 0.5)
    with database.transaction() as connection:
        # As a merge does: first the hours that changed, then the new one, in which it is quiet.
        written(connection, "UPDATE retail.store_hourly SET utilization = 0.95, avg_occupancy = 190")
        hour(connection, stores[0], now - 20 * MINUTE, 0.4)
    assert (alerts(database), told(listener, 0.1)) == ([], [])
    with database.transaction() as connection:
        written(connection, "UPDATE retail.store_hourly SET utilization = 0.97 WHERE utilization = 0.95")
        hour(connection, stores[0], now - 20 * MINUTE, 1.1)
    [alert] = alerts(database)
    assert (alert["severity"], alert["first_seen_at"], alert["occurrences"]) == ("critical", now - 80 * MINUTE, 1)
    assert [payload["id"] for payload in told(listener, 60)] == [alert["id"]]


def test_a_crowd_must_last_and_what_a_person_has_ended_stays_ended(database: Database, stores: tuple[str, str]) -> None:
    now = server_now(database)
    with database.transaction() as connection:
        minute(connection, stores[0], now - 4 * MINUTE, 99.0)
        minute(connection, stores[0], now - 2 * MINUTE, 99.0, minutes=2)
    assert alerts(database) == [], "it has not lasted for ten minutes"
    with database.transaction() as connection:
        minute(connection, stores[0], now - 5 * MINUTE, 99.0, minutes=8)
        minute(connection, stores[0], now - 1 * MINUTE, 99.0)
    [alert] = alerts(database)
    assert alert["first_seen_at"] == now - 13 * MINUTE
    AlertStore(database).resolve(alert["id"], "A school class.", "Ana", server_now(database))
    with database.transaction() as connection:
        minute(connection, stores[0], now - MINUTE / 2, 99.0)
    [alert] = alerts(database)
    assert (alert["resolved"], alert["occurrences"]) == (True, 1)


# In nobody's way ---------------------------------------------------------------------------------------------------------


def test_a_failing_rule_is_a_warning_and_the_rows_are_stored(database: Database, stores: tuple[str, str]) -> None:
    now = server_now(database)
    with database.transaction() as connection:
        written(connection, "ALTER TABLE retail.alert_rules RENAME hold_minutes TO held_minutes")
    with database.transaction() as connection:
        hour(connection, stores[0], now - 30 * MINUTE, 0.95)
        [notice] = connection.notices
    assert "WARNING:  Alerts were not evaluated after a write to retail.store_hourly: column n.hold_minutes" in notice
    assert database.fetch("SELECT utilization FROM retail.store_hourly") == [(0.95,)]
    assert alerts(database) == []


def test_a_loader_waits_two_seconds_for_whoever_writes_alerts_and_goes_on(
    database: Database, stores: tuple[str, str]
) -> None:
    now = server_now(database)
    notices: list[str] = []

    waited: list[float] = []

    def load() -> None:
        with database.transaction() as connection:
            began = time.monotonic()
            hour(connection, stores[0], now - 30 * MINUTE, 0.95)
            waited.append(time.monotonic() - began)
            notices.extend(connection.notices)

    loader = threading.Thread(target=load)

    def while_the_loader_waits(_rules: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
        loader.start()
        loader.join(120)
        assert not loader.is_alive(), "it waits for whoever waits for it"
        return known.loc[[], [column.name for column in ALERTS_GENERATED.written]]

    AlertStore(database).update(while_the_loader_waits, now)
    assert ["lock timeout" in notice for notice in notices] == [True]
    assert waited[0] > 1.9
    assert database.fetch("SELECT count(*) FROM retail.store_hourly") == [(1,)]


def test_writers_of_figures_and_of_alerts_do_not_stop_each_other(
    database: Database, stores: tuple[str, str], resource: DatabaseResource
) -> None:
    now = server_now(database)
    errors: list[object] = []
    done = threading.Event()

    def load(turn: tuple[str, ...], offset: int) -> None:
        try:
            for count in range(8):
                with database.transaction() as connection:
                    for store in turn:
                        queue(connection, store, now - (61 + offset) * MINUTE, 20.0 + count)
                        hour(connection, store, now - (30 + offset) * MINUTE, 0.9 + count / 100)
                    errors.extend(connection.notices)
                    connection.notices.clear()
        except Exception as error:
            errors.append(error)

    def evaluate_meanwhile() -> None:
        try:
            while not done.is_set():
                at = server_now(database)
                seen = observations(_sources(resource, at), resource.roster(), at)
                AlertStore(database).update(lambda rules, known, at=at, seen=seen: evaluate(rules, seen, known, at), at)  # type: ignore[misc]
        except Exception as error:
            errors.append(error)

    with database.transaction() as connection:
        written(connection, "UPDATE retail.stores SET opening_hours = NULL")
    loaders = [threading.Thread(target=load, args=(turn, at)) for at, turn in enumerate((stores, stores[::-1]))]
    asset = threading.Thread(target=evaluate_meanwhile)
    for thread in (*loaders, asset):
        thread.start()
    for thread in loaders:
        thread.join(240)
    done.set()
    asset.join(240)
    assert errors == []
    found = [row for row in alerts(database) if row["metric"] in JUDGED]
    assert sorted((row["rule_name"], row["store_id"]) for row in found) == sorted(
        (rule, store) for rule in ("overcrowding", "queue_length", "queue_wait") for store in stores
    )
    assert not any(row["resolved"] for row in found)


def test_whoever_may_write_figures_raises_alerts_and_nobody_else_does(
    database: Database, stores: tuple[str, str]
) -> None:
    now = server_now(database)
    with database.transaction() as connection:
        written(connection, "SET LOCAL ROLE retail_ingest")
        minute(connection, stores[0], now - MINUTE, 99.0, minutes=15)
    with database.transaction() as connection:
        written(connection, "SET LOCAL ROLE retail_transform")
        hour(connection, stores[1], now - 30 * MINUTE, 0.95)
    assert {alert["store_id"] for alert in alerts(database)} == set(stores)
    with closing(psycopg2.connect(database.libpq_url)) as connection:
        for role in ("retail_reader", "retail_writer", "retail_ingest"):
            written(connection, f"SET ROLE {role}")
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                written(connection, "SELECT retail.raise_alerts(ARRAY['utilization_percent'], NULL)")
            connection.rollback()
