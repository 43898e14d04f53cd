"""Dagster's own storage in Postgres: keeping it small, and which runs it takes for running. Its tables are Dagster's; only old rows
are deleted here, and none is changed."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy
from sqlalchemy.exc import OperationalError

from retail_sensors.storage.database import Database
from retail_sensors.storage.sqlfiles import queries

_SWEEP = (
    "delete_old_run_events",
    "delete_superseded_events",
    "delete_orphaned_tags",
    "delete_old_runs",
    "delete_old_check_records",
)


def prune(database: Database, before: datetime) -> dict[str, int]:
    """Deletes what is older than `before` and no page of the UI needs; returns the rows deleted by statement.

    Raises DatabaseUnavailableError.
    """
    # Dagster writes its timestamps in UTC without a zone.
    parameters = {"before": before.astimezone(UTC).replace(tzinfo=None)}
    engine = sqlalchemy.create_engine(database.dagster_url)
    deleted = {}
    try:
        for name in _SWEEP:
            # A transaction for each, so that a long sweep holds no locks that a running Dagster waits for.
            with engine.begin() as connection:
                deleted[name] = connection.exec_driver_sql(queries("dagster_storage")[name], parameters).rowcount
    except OperationalError as error:
        raise database.unavailable(error) from error
    finally:
        engine.dispose()
    return deleted


def begun_runs(database: Database) -> list[str]:
    """Ids of the runs that the daemon had launched and that have not ended, as far as Dagster knows.

    Raises DatabaseUnavailableError.
    """
    engine = sqlalchemy.create_engine(database.dagster_url)
    try:
        with engine.connect() as connection:
            if not connection.exec_driver_sql(queries("dagster_storage")["has_runs"]).scalar_one():
                return []
            return list(connection.exec_driver_sql(queries("dagster_storage")["begun_runs"]).scalars())
    except OperationalError as error:
        raise database.unavailable(error) from error
    finally:
        engine.dispose()
