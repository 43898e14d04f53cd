"""`retail-sensors backfill`: another name of `collect` for a long range, and the words of its dry run.

What a range would ask of whom belongs in `backfill_plan`, asking in `backfill`, the options that both names share in `cli.collect`.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from retail_sensors.cli import collect
from retail_sensors.cli.terminal import console
from retail_sensors.connectors.base import TimeWindow
from retail_sensors.installation import Installation

if TYPE_CHECKING:
    from retail_sensors.backfill_plan import Plan

_SHOWN_NAMES = 12


def backfill(
    start: Annotated[str, collect.FROM],
    end: Annotated[str, collect.TO],
    camera: collect.Cameras = None,
    overwrite: collect.Overwrite = False,
    dry_run: collect.DryRun = False,
    as_json: collect.AsJson = False,
    verbose: collect.Verbose = False,
) -> None:
    """Another name of `collect --from --to`, for long ranges: ask for the hours and compute their figures.

    Ends with 0 only when every hour that was asked for is in.
    """
    collect.collect(
        start=start, end=end, camera=camera, overwrite=overwrite, dry_run=dry_run, as_json=as_json, verbose=verbose
    )


def make_plan(installation: Installation, window: TimeWindow, names: list[str], now: datetime) -> Plan:
    """What the range would ask of whom, as `backfill_plan.make_plan` says it."""
    # Dagster takes a second to import: only the commands that need it pay.
    from retail_sensors import backfill_plan

    return backfill_plan.make_plan(installation, window, names, now)


def say(plan: Plan, *, as_json: bool) -> None:
    """Prints the plan, as JSON or for a person."""
    if as_json:
        typer.echo(json.dumps(plan.as_json(), indent=2))
        return
    from rich.markup import escape
    from rich.table import Column, Table

    from retail_sensors.backfill_plan import NO_PASSWORD, NOT_MEASURED

    heads = ("camera", "questions", "hours", "in", "gone", "missing", "asking")
    window = plan.window
    table = Table(
        Column(heads[0], overflow="fold"),
        *(Column(head, justify="right", no_wrap=True) for head in heads[1:]),
        title=f"{window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC",
    )
    for camera in plan.cameras:
        table.add_row(
            escape(camera.camera),
            str(camera.questions.total()),
            *map(str, (camera.hours, camera.hours_in, camera.hours_beyond, camera.hours_missing)),
            "?" if camera.seconds is None else duration(camera.seconds),
        )
    terminal = console()
    terminal.print(table)

    def line(text: str) -> None:
        terminal.print(text, soft_wrap=True, markup=False)

    line(
        "Hours of reports: in = stored and final, gone = no longer held by the camera, missing = what can be brought in."
    )
    for note in (NO_PASSWORD, NOT_MEASURED):
        noted = [camera.camera for camera in plan.cameras if camera.note == note]
        if noted:
            line(f"{', '.join(noted[:_SHOWN_NAMES])}{' and more' if len(noted) > _SHOWN_NAMES else ''}: {note}.")
    kinds = Counter(run.what for run in plan.runs)
    line(f"{len(plan.runs)} runs: {', '.join(f'{count} {what}' for what, count in kinds.items())}.")
    is_timed = all(camera.seconds is not None for camera in plan.cameras if camera.questions)
    asking = duration(plan.asking_seconds) if plan.asking_seconds or is_timed else "a time that is not known"
    more = "" if is_timed or not plan.asking_seconds else " without the cameras whose answers were never timed"
    line(
        f"Asking takes {asking}{more} (one question at a time to a camera, the cameras side by side), "
        f"the runs {duration(plan.recording_seconds)} more."
    )
    line("Nothing was asked and nothing was written.")


def duration(seconds: float) -> str:
    """A span of time as a person says it."""
    if seconds < 1:
        return "under 1 s"
    if seconds < 100:
        return f"about {seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"about {minutes} min" if minutes < 100 else f"about {minutes // 60} h {minutes % 60} min"
