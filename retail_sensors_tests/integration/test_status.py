"""`retail-sensors status`: what it says of stored rows at simulated instants, how it looks, and how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from retail_sensors.cli.status import as_data, shown
from retail_sensors.storage.database import Database
from retail_sensors.storage.status import CELLS, Status, fleet_status
from retail_sensors.tables import COLLECTION_LOG, HOURLY_ANALYTICS, STORE_DAILY, STORE_HOURLY
from retail_sensors.tables.health import CAMERA_HEALTH
from retail_sensors_tests.installations import Site
from retail_sensors_tests.integration.stored import day, hour, register, store

NOW = datetime(2025, 10, 7, 13, 31, tzinfo=UTC)
RUNNING = NOW.replace(minute=0)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def said(counts: str) -> str:
    return json.dumps({"counts": counts})


def of_store(row: dict[str, object], identity: str) -> dict[str, object]:
    return {"store_id": identity, **{name: value for name, value in row.items() if name != "sensor_id"}}


def stage(found: Status, name: str) -> tuple[str, str]:
    """State and detail of a stage."""
    [one] = [stage for stage in found.stages if stage.name == name]
    return one.state, one.detail


@pytest.fixture
def well(database: Database) -> Database:
    """An installation with one camera, registered a month ago, with all that is due at NOW."""
    [door] = register(database, "door")
    [(shop,)] = database.fetch(
        "UPDATE retail.sensor_metadata SET created_at = '2025-09-01Z', last_seen_at = %(seen)s RETURNING store_id::text",
        {"seen": NOW - MINUTE},
    )
    hours = [hour(door, RUNNING - n * HOUR, quality=said("measured" if n else "provisional")) for n in range(24)]
    store(database, HOURLY_ANALYTICS, *hours)
    store(database, STORE_HOURLY, *(of_store(row, shop) for row in hours))
    store(database, STORE_DAILY, of_store(day(door, date(2025, 10, 6)), shop))
    looked = {"sensor_id": door, "state": "healthy", "uptime_hours": 0, "checked_at": NOW - MINUTE, "quality": "{}"}
    store(database, CAMERA_HEALTH, looked)
    return database


def test_an_installation_with_all_that_is_due_is_well(well: Database) -> None:
    found = fleet_status(well, NOW)
    assert found.is_well
    assert [(one.name, one.state) for one in found.stages] == [
        ("cameras", "fresh"),
        ("hourly figures", "fresh"),
        ("daily figures", "fresh"),
        ("anomalies", "fresh"),
        ("forecasts", "idle"),
        ("alerts", "fresh"),
    ]
    assert stage(found, "daily figures")[1] == "1 of 1 ended days"
    assert [one["newest"] for one in as_data(found)["stages"]] == [
        "2025-10-07T13:30:00+00:00",
        "2025-10-07T12:00:00+00:00",
        "2025-10-06",
        None,
        None,
        None,
    ]
    [camera] = found.cameras
    assert (camera.state, camera.hours, camera.hours_late) == ("healthy", "#" * 23 + "+", 0)


@pytest.mark.parametrize(
    ("change", "name", "state", "detail"),
    [
        ("UPDATE retail.camera_health SET state = 'offline'", "cameras", "missing", "0 of 1 answer: door"),
        (
            "UPDATE retail.sensor_metadata SET last_seen_at = '2025-10-07T12:55Z'",
            "cameras",
            "missing",
            "0 of 1 answer: door",
        ),
        (
            "DELETE FROM retail.hourly_analytics WHERE hour_start = '2025-10-07T12:00Z'",
            "hourly figures",
            "late",
            "1 late: door",
        ),
        (
            "DELETE FROM retail.hourly_analytics WHERE hour_start = '2025-10-07T04:00Z'",
            "hourly figures",
            "missing",
            "1 missing: door",
        ),
        (
            """UPDATE retail.hourly_analytics SET quality = '{"counts": "provisional"}'
               WHERE hour_start = '2025-10-07T12:00Z'""",
            "hourly figures",
            "late",
            "1 late: door",
        ),
        (
            "DELETE FROM retail.store_hourly WHERE hour_start = '2025-10-07T12:00Z'",
            "hourly figures",
            "late",
            "1 without the store's figures",
        ),
        ("DELETE FROM retail.store_daily", "daily figures", "missing", "0 of 1 ended days: door store"),
        (
            """UPDATE retail.hourly_analytics SET quality = '{"counts": "estimated"}'
               WHERE hour_start = '2025-10-07T09:00Z'""",
            "anomalies",
            "late",
            "a gap was not noticed: door",
        ),
        (
            """INSERT INTO retail.store_hourly (store_id, hour_start, is_open, data_completeness, is_provisional, quality)
               SELECT id, '2025-09-09T10:00Z', true, 1, false, '{}' FROM retail.stores""",
            "forecasts",
            "missing",
            "none was made in the last 48 hours",
        ),
        (
            "UPDATE retail.camera_health SET state = 'offline', last_asked_at = checked_at,"
            " last_seen_at = checked_at - interval '46 minutes'",
            "alerts",
            "late",
            "an outage was not raised: door",
        ),
    ],
)
def test_what_lacks_is_said_of_its_stage(well: Database, change: str, name: str, state: str, detail: str) -> None:
    well.fetch(f"{change} RETURNING 1")
    found = fleet_status(well, NOW)
    assert stage(found, name) == (state, detail)
    assert not found.is_well


@pytest.mark.parametrize(
    "change",
    [
        # An estimate is a figure: the hour is not missing; nor is an hour of a camera that is switched off.
        """UPDATE retail.hourly_analytics SET quality = '{"counts": "substituted"}' WHERE hour_start = '2025-10-07T12:00Z'""",
        "WITH d AS (DELETE FROM retail.hourly_analytics WHERE hour_start = '2025-10-07T12:00Z')"
        " UPDATE retail.sensor_metadata SET is_active = false",
        # A camera was asked in vain for hours from before it was registered.
        "WITH c AS (UPDATE retail.sensor_metadata SET created_at = '2025-10-07T10:20Z')"
        """ UPDATE retail.hourly_analytics SET quality = '{"counts": "missing"}' WHERE hour_start < '2025-10-07T11:00Z'""",
        # Ten minutes from its end an hour has to come in: at 13:09 nothing of 12:00 is due.
        "DELETE FROM retail.hourly_analytics WHERE hour_start = '2025-10-07T13:00Z'",
        # A rule that is off raises nothing, so nothing lacks.
        "WITH r AS (UPDATE retail.alert_rules SET is_enabled = false) UPDATE retail.camera_health SET checked_at = checked_at",
    ],
)
def test_what_nobody_expects_is_not_missed(well: Database, change: str) -> None:
    well.fetch(f"{change} RETURNING 1")
    assert fleet_status(well, NOW).is_well


def test_on_a_stores_first_day_its_back_filled_days_are_in_and_none_is_due(well: Database) -> None:
    well.fetch("UPDATE retail.sensor_metadata SET created_at = '2025-10-07T13:00Z' RETURNING 1")
    assert stage(fleet_status(well, NOW), "daily figures") == ("fresh", "all that is due is in")
    well.fetch("DELETE FROM retail.store_daily RETURNING 1")
    assert stage(fleet_status(well, NOW), "daily figures") == ("idle", "no day is due yet")


def test_a_back_fill_of_the_past_makes_nothing_fresh(well: Database) -> None:
    well.fetch("UPDATE retail.hourly_analytics SET updated_at = now() RETURNING 1")
    later = fleet_status(well, NOW + timedelta(days=30))
    assert [one.state for one in later.stages[:3]] == ["missing", "missing", "missing"]


def test_the_grid_has_a_character_for_each_hour(database: Database) -> None:
    door, back, _ = register(database, "door", "back", "off")
    [east] = register(database, "east", zone="Asia/Kolkata")
    for name, created, active in (
        ("door", "2025-09-01Z", True),
        ("back", "2025-10-07T10:30Z", True),
        ("off", "2025-09-01Z", False),
        ("east", "2025-09-01Z", True),
    ):
        database.fetch(
            "UPDATE retail.sensor_metadata SET created_at = %(created)s, is_active = %(active)s"
            " WHERE sensor_name = %(name)s RETURNING 1",
            {"name": name, "created": created, "active": active},
        )
    words = ("measured", "estimated", "measured", "missing", "measured", "provisional")
    rows = [hour(door, RUNNING - (5 - n) * HOUR, quality=said(word)) for n, word in enumerate(words)]
    # The Indian hour that starts at 12:30 UTC ended a minute ago: it is not due, and the one from 13:30 has just begun.
    half = [hour(east, RUNNING - (5 - n) * HOUR + 30 * MINUTE, quality=said("measured")) for n in range(4)]
    half.append(hour(east, RUNNING - 30 * MINUTE, quality=said("provisional")))
    store(database, HOURLY_ANALYTICS, *rows, *half)
    asked = {"sensor_id": back, "endpoint": "people_counting", "hour_start": RUNNING - HOUR, "outcome": "timeout"}
    counts = {"row_count": 0, "rejected_count": 0, "attempts": 1, "asked_at": RUNNING}
    store(database, COLLECTION_LOG, {**asked, **counts})

    found = fleet_status(database, NOW, hours=6)
    seen = {camera.name: (camera.state, camera.hours, camera.hours_late) for camera in found.cameras}
    assert seen == {
        "back": ("unknown", "   .!.", 2),
        "door": ("unknown", "#~#!#+", 1),
        "east": ("unknown", "####+.", 0),
        "off": ("off", "      ", 0),
    }
    data = as_data(found)
    assert json.loads(json.dumps(data)) == data
    assert data["cameras"][1]["hours"] == ["in", "estimated", "in", "missing", "in", "provisional"]
    assert "unknown, not_looked_at: back, door, east\n" in shown(found)
    assert data["first_hour"] == "2025-10-07T08:00:00+00:00"


@pytest.mark.parametrize("hours", [6, 24, 72])
def test_it_reads_in_80_columns_with_the_hours_above_each_other(well: Database, hours: int) -> None:
    well.fetch("UPDATE retail.sensor_metadata SET sensor_name = repeat('x', 60) RETURNING 1")
    plain = subprocess.run(
        [sys.executable, "-c", "import click, sys; sys.stdout.write(click.unstyle(sys.stdin.read()))"],
        input=shown(fleet_status(well, NOW, hours)),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    lines = plain.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("2025-10-07 13:31 UTC: ")
    heading = next(line for line in lines if line.startswith("camera "))
    # Six o'clock stands above the hour from six to seven.
    offset = (6 - (RUNNING - (hours - 1) * HOUR).hour) % 24
    if offset < hours:
        assert heading[46 + offset :].startswith("06")
    assert sum(set(line.strip()) <= set(CELLS) and line.startswith(" " * 46) for line in lines) == max(
        0, hours // 24 - 1
    )
    assert plain.rstrip().splitlines()[-2].startswith("# in  + provisional  ~ estimated  ! missing  . not asked")


def test_the_command_ends_as_monitoring_wants_it(database_url: str, database: Database, tmp_path: Path) -> None:
    site = Site(database_url, tmp_path / "home")
    empty = site.run("status")
    assert empty.code == 1
    assert "none is registered: retail-sensors cameras add FILE" in " ".join(empty.out.split())
    assert "\x1b" not in empty.out

    register(database, "door")
    new = site.run("status", "--json", "--hours", "3")
    assert new.code == 0, new.out
    assert [camera["name"] for camera in json.loads(new.out)["cameras"]] == ["door"]
    assert {one["state"] for one in json.loads(new.out)["stages"]} == {"idle", "fresh"}

    assert site.run("status", "--hours", "0").code == 2
    away = Site("postgresql://nobody@127.0.0.1:1/none", tmp_path / "home").run("status")
    assert away.code == 3
    assert "does not answer" in away.sentence
    assert Site("", tmp_path / "other").run("status").code == 3, "an embedded server that is down is told, not started"


def test_it_is_shown_again_until_somebody_stops_it(database_url: str, database: Database, tmp_path: Path) -> None:
    register(database, "door")
    site = Site(database_url, tmp_path / "home")
    command = [sys.executable, "-m", "retail_sensors", "status", "--json", "--watch", "1"]
    with subprocess.Popen(command, env=site.variables, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        first, second = (json.loads(watching.stdout.readline())["now"] for _ in range(2))
        watching.send_signal(signal.SIGINT)
        assert watching.wait(120) == 0
    assert first < second


def test_neither_dagster_nor_pandas_is_imported_for_a_command_that_needs_neither() -> None:
    # The whole command line, as the console script makes it: a module of another command would import them as well.
    code = "import sys; from retail_sensors import cli; cli._assemble(); print({'dagster', 'pandas', 'numpy'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "set()"
