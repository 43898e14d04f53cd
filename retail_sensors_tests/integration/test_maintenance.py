"""Nightly maintenance against Dagster's own storage in Postgres: what goes, and what must stay as Dagster sees it."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy.engine import make_url

from retail_sensors.definitions import build_defs
from retail_sensors.errors import DatabaseUnavailableError
from retail_sensors.installation import Installation
from retail_sensors.partitions import HOURLY, HOURS_POLICY, range_tags
from retail_sensors.resources.clock import ClockResource
from retail_sensors.settings import Settings
from retail_sensors.storage.dagster_storage import prune, prune_files
from retail_sensors.storage.database import Database
from retail_sensors.storage.merge import PARTITIONED
from retail_sensors.tables import PEOPLE_COUNTING_RAW
from retail_sensors.tables.realtime import REALTIME_ANALYTICS
from retail_sensors_tests.integration.stored import reading, register, store

KEYS = ["2026-02-02-09:00", "2026-02-02-10:00", "2026-02-02-11:00"]


class Frozen(ClockResource):
    """A clock that stands still."""

    instant: str

    def now(self) -> datetime:
        return datetime.fromisoformat(self.instant)


@dg.asset(partitions_def=HOURLY, backfill_policy=HOURS_POLICY)
def counted(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    context.log.info("counting")
    return dg.MaterializeResult(metadata={"keys": len(context.partition_keys)}, tags={"seen": "yes"})


@dg.asset(partitions_def=HOURLY, backfill_policy=HOURS_POLICY)
def unreachable() -> None:
    raise dg.Failure("no camera answered")


@dg.asset
def unpartitioned() -> None: ...


@pytest.fixture
def instance(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """The project's own Dagster instance, with its storage beside the test's data."""
    installation = Installation(settings)
    for name, value in {
        **installation.environment(),
        "RETAIL_SENSORS_DATABASE_URL": settings.database_url or "",
    }.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.from_config(str(installation.root)) as instance:
        yield instance
    installation.database.dispose()


def materialize(
    instance: dg.DagsterInstance, asset: dg.AssetsDefinition, first: str | None = None, last: str | None = None
) -> str:
    tags = range_tags(first, last) if first and last else None
    return dg.materialize([asset], instance=instance, tags=tags, raise_on_error=False).run_id


def make_older(database: Database, runs: list[str], days: int = 60) -> None:
    """Moves the runs and all their events into the past."""
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("SET LOCAL search_path = dagster")
        for statement in (
            "UPDATE event_logs SET timestamp = timestamp - make_interval(days => %s) WHERE run_id = ANY (%s)",
            "UPDATE runs SET create_timestamp = create_timestamp - make_interval(days => %s) WHERE run_id = ANY (%s)",
        ):
            cursor.execute(statement, (days, runs))


def seen(instance: dg.DagsterInstance) -> dict[str, Any]:
    """What Dagster says about the assets: which partitions are materialized, and by what event last."""
    key = counted.key
    return {
        "materialized": instance.get_materialized_partitions(key),
        "latest": {
            partition: event.storage_id
            for partition in KEYS
            if (event := latest_of(instance, key, partition)) is not None
        },
        "unpartitioned": instance.get_latest_materialization_event(unpartitioned.key) is not None,
        "assets": sorted(asset.to_user_string() for asset in instance.all_asset_keys()),
    }


def latest_of(instance: dg.DagsterInstance, key: dg.AssetKey, partition: str) -> dg.EventLogRecord | None:
    found = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition]), limit=1
    ).records
    return found[0] if found else None


def count(database: Database, what: str) -> int:
    return int(database.fetch(f"SELECT count(*) FROM dagster.{what}")[0][0])


def test_pruning_leaves_every_partition_as_materialized_as_it_was(
    database: Database, instance: dg.DagsterInstance
) -> None:
    superseded = materialize(instance, counted, KEYS[0], KEYS[1])
    standing = [materialize(instance, counted, KEYS[0], KEYS[2]), materialize(instance, unpartitioned)]
    failed = materialize(instance, unreachable, KEYS[0], KEYS[1])
    make_older(database, [superseded, *standing, failed])
    recent = materialize(instance, unreachable, KEYS[2], KEYS[2])
    recent_events = count(database, f"event_logs WHERE run_id = '{recent}'")
    before = seen(instance)
    assert before["materialized"] == set(KEYS)
    assert before["unpartitioned"]

    deleted = prune(database, datetime.now(UTC) - timedelta(days=1))
    assert seen(instance) == before
    assert deleted["delete_old_run_events"] > 40
    assert deleted["delete_superseded_events"] == 2
    assert deleted["delete_orphaned_tags"] >= 2
    assert deleted["delete_old_runs"] == 2
    assert {run.run_id for run in instance.get_runs()} == {*standing, recent}
    # Of the old runs only what says "materialized" is left; the run of today is whole.
    assert count(database, f"event_logs WHERE run_id = '{recent}'") == recent_events
    assert count(database, "event_logs") == 4 + recent_events
    tags = "asset_event_tags AS t LEFT JOIN dagster.event_logs AS e ON e.id = t.event_id"
    assert count(database, f"{tags} WHERE e.id IS NULL") == 0
    assert count(database, tags) > 0


def test_what_is_younger_than_the_limit_stays(database: Database, instance: dg.DagsterInstance) -> None:
    run = materialize(instance, counted, KEYS[0], KEYS[0])
    again = materialize(instance, counted, KEYS[0], KEYS[0])
    make_older(database, [run, again], days=10)
    events = count(database, "event_logs")
    assert set(prune(database, datetime(2026, 1, 1, tzinfo=UTC)).values()) == {0}
    assert count(database, "event_logs") == events
    assert {found.run_id for found in instance.get_runs()} == {run, again}


def test_of_ended_runs_only_what_checks_found_is_kept(database: Database, instance: dg.DagsterInstance) -> None:
    @dg.asset_check(asset=counted)
    def complete() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    def records() -> list[tuple[str, str]]:
        return database.fetch("SELECT run_id, execution_status FROM dagster.asset_check_executions ORDER BY id")

    job = dg.Definitions(
        [counted],
        asset_checks=[complete],
        jobs=[dg.define_asset_job("count", [counted])],
        executor=dg.in_process_executor,
    ).resolve_job_def("count")
    tags = range_tags(KEYS[0], KEYS[2])
    ended = [job.execute_in_process(instance=instance, tags=tags).run_id for _ in range(2)]
    begun = instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED).run_id
    of_ended, of_begun = [(run, "PLANNED") for run in ended], [row for row in records() if row[0] == begun]
    assert set(of_ended) < set(records())
    assert set(of_begun) == {(begun, "PLANNED")}

    prune(database, datetime.now(UTC) - timedelta(days=1))
    assert records() == [*((run, "SUCCEEDED") for run in ended), *of_begun]


def test_old_output_goes_and_newer_output_stays(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    old, new = "0fa80c2c-7bf7-4029-bb5b-654938490745", "10ae4fbd-5ecf-48ab-bbb0-2b06058a73de"
    for days, name in (
        (40, f"{old}/compute_logs/a.err"),
        (40, f"{old}/compute_logs/a.complete"),
        (1, f"{new}/compute_logs/b.err"),
        (40, "__repository__/alarm_polling/c.err"),
        (1, "__repository__/alarm_polling/d.err"),
        (40, "dagster-dev.log"),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("said")
        written = (now - timedelta(days=days)).timestamp()
        os.utime(path, (written, written))
    assert prune_files(tmp_path, now - timedelta(days=30)) == 3
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == [
        f"{new}/compute_logs/b.err",
        "__repository__/alarm_polling/d.err",
        "dagster-dev.log",
    ]
    assert not (tmp_path / old).exists()
    assert prune_files(tmp_path / "nowhere", now) == 0


def test_the_nightly_job_prunes_and_makes_months_ahead(database: Database, instance: dg.DagsterInstance) -> None:
    old = [materialize(instance, counted, KEYS[0], KEYS[0]) for _ in range(2)]
    make_older(database, old)
    output = Path(os.environ["RETAIL_SENSORS_DAGSTER_FILES"]) / "__repository__" / "alarm_polling" / "1.err"
    output.parent.mkdir(parents=True)
    output.write_text("said")
    os.utime(output, (0, 0))
    defs = build_defs(clock=Frozen(instant=datetime.now(UTC).isoformat()))
    assert defs.resolve_job_def("maintenance").execute_in_process(instance=instance).success
    assert old[0] not in {run.run_id for run in instance.get_runs()}
    assert not output.exists()
    assert instance.get_materialized_partitions(counted.key) == {KEYS[0]}

    far = build_defs(clock=Frozen(instant="2031-12-05T02:00:00+00:00"))
    assert far.resolve_job_def("maintenance").execute_in_process(instance=instance).success
    for table in PARTITIONED:
        for month in ("2031m12", "2032m01", "2032m02"):
            assert database.fetch(f"SELECT to_regclass('retail.{table}_y{month}') IS NOT NULL") == [(True,)]


def test_the_nightly_job_applies_every_policy_it_can(
    database: Database, instance: dg.DagsterInstance, settings: Settings
) -> None:
    (camera,) = register(database, "north")
    store(database, PEOPLE_COUNTING_RAW, reading(camera, "2024-03-05T10:00"))
    minute = {"sensor_id": camera, "period_end": datetime(2026, 8, 1, tzinfo=UTC), "observed_minutes": 0.0}
    store(database, REALTIME_ANALYTICS, {**minute, "quality": "{}"})
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(
            "UPDATE retail.retention_policies SET days_to_keep = 1 WHERE table_name = 'collection_log' RETURNING 1"
        )
        assert cursor.rowcount == 1
    job = build_defs(clock=Frozen(instant="2026-08-10T02:00:00+00:00")).resolve_job_def("maintenance")
    ended = job.execute_in_process(instance=instance, raise_on_error=False)
    # A policy that cannot be meant fails the op when the others have been applied.
    assert not ended.success
    said = [entry.user_message for entry in instance.all_logs(ended.run_id) if not entry.is_dagster_event]
    assert "people_counting_raw: archived 1 row from before 2024-08-10 as people_counting_raw-2024-03." in said
    assert "realtime_analytics: dropped 1 row from before 2026-08-03." in said
    (wrong,) = (one for one in said if one.startswith("collection_log: its policy was not applied."))
    assert "45 days at least, not 1" in wrong
    (failure,) = (event for event in ended.all_events if event.is_step_failure)
    assert wrong in failure.step_failure_data.error_display_string
    assert database.fetch("SELECT count(*) FROM retail.people_counting_raw") == [(0,)]
    folder = settings.home / "archive" / "people_counting_raw"
    assert sorted(path.name for path in folder.iterdir()) == [
        "people_counting_raw-2024-03.csv.gz",
        "people_counting_raw-2024-03.json",
    ]


def test_dagsters_tables_stand_in_a_schema_of_their_own(database: Database, instance: dg.DagsterInstance) -> None:
    schemas = database.fetch("SELECT schemaname FROM pg_tables WHERE tablename = 'event_logs'")
    assert schemas == [("dagster",)]
    assert instance.get_runs() == []


def test_a_storage_that_is_not_there_is_a_sentence(database: Database) -> None:
    gone = make_url(database.url).set(database="not_there").render_as_string(hide_password=False)
    lost = Database(Settings(database_url=database.url, dagster_database_url=gone))
    with pytest.raises(DatabaseUnavailableError):
        prune(lost, datetime(2026, 1, 1, tzinfo=UTC))
