"""Migrations on real servers: once, twice, at once, printed, refused; and on the oldest server that is supported."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from alembic import command
from psycopg2 import sql
from sqlalchemy.engine import make_url

from retail_sensors.errors import ConfigurationError, DatabaseUnavailableError
from retail_sensors.settings import Settings
from retail_sensors.storage import backup, migrations
from retail_sensors.storage.database import Database
from retail_sensors.storage.embedded import EmbeddedPostgres
from retail_sensors.storage.sqlfiles import queries
from retail_sensors.tables import HOURLY_ANALYTICS, PEOPLE_COUNTING_RAW, TABLES
from retail_sensors_tests import oldest_postgres
from retail_sensors_tests.integration.stored import HOUR, hour, reading, register, store, stored, utc

NewDatabase = Callable[[], Database]


@pytest.fixture
def empty(server_url: str) -> Iterator[NewDatabase]:
    """Makes empty databases; they are dropped after the test."""
    yield from _empty_databases(server_url)


def _empty_databases(server_url: str) -> Iterator[NewDatabase]:
    made: list[Database] = []

    def make() -> Database:
        name = f"empty_{uuid.uuid4().hex[:12]}"
        _administer(
            server_url, sql.SQL("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0").format(sql.Identifier(name))
        )
        url = make_url(server_url).set(database=name).render_as_string(hide_password=False)
        made.append(Database(Settings(database_url=url)))
        return made[-1]

    yield make
    for database in made:
        database.dispose()
        name = make_url(database.url).database or ""
        _administer(server_url, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _administer(url: str, statement: sql.Composed) -> None:
    with closing(
        psycopg2.connect(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False))
    ) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)


def program(name: str) -> str:
    return str(EmbeddedPostgres(Path(tempfile.gettempdir())).bin_directory / name)


def dump(database: Database, *options: str) -> str:
    """The schema as SQL, without what differs from one dump to the next."""
    text = subprocess.run(
        [program("pg_dump"), "--schema-only", "--no-owner", *options, database.libpq_url],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return re.sub(r"^\\(un)?restrict .*$", "", text, flags=re.MULTILINE)


def tables(database: Database) -> set[str]:
    return {
        name
        for (name,) in database.fetch("SELECT table_name FROM information_schema.tables WHERE table_schema = 'retail'")
    }


def test_an_upgrade_is_made_once_and_a_second_one_changes_nothing(empty: NewDatabase) -> None:
    database = empty()
    assert migrations.current(database) is None
    assert migrations.upgrade(database) == (None, migrations.head())
    first = dump(database)
    assert migrations.upgrade(database) == (migrations.head(), migrations.head())
    assert dump(database) == first
    assert migrations.current(database) == migrations.head()


def test_the_printed_script_gives_the_same_schema(empty: NewDatabase, tmp_path: Path) -> None:
    upgraded, pasted = empty(), empty()
    migrations.upgrade(upgraded)
    script = tmp_path / "schema.sql"
    script.write_text(migrations.script(), encoding="utf-8")
    subprocess.run(
        [program("psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--file={script}", pasted.libpq_url],
        check=True,
        capture_output=True,
    )
    assert dump(pasted) == dump(upgraded)
    assert migrations.upgrade(pasted) == (migrations.head(), migrations.head())


def test_a_failing_migration_leaves_the_former_state(empty: NewDatabase) -> None:
    database = empty()
    with database.transaction() as connection, connection.cursor() as cursor:
        # In the way of the sixth or so statement.
        cursor.execute("CREATE SCHEMA retail; CREATE TABLE retail.heatmap_temporal_raw (mine integer)")
    before = dump(database)
    with pytest.raises(DatabaseUnavailableError) as caught:
        migrations.upgrade(database)
    assert f"could not be brought from revision none to {migrations.head()}" in str(caught.value)
    assert '"heatmap_temporal_raw" already exists' in str(caught.value)
    assert dump(database) == before
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE retail.heatmap_temporal_raw")
    assert migrations.upgrade(database) == (None, migrations.head())


def test_many_processes_may_upgrade_at_once(empty: NewDatabase) -> None:
    database = empty()
    outcomes: list[Any] = []

    def upgrade() -> None:
        own = Database(Settings(database_url=database.url))
        try:
            outcomes.append(migrations.upgrade(own))
        except Exception as error:
            outcomes.append(error)
        finally:
            own.dispose()

    threads = [threading.Thread(target=upgrade) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    head = migrations.head()
    assert sorted(outcomes, key=str) == sorted([(None, head)] + [(head, head)] * 3, key=str)


def test_the_revision_is_found_wherever_the_search_path_leads(empty: NewDatabase) -> None:
    database = empty()
    migrations.upgrade(database)
    url = make_url(database.url).update_query_dict({"options": "-csearch_path=dagster"})
    elsewhere = Database(Settings(database_url=url.render_as_string(hide_password=False)))
    try:
        assert migrations.upgrade(elsewhere) == (migrations.head(), migrations.head())
    finally:
        elsewhere.dispose()


def test_a_database_of_a_newer_version_is_left_alone(empty: NewDatabase) -> None:
    database = empty()
    migrations.upgrade(database)
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE public.retail_alembic_version SET version_num = '9999'")
    before = dump(database)
    with pytest.raises(ConfigurationError, match="at revision 9999, which this version does not know"):
        migrations.upgrade(database)
    assert dump(database) == before
    assert migrations.current(database) == "9999"


def test_a_role_that_may_not_know_the_revision_is_told(empty: NewDatabase) -> None:
    database = empty()
    migrations.upgrade(database)
    name = f"stranger_{uuid.uuid4().hex[:8]}"
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {name} LOGIN")
    url = make_url(database.url).set(username=name).render_as_string(hide_password=False)
    stranger = Database(Settings(database_url=url))
    try:
        with pytest.raises(
            ConfigurationError, match=r"cannot be read \(permission denied for table retail_alembic_version"
        ):
            migrations.current(stranger)
        with pytest.raises(
            DatabaseUnavailableError, match=r"\(permission denied for table retail_alembic_version\); it was left"
        ):
            migrations.upgrade(stranger)
    finally:
        stranger.dispose()
        with database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP ROLE {name}")


def test_a_server_that_is_not_there_is_a_sentence() -> None:
    database = Database(Settings(database_url="postgresql://someone:s3cret@127.0.0.1:1/nothing"))
    for act in (migrations.upgrade, migrations.current):
        with pytest.raises(DatabaseUnavailableError) as caught:
            act(database)
        assert "127.0.0.1:1/nothing does not answer" in str(caught.value)
        assert "s3cret" not in str(caught.value)


def test_dagster_gets_a_schema_only_where_it_shares_the_database(empty: NewDatabase) -> None:
    shared, apart = empty(), empty()
    migrations.upgrade(shared)
    migrations.upgrade(Database(Settings(database_url=apart.url, dagster_database_url=shared.url)))
    schemas = [
        database.fetch("SELECT nspname FROM pg_namespace WHERE nspname = 'dagster'") for database in (shared, apart)
    ]
    assert schemas == [[("dagster",)], []]


# Step by step ------------------------------------------------------------------------------------------------------------

ROWS = {
    "0001": """
      INSERT INTO retail.counting_lines (sensor_id, line_number, role) SELECT id, 1, 'entrance' FROM retail.sensor_metadata;
      INSERT INTO retail.region_configurations (sensor_id, region_number, region_name)
        SELECT id, 2, 'Tills' FROM retail.sensor_metadata;
      INSERT INTO retail.hourly_analytics (sensor_id, hour_start, total_entries, is_open, data_completeness, is_provisional,
        quality) SELECT id, '2024-02-02T09:00Z', 10, true, 1, false, '{}' FROM retail.sensor_metadata;
      INSERT INTO retail.store_daily (store_id, date, total_visitors, hourly_distribution, data_completeness, is_provisional,
        quality) SELECT id, '2024-02-02', 10, '{}', 1, false, '{}' FROM retail.stores""",
    "0010": """
      UPDATE retail.alert_rules SET warning_threshold = 80 WHERE rule_name = 'overcrowding';
      INSERT INTO retail.alerts_generated (id, rule_name, scope, store_id, alert_type, metric, severity, timestamp, title,
        message, metrics, threshold_value, first_seen_at, last_seen_at, occurrences, acknowledged, resolved, actions_taken,
        escalated) SELECT gen_random_uuid(), 'overcrowding', 'store', id, 'capacity', 'utilization_percent', 'warning',
        now(), 'Full', 'Full', '{}', 80, now(), now(), 1, false, false, '[]', false FROM retail.stores""",
    "0012": """
      INSERT INTO retail.camera_health (sensor_id, state, uptime_hours, checked_at, quality)
        SELECT id, 'healthy', 0, now(), '{}' FROM retail.sensor_metadata""",
}
"""What is stored while a database stands at a revision."""

BROUGHT = {"0020": {"alert_rules": 2}, "0021": {"retention_policies": 7}}
"""Rows that a revision adds to a table of an earlier one, and that the way down takes out again."""


def upgrade_to(database: Database, revision: str) -> None:
    config = migrations._config()
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def rules(database: Database) -> str:
    """The schema without comments, which are written at the newest revision alone."""
    return re.sub(
        r"^COMMENT ON .*?;$|^--.*$|^\n", "", dump(database, "--schema=retail"), flags=re.MULTILINE | re.DOTALL
    )


def counts(database: Database) -> dict[str, int]:
    names = [name for (name,) in database.fetch(queries("database")["tables"])]
    return {name: database.fetch(f"SELECT count(*) FROM retail.{name}")[0][0] for name in names}


def kept(database: Database) -> list[list[tuple[Any, ...]]]:
    """Values that no revision may touch."""
    return [
        stored(database, PEOPLE_COUNTING_RAW, "timestamp", "total_in", "net_flow", "updated_at"),
        database.fetch("SELECT sensor_name, sensor_ip, timezone, updated_at FROM retail.sensor_metadata ORDER BY 1"),
        database.fetch("SELECT hour_start, total_entries, updated_at FROM retail.hourly_analytics"),
        database.fetch("SELECT date, total_visitors, updated_at FROM retail.store_daily"),
    ]


def test_rows_survive_each_step_up_and_each_step_down_leads_back(empty: NewDatabase) -> None:
    database = empty()
    standing: dict[str, str] = {}
    rows: dict[str, int] = {}
    values: list[list[tuple[Any, ...]]] = []
    for revision in migrations.known():
        upgrade_to(database, revision)
        found = counts(database) if revision != "0001" else {}
        brought = BROUGHT.get(revision, {})
        expected = {name: count + brought.get(name, 0) for name, count in rows.items()}
        assert {name: found.get(name) for name in rows} == expected, f"revision {revision} lost rows"
        if revision == "0001":
            (camera,) = register(database, "a")
            store(database, PEOPLE_COUNTING_RAW, reading(camera, utc("2024-02-02T09:00")))
        with database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute(ROWS.get(revision, "SELECT 1"))
        values = values or kept(database)
        assert kept(database) == values
        rows, standing[revision] = counts(database), rules(database)
    assert migrations.upgrade(database) == (migrations.head(), migrations.head())

    last = migrations.head()
    for revision in migrations.known()[-2::-1]:
        assert migrations.downgrade(database, None)[1] == revision
        assert rules(database) == standing[revision], f"the way down to {revision} leaves something, or takes too much"
        rows = {name: count - BROUGHT.get(last, {}).get(name, 0) for name, count in rows.items()}
        last, found = revision, counts(database)
        assert found == {name: rows[name] for name in found}
        assert kept(database) == values
    assert migrations.downgrade(database, "base") == ("0001", None)
    assert database.fetch("SELECT to_regnamespace('retail') IS NULL") == [(True,)]
    assert migrations.upgrade(database) == (None, migrations.head())


@pytest.mark.parametrize(("chosen", "expected"), [(30.0, 8.0), (10.0, 8.0), (45.0, 45.0)])
def test_an_upgrade_brings_later_rules_and_leaves_thresholds_that_somebody_chose(
    empty: NewDatabase, chosen: float, expected: float
) -> None:
    database = empty()
    upgrade_to(database, "0012")
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(
            "UPDATE retail.alert_rules SET warning_threshold = %s WHERE rule_name = 'camera_offline'", (chosen,)
        )
    migrations.upgrade(database)
    found = dict(database.fetch("SELECT rule_name, warning_threshold FROM retail.alert_rules"))
    assert (found["camera_offline"], found["camera_clock"], found["counts_lowered"]) == (expected, 120.0, 1.0)


def test_a_failing_step_down_leaves_the_former_state(empty: NewDatabase) -> None:
    database = empty()
    migrations.upgrade(database)
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE VIEW public.theirs AS SELECT state FROM retail.camera_health")
    before = dump(database)
    with pytest.raises(DatabaseUnavailableError) as caught:
        migrations.downgrade(database, "0011")
    assert (
        f"could not be brought from revision {migrations.head()} to 0011 (cannot drop table retail.camera_health"
        in str(caught.value)
    )
    assert dump(database) == before
    assert migrations.current(database) == migrations.head()


OF_NO_SHOP = {
    "sales_have_at_most_12_digits": (
        "INSERT INTO retail.pos_transactions (store_id, hour_start, transactions, sales, currency)"
        " SELECT id, '2026-01-01Z', 1, 1e15, 'EUR' FROM retail.stores",
        "UPDATE retail.pos_transactions SET sales = 1",
    ),
    "hour_start_is_in_the_years_2000_to_2100": (
        "INSERT INTO retail.staff_hours (store_id, hour_start, staff) SELECT id, 'infinity', 1 FROM retail.stores",
        "DELETE FROM retail.staff_hours",
    ),
    "service_rate_is_a_thousandth_to_a_thousand": (
        "INSERT INTO retail.store_service (store_id, service_rate_per_minute, target_minutes, target_share)"
        " SELECT id, 1e300, 5, 0.8 FROM retail.stores",
        "DELETE FROM retail.store_service",
    ),
}
"""By the rule of 0021: a row that 0020 takes, and what mends it."""


@contextmanager
def owned_by(database: Database, options: str) -> Iterator[Database]:
    """The same empty database, as a new role sees it that may make schemas there."""
    name = f"owner_{uuid.uuid4().hex[:8]}"
    held = make_url(database.url).database or ""
    parts = {"role": sql.Identifier(name), "held": sql.Identifier(held)}
    _administer(database.url, sql.SQL(f"CREATE ROLE {{role}} NOLOGIN {options}").format(**parts))
    _administer(
        database.url,
        sql.SQL("GRANT CREATE ON DATABASE {held} TO {role}; GRANT ALL ON SCHEMA public TO {role}").format(**parts),
    )
    url = make_url(database.url).update_query_dict({"options": f"-crole={name}"})
    seen = Database(Settings(database_url=url.render_as_string(hide_password=False)))
    try:
        yield seen
    finally:
        seen.dispose()
        _administer(database.url, sql.SQL("DROP OWNED BY {role} CASCADE; DROP ROLE {role}").format(**parts))


@pytest.mark.parametrize("options", ["SUPERUSER", "NOSUPERUSER NOCREATEROLE NOBYPASSRLS"])
def test_a_row_that_breaks_a_later_rule_stops_the_upgrade_until_it_is_mended(empty: NewDatabase, options: str) -> None:
    with owned_by(empty(), options) as database:
        upgrade_to(database, "0020")
        standing = rules(database)
        register(database, "a")

        def execute(statement: str) -> None:
            with database.transaction() as connection, connection.cursor() as cursor:
                cursor.execute(statement)

        for broken, _ in OF_NO_SHOP.values():
            execute(broken)
        for rule, (_, mended) in OF_NO_SHOP.items():
            with pytest.raises(DatabaseUnavailableError) as caught:
                migrations.upgrade(database)
            assert f'from revision 0020 to {migrations.head()} (check constraint "{rule}" of relation' in str(
                caught.value
            )
            assert (migrations.current(database), rules(database)) == ("0020", standing)
            execute(mended)
        # What the owner has decided of a table before the project does.
        own = "SELECT action, days_to_keep, description FROM retail.retention_policies WHERE table_name = 'staff_hours'"
        execute(
            "INSERT INTO retail.retention_policies (table_name, action, description) VALUES ('staff_hours', 'keep', 'Ours.')"
        )
        assert migrations.upgrade(database) == ("0020", migrations.head())
        assert database.fetch(own) == [("keep", None, "Ours.")]
        for rule, (broken, _) in OF_NO_SHOP.items():
            with pytest.raises(psycopg2.errors.CheckViolation, match=rule):
                execute(broken.replace("2026-01-01Z", "2026-01-02Z"))
        assert migrations.downgrade(database, "0020") == (migrations.head(), "0020")
        assert rules(database) == standing
        execute(OF_NO_SHOP["sales_have_at_most_12_digits"][0].replace("2026-01-01Z", "2026-01-02Z"))


# The oldest server -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def old_server() -> Iterator[str]:
    if not oldest_postgres.is_installed():
        pytest.skip("PostgreSQL 15 is not installed here (Debian: postgresql-15)")
    with oldest_postgres.oldest_postgres() as url:
        yield url


@pytest.fixture
def old_empty(old_server: str) -> Iterator[NewDatabase]:
    yield from _empty_databases(old_server)


def test_the_oldest_server_takes_the_schema_and_the_rows(old_empty: NewDatabase, empty: NewDatabase) -> None:
    old, new = old_empty(), empty()
    assert old.server_version() < new.server_version()
    for database in (old, new):
        migrations.upgrade(database)
    assert tables(old) == tables(new) >= set(TABLES)
    columns = (
        "SELECT table_name, column_name, data_type, is_nullable, is_generated, generation_expression, column_default"
        " FROM information_schema.columns WHERE table_schema = 'retail' ORDER BY 1, 2"
    )
    assert old.fetch(columns) == new.fetch(columns)

    (camera,) = register(old, "a")
    nine = utc("2024-02-02T09:00")
    assert store(old, PEOPLE_COUNTING_RAW, reading(camera, nine)).inserted == 1
    assert store(old, PEOPLE_COUNTING_RAW, reading(camera, nine)).unchanged == 1
    assert store(old, PEOPLE_COUNTING_RAW, reading(camera, nine, line1_in=0)).refused == 1
    assert stored(old, PEOPLE_COUNTING_RAW, "total_in", "net_flow") == [(10, 5)]
    window = (nine, nine + 2 * HOUR)
    store(old, HOURLY_ANALYTICS, hour(camera, nine + HOUR), mode="replace", window=window)
    assert store(old, HOURLY_ANALYTICS, hour(camera, nine), mode="replace", window=window).deleted == 1


def test_the_oldest_server_takes_the_printed_script(old_empty: NewDatabase, tmp_path: Path) -> None:
    database = old_empty()
    script = tmp_path / "schema.sql"
    script.write_text(migrations.script(), encoding="utf-8")
    command = [
        program("psql"),
        "--no-psqlrc",
        "--quiet",
        "--set=ON_ERROR_STOP=1",
        f"--file={script}",
        database.libpq_url,
    ]
    subprocess.run(command, check=True, capture_output=True)
    assert tables(database) >= set(TABLES)


def test_data_moves_to_the_oldest_server_and_back(old_empty: NewDatabase, empty: NewDatabase, tmp_path: Path) -> None:
    new, old, again = empty(), old_empty(), empty()
    migrations.upgrade(new)
    (camera,) = register(new, "a")
    store(new, PEOPLE_COUNTING_RAW, reading(camera, utc("2024-02-02T09:00")))
    before = counts(new), kept(new)
    for source, target in ((new, old), (old, again)):
        source.dispose()
        moved = backup.move(source, target, environment=os.environ, folder=tmp_path)
        assert moved.rows == before[0]
        assert (counts(target), kept(target)) == before
    # The months of the raw tables, their triggers and computed columns work there.
    assert store(old, PEOPLE_COUNTING_RAW, reading(camera, utc("2024-02-02T09:00"), line1_in=11)).changed == 1
    assert stored(old, PEOPLE_COUNTING_RAW, "total_in") == [(11,)]
