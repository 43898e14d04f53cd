"""`retail-sensors db`: the database. `env` writes `.env` for a plain `dagster dev`; `exec` runs a program so.

Here belong options, questions and words; what is done belongs in `storage.migrations` and `storage.backup`.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from sqlalchemy.engine import make_url

from retail_sensors.cli.up import is_up
from retail_sensors.errors import ConfigurationError, StoppedError
from retail_sensors.installation import Installation
from retail_sensors.settings import Settings, load_settings, normalise_url
from retail_sensors.storage import backup as backups
from retail_sensors.storage import migrations
from retail_sensors.storage.database import Database

app = typer.Typer(no_args_is_help=True)

_LARGEST = 8


@app.command()
def start() -> None:
    """Start the embedded Postgres (nothing to do with RETAIL_SENSORS_DATABASE_URL set)."""
    with _opened(load_settings()) as database:
        typer.echo(f"PostgreSQL {database.server_version()} answers at {_shown(database.url)}")


@app.command()
def upgrade() -> None:
    """Bring the database to the newest revision; does nothing when it is there."""
    with _opened(load_settings()) as database:
        before, after = migrations.upgrade(database)
    typer.echo(f"Revision {after}" + (" (nothing to do)" if before == after else f", before: {before or 'empty'}"))


@app.command()
def url(
    libpq: Annotated[bool, typer.Option("--libpq", help="For psql and other libpq programs.")] = False,
) -> None:
    """Print the URL of the data's database; the embedded server is started."""
    with _opened(load_settings()) as database:
        typer.echo(database.libpq_url if libpq else database.url)


@app.command()
def status() -> None:
    """Print the server's version, the database's revision, its size, its largest tables and the hours that it holds."""
    with _opened(load_settings()) as database:
        version, current = database.server_version(), migrations.current(database)
        found = None if current is None else backups.sizes(database)
    if current is None or current in migrations.known():
        what = "`retail-sensors db upgrade`"
    else:
        what = "this one is of a newer version of the project: use that"
    state = "up to date" if current == migrations.head() else f"newest: {migrations.head()}; {what}"
    typer.echo(f"PostgreSQL {version}, revision {current or 'none'} ({state})")
    if found is None:
        return
    hours = f"{_hour(found.first_hour)} to {_hour(found.last_hour)} (UTC)" if found.first_hour else "none"
    typer.echo(f"Counted hours: {hours}")
    rest = found.tables[_LARGEST:]
    rows = [(table.name, f"{table.rows:,}", table.size_bytes) for table in found.tables[:_LARGEST]]
    rows += (
        [(f"and {len(rest)} more", f"{sum(t.rows for t in rest):,}", sum(t.size_bytes for t in rest))] if rest else []
    )
    rows += [("all", "", sum(table.size_bytes for table in found.tables))]
    typer.echo(f"{'table':<32}{'rows, about':>14}{'on disk':>12}")
    for name, count, size in rows:
        typer.echo(f"{name:<32}{count:>14}{_bytes(size):>12}")


@app.command()
def downgrade(
    revision: Annotated[
        str | None,
        typer.Argument(
            metavar="[REVISION]", help="Where to go back to, or `base`; default: one revision.", show_default=False
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Take migrations back, for an older version of the project; the rows of tables that go are lost."""
    settings = load_settings()
    _refuse_while_up(settings)
    with _opened(settings) as database:
        steps = migrations.steps_down(database, revision)
        for step in steps:
            typer.echo(f"goes: {step.revision} {step.title}")
        if steps and not yes:
            _confirm("The tables of these revisions are dropped with their rows. Go on?")
        before, after = migrations.downgrade(database, revision)
    typer.echo(
        f"Revision {after or 'none'}, before: {before}. The next command of this version upgrades again: install the older one."
    )


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it; only its owner may read it.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Write all data into FILE; everything may go on meanwhile. Dagster's own record and passwords are not in it."""
    with _ended_by_signals(), _opened(load_settings()) as database:
        made = backups.backup(database, file, environment=os.environ, overwrite=force)
    typer.echo(f"Wrote {made.path} ({_bytes(made.size_bytes)}, revision {made.revision})")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `db backup` wrote.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the data that the database holds.")] = False,
) -> None:
    """Put the data of FILE into the database, all or nothing, and bring it to the newest revision."""
    settings = load_settings()
    _refuse_while_up(settings)
    with _ended_by_signals(), _opened(settings) as database:
        done = backups.restore(database, file, environment=os.environ, overwrite=force)
    typer.echo(f"Restored {file} (revision {done.backup_revision}); the database is at revision {done.revision}.")


@app.command()
def move(
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL",
            help="An empty database, or `embedded`: the server under RETAIL_SENSORS_HOME. A password may be left to ~/.pgpass.",
        ),
    ],
) -> None:
    """Copy all data into the database at URL and compare every table's rows; the source stays as it is."""
    settings = load_settings()
    _refuse_while_up(settings)
    target = _other(settings, url)
    with _ended_by_signals(), _opened(settings) as source, tempfile.TemporaryDirectory(prefix="move-") as folder:
        try:
            done = backups.move(source, target, environment=os.environ, folder=Path(folder))
        finally:
            target.dispose()
    typer.echo(
        f"Copied {sum(done.rows.values()):,} rows of {len(done.rows)} tables, the same on both sides; revision {done.revision}."
    )
    if target.is_embedded:
        typer.echo("To use it, remove this variable from .env and from the environment:\nRETAIL_SENSORS_DATABASE_URL")
    else:
        typer.echo(f"To use it, put this line into .env:\nRETAIL_SENSORS_DATABASE_URL={target.libpq_url}")


@app.command()
def script() -> None:
    """Print all migrations as one SQL script."""
    typer.echo(migrations.script())


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def psql(context: typer.Context) -> None:
    """Open psql on the data's database; further arguments go to psql."""
    database = Installation().database
    command, environment = backups.psql_command(database, os.environ)
    os.execve(command[0], [*command, *context.args], environment)  # noqa: S606 -- becomes psql


def execute(context: typer.Context) -> None:
    """Run a program in the environment of this installation's Dagster, for example `dg check defs`."""
    if not context.args:
        raise ConfigurationError("Name the program to run, for example: retail-sensors exec dg check defs")
    environment = {**os.environ, **Installation().environment()}
    # The programs beside this one come first: the environment need not be activated.
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])
    program = shutil.which(context.args[0], path=environment["PATH"])
    if program is None:
        raise ConfigurationError(f"There is no program {context.args[0]!r}; is it installed in this environment?")
    os.execve(program, [program, *context.args[1:]], environment)  # noqa: S606 -- becomes that program


def env() -> None:
    """Write .env, so that a plain `dagster dev` in the project folder finds the instance."""
    installation = Installation()
    path = installation.root / ".env"
    managed = {key: value for key, value in installation.environment().items() if key != "DAGSTER_HOME"}
    managed["DAGSTER_HOME"] = str(installation.root)
    kept = [
        line
        for line in (path.read_text().splitlines() if path.is_file() else [])
        if line.partition("=")[0].strip() not in managed
    ]
    path.write_text("\n".join([*kept, *(f"{key}={value}" for key, value in managed.items())]) + "\n")
    path.chmod(0o600)
    typer.echo(f"Wrote {path}")


@contextmanager
def _opened(settings: Settings) -> Iterator[Database]:
    """The database of the settings, its server running; its connections are closed at the end."""
    database = Database(settings)
    try:
        database.ensure_server()
        yield database
    finally:
        database.dispose()


def _shown(url: str) -> str:
    return make_url(url).render_as_string(hide_password=True)


def _other(settings: Settings, url: str) -> Database:
    if url == "embedded":
        return Database(settings.model_copy(update={"database_url": None, "dagster_database_url": None}))
    try:
        return Database(settings.model_copy(update={"database_url": normalise_url(url)}))
    except ValueError as error:
        raise ConfigurationError(f"The URL {error}.") from None


def _refuse_while_up(settings: Settings) -> None:
    if is_up(Installation(settings)):
        raise ConfigurationError("It is up and writes; stop it first: `retail-sensors down`.")


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise ConfigurationError("There is nobody to ask; say --yes.")
    typer.confirm(question, abort=True)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM, as a timer sends it, ends the block like Ctrl-C: nothing half done stays."""

    def told_to_stop(number: int, _: FrameType | None) -> None:
        raise StoppedError("Stopped before the end; everything is as it was.")

    before = {number: signal.signal(number, told_to_stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _hour(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at else "none"


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 10 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
