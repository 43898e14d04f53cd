"""Every table is guarded: row-level security forced, policies for reading and writing, and the contract's grants for each role."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy.engine import make_url

from retail_sensors.settings import Settings
from retail_sensors.storage.database import Database
from retail_sensors.storage.sqlfiles import sql_directory
from retail_sensors.tables import TABLES, Table
from retail_sensors.tables.access import (
    CONTRIBUTED_TABLES,
    HIDDEN_COLUMNS,
    RAW_TABLES,
    REGISTRY_TABLES,
    ROLES,
    SHARED_TABLES,
)
from retail_sensors.tables.views import VIEWS

OWNERS = {"sensor_id", "store_id", "organization_id"}
VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE")
OWN_RIGHTS = {
    "ensure_month_partitions",
    "is_user_of_every_sensor",
    "is_user_of_most_stores",
    "organizations_around_user",
    "organizations_of_user",
    "raise_alerts_notice",
    "raise_alerts_of_figures",
    "sensors_of_user",
    "stores_around_user",
    "stores_of_user",
}
"""Functions that run with their owner's rights: each is a way past the policies, so each is known here."""

_TENANT_TABLES = """
WITH RECURSIVE tenant (oid) AS (
  SELECT 'retail.organizations'::regclass::oid
  UNION
  SELECT k.conrelid FROM pg_constraint AS k JOIN tenant AS t ON t.oid = k.confrelid WHERE k.contype = 'f'
)
SELECT c.relname FROM tenant JOIN pg_class AS c USING (oid) WHERE NOT c.relispartition
"""


@pytest.fixture(scope="module")
def migrated(server_url: str, template_database: str) -> Iterator[Database]:
    url = make_url(server_url).set(database=template_database).render_as_string(hide_password=False)
    database = Database(Settings(database_url=url))
    yield database
    # A template can be copied only while nobody is connected to it.
    database.dispose()


def each_table() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)


def is_of_tenants(table: Table, chained: set[str]) -> bool:
    return bool(OWNERS & set(table.names)) or table.name in chained or table.name == "fleet_changes"


@each_table()
def test_a_table_is_guarded_for_its_owner_too(migrated: Database, table: Table) -> None:
    ((is_enabled, is_forced),) = migrated.fetch(
        "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = %(name)s::regclass",
        {"name": f"retail.{table.name}"},
    )
    assert (is_enabled, is_forced) == (True, True), "its migration must end with SELECT retail.guard_tables()"


@each_table()
def test_rows_of_tenants_have_policies_and_those_of_nobody_are_declared(migrated: Database, table: Table) -> None:
    policies = {
        name: (command, roles, using, check)
        for name, command, roles, using, check in migrated.fetch(
            "SELECT policyname, cmd, roles::text[], qual, with_check FROM pg_policies"
            " WHERE schemaname = 'retail' AND tablename = %(name)s",
            {"name": table.name},
        )
    }
    assert {name: row[0] for name, row in policies.items()} == {
        "services": "ALL",
        "users_read": "SELECT",
        "users_insert": "INSERT",
        "users_update": "UPDATE",
        "users_delete": "DELETE",
    }
    assert "public" not in policies["services"][1]
    chained = {name for (name,) in migrated.fetch(_TENANT_TABLES)}
    if is_of_tenants(table, chained):
        assert table.name not in SHARED_TABLES
        # Chosen by what the user is granted, and by nothing that is merely true.
        assert any(
            word in policies["users_read"][2] for word in ("of_user(", "around_user(", "current_user_id()", " IN (")
        )
    else:
        assert table.name in SHARED_TABLES, "say whose rows these are: a key to their owner, or SHARED_TABLES"
        assert policies["users_insert"][3] == "false"
    for name in ("users_insert", "users_update", "users_delete"):
        for condition in policies[name][2:]:
            assert condition in (None, "false") or "of_user(true)" in condition
            # The function that the planner asks is no judge of what may be written.
            assert "is_user_of" not in (condition or "")


def test_every_key_of_a_row_is_asked_before_it_is_written(migrated: Database) -> None:
    """A row that hangs on another tenant's camera would be read, or deleted, with that camera."""
    for table in TABLES.values():
        ((check,),) = migrated.fetch(
            "SELECT with_check FROM pg_policies WHERE schemaname = 'retail' AND tablename = %(name)s AND cmd = 'INSERT'",
            {"name": table.name},
        )
        keys = {
            name
            for (name,) in migrated.fetch(
                "SELECT a.attname FROM pg_constraint AS k JOIN pg_attribute AS a ON a.attrelid = k.conrelid"
                " AND a.attnum = ANY (k.conkey) WHERE k.conrelid = %(name)s::regclass AND k.contype = 'f' AND k.conparentid = 0",
                {"name": f"retail.{table.name}"},
            )
        }
        assert check == "false" or all(key in check for key in keys), table.name


def expected(role: str, table: Table) -> set[str]:
    """The verbs that the contract gives a role on a whole table."""
    name = table.name
    reads, writes = {"SELECT"}, set(VERBS)
    if role == "retail_ingest":
        return writes if name in RAW_TABLES else reads if name in REGISTRY_TABLES else set()
    if role == "retail_transform":
        return reads if name in RAW_TABLES | REGISTRY_TABLES else writes
    shown = set() if name in HIDDEN_COLUMNS else reads
    if role == "retail_reader":
        return shown
    return {"retail_writer": writes if name in CONTRIBUTED_TABLES else shown, "retail_gateway": set()}[role]


@pytest.mark.parametrize("role", [role for role in ROLES if role != "retail_owner"])
def test_each_role_has_the_verbs_of_the_contract_on_each_table_and_view(migrated: Database, role: str) -> None:
    granted = {
        name: {verb for verb, has in zip((*VERBS, "TRUNCATE", "TRIGGER", "REFERENCES"), row, strict=True) if has}
        for name, *row in migrated.fetch(
            "SELECT c.relname, "
            + ", ".join(
                f"has_table_privilege(%(role)s, c.oid, '{verb}')"
                for verb in (*VERBS, "TRUNCATE", "TRIGGER", "REFERENCES")
            )
            + " FROM pg_class AS c WHERE c.relnamespace = 'retail'::regnamespace AND c.relkind IN ('r', 'p', 'v')",
            {"role": role},
        )
    }
    views = {"SELECT"} if role in ("retail_reader", "retail_writer") else set()
    for name, verbs in granted.items():
        # Everything else is a partition, which nobody reaches but through its table.
        assert verbs == (expected(role, TABLES[name]) if name in TABLES else views if name in VIEWS else set()), name


@pytest.mark.parametrize("table", [TABLES[name] for name in HIDDEN_COLUMNS], ids=lambda table: table.name)
def test_readers_see_all_columns_but_the_hidden_ones(migrated: Database, table: Table) -> None:
    for role in ("retail_reader", "retail_writer"):
        seen = migrated.fetch(
            "SELECT attname FROM pg_attribute WHERE attrelid = %(name)s::regclass AND attnum > 0 AND NOT attisdropped"
            " AND has_column_privilege(%(role)s, attrelid, attnum, 'SELECT')",
            {"name": f"retail.{table.name}", "role": role},
        )
        assert {name for (name,) in seen} == set(table.names) - HIDDEN_COLUMNS[table.name]


def test_columns_that_hold_references_to_secrets_are_hidden() -> None:
    for table in TABLES.values():
        secret = {
            name for name in table.names if name.endswith("_reference") or name in ("username", "password", "secret")
        }
        assert secret <= HIDDEN_COLUMNS.get(table.name, frozenset()), table.name


def test_the_contract_names_tables_that_exist_each_in_one_place() -> None:
    kinds = (REGISTRY_TABLES, RAW_TABLES, CONTRIBUTED_TABLES)
    for kind in (*kinds, SHARED_TABLES, set(HIDDEN_COLUMNS)):
        assert set(kind) <= set(TABLES)
    assert len(frozenset().union(*kinds)) == sum(map(len, kinds))


WORDS_OF_OURS = {"holiday_name", "metric_name", "model_name", "rule_name", "table_name"}
"""Columns that are called like names of tenants' own and hold none."""


def test_no_statistics_are_kept_of_what_tenants_call_theirs(migrated: Database) -> None:
    """EXPLAIN tells everybody what it estimates of them."""
    kept = migrated.fetch(
        "SELECT c.relname, a.attname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid"
        " WHERE c.relnamespace = 'retail'::regnamespace AND c.relkind = 'r' AND a.atttypid = 'text'::regtype"
        " AND a.attname ~ '(name|_by|_to|_ip|user_id|location|title|message|body|command)$'"
        " AND a.attstattarget IS DISTINCT FROM 0 AND NOT a.attname = ANY (%s)",
        (sorted(WORDS_OF_OURS),),
    )
    # What one may not read one may not have estimated either.
    assert [(table, name) for table, name in kept if name not in HIDDEN_COLUMNS.get(table, ())] == []


def test_views_and_functions_run_with_the_rights_of_whoever_asks(migrated: Database) -> None:
    functions = migrated.fetch(
        "SELECT proname, coalesce(proconfig::text, '') FROM pg_proc WHERE pronamespace = 'retail'::regnamespace AND prosecdef"
    )
    assert {name for name, _ in functions} == OWN_RIGHTS
    for name, settings in functions:
        # Left out of the path, temporary types would come first, and a type of the caller's run his code with the owner's rights.
        assert "search_path=pg_catalog, pg_temp" in settings, name
    assert (
        migrated.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = 'retail'::regnamespace"
            " AND (relkind = 'm' OR relkind = 'v' AND NOT coalesce(reloptions::text, '') ~ 'security_invoker=(true|on)')"
        )
        == []
    ), "a materialized view, or a view with its owner's rights, shows every tenant"
    for role in ("retail_reader", "retail_writer", "retail_gateway"):
        for function in ("ensure_month_partitions(text, timestamptz, timestamptz)", "guard_tables()"):
            ((may,),) = migrated.fetch(f"SELECT has_function_privilege('{role}', 'retail.{function}', 'EXECUTE')")
            assert not may


def test_guarding_twice_changes_nothing(migrated: Database) -> None:
    state = (
        "SELECT c.relname, c.relacl::text, (SELECT array_agg((p.polname, p.polcmd, pg_get_expr(p.polqual, p.polrelid),"
        " pg_get_expr(p.polwithcheck, p.polrelid))::text ORDER BY p.polname) FROM pg_policy AS p WHERE p.polrelid = c.oid)"
        " FROM pg_class AS c WHERE c.relnamespace = 'retail'::regnamespace ORDER BY 1"
    )
    before = migrated.fetch(state)
    with migrated.transaction() as connection, connection.cursor() as cursor:
        cursor.execute((sql_directory() / "functions" / "guard_tables.sql").read_text())
        cursor.execute("SELECT retail.guard_tables()")
        assert cursor.fetchall() == [([],)]
        cursor.execute(state)
        assert cursor.fetchall() == before
        # The template stays as it is.
        connection.rollback()
