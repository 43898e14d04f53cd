"""One real Postgres server for the whole test session, and a fresh migrated database for each test that asks.

`RETAIL_SENSORS_TEST_DATABASE_URL` names another server to test on (its user must be allowed to create databases);
without it the embedded server is started in a folder of its own and stopped at the end.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import psycopg2
import pytest
from psycopg2 import sql
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT
from sqlalchemy.engine import make_url

from retail_sensors.settings import Settings, normalise_url
from retail_sensors.storage import migrations
from retail_sensors.storage.database import Database
from retail_sensors.storage.embedded import EmbeddedPostgres

# An example that takes long is a busy machine, not a fault. All else stays as Hypothesis has it, which draws the same examples each
# time under CI.
hypothesis.settings.register_profile(
    "patient", hypothesis.settings(), deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")

_ROOT = Path(__file__).resolve().parents[1]
_LONG = (
    "integration/test_must_hold.py",
    "integration/test_killed.py",
    "integration/test_embedded_postgres.py",
    "integration/test_demo.py",
    "integration/test_simulated_day.py",
    "integration/test_up_down.py",
    "integration/test_ui_backfill.py",
    "unit/test_analytics_forecast.py",
)
"""Files that take longest: begun last, one of them would go on alone while the other workers have nothing left to do."""


def pytest_configure(config: pytest.Config) -> None:
    """Has workers take files in the order of the collection; pytest-xdist itself would begin those with few tests last."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the files that take longest first."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(_LONG)}
    lost = [str(path) for path in places if not path.is_file()]
    if lost:
        raise pytest.UsageError(f"{', '.join(lost)} is gone; name the long files in {__file__} anew.")
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session")
def real_counts() -> Callable[[str], Path]:
    """Finds a file of public counts, which the project does not hold; without it the test is skipped, and fails under CI."""
    folder = Path(os.environ.get("RETAIL_SENSORS_REAL_DATA") or _ROOT.parent / "shared" / "data")

    def find(name: str) -> Path:
        path = folder / name
        if not path.exists():
            message = f"{path} is missing; RETAIL_SENSORS_REAL_DATA names the folder of the real counts."
            if os.environ.get("CI"):
                pytest.fail(message)
            pytest.skip(message)
        return path

    return find


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a maintenance database of the server that the tests run on."""
    if url := os.environ.get("RETAIL_SENSORS_TEST_DATABASE_URL"):
        yield normalise_url(url)
        return
    server = EmbeddedPostgres(tmp_path_factory.mktemp("server"))
    server.start()
    try:
        # Each test makes and drops a database; what only a crash of the machine would lose is not waited for.
        for setting in ("fsync", "full_page_writes"):
            _execute(server.url("postgres"), sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(setting)))
        _execute(server.url("postgres"), sql.SQL("SELECT pg_reload_conf()"))
        yield server.url("postgres")
    finally:
        server.destroy()


def _execute(url: str, statement: sql.Composable) -> None:
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
