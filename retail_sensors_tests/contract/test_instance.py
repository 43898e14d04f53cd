"""dagster.yaml as Dagster reads it, and the variables that it asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.storage.tags import REPOSITORY_LABEL_TAG
from dagster_postgres import PostgresEventLogStorage

from retail_sensors.backfill import OF_THE_LOCATION
from retail_sensors.installation import Installation
from retail_sensors.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "dagster.yaml").read_text()


@pytest.fixture
def environment(settings: Settings) -> Iterator[dict[str, str]]:
    """The variables that the command line gives to everything that it starts."""
    installation = Installation(settings)
    yield installation.environment()
    installation.database.dispose()


def asked_for(part: Any) -> set[str]:
    """Variables that a part of the file reads with `env:`."""
    if isinstance(part, dict):
        return {part["env"]} if set(part) == {"env"} else set().union(*(asked_for(value) for value in part.values()))
    if isinstance(part, list):
        return set().union(*(asked_for(value) for value in part))
    return set()


def test_every_variable_that_the_file_reads_is_given(environment: dict[str, str]) -> None:
    assert asked_for(yaml.safe_load(TEXT)) == {"RETAIL_SENSORS_DAGSTER_URL", "RETAIL_SENSORS_DAGSTER_FILES"}
    assert asked_for(yaml.safe_load(TEXT)) <= set(environment)
    assert environment["DAGSTER_HOME"] == str(ROOT)


def test_the_url_names_its_driver(environment: dict[str, str]) -> None:
    assert environment["RETAIL_SENSORS_DAGSTER_URL"].startswith("postgresql+psycopg2://")


def test_the_file_holds_no_url_and_no_secret() -> None:
    settings = "\n".join(line.partition("#")[0] for line in TEXT.splitlines())
    assert not re.search(r"://|password|@", settings)


def test_runs_that_the_daemon_did_not_launch_are_found_on_their_jobs_page() -> None:
    [location] = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]
    name = location["python_module"]["location_name"]
    assert {REPOSITORY_LABEL_TAG: f"{SINGLETON_REPOSITORY_NAME}@{name}"} == OF_THE_LOCATION


def test_dagster_reads_it_as_it_is_meant(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.from_config(str(ROOT)) as instance:
        storage = instance.event_log_storage
        assert isinstance(storage, PostgresEventLogStorage)
        assert storage.postgres_url == environment["RETAIL_SENSORS_DAGSTER_URL"]
        assert instance.get_runs() == []

        assert instance.telemetry_enabled is False

        # A lost worker is noticed and its run started anew; a failed step is not repeated.
        assert instance.run_monitoring_enabled
        assert 0 < instance.run_monitoring_max_runtime_seconds <= 4 * 3600
        assert instance.run_retries_enabled
        assert 1 <= instance.run_retries_max_retries <= 3
        assert instance.run_retries_retry_on_asset_or_op_failure is False

        # Live runs find a free place although a backfill has queued a year.
        queue = instance.get_concurrency_config().run_queue_config
        assert queue is not None
        (limit,) = queue.tag_concurrency_limits
        assert limit["key"] == "dagster/backfill"
        assert limit["limit"] < queue.max_concurrent_runs
        assert instance.get_concurrency_config().pool_config.pool_granularity.value == "run"
        assert (instance.get_concurrency_config().pool_config.default_pool_limit or 0) > 0

        kept = instance.get_settings("retention")
        assert 0 < kept["schedule"]["purge_after_days"] <= 31
        assert all(0 < days <= 31 for days in kept["sensor"]["purge_after_days"].values())
        for kind in ("schedules", "sensors"):
            assert instance.get_settings(kind)["use_threads"]

        files = environment["RETAIL_SENSORS_DAGSTER_FILES"]
        assert instance.storage_directory().startswith(files)
