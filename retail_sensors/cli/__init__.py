"""The command line `retail-sensors`: what a person types. Each module holds one command or group.

An error that a user can mend is one sentence on standard error and its exit code; a traceback is a fault of ours.
"""

from __future__ import annotations

import sys

import typer

from retail_sensors.errors import ConfigurationError, RetailSensorsError

app = typer.Typer(
    name="retail-sensors",
    help="People-counting cameras collected hour by hour into Postgres by Dagster.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _assemble() -> None:
    # Imported here, so that an error while importing is told in the same way.
    from retail_sensors.cli import access, alerts, backfill, cameras, collect, db, demo, load, retention, status, up
    from retail_sensors.simulator.cli import simulate

    app.add_typer(
        db.app,
        name="db",
        help="The database: start, upgrade, downgrade, status, backup, restore, move, url, script, psql.",
    )
    app.add_typer(cameras.app, name="cameras")
    app.add_typer(alerts.app, name="alerts")
    app.add_typer(access.app, name="access")
    app.add_typer(retention.app, name="retention")
    app.command("backfill")(backfill.backfill)
    app.command("collect")(collect.collect)
    app.command("demo")(demo.demo)
    app.command("load")(load.load)
    app.command("simulate")(simulate)
    app.command("status")(status.status)
    app.command("up")(up.up)
    app.command("down")(up.down)
    app.command("env")(db.env)
    app.command("exec", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(db.execute)


def main() -> None:
    """Runs the command line; the console script `retail-sensors`."""
    try:
        # A program that calls this more than once has the commands already.
        if not app.registered_commands:
            _assemble()
        _check_arguments(sys.argv[1:])
        app()
    except RetailSensorsError as error:
        print(f"retail-sensors: {error}", file=sys.stderr)  # noqa: T201 -- the command line's own voice
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        # Before a command has begun: commands end in their own way.
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)


def _check_arguments(arguments: list[str]) -> None:
    """Raises ConfigurationError for one that is no text: neither Postgres nor a terminal takes it."""
    for argument in arguments:
        if any("\ud800" <= character <= "\udfff" for character in argument):
            raise ConfigurationError(f"The argument {argument!r} is not UTF-8; type it anew.")
