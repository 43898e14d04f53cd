"""`retail-sensors collect`: a range of hours, from the cameras to daily figures, through the same Dagster jobs.

The runs happen in this process, so that no daemon is waited for, and are recorded in the instance that the UI shows. Here
belong options and words for the terminal; the cycles of `--interval` belong in `bridge`, the dry run in `cli.backfill`.
"""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retail_sensors.cli.terminal import WORD_HELP, console, told_to_stop
from retail_sensors.connectors.base import TimeWindow
from retail_sensors.errors import ConfigurationError
from retail_sensors.installation import Installation

if TYPE_CHECKING:
    from retail_sensors.backfill import Report

DEFAULT_BACKFILL_HOURS = 24

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


FROM = typer.Option("--from", help="First date (UTC) or instant with zone.", show_default=False)
TO = typer.Option("--to", help="Date (UTC) or instant with zone at which to stop, exclusive.", show_default=False)
Cameras = Annotated[
    list[str] | None, typer.Option("--camera", metavar="WORD", help=f"Only these cameras; repeatable. {WORD_HELP}")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Let lower counts replace stored ones (kept in raw_revisions).")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Tell what would be asked of whom and how long it takes; ask nothing.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON: the outcome per camera, a line for each cycle.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show Dagster's log.")]


def collect(
    start: Annotated[str | None, FROM] = None,
    end: Annotated[str | None, TO] = None,
    camera: Cameras = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    once: Annotated[bool, typer.Option("--once", help="The last --backfill-hours hours up to now.")] = False,
    interval: Annotated[
        float | None,
        typer.Option(min=1, metavar="SECONDS", help="Go on: a cycle each so many seconds, until SIGTERM or Ctrl-C."),
    ] = None,
    backfill_hours: Annotated[
        int | None,
        typer.Option(min=1, max=24 * 366, help="Hours up to now that --once and --interval bring in.  [default: 24]"),
    ] = None,
    sensors: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Sensor file to register first, as `cameras add` does.", show_default=False),
    ] = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Ask the cameras for a range of hours and compute hourly and daily figures.

    The range is --from and --to, or the hours up to now: --once, or again and again with --interval, for a site
    without a Dagster daemon. A range ends with 0 only when every hour that was asked for is in; --interval ends with 0
    when it is told to stop.
    """
    _check_together(start, end, once=once, interval=interval, backfill_hours=backfill_hours, sensors=sensors)
    if interval is not None and (dry_run or overwrite):
        option = "--dry-run" if dry_run else "--overwrite"
        raise ConfigurationError(f"{option} is for one range; leave out --interval, or name the range.")
    if sensors is not None:
        if dry_run:
            raise ConfigurationError("--dry-run writes nothing, and so registers no --sensors FILE; leave one out.")
        from retail_sensors.cli.cameras import add_cameras

        add_cameras(sensors)
    # Imported here, as all that brings Dagster: a wrong option is told before its second of imports.
    from retail_sensors.resources.clock import ClockResource

    hours = DEFAULT_BACKFILL_HOURS if backfill_hours is None else backfill_hours
    if interval is not None:
        _go_on(camera or [], interval, hours, ClockResource().now, as_json=as_json, verbose=verbose)
        return
    if start is not None and end is not None:
        window = TimeWindow(parse_instant(start, "--from"), parse_instant(end, "--to"))
    else:
        now = ClockResource().now()
        window = TimeWindow(now - timedelta(hours=hours), now)
    if dry_run:
        from retail_sensors.cli.backfill import make_plan, say

        say(make_plan(Installation(), window, camera or [], ClockResource().now()), as_json=as_json)
        return
    report = run_with_progress(Installation(), window, camera or [], overwrite=overwrite, verbose=verbose)
    if as_json:
        typer.echo(json.dumps(report.as_json(), indent=2))
    else:
        _print(report)
    raise typer.Exit(0 if report.is_complete else 1)


def _check_together(
    start: str | None,
    end: str | None,
    *,
    once: bool,
    interval: float | None,
    backfill_hours: int | None,
    sensors: Path | None,
) -> None:
    """Refuses options that cannot be meant together, in one sentence."""
    is_range = start is not None or end is not None
    up_to_now = {
        "--once": once,
        "--interval": interval is not None,
        "--backfill-hours": backfill_hours is not None,
        "--sensors": sensors is not None,
    }
    given = [option for option, is_given in up_to_now.items() if is_given]
    if is_range and given:
        raise ConfigurationError(
            f"--from and --to name a range, and {given[0]} is for the hours up to now; use one or the other."
        )
    if is_range:
        for option, value in (("--from", start), ("--to", end)):
            if value is None:
                raise ConfigurationError(f"Missing option '{option}': a range has both --from and --to.")
    elif once and interval is not None:
        raise ConfigurationError("--once ends after one collection and --interval goes on; use one or the other.")
    elif not once and interval is None:
        raise ConfigurationError(
            "Say what to collect: --from and --to for a range, --once for the hours up to now, or --interval SECONDS to go on."
        )


def _go_on(
    cameras: list[str], interval: float, hours: int, clock: Callable[[], datetime], *, as_json: bool, verbose: bool
) -> None:
    """The bridge until a signal; a second signal ends the process at once."""
    from retail_sensors.bridge import Bridge, Cycle

    def say(cycle: Cycle) -> None:
        typer.echo(json.dumps(cycle.as_json()) if as_json else cycle.line())
        if cycle.trace:
            typer.echo(cycle.trace, err=True)

    stop = told_to_stop(signal.SIGINT, signal.SIGTERM)
    bridge = Bridge(cameras, hours, clock=clock, verbose=verbose)
    bridge.check()
    # In a thread of its own, because Dagster takes the main thread's signal handlers for the time of a run.
    with ThreadPoolExecutor(1) as worker:
        worker.submit(bridge.run, interval, stop, say).result()


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

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("runs"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty() and not verbose) as progress:
        task = progress.add_task("collecting", total=None)

        def advance(done: int, total: int, what: str) -> None:
            progress.update(task, completed=done, total=total, description=what)

        return collect_range(
            installation,
            window,
            cameras,
            # Who types a range wants an answer, also of cameras that are left alone.
            in_full=True,
            overwrite=overwrite,
            verbose=verbose,
            with_outlook=with_outlook,
            on_progress=advance,
        )


def _print(report: Report) -> None:
    from rich.markup import escape
    from rich.table import Table

    window = report.window
    table = Table(
        "camera",
        "hours in",
        "hours asked",
        "",
        title=f"{window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC",
    )
    for outcome in report.cameras:
        table.add_row(
            escape(outcome.camera),
            str(outcome.hours_in),
            str(outcome.hours_asked),
            "complete" if outcome.is_complete else "incomplete, see below",
            style="" if outcome.is_complete else "yellow",
        )
    terminal = console()
    terminal.print(table)
    # Beside its camera a reason would be a column of single words.
    for outcome in report.cameras:
        for problem in outcome.problems:
            terminal.print(f"{outcome.camera}: {problem}", style="yellow", markup=False, soft_wrap=True)
    for problem in report.problems:
        terminal.print(problem, style="red", markup=False, soft_wrap=True)
    missing = sum(outcome.hours_asked - outcome.hours_in for outcome in report.cameras)
    if report.is_complete:
        terminal.print("All that was asked for is in.")
    else:
        what = f"{missing} hours of cameras' reports are not in" if missing else "Not all figures could be computed"
        terminal.print(f"{what}; the runs are in the Dagster UI (`retail-sensors up`).")
