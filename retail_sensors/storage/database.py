"""The database: one place where connections are made.

Every connection runs in UTC, in UTF-8 and reads what is committed, whatever the server or the role has for defaults; a
server that is not there is noticed within a bounded time. Which server it is, the embedded one or a hosted one, is
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

_CONNECTION = {
    "connect_timeout": 10,
    "application_name": "retail_sensors",
    "client_encoding": "utf8",
    # A server that vanished from the network without a word is noticed in about a minute.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
_OTHER_SCHEMA = (
    psycopg2.errors.UndefinedTable,
    psycopg2.errors.UndefinedColumn,
    psycopg2.errors.UndefinedFunction,
    psycopg2.errors.InvalidSchemaName,
)


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
    def dagster_schema(self) -> str | None:
        """Schema of Dagster's own storage within the data's database; None: it has a database of its own."""
        return None if self._settings.dagster_database_url or self.is_embedded else "dagster"

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
        options = " ".join(filter(None, [str(url.query.get("options", "")), f"-csearch_path={self.dagster_schema}"]))
        return url.update_query_dict({"options": options}).render_as_string(hide_password=False)

    @cached_property
    def engine(self) -> Engine:
        """The pool of connections, each in UTC."""
        return sqlalchemy.create_engine(
            self.url,
            connect_args=_CONNECTION,
            # A writer that has waited for another must see what that one has committed.
            isolation_level="READ COMMITTED",
            pool_pre_ping=True,
            pool_size=4,
            max_overflow=8,
        )

    @contextmanager
    def transaction(self) -> Iterator[PgConnection]:
        """One connection and one transaction: committed at the end, rolled back on any error.

        Raises DatabaseUnavailableError when the server does not answer, gives up, or lacks this version's tables.
        """
        try:
            pooled = self.engine.raw_connection()
        except (OperationalError, psycopg2.OperationalError) as error:
            # A raw connection's first failure comes from the driver itself, unwrapped.
            raise self.unavailable(error) from error
        connection = pooled.driver_connection
        try:
            if connection is None:  # pragma: no cover -- the pool hands out open connections
                raise DatabaseUnavailableError("The database connection was closed while it was taken from the pool.")
            with connection.cursor() as cursor:
                # A server's or role's own zone would decide which day a window means.
                cursor.execute("SET timezone = 'UTC'")
            yield connection
            connection.commit()
        except BaseException as error:
            if connection is None or connection.closed:
                pooled.invalidate()
            else:
                connection.rollback()
            if isinstance(error, psycopg2.OperationalError) or (
                # psycopg2 says so of a connection that was found dead one statement before.
                isinstance(error, psycopg2.InterfaceError) and connection is not None and connection.closed
            ):
                raise self.unavailable(error) from error
            if isinstance(error, _OTHER_SCHEMA):
                raise DatabaseUnavailableError(
                    f"The database at {self._where} lacks what this version needs ({_first_line(error)}); run "
                    "`retail-sensors db upgrade`."
                ) from error
            if isinstance(error, psycopg2.errors.InsufficientPrivilege):
                raise DatabaseUnavailableError(
                    f"The database at {self._where} refuses ({_first_line(error)}); let its owner grant that to the user "
                    "of RETAIL_SENSORS_DATABASE_URL."
                ) from error
            raise
        finally:
            pooled.close()

    def unavailable(self, error: Exception) -> DatabaseUnavailableError:
        """The sentence for a server that does not answer, or that broke off a transaction; it holds no password."""
        cause = getattr(error, "orig", error)
        code = getattr(cause, "pgcode", None)
        if code is not None and not code.startswith(("08", "57P")):
            return DatabaseUnavailableError(
                f"The database at {self._where} broke off ({_first_line(cause)}); nothing was written, try again."
            )
        remedy = (
            "`retail-sensors db start` starts the embedded server"
            if self.is_embedded
            else "check that the server runs and that RETAIL_SENSORS_DATABASE_URL is right"
        )
        return DatabaseUnavailableError(
            f"The database at {self._where} does not answer ({_first_line(cause)}); {remedy}."
        )

    @property
    def _where(self) -> str:
        url = make_url(self.url)
        return f"{url.host or url.query.get('host')}:{url.port or 5432}/{url.database}"

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


def _first_line(error: object) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
