"""`retail-sensors retention`: how long rows are kept, and bringing an archived month back.

Here belong options and words for the terminal; what they do belongs in `storage.retention` and `storage.archive`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from retail_sensors.cli.terminal import AsJson, console, migrated_database, print_json
from retail_sensors.errors import ConfigurationError, RetailSensorsError

if TYPE_CHECKING:
    from retail_sensors.storage.archive import Archive, ArchiveFolder
    from retail_sensors.storage.database import Database

app = typer.Typer(
    help="How long rows are kept: list, set, run; archived months: archives, restore.", no_args_is_help=True
)


@app.command("list")
def list_policies(as_json: AsJson = False) -> None:
    """Show what becomes of each table's old rows; tables that are not named are always kept."""
    from retail_sensors.storage.retention import policies

    with migrated_database() as (_, database):
        found = policies(database)
    if as_json:
        print_json([asdict(policy) for policy in found])
        return
    table = Table(title=f"{len(found)} policies")
    for heading in ("Table", "Old rows", "Days", "At least", "Left alone until", "Why"):
        table.add_column(heading, justify="right" if heading in ("Days", "At least") else "left", overflow="fold")
    for policy in found:
        cells = (
            policy.table,
            policy.action,
            "" if policy.days is None else str(policy.days),
            str(policy.least_days),
            "" if policy.restored_until is None else f"{policy.restored_until:%Y-%m-%d %H:%M}",
            policy.description,
        )
        table.add_row(*map(escape, cells))
    console().print(table)


@app.command("set")
def set_policy(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="As `list` names it.", show_default=False)],
    days: Annotated[
        int | None, typer.Option("--days", metavar="N", help="Days for which rows are kept.", show_default=False)
    ] = None,
    action: Annotated[
        Literal["archive", "drop"] | None,
        typer.Option("--action", help="What becomes of older rows; default: as it is, or archive.", show_default=False),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the rows for ever.")] = False,
) -> None:
    """Set what becomes of a table's old rows; the next night, or `run`, applies it."""
    from retail_sensors.storage.retention import policies
    from retail_sensors.storage.retention import set_policy as store

    if keep == (days is not None) or (keep and action is not None):
        raise ConfigurationError("Say either --days with a number, or --keep alone.")
    with migrated_database() as (_, database):
        standing = {policy.table: policy.action for policy in policies(database)}.get(table)
        chosen = "keep" if keep else action or ("drop" if standing == "drop" else "archive")
        store(database, table, chosen, days)
    done = {"keep": "kept for ever", "archive": "archived", "drop": "dropped without an archive"}[chosen]
    typer.echo(f"Rows of {table} are {done}." if keep else f"Rows of {table} older than {days} days are {done}.")


@app.command()
def run(
    tables: Annotated[
        list[str] | None, typer.Argument(metavar="[TABLE]...", help="All by default.", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and change nothing.")] = False,
) -> None:
    """Archive and drop what is older than the policies say, as every night at 02:00 UTC."""
    from retail_sensors.storage.retention import apply_policies

    with _opened() as (database, folder):
        outcomes = apply_policies(database, folder, datetime.now(UTC), tables or (), is_trial=dry_run)
    for outcome in outcomes:
        typer.echo(outcome.sentence)
    if failed := [outcome.table for outcome in outcomes if outcome.is_failure]:
        raise RetailSensorsError(f"Not all was done: see {', '.join(failed)} above.")


@app.command()
def archives(
    table: Annotated[
        str | None, typer.Argument(metavar="[TABLE]", help="One table; all by default.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the archived months."""
    with _opened() as (_, folder):
        found = folder.listing(table)
    if as_json:
        print_json([{**asdict(archive), "file": str(folder.file(archive))} for archive in found])
        return
    if not found:
        typer.echo(f"There is no archive{'' if table is None else f' of {table}'} in {folder.path}.")
        return
    shown = Table(title=f"{len(found)} archive{'' if len(found) == 1 else 's'} in {escape(str(folder.path))}")
    for heading in ("Name", "Rows", "Bytes", "Revision", "Archived"):
        shown.add_column(heading, justify="right" if heading in ("Rows", "Bytes") else "left", overflow="fold")
    for archive in found:
        cells = (archive.name, f"{archive.rows:,}", f"{archive.size_bytes:,}", archive.revision, archive.archived_at)
        shown.add_row(*map(escape, cells))
    console().print(shown)


@app.command()
def restore(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One archive, as `archives` names it.", show_default=False)
    ] = None,
    table: Annotated[
        str | None, typer.Option("--table", metavar="TABLE", help="With --month: all of that.", show_default=False)
    ] = None,
    month: Annotated[str | None, typer.Option("--month", metavar="YYYY-MM", show_default=False)] = None,
    days: Annotated[
        int, typer.Option("--days", min=1, max=3650, help="For so long nothing of the table goes again.")
    ] = 30,
) -> None:
    """Load an archived month back into its table; rows that are there stay, and the archive too."""
    from retail_sensors.storage.retention import restore as bring_back

    with _opened() as (database, folder):
        for one in bring_back(database, folder, _chosen(folder, name, table, month), datetime.now(UTC), days):
            words = [f"{one.archive.name}: {one.inserted:,} rows restored"]
            words += [f"{one.present:,} were there"] if one.present else []
            words += [f"{one.ownerless:,} left out, of cameras or stores that are gone"] if one.ownerless else []
            words += [f"without columns that are gone: {', '.join(one.columns_gone)}"] if one.columns_gone else []
            typer.echo(f"{'; '.join(words)}.")


def _chosen(folder: ArchiveFolder, name: str | None, table: str | None, month: str | None) -> list[Archive]:
    if name is not None and table is None and month is None:
        return [folder.named(name)]
    if name is not None or table is None or month is None:
        raise ConfigurationError("Name one archive, or say --table and --month.")
    found = folder.listing(table, month)
    if not found:
        raise ConfigurationError(
            f"There is no archive of {table} for {month}; `retail-sensors retention archives` lists them."
        )
    return found


@contextmanager
def _opened() -> Iterator[tuple[Database, ArchiveFolder]]:
    from retail_sensors.storage.archive import ArchiveFolder

    with migrated_database() as (settings, database):
        yield database, ArchiveFolder(settings.archive_folder)
