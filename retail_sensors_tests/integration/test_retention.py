"""Retention on a real Postgres: what goes, where it goes, what comes back, and what stays when something is wrong."""

from __future__ import annotations

import gzip
import json
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from retail_sensors.analytics import comparisons, forecast
from retail_sensors.analytics.anomaly_cameras import BLOCK_WEEKS, HISTORY_WEEKS
from retail_sensors.analytics.missing import REACH_DAYS
from retail_sensors.analytics.queue_model import HISTORY
from retail_sensors.errors import ConfigurationError
from retail_sensors.schedules import FOLLOWED_DAYS, RECENT_DAYS
from retail_sensors.settings import Settings
from retail_sensors.storage import retention
from retail_sensors.storage.archive import Archive, ArchiveFolder
from retail_sensors.storage.database import Database
from retail_sensors.storage.merge import PARTITIONED
from retail_sensors.storage.notifications import MEMORY
from retail_sensors.storage.repair import MOST_DAYS
from retail_sensors.storage.retention import (
    RULES,
    Outcome,
    RetentionBusyError,
    apply_policies,
    policies,
    require_raw_rows,
    restore,
    set_policy,
)
from retail_sensors.tables import (
    COLLECTION_LOG,
    HOURLY_ANALYTICS,
    PEOPLE_COUNTING_RAW,
    RAW_REVISIONS,
    TABLES,
    VCA_ALARM_STATUS,
    Table,
)
from retail_sensors.tables.alerts import ALERTS_GENERATED
from retail_sensors.tables.realtime import REALTIME_ANALYTICS
from retail_sensors_tests.installations import Site
from retail_sensors_tests.integration.stored import HOUR, hour, reading, register, store, stored, utc

NOW = utc("2026-08-10T02:00")
RAW = PEOPLE_COUNTING_RAW.name
# The policy of raw tables is 730 days: 2024-08-10, so that July 2024 goes and August stays.
JUNE, JULY, AUGUST = utc("2024-06-15T10:00"), utc("2024-07-31T23:00"), utc("2024-08-01T00:00")


@pytest.fixture
def folder(tmp_path: Path) -> ArchiveFolder:
    return ArchiveFolder(tmp_path / "archive")


@pytest.fixture
def cameras(database: Database) -> list[str]:
    """Two cameras with an hour in June, in July and in August of 2024."""
    found = register(database, "north", "south")
    store(database, PEOPLE_COUNTING_RAW, *(reading(one, at) for one in found for at in (JUNE, JULY, AUGUST)))
    return found


def everything(database: Database, table: Table) -> list[tuple[Any, ...]]:
    return stored(database, table, *table.names)


def apply(database: Database, folder: ArchiveFolder, *tables: str, now: datetime = NOW) -> list[Outcome]:
    return apply_policies(database, folder, now, tables)


def execute(database: Database, statement: str) -> None:
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(statement)


def partitions(database: Database, table: str = RAW) -> set[str]:
    rows = database.fetch(
        f"SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'retail.{table}'::regclass"
    )
    return {name.removeprefix(f"retail.{table}_") for (name,) in rows}


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No file can grow beyond that size meanwhile: what a full disk does to a writer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# -- archiving and bringing back ------------------------------------------------------------------------------------------


def test_old_months_go_into_files_and_come_back_as_they_were(
    database: Database, folder: ArchiveFolder, cameras: list[str]
) -> None:
    before = everything(database, PEOPLE_COUNTING_RAW)
    assert len(before) == 6
    (outcome,) = apply(database, folder, RAW)
    assert outcome.sentence == (f"{RAW}: archived 4 rows from before 2024-08-10 as {RAW}-2024-06, {RAW}-2024-07.")
    assert [row[1] for row in stored(database, PEOPLE_COUNTING_RAW, "sensor_id", "timestamp")] == [AUGUST, AUGUST]
    assert {"y2024m06", "y2024m07"} & partitions(database) == set()
    assert "y2024m08" in partitions(database)

    june, july = folder.listing(RAW)
    assert (june.rows, june.month, june.start, june.until) == (2, "2024-06", "2024-06-01", "2024-07-01")
    text = gzip.decompress(folder.file(june).read_bytes()).decode()
    heading, *rows = text.splitlines()
    assert heading.split(",") == list(june.columns)
    # What Postgres computes from other columns is not kept twice.
    assert {column.name for column in PEOPLE_COUNTING_RAW.columns} - set(june.columns) == {
        "total_in",
        "total_out",
        "net_flow",
    }
    assert sorted(row.split(",")[:2] for row in rows) == sorted([one, "2024-06-15 10:00:00+00"] for one in cameras)
    assert folder.file(june).stat().st_mode & 0o077 == 0

    done = restore(database, folder, [june, july], NOW)
    assert [(one.inserted, one.present, one.ownerless, one.columns_gone) for one in done] == [(2, 0, 0, ())] * 2
    # updated_at too: rows that look new would have their figures computed anew.
    assert everything(database, PEOPLE_COUNTING_RAW) == before
    again = restore(database, folder, [june, july], NOW)
    assert [(one.inserted, one.present) for one in again] == [(0, 2)] * 2
    assert everything(database, PEOPLE_COUNTING_RAW) == before


def test_figures_are_not_made_anew_of_counts_that_are_archived(
    database: Database, folder: ArchiveFolder, cameras: list[str]
) -> None:
    july = JULY.replace(day=1, hour=0)
    require_raw_rows(database, july, AUGUST)
    apply(database, folder, RAW)
    # Nothing was made of them: nothing can be lost.
    require_raw_rows(database, july, AUGUST)
    store(database, HOURLY_ANALYTICS, hour(cameras[0], JULY))
    with pytest.raises(ConfigurationError, match=r"counts of 2024-07 are archived.*--month 2024-07"):
        require_raw_rows(database, JULY - HOUR, AUGUST)
    require_raw_rows(database, AUGUST, AUGUST + HOUR)
    restore(database, folder, [found for found in folder.listing() if "2024-07" in found.name], NOW)
    require_raw_rows(database, july, AUGUST)


def test_a_restored_month_is_left_alone_for_a_while_and_makes_no_second_file(
    database: Database, folder: ArchiveFolder, cameras: list[str]
) -> None:
    apply(database, folder, RAW)
    restore(database, folder, folder.listing(RAW, "2024-06"), NOW, days=30)
    (outcome,) = apply(database, folder, RAW, now=NOW + timedelta(days=29))
    assert outcome.sentence == f"{RAW}: left alone until 2026-09-09, a month of it was restored."
    assert len(everything(database, PEOPLE_COUNTING_RAW)) == 4

    (outcome,) = apply(database, folder, RAW, now=NOW + timedelta(days=31))
    assert set(outcome.archives) == {f"{RAW}-2024-06", f"{RAW}-2024-08"}
    assert [archive.name for archive in folder.listing(RAW)] == [f"{RAW}-2024-{month}" for month in ("06", "07", "08")]
    assert everything(database, PEOPLE_COUNTING_RAW) == []


def test_rows_that_exist_win_and_history_that_arrives_later_is_an_archive_beside(
    database: Database, folder: ArchiveFolder, cameras: list[str]
) -> None:
    apply(database, folder, RAW)
    store(database, PEOPLE_COUNTING_RAW, reading(cameras[0], JUNE, line1_in=99), reading(cameras[0], JUNE + HOUR))
    (outcome,) = apply(database, folder, RAW)
    assert outcome.archives == (f"{RAW}-2024-06.2",)
    done = restore(database, folder, folder.listing(RAW, "2024-06"), NOW)
    assert [(one.archive.name, one.inserted, one.present) for one in done] == [
        (f"{RAW}-2024-06.2", 2, 0),
        (f"{RAW}-2024-06", 1, 1),
    ]
    assert [row[0] for row in stored(database, PEOPLE_COUNTING_RAW, "line1_in")].count(99) == 1


def test_cells_of_every_kind_survive(database: Database, folder: ArchiveFolder, cameras: list[str]) -> None:
    said = 'two\nlines, "quoted"'
    execute(
        database,
        "INSERT INTO retail.rejected_payloads (sensor_id, endpoint, payload_hash, local_day, reason, raw, received_at) VALUES"
        f" ('{cameras[0]}', 'people_counting', 'a', NULL, '{said}', '\\x00ff0a22', '2025-01-31T23:59:59.999999Z'),"
        f" ('{cameras[0]}', 'people_counting', 'b', '2025-01-30', '', '\\x', '2025-01-01T00:00Z'),"
        f" ('{cameras[1]}', 'people_counting', 'c', '2025-01-30', '\\N', '\\x31', '2026-08-09T00:00Z')",
    )
    execute(
        database,
        "INSERT INTO retail.raw_revisions (table_name, sensor_id, timestamp, reading_hash, action, kept, set_aside, recorded_at)"
        f" SELECT '{RAW}', '{cameras[0]}', '2024-01-01Z', n::text, 'refused', '{{\"line1_in\": null}}', '{{}}',"
        " '2025-02-01T00:00Z'::timestamptz - n * interval '1 day' FROM generate_series(0, 40) AS n",
    )
    rejected = TABLES["rejected_payloads"]

    def cells() -> list[tuple[Any, ...]]:
        rows = [*everything(database, rejected), *everything(database, RAW_REVISIONS)]
        return [tuple(bytes(cell) if isinstance(cell, memoryview) else cell for cell in row) for row in rows]

    before = cells()
    outcomes = {one.table: one for one in apply(database, folder)}
    assert not [one for one in outcomes.values() if one.is_failure]
    assert outcomes["rejected_payloads"].archives == ("rejected_payloads-2025-01",)
    # Calendar months, each as a whole.
    assert [archive.rows for archive in folder.listing("raw_revisions")] == [9, 31, 1]
    assert outcomes["raw_revisions"].rows == 41
    assert [row[0] for row in stored(database, rejected, "payload_hash")] == ["c"]
    restore(database, folder, [*folder.listing("rejected_payloads"), *folder.listing("raw_revisions")], NOW)
    assert cells() == before


def test_what_is_dropped_goes_by_its_day_and_what_is_not_over_stays(
    database: Database, folder: ArchiveFolder, cameras: list[str]
) -> None:
    store(
        database,
        REALTIME_ANALYTICS,
        *(
            {"sensor_id": cameras[0], "period_end": at, "observed_minutes": 0.0, "quality": "{}"}
            for at in (utc("2026-07-01T00:00"), NOW - timedelta(days=7, minutes=1), NOW - timedelta(days=7), NOW)
        ),
    )
    (outcome,) = apply(database, folder, "realtime_analytics")
    assert outcome.sentence == "realtime_analytics: dropped 2 rows from before 2026-08-03."
    kept = [(NOW - timedelta(days=7),), (NOW,)]
    assert stored(database, REALTIME_ANALYTICS, "period_end") == kept
    assert apply(database, folder, "realtime_analytics")[0].rows == 0
    assert not folder.path.exists()

    execute(
        database,
        "WITH r AS (INSERT INTO retail.alert_routes (route_name, target_reference, min_severity, rules, alert_types, cameras, events,"
        " cool_down_minutes) VALUES ('ops', 'env:OPS', 'warning', '[]', '[]', '[]', '[\"raised\"]', 0) RETURNING id)"
        " INSERT INTO retail.notifications (id, route_id, event, event_at, topic, severity, title, body, payload, state, attempts,"
        " next_try_at, reason)"
        " SELECT gen_random_uuid(), id, 'test', at::timestamptz, 't', 'warning', 't', 'b', '{}', state, 0, now(), 'old'"
        " FROM r, (VALUES ('2026-01-01Z', 'pending'), ('2026-01-02Z', 'dropped'), ('2026-08-01Z', 'dropped')) AS m (at, state)",
    )
    apply(database, folder, "notifications")
    assert sorted(row[1] for row in database.fetch("SELECT event_at, state FROM retail.notifications")) == [
        "dropped",
        "pending",
    ]


def test_an_open_alert_one_that_ended_lately_one_that_was_told_of_and_the_model_in_use_stay(
    database: Database, folder: ArchiveFolder, cameras: list[str]
) -> None:
    execute(
        database,
        "INSERT INTO retail.alerts_generated (id, rule_name, scope, store_id, alert_type, metric, severity, timestamp, title,"
        " message, metrics, threshold_value, first_seen_at, last_seen_at, occurrences, acknowledged, resolved, resolved_at,"
        " resolution_notes, actions_taken, escalated) SELECT gen_random_uuid(), v.rule, 'store', id, 'capacity',"
        " 'utilization_percent', 'warning', '2020-02-03Z', v.rule, 'm', '{}', 80, '2020-02-03Z', '2020-02-03Z', 1, false,"
        " v.resolved_at IS NOT NULL, v.resolved_at, v.resolved_at::text, '[]', false FROM retail.stores,"
        " (VALUES ('open', NULL::timestamptz), ('over', '2020-02-04Z'), ('told_of', '2020-02-04Z'), ('over_lately', '2026-08-01Z'))"
        " AS v (rule, resolved_at);"
        "WITH r AS (INSERT INTO retail.alert_routes (route_name, target_reference, min_severity, rules, alert_types, cameras,"
        " events, cool_down_minutes) VALUES ('ops', 'env:OPS', 'warning', '[]', '[]', '[]', '[\"raised\"]', 0) RETURNING id)"
        " INSERT INTO retail.notifications (id, route_id, alert_id, event, event_at, topic, severity, title, body, payload,"
        " state, attempts, next_try_at, reason) SELECT gen_random_uuid(), r.id, a.id, 'raised', '2026-08-01Z', 't', 'warning',"
        " 't', 'b', '{}', 'dropped', 0, now(), 'old' FROM r, retail.alerts_generated AS a WHERE a.title = 'told_of'",
    )
    before = everything(database, ALERTS_GENERATED)
    (outcome,) = apply(database, folder, "alerts_generated")
    assert (outcome.rows, outcome.archives) == (1, ("alerts_generated-2020-02",))
    left = "SELECT title FROM retail.alerts_generated ORDER BY 1"
    assert database.fetch(left) == [("open",), ("over_lately",), ("told_of",)]
    # Its message outlives its days no longer than its own policy says, and then the alert goes too.
    execute(database, "UPDATE retail.notifications SET event_at = '2020-02-03Z'")
    apply(database, folder, "notifications")
    assert apply(database, folder, "alerts_generated")[0].rows == 1
    assert database.fetch(left) == [("open",), ("over_lately",)]
    restore(database, folder, folder.listing("alerts_generated"), NOW)
    assert everything(database, ALERTS_GENERATED) == before

    model = (
        "INSERT INTO retail.prediction_model (model_version, trained_at, trained_from, trained_to, series_count, learnt_series_count,"
        " has_learner, features, series_reasons, library_versions, seed, model, quality)"
        " SELECT version, at, at - interval '1 year', at, 1, 1, true, '[]', '{}', '{}', 1, '', '{}'"
        " FROM (VALUES ('older', timestamptz '2020-01-01Z'), ('newest', '2021-01-01Z')) AS m (version, at)"
    )
    execute(database, model)
    apply(database, folder, "prediction_model")
    assert database.fetch("SELECT model_version FROM retail.prediction_model") == [("newest",)]


def test_a_camera_that_is_gone_leaves_its_rows_in_the_archive(
    database: Database, folder: ArchiveFolder, cameras: list[str]
) -> None:
    apply(database, folder, RAW)
    execute(database, f"DELETE FROM retail.sensor_metadata WHERE id = '{cameras[0]}'")
    (done,) = restore(database, folder, folder.listing(RAW, "2024-06"), NOW)
    assert (done.inserted, done.ownerless) == (1, 1)


def test_the_log_keeps_what_it_knew_of_a_failed_question(
    database: Database, folder: ArchiveFolder, cameras: list[str]
) -> None:
    row = {
        "sensor_id": cameras[0],
        "endpoint": "people_counting",
        "hour_start": JUNE,
        "row_count": 1,
        "rejected_count": 0,
    }
    store(database, COLLECTION_LOG, {**row, "outcome": "ok", "attempts": 1, "asked_at": JUNE + HOUR})
    failed = {**row, "row_count": 0, "outcome": "timeout", "attempts": 3, "asked_at": JUNE + 2 * HOUR}
    store(database, COLLECTION_LOG, failed)
    before = everything(database, COLLECTION_LOG)
    assert stored(database, COLLECTION_LOG, "outcome", "last_success_at") == [("timeout", JUNE + HOUR)]
    apply(database, folder, COLLECTION_LOG.name)
    assert everything(database, COLLECTION_LOG) == []
    restore(database, folder, folder.listing(COLLECTION_LOG.name), NOW)
    assert everything(database, COLLECTION_LOG) == before


# -- what must not be lost ------------------------------------------------------------------------------------------------


def test_nothing_is_dropped_while_the_folder_cannot_be_written(
    database: Database, tmp_path: Path, cameras: list[str]
) -> None:
    before = everything(database, PEOPLE_COUNTING_RAW)
    (tmp_path / "a-file").write_text("")
    execute(
        database,
        f"INSERT INTO retail.realtime_analytics (sensor_id, period_end, observed_minutes, quality) VALUES ('{cameras[0]}',"
        " '2026-01-01Z', 0, '{}')",
    )
    outcomes = {one.table: one for one in apply(database, ArchiveFolder(tmp_path / "a-file"))}
    assert "cannot be written" in outcomes[RAW].sentence
    assert "no row was dropped" in outcomes[RAW].sentence
    # One table's failure is its own.
    assert {one.table for one in outcomes.values() if one.is_failure} == {RAW}
    assert outcomes["realtime_analytics"].rows == 1

    full = ArchiveFolder(tmp_path / "full")
    with files_of_at_most(64):
        (outcome,) = apply(database, full, RAW)
    assert outcome.is_failure
    assert "File too large" in outcome.sentence
    assert full.listing() == []
    assert [path for path in full.path.rglob("*") if path.is_file()] == []
    assert everything(database, PEOPLE_COUNTING_RAW) == before
    (outcome,) = apply(database, full, RAW)
    assert outcome.rows == 4


class Interrupted(ArchiveFolder):
    """A folder beside which something happens as soon as an archive of June is in it."""

    def __init__(self, path: Path, happens: Callable[[], object]) -> None:
        super().__init__(path)
        self.happens = happens

    def write(self, *arguments: Any, **options: Any) -> Archive | None:
        made = super().write(*arguments, **options)
        if made is not None and made.name == f"{RAW}-2024-06":
            self.happens()
        return made


def test_a_month_that_is_written_to_while_it_is_archived_stays(
    database: Database, folder: ArchiveFolder, cameras: list[str]
) -> None:
    late = reading(cameras[0], JUNE + HOUR)
    busy = Interrupted(folder.path, lambda: store(database, PEOPLE_COUNTING_RAW, late))
    (outcome,) = apply(database, busy, RAW)
    assert outcome.is_failure
    assert "2024-06 was written to while it was archived and stays" in outcome.sentence
    assert len(everything(database, PEOPLE_COUNTING_RAW)) == 7
    (outcome,) = apply(database, folder, RAW)
    assert outcome.archives == (f"{RAW}-2024-06.2", f"{RAW}-2024-07")
    restore(database, folder, folder.listing(RAW), NOW)
    assert len(everything(database, PEOPLE_COUNTING_RAW)) == 7


def test_a_reader_is_waited_for_briefly_and_not_pushed_aside(
    database: Database, folder: ArchiveFolder, cameras: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_TRIES", 2)
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM retail.people_counting_raw")
        (outcome,) = apply(database, folder, RAW)
        assert "2024-06 stays: the table was in use all the time (2 tries)" in outcome.sentence
        assert len(everything(database, PEOPLE_COUNTING_RAW)) == 6
    monkeypatch.setattr(retention, "_TRIES", 20)
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM retail.people_counting_raw")
        found: list[Outcome] = []
        running = threading.Thread(target=lambda: found.extend(apply(database, folder, RAW)))
        running.start()
        running.join(1.5)
        assert running.is_alive()
    running.join(240)
    assert [one.rows for one in found] == [4]


def test_a_damaged_archive_is_refused(database: Database, folder: ArchiveFolder, cameras: list[str]) -> None:
    apply(database, folder, RAW)
    june, july = folder.listing(RAW)
    left = everything(database, PEOPLE_COUNTING_RAW)
    path = folder.file(june)
    whole = path.read_bytes()
    for damaged in (whole[:-9], b"", gzip.compress(gzip.decompress(whole).replace(b",10,", b",11,"))):
        path.write_bytes(damaged)
        with pytest.raises(ConfigurationError, match="is damaged"):
            restore(database, folder, [july, june], NOW)
    path.unlink()
    with pytest.raises(ConfigurationError, match="is damaged"):
        restore(database, folder, [june], NOW)
    # All files are looked at before the first is loaded.
    assert everything(database, PEOPLE_COUNTING_RAW) == left
    path.write_bytes(whole)
    manifest = path.with_name(f"{june.name}.json")
    manifest.write_text("{")
    with pytest.raises(ConfigurationError, match=r"2024-06\.json cannot be read"):
        folder.listing(RAW)
    with pytest.raises(ConfigurationError, match="no archive"):
        folder.named("../../etc-2024-06")


def test_an_archive_of_an_older_revision_is_loaded_and_one_of_a_newer_refused(
    database: Database, folder: ArchiveFolder, cameras: list[str]
) -> None:
    apply(database, folder, RAW)
    (june,) = folder.listing(RAW, "2024-06")
    execute(database, f"ALTER TABLE retail.{RAW} ADD COLUMN floor_number integer NOT NULL DEFAULT 7")
    execute(database, f"ALTER TABLE retail.{RAW} DROP COLUMN label_flag")
    (done,) = restore(database, folder, [replace(june, revision="0001")], NOW)
    assert (done.inserted, done.columns_gone) == (2, ("label_flag",))
    assert database.fetch(f"SELECT DISTINCT floor_number FROM retail.{RAW}") == [(7,)]
    with pytest.raises(ConfigurationError, match="revision 9999, which this version does not know"):
        restore(database, folder, [replace(june, revision="9999")], NOW)
    execute(database, f"DELETE FROM retail.{RAW}")
    execute(database, f"ALTER TABLE retail.{RAW} ADD CONSTRAINT nobody_came CHECK (line1_in = 0)")
    with pytest.raises(ConfigurationError, match=r"refuses today .*nobody_came"):
        restore(database, folder, [june], NOW)


def test_a_service_leaves_the_months_to_their_owner(
    database: Database, folder: ArchiveFolder, cameras: list[str]
) -> None:
    url = make_url(database.url).update_query_dict({"options": "-crole=retail_transform"})
    service = Database(Settings(database_url=url.render_as_string(hide_password=False)))
    try:
        outcomes = {one.table: one for one in apply(service, folder)}
    finally:
        service.dispose()
    assert outcomes[RAW].is_failure
    assert "let him run `retail-sensors retention run`" in outcomes[RAW].sentence
    assert not outcomes["predictions"].is_failure
    assert len(everything(database, PEOPLE_COUNTING_RAW)) == 6


def test_two_at_once_do_not_meet(database: Database, folder: ArchiveFolder, cameras: list[str]) -> None:
    with retention._alone(database):
        with pytest.raises(RetentionBusyError, match="Another process"):
            apply(database, folder)
        with pytest.raises(RetentionBusyError):
            restore(database, folder, [], NOW)
    assert apply(database, folder, RAW)[0].rows == 4


# -- policies -------------------------------------------------------------------------------------------------------------


def test_the_pipelines_own_needs_are_within_the_least_days() -> None:
    weeks = {name: rule.least_days / 7 for name, rule in RULES.items()}
    night = (FOLLOWED_DAYS + 1) / 7
    assert weeks["people_counting_raw"] >= HISTORY_WEEKS + BLOCK_WEEKS + night
    assert weeks["hourly_analytics"] >= forecast.READ_WEEKS + forecast.CALIBRATION_WEEKS + RECENT_DAYS / 7 > 53
    assert RULES["store_hourly"].least_days == RULES["hourly_analytics"].least_days
    for name in ("daily_analytics", "store_daily"):
        assert RULES[name].least_days >= comparisons.LOOK_BACK + RECENT_DAYS
    assert weeks["queue_analytics"] >= HISTORY.days / 7 + night
    assert RULES["collection_log"].least_days >= MOST_DAYS + 2 + REACH_DAYS
    assert timedelta(days=RULES["notifications"].least_days) > MEMORY
    for name in ("predictions", "store_predictions"):
        assert RULES[name].least_days >= RECENT_DAYS + 2


def test_every_policy_is_of_a_table_that_can_have_one(database: Database) -> None:
    found = {policy.table: policy for policy in policies(database)}
    assert set(found) == set(RULES)
    assert set(found) >= PARTITIONED
    for policy in found.values():
        assert policy.days is None or policy.days >= policy.least_days
        TABLES[policy.table].column(RULES[policy.table].column)
    kept = {table: (policy.action, policy.days) for table, policy in found.items()}
    assert kept[RAW] == ("archive", 730)
    assert kept["realtime_analytics"] == ("drop", 7)
    assert kept["predictions"] == ("drop", 90)
    assert kept["hourly_analytics"] == ("keep", None)
    assert kept[VCA_ALARM_STATUS.name] == ("archive", 90)
    assert kept["alerts_generated"] == ("archive", 1095)
    assert kept["pos_transactions"] == ("archive", 1825)


def test_each_policy_can_be_applied_both_ways(database: Database, folder: ArchiveFolder) -> None:
    for action in ("archive", "drop"):
        for name, rule in RULES.items():
            set_policy(database, name, action, rule.least_days)
        outcomes = apply(database, folder)
        assert {one.table for one in outcomes} == set(RULES)
        assert [one.sentence for one in outcomes if one.is_failure] == []
        assert [one.table for one in apply_policies(database, folder, NOW, is_trial=True) if one.is_failure] == []


@pytest.mark.parametrize(
    ("table", "action", "days", "sentence"),
    [
        (
            "people_counting_raw",
            "archive",
            180,
            "245 days at least, not 180: anomalies are looked for beside the 26 weeks",
        ),
        ("hourly_analytics", "drop", 371, "510 days at least, not 371: forecasts read 70 weeks"),
        ("stores", "drop", 900, "Table stores is always kept"),
        ("storse", "drop", 900, "There is no table storse"),
        ("people_counting_raw", "keep", 800, "one of the two"),
        ("people_counting_raw", "archive", 10**12, "36500 at most"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(
    database: Database, table: str, action: retention.Action, days: int, sentence: str
) -> None:
    before = policies(database)
    with pytest.raises(ConfigurationError, match=sentence):
        set_policy(database, table, action, days)
    assert policies(database) == before


def test_a_policy_that_was_written_past_the_command_is_not_applied(
    database: Database, folder: ArchiveFolder, cameras: list[str]
) -> None:
    execute(database, f"UPDATE retail.retention_policies SET days_to_keep = 1 WHERE table_name = '{RAW}'")
    execute(database, "INSERT INTO retail.retention_policies VALUES ('stores', 'drop', 1, NULL, 'why')")
    outcomes = {one.table: one for one in apply(database, folder)}
    assert {one.table for one in outcomes.values() if one.is_failure} == {RAW, "stores"}
    assert "245 days at least, not 1" in outcomes[RAW].sentence
    assert len(everything(database, PEOPLE_COUNTING_RAW)) == 6


# -- the command line -----------------------------------------------------------------------------------------------------


def test_the_command_line(settings: Any, database: Database, tmp_path: Path, cameras: list[str]) -> None:
    site = Site(settings.database_url, tmp_path / "home")
    listed = json.loads(site.run("retention", "list", "--json").out)
    assert {"table": RAW, "action": "archive", "days": 730}.items() <= {one["table"]: one for one in listed}[
        RAW
    ].items()
    assert RAW in site.run("retention", "list").out

    assert site.run("retention", "set", RAW, "--days", "180").sentence.startswith(f"Table {RAW} must be kept for 245")
    assert site.run("retention", "set", RAW).code == 2
    assert site.run("retention", "set", RAW, "--keep").out == f"Rows of {RAW} are kept for ever.\n"
    assert site.run("retention", "run", RAW).out == f"{RAW}: kept for ever.\n"
    assert (
        site.run("retention", "set", RAW, "--days", "400").out == f"Rows of {RAW} older than 400 days are archived.\n"
    )

    planned = site.run("retention", "run", RAW, "--dry-run").out
    assert planned == f"{RAW}: 2024-06, 2024-07, 2024-08 would be archived.\n"
    assert site.run("retention", "archives").out.startswith("There is no archive in")
    assert len(everything(database, PEOPLE_COUNTING_RAW)) == 6
    assert f"as {RAW}-2024-06, {RAW}-2024-07, {RAW}-2024-08." in site.run("retention", "run").out
    assert (tmp_path / "home" / "archive" / RAW / f"{RAW}-2024-06.csv.gz").is_file()
    assert f"{RAW}-2024-07" in site.run("retention", "archives").out
    assert site.run("retention", "archives", "nosuch").out.startswith("There is no archive of nosuch in")
    (archive,) = (
        one for one in json.loads(site.run("retention", "archives", "--json").out) if one["month"] == "2024-06"
    )
    assert archive["rows"] == 2

    assert site.run("retention", "restore", f"{RAW}-2024-06").out == f"{RAW}-2024-06: 2 rows restored.\n"
    back = site.run("retention", "restore", "--table", RAW, "--month", "2024-06").out
    assert back == f"{RAW}-2024-06: 0 rows restored; 2 were there.\n"
    assert "left alone until" in site.run("retention", "run", RAW).out
    assert site.run("retention", "restore", "--table", RAW).code == 2
    assert "no archive of" in site.run("retention", "restore", "--table", RAW, "--month", "2020-01").sentence
    assert "no archive no-2020-01" in site.run("retention", "restore", "no-2020-01").sentence
    assert site.run("retention", "run", "storse").sentence.startswith("There is no table storse")


def test_what_a_killed_run_left_is_cleared_and_its_archive_used(
    database: Database, folder: ArchiveFolder, cameras: list[str]
) -> None:
    def killed() -> None:
        raise KeyboardInterrupt

    ended = Interrupted(folder.path, killed)
    with pytest.raises(KeyboardInterrupt):
        apply(database, ended, RAW)
    assert len(everything(database, PEOPLE_COUNTING_RAW)) == 6
    half = folder.path / RAW / f".{RAW}-2024-07.partial"
    half.write_bytes(b"half")
    (outcome,) = apply(database, folder, RAW)
    assert outcome.archives == (f"{RAW}-2024-06", f"{RAW}-2024-07")
    assert not half.exists()


def test_the_days_of_a_date_column_are_whole(database: Database, folder: ArchiveFolder, cameras: list[str]) -> None:
    set_policy(database, "daily_analytics", "drop", 435)
    first = NOW.date() - timedelta(days=435)
    for day in (first - timedelta(days=1), first, date(2026, 1, 1)):
        execute(
            database,
            "INSERT INTO retail.daily_analytics (sensor_id, date, hourly_distribution, data_completeness, is_provisional, quality)"
            f" VALUES ('{cameras[0]}', '{day}', '{{}}', 1, false, '{{}}')",
        )
    (outcome,) = apply(database, folder, "daily_analytics")
    assert outcome.rows == 1
    assert [row[0] for row in database.fetch("SELECT min(date) FROM retail.daily_analytics")] == [first]
