"""Migrations: `sql/migrations/*.sql`, run in order by Alembic, and the comments that the table contract gives.

`upgrade` is idempotent, one process at a time migrates, and a failure leaves the former state.
"""

from __future__ import annotations

import io

import psycopg2
import sqlalchemy
from alembic import command, op
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError

from retail_sensors.errors import ConfigurationError, DatabaseUnavailableError
from retail_sensors.storage.database import SUPPORTED_SERVERS, Database
from retail_sensors.storage.sqlfiles import sql_directory
from retail_sensors.tables import TABLES
from retail_sensors.tables.views import VIEWS

VERSION_TABLE = {"version_table": "retail_alembic_version", "version_table_schema": "public"}
"""Where the revision stands: not in schema `retail`, which a downgrade drops, nor where a role's search path leads."""

_DAGSTER_SCHEMA = "CREATE SCHEMA IF NOT EXISTS dagster"
_LOCK = 0x7265_7461_696C  # "retail": one migration at a time on one server


def run_sql_file(path: str) -> None:
    """Runs one file below `sql/` in the running revision; offline it is printed."""
    statements = (sql_directory() / path).read_text()
    if op.get_context().as_sql:
        # Colons would be read as parameters.
        op.execute(sqlalchemy.text(statements.replace(":", "\\:")))
        return
    _execute(op.get_bind(), statements)


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
            return _revision(connection)
    except OperationalError as error:
        raise database.unavailable(error) from error


def upgrade(database: Database) -> tuple[str | None, str]:
    """Brings the database to the newest revision; returns the former and the new one.

    Raises DatabaseUnavailableError when the server does not answer, is of an unsupported version or refuses a statement,
    and ConfigurationError when a newer version of the project has migrated the database.
    """
    database.ensure_server()
    version = database.server_version()
    if version not in SUPPORTED_SERVERS:
        raise DatabaseUnavailableError(
            f"The server is PostgreSQL {version}; versions {SUPPORTED_SERVERS[0]} to {SUPPORTED_SERVERS[-1]} are supported."
        )
    config = _config()
    before: str | None = None
    try:
        with database.engine.begin() as connection:
            connection.execute(sqlalchemy.text("SET LOCAL timezone = 'UTC'"))
            connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            before = _revision(connection)
            known = {revision.revision for revision in ScriptDirectory.from_config(config).walk_revisions()}
            if before is not None and before not in known:
                raise ConfigurationError(
                    f"The database is at revision {before}, which this version does not know (its newest is {head()}); "
                    "use the version of the project that has migrated it, or a newer one."
                )
            if before != head():
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                _execute(connection, comments())
            # On a server with one database Dagster's tables get a schema of their own.
            if database.dagster_schema and not sqlalchemy.inspect(connection).has_schema(database.dagster_schema):
                connection.execute(sqlalchemy.text(_DAGSTER_SCHEMA))
    except OperationalError as error:
        raise database.unavailable(error) from error
    except psycopg2.Error as error:
        message = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DatabaseUnavailableError(
            f"The database could not be brought from revision {before or 'none'} to {head()} ({message}); it was left as it "
            "was. Mend that and run `retail-sensors db upgrade`."
        ) from error
    return before, head()


def script() -> str:
    """All migrations as one SQL script for an empty database that one cannot reach from here."""
    buffer = io.StringIO()
    config = _config()
    config.output_buffer = buffer
    command.upgrade(config, "head", sql=True)
    return f"{buffer.getvalue()}BEGIN;\n\n{comments()}\n\n{_DAGSTER_SCHEMA};\n\nCOMMIT;\n"


def comments() -> str:
    """Statements that write the description of each table, view and column of the contract into the database's own comments."""
    statements = []
    for kind, relation in [("TABLE", table) for table in TABLES.values()] + [("VIEW", view) for view in VIEWS.values()]:
        name = f'retail."{relation.name}"'
        statements.append(f"COMMENT ON {kind} {name} IS {_literal(relation.row)};")
        for column in relation.columns:
            unit = f" Unit: {column.unit}." if column.unit else ""
            statements.append(f'COMMENT ON COLUMN {name}."{column.name}" IS {_literal(column.description + unit)};')
    return "\n".join(statements)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection, opts=VERSION_TABLE).get_current_revision()


def _execute(connection: Connection, statements: str) -> None:
    # By the driver, and without parameters: what stands in the files reaches Postgres as it is.
    driver = connection.connection.driver_connection
    if driver is None:  # pragma: no cover -- the connection is open
        raise DatabaseUnavailableError("The migration's connection is closed.")
    with driver.cursor() as cursor:
        cursor.execute(statements)
