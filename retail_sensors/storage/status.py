"""What is fresh, late and missing at one instant, asked of the data and not of the record of the runs.

A back-fill of March so makes nothing fresh today. Of a table that may rightly stay empty the evidence is what it lacks: an outage
without its alert, a gap without its anomaly. No frame is made here: a monitor asks every minute and waits for the answer. How it is
shown belongs in `cli.status`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from psycopg2.extensions import connection as PgConnection
from psycopg2.extras import RealDictCursor

from retail_sensors.analytics.selection import chosen_of
from retail_sensors.storage.database import Database
from retail_sensors.storage.sqlfiles import queries

IN, PROVISIONAL, ESTIMATED, MISSING, NOT_ASKED, NOT_EXPECTED = "#", "+", "~", "!", ".", " "
CELLS: dict[str, str] = {
    IN: "in",
    PROVISIONAL: "provisional",
    ESTIMATED: "estimated",
    MISSING: "missing",
    NOT_ASKED: "not asked",
    NOT_EXPECTED: "not expected",
}
"""What an hour of a camera can be, by its character in the grid."""

FRESH, LATE, MISSING_STAGE, IDLE = "fresh", "late", "missing", "idle"
"""What a stage can be. `idle`: nothing is expected of it yet."""

DUE = timedelta(minutes=10)
"""From its end an hour has so long to come in: it settles for two minutes and is asked for at five past."""
RECENT = timedelta(hours=8)
"""So long the schedules ask for a finished hour; then it is missing until `gap_repair` or somebody by hand asks for it."""
ANSWERED_WITHIN = timedelta(minutes=35)
"""A camera that answered longer ago is late, whatever its health was when somebody last looked."""
LOOKED_WITHIN = timedelta(minutes=15)
"""A state of `camera_health` that is older says nothing of now."""
DAY_DUE = timedelta(hours=1)
"""From its end a store's day has so long to be computed."""
FORECAST_EVERY = timedelta(hours=6, minutes=45)
"""A forecast is made every six hours at :25."""
GAP_DUE = timedelta(hours=4)
"""An hour that was not measured is a gap when the next one has ended, and is looked for at :20."""

_COUNTS = {
    "measured": IN,
    "provisional": PROVISIONAL,
    "estimated": ESTIMATED,
    "substituted": ESTIMATED,
}
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the pipeline: its state, the instant or local day that the newest of it is from (None: there is none), and why."""

    name: str
    state: str
    newest: date | None
    detail: str

    @property
    def is_well(self) -> bool:
        """Whether nothing is late or missing."""
        return self.state in (FRESH, IDLE)


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """One camera: its state of health (`off`: switched off), when it last answered, and its hours as characters, oldest first.

    `hours_late`: due hours that the schedules still ask for; `hours_missing`: those that they no longer ask for.
    """

    name: str
    store: str
    state: str
    why: str | None
    last_seen_at: datetime | None
    hours: str
    hours_late: int
    hours_missing: int


@dataclass(frozen=True, slots=True)
class Status:
    """The installation at `now`. `first_hour` is the UTC hour of the grid's first column; the last one is running."""

    now: datetime
    first_hour: datetime
    stages: tuple[Stage, ...]
    cameras: tuple[CameraStatus, ...]

    @property
    def is_well(self) -> bool:
        """Whether no stage is late or missing anything."""
        return all(stage.is_well for stage in self.stages)


def fleet_status(database: Database, now: datetime, hours: int = 24, words: Sequence[str] = ()) -> Status:
    """The status at `now` (zone-aware) with the last `hours` hours, the running one included.

    `words`: of the cameras only that they mean, as `analytics.selection` reads them, and of the stages those that are about cameras.
    Raises DatabaseUnavailableError, and ConfigurationError for a word that means no camera.
    """
    now = now.astimezone(UTC)
    running = now.replace(minute=0, second=0, microsecond=0)
    first = running - (hours - 1) * _HOUR
    window = {"start": first, "end": running + _HOUR, "now": now, "first": (first - 2 * _DAY).date()}
    with database.transaction() as connection:
        registered = _rows(connection, "cameras", window)
        if words:
            chosen = set(chosen_of(_rows(connection, "members", {}, "places"), words))
            registered = [row for row in registered if row["sensor_name"] in chosen]
        known = _rows(connection, "hours", window)
        of_stores = _rows(connection, "hours_without_their_store", {**window, "end": now - _HOUR - DUE})
        days = _rows(connection, "days", window)
        forecasts = _rows(connection, "forecasts", window)
        anomalies = _rows(connection, "anomalies", window)
        gaps = _rows(connection, "gaps_without_their_anomaly", {**window, "end": now - GAP_DUE})
        alerts = _rows(connection, "alerts", window)
        silent = _rows(connection, "cameras_without_their_alert", window)
    cells: dict[str, dict[datetime, str]] = {}
    for row in known:
        hour = row["hour_start"].replace(minute=0)
        cells.setdefault(row["sensor_id"], {})[hour] = _COUNTS.get(row["counts"], MISSING)
    columns = [first + number * _HOUR for number in range(hours)]
    cameras = tuple(_camera(row, cells.get(row["id"], {}), columns, now) for row in registered)
    if words:
        # What is made of a whole store says nothing of some of its cameras.
        stages = (_cameras_stage(cameras, registered, now), _hours_stage(cameras, 0, cells, registered))
        return Status(now, first, stages, cameras)
    return Status(
        now,
        first,
        (
            _cameras_stage(cameras, registered, now),
            _hours_stage(cameras, of_stores[0]["count"], cells, registered),
            _days_stage(days, first, now),
            _anomalies_stage(anomalies[0], gaps),
            _forecasts_stage(forecasts[0], now),
            _alerts_stage(alerts[0], silent),
        ),
        cameras,
    )


def _rows(
    connection: PgConnection, name: str, parameters: Mapping[str, Any], file: str = "status"
) -> list[dict[str, Any]]:
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(queries(file)[name], parameters)
        return [dict(row) for row in cursor.fetchall()]


def _camera(
    row: Mapping[str, Any], cells: Mapping[datetime, str], columns: Sequence[datetime], now: datetime
) -> CameraStatus:
    zone = ZoneInfo(row["timezone"])
    shown, open_hours = [], Counter[str]()
    for column in columns:
        start = _start_in(column, zone)
        cell = cells.get(column)
        is_before = start < row["created_at"] or _is_before_installation(row, start, zone)
        is_expected = row["is_active"] and not is_before
        is_due = start + _HOUR + DUE <= now
        # The first runs after a camera was registered also ask for the hours before: no answer to that is a hole.
        if cell is None or (cell == MISSING and is_before):
            cell = NOT_ASKED if is_expected and start <= now else NOT_EXPECTED
        shown.append(cell)
        # What was given while the hour ran is not the hour; a hole of a switched-off camera is nobody's task.
        if row["is_active"] and is_due and cell in (MISSING, NOT_ASKED, PROVISIONAL):
            open_hours["late" if start + _HOUR + RECENT > now else "missing"] += 1
    state, why = _state(row, now)
    return CameraStatus(
        row["sensor_name"],
        row["store_name"],
        state,
        why,
        row["last_seen_at"],
        "".join(shown),
        open_hours["late"],
        open_hours["missing"],
    )


def _start_in(column: datetime, zone: ZoneInfo) -> datetime:
    """The start of the local hour that lies in that UTC hour: at half past in zones with a half-hour offset."""
    offset = column.astimezone(zone).utcoffset() or timedelta()
    return column + (-offset) % _HOUR


def _is_before_installation(row: Mapping[str, Any], start: datetime, zone: ZoneInfo) -> bool:
    return row["installed_on"] is not None and start.astimezone(zone).date() < row["installed_on"]


def _state(row: Mapping[str, Any], now: datetime) -> tuple[str, str | None]:
    """A camera's state and the reason where it is not healthy."""
    if not row["is_active"]:
        return "off", "switched_off"
    if row["checked_at"] is None or now - row["checked_at"] > LOOKED_WITHIN:
        return "unknown", "not_looked_at"
    error = row["last_error_class"] if row["why"] in ("asked_in_vain", "last_question_failed", "errors") else None
    return row["state"], error or row["why"]


def _cameras_stage(cameras: Sequence[CameraStatus], registered: Sequence[Mapping[str, Any]], now: datetime) -> Stage:
    active = [camera for camera in cameras if camera.state != "off"]
    if not cameras:
        return Stage("cameras", MISSING_STAGE, None, "none is registered: retail-sensors cameras add FILE")
    if not active:
        return Stage("cameras", IDLE, None, f"all {len(cameras)} are switched off")
    seen = [camera.last_seen_at for camera in active if camera.last_seen_at is not None]
    created = {row["sensor_name"]: row["created_at"] for row in registered}
    silent = [
        camera.name
        for camera in active
        if camera.state == "offline" or now - (camera.last_seen_at or created[camera.name]) > ANSWERED_WITHIN
    ]
    state = FRESH if not silent else LATE if len(silent) < len(active) else MISSING_STAGE
    answering = sum(camera.name not in silent and camera.last_seen_at is not None for camera in active)
    detail = f"{answering} of {len(active)} answer"
    if not silent and not answering:
        return Stage("cameras", IDLE, None, f"{detail}: they are new")
    return Stage("cameras", state, max(seen, default=None), f"{detail}{_named(silent)}")


def _hours_stage(
    cameras: Sequence[CameraStatus],
    stores_without: int,
    cells: Mapping[str, Mapping[datetime, str]],
    registered: Sequence[Mapping[str, Any]],
) -> Stage:
    late = sum(camera.hours_late for camera in cameras)
    missing = sum(camera.hours_missing for camera in cameras)
    newest = max(
        (
            _start_in(hour, ZoneInfo(row["timezone"]))
            for row in registered
            for hour, cell in cells.get(row["id"], {}).items()
            if cell == IN
        ),
        default=None,
    )
    parts = [f"{late} late"] * (late > 0) + [f"{missing} missing"] * (missing > 0)
    if stores_without:
        parts.append(f"{stores_without} without the store's figures")
    state = MISSING_STAGE if missing else LATE if parts else FRESH if newest else IDLE
    holed = [camera.name for camera in cameras if camera.hours_late or camera.hours_missing]
    detail = ", ".join(parts) or ("all that is due is in" if newest else "no hour is due yet")
    return Stage("hourly figures", state, newest, f"{detail}{_named(holed)}")


def _days_stage(stores: Sequence[Mapping[str, Any]], first: datetime, now: datetime) -> Stage:
    late, missing, dates = list[str](), list[str](), list[date]()
    expected = 0
    for store in stores:
        zone = ZoneInfo(store["timezone"])
        stored = set(store["dates"] or ())
        dates += [day for day in stored if _end_of(day, zone) <= now]
        day = first.astimezone(zone).date() - _DAY
        while (end := _end_of(day, zone)) + DAY_DUE <= now:
            if end >= first and _end_of(day - _DAY, zone) >= store["since"]:
                expected += 1
                if day not in stored:
                    (late if end + RECENT > now else missing).append(store["store_name"])
            day += _DAY
    lacking = sorted({*late, *missing})
    state = MISSING_STAGE if missing else LATE if late else FRESH if dates or expected else IDLE
    none_due = "all that is due is in" if dates else "no day is due yet"
    detail = f"{expected - len(late) - len(missing)} of {expected} ended days" if expected else none_due
    return Stage("daily figures", state, max(dates, default=None), f"{detail}{_named(lacking)}")


def _end_of(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day + _DAY, time(), zone).astimezone(UTC)


def _anomalies_stage(found: Mapping[str, Any], gaps: Sequence[Mapping[str, Any]]) -> Stage:
    if gaps:
        names = [row["sensor_name"] for row in gaps]
        return Stage("anomalies", LATE, found["newest"], f"a gap was not noticed{_named(names)}")
    return Stage("anomalies", FRESH, found["newest"], f"{found['going_on']} going on")


def _forecasts_stage(found: Mapping[str, Any], now: datetime) -> Stage:
    newest = found["newest"]
    if newest is None:
        if not found["has_history"]:
            return Stage("forecasts", IDLE, None, "there are not four weeks of hours yet")
        return Stage("forecasts", MISSING_STAGE, None, "none was made in the last 48 hours")
    if now - newest > FORECAST_EVERY:
        return Stage("forecasts", LATE, newest, "one is due every 6 hours")
    return Stage("forecasts", FRESH, newest, "made every 6 hours")


def _alerts_stage(found: Mapping[str, Any], silent: Sequence[Mapping[str, Any]]) -> Stage:
    if silent:
        names = [row["sensor_name"] for row in silent]
        return Stage("alerts", LATE, found["newest"], f"an outage was not raised{_named(names)}")
    critical = f", {found['critical']} critical" if found["critical"] else ""
    return Stage("alerts", FRESH, found["newest"], f"{found['open']} open{critical}")


def _named(names: Sequence[str]) -> str:
    """The first of the names, after a colon; empty where there is none."""
    if not names:
        return ""
    return f": {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
