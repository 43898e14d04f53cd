"""`retail-sensors status`: what is fresh, late and missing now, for a person and for a monitor.

Here belong options, words and columns; what is late belongs in `storage.status`. A monitor asks every minute: neither Dagster nor
pandas is imported, and an embedded server that is down is told, not started.
"""

from __future__ import annotations

import json
import signal
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

import click
import typer

from retail_sensors.cli.terminal import WORD_HELP, told_to_stop
from retail_sensors.errors import DatabaseUnavailableError
from retail_sensors.settings import load_settings
from retail_sensors.storage.database import Database
from retail_sensors.storage.status import CELLS, NOT_EXPECTED, CameraStatus, Status, fleet_status

_WIDTH, _DETAIL = 80, 38
_NAME, _STATE, _SEEN, _HOLES, _ROW = 22, 9, 6, 5, 24
_COLOURS = {
    "fresh": "green",
    "healthy": "green",
    "late": "yellow",
    "degraded": "yellow",
    "missing": "red",
    "offline": "red",
}
_MOST_HOURS = 24 * 28
_MOST_NAMES = 12


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    watch: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=1, help="Show it again and again, until Ctrl-C.", show_default=False),
    ] = None,
    hours: Annotated[int, typer.Option(min=1, max=_MOST_HOURS, help="Hours to look back on.")] = 24,
    camera: Annotated[
        list[str] | None,
        typer.Option("--camera", metavar="WORD", help=f"Only these cameras; repeatable. {WORD_HELP}"),
    ] = None,
) -> None:
    """Show what is fresh, late and missing. Ends with 0: all is well, 1: something is late or missing, 3: no database.

    With --camera only these cameras and the stages that are about cameras.
    """
    words = camera or []
    database = Database(load_settings())
    try:
        if watch is None:
            raise typer.Exit(_show(database, hours, words, as_json=as_json))
        _watch(database, hours, words, watch, as_json=as_json)
    finally:
        database.dispose()


def _show(database: Database, hours: int, words: Sequence[str], *, as_json: bool) -> int:
    """Prints the status once; the exit code that it stands for."""
    found = fleet_status(database, datetime.now(UTC), hours, words)
    typer.echo(json.dumps(as_data(found), ensure_ascii=False) if as_json else shown(found))
    return 0 if found.is_well else 1


def _watch(database: Database, hours: int, words: Sequence[str], seconds: float, *, as_json: bool) -> None:
    """Prints it again and again; a database that is away for a while is told and waited for."""
    stop = told_to_stop(signal.SIGINT)
    code = 0
    while not stop.is_set():
        if not as_json:
            click.clear()
        try:
            code = _show(database, hours, words, as_json=as_json)
        except DatabaseUnavailableError as error:
            code = error.exit_code
            typer.echo(f"retail-sensors: {error}", err=True)
        stop.wait(seconds)
    raise typer.Exit(code)


def as_data(found: Status) -> dict[str, Any]:
    """The status as JSON values; instants as text with their zone, an hour of a camera as a word."""
    return {
        "now": found.now.isoformat(),
        "is_well": found.is_well,
        "stages": [{**asdict(stage), "newest": _iso(stage.newest), "is_well": stage.is_well} for stage in found.stages],
        "first_hour": found.first_hour.isoformat(),
        "cameras": [
            {
                **asdict(camera),
                "last_seen_at": _iso(camera.last_seen_at),
                "hours": [CELLS[cell].replace(" ", "_") for cell in camera.hours],
            }
            for camera in found.cameras
        ],
    }


def shown(found: Status) -> str:
    """The status as text of at most 80 columns."""
    verdict = "all is well" if found.is_well else "something is late or missing"
    lines = [f"{found.now:%Y-%m-%d %H:%M} UTC: {verdict}", ""]
    for stage in found.stages:
        lead = f"{stage.name:<15} {_coloured(stage.state, 8)} {_from(stage.newest):<16} "
        # A camera's name may be longer than the line: broken, it is still found by a search for its beginning.
        detail = textwrap.wrap(stage.detail, _DETAIL)
        lines += [lead + detail[0], *(" " * (_WIDTH - _DETAIL) + more for more in detail[1:])]
    if found.cameras:
        lines += ["", _heading(found)]
        for camera in found.cameras:
            lines += _camera_lines(camera, found.now)
        lines += _reasons(found.cameras)
        legend = "  ".join(f"{character} {word}" for character, word in CELLS.items() if character != NOT_EXPECTED)
        rows = ", one line a day, oldest first" if len(found.cameras[0].hours) > _ROW else ""
        lines += ["", f"{legend}  (blank: not expected)", f"Hours are UTC; the last one is running{rows}."]
    return "\n".join(lines)


def _heading(found: Status) -> str:
    width = min(len(found.cameras[0].hours), _ROW)
    hours = [found.first_hour + number * timedelta(hours=1) for number in range(width)]
    ruler = ""
    for number, hour in enumerate(hours):
        if hour.hour % 6 == 0 and len(ruler) <= number:
            ruler = ruler.ljust(number) + f"{hour:%H}"
    return f"{'camera':<{_NAME}} {'state':<{_STATE}} {'seen':>{_SEEN}} {'holes':>{_HOLES}} {ruler}".rstrip()


def _camera_lines(camera: CameraStatus, now: datetime) -> list[str]:
    # The last line ends with the running hour, and all lines have the same hours above each other.
    rows = [camera.hours[start : start + _ROW] for start in range(0, len(camera.hours), _ROW)]
    name = camera.name if len(camera.name) <= _NAME else f"{camera.name[: _NAME - 1]}…"
    holes = camera.hours_late + camera.hours_missing
    lead = f"{name:<{_NAME}} {_coloured(camera.state, _STATE)} {_ago(camera.last_seen_at, now):>{_SEEN}} {holes or '-':>{_HOLES}} "
    return [lead + rows[0], *(" " * (_NAME + _STATE + _SEEN + _HOLES + 4) + row for row in rows[1:])]


def _reasons(cameras: Sequence[CameraStatus]) -> list[str]:
    """For each state that is not well and each reason for it, the cameras that it holds for."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for camera in cameras:
        if camera.why is not None and camera.state != "off":
            grouped.setdefault((camera.state, camera.why), []).append(camera.name)
    lines = []
    for (state, why), names in sorted(grouped.items()):
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        lines += textwrap.wrap(
            f"{state}, {why}: {', '.join(names[:_MOST_NAMES])}{more}", _WIDTH, subsequent_indent="  "
        )
    return ["", *lines] if lines else []


def _ago(at: datetime | None, now: datetime) -> str:
    """How long ago, in the largest unit that tells."""
    if at is None:
        return "never"
    minutes = max(0, int((now - at).total_seconds() // 60))
    for size, unit in ((1440, "d"), (60, "h")):
        if minutes >= 2 * size:
            return f"{minutes // size} {unit}"
    return f"{minutes} min"


def _coloured(word: str, width: int) -> str:
    return typer.style(word.ljust(width), fg=_COLOURS.get(word))


def _from(newest: date | None) -> str:
    return (
        "-" if newest is None else f"{newest:%Y-%m-%d %H:%M}" if isinstance(newest, datetime) else f"{newest:%Y-%m-%d}"
    )


def _iso(at: date | None) -> str | None:
    return None if at is None else at.isoformat()
