"""Anomalies from stored hours to the table: real Postgres, real Dagster runs, at an instant that the test chooses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from retail_sensors.analytics.anomaly_cameras import REASONS
from retail_sensors.assets.anomalies import ANOMALY_ASSETS
from retail_sensors.io_managers.postgres import PostgresIOManager
from retail_sensors.partitions import day_key, range_tags
from retail_sensors.resources.clock import ClockResource
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.simulator.fleet import running
from retail_sensors_tests.installations import RecordedInMemory, Site, small_fleet

MUMBAI, LISBON = timedelta(hours=5, minutes=30), timedelta()
FIRST = date(2025, 10, 27)  # a Monday, after the clocks of Lisbon went back
DAYS = 48
FEAST = date(2025, 12, 8)
NOW = datetime(2025, 12, 12, 21, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)
FOUND = """SELECT s.sensor_name, a.anomaly_type, a.context->>'fault', a.date, a.started_at, a.affected_component, a.review_notes
  FROM retail.anomalies_detected AS a JOIN retail.sensor_metadata AS s ON s.id = a.sensor_id"""


class FixedClock(ClockResource):
    """A clock that stands."""

    at: str

    def now(self) -> datetime:
        return datetime.fromisoformat(self.at)


def at(zone: timedelta, day: date, hour: int) -> datetime:
    """The instant at which a local hour of a day starts."""
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC) - zone


def fill(site: Site, name: str, zone: timedelta, seed: int) -> None:
    """Hours of a camera that counts the same every week but for chance, until an hour before NOW; line 1 has them all."""
    start = at(zone, FIRST, 0)
    hours = np.arange(DAYS * 24)
    hours = hours[[start + int(hour) * HOUR + HOUR <= NOW for hour in hours]]
    people = np.random.default_rng(seed).negative_binomial(100, 100 / 140, (2, len(hours)))
    people = np.where((hours % 24 >= 10) & (hours % 24 < 21), people, 0)
    rows = ", ".join(
        f"('{(start + int(hour) * HOUR).isoformat()}'::timestamptz, {entries}, {exits})"
        for hour, entries, exits in zip(hours, *people, strict=True)
    )
    site.execute(
        "INSERT INTO retail.hourly_analytics (sensor_id, hour_start, total_entries, total_exits, is_open, data_completeness,"
        " imputed_share, is_provisional, quality)"
        f" SELECT s.id, v.*, true, 1, 0, false, '{{}}' FROM (VALUES {rows}) AS v, retail.sensor_metadata AS s"
        f" WHERE s.sensor_name = '{name}'"
    )


def change(site: Site, name: str, first: datetime, hours: int, what: str) -> None:
    site.execute(
        f"UPDATE retail.hourly_analytics AS h SET {what} FROM retail.sensor_metadata AS s WHERE s.id = h.sensor_id"
        f" AND s.sensor_name = '{name}' AND hour_start >= '{first.isoformat()}'"
        f" AND hour_start < '{(first + hours * HOUR).isoformat()}'"
    )


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Site:
    """Three cameras with six weeks and a half of hours; nothing has happened yet."""
    site = Site(database_url, tmp_path / "home")
    with running(small_fleet()) as fleet:
        site.register(fleet)
    fill(site, "lisbon", LISBON, 1)
    fill(site, "mumbai-east", MUMBAI, 2)
    fill(site, "mumbai-west", MUMBAI, 3)
    return site


@contextmanager
def run(site: Site, first: date, last: date, now: datetime = NOW) -> Iterator[tuple[dg.ExecuteInProcessResult, Any]]:
    """A run over the dates, both included, as the schedule asks for it, and what it said of the last partition."""
    with site.entered(RecordedInMemory) as installation:
        database = DatabaseResource()
        result = dg.materialize(
            list(ANOMALY_ASSETS),
            instance=installation.dagster_instance(),
            tags=range_tags(day_key(first), day_key(last)),
            resources={
                "database": database,
                "clock": FixedClock(at=now.isoformat()),
                "io_manager": PostgresIOManager(database=database),
            },
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        events = result.asset_materializations_for_node("anomalies_detected")
        yield result, {event.partition: dict(event.metadata) for event in events}


def test_events_are_stored_in_words_and_what_a_person_wrote_survives(site: Site) -> None:
    change(site, "lisbon", at(LISBON, FEAST, 12), 4, "total_entries = total_entries * 4, total_exits = total_exits * 4")
    site.execute(
        "INSERT INTO retail.holidays (country, subdivision, date, holiday_name, kind, source)"
        f" VALUES ('PT', '', '{FEAST}', 'Immaculate Conception', 'public', 'file')"
    )
    guessed = "total_entries = 400, total_exits = 400, imputed_share = 1, data_completeness = 0"
    change(site, "lisbon", at(LISBON, FEAST - timedelta(days=3), 12), 4, guessed)
    change(site, "mumbai-east", at(MUMBAI, FEAST, 10), 300, "total_entries = 0, total_exits = 0")

    first, last = FEAST - timedelta(days=5), NOW.date()
    with run(site, first, last) as (result, said):
        assert result.success
        assert said[day_key(last)]["events"].value == len(site.fetch(FOUND))
        texts = said[day_key(last)]["newest events"].value
        assert "holiday: Immaculate Conception" in texts
        assert "| mumbai-east, line1 | stuck at zero while others count (in and out) |" in texts
        picture = said[day_key(last)]["the week of the most severe event"].value
        assert picture.startswith("![")
        assert "newest events" not in said[day_key(first)]
    rows = {(name, kind, fault): rest for name, kind, fault, *rest in site.fetch(FOUND)}
    assert rows["lisbon", "traffic_spike", None][:2] == [FEAST, at(LISBON, FEAST, 12)]
    day, started, *_ = rows["mumbai-east", "sensor_issue", "stuck_at_zero"]
    assert (day, started) == (FEAST, at(MUMBAI, FEAST, 10))
    gap = rows["lisbon", "data_gap", None]
    assert gap[:2] == [FEAST - timedelta(days=3), at(LISBON, FEAST - timedelta(days=3), 12)]
    reasons = {
        word for (word,) in site.fetch("SELECT e.value FROM retail.anomalies_detected, jsonb_each_text(quality) AS e")
    }
    assert reasons <= set(REASONS)

    site.execute(
        "UPDATE retail.anomalies_detected SET review_notes = 'procession' WHERE anomaly_type = 'traffic_spike'"
    )
    before = site.contents(["anomalies_detected"])
    with run(site, first, last):
        assert site.contents(["anomalies_detected"]) == before
    change(site, "lisbon", at(LISBON, FEAST, 12), 4, "total_entries = 40, total_exits = 40")
    neighbour = (
        "(SELECT w.{0} FROM retail.hourly_analytics AS w JOIN retail.sensor_metadata AS n ON n.id = w.sensor_id"
        " WHERE n.sensor_name = 'mumbai-west' AND w.hour_start = h.hour_start)"
    )
    as_beside = ", ".join(f"{column} = {neighbour.format(column)}" for column in ("total_entries", "total_exits"))
    change(site, "mumbai-east", at(MUMBAI, FEAST, 10), 300, as_beside)
    with run(site, first, last):
        left = {(name, kind): notes for name, kind, *_, notes in site.fetch(FOUND)}
        assert left["lisbon", "traffic_spike"] == "procession"
        assert "sensor_issue" not in {kind for _, kind in left}
    # Of a camera whose hours have all become estimates there is nothing to draw, but its event stays.
    change(site, "lisbon", at(LISBON, FIRST, 0), 2000, "imputed_share = 1, data_completeness = 0")
    with run(site, first, last) as (_, said):
        assert "the week of the most severe event" not in said[day_key(last)]
        assert "newest events" in said[day_key(last)]


def test_tomorrow_in_the_east_is_not_waited_for(site: Site) -> None:
    """In Mumbai the 13th begins at 18:30 by Greenwich; its partition exists five and a half hours later."""
    tomorrow = NOW.date() + timedelta(days=1)
    site.execute(
        "DELETE FROM retail.hourly_analytics AS h USING retail.sensor_metadata AS s WHERE s.id = h.sensor_id"
        f" AND s.sensor_name = 'mumbai-west' AND hour_start >= '{at(MUMBAI, tomorrow, 0).isoformat()}'"
    )
    with run(site, NOW.date(), NOW.date()):
        ((name, kind, _, day, started, *_),) = site.fetch(f"{FOUND} WHERE a.date = '{tomorrow}'")
        assert (name, kind, day, started) == ("mumbai-west", "data_gap", tomorrow, at(MUMBAI, tomorrow, 0))
    with run(site, NOW.date() - timedelta(days=3), NOW.date() - timedelta(days=2)):
        assert len(site.fetch(f"{FOUND} WHERE a.date = '{tomorrow}'")) == 1
