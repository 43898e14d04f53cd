"""Hours written once more: whichever window they stand in or beside, they keep the same figures."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from retail_sensors.assets.hourly import _like_hours
from retail_sensors.connectors.base import TimeWindow
from retail_sensors.definitions import build_defs
from retail_sensors.partitions import hour_key, range_tags
from retail_sensors.resources.database import DatabaseResource
from retail_sensors.storage.database import Database
from retail_sensors.tables import HOURLY_ANALYTICS, PEOPLE_COUNTING_RAW, REGIONAL_COUNTING_RAW, STORE_HOURLY
from retail_sensors.tables.inputs import POS_TRANSACTIONS
from retail_sensors.tables.regions import REGION_STAYS, STAY_SECONDS
from retail_sensors_tests.installations import RecordedInMemory, Site
from retail_sensors_tests.integration.stored import COUNTS, hour, reading, register, store, versions

ZONE = timedelta(hours=5, minutes=30)
START = datetime(2025, 6, 9, 18, 30, tzinfo=UTC)
"""Midnight in Mumbai."""
HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
DAYS = 4


def _figures(site: Site, first: datetime, count: int) -> None:
    """One run of the hourly figures over so many partitions."""
    with site.entered(RecordedInMemory) as installation:
        result = (
            build_defs()
            .resolve_job_def("hourly_figures")
            .execute_in_process(
                instance=installation.dagster_instance(),
                tags=range_tags(hour_key(first), hour_key(first + (count - 1) * HOUR)),
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
        )
    assert result.success


def _stay(sensor: str, day: date) -> dict[str, Any]:
    shares = dict(
        zip((f"stay_over_{seconds}_s" for seconds in STAY_SECONDS), (0.9, 0.8, 0.5, 0.2, 0.1, 0, 0, 0), strict=True)
    )
    return {
        "sensor_id": sensor,
        "region_number": 1,
        "date": day,
        "detections": 960.0,
        "mean_stay_seconds": 40.0,
        "short_stay_share": 0.2,
        "quality": "{}",
        **shares,
    }


def _regional(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{name: value for name, value in row.items() if name not in COUNTS},
        **dict(zip((f"region{n}_count" for n in (1, 2, 3, 4)), (40, 0, 0, 0), strict=True)),
    }


def test_an_hour_has_the_same_figures_in_a_window_and_beside_one(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    (camera,) = register(database, "a", zone="Asia/Kolkata")
    ((of,),) = database.fetch("SELECT id::text FROM retail.stores")
    at = [START + n * HOUR for n in range(DAYS * 24)]
    readings = [reading(camera, hour, line1_in=10 + n % 7, line1_out=10 + (n + 3) % 7) for n, hour in enumerate(at)]
    store(database, PEOPLE_COUNTING_RAW, *readings)
    store(database, REGIONAL_COUNTING_RAW, *map(_regional, readings))
    store(database, REGION_STAYS, *(_stay(camera, (START + ZONE).date() + n * DAY) for n in range(DAYS)))
    store(database, POS_TRANSACTIONS, *({"store_id": of, "hour_start": hour, "transactions": 3} for hour in at))
    for table, key in ((HOURLY_ANALYTICS, camera), (STORE_HOURLY, of)):
        past = [
            {**hour(key, moment - week * WEEK, 9.0 + week), table.key[0]: key} for moment in at for week in range(1, 6)
        ]
        for row in past:
            row.pop("sensor_id" if table is STORE_HOURLY else "", None)
        store(database, table, *past)

    site = Site(database_url, tmp_path / "home")
    first = START.replace(minute=0)
    _figures(site, first, DAYS * 24)
    names = "region_avg_occupancy, region_utilization, entry_to_checkout_rate, traffic_efficiency_score, avg_occupancy"
    for table in (HOURLY_ANALYTICS, STORE_HOURLY):
        rows = database.fetch(
            f"SELECT {names} FROM retail.{table.name} WHERE hour_start >= %(start)s ORDER BY hour_start",
            {"start": START},
        )
        assert len(rows) == DAYS * 24
        whole = rows[
            4 : (DAYS - 1) * 24
        ]  # before the first reset and after the last one nothing is known of people inside
        assert not [row for row in whole if None in row], table.name

    written = {table: versions(database, table) for table in (HOURLY_ANALYTICS, STORE_HOURLY)}
    # Windows whose neighbours end in another local day than UTC's, alone and together, late ones first.
    for offset, count in ((70, 1), (47, 1), (30, 24), (20, 2), (0, 1), (0, DAYS * 24)):
        _figures(site, first + offset * HOUR, count)
        for table, rows_before in written.items():
            assert versions(database, table) == rows_before, (table.name, offset, count)


def test_like_hours_of_a_long_span_reach_over_the_change_of_clocks(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    # Berlin, 2025-10-26: Monday 00:00 is 22:00 in UTC before the change and 23:00 after it, 169 hours later.
    (camera,) = register(database, "a", zone="Europe/Berlin")
    start = datetime(2025, 10, 19, 23, tzinfo=UTC)
    store(database, HOURLY_ANALYTICS, hour(camera, start - HOUR))
    with Site(database_url, tmp_path / "home").entered():
        span = TimeWindow(start, start + 8 * DAY)
        found = _like_hours(HOURLY_ANALYTICS, span, DatabaseResource())
    assert found["hour_start"].tolist() == [start - HOUR]
