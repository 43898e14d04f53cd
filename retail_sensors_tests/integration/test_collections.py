"""Rows, log and rejected payloads of a sweep: stored together or not at all, and what they leave in the registry."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pandas as pd
import pytest

from retail_sensors.connectors.base import Collection, Endpoint, Outcome, TimeWindow
from retail_sensors.errors import ConfigurationError, ContractError
from retail_sensors.storage.collections import CollectedWindow, store_collection
from retail_sensors.storage.database import Database
from retail_sensors.storage.fleet import FleetRegistry
from retail_sensors.storage.merge import MergeResult
from retail_sensors.tables import COLLECTION_LOG, HEATMAP_TEMPORAL_RAW, PEOPLE_COUNTING_RAW, REJECTED_PAYLOADS, Table
from retail_sensors_tests.integration.stored import HOUR, frame_of, reading, register, stored, utc

NINE = utc("2026-02-02T09:00")
TABLES = {Endpoint.PEOPLE_COUNTING: PEOPLE_COUNTING_RAW, Endpoint.HEATMAP_TEMPORAL: HEATMAP_TEMPORAL_RAW}


def asked(camera: str, outcome: Outcome = Outcome.OK, **changes: Any) -> dict[str, Any]:
    return {
        "sensor_id": camera,
        "endpoint": "people_counting",
        "hour_start": NINE,
        "outcome": outcome.value,
        "http_status": 200,
        "row_count": int(outcome is Outcome.OK),
        "rejected_count": 0,
        "latency_ms": 12.5,
        "attempts": 1,
        "asked_at": NINE + HOUR,
        "run_id": "run 1",
        **changes,
    }


def refused(camera: str, payload: bytes = b"nonsense", **changes: Any) -> dict[str, Any]:
    return {
        "sensor_id": camera,
        "endpoint": "people_counting",
        "payload_hash": payload.hex(),
        "reason": "the row has 3 cells, the header 17",
        "raw": payload,
        "received_at": NINE + HOUR,
        "run_id": "run 1",
        **changes,
    }


def collect(
    database: Database,
    rows: list[Mapping[str, Any]],
    log: list[Mapping[str, Any]],
    rejected: list[Mapping[str, Any]] | None = None,
    *,
    endpoint: Endpoint = Endpoint.PEOPLE_COUNTING,
    overwrite: bool = False,
) -> MergeResult:
    table: Table = TABLES[endpoint]
    collection = Collection(
        endpoint,
        TimeWindow(NINE, NINE + 24 * HOUR),
        frame_of(table, *rows),
        frame_of(COLLECTION_LOG, *log),
        frame_of(REJECTED_PAYLOADS, *(rejected or [])),
    )
    with database.transaction() as connection:
        return store_collection(
            connection, table, CollectedWindow(collection, overwrite), asset=table.name, run_id="run 1"
        )


def sizes(database: Database) -> list[int]:
    return [
        database.fetch(f"SELECT count(*) FROM retail.{table.name}")[0][0]
        for table in (PEOPLE_COUNTING_RAW, COLLECTION_LOG, REJECTED_PAYLOADS)
    ]


def test_rows_log_and_rejected_payloads_arrive_together(database: Database) -> None:
    a, b = register(database, "a", "b")
    result = collect(
        database,
        [reading(a, NINE)],
        [
            asked(a, Outcome.OK_WITH_REJECTS, rejected_count=1),
            asked(b, Outcome.TIMEOUT, http_status=None, error="no answer"),
        ],
        [refused(a)],
    )
    assert result == MergeResult(inserted=1)
    assert sizes(database) == [1, 2, 1]


@pytest.mark.parametrize(
    ("log", "rejected", "said"),
    [
        ({}, {"raw": b"x" * 65537}, "table retail.rejected_payloads: Postgres refused a value"),
        ({}, {"reason": None}, "table retail.rejected_payloads, column reason: 1 value"),
        ({"row_count": -1}, {}, "table retail.collection_log: Postgres refused a value"),
    ],
)
def test_a_failure_in_the_last_of_them_leaves_none(
    database: Database, log: dict[str, Any], rejected: dict[str, Any], said: str
) -> None:
    (camera,) = register(database, "a")
    with pytest.raises(ContractError, match=said.replace(".", r"\.")):
        collect(database, [reading(camera, NINE)], [asked(camera, **log)], [refused(camera, **rejected)])
    assert sizes(database) == [0, 0, 0]
    assert database.fetch("SELECT last_seen_at FROM retail.sensor_metadata") == [(None,)]


def test_a_camera_that_was_removed_meanwhile_is_left_out(database: Database) -> None:
    camera, gone = *register(database, "a"), str(uuid4())
    both = (camera, gone)
    result = collect(
        database,
        [reading(one, NINE) for one in both],
        [asked(one, Outcome.OK_WITH_REJECTS) for one in both],
        [refused(one) for one in both],
    )
    assert result == MergeResult(inserted=1)
    assert sizes(database) == [1, 1, 1]
    # Of one in which nobody answered no breaker is remembered either.
    collect(database, [], [asked(gone, Outcome.TIMEOUT, http_status=None)])
    assert database.fetch("SELECT count(*) FROM retail.camera_breakers") == [(0,)]


def test_a_camera_whose_first_hours_are_being_stored_is_not_removed_without_its_data(database: Database) -> None:
    (camera,) = register(database, "a")
    refusals: list[str] = []

    def remove() -> None:
        try:
            FleetRegistry(database).remove(["a"], now=NINE)
        except ConfigurationError as error:
            refusals.append(str(error))

    remover = threading.Thread(target=remove)
    row, log = frame_of(PEOPLE_COUNTING_RAW, reading(camera, NINE)), frame_of(COLLECTION_LOG, asked(camera))
    nothing = frame_of(REJECTED_PAYLOADS)
    collection = Collection(Endpoint.PEOPLE_COUNTING, TimeWindow(NINE, NINE + HOUR), row, log, nothing)
    with database.transaction() as connection:
        store_collection(
            connection, PEOPLE_COUNTING_RAW, CollectedWindow(collection), asset="people_counting_raw", run_id="run 1"
        )
        remover.start()
        waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = "
        waits += "(SELECT oid FROM pg_database WHERE datname = current_database())"
        give_up_at = time.monotonic() + 120
        while database.fetch(waits) == [(0,)] and time.monotonic() < give_up_at:
            time.sleep(0.01)
        assert remover.is_alive()
    remover.join(120)
    assert [text.startswith("Something is stored of a, and would be lost") for text in refusals] == [True]
    assert sizes(database)[0] == 1


def test_rows_of_another_day_are_refused_whole(database: Database) -> None:
    (camera,) = register(database, "a")
    with pytest.raises(ContractError, match=r"column timestamp: 1 row\(s\) lie outside of the window"):
        collect(database, [reading(camera, NINE - HOUR)], [asked(camera)])
    assert sizes(database) == [0, 0, 0]


def test_the_same_payload_is_kept_once(database: Database) -> None:
    (camera,) = register(database, "a")
    twice = [refused(camera), refused(camera)]
    for run in ("run 1", "run 2"):
        collect(database, [], [asked(camera)], [{**row, "run_id": run} for row in twice])
    assert stored(database, REJECTED_PAYLOADS, "run_id") == [("run 1",)]


def test_a_failure_after_a_success_leaves_when_the_camera_last_answered(database: Database) -> None:
    (camera,) = register(database, "a")
    collect(database, [reading(camera, NINE)], [asked(camera, clock_offset_seconds=1.5)])
    collect(
        database,
        [],
        [asked(camera, Outcome.TIMEOUT, http_status=None, error="no answer", asked_at=NINE + 5 * HOUR, run_id="run 2")],
    )
    assert stored(database, COLLECTION_LOG, "outcome", "run_id", "asked_at", "last_success_at") == [
        ("timeout", "run 2", NINE + 5 * HOUR, NINE + HOUR)
    ]
    assert stored(database, PEOPLE_COUNTING_RAW, "line1_in") == [(10,)]
    assert database.fetch("SELECT last_seen_at, clock_offset_seconds FROM retail.sensor_metadata") == [
        (NINE + HOUR, 1.5)
    ]


def test_an_answer_that_tells_no_time_leaves_the_clock_unknown(database: Database) -> None:
    (camera,) = register(database, "a")
    clock = "SELECT last_seen_at, clock_offset_seconds FROM retail.sensor_metadata"
    collect(database, [reading(camera, NINE)], [asked(camera, clock_offset_seconds=-600.0)])
    assert database.fetch(clock) == [(NINE + HOUR, -600.0)]
    collect(database, [], [asked(camera, clock_offset_seconds=None, asked_at=NINE + 2 * HOUR)])
    assert database.fetch(clock) == [(NINE + 2 * HOUR, None)]
    # What came before that is stored late changes nothing.
    collect(database, [], [asked(camera, clock_offset_seconds=-600.0, asked_at=NINE + HOUR)])
    assert database.fetch(clock) == [(NINE + 2 * HOUR, None)]


@pytest.mark.parametrize("outcome", list(Outcome))
def test_the_database_agrees_on_which_outcomes_are_answers(database: Database, outcome: Outcome) -> None:
    (camera,) = register(database, "a")
    collect(database, [], [asked(camera, outcome)])
    ((last,),) = stored(database, COLLECTION_LOG, "last_success_at")
    ((seen,),) = database.fetch("SELECT last_seen_at FROM retail.sensor_metadata")
    assert (last is not None, seen is not None) == (outcome.is_answer, outcome.is_answer)


def test_an_older_answer_does_not_turn_back_when_a_camera_was_seen(database: Database) -> None:
    (camera,) = register(database, "a")
    ((settings_changed,),) = database.fetch("SELECT updated_at FROM retail.sensor_metadata")
    for at in (NINE + 9 * HOUR, NINE + HOUR):
        collect(database, [], [asked(camera, Outcome.NO_ROWS, asked_at=at)])
    assert database.fetch("SELECT last_seen_at, updated_at FROM retail.sensor_metadata") == [
        (NINE + 9 * HOUR, settings_changed)
    ]


def test_a_camera_that_is_being_registered_is_not_waited_for(database: Database) -> None:
    a, b = register(database, "a", "b")
    collect(database, [reading(a, NINE)], [asked(a, Outcome.TIMEOUT)])
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = '120s'")
        cursor.execute("UPDATE retail.sensor_metadata SET heat_scale = 10 WHERE id = %s", (a,))
        result = collect(database, [reading(a, NINE), reading(b, NINE)], [asked(a), asked(b)])
    assert result == MergeResult(inserted=1, unchanged=1)
    seen = dict(database.fetch("SELECT sensor_name, last_seen_at FROM retail.sensor_metadata"))
    assert seen == {"a": None, "b": NINE + HOUR}


def test_sweeps_of_different_endpoints_that_need_new_months_do_not_wait_for_each_other_in_a_circle(
    database: Database,
) -> None:
    cameras = register(database, "a", "b")
    outcomes: list[Any] = []

    def sweep(endpoint: Endpoint) -> None:
        try:
            for back in range(6):
                at = NINE - timedelta(days=31 * back)
                people = endpoint is Endpoint.PEOPLE_COUNTING
                rows = [reading(camera, at) if people else warmth(camera, at) for camera in cameras]
                log = [asked(camera, hour_start=at, endpoint=endpoint.value) for camera in cameras]
                sweep_into(database, endpoint, rows, log, at)
            outcomes.append(None)
        except Exception as error:
            outcomes.append(error)

    threads = [threading.Thread(target=sweep, args=(endpoint,)) for endpoint in TABLES for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    assert outcomes == [None] * 4
    assert sizes(database)[:2] == [12, 24]


def warmth(camera: str, at: Any) -> dict[str, Any]:
    row = reading(camera, at)
    return {name: row[name] for name in row if not name.startswith("line")} | {"heat_value": 100.0}


def sweep_into(database: Database, endpoint: Endpoint, rows: list[Any], log: list[Any], at: Any) -> None:
    table = TABLES[endpoint]
    collection = Collection(
        endpoint,
        TimeWindow(at, at + HOUR),
        frame_of(table, *rows),
        frame_of(COLLECTION_LOG, *log),
        frame_of(REJECTED_PAYLOADS),
    )
    with database.transaction() as connection:
        store_collection(connection, table, CollectedWindow(collection), asset=table.name, run_id=None)


def test_a_sweep_in_which_nobody_was_asked_stores_nothing(database: Database) -> None:
    register(database, "a")
    assert collect(database, [], []) == MergeResult()
    assert sizes(database) == [0, 0, 0]
    assert isinstance(frame_of(COLLECTION_LOG), pd.DataFrame)
