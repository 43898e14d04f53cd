"""Dagster's own storage, in Postgres and in files: keeping it small, and which runs it takes for running. It is Dagster's: what is old
is deleted here, and nothing is changed."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

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


def prune_files(folder: Path, before: datetime) -> int:
    """Deletes what runs and ticks wrote to their output before then, which Dagster keeps for ever: three files a run, one a tick;
    returns how many."""
    deleted = 0
    for path in (*folder.glob("*/compute_logs/*"), *folder.glob("__repository__/*/*")):
        with suppress(FileNotFoundError):
            if path.is_file() and path.stat().st_mtime < before.timestamp():
                path.unlink()
                deleted += 1
    for emptied in (*folder.glob("*/compute_logs"), *folder.glob("*-*-*-*-*")):
        # One that holds something is of a newer run.
        with suppress(OSError):
            emptied.rmdir()
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
