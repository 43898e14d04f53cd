"""`retail-sensors collect`: a range of hours, from the cameras to daily figures, through the same Dagster jobs.

The runs happen in this process, so that no daemon is waited for, and are recorded in the instance that the UI shows.
"""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from retail_sensors.connectors.base import TimeWindow
from retail_sensors.errors import ConfigurationError
from retail_sensors.installation import Installation

if TYPE_CHECKING:
    from retail_sensors.backfill import Report

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def parse_instant(text: str, option: str) -> datetime:
    """The instant that `--from` or `--to` means: a date is its start in UTC, an instant needs a zone.

    Raises ConfigurationError naming the option.
    """
    try:
        if _DATE.fullmatch(text.strip()):
            return datetime.fromisoformat(text.strip()).replace(tzinfo=UTC)
        instant = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ConfigurationError(
            f"{option} {text!r} is neither a date (2026-11-01) nor an instant with zone (2026-11-01T08:00+01:00)."
        ) from None
    if instant.tzinfo is None and "T" not in text and " " not in text.strip():
        raise ConfigurationError(f"{option} {text!r} is a date in another form; write {instant:%Y-%m-%d}.")
    if instant.tzinfo is None:
        raise ConfigurationError(f"{option} {text!r} has no zone; write for example {text}Z for UTC or {text}+01:00.")
    try:
        # A day's room on either side: what is asked lies a little around it.
        for margin in (timedelta(days=-2), timedelta(days=2)):
            instant.astimezone(UTC) + margin
    except OverflowError:
        raise ConfigurationError(f"{option} {text!r} is no time that a camera can know.") from None
    return instant.astimezone(UTC)


def collect(
    start: Annotated[str, typer.Option("--from", help="First date (UTC) or instant with zone.")],
    end: Annotated[str, typer.Option("--to", help="Date (UTC) or instant with zone at which to stop, exclusive.")],
    camera: Annotated[list[str] | None, typer.Option("--camera", help="Only this camera; repeatable.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Let lower counts replace stored ones (kept in raw_revisions).")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome per camera as JSON.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show Dagster's log.")] = False,
) -> None:
    """Ask the cameras for a range of hours and compute hourly and daily figures.

    Ends with 0 only when every hour that was asked for is in.
    """
    window = TimeWindow(parse_instant(start, "--from"), parse_instant(end, "--to"))
    report = run_with_progress(Installation(), window, camera or [], overwrite=overwrite, verbose=verbose)
    if as_json:
        typer.echo(json.dumps(report.as_json(), indent=2))
    else:
        _print(report)
    raise typer.Exit(0 if report.is_complete else 1)


def run_with_progress(
    installation: Installation,
    window: TimeWindow,
    cameras: list[str],
    *,
    overwrite: bool = False,
    verbose: bool = False,
    with_outlook: bool = False,
) -> Report:
    """Collects the window with a progress bar on standard error."""
    # Dagster takes a second to import: only the commands that need it pay.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from retail_sensors.backfill import collect_range

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("runs"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not sys.stderr.isatty() and not verbose) as progress:
        task = progress.add_task("collecting", total=None)

        def advance(done: int, total: int, what: str) -> None:
            progress.update(task, completed=done, total=total, description=what)

        return collect_range(
            installation,
            window,
            cameras,
            overwrite=overwrite,
            verbose=verbose,
            with_outlook=with_outlook,
            on_progress=advance,
        )


def _print(report: Report) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        "camera", "hours in", "hours asked", "what happened", title=f"{report.window.start} to {report.window.end}"
    )
    for outcome in report.cameras:
        table.add_row(
            escape(outcome.camera),
            str(outcome.hours_in),
            str(outcome.hours_asked),
            escape("\n".join(outcome.problems)) or "complete",
            style="" if outcome.is_complete else "yellow",
        )
    console = Console()
    console.print(table)
    for problem in report.problems:
        console.print(problem, style="red", markup=False)
    missing = sum(outcome.hours_asked - outcome.hours_in for outcome in report.cameras)
    if report.is_complete:
        console.print("All that was asked for is in.")
    else:
        what = f"{missing} hours of cameras' reports are not in" if missing else "Not all figures could be computed"
        console.print(f"{what}; the runs are in the Dagster UI (`retail-sensors up`).")
