"""Migrations: `sql/migrations/*.sql`, run in order by Alembic, and the comments that the table contract gives.

`upgrade` is idempotent, one process at a time migrates, and a failure leaves the former state.
"""

from __future__ import annotations

import io

import sqlalchemy
from alembic import command, op
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg2 import sql
from psycopg2.extensions import connection as PgConnection
from sqlalchemy.exc import OperationalError

from retail_sensors.errors import DatabaseUnavailableError
from retail_sensors.storage.database import SUPPORTED_SERVERS, Database
from retail_sensors.storage.sqlfiles import sql_directory
from retail_sensors.tables import TABLES

_VERSION_TABLE = "retail_alembic_version"
_LOCK = 0x7265_7461_696C  # "retail": one migration at a time on one server


def run_sql_file(path: str) -> None:
    """Runs one file below `sql/` in the running revision; offline it is printed."""
    statements = (sql_directory() / path).read_text()
    if op.get_context().as_sql:
        # Colons would be read as parameters.
        op.execute(sqlalchemy.text(statements.replace(":", "\\:")))
        return
    connection = op.get_bind().connection.driver_connection
    if connection is None:  # pragma: no cover -- Alembic hands over an open connection
        raise DatabaseUnavailableError("The migration's connection is closed.")
    with connection.cursor() as cursor:
        cursor.execute(statements)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(sql_directory() / "alembic").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def head() -> str:
    """The newest revision that this version of the project knows."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def current(database: Database) -> str | None:
    """The revision of the database; None: never migrated."""
    try:
        with database.engine.connect() as connection:
            return MigrationContext.configure(connection, opts={"version_table": _VERSION_TABLE}).get_current_revision()
    except OperationalError as error:
        raise database.unavailable(error) from error


def upgrade(database: Database) -> tuple[str | None, str]:
    """Brings the database to the newest revision; returns the former and the new one.

    Raises DatabaseUnavailableError when the server does not answer or is of an unsupported version.
    """
    database.ensure_server()
    version = database.server_version()
    if version not in SUPPORTED_SERVERS:
        raise DatabaseUnavailableError(
            f"The server is PostgreSQL {version}; versions {SUPPORTED_SERVERS[0]} to {SUPPORTED_SERVERS[-1]} are supported."
        )
    config = _config()
    try:
        with database.engine.begin() as connection:
            connection.execute(sqlalchemy.text("SET LOCAL timezone = 'UTC'"))
            connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            before = MigrationContext.configure(
                connection, opts={"version_table": _VERSION_TABLE}
            ).get_current_revision()
            if before != head():
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                driver = connection.connection.driver_connection
                if driver is not None:
                    comment_tables(driver)
            if not database.is_embedded:
                # On a server with one database Dagster's tables get a schema of their own.
                connection.execute(sqlalchemy.text("CREATE SCHEMA IF NOT EXISTS dagster"))
    except OperationalError as error:
        raise database.unavailable(error) from error
    return before, head()


def script() -> str:
    """All migrations as one SQL script for a server that one cannot reach from here."""
    buffer = io.StringIO()
    config = _config()
    config.output_buffer = buffer
    command.upgrade(config, "head", sql=True)
    return buffer.getvalue()


def comment_tables(connection: PgConnection) -> None:
    """Writes each table's and column's description of the contract into the database's own comments."""
    with connection.cursor() as cursor:
        for table in TABLES.values():
            name = sql.Identifier("retail", table.name)
            cursor.execute(sql.SQL("COMMENT ON TABLE {} IS %s").format(name), (table.row,))
            for column in table.columns:
                unit = f" Unit: {column.unit}." if column.unit else ""
                cursor.execute(
                    sql.SQL("COMMENT ON COLUMN {}.{} IS %s").format(name, sql.Identifier(column.name)),
                    (column.description + unit,),
                )
