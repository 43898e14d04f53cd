"""Backup, restore and move of the data: schema `retail` with the revision that it is of.

Here belong PostgreSQL's own programs (pg_dump, pg_restore, psql) and what must hold before and after them. Schema changes
belong in `storage.migrations`. A backup holds neither Dagster's own record nor passwords and memberships of roles.

A backup is written beside its place and renamed when it is complete; a restore is one transaction, so that whatever ends
it, the database is as it was. A password reaches a program through its environment, never through its command line.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import IO

from psycopg2 import sql
from psycopg2.extensions import connection as PgConnection
from sqlalchemy.engine import URL, make_url

from retail_sensors.errors import ConfigurationError, DatabaseUnavailableError
from retail_sensors.storage import migrations
from retail_sensors.storage.database import Database
from retail_sensors.storage.embedded import installed_programs
from retail_sensors.storage.sqlfiles import queries, sql_directory

_MAGIC = b"PGDMP"
_LOCK_WAIT_SECONDS = 30
# number; two numbers; kind in capitals; schema or "-"; name and owner
_ENTRY = re.compile(r"^\d+; \d+ \d+ (?P<kind>[A-Z][A-Z ]*) (?P<schema>\S+) (?P<name>.+)$")
_VERSION_ENTRY = re.compile(r"(TABLE )?retail_alembic_version( |$)")
# As pg_dump writes a name: in quotes unless it is plain and small; PUBLIC, in capitals, is no role.
_ROLE = r'(?:"(?:[^"]|"")+"|[a-z_][a-z0-9_]*)'
_NAMED = (
    re.compile(rf"^(?:ALTER DEFAULT PRIVILEGES .*)?GRANT .+ TO ({_ROLE})(?: WITH GRANT OPTION)?;$", re.MULTILINE),
    re.compile(rf"^ALTER DEFAULT PRIVILEGES FOR ROLE ({_ROLE}) ", re.MULTILINE),
    re.compile(rf"^SET SESSION AUTHORIZATION ({_ROLE});$", re.MULTILINE),
    re.compile(rf"^CREATE POLICY .+? ON \S+ .*?\bTO ({_ROLE}(?:, {_ROLE})*)(?: USING| WITH CHECK|;)", re.MULTILINE),
)


@dataclass(frozen=True, slots=True)
class Backup:
    """One file: where it is, its size and the revision of its data."""

    path: Path
    size_bytes: int
    revision: str


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did: the revision of the file, and that of the database since."""

    backup_revision: str
    revision: str


@dataclass(frozen=True, slots=True)
class Moved:
    """What a move copied: rows by table, equal on both sides, and the revision of the target since."""

    rows: dict[str, int]
    revision: str


@dataclass(frozen=True, slots=True)
class TableSize:
    """One table: rows as Postgres estimates them, and bytes on disk with its indexes."""

    name: str
    rows: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the data is: its tables, the largest first, and the first and last counted hour (None: none)."""

    tables: list[TableSize]
    first_hour: datetime | None
    last_hour: datetime | None


def sizes(database: Database) -> Sizes:
    """Estimates from Postgres's catalog, so that they cost no more with years of data.

    Raises DatabaseUnavailableError, also where the database has not been migrated.
    """
    ((first, last),) = database.fetch(queries("database")["span"])
    return Sizes([TableSize(*row) for row in database.fetch(queries("database")["sizes"])], first, last)


def backup(database: Database, path: Path, *, environment: Mapping[str, str], overwrite: bool = False) -> Backup:
    """Writes a backup of the data into the file, which only its owner may read (mode 0600).

    `environment` is that of the programs. Raises ConfigurationError for a place where no file can be written, and
    DatabaseUnavailableError when the server or pg_dump refuses; the file is then as it was before.
    """
    try:
        if path.is_dir():
            raise ConfigurationError(f"{path} is a folder; name the file to write, for example {path / 'retail.dump'}.")
        if path.exists() and not path.is_file():
            raise ConfigurationError(
                f"{path} is a device or a pipe, which a backup would take the place of; name a file."
            )
        if path.exists() and not overwrite:
            raise ConfigurationError(f"{path} exists already; name another file, or replace it with --force.")
    except OSError as error:
        raise _unwritten(path, error) from error
    database.ensure_server()
    revision = migrations.current(database)
    if revision is None:
        raise ConfigurationError("The database has never been migrated, so there is nothing to back up.")
    try:
        with _written(path) as partial:
            _dump(database, partial, environment)
    except OSError as error:
        raise _unwritten(path, error) from error
    return Backup(path, path.stat().st_size, revision)


def _unwritten(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(f"The backup could not be written to {path}: {error.strerror}.")


def restore(database: Database, path: Path, *, environment: Mapping[str, str], overwrite: bool = False) -> Restored:
    """Puts the data of a backup into the database, in place of what is there, and brings it to the newest revision.

    Raises ConfigurationError for a file that is no backup or of a newer version, for a database that is in use, and for
    one that holds data unless `overwrite`; DatabaseUnavailableError when the server refuses. The database is then as it was.
    """
    revision = _revision_in(path, environment)
    database.ensure_server()
    migrations.require_supported(database)
    require_idle(database)
    if not overwrite and _holds_data(database):
        raise ConfigurationError(
            "The database holds data, which a restore replaces; back it up and say --force, or restore into an empty one."
        )
    _refuse_views_of_others(database)
    _load(database, path, environment)
    return Restored(revision, migrations.upgrade(database)[1])


def move(source: Database, target: Database, *, environment: Mapping[str, str], folder: Path) -> Moved:
    """Copies the data into a database without data and compares the rows of every table; the source stays as it is.

    `folder` (private to this process) holds the copy on its way. Raises ConfigurationError when one of the two is in use,
    or when the target is the source or holds data; DatabaseUnavailableError when a server refuses, or when the copy
    differs: it is taken back then.
    """
    source.ensure_server()
    revision = migrations.current(source)
    if revision not in migrations.known():
        raise ConfigurationError(
            f"The database is at revision {revision or 'none'}; run `retail-sensors db upgrade` first."
        )
    require_idle(source)
    try:
        target.ensure_server()
        migrations.require_supported(target)
    except DatabaseUnavailableError as error:
        raise DatabaseUnavailableError(f"Nothing was moved. {error}") from error
    with source.transaction() as connection:
        with connection.cursor() as cursor:
            # What is counted is what is dumped, whoever writes meanwhile.
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        _refuse_same(connection, target)
        require_idle(target)
        if _holds_data(target):
            raise ConfigurationError("Nothing was moved: the target holds data; name an empty database.")
        _refuse_views_of_others(target)
        rows = _counts(connection)
        path = folder / "retail.dump"
        _dump(source, path, environment, snapshot=_snapshot(connection))
        _load(target, path, environment)
    with target.transaction() as connection:
        found = _counts(connection)
    if found != rows or migrations.current(target) != revision:
        different = sorted(name for name in rows.keys() | found.keys() if rows.get(name) != found.get(name))
        with target.transaction() as connection, connection.cursor() as cursor:
            cursor.execute(_REMOVE)
        raise DatabaseUnavailableError(
            f"The copy differed from its source ({', '.join(different) or 'its revision'}) and was taken back; the "
            "source is unchanged. See that nothing writes into the target, and try again."
        )
    return Moved(rows, migrations.upgrade(target)[1])


def require_idle(database: Database) -> None:
    """Raises ConfigurationError when another process of this project is connected to the database."""
    ((others,),) = database.fetch(queries("database")["other_sessions"])
    if others:
        raise ConfigurationError(
            f"{others} other connection{'s' if others > 1 else ''} of retail-sensors to the database "
            f"{'are' if others > 1 else 'is'} open; stop what runs (`retail-sensors down`, also on other machines) and "
            "try again."
        )


# -- what is in a database --------------------------------------------------------------------------------------------

_REMOVE = "DROP SCHEMA IF EXISTS retail CASCADE; DROP TABLE IF EXISTS public.retail_alembic_version;"


def _tables(connection: PgConnection) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(queries("database")["tables"])
        return [name for (name,) in cursor.fetchall()]


def _counts(connection: PgConnection) -> dict[str, int]:
    """Rows of every table, by name."""
    names = _tables(connection)
    with connection.cursor() as cursor:
        counted = {}
        for name in names:
            cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier("retail", name)))
            ((counted[name],),) = cursor.fetchall()
    return counted


def _holds_data(database: Database) -> bool:
    """Whether a table has a row, other than those that migrations themselves fill."""
    text = "".join(path.read_text() for path in (sql_directory() / "migrations").glob("*.sql"))
    filled = set(re.findall(r"INSERT INTO retail\.(\w+)", text))
    _is_guarded(database)
    with database.transaction() as connection:
        names = [name for name in _tables(connection) if name not in filled]
        with connection.cursor() as cursor:
            for name in names:
                cursor.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier("retail", name)))
                if cursor.fetchall() == [(True,)]:
                    return True
    return False


def _is_guarded(database: Database) -> bool:
    """Whether policies bind our role; refuses one to which they show a part, which would be taken for the whole."""
    guarded = database.fetch(queries("database")["guarded_tables"])
    hidden = [name for name, is_shown_whole in guarded if not is_shown_whole]
    if hidden:
        raise ConfigurationError(
            f"The user of the database's URL may not see every row (of {', '.join(hidden[:3])}"
            f"{' and others' if hidden[3:] else ''}); use the owner of the tables, a member of retail_owner."
        )
    return bool(guarded)


def _refuse_views_of_others(database: Database) -> None:
    found = [name for (name,) in database.fetch(queries("database")["views_of_others"])]
    if found:
        raise ConfigurationError(
            f"These views outside of schema retail read it and would be lost: {', '.join(found)}. Keep their definition, "
            "drop them, and make them again afterwards."
        )


def _refuse_same(source: PgConnection, target: Database) -> None:
    """Two URLs lead to one database when a lock that is held through one is taken for the other."""
    key = {"key": random.getrandbits(62)}
    with source.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%(key)s)", key)
    ((is_free,),) = target.fetch("SELECT pg_try_advisory_xact_lock(%(key)s)", key)
    if not is_free:
        raise ConfigurationError("Nothing was moved: the target is the database that is in use already.")


def _snapshot(connection: PgConnection) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_export_snapshot()")
        ((name,),) = cursor.fetchall()
    return str(name)


# -- writing a backup -------------------------------------------------------------------------------------------------


@contextmanager
def _written(path: Path) -> Iterator[Path]:
    """A new file that takes the path's place when the block ends well, and is deleted when it does not."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    partial = Path(name)
    try:
        yield partial
        os.fsync(descriptor)
        partial.replace(path)
    finally:
        os.close(descriptor)
        partial.unlink(missing_ok=True)


def _dump(database: Database, path: Path, environment: Mapping[str, str], snapshot: str | None = None) -> None:
    """Lets pg_dump write schema `retail` and the table of the revision.

    A pattern of tables would leave out functions, so that public is dumped without its other relations; what else it holds
    (functions of others) is passed over when the file is read.
    """
    others = [name for (name,) in database.fetch(queries("database")["other_relations_of_public"])]
    url, child = _login(database, environment)
    command = [_program("pg_dump", database), "--format=custom", "--no-password", "--schema=retail", "--schema=public"]
    command += [f"--lock-wait-timeout={_LOCK_WAIT_SECONDS}s", *(f"--exclude-table={name}" for name in others)]
    command += [f"--snapshot={snapshot}"] if snapshot else []
    # Without it pg_dump refuses whoever is bound by policies, although they show him everything.
    command += ["--enable-row-security"] if _is_guarded(database) else []
    # By its name: into standard output pg_dump writes the contents twice.
    with _running([*command, f"--file={path.absolute()}", url], child) as (process, said):
        if process.wait() != 0:
            raise DatabaseUnavailableError(f"The backup failed ({_words(said)}); nothing was written.")


# -- reading one ------------------------------------------------------------------------------------------------------


def _revision_in(path: Path, environment: Mapping[str, str]) -> str:
    """The revision of the data in a file; refuses what is no backup, and one of a newer version."""
    try:
        if path.is_dir():
            raise ConfigurationError(f"{path} is a folder; name the backup in it.")
        if path.exists() and not path.is_file():
            raise ConfigurationError(
                f"{path} is a device or a pipe, which cannot be read twice; write it into a file first."
            )
        with path.open("rb") as file:
            beginning = file.read(len(_MAGIC))
    except OSError as error:
        raise ConfigurationError(f"The backup {path} cannot be read: {error.strerror}.") from error
    if beginning != _MAGIC:
        raise ConfigurationError(f"{path} is no backup: `retail-sensors db backup` makes one.")
    copied = _read(path, ["--data-only", "--schema=public", "--table=retail_alembic_version"], environment)
    found = re.search(r"^COPY public\.retail_alembic_version .*\n(\S+)\n\\\.$", copied, re.MULTILINE)
    if found is None:
        raise ConfigurationError(f"{path} holds no data of retail-sensors: it lacks public.retail_alembic_version.")
    if found[1] not in migrations.known():
        raise ConfigurationError(
            f"{path} is of revision {found[1]}, which this version does not know (its newest is {migrations.head()}); "
            "restore it with the version of the project that has made it, or a newer one."
        )
    return found[1]


def _read(path: Path, options: list[str], environment: Mapping[str, str]) -> str:
    """What pg_restore prints of a file."""
    with tempfile.TemporaryFile() as printed:
        command = [_newest("pg_restore"), *options, "--file=-", str(path.absolute())]
        with _running(command, environment, stdout=printed) as (process, said):
            if process.wait() != 0:
                raise _broken(path, said)
        printed.seek(0)
        return printed.read().decode("utf-8")


def _broken(path: Path, said: IO[bytes]) -> ConfigurationError:
    words = _words(said)
    if "unsupported version" in words:
        return ConfigurationError(
            f"The backup {path} was made by a newer pg_dump ({words}); install PostgreSQL's client programs of that version."
        )
    return ConfigurationError(
        f"The backup {path} is not complete ({words}); the database is as it was. Use another backup."
    )


def _load(database: Database, path: Path, environment: Mapping[str, str]) -> None:
    """Replaces schema and revision by those of the file, in one transaction.

    pg_restore's own would not do: it cannot drop partitioned tables piece by piece. Its script runs in psql instead, and
    COMMIT is sent when it has ended well; without that word the server takes everything back.
    """
    roles = _roles(_read(path, ["--schema-only"], environment))
    url, child = _login(database, environment)
    psql = [_program("psql", database), "--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1"]
    with tempfile.TemporaryDirectory(prefix="retail_sensors-") as folder:
        contents = Path(folder) / "contents"
        contents.write_text(_contents(_read(path, ["--list"], environment)))
        script = [_newest("pg_restore"), "--no-owner", f"--use-list={contents}", "--file=-", str(path.absolute())]
        with (
            _running(script, environment, stdout=subprocess.PIPE) as (reading, said_reading),
            _running([*psql, "--file=-", url], child, stdin=subprocess.PIPE) as (writing, said_writing),
        ):
            if reading.stdout is None or writing.stdin is None:  # pragma: no cover -- both are pipes
                raise DatabaseUnavailableError("PostgreSQL's programs could not be connected.")
            # psql closes its end when a statement fails.
            with suppress(BrokenPipeError):
                writing.stdin.write(_prologue(roles).encode())
                _feed(reading.stdout, writing.stdin)
                if reading.wait() != 0:
                    # A broken file ends here, before COMMIT.
                    raise _broken(path, said_reading)
                writing.stdin.write(_EPILOGUE)
                writing.stdin.close()
            if writing.wait() != 0:
                raise DatabaseUnavailableError(
                    f"The database refused the backup ({_words(said_writing)}); it is as it was."
                )


_EPILOGUE = b"""
DO $$ BEGIN
  -- The policies of the file let in the owner that it came from; here the owner may be another.
  IF to_regprocedure('retail.guard_tables()') IS NOT NULL THEN PERFORM retail.guard_tables(); END IF;
END $$;
COMMIT;
"""


def _feed(script: IO[bytes], psql: IO[bytes]) -> None:
    for line in iter(script.readline, b""):
        # Servers before 17 do not know it, and it is off anyway.
        if not line.startswith(b"SET transaction_timeout"):
            psql.write(line)
        if line.startswith(b"CREATE "):
            break
    shutil.copyfileobj(script, psql, 1024 * 1024)


def _contents(listed: str) -> str:
    """The entries of a file that are ours, of those that pg_restore lists."""
    kept = []
    for line in listed.splitlines():
        entry = _ENTRY.match(line)
        if entry is None:
            continue
        kind, schema, name = entry["kind"], entry["schema"], entry["name"]
        is_schema = schema == "-" and (
            f"{kind} {name}".startswith("SCHEMA retail ") or name.startswith("SCHEMA retail ")
        )
        is_version = schema == "public" and _VERSION_ENTRY.match(name) is not None
        if is_schema or is_version or (schema == "retail" and not kind.startswith("PUBLICATION")):
            kept.append(line)
    return "\n".join(kept) + "\n"


def _roles(script: str) -> list[str]:
    """The roles that a script grants to: they belong to the server, a backup does not bring them."""
    written = [name for pattern in _NAMED for some in pattern.findall(script) for name in re.findall(_ROLE, some)]
    return sorted({name[1:-1].replace('""', '"') if name.startswith('"') else name for name in written})


def _prologue(roles: list[str]) -> str:
    listed = ", ".join("'" + role.replace("'", "''") + "'" for role in roles)
    lines = ["BEGIN;", f"SET LOCAL lock_timeout = '{_LOCK_WAIT_SECONDS}s';"]
    lines += [f"SELECT pg_advisory_xact_lock({migrations.LOCK});", "SET LOCAL client_min_messages = warning;", _REMOVE]
    # psql itself runs what this says.
    lines += [
        "SELECT format('CREATE ROLE %I NOLOGIN', r.name)",
        f"FROM unnest(ARRAY[{listed}]::text[]) AS r (name)",
        "WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = r.name) \\gexec",
    ]
    return "\n".join([*lines, ""])


# -- PostgreSQL's programs --------------------------------------------------------------------------------------------


def psql_command(database: Database, environment: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """The command that opens psql on the database, and its environment."""
    url, child = _login(database, environment)
    return [_program("psql", database), url], child


def _program(name: str, database: Database) -> str:
    """Path of the program to use with a database: the embedded server's own, or that on the PATH for a hosted one.

    The embedded programs are built without TLS, so that they serve hosted databases only on this machine.
    """
    bundled = installed_programs() / name
    if database.is_embedded:
        return str(bundled)
    needed = database.server_version() if name == "pg_dump" else 0
    found = shutil.which(name)
    if found is not None and _version(found) >= needed:
        return found
    if _is_local(make_url(database.url)):
        return str(bundled)
    has = f"that on the PATH is of version {_version(found)}" if found else "there is none on the PATH"
    raise ConfigurationError(
        f"{name} {f'of version {needed} or newer ' if needed else ''}is needed for this server, and {has}; install "
        "PostgreSQL's client programs."
    )


def _newest(name: str) -> str:
    """The program that reads the files of all the others: no server is asked."""
    found = shutil.which(name)
    programs = [str(installed_programs() / name), *([found] if found else [])]
    return max(programs, key=_version)


def _version(program: str) -> int:
    """The major version of a program; 0: it does not say."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    found = re.search(r"\(PostgreSQL\) (\d+)", said)
    return int(found[1]) if found else 0


def _is_local(url: URL) -> bool:
    host = url.host or str(url.query.get("host", ""))
    if host.startswith("/") or host in ("", "localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _login(database: Database, environment: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The database's URL without its password, and the environment that holds it."""
    url = make_url(database.libpq_url)
    password = url.password or url.query.get("password")
    bare = URL.create(
        "postgresql",
        url.username,
        None,
        url.host,
        url.port,
        url.database,
        url.difference_update_query(["password"]).query,
    )
    child = dict(environment)
    if password:
        child["PGPASSWORD"] = str(password)
    return bare.render_as_string(hide_password=False), child


@contextmanager
def _running(
    command: list[str],
    environment: Mapping[str, str],
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: IO[bytes] | int = subprocess.DEVNULL,
) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """A program and what it says on standard error; it is ended with the block, whatever ends that."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(  # noqa: S603 -- PostgreSQL's own programs, and no shell reads the arguments
            command, stdin=stdin, stdout=stdout, stderr=said, env={**environment, "LC_ALL": "C"}
        )
        try:
            yield process, said
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError), closing(pipe):
                        pass


def _words(said: IO[bytes]) -> str:
    """The sentence of standard error that says why: the first error."""
    said.seek(0)
    lines = [line.strip() for line in said.read().decode("utf-8", "replace").splitlines() if line.strip()]
    grave = [line for line in lines if re.search(r"(ERROR|FATAL|error):", line)]
    if not lines:
        return "it gave no reason"
    return re.sub(r"^.*?(ERROR|FATAL|error):\s*", "", (grave or lines)[0])
