"""Migrations: `sql/migrations/*.sql`, run in order by Alembic, and the comments of the database.

`upgrade` is idempotent, `downgrade` goes back step by step; one process at a time migrates, and a failure leaves the former
state. Backups belong in `storage.backup`.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import sqlalchemy
from alembic import command, op
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, OperationalError

from retail_sensors.errors import ConfigurationError, DatabaseUnavailableError
from retail_sensors.storage.database import SUPPORTED_SERVERS, Database
from retail_sensors.storage.sqlfiles import sql_directory
from retail_sensors.tables import TABLES
from retail_sensors.tables.access import HIDDEN_COLUMNS
from retail_sensors.tables.views import VIEWS

VERSION_TABLE = {"version_table": "retail_alembic_version", "version_table_schema": "public"}
"""Where the revision stands: not in schema `retail`, which a downgrade drops, nor where a role's search path leads."""

LOCK = 0x7265_7461_696C
"""Advisory lock ("retail") of whoever changes the schema: one at a time on one database."""

HIDES_COLUMNS, IS_HIDDEN = (
    " Readers name its columns: `SELECT *` is refused, for some are hidden.",
    " Hidden from readers.",
)
"""What the database says of a table with columns that readers do not have, and of such a column."""

_SCHEMA = (
    "What cameras counted, and the figures made of it. Begin with the views: mv_realtime_dashboard is each camera and its store now, "
    "historical_analytics hours, days, weeks and months. Every table, column and function says what it is: \\d+, \\df+."
)
"""The comment of schema `retail`."""

_DAGSTER_SCHEMA = "CREATE SCHEMA IF NOT EXISTS dagster"


@dataclass(frozen=True, slots=True)
class Step:
    """One revision that a downgrade takes back: its number and what it brought."""

    revision: str
    title: str


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


def known() -> list[str]:
    """All revisions that this version of the project knows, the oldest first."""
    return [revision.revision for revision in ScriptDirectory.from_config(_config()).walk_revisions()][::-1]


def current(database: Database) -> str | None:
    """The revision of the database; None: never migrated.

    Raises DatabaseUnavailableError when the server does not answer, ConfigurationError when our role may not know it.
    """
    try:
        with database.engine.connect() as connection:
            return _revision(connection)
    except OperationalError as error:
        raise database.unavailable(error) from error
    except DBAPIError as error:
        raise ConfigurationError(
            f"The revision of the database cannot be read ({_first_line(error)}); the user of its URL must be the owner of the "
            "tables, or a member of retail_ingest or retail_transform."
        ) from error


def require_supported(database: Database) -> None:
    """Raises DatabaseUnavailableError when the server does not answer or is of an unsupported version."""
    version = database.server_version()
    if version not in SUPPORTED_SERVERS:
        raise DatabaseUnavailableError(
            f"The server is PostgreSQL {version}; versions {SUPPORTED_SERVERS[0]} to {SUPPORTED_SERVERS[-1]} are supported."
        )


def upgrade(database: Database) -> tuple[str | None, str]:
    """Brings the database to the newest revision; returns the former and the new one.

    Raises DatabaseUnavailableError when the server does not answer, is of an unsupported version or refuses a statement,
    and ConfigurationError when a newer version of the project has migrated the database.
    """
    database.ensure_server()
    require_supported(database)
    config = _config()
    with _migrating(database, head()) as connection:
        before = _known_revision(connection)
        if before != head():
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            _execute(connection, comments())
        # On a server with one database Dagster's tables get a schema of their own.
        if database.dagster_schema and not sqlalchemy.inspect(connection).has_schema(database.dagster_schema):
            connection.execute(sqlalchemy.text(_DAGSTER_SCHEMA))
    return before, head()


def steps_down(database: Database, revision: str | None) -> list[Step]:
    """The revisions that a downgrade to `revision` takes back, the newest first; None: the newest alone; `base`: all.

    Raises ConfigurationError when the database does not stand above that revision.
    """
    before = current(database)
    if before is None:
        raise ConfigurationError("The database has never been migrated; there is nothing to take back.")
    if before not in known():
        raise _unknown(before)
    standing = known()[: known().index(before) + 1]
    wanted = revision or (["base", *standing])[-2]
    if wanted not in ["base", *standing]:
        raise ConfigurationError(
            f"The database is at revision {before}, and {wanted} is not below it; choose one of base, "
            f"{', '.join(standing[:-1]) or 'and nothing else'}."
        )
    script = ScriptDirectory.from_config(_config())
    undone = standing[0 if wanted == "base" else standing.index(wanted) + 1 :]
    return [Step(number, (script.get_revision(number).doc or "").rstrip(".")) for number in reversed(undone)]


def downgrade(database: Database, revision: str | None) -> tuple[str, str | None]:
    """Takes back what `steps_down` names, with the rows of the tables that go; returns the former and the new revision.

    One transaction: a failing step leaves the former state. Raises like `upgrade` and `steps_down`.
    """
    steps = steps_down(database, revision)
    if not steps:
        raise ConfigurationError(f"The database is at revision {revision} already.")
    below = known().index(steps[-1].revision) - 1
    target = known()[below] if below >= 0 else None
    config = _config()
    with _migrating(database, target or "base") as connection:
        if _revision(connection) != steps[0].revision:
            raise ConfigurationError("Another process has migrated the database meanwhile; look at it and try again.")
        config.attributes["connection"] = connection
        command.downgrade(config, target or "base")
    return steps[0].revision, target


def script() -> str:
    """All migrations as one SQL script for an empty database that one cannot reach from here."""
    buffer = io.StringIO()
    config = _config()
    config.output_buffer = buffer
    command.upgrade(config, "head", sql=True)
    return f"{buffer.getvalue()}BEGIN;\n\n{comments()}\n\n{_DAGSTER_SCHEMA};\n\nCOMMIT;\n"


def comments() -> str:
    """Statements that write the contract's descriptions of tables, views and columns, and what each function's file says at its
    head, into the database's own comments."""
    statements = [f"COMMENT ON SCHEMA retail IS {_literal(_SCHEMA)};"]
    for kind, relation in [("TABLE", table) for table in TABLES.values()] + [("VIEW", view) for view in VIEWS.values()]:
        name = f'retail."{relation.name}"'
        hidden = HIDDEN_COLUMNS.get(relation.name, frozenset())
        row = relation.row + (HIDES_COLUMNS if hidden else "")
        statements.append(f"COMMENT ON {kind} {name} IS {_literal(row)};")
        for column in relation.columns:
            unit = f" Unit: {column.unit}." if column.unit else ""
            text = column.description + unit + (IS_HIDDEN if column.name in hidden else "")
            statements.append(f'COMMENT ON COLUMN {name}."{column.name}" IS {_literal(text)};')
    statements += [
        f"COMMENT ON FUNCTION retail.{path.stem} IS {_literal(_head_of(path))};"
        for path in sorted((sql_directory() / "functions").glob("*.sql"))
    ]
    return "\n".join(statements)


@contextmanager
def _migrating(database: Database, target: str) -> Iterator[Connection]:
    """One transaction in which nobody else migrates; what fails is told, and leaves the former state."""
    before: str | None = None
    try:
        with database.engine.begin() as connection:
            connection.execute(sqlalchemy.text("SET LOCAL timezone = 'UTC'"))
            connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            before = _revision(connection)
            yield connection
    except OperationalError as error:
        raise database.unavailable(error) from error
    except (psycopg2.Error, DBAPIError) as error:
        again = "upgrade" if target == head() else f"downgrade {target}"
        raise DatabaseUnavailableError(
            f"The database could not be brought from revision {before or 'none'} to {target} ({_first_line(error)}); it was left as "
            f"it was. Mend that and run `retail-sensors db {again}`."
        ) from error


def _known_revision(connection: Connection) -> str | None:
    revision = _revision(connection)
    if revision is not None and revision not in known():
        raise _unknown(revision)
    return revision


def _unknown(revision: str) -> ConfigurationError:
    return ConfigurationError(
        f"The database is at revision {revision}, which this version does not know (its newest is {head()}); "
        "use the version of the project that has migrated it, or a newer one."
    )


def _head_of(path: Path) -> str:
    """The comment that an SQL file begins with."""
    lines = itertools.takewhile(lambda line: line.startswith("--"), path.read_text().splitlines())
    return "\n".join(line.removeprefix("--").strip() for line in lines)


def _first_line(error: Exception) -> str:
    said = error.orig if isinstance(error, DBAPIError) else error
    return (str(said).strip().splitlines() or [type(said).__name__])[0]


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
