"""One real Postgres server for the whole test session, and a fresh migrated database for each test that asks.

`RETAIL_SENSORS_TEST_DATABASE_URL` names another server to test on (its user must be allowed to create databases);
without it the embedded server is started in a folder of its own and stopped at the end.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from psycopg2 import sql
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT
from sqlalchemy.engine import make_url

from retail_sensors.settings import Settings, normalise_url
from retail_sensors.storage import migrations
from retail_sensors.storage.database import Database
from retail_sensors.storage.embedded import EmbeddedPostgres


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a maintenance database of the server that the tests run on."""
    if url := os.environ.get("RETAIL_SENSORS_TEST_DATABASE_URL"):
        yield normalise_url(url)
        return
    server = EmbeddedPostgres(tmp_path_factory.mktemp("server"))
    server.start()
    try:
        yield server.url("postgres")
    finally:
        server.destroy()


def _execute(url: str, statement: sql.Composed) -> None:
    connection = psycopg2.connect(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False))
    try:
        connection.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


def _named(url: str, database: str) -> str:
    return make_url(url).set(database=database).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def template_database(server_url: str) -> Iterator[str]:
    """Name of a migrated database that is copied for each test: a copy takes a tenth of a migration."""
    name = f"template_{uuid.uuid4().hex[:12]}"
    _execute(server_url, sql.SQL("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0").format(sql.Identifier(name)))
    database = Database(Settings(database_url=_named(server_url, name)))
    migrations.upgrade(database)
    database.dispose()
    yield name
    _execute(server_url, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def database_url(server_url: str, template_database: str) -> Iterator[str]:
    """URL of a fresh, migrated database; dropped after the test."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    _execute(
        server_url,
        sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template_database)),
    )
    yield _named(server_url, name)
    _execute(server_url, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings of an installation on that database."""
    return Settings(database_url=database_url, home=tmp_path / "home")


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """That database."""
    database = Database(settings)
    yield database
    database.dispose()
