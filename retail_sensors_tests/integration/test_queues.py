"""Queues at the tills in a real Postgres: the block of the fleet file, and figures from stored hours, tills, staff and stays."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from retail_sensors.definitions import build_defs
from retail_sensors.fleet_file import FleetFile, parse_fleet
from retail_sensors.installation import Installation
from retail_sensors.partitions import day_key, hour_key, range_tags
from retail_sensors.resources.clock import ClockResource
from retail_sensors.storage.database import Database
from retail_sensors.storage.fleet import FleetRegistry
from retail_sensors.tables import HOURLY_ANALYTICS
from retail_sensors.tables.inputs import POS_TRANSACTIONS, QUEUE_GROUND_TRUTH, STAFF_HOURS
from retail_sensors.tables.queues import QUEUE_ANALYTICS, QUEUE_PERFORMANCE_DAILY
from retail_sensors.tables.regions import REGION_STAYS
from retail_sensors_tests.installations import RecordedInMemory, Site
from retail_sensors_tests.integration.stored import hour, store

FLEET = """\
stores:
  - name: Chiado
    timezone: Europe/Lisbon
    checkout: {lanes: 2, target_minutes: 4}
  - {name: Baixa, timezone: Europe/Lisbon, opening_hours: {mon-sat: 10:00-20:00}}
  - {name: Kiosk, timezone: Europe/Lisbon}
cameras:
  - {name: door, store: Chiado, host: 192.0.2.10, regions: {1: {role: queue}, 2: {role: zone}}}
  - {name: baixa, store: Baixa, host: 192.0.2.11, regions: {1: {role: queue}}}
  - {name: kiosk, store: Kiosk, host: 192.0.2.12}
"""
HOUR = timedelta(hours=1)
# Clocks go back on this Sunday: 25 hours, from 23:00 UTC of the day before
SUNDAY = date(2025, 10, 26)
START = datetime(2025, 10, 25, 23, tzinfo=UTC)
HOURS = [START + n * HOUR for n in range(25)]
NOON = datetime(2025, 10, 26, 12, tzinfo=UTC)


def fleet(old: str = "", new: str = "") -> FleetFile:
    return parse_fleet(FLEET.replace(old, new), "fleet.yaml")


# The fleet file -------------------------------------------------------------------------------------------------------


def test_the_tills_of_a_store_are_what_the_file_says(database: Database) -> None:
    registry = FleetRegistry(database)

    def tills() -> dict[str, tuple[Any, ...]]:
        rows = database.fetch(
            "SELECT s.store_name, t.lanes, t.service_rate_per_minute, t.target_minutes, t.target_share, t.star_target"
            " FROM retail.store_service AS t JOIN retail.stores AS s ON s.id = t.store_id"
        )
        return {row[0]: row[1:] for row in rows}

    registry.add(fleet())
    assert tills() == {"Chiado": (2, 0.8, 4, 0.8, None)}
    roster = registry.roster()
    names = roster.stores.sort_values("id")["store_name"].tolist()
    layout = roster.layout
    assert dict(zip(names, layout.target_minutes.tolist(), strict=True)) == {"Chiado": 4, "Baixa": 5, "Kiosk": 5}
    assert layout.lanes[names.index("Chiado")] == 2

    written = database.fetch("SELECT * FROM retail.store_service")
    assert registry.add(fleet()).stores.changed == {}
    assert database.fetch("SELECT * FROM retail.store_service") == written
    changes = registry.add(fleet("lanes: 2,", "lanes: 3, star_target: 12,"))
    assert changes.stores.changed == {"Chiado": ("checkout",)}
    assert tills() == {"Chiado": (3, 0.8, 4, 0.8, 12)}
    registry.add(fleet("    checkout: {lanes: 2, target_minutes: 4}\n"))
    assert tills() == {}


# The assets -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Site:
    return Site(database_url, tmp_path / "home")


@pytest.fixture
def installation(site: Site) -> Iterator[Installation]:
    """Three stores: one with tills, a feed, staff and a queue region, one that is closed on Sundays, and one with a door only."""
    with site.entered(RecordedInMemory) as installation:
        database = installation.database
        FleetRegistry(database).add(fleet())
        cameras = dict(database.fetch("SELECT sensor_name, id::text FROM retail.sensor_metadata"))
        (shop,) = database.fetch("SELECT id::text FROM retail.stores WHERE store_name = 'Chiado'")[0]
        regions = json.dumps({"1": 96, "2": 500})
        seen = [
            hour(camera, at, 60.0, total_exits=60.0, region_counts=regions)
            for camera in cameras.values()
            for at in HOURS
        ]
        store(database, HOURLY_ANALYTICS, *seen)
        stays = {"region_number": 1, "stay_over_60_s": 0.5, "quality": "{}"}
        store(
            database,
            REGION_STAYS,
            *({"sensor_id": camera, "date": SUNDAY - timedelta(1), **stays} for camera in cameras.values()),
        )
        # at noon the feed says 24, an hour later more than the doors explain; the roster knows of one lane at noon
        sold = [
            {"store_id": shop, "hour_start": NOON, "transactions": 24},
            {"store_id": shop, "hour_start": NOON + HOUR, "transactions": 91},
        ]
        store(database, POS_TRANSACTIONS, *sold)
        store(database, STAFF_HOURS, {"store_id": shop, "hour_start": NOON, "staff": 3.0, "lanes_open": 1.0})
        yield installation


class HalfPastNoon(ClockResource):
    """A clock that stands within an hour."""

    def now(self) -> datetime:
        return NOON + HOUR / 2


def materialize(
    installation: Installation, job: str, first: str, last: str, asset: str, **resources: Any
) -> dict[str, Any]:
    """One run of a job's asset; what it shows of its last partition."""
    instance = installation.dagster_instance()
    result = (
        build_defs(**resources)
        .resolve_job_def(job)
        .execute_in_process(
            instance=instance,
            tags=range_tags(first, last),
            asset_selection=[dg.AssetKey(asset)],
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    )
    events = [event.materialization for event in result.get_asset_materialization_events()]
    return next(dict(event.metadata) for event in events if event.partition == last)


def by_store(site: Site, table: str, time_column: str) -> dict[tuple[str, Any], dict[str, Any]]:
    """The rows of a table by name of the store and time."""
    rows = site.frame(f"SELECT s.store_name, q.* FROM retail.{table} AS q JOIN retail.stores AS s ON s.id = q.store_id")
    return {
        (row["store_name"], row[time_column]): {str(name): value for name, value in row.items()}
        for row in rows.to_dict("records")
    }


def test_from_stored_hours_to_the_day_at_the_tills(site: Site, installation: Installation) -> None:
    last = hour_key(HOURS[-1])
    shown = materialize(installation, "hourly_figures", hour_key(START), last, "queue_analytics")
    assert (shown["hours"].value, shown["overloaded hours"].value) == (50, 0)
    assert shown["tills of the busiest store"].value.startswith("![Tills of Baixa (UTC)](data:image/svg+xml;base64,")

    rows = by_store(site, "queue_analytics", "hour_start")
    assert Counter(name for name, _ in rows) == {"Chiado": 25, "Baixa": 25}
    noon = rows["Chiado", NOON]
    assert (noon["arrivals"], noon["arrivals_source"], noon["lanes"]) == (24, "transactions", 1)
    assert noon["estimated_wait_time_minutes"] == pytest.approx(1.25)
    assert (noon["lanes_source"], noon["analysis_type"]) == ("roster", "model")
    too_many = rows["Chiado", NOON + HOUR]
    assert (too_many["transactions"], too_many["quality"]["arrivals"]) == (91, "no_queue_input")
    other = rows["Chiado", NOON + 2 * HOUR]
    # 96 detections, half of them for over a minute, over two lanes
    assert (other["arrivals"], other["lanes_source"]) == (48, "best_case")
    assert other["estimated_wait_time_minutes"] == pytest.approx(5 / 12)
    assert other["quality"]["arrivals"] == "stay_from_earlier_day"
    unknown = rows["Baixa", NOON]
    assert unknown["recommended_open_lanes"] == 2
    assert unknown["quality"]["estimated_wait_time_minutes"] == "no_lanes"

    day = day_key(SUNDAY)
    told = materialize(installation, "daily_figures", day, day, "queue_performance_daily")
    assert (told["days"].value, told["overloaded hours"].value) == (2, 0)
    days = by_store(site, "queue_performance_daily", "date")
    whole = days["Chiado", SUNDAY]
    assert whole["total_customers_served"] == 24 + 91 + 23 * 48
    assert whole["data_completeness"] == pytest.approx(24 / 25)
    assert whole["total_queue_time_minutes"] == pytest.approx(24 * 1.25 + 23 * 48 * 5 / 12)
    assert (whole["quality"]["served"], whole["recommendations_followed"]) == ("proxy", None)
    assert days["Baixa", SUNDAY]["quality"]["avg_wait_time"] == "closed"

    stored = site.contents(("queue_analytics", "queue_performance_daily"))
    materialize(installation, "hourly_figures", hour_key(START), last, "queue_analytics")
    materialize(installation, "daily_figures", day, day, "queue_performance_daily")
    assert site.contents(("queue_analytics", "queue_performance_daily")) == stored


def test_the_running_hour_has_no_row(site: Site, installation: Installation) -> None:
    keys = hour_key(NOON - HOUR), hour_key(NOON)
    materialize(installation, "hourly_figures", *keys, "queue_analytics", clock=HalfPastNoon())
    assert site.fetch("SELECT DISTINCT hour_start FROM retail.queue_analytics") == [(NOON - HOUR,)]


def test_an_overload_reaches_the_table_without_a_number(site: Site, installation: Installation) -> None:
    (shop,) = site.fetch("SELECT id::text FROM retail.stores WHERE store_name = 'Chiado'")[0]
    store(installation.database, STAFF_HOURS, {"store_id": shop, "hour_start": NOON, "staff": 1.0, "lanes_open": 0.5})
    materialize(installation, "hourly_figures", hour_key(NOON), hour_key(NOON), "queue_analytics")
    assert site.fetch(
        "SELECT is_overloaded, estimated_wait_time_minutes, congestion_level, quality ->> 'wait_p90_minutes'"
        " FROM retail.queue_analytics WHERE store_id = %(shop)s::uuid",
        {"shop": shop},
    ) == [(True, None, "critical", "overloaded")]


def test_counted_queues_correct_the_formulas_of_their_store(site: Site, installation: Installation) -> None:
    (shop,) = site.fetch("SELECT id::text FROM retail.stores WHERE store_name = 'Chiado'")[0]
    (other,) = site.fetch("SELECT id::text FROM retail.stores WHERE store_name = 'Baixa'")[0]
    counted, reckoned = [], []
    for n in range(6 * 7 * 10):
        # ten hours on each of the 42 days before the week of the answer; one lane at rho 0.25, 0.5 or 0.75
        at = datetime(2025, 9, 8, 9, tzinfo=UTC) + timedelta(days=n // 10, hours=n % 10)
        arrivals = (12, 24, 36)[n % 3]
        wait = arrivals / 48 / (0.8 - arrivals / 60)
        key = {"store_id": shop, "hour_start": at}
        # nobody waits as long as the formulas say: a third of it, up to a bit of chance
        seen = {"minutes_counted": 60, "actual_wait_minutes": round(wait * (0.3 + n % 7 / 100), 3), "counted_by": "Ana"}
        counted.append(key | seen)
        sources = {
            "arrivals_source": "transactions",
            "lanes_source": "roster",
            "analysis_type": "model",
            "quality": "{}",
        }
        reckoned.append(
            key | sources | {"arrivals": arrivals, "lanes": 1.0, "is_overloaded": False, "frame_analyzed": False}
        )
    store(installation.database, QUEUE_GROUND_TRUTH, *counted)
    store(installation.database, QUEUE_ANALYTICS, *reckoned)
    shown = materialize(installation, "hourly_figures", hour_key(NOON), hour_key(NOON + HOUR), "queue_analytics")
    assert shown["hours by hybrid model"].value == 1
    noon = by_store(site, "queue_analytics", "hour_start")["Chiado", NOON]
    assert noon["analysis_type"] == "hybrid"
    assert noon["estimated_wait_time_minutes"] == pytest.approx(1.25 / 3, abs=0.1)
    assert noon["predicted_queue_length"] == pytest.approx(24 / 60 * noon["estimated_wait_time_minutes"])
    assert 0.5 <= noon["wait_time_confidence"] <= 1
    assert site.fetch(
        "SELECT DISTINCT analysis_type FROM retail.queue_analytics WHERE store_id = %(other)s::uuid", {"other": other}
    ) == [("model",)]


def test_the_tables_hold_what_the_documents_name() -> None:
    hourly = """measured_queue_length predicted_queue_length confidence_lower confidence_upper prediction_confidence queue_density
        organization_score movement_detected queue_velocity estimated_wait_time_minutes wait_time_confidence abandonment_risk_score
        congestion_level recommended_open_lanes recommended_staff suggested_actions frame_analyzed people_detected
        detection_confidence actual_wait_time prediction_accuracy analysis_type"""
    daily = """date avg_queue_length max_queue_length total_queue_time_minutes avg_wait_time max_wait_time wait_time_90th_percentile
        avg_service_rate total_customers_served abandonment_count abandonment_rate queue_efficiency_score staff_efficiency_score
        recommendations_generated recommendations_followed"""
    assert set(hourly.split()) <= set(QUEUE_ANALYTICS.names)
    assert set(daily.split()) <= set(QUEUE_PERFORMANCE_DAILY.names)
