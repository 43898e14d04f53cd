"""`retail-sensors db`: the database. `env` writes `.env` for a plain `dagster dev`; `exec` runs a program so."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from retail_sensors.errors import ConfigurationError
from retail_sensors.installation import Installation
from retail_sensors.settings import load_settings
from retail_sensors.storage import migrations
from retail_sensors.storage.database import Database

app = typer.Typer(no_args_is_help=True)


@app.command()
def start() -> None:
    """Start the embedded Postgres (nothing to do with RETAIL_SENSORS_DATABASE_URL set)."""
    database = Database(load_settings())
    database.ensure_server()
    typer.echo(f"PostgreSQL {database.server_version()} answers at {_shown(database.url)}")


@app.command()
def upgrade() -> None:
    """Bring the database to the newest revision; does nothing when it is there."""
    before, after = migrations.upgrade(Database(load_settings()))
    typer.echo(f"Revision {after}" + (" (nothing to do)" if before == after else f", before: {before or 'empty'}"))


@app.command()
def url(
    libpq: Annotated[bool, typer.Option("--libpq", help="For psql and other libpq programs.")] = False,
) -> None:
    """Print the URL of the data's database; the embedded server is started."""
    database = Database(load_settings())
    database.ensure_server()
    typer.echo(database.libpq_url if libpq else database.url)


@app.command()
def status() -> None:
    """Print the server's version and the database's revision."""
    database = Database(load_settings())
    database.ensure_server()
    current = migrations.current(database)
    state = (
        "up to date" if current == migrations.head() else f"newest: {migrations.head()}; `retail-sensors db upgrade`"
    )
    typer.echo(f"PostgreSQL {database.server_version()}, revision {current or 'none'} ({state})")


@app.command()
def script() -> None:
    """Print all migrations as one SQL script."""
    typer.echo(migrations.script())


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def psql(context: typer.Context) -> None:
    """Open psql on the data's database; further arguments go to psql."""
    database = Installation().database
    program = str(database.server.bin_directory / "psql") if database.is_embedded else shutil.which("psql")
    if program is None:
        raise ConfigurationError("psql is not installed; install PostgreSQL's client programs.")
    os.execv(program, [program, database.libpq_url, *context.args])  # noqa: S606 -- becomes psql


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


def _shown(url: str) -> str:
    from sqlalchemy.engine import make_url

    return make_url(url).render_as_string(hide_password=True)
