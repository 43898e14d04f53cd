"""Frames into tables on a real Postgres: what a merge and a replacement change, keep, refuse and survive."""

from __future__ import annotations

import json
import threading
import time as clock
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2 import sql
from psycopg2.extensions import connection as PgConnection

from retail_sensors.errors import ContractError, DatabaseUnavailableError
from retail_sensors.storage.database import Database
from retail_sensors.storage.frames import read_frame
from retail_sensors.storage.merge import MergeResult, merge_frame, window_condition
from retail_sensors.tables import (
    COLLECTION_LOG,
    DAILY_ANALYTICS,
    HEATMAP_TEMPORAL_RAW,
    HOURLY_ANALYTICS,
    PEOPLE_COUNTING_RAW,
    RAW_REVISIONS,
    STORES,
    VCA_ALARM_STATUS,
    Column,
    Kind,
    Table,
)
from retail_sensors_tests.integration.stored import (
    HOUR,
    day,
    frame_of,
    hour,
    reading,
    register,
    store,
    stored,
    utc,
    versions,
)

NINE = utc("2026-02-02T09:00")


def counts(database: Database) -> list[tuple[Any, ...]]:
    return stored(database, PEOPLE_COUNTING_RAW, "line1_in", "line1_out")


# Merging ----------------------------------------------------------------------------------------------------------------


def test_rows_are_inserted_changed_or_left_alone(database: Database) -> None:
    (camera,) = register(database, "a")
    rows = [reading(camera, NINE + hours * HOUR) for hours in range(3)]
    assert store(database, PEOPLE_COUNTING_RAW, *rows) == MergeResult(inserted=3)
    before = versions(database, PEOPLE_COUNTING_RAW)

    assert store(database, PEOPLE_COUNTING_RAW, *rows) == MergeResult(unchanged=3)
    assert versions(database, PEOPLE_COUNTING_RAW) == before

    rows[1]["line1_in"] = 11
    assert store(database, PEOPLE_COUNTING_RAW, *rows, reading(camera, NINE + 3 * HOUR)) == MergeResult(
        inserted=1, changed=1, unchanged=2
    )
    after = versions(database, PEOPLE_COUNTING_RAW)
    assert {key for key in before if after[key] != before[key]} == {key for key in before if "10:00" in key[1]}
    assert counts(database) == [(10, 5), (11, 5), (10, 5), (10, 5)]


def test_a_row_that_differs_in_bookkeeping_alone_is_left_alone(database: Database) -> None:
    (camera,) = register(database, "a")
    store(database, PEOPLE_COUNTING_RAW, reading(camera, NINE))
    before = versions(database, PEOPLE_COUNTING_RAW)
    again = reading(camera, NINE, collected_at=NINE + 9 * HOUR, local_label="2026-02-02 09:00:00")
    assert store(database, PEOPLE_COUNTING_RAW, again) == MergeResult(unchanged=1)
    assert versions(database, PEOPLE_COUNTING_RAW) == before


def test_a_changed_row_says_when_and_takes_its_bookkeeping_along(database: Database) -> None:
    (camera,) = register(database, "a")
    store(database, PEOPLE_COUNTING_RAW, reading(camera, NINE, is_final=False))
    ((first,),) = stored(database, PEOPLE_COUNTING_RAW, "updated_at")
    store(database, PEOPLE_COUNTING_RAW, reading(camera, NINE, line1_in=12, collected_at=NINE + 2 * HOUR))
    ((second, collected, final),) = stored(database, PEOPLE_COUNTING_RAW, "updated_at", "collected_at", "is_final")
    assert second > first
    assert (collected, final) == (NINE + 2 * HOUR, True)


def test_an_empty_frame_merges_nothing_and_deletes_nothing(database: Database) -> None:
    (camera,) = register(database, "a")
    store(database, PEOPLE_COUNTING_RAW, reading(camera, NINE))
    assert store(database, PEOPLE_COUNTING_RAW, window=(NINE, NINE + HOUR)) == MergeResult()
    assert counts(database) == [(10, 5)]


def test_generated_totals_are_computed_and_loaded(database: Database) -> None:
    (camera,) = register(database, "a")
    store(
        database, PEOPLE_COUNTING_RAW, reading(camera, NINE, line4_in=7), reading(camera, NINE + HOUR, line2_out=None)
    )
    assert stored(database, PEOPLE_COUNTING_RAW, "total_in", "total_out", "net_flow") == [(17, 5, 12), (10, None, None)]


def test_a_running_hour_grows_until_it_is_final_and_a_slow_earlier_answer_does_not_reopen_it(
    database: Database,
) -> None:
    (camera,) = register(database, "a")
    for count, final, told in (
        (3, False, "inserted"),
        (3, False, "unchanged"),
        (8, False, "changed"),
        (9, True, "changed"),
    ):
        result = store(database, PEOPLE_COUNTING_RAW, reading(camera, NINE, line1_in=count, is_final=final))
        assert getattr(result, told) == 1
    before = versions(database, PEOPLE_COUNTING_RAW)
    assert store(database, PEOPLE_COUNTING_RAW, reading(camera, NINE, line1_in=9, is_final=False)).unchanged == 1
    assert versions(database, PEOPLE_COUNTING_RAW) == before
    assert stored(database, PEOPLE_COUNTING_RAW, "line1_in", "is_final") == [(9, True)]


# Lower counts -----------------------------------------------------------------------------------------------------------


def revisions(database: Database) -> list[tuple[Any, ...]]:
    return database.fetch(
        "SELECT action, (kept ->> 'line1_in')::integer, (set_aside ->> 'line1_in')::integer, run_id"
        " FROM retail.raw_revisions ORDER BY recorded_at, run_id"
    )


def test_a_lower_count_is_refused_and_kept_with_its_run_once(database: Database) -> None:
    (camera,) = register(database, "a")
    store(database, PEOPLE_COUNTING_RAW, reading(camera, NINE))
    before = versions(database, PEOPLE_COUNTING_RAW)
    reset = reading(camera, NINE, line1_in=0, line1_out=0)
    for run in ("run 1", "run 2"):
        assert store(database, PEOPLE_COUNTING_RAW, reset, run_id=run) == MergeResult(refused=1)
    assert versions(database, PEOPLE_COUNTING_RAW) == before
    assert revisions(database) == [("refused", 10, 0, "run 1")]
    ((table, sensor, at),) = stored(database, RAW_REVISIONS, "table_name", "sensor_id", "timestamp")
    assert (table, sensor, at) == ("people_counting_raw", camera, NINE)


def test_one_lower_count_among_higher_ones_is_refused_whole(database: Database) -> None:
    (camera,) = register(database, "a")
    store(database, PEOPLE_COUNTING_RAW, reading(camera, NINE))
    assert store(database, PEOPLE_COUNTING_RAW, reading(camera, NINE, line1_in=99, line1_out=4)).refused == 1
    assert counts(database) == [(10, 5)]


def test_an_empty_cell_never_erases_a_count_and_a_count_fills_an_empty_cell(database: Database) -> None:
    (camera,) = register(database, "a")
    store(database, PEOPLE_COUNTING_RAW, reading(camera, NINE), reading(camera, NINE + HOUR, line1_in=None))
    result = store(
        database, PEOPLE_COUNTING_RAW, reading(camera, NINE, line1_in=None), reading(camera, NINE + HOUR, line1_in=0)
    )
    assert result == MergeResult(changed=1, refused=1)
    assert counts(database) == [(10, 5), (0, 5)]
    assert revisions(database) == [("refused", 10, None, None)]


def test_overwriting_stores_the_lower_counts_and_keeps_the_former(database: Database) -> None:
    (camera,) = register(database, "a")
    store(database, PEOPLE_COUNTING_RAW, reading(camera, NINE), reading(camera, NINE + HOUR))
    lower = reading(camera, NINE, line1_in=4)
    assert store(
        database, PEOPLE_COUNTING_RAW, lower, reading(camera, NINE + HOUR), overwrite=True, run_id="run 7"
    ) == MergeResult(changed=1, unchanged=1)
    assert counts(database) == [(4, 5), (10, 5)]
    assert revisions(database) == [("overwritten", 4, 10, "run 7")]


def test_a_refused_reading_of_a_closed_hour_closes_what_stands(database: Database) -> None:
    (camera,) = register(database, "a")
    store(database, PEOPLE_COUNTING_RAW, reading(camera, NINE, is_final=False))
    store(database, PEOPLE_COUNTING_RAW, reading(camera, NINE, line1_in=0))
    assert stored(database, PEOPLE_COUNTING_RAW, "line1_in", "is_final") == [(10, True)]


def test_a_refusal_leaves_the_other_rows_of_the_frame_alone(database: Database) -> None:
    cameras = register(database, "a", "b")
    store(database, PEOPLE_COUNTING_RAW, *(reading(camera, NINE) for camera in cameras))
    result = store(
        database,
        PEOPLE_COUNTING_RAW,
        reading(cameras[0], NINE, line1_in=1),
        reading(cameras[1], NINE, line1_in=20),
        reading(cameras[1], NINE + HOUR),
    )
    assert result == MergeResult(inserted=1, changed=1, refused=1)


def test_heat_is_a_count_too_and_an_alarm_reading_is_not(database: Database) -> None:
    (camera,) = register(database, "a")
    warm = {"sensor_id": camera, "timestamp": NINE, "end_time": NINE + HOUR, "local_label": "", "is_final": True}
    warm["collected_at"] = NINE + HOUR
    store(database, HEATMAP_TEMPORAL_RAW, {**warm, "heat_value": 15420.5})
    assert store(database, HEATMAP_TEMPORAL_RAW, {**warm, "heat_value": 15420.0}).refused == 1
    alarm = {"sensor_id": camera, "timestamp": NINE, "current_in_count": 2722}
    store(database, VCA_ALARM_STATUS, alarm)
    assert store(database, VCA_ALARM_STATUS, {**alarm, "current_in_count": 0}).changed == 1


history = st.lists(st.tuples(st.integers(0, 3), st.one_of(st.none(), st.integers(0, 50))), min_size=1, max_size=12)


@given(history)
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_whatever_the_order_and_repetition_the_highest_count_stands(
    database: Database, answers: list[tuple[int, int | None]]
) -> None:
    (camera,) = database.fetch("SELECT id::text FROM retail.sensor_metadata") or [tuple(register(database, "a"))]
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM retail.people_counting_raw")
    best: dict[int, int | None] = {}
    for hours, count in answers:
        store(database, PEOPLE_COUNTING_RAW, reading(camera[0], NINE + hours * HOUR, line1_in=count))
        known = best.get(hours)
        best[hours] = count if known is None else max(known, count or 0)
    assert [row[0] for row in stored(database, PEOPLE_COUNTING_RAW, "line1_in")] == [best[key] for key in sorted(best)]


# Replacing --------------------------------------------------------------------------------------------------------------


def entries(database: Database) -> dict[tuple[str, str], float]:
    rows = stored(database, HOURLY_ANALYTICS, "sensor_id", "hour_start", "total_entries")
    return {(sensor, f"{at.astimezone(UTC):%dT%H:%M}"): float(value) for sensor, at, value in rows}


def test_replacing_touches_only_the_window(database: Database) -> None:
    a, b = register(database, "a", "b")
    window = (NINE, NINE + 2 * HOUR)
    store(database, HOURLY_ANALYTICS, *(hour(a, NINE + hours * HOUR) for hours in range(-2, 4)), hour(b, NINE))
    before = versions(database, HOURLY_ANALYTICS)
    result = store(
        database,
        HOURLY_ANALYTICS,
        hour(a, NINE),
        hour(a, NINE + timedelta(minutes=90), 77.0),
        mode="replace",
        window=window,
    )
    assert result == MergeResult(inserted=1, unchanged=1, deleted=2)
    assert sorted(entries(database)) == [
        (a, f"02T{at}") for at in ("07:00", "08:00", "09:00", "10:30", "11:00", "12:00")
    ]
    after = versions(database, HOURLY_ANALYTICS)
    assert {key: after[key] for key in before if key in after} == {key: before[key] for key in before if key in after}


def test_an_empty_frame_empties_the_window_and_nothing_else(database: Database) -> None:
    (camera,) = register(database, "a")
    store(database, HOURLY_ANALYTICS, *(hour(camera, NINE + hours * HOUR) for hours in range(4)))
    assert store(database, HOURLY_ANALYTICS, mode="replace", window=(NINE + HOUR, NINE + 3 * HOUR)).deleted == 2
    assert sorted(entries(database)) == [(camera, "02T09:00"), (camera, "02T12:00")]


@pytest.mark.parametrize(
    "border",
    ["2026-02-01T00:00", "2026-03-29T01:00", "2026-10-25T01:00", "2025-12-31T23:00"],
    ids=["month", "clocks forward", "clocks back", "year"],
)
def test_windows_are_half_open_at_borders_of_months_and_changes_of_clocks(database: Database, border: str) -> None:
    (camera,) = register(database, "a", zone="Europe/Lisbon")
    at = utc(border)
    instants = [at + step for step in (-HOUR, -timedelta(microseconds=1), timedelta(), HOUR, 2 * HOUR)]
    store(database, HOURLY_ANALYTICS, *(hour(camera, instant) for instant in instants))
    store(database, PEOPLE_COUNTING_RAW, *(reading(camera, instant) for instant in instants))
    for table in (HOURLY_ANALYTICS, PEOPLE_COUNTING_RAW):
        with database.transaction() as connection:
            read = read_frame(connection, table, window_condition(table, (at, at + HOUR)))
        assert list(read[table.time_column]) == [at]
    store(database, HOURLY_ANALYTICS, mode="replace", window=(at, at + HOUR))
    assert [row[0] for row in stored(database, HOURLY_ANALYTICS, "hour_start")] == [
        instant for instant in instants if instant != at
    ]


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/Los_Angeles"])
def test_a_day_is_a_date_whatever_the_zone_of_the_role(database: Database, database_url: str, zone: str) -> None:
    (camera,) = register(database, "a", zone=zone)
    name = psycopg2.extensions.parse_dsn(database.libpq_url)["dbname"]
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(sql.SQL("ALTER DATABASE {} SET timezone = {}").format(sql.Identifier(name), sql.Literal(zone)))
    database.dispose()
    dates = [date(2026, 2, number) for number in (1, 2, 3, 4)]
    store(database, DAILY_ANALYTICS, *(day(camera, number) for number in dates))
    window = (utc("2026-02-02"), utc("2026-02-04"))
    with database.transaction() as connection:
        read = read_frame(connection, DAILY_ANALYTICS, window_condition(DAILY_ANALYTICS, window))
    assert list(read["date"]) == dates[1:3]
    result = store(database, DAILY_ANALYTICS, day(camera, dates[1], 7.0), mode="replace", window=window)
    assert result == MergeResult(changed=1, deleted=1)
    assert [row[0] for row in stored(database, DAILY_ANALYTICS, "date")] == [dates[0], dates[1], dates[3]]


def test_replacing_needs_a_window(database: Database) -> None:
    with pytest.raises(ContractError, match="write_mode replace needs partitions; use merge"):
        store(database, HOURLY_ANALYTICS, mode="replace")


@pytest.mark.parametrize("at", ["2026-02-02T08:59:59.999999", "2026-02-02T10:00"])
def test_rows_outside_of_the_window_are_refused_before_anything_is_written(database: Database, at: str) -> None:
    (camera,) = register(database, "a")
    store(database, HOURLY_ANALYTICS, hour(camera, NINE))
    with pytest.raises(ContractError, match=r"column hour_start: 1 row\(s\) lie outside of the window"):
        store(database, HOURLY_ANALYTICS, hour(camera, at), mode="replace", window=(NINE, NINE + HOUR))
    assert sorted(entries(database)) == [(camera, "02T09:00")]


# What Postgres itself refuses --------------------------------------------------------------------------------------------


def test_a_value_that_a_check_refuses_writes_nothing_and_is_a_sentence(database: Database) -> None:
    (camera,) = register(database, "a")
    with pytest.raises(ContractError) as caught:
        store(database, PEOPLE_COUNTING_RAW, reading(camera, NINE), reading(camera, NINE + HOUR, line1_in=-1))
    sentence = str(caught.value)
    assert sentence.startswith("Asset people_counting_raw, table retail.people_counting_raw: Postgres refused a value:")
    assert "line1_in_is_not_negative" in sentence
    assert "nothing was written. Mend the value, or drop its row." in sentence
    assert counts(database) == []


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"sensor_id": "no uuid"}, "invalid input syntax for type uuid"),
        ({"sensor_id": "6f0e2c6e-0000-4000-8000-00000000dead"}, "is not present in table"),
        ({"quality": "{not json"}, "invalid input syntax for type json"),
        ({"data_completeness": 1.5}, "data_completeness_is_a_share"),
        ({"quality": '{"counts": "\x00"}'}, "0x00"),
        ({"quality": '{"counts": "\ud800"}'}, r"'\\ud800', which is no character"),
    ],
)
def test_values_that_only_postgres_can_judge_become_sentences(
    database: Database, row: dict[str, Any], said: str
) -> None:
    (camera,) = register(database, "a")
    with pytest.raises(ContractError, match=r"table retail\.hourly_analytics") as caught:
        store(database, HOURLY_ANALYTICS, hour(camera, NINE, **row))
    assert said.replace("\\\\", "\\") in str(caught.value)
    assert entries(database) == {}


def test_a_database_without_the_tables_says_how_to_make_them(database: Database) -> None:
    (camera,) = register(database, "a")
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE retail.hourly_analytics CASCADE")
    with pytest.raises(DatabaseUnavailableError, match="run `retail-sensors db upgrade`"):
        store(database, HOURLY_ANALYTICS, hour(camera, NINE))


# Partitions of the tables ------------------------------------------------------------------------------------------------


def months(database: Database, table: str) -> set[str]:
    rows = database.fetch(
        f"SELECT right(inhrelid::regclass::text, 8) FROM pg_inherits WHERE inhparent = 'retail.{table}'::regclass"
    )
    return {name for (name,) in rows}


def test_months_are_made_when_history_arrives(database: Database) -> None:
    (camera,) = register(database, "a")
    before = months(database, "people_counting_raw")
    store(
        database,
        PEOPLE_COUNTING_RAW,
        reading(camera, "2023-12-31T23:00"),
        reading(camera, "2024-01-01T00:00"),
        reading(camera, "2024-03-31T23:59:59.999999"),
    )
    made = months(database, "people_counting_raw") - before
    assert made == {"y2023m12", "y2024m01", "y2024m02", "y2024m03"}
    assert [
        row[0]
        for row in database.fetch("SELECT tableoid::regclass::text FROM retail.people_counting_raw ORDER BY timestamp")
    ] == [f"retail.people_counting_raw_y{month}" for month in ("2023m12", "2024m01", "2024m03")]


def test_a_month_holds_the_same_rules_as_its_table(database: Database) -> None:
    (camera,) = register(database, "a")
    store(database, PEOPLE_COUNTING_RAW, reading(camera, "2024-05-05T05:00"))
    rows = database.fetch(
        "SELECT c.conrelid::regclass::text, c.contype::text, pg_get_constraintdef(c.oid) FROM pg_constraint AS c"
        " WHERE c.conrelid IN ('retail.people_counting_raw'::regclass, 'retail.people_counting_raw_y2024m05'::regclass)"
        " AND c.contype IN ('c', 'f', 'p')"
    )
    rules = {name: sorted(row[1:] for row in rows if row[0] == name) for name in {row[0] for row in rows}}
    assert rules["retail.people_counting_raw"] == rules["retail.people_counting_raw_y2024m05"]
    assert len(rules["retail.people_counting_raw"]) >= 11
    indexes = database.fetch(
        "SELECT substring(indexdef FROM 'USING brin .*') FROM pg_indexes WHERE tablename = 'people_counting_raw_y2024m05'"
        " AND indexdef LIKE '%USING brin%' ORDER BY 1"
    )
    assert [of.split("(")[1].split(")")[0] for (of,) in indexes] == ['"timestamp"', "updated_at"]


def test_a_window_reads_only_its_months(database: Database) -> None:
    (camera,) = register(database, "a")
    store(database, PEOPLE_COUNTING_RAW, *(reading(camera, f"2024-0{month}-15T12:00") for month in range(1, 7)))
    condition = window_condition(PEOPLE_COUNTING_RAW, (utc("2024-03-01"), utc("2024-03-02")))
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(sql.SQL("EXPLAIN SELECT * FROM retail.people_counting_raw WHERE {}").format(condition))
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "people_counting_raw_y2024m03" in plan
    assert plan.count("people_counting_raw_y20") == 1 + plan.count("people_counting_raw_y2024m03_")


# Every kind of value, there and back --------------------------------------------------------------------------------------

EVERY_KIND = Table(
    name="every_kind",
    row="One value of each kind.",
    key=("id",),
    columns=(
        Column("id", Kind.INTEGER, "", nullable=False),
        *(Column(f"a_{kind.name.lower()}", kind, "") for kind in Kind),
    ),
)
texts = st.one_of(
    st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20),
    st.sampled_from(
        [
            "",
            "\\N",
            "\\.",
            "\\",
            "a\tb",
            "a\nb",
            "a\r\nb",
            "\\t",
            "N",
            "NULL",
            "nan",
            "👪 Ærø",
            "\u2028",
            "'; DROP TABLE x; --",
        ]
    ),
)
instants = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.timezones())  # noqa: DTZ001
values: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.UUID: st.uuids().map(str),
    Kind.TEXT: texts,
    Kind.INTEGER: st.integers(-(2**31), 2**31 - 1),
    Kind.BIGINT: st.integers(-(2**63), 2**63 - 1),
    Kind.NUMERIC: st.one_of(st.integers(-(10**9), 10**9).map(lambda halves: halves / 2), st.floats(-1e15, 1e15)),
    Kind.DOUBLE: st.floats(allow_nan=False, allow_infinity=False),
    Kind.BOOLEAN: st.booleans(),
    Kind.TIMESTAMP: instants.map(lambda instant: instant.astimezone(UTC)),
    Kind.DATE: st.dates(),
    Kind.TIME: st.times(),
    Kind.JSONB: st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), texts),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
        max_leaves=5,
    ).map(json.dumps),
    Kind.BYTEA: st.binary(max_size=40),
}
rows_of_every_kind = st.lists(
    st.fixed_dictionaries(
        {f"a_{kind.name.lower()}": st.one_of(st.none(), strategy) for kind, strategy in values.items()}
    ),
    min_size=1,
    max_size=6,
)


@pytest.fixture
def every_kind(database: Database) -> Database:
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(column.kind.postgres))
        for column in EVERY_KIND.columns
    )
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(sql.SQL("CREATE TABLE retail.every_kind ({}, PRIMARY KEY (id))").format(columns))
    return database


@given(rows_of_every_kind)
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_every_kind_of_value_comes_back_as_it_went(every_kind: Database, rows: list[dict[str, Any]]) -> None:
    went = frame_of(EVERY_KIND, *({"id": number, **row} for number, row in enumerate(rows)))
    with every_kind.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("TRUNCATE retail.every_kind")
        assert merge_frame(connection, EVERY_KIND, went, asset="a", mode="merge") == MergeResult(inserted=len(rows))
        assert merge_frame(connection, EVERY_KIND, went, asset="a", mode="merge") == MergeResult(unchanged=len(rows))
        came = read_frame(connection, EVERY_KIND)
    # Postgres keeps a JSON value, not its spelling.
    for frame in (went, came):
        frame["a_jsonb"] = [
            None if pd.isna(text) else json.dumps(json.loads(text), sort_keys=True) for text in frame["a_jsonb"]
        ]
    pd.testing.assert_frame_equal(came, went)


def test_frames_longer_than_a_chunk_go_and_come_whole(every_kind: Database) -> None:
    size = 120_001
    went = pd.DataFrame(
        {column.name: pd.Series([None] * size, dtype=column.kind.pandas) for column in EVERY_KIND.columns}
    )
    went["id"] = pd.Series(range(size), dtype="Int64")
    went["a_text"] = went["id"].astype("string")
    with every_kind.transaction() as connection:
        assert merge_frame(connection, EVERY_KIND, went, asset="a", mode="merge").inserted == size
        came = read_frame(connection, EVERY_KIND, columns=["a_text", "id"])
    pd.testing.assert_frame_equal(came, went[["a_text", "id"]])


def test_instants_of_other_zones_are_stored_as_the_instant(every_kind: Database) -> None:
    frame = frame_of(EVERY_KIND, {"id": 1}, {"id": 2})
    frame["a_timestamp"] = pd.Series(
        [
            datetime(2026, 10, 25, 1, 30, tzinfo=ZoneInfo("Europe/Lisbon"), fold=1),
            pd.Timestamp("2026-02-02T05:30", tz="Asia/Kolkata"),
        ],
        dtype="object",
    )
    with every_kind.transaction() as connection:
        merge_frame(connection, EVERY_KIND, frame, asset="a", mode="merge")
        came = read_frame(connection, EVERY_KIND)["a_timestamp"]
    assert list(came) == [utc("2026-10-25T01:30"), utc("2026-02-02T00:00")]
    assert str(came.dtype) == "datetime64[us, UTC]"


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_the_text_is_utf_8_whatever_the_roles_default_is(every_kind: Database, encoding: str) -> None:
    name = psycopg2.extensions.parse_dsn(every_kind.libpq_url)["dbname"]
    with every_kind.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("ALTER DATABASE {} SET client_encoding = {}").format(sql.Identifier(name), sql.Literal(encoding))
        )
    every_kind.dispose()
    with every_kind.transaction() as connection:
        merge_frame(
            connection, EVERY_KIND, frame_of(EVERY_KIND, {"id": 1, "a_text": "日本 👪"}), asset="a", mode="merge"
        )
        assert list(read_frame(connection, EVERY_KIND)["a_text"]) == ["日本 👪"]


def test_text_that_looks_like_sql_is_stored_as_text(database: Database) -> None:
    hostile = "'); DROP SCHEMA retail CASCADE; -- %s %(x)s {} \\'"
    (camera,) = register(database, "a")
    log = {"sensor_id": camera, "endpoint": hostile, "hour_start": NINE, "outcome": hostile, "row_count": 0}
    log |= {"rejected_count": 0, "attempts": 1, "error": hostile, "asked_at": NINE, "run_id": hostile}
    store(database, COLLECTION_LOG, log, run_id=hostile)
    assert stored(database, COLLECTION_LOG, "endpoint", "error", "run_id") == [(hostile, hostile, hostile)]
    store(database, PEOPLE_COUNTING_RAW, reading(camera, NINE), run_id=hostile)
    store(database, PEOPLE_COUNTING_RAW, reading(camera, NINE, line1_in=0, local_label=hostile), run_id=hostile)
    assert stored(database, RAW_REVISIONS, "run_id") == [(hostile,)]


def test_an_unknown_column_is_not_read(database: Database) -> None:
    with (
        pytest.raises(ContractError, match=r"retail\.stores has no column\(s\) 1; DROP TABLE x; it has id, "),
        database.transaction() as connection,
    ):
        read_frame(connection, STORES, columns=["id", "1; DROP TABLE x"])


# Several writers, and writers that die ------------------------------------------------------------------------------------


@contextmanager
def in_thread(act: Any) -> Iterator[list[Any]]:
    """Runs `act` beside the block; what it returned or raised stands in the list afterwards."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(act())
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield outcome
    finally:
        thread.join(120)
        assert not thread.is_alive()


def wait_for_lock(database: Database) -> None:
    """Returns when a backend of this database waits for a lock."""
    deadline = clock.monotonic() + 60
    while not database.fetch(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    ):
        assert clock.monotonic() < deadline, "nobody waits"
        clock.sleep(0.01)


def test_two_writers_of_one_window_do_not_interleave(database: Database) -> None:
    a, b = register(database, "a", "b")
    window = (NINE, NINE + 4 * HOUR)
    first = frame_of(HOURLY_ANALYTICS, *(hour(a, NINE + hours * HOUR, 1.0) for hours in range(4)))
    second = [hour(b, NINE + hours * HOUR, 2.0) for hours in range(4)]
    with database.transaction() as connection:
        merge_frame(connection, HOURLY_ANALYTICS, first, asset="a", mode="replace", window=window)
        with in_thread(lambda: store(database, HOURLY_ANALYTICS, *second, mode="replace", window=window)) as outcome:
            wait_for_lock(database)
            connection.commit()
    assert outcome == [MergeResult(inserted=4, deleted=4)]
    assert {sensor for sensor, _ in entries(database)} == {b}


def test_a_waiting_writer_sees_what_the_first_wrote_even_where_the_default_is_repeatable_read(
    database: Database,
) -> None:
    (camera,) = register(database, "a")
    name = psycopg2.extensions.parse_dsn(database.libpq_url)["dbname"]
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("ALTER DATABASE {} SET default_transaction_isolation = 'repeatable read'").format(
                sql.Identifier(name)
            )
        )
    database.dispose()
    with database.transaction() as connection:
        merge_frame(
            connection,
            PEOPLE_COUNTING_RAW,
            frame_of(PEOPLE_COUNTING_RAW, reading(camera, NINE)),
            asset="a",
            mode="merge",
        )
        with in_thread(lambda: store(database, PEOPLE_COUNTING_RAW, reading(camera, NINE, line1_in=11))) as outcome:
            wait_for_lock(database)
            connection.commit()
    assert outcome == [MergeResult(changed=1)]
    assert counts(database) == [(11, 5)]


def test_many_writers_in_different_orders_all_finish(database: Database) -> None:
    cameras = register(database, "a", "b", "c")
    outcomes: list[Any] = []

    def write(number: int) -> None:
        try:
            for round_ in range(5):
                instants_ = [NINE + (number + step) % 4 * 40 * 24 * HOUR for step in range(4)]
                rows = [reading(camera, at, line1_in=number + round_) for at in instants_ for camera in cameras]
                store(database, PEOPLE_COUNTING_RAW, *rows[number % 2 :: 1 + number % 2])
            outcomes.append(None)
        except Exception as error:
            outcomes.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    assert outcomes == [None] * 4


def test_two_loaders_that_need_the_same_new_month_both_get_it(database: Database) -> None:
    (camera,) = register(database, "a")
    far = utc("2024-07-07T07:00")
    row = {"sensor_id": camera, "timestamp": far, "current_in_count": 1}
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT retail.ensure_month_partitions('vca_alarm_status', %s, %s)", (far, far + HOUR))
        with in_thread(lambda: store(database, VCA_ALARM_STATUS, row)) as outcome:
            wait_for_lock(database)
            connection.commit()
    assert outcome == [MergeResult(inserted=1)]


def kill(database: Database, connection: PgConnection) -> None:
    database.fetch(f"SELECT pg_terminate_backend({connection.get_backend_pid()})")


def test_a_writer_that_is_killed_leaves_the_former_rows(database: Database) -> None:
    (camera,) = register(database, "a")
    store(database, HOURLY_ANALYTICS, hour(camera, NINE, 1.0))
    before = versions(database, HOURLY_ANALYTICS)
    window = (NINE, NINE + HOUR)
    replacement = frame_of(HOURLY_ANALYTICS, hour(camera, NINE, 2.0))

    def write_twice(connection: PgConnection) -> None:
        merge_frame(connection, HOURLY_ANALYTICS, replacement, asset="a", mode="replace", window=window)
        kill(database, connection)
        merge_frame(connection, HOURLY_ANALYTICS, replacement, asset="a", mode="replace", window=window)

    with pytest.raises(DatabaseUnavailableError, match="does not answer"), database.transaction() as connection:
        write_twice(connection)
    assert versions(database, HOURLY_ANALYTICS) == before
    assert store(database, HOURLY_ANALYTICS, hour(camera, NINE, 3.0)).changed == 1


def test_a_reader_that_is_killed_gets_a_sentence_and_the_next_one_a_new_connection(database: Database) -> None:
    def read(connection: PgConnection) -> None:
        kill(database, connection)
        read_frame(connection, STORES)

    with pytest.raises(DatabaseUnavailableError, match="does not answer"), database.transaction() as connection:
        read(connection)
    with pytest.raises(DatabaseUnavailableError, match="does not answer"), database.transaction() as connection:
        kill(database, connection)
    assert database.fetch("SELECT 1") == [(1,)]


def test_a_statement_that_the_server_breaks_off_is_not_called_a_lost_server(database: Database) -> None:
    with pytest.raises(DatabaseUnavailableError, match=r"broke off \(canceling statement due to statement timeout"):
        database.fetch("SET LOCAL statement_timeout = 20; SELECT pg_sleep(10)")
