"""Tenants on a real server: what each user reads and writes, attacks on the rows of others, and the pipeline with its own role."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import psycopg2
import pytest
from psycopg2 import sql
from psycopg2.extensions import connection as PgConnection
from sqlalchemy.engine import make_url

from retail_sensors.connectors.base import TimeWindow
from retail_sensors.errors import ConfigurationError
from retail_sensors.settings import Settings
from retail_sensors.simulator.fleet import SimulatedFleet, running
from retail_sensors.storage import migrations
from retail_sensors.storage.access import AccessStore, Scope
from retail_sensors.storage.database import Database
from retail_sensors.storage.sqlfiles import sql_directory
from retail_sensors.tables import TABLES
from retail_sensors.tables.access import HIDDEN_COLUMNS, REGISTRY_TABLES, SHARED_TABLES
from retail_sensors.tables.views import VIEWS
from retail_sensors_tests.installations import COLLECTED, FIGURES, Site, drop_database, fresh_database, small_fleet

# A whole day of Lisbon and of Mumbai, and what stands around it.
WINDOW = TimeWindow(datetime(2025, 10, 13, 18, tzinfo=UTC), datetime(2025, 10, 15, 6, tzinfo=UTC))


@contextmanager
def role(server_url: str, options: str, *members_of: str) -> Iterator[str]:
    """A role of the server until the block ends."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with closing(psycopg2.connect(_libpq(server_url))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL(f"CREATE ROLE {{}} {options}").format(sql.Identifier(name)))
            try:
                for group in members_of:
                    cursor.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(group), sql.Identifier(name)))
                yield name
            finally:
                cursor.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def _libpq(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def as_role(url: str, name: str) -> str:
    """The database as that role sees it, from the first statement of each connection."""
    return make_url(url).update_query_dict({"options": f"-crole={name}"}).render_as_string(hide_password=False)


@pytest.fixture(scope="module")
def fleet() -> Iterator[SimulatedFleet]:
    with running(small_fleet()) as served:
        yield served


@pytest.fixture(scope="module")
def collected(
    server_url: str, template_database: str, tmp_path_factory: pytest.TempPathFactory, fleet: SimulatedFleet
) -> Iterator[Site]:
    """Two shops, from their cameras to their daily figures; the database's owner did it, past all policies."""
    with fresh_database(server_url, template_database) as url:
        site = Site(url, tmp_path_factory.mktemp("site") / "home")
        site.register(fleet)
        assert not site.collect(WINDOW).report.problems
        yield site


# The pipeline ---------------------------------------------------------------------------------------------------------


def test_a_login_of_the_services_roles_collects_the_same(
    server_url: str, database_url: str, tmp_path: Path, fleet: SimulatedFleet, collected: Site
) -> None:
    with role(server_url, "NOLOGIN", "retail_ingest", "retail_transform") as name:
        # Who is asked belongs to the registry, which the owner writes.
        Site(database_url, tmp_path / "home").register(fleet)
        site = Site(as_role(database_url, name), tmp_path / "home")
        assert not site.collect(WINDOW).report.problems
        assert site.figures() == collected.figures()
        assert [len(rows) for rows in site.contents(COLLECTED).values()] == [
            len(rows) for rows in collected.contents(COLLECTED).values()
        ]
        assert site.fetch("SELECT count(*) FROM retail.sensor_metadata WHERE last_seen_at IS NULL") == [(0,)]
        database = Database(Settings(database_url=site.url, home=tmp_path))
        try:
            with (
                pytest.raises(Exception, match="permission denied for table alert_rules"),
                database.transaction() as connection,
                connection.cursor() as cursor,
            ):
                cursor.execute("DELETE FROM retail.alert_rules")
        finally:
            database.dispose()


def test_an_owner_whom_policies_bind_migrates_and_collects_the_same(
    server_url: str, tmp_path: Path, fleet: SimulatedFleet, collected: Site
) -> None:
    """As on a hosted server: no superuser, no CREATE ROLE, no BYPASSRLS."""
    with role(server_url, "NOLOGIN NOSUPERUSER NOCREATEROLE NOBYPASSRLS") as name:
        database = f"hosted_{uuid.uuid4().hex[:12]}"
        with closing(psycopg2.connect(_libpq(server_url))) as connection:
            connection.autocommit = True
            connection.cursor().execute(
                sql.SQL("CREATE DATABASE {} OWNER {} ENCODING 'UTF8' TEMPLATE template0").format(
                    sql.Identifier(database), sql.Identifier(name)
                )
            )
        url = make_url(server_url).set(database=database).render_as_string(hide_password=False)
        try:
            site = Site(as_role(url, name), tmp_path / "home")
            hosted = Database(Settings(database_url=site.url, home=tmp_path))
            migrations.upgrade(hosted)
            hosted.dispose()
            site.register(fleet)
            assert not site.collect(WINDOW).report.problems
            assert site.figures() == collected.figures()
            assert site.fetch(
                f"SELECT row_security_active('retail.stores') FROM set_config('role', '{name}', true)"
            ) == [(True,)]
        finally:
            drop_database(server_url, url)


def test_a_role_that_the_server_refuses_is_told_and_the_rest_stands(database_url: str, server_url: str) -> None:
    with (
        role(server_url, "NOLOGIN NOSUPERUSER NOCREATEROLE") as name,
        closing(psycopg2.connect(_libpq(database_url))) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(
            "DO $$ DECLARE t record; BEGIN"
            f" EXECUTE 'ALTER SCHEMA retail OWNER TO {name}';"
            " FOR t IN SELECT oid::regclass AS r FROM pg_class WHERE relnamespace = 'retail'::regnamespace AND relkind IN ('r', 'p')"
            f" LOOP EXECUTE format('ALTER TABLE %s OWNER TO {name}', t.r); END LOOP;"
            f" FOR t IN SELECT oid::regclass AS r FROM pg_class WHERE relnamespace = 'retail'::regnamespace AND relkind = 'v'"
            f" LOOP EXECUTE format('ALTER VIEW %s OWNER TO {name}', t.r); END LOOP;"
            " FOR t IN SELECT oid::regprocedure AS r FROM pg_proc WHERE pronamespace = 'retail'::regnamespace"
            f" LOOP EXECUTE format('ALTER FUNCTION %s OWNER TO {name}', t.r); END LOOP; END $$;"
            f" ALTER TABLE public.retail_alembic_version OWNER TO {name}; ALTER ROLE retail_gateway RENAME TO hidden_for_a_test;"
            f" SET LOCAL ROLE {name}"
        )
        cursor.execute("SELECT retail.guard_tables()")
        assert cursor.fetchone() == (["retail_gateway"],)
        assert "does not let" in connection.notices[-1]
        assert "retail_gateway: let its administrator make them" in connection.notices[-1]
        cursor.execute("SELECT has_table_privilege('retail_reader', 'retail.stores', 'SELECT')")
        assert cursor.fetchone() == (True,)
        connection.rollback()


# What users read ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tenants(server_url: str, tmp_path_factory: pytest.TempPathFactory, collected: Site) -> Iterator[Site]:
    """The same rows as those of two retailers; ana sees Lisbon's, ben Mumbai's, cai one camera of Mumbai, dora all."""
    with fresh_database(server_url, make_url(collected.url).database or "") as url:
        site = Site(url, tmp_path_factory.mktemp("tenants") / "home")
        site.execute(
            "WITH o AS (INSERT INTO retail.organizations (organization_name) VALUES ('East') RETURNING id)"
            " UPDATE retail.stores SET organization_id = o.id FROM o WHERE store_name = 'Mumbai'"
        )
        site.execute("UPDATE retail.organizations SET organization_name = 'West' WHERE organization_name <> 'East'")
        for user, *what in (
            ("ana", "--organization", "West", "--write"),
            ("ben", "--store", "East/Mumbai"),
            ("cai", "--camera", "mumbai-east"),
            ("dora", "--organization", "West"),
            ("dora", "--organization", "East"),
        ):
            said = site.run("access", "grant", user, *what)
            assert said.code == 0, said.err
        yield site


@dataclass
class User:
    """A connection as PostgREST has it: the gateway's login, the role of the request, and the token's claims."""

    connection: PgConnection

    def fetch(self, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """The rows, or what Postgres refuses; nothing of it stays."""
        try:
            with self.connection.cursor() as cursor:
                cursor.execute("SAVEPOINT before")
                cursor.execute(statement, parameters)
                return list(cursor.fetchall()) if cursor.description else [(cursor.rowcount,)]
        finally:
            with self.connection.cursor() as cursor:
                cursor.execute("ROLLBACK TO before")

    def refused(self, statement: str, parameters: Any = None) -> str:
        """How Postgres refuses it: everything that the user is told."""
        with pytest.raises(psycopg2.Error) as refusal:
            self.fetch(statement, parameters)
        said = refusal.value.diag
        return "\n".join(filter(None, (said.message_primary, said.message_detail, said.message_hint, said.context)))


@contextmanager
def user(site: Site, name: str | None, group: str = "retail_reader") -> Iterator[User]:
    with closing(psycopg2.connect(_libpq(site.url))) as connection, connection.cursor() as cursor:
        if name is not None:
            cursor.execute("SELECT set_config('request.jwt.claims', %s, true)", (json.dumps({"sub": name}),))
        cursor.execute(f"SET LOCAL ROLE {group}")
        yield User(connection)


@contextmanager
def login(site: Site, name: str, *groups: str) -> Iterator[User]:
    """A login of its own, with psql."""
    with closing(psycopg2.connect(_libpq(site.url))) as connection, connection.cursor() as cursor:
        cursor.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
        for group in groups:
            cursor.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(group), sql.Identifier(name)))
        cursor.execute(sql.SQL("SET LOCAL SESSION AUTHORIZATION {}").format(sql.Identifier(name)))
        yield User(connection)


def keys(of: User | Site, name: str) -> list[tuple[Any, ...]]:
    relation = TABLES.get(name) or VIEWS[name]
    columns = ", ".join(f'"{column}"' for column in relation.key)
    return sorted(of.fetch(f"SELECT {columns} FROM retail.{name}"), key=repr)


def test_two_tenants_see_each_row_once_and_nobody_sees_none(tenants: Site) -> None:
    shared = SHARED_TABLES | {"alert_rules"}
    filled = set()
    with (
        user(tenants, "ana") as ana,
        user(tenants, "ben") as ben,
        user(tenants, "cai") as cai,
        user(tenants, "dora") as dora,
        user(tenants, "stranger") as stranger,
        user(tenants, None) as nobody,
    ):
        for name in (*TABLES, *VIEWS):
            if name in ("user_sensor_access", "fleet_changes", "table_sizes"):
                continue
            everything = keys(tenants, name)
            assert keys(nobody, name) == [], name
            if name in shared:
                assert keys(ana, name) == keys(ben, name) == everything, name
                continue
            assert keys(stranger, name) == [], name
            assert keys(dora, name) == everything, name
            west, east, camera = keys(ana, name), keys(ben, name), keys(cai, name)
            # No row is both's, and none is nobody's.
            assert sorted(west + east, key=repr) == everything, name
            assert set(camera) <= set(east), name
            if west and east:
                filled.add(name)
    assert {*COLLECTED, *FIGURES, "stores", "sensor_metadata", "collection_log", "kpi_metrics", *VIEWS} - {
        "table_sizes",
        "analytics_alerts",
    } <= filled


def as_user(of: User, name: str) -> None:
    of.connection.cursor().execute("SELECT set_config('request.jwt.claims', %s, true)", (json.dumps({"sub": name}),))


def plan(of: User, statement: str) -> str:
    return "\n".join(line for (line,) in of.fetch(f"EXPLAIN {statement}"))


ASKED_BY_THE_PLANNER = "is_user_of_most_stores()"
"""What the planner asks of a user: which of two conditions for the same rows it plans with."""


def test_a_plan_made_for_one_user_and_kept_shows_another_his_own_rows(tenants: Site) -> None:
    """The planner asks who plans, and a pool's connection runs the plan for others."""
    tables = [
        name
        for (name,) in tenants.fetch(
            "SELECT tablename FROM pg_policies"
            " WHERE schemaname = 'retail' AND policyname = 'users_read' AND strpos(qual, %(asked)s) > 0",
            {"asked": ASKED_BY_THE_PLANNER},
        )
    ]
    assert {"people_counting_raw", "hourly_analytics", "daily_analytics", "collection_log"} <= set(tables)
    with user(tenants, "ana") as ana, user(tenants, "ben") as ben, user(tenants, "cai") as cai:
        own = {who: {name: keys(of, name) for name in tables} for who, of in (("ana", ana), ("ben", ben), ("cai", cai))}
    own |= {"dora": {name: keys(tenants, name) for name in tables}, "stranger": {name: [] for name in tables}}
    assert own["cai"]["hourly_analytics"] != own["ben"]["hourly_analytics"]
    for planner in ("dora", "cai"):
        with user(tenants, planner) as pooled:
            pooled.connection.cursor().execute("SET LOCAL plan_cache_mode = force_generic_plan")
            for name in tables:
                columns = ", ".join(f'"{column}"' for column in TABLES[name].key)
                pooled.connection.cursor().execute(f"PREPARE kept_{name} AS SELECT {columns} FROM retail.{name}")
                as_user(pooled, planner)
                made = plan(pooled, f"EXECUTE kept_{name}")
                for who, rows in own.items():
                    as_user(pooled, who)
                    assert sorted(pooled.fetch(f"EXECUTE kept_{name}"), key=repr) == rows[name], (planner, who, name)
                    assert plan(pooled, f"EXECUTE kept_{name}") == made
                if name == "hourly_analytics":
                    assert ("hashed" in made) == (planner == "dora")


def test_who_saw_every_camera_does_not_see_the_next_one(tenants: Site) -> None:
    counted = "SELECT count(*) FROM retail.hourly_analytics"
    ((before,),) = tenants.fetch(counted)
    with user(tenants, "dora") as dora:
        cursor = dora.connection.cursor()
        cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        cursor.execute(f"PREPARE kept AS {counted}")
        assert dora.fetch("EXECUTE kept") == [(before,)]
        assert dora.fetch("SELECT retail.is_user_of_every_sensor()") == [(True,)]
        cursor.execute("RESET ROLE")
        cursor.execute(
            "WITH o AS (INSERT INTO retail.organizations (organization_name) VALUES ('South') RETURNING id),"
            " s AS (INSERT INTO retail.stores (organization_id, store_name, timezone) SELECT id, 'Faro', 'UTC' FROM o RETURNING id)"
            " INSERT INTO retail.sensor_metadata (sensor_name, store_id, sensor_ip, sensor_port, timezone, endpoints)"
            " SELECT 'faro', id, '192.0.2.77', 80, 'UTC', '[]' FROM s"
        )
        cursor.execute(
            "INSERT INTO retail.hourly_analytics (sensor_id, hour_start, total_entries, is_open, data_completeness, is_provisional,"
            " quality) SELECT id, '2025-10-14T09:00Z', 7, true, 1, false, '{}' FROM retail.sensor_metadata WHERE sensor_name = 'faro'"
        )
        assert dora.fetch(counted) == [(before + 1,)]
        cursor.execute("SET LOCAL ROLE retail_reader")
        for statement in ("EXECUTE kept", counted):
            assert dora.fetch(statement) == [(before,)], statement
        assert dora.fetch("SELECT retail.is_user_of_every_sensor()") == [(False,)]
        assert "hashed" in plan(dora, "EXECUTE kept")


def test_a_camera_is_seen_with_the_name_of_its_store_and_without_the_stores_figures(tenants: Site) -> None:
    with user(tenants, "cai") as cai:
        assert cai.fetch("SELECT store_name FROM retail.stores") == [("Mumbai",)]
        assert cai.fetch("SELECT organization_name FROM retail.organizations") == [("East",)]
        assert cai.fetch("SELECT sensor_name FROM retail.sensor_metadata") == [("mumbai-east",)]
        assert cai.fetch("SELECT count(*) > 0 FROM retail.hourly_analytics") == [(True,)]
        assert cai.fetch("SELECT count(*) FROM retail.store_hourly") == [(0,)]
        assert cai.fetch("SELECT user_id, can_write FROM retail.user_sensor_access") == [("cai", False)]
        assert cai.fetch("SELECT count(*) FROM retail.fleet_changes") == [(0,)]


def test_changes_of_the_fleet_are_read_by_their_organization_without_their_values(tenants: Site) -> None:
    changes = "SELECT name FROM retail.fleet_changes"
    tenants.execute(
        "INSERT INTO retail.fleet_changes (kind, organization_name, name, change, field, old_value, new_value, changed_by, command)"
        " SELECT 'camera', o, o || ' camera', 'changed', 'password', '\"env:A\"', '\"env:B\"', 'test', 'test'"
        " FROM unnest(ARRAY['West', 'East']) AS o"
    )
    with user(tenants, "ana") as ana, user(tenants, "ben") as ben, user(tenants, "dora") as dora:
        assert ana.fetch(changes) == [("West camera",)]
        assert sorted(dora.fetch(changes)) == [("East camera",), ("West camera",)]
        # Ben reads a store, and a change of the fleet is said of its organization.
        assert ben.fetch(changes) == []
        for name, hidden in HIDDEN_COLUMNS.items():
            for column in hidden:
                assert "permission denied" in dora.refused(f"SELECT {column} FROM retail.{name}")


# Who asks -------------------------------------------------------------------------------------------------------------


def test_a_login_is_its_own_user_whatever_it_says(tenants: Site) -> None:
    name = f"anna_{uuid.uuid4().hex[:8]}"
    with login(tenants, name, "retail_reader") as anna:
        anna.connection.cursor().execute("SET app.user_id = 'dora'")
        anna.connection.cursor().execute("""SET request.jwt.claims = '{"sub": "dora"}'""")
        assert anna.fetch("SELECT retail.current_user_id()") == [(name,)]
        assert anna.fetch("SELECT count(*) FROM retail.stores") == [(0,)]
        for above in ("retail_writer", "retail_transform", "retail_owner", "retail_gateway"):
            assert "permission denied" in anna.refused(f"SET ROLE {above}")
        assert "row-level security" in anna.refused("SET LOCAL row_security = off; SELECT * FROM retail.stores")


def test_a_gateway_speaks_for_the_user_of_the_claims_before_that_of_the_setting(tenants: Site) -> None:
    name = f"gateway_{uuid.uuid4().hex[:8]}"
    with login(tenants, name, "retail_reader", "retail_gateway") as gateway:
        for claims, setting, who in (
            ("", "", None),
            ('{"role": "authenticated"}', "", None),
            ('{"sub": ""}', "", None),
            ("[]", "", None),
            ("", "ben", "ben"),
            ('{"sub": "ana"}', "", "ana"),
            ('{"sub": "ana"}', "ben", "ana"),
        ):
            gateway.connection.cursor().execute(
                "SELECT set_config('request.jwt.claims', %s, true), set_config('app.user_id', %s, true)",
                (claims, setting),
            )
            assert gateway.fetch("SELECT retail.current_user_id()") == [(who,)], (claims, setting)
            stores = [("Lisbon",)] if who == "ana" else [("Mumbai",)] if who == "ben" else []
            assert gateway.fetch("SELECT store_name FROM retail.stores") == stores


# Attacks --------------------------------------------------------------------------------------------------------------

SALES = "INSERT INTO retail.pos_transactions (store_id, hour_start, transactions) VALUES (%(store)s, %(hour)s, 7)"


@pytest.fixture(scope="module")
def ids(tenants: Site) -> dict[str, Any]:
    found: dict[str, Any] = dict(tenants.fetch("SELECT store_name, id::text FROM retail.stores"))
    found.update(tenants.fetch("SELECT sensor_name, id::text FROM retail.sensor_metadata"))
    hour = datetime(2025, 10, 14, 9, tzinfo=UTC)
    tenants.execute(
        "INSERT INTO retail.pos_transactions (store_id, hour_start, transactions)"
        f" SELECT id, '{hour}', 11 FROM retail.stores"
    )
    return {**found, "hour": hour}


def test_a_writer_writes_his_own_rows_and_no_others(tenants: Site, ids: dict[str, Any]) -> None:
    later = datetime(2025, 10, 14, 10, tzinfo=UTC)
    with user(tenants, "ana", "retail_writer") as ana:
        mine, theirs = {"store": ids["Lisbon"], "hour": later}, {"store": ids["Mumbai"], "hour": later}
        assert ana.fetch(SALES, mine) == [(1,)]
        assert "row-level security policy" in ana.refused(SALES, theirs)
        assert ana.fetch("UPDATE retail.pos_transactions SET transactions = 0") == [(1,)]
        assert ana.fetch("DELETE FROM retail.pos_transactions") == [(1,)]
        assert "row-level security policy" in ana.refused(
            "UPDATE retail.pos_transactions SET store_id = %(Mumbai)s", {"Mumbai": ids["Mumbai"]}
        )
    # Ben reads his store; nobody granted him to write it.
    with user(tenants, "ben", "retail_writer") as ben:
        assert ben.fetch("SELECT count(*) FROM retail.pos_transactions") == [(1,)]
        assert "row-level security policy" in ben.refused(SALES, theirs)
        assert ben.fetch("UPDATE retail.pos_transactions SET transactions = 0") == [(0,)]
        assert ben.fetch("DELETE FROM retail.pos_transactions") == [(0,)]
    with user(tenants, "ana") as reading:
        for name in (*COLLECTED, *FIGURES, *REGISTRY_TABLES, "pos_transactions"):
            for verb in (f"DELETE FROM retail.{name}", f"TRUNCATE retail.{name}"):
                assert "permission denied" in reading.refused(verb)


def statement_that_keeps_locks() -> str:
    """The one of docs/access.md."""
    page = (sql_directory().parent / "docs" / "access.md").read_text()
    (statement,) = re.findall(r"```sql\n(DO \$\$.*?)```", page, re.DOTALL)
    return str(statement)


def test_locks_of_the_pipeline_can_be_kept_from_tenants(tenants: Site) -> None:
    with login(tenants, "greedy", "retail_reader") as greedy:
        take = "SELECT pg_try_advisory_xact_lock(1), pg_try_advisory_lock_shared(1, 2), pg_advisory_lock(3)"
        assert greedy.fetch(take)[0][:2] == (True, True)
        cursor = greedy.connection.cursor()
        cursor.execute("RESET SESSION AUTHORIZATION")
        cursor.execute(statement_that_keeps_locks())
        cursor.execute("SET LOCAL SESSION AUTHORIZATION greedy")
        for lock in (
            "try_advisory_xact_lock(1)",
            "try_advisory_lock_shared(1, 2)",
            "advisory_lock(3)",
            "advisory_xact_lock(1)",
        ):
            assert "permission denied for function pg_" in greedy.refused(f"SELECT pg_{lock}")
        cursor.execute("RESET SESSION AUTHORIZATION")
        cursor.execute("SET LOCAL ROLE retail_ingest")
        assert greedy.fetch("SELECT pg_try_advisory_xact_lock(1)") == [(True,)]


def test_who_keeps_locks_from_tenants_leaves_them_to_an_owner_of_any_name(tenants: Site) -> None:
    with login(tenants, "hosted_owner") as owner:
        cursor = owner.connection.cursor()
        cursor.execute("RESET SESSION AUTHORIZATION")
        cursor.execute("ALTER SCHEMA retail OWNER TO hosted_owner")
        cursor.execute(statement_that_keeps_locks())
        cursor.execute("SET LOCAL SESSION AUTHORIZATION hosted_owner")
        assert owner.fetch("SELECT pg_try_advisory_xact_lock(1)") == [(True,)]


OF_NO_SHOP = (
    ("INSERT INTO retail.pos_transactions (store_id, hour_start, transactions) VALUES (%(id)s, {}, 1)", "hour_start"),
    ("INSERT INTO retail.staff_hours (store_id, hour_start, staff) VALUES (%(id)s, {}, 1)", "hour_start"),
    ("INSERT INTO retail.weather_hourly (store_id, hour_start, wind_kmh) VALUES (%(id)s, {}, 1)", "hour_start"),
    (
        "INSERT INTO retail.queue_ground_truth (store_id, hour_start, minutes_counted, served, counted_by)"
        " VALUES (%(id)s, {}, 60, 1, 'ana')",
        "hour_start",
    ),
    (
        "INSERT INTO retail.pos_transactions (store_id, hour_start, transactions, updated_at) VALUES (%(id)s, now(), 1, {})",
        "updated_at",
    ),
    (
        "INSERT INTO retail.store_subdivisions (store_id, subdivision, updated_at) VALUES (%(id)s, '11', {})",
        "updated_at",
    ),
)
"""A statement with an instant to fill in, and its column."""

TOO_MUCH_OR_TOO_LITTLE = (
    ("pos_transactions", "transactions", "1000000", "transactions_are_under_a_million"),
    ("pos_transactions", "sales", "1e400", "sales_have_at_most_12_digits"),
    ("pos_transactions", "units", "1e400", "units_have_at_most_12_digits"),
    ("staff_hours", "staff", "1e400", "staff_has_at_most_12_digits"),
    ("staff_hours", "lanes_open", "1e400", "lanes_open_have_at_most_12_digits"),
    ("staff_hours", "staff", "1e-310", "staff_is_0_or_at_least_a_billionth"),
    ("staff_hours", "lanes_open", "1e-310", "lanes_open_are_0_or_at_least_a_billionth"),
    ("queue_ground_truth", "actual_queue_length", "1e400", "queue_length_has_at_most_12_digits"),
    ("queue_ground_truth", "actual_wait_minutes", "1e400", "wait_has_at_most_12_digits"),
    ("store_service", "service_rate_per_minute", "5e-324", "service_rate_is_a_thousandth_to_a_thousand"),
    ("store_service", "service_rate_per_minute", "1e300", "service_rate_is_a_thousandth_to_a_thousand"),
    ("store_service", "target_minutes", "1e300", "target_minutes_are_at_most_a_day"),
    ("store_service", "star_target", "5e-324", "star_target_is_a_thousandth_to_a_million"),
)


def test_a_writer_stores_nothing_that_stops_the_runs_of_others(tenants: Site, ids: dict[str, Any]) -> None:
    """A run reads the rows of all stores at once: one that it cannot reckon with would end it for everybody."""
    mine = {"id": ids["Lisbon"]}
    with user(tenants, "ana", "retail_writer") as ana:
        for statement, column in OF_NO_SHOP:
            for instant in ("infinity", "-infinity", "294276-01-01", "1999-01-01", "0044-03-15 BC"):
                said = ana.refused(statement.format(f"'{instant}'"), mine)
                assert f'violates check constraint "{column}_is_in_the_years_2000_to_2100"' in said, (
                    statement,
                    instant,
                )
        cursor = ana.connection.cursor()
        for statement, _ in OF_NO_SHOP[:4]:
            cursor.execute(statement.format("'2026-01-01Z'"), mine)
        cursor.execute(
            "INSERT INTO retail.store_service (store_id, service_rate_per_minute, target_minutes, target_share)"
            " VALUES (%(id)s, 0.8, 5, 0.8)",
            mine,
        )
        for table, column, value, rule in TOO_MUCH_OR_TOO_LITTLE:
            currency = ", currency = 'EUR'" if column == "sales" else ""
            said = ana.refused(f"UPDATE retail.{table} SET {column} = {value}{currency}")
            assert f'violates check constraint "{rule}"' in said, (table, column, value)


def test_whether_a_row_of_another_stands_is_not_told(tenants: Site, ids: dict[str, Any]) -> None:
    """The same words whether the row exists or not: by upsert, unique key and foreign key."""
    with user(tenants, "ana", "retail_writer") as ana:
        for attack in (
            SALES,
            SALES + " ON CONFLICT DO NOTHING",
            SALES + " ON CONFLICT (store_id, hour_start) DO UPDATE SET transactions = 0",
        ):
            standing = ana.refused(attack, {"store": ids["Mumbai"], "hour": ids["hour"]})
            free = ana.refused(attack, {"store": ids["Mumbai"], "hour": datetime(2025, 1, 1, tzinfo=UTC)})
            no_store = ana.refused(attack, {"store": str(uuid.uuid4()), "hour": ids["hour"]})
            assert standing == free == no_store
            assert "row-level security policy" in standing
        # Over one's own row it does what it says.
        upsert = SALES + " ON CONFLICT (store_id, hour_start) DO UPDATE SET transactions = 0"
        assert ana.fetch(upsert, {"store": ids["Lisbon"], "hour": ids["hour"]}) == [(1,)]
        merge = (
            "MERGE INTO retail.pos_transactions AS t USING (VALUES (%(store)s::uuid, %(hour)s::timestamptz)) AS v (s, h)"
            " ON t.store_id = v.s AND t.hour_start = v.h WHEN MATCHED THEN DELETE"
            " WHEN NOT MATCHED THEN INSERT (store_id, hour_start, transactions) VALUES (v.s, v.h, 1)"
        )
        assert "row-level security policy" in ana.refused(merge, {"store": ids["Mumbai"], "hour": ids["hour"]})
    assert tenants.fetch("SELECT count(*), sum(transactions) FROM retail.pos_transactions") == [(2, 22)]


def test_a_condition_of_ones_own_never_sees_the_rows_of_others(tenants: Site, ids: dict[str, Any]) -> None:
    with user(tenants, "ana") as ana:
        ana.connection.cursor().execute(
            "CREATE FUNCTION pg_temp.tell(t text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS"
            " $$ BEGIN RAISE NOTICE '%', t; RETURN true; END $$"
        )
        for name in ("sensor_metadata", "camera_completeness"):
            ana.fetch(f"SELECT count(*) FROM retail.{name} WHERE pg_temp.tell(sensor_name)")
        for name in ("stores", "mv_realtime_dashboard"):
            ana.fetch(f"SELECT count(*) FROM retail.{name} WHERE pg_temp.tell(store_name)")
        told = "".join(ana.connection.notices)
        assert "lisbon" in told
        assert "Lisbon" in told
        assert "umbai" not in told
        # An error that would name the value, or happen only where the row is.
        assert ana.fetch(
            "SELECT count(*) FROM retail.stores WHERE 1 / (CASE store_name WHEN 'Mumbai' THEN 0 ELSE 1 END) = 1"
        ) == [(1,)]
        assert ana.fetch("SELECT count(*) FROM retail.sensor_metadata WHERE sensor_name LIKE 'm%%'") == [(0,)]


def test_a_function_told_another_tenants_id_knows_nothing_of_it(tenants: Site, ids: dict[str, Any]) -> None:
    calls = tenants.fetch(
        "SELECT p.proname, p.pronargs, p.pronargdefaults FROM pg_proc AS p WHERE p.pronamespace = 'retail'::regnamespace"
        " AND p.proretset AND p.proargtypes[0] = 'uuid'::regtype ORDER BY 1"
    )
    assert calls
    unknown = str(uuid.uuid4())
    with user(tenants, "ana") as ana:
        for name, count, defaults in calls:
            if count - defaults > 1:
                continue
            for of in (ids["Mumbai"], ids["mumbai-east"]):

                def answer(subject: str, function: str = name) -> str:
                    statement = f"SELECT * FROM retail.{function}(%s::uuid)"
                    try:
                        return repr(ana.fetch(statement, (subject,)))
                    except psycopg2.Error as error:
                        return str(error.diag.message_primary)

                assert answer(of).replace(of, "") == answer(unknown).replace(unknown, ""), name


def test_partitions_and_statistics_are_shut(tenants: Site) -> None:
    partitions = tenants.fetch(
        "SELECT oid::regclass::text FROM pg_class WHERE relispartition AND relkind = 'r' ORDER BY 1"
    )
    assert partitions
    for group in ("retail_reader", "retail_writer", "retail_ingest", "retail_transform"):
        with user(tenants, "ana", group) as ana:
            for (name,) in partitions:
                assert "permission denied" in ana.refused(f"SELECT * FROM {name}"), (group, name)
    # Neither does a grant on all tables, as some guides have it, show a month past its table's policies.
    tenants.execute("SELECT retail.ensure_month_partitions('people_counting_raw', '2031-01-01Z', '2031-02-01Z')")
    assert tenants.fetch(
        "SELECT count(*) FROM pg_class WHERE relispartition AND relkind = 'r' AND NOT relrowsecurity"
    ) == [(0,)]
    (month,) = {
        name for (name,) in tenants.fetch("SELECT DISTINCT tableoid::regclass::text FROM retail.people_counting_raw")
    }
    tenants.execute(f"GRANT SELECT ON {month} TO retail_reader")
    with user(tenants, "ana") as ana:
        assert ana.fetch(f"SELECT count(*) FROM {month}") == [(0,)]
        assert ana.fetch("SELECT count(*) > 0 FROM retail.people_counting_raw") == [(True,)]
    tenants.execute(f"REVOKE SELECT ON {month} FROM retail_reader")
    tenants.execute("ANALYZE retail.stores, retail.sensor_metadata, retail.people_counting_raw")
    seen = "SELECT count(*) FROM pg_stats WHERE schemaname = 'retail'"
    assert tenants.fetch(f"{seen} AND tablename = 'stores'")[0][0] > 0
    with user(tenants, "ana") as ana:
        assert ana.fetch(seen) == [(0,)]
        # A new month is as shut as the first.
        assert "permission denied" in ana.refused(
            "SELECT retail.ensure_month_partitions('collection_log', now(), now())"
        )
        ana.connection.cursor().execute("SET LOCAL enable_seqscan = off")
        plan = "\n".join(row[0] for row in ana.fetch("EXPLAIN SELECT * FROM retail.hourly_analytics"))
        # A large table is read by the key's index, and the rows of others are not even passed over.
        assert "Index Cond: (sensor_id = ANY" in plan
        assert "Filter" not in plan


EVIL = (
    "CREATE FUNCTION pg_temp.evil(v pg_catalog.timestamptz) RETURNS boolean LANGUAGE plpgsql AS"
    " $$ BEGIN RAISE NOTICE 'runs as %', current_user; RETURN true; END $$;"
    "CREATE DOMAIN pg_temp.timestamptz AS pg_catalog.timestamptz CHECK (pg_temp.evil(VALUE));"
    "CREATE DOMAIN pg_temp.text AS pg_catalog.text CHECK (pg_temp.evil(pg_catalog.now()));"
    "CREATE DOMAIN pg_temp.uuid AS pg_catalog.uuid CHECK (pg_temp.evil(pg_catalog.now()));"
    "CREATE DOMAIN pg_temp.jsonb AS pg_catalog.jsonb CHECK (pg_temp.evil(pg_catalog.now()));"
    "CREATE TEMP TABLE user_sensor_access AS SELECT 'ana'::pg_catalog.text AS user_id"
)
"""Types and a table of the caller's that bear the names of others; whoever comes across one runs the caller's code."""


@pytest.mark.parametrize(
    ("group", "statement"),
    [
        ("retail_ingest", "SELECT retail.ensure_month_partitions('people_counting_raw', now(), now())"),
        (
            "retail_transform",
            "INSERT INTO retail.store_hourly (store_id, hour_start, utilization, avg_occupancy, is_open, data_completeness,"
            " is_provisional, quality) SELECT id, date_trunc('hour', now()) - interval '1 hour', 1.5, 99, true, 1, false, '{}'"
            " FROM retail.stores",
        ),
        ("retail_reader", "SELECT * FROM retail.mv_realtime_dashboard"),
        ("retail_reader", "SELECT * FROM retail.detect_anomalies()"),
        ("retail_writer", "UPDATE retail.pos_transactions SET transactions = 11"),
    ],
)
def test_no_code_of_the_callers_runs_with_the_owners_rights(
    tenants: Site, ids: dict[str, Any], group: str, statement: str
) -> None:
    """What a function with its owner's rights calls by a bare name is Postgres' own, though the caller has one of that name."""
    with user(tenants, "ana", group) as caller:
        caller.connection.cursor().execute(EVIL)
        caller.fetch(statement)
        assert "runs as" not in "".join(caller.connection.notices)
        # The trap itself works.
        caller.fetch("SELECT pg_catalog.now()::pg_temp.timestamptz")
        assert f"runs as {group}" in "".join(caller.connection.notices)


def test_estimates_of_rows_tell_no_names(tenants: Site, ids: dict[str, Any]) -> None:
    """EXPLAIN tells what Postgres reckons with: of a name the same, wherever it would stand among those of all tenants."""
    with fresh_database(tenants.url, make_url(tenants.url).database or "") as url:
        site = Site(url, tenants.home)
        site.execute(
            "INSERT INTO retail.stores (organization_id, store_name, timezone) SELECT o.id, 'secret ' || n, 'UTC'"
            " FROM retail.organizations AS o, generate_series(1, 200) AS n WHERE organization_name = 'East'; ANALYZE retail.stores"
        )
        with user(site, "ana") as ana:
            plans = {
                "".join(
                    row[0] for row in ana.fetch("EXPLAIN SELECT * FROM retail.stores WHERE store_name < %s", (name,))
                ).replace(f"'{name}'", "a name")
                for name in ("a", "secret 150", "secret 170", "z")
            }
            assert len(plans) == 1


def test_people_in_a_store_are_not_told_of_one_of_its_doors(tenants: Site) -> None:
    """Cai was granted one camera: what came by it is no count of the people inside."""
    occupancy = "SELECT count(current_occupancy), min(reason) FROM retail.calculate_current_occupancy(p_at => %s)"
    noon = (datetime(2025, 10, 14, 8, tzinfo=UTC),)
    with user(tenants, "cai") as cai, user(tenants, "ben") as ben:
        assert cai.fetch(occupancy, noon) == [(0, "part_of_store")]
        assert ben.fetch(occupancy, noon) == [(1, None)]
        assert cai.fetch(
            "SELECT current_occupancy, quality ->> 'current_occupancy' FROM retail.mv_realtime_dashboard"
        ) == [(None, "part_of_store")]
        # Nor of the queue: how many lanes there are is the store's.
        queue = "SELECT queue_length, recommended_open_lanes, reason FROM retail.estimate_queue_metrics({})"
        assert cai.fetch(queue.format("")) == [(None, None, "part_of_store")]
        assert ben.fetch(queue.format("")) == [(None, None, "no_ended_hour")]
        assert cai.fetch("SELECT quality ->> 'queue_length' FROM retail.mv_realtime_dashboard") == [("part_of_store",)]
        at = "p_queue_region => %s, p_at => %s"
        tills = tenants.fetch(
            "SELECT r.region_number FROM retail.region_configurations AS r JOIN retail.sensor_metadata AS m ON m.id = r.sensor_id"
            " WHERE m.sensor_name = 'mumbai-east' AND r.role = 'queue'"
        )
        assert tills
        for (region,) in tills:
            assert cai.fetch(queue.format(at), (region, *noon)) == [(None, None, "part_of_store")]


def test_the_analyst_is_told_why_a_table_cannot_be_read_whole(tenants: Site) -> None:
    with user(tenants, "ana") as ana:
        for name, hidden in HIDDEN_COLUMNS.items():
            assert "permission denied" in ana.refused(f"SELECT * FROM retail.{name}")
            [(said,)] = ana.fetch("SELECT obj_description(%s::regclass)", (f"retail.{name}",))
            assert "`SELECT *` is refused" in said
            shown = ", ".join(f'"{column}"' for column in TABLES[name].names if column not in hidden)
            assert isinstance(ana.fetch(f"SELECT {shown} FROM retail.{name}"), list)
        # A month says which table is to be asked.
        unsaid = (
            "SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'retail'::regnamespace AND c.relispartition"
            " AND c.relkind = 'r' AND obj_description(c.oid) IS NULL"
        )
        assert ana.fetch(unsaid) == []


def test_a_view_that_asks_by_a_text_asks_with_the_readers_rights(tenants: Site) -> None:
    ages = "SELECT table_name, oldest_at, newest_at FROM retail.table_sizes WHERE oldest_at IS NOT NULL"
    with user(tenants, "ana") as ana, user(tenants, "stranger") as stranger, user(tenants, None) as nobody:
        seen = {name: span for name, *span in ana.fetch(ages)}
        whole = {name: span for name, *span in tenants.fetch(ages)}
        for name in ("people_counting_raw", "collection_log", "store_hourly", "hourly_analytics", "daily_analytics"):
            key = TABLES[name].time_column
            assert [tuple(seen[name])] == ana.fetch(
                f'SELECT min("{key}")::timestamptz, max("{key}")::timestamptz FROM retail.{name}'
            ), name
        assert len(whole) > len(seen) > 15
        assert {name for name, *_ in stranger.fetch(ages)} <= SHARED_TABLES | {"alert_rules"}
        assert nobody.fetch(ages) == []
        # A table of the owner's that ana may not read has no age for her, and the others keep theirs.
        tenants.execute(
            "CREATE TABLE retail.private AS SELECT 1 AS id, now() AS at; ALTER TABLE retail.private ADD PRIMARY KEY (id, at)"
        )
        assert {name: span for name, *span in ana.fetch(ages)} == seen
        assert "private" in {name for name, *_ in tenants.fetch(ages)}
        tenants.execute("DROP TABLE retail.private")


def test_nobody_grants_himself_anything(tenants: Site, ids: dict[str, Any]) -> None:
    grant = "INSERT INTO retail.user_sensor_access (user_id, store_id, granted_by) VALUES ('ana', %s, 'ana')"
    for group in ("retail_reader", "retail_writer", "retail_ingest", "retail_transform"):
        with user(tenants, "ana", group) as ana:
            assert "permission denied" in ana.refused(grant, (ids["Mumbai"],))
            assert "permission denied" in ana.refused("UPDATE retail.user_sensor_access SET can_write = true")
            assert "permission denied" in ana.refused(
                "CREATE OR REPLACE FUNCTION retail.current_user_id() RETURNS text LANGUAGE sql AS 'SELECT ''ben'''"
            )


# The command ----------------------------------------------------------------------------------------------------------


TWO_CENTRES = (
    "WITH o AS (INSERT INTO retail.organizations (organization_name) VALUES ('North'), ('South') RETURNING id)"
    " INSERT INTO retail.stores (organization_id, store_name, timezone) SELECT id, 'Centre', 'UTC' FROM o"
)


def test_grants_are_made_listed_and_taken_back(database_url: str, tmp_path: Path) -> None:
    site = Site(database_url, tmp_path / "home")
    site.execute(TWO_CENTRES)
    said = site.run("access", "grant", "eve", "--store", "North/Centre", "--organization", "North")
    assert (said.code, said.sentence) == (2, "Say one of --organization, --store and --camera.")
    assert site.run("access", "grant", "eve", "--store", "North/Centre").out == "eve reads store North/Centre.\n"
    assert (
        site.run("access", "grant", "eve", "--store", "North/Centre").out == "eve reads store North/Centre already.\n"
    )
    said = site.run("access", "grant", "eve", "--store", "North/Centre", "--write")
    assert said.out == "eve reads and writes store North/Centre.\n"
    rows = json.loads(site.run("access", "list", "--json").out)
    assert [(row["user_id"], row["scope"], row["name"], row["can_write"]) for row in rows] == [
        ("eve", "store", "North/Centre", True)
    ]
    assert "North/Centre" in site.run("access", "list", "eve").out
    assert site.run("access", "revoke", "eve", "--store", "North/Centre").out == "eve has lost 1 grant.\n"
    said = site.run("access", "revoke", "eve", "--all")
    assert (said.code, said.sentence) == (2, "eve was not granted that; `retail-sensors access list` shows all grants.")
    assert site.run("access", "list").out == "Nobody was granted anything.\n"
    assert site.run("access", "roles").out == "Roles, grants and policies are set.\n"


def test_a_grant_that_cannot_be_meant_is_refused_and_all_of_a_user_are_taken_back(database: Database) -> None:
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(TWO_CENTRES)
    access = AccessStore(database)
    for person, scope, name, sentence in (
        ("eve", "store", "Centre", "2 stores are called 'Centre'; say which: North/Centre, South/Centre."),
        ("eve", "store", "Middle", "No store is called 'Middle'; the fleet file names all."),
        ("eve", "camera", "door", "No camera is called 'door'; `retail-sensors cameras list` shows all."),
        (" ", "organization", "North", "The user has no name; give the login's, or what `sub` says in its tokens."),
    ):
        with pytest.raises(ConfigurationError) as refusal:
            access.grant(person, cast(Scope, scope), name, can_write=False, by="test")
        assert str(refusal.value) == sentence
    for organization in ("North", "South"):
        assert access.grant("eve", "organization", organization, can_write=False, by="test")
    assert access.grant("adam", "organization", "North", can_write=True, by="test")
    # What is wider stays: a store is not taken out of its organization.
    assert access.revoke("eve", "store", "North/Centre") == 0
    assert access.revoke("eve") == 2
    assert [(row.user_id, row.scope, row.name, row.can_write) for row in access.listing()] == [
        ("adam", "organization", "North", True)
    ]
    assert access.listing("eve") == []


def test_the_printed_statements_make_a_login_that_reads_what_it_was_granted(database_url: str, tmp_path: Path) -> None:
    site = Site(database_url, tmp_path / "home")
    name = f'Ann "{uuid.uuid4().hex[:8]}"'
    site.execute(TWO_CENTRES)
    assert site.run("access", "grant", name, "--organization", "North").code == 0
    said = site.run("access", "reader", name)
    assert said.code == 0
    assert "BYPASSRLS" not in said.out
    everything = site.run("access", "reader", name, "--everything").out
    assert everything.startswith(said.out)
    assert everything.endswith(" BYPASSRLS;\n")
    with closing(psycopg2.connect(_libpq(site.url))) as connection, connection.cursor() as cursor:
        cursor.execute(said.out)
        cursor.execute(sql.SQL("SET LOCAL SESSION AUTHORIZATION {}").format(sql.Identifier(name)))
        cursor.execute(
            "SELECT store_name, organization_name FROM retail.stores JOIN retail.organizations o ON o.id = organization_id"
        )
        assert cursor.fetchall() == [("Centre", "North")]
        connection.rollback()
