"""The live functions beside the Python figures on the same rows, in a real Postgres."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import psycopg2
import pytest

from retail_sensors.analytics import anomalies, occupancy, tails
from retail_sensors.analytics.anomaly_cameras import counts_of
from retail_sensors.analytics.health import camera_health
from retail_sensors.analytics.localtime import day_starts
from retail_sensors.analytics.queue_inputs import queue_inputs
from retail_sensors.analytics.queueing import Service, erlang_c, lanes_needed, queue_hours
from retail_sensors.analytics.readings import hour_rows
from retail_sensors.fleet_file import parse_fleet
from retail_sensors.storage.database import Database
from retail_sensors.storage.fleet import FleetRegistry
from retail_sensors.storage.merge import merge_frame
from retail_sensors.tables import COLLECTION_LOG, HOURLY_ANALYTICS
from retail_sensors.tables.anomalies import ANOMALIES_DETECTED
from retail_sensors.tables.inputs import POS_TRANSACTIONS, QUEUE_GROUND_TRUTH, STAFF_HOURS
from retail_sensors.tables.queues import QUEUE_ANALYTICS
from retail_sensors.tables.realtime import REALTIME_ANALYTICS
from retail_sensors.tables.regions import REGION_STAYS
from retail_sensors_tests.integration.stored import frame_of, hour, store

HOUR, MINUTE, DAY = timedelta(hours=1), timedelta(minutes=1), timedelta(days=1)
NOBODY = "00000000-0000-0000-0000-000000000000"


def ids(database: Database, table: str, name: str) -> dict[str, str]:
    return dict(database.fetch(f"SELECT {name}, id::text FROM retail.{table}"))


def asked_of(database: Database, statement: str, **parameters: Any) -> list[dict[str, Any]]:
    """Rows as dictionaries, identities as text."""
    rows = database.fetch(f"SELECT to_jsonb(f) FROM {statement} AS f", parameters)
    return [row[0] for row in rows]


def logged(sensor: str, at: datetime, **changes: Any) -> dict[str, Any]:
    """One row of `collection_log`, answered."""
    row = {"sensor_id": sensor, "endpoint": "people_counting", "hour_start": at.replace(minute=0), "outcome": "ok"}
    return {**row, "row_count": 1, "rejected_count": 0, "attempts": 1, "latency_ms": 80.0, "asked_at": at, **changes}


# Formulas -------------------------------------------------------------------------------------------------------------


def test_formulas_are_those_of_the_analytics(database: Database) -> None:
    load, lanes = (
        grid.ravel() for grid in np.meshgrid([0.0, 0.01, 0.4, 1.2, 2.9, 7.0, 40.0], [0.7, 1, 1.5, 3, 3.3, 8.9, 45])
    )
    found = database.fetch(
        "SELECT retail.erlang_c(a, c) FROM unnest(%(load)s::float8[], %(lanes)s::float8[]) AS t (a, c)",
        {"load": load.tolist(), "lanes": lanes.tolist()},
    )
    np.testing.assert_allclose(np.array(found, dtype=float)[:, 0], erlang_c(load, lanes), rtol=1e-9)

    counts, means, ks = (
        grid.ravel() for grid in np.meshgrid([0, 1, 7, 40, 900.5], [0.05, 1, 12, 850], [0.25, 3, 60, 2500])
    )
    found = database.fetch(
        "SELECT retail.count_surprise(x, m, k) FROM unnest(%(x)s::float8[], %(m)s::float8[], %(k)s::float8[]) AS t (x, m, k)",
        {"x": counts.tolist(), "m": means.tolist(), "k": ks.tolist()},
    )
    np.testing.assert_allclose(
        np.array(found, dtype=float)[:, 0], tails.two_sided(counts, means, ks), rtol=1e-7, atol=1e-250
    )

    arrivals = np.array([0.0, 1, 30, 48, 96, 500])
    found = database.fetch(
        "SELECT retail.lanes_needed(n / 60 / 0.8, 0.8, 5, 0.8) FROM unnest(%(n)s::float8[]) AS t (n)",
        {"n": arrivals.tolist()},
    )
    assert [row[0] for row in found] == lanes_needed(arrivals, Service()).tolist()


@pytest.mark.parametrize(
    ("function", "sound"),
    [
        ("lanes_needed", (2.0, 0.8, 5.0, 0.8)),
        ("erlang_c", (2.0, 3.0)),
        ("count_surprise", (5.0, 3.0, 2.0)),
        ("incomplete_beta", (2.0, 3.0, 0.4)),
        ("log_gamma", (2.5,)),
    ],
)
def test_a_formula_of_what_cannot_be_is_null_and_ends(
    database: Database, function: str, sound: tuple[float, ...]
) -> None:
    marks = ", ".join(["%s::float8"] * len(sound))
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '120s'")

        def of(*values: float | None) -> float | None:
            cursor.execute(f"SELECT retail.{function}({marks})", values)
            ((answer,),) = cursor.fetchall()
            return None if answer is None else float(answer)

        assert of(*sound) is not None
        for place in range(len(sound)):
            for wrong in (None, float("nan"), float("inf"), float("-inf"), -1.0, 1e300):
                answer = of(*sound[:place], wrong, *sound[place + 1 :])
                assert answer is None or np.isfinite(answer), (place, wrong)
                if wrong is None or not np.isfinite(wrong):
                    # Of a share that is asked of no customer, the least number of lanes will do.
                    assert answer is None or (function, place, wrong) == ("lanes_needed", 3, float("-inf"))
    share = "SELECT retail.lanes_needed(2, 0.8, 5, %(share)s), retail.lanes_needed(%(share)s, 0.8, 5, 0.8)"
    assert database.fetch(share, {"share": 1.0})[0][0] is None
    assert database.fetch(share, {"share": 1.4})[0][0] is None
    assert database.fetch(share, {"share": 9999.0})[0][1] > 9999


def test_few_people_before_many_lanes_wait_for_nobody(database: Database) -> None:
    """Numbers too small for their kind, which Postgres takes for an error."""
    cases = [(0.5, 150.0), (0.5, 160.0), (0.5, 160.5), (1e-200, 1.0), (1e-200, 2.5), (1e5, 1e6)]
    found = database.fetch(
        "SELECT retail.erlang_c(load, lanes) FROM unnest(%(loads)s::float8[], %(lanes)s::float8[]) AS t (load, lanes)",
        {"loads": [load for load, _ in cases], "lanes": [lanes for _, lanes in cases]},
    )
    expected = erlang_c(*np.array(cases).T)
    assert [row[0] for row in found] == pytest.approx(expected.tolist(), abs=1e-99)
    registry = FleetRegistry(database)
    registry.add(parse_fleet(TILLS, "fleet.yaml"))
    at = datetime(2025, 11, 3, 10, tzinfo=UTC)
    camera = ids(database, "sensor_metadata", "sensor_name")["chiado"]
    shop = ids(database, "stores", "store_name")["Chiado"]
    store(database, HOURLY_ANALYTICS, hour(camera, at, 300.0, total_exits=300.0, region_counts='{"2": 40}'))
    stay = {"date": date(2025, 11, 3), "region_number": 2, "stay_over_60_s": 0.4, "quality": "{}"}
    store(database, REGION_STAYS, {"sensor_id": camera, **stay})
    # Of 96 lanes the probability to wait and the share of the patient are each a number still, and their product is none.
    for lanes in (96.0, 400.0):
        store(database, STAFF_HOURS, {"store_id": shop, "hour_start": at, "staff": 3.0, "lanes_open": lanes})
        [row] = asked_of(database, "retail.estimate_queue_metrics(%(id)s, 2, p_at => %(at)s)", id=shop, at=at + HOUR)
        assert (row["lanes"], row["share_within_target"]) == (lanes, 1)
        assert row["estimated_wait_minutes"] == pytest.approx(0, abs=1e-99)
    assert database.fetch("SELECT retail.lanes_needed(1e-80, 1000, 1440, 0.8)") == [(1,)]


AT = "give one, or leave it out for now."
REFUSED = (
    ("calculate_current_occupancy(p_at => 'infinity')", f"p_at is infinity and no instant: {AT}"),
    ("calculate_current_occupancy(p_at => NULL)", f"p_at is NULL and no instant: {AT}"),
    ("check_camera_health(p_at => 'infinity')", f"p_at is infinity and no instant: {AT}"),
    ("check_camera_health(p_at => NULL)", f"p_at is NULL and no instant: {AT}"),
    ("detect_anomalies(p_at => '-infinity')", f"p_at is -infinity and no instant: {AT}"),
    ("detect_anomalies(p_confidence => 1.4)", "A confidence of 1.4 is no share: give one from 0 to 1."),
    ("detect_anomalies(p_confidence => NULL)", "A confidence of NULL is no share: give one from 0 to 1."),
    ("detect_anomalies(p_confidence => 'NaN')", "A confidence of NaN is no share: give one from 0 to 1."),
    ("estimate_queue_metrics(p_at => 'infinity')", f"p_at is infinity and no instant: {AT}"),
    ("estimate_queue_metrics(p_queue_region => 5)", "Region 5 does not exist: a camera has regions 1 to 4."),
    ("estimate_queue_metrics(p_queue_region => 0)", "Region 0 does not exist: a camera has regions 1 to 4."),
    (
        "ensure_month_partitions('people_counting_raw', '2025-02-01Z', '2025-01-01Z')",
        "Months from 2025-02-01 00:00:00+00 to 2025-01-01 00:00:00+00 cannot be made: give two instants, the end not before the start"
        " and at most 100 years after it.",
    ),
    (
        "ensure_month_partitions('people_counting_raw', now(), 'infinity')",
        "cannot be made: give two instants, the end not before the start and at most 100 years after it.",
    ),
    ("ensure_month_partitions('stores', now(), now())", "There is no table stores that is cut into months."),
    ("ensure_month_partitions(NULL, now(), now())", "There is no table NULL that is cut into months."),
    ("local_instant('2025-01-01', 'Nowhere')", 'time zone "Nowhere" not recognized'),
)
"""A call, and the sentence that refuses it."""


@pytest.mark.parametrize(("call", "sentence"), REFUSED, ids=[call for call, _ in REFUSED])
def test_an_argument_that_cannot_be_meant_is_refused_by_a_sentence(
    database: Database, call: str, sentence: str
) -> None:
    with pytest.raises(psycopg2.DataError) as refused:
        database.fetch(f"SELECT * FROM retail.{call}")
    assert sentence in (refused.value.diag.message_primary or "")


@pytest.mark.parametrize("zone", ["Europe/Lisbon", "America/Santiago"])
def test_a_local_time_is_the_instant_that_the_calendar_says(database: Database, zone: str) -> None:
    """Every half hour of 2025, those that come twice or not at all included."""
    first = np.datetime64("2025-01-01", "D").astype(int)
    for at in range(0, 86400, 1800):
        days = np.arange(first, first + 365)
        found = database.fetch(
            "SELECT extract(epoch FROM retail.local_instant(d + make_interval(secs => %(at)s), %(zone)s))::bigint"
            " FROM generate_series(timestamp '2025-01-01', timestamp '2025-12-31', interval '1 day') AS t (d)",
            {"at": at, "zone": zone},
        )
        assert [row[0] for row in found] == day_starts(days, at, zone).tolist(), (zone, at)


# Occupancy ------------------------------------------------------------------------------------------------------------

ESTATE = """\
stores:
  - {name: Chiado, timezone: Europe/Lisbon, capacity: 200}
  - {name: Bandra, timezone: Asia/Kolkata, occupancy_reset_time: "05:30"}
  - {name: Walk, timezone: Europe/Lisbon}
cameras:
  - {name: east, store: Chiado, host: 192.0.2.10, lines: {1: {role: entrance}, 2: {role: passerby}}}
  - {name: west, store: Chiado, host: 192.0.2.11}
  - {name: street, store: Chiado, host: 192.0.2.12, lines: {1: {role: passerby}}}
  - {name: mumbai, store: Bandra, host: 192.0.2.13, installed_on: 2025-10-20}
  - {name: walk, store: Walk, host: 192.0.2.14, lines: {1: {role: passerby}}}
"""
RUNNING = datetime(2025, 10, 26, 12, 25, tzinfo=UTC)
"""Clocks went back in Lisbon on the night before."""


def python_inside(database: Database, hours: pd.DataFrame, now: datetime, name: str) -> float | None:
    """People inside a store at the end of its newest known hour, by the figures of the pipeline."""
    roster = FleetRegistry(database).roster()
    layout = roster.layout
    rows = hour_rows(hours[hours["hour_start"] < now], layout)
    wall = layout.wall(layout.store[rows.camera], rows.second)
    windows = occupancy.calendar_around(layout, wall)
    cameras = occupancy.camera_windows(rows, wall, windows, layout, int(now.timestamp()))
    solved = occupancy.solve(occupancy.store_windows(cameras, windows, layout, int(now.timestamp())))
    position = layout.store_ids.tolist().index(ids(database, "stores", "store_name")[name])
    day = int(np.searchsorted(windows.starts[position], now.timestamp(), side="right")) - 1
    inside, found = 0.0, None
    for average, method in zip(solved.average[position, day], solved.method[position, day], strict=True):
        if np.isnan(average) or method != 1:
            break
        inside = found = 2 * average - inside
    return found


@pytest.mark.parametrize("minutes_back", [0, 60, 5 * 60, 9 * 60])
def test_people_inside_are_those_of_the_figures(database: Database, minutes_back: int) -> None:
    FleetRegistry(database).add(parse_fleet(ESTATE, "fleet.yaml"))
    cameras = ids(database, "sensor_metadata", "sensor_name")
    now = RUNNING - minutes_back * MINUTE
    random = np.random.default_rng(minutes_back)
    rows, log = [], []
    for name in ("east", "west", "street", "mumbai"):
        half = HOUR / 2 if name == "mumbai" else 0 * HOUR
        at = datetime(2025, 10, 25, tzinfo=UTC) + half
        while at < now:
            entries, exits = float(random.poisson(30)), float(random.poisson(25))
            is_over = at + HOUR <= now
            row = hour(cameras[name], at, entries, total_exits=exits, data_completeness=1.0 if is_over else 0.0)
            if name == "street":
                row |= {"total_entries": None, "total_exits": None, "passersby": entries}
            if not is_over:
                row["quality"] = '{"counts": "provisional"}'
                log.append(logged(cameras[name], at + min(now - at, HOUR), hour_start=at))
            rows.append(row)
            at += HOUR
    store(database, HOURLY_ANALYTICS, *rows)
    store(database, COLLECTION_LOG, *log)
    hours = frame_of(HOURLY_ANALYTICS, *rows)

    found = {
        row["store_id"]: row for row in asked_of(database, "retail.calculate_current_occupancy(p_at => %(at)s)", at=now)
    }
    stores = ids(database, "stores", "store_name")
    for name in ("Chiado", "Bandra"):
        row = found[stores[name]]
        assert row["current_occupancy"] == python_inside(database, hours, now, name), name
        assert (row["confidence"], row["reason"]) == ("high", None)
    assert found[stores["Chiado"]]["utilization"] == found[stores["Chiado"]]["current_occupancy"] / 200
    walk = found[stores["Walk"]]
    assert (walk["current_occupancy"], walk["confidence"], walk["reason"]) == (None, None, "no_entrance_line")

    one = "retail.calculate_current_occupancy(%(id)s, p_at => %(at)s)"
    [mumbai] = asked_of(database, one, id=cameras["mumbai"], at=now)
    assert mumbai["current_occupancy"] == found[stores["Bandra"]]["current_occupancy"]
    assert [row["reason"] for row in asked_of(database, one, id=cameras["east"], at=now)] == ["store_level_only"]
    assert [row["reason"] for row in asked_of(database, one, id=cameras["street"], at=now)] == ["no_entrance_line"]
    assert asked_of(database, one, id=NOBODY, at=now) == []


def test_a_gap_and_old_counts_are_no_number(database: Database) -> None:
    FleetRegistry(database).add(parse_fleet(ESTATE, "fleet.yaml"))
    east, west = (ids(database, "sensor_metadata", "sensor_name")[name] for name in ("east", "west"))
    chiado = ids(database, "stores", "store_name")["Chiado"]
    reset = datetime(2025, 11, 3, 4, tzinfo=UTC)

    def people(at: datetime) -> tuple[Any, ...]:
        [row] = asked_of(
            database, "retail.calculate_current_occupancy(p_store_id => %(id)s, p_at => %(at)s)", id=chiado, at=at
        )
        return row["current_occupancy"], row["confidence"], row["reason"]

    assert people(reset + 10 * MINUTE) == (None, None, "not_counted_lately")
    rows = [hour(camera, reset + n * HOUR, 10.0, total_exits=3.0) for n in range(4) for camera in (east, west)]
    store(
        database,
        HOURLY_ANALYTICS,
        *(row for row in rows if row["hour_start"] != reset + 2 * HOUR or row["sensor_id"] == east),
    )
    assert people(reset + 2 * HOUR) == (28, "high", None)
    assert people(reset + 2 * HOUR + 11 * MINUTE) == (28, "medium", None)
    # the third hour of one door is missing: what was known before it grows old
    assert people(reset + 3 * HOUR) == (28, "low", None)
    assert people(reset + 4 * HOUR + MINUTE) == (None, None, "incomplete_day")
    store(database, HOURLY_ANALYTICS, *rows)
    assert people(reset + 4 * HOUR + MINUTE) == (56, "high", None)
    assert people(reset + 6 * HOUR + MINUTE) == (None, None, "not_counted_lately")
    # more went than came: nobody is inside, not fewer
    store(
        database, HOURLY_ANALYTICS, *(hour(camera, reset + 3 * HOUR, 0.0, total_exits=90.0) for camera in (east, west))
    )
    assert people(reset + 4 * HOUR) == (0, "high", None)


def test_a_newer_number_by_the_minute_is_taken(database: Database) -> None:
    FleetRegistry(database).add(parse_fleet(ESTATE, "fleet.yaml"))
    camera = ids(database, "sensor_metadata", "sensor_name")["mumbai"]
    reset = datetime(2025, 11, 3, tzinfo=UTC)
    store(database, HOURLY_ANALYTICS, *(hour(camera, reset + n * HOUR, 10.0, total_exits=4.0) for n in range(3)))
    minute = {"sensor_id": camera, "current_count": 31, "peak_count": 31, "observed_minutes": 0.0, "quality": "{}"}
    at = reset + 3 * HOUR
    minutes = [
        {**minute, "period_end": at - MINUTE, "peak_timestamp": at - MINUTE},
        {**minute, "period_end": at + 20 * MINUTE, "peak_timestamp": at, "current_count": 22},
        {
            **minute,
            "period_end": at + 21 * MINUTE,
            "peak_timestamp": at,
            "current_count": None,
            "quality": '{"current_count": "x"}',
        },
    ]
    store(database, REALTIME_ANALYTICS, *minutes)

    def people(now: datetime) -> tuple[Any, ...]:
        [row] = asked_of(database, "retail.calculate_current_occupancy(%(id)s, p_at => %(at)s)", id=camera, at=now)
        return row["current_occupancy"], row["source"], datetime.fromisoformat(row["last_update"])

    assert people(at) == (18, "hours", at)
    assert people(at + 22 * MINUTE) == (22, "minutes", at + 20 * MINUTE)


# Queues ---------------------------------------------------------------------------------------------------------------

TILLS = """\
stores:
  - {name: Chiado, timezone: Europe/Lisbon, checkout: {lanes: 3, target_minutes: 4}}
  - {name: Baixa, timezone: Europe/Lisbon}
  - {name: Feira, timezone: Europe/Lisbon, checkout: {lanes: 2}}
cameras:
  - {name: chiado, store: Chiado, host: 192.0.2.10, regions: {2: {role: queue}, 3: {role: zone}}}
  - {name: baixa, store: Baixa, host: 192.0.2.11, regions: {2: {role: queue}}}
  - {name: feira, store: Feira, host: 192.0.2.12, regions: {1: {role: queue}, 2: {role: queue}}}
"""
SAME = {
    "arrivals": "arrivals",
    "lanes": "lanes",
    "queue_length": "predicted_queue_length",
    "estimated_wait_minutes": "estimated_wait_time_minutes",
    "queue_velocity": "queue_velocity",
    "wait_probability": "wait_probability",
    "share_within_target": "share_within_target",
    "recommended_open_lanes": "recommended_open_lanes",
}


def test_queues_are_those_of_the_figures(database: Database) -> None:
    registry = FleetRegistry(database)
    registry.add(parse_fleet(TILLS, "fleet.yaml"))
    cameras, stores = ids(database, "sensor_metadata", "sensor_name"), ids(database, "stores", "store_name")
    start = datetime(2025, 11, 3, 10, tzinfo=UTC)
    seen = [
        hour(
            camera,
            start + n * HOUR,
            300.0,
            total_exits=300.0,
            region_counts=json.dumps({"1": 9, "2": people, "3": 500}),
        )
        for camera in cameras.values()
        for n, people in enumerate((0, 40, 120, 333, 700))
    ]
    # the last hour runs on, for all that its camera said
    seen[4] |= {"data_completeness": 0.0, "quality": '{"counts": "provisional"}'}
    stays = [
        {
            "sensor_id": camera,
            "date": date(2025, 11, 1),
            "region_number": region,
            "stay_over_60_s": 0.4,
            "quality": "{}",
        }
        for camera in cameras.values()
        for region in (1, 2)
    ]
    staff = [{"store_id": stores["Chiado"], "hour_start": start + 2 * HOUR, "staff": 3.0, "lanes_open": 1.5}]
    store(database, HOURLY_ANALYTICS, *seen)
    store(database, REGION_STAYS, *stays)
    store(database, STAFF_HOURS, *staff)
    roster = registry.roster()
    end = start + 5 * HOUR
    inputs = queue_inputs(
        frame_of(HOURLY_ANALYTICS, *seen),
        frame_of(POS_TRANSACTIONS),
        frame_of(STAFF_HOURS, *staff),
        frame_of(REGION_STAYS, *stays),
        frame_of(QUEUE_GROUND_TRUTH),
        roster,
        (start, end),
        end,
    )
    figures = queue_hours(inputs, roster)
    with database.transaction() as connection:
        merge_frame(connection, QUEUE_ANALYTICS, figures, asset="queue_analytics", mode="merge")
    compared = 0
    for n in range(5):
        at = start + (n + 1) * HOUR + 20 * MINUTE
        for name in ("Chiado", "Baixa"):
            [expected] = asked_of(
                database,
                "(SELECT * FROM retail.queue_analytics WHERE store_id = %(id)s AND hour_start = %(at)s)",
                id=stores[name],
                at=start + n * HOUR,
            )
            [whole] = asked_of(
                database, "retail.estimate_queue_metrics(%(id)s, p_at => %(at)s)", id=stores[name], at=at
            )
            [region] = asked_of(
                database, "retail.estimate_queue_metrics(%(id)s, 2, p_at => %(at)s)", id=stores[name], at=at
            )
            assert region["sensor_id"] == cameras[name.lower()]
            for row in (whole, region):
                assert (row["analysis_type"], row["hour_start"]) == ("model", expected["hour_start"])
                assert row["reason"] == expected["quality"].get("estimated_wait_time_minutes")
                for mine, theirs in SAME.items():
                    assert row[mine] == (None if expected[theirs] is None else pytest.approx(expected[theirs])), (
                        mine,
                        n,
                        name,
                    )
                    compared += row[mine] is not None
            assert whole["recommendation"] == region["recommendation"]
    assert compared > 60
    assert [
        row["reason"]
        for row in asked_of(
            database, "retail.estimate_queue_metrics(%(id)s, 2, p_at => %(at)s)", id=stores["Feira"], at=end
        )
    ] == ["several_queue_regions"]
    asked = "retail.estimate_queue_metrics(%(id)s, p_at => %(at)s)"
    assert [row["reason"] for row in asked_of(database, asked, id=stores["Chiado"], at=end + 5 * HOUR)] == [
        "no_ended_hour"
    ]
    assert asked_of(database, asked, id=NOBODY, at=end) == []
    assert asked_of(database, "retail.estimate_queue_metrics(%(id)s, 3)", id=stores["Chiado"]) == []
    with pytest.raises(
        psycopg2.errors.InvalidParameterValue, match="Region 5 does not exist: a camera has regions 1 to 4"
    ):
        asked_of(database, "retail.estimate_queue_metrics(%(id)s, 5)", id=stores["Chiado"])


# Health ---------------------------------------------------------------------------------------------------------------


def test_health_is_that_of_the_figures(database: Database) -> None:
    """Sixty cameras with logs by lot: everything that can become of asking, over nine days, most of it lately."""
    names = [f"camera-{number}" for number in range(60)]
    fleet = {"cameras": [{"name": name, "host": f"192.0.2.{n + 1}", "timezone": "UTC"} for n, name in enumerate(names)]}
    registry = FleetRegistry(database)
    registry.add(parse_fleet(json.dumps(fleet), "fleet.json"))
    cameras = ids(database, "sensor_metadata", "sensor_name")
    now = datetime(2025, 11, 5, 12, 31, tzinfo=UTC)
    random = np.random.default_rng(5)
    outcomes = ["ok", "no_rows", "timeout", "refused", "busy", "missing_secret", "ok_with_rejects"]
    endpoints = ["people_counting", "regional_counting", "vca_alarm_status", "region_stays"]
    log = {}
    for number, name in enumerate(names):
        odds = (
            random.dirichlet(np.array([8, 1, 1.0, 1, 0.3, 0.5, 1])) if number % 3 else np.array([1.0, 0, 0, 0, 0, 0, 0])
        )
        for _ in range(int(random.integers(0, 25))):
            at = now - timedelta(seconds=int(random.choice([600, 4000, 90000, 780000]) * random.random()))
            success = at - timedelta(seconds=int(random.integers(0, 20000))) if random.random() < 0.4 else None
            outcome = str(random.choice(outcomes, p=odds))
            row = logged(cameras[name], at, outcome=outcome, endpoint=str(random.choice(endpoints)))
            row |= {"last_success_at": success, "latency_ms": float(random.choice([80.0, 300.0, 9000.0]))}
            row["error"] = None if outcome.startswith(("ok", "no_rows")) else f"it ended as {outcome}"
            log[row["sensor_id"], row["endpoint"], row["hour_start"]] = row
    store(database, COLLECTION_LOG, *log.values())
    database.fetch(
        "UPDATE retail.sensor_metadata SET created_at = '2025-10-01Z', is_active = sensor_name <> 'camera-7',"
        " last_seen_at = CASE WHEN right(sensor_name, 1) = '4' THEN timestamptz '2025-11-05 12:00Z' END,"
        " clock_offset_seconds = CASE WHEN right(sensor_name, 1) = '5' THEN 400 END RETURNING 1"
    )
    stored = pd.DataFrame(
        database.fetch(
            "SELECT sensor_id::text, endpoint, outcome, error, latency_ms, asked_at, last_success_at FROM retail.collection_log"
        ),
        columns=["sensor_id", "endpoint", "outcome", "error", "latency_ms", "asked_at", "last_success_at"],
    )
    for column in ("asked_at", "last_success_at"):
        stored[column] = pd.to_datetime(stored[column], utc=True).astype("datetime64[us, UTC]")
    expected = camera_health(stored, registry.roster().sensors, now).set_index("sensor_id")
    found = {row["camera_id"]: row for row in asked_of(database, "retail.check_camera_health(p_at => %(at)s)", at=now)}
    assert set(found) == set(expected.index)
    for camera, row in found.items():
        figure = expected.loc[camera]
        reason = json.loads(figure["quality"]).get("state")
        assert (row["status"], row["reason"]) == (figure["state"], reason)
        for mine, theirs in (("last_heartbeat", "last_seen_at"), ("last_asked_at", "last_asked_at")):
            assert pd.isna(figure[theirs]) if row[mine] is None else pd.Timestamp(row[mine]) == figure[theirs]
        for mine, theirs, scale in (
            ("error_rate", "error_rate", 1),
            ("latency_ms", "latency_ms", 1),
            ("uptime_percentage", "uptime_share", 100),
        ):
            assert pd.isna(figure[theirs]) if row[mine] is None else row[mine] == pytest.approx(scale * figure[theirs])
        assert row["last_error_class"] == (None if pd.isna(figure["last_error_class"]) else figure["last_error_class"])
    assert set(expected["state"]) == {"healthy", "degraded", "offline", "unknown"}
    reasons = {row["reason"] for row in found.values()}
    assert reasons >= {
        "asked_in_vain",
        "last_question_failed",
        "errors",
        "switched_off",
        "not_asked_lately",
        "missing_secret",
    }
    assert asked_of(database, "retail.check_camera_health(%(id)s)", id=NOBODY) == []


# Anomalies ------------------------------------------------------------------------------------------------------------

NOON = datetime(2025, 11, 5, 12, tzinfo=UTC)
LISBON = ZoneInfo("Europe/Lisbon")
"""Its clocks went back ten days before."""


def _history(database: Database, weeks: int = 9) -> str:
    """A camera with a level of its own at each hour of the day; its newest hour is the one before noon. Its id."""
    FleetRegistry(database).add(
        parse_fleet(
            json.dumps({"cameras": [{"name": "door", "host": "192.0.2.1", "timezone": "Europe/Lisbon"}]}), "fleet.json"
        )
    )
    camera = ids(database, "sensor_metadata", "sensor_name")["door"]
    random = np.random.default_rng(3)
    hours = [NOON - n * HOUR for n in range(1, weeks * 168 + 1)]
    level = [2 + 60 * max(0.0, np.sin((at.astimezone(LISBON).hour - 8) / 14 * np.pi)) for at in hours]
    store(
        database,
        HOURLY_ANALYTICS,
        *(
            hour(camera, at, float(random.poisson(mean)), total_exits=float(random.poisson(mean)))
            for at, mean in zip(hours, level, strict=True)
        ),
    )
    return camera


def _look(database: Database, camera: str, at: datetime = NOON, confidence: float = 0.0) -> dict[str, dict[str, Any]]:
    rows = asked_of(database, "retail.detect_anomalies(%(id)s, %(at)s, %(least)s)", id=camera, at=at, least=confidence)
    return {row["affected_metric"]: row for row in rows}


def test_an_hour_is_judged_by_the_tails_of_the_figures(database: Database) -> None:
    camera = _history(database)
    roster = FleetRegistry(database).roster()
    stored = pd.DataFrame(
        database.fetch(
            "SELECT sensor_id::text, hour_start, total_entries::float, total_exits::float, passersby::float, data_completeness,"
            " imputed_share FROM retail.hourly_analytics"
        ),
        columns=[
            "sensor_id",
            "hour_start",
            "total_entries",
            "total_exits",
            "passersby",
            "data_completeness",
            "imputed_share",
        ],
    )
    stored["hour_start"] = pd.to_datetime(stored["hour_start"], utc=True).astype("datetime64[us, UTC]")
    baseline = anomalies.usual(counts_of(stored, roster, camera), step=HOUR, now=NOON, zone="Europe/Lisbon")
    newest = baseline[baseline["slot_start"] == pd.Timestamp(NOON - HOUR)].set_index("metric")["expected"]
    calm = _look(database, camera)
    assert set(calm) == {"total_entries", "total_exits"}
    for metric, count in (("total_entries", "in_count"), ("total_exits", "out_count")):
        row = calm[metric]
        assert row["expected_value"] == pytest.approx(newest[count], rel=0.15)
        seen = (row["actual_value"], row["expected_value"], row["context"]["k"])
        people, mean, k = (np.array([value]) for value in seen)
        p = tails.two_sided(people, mean, k)[0]
        assert row["context"]["p"] == pytest.approx(p)
        assert row["confidence"] == max(0, 1 - 168 * p)
    assert _look(database, camera, confidence=0.9) == {}
    store(database, HOURLY_ANALYTICS, hour(camera, NOON - HOUR, 200.0, total_exits=0.0))
    odd = _look(database, camera, confidence=0.9)
    assert {metric: row["anomaly_type"] for metric, row in odd.items()} == {
        "total_entries": "traffic_spike",
        "total_exits": "traffic_drop",
    }
    assert odd["total_entries"]["expected_value"] == calm["total_entries"]["expected_value"]
    assert odd["total_exits"]["deviation_percent"] == -100


def test_of_a_running_hour_the_share_that_has_passed_is_expected(database: Database) -> None:
    camera = _history(database)
    running = hour(camera, NOON, 25.0, total_exits=25.0, data_completeness=0.0, quality='{"counts": "provisional"}')
    store(database, HOURLY_ANALYTICS, running)
    store(database, COLLECTION_LOG, logged(camera, NOON + 10 * MINUTE))
    # ten minutes are too few: the hour before is looked at
    assert _look(database, camera, NOON + 11 * MINUTE)["total_entries"]["context"]["share_of_hour"] == 1
    store(database, COLLECTION_LOG, logged(camera, NOON + 30 * MINUTE))
    row = _look(database, camera, NOON + 33 * MINUTE)["total_entries"]
    assert row["context"]["share_of_hour"] == 0.5
    assert row["expected_value"] == pytest.approx((2 + 60 * np.sin(4 / 14 * np.pi)) / 2, rel=0.15)
    assert row["confidence"] < 0.9


def test_a_past_anomaly_is_not_learnt_from_and_silence_is_a_gap(database: Database) -> None:
    camera = _history(database)
    before = _look(database, camera)["total_entries"]["context"]
    week_ago = NOON - HOUR - 7 * DAY
    event = {
        "sensor_id": camera,
        "date": week_ago.date(),
        "anomaly_type": "traffic_spike",
        "affected_metric": "total_entries",
    }
    event |= {
        "started_at": week_ago,
        "ended_at": week_ago + HOUR,
        "detected_at": week_ago + HOUR,
        "severity": 0.5,
        "confidence": 1.0,
    }
    event |= {"context": "{}", "potential_causes": "[]", "recommended_actions": "[]", "quality": "{}"}
    event |= {"auto_resolved": True, "manual_review_required": False}
    store(database, HOURLY_ANALYTICS, hour(camera, week_ago, 900.0, total_exits=40.0))
    store(database, ANOMALIES_DETECTED, event)
    row = _look(database, camera)["total_entries"]
    assert (before["weeks"], row["context"]["weeks"]) == (8, 7)
    assert row["expected_value"] < 50
    assert "all" not in _look(database, camera, NOON + 2 * HOUR)
    gap = _look(database, camera, NOON + 3 * HOUR, confidence=1.0)["all"]
    assert (gap["anomaly_type"], gap["severity"], gap["started_at"]) == (
        "data_gap",
        pytest.approx(3 / 24),
        NOON.isoformat(),
    )
    with pytest.raises(psycopg2.errors.InvalidParameterValue, match=r"A confidence of 1.4 is no share"):
        _look(database, camera, confidence=1.4)
