"""Backup, restore and move: every row and every rule survives, and whatever goes wrong leaves things as they were."""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import psycopg2
import pytest
from sqlalchemy.engine import make_url

from retail_sensors.connectors.base import TimeWindow
from retail_sensors.settings import Settings
from retail_sensors.simulator.fleet import running
from retail_sensors.storage import migrations
from retail_sensors.storage.database import DATA_DATABASE, Database
from retail_sensors.storage.embedded import EmbeddedPostgres
from retail_sensors.tables import TABLES
from retail_sensors_tests.installations import ROOT, Said, Site, embedded_site, fresh_database, small_fleet
from retail_sensors_tests.integration.test_migrations import dump, program

START = datetime(2025, 10, 6, tzinfo=UTC)
Contents = tuple[str, dict[str, list[str]]]


@pytest.fixture(scope="module")
def site(server_url: str, template_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two days of three cameras, with figures."""
    with fresh_database(server_url, template_database) as url, running(small_fleet()) as fleet:
        site = Site(url, tmp_path_factory.mktemp("site") / "home")
        site.register(fleet)
        assert site.collect(TimeWindow(START, START + timedelta(days=2))).report.is_complete
        yield site


@pytest.fixture(scope="module")
def kept(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of it."""
    path = tmp_path_factory.mktemp("kept") / "retail.dump"
    assert done(site.run("db", "backup", path)).startswith(f"Wrote {path} (")
    return path


@pytest.fixture
def copy(site: Site, server_url: str, tmp_path: Path) -> Iterator[Site]:
    """The same installation once more, for a test to spoil."""
    with fresh_database(server_url, make_url(site.url).database or "") as url:
        yield Site(url, tmp_path / "home")


@pytest.fixture
def empty(server_url: str, tmp_path: Path) -> Iterator[Site]:
    """A database in which nothing was ever made."""
    with fresh_database(server_url, "template0") as url:
        yield Site(url, tmp_path / "home")


def done(said: Said) -> str:
    assert (said.code, said.err) == (0, ""), said
    return said.out


def refused(said: Said, code: int = 2) -> str:
    assert (said.code, said.out) == (code, ""), said
    return said.sentence


_POLICY_ROLES = re.compile(r"(?<= TO )[^ ]+(?:, [^ ]+)+(?= USING )")


def contents(site: Site) -> Contents:
    """The schema with everything in it, and every row of every table as text.

    Without what means nothing and comes out otherwise once Postgres has read a definition again: brackets, names of columns
    in the later parts of a union, and the order of grants and of a policy's roles, which is that in which the server's roles
    were made.
    """
    url = site.url or EmbeddedPostgres(site.home).url(DATA_DATABASE)
    schema = dump(Database(Settings(database_url=url)), "--schema=retail")
    rows = {
        name: [row for (row,) in site.fetch(f"SELECT t::text FROM retail.{name} AS t ORDER BY 1")] for name in TABLES
    }
    rows["revision"] = [row for (row,) in site.fetch("SELECT version_num FROM public.retail_alembic_version")]
    lines = re.sub(r"[()]| AS text(?=,$)", "", schema, flags=re.MULTILINE).splitlines()
    lines = [_POLICY_ROLES.sub(lambda found: ", ".join(sorted(found[0].split(", "))), line) for line in lines]
    return "\n".join(sorted(lines, key=lambda line: line if line.startswith("GRANT") else "")), rows


# There and back ----------------------------------------------------------------------------------------------------------


def test_a_backup_brings_back_every_row_and_every_rule(site: Site, kept: Path, empty: Site) -> None:
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert [path.name for path in kept.parent.iterdir()] == ["retail.dump"]
    said = done(empty.run("db", "restore", kept))
    assert said == f"Restored {kept} (revision {migrations.head()}); the database is at revision {migrations.head()}.\n"
    assert contents(empty) == contents(site)
    assert len(empty.fetch("SELECT * FROM retail.hourly_analytics")) == 3 * 48
    # What is restored works: months, triggers and computed columns are there.
    empty.execute("UPDATE retail.stores SET capacity = 7")
    assert empty.fetch("SELECT DISTINCT updated_at = max(created_at) OVER () FROM retail.stores") == [(False,)]


def test_a_database_that_was_only_migrated_needs_no_force(
    kept: Path, database_url: str, site: Site, tmp_path: Path
) -> None:
    fresh = Site(database_url, tmp_path / "home")
    done(fresh.run("db", "restore", kept))
    assert contents(fresh) == contents(site)


def test_data_is_replaced_only_with_force(kept: Path, copy: Site, site: Site) -> None:
    copy.execute("DELETE FROM retail.people_counting_raw; DROP VIEW retail.unified_store_metrics")
    before = contents(copy)
    assert "The database holds data, which a restore replaces" in refused(copy.run("db", "restore", kept))
    assert contents(copy) == before
    done(copy.run("db", "restore", kept, "--force"))
    assert contents(copy) == contents(site)


def test_a_backup_of_an_older_revision_is_brought_up_to_date(copy: Site, empty: Site, tmp_path: Path) -> None:
    done(copy.run("db", "downgrade", "0011", "--yes"))
    path = tmp_path / "old.dump"
    done(copy.run("db", "backup", path))
    assert "(revision 0011)" in done(empty.run("db", "restore", path))
    assert empty.fetch("SELECT version_num FROM public.retail_alembic_version") == [(migrations.head(),)]
    assert empty.fetch("SELECT count(*) FROM retail.hourly_analytics") == [(3 * 48,)]


def test_what_others_keep_in_the_database_is_not_touched(copy: Site, tmp_path: Path) -> None:
    copy.execute(
        "CREATE TABLE dagster.runs (id integer);"
        'CREATE TABLE public."Their notes" (id integer); CREATE FUNCTION public.theirs() RETURNS integer RETURN 1;'
        'INSERT INTO public."Their notes" VALUES (1)'
    )
    path = tmp_path / "retail.dump"
    done(copy.run("db", "backup", path))
    listed = subprocess.run([program("pg_restore"), "--list", path], capture_output=True, text=True, check=True).stdout
    assert "dagster" not in listed.replace("Dumped from", "").split("Selected TOC Entries")[1]
    assert "Their notes" not in listed
    done(copy.run("db", "restore", path, "--force"))
    assert copy.fetch('SELECT id, public.theirs() FROM public."Their notes"') == [(1, 1)]
    copy.execute("CREATE VIEW public.theirs AS SELECT store_name FROM retail.stores")
    sentence = refused(copy.run("db", "restore", path, "--force"))
    assert "These views outside of schema retail read it and would be lost: public.theirs." in sentence


@pytest.mark.parametrize("form", ["reader_{}", "retail-Reader {}", 'O\'Hara "the, {}" $$ \\'])
def test_roles_that_the_data_is_granted_to_are_made(copy: Site, empty: Site, tmp_path: Path, form: str) -> None:
    names = [form.format(f"{kind}{uuid.uuid4().hex[:8]}") for kind in ("a", "b", "c")]
    granted, let_in, later = (f'"{name.replace(chr(34), chr(34) * 2)}"' for name in names)
    roles = f"{granted}, {let_in}, {later}"
    copy.execute("; ".join(f"CREATE ROLE {role}" for role in (granted, let_in, later)))
    copy.execute(
        f"GRANT SELECT ON retail.stores TO {granted} WITH GRANT OPTION;"
        f" CREATE POLICY theirs ON retail.holidays FOR SELECT TO {granted}, {let_in} USING (true);"
        f" ALTER DEFAULT PRIVILEGES IN SCHEMA retail GRANT SELECT ON TABLES TO {later}"
    )
    try:
        done(copy.run("db", "backup", tmp_path / "retail.dump"))
        copy.execute(f"DROP OWNED BY {roles}; DROP ROLE {roles}")
        done(empty.run("db", "restore", tmp_path / "retail.dump"))
        known = dict(empty.fetch("SELECT rolname, rolcanlogin FROM pg_roles"))
        assert [known.get(name) for name in names] == [False, False, False]
        readers = (
            "SELECT grantee::regrole::text FROM pg_class, aclexplode(relacl) WHERE relname = 'stores' AND is_grantable"
        )
        assert (granted.strip('"'),) in [(name.strip('"'),) for (name,) in empty.fetch(readers)]
    finally:
        empty.execute(f"DROP OWNED BY {roles}; DROP ROLE {roles}")


def test_an_owner_without_privileges_backs_up_everything_and_a_reader_nothing(
    kept: Path, site: Site, empty: Site, server_url: str, tmp_path: Path
) -> None:
    owner, reader = (f"{kind}_{uuid.uuid4().hex[:8]}" for kind in ("owner", "reader"))
    name = make_url(empty.url).database
    empty.execute(f"CREATE ROLE {owner} LOGIN; CREATE ROLE {reader} LOGIN; ALTER DATABASE {name} OWNER TO {owner}")
    try:
        path = tmp_path / "retail.dump"
        own = Site(make_url(empty.url).set(username=owner).render_as_string(hide_password=False), tmp_path / "home")
        done(own.run("db", "restore", kept))
        assert own.fetch("SELECT count(*) FROM retail.hourly_analytics") == [(3 * 48,)]
        done(own.run("db", "backup", path))
        empty.execute(
            f"GRANT USAGE ON SCHEMA retail TO {reader}; GRANT SELECT ON ALL TABLES IN SCHEMA retail TO {reader}"
        )
        empty.execute(f"GRANT SELECT ON public.retail_alembic_version TO {reader}")
        other = Site(make_url(empty.url).set(username=reader).render_as_string(hide_password=False), tmp_path / "home")
        assert "may not see every row" in refused(other.run("db", "backup", tmp_path / "part.dump"))
        assert [file.name for file in tmp_path.iterdir()] == ["retail.dump"]
        with fresh_database(server_url, "template0") as url:
            back = Site(url, tmp_path / "home")
            done(back.run("db", "restore", path))
            assert contents(back)[1] == contents(site)[1]
            back.execute(f"DROP OWNED BY {owner}, {reader}")
    finally:
        empty.execute(f"ALTER DATABASE {name} OWNER TO CURRENT_USER; REASSIGN OWNED BY {owner} TO CURRENT_USER")
        empty.execute(f"DROP OWNED BY {owner}, {reader}; DROP ROLE {owner}, {reader}")


# What cannot be used -----------------------------------------------------------------------------------------------------


def truncated(kept: Path, path: Path) -> None:
    path.write_bytes(kept.read_bytes()[: int(kept.stat().st_size * 0.6)])


def damaged(kept: Path, path: Path) -> None:
    content = bytearray(kept.read_bytes())
    # The rows lie behind the list of what there is; the last of them is small.
    content[-20_000:-19_000] = bytes(1000)
    path.write_bytes(content)


def no_backup(kept: Path, path: Path) -> None:
    path.write_text("CREATE TABLE x (id integer);")


def folder(kept: Path, path: Path) -> None:
    path.mkdir()


def nothing(kept: Path, path: Path) -> None:
    pass


def newer_format(kept: Path, path: Path) -> None:
    content = bytearray(kept.read_bytes())
    content[6] = 99
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (truncated, "is not complete ("),
        (damaged, "is not complete ("),
        (no_backup, "is no backup: `retail-sensors db backup` makes one."),
        (folder, "is a folder; name the backup in it."),
        (nothing, "cannot be read: No such file or directory."),
        (newer_format, "was made by a newer pg_dump"),
    ],
)
def test_a_file_that_cannot_be_used_changes_nothing(
    spoil: Callable[[Path, Path], None], words: str, kept: Path, copy: Site, tmp_path: Path
) -> None:
    before = contents(copy)
    path = tmp_path / "spoilt.dump"
    spoil(kept, path)
    assert words in refused(copy.run("db", "restore", path, "--force"))
    assert contents(copy) == before


def test_a_backup_of_a_newer_version_or_of_other_data_is_refused(copy: Site, empty: Site, tmp_path: Path) -> None:
    copy.execute("UPDATE public.retail_alembic_version SET version_num = '9999'")
    path = tmp_path / "newer.dump"
    done(copy.run("db", "backup", path))
    assert "revision 9999 (newest: " in (said := done(copy.run("db", "status")))
    assert "this one is of a newer version of the project" in said
    assert "is of revision 9999, which this version does not know" in refused(empty.run("db", "restore", path))
    other = tmp_path / "other.dump"
    subprocess.run([program("pg_dump"), "-Fc", "--exclude-schema=*", "-f", other, libpq(copy)], check=True)
    assert "holds no data of retail-sensors" in refused(empty.run("db", "restore", other))
    assert empty.fetch("SELECT to_regnamespace('retail') IS NULL") == [(True,)]


def test_a_place_that_takes_no_file_is_told(site: Site, kept: Path, tmp_path: Path) -> None:
    before = kept.read_bytes()
    assert (
        refused(site.run("db", "backup", kept))
        == f"{kept} exists already; name another file, or replace it with --force."
    )
    assert f"{tmp_path} is a folder; name the file to write" in refused(site.run("db", "backup", tmp_path))
    missing = tmp_path / "missing" / "retail.dump"
    assert f"could not be written to {missing}: No such file or directory." in refused(
        site.run("db", "backup", missing)
    )
    too_long = tmp_path / ("n" * 300)
    assert f"to {too_long}: File name too long." in refused(site.run("db", "backup", too_long))
    assert f"{too_long} cannot be read: File name too long." in refused(site.run("db", "restore", too_long))
    # A file that took the place of a device would break the machine.
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for command in ("backup", "restore"):
        assert f"{pipe} is a device or a pipe" in refused(site.run("db", command, pipe, "--force"))
    assert pipe.is_fifo()
    # A folder in which nobody may write, not even root.
    assert "could not be written to /proc/retail.dump: " in refused(site.run("db", "backup", "/proc/retail.dump"))
    assert kept.read_bytes() == before


def test_a_database_that_was_never_migrated_has_nothing_to_back_up(empty: Site, tmp_path: Path) -> None:
    assert "never been migrated" in refused(empty.run("db", "backup", tmp_path / "retail.dump"))
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_is_too_old_for_a_hosted_server_is_told(copy: Site, tmp_path: Path) -> None:
    url = make_url(copy.url)
    # The first of the two does not answer, so that the server is not known to be on this machine.
    hosted = url.update_query_dict({"host": f"db.invalid,{url.query['host']}", "port": "5432,5432"})
    elsewhere = Site(hosted.render_as_string(hide_password=False), tmp_path / "home", {"PATH": str(tmp_path)})
    sentence = refused(elsewhere.process("db", "backup", tmp_path / "retail.dump"))
    assert "or newer is needed for this server, and there is none on the PATH" in sentence
    assert list(tmp_path.iterdir()) == []


# What gets in between ----------------------------------------------------------------------------------------------------


@contextmanager
def held(site: Site) -> Iterator[None]:
    """A table that others have to wait for."""
    with closing(psycopg2.connect(libpq(site))) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE retail.stores")
        yield


@contextmanager
def waiting(site: Site, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A command in a process of its own, once its program waits for that table."""
    process = subprocess.Popen(
        [sys.executable, "-m", "retail_sensors", *map(str, arguments)],
        cwd=ROOT,
        env={**site.variables, "RETAIL_SENSORS_DATABASE_URL": with_password(site.url)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not blocked(site):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait()


def blocked(site: Site) -> int:
    ((count,),) = site.fetch(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return int(count)


def with_password(url: str) -> str:
    return make_url(url).set(password="s3cret").render_as_string(hide_password=False)


def libpq(site: Site) -> str:
    return make_url(site.url).set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_an_interruption_leaves_nothing_behind_and_no_password_is_seen(
    command: str, kept: Path, copy: Site, tmp_path: Path
) -> None:
    before = contents(copy)
    folder = tmp_path / "backups"
    folder.mkdir()
    path = folder / "retail.dump"
    if command == "restore":
        shutil.copy(kept, path)
    files = sorted(folder.iterdir())
    with held(copy), waiting(copy, "db", command, path, "--force") as process:
        lines = [" ".join(child.cmdline()) for child in psutil.Process(process.pid).children(recursive=True)]
        assert any("pg_dump" in line or "psql" in line for line in lines)
        assert not [line for line in lines if "s3cret" in line]
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out, err) == (
            130,
            "",
            "retail-sensors: Stopped before the end; everything is as it was.\n",
        )
    assert sorted(folder.iterdir()) == files
    assert contents(copy) == before


def test_a_restore_waits_for_nobody_who_writes(kept: Path, copy: Site) -> None:
    with closing(psycopg2.connect(libpq(copy), application_name="retail_sensors leases")):
        sentence = refused(copy.run("db", "restore", kept, "--force"))
    assert sentence.startswith("1 other connection of retail-sensors to the database is open; stop what runs")
    copy.home.mkdir(parents=True)
    own = psutil.Process(os.getpid())
    (copy.home / "up.json").write_text(f'{{"pid": {own.pid}, "started_at": {own.create_time()}}}')
    for command in (("restore", kept, "--force"), ("downgrade", "--yes"), ("move", "embedded")):
        assert refused(copy.run("db", *command)) == "It is up and writes; stop it first: `retail-sensors down`."


# Elsewhere ---------------------------------------------------------------------------------------------------------------


def test_data_moves_from_the_embedded_server_to_a_hosted_one_and_back(
    kept: Path, site: Site, empty: Site, tmp_path: Path
) -> None:
    expected = contents(site)
    with embedded_site(tmp_path / "first") as first:
        done(first.run("db", "restore", kept))
        said = done(first.run("db", "move", empty.url))
        rows = sum(map(len, expected[1].values())) - 1
        assert f"Copied {rows:,} rows of {len(TABLES)} tables, the same on both sides" in said
        assert said.endswith(f"To use it, put this line into .env:\nRETAIL_SENSORS_DATABASE_URL={libpq(empty)}\n")
        assert contents(first) == expected
    assert contents(empty) == expected
    with embedded_site(tmp_path / "second") as second:
        back = Site(empty.url, second.home)
        assert "remove this variable from .env" in done(back.run("db", "move", "embedded"))
        assert contents(second) == expected


def test_a_move_to_a_place_that_cannot_take_it_changes_nothing(copy: Site, site: Site, empty: Site) -> None:
    before = contents(copy)
    again = make_url(copy.url).update_query_dict({"application_name": "other"}).render_as_string(hide_password=False)
    for url, code, words in (
        (copy.url, 2, "the target is the database that is in use already"),
        (again, 2, "the target is the database that is in use already"),
        (site.url, 2, "the target holds data"),
        ("mysql://db.example.com/retail", 2, "only postgresql is supported"),
        (
            "postgresql://someone:s3cret@127.0.0.1:1/nothing",
            3,
            "Nothing was moved. The database at 127.0.0.1:1/nothing",
        ),
    ):
        sentence = refused(copy.run("db", "move", url), code)
        assert words in sentence
        assert "s3cret" not in sentence
    empty.execute("CREATE SCHEMA retail; CREATE TABLE retail.mine (id integer); INSERT INTO retail.mine VALUES (1)")
    assert "the target holds data" in refused(copy.run("db", "move", empty.url))
    assert contents(copy) == before


def test_the_status_tells_sizes_and_hours(site: Site, empty: Site) -> None:
    said = done(site.run("db", "status")).splitlines()
    assert said[0].endswith(f"revision {migrations.head()} (up to date)")
    assert said[1] == "Counted hours: 2025-10-06 00:00 to 2025-10-07 23:30 (UTC)"
    assert said[2].split() == ["table", "rows,", "about", "on", "disk"]
    assert any(line.split()[0] == "collection_log" for line in said[3:])
    assert said[-1].startswith("all ")
    assert "revision none" in done(empty.run("db", "status"))


def test_a_downgrade_asks_first(copy: Site) -> None:
    before = contents(copy)
    said = copy.run("db", "downgrade", "0010")
    assert said.code == 2
    assert "goes: 0012 How each camera answers\n" in said.out
    assert said.sentence == "There is nobody to ask; say --yes."
    assert contents(copy) == before
    assert "9999 is not below it" in refused(copy.run("db", "downgrade", "9999", "--yes"))
    assert done(copy.run("db", "downgrade", "base", "--yes")).count("goes: ") == len(migrations.known())
    assert "has never been migrated" in refused(copy.run("db", "downgrade", "--yes"))
