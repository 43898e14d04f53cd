"""One installation: its settings, its database, and the environment that Dagster's processes need.

Everything that the command line starts gets the same environment from here, so that the UI, the daemon and a run in
this process see one instance.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg2
import sqlalchemy
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from retail_sensors.errors import ConfigurationError, DatabaseUnavailableError
from retail_sensors.settings import Settings, load_settings, project_root
from retail_sensors.storage import migrations
from retail_sensors.storage.database import Database

if TYPE_CHECKING:
    import dagster as dg

_EVENT_BATCH_SIZE = "500"
"""Dagster writes one event per partition, each on a new connection: batches take half the time (24 hours x 6 assets)."""


class Installation:
    """This project folder with its settings and database; nothing is started before it is needed."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or load_settings()
        self.root = project_root()

    @cached_property
    def database(self) -> Database:
        """The migrated database; the embedded server is started where it is ours.

        Raises DatabaseUnavailableError.
        """
        database = Database(self.settings)
        migrations.upgrade(database)
        return database

    @property
    def files(self) -> Path:
        """Folder of Dagster's logs and artifacts."""
        return self.settings.home / "dagster"

    def environment(self) -> dict[str, str]:
        """The variables that dagster.yaml and the code location read."""
        if not (self.root / "dagster.yaml").is_file():
            raise ConfigurationError(
                f"There is no dagster.yaml in {self.root}; run the command in the project folder, which holds it."
            )
        self.files.mkdir(parents=True, exist_ok=True)
        return {
            "DAGSTER_HOME": str(self.root),
            "RETAIL_SENSORS_DAGSTER_URL": self.database.dagster_url,
            "RETAIL_SENSORS_DAGSTER_FILES": str(self.files),
            "RETAIL_SENSORS_HOME": str(self.settings.home),
            "DAGSTER_EVENT_BATCH_SIZE": os.environ.get("DAGSTER_EVENT_BATCH_SIZE", _EVENT_BATCH_SIZE),
        }

    def dagster_instance(self) -> dg.DagsterInstance:
        """Dagster's instance in this process, the same that the UI shows.

        Raises DatabaseUnavailableError when its storage does not answer.
        """
        os.environ.update(self.environment())
        with self.storage_reached():
            # Dagster itself would ask five times more, and write a warning for each.
            engine = sqlalchemy.create_engine(self.database.dagster_url, connect_args={"connect_timeout": 10})
            engine.connect().close()
            engine.dispose()
            import dagster as dg

            return dg.DagsterInstance.get()

    @contextmanager
    def storage_reached(self) -> Iterator[None]:
        """Turns what Dagster raises when its storage breaks off into a DatabaseUnavailableError."""
        try:
            yield
        except Exception as error:
            cause = _database_error(error)
            if cause is None:
                raise
            url = make_url(self.database.dagster_url)
            where = f"{url.host or url.query.get('host')}:{url.port or 5432}/{url.database}"
            words = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
            raise DatabaseUnavailableError(
                f"Dagster's storage at {where} does not answer ({words}); check that the server runs and that "
                "RETAIL_SENSORS_DAGSTER_DATABASE_URL, where it is set, is right."
            ) from error


@contextmanager
def opened() -> Iterator[Installation]:
    """An installation whose database is let go when the block ends."""
    installation = Installation()
    try:
        yield installation
    finally:
        if "database" in installation.__dict__:
            installation.database.dispose()


def _database_error(error: BaseException | None) -> BaseException | None:
    """The driver's own error behind what Dagster raised; None: it was not the database."""
    while error is not None:
        if isinstance(error, DBAPIError):
            error = error.orig
        if isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
            return error
        error = None if error is None else error.__cause__ or error.__context__
    return None
