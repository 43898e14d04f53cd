"""The Postgres IO manager in real Dagster runs on a real Postgres: what assets store, load, show and may not do."""

import threading
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from retail_sensors.errors import ContractError
from retail_sensors.io_managers.postgres import PostgresIOManager
from retail_sensors.partitions import DAILY, DAYS_POLICY, HOURLY, HOURS_OF_DAY, HOURS_POLICY, range_tags
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.storage.collections import CollectedWindow
from retail_sensors.storage.database import Database
from retail_sensors.tables import COUNTING_LINES, DAILY_ANALYTICS, HOURLY_ANALYTICS, PEOPLE_COUNTING_RAW, STORES
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

pytestmark = [
    # Parts of Dagster that are beta and are used here on purpose, and Dagster's own use of what it calls deprecated.
    pytest.mark.filterwarnings("ignore:Parameter .* is currently in beta"),
    pytest.mark.filterwarnings("ignore:InitResourceContext.dagster_run is deprecated"),
]

NINE = utc("2026-02-02T09:00")
KEY = "2026-02-02-09:00"
HOURLY_METADATA = {"partition_expr": "hour_start"}


@pytest.fixture(autouse=True)
def installation(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings name the test's database."""
    monkeypatch.setenv("RETAIL_SENSORS_DATABASE_URL", database_url)


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def asset_of(
    frame: Any,
    *,
    name: str = "hourly_analytics",
    metadata: Mapping[str, Any] = HOURLY_METADATA,
    partitions_def: dg.PartitionsDefinition[Any] | None = HOURLY,
    **options: Any,
) -> dg.AssetsDefinition:
    """An asset that returns the frame, or what `frame` makes of the run's context."""

    @dg.asset(
        name=name,
        metadata=metadata,
        partitions_def=partitions_def,
        backfill_policy=HOURS_POLICY if partitions_def else None,
        **options,
    )
    def made(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        return dg.MaterializeResult(value=frame(context) if callable(frame) else frame)

    return made


def run(
    instance: dg.DagsterInstance,
    *assets: dg.AssetsDefinition,
    key: str | None = KEY,
    keys: tuple[str, str] | None = None,
    fails: bool = False,
) -> dg.ExecuteInProcessResult:
    """One run of the assets, over one partition or over a range of them."""
    resources = {"io_manager": PostgresIOManager(database=DatabaseResource())}
    job = dg.Definitions(
        assets=list(assets), jobs=[dg.define_asset_job("all_assets")], resources=resources
    ).resolve_job_def("all_assets")
    result = job.execute_in_process(
        instance=instance,
        partition_key=key if keys is None else None,
        tags=range_tags(*keys) if keys else None,
        raise_on_error=False,
    )
    assert result.success is not fails, [event.step_failure_data for event in result.get_step_failure_events()]
    return result


def refusal(instance: dg.DagsterInstance, *assets: dg.AssetsDefinition, key: str | None = KEY) -> str:
    """The sentence with which a run of the assets fails; nothing is materialized by it."""
    result = run(instance, *assets, key=key, fails=True)
    assert not result.get_asset_materialization_events()
    (failure,) = result.get_step_failure_events()
    error = failure.step_failure_data.error
    while error is not None and error.cls_name != ContractError.__name__:
        error = error.cause
    assert error is not None, failure.step_failure_data.error
    return error.message


def shown(result: dg.ExecuteInProcessResult, asset: str = "hourly_analytics") -> dict[str, Any]:
    """Metadata of the asset's first materialization in the run."""
    (first, *_) = result.asset_materializations_for_node(asset)
    return {name: value.value for name, value in first.metadata.items()}


# Storing ----------------------------------------------------------------------------------------------------------------


def test_replacing_swaps_the_runs_window_and_says_what_it_did(database: Database, instance: dg.DagsterInstance) -> None:
    a, b = register(database, "a", "b")
    store(database, HOURLY_ANALYTICS, *(hour(a, NINE + hours * HOUR, 1.0) for hours in (-1, 0, 1)), hour(b, NINE, 1.0))
    before = versions(database, HOURLY_ANALYTICS)
    half_past = hour(a, NINE + HOUR / 2, 5.0)
    result = run(instance, asset_of(frame_of(HOURLY_ANALYTICS, hour(a, NINE, 2.0), half_past)))
    assert [(at, float(value)) for at, value in stored(database, HOURLY_ANALYTICS, "hour_start", "total_entries")] == [
        (NINE - HOUR, 1.0),
        (NINE, 2.0),
        (NINE + HOUR / 2, 5.0),
        (NINE + HOUR, 1.0),
    ]
    neighbours = {key for key in before if key[0] == a and "09:00" not in key[1]}
    after = versions(database, HOURLY_ANALYTICS)
    assert len(neighbours) == 2
    assert {key: after[key] for key in neighbours} == {key: before[key] for key in neighbours}
    metadata = shown(result)
    assert metadata["dagster/partition_row_count"] == 2
    assert metadata["dagster/table_name"] == "retail.hourly_analytics"
    assert {name: metadata[f"rows {name}"] for name in ("inserted", "changed", "unchanged", "deleted")} == {
        "inserted": 1,
        "changed": 1,
        "unchanged": 0,
        "deleted": 1,
    }
    # What the page shows can be pasted into psql and gives these rows.
    assert len(database.fetch(metadata["Query"])) == 2


def test_an_unchanged_run_changes_no_row(database: Database, instance: dg.DagsterInstance) -> None:
    (camera,) = register(database, "a")
    asset = asset_of(frame_of(HOURLY_ANALYTICS, hour(camera, NINE)))
    run(instance, asset)
    before = versions(database, HOURLY_ANALYTICS)
    assert shown(run(instance, asset))["rows unchanged"] == 1
    assert versions(database, HOURLY_ANALYTICS) == before


def test_an_empty_frame_empties_the_window(database: Database, instance: dg.DagsterInstance) -> None:
    (camera,) = register(database, "a")
    store(database, HOURLY_ANALYTICS, *(hour(camera, NINE + hours * HOUR) for hours in range(3)))
    result = run(instance, asset_of(frame_of(HOURLY_ANALYTICS)), key="2026-02-02-10:00")
    assert [row[0] for row in stored(database, HOURLY_ANALYTICS, "hour_start")] == [NINE, NINE + 2 * HOUR]
    assert shown(result)["dagster/partition_row_count"] == 0


def test_a_range_is_one_window(database: Database, instance: dg.DagsterInstance) -> None:
    (camera,) = register(database, "a")
    store(database, HOURLY_ANALYTICS, *(hour(camera, NINE + hours * HOUR, 1.0) for hours in range(-1, 5)))
    seen: list[tuple[datetime, datetime]] = []

    def frame(context: dg.AssetExecutionContext) -> pd.DataFrame:
        seen.append((context.partition_time_window.start, context.partition_time_window.end))
        return frame_of(HOURLY_ANALYTICS, hour(camera, NINE, 2.0), hour(camera, NINE + 2 * HOUR, 2.0))

    result = run(instance, asset_of(frame), keys=(KEY, "2026-02-02-12:00"))
    assert seen == [(NINE, NINE + 4 * HOUR)]
    assert [float(value) for (value,) in stored(database, HOURLY_ANALYTICS, "total_entries")] == [1.0, 2.0, 2.0, 1.0]
    assert len(result.get_asset_materialization_events()) == 4


def test_merging_keeps_the_window_and_refuses_lower_counts(database: Database, instance: dg.DagsterInstance) -> None:
    (camera,) = register(database, "a")
    half_past = NINE + HOUR / 2
    store(database, PEOPLE_COUNTING_RAW, reading(camera, NINE), reading(camera, half_past))
    merged = asset_of(
        frame_of(PEOPLE_COUNTING_RAW, reading(camera, NINE, line1_in=0)),
        name="people_counting_raw",
        metadata={"partition_expr": "timestamp", "write_mode": "merge"},
    )
    result = run(instance, merged)
    assert stored(database, PEOPLE_COUNTING_RAW, "timestamp", "line1_in") == [(NINE, 10), (half_past, 10)]
    assert database.fetch("SELECT action, run_id FROM retail.raw_revisions") == [("refused", result.run_id)]
    assert shown(result, "people_counting_raw")["dagster/partition_row_count"] == 2


def test_daily_dates_are_replaced_as_dates(database: Database, instance: dg.DagsterInstance) -> None:
    (camera,) = register(database, "a", zone="Pacific/Auckland")
    dates = [date(2026, 2, number) for number in (1, 2, 3)]
    store(database, DAILY_ANALYTICS, *(day(camera, number, 1.0) for number in dates))
    asset = asset_of(
        frame_of(DAILY_ANALYTICS, day(camera, dates[1], 2.0)),
        name="daily_analytics",
        metadata={"partition_expr": "date"},
        partitions_def=DAILY,
    )
    result = run(instance, asset, key="2026-02-02")
    assert [float(value) for (value,) in stored(database, DAILY_ANALYTICS, "total_visitors")] == [1.0, 2.0, 1.0]
    assert len(database.fetch(shown(result, "daily_analytics")["Query"])) == 1


def test_without_partitions_a_whole_table_is_merged_and_counted(
    database: Database, instance: dg.DagsterInstance
) -> None:
    (camera,) = register(database, "a")
    lines = frame_of(
        COUNTING_LINES,
        {"sensor_id": camera, "line_number": 1, "role": "entrance", "is_inverted": False},
        {"sensor_id": camera, "line_number": 2, "role": "passerby", "is_inverted": False},
    )
    asset = asset_of(lines, name="counting_lines", metadata={"write_mode": "merge"}, partitions_def=None)
    metadata = shown(run(instance, asset, key=None), "counting_lines")
    assert (metadata["dagster/row_count"], metadata["rows inserted"]) == (2, 2)


# Loading ----------------------------------------------------------------------------------------------------------------


def load(
    instance: dg.DagsterInstance,
    upstream: dg.AssetsDefinition,
    *,
    partitions_def: dg.PartitionsDefinition[Any] | None = HOURLY,
    key: str | None = KEY,
    keys: tuple[str, str] | None = None,
    mapping: dg.PartitionMapping | None = None,
    columns: list[str] | None = None,
) -> pd.DataFrame:
    """What an asset downstream of `upstream` is given in a run of its own."""
    given: list[pd.DataFrame] = []

    @dg.asset(
        partitions_def=partitions_def,
        backfill_policy=DAYS_POLICY,
        io_manager_def=dg.mem_io_manager,
        ins={
            "frame": dg.AssetIn(
                key=upstream.key,
                partition_mapping=mapping,
                input_manager_key="io_manager",
                metadata={"columns": columns} if columns else None,
            )
        },
    )
    def reader(frame: pd.DataFrame) -> int:
        given.append(frame)
        return len(frame)

    resources = {"io_manager": PostgresIOManager(database=DatabaseResource())}
    job = dg.Definitions(
        assets=[upstream, reader],
        jobs=[dg.define_asset_job("reading", selection=dg.AssetSelection.assets(reader))],
        resources=resources,
    ).resolve_job_def("reading")
    job.execute_in_process(
        instance=instance, partition_key=key if keys is None else None, tags=range_tags(*keys) if keys else None
    )
    return given[0]


def test_an_input_is_the_window_of_its_partitions_in_the_order_of_the_key(
    database: Database, instance: dg.DagsterInstance
) -> None:
    a, b = sorted(register(database, "a", "b"))
    store(database, HOURLY_ANALYTICS, *(hour(camera, NINE + hours * HOUR) for camera in (b, a) for hours in range(4)))
    upstream = asset_of(frame_of(HOURLY_ANALYTICS))
    one = load(instance, upstream)
    assert list(one["sensor_id"]) == [a, b]
    assert set(one["hour_start"]) == {NINE}
    assert {name: str(dtype) for name, dtype in one.dtypes.items()} == {
        column.name: column.kind.pandas for column in HOURLY_ANALYTICS.columns
    }
    two = load(instance, upstream, keys=("2026-02-02-10:00", "2026-02-02-11:00"))
    assert list(two["hour_start"]) == [NINE + HOUR, NINE + 2 * HOUR] * 2


def test_an_input_may_name_its_columns(database: Database, instance: dg.DagsterInstance) -> None:
    (camera,) = register(database, "a")
    store(database, HOURLY_ANALYTICS, hour(camera, NINE, 7.0))
    frame = load(instance, asset_of(frame_of(HOURLY_ANALYTICS)), columns=["total_entries", "hour_start"])
    pd.testing.assert_frame_equal(
        frame,
        pd.DataFrame(
            {
                "total_entries": pd.Series([7.0], dtype="Float64"),
                "hour_start": pd.Series([NINE], dtype="datetime64[us, UTC]"),
            }
        ),
    )


def test_a_day_reads_the_hours_of_one_day_either_side(database: Database, instance: dg.DagsterInstance) -> None:
    (camera,) = register(database, "a")
    midnight = utc("2026-02-02")
    instants = [midnight + hours * HOUR for hours in (-25, -24, 0, 47, 48)]
    store(database, HOURLY_ANALYTICS, *(hour(camera, at) for at in instants))
    upstream = asset_of(frame_of(HOURLY_ANALYTICS))
    frame = load(instance, upstream, partitions_def=DAILY, key="2026-02-02", mapping=HOURS_OF_DAY)
    assert list(frame["hour_start"]) == instants[1:4]


def test_the_first_day_of_all_reads_the_hours_that_exist(database: Database, instance: dg.DagsterInstance) -> None:
    (camera,) = register(database, "a")
    first = utc("2023-01-01")
    store(database, HOURLY_ANALYTICS, hour(camera, first), hour(camera, first + 47 * HOUR))
    upstream = asset_of(frame_of(HOURLY_ANALYTICS))
    assert len(load(instance, upstream, partitions_def=DAILY, key="2023-01-01", mapping=HOURS_OF_DAY)) == 2


def test_an_input_without_any_partition_is_an_empty_frame(database: Database, instance: dg.DagsterInstance) -> None:
    upstream = asset_of(frame_of(HOURLY_ANALYTICS))
    beyond = dg.TimeWindowPartitionMapping(start_offset=-24, end_offset=-24, allow_nonexistent_upstream_partitions=True)
    frame = load(instance, upstream, key="2023-01-01-05:00", mapping=beyond)
    assert frame.empty
    assert list(frame.columns) == list(HOURLY_ANALYTICS.names)


def test_a_table_without_partitions_is_loaded_whole(database: Database, instance: dg.DagsterInstance) -> None:
    register(database, "a")
    register(database, "b")
    upstream = dg.AssetSpec("stores").with_io_manager_key("io_manager")
    given: list[pd.DataFrame] = []

    @dg.asset(io_manager_def=dg.mem_io_manager, ins={"frame": dg.AssetIn(key="stores", input_manager_key="io_manager")})
    def reader(frame: pd.DataFrame) -> int:
        given.append(frame)
        return len(frame)

    resources = {"io_manager": PostgresIOManager(database=DatabaseResource())}
    assert dg.materialize([upstream, reader], selection=[reader], resources=resources, instance=instance).success
    assert list(given[0].columns) == list(STORES.names)
    assert sorted(given[0]["store_name"]) == ["a store", "b store"]


def test_what_was_stored_comes_back_in_the_next_asset_of_the_run(
    database: Database, instance: dg.DagsterInstance
) -> None:
    (camera,) = register(database, "a")
    frame = frame_of(HOURLY_ANALYTICS, hour(camera, NINE, 2.5, line_distribution='{"1": 1.0}', avg_occupancy=0.1))

    @dg.asset(partitions_def=HOURLY, backfill_policy=HOURS_POLICY, io_manager_def=dg.mem_io_manager)
    def reader(hourly_analytics: pd.DataFrame) -> pd.DataFrame:
        return hourly_analytics

    came = run(instance, asset_of(frame), reader).output_for_node("reader")
    pd.testing.assert_frame_equal(came[list(frame.columns)], frame)


# Refusing ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda frame: frame.drop(columns="visitors"), "the frame lacks the column(s) visitors; add them"),
        (lambda frame: frame.assign(weather="sunny"), "the frame has the undeclared column(s) weather; drop them"),
        (lambda frame: frame.assign(updated_at=NINE), "Postgres computes them, so drop them"),
        (lambda frame: frame.assign(total_entries="many"), "column total_entries: the dtype str is not Float64"),
        (
            lambda frame: frame.assign(hour_start=frame["hour_start"].dt.tz_localize(None)),
            "column hour_start: the dtype datetime64[us] is not datetime64[us, UTC]",
        ),
        (lambda frame: frame.assign(sensor_id=None), "column sensor_id: 1 value(s) are NULL"),
        (lambda frame: pd.concat([frame, frame]), "2 rows share their key (sensor_id, hour_start)"),
        (lambda frame: frame.assign(avg_occupancy=float("inf")), "column avg_occupancy: a value is infinite"),
        (
            lambda frame: frame.assign(hour_start=frame["hour_start"] + HOUR),
            "column hour_start: 1 row(s) lie outside of the window 2026-02-02T09:00:00+00:00",
        ),
        (lambda frame: frame.assign(data_completeness=2.0), "data_completeness_is_a_share"),
    ],
)
def test_a_breach_of_the_contract_fails_the_step_and_leaves_the_rows(
    database: Database, instance: dg.DagsterInstance, change: Any, said: str
) -> None:
    (camera,) = register(database, "a")
    store(database, HOURLY_ANALYTICS, hour(camera, NINE))
    before = versions(database, HOURLY_ANALYTICS)
    sentence = refusal(instance, asset_of(change(frame_of(HOURLY_ANALYTICS, hour(camera, NINE, 2.0)))))
    assert "Asset hourly_analytics, table retail.hourly_analytics" in sentence
    assert said in sentence
    assert versions(database, HOURLY_ANALYTICS) == before


STATIC = dg.StaticPartitionsDefinition(["a'; DROP SCHEMA retail; --"])


@pytest.mark.parametrize(
    ("options", "key", "said"),
    [
        ({"name": "weather"}, KEY, "table retail.weather is not declared; declare it in retail_sensors/tables"),
        ({"metadata": {**HOURLY_METADATA, "schema": "public"}}, KEY, "table public.hourly_analytics is not declared"),
        (
            {"metadata": {**HOURLY_METADATA, "write_mode": "append"}},
            KEY,
            "write_mode 'append' is unknown; write 'replace'",
        ),
        (
            {"metadata": {"partition_expr": "sensor_id"}},
            KEY,
            "is not the time column of retail.hourly_analytics; write",
        ),
        ({"metadata": {"partition_expr": "hour_start; DROP SCHEMA retail"}}, KEY, "partition_expr: 'hour_start'"),
        ({"partitions_def": STATIC}, STATIC.get_partition_keys()[0], "are not a time window"),
        ({"partitions_def": None}, None, "write_mode replace needs partitions; use merge"),
    ],
)
def test_an_asset_that_cannot_be_meant_is_refused(
    database: Database, instance: dg.DagsterInstance, options: dict[str, Any], key: str | None, said: str
) -> None:
    (camera,) = register(database, "a")
    sentence = refusal(instance, asset_of(frame_of(HOURLY_ANALYTICS, hour(camera, NINE)), **options), key=key)
    assert said in sentence
    assert stored(database, HOURLY_ANALYTICS, "sensor_id") == []


def test_a_collection_loads_only_as_a_frame(database: Database, instance: dg.DagsterInstance) -> None:
    @dg.asset(partitions_def=HOURLY, backfill_policy=HOURS_POLICY, io_manager_def=dg.mem_io_manager)
    def reader(hourly_analytics: CollectedWindow) -> int:
        return 0

    result = run(instance, asset_of(frame_of(HOURLY_ANALYTICS)), reader, fails=True)
    (failure,) = result.get_step_failure_events()
    assert "annotate the input with pd.DataFrame" in str(failure.step_failure_data.error)


# Connections ------------------------------------------------------------------------------------------------------------


def test_a_run_leaves_no_connection_behind(database: Database, instance: dg.DagsterInstance) -> None:
    (camera,) = register(database, "a")
    database.dispose()
    run(instance, asset_of(frame_of(HOURLY_ANALYTICS, hour(camera, NINE))))
    left = database.fetch(
        "SELECT pid, query FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND application_name LIKE 'retail_sensors%'"
    )
    assert left == []


def test_two_runs_of_one_window_leave_the_rows_of_one_of_them(database: Database) -> None:
    cameras = register(database, "a", "b")
    barrier = threading.Barrier(2)

    def write(camera: str) -> None:
        def frame(_: dg.AssetExecutionContext) -> pd.DataFrame:
            barrier.wait(120)
            return frame_of(
                HOURLY_ANALYTICS, *(hour(camera, NINE + minutes * timedelta(minutes=1)) for minutes in range(60))
            )

        with dg.DagsterInstance.ephemeral() as own:
            run(own, asset_of(frame))

    threads = [threading.Thread(target=write, args=(camera,)) for camera in cameras]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    left = database.fetch("SELECT sensor_id::text, count(*) FROM retail.hourly_analytics GROUP BY sensor_id")
    assert left in ([(cameras[0], 60)], [(cameras[1], 60)])
