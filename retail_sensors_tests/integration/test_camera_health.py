"""Camera health from the log to the table, by the asset at simulated instants."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from retail_sensors.assets.health import camera_health
from retail_sensors.io_managers.postgres import PostgresIOManager
from retail_sensors.resources.clock import ClockResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.storage.database import Database
from retail_sensors.tables import COLLECTION_LOG
from retail_sensors.tables.health import CAMERA_HEALTH
from retail_sensors_tests.installations import Site
from retail_sensors_tests.integration.stored import register, store, stored, versions

NOW = datetime(2025, 10, 7, 13, 31, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Standing(ClockResource):
    """A clock that stands."""

    at: str

    def now(self) -> datetime:
        return datetime.fromisoformat(self.at)


def look(site: Site, now: datetime) -> dict[str, object]:
    """One run at that instant; its metadata."""
    clock = Standing(at=now.isoformat())
    with site.entered():
        database = DatabaseResource()
        resources = {"database": database, "clock": clock, "io_manager": PostgresIOManager(database=database)}
        result = dg.materialize([camera_health], resources=resources)
    [event] = result.get_asset_materialization_events()
    return {name: entry.value for name, entry in event.materialization.metadata.items()}


def test_each_look_leaves_one_row_for_each_camera(database: Database, database_url: str, tmp_path: Path) -> None:
    site = Site(database_url, tmp_path / "home")
    door, back, off = register(database, "door", "back", "off")
    database.fetch(
        "UPDATE retail.sensor_metadata SET created_at = '2025-09-01Z', is_active = sensor_name <> 'off' RETURNING 1"
    )

    def asked(sensor: str, at: datetime, outcome: str) -> dict[str, object]:
        row = {"sensor_id": sensor, "endpoint": "vca_alarm_status", "hour_start": at.replace(minute=0), "row_count": 0}
        return {**row, "outcome": outcome, "rejected_count": 0, "attempts": 1, "latency_ms": 80.0, "asked_at": at}

    store(database, COLLECTION_LOG, asked(door, NOW - MINUTE, "ok"), asked(back, NOW - 20 * MINUTE, "ok"))
    store(database, COLLECTION_LOG, asked(back, NOW - MINUTE, "timeout"))
    said = look(site, NOW)
    assert [said[state] for state in ("healthy", "degraded", "offline", "unknown")] == [1, 0, 1, 1]
    assert said["dagster/row_count"] == 3
    assert "| back | offline |" in str(said["not healthy"])
    columns = ("sensor_id", "state", "last_error_class", "checked_at")
    assert sorted(stored(database, CAMERA_HEALTH, *columns)) == sorted(
        [(door, "healthy", None, NOW), (back, "offline", "timeout", NOW), (off, "unknown", None, NOW)]
    )
    before = versions(database, CAMERA_HEALTH)
    assert look(site, NOW)["rows changed"] == 0
    assert versions(database, CAMERA_HEALTH) == before

    store(database, COLLECTION_LOG, asked(back, NOW + 4 * MINUTE, "ok"))
    look(site, NOW + 5 * MINUTE)
    [back_now] = [row for row in stored(database, CAMERA_HEALTH, *columns) if row[0] == back]
    assert back_now[1:] == ("healthy", None, NOW + 5 * MINUTE)
