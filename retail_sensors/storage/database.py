"""The database: one place where connections are made.

Every connection runs in UTC and answers within a bounded time. Which server it is, the embedded one or a hosted one, is
decided here once; SQL belongs in `sql/`, the merge of frames in `storage.merge`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import psycopg2
import sqlalchemy
from psycopg2.extensions import connection as PgConnection
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import OperationalError

from retail_sensors.errors import DatabaseUnavailableError
from retail_sensors.settings import Settings
from retail_sensors.storage.embedded import EmbeddedPostgres

DATA_DATABASE = "retail_sensors"
DAGSTER_DATABASE = "dagster"
SUPPORTED_SERVERS = range(15, 19)


class Database:
    """The data's database of one installation; connections are opened when first needed and pooled."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def is_embedded(self) -> bool:
        """Whether the server is our own, under `RETAIL_SENSORS_HOME`."""
        return self._settings.database_url is None

    @cached_property
    def server(self) -> EmbeddedPostgres:
        """The embedded server; only meaningful where `is_embedded`."""
        return EmbeddedPostgres(self._settings.home)

    def ensure_server(self) -> None:
        """Starts the embedded server with its two databases where it is ours and not yet there.

        Raises DatabaseUnavailableError.
        """
        if self.is_embedded:
            self.server.start()
            self.server.ensure_database(DATA_DATABASE)
            self.server.ensure_database(DAGSTER_DATABASE)

    @property
    def url(self) -> str:
        """URL of the data's database that SQLAlchemy can open."""
        return self._settings.database_url or self.server.url(DATA_DATABASE)

    @property
    def libpq_url(self) -> str:
        """The same database for psql and other libpq programs."""
        return make_url(self.url).set(drivername="postgresql").render_as_string(hide_password=False)

    @property
    def dagster_url(self) -> str:
        """URL of Dagster's own storage.

        On a hosted server without a URL of its own it is a schema of its own in the data's database.
        """
        if self._settings.dagster_database_url:
            return self._settings.dagster_database_url
        if self.is_embedded:
            return self.server.url(DAGSTER_DATABASE)
        url = make_url(self.url)
        options = " ".join(filter(None, [str(url.query.get("options", "")), "-csearch_path=dagster"]))
        return url.update_query_dict({"options": options}).render_as_string(hide_password=False)

    @cached_property
    def engine(self) -> Engine:
        """The pool of connections, each in UTC."""
        return sqlalchemy.create_engine(
            self.url,
            connect_args={"connect_timeout": 10, "application_name": "retail_sensors"},
            pool_pre_ping=True,
            pool_size=4,
            max_overflow=8,
        )

    @contextmanager
    def transaction(self) -> Iterator[PgConnection]:
        """One connection and one transaction: committed at the end, rolled back on any error.

        Raises DatabaseUnavailableError when the server does not answer.
        """
        try:
            pooled = self.engine.raw_connection()
        except OperationalError as error:
            raise self.unavailable(error) from error
        try:
            connection = pooled.driver_connection
            if connection is None:  # pragma: no cover -- the pool hands out open connections
                raise DatabaseUnavailableError("The database connection was closed while it was taken from the pool.")
            with connection.cursor() as cursor:
                # A server's or role's own zone would decide which day a window means.
                cursor.execute("SET timezone = 'UTC'")
            yield connection
            connection.commit()
        except psycopg2.OperationalError as error:
            pooled.invalidate()
            raise self.unavailable(error) from error
        except BaseException:
            if pooled.is_valid:
                pooled.rollback()
            raise
        finally:
            pooled.close()

    def unavailable(self, error: Exception) -> DatabaseUnavailableError:
        """The sentence for a server that does not answer; it holds no password."""
        url = make_url(self.url)
        where = f"{url.host or url.query.get('host')}:{url.port or 5432}/{url.database}"
        cause = str(getattr(error, "orig", error)).strip().splitlines()
        remedy = (
            "`retail-sensors db start` starts the embedded server"
            if self.is_embedded
            else "check that the server runs and that RETAIL_SENSORS_DATABASE_URL is right"
        )
        return DatabaseUnavailableError(
            f"The database at {where} does not answer ({cause[0] if cause else error}); {remedy}."
        )

    def fetch(self, sql: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows of one statement in a transaction of its own."""
        with self.transaction() as connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall()

    def server_version(self) -> int:
        """The server's major version."""
        return int(self.fetch("SHOW server_version_num")[0][0]) // 10000

    def dispose(self) -> None:
        """Closes the pooled connections."""
        if "engine" in self.__dict__:
            self.engine.dispose()
