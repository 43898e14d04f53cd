"""The migrated database and `retail_sensors.tables` say the same: columns, types, NULL, keys, comments; and the SQL files prepare."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from sqlalchemy.engine import make_url

from retail_sensors.settings import Settings
from retail_sensors.storage import migrations
from retail_sensors.storage.database import Database
from retail_sensors.storage.merge import PARTITIONED
from retail_sensors.storage.sqlfiles import queries, sql_directory
from retail_sensors.tables import TABLES, Kind, Table
from retail_sensors.tables.access import HIDDEN_COLUMNS
from retail_sensors.tables.keys import references
from retail_sensors.tables.views import VIEWS
from retail_sensors_tests import oldest_postgres
from retail_sensors_tests.installations import fresh_database

COLUMNS = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) AS type, NOT a.attnotnull AS nullable,
  a.attgenerated <> '' AS computed, a.atthasdef OR a.attgenerated <> '' AS has_default,
  col_description(c.oid, a.attnum) AS comment
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relnamespace = 'retail'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY c.relname, a.attnum
"""
CONSTRAINTS = """
SELECT c.relname, k.contype::text AS kind, pg_get_constraintdef(k.oid) AS definition
FROM pg_constraint AS k
JOIN pg_class AS c ON c.oid = k.conrelid
WHERE c.relnamespace = 'retail'::regnamespace AND NOT c.relispartition
"""
RULES_OF_ONE_COLUMN = """
SELECT c.relname, a.attname, pg_get_expr(k.conbin, k.conrelid)
FROM pg_constraint AS k
JOIN pg_class AS c ON c.oid = k.conrelid
JOIN pg_attribute AS a ON a.attrelid = c.oid AND k.conkey = ARRAY[a.attnum]
WHERE c.relnamespace = 'retail'::regnamespace AND NOT c.relispartition AND k.contype = 'c'
"""
RELATIONS = """
SELECT c.relname, c.relkind = 'p' AS partitioned, pg_get_partkeydef(c.oid) AS partition_key,
  obj_description(c.oid) AS comment
FROM pg_class AS c
WHERE c.relnamespace = 'retail'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
"""
VIEWS_AND_COLUMNS = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), col_description(c.oid, a.attnum), obj_description(c.oid)
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relnamespace = 'retail'::regnamespace AND c.relkind = 'v' AND a.attnum > 0
ORDER BY c.relname, a.attnum
"""


@dataclass(frozen=True)
class Catalog:
    """What Postgres says about schema `retail`: rows of the three statements above."""

    columns: list[tuple[Any, ...]]
    constraints: list[tuple[Any, ...]]
    relations: dict[str, tuple[Any, ...]]

    def of(self, table: Table) -> dict[str, tuple[Any, ...]]:
        return {row[1]: row[2:] for row in self.columns if row[0] == table.name}

    def rules(self, table: Table, kind: str) -> list[str]:
        return sorted(row[2] for row in self.constraints if row[0] == table.name and row[1] == kind)


@pytest.fixture(scope="session", params=["newest", "oldest"])
def server_url(request: pytest.FixtureRequest, server_url: str) -> Iterator[str]:
    """The server of all tests, and the oldest that is promised."""
    if request.param == "newest":
        yield server_url
        return
    if not oldest_postgres.is_installed():
        pytest.skip("PostgreSQL 15 is not installed here (Debian: postgresql-15)")
    with oldest_postgres.oldest_postgres() as url:
        yield url


@pytest.fixture(scope="module")
def catalog(server_url: str, template_database: str) -> Catalog:
    url = make_url(server_url).set(database=template_database).render_as_string(hide_password=False)
    database = Database(Settings(database_url=url))
    try:
        relations = {row[0]: row[1:] for row in database.fetch(RELATIONS)}
        return Catalog(database.fetch(COLUMNS), database.fetch(CONSTRAINTS), relations)
    finally:
        # A template can be copied only while nobody is connected to it.
        database.dispose()


def each_table() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)


def test_the_database_has_these_tables_and_no_other(catalog: Catalog) -> None:
    assert set(catalog.relations) == set(TABLES)


@each_table()
def test_columns_have_their_type_and_nullability(catalog: Catalog, table: Table) -> None:
    declared = {column.name: (column.kind.postgres, column.nullable) for column in table.columns}
    assert {name: row[:2] for name, row in catalog.of(table).items()} == declared


@each_table()
def test_what_a_frame_must_bring_is_what_postgres_does_not_compute(catalog: Catalog, table: Table) -> None:
    for column in table.columns:
        _, nullable, computed, has_default, _ = catalog.of(table)[column.name]
        if not column.is_generated:
            assert not computed, column.name
        else:
            assert nullable or has_default, f"{column.name} is neither brought nor filled"


@each_table()
def test_the_key_is_the_primary_key(catalog: Catalog, table: Table) -> None:
    quoted = ", ".join(f'"{name}"' if name == "timestamp" else name for name in table.key)
    assert catalog.rules(table, "p") == [f"PRIMARY KEY ({quoted})"]


@each_table()
def test_identities_of_others_are_foreign_keys(catalog: Catalog, table: Table) -> None:
    expected = [
        f"FOREIGN KEY ({column.name}) REFERENCES retail.{owner}(id) ON DELETE CASCADE"
        for column, owner in references(table)
    ]
    assert catalog.rules(table, "f") == sorted(expected)


@each_table()
def test_comments_are_the_descriptions(catalog: Catalog, table: Table) -> None:
    hidden = HIDDEN_COLUMNS.get(table.name, frozenset())
    assert catalog.relations[table.name][2] == table.row + (migrations.HIDES_COLUMNS if hidden else "")
    comments = {name: row[4] for name, row in catalog.of(table).items()}
    assert comments == {
        column.name: column.description
        + (f" Unit: {column.unit}." if column.unit else "")
        + (migrations.IS_HIDDEN if column.name in hidden else "")
        for column in table.columns
    }


@each_table()
def test_tables_that_grow_by_the_hour_of_a_camera_are_cut_into_months(catalog: Catalog, table: Table) -> None:
    partitioned, key, _ = catalog.relations[table.name]
    assert partitioned == (table.name in PARTITIONED)
    if partitioned:
        assert key.replace('"', "") == f"RANGE ({table.time_column})"


@each_table()
def test_counts_and_shares_have_a_range(catalog: Catalog, table: Table) -> None:
    checks = " ".join(catalog.rules(table, "c"))
    for column in table.columns:
        if column.is_count or column.name in ("data_completeness", "data_quality_score", "in_out_residual"):
            assert column.name in checks, f"{column.name} has no CHECK"


BEYOND_A_SHARE = {
    "capture_rate_percent": "more may come in than passed by: the line outside misses people",
    "utilization": "more may be inside than are allowed",
    "current_occupancy_percent": "as utilization",
    "entry_to_checkout_rate": "more may pay than came in: families come in as one, or a door is not counted",
    "overall_conversion_rate": "as entry_to_checkout_rate",
    "wape": "forecasts may be off by more than what came",
    "skill": "1 is the best, and there is no worst",
    "deviation_percent": "a count may be far above what was expected",
    "error_percentage": "as deviation_percent",
    "dow_avg_comparison": "a change, and growth has no end",
    "wow_change_percent": "as dow_avg_comparison",
    "mom_change_percent": "as dow_avg_comparison",
    "yoy_change_percent": "as dow_avg_comparison",
    "in_out_residual": "more may go out than came in: from -1 to 1",
}
"""Ratios and percentages that are no share of a whole, and why."""

EVERY_NUMBER = [
    (table, column)
    for table in TABLES.values()
    for column in table.columns
    if column.kind in (Kind.DOUBLE, Kind.NUMERIC) or column.unit in ("ratio", "%")
]
# What is bounded by the columns beside it only, which are bounded themselves.
BETWEEN_OTHERS = {"confidence_interval_lower", "confidence_interval_upper", "lower_95", "off_peak_traffic"}


def test_no_number_is_none_and_every_share_is_a_share(server_url: str, template_database: str) -> None:
    """The rules themselves are asked, with a value alone in its row: which of a few values does each column take?"""
    url = make_url(server_url).set(database=template_database).render_as_string(hide_password=False)
    database = Database(Settings(database_url=url))
    rules: dict[tuple[str, str], list[str]] = {}
    try:
        for table, column, rule in database.fetch(RULES_OF_ONE_COLUMN):
            rules.setdefault((table, column), []).append(rule)
        for table, column in EVERY_NUMBER:
            if column.name in BETWEEN_OTHERS:
                continue
            # A ratio goes to 1, a percentage to 100.
            most = 100 if column.unit == "%" else 1
            tried = ["NaN", "Infinity", str(most + 0.5), str(-most - 0.5)]
            asked = " AND ".join(f"coalesce({rule}, true)" for rule in rules.get((table.name, column.name), ["true"]))
            taken = {
                value
                for value, is_taken in database.fetch(
                    f'SELECT v.said, (SELECT {asked} FROM (SELECT v.said::{column.kind.postgres}) AS r ("{column.name}"))'
                    f" FROM unnest(ARRAY{tried}) AS v (said)"
                )
                if is_taken
            }
            where = f"{table.name}.{column.name}"
            assert not taken & {"NaN", "Infinity"}, (
                f"{where} takes {taken}: a number that is none is NULL with a reason"
            )
            if column.unit in ("ratio", "%") and column.name not in BEYOND_A_SHARE:
                assert not taken, f"{where} is in {column.unit} and takes {taken}: give it a range, or a reason above"
    finally:
        # A template can be copied only while nobody is connected to it.
        database.dispose()
    named = {column.name for _, column in EVERY_NUMBER if column.unit in ("ratio", "%")}
    assert set(BEYOND_A_SHARE) <= named


def test_an_hour_in_which_nobody_was_forecast_is_100_percent_off_whatever_came(database: Database) -> None:
    """As binary fractions some of these are a hair less than -100."""
    for rule in [rule for _, column, rule in database.fetch(RULES_OF_ONE_COLUMN) if column == "error_percentage"]:
        taken = database.fetch(
            f"SELECT min(error_percentage) < -100, bool_and({rule}) FROM (SELECT 100 * (0 - n / 100.0::float8) / (n / 100.0::float8)"
            " FROM generate_series(1, 2000) AS n) AS r (error_percentage)"
        )
        assert taken == [(True, True)]


def test_a_rule_is_called_by_a_sentence(database: Database) -> None:
    rules = database.fetch(
        "SELECT DISTINCT k.conname FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid"
        " WHERE c.relnamespace = 'retail'::regnamespace AND k.contype = 'c' AND k.conname ~ '_check[0-9]*$'"
    )
    assert rules == [], "Postgres made this name up; say what holds"


def test_views_are_those_declared_with_their_columns(database: Database) -> None:
    found: dict[str, list[tuple[str, str]]] = {}
    for view, column, kind, comment, of_view in database.fetch(VIEWS_AND_COLUMNS):
        found.setdefault(view, []).append((column, kind))
        declared = {column.name: column for column in VIEWS[view].columns}[column]
        unit = f" Unit: {declared.unit}." if declared.unit else ""
        assert (comment, of_view) == (declared.description + unit, VIEWS[view].row), f"{view}.{column}"
    assert found == {
        name: [(column.name, column.kind.postgres) for column in view.columns] for name, view in VIEWS.items()
    }


def test_every_function_has_a_file_and_says_what_its_file_says(database: Database) -> None:
    found = database.fetch(
        "SELECT proname, obj_description(oid) FROM pg_proc WHERE pronamespace = 'retail'::regnamespace ORDER BY 1"
    )
    paths = sorted((sql_directory() / "functions").glob("*.sql"))
    assert [name for name, _ in found] == [path.stem for path in paths]
    for (name, comment), path in zip(found, paths, strict=True):
        head, _, _ = path.read_text().partition("\n\n")
        assert "-- " + (comment or "").replace("\n", "\n-- ") == head, name
    assert database.fetch("SELECT obj_description('retail'::regnamespace) LIKE 'What cameras counted%'") == [(True,)]


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_made_again_by_its_file_and_reads_with_the_readers_rights(database: Database, name: str) -> None:
    with database.transaction() as connection, connection.cursor() as cursor:
        # Views are replaced, so a file can be run again at any time.
        cursor.execute((sql_directory() / "views" / f"{name}.sql").read_text())
    options = database.fetch(f"SELECT reloptions FROM pg_class WHERE oid = 'retail.{name}'::regclass")
    assert options == [(["security_invoker=true"],)]


def _every_query() -> Iterator[tuple[str, str]]:
    for path in sorted((sql_directory() / "queries").glob("*.sql")):
        # Dagster's tables are not ours, and made by Dagster.
        if path.stem != "dagster_storage":
            yield from ((path.stem, name) for name in queries(path.stem))


def prepared(statement: str) -> str:
    """The statement with numbered parameters, as PREPARE wants them."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement)))
    return re.sub(r"%\((\w+)\)s", lambda match: f"${names.index(match[1]) + 1}", statement).replace("%%", "%")


@pytest.fixture(scope="module")
def unwritten(server_url: str, template_database: str) -> Iterator[Database]:
    """A migrated database that the module's tests share, and write nothing into."""
    with fresh_database(server_url, template_database) as url:
        database = Database(Settings(database_url=url))
        yield database
        database.dispose()


@pytest.mark.parametrize(("file", "name"), list(_every_query()), ids=lambda part: part)
def test_every_query_prepares(unwritten: Database, file: str, name: str) -> None:
    with unwritten.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(f"PREPARE it AS {prepared(queries(file)[name])}")
        cursor.execute("DEALLOCATE it")


@pytest.mark.parametrize("path", sorted((sql_directory() / "queries").glob("*.sql")), ids=lambda path: path.name)
def test_every_query_has_one_name_and_the_file_says_what_it_is(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("-- ")
    names = re.findall(r"^-- name: (.+)$", text, re.MULTILINE)
    assert list(queries(path.stem)) == names


def test_a_month_is_made_with_its_rules_by_the_function_of_its_file(database: Database) -> None:
    text = (sql_directory() / "functions" / "ensure_month_partitions.sql").read_text()
    with database.transaction() as connection, connection.cursor() as cursor:
        # Functions are replaced, so a file can be run again at any time.
        cursor.execute(text)
        cursor.execute(
            "SELECT retail.ensure_month_partitions('vca_alarm_status', '2024-01-31T23:00Z', '2024-02-01T00:00Z')"
        )
        assert cursor.fetchone() == (1,)
        cursor.execute(
            "SELECT retail.ensure_month_partitions('vca_alarm_status', '2024-01-01T00:00Z', '2024-02-01T00:00:00.000001Z')"
        )
        assert cursor.fetchone() == (1,)


def test_no_row_beyond_the_months_is_lost_silently(database: Database) -> None:
    with pytest.raises(psycopg2.errors.CheckViolation, match="no partition of relation"):
        database.fetch(
            "INSERT INTO retail.vca_alarm_status (sensor_id, timestamp) VALUES (gen_random_uuid(), '1999-01-01Z') RETURNING 1"
        )
