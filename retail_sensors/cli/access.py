"""`retail-sensors access`: who sees which stores and cameras in the database.

Here belong options and words for the terminal; what they do belongs in `storage.access`.
"""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from retail_sensors.cli.terminal import console, migrated_database, print_json
from retail_sensors.errors import ConfigurationError

if TYPE_CHECKING:
    from retail_sensors.storage.access import AccessStore, Granted, Scope

app = typer.Typer(
    help="Who reads which stores and cameras in the database: grant, revoke, list, logins.", no_args_is_help=True
)

User = Annotated[
    str,
    typer.Argument(metavar="USER", help="A login's name, or what `sub` says in the user's tokens.", show_default=False),
]
Organization = Annotated[str | None, typer.Option(metavar="NAME", help="All of this organization.", show_default=False)]
Store = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="All of this store; a name that stands twice as ORGANIZATION/NAME.", show_default=False
    ),
]
Camera = Annotated[str | None, typer.Option(metavar="NAME", help="This camera alone.", show_default=False)]


@app.command()
def grant(
    user: User,
    organization: Organization = None,
    store: Store = None,
    camera: Camera = None,
    write: Annotated[
        bool, typer.Option("--write", help="Let the user also write what stores know themselves.")
    ] = False,
) -> None:
    """Let a user see an organization, a store or a camera; the same again changes nothing."""
    scope, name = _one(organization, store, camera)
    with _store() as access:
        is_new = access.grant(user, scope, name, can_write=write, by=_who())
    what = "reads and writes" if write else "reads"
    typer.echo(f"{user} {what} {scope} {name}{'' if is_new else ' already'}.")


@app.command()
def revoke(
    user: User,
    organization: Organization = None,
    store: Store = None,
    camera: Camera = None,
    everything: Annotated[bool, typer.Option("--all", help="All that the user was granted.")] = False,
) -> None:
    """Take back what a user was granted; of a wider grant nothing is taken away."""
    if everything and (organization or store or camera):
        raise ConfigurationError("--all takes back everything; leave out --organization, --store and --camera.")
    with _store() as access:
        count = access.revoke(user) if everything else access.revoke(user, *_one(organization, store, camera))
    if not count:
        raise ConfigurationError(f"{user} was not granted that; `retail-sensors access list` shows all grants.")
    typer.echo(f"{user} has lost {count} grant{'' if count == 1 else 's'}.")


@app.command("list")
def list_grants(
    user: Annotated[
        str | None, typer.Argument(metavar="[USER]", help="One user; all by default.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show who was granted what."""
    with _store() as access:
        granted = access.listing(user)
    if as_json:
        print_json([asdict(row) for row in granted])
    elif granted:
        console().print(_granted_table(granted))
    else:
        typer.echo("Nobody was granted anything." if user is None else f"{user} was granted nothing.")


@app.command()
def reader(
    user: Annotated[str, typer.Argument(metavar="USER", help="Name of the login.", show_default=False)],
    everything: Annotated[
        bool, typer.Option("--everything", help="For somebody who may see all tenants: past the policies.")
    ] = False,
) -> None:
    """Print the SQL that makes a login for psql; its administrator runs it and sets a password."""
    with _store() as access:
        typer.echo(access.reader_login(user, is_for_everything=everything))


@app.command()
def roles() -> None:
    """Make the roles, and set grants and policies of all tables anew: after a restore, or when roles were refused."""
    with _store() as access:
        missing = access.guard()
    if missing:
        raise ConfigurationError(
            f"This server does not let us make the roles {', '.join(missing)}; let its administrator run "
            f"{' '.join(f'CREATE ROLE {role} NOLOGIN;' for role in missing)} and then this command again. Everything else is set."
        )
    typer.echo("Roles, grants and policies are set.")


def _one(organization: str | None, store: str | None, camera: str | None) -> tuple[Scope, str]:
    named: list[tuple[Scope, str | None]] = [("organization", organization), ("store", store), ("camera", camera)]
    given = [(scope, name) for scope, name in named if name is not None]
    if len(given) != 1:
        raise ConfigurationError("Say one of --organization, --store and --camera.")
    return given[0]


@contextmanager
def _store() -> Iterator[AccessStore]:
    from retail_sensors.storage.access import AccessStore

    with migrated_database() as (_, database):
        yield AccessStore(database)


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "command line"


def _granted_table(granted: list[Granted]) -> Table:
    table = Table(title=f"{len(granted)} grant{'' if len(granted) == 1 else 's'}")
    for heading in ("User", "Sees", "Name", "Writes", "Granted by", "Granted"):
        table.add_column(heading, overflow="fold")
    for row in granted:
        cells = (
            row.user_id,
            row.scope,
            row.name,
            "yes" if row.can_write else "no",
            row.granted_by,
            f"{row.granted_at:%Y-%m-%d %H:%M}",
        )
        table.add_row(*map(escape, cells))
    return table
